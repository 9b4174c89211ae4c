"""The verdict of a mapping's filter on one event, and the payload that its fields make of it.

Pure: a mapping and a context in, a verdict or a payload out. Conditions are evaluated in the order of the file and only
as far as needed, so that `exists` may guard the condition behind it.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Sequence
from collections.abc import Mapping as AnyMapping
from dataclasses import dataclass, field
from typing import Any

from bridge.errors import ExpressionFailed, FilterFailed, NoContact, NoDealKey, RequiredMissing, StageError
from bridge.mapping import values
from bridge.mapping.catalogue import entity_key, spellings
from bridge.mapping.context import ENVELOPE
from bridge.mapping.expressions import Expression, evaluate
from bridge.mapping.functions import EvaluationFailed
from bridge.mapping.model import FUNNEL, Comparison, Condition, Field, Group, Mapping, Template
from bridge.mapping.operators import Operator
from bridge.mapping.values import BadValue, Text, as_number, as_text, first_email, is_missing, kind_of, or_none
from bridge.messages import N_, Message
from bridge.redaction import redact

REASONS: AnyMapping[str, str] = {
    "filter.installment": N_("instalment {value} is not the first, and the mapping takes only the first"),
    "filter.compare": N_("{field} is {value}, {must} {operand}"),
    "filter.exists": N_("{field} has no value, must have one"),
    "filter.absent": N_("{field} has a value, must have none"),
    "filter.expression": N_("{expression} does not hold"),
    "filter.any": N_("none of the {count} conditions of any holds; the last: {last}"),
    "filter.not": N_("{condition} holds, and must not"),
}
"""The sentences of refusals by code."""


@dataclass(frozen=True, slots=True)
class ConditionResult:
    line: int
    text: str
    value: Any
    passed: bool
    depth: int


@dataclass(frozen=True, slots=True)
class Verdict:
    passed: bool
    conditions: tuple[ConditionResult, ...]
    code: str = ""
    facts: AnyMapping[str, Any] = field(default_factory=dict)

    @property
    def message(self) -> Message:
        """Why the event was filtered, for a person; empty where it passed."""
        return Message(REASONS[self.code], self.facts) if self.code else Message("")


_Refusal = tuple[str, dict[str, Any]]
"""A code of REASONS and its facts."""


def apply_filter(mapping: Mapping, context: dict[str, Any]) -> Verdict:
    """Return the verdict of a mapping's filter on one event; raise FilterFailed where it has none."""
    walk = _Walk(mapping, context)
    refusal = walk.installment() if mapping.installments == "first" else None
    if refusal is None and mapping.filter is not None:
        refusal = walk.visit(mapping.filter, 0)
    return Verdict(refusal is None, tuple(walk.seen), *(refusal or ()))


def once_key(mapping: Mapping, context: dict[str, Any]) -> str | None:
    """Return the key under which `installments: once` delivers only one event, or None where each event counts.

    It stands for the mapping, the event and the instalment plan; a charge outside of a plan has none.
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
        payment = self._context.get("payment")
        number = payment.get("installmentNumber") if isinstance(payment, dict) else None
        first = number is None or number == 1
        self.seen.append(ConditionResult(1, "installments: first", number, first, 0))
        return None if first else ("filter.installment", {"value": _shown(number, personal=False)})

    def visit(self, condition: Condition, depth: int) -> _Refusal | None:
        if isinstance(condition, Group):
            return self._group(condition, depth)
        text, line, operator = condition.text, condition.line, condition.operator
        try:
            value = evaluate(condition.expression, self._context)
            refusal = self._compare(condition, operator, value) if operator else _untrue(text, value)
        except EvaluationFailed as error:
            raise self._failed(condition.expression.text, line, error.message) from None
        except BadValue as error:
            facts = {"operator": operator and operator.name, "problem": error.message}
            raise self._failed(text, line, Message("{operator} {problem}", facts)) from None
        self.seen.append(ConditionResult(line, text, value, refusal is None, depth))
        return refusal

    def _failed(self, condition: str, line: int, problem: Message) -> FilterFailed:
        return FilterFailed(
            N_("condition {condition!r}: {problem}"),
            where=f"{self._mapping.path}:{line}",
            hint=N_("fix the filter"),
            condition=condition,
            problem=problem,
        )

    def _compare(self, condition: Comparison, operator: Operator, value: Any) -> _Refusal | None:
        name = condition.expression.text
        today = values.as_day(self._context.get("today") or values.brasilia_day())
        if operator.holds(value, condition.operands, today):
            return None
        if operator.name == "exists":
            return "filter.exists" if condition.operands[0] == "true" else "filter.absent", {"field": name}
        return "filter.compare", {
            "field": name,
            "operator": operator.name,
            "must": Message(operator.must),
            "operand": ", ".join(condition.operands),
            "value": _shown(value, personal="customer" in condition.expression.names),
        }

    def _group(self, group: Group, depth: int) -> _Refusal | None:
        place = len(self.seen)
        refusal: _Refusal | None = None
        for condition in group.conditions:
            refusal = self.visit(condition, depth + 1)
            if (refusal is None) is (group.kind != "all"):
                break
        if group.kind == "not":
            refusal = ("filter.not", {"condition": group.conditions[0].text}) if refusal is None else None
        elif group.kind == "any" and refusal is not None:
            last = Message(REASONS[refusal[0]], refusal[1])
            refusal = "filter.any", {"count": len(group.conditions), "last": last}
        # The group stands before its conditions, as in the file.
        self.seen.insert(place, ConditionResult(group.line, group.text, None, refusal is None, depth))
        return refusal


def _untrue(expression: str, value: Any) -> _Refusal | None:
    # JMESPath's own truth: only null, false and empty values are false; the number 0 is true.
    false = value is None or value is False or value in ("", [], {})
    return ("filter.expression", {"expression": expression}) if false else None


def _shown(value: Any, *, personal: bool) -> Text:
    """Return a value for a reason: the kind alone for a customer's data, other texts redacted and short."""
    if is_missing(value):
        return Message(N_("empty"))
    plain = None if personal else or_none(as_text, value)
    if plain is None:  # a list or an object too, and 1e400, which is JSON and no number that can be written
        return kind_of(value)
    text = redact(plain)
    return text if len(text) <= 80 else f"{text[:77]}..."


Value = str | int | float | bool


def build_payload(mapping: Mapping, context: dict[str, Any]) -> dict[str, Value]:
    """Return the payload of one event; raise a StageError where it must not be sent."""
    payload: dict[str, Value] = {}
    for one in mapping.fields:
        value = _field_value(mapping, one, context)
        if value is not None:
            payload[one.key] = value
    identities = [one.key for one in mapping.fields if one.identifies]
    if not payload.keys() & identities:
        raise NoContact(
            N_("the payload has neither an e-mail nor a phone (no value for {keys})"),
            where=mapping.path,
            hint=N_("complete the customer in Asaas, then replay the event"),
            keys=", ".join(identities),
        )
    return payload


def build_deal(mapping: Mapping, context: dict[str, Any]) -> dict[str, Any]:
    """Return the payload of one event for a destination by the API; raise a StageError where it must not be sent.

    It has the keys of `build_payload`, and under `funnel` which deal it is, its stage, status, value and user (each
    left out where it stays as it is), the contact's tags, all stages and statuses that the mapping may say, and the
    place in Clint of each key.
    """
    payload = build_payload(mapping, context)
    funnel, own = mapping.funnel, {one.key: one for one in mapping.fields}
    told: dict[str, Any] = {"key": deal_key(mapping, context), "key_field": funnel.key_field, "origin": funnel.origin}
    for name, one in funnel.values.items():
        value = _field_value(mapping, one, context) if one else None
        if one and isinstance(value, str):
            value = _status(mapping, one, value) if name == "status" else value.strip()
        if name == "value" and value is None:
            value = _own_value(mapping, payload)
        told |= {} if value is None else {name: value}
    tags = [str(value).strip() for one in funnel.tags if (value := _field_value(mapping, one, context)) is not None]
    told |= {
        "tags": list(dict.fromkeys(tags)),
        "moved_by_person": funnel.moved_by_person,
        "removed": funnel.removed,
        "find_contact_by": list(funnel.find_contact_by),
        "own_stages": _may_say(funnel.stage, told.get("stage")),
        "own_statuses": _may_say(funnel.status, told.get("status")),
        "places": places([own[key] for key in payload]),
    }
    return {**payload, FUNNEL: told}


_NOT_SHOWN = frozenset({"places", "own_stages", "own_statuses"})


def _may_say(one: Field | None, said: str | None) -> list[str]:
    """Return the texts that a field of the funnel may give, of which the one that it gives now is one."""
    texts = [*(one.outputs if one else ()), *([said] if said else [])]
    return list(dict.fromkeys(text.strip() for text in texts))


def flat(payload: AnyMapping[str, Any]) -> dict[str, Any]:
    """Return the keys that a mapping's fields made, without what a deal by the API needs beside them."""
    return {key: value for key, value in payload.items() if key != FUNNEL}


def spread(payload: AnyMapping[str, Any]) -> dict[str, Any]:
    """Return a payload with the parts of its deal as keys of their own, such as `funnel.stage`, for people to read.

    Lists are one text; what is empty, and what only the bridge needs, is left out.
    """
    funnel = payload.get(FUNNEL)
    parts = funnel.items() if isinstance(funnel, dict) else ()
    texts = {
        name: ", ".join(value) if isinstance(value, list) else value for name, value in parts if name not in _NOT_SHOWN
    }
    return flat(payload) | {f"{FUNNEL}.{name}": value for name, value in texts.items() if value not in ("", None)}


def places(fields: Sequence[Field]) -> dict[str, str]:
    """Return where each key goes in Clint: a property such as `contact.email`, or the account's fields of a group.

    A property takes one key: where several name it, the first that says so by `is:`, or else the first by its name.
    """
    own = {one.key for one in _properties(fields).values()}
    return {one.key: f"{one.group}.{one.native if one.key in own else 'fields'}" for one in fields}


def _properties(fields: Iterable[Field]) -> dict[tuple[str, str], Field]:
    """Return the field of each property of Clint's own, by group and property."""
    found: dict[tuple[str, str], Field] = {}
    for one in sorted(fields, key=lambda one: not one.stated):
        if one.native:
            found.setdefault((one.group, one.native), one)
    return found


def deal_key(mapping: Mapping, context: dict[str, Any]) -> str:
    """Return what stands for the deal of an event: a code of Asaas, or what the mapping's expression gives.

    An event about an object that belongs to a charge, a plan, a subscription or a customer names it; where it does
    not, the charge or else the event's own object stands for the deal.
    """
    per = mapping.funnel.one_deal_per
    key: Value | None = None
    if isinstance(per, Field):
        key = _field_value(mapping, per, context)
    else:
        name = entity_key(context[ENVELOPE])
        entity = context.get(name)
        key = _code_of(spellings(name)[0], entity, per) if isinstance(entity, dict) else None
    if key is None or not str(key).strip():
        raise NoDealKey(
            N_("nothing says which deal this event is about: {per} gives nothing"),
            where=mapping.path,
            hint=N_("let one_deal_per name something that each event has, then replay"),
            per=per.source.text if isinstance(per, Field) else per,
        )
    return str(key).strip()


def _code_of(kind: str, entity: dict[str, Any], per: str) -> str:
    """Return the code of the object that a deal stands for; empty where the event's object does not name it."""
    wanted = ["customer"] if per == "customer" else [per.replace("charge", "payment"), "payment"]
    for name in wanted:
        codes = [entity.get("id")] if name == kind else [entity.get(name), entity.get(f"{name}Id")]
        if code := next((one for one in codes if isinstance(one, str) and one.strip()), ""):
            return code
    own = entity.get("id")
    return own if isinstance(own, str) and per != "customer" else ""


def _own_value(mapping: Mapping, payload: AnyMapping[str, Value]) -> Value | None:
    one = _properties(one for one in mapping.fields if one.key in payload).get(("deal", "value"))
    if one is None:
        return None
    try:
        return as_number(payload[one.key])
    except BadValue as error:
        raise _bad_field(mapping, one, error.message) from None


STATUSES = ("open", "won", "lost")


def _status(mapping: Mapping, one: Field, value: str) -> str:
    status = value.strip().lower()
    if status not in STATUSES:
        raise _bad_field(mapping, one, Message(N_("takes open, won or lost, got {got}"), {"got": kind_of(value)}))
    return status


def explain(
    mapping: Mapping, context: dict[str, Any], *, deal: bool = False
) -> list[tuple[Field, Value | None, StageError | None]]:
    """Return each field with its value, or the error that it ended in; neither where the field is left out.

    `deal` adds those of the funnel.
    """
    seen: list[tuple[Field, Value | None, StageError | None]] = []
    for one in (*mapping.fields, *(mapping.funnel.fields if deal else ())):
        try:
            seen.append((one, _field_value(mapping, one, context), None))
        except StageError as error:
            seen.append((one, None, error))
    return seen


def _field_value(mapping: Mapping, field: Field, context: dict[str, Any]) -> Value | None:
    try:
        value = _typed(field, _raw(field, context))
        if isinstance(value, str) and field.identifies is not None:
            # Clint finds a contact by one address; Asaas keeps blanks and several addresses as they were typed.
            value = (first_email(value) if field.identifies == "email" else None) or value.strip()
    except BadValue as error:
        raise _bad_field(mapping, field, error.message) from None
    if value is None and field.required:
        raise RequiredMissing(
            N_("field {key!r} is required and {source!r} gives nothing"),
            where=f"{mapping.path}:{field.line}",
            hint=N_("complete the data in Asaas, or give the field a default, then replay"),
            key=field.key,
            source=field.source.text,
        )
    return value


def _bad_field(mapping: Mapping, field: Field, problem: Message) -> ExpressionFailed:
    return ExpressionFailed(
        N_("field {key!r}: {problem}"),
        where=f"{mapping.path}:{field.line}",
        hint=N_("fix the field, then replay"),
        key=field.key,
        problem=problem,
    )


def _raw(field: Field, context: dict[str, Any]) -> Any:
    source = field.source
    value = _template(source, context) if isinstance(source, Template) else evaluate(source, context)
    if field.lookup is not None and not is_missing(value):
        value = field.lookup.get(as_text(value))
    return field.default if is_missing(value) else value


def _template(template: Template, context: dict[str, Any]) -> str | None:
    texts: list[str] = []
    read, missing = 0, 0
    for piece in template.pieces:
        if isinstance(piece, Expression):
            value = evaluate(piece, context)
            read += 1
            missing += is_missing(value)
            texts.append("" if is_missing(value) else as_text(value))
        else:
            texts.append(piece)
    # "Cobrança  - " says nothing: with every part missing the key is left out like any missing value.
    return None if read and missing == read else "".join(texts)


def _typed(field: Field, value: Any) -> Value | None:
    if is_missing(value):
        return None
    if field.type == "number":
        return as_number(value)
    if field.type == "boolean":
        if not isinstance(value, bool) and value not in ("true", "false"):
            raise BadValue(N_("takes true or false, got {kind}"), kind=kind_of(value))
        return value is True or value == "true"
    return as_text(value)
