"""What people ask of the journal: lists, one event's whole way, counts. Changes nothing.

Lists go backwards from the newest by number (keyset pagination), so that the first page costs the same however long the
journal is.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from typing import Any

from sqlalchemy import ColumnElement, Connection, Select, func, select

from bridge.journal.schema import DEAD, OPEN, WAITS, attempts, deliveries, destinations, events
from bridge.model import DeliveryState

_event_columns = [column for column in events.c if column.name != "body"]
_delivery_columns = [column for column in deliveries.c if column.name not in {"payload", "once_key"}]

Row = dict[str, Any]


@dataclass(frozen=True, slots=True)
class Work:
    """How much is unfinished."""

    events_waiting: int
    oldest_waiting_s: float
    deliveries: dict[str, int]
    """Deliveries by state: the open states, and dead."""
    destinations: dict[str, bool]
    """Whether each destination takes deliveries: its circuit is closed and it is not paused."""


def work(connection: Connection, now_ms: int) -> Work:
    """Return how much is unfinished; reads partial indexes only."""
    count, oldest = connection.execute(select(func.count(), func.min(events.c.received_ms)).where(WAITS)).one()
    by_state = {state.value: 0 for state in (DeliveryState.PENDING, DeliveryState.SENDING, DeliveryState.RETRYING)}
    query = select(deliveries.c.state, func.count().label("number")).where(OPEN).group_by(deliveries.c.state)
    by_state |= {row.state: row.number for row in connection.execute(query)}
    by_state["dead"] = dead_count(connection)
    up = {
        row.name: row.state == "closed" and row.paused_ms is None
        for row in connection.execute(select(destinations).order_by(destinations.c.name))
    }
    return Work(count, (now_ms - oldest) / 1000 if oldest else 0.0, by_state, up)


def under_way(connection: Connection) -> dict[str, int]:
    """Return by mapping how many deliveries are neither sent nor given up; reads a partial index only."""
    query = select(deliveries.c.mapping, func.count().label("number")).where(OPEN).group_by(deliveries.c.mapping)
    return {row.mapping: row.number for row in connection.execute(query)}


def list_events(connection: Connection, *, limit: int, before_id: int | None = None, **wanted: Any) -> list[Row]:
    """Return events, newest first, without their bodies; `wanted` as in `event_ids`."""
    query = select(*_event_columns).where(*_wanted_events(**wanted)).order_by(events.c.id.desc()).limit(limit)
    if before_id is not None:
        query = query.where(events.c.id < before_id)
    return _rows(connection, query)


def event_ids(connection: Connection, **wanted: Any) -> list[int]:
    """Return the numbers of the wanted events that have their bodies, in the order of arrival.

    `wanted` is any of name, account, object_id, state, since_ms and until_ms (the first moment that is too late).
    """
    query = select(events.c.id).where(*_wanted_events(**wanted), events.c.emptied_ms.is_(None))
    return list(connection.scalars(query.order_by(events.c.id)))


def _wanted_events(
    *,
    name: str | None = None,
    account: str | None = None,
    object_id: str | None = None,
    state: str | None = None,
    since_ms: int | None = None,
    until_ms: int | None = None,
) -> list[ColumnElement[bool]]:
    c = events.c
    conditions = _equal({c.name: name, c.account: account, c.object_id: object_id, c.state: state})
    if since_ms is not None:
        conditions.append(events.c.received_ms >= since_ms)
    if until_ms is not None:
        conditions.append(events.c.received_ms < until_ms)
    return conditions


def _equal(wanted: Mapping[ColumnElement[Any], str | None]) -> list[ColumnElement[bool]]:
    return [column == value for column, value in wanted.items() if value is not None]


def mappings_of(connection: Connection, ids: Collection[int]) -> dict[int, dict[str, str]]:
    """Return for each of these events the state of each mapping's newest delivery."""
    query = select(deliveries.c.event_id, deliveries.c.mapping, deliveries.c.state)
    found: dict[int, dict[str, str]] = {id_: {} for id_ in ids}
    for event_id, mapping, state in connection.execute(
        query.where(deliveries.c.event_id.in_(ids)).order_by(deliveries.c.id)
    ):
        found[event_id][mapping] = state
    return found


def find_event(connection: Connection, reference: str) -> Row | None:
    """Return one event with its body, by its number or by the whole id that Asaas gave it."""
    if reference.isascii() and reference.isdigit() and len(reference) < 19:
        row = _rows(connection, select(events).where(events.c.id == int(reference)))
        if row:
            return row[0]
    found = _rows(
        connection, select(events).where(events.c.event_key == reference).order_by(events.c.id.desc()).limit(1)
    )
    return found[0] if found else None


def deliveries_of(connection: Connection, event_id: int) -> list[Row]:
    """Return all deliveries of an event with their payloads, oldest first."""
    return _rows(connection, select(deliveries).where(deliveries.c.event_id == event_id).order_by(deliveries.c.id))


def attempts_of(connection: Connection, delivery_id: int) -> list[Row]:
    """Return all attempts of a delivery, oldest first."""
    return _rows(connection, select(attempts).where(attempts.c.delivery_id == delivery_id).order_by(attempts.c.number))


def list_deliveries(
    connection: Connection,
    *,
    limit: int,
    before_id: int | None = None,
    states: Collection[str] = (),
    mapping: str | None = None,
    destination: str | None = None,
    code: str | None = None,
) -> list[Row]:
    """Return deliveries, newest first, without their payloads, each with its event's name and object."""
    query = (
        select(*_delivery_columns, events.c.name.label("event_name"), events.c.event_key)
        .join(events, events.c.id == deliveries.c.event_id)
        .order_by(deliveries.c.id.desc())
        .limit(limit)
    )
    if set(states) == {DeliveryState.DEAD.value}:
        query = query.where(DEAD)
    elif states:
        query = query.where(deliveries.c.state.in_(states))
    query = query.where(*_wanted_deliveries(mapping, destination, code))
    if before_id is not None:
        query = query.where(deliveries.c.id < before_id)
    return _rows(connection, query)


def dead_count(connection: Connection) -> int:
    """Return how many deliveries are dead; reads a partial index only."""
    return connection.scalar(select(func.count()).select_from(deliveries).where(DEAD)) or 0


def dead_ids(
    connection: Connection,
    *,
    mapping: str | None = None,
    destination: str | None = None,
    code: str | None = None,
    with_payload: bool = False,
) -> list[int]:
    """Return the numbers of the dead deliveries, oldest first, so that what is done to them keeps the order."""
    query = select(deliveries.c.id).where(DEAD, *_wanted_deliveries(mapping, destination, code))
    if with_payload:
        query = query.where(deliveries.c.payload.is_not(None))
    return list(connection.scalars(query.order_by(deliveries.c.id)))


def _wanted_deliveries(mapping: str | None, destination: str | None, code: str | None) -> list[ColumnElement[bool]]:
    columns = deliveries.c
    return _equal({columns.mapping: mapping, columns.destination: destination, columns.reason_code: code})


def _rows(connection: Connection, query: Select[Any]) -> list[Row]:
    return [dict(row) for row in connection.execute(query).mappings()]
