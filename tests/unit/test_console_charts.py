"""The pictures of counts over time: what a bar stands for, and what a quantile says."""

from __future__ import annotations

import pytest

from bridge.journal.statistics import Sum
from bridge.web.console import charts


def test_a_bar_stands_on_the_bottom_and_its_parts_on_each_other() -> None:
    """The highest bar fills the picture; what came from elsewhere is left out."""
    sums = [Sum(0, ("delivered",), 6, 0), Sum(0, ("dead",), 2, 0), Sum(0, ("received",), 9, 0)]
    counts = charts.by_start([0, 10], [*sums, Sum(10, ("filtered",), 4, 0), Sum(99, ("dead",), 50, 0)])
    picture = charts.chart(counts, width=100.0, height=40.0)
    first, second = picture.bars

    assert (picture.most, first.counted["received"], second.counted) == (8, 9, {"filtered": 4})
    assert [(piece.verdict, piece.number) for piece in first.pieces] == [("delivered", 6), ("dead", 2)]
    assert [(piece.y, piece.height) for piece in first.pieces] == [(10.0, 30.0), (0.0, 10.0)]
    assert 0 < first.x < first.x + first.width < second.x
    assert second.x + second.width < picture.width
    assert picture.totals == {"delivered": 6, "filtered": 4, "dead": 2, "received": 9}


def test_one_among_a_million_is_seen() -> None:
    """A part is never thinner than a line."""
    (bar,) = charts.chart({0: {"delivered": 1_000_000, "dead": 1}}).bars

    assert bar.pieces[1].height == 1.5
    assert bar.pieces[1].y >= 0


def test_nothing_makes_an_empty_picture() -> None:
    """No bar has a part, and nothing is divided by nought."""
    picture = charts.chart(charts.by_start(range(0, 30, 10), []))

    assert [bar.start for bar in picture.bars] == [0, 10, 20]
    assert (picture.most, [bar.pieces for bar in picture.bars]) == (0, [[], [], []])
    assert charts.chart(charts.by_start([], [])).bars == []


@pytest.mark.parametrize(
    ("share", "buckets", "expected"),
    [
        (0.5, [], None),
        (0.5, [(1.0, 0), (2.0, 0)], None),
        (0.5, [(1.0, 4)], 0.5),
        (0.95, [(1.0, 50), (2.0, 50)], 1.9),
        (0.95, [(1.0, 1), (float("inf"), 99)], 1.0),
        (1.0, [(1.0, 0.1), (2.0, 0.2)], 2.0),
    ],
)
def test_a_quantile_lies_within_its_bucket(
    share: float, buckets: list[tuple[float, float]], expected: float | None
) -> None:
    """In the bucket without an upper bound the lower one is all that is known."""
    assert charts.quantile(share, buckets) == (pytest.approx(expected) if expected is not None else None)


def test_sums_are_added_by_name_and_verdict() -> None:
    """Over the whole time."""
    sums = [Sum(0, ("paga", "dead"), 1, 0), Sum(10, ("paga", "dead"), 2, 0), Sum(0, ("x", "delivered"), 3, 0)]

    assert charts.by(sums, 0) == {"paga": {"dead": 3}, "x": {"delivered": 3}}
