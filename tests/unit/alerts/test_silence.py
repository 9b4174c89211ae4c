"""Whether a silence is unusual, by the account's own hours of the week."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime, timedelta

import pytest

from bridge.alerts.plan import HOUR_MS, unusual

MONDAY = datetime(2026, 11, 23, 0, 0, tzinfo=UTC)
"""A Monday, as the tests count the hours."""


def hour(moment: datetime) -> int:
    """Return the number of an hour."""
    return int(moment.timestamp() * 1000) // HOUR_MS


def history(busy: Callable[[datetime], bool], until: datetime, weeks: int = 6) -> list[int]:
    """Return the hours before that moment in which events came, by the account's habits."""
    hours = (until - timedelta(hours=n) for n in range(weeks * 7 * 24, 0, -1))
    return [hour(moment) for moment in hours if busy(moment)]


def office(moment: datetime) -> bool:
    """Return whether it is an office hour."""
    return moment.weekday() < 5 and 9 <= moment.hour < 18


def always(_moment: datetime) -> bool:
    """Return that there is always something."""
    return True


def weekly(moment: datetime) -> bool:
    """Return whether it is the one hour of the week."""
    return moment.weekday() == 0 and moment.hour == 10


@pytest.mark.parametrize(
    ("busy", "last", "now", "expected"),
    [
        # Around the clock: four hours without anything are unusual.
        (always, "Wed 12", "Wed 14", None),
        (always, "Wed 12", "Wed 15", 4),
        # Office hours: evenings, nights and weekends are silent anyway.
        (office, "Wed 18", "Thu 09", None),
        (office, "Fri 18", "Sun 23", None),
        (office, "Fri 18", "Mon 11", None),
        # A Monday on which nothing comes is noticed at noon, after four office hours.
        (office, "Fri 18", "Mon 12", 67),
        # A Friday afternoon on which nothing comes, seen on Saturday.
        (office, "Fri 15", "Sat 12", None),
        (office, "Fri 14", "Sat 12", 23),
        # Once a week is often enough for whoever is used to it.
        (weekly, "Mon 11", "Sun 20", None),
    ],
)
def test_silence_is_held_against_the_same_hours(
    busy: Callable[[datetime], bool], last: str, now: str, expected: int | None
) -> None:
    """The stretch of the week is compared with the same one of the four weeks before."""
    days = ("Mon", "Tue", "Wed", "Thu", "Fri", "Sat", "Sun")

    def at(text: str) -> datetime:
        day, of_day = text.split()
        return MONDAY + timedelta(days=days.index(day), hours=int(of_day))

    ended, moment = at(last), at(now)
    if moment < ended:
        moment += timedelta(days=7)
    hours = history(busy, ended)

    assert unusual(hours, int(moment.timestamp() * 1000)) == expected


def test_a_new_account_has_no_habits() -> None:
    """With less than two weeks of history nothing is unusual, and with none at all neither."""
    now = MONDAY + timedelta(days=2)
    fresh = history(always, now - timedelta(hours=40), weeks=1)

    assert unusual(fresh, int(now.timestamp() * 1000)) is None
    assert unusual([], int(now.timestamp() * 1000)) is None


@pytest.mark.parametrize(("odd_weeks", "noticed"), [(0, True), (1, True), (2, False)])
def test_one_odd_week_is_forgiven(odd_weeks: int, noticed: bool) -> None:
    """A holiday among the four weeks does not hide what is usual; two of them make it usual."""
    now = MONDAY + timedelta(days=2, hours=20)
    odd = [hour(now - timedelta(days=7 * week)) for week in range(1, odd_weeks + 1)]
    hours = [one for one in history(always, now - timedelta(hours=8)) if not any(at - 12 <= one <= at for at in odd)]

    assert (unusual(hours, int(now.timestamp() * 1000)) is not None) is noticed


@pytest.mark.parametrize(("days", "noticed"), [(13, False), (16, True)])
def test_what_comes_rarely_is_held_against_the_longest_silence(days: int, noticed: bool) -> None:
    """An event every week, at any hour: twice the longest distance is unusual."""
    weeks = [MONDAY + timedelta(days=7 * week, hours=week * 5) for week in range(-9, 0)]
    now = weeks[-1] + timedelta(days=days)

    assert (unusual([hour(moment) for moment in weeks], int(now.timestamp() * 1000)) is not None) is noticed


def test_a_few_events_are_no_habit() -> None:
    """Of an account of which little is known nothing is unusual."""
    weeks = [MONDAY + timedelta(days=7 * week) for week in range(-5, 0)]
    now = weeks[-1] + timedelta(days=60)

    assert unusual([hour(moment) for moment in weeks], int(now.timestamp() * 1000)) is None


def test_an_event_of_this_hour_ends_the_silence() -> None:
    """Also where a clock that was set back makes it lie ahead."""
    hours = history(always, MONDAY)

    assert unusual([*hours, hour(MONDAY)], int(MONDAY.timestamp() * 1000)) is None
    assert unusual([*hours, hour(MONDAY) + 3], int(MONDAY.timestamp() * 1000)) is None
