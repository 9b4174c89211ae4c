"""The operators of a filter's conditions, as one table.

The operand is the text of the file; its meaning depends on the operator and on the value, so `equals: 50` holds for
50, 50.0 and "50". Amounts are compared as decimals, never as floats. A missing value fulfils only the operators that
ask for an absence.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import date
from enum import StrEnum
from typing import Any

from bridge.mapping import values
from bridge.mapping.catalogue import read_data
from bridge.mapping.values import BadValue, as_decimal, as_text, is_missing, kind_of, or_none, text_of
from bridge.messages import N_

MATCH_TIMEOUT_S = 0.25
"""Ours: a pattern such as (a+)+$ can take hours on a long text, and its lane would wait."""

Test = Callable[[Any, tuple[str, ...], date], bool]
"""Takes the value, the operands and the day in Brasília."""


class Operand(StrEnum):
    TEXT = "text"
    TEXTS = "texts"
    NUMBER = "number"
    DATE = "date"
    PATTERN = "pattern"
    BOOLEAN = "boolean"


@dataclass(frozen=True, slots=True)
class Operator:
    name: str
    operand: Operand
    must: str
    """The middle of a reason, a message id: `payment.value is 10, <must> 50`."""
    holds: Test
    help: str
    """One Portuguese sentence for the operator's guide."""
    example: str


def equal(value: Any, operand: str) -> bool:
    """Say whether a value is what was typed, comparing numbers as numbers."""
    if isinstance(value, (int, float)) and not isinstance(value, bool):
        number = or_none(as_decimal, operand)
        return number is not None and number == or_none(as_decimal, value)
    return not isinstance(value, (list, dict)) and value is not None and as_text(value) == operand


def _contains(value: Any, operand: str) -> bool:
    if isinstance(value, list):
        return any(equal(element, operand) for element in value)
    return operand in text_of(value)


def _one(holds: Callable[[Any, str], bool]) -> Test:
    return lambda value, operands, today: not is_missing(value) and holds(value, operands[0])


def _any(holds: Callable[[Any, str], bool]) -> Test:
    return lambda value, operands, today: not is_missing(value) and any(holds(value, one) for one in operands)


def _none(holds: Callable[[Any, str], bool]) -> Test:
    return lambda value, operands, today: is_missing(value) or not any(holds(value, one) for one in operands)


def _number(holds: Callable[[Any, Any], bool]) -> Test:
    return _one(lambda value, operand: holds(as_decimal(value), as_decimal(operand)))


def _day(holds: Callable[[date, date], bool]) -> Test:
    def compare(value: Any, operands: tuple[str, ...], today: date) -> bool:
        if is_missing(value):
            return False
        operand = operands[0]
        if operand != "today" and values.has_time(operand) and values.has_time(str(value)):
            return holds(values.as_moment(value), values.as_moment(operand))
        return holds(values.as_day(value), today if operand == "today" else values.as_day(operand))

    return compare


def _matches(value: Any, operand: str) -> bool:
    import regex  # 1 MB, so only mappings with a pattern load it

    try:
        return regex.search(operand, text_of(value), timeout=MATCH_TIMEOUT_S) is not None
    except TimeoutError:
        what = N_("found no answer within {limit_s} s on {kind}; make the pattern simpler")
        raise BadValue(what, limit_s=MATCH_TIMEOUT_S, kind=kind_of(value)) from None


def _exists(value: Any, operands: tuple[str, ...], today: date) -> bool:
    there = not is_missing(value) and value not in ([], {})
    return there is (operands[0] == "true")


_TESTS: tuple[tuple[str, str, Test], ...] = (
    ("equals", N_("must be"), _one(equal)),
    ("not_equals", N_("must be other than"), _none(equal)),
    ("one_of", N_("must be one of"), _any(equal)),
    ("not_one_of", N_("must be none of"), _none(equal)),
    ("contains", N_("must contain"), _one(_contains)),
    ("not_contains", N_("must not contain"), _none(_contains)),
    ("starts_with", N_("must begin with"), _one(lambda value, operand: text_of(value).startswith(operand))),
    ("ends_with", N_("must end with"), _one(lambda value, operand: text_of(value).endswith(operand))),
    ("matches", N_("must match"), _one(_matches)),
    ("greater_than", N_("must be greater than"), _number(lambda value, operand: value > operand)),
    ("at_least", N_("must be at least"), _number(lambda value, operand: value >= operand)),
    ("less_than", N_("must be less than"), _number(lambda value, operand: value < operand)),
    ("at_most", N_("must be at most"), _number(lambda value, operand: value <= operand)),
    ("before", N_("must be before"), _day(lambda value, operand: value < operand)),
    ("after", N_("must be after"), _day(lambda value, operand: value > operand)),
    ("exists", "", _exists),
)
_DATA = read_data("language")["operators"]
OPERATORS: Mapping[str, Operator] = {
    name: Operator(name, Operand(about["operand"]), must, test, about["help"], f"{name}: {about['example']}")
    for name, must, test in _TESTS
    for about in (_DATA[name],)
}


MAX_WEIGHT = 10_000
"""Ours: items of a pattern with every count spelled out."""

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


def problem(pattern: str) -> str:
    """Return why a pattern may not be compiled, a message id; empty where it may.

    >>> problem("^[0-9]{14}$"), problem("((a{100}){100}){100}")
    ('', 'has counts that make it too large')
    """
    totals, last = [0], 0  # of each group that is open, and the weight of the part that a count would repeat
    for part in _PART.finditer(pattern):
        match part.lastgroup:
            case "recursion":
                return N_("calls itself")
            case "notation":
                return N_("changes how it is written (?x, ?V1)")
            case "fuzzy":
                return N_("matches approximately; write \\{ for a brace")
            case "open":
                totals.append(0)
                last = 0
            case "close":
                last = totals.pop() if len(totals) > 1 else 0
                totals[-1] += last
            case "count":
                times = max((int(number[:9]) for number in part["count"].split(",") if number), default=1)
                totals[-1] += last * (times - 1)
                last *= times
            case "comment":
                pass
            case _:
                last = 1
                totals[-1] += 1
        if totals[-1] > MAX_WEIGHT or last > MAX_WEIGHT:
            return N_("has counts that make it too large")
    return ""
