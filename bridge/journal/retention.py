"""What the journal no longer needs: bodies, payloads and answers go first, whole rows later.

Given a time it leaves nothing of what came before it but what is unfinished, and what the rules still need: how a
charge stood when it was last heard of, and which instalment plans had their one delivery. Each call is one small
transaction's work, which locks the lanes it touches, so that nobody retries or replays what is being emptied.
"""

from __future__ import annotations

import json
from collections.abc import Collection
from dataclasses import dataclass
from typing import Any

from sqlalchemy import ColumnElement, Connection, Table, delete, or_, select, update

from bridge.errors import BodyEmptied
from bridge.journal import search
from bridge.journal.lanes import lock_some
from bridge.journal.schema import EncryptedText, attempts, deliveries, events
from bridge.model import DeliveryState, EventState, ReadBack

PAGE = 200
"""Events that one call looks at: some ten milliseconds."""
_STANDING = ("status", "deleted")
_REFUND = ("status", "value")


@dataclass(frozen=True, slots=True)
class Page:
    """Some old events, in the order of arrival."""

    last_id: int | None
    """Where to go on; None at the end of what is old."""
    ids: list[int]
    """Those that the call is for; unfinished ones among them are left alone."""


def old_page(connection: Connection, before_ms: int, after_id: int, *, full_only: bool, limit: int = PAGE) -> Page:
    """Return the events that came before that time, behind that number; only those not emptied yet if so asked."""
    query = select(events.c.id, events.c.received_ms, events.c.emptied_ms).where(events.c.id > after_id)
    rows = connection.execute(query.order_by(events.c.id).limit(limit)).all()
    past = [row for row in rows if row.received_ms < before_ms]
    # Numbers follow arrival but for clocks that were set back and events brought in from other days.
    ids = [row.id for row in past if row.emptied_ms is None or not full_only]
    return Page(rows[-1].id if past and len(rows) == limit else None, ids)


def empty(connection: Connection, ids: Collection[int], before_ms: int, now_ms: int) -> int:
    """Empty bodies, payloads and answers of those of these events that are finished; return how many were."""
    done = _finished(connection, ids, before_ms)
    if not done:
        return 0
    made = select(deliveries.c.id).where(deliveries.c.event_id.in_(done))
    connection.execute(update(attempts).where(attempts.c.delivery_id.in_(made)).values(_nothing(attempts)))
    connection.execute(update(deliveries).where(deliveries.c.event_id.in_(done)).values(_nothing(deliveries)))
    for row in connection.execute(
        select(events.c.id, events.c.entity, events.c.body).where(events.c.id.in_(done))
    ).all():
        connection.execute(
            update(events)
            .where(events.c.id == row.id)
            .values({**_nothing(events), "body": _rest(row.body, row.entity), "emptied_ms": now_ms})
        )
    search.forget(connection, search.refs_of(connection, done))
    return len(done)


def _nothing(table: Table) -> dict[str, None]:
    """Return no value for each column of a table that may hold a person: those that are sealed."""
    return {column.name: None for column in table.c if isinstance(column.type, EncryptedText)}


def remove(connection: Connection, ids: Collection[int], before_ms: int) -> int:
    """Remove those of these events that are finished, with all that was made of them; return how many were."""
    done = _finished(
        connection,
        ids,
        before_ms,
        # A plan of two years has its one delivery, whenever its next instalment comes.
        deliveries.c.once_key.is_not(None)
        & deliveries.c.state.not_in([DeliveryState.FILTERED.value, DeliveryState.DISCARDED.value]),
    )
    if not done:
        return 0
    made = select(deliveries.c.id).where(deliveries.c.event_id.in_(done))
    refs = search.refs_of(connection, done)
    connection.execute(delete(attempts).where(attempts.c.delivery_id.in_(made)))
    connection.execute(delete(deliveries).where(deliveries.c.event_id.in_(done)))
    connection.execute(delete(events).where(events.c.id.in_(done)))
    search.forget(connection, refs)
    return len(done)


def check_full(connection: Connection, event_ids: Collection[int]) -> None:
    """Raise BodyEmptied where the body of one of these events is gone."""
    query = select(events.c.id).where(events.c.id.in_(event_ids), events.c.emptied_ms.is_not(None))
    found = connection.scalar(query.order_by(events.c.id).limit(1))
    if found is not None:
        raise BodyEmptied(f"the body of event {found} was emptied after BRIDGE_RETENTION_DAYS")


def _finished(
    connection: Connection, ids: Collection[int], before_ms: int, unless: ColumnElement[bool] | None = None
) -> list[int]:
    """Lock the lanes of these events and return those with which nothing is going on, nor was since that time."""
    lock_some(connection, select(events.c.lane).where(events.c.id.in_(ids)))
    going_on = [
        deliveries.c.finished_ms.is_(None),
        deliveries.c.finished_ms >= before_ms,
        deliveries.c.read_back == ReadBack.ASKED.value,
        *([unless] if unless is not None else []),
    ]
    busy = select(deliveries.c.event_id).where(deliveries.c.event_id.in_(ids), or_(*going_on))
    finished = select(events.c.id).where(
        events.c.id.in_(ids), events.c.state == EventState.PROCESSED.value, events.c.id.not_in(busy)
    )
    return list(connection.scalars(finished))


def _rest(body: str, entity: str) -> str:
    """Return what stays of a body: how the charge stood, which reconciling needs, and nothing of a person."""
    try:
        found: Any = json.loads(body).get(entity)
    except (ValueError, AttributeError, RecursionError):
        found = None
    about: dict[str, Any] = found if isinstance(found, dict) else {}
    rest = {key: about[key] for key in _STANDING if isinstance(about.get(key), str | bool)}
    refunds = about.get("refunds")
    if isinstance(refunds, list):
        parts = [one for one in refunds if isinstance(one, dict)]
        rest["refunds"] = [{key: one[key] for key in _REFUND if key in one} for one in parts]
    return json.dumps({entity: rest}) if rest else "{}"
