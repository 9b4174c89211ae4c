"""Turns an event that passed into the flat payload for Clint, in the order of the mapping file.

Pure: a mapping and a context in, a payload out. A value that is missing leaves its key out, because an update must not
blank a field in Clint; only `required: true` makes that an error. No error text holds a value.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from bridge.errors import ExpressionFailed, NoContact, RequiredMissing, StageError
from bridge.mapping import Field, Mapping
from bridge.mapping.expressions import EvaluationFailed, Expression, evaluate
from bridge.mapping.parts import Fixed, Template
from bridge.mapping.texts import first_email
from bridge.mapping.values import Unreadable, as_number, as_text, is_missing, kind_of

Value = str | int | float | bool


@dataclass(frozen=True, slots=True)
class FieldSeen:
    """What became of one field: a value, nothing, or an error."""

    group: str
    key: str
    source: str
    value: Value | None
    error: StageError | None = None


def build(mapping: Mapping, context: dict[str, Any]) -> dict[str, Value]:
    """Return the payload of one event; raise a StageError where it must not be sent."""
    payload: dict[str, Value] = {}
    identified = False
    for field in mapping.fields:
        value = _field_value(mapping, field, context)
        if value is not None:
            payload[field.key] = value
            identified = identified or field.identifies is not None
    if not identified:
        raise _no_contact(mapping)
    return payload


def explain(mapping: Mapping, context: dict[str, Any]) -> list[FieldSeen]:
    """Return what became of every field, errors included; never raises."""
    seen = []
    for field in mapping.fields:
        value, error = None, None
        try:
            value = _field_value(mapping, field, context)
        except StageError as failed:
            error = failed
        seen.append(FieldSeen(field.group, field.key, field.source.text, value, error))
    return seen


def destination(mapping: Mapping, event_name: str) -> str:
    """Return the destination of this event's payload."""
    return mapping.destination(event_name)


def _no_contact(mapping: Mapping) -> NoContact:
    keys = ", ".join(field.key for field in mapping.fields if field.identifies)
    return NoContact(
        f"the payload has neither an e-mail nor a phone (no value for {keys})",
        where=mapping.path,
        mend="complete the customer in Asaas, then replay the event",
    )


def _field_value(mapping: Mapping, field: Field, context: dict[str, Any]) -> Value | None:
    try:
        value = _typed(field, _raw(field, context))
        if isinstance(value, str) and field.identifies is not None:
            # Clint finds a contact by one address, and Asaas keeps what was typed: blanks, two addresses in one field.
            value = (first_email(value) if field.identifies == "email" else None) or value.strip()
    except (EvaluationFailed, Unreadable) as error:
        raise ExpressionFailed(
            f"field {field.key!r}: {error}", where=f"{mapping.path}:{field.line}", mend="mend the field, then replay"
        ) from None
    if value is None and field.required:
        raise RequiredMissing(
            f"field {field.key!r} is required and {field.source.text!r} gives nothing",
            where=f"{mapping.path}:{field.line}",
            mend="complete the data in Asaas, or give the field a default, then replay",
        )
    return value


def _raw(field: Field, context: dict[str, Any]) -> Any:
    source = field.source
    if isinstance(source, Fixed):
        value: Any = source.text
    elif isinstance(source, Template):
        value = _template(source, context)
    else:
        value = evaluate(source, context)
    if field.lookup is not None and not is_missing(value):
        value = field.lookup.get(as_text(value))
    return field.default if is_missing(value) else value


def _template(template: Template, context: dict[str, Any]) -> str | None:
    texts: list[str] = []
    missing = 0
    parts = [piece for piece in template.pieces if isinstance(piece, Expression)]
    for piece in template.pieces:
        value = evaluate(piece, context) if isinstance(piece, Expression) else piece
        if isinstance(piece, Expression) and is_missing(value):
            missing += 1
        else:
            texts.append(as_text(value))
    # "Cobrança  - " says nothing: with every part missing the key is left out like any missing value.
    return None if parts and missing == len(parts) else "".join(texts)


def _typed(field: Field, value: Any) -> Value | None:
    if is_missing(value):
        return None
    if field.type == "number":
        return as_number(value)
    if field.type == "boolean":
        return _boolean(value)
    return as_text(value)


def _boolean(value: Any) -> bool:
    if isinstance(value, bool):
        return value
    if value in ("true", "false"):
        return bool(value == "true")
    raise Unreadable(f"takes true or false, got {kind_of(value)}")
