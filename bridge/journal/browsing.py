"""A person's list of events: searched, filtered, newest first, as fast with a million events as with ten.

Each filter has an index that ends in the event's number. A page is the newest numbers below the last one shown, taken
from one or several such indexes and merged here: a database asked for all at once would rather sort a million rows.
"""

from __future__ import annotations

import heapq
from collections.abc import Iterable
from dataclasses import dataclass

from sqlalchemy import ColumnElement, Connection, Select, TextClause, exists, select

from bridge.journal import search
from bridge.journal.reading import Row
from bridge.journal.schema import FINISHED as DONE
from bridge.journal.schema import OPEN, WAITS, deliveries, events
from bridge.model import FINISHED, DeliveryState

_Condition = ColumnElement[bool] | TextClause
WAITING = "waiting"
"""The state of a list that is no delivery's: events that no mapping has seen yet."""
OPEN_STATES = frozenset({DeliveryState.PENDING, DeliveryState.SENDING, DeliveryState.RETRYING})
FEW = OPEN_STATES | {DeliveryState.DEAD, DeliveryState.STALE, DeliveryState.DISCARDED}
"""States in which few deliveries stand, so that a list is made from them and not from the events."""


@dataclass(frozen=True, slots=True)
class Wanted:
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


def browse(connection: Connection, wanted: Wanted, limit: int, before_id: int | None = None) -> list[Row]:
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


def _own(wanted: Wanted) -> list[_Condition]:
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


def _delivered(wanted: Wanted) -> list[_Condition]:
    """Return the condition that an event has such a delivery, to be looked up event by event."""
    if wanted.state in {"", WAITING} and not wanted.mapping:
        return []
    conditions: list[_Condition] = [deliveries.c.event_id == events.c.id]
    if states := _states(wanted):
        conditions.append(deliveries.c.state.in_([state.value for state in states]))
    if wanted.mapping:
        conditions.append(deliveries.c.mapping == wanted.mapping)
    return [exists().where(*conditions)]


def _states(wanted: Wanted) -> list[DeliveryState]:
    if wanted.state == "open":
        return sorted(OPEN_STATES)
    return [] if wanted.state in {"", WAITING} else [DeliveryState(wanted.state)]


def _from_deliveries(wanted: Wanted) -> bool:
    """Return whether a list is made from deliveries: where few stand in that state, or nothing else narrows it."""
    if wanted.state == WAITING or not (wanted.state or wanted.mapping):
        return False
    return not wanted.name or FEW.issuperset(_states(wanted) or [DeliveryState.DELIVERED])


def _deliveries(
    wanted: Wanted, own: list[_Condition], low: int | None, high: int | None, limit: int
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


def _bounds(connection: Connection, wanted: Wanted, before_id: int | None) -> tuple[int | None, int | None]:
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
