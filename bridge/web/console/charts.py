"""Pictures of counts over time: where each bar stands, as numbers that a template draws; pure."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass

from bridge.journal.rollups import Sum

WIDTH, HEIGHT = 600.0, 120.0
"""Of a picture in its own units; it is stretched to the room that it gets."""
GAP = 0.25
"""The share of a bar's room that stays empty."""

SERIES = ("delivered", "filtered", "stale", "discarded", "dead")
"""From the bottom of a bar to its top: what needs a person stands out above the rest."""


@dataclass(frozen=True, slots=True)
class Piece:
    """One part of a bar."""

    verdict: str
    number: int
    y: float
    height: float


@dataclass(frozen=True, slots=True)
class Bar:
    """What ended within an hour or a day."""

    start_ms: int
    x: float
    width: float
    pieces: tuple[Piece, ...]
    total: int
    received: int


@dataclass(frozen=True, slots=True)
class Chart:
    """Bars side by side."""

    bars: tuple[Bar, ...]
    most: int
    """What the highest bar stands for."""
    totals: dict[str, int]

    @property
    def width(self) -> float:
        """The picture's width in its own units."""
        return WIDTH

    @property
    def height(self) -> float:
        """The picture's height in its own units."""
        return HEIGHT


def stacked(starts: Sequence[int], sums: Iterable[Sum]) -> Chart:
    """Return the chart of sums by verdict, one bar for each start; what began elsewhere is left out."""
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
            # At least a line: one that was not delivered among a million must be seen.
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


def starts(first_ms: int, every_ms: int, number: int) -> list[int]:
    """Return the beginnings of so many hours or days."""
    return [first_ms + index * every_ms for index in range(number)]


def by(sums: Iterable[Sum], key: Callable[[Sum], tuple[str, str]]) -> dict[str, dict[str, int]]:
    """Return the sums over the whole time by a name and a verdict."""
    found: dict[str, dict[str, int]] = {}
    for one in sums:
        name, verdict = key(one)
        within = found.setdefault(name, {})
        within[verdict] = within.get(verdict, 0) + one.number
    return found
