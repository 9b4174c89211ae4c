"""Whether an account has been silent for unusually long, by its own habits: pure.

Nights and weekends are silent anyway, and every account has its own. So the silence is laid over the same stretch of
each of the last four weeks: it is unusual where events came in several hours of that stretch week after week. What
comes so rarely that this says nothing is held against the longest silence of those weeks.
"""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise

HOUR_MS = 3_600_000
WEEK_H = 7 * 24
WEEKS = 4
KEPT_H = (2 * WEEKS + 1) * WEEK_H
"""The hours that `unusual` needs: a silence of four weeks, and the four weeks before it."""
MISSED_H = 4
"""In so many hours of the stretch events came, in each week but one: less may be chance."""
LEAST_WEEKS = 2
"""An account that is known for less has no habits yet."""
LEAST_HOURS = 8
TIMES, LEAST_LONG_H = 2, 24
"""How many times the longest silence is unusual, and how long at least; LEAST_HOURS must be known of the account."""


@dataclass(frozen=True, slots=True)
class Silence:
    """A silence that is unusually long."""

    hours: int
    missed: int
    """In how many hours of the same stretch events came, in an ordinary week."""

    def words(self) -> str:
        """Say it in words that stay the same for some hours, so that the notice does not change all the time."""
        return f"no event for more than {self.hours - self.hours % 4} hours, which was never so in the weeks before"


def unusual(active_hours: Sequence[int], now_ms: int) -> Silence | None:
    """Return the silence where it is unusually long, given the hours in which events came in, ascending.

    An hour is the number of whole hours since the epoch; those of the last KEPT_H hours are enough.
    """
    now_h = now_ms // HOUR_MS
    if not active_hours or active_hours[-1] >= now_h:
        return None
    first_h, last_h = active_hours[0], active_hours[-1]
    weeks = [
        _active(active_hours, last_h + 1 - week * WEEK_H, now_h - week * WEEK_H)
        for week in range(1, WEEKS + 1)
        if first_h <= last_h + 1 - week * WEEK_H
    ]
    if len(weeks) < LEAST_WEEKS:
        return None
    # One odd week, such as one with a holiday, must not hide what is usual in the others.
    missed = sorted(weeks)[1 if len(weeks) == WEEKS else 0]
    silence = Silence(now_h - last_h, missed)
    return silence if missed >= MISSED_H or silence.hours > _longest(active_hours) else None


def _active(active_hours: Sequence[int], first_h: int, last_h: int) -> int:
    return bisect_right(active_hours, last_h) - bisect_left(active_hours, first_h)


def _longest(active_hours: Sequence[int]) -> float:
    if len(active_hours) < LEAST_HOURS:
        return float("inf")
    return max(LEAST_LONG_H, TIMES * max(after - before for before, after in pairwise(active_hours)))
