"""Deliveries whose deal is to be looked for in Clint, and what came of it.

Only these columns of a delivery are written here, and no lane is needed for that: they are nobody else's.
"""

from __future__ import annotations

from dataclasses import dataclass

from sqlalchemy import Connection, select, update

from bridge.journal.schema import DELIVERED, TO_READ_BACK, deliveries
from bridge.model import ReadBack


@dataclass(frozen=True, slots=True)
class ToReadBack:
    """A delivery whose deal is looked for."""

    id: int
    event_id: int
    mapping: str
    destination: str
    payload: str
    created_ms: int
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
