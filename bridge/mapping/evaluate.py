"""Decides whether an event passes a mapping's filter, and says in an operator's words which condition said no.

Pure: a mapping and a context in, a verdict out. Conditions are looked at in the order of the file and only as far as
needed, so `exists` may guard what stands behind it; every one that was looked at is in the verdict.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping as AnyMapping
from dataclasses import dataclass, field
from datetime import date
from types import MappingProxyType
from typing import Any

from bridge.errors import ExpressionFailed, FilterFailed, NoContact, RequiredMissing, StageError
from bridge.mapping.expressions import EvaluationFailed, Expression, evaluate
from bridge.mapping.model import Comparison, Condition, Constant, ExpressionCondition, Field, Group, Mapping, Template
from bridge.mapping.values import BadValue, as_day, as_number, as_text, brasilia_day, first_email, is_missing, kind_of
from bridge.redaction import redact

REASONS: AnyMapping[str, str] = MappingProxyType(
    {
        "filter.installment": "instalment {value} is not the first, and the mapping takes only the first",
        "filter.compare": "{field} is {value}, must be {words} {operand}",
        "filter.exists": "{field} has no value, must have one",
        "filter.absent": "{field} has a value, must have none",
        "filter.expression": "{expression} does not hold",
        "filter.any": "none of the {count} conditions of any holds; the last: {last}",
        "filter.not": "{condition} holds, and must not",
    }
)
"""The sentences of refusals by code; another language needs only another such table."""


@dataclass(frozen=True, slots=True)
class ConditionResult:
    """A condition that was looked at, the value it saw and what it said."""

    line: int
    text: str
    value: Any
    passed: bool
    depth: int


@dataclass(frozen=True, slots=True)
class Verdict:
    """Whether the event passes, and why not."""

    passed: bool
    conditions: tuple[ConditionResult, ...]
    code: str = ""
    params: AnyMapping[str, str] = field(default_factory=dict)

    @property
    def reason(self) -> str:
        """Return the one line that tells an operator why the event was filtered; empty where it passed."""
        return REASONS[self.code].format_map(self.params) if self.code else ""


@dataclass(frozen=True, slots=True)
class _Refusal:
    code: str
    params: dict[str, str]

    @property
    def sentence(self) -> str:
        return REASONS[self.code].format_map(self.params)


def apply_filter(mapping: Mapping, context: dict[str, Any]) -> Verdict:
    """Return the verdict of a mapping's filter on one event; raise FilterFailed where it can't be told."""
    walk = _Walk(mapping, context)
    refusal = walk.installment() if mapping.installments == "first" else None
    if refusal is None and mapping.filter is not None:
        refusal = walk.look(mapping.filter, 0)
    if refusal is None:
        return Verdict(True, tuple(walk.seen))
    return Verdict(False, tuple(walk.seen), refusal.code, refusal.params)


def once_key(mapping: Mapping, context: dict[str, Any]) -> str | None:
    """Return what must be delivered only once for `installments: once`, or None where each event counts by itself.

    It names the mapping, the event and the instalment plan; a charge outside of a plan has none.
    """
    payment = context.get("payment")
    plan = payment.get("installment") if isinstance(payment, dict) else None
    if mapping.installments != "once" or not isinstance(plan, str) or not plan:
        return None
    text = "\x00".join((mapping.name, str(context.get("event", "")), plan))
    return hashlib.sha256(text.encode("utf-8", "replace")).hexdigest()[:32]


class _Walk:
    def __init__(self, mapping: Mapping, context: dict[str, Any]) -> None:
        self._mapping = mapping
        self._context = context
        self.seen: list[ConditionResult] = []

    def installment(self) -> _Refusal | None:
        """Return the refusal of an instalment after the first; a charge without a plan passes."""
        payment = self._context.get("payment")
        number = payment.get("installmentNumber") if isinstance(payment, dict) else None
        first = number is None or number == 1
        self.seen.append(ConditionResult(1, "installments: first", number, first, 0))
        return None if first else _Refusal("filter.installment", {"value": _shown(number, personal=False)})

    def look(self, condition: Condition, depth: int) -> _Refusal | None:
        """Return why the condition says no, or None where it holds."""
        if isinstance(condition, Comparison):
            return self._compare(condition, depth)
        if isinstance(condition, ExpressionCondition):
            return self._holds(condition, depth)
        return self._group(condition, depth)

    def _value(self, expression: Expression, line: int) -> Any:
        try:
            return evaluate(expression, self._context)
        except EvaluationFailed as error:
            raise self._failed(expression.text, str(error), line) from None

    def _failed(self, text: str, why: str, line: int) -> FilterFailed:
        return FilterFailed(f"condition {text!r}: {why}", where=f"{self._mapping.path}:{line}", hint="mend the filter")

    def _today(self) -> date:
        return as_day(self._context.get("today") or brasilia_day())

    def _compare(self, condition: Comparison, depth: int) -> _Refusal | None:
        value = self._value(condition.field, condition.line)
        operator = condition.operator
        try:
            passed = operator.holds(value, condition.operands, self._today())
        except BadValue as error:
            raise self._failed(condition.text, f"{operator.name} {error}", condition.line) from None
        self.seen.append(ConditionResult(condition.line, condition.text, value, passed, depth))
        if passed:
            return None
        name = condition.field.text
        if operator.name == "exists":
            return _Refusal("filter.exists" if condition.operands[0] == "true" else "filter.absent", {"field": name})
        told = _shown(value, personal="customer" in condition.field.names)
        operand = ", ".join(condition.operands)
        return _Refusal(
            "filter.compare",
            {"field": name, "operator": operator.name, "words": operator.words, "operand": operand, "value": told},
        )

    def _holds(self, condition: ExpressionCondition, depth: int) -> _Refusal | None:
        value = self._value(condition.expression, condition.line)
        # JMESPath's own truth: only null, false and what is empty are not; the number 0 is true.
        passed = not (value is None or value is False or value in ("", [], {}))
        self.seen.append(ConditionResult(condition.line, condition.text, value, passed, depth))
        return None if passed else _Refusal("filter.expression", {"expression": condition.expression.text})

    def _group(self, group: Group, depth: int) -> _Refusal | None:
        place = len(self.seen)
        refusal = {"all": self._all, "any": self._any, "not": self._not}[group.kind](group, depth + 1)
        # The group stands before what it holds, as in the file.
        self.seen.insert(place, ConditionResult(group.line, group.text, None, refusal is None, depth))
        return refusal

    def _all(self, group: Group, depth: int) -> _Refusal | None:
        for condition in group.conditions:
            refusal = self.look(condition, depth)
            if refusal is not None:
                return refusal
        return None

    def _any(self, group: Group, depth: int) -> _Refusal | None:
        last = ""
        for condition in group.conditions:
            refusal = self.look(condition, depth)
            if refusal is None:
                return None
            last = refusal.sentence
        return _Refusal("filter.any", {"count": str(len(group.conditions)), "last": last})

    def _not(self, group: Group, depth: int) -> _Refusal | None:
        condition = group.conditions[0]
        return _Refusal("filter.not", {"condition": condition.text}) if self.look(condition, depth) is None else None


def _shown(value: Any, *, personal: bool) -> str:
    """Return a value for a reason: what a customer's data holds is not said, and texts are redacted and short."""
    if is_missing(value):
        return "missing"
    if personal or isinstance(value, (list, dict)):
        return kind_of(value)
    try:
        text = redact(as_text(value))
    except BadValue:  # 1e400 is JSON, and no number that could be said
        return kind_of(value)
    return text if len(text) <= 80 else f"{text[:77]}..."


Value = str | int | float | bool


@dataclass(frozen=True, slots=True)
class FieldResult:
    """What became of one field: a value, nothing, or an error."""

    group: str
    key: str
    source: str
    value: Value | None
    error: StageError | None = None


def build_payload(mapping: Mapping, context: dict[str, Any]) -> dict[str, Value]:
    """Return the payload of one event; raise a StageError where it must not be sent."""
    payload: dict[str, Value] = {}
    identified = False
    for one in mapping.fields:
        value = _field_value(mapping, one, context)
        if value is not None:
            payload[one.key] = value
            identified = identified or one.identifies is not None
    if not identified:
        raise _no_contact(mapping)
    return payload


def explain(mapping: Mapping, context: dict[str, Any]) -> list[FieldResult]:
    """Return what became of every field, errors included; never raises."""
    seen = []
    for one in mapping.fields:
        value, error = None, None
        try:
            value = _field_value(mapping, one, context)
        except StageError as failed:
            error = failed
        seen.append(FieldResult(one.group, one.key, one.source.text, value, error))
    return seen


def destination(mapping: Mapping, event_name: str) -> str:
    """Return the destination of this event's payload."""
    return mapping.destination(event_name)


def _no_contact(mapping: Mapping) -> NoContact:
    keys = ", ".join(field.key for field in mapping.fields if field.identifies)
    return NoContact(
        f"the payload has neither an e-mail nor a phone (no value for {keys})",
        where=mapping.path,
        hint="complete the customer in Asaas, then replay the event",
    )


def _field_value(mapping: Mapping, field: Field, context: dict[str, Any]) -> Value | None:
    try:
        value = _typed(field, _raw(field, context))
        if isinstance(value, str) and field.identifies is not None:
            # Clint finds a contact by one address, and Asaas keeps what was typed: blanks, two addresses in one field.
            value = (first_email(value) if field.identifies == "email" else None) or value.strip()
    except (EvaluationFailed, BadValue) as error:
        raise ExpressionFailed(
            f"field {field.key!r}: {error}", where=f"{mapping.path}:{field.line}", hint="mend the field, then replay"
        ) from None
    if value is None and field.required:
        raise RequiredMissing(
            f"field {field.key!r} is required and {field.source.text!r} gives nothing",
            where=f"{mapping.path}:{field.line}",
            hint="complete the data in Asaas, or give the field a default, then replay",
        )
    return value


def _raw(field: Field, context: dict[str, Any]) -> Any:
    source = field.source
    if isinstance(source, Constant):
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
    raise BadValue(f"takes true or false, got {kind_of(value)}")
