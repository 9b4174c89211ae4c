"""The form of a mapping: the values and hints of each control, and the form that a person sends."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from decimal import Decimal
from functools import lru_cache
from typing import Any

from werkzeug.datastructures import MultiDict

from bridge.conditions import condition_in_words, is_money
from bridge.formats import Formats
from bridge.mapping import Mapping as Compiled
from bridge.mapping.catalogue import EVENTS, event_label, label_of, named_paths, path_label
from bridge.mapping.context import DERIVED
from bridge.mapping.document import Scalar, read_document
from bridge.mapping.drafts import Offer, offers_of
from bridge.mapping.edit import NotEditable
from bridge.mapping.evaluate import explain
from bridge.mapping.expressions import Expression, compile_text, evaluate
from bridge.mapping.findings import Finding, Findings, Severity
from bridge.mapping.form import BLOCKS, DEPTH, KINDS, SETTINGS, TOGETHER, Form, Row, Sent, row_places, rows_of
from bridge.mapping.functions import EvaluationFailed
from bridge.mapping.lint import kind_of_path, values_of_path
from bridge.mapping.model import GROUPS, covers, walk
from bridge.mapping.operators import OPERATORS, Operand
from bridge.mapping.parser import build_condition
from bridge.mapping.spec import MAPPING
from bridge.mapping.values import (
    BadValue,
    as_decimal,
    as_text,
    is_missing,
    number_fault,
    or_none,
    two_readings,
    typed_number,
)
from bridge.messages import N_, Message, _, current_language
from bridge.web.console.mapping_deal import sent_deal
from bridge.web.console.personal import shown

OBJECT_WORDS = {
    "payment": N_("Charge"),
    "customer": N_("Customer"),
    "subscription": N_("Subscription"),
    "installment": N_("Instalment plan"),
    "": N_("Event and calculations"),
}
MAX_ROWS = 500
"""The form accepts at most this many rows; the limit is ours."""
OWN = "="
"""Prefix of the kind of a source that a person writes: expression, template or text."""
SOURCE_WORDS = {
    "=template": N_("Text with values in braces"),
    "=text": N_("Fixed text"),
    "=from": N_("Expression"),
}
NO_OPERAND = Message(N_("Write what it is compared with, or remove the condition."))
NO_KEY = Message(N_("Write the key as Clint shows it, or remove the field."))
NO_SOURCE = Message(N_("Write what is sent, or remove the field."))
NO_EVENT = Message(N_("Choose at least one event."))
GROUP_WORDS = {
    "all": N_("all conditions"),
    "any": N_("at least one condition"),
    "none": N_("no condition"),
    "not_all": N_("not all conditions at once"),
}
"""How many of the conditions of a group must hold."""
_LABELLED = ("status", "billingType", "cycle", "reason", "personType")


@dataclass(frozen=True, slots=True)
class Choice:
    value: str
    label: str
    seen: str = ""
    """The value that the last event has for it."""


@dataclass(frozen=True, slots=True)
class Around:
    """The event whose values stand beside the form's controls."""

    context: Mapping[str, Any]
    told: str
    """Which event it is; empty for the built-in example."""
    event_id: int | None = None
    payload: Mapping[str, Any] = field(default_factory=dict)
    """What the mapping sent for this event."""


# ---------------------------------------------------------------- what the page shows


def objects_of(events: Iterable[str]) -> list[str]:
    """Return the objects whose fields a mapping of these events can read, the event's own first."""
    names = tuple(events)
    own = dict.fromkeys(one.entity for one in EVENTS.values() if covers(names, one.name))
    more = ["customer"] if set(own) & {"payment", "subscription"} or not own else []
    return list(dict.fromkeys([*own, *more, *(["installment", "subscription"] if "payment" in own else [])]))


def _paths(events: Iterable[str]) -> list[tuple[str, list[str]]]:
    found = [(one, list(named_paths(one))) for one in objects_of(events)]
    plain = ["event", "days_overdue", "fee", *(name for name in DERIVED if name != "days_overdue"), "today"]
    return [*((one, paths) for one, paths in found if paths), ("", plain)]


def field_choices(events: Iterable[str], around: Around) -> list[tuple[str, list[Choice]]]:
    """Return the fields that a condition may ask about, by object."""
    return [
        (OBJECT_WORDS.get(one, N_("Other")), [Choice(path, path_label(path), seen(path, around)) for path in paths])
        for one, paths in _paths(events)
    ]


def source_choices(events: Iterable[str], around: Around) -> list[tuple[str, list[Choice]]]:
    """Return what a field of the payload may be made of, by object."""
    groups = []
    for one, paths in _paths(events):
        sources = [(as_sent(path), path_label(path)) for path in paths]
        if one == "customer":
            label = path_label("customer.mobilePhone") + " / " + path_label("customer.phone").lower()
            sources.insert(2, ("phone(customer.mobilePhone) || phone(customer.phone)", label))
        choices = [Choice(source, label, seen(source, around)) for source, label in sources]
        groups.append((OBJECT_WORDS.get(one, N_("Other")), choices))
    return groups


def as_sent(path: str) -> str:
    """Return the expression that writes a value as people read it in Clint.

    >>> as_sent("payment.value"), as_sent("payment.dueDate"), as_sent("customer.name")
    ('money(payment.value)', "date(payment.dueDate, '%d/%m/%Y')", 'customer.name')
    """
    name = path.rpartition(".")[2]
    if is_money(path):
        return f"money({path})"
    if kind_of_path(tuple(path.split("."))) == "date":
        return f"date({path}, '%d/%m/%Y')"
    if name in {"phone", "mobilePhone"}:
        return f"phone({path})"
    if name == "cpfCnpj":
        return f"cpf_cnpj({path})"
    return f"label({path})" if name in _LABELLED or path == "event" else path


@lru_cache(1000)
def _compiled(expression: str) -> Expression | None:
    return compile_text(expression, Scalar(1, 1, expression, plain=True, inline=True), 0, Findings(""))


def value_of(expression: str, context: Mapping[str, Any]) -> Any:
    """Return what an expression gives for an event; None where it gives nothing, or is wrong."""
    compiled = _compiled(expression)
    if compiled is None:
        return None
    try:
        return evaluate(compiled, dict(context))
    except (EvaluationFailed, BadValue):
        return None


def seen(expression: str, around: Around) -> str:
    """Return the value of the last event as a person reads it; empty where there is none."""
    value = value_of(expression, around.context)
    if is_missing(value) or isinstance(value, (list, dict)):
        return ""
    if isinstance(value, bool):
        return _("yes") if value else _("no")
    text = as_text(shown(value, expression))
    formats = Formats(0)
    if is_money(expression) and or_none(as_decimal, value) is not None:
        return formats.money(value)
    if expression.replace(".", "").isidentifier() and kind_of_path(tuple(expression.split("."))) == "date":
        return formats.date(text[:10])
    named = label_of(text) if current_language() == "pt" else None
    return named or (event_label(text) if text in EVENTS else _short(text))


def _short(text: str) -> str:
    return text if len(text) <= 60 else f"{text[:59]}…"


def event_choices(form: Form, about: Iterable[str]) -> tuple[list[Choice], list[Choice]]:
    """Return the events to choose from: those of the objects that the mapping is about, and all others."""
    names = tuple(about)
    entities = {one.entity for one in EVENTS.values() if covers(names, one.name)} or {"payment"}
    known = [Choice(one.name, event_label(one.name)) for one in EVENTS.values() if one.entity in entities]
    others = [Choice(one.name, event_label(one.name)) for one in EVENTS.values() if one.entity not in entities]
    listed = {one.value for one in (*known, *others)}
    special = [Choice(name, _family(name)) for name in form.events if name not in listed]
    chosen = [one for one in known if one.value in form.events]
    return [*special, *chosen, *(one for one in known if one not in chosen)], others


def _family(name: str) -> str:
    return Message(N_("All of {family}"), {"family": event_label(name[:-2])}).text() if name.endswith("_*") else name


def value_lists(form: Form) -> dict[str, list[str]]:
    """Return the values that Asaas documents for the fields of the rows, as people read them."""
    found = {}
    for row in rows_of(form.rows):
        values = values_of_path(tuple(row.field.split("."))) if row.field else ()
        if values and row.field != "event":
            found[row.field] = [_word(value) for value in values]
    return found


def _word(value: str) -> str:
    return (label_of(value) if current_language() == "pt" else None) or value


def shown_rows(
    form: Form,
    choices: list[tuple[str, list[Choice]]],
    around: Around,
    findings: Mapping[str, list[Finding]],
) -> list[dict[str, Any]]:
    """Return the content of each row, with the rows of a group, and its findings."""
    known = {one.value for _, group in choices for one in group}

    def shown_row(row: Row, at: tuple[int, ...]) -> dict[str, Any]:
        return {
            "row": row,
            "id": row_id(at),
            "at": ":".join(str(one) for one in at),
            "n": ".".join(str(one + 1) for one in at),
            "operator": "absent" if row.operator == "exists" and row.operands == ("false",) else row.operator,
            "value": shown_operands(row),
            "seen": seen(row.field, around) if row.field else "",
            "own": row.field and row.field not in known,
            "lines": row.block.count("\n") + 1,
            "words": block_words(row.block),
            "inner": [shown_row(one, (*at, place)) for place, one in enumerate(row.rows)],
            "may_group": len(at) <= DEPTH,
            "findings": findings.get(row_id(at), []),
        }

    return [shown_row(row, (at,)) for at, row in enumerate(form.rows)]


def row_id(at: Iterable[int]) -> str:
    """Return the id of a row's controls.

    >>> row_id((2, 0))
    'row-2-0'
    """
    return "-".join(["row", *(str(one) for one in at)])


def row_findings(text: str, findings: Iterable[Finding]) -> dict[str, list[Finding]]:
    """Return the findings about the conditions of a text, by the innermost row that has the finding."""
    try:
        places = row_places(text)
    except NotEditable:
        return {}
    found: dict[str, list[Finding]] = {}
    for one in findings:
        if one.severity is Severity.NOTE:
            continue
        inside = [(len(at), row_id(at)) for at, (start, end) in places.items() if start <= (one.line, one.column) < end]
        if inside:
            found.setdefault(max(inside)[1], []).append(one)
    return found


def block_words(block: str) -> list[tuple[str, int]]:
    """Return each part of a condition that is a block of YAML, in words and with its depth; empty where it is wrong."""
    findings = Findings("")
    root = read_document(block, findings) if block else None
    condition = build_condition(root, findings) if root is not None else None
    if any(one.severity is Severity.ERROR for one in findings.in_order()):
        return []
    return [(condition_in_words(part.text).words, depth) for part, depth in walk(condition)]


def route_words(mapping: Compiled | None) -> list[tuple[list[str], str]]:
    """Return the events of each route, as people call them, and its destination."""
    routes = mapping.routes if mapping else ()
    return [([_event_words(name) for name in one.events], one.send_to) for one in routes]


def _event_words(name: str) -> str:
    return _family(name) if name.endswith("_*") else event_label(name)


def shown_operands(row: Row) -> str:
    """Return what a row compares with as a person reads and writes it."""
    if row.operator == "exists" or not row.operands:
        return ""
    kind = OPERATORS[row.operator].operand
    if kind is Operand.NUMBER:
        return _shown_number(row.operands[0], row.field)
    if kind is Operand.DATE and row.operands[0] == "today":
        return Message(N_("today")).text()
    words = [_shown_one(one, row.field) for one in row.operands]
    return ("; " if any("," in one for one in words) else ", ").join(words)


def _shown_number(text: str, path: str) -> str:
    number = or_none(as_decimal, text)
    if number is None or two_readings(text):
        return text
    plain = f"{number:.2f}" if is_money(path) and number == round(number, 2) else format(number, "f")
    return plain.replace(".", ",") if current_language() == "pt" else plain


def _shown_one(operand: str, path: str) -> str:
    return _word(operand) if operand in values_of_path(tuple(path.split("."))) else operand


def shown_fields(
    mapping: Compiled | None, form: Form, choices: list[tuple[str, list[Choice]]], around: Around
) -> list[dict[str, Any]]:
    known = {one.value for _, group in choices for one in group}
    values = {one.key: value for one, value, _ in explain(mapping, dict(around.context))} if mapping else {}
    return [
        {
            "sent": one,
            "choice": one.source if one.kind == "from" and one.source in known else OWN + one.kind,
            "seen": _value_seen(one, values, around),
            "lines": one.block.count("\n") + 1,
        }
        for one in form.fields
    ]


def _value_seen(one: Sent, values: Mapping[str, Any], around: Around) -> str:
    if one.place is not None and one.key in values:
        value = values[one.key]
        value = around.payload.get(one.key) if is_missing(value) else value
        return "" if is_missing(value) else _short(as_text(shown(value, one.key)))
    if one.kind == "text":
        return one.source
    value = value_of(one.source, around.context) if one.kind == "from" else None
    return "" if is_missing(value) or isinstance(value, (list, dict)) else _short(as_text(shown(value, one.source)))


def offer_choices(offered: Iterable[Offer], sources: list[tuple[str, list[Choice]]]) -> list[Choice]:
    """Return fields of the menu by key, each with what people call it."""
    words = {one.value: one.label for _, group in sources for one in group}
    return [Choice(one.key, words.get(one.source, one.key.replace("_", " ").capitalize())) for one in offered]


def offers(form: Form, about: Iterable[str]) -> list[Offer]:
    """Return the fields of the menu that the form does not send yet."""
    entity = next((one for one in objects_of(about) if one in {"payment", "subscription"}), "")
    keys = {one.key for one in form.fields}
    return [one for one in offers_of(entity) if one.key not in keys]


# ---------------------------------------------------------------- what a person sends back


def sent_form(given: MultiDict[str, str], old: Form) -> tuple[Form, dict[str, Message]]:
    """Return the form that a page gives, and what is wrong with it, by control.

    A control that shows what the text has leaves it as it is.
    """
    faults: dict[str, Message] = {}
    rows = _sent_rows(given, "row", old.rows, faults)
    fields = []
    for at in range(_count(given, "fields")):
        one, fault = _sent_field(given, f"field-{at}", old)
        fields.append(one)
        faults |= {f"field-{at}": fault} if fault else {}
    chosen = given.getlist("event")
    events = [name for name in old.events if name in chosen]
    events += [name for name in chosen if name not in old.events]
    together = given.get("together", "")
    together = together if together in TOGETHER else old.together
    faults |= {} if events else {"events": NO_EVENT}
    blocks = {name: _block(given, name, old.blocks[name]) for name in BLOCKS}
    settings = {name: _setting(given, name, old.settings[name]) for name in SETTINGS}
    deal = sent_deal(given, old.deal)
    return Form(settings, tuple(events), together, rows, tuple(fields), blocks, deal), faults


def _count(given: MultiDict[str, str], name: str) -> int:
    text = given.get(name, "")
    return min(int(text), 500) if text.isascii() and text.isdigit() and len(text) < 5 else 0


def _place(given: MultiDict[str, str], name: str, old: Sequence[object]) -> int | None:
    text = given.get(f"{name}-place", "")
    found = int(text) if text.isascii() and text.isdigit() and len(text) < 5 else len(old)
    return found if found < len(old) else None


def _block(given: MultiDict[str, str], name: str, old: str) -> str:
    return _lines(given.get(name, old)).rstrip()


def _lines(text: str) -> str:
    return text.replace("\r\n", "\n").replace("\r", "\n")


def _setting(given: MultiDict[str, str], name: str, old: str) -> str:
    if name in {"enabled", "verify"}:
        value = "true" if given.get(name) else "false"
        if f"{name}-shown" not in given:
            return old
    else:
        value = " ".join(given.get(name, old).split())
    return old if value == (" ".join(old.split()) or MAPPING[name].default) else value


def _sent_rows(
    given: MultiDict[str, str], name: str, old: tuple[Row, ...], faults: dict[str, Message]
) -> tuple[Row, ...]:
    """Return the rows of a group, and put what is wrong with them into `faults`."""
    rows = []
    for at in range(MAX_ROWS):
        id_ = f"{name}-{at}"
        if f"{id_}-group" in given:
            place = _place(given, id_, old)
            before = old[place].as_group if place is not None else ()
            kind = given[f"{id_}-group"]
            inner = _sent_rows(given, id_, before, faults)
            if inner:
                rows.append(Row(group=kind if kind in KINDS else "any", rows=inner, place=place))
        elif f"{id_}-block" in given or f"{id_}-operator" in given:
            row, fault = _sent_row(given, id_, old)
            rows.append(row)
            faults |= {id_: fault} if fault else {}
        else:
            break
    return tuple(rows)


def _sent_row(given: MultiDict[str, str], name: str, old: tuple[Row, ...]) -> tuple[Row, Message | None]:
    place = _place(given, name, old)
    if f"{name}-block" in given:
        block = _lines(given[f"{name}-block"]).rstrip()
        return Row(block=block, place=place), None if block else NO_OPERAND
    path, operator = given.get(f"{name}-field", ""), given.get(f"{name}-operator", "")
    text = given.get(f"{name}-value", "").strip()
    before = old[place] if place is not None else None
    if operator in {"exists", "absent"}:
        return Row(path, "exists", ("true" if operator == "exists" else "false",), place=place), None
    operator = operator if operator in OPERATORS else "equals"
    if before is not None and (operator, path) == (before.operator, before.field) and text == shown_operands(before):
        return before, None
    operands, fault = _operands(operator, path, text)
    return Row(path, operator, operands, place=place), fault


def _operands(operator: str, path: str, text: str) -> tuple[tuple[str, ...], Message | None]:
    """Return what a person compares with, and what is wrong with it."""
    kind = OPERATORS[operator].operand
    if not text:
        return (text,), NO_OPERAND
    if kind is Operand.NUMBER:
        fault = number_fault(text)
        return (text if fault else _written_number(typed_number(text)),), fault
    if kind is Operand.DATE and text.lower() in {"hoje", "today"}:
        return ("today",), None
    words = [text]
    if kind is Operand.TEXTS:
        words = [one.strip() for one in text.split(";" if ";" in text else ",") if one.strip()]
    by_word = {_word(value).casefold(): value for value in values_of_path(tuple(path.split(".")))}
    return tuple(by_word.get(one.casefold(), one) for one in words), None


def _written_number(number: Decimal) -> str:
    if number == number.to_integral_value():
        return format(number.to_integral_value(), "f")
    return f"{number:.2f}" if number == round(number, 2) else format(number.normalize(), "f")


def _sent_field(given: MultiDict[str, str], name: str, old: Form) -> tuple[Sent, Message | None]:
    place = _place(given, name, old.fields)
    group, key = given.get(f"{name}-group", ""), given.get(f"{name}-key", "").strip()
    group = group if group in GROUPS else "deal"
    fault = None if key else NO_KEY
    if f"{name}-block" in given:
        block = _lines(given[f"{name}-block"]).rstrip()
        return Sent(group, key, kind="", block=block, place=place), fault or (None if block else NO_SOURCE)
    choice, source = given.get(f"{name}-choice", ""), _lines(given.get(f"{name}-source", "")).strip()
    kind = choice.removeprefix(OWN) if choice in SOURCE_WORDS else "from"
    before = old.fields[place] if place is not None else None
    if choice not in SOURCE_WORDS:
        source = choice
    elif before is not None and before.kind == kind and source == before.source.strip():
        source = before.source
    default = given.get(f"{name}-default", "").strip()
    if before is not None and default == before.default.strip():
        default = before.default
    one = Sent(group, key, kind, source, default, place=place)
    return one, fault or (None if source else NO_SOURCE)


Place = tuple[int, ...]
"""The place of a row, after those of the groups that it is in."""


def _fresh(events: Iterable[str]) -> Row:
    """Return a condition that a person is about to write, on the amount where there is one."""
    path = next((f"{one}.value" for one in objects_of(events) if f"{one}.value" in named_paths(one)), "event")
    return Row(path, "at_least" if is_money(path) else "equals", ("",))


def _changed(rows: tuple[Row, ...], at: Place, change: Callable[[Row], Row | None]) -> tuple[Row, ...]:
    """Return rows with another one at a place, or with none; a group goes with its last row."""
    first, *rest = at
    if first >= len(rows):
        return rows
    row: Row | None = rows[first]
    if not rest:
        row = change(rows[first])
    elif rows[first].group:
        inner = _changed(rows[first].rows, tuple(rest), change)
        row = replace(rows[first], rows=inner) if inner else None
    return (*rows[:first], *((row,) if row else ()), *rows[first + 1 :])


def row_at(form: Form, at: Place) -> Row | None:
    """Return the row at a place; of no place, all conditions as one group."""
    row = Row(group=form.together, rows=form.rows)
    for one in at:
        if one >= len(row.rows):
            return None
        row = row.rows[one]
    return row


def with_row(form: Form, events: Iterable[str], at: Place = ()) -> tuple[Form, str]:
    """Return the form with one more condition, in the group at that place where there is one, and the row's id."""
    fresh, group = _fresh(events), row_at(form, at)
    if not at or group is None or not group.group:
        return replace(form, rows=(*form.rows, fresh)), row_id((len(form.rows),))
    rows = _changed(form.rows, at, lambda row: replace(row, rows=(*row.rows, fresh)))
    return replace(form, rows=rows), row_id((*at, len(group.rows)))


def with_group(form: Form, events: Iterable[str]) -> tuple[Form, str]:
    """Return the form with a group of two conditions more, and the id of its first row."""
    fresh = _fresh(events)
    kind = "all" if form.together == "any" and form.rows else "any"
    return replace(form, rows=(*form.rows, Row(group=kind, rows=(fresh, fresh)))), row_id((len(form.rows), 0))


def with_other(form: Form, events: Iterable[str], at: Place, kind: str) -> tuple[Form, str] | None:
    """Return the form where a condition and another one are a group of that kind, and the id of the other one."""
    row, fresh = row_at(form, at), _fresh(events)
    if not 0 < len(at) <= DEPTH or row is None or row.group:
        return None
    if len(at) == len(form.rows) == 1:
        return replace(form, together=kind, rows=(*form.rows, fresh)), row_id((1,))
    rows = _changed(form.rows, at, lambda one: Row(group=kind, rows=(replace(one, place=0), fresh), place=one.place))
    return replace(form, rows=rows), row_id((*at, 1))


def without_row(form: Form, at: Place) -> tuple[Form, str]:
    """Return the form without a row, and the id of the button that adds one where it was."""
    left = replace(form, rows=_changed(form.rows, at, lambda row: None))
    group = row_at(form, at[:-1])
    is_left = len(at) > 1 and group is not None and len(group.rows) > 1
    return left, f"add-{row_id(at[:-1])}" if is_left else "add-row"


def with_field(form: Form, offer: Offer | None) -> Form:
    """Return the form with one more field: of the menu, or one that a person describes."""
    fresh = Sent("deal", "", kind="text")
    if offer is not None:
        source = offer.source
        kind = "from"
        for name in ("template", "text"):
            if source.startswith(f"{{{name}: "):
                kind, source = name, source.removeprefix(f"{{{name}: ").removesuffix("}").strip('"')
        fresh = Sent(offer.group, offer.key, kind, source)
    return replace(form, fields=(*form.fields, fresh))
