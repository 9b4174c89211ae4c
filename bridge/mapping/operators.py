"""The operators of a filter's conditions, as one table: words, what they compare with, and the comparison itself.

The operand is the text that was typed; what it means depends on the operator and on the value met, so `equals: 50`
holds for 50, 50.0 and "50". Amounts are compared as decimals, never as floats. A missing value makes every operator
say no, except the three that ask for an absence.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import date
from enum import StrEnum
from types import MappingProxyType
from typing import Any

from bridge.mapping import values
from bridge.mapping.values import BadValue, as_decimal, as_text, is_missing, kind_of

MATCH_TIMEOUT_S = 0.25
"""Ours: a pattern such as (a+)+$ can take hours on a long text; a lane must not wait for it."""


class Operand(StrEnum):
    """What stands behind an operator in the file."""

    TEXT = "text"
    TEXTS = "texts"
    NUMBER = "number"
    DATE = "date"
    PATTERN = "pattern"
    BOOLEAN = "boolean"


@dataclass(frozen=True, slots=True)
class Operator:
    """One operator of the language."""

    name: str
    operand: Operand
    words: str
    """How a reason says it: `payment.value is 10, must be <words> 50`."""
    holds: Callable[[Any, tuple[str, ...], date], bool]
    help: str
    example: str


def equal(value: Any, operand: str) -> bool:
    """Say whether a value is what was typed, comparing numbers as numbers."""
    if isinstance(value, (int, float)) and not isinstance(value, bool):
        try:
            return as_decimal(value) == as_decimal(operand)
        except BadValue:
            return False
    return not isinstance(value, (list, dict)) and value is not None and as_text(value) == operand


def _contains(value: Any, operand: str) -> bool:
    if isinstance(value, list):
        return any(equal(element, operand) for element in value)
    return operand in _text(value)


def _text(value: Any) -> str:
    try:
        return as_text(value)
    except BadValue:
        raise BadValue(f"takes a text, got {kind_of(value)}") from None


def _one(holds: Callable[[Any, str], bool]) -> Callable[[Any, tuple[str, ...], date], bool]:
    return lambda value, operands, today: not is_missing(value) and holds(value, operands[0])


def _any(holds: Callable[[Any, str], bool]) -> Callable[[Any, tuple[str, ...], date], bool]:
    return lambda value, operands, today: not is_missing(value) and any(holds(value, one) for one in operands)


def _none(holds: Callable[[Any, str], bool]) -> Callable[[Any, tuple[str, ...], date], bool]:
    return lambda value, operands, today: is_missing(value) or not any(holds(value, one) for one in operands)


def _number(holds: Callable[[Any, Any], bool]) -> Callable[[Any, tuple[str, ...], date], bool]:
    return _one(lambda value, operand: holds(as_decimal(value), as_decimal(operand)))


def _day(holds: Callable[[date, date], bool]) -> Callable[[Any, tuple[str, ...], date], bool]:
    def compare(value: Any, operands: tuple[str, ...], today: date) -> bool:
        if is_missing(value):
            return False
        operand = operands[0]
        if operand != "today" and values.has_time(operand) and values.has_time(str(value)):
            return holds(values.as_moment(value), values.as_moment(operand))
        return holds(values.as_day(value), today if operand == "today" else values.as_day(operand))

    return compare


def _matches(value: Any, operand: str) -> bool:
    import regex  # 1 MB, for those that have such a condition

    try:
        return regex.search(operand, _text(value), timeout=MATCH_TIMEOUT_S) is not None
    except TimeoutError:
        raise BadValue(f"gave up after {MATCH_TIMEOUT_S} s on {kind_of(value)}; make the pattern simpler") from None


def _exists(value: Any, operands: tuple[str, ...], today: date) -> bool:
    there = not is_missing(value) and value not in ([], {})
    return there is (operands[0] == "true")


OPERATORS: Mapping[str, Operator] = MappingProxyType(
    {
        operator.name: operator
        for operator in (
            Operator("equals", Operand.TEXT, "equal to", _one(equal), "O valor é este.", "equals: PIX"),
            Operator(
                "not_equals", Operand.TEXT, "other than", _none(equal), "O valor é outro, ou não há.", "not_equals: PIX"
            ),
            Operator("one_of", Operand.TEXTS, "one of", _any(equal), "O valor é um destes.", "one_of: [PIX, BOLETO]"),
            Operator(
                "not_one_of",
                Operand.TEXTS,
                "none of",
                _none(equal),
                "O valor não é nenhum destes, ou não há.",
                "not_one_of: [PIX, BOLETO]",
            ),
            Operator(
                "contains",
                Operand.TEXT,
                "containing",
                _one(_contains),
                "O texto contém este pedaço, ou a lista este valor; maiúsculas contam.",
                "contains: loja",
            ),
            Operator(
                "not_contains",
                Operand.TEXT,
                "without",
                _none(_contains),
                "O texto não contém este pedaço, ou não há texto.",
                "not_contains: teste",
            ),
            Operator(
                "starts_with",
                Operand.TEXT,
                "beginning with",
                _one(lambda value, operand: _text(value).startswith(operand)),
                "O texto começa assim.",
                'starts_with: "loja-"',
            ),
            Operator(
                "ends_with",
                Operand.TEXT,
                "ending with",
                _one(lambda value, operand: _text(value).endswith(operand)),
                "O texto termina assim.",
                'ends_with: "-2026"',
            ),
            Operator(
                "matches",
                Operand.PATTERN,
                "matching",
                _one(_matches),
                "O texto tem um trecho que segue a expressão regular; use ^ e $ para o texto todo.",
                'matches: "^loja-[0-9]+$"',
            ),
            Operator(
                "greater_than",
                Operand.NUMBER,
                "greater than",
                _number(lambda value, operand: value > operand),
                "O número é maior que este.",
                "greater_than: 50",
            ),
            Operator(
                "at_least",
                Operand.NUMBER,
                "at least",
                _number(lambda value, operand: value >= operand),
                "O número é este ou maior.",
                "at_least: 50",
            ),
            Operator(
                "less_than",
                Operand.NUMBER,
                "less than",
                _number(lambda value, operand: value < operand),
                "O número é menor que este.",
                "less_than: 1000",
            ),
            Operator(
                "at_most",
                Operand.NUMBER,
                "at most",
                _number(lambda value, operand: value <= operand),
                "O número é este ou menor.",
                "at_most: 1000",
            ),
            Operator(
                "before",
                Operand.DATE,
                "before",
                _day(lambda value, operand: value < operand),
                "A data vem antes desta; today é o dia de hoje em Brasília.",
                "before: today",
            ),
            Operator(
                "after",
                Operand.DATE,
                "after",
                _day(lambda value, operand: value > operand),
                "A data vem depois desta; today é o dia de hoje em Brasília.",
                "after: 31/12/2025",
            ),
            Operator(
                "exists",
                Operand.BOOLEAN,
                "present",
                _exists,
                "Há um valor (true) ou não há (false); um texto vazio não conta como valor.",
                "exists: true",
            ),
        )
    }
)


MAX_WEIGHT = 10_000
"""Ours: items of a pattern with every count spelled out; compiled within some hundredths of a second."""

_PART = re.compile(
    r"""(?P<escape>\\.)
      | (?P<set>\[\^?\]?(?:\\.|\[:\w+:\]|[^\]\\])*\])
      | (?P<recursion>\(\?(?:R|\d+|&|P>)[^)]*\))
      | (?P<comment>\(\?\#[^)]*\))
      | (?P<notation>\(\?[A-Za-z0-9-]*[xV])
      | (?P<open>\()
      | (?P<close>\))
      | \{(?P<count>\d*,?\d*)\}
      | (?P<fuzzy>\{[^{}]*[<=eids][^{}]*\})
      | (?P<one>.)""",
    re.VERBOSE | re.DOTALL,
)


def problem(pattern: str) -> str | None:
    """Return why a pattern may not be compiled, or None.

    >>> problem("^[0-9]{14}$"), problem("((a{100}){100}){100}")
    (None, 'has counts that make it too large')
    """
    totals, last = [0], 0  # of each group that is open, and what a count behind here would repeat
    for part in _PART.finditer(pattern):
        kind = part.lastgroup
        if kind == "recursion":
            return "must not call itself"
        if kind == "notation":
            return "must not change how it is written (?x, ?V1)"
        if kind == "fuzzy":
            return "must not match approximately; write \\{ for a brace"
        if kind == "open":
            totals.append(0)
            last = 0
        elif kind == "close":
            last = totals.pop() if len(totals) > 1 else 0
            totals[-1] += last
        elif kind == "count":
            times = max((int(number[:9]) for number in part["count"].split(",") if number), default=1)
            totals[-1] += last * (times - 1)
            last *= times
        elif kind != "comment":
            last = 1
            totals[-1] += 1
        if totals[-1] > MAX_WEIGHT or last > MAX_WEIGHT:
            return "has counts that make it too large"
    return None
