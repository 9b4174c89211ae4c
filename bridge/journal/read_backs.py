"""Deliveries whose deal is to be looked for in Clint, and what came of it.

Only these columns of a delivery are written here, and no lane is needed for that: they are nobody else's.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

from sqlalchemy import Connection, func, select, update

from bridge.journal.schema import DELIVERED, TO_READ_BACK, attempts, deliveries, events
from bridge.model import ReadBack


@dataclass(frozen=True, slots=True)
class ToReadBack:
    """A delivery whose deal is looked for."""

    id: int
    event_id: int
    account: str
    subject: str
    object_id: str
    mapping: str
    destination: str
    payload: str
    finished_ms: int
    read_back_tries: int


def due(connection: Connection, now_ms: int, *, wait_ms: int, oldest_ms: int, limit: int) -> list[ToReadBack]:
    """Return deliveries that were delivered so long ago, but not longer than the oldest, and whose look is due."""
    columns = deliveries.c
    query = (
        select(*(columns[name] for name in ToReadBack.__slots__))
        .where(
            TO_READ_BACK,
            DELIVERED,
            columns.finished_ms.between(oldest_ms, now_ms - wait_ms),
            columns.read_back_due_ms.is_(None) | (columns.read_back_due_ms <= now_ms),
        )
        .order_by(columns.finished_ms)
        .limit(limit)
    )
    return [ToReadBack(**row) for row in connection.execute(query).mappings()]


class SentDelivery(NamedTuple):
    """A delivery that was tried at least once."""

    id: int
    object_id: str
    destination: str
    mapping: str
    payload: str | None
    sent_ms: int
    """When the first attempt began."""


def sent_to(connection: Connection, account: str, subject: str, limit: int = 100) -> list[SentDelivery]:
    """Return the deliveries of a customer that were tried, newest first."""
    columns = deliveries.c
    query = (
        select(
            columns.id,
            columns.object_id,
            columns.destination,
            columns.mapping,
            columns.payload,
            select(func.min(attempts.c.started_ms)).where(attempts.c.delivery_id == columns.id).scalar_subquery(),
        )
        .join(events, events.c.id == columns.event_id)
        .where(events.c.subject == subject, events.c.account == account, columns.attempts > 0)
        .order_by(events.c.id.desc(), columns.id.desc())
        .limit(limit)
    )
    return [SentDelivery(*row) for row in connection.execute(query)]


def record(
    connection: Connection, one: ToReadBack, state: ReadBack, *, due_ms: int | None = None, detail: str | None = None
) -> bool:
    """Write down what a look gave; return whether nobody else had done so meanwhile."""
    changed = connection.execute(
        update(deliveries)
        .where(deliveries.c.id == one.id, TO_READ_BACK, deliveries.c.read_back_tries == one.read_back_tries)
        .values(
            read_back=state.value,
            read_back_tries=one.read_back_tries + 1,
            read_back_due_ms=due_ms,
            read_back_detail=detail,
        )
    )
    return changed.rowcount == 1
