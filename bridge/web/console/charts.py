"""Bar charts of counts over time: numbers that a template draws, and a finished SVG. Pure."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import date
from html import escape

from bridge.journal.statistics import Sum

WIDTH, HEIGHT = 600.0, 120.0
"""The size of a chart in its own units; the page stretches it."""
GAP = 0.25
"""The part of a bar's room that stays empty."""
SERIES = ("delivered", "filtered", "stale", "discarded", "dead")
"""The verdicts from the bottom of a bar to its top."""


@dataclass(frozen=True, slots=True)
class Piece:
    """The part of a bar that stands for one verdict."""

    verdict: str
    number: int
    y: float
    height: float


@dataclass(frozen=True, slots=True)
class Bar:
    """The counts of an hour or a day."""

    start_ms: int
    x: float
    width: float
    pieces: tuple[Piece, ...]
    total: int
    received: int


@dataclass(frozen=True, slots=True)
class Chart:
    """Bars side by side; the highest stands for `most`."""

    bars: tuple[Bar, ...]
    most: int
    totals: dict[str, int]
    width: float = WIDTH
    height: float = HEIGHT


def stacked(starts: Sequence[int], sums: Iterable[Sum]) -> Chart:
    """Return the chart of sums by verdict, one bar for each start; sums of other starts are left out."""
    numbers: dict[int, dict[str, int]] = {start: {} for start in starts}
    for one in sums:
        if one.start_ms in numbers:
            numbers[one.start_ms][one.key[0]] = one.number
    heights = {start: sum(max(0, by.get(name, 0)) for name in SERIES) for start, by in numbers.items()}
    most = max(heights.values(), default=0)
    room = WIDTH / max(1, len(starts))
    bars = tuple(
        Bar(
            start,
            index * room + room * GAP / 2,
            room * (1 - GAP),
            _pieces(numbers[start], most),
            heights[start],
            numbers[start].get("received", 0),
        )
        for index, start in enumerate(starts)
    )
    names = (*SERIES, "received")
    return Chart(bars, most, {name: sum(by.get(name, 0) for by in numbers.values()) for name in names})


def _pieces(by: dict[str, int], most: int) -> tuple[Piece, ...]:
    pieces, base = [], HEIGHT
    for name in SERIES:
        number = by.get(name, 0)
        if number > 0:
            # At least a line: one dead delivery among a million must be visible.
            height = max(1.5, number / most * HEIGHT)
            base -= height
            pieces.append(Piece(name, number, round(max(0.0, base), 2), round(height, 2)))
    return tuple(pieces)


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


def by(sums: Iterable[Sum], key: Callable[[Sum], tuple[str, str]]) -> dict[str, dict[str, int]]:
    """Return the sums of all hours or days by a name and a verdict."""
    found: dict[str, dict[str, int]] = {}
    for one in sums:
        name, verdict = key(one)
        counted = found.setdefault(name, {})
        counted[verdict] = counted.get(verdict, 0) + one.number
    return found


KINDS = {
    "delivered": "good",
    "waiting": "busy",
    "stale": "neutral",
    "filtered": "neutral",
    "discarded": "neutral",
    "unmapped": "neutral",
    "older": "warning",
    "missing": "bad",
    "dead": "bad",
}
"""The colour of each verdict."""
ORDER = ("good", "busy", "neutral", "warning", "bad")
"""The colours from the bottom of a bar to its top."""
MOST_BARS = 62
PICTURE_WIDTH, PICTURE_HEIGHT, FOOT = 720, 150, 20


def bars(days: Mapping[str, Mapping[str, int]]) -> str:
    """Return an SVG with a bar for each day, or for each run of days where there are many, divided by colour."""
    grouped = _grouped(days)
    if not grouped:
        return ""
    top = max(sum(counted.values()) for _, counted in grouped) or 1
    step = PICTURE_WIDTH / len(grouped)
    wide = min(step * 0.7, 40)
    drawn = []
    for place, (label, counted) in enumerate(grouped):
        left, foot = place * step + (step - wide) / 2, float(PICTURE_HEIGHT)
        said = ", ".join(f"{name} {number}" for name, number in counted.items())
        drawn.append(f"<g><title>{escape(label)}: {escape(said)}</title>")
        for kind in ORDER:
            number = sum(count for name, count in counted.items() if KINDS.get(name, "neutral") == kind)
            if number:
                high = max(number / top * (PICTURE_HEIGHT - 8), 2.0)
                foot -= high
                drawn.append(
                    f'<rect class="mark-{kind}" x="{left:.1f}" y="{foot:.1f}" width="{wide:.1f}" height="{high:.1f}"/>'
                )
        drawn.append("</g>")
    shown = {0, len(grouped) - 1} if len(grouped) > 10 else set(range(len(grouped)))
    for place in sorted(shown):
        at, anchor = place * step + step / 2, "middle"
        if len(grouped) > 10:
            at, anchor = (0.0, "start") if place == 0 else (float(PICTURE_WIDTH), "end")
        label = grouped[place][0]
        drawn.append(
            f'<text x="{at:.1f}" y="{PICTURE_HEIGHT + FOOT - 5}" text-anchor="{anchor}">{escape(label)}</text>'
        )
    drawn.append(f'<line x1="0" x2="{PICTURE_WIDTH}" y1="{PICTURE_HEIGHT}" y2="{PICTURE_HEIGHT}"/>')
    box = f"0 0 {PICTURE_WIDTH} {PICTURE_HEIGHT + FOOT}"
    return f'<svg class="bars" viewBox="{box}" role="presentation">{"".join(drawn)}</svg>'


def _grouped(days: Mapping[str, Mapping[str, int]]) -> list[tuple[str, Counter[str]]]:
    names = sorted(name for name in days if name)
    each = -(-len(names) // MOST_BARS) if names else 1
    grouped = []
    for start in range(0, len(names), each):
        counted: Counter[str] = Counter()
        for name in names[start : start + each]:
            counted.update(days[name])
        grouped.append((_short(names[start]), counted))
    return grouped


def _short(day: str) -> str:
    try:
        return f"{date.fromisoformat(day):%d/%m}"
    except ValueError:
        return day
