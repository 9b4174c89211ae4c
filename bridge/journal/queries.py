"""Lists, counts and lookups for people. Changes nothing.

Lists go backwards from the newest id (keyset pagination): the first page costs the same however long the journal is.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any, NamedTuple, TypeAlias

from sqlalchemy import ColumnElement, Connection, Select, Table, TextClause, exists, func, select

from bridge.journal import notices, search
from bridge.journal.about import amount_of, cents_of, object_of
from bridge.journal.notices import Resolved
from bridge.journal.schema import DEAD, OPEN, WAITS, attempts, deliveries, events, revisions
from bridge.journal.schema import FINISHED as DONE
from bridge.journal.statements import count_by, distinct
from bridge.model import FINISHED, NOT_SENT, DeliveryState, EventState

Row: TypeAlias = dict[str, Any]
Condition: TypeAlias = ColumnElement[bool] | TextClause


class ValueRange(NamedTuple):
    """A range of values in cents, both ends included; None is open."""

    low: int | None = None
    high: int | None = None


ANY_VALUE = ValueRange()
LOOKED_THROUGH = 20_000
"""Events of one page of a list by value: where no delivery has the value in a column, the body is decrypted."""
_VALUES_AT_ONCE = 500


def under_way(connection: Connection) -> dict[str, int]:
    """Return the number of open deliveries by mapping; reads a partial index only."""
    return count_by(connection, deliveries.c.mapping, OPEN)


def list_events(
    connection: Connection, *, limit: int, before_id: int | None = None, value: ValueRange = ANY_VALUE, **wanted: Any
) -> list[Row]:
    """Return events without their bodies, newest first; `wanted` as in `event_ids`."""
    columns = [column for column in events.c if column.name != "body"]
    conditions = _event_conditions(**wanted)
    if value != ANY_VALUE:
        low = value_floor(connection, before_id)
        query = select(events.c.id).where(*conditions, *_in_range(events.c.id, low, before_id))
        ids = _of_value(connection, connection.scalars(query.order_by(events.c.id.desc())).all(), value, limit)
        conditions = [events.c.id.in_(ids)]
    conditions += _in_range(events.c.id, None, before_id)
    return _rows(connection, select(*columns).where(*conditions).order_by(events.c.id.desc()).limit(limit))


def event_ids(connection: Connection, **wanted: Any) -> list[int]:
    """Return the ids of events that are not emptied, oldest first.

    `wanted` is any of name, account, object_id, state, since_ms and until_ms (exclusive).
    """
    query = select(events.c.id).where(*_event_conditions(**wanted), events.c.emptied_ms.is_(None))
    return list(connection.scalars(query.order_by(events.c.id)))


def processed_between(
    connection: Connection, account: str, names: Collection[str], since_ms: int, until_ms: int, *, limit: int
) -> list[int]:
    """Return the last processed events of these names in a period that are not emptied, oldest first."""
    low, high = _bounds(connection, EventFilter(since_ms=since_ms, until_ms=until_ms), None)
    c = events.c
    of_event = _event_conditions(
        account=account, state=EventState.PROCESSED.value, since_ms=since_ms, until_ms=until_ms
    )
    query = select(c.id).where(*of_event, *_in_range(c.id, low, high), c.name.in_(names), c.emptied_ms.is_(None))
    return sorted(connection.scalars(query.order_by(c.id.desc()).limit(limit)))


def _event_conditions(
    *, since_ms: int | None = None, until_ms: int | None = None, **columns: str | None
) -> list[Condition]:
    return [*_equal(events, **columns), *_in_range(events.c.received_ms, since_ms, until_ms)]


def _equal(table: Table, **columns: str | int | None) -> list[Condition]:
    return [table.c[name] == value for name, value in columns.items() if value]


def mappings_of(connection: Connection, ids: Collection[int]) -> dict[int, dict[str, str]]:
    """Return for each of these events the state of each mapping's delivery that stands."""
    query = select(deliveries.c.event_id, deliveries.c.mapping, deliveries.c.state)
    query = query.where(deliveries.c.event_id.in_(ids)).order_by(deliveries.c.id)
    made: dict[int, list[Row]] = {id_: [] for id_ in ids}
    for row in _rows(connection, query):
        made[row["event_id"]].append(row)
    return {id_: {mapping: row["state"] for mapping, row in standing(rows).items()} for id_, rows in made.items()}


def standing(rows: Collection[Row]) -> dict[str, Row]:
    """Return each mapping's delivery that stands for it, of the deliveries of an event, oldest first.

    It is the newest one, or the delivered one before it where a replay sent nothing.
    """
    newest = {row["mapping"]: row for row in rows}
    delivered = {row["mapping"]: row for row in rows if row["state"] == DeliveryState.DELIVERED}
    return {
        mapping: delivered.get(mapping, row) if row["state"] in NOT_SENT else row for mapping, row in newest.items()
    }


def events_of(connection: Connection, ids: Collection[int]) -> list[Row]:
    """Return these events with their bodies, oldest first."""
    return _rows(connection, select(events).where(events.c.id.in_(ids)).order_by(events.c.id))


def events_about(connection: Connection, account: str, column: str, id_: str, limit: int) -> list[Row]:
    """Return the newest events of a charge (`object_id`) or a customer (`subject`) with their bodies, newest first."""
    # + "": by the account itself SQLite reads its events from the newest until enough are found.
    query = select(events).where(events.c[column] == id_, events.c.account + "" == account)
    return _rows(connection, query.order_by(events.c.id.desc()).limit(limit))


def deliveries_of_events(connection: Connection, ids: Collection[int]) -> dict[int, list[Row]]:
    """Return the deliveries of each of these events, oldest first."""
    found: dict[int, list[Row]] = {id_: [] for id_ in ids}
    query = select(deliveries).where(deliveries.c.event_id.in_(ids)).order_by(deliveries.c.id)
    for row in _rows(connection, query):
        found[row["event_id"]].append(row)
    return found


def open_deliveries(connection: Connection, ids: Collection[int]) -> dict[int, list[Row]]:
    """Return the open deliveries of each of these events without their payloads, oldest first."""
    found: dict[int, list[Row]] = {id_: [] for id_ in ids}
    columns = [column for column in deliveries.c if column.name != "payload"]
    query = select(*columns).where(deliveries.c.event_id.in_(ids), OPEN).order_by(deliveries.c.id)
    for row in _rows(connection, query):
        found[row["event_id"]].append(row)
    return found


def first_of_line(connection: Connection, delivery: Row) -> Row | None:
    """Return the open delivery for which this one waits in the end: the first in the line of its customer."""
    c = deliveries.c
    query = select(deliveries).where(OPEN, *_equal(deliveries, account=delivery["account"], line=delivery["line"]))
    query = query.where(c.subject == delivery["subject"], c.id < delivery["id"])
    return next(iter(_rows(connection, query.order_by(c.id).limit(1))), None)


def event_before(connection: Connection, event: Row) -> Row | None:
    """Return the waiting event for which a held one waits: the one before it of the same customer."""
    c = events.c
    query = select(events).where(WAITS, c.subject == event["subject"], c.account == event["account"])
    query = query.where(c.lane == event["lane"], c.id < event["id"])
    return next(iter(_rows(connection, query.order_by(c.id.desc()).limit(1))), None)


def find_event(connection: Connection, reference: str) -> Row | None:
    """Return one event with its body, by its number or by its whole Asaas id."""
    found: list[Row] = []
    if reference.isascii() and reference.isdigit() and len(reference) < 19:
        found = _rows(connection, select(events).where(events.c.id == int(reference)))
    if not found:
        by_key = select(events).where(events.c.event_key == reference)
        found = _rows(connection, by_key.order_by(events.c.id.desc()).limit(1))
    return found[0] if found else None


def destinations_of(connection: Connection, delivery_ids: Sequence[int]) -> dict[int, str]:
    """Return the destination of each of these deliveries."""
    found: dict[int, str] = {}
    for start in range(0, len(delivery_ids), 500):
        of = deliveries.c.id.in_(delivery_ids[start : start + 500])
        found |= dict(connection.execute(select(deliveries.c.id, deliveries.c.destination).where(of)).all())
    return found


def deliveries_of(connection: Connection, event_id: int) -> list[Row]:
    return _rows(connection, select(deliveries).where(deliveries.c.event_id == event_id).order_by(deliveries.c.id))


def attempts_of(connection: Connection, delivery_id: int) -> list[Row]:
    return _rows(connection, select(attempts).where(attempts.c.delivery_id == delivery_id).order_by(attempts.c.number))


def list_deliveries(
    connection: Connection,
    *,
    limit: int,
    before_id: int | None = None,
    states: Collection[str] = (),
    value: ValueRange = ANY_VALUE,
    **wanted: Any,
) -> list[Row]:
    """Return deliveries without their payloads, newest first, each with name and key of its event.

    `wanted` is any of code, mapping and destination.
    """
    c = deliveries.c
    conditions: list[Condition] = [*_equal(deliveries, reason_code=wanted.pop("code", None), **wanted)]
    if set(states) == {DeliveryState.DEAD.value}:
        conditions.append(DEAD)
    elif states:
        conditions.append(c.state.in_(states))
    if value != ANY_VALUE:
        low = delivery_floor(connection, before_id)
        pairs = select(c.id, c.event_id).where(*conditions, *_in_range(c.id, low, before_id))
        found = connection.execute(pairs.order_by(c.id.desc())).all()
        of_value = set(_of_value(connection, list(dict.fromkeys(row.event_id for row in found)), value))
        conditions = [c.id.in_([row.id for row in found if row.event_id in of_value][:limit])]
    columns = [column for column in c if column.name not in {"payload", "once_key", "amount", "answer"}]
    query = select(*columns, events.c.name.label("event_name"), events.c.event_key)
    query = query.join(events, events.c.id == c.event_id).order_by(c.id.desc()).limit(limit)
    return _rows(connection, query.where(*conditions, *_in_range(c.id, None, before_id)))


def _rows(connection: Connection, query: Select[Any]) -> list[Row]:
    return [dict(row) for row in connection.execute(query).mappings()]


WAITING = "waiting"  # the state of a filter for events that no mapping has seen yet, held ones included
_NO_DELIVERY = ~exists().where(deliveries.c.event_id == events.c.id)
_before = deliveries.alias("before")
_NOT_DELIVERED_BEFORE = ~exists().where(
    _before.c.event_id == deliveries.c.event_id,
    _before.c.mapping == deliveries.c.mapping,
    _before.c.replay < deliveries.c.replay,
    _before.c.state == DeliveryState.DELIVERED.value,
)
"""Leaves out what does not stand, see `standing`."""
_OF_EVENT: dict[str, list[Condition]] = {
    WAITING: [WAITS],
    "received": [WAITS, events.c.hold_code.is_(None)],
    "held": [WAITS, events.c.hold_code.is_not(None)],
    "unmapped": [events.c.state == EventState.PROCESSED.value, _NO_DELIVERY],
}
"""The states of a filter that are the event's own."""
OPEN_STATES = frozenset({DeliveryState.PENDING, DeliveryState.SENDING, DeliveryState.RETRYING})
_RARE = OPEN_STATES | {DeliveryState.DEAD, DeliveryState.STALE, DeliveryState.DISCARDED}
"""States of few deliveries: a list of them starts from the deliveries and not from the events."""


EVENT_STATES = tuple(_OF_EVENT)


@dataclass(frozen=True, slots=True)
class EventFilter:
    """A filter for events; an empty one matches all."""

    text: str = ""  # a number or id of an event, charge or customer, or a text for `journal.search`
    state: str = ""  # a state of a delivery, `open` for all open ones, or one of EVENT_STATES
    mapping: str = ""
    name: str = ""
    account: str = ""
    since_ms: int | None = None
    until_ms: int | None = None  # exclusive
    accounts: Collection[str] | None = None  # only those of these accounts: the person may see no other
    value: ValueRange = ANY_VALUE  # of the charge; one page looks through LOOKED_THROUGH events
    dead: DeadFilter | None = None  # with the state `dead`: only events with such a delivery


def event_page(connection: Connection, wanted: EventFilter, limit: int, before_id: int | None = None) -> list[Row]:
    """Return the newest `limit` events with their bodies, before the event `before_id`."""
    if wanted.accounts is not None:
        # Account by account, since the index has the events of each in order.
        names = [name for name in sorted(wanted.accounts) if wanted.account in {"", name}]
        of_each = (replace(wanted, account=name, accounts=None) for name in names)
        rows = [row for one in of_each for row in event_page(connection, one, limit, before_id)]
        return sorted(rows, key=lambda row: -int(row["id"]))[:limit]
    low, high = _bounds(connection, wanted, before_id)
    columns = {"name": wanted.name, "account": wanted.account}
    of_event = _event_conditions(since_ms=wanted.since_ms, until_ms=wanted.until_ms, **columns)
    of_event += _OF_EVENT.get(wanted.state, [])
    looked_at = limit
    if wanted.value != ANY_VALUE:
        low, looked_at = max(low or 0, value_floor(connection, high) or 0), LOOKED_THROUGH
    in_range = _in_range(events.c.id, low, high)
    newest = select(events.c.id).order_by(events.c.id.desc()).limit(looked_at)
    if wanted.text:
        conditions = [*of_event, *in_range, *_delivery_exists(wanted)]
        queries = [newest.where(*conditions, place) for place in _places(connection, wanted.text)]
    elif _starts_from_deliveries(wanted):
        queries = _by_deliveries(wanted, [*of_event, *in_range], low, high, looked_at)
    else:
        queries = [newest.where(*of_event, *in_range, *_delivery_exists(wanted))]
    ids = sorted({id_ for query in queries for id_ in connection.scalars(query)}, reverse=True)
    ids = _of_value(connection, ids, wanted.value, limit) if wanted.value != ANY_VALUE else ids[:limit]
    return _rows(connection, select(events).where(events.c.id.in_(ids)).order_by(events.c.id.desc()))


def event_floor(connection: Connection, wanted: EventFilter, before_id: int | None = None) -> int | None:
    """Return the number before which `event_page` did not look for values; None where it looked at all events."""
    if wanted.value == ANY_VALUE:
        return None
    low, high = _bounds(connection, wanted, before_id)
    floor = value_floor(connection, high)
    return floor if floor is not None and floor > (low or 0) else None


def value_floor(connection: Connection, before_id: int | None) -> int | None:
    """Return the number of the oldest event that one page of a list by value looks at; None for all."""
    return _floor(connection, before_id, events)


def delivery_floor(connection: Connection, before_id: int | None) -> int | None:
    """Return the same for a list of deliveries."""
    return _floor(connection, before_id, deliveries)


def _floor(connection: Connection, before_id: int | None, table: Table) -> int | None:
    by_id = select(table.c.id).order_by(table.c.id.desc())
    query = by_id if before_id is None else by_id.where(table.c.id < before_id)
    newest = connection.scalar(query.limit(1)) or 0
    floor = newest - LOOKED_THROUGH + 1
    older = connection.scalar(by_id.where(table.c.id < floor).limit(1)) if floor > 1 else None
    return None if older is None else floor


def _of_value(connection: Connection, ids: Sequence[int], value: ValueRange, limit: int | None = None) -> list[int]:
    """Return those of these events whose object has a value of the range, in the given order."""
    found: list[int] = []
    for start in range(0, len(ids), _VALUES_AT_ONCE):
        cents = _cents(connection, ids[start : start + _VALUES_AT_ONCE])
        found += [
            id_
            for id_, amount in cents.items()
            if (value.low is None or amount >= value.low) and (value.high is None or amount <= value.high)
        ]
        if limit is not None and len(found) >= limit:
            break
    return found[:limit]


def _cents(connection: Connection, ids: Sequence[int]) -> dict[int, int]:
    """Return the value of each of these events that has one: as a delivery of it has it, else from its body."""
    c = deliveries.c
    query = (
        select(c.event_id, func.max(c.amount).label("cents"))
        .where(c.event_id.in_(ids), c.amount > 0)
        .group_by(c.event_id)
    )
    known: dict[int, int] = {row.event_id: row.cents for row in connection.execute(query)}
    e = events.c
    bodies = select(e.id, e.entity, e.body).where(e.id.in_([id_ for id_ in ids if id_ not in known]))
    for row in _rows(connection, bodies):
        if (amount := amount_of(object_of(row))) is not None:
            known[row["id"]] = cents_of(amount)
    return {id_: known[id_] for id_ in ids if id_ in known}


def _in_range(column: ColumnElement[int], low: int | None, high: int | None) -> list[Condition]:
    return [*([column >= low] if low is not None else []), *([column < high] if high is not None else [])]


def _delivery_exists(wanted: EventFilter) -> list[Condition]:
    states = _states(wanted)
    if not states and not wanted.mapping:
        return []
    conditions = [deliveries.c.event_id == events.c.id, *_equal(deliveries, mapping=wanted.mapping)]
    if NOT_SENT.issuperset(states) and states:
        conditions.append(_NOT_DELIVERED_BEFORE)
    if states:
        conditions.append(deliveries.c.state.in_([state.value for state in states]))
    conditions += dead_conditions(wanted.dead) if wanted.dead else []
    return [exists().where(*conditions)]


def _states(wanted: EventFilter) -> list[DeliveryState]:
    if wanted.state == "open":
        return sorted(OPEN_STATES)
    return [] if not wanted.state or wanted.state in _OF_EVENT else [DeliveryState(wanted.state)]


def _starts_from_deliveries(wanted: EventFilter) -> bool:
    """Return whether few deliveries have that state, or neither name nor text narrows the list."""
    if wanted.state in _OF_EVENT or not (wanted.state or wanted.mapping):
        return False
    return not wanted.name or _RARE.issuperset(_states(wanted) or [DeliveryState.DELIVERED])


def _by_deliveries(
    wanted: EventFilter, of_event: list[Condition], low: int | None, high: int | None, limit: int
) -> list[Select[tuple[int]]]:
    """Return a query for each state, since an index finds the newest of one state."""
    states = _states(wanted) or list(DeliveryState)
    c = deliveries.c
    parts: list[list[Condition]] = [[c.state == state.value, DONE] for state in states if state in FINISHED]
    if NOT_SENT.issuperset(states):
        parts = [[*part, _NOT_DELIVERED_BEFORE] for part in parts]
    if open_states := [state.value for state in states if state in OPEN_STATES]:
        parts.append([OPEN, c.state.in_(open_states)])
    query = select(c.event_id).order_by(c.event_id.desc()).limit(limit).distinct()
    query = query.where(*_equal(deliveries, mapping=wanted.mapping), *_in_range(c.event_id, low, high))
    query = query.where(*dead_conditions(wanted.dead)) if wanted.dead else query
    if of_event:
        query = query.where(exists().where(events.c.id == c.event_id, *of_event))
    return [query.where(*part) for part in parts]


def _places(connection: Connection, text: str) -> list[Condition]:
    """Return the conditions of which an event must meet one to match the text."""
    c = events.c
    text = text.strip()
    places: list[Condition] = [c.object_id == text, c.subject == text]
    if text.startswith(("evt_", "sha256:")) or "&" in text:
        places.append((c.event_key == text) & c.account.in_(accounts(connection)))
    if text.isascii() and text.isdigit() and len(text) < 19:
        places.append(c.id == int(text))
    found = search.look_up(connection, text)
    for column, refs in (("object_id", found.objects), ("subject", found.subjects)):
        if found.common and found.is_full(refs):  # the newest events are looked through instead
            places.append(search.has_term(events, column, found.common))
        elif refs:
            places.append(search.of(events, column, refs))
    return places


_REPLAYABLE_PAGE = 1_000
_SLACK = 500
"""Events that arrive together may get their ids in another order; the conditions compare the exact time as well."""


def _bounds(connection: Connection, wanted: EventFilter, before_id: int | None) -> tuple[int | None, int | None]:
    """Return the first id of the time range and the first id after it.

    Ids grow with the time of arrival, so a binary search finds a time without an index of its own.
    """
    low = _first_at(connection, wanted.since_ms) - _SLACK if wanted.since_ms is not None else None
    high = _first_at(connection, wanted.until_ms) + _SLACK if wanted.until_ms is not None else None
    if before_id is not None:
        high = before_id if high is None else min(high, before_id)
    return low, high


def _first_at(connection: Connection, moment_ms: int) -> int:
    by_id = select(events.c.id).limit(1)
    low = connection.scalar(by_id.order_by(events.c.id)) or 0
    high = (connection.scalar(by_id.order_by(events.c.id.desc())) or 0) + 1
    while low < high:
        middle = (low + high) // 2
        query = select(events.c.received_ms).where(events.c.id >= middle).order_by(events.c.id).limit(1)
        received_ms = connection.scalar(query)
        if received_ms is not None and received_ms < moment_ms:
            low = middle + 1
        else:
            high = middle
    return low


def replayable(connection: Connection, since_ms: int, until_ms: int) -> Iterator[tuple[int, str, str]]:
    """Yield number, name and account of the events of a time that can be replayed, oldest first."""
    low, high = _bounds(connection, EventFilter(since_ms=since_ms, until_ms=until_ms), None)
    c = events.c
    query = select(c.id, c.name, c.account).order_by(c.id).limit(_REPLAYABLE_PAGE)
    query = query.where(c.state == EventState.PROCESSED.value, c.emptied_ms.is_(None), *_in_range(c.id, None, high))
    query = query.where(*_in_range(c.received_ms, since_ms, until_ms))
    while rows := connection.execute(query.where(c.id >= (low or 0))).all():
        yield from ((row.id, row.name, row.account) for row in rows)
        low = rows[-1].id + 1


def has_mapping(connection: Connection, name: str) -> bool:
    """Return whether a mapping of that name is or was active."""
    return connection.scalar(select(revisions.c.id).where(revisions.c.mapping == name).limit(1)) is not None


def names(connection: Connection) -> list[str]:
    return distinct(connection, events.c.name)


def accounts(connection: Connection) -> list[str]:
    return distinct(connection, events.c.account)


@dataclass(frozen=True, slots=True)
class DeadFilter:
    """A filter for dead deliveries; an empty one matches all."""

    code: str = ""
    mapping: str = ""
    destination: str = ""
    event_id: int | None = None
    answer: str | None = None
    """The hash of the destination's answer; an empty text for those without."""
    since_ms: int | None = None
    until_ms: int | None = None
    """Only those that were dead then, so that a bulk retry does not retry one again that dies meanwhile."""
    with_payload: bool = False  # only those with a payload: no other can be retried
    with_body: bool = False  # only those whose event is not emptied: no other can be replayed
    of: Collection[str] | None = None  # only those of these mappings
    accounts: Collection[str] | None = None  # only those of these accounts: the person may see no other


NOTICE = "delivery.dead"


def close_notice(connection: Connection, destination: str, now_ms: int) -> None:
    """Close a destination's notice of dead deliveries where it has none any more."""
    left = select(deliveries.c.id).where(deliveries.c.destination == destination, DEAD).limit(1)
    if connection.scalar(left) is None:
        notices.apply(connection, [Resolved(NOTICE, destination)], now_ms)


def of_accounts(table: Table, accounts: Collection[str] | None) -> list[Condition]:
    """Return the condition that a row belongs to one of these accounts; None means all."""
    return [] if accounts is None else [table.c.account.in_(sorted(accounts))]


def dead_count(connection: Connection, chosen: DeadFilter | None = None) -> int:
    """Return the number of dead deliveries; without a filter it reads a partial index only."""
    query = select(func.count()).select_from(deliveries).where(DEAD, *(dead_conditions(chosen) if chosen else []))
    return connection.scalar(query) or 0


def dead_page(
    connection: Connection, chosen: DeadFilter, after_id: int = 0, limit: int | None = None
) -> list[tuple[int, int, str]]:
    """Return id, event and mapping of dead deliveries after that id, oldest first: their changes keep the order."""
    c = deliveries.c
    query = select(c.id, c.event_id, c.mapping).where(DEAD, *dead_conditions(chosen))
    if after_id:
        query = query.where(c.id > after_id)
    return [(id_, event_id, name) for id_, event_id, name in connection.execute(query.order_by(c.id).limit(limit))]


def dead_conditions(chosen: DeadFilter) -> list[Condition]:
    c = deliveries.c
    names = {"reason_code": chosen.code, "mapping": chosen.mapping, "destination": chosen.destination}
    found = [*_equal(deliveries, event_id=chosen.event_id, **names), *of_accounts(deliveries, chosen.accounts)]
    if chosen.with_payload:
        found.append(c.payload.is_not(None))
    if chosen.with_body:
        of = events.alias("of")  # the query may read events besides
        found.append(exists().where(of.c.id == c.event_id, of.c.emptied_ms.is_(None)))
    if chosen.of is not None:
        found.append(c.mapping.in_(chosen.of))
    if chosen.answer is not None:
        found.append(c.answer == chosen.answer if chosen.answer else c.answer.is_(None))
    ended = func.coalesce(c.finished_ms, c.created_ms)
    if chosen.since_ms is not None:
        found.append(ended >= chosen.since_ms)
    if chosen.until_ms is not None:
        found.append(ended <= chosen.until_ms)
    return found


@dataclass(frozen=True, slots=True)
class ChargeEvent:
    event_id: int
    name: str
    created: str
    body: str
    received_ms: int
    waits: bool  # whether the mappings have not processed it yet
    states: tuple[DeliveryState, ...]  # the state of each mapping's delivery that stands


def events_of_charge(connection: Connection, account: str, charge_ids: Collection[str]) -> dict[str, list[ChargeEvent]]:
    """Return the account's events about each of these charges, in the order of arrival."""
    about = (events.c.object_id.in_(charge_ids), events.c.account == account, events.c.entity == "payment")
    rows = connection.execute(select(events).where(*about).order_by(events.c.id)).all()
    states = mappings_of(connection, [row.id for row in rows])
    found: dict[str, list[ChargeEvent]] = {}
    for row in rows:
        facts = (row.id, row.name, row.created, row.body, row.received_ms, row.state == EventState.RECEIVED)
        event = ChargeEvent(*facts, tuple(DeliveryState(state) for state in states[row.id].values()))
        found.setdefault(row.object_id, []).append(event)
    return found
