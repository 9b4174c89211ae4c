"""Retention: empties bodies, payloads and answers of old events first, and removes whole rows later.

Unfinished events stay, and so does what the rules need: the last status of a charge, and which instalment plans had
their one delivery. Each call is the work of one small transaction, which locks the lanes of the events: nobody retries
or replays an event while it is emptied.
"""

from __future__ import annotations

import json
from collections.abc import Collection
from typing import Any

from sqlalchemy import ColumnElement, Connection, Table, delete, or_, select, update

from bridge.errors import BodyEmptied
from bridge.journal import customers, search
from bridge.journal.encryption import sealed_columns
from bridge.journal.lanes import lock
from bridge.journal.schema import attempts, deliveries, events
from bridge.messages import N_
from bridge.model import DeliveryState, EventState, ReadBack

_STATUS = ("status", "deleted")
_REFUND = ("status", "value")


def old_page(
    connection: Connection, before_ms: int, after_id: int, *, full_only: bool, limit: int = 200
) -> tuple[list[int], int | None]:
    """Return old events after that id, with `full_only` those not emptied yet, and the id before the next page."""
    query = select(events.c.id, events.c.received_ms, events.c.emptied_ms).where(events.c.id > after_id)
    rows = connection.execute(query.order_by(events.c.id).limit(limit)).all()
    old = [row for row in rows if row.received_ms < before_ms]
    # Ids are not always in the order of `received_ms`: clocks are set back, and a backfill brings older events.
    ids = [row.id for row in old if row.emptied_ms is None or not full_only]
    return ids, rows[-1].id if old and len(rows) == limit else None


def empty(connection: Connection, ids: Collection[int], before_ms: int, now_ms: int) -> int:
    """Empty bodies, payloads and answers of the finished ones of these events; return their number."""
    done = _finished(connection, ids, before_ms)
    if not done:
        return 0
    made = select(deliveries.c.id).where(deliveries.c.event_id.in_(done))
    connection.execute(update(attempts).where(attempts.c.delivery_id.in_(made)).values(_nulls(attempts)))
    connection.execute(update(deliveries).where(deliveries.c.event_id.in_(done)).values(_nulls(deliveries)))
    full = select(events.c.id, events.c.entity, events.c.body).where(events.c.id.in_(done))
    for row in connection.execute(full).all():
        values = {**_nulls(events), "body": _anonymous(row.body, row.entity), "emptied_ms": now_ms}
        connection.execute(update(events).where(events.c.id == row.id).values(values))
    customers.forget(connection, search.forget(connection, search.refs_of(connection, done)))
    return len(done)


def _nulls(table: Table) -> dict[str, None]:
    # Personal data stands in encrypted columns only.
    return {column.name: None for column in sealed_columns(table)}


def remove(connection: Connection, ids: Collection[int], before_ms: int) -> int:
    """Remove the finished ones of these events with their deliveries and attempts; return their number."""
    # An instalment plan has one delivery, however late its next instalment comes.
    is_sent = deliveries.c.state.not_in([DeliveryState.FILTERED.value, DeliveryState.DISCARDED.value])
    done = _finished(connection, ids, before_ms, deliveries.c.once_key.is_not(None) & is_sent)
    if not done:
        return 0
    made = select(deliveries.c.id).where(deliveries.c.event_id.in_(done))
    refs = search.refs_of(connection, done)
    connection.execute(delete(attempts).where(attempts.c.delivery_id.in_(made)))
    connection.execute(delete(deliveries).where(deliveries.c.event_id.in_(done)))
    connection.execute(delete(events).where(events.c.id.in_(done)))
    customers.forget(connection, search.forget(connection, refs))
    return len(done)


def check_full(connection: Connection, event_ids: Collection[int]) -> None:
    """Raise BodyEmptied where one of these events was emptied."""
    query = select(events.c.id).where(events.c.id.in_(event_ids), events.c.emptied_ms.is_not(None))
    found = connection.scalar(query.order_by(events.c.id).limit(1))
    if found is not None:
        raise BodyEmptied(N_("the body of event {id} was emptied after BRIDGE_RETENTION_DAYS"), id=found)


def _finished(connection: Connection, ids: Collection[int], before_ms: int, *unless: ColumnElement[bool]) -> list[int]:
    """Lock the lanes of these events and return those whose deliveries all finished before that time."""
    lock(connection, select(events.c.lane).where(events.c.id.in_(ids)))
    c = deliveries.c
    unfinished = c.finished_ms.is_(None) | (c.finished_ms >= before_ms) | (c.read_back == ReadBack.ASKED.value)
    busy = select(c.event_id).where(c.event_id.in_(ids), or_(unfinished, *unless))
    processed = select(events.c.id).where(events.c.id.in_(ids), events.c.state == EventState.PROCESSED.value)
    return list(connection.scalars(processed.where(events.c.id.not_in(busy))))


def _anonymous(body: str, entity: str) -> str:
    """Return a body with the status and refunds of its charge, which `bridge reconcile` needs, and nothing else."""
    try:
        found: Any = json.loads(body).get(entity)
    except (ValueError, AttributeError, RecursionError):
        found = None
    charge: dict[str, Any] = found if isinstance(found, dict) else {}
    kept = {key: charge[key] for key in _STATUS if isinstance(charge.get(key), str | bool)}
    refunds = charge.get("refunds")
    if isinstance(refunds, list):
        parts = [one for one in refunds if isinstance(one, dict)]
        kept["refunds"] = [{key: one[key] for key in _REFUND if key in one} for one in parts]
    return json.dumps({entity: kept}) if kept else "{}"
