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
from bridge.messages import N_, _, current_language, in_language

_LANGUAGES = {
    "pt": (Locale("pt", "BR"), "d MMM", "d 'de' MMM 'de' y, HH:mm:ss"),
    "en": (Locale("en", "US"), "MMM d", "MMM d, y, HH:mm:ss"),
}
"""The locale, and the patterns of a day and of a moment."""


class Formats:
    """Writes values in the language that is current when it is made; `ago` and `short` count from `now_ms`."""

    def __init__(self, now_ms: int) -> None:
        self._now_ms = now_ms
        self._language = current_language()
        self._locale, self._day, self._moment = _LANGUAGES[self._language]

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
        point = "." if self._language == "en" else ","
        return f"{_brasilia(ms):%H:%M:%S}{point}{ms % 1000:03d}"

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

    def written(self, text: str) -> str:
        """Return a moment that Asaas wrote as yyyy-mm-dd hh:mm:ss, or a day; any other text as it is."""
        try:
            at = datetime.fromisoformat(text)
        except ValueError:
            return text
        if len(text) <= len("2026-11-22"):
            return self.date(text)
        at = at.replace(tzinfo=BRASILIA) if at.tzinfo is None else at
        return self.moment(int(at.timestamp() * 1000))

    def ago(self, ms: int) -> str:
        seconds = round((ms - self._now_ms) / 1000)
        if seconds == 0:
            return self._text(N_("less than 1 second ago") if ms <= self._now_ms else N_("in less than 1 second"))
        return self._lasting(seconds, add_direction=True)

    def until(self, ms: int) -> str:
        """Return how long it takes to a moment to come; "now" where it is here."""
        return self.ago(ms) if ms > self._now_ms else self._text(N_("now"))

    def lasting(self, seconds: float) -> str:
        """Return a duration in milliseconds, seconds or a larger unit."""
        if seconds < 0.001:
            return self._text(N_("less than 1 ms"))
        if seconds < 1:
            return f"{self.number(round(seconds * 1000))}\N{NO-BREAK SPACE}ms"
        if seconds < 60:
            return f"{self.number(round(seconds, 1))}\N{NO-BREAK SPACE}s"
        return self._lasting(round(seconds), format="short").replace(" ", "\N{NO-BREAK SPACE}")

    def _text(self, message: str) -> str:
        with in_language(self._language):
            return _(message)

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
