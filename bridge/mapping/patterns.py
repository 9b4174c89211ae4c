"""Judges a regular expression before it is compiled, since the compiler has no limit of its own.

Counts are spelled out when a pattern is compiled: `((a{1000}){1000}){1000}` takes all memory there is. Recursion and
fuzzy matching, which only the regex module has, take it when the pattern is used. Neither is what a filter needs.
"""

from __future__ import annotations

import re

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
