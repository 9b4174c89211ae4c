"""Dates, numbers and money in the reader's language, in the time of Brasília.

This stands apart from `bridge.messages`, which every process imports: Babel's dates take a tenth of a second to load.
"""

from __future__ import annotations

from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from typing import Any

from babel import Locale
from babel.dates import format_date, format_datetime, format_time, format_timedelta
from babel.numbers import format_currency, format_decimal, format_percent

from bridge.mapping.values import BRASILIA
from bridge.messages import current_language

_LANGUAGES = {
    "pt": (Locale("pt", "BR"), "d MMM", "d 'de' MMM y, HH:mm:ss"),
    "en": (Locale("en", "US"), "MMM d", "MMM d, y, HH:mm:ss"),
}
"""The locale, and the patterns of a day and of a moment."""


class Formats:
    """Writes values in the language that is current when it is made; `ago` and `short` count from `now_ms`."""

    def __init__(self, now_ms: int) -> None:
        self._now_ms = now_ms
        self._locale, self._day, self._moment = _LANGUAGES[current_language()]

    def moment(self, ms: int) -> str:
        return format_datetime(_brasilia(ms), self._moment, tzinfo=BRASILIA, locale=self._locale)

    def short(self, ms: int) -> str:
        """Return a moment for a list: the time where it is today, else the day and the time."""
        at, now = _brasilia(ms), _brasilia(self._now_ms)
        if at.date() == now.date():
            return format_time(at, "HH:mm:ss", tzinfo=BRASILIA, locale=self._locale)
        pattern = f"{self._day}{'' if at.year == now.year else ' y'}, HH:mm"
        return format_datetime(at, pattern, tzinfo=BRASILIA, locale=self._locale)

    def clock(self, ms: int) -> str:
        return f"{_brasilia(ms):%H:%M:%S}.{ms % 1000:03d}"

    def iso(self, ms: int) -> str:
        return _brasilia(ms).isoformat(timespec="milliseconds")

    def day(self, ms: int) -> str:
        return format_date(_brasilia(ms).date(), "medium", locale=self._locale)

    def day_short(self, ms: int) -> str:
        """Return a day for an axis, without the year."""
        return format_date(_brasilia(ms).date(), self._day, locale=self._locale)

    def hour(self, ms: int) -> str:
        return f"{_brasilia(ms):%H:%M}"

    def date(self, iso: str) -> str:
        """Return a day that Asaas wrote as yyyy-mm-dd; any other text as it is."""
        try:
            return format_date(date.fromisoformat(iso), "medium", locale=self._locale)
        except ValueError:
            return iso or "–"

    def ago(self, ms: int) -> str:
        return self._lasting(round((ms - self._now_ms) / 1000), add_direction=True)

    def lasting(self, seconds: float) -> str:
        """Return a duration in milliseconds, seconds or a larger unit."""
        if seconds < 1:
            return f"{self.number(round(seconds * 1000))} ms"
        if seconds < 60:
            return f"{self.number(round(seconds, 1))} s"
        return self._lasting(round(seconds), format="short")

    def _lasting(self, seconds: int, **options: Any) -> str:
        return format_timedelta(timedelta(seconds=seconds), threshold=1.2, locale=self._locale, **options)

    def number(self, value: float | Decimal) -> str:
        return format_decimal(value, locale=self._locale)

    def percent(self, share: float) -> str:
        """Return a share of one with one decimal; less than one is never shown as 100%."""
        shown = min(share, 0.999) if share < 1 else share
        return format_percent(shown, "#,##0.#%", locale=self._locale)

    def amount(self, value: Any) -> str:
        """Return an amount without its currency, as people type it: 1.100,50."""
        try:
            return format_decimal(Decimal(str(value)), "#,##0.00", locale=self._locale)
        except ArithmeticError:
            return str(value)

    def money(self, value: Any) -> str:
        """Return an amount of reais; a value that is no number stays as it is."""
        try:
            return format_currency(Decimal(str(value)), "BRL", locale=self._locale)
        except ArithmeticError:
            return str(value)


def _brasilia(ms: int) -> datetime:
    return datetime.fromtimestamp(ms / 1000, UTC).astimezone(BRASILIA)
