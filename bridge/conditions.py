"""A mapping's conditions as people say them: the reason of a filtered event, a condition, and the value that it saw.

Fields go by what people call them, values as the reader's country writes them. The journal and `--json` keep codes,
paths and values as they are.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from typing import Any, NamedTuple

from bridge.mapping.catalogue import EVENTS, event_label, label_of, named_paths, path_label
from bridge.mapping.evaluate import REASONS
from bridge.mapping.lint import kind_of_path, values_of_path
from bridge.mapping.operators import OPERATORS, Operand
from bridge.mapping.values import as_decimal, as_text, or_none
from bridge.messages import N_, Message, _, current_language

OPERATOR_WORDS = {
    "equals": N_("is equal to"),
    "not_equals": N_("is different from"),
    "one_of": N_("is one of"),
    "not_one_of": N_("is none of"),
    "contains": N_("contains"),
    "not_contains": N_("does not contain"),
    "starts_with": N_("begins with"),
    "ends_with": N_("ends with"),
    "matches": N_("matches the pattern"),
    "greater_than": N_("is greater than"),
    "at_least": N_("is at least"),
    "less_than": N_("is less than"),
    "at_most": N_("is at most"),
    "before": N_("is before the day"),
    "after": N_("is after the day"),
    "exists": N_("is filled in"),
    "absent": N_("is empty"),
}
"""What a row of the form may ask; `absent` is `exists: false`."""
_BEFORE_VALUES = OPERATOR_WORDS | {
    "one_of": N_("is one of:"),
    "not_one_of": N_("is none of:"),
    "before": N_("is before"),
    "after": N_("is after"),
}
_GROUPS = {
    "all": N_("All of these conditions hold:"),
    "any": N_("At least one of these conditions holds:"),
    "not": N_("This must not be so:"),
}
"""The heading of the conditions inside of it."""
_NOT_GROUPS = {
    "all": N_("all conditions hold, and that must not be so"),
    "any": N_("at least one condition holds, and that must not be so"),
    "not": N_("the condition under “not” does not hold, but must"),
}
_CODES = {sentence: code for code, sentence in REASONS.items()}
_COMPARISON = re.compile(rf"(.+?) ({'|'.join(OPERATORS)}) (.*)", re.DOTALL)
_AS_TYPED = frozenset({"contains", "not_contains", "starts_with", "ends_with", "matches"})
"""Operators whose operand is a part of a text."""
_MONEY = ("value", "Value", "plan_total", "refunded_total", "net_of_splits", "fee")


class ConditionWords(NamedTuple):
    words: str
    path: str
    """What it asks about, as the file has it; empty where the words say it or it asks about nothing of its own."""


def is_money(path: str) -> bool:
    return path.rpartition(".")[2].endswith(_MONEY)


def in_words(message: Message) -> str:
    """Return a message in the current language; the reason of a filtered event, alone or inside another, in words.

    >>> in_words(Message(REASONS["filter.exists"], {"field": "payment.dueDate"}))
    'Due date has no value, but must have one'
    """
    told = {name: in_words(fact) if isinstance(fact, Message) else fact for name, fact in message.facts.items()}
    label = _label(str(told.get("field", "")))
    match _CODES.get(message.id):
        case "filter.compare":
            return _compared(message.facts, label, str(told.get("must", "")))
        case "filter.exists":
            return _("{label} has no value, but must have one", label=label)
        case "filter.absent":
            return _("{label} has a value, but must have none", label=label)
        case "filter.expression" if _is_named(path := str(told.get("expression"))):
            return _("{label} is empty or “no”, but must be filled in", label=_label(path))
        case "filter.any" if told.get("count") == 1:
            return str(told.get("last", ""))
        case "filter.any":
            return _("none of {count} conditions holds, and at least one must; the last: {last}", **told)
        case "filter.not":
            text = str(told.get("condition", ""))
            if text in _NOT_GROUPS:
                return _(_NOT_GROUPS[text])
            return _("{condition}, and that must not be so", condition=condition_in_words(text).words)
    return _(message.id, **told)


def condition_in_words(text: str) -> ConditionWords:
    """Return a condition, given as its mapping's text says it.

    >>> condition_in_words("payment.billingType one_of PIX, BOLETO")
    ConditionWords(words='Billing type is one of: PIX, BOLETO', path='payment.billingType')
    """
    if text in _GROUPS:
        return ConditionWords(_(_GROUPS[text]), "")
    if text == "installments: first":
        return ConditionWords(_("only the first instalment"), "payment.installmentNumber")
    found = _COMPARISON.fullmatch(text)
    if not found:
        words = _("{label} is filled in and not “no”", label=_label(text)) if _is_named(text) else text
        return ConditionWords(words, text if _is_named(text) else "")
    path, operator, operand = found.groups()
    label = _label(path)
    if operator == "exists":
        words = _("{label} has a value", label=label) if operand == "true" else _("{label} has no value", label=label)
    else:
        words = f"{label} {_(_BEFORE_VALUES[operator])} {_operands(path, operator, operand)}"
    return ConditionWords(words, path if label != path else "")


def value_in_words(path: str, value: Any) -> str:
    """Return the value of a path as the reader's country writes it; of no known path, the text of a value."""
    from bridge.formats import Formats  # Babel: few commands need it

    text = or_none(as_text, value)
    if text is None:
        return json.dumps(value, ensure_ascii=False)
    steps = tuple(path.split("."))
    is_path = path.replace(".", "").isidentifier()
    kind = kind_of_path(steps) if is_path else None
    if isinstance(value, bool) or (kind == "boolean" and text in {"true", "false"}):
        return _("yes") if text == "true" else _("no")
    number = or_none(as_decimal, text)
    if number is not None and int(number.normalize().as_tuple().exponent) < -2:
        return text  # rounded, 99.999 would be the 100 that it is less than
    if is_path and number is not None and is_money(path):
        return Formats(0).money(number)
    if number is not None and (kind == "number" or (is_path and isinstance(value, (int, float)))):
        return Formats(0).number(number)
    if kind == "date" and text == "today":
        return _("today")
    if kind == "date":
        return Formats(0).written(text)
    if is_path and text in values_of_path(steps):
        named = label_of(text) if current_language() == "pt" else None
        return named or (event_label(text) if text in EVENTS else text)
    return text


def _compared(facts: Mapping[str, Any], label: str, must: str) -> str:
    path, operator, value = str(facts.get("field", "")), str(facts.get("operator", "")), facts.get("value")
    told = {"label": label, "must": must, "operand": _operands(path, operator, str(facts.get("operand", "")))}
    if isinstance(value, Message) and value.id == "empty":
        return _("{label} has no value, but {must} {operand}", **told)
    shown = value.text() if isinstance(value, Message) else value_in_words(path, value)
    return _("{label} is {value}, but {must} {operand}", value=shown, **told)


def _operands(path: str, operator: str, operand: str) -> str:
    if operator in _AS_TYPED:
        return operand
    kind = OPERATORS[operator].operand if operator in OPERATORS else None
    many = operand.split(", ") if kind is Operand.TEXTS else [operand]
    return ", ".join(value_in_words(path, one) for one in many)


def _is_named(path: str) -> bool:
    return path in named_paths(path.partition(".")[0])


def _label(path: str) -> str:
    return path_label(path) if _is_named(path) else path
