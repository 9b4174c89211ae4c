"""Dates, numbers and money in both languages, always in Brasília's time."""

from __future__ import annotations

import pytest

from bridge.formats import Formats
from bridge.messages import in_language

NOW_MS = 1_795_000_000_000  # 18 November 2026, 08:06:40 in Brasília
with in_language("pt"):
    PT = Formats(NOW_MS)
EN = Formats(NOW_MS)
HOUR = 3_600_000


def test_moments_are_brasilias() -> None:
    """A list has room for the time of today, or for the day."""
    assert PT.moment(NOW_MS) == "18 de nov. de 2026, 08:06:40"
    assert EN.moment(NOW_MS) == "Nov 18, 2026, 08:06:40"
    assert PT.short(NOW_MS - HOUR) == "07:06:40"
    assert PT.short(NOW_MS - 24 * HOUR) == "17 nov., 08:06"
    assert EN.short(NOW_MS - 24 * HOUR) == "Nov 17, 08:06"
    assert EN.short(NOW_MS - 400 * 24 * HOUR) == "Oct 14 2025, 08:06"
    assert EN.clock(NOW_MS + 7) == "08:06:40.007"
    assert EN.iso(NOW_MS) == "2026-11-18T08:06:40.000-03:00"
    assert (PT.day(NOW_MS), EN.day(NOW_MS)) == ("18 de nov. de 2026", "Nov 18, 2026")


def test_ages_say_whether_they_are_past() -> None:
    """What is due lies ahead."""
    assert PT.ago(NOW_MS - 2 * HOUR) == "há 2 horas"
    assert EN.ago(NOW_MS - 2 * HOUR) == "2 hours ago"
    assert EN.ago(NOW_MS + 30_000) == "in 30 seconds"


def test_a_moment_just_now_is_no_zero() -> None:
    """Neither past nor to come, nor as a duration."""
    assert (PT.ago(NOW_MS), EN.ago(NOW_MS - 400)) == ("há menos de 1 segundo", "less than 1 second ago")
    assert (PT.ago(NOW_MS + 400), EN.ago(NOW_MS + 400)) == ("em menos de 1 segundo", "in less than 1 second")
    assert (PT.until(NOW_MS), EN.until(NOW_MS - 9_000), EN.until(NOW_MS + 30_000)) == ("agora", "now", "in 30 seconds")
    assert EN.ago(NOW_MS - 600) == "1 second ago"


def test_what_asaas_wrote_is_read_as_brasilias() -> None:
    """A moment, a day, and what is neither."""
    assert PT.written("2026-11-29 10:00:00") == "29 de nov. de 2026, 10:00:00"
    assert EN.written("2026-11-29 10:00:00") == "Nov 29, 2026, 10:00:00"
    assert EN.written("2026-11-29T13:00:00Z") == "Nov 29, 2026, 10:00:00"
    assert PT.written("2026-11-29") == "29 de nov. de 2026"
    assert PT.written("10:00") == "10:00"


@pytest.mark.parametrize(
    ("seconds", "pt", "en"),
    [
        (0, "menos de 1 ms", "less than 1 ms"),
        (0.042, "42\xa0ms", "42\xa0ms"),
        (2.34, "2,3\xa0s", "2.3\xa0s"),
        (600, "10\xa0min", "10\xa0min"),
    ],
)
def test_durations_have_the_unit_that_fits(seconds: float, pt: str, en: str) -> None:
    """Milliseconds, seconds or more."""
    assert (PT.lasting(seconds), EN.lasting(seconds)) == (pt, en)


def test_numbers_and_money_have_the_languages_separators() -> None:
    """What is no number is shown as it came."""
    assert (PT.number(1234567), EN.number(1234567)) == ("1.234.567", "1,234,567")
    assert (PT.percent(0.9876), EN.percent(0.9876)) == ("98,8%", "98.8%")
    assert (PT.percent(0.99999), PT.percent(1)) == ("99,9%", "100%")
    assert PT.money(1234.5) == "R$\xa01.234,50"
    assert EN.money("99.9") == "R$99.90"
    assert (PT.amount("1100.5"), EN.amount(1100.5), PT.amount("x")) == ("1.100,50", "1,100.50", "x")
    assert PT.money("sem valor") == "sem valor"
