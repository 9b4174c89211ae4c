"""Rules of Asaas: error answers, pages and filters of lists, days, fees."""

from __future__ import annotations

import calendar
from collections.abc import Callable, Collection, Mapping
from datetime import date, datetime, timedelta, timezone
from decimal import ROUND_DOWN, ROUND_HALF_UP, Decimal
from typing import Any

Body = dict[str, Any]
"""An object of the API, in its keys and their order."""


class Refusal(Exception):
    """An error answer of Asaas."""

    def __init__(self, code: str, description: str, status: int = 400) -> None:
        self.code = code
        self.description = description
        self.status = status
        super().__init__(f"{status} {code}: {description}")

    def answer(self) -> tuple[Body, int] | tuple[str, int]:
        return {"errors": [{"code": self.code, "description": self.description}]}, self.status


class Missing(Refusal):
    """An object that does not exist: 404 without a body."""

    def __init__(self, object_id: str) -> None:
        super().__init__("not_found", f"{object_id} não encontrado", 404)

    def answer(self) -> tuple[str, int]:
        return "", self.status


Arguments = Mapping[str, str]
DEFAULT_LIMIT = 10
MOST = 100


def page(items: list[Body], arguments: Arguments, body: Callable[[Body], Body] = dict) -> Body:
    """Return a list's answer; `body` makes an item's answer of what is kept."""
    offset = max(0, _number(arguments.get("offset"), 0))
    limit = min(MOST, max(1, _number(arguments.get("limit"), DEFAULT_LIMIT)))
    return {
        "object": "list",
        "hasMore": offset + limit < len(items),
        "totalCount": len(items),
        "limit": limit,
        "offset": offset,
        "data": [body(item) for item in items[offset : offset + limit]],
    }


def matches(body: Body, arguments: Arguments, equal: Collection[str], between: Collection[str] = ()) -> bool:
    """Apply the filters: equality by name, and `name[ge]` and `name[le]` for dates."""
    if any(name in arguments and _text(body.get(name)) != arguments[name] for name in equal):
        return False
    for name in between:
        value = _text(body.get(name))
        if f"{name}[ge]" in arguments and (not value or value < arguments[f"{name}[ge]"]):
            return False
        if f"{name}[le]" in arguments and (not value or value > arguments[f"{name}[le]"]):
            return False
    return True


def _number(text: str | None, default: int) -> int:
    return int(text) if text is not None and text.lstrip("-").isdigit() else default


def _text(value: object) -> str:
    if value is None:
        return ""
    return str(value).lower() if isinstance(value, bool) else str(value)


BRASILIA = timezone(timedelta(hours=-3), "BRT")
"""Brazil has had no summer time since 2019."""

CARD_CREDIT_DAYS = 32
MONTHS_OF_CYCLE = {"MONTHLY": 1, "BIMONTHLY": 2, "QUARTERLY": 3, "SEMIANNUALLY": 6, "YEARLY": 12}
DAYS_OF_CYCLE = {"WEEKLY": 7, "BIWEEKLY": 14}
CYCLES = frozenset(MONTHS_OF_CYCLE) | frozenset(DAYS_OF_CYCLE)


def brasilia_now() -> datetime:
    return datetime.now(BRASILIA)


def stamp(now: datetime) -> str:
    """Format a time as in an envelope: Brasília, without an offset."""
    return now.astimezone(BRASILIA).strftime("%Y-%m-%d %H:%M:%S")


def add_months(day: date, months: int) -> date:
    """Add months; the 31st becomes the last day of a shorter month."""
    year, month = divmod(day.year * 12 + day.month - 1 + months, 12)
    return date(year, month + 1, min(day.day, calendar.monthrange(year, month + 1)[1]))


def next_due(day: date, cycle: str) -> date:
    if cycle in DAYS_OF_CYCLE:
        return day + timedelta(days=DAYS_OF_CYCLE[cycle])
    return add_months(day, MONTHS_OF_CYCLE[cycle])


def card_credit(day: date, instalment: int) -> date:
    """Return the day of a card instalment's money: 32 days each, moved from a weekend to Monday."""
    credit = day + timedelta(days=CARD_CREDIT_DAYS * instalment)
    return credit + timedelta(days=7 - credit.weekday()) if credit.weekday() >= 5 else credit


def as_brazilian(day: str) -> str:
    """Format a day as dd/mm/yyyy, as in documented subscription events.

    >>> as_brazilian("2024-10-16")
    '16/10/2024'
    """
    return "/".join(reversed(day.split("-")))


CENT = Decimal("0.01")
FLAT_FEE = Decimal("1.99")
"""Pix, boleto and undecided charges."""
CARD_FIXED_FEE = Decimal("0.49")


def _card_share(instalments: int) -> Decimal:
    if instalments == 1:
        return Decimal("0.0299")
    if instalments <= 6:
        return Decimal("0.0349")
    return Decimal("0.0399") if instalments <= 12 else Decimal("0.0429")


def net_value(billing_type: str, value: float, instalments: int = 1) -> float:
    """Subtract the fee; each part of a card's fee is rounded down to cents."""
    amount = Decimal(str(value))
    if billing_type == "CREDIT_CARD":
        fee = (amount * _card_share(instalments)).quantize(CENT, ROUND_DOWN)
        fee += (CARD_FIXED_FEE / instalments).quantize(CENT, ROUND_DOWN)
    else:
        fee = FLAT_FEE
    return float((amount - fee).quantize(CENT, ROUND_HALF_UP))


def instalment_values(total: float, count: int) -> list[float]:
    """Divide a total; the remainder goes to the last instalment.

    >>> instalment_values(350.00, 12)[-2:]
    [29.16, 29.24]
    """
    amount = Decimal(str(total))
    each = (amount / count).quantize(CENT, ROUND_DOWN)
    return [float(each)] * (count - 1) + [float(amount - each * (count - 1))]


def whole_or_float(value: float) -> int | float:
    return int(value) if float(value).is_integer() else value
