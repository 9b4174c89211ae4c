"""Counts by the hour, and gauges of the current state.

Triggers write a tally when an event is appended and when a delivery ends, in the same transaction; `fold` adds tallies
to one row for each hour, account, mapping, destination, event name and verdict. Queries sum both, so they are exact at
any time. Rows that retention removes stay counted.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Collection, Sequence
from dataclasses import dataclass

from sqlalchemy import ColumnElement, Connection, delete, func, insert, literal, or_, select, text, union, union_all

from bridge.journal import destinations, notices
from bridge.journal.destinations import Destination
from bridge.journal.notices import StoredNotice
from bridge.journal.queries import of_accounts
from bridge.journal.schema import COUNTED_BY, DEAD, OPEN, WAITS, deliveries, events, lanes, rollups, tallies
from bridge.journal.statements import count_by
from bridge.model import DeliveryState

HOUR_MS = 3_600_000
DAY_MS = 24 * HOUR_MS
RECEIVED = "received"
"""The verdict of events, which have no mapping and no destination; they count in the hour of their arrival."""
BRASILIA_MS = -3 * HOUR_MS  # days are those of Brasília, which has no summer time
_TABLES = (rollups, tallies)

_add = text(
    f"INSERT INTO rollups (hour_ms, {', '.join(COUNTED_BY)}, number, latency_ms)"  # noqa: S608 (our own names)
    f" VALUES (:hour_ms, {', '.join(f':{name}' for name in COUNTED_BY)}, :number, :latency_ms)"
    f" ON CONFLICT (hour_ms, {', '.join(COUNTED_BY)}) DO UPDATE SET"
    " number = rollups.number + excluded.number, latency_ms = rollups.latency_ms + excluded.latency_ms"
)


@dataclass(frozen=True, slots=True)
class Sum:
    """The events or deliveries of an hour or a day."""

    start_ms: int
    key: tuple[str, ...]  # the values of the columns `by`
    number: int
    latency_ms: int  # sum over delivered deliveries, from the event's arrival (or the replay) to Clint's answer


def last_24_hours(
    connection: Connection, now_ms: int, by: Sequence[str] = ("verdict",), accounts: Collection[str] | None = None
) -> list[Sum]:
    """Return the sums of this hour and the 23 before it, oldest first; empty hours are left out.

    An event counts as `received` in the hour of its arrival. A delivery counts once, by its final state, in the hour in
    which it reached that state; open ones, and dead ones that a replay replaced, do not count. With `accounts` only
    what belongs to one of them counts, here and below.
    """
    this_hour_ms = now_ms // HOUR_MS * HOUR_MS
    return _sums(connection, this_hour_ms - 23 * HOUR_MS, by, accounts, every_ms=HOUR_MS, shift_ms=0)


def last_30_days(
    connection: Connection, now_ms: int, by: Sequence[str] = ("verdict",), accounts: Collection[str] | None = None
) -> list[Sum]:
    """Return the sums of today and the 29 days before it in Brasília, oldest first; see `last_24_hours`."""
    today_ms = (now_ms + BRASILIA_MS) // DAY_MS * DAY_MS - BRASILIA_MS
    return _sums(connection, today_ms - 29 * DAY_MS, by, accounts, every_ms=DAY_MS, shift_ms=BRASILIA_MS)


def leave_out(connection: Connection, delivery_id: int) -> None:
    """Undo the count of a discarded delivery, since the replay that replaces it is counted."""
    c = deliveries.c
    hour_ms = c.finished_ms - c.finished_ms % literal(HOUR_MS)
    counted = (hour_ms, c.account, c.mapping, c.destination, events.c.name, c.state, literal(-1), literal(0))
    undone = select(*counted).join(events, events.c.id == c.event_id).where(c.id == delivery_id)
    connection.execute(insert(tallies).from_select(["hour_ms", *COUNTED_BY, "number", "latency_ms"], undone))


def active_hours(connection: Connection, since_ms: int) -> dict[str, list[int]]:
    """Return by account the hours (since the epoch) in which events arrived, ascending."""
    of_events = (
        select(table.c.account, table.c.hour_ms).where(table.c.hour_ms >= since_ms, table.c.verdict == RECEIVED)
        for table in _TABLES
    )
    found: dict[str, list[int]] = {}
    for account, hour_ms in connection.execute(union(*of_events).order_by("account", "hour_ms")):
        found.setdefault(account, []).append(hour_ms // HOUR_MS)
    return found


def _sums(
    connection: Connection,
    since_ms: int,
    by: Sequence[str],
    accounts: Collection[str] | None,
    *,
    every_ms: int,
    shift_ms: int,
) -> list[Sum]:
    columns = ("hour_ms", *by, "number", "latency_ms")
    tables = (
        select(*(table.c[name] for name in columns)).where(table.c.hour_ms >= since_ms, *of_accounts(table, accounts))
        for table in _TABLES
    )
    parts = union_all(*tables).subquery()
    shifted: ColumnElement[int] = parts.c.hour_ms + literal(shift_ms)
    start = shifted - shifted % literal(every_ms) - literal(shift_ms)
    names = [parts.c[name] for name in by]
    number = func.sum(parts.c.number)
    query = select(start.label("start"), *names, number, func.sum(parts.c.latency_ms)).group_by("start", *names)
    rows = connection.execute(query.having(number != 0).order_by("start", *names))
    return [Sum(int(start), tuple(key), int(number), int(latency)) for start, *key, number, latency in rows]


def fold(connection: Connection, limit: int = 1_000) -> bool:
    """Fold up to `limit` tallies; return whether more may be left."""
    oldest = select(tallies.c.id).order_by(tallies.c.id).limit(limit).with_for_update(skip_locked=True)
    names = ("hour_ms", *COUNTED_BY, "number", "latency_ms")
    query = delete(tallies).where(tallies.c.id.in_(oldest.scalar_subquery()))
    taken = connection.execute(query.returning(*(tallies.c[name] for name in names))).all()
    sums: defaultdict[tuple[object, ...], list[int]] = defaultdict(lambda: [0, 0])
    for *values, number, latency_ms in taken:
        sums[tuple(values)][0] += number
        sums[tuple(values)][1] += latency_ms
    if sums:
        # In one order of rows, which prevents deadlocks of two workers.
        rows = [dict(zip(names, (*at, *sums[at]), strict=True)) for at in sorted(sums)]
        connection.execute(_add, rows)
    return len(taken) == limit


@dataclass(frozen=True, slots=True)
class Gauges:
    events_waiting: int
    oldest_waiting_s: float
    waiting_since_ms: int | None  # arrival of the oldest event that waits without a hold
    deliveries: dict[str, int]  # number by state: the open states, and dead
    oldest_due_s: float  # age of the oldest open delivery; 0 where there is none
    lanes: int
    lanes_leased: int
    lane_events: dict[int, int]  # lane -> waiting events; lanes without any are left out
    lane_due: dict[int, int]  # lane -> due deliveries, one of each line at most; lanes without any are left out
    destinations: dict[str, Destination]
    notices: list[StoredNotice]  # the open ones


def gauges(connection: Connection, now_ms: int, accounts: Collection[str] | None = None) -> Gauges:
    mine, of_mine = of_accounts(events, accounts), of_accounts(deliveries, accounts)
    # + 0: for the least id itself both databases read all deliveries from the oldest until one is open.
    first = select(func.min(deliveries.c.id + 0)).where(OPEN, *of_mine).scalar_subquery()
    oldest_ms = connection.scalar(select(deliveries.c.created_ms).where(deliveries.c.id == first))
    is_leased = lanes.c.lease_until_ms > now_ms
    all_lanes, leased = connection.execute(select(func.count(), func.count().filter(is_leased))).one()
    arrived = func.min(events.c.received_ms)
    of_events = select(func.count(), arrived, arrived.filter(events.c.hold_code.is_(None))).where(WAITS, *mine)
    waiting, oldest_waiting_ms, waiting_since_ms = connection.execute(of_events).one()
    by_state = {state.value: 0 for state in (DeliveryState.PENDING, DeliveryState.SENDING, DeliveryState.RETRYING)}
    by_state |= count_by(connection, deliveries.c.state, OPEN, *of_mine)
    dead_ones = select(func.count()).select_from(deliveries).where(DEAD, *of_mine)
    by_state["dead"] = connection.scalar(dead_ones) or 0
    return Gauges(
        waiting,
        (now_ms - oldest_waiting_ms) / 1000 if waiting else 0.0,
        waiting_since_ms,
        by_state,
        max(0, now_ms - oldest_ms) / 1000 if oldest_ms is not None else 0.0,
        all_lanes,
        leased,
        count_by(connection, events.c.lane, WAITS, *mine),
        count_by(
            connection, deliveries.c.lane, deliveries.c.due_ms.is_not(None), deliveries.c.due_ms <= now_ms, *of_mine
        ),
        destinations.load(connection),
        notices.open_notices(connection),
    )


def dead(connection: Connection) -> dict[str, dict[str, int]]:
    c = deliveries.c
    number = func.count()
    query = select(c.destination, c.reason_code, number).where(DEAD).group_by(c.destination, c.reason_code)
    found: dict[str, dict[str, int]] = {}
    for destination, code, times in connection.execute(query.order_by(c.destination, number.desc(), c.reason_code)):
        found.setdefault(destination, {})[code or ""] = times
    return found


def dead_by_account(connection: Connection) -> dict[str, dict[str, dict[str, int]]]:
    """Return the number of dead deliveries by account, destination and reason code; the largest number first."""
    c = deliveries.c
    keys = (c.account, c.destination, c.reason_code)
    query = select(*keys, func.count().label("number")).where(DEAD).group_by(*keys)
    found: dict[str, dict[str, dict[str, int]]] = {}
    for account, destination, code, times in connection.execute(query.order_by(func.count().desc(), *keys)):
        found.setdefault(account, {}).setdefault(destination, {})[code or ""] = times
    return found


def waiting_since_ms(connection: Connection, accounts: Collection[str] | None = None) -> int | None:
    """Return the arrival of the oldest event that waits without a hold."""
    mine = of_accounts(events, accounts)
    query = select(func.min(events.c.received_ms)).where(WAITS, events.c.hold_code.is_(None), *mine)
    oldest_ms: int | None = connection.scalar(query)
    return oldest_ms


def has_work(connection: Connection, now_ms: int, accounts: Collection[str] | None = None) -> bool:
    """Return whether a worker has something to do now: an event to process or a delivery to send."""
    if waiting_since_ms(connection, accounts) is not None:
        return True
    c = deliveries.c
    query = select(c.id).where(c.due_ms.is_not(None), c.due_ms <= now_ms, *of_accounts(deliveries, accounts))
    return connection.scalar(query.limit(1)) is not None


BY_HAND = ("asaas.key_missing", "asaas.key_refused")
"""Events that wait for one of these go on only after a person did something."""


def held_for_asaas(connection: Connection, before_ms: int) -> dict[str, str]:
    """Return by account the code for which most events wait for Asaas.

    Events that arrived before `before_ms` count, and all that wait for a person.

    Replays are left out: their rows do not say when they began.
    """
    c = events.c
    is_due = or_(c.received_ms <= before_ms, c.hold_code.in_(BY_HAND))
    # + "": grouped by the column itself, SQLite reads all events in the order of the accounts.
    account = (c.account + "").label("of")
    query = select(account, c.hold_code).group_by(account, c.hold_code)
    query = query.where(WAITS, c.hold_code.like("asaas.%"), c.replay == 0, is_due)
    rows = connection.execute(query.order_by(account, func.count(), c.hold_code.desc()))
    return {row.of: row.hold_code for row in rows}
