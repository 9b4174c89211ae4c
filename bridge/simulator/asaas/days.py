"""Days and times as Asaas counts them: Brasilia time, months that are shorter than their due day, days of credit."""

from __future__ import annotations

import calendar
from datetime import date, datetime, timedelta, timezone

BRASILIA = timezone(timedelta(hours=-3), "BRT")
"""Brazil has had no summer time since 2019."""

CARD_CREDIT_DAYS = 32
MONTHS_OF_CYCLE = {"MONTHLY": 1, "BIMONTHLY": 2, "QUARTERLY": 3, "SEMIANNUALLY": 6, "YEARLY": 12}
DAYS_OF_CYCLE = {"WEEKLY": 7, "BIWEEKLY": 14}
CYCLES = frozenset(MONTHS_OF_CYCLE) | frozenset(DAYS_OF_CYCLE)


def brasilia_now() -> datetime:
    """Tell the time in Brasilia."""
    return datetime.now(BRASILIA)


def stamp(now: datetime) -> str:
    """Write a moment the way an envelope does: Brasilia time, no offset."""
    return now.astimezone(BRASILIA).strftime("%Y-%m-%d %H:%M:%S")


def add_months(day: date, months: int) -> date:
    """Move a due day by whole months; the 31st becomes the last day of a shorter month."""
    index = day.year * 12 + day.month - 1 + months
    year, month = divmod(index, 12)
    month += 1
    return date(year, month, min(day.day, calendar.monthrange(year, month)[1]))


def next_due(day: date, cycle: str) -> date:
    """Say when the next charge of a subscription is due."""
    if cycle in DAYS_OF_CYCLE:
        return day + timedelta(days=DAYS_OF_CYCLE[cycle])
    return add_months(day, MONTHS_OF_CYCLE[cycle])


def card_credit(day: date, instalment: int) -> date:
    """Say when the money of a card instalment arrives: 32 days each, moved to Monday from a weekend."""
    credit = day + timedelta(days=CARD_CREDIT_DAYS * instalment)
    return credit + timedelta(days=max(0, 7 - credit.weekday()) % 7) if credit.weekday() >= 5 else credit


def as_brazilian(day: str) -> str:
    """Write yyyy-mm-dd as dd/mm/yyyy, as the documented subscription events do.

    >>> as_brazilian("2024-10-16")
    '16/10/2024'
    """
    return "/".join(reversed(day.split("-")))
