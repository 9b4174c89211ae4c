"""Walks through the charges of an account and compares each with the journal, a page at a time. Changes nothing.

The journal is asked after the API, so that an event that comes in between is seen.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import date
from typing import Literal

from bridge.asaas.listing import Reads, pages
from bridge.journal import Journal
from bridge.journal.charges import kept_of
from bridge.recovery.comparison import Compared, compare

Day = Literal["created", "due", "paid"]

FIELDS: dict[Day, str] = {"created": "dateCreated", "due": "dueDate", "paid": "paymentDate"}
"""The day of a charge that a window is about. Asaas has no filter for the day of a charge's last change."""


@dataclass(frozen=True, slots=True)
class Window:
    """The days that are looked at, both included."""

    since: date
    until: date
    by: Day = "created"

    @property
    def field(self) -> str:
        """The charge's field that must lie within."""
        return FIELDS[self.by]

    @property
    def params(self) -> dict[str, str | int]:
        """The same as parameters of GET /payments."""
        return {f"{self.field}[ge]": self.since.isoformat(), f"{self.field}[le]": self.until.isoformat()}


@dataclass(frozen=True, slots=True)
class Looked:
    """A page of charges that was compared."""

    charges: list[Compared]
    asked_ms: int
    total: int
    following: int | None
    """The offset to go on from, None at the end."""


def walk(
    client: Reads,
    journal: Journal,
    window: Window,
    clock_ms: Callable[[], int],
    *,
    offset: int = 0,
    sleep: Callable[[float], object] = time.sleep,
) -> Iterator[Looked]:
    """Compare the account's charges of these days; raise EnrichmentWaits where Asaas can't be asked for now."""
    asked_ms = clock_ms()
    for page in pages(client, "/payments", window.params, offset=offset, sleep=sleep):
        charges = {str(charge.get("id")): charge for charge in page.items}
        with journal.database.read() as connection:
            kept = kept_of(connection, client.account, charges)
        compared = [compare(charge, kept.get(id_, ()), asked_ms) for id_, charge in charges.items()]
        yield Looked(compared, asked_ms, page.total, page.following)
        asked_ms = clock_ms()
