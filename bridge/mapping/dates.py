"""Dates as Asaas writes them, in four forms, and as Brazilians read them.

The forms: 2026-11-22, 22/11/2026, `2026-11-22 10:30:00` (Brasília time, no offset) and ISO 8601 with `T`, with or
without an offset. A time with an offset is moved to Brasília, because 2026-11-22T01:00:00Z is still the 21st there.
"""

from __future__ import annotations

import re
from datetime import UTC, date, datetime
from typing import Any
from zoneinfo import ZoneInfo

from bridge.mapping.values import Unreadable, kind_of

BRASILIA = ZoneInfo("America/Sao_Paulo")

_DAY = re.compile(r"\d{4}-\d{2}-\d{2}")
_BRAZILIAN_DAY = re.compile(r"\d{2}/\d{2}/\d{4}")
_TIME = re.compile(r"\d{4}-\d{2}-\d{2}[ T]\d{2}:\d{2}(:\d{2}([.,]\d{1,9})?)?(Z|[+-]\d{2}(:?\d{2})?)?")
_NAMES = "pt_BR"
_DIRECTIVE = re.compile(r"%(-?.|$)", re.DOTALL)
_PLAIN = frozenset({"%d", "%m", "%Y", "%y", "%H", "%M", "%S", "%j"})
DIRECTIVES = (*sorted(_PLAIN), "%-d", "%-m", "%B", "%b", "%A", "%a", "%%")
"""What a date format may hold; names of months and days come in Portuguese."""


def brasilia_day(now: datetime | None = None) -> str:
    """Return the day it is in Brasília as yyyy-mm-dd."""
    return (now or datetime.now(UTC)).astimezone(BRASILIA).date().isoformat()


def as_moment(value: Any) -> datetime:
    """Return the moment that a text in one of the four forms names, in Brasília time."""
    if not isinstance(value, str):
        raise Unreadable(f"takes a date, got {kind_of(value)}")
    text = value.strip()
    try:
        if _BRAZILIAN_DAY.fullmatch(text):
            day, month, year = text.split("/")
            return datetime(int(year), int(month), int(day), tzinfo=BRASILIA)
        if _DAY.fullmatch(text):
            return datetime.fromisoformat(text).replace(tzinfo=BRASILIA)
        if _TIME.fullmatch(text):
            moment = datetime.fromisoformat(text.replace(",", "."))
            return moment.astimezone(BRASILIA) if moment.tzinfo else moment.replace(tzinfo=BRASILIA)
    except (ValueError, OverflowError):
        raise Unreadable("takes a date that the calendar has, got another") from None
    raise Unreadable(f"takes a date such as 2026-11-22 or 22/11/2026, got {kind_of(value)}")


def as_day(value: Any) -> date:
    """Return the day in Brasília that a text in one of the four forms names."""
    return as_moment(value).date()


def has_time(text: str) -> bool:
    """Say whether a date text names a time of the day too."""
    return _TIME.fullmatch(text.strip()) is not None


def wrong_directive(pattern: str) -> str | None:
    """Return the first directive of a date format that is not known, or None."""
    for match in _DIRECTIVE.finditer(pattern):
        if match.group() not in DIRECTIVES:
            return match.group()
    return None


def format_date(value: Any, pattern: str) -> str:
    """Return the date written by the pattern, such as %d/%m/%Y.

    >>> format_date("2026-03-01", "%-d de %B de %Y")
    '1 de março de 2026'
    """
    wrong = wrong_directive(pattern)
    if wrong is not None:
        raise Unreadable(f"takes a format made of {' '.join(DIRECTIVES)}, got {wrong}")
    moment = as_moment(value)
    return _DIRECTIVE.sub(lambda match: _written(match.group(), moment), pattern)


def _written(directive: str, moment: datetime) -> str:
    if directive in _PLAIN:
        # %Y of the year 33 is "33" on Linux and "0033" elsewhere.
        return f"{moment.year:04}" if directive == "%Y" else moment.strftime(directive)
    match directive:
        case "%-d":
            return str(moment.day)
        case "%-m":
            return str(moment.month)
        case "%B" | "%b":
            from babel.dates import get_month_names

            return str(get_month_names("wide" if directive == "%B" else "abbreviated", locale=_NAMES)[moment.month])
        case "%A" | "%a":
            from babel.dates import get_day_names

            return str(get_day_names("wide" if directive == "%A" else "abbreviated", locale=_NAMES)[moment.weekday()])
        case _:
            return "%"
