"""Dates, numbers and money as people of a language read them; times are Brasília's, as everywhere in the bridge."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from typing import Any

from babel import Locale
from babel.dates import format_date, format_datetime, format_time, format_timedelta
from babel.numbers import format_currency, format_decimal, format_percent

from bridge.mapping.values import BRASILIA

LOCALES = {"pt": Locale("pt", "BR"), "en": Locale("en", "US")}


@dataclass(frozen=True, slots=True)
class Formats:
    """Writes values in one language, at one moment."""

    language: str
    now_ms: int

    @property
    def _locale(self) -> Locale:
        return LOCALES[self.language]

    def moment(self, ms: int) -> str:
        """Write a day and a time of day to the second."""
        at = _brasilia(ms)
        pattern = "d 'de' MMM y, HH:mm:ss" if self.language == "pt" else "MMM d, y, HH:mm:ss"
        return format_datetime(at, pattern, tzinfo=BRASILIA, locale=self._locale)

    def short(self, ms: int) -> str:
        """Write a moment as a list has room for it: the time for today, else the day and the time."""
        at, now = _brasilia(ms), _brasilia(self.now_ms)
        if at.date() == now.date():
            return format_time(at, "HH:mm:ss", tzinfo=BRASILIA, locale=self._locale)
        day = ("d MMM" if self.language == "pt" else "MMM d") + ("" if at.year == now.year else " y")
        return format_datetime(at, f"{day}, HH:mm", tzinfo=BRASILIA, locale=self._locale)

    def clock(self, ms: int) -> str:
        """Write a time of day to the millisecond."""
        return f"{_brasilia(ms):%H:%M:%S}.{ms % 1000:03d}"

    def iso(self, ms: int) -> str:
        """Write a moment as machines read it."""
        return _brasilia(ms).isoformat(timespec="milliseconds")

    def day(self, ms: int) -> str:
        """Write a day."""
        return format_date(_brasilia(ms).date(), "medium", locale=self._locale)

    def day_short(self, ms: int) -> str:
        """Write a day as an axis has room for it."""
        return format_date(_brasilia(ms).date(), "d MMM" if self.language == "pt" else "MMM d", locale=self._locale)

    def hour(self, ms: int) -> str:
        """Write an hour as an axis has room for it."""
        return f"{_brasilia(ms):%H:%M}"

    def date(self, iso: str) -> str:
        """Write a day that is given as Asaas gives it; what is no day is written as it is."""
        try:
            return format_date(date.fromisoformat(iso), "medium", locale=self._locale)
        except ValueError:
            return iso or "–"

    def ago(self, ms: int) -> str:
        """Write how long ago or how far ahead a moment is."""
        delta = (ms - self.now_ms) / 1000
        return format_timedelta(_seconds(delta), threshold=1.2, add_direction=True, locale=self._locale)

    def lasting(self, seconds: float) -> str:
        """Write how long something takes or took."""
        if seconds < 1:
            return f"{self.number(round(seconds * 1000))} ms"
        if seconds < 60:
            return f"{self.number(round(seconds, 1))} s"
        return format_timedelta(_seconds(seconds), threshold=1.2, format="short", locale=self._locale)

    def number(self, value: float | Decimal) -> str:
        """Write a number with the language's separators."""
        return format_decimal(value, locale=self._locale)

    def percent(self, share: float) -> str:
        """Write a share of one as a percentage with one decimal; only what is whole is called so."""
        shown = min(share, 0.999) if share < 1 else share
        return format_percent(shown, "#,##0.#%", locale=self._locale)

    def money(self, value: Any) -> str:
        """Write an amount of reais; what is no number is written as it is."""
        try:
            return format_currency(Decimal(str(value)), "BRL", locale=self._locale)
        except ArithmeticError:
            return str(value)


def _brasilia(ms: int) -> datetime:
    return datetime.fromtimestamp(ms / 1000, UTC).astimezone(BRASILIA)


def _seconds(value: float) -> timedelta:
    return timedelta(seconds=round(value))
