"""Bar charts of counts over time, as numbers that a template draws; and other sums of the pages. Pure."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, NamedTuple

from bridge.journal.statistics import Sum

SERIES = ("delivered", "filtered", "stale", "discarded", "dead")
"""The verdicts from the bottom of a bar to its top."""
OF_CHARGES = ("delivered", "waiting", "stale", "filtered", "discarded", "unmapped", "older", "missing", "dead")
"""The same for the charges of a reconciliation: those of one colour lie together."""
MOST_BARS = 62


class Piece(NamedTuple):
    """The part of a bar that stands for one verdict."""

    verdict: str
    number: int
    y: float
    height: float


class Bar(NamedTuple):
    """The counts of an hour, a day or several."""

    start: Any  # epoch milliseconds, or yyyy-mm-dd
    x: float
    width: float
    pieces: list[Piece]
    counted: Mapping[str, int]


class Chart(NamedTuple):
    """Bars side by side in the chart's own units; the page stretches it. The highest bar stands for `most`."""

    bars: list[Bar]
    most: int
    totals: Counter[str]
    width: float
    height: float


def chart(
    counts: Mapping[Any, Mapping[str, int]], verdicts: Sequence[str] = SERIES, width: float = 600, height: float = 120
) -> Chart:
    """Return the chart of counts by verdict; bars leave out other verdicts."""
    most = max((sum(max(0, by.get(name, 0)) for name in verdicts) for by in counts.values()), default=0)
    room = width / max(1, len(counts))
    wide = min(room * 0.75, 40.0)
    bars, totals = [], Counter[str]()
    for index, (start, by) in enumerate(counts.items()):
        pieces, base = [], height
        for name in verdicts:
            if (number := by.get(name, 0)) > 0:
                # At least a line: one dead delivery among a million must be visible.
                high = max(1.5, number / most * height)
                base -= high
                pieces.append(Piece(name, number, round(max(0.0, base), 2), round(high, 2)))
        bars.append(Bar(start, index * room + (room - wide) / 2, wide, pieces, by))
        totals.update(by)
    return Chart(bars, most, totals, width, height)


def by_start(starts: Iterable[int], sums: Iterable[Sum]) -> dict[int, dict[str, int]]:
    """Return the sums by verdict for each of these starts."""
    counts: dict[int, dict[str, int]] = {start: {} for start in starts}
    for one in sums:
        if one.start_ms in counts:
            counts[one.start_ms][one.key[0]] = one.number
    return counts


def reconciled(days: Iterable[Mapping[str, Any]]) -> Chart:
    """Return the chart of a reconciliation: a bar for each day, or for each run of days where there are many."""
    counts: dict[str, Counter[str]] = {}
    for row in days:
        if row["day"]:
            counts.setdefault(row["day"], Counter()).update({name: row[name] for name in OF_CHARGES if row[name]})
    names = sorted(counts)
    each = max(1, -(-len(names) // MOST_BARS))
    grouped = {
        names[first]: sum((counts[name] for name in names[first : first + each]), Counter[str]())
        for first in range(0, len(names), each)
    }
    return chart(grouped, OF_CHARGES, width=720, height=142)


def quantile(share: float, buckets: Sequence[tuple[float, float]]) -> float | None:
    """Return a quantile of a histogram, as exact as its buckets (upper bound, number); None where it is empty.

    >>> quantile(0.5, [(1.0, 10), (2.0, 10)])
    1.0
    """
    total = sum(number for _, number in buckets)
    if not total:
        return None
    wanted, below, lower = share * total, 0.0, 0.0
    for bound, number in buckets:
        if number and below + number >= wanted:
            return lower if bound == float("inf") else lower + (bound - lower) * (wanted - below) / number
        below += number
        lower = bound
    return lower


def by(sums: Iterable[Sum], column: int) -> dict[str, Counter[str]]:
    """Return the sums over all hours or days, by one column of their keys and by verdict."""
    found: dict[str, Counter[str]] = {}
    for one in sums:
        found.setdefault(one.key[column], Counter())[one.key[-1]] += one.number
    return found
