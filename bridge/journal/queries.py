"""What people ask of the journal: lists, one event's whole way, counts. Changes nothing.

Lists go backwards from the newest by number (keyset pagination), so that the first page costs the same however long the
journal is.
"""

from __future__ import annotations

import heapq
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from sqlalchemy import ColumnElement, Connection, Select, TextClause, exists, func, select

from bridge.journal import notices, search
from bridge.journal.notices import Resolved
from bridge.journal.schema import DEAD, OPEN, WAITS, attempts, deliveries, destinations, events
from bridge.journal.schema import FINISHED as DONE
from bridge.model import FINISHED, DeliveryState, EventState

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


_Condition = ColumnElement[bool] | TextClause
WAITING = "waiting"
"""The state of a list that is no delivery's: events that no mapping has seen yet."""
OPEN_STATES = frozenset({DeliveryState.PENDING, DeliveryState.SENDING, DeliveryState.RETRYING})
FEW = OPEN_STATES | {DeliveryState.DEAD, DeliveryState.STALE, DeliveryState.DISCARDED}
"""States in which few deliveries stand, so that a list is made from them and not from the events."""


@dataclass(frozen=True, slots=True)
class EventFilter:
    """What a person asks for; nothing asked for is everything."""

    text: str = ""
    """A number or id of an event, charge or customer, or what `journal.search` knows."""
    state: str = ""
    """A delivery's state, `open` for all that are not finished, or `waiting`."""
    mapping: str = ""
    name: str = ""
    account: str = ""
    since_ms: int | None = None
    until_ms: int | None = None
    """The first moment that is too late."""


def event_page(connection: Connection, wanted: EventFilter, limit: int, before_id: int | None = None) -> list[Row]:
    """Return the newest events with their bodies, at most `limit`, older than `before_id` where it is given."""
    low, high = _bounds(connection, wanted, before_id)
    own = _own(wanted)
    if low is not None:
        own.append(events.c.id >= low)
    if high is not None:
        own.append(events.c.id < high)
    if wanted.text:
        queries = [
            _events([*own, *_delivered(wanted), place]).limit(limit) for place in _places(connection, wanted.text)
        ]
    elif _from_deliveries(wanted):
        queries = _deliveries(wanted, own, low, high, limit)
    else:
        queries = [_events([*own, *_delivered(wanted)]).limit(limit)]
    ids = _newest((connection.scalars(query) for query in queries), limit)
    rows = connection.execute(select(events).where(events.c.id.in_(ids)).order_by(events.c.id.desc())).mappings()
    return [dict(row) for row in rows]


def _events(conditions: list[_Condition]) -> Select[tuple[int]]:
    return select(events.c.id).where(*conditions).order_by(events.c.id.desc())


def _newest(streams: Iterable[Iterable[int]], limit: int) -> list[int]:
    found: list[int] = []
    for id_ in heapq.merge(*streams, key=lambda number: -number):
        if len(found) == limit:
            break
        if not found or found[-1] != id_:
            found.append(id_)
    return found


def _own(wanted: EventFilter) -> list[_Condition]:
    conditions: list[_Condition] = []
    if wanted.name:
        conditions.append(events.c.name == wanted.name)
    if wanted.account:
        conditions.append(events.c.account == wanted.account)
    if wanted.since_ms is not None:
        conditions.append(events.c.received_ms >= wanted.since_ms)
    if wanted.until_ms is not None:
        conditions.append(events.c.received_ms < wanted.until_ms)
    if wanted.state == WAITING:
        conditions.append(WAITS)
    return conditions


def _delivered(wanted: EventFilter) -> list[_Condition]:
    """Return the condition that an event has such a delivery, to be looked up event by event."""
    if wanted.state in {"", WAITING} and not wanted.mapping:
        return []
    conditions: list[_Condition] = [deliveries.c.event_id == events.c.id]
    if states := _states(wanted):
        conditions.append(deliveries.c.state.in_([state.value for state in states]))
    if wanted.mapping:
        conditions.append(deliveries.c.mapping == wanted.mapping)
    return [exists().where(*conditions)]


def _states(wanted: EventFilter) -> list[DeliveryState]:
    if wanted.state == "open":
        return sorted(OPEN_STATES)
    return [] if wanted.state in {"", WAITING} else [DeliveryState(wanted.state)]


def _from_deliveries(wanted: EventFilter) -> bool:
    """Return whether a list is made from deliveries: where few stand in that state, or nothing else narrows it."""
    if wanted.state == WAITING or not (wanted.state or wanted.mapping):
        return False
    return not wanted.name or FEW.issuperset(_states(wanted) or [DeliveryState.DELIVERED])


def _deliveries(
    wanted: EventFilter, own: list[_Condition], low: int | None, high: int | None, limit: int
) -> list[Select[tuple[int]]]:
    """Return one query for each state, since an index leads to the newest of one state."""
    asked = _states(wanted) or list(DeliveryState)
    queries = []
    for state in [*(s for s in asked if s in FINISHED), *([None] if OPEN_STATES & set(asked) else [])]:
        c = deliveries.c
        query = select(c.event_id).order_by(c.event_id.desc()).limit(limit).distinct()
        if state is not None:
            query = query.where(c.state == state.value, DONE)
        else:
            query = query.where(OPEN, c.state.in_([s.value for s in asked if s in OPEN_STATES]))
        if wanted.mapping:
            query = query.where(c.mapping == wanted.mapping)
        if low is not None:
            query = query.where(c.event_id >= low)
        if high is not None:
            query = query.where(c.event_id < high)
        if own:
            query = query.where(exists().where(events.c.id == c.event_id, *own))
        queries.append(query)
    return queries


def _places(connection: Connection, text: str) -> list[_Condition]:
    """Return the conditions of which an event must meet one to be what the text means."""
    c = events.c
    text = text.strip()
    places: list[_Condition] = [c.object_id == text, c.subject == text]
    if text.startswith(("evt_", "sha256:")) or "&" in text:
        places.append((c.event_key == text) & c.account.in_(accounts(connection)))
    if text.isascii() and text.isdigit() and len(text) < 19:
        places.append(c.id == int(text))
    found = search.look_up(connection, text)
    if found.objects:
        places.append(search.of(events, "object_id", found.objects))
    if found.subjects:
        places.append(search.of(events, "subject", found.subjects))
    return places


def _bounds(connection: Connection, wanted: EventFilter, before_id: int | None) -> tuple[int | None, int | None]:
    """Return the first number wanted and the first that is too late.

    Events are numbered as they arrive, so a moment is found by halving instead of by an index of its own.
    """
    low = _first_at(connection, wanted.since_ms) - _SLACK if wanted.since_ms is not None else None
    high = _first_at(connection, wanted.until_ms) + _SLACK if wanted.until_ms is not None else None
    if before_id is not None:
        high = before_id if high is None else min(high, before_id)
    return low, high


_SLACK = 500
"""Events that came at the same time may be numbered in another order; the exact moment is compared as well."""


def _first_at(connection: Connection, moment_ms: int) -> int:
    """Return about the number of the first event that was received at that moment or later."""
    ends = connection.execute(select(events.c.id).order_by(events.c.id).limit(1)).scalar()
    last = connection.execute(select(events.c.id).order_by(events.c.id.desc()).limit(1)).scalar()
    low, high = ends or 0, (last or 0) + 1
    while low < high:
        middle = (low + high) // 2
        row = _at(connection, middle)
        if row is not None and row < moment_ms:
            low = middle + 1
        else:
            high = middle
    return low


def _at(connection: Connection, id_: int) -> int | None:
    query = select(events.c.received_ms).where(events.c.id >= id_).order_by(events.c.id).limit(1)
    return connection.scalar(query)


def names(connection: Connection) -> list[str]:
    """Return every name that a kept event has."""
    return _distinct(connection, events.c.name)


def accounts(connection: Connection) -> list[str]:
    """Return every account that an event was kept for."""
    return _distinct(connection, events.c.account)


def _distinct(connection: Connection, column: ColumnElement[str]) -> list[str]:
    """Return each value of a column by jumping from one to the next in its index."""
    found: list[str] = []
    query = select(column).order_by(column).limit(1)
    while (value := connection.scalar(query.where(column > found[-1]) if found else query)) is not None:
        found.append(value)
    return found


@dataclass(frozen=True, slots=True)
class DeadFilter:
    """Dead deliveries with one reason, of one mapping, to one destination; an empty text chooses all."""

    code: str = ""
    mapping: str = ""
    destination: str = ""
    until_ms: int | None = None
    """Only those that were dead then: what dies again while many are retried is not tried for ever."""
    with_payload: bool = False
    """Only those whose payload could be made and is still kept: no other can be retried."""
    with_body: bool = False
    """Only those whose event still has its body: no other can be replayed."""
    of: Collection[str] | None = None
    """Only those of these mappings."""


@dataclass(frozen=True, slots=True)
class DeadGroup:
    """Dead deliveries that one thing mends."""

    code: str
    mapping: str
    destination: str
    number: int
    with_payload: int
    with_body: int
    oldest_ms: int
    newest_ms: int


@dataclass(frozen=True, slots=True)
class Dead:
    """One of them."""

    id: int
    event_id: int
    mapping: str


@dataclass(frozen=True, slots=True)
class HoldGroup:
    """Events that wait for one reason before any mapping has seen them."""

    code: str
    account: str
    number: int
    oldest_ms: int


NOTICE = "delivery.dead"


def close_notice(connection: Connection, destination: str, now_ms: int) -> None:
    """Close a destination's notice of dead deliveries where it has none any more."""
    left = select(deliveries.c.id).where(deliveries.c.destination == destination, DEAD).limit(1)
    if connection.scalar(left) is None:
        notices.apply(connection, [Resolved(NOTICE, destination)], now_ms)


def dead_groups(connection: Connection) -> list[DeadGroup]:
    """Return the groups, the largest first."""
    c = deliveries.c
    keys = (func.coalesce(c.reason_code, ""), c.mapping, c.destination)
    ended = func.coalesce(c.finished_ms, c.created_ms)
    bodies = func.count().filter(events.c.emptied_ms.is_(None))
    query = (
        select(*keys, func.count(), func.count(c.payload), bodies, func.min(ended), func.max(ended))
        .join(events, events.c.id == c.event_id)
        .where(DEAD)
        .group_by(*keys)
        .order_by(func.count().desc(), *keys)
    )
    return [DeadGroup(*row) for row in connection.execute(query)]


def dead_count_of(connection: Connection, chosen: DeadFilter) -> int:
    """Return how many there are."""
    return connection.scalar(select(func.count()).select_from(deliveries).where(*_conditions(chosen))) or 0


def dead_page(connection: Connection, chosen: DeadFilter, after_id: int, limit: int) -> Sequence[Dead]:
    """Return the next ones after a number, oldest first, so that what is done to them keeps the order."""
    c = deliveries.c
    query = select(c.id, c.event_id, c.mapping).where(*_conditions(chosen), c.id > after_id).order_by(c.id).limit(limit)
    return [Dead(*row) for row in connection.execute(query)]


def of_event(connection: Connection, event_id: int, mapping: str | None) -> list[int]:
    """Return the numbers of an event's dead deliveries, of one mapping where it is named."""
    query = select(deliveries.c.id).where(deliveries.c.event_id == event_id, DEAD)
    if mapping is not None:
        query = query.where(deliveries.c.mapping == mapping)
    return list(connection.scalars(query.order_by(deliveries.c.id)))


def hold_groups(connection: Connection) -> list[HoldGroup]:
    """Return why events are on hold, those behind another of their customer left out."""
    c = events.c
    query = (
        select(c.hold_code, c.account, func.count(), func.min(c.received_ms))
        .where(WAITS, c.hold_code.is_not(None), c.hold_code != "event.behind")
        .group_by(c.hold_code, c.account)
        .order_by(func.count().desc(), c.hold_code, c.account)
    )
    return [HoldGroup(*row) for row in connection.execute(query)]


def _conditions(chosen: DeadFilter) -> list[ColumnElement[bool] | TextClause]:
    c = deliveries.c
    found: list[ColumnElement[bool] | TextClause] = [DEAD]
    if chosen.code:
        found.append(c.reason_code == chosen.code)
    if chosen.mapping:
        found.append(c.mapping == chosen.mapping)
    if chosen.destination:
        found.append(c.destination == chosen.destination)
    if chosen.with_payload:
        found.append(c.payload.is_not(None))
    if chosen.with_body:
        found.append(exists().where(events.c.id == c.event_id, events.c.emptied_ms.is_(None)))
    if chosen.of is not None:
        found.append(c.mapping.in_(chosen.of))
    if chosen.until_ms is not None:
        found.append(func.coalesce(c.finished_ms, c.created_ms) <= chosen.until_ms)
    return found


@dataclass(frozen=True, slots=True)
class ChargeEvent:
    """One event about a charge."""

    event_id: int
    name: str
    created: str
    body: str
    received_ms: int
    waits: bool
    """Whether the mappings have not had their say yet."""
    states: tuple[DeliveryState, ...]
    """How far its deliveries have come: the newest one of each mapping."""


def events_of_charge(connection: Connection, account: str, charge_ids: Collection[str]) -> dict[str, list[ChargeEvent]]:
    """Return the account's events about each of these charges, in the order of arrival."""
    about = (events.c.object_id.in_(charge_ids), events.c.account == account, events.c.entity == "payment")
    newest: dict[int, dict[str, DeliveryState]] = {}
    made = (
        select(deliveries.c.event_id, deliveries.c.mapping, deliveries.c.state)
        .join(events, events.c.id == deliveries.c.event_id)
        .where(*about)
        .order_by(deliveries.c.replay)
    )
    for row in connection.execute(made):
        newest.setdefault(row.event_id, {})[row.mapping] = DeliveryState(row.state)
    found: dict[str, list[ChargeEvent]] = {}
    for row in connection.execute(select(events).where(*about).order_by(events.c.id)):
        found.setdefault(row.object_id, []).append(
            ChargeEvent(
                row.id,
                row.name,
                row.created,
                row.body,
                row.received_ms,
                row.state == EventState.RECEIVED,
                tuple(newest.get(row.id, {}).values()),
            )
        )
    return found
