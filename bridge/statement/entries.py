"""Reads the entries of an account's statement from the Asaas API, in the order in which they were posted.

Given days it leaves entries with amounts to the cent and the balance after the last. It relies on GET
/financialTransactions with `startDate`, `finishDate` and `order`; what `order` does is not documented, so the balances,
which each entry carries, say which way round the list came.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import date
from decimal import Decimal
from itertools import pairwise
from typing import Any

from bridge.asaas.listing import Reads, pages
from bridge.errors import AsaasUnavailable
from bridge.mapping.dates import as_day
from bridge.mapping.values import Unreadable, as_decimal

PATH = "/financialTransactions"
_CENT = Decimal("0.01")


@dataclass(frozen=True, slots=True)
class Entry:
    """One line of the statement."""

    id: str
    """Asaas's id, the same each time the statement is read."""
    day: date
    """The day in Brasília; Asaas says no time."""
    amount: Decimal
    """Positive came in, negative went out."""
    balance: Decimal
    """Of the account, after it."""
    kind: str
    text: str
    about: str = ""
    """The charge, transfer or other object it is about."""


@dataclass(frozen=True, slots=True)
class Statement:
    """The entries of some days, both included."""

    account: str
    since: date
    until: date
    entries: Sequence[Entry]
    """Oldest first."""
    balance: Decimal
    """After the last entry up to the last day."""


def read_statement(
    client: Reads,
    since: date,
    until: date,
    *,
    sleep: Callable[[float], object] = time.sleep,
    tell: Callable[[int, int], object] = lambda _done, _total: None,
) -> Statement:
    """Return the account's statement; raise EnrichmentWaits where it can't be read for now."""
    days: dict[str, str | int] = {"startDate": since.isoformat(), "finishDate": until.isoformat(), "order": "asc"}
    found: dict[str, Entry] = {}
    for page in pages(client, PATH, days, sleep=sleep):
        for item in page.items:
            entry = _entry(item, client.account)
            found.setdefault(entry.id, entry)  # an entry that a shifted page shows twice was posted once
        tell(len(found), page.total)
    entries = in_order(list(found.values()))
    balance = entries[-1].balance if entries else _balance_before(client, since)
    return Statement(client.account, since, until, entries, balance)


def in_order(entries: Sequence[Entry]) -> list[Entry]:
    """Return the entries oldest first, whichever way round the list came.

    >>> day = date(2026, 11, 22)
    >>> first = Entry("a", day, Decimal(5), Decimal(5), "", "")
    >>> then = Entry("b", day, Decimal(-2), Decimal(3), "", "")
    >>> [entry.id for entry in in_order([then, first])]
    ['a', 'b']
    """
    turned = list(reversed(entries))
    best = turned if _follows(turned) > _follows(entries) else list(entries)
    return sorted(best, key=lambda entry: entry.day)


def _follows(entries: Sequence[Entry]) -> int:
    """Return how many entries lead from the balance before them to their own."""
    return sum(
        first.day <= then.day and first.balance + then.amount == then.balance for first, then in pairwise(entries)
    )


def _balance_before(client: Reads, since: date) -> Decimal:
    found = client.get(PATH, {"finishDate": since.isoformat(), "order": "desc", "limit": 1}) or {}
    items = found.get("data")
    return _entry(items[0], client.account).balance if isinstance(items, list) and items else Decimal("0.00")


def _entry(item: Any, account: str) -> Entry:
    where = f"GET {PATH}, account {account}"
    if not isinstance(item, dict) or not isinstance(item.get("id"), str) or not item["id"].strip():
        raise AsaasUnavailable("an entry of the statement must have an id, got none", where=where)
    try:
        return Entry(
            item["id"].strip(),
            as_day(item.get("date")),
            _amount(item.get("value")),
            _amount(item.get("balance")),
            str(item.get("type") or ""),
            " ".join(str(item.get("description") or "").split()),
            _about(item),
        )
    except (Unreadable, ArithmeticError):
        what = "an entry of the statement must have a date, a value and a balance, got another"
        raise AsaasUnavailable(what, where=where) from None


def _amount(value: Any) -> Decimal:
    return as_decimal(value).quantize(_CENT)


def _about(item: Mapping[str, Any]) -> str:
    names = ("paymentId", "transferId", "anticipationId", "billId", "invoiceId", "paymentDunningId")
    return next((str(item[name]) for name in names if item.get(name)), "")
