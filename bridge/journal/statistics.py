"""Counts by the hour, for whoever asks how many and how fast: no event or delivery is read for them.

Triggers write a tally when an event is kept and when a delivery ends, in the same transaction; `fold` adds the tallies
to one row for each hour, account, mapping, destination, event name and verdict. What is read is the sum of both, so it
is exact at any time and stays exact when a fold is broken off. Rows that retention removes stay counted.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from sqlalchemy import ColumnElement, Connection, Executable, delete, func, insert, literal, select, union, union_all

from bridge.journal.schema import (
    DEAD,
    OPEN,
    UNMENDED,
    WAITS,
    deliveries,
    destinations,
    events,
    lanes,
    notices,
    rollups,
    tallies,
)
from bridge.journal.statements import Upsert

if TYPE_CHECKING:
    from bridge.journal.statements import Insert


HOUR_MS = 3_600_000
DAY_MS = 24 * HOUR_MS
RECEIVED = "received"
"""The verdict under which events are counted, by the hour of their arrival, without mapping and destination."""
BRASILIA_MS = -3 * HOUR_MS
"""Days are Brasília's, which has had no summer time since 2019."""
FOLD = 1_000
"""Tallies that one transaction adds up: a few milliseconds."""
BY = ("account", "mapping", "destination", "event", "verdict")

_KEY = [rollups.c.hour_ms, *(rollups.c[name] for name in BY)]


def _add(insert: Insert) -> Executable:
    new = insert.excluded
    more = {"number": rollups.c.number + new.number, "latency_ms": rollups.c.latency_ms + new.latency_ms}
    return insert.on_conflict_do_update(index_elements=_KEY, set_=more)


_ADD = Upsert(rollups, _add)


@dataclass(frozen=True, slots=True)
class Sum:
    """How many came in or ended within an hour or a day, for one combination of what was asked for."""

    start_ms: int
    key: tuple[str, ...]
    """The values of what was asked `by`, in that order."""
    number: int
    latency_ms: int
    """Of delivered ones together, from the event's arrival (or the replay's making) to Clint's answer."""

    @property
    def mean_latency_ms(self) -> float:
        """Return the mean; meaningful where all that was summed was delivered."""
        return self.latency_ms / self.number if self.number else 0.0


def last_24_hours(connection: Connection, now_ms: int, by: Sequence[str] = ("verdict",)) -> list[Sum]:
    """Return the sums of this hour and the 23 before it, hour by hour, the oldest first; empty hours are left out.

    An event counts as `received` in the hour of its arrival. A delivery, of a replay or not, counts once: by the state
    it is in now, in the hour in which it came into that state. One that is open, and a dead one whose place a replay
    took, are not counted.
    """
    this_hour_ms = now_ms // HOUR_MS * HOUR_MS
    return _read(connection, this_hour_ms - 23 * HOUR_MS, tallied_by=by, every_ms=HOUR_MS, shift_ms=0)


def last_30_days(connection: Connection, now_ms: int, by: Sequence[str] = ("verdict",)) -> list[Sum]:
    """Return the sums of today and the 29 days before in Brasília, day by day, the oldest first."""
    today_ms = (now_ms + BRASILIA_MS) // DAY_MS * DAY_MS - BRASILIA_MS
    return _read(connection, today_ms - 29 * DAY_MS, tallied_by=by, every_ms=DAY_MS, shift_ms=BRASILIA_MS)


def leave_out(connection: Connection, delivery_id: int) -> None:
    """Undo the count of a delivery that was just discarded, since the replay that took its place is counted."""
    c = deliveries.c
    hour_ms = c.finished_ms - c.finished_ms % literal(HOUR_MS)
    undone = (
        select(hour_ms, c.account, c.mapping, c.destination, events.c.name, c.state, literal(-1), literal(0))
        .join(events, events.c.id == c.event_id)
        .where(c.id == delivery_id)
    )
    connection.execute(insert(tallies).from_select(["hour_ms", *BY, "number", "latency_ms"], undone))


def active_hours(connection: Connection, since_ms: int) -> dict[str, list[int]]:
    """Return by account the hours (whole hours since the epoch) in which events came in, ascending."""
    of_events = (
        select(table.c.account, table.c.hour_ms).where(table.c.hour_ms >= since_ms, table.c.verdict == RECEIVED)
        for table in (rollups, tallies)
    )
    found: dict[str, list[int]] = {}
    for account, hour_ms in connection.execute(union(*of_events).order_by("account", "hour_ms")):
        found.setdefault(account, []).append(hour_ms // HOUR_MS)
    return found


def _read(
    connection: Connection, since_ms: int, *, tallied_by: Sequence[str], every_ms: int, shift_ms: int
) -> list[Sum]:
    parts = union_all(
        *(
            select(table.c.hour_ms, *(table.c[name] for name in tallied_by), table.c.number, table.c.latency_ms).where(
                table.c.hour_ms >= since_ms
            )
            for table in (rollups, tallies)
        )
    ).subquery()
    shifted: ColumnElement[int] = parts.c.hour_ms + literal(shift_ms)
    start = shifted - shifted % literal(every_ms) - literal(shift_ms)
    names = [parts.c[name] for name in tallied_by]
    number = func.sum(parts.c.number)
    query = select(start.label("start"), *names, number, func.sum(parts.c.latency_ms)).group_by("start", *names)
    rows = connection.execute(query.having(number != 0).order_by("start", *names))
    return [Sum(int(start), tuple(key), int(number), int(latency)) for start, *key, number, latency in rows]


def fold(connection: Connection, limit: int = FOLD) -> bool:
    """Add up to `limit` tallies to their rows; return whether more may be left."""
    oldest = select(tallies.c.id).order_by(tallies.c.id).limit(limit).with_for_update(skip_locked=True)
    taken = connection.execute(
        delete(tallies)
        .where(tallies.c.id.in_(oldest.scalar_subquery()))
        .returning(*(tallies.c[column.name] for column in _KEY), tallies.c.number, tallies.c.latency_ms)
    ).all()
    sums: defaultdict[tuple[object, ...], list[int]] = defaultdict(lambda: [0, 0])
    for *key, number, latency_ms in taken:
        sums[tuple(key)][0] += number
        sums[tuple(key)][1] += latency_ms
    if sums:
        names = [column.name for column in _KEY]
        connection.execute(
            _ADD.rows(connection),
            # In one order, so that two sweepers can't wait for each other.
            [
                {**dict(zip(names, key, strict=True)), "number": number, "latency_ms": latency_ms}
                for key, (number, latency_ms) in sorted(sums.items())
            ],
        )
    return len(taken) == limit


@dataclass(frozen=True, slots=True)
class Gauges:
    """One look at the journal."""

    oldest_due_s: float
    """Age of the oldest delivery that is neither sent nor given up; 0 where nothing is owed."""
    lanes: int
    lanes_leased: int
    lane_events: dict[int, int]
    """Lane -> events that no mapping has seen; lanes without any are left out."""
    lane_due: dict[int, int]
    """Lane -> customers whose next delivery could be sent now; lanes without any are left out."""
    circuits: dict[str, str]
    """Destination -> closed, open or half_open."""
    paused: dict[str, bool]
    notices: dict[tuple[str, str], int]
    """Code and subject (an account, a destination) of the open notices -> how often it was said."""


def gauges(connection: Connection, now_ms: int) -> Gauges:
    """Return the state at this moment."""
    # + 0: for the least number itself both databases walk all deliveries from the oldest until one is open.
    first = select(func.min(deliveries.c.id + 0)).where(OPEN).scalar_subquery()
    oldest_ms = connection.scalar(select(deliveries.c.created_ms).where(deliveries.c.id == first))
    count = func.count().label("number")
    leased = select(func.count()).select_from(lanes).where(lanes.c.lease_until_ms > now_ms)
    waiting = select(events.c.lane, count).where(WAITS).group_by(events.c.lane)
    due = (
        select(deliveries.c.lane, count)
        .where(deliveries.c.due_ms.is_not(None), deliveries.c.due_ms <= now_ms)
        .group_by(deliveries.c.lane)
    )
    known = connection.execute(select(destinations.c.name, destinations.c.state, destinations.c.paused_ms)).all()
    told = connection.execute(select(notices.c.code, notices.c.about, notices.c.times).where(UNMENDED))
    return Gauges(
        max(0, now_ms - oldest_ms) / 1000 if oldest_ms is not None else 0.0,
        connection.scalar(select(func.count()).select_from(lanes)) or 0,
        connection.scalar(leased) or 0,
        {row.lane: row.number for row in connection.execute(waiting)},
        {row.lane: row.number for row in connection.execute(due)},
        {row.name: row.state for row in known},
        {row.name: row.paused_ms is not None for row in known},
        {(row.code, row.about): row.times for row in told},
    )


def dead(connection: Connection) -> dict[str, dict[str, int]]:
    """Return by destination and reason code how many deliveries need a person."""
    columns = deliveries.c
    query = (
        select(columns.destination, columns.reason_code, func.count().label("number"))
        .where(DEAD)
        .group_by(columns.destination, columns.reason_code)
        .order_by(columns.destination, func.count().desc(), columns.reason_code)
    )
    found: dict[str, dict[str, int]] = {}
    for row in connection.execute(query):
        found.setdefault(row.destination, {})[row.reason_code or ""] = row.number
    return found


def waiting_since_ms(connection: Connection) -> int | None:
    """Return when the oldest event came in that is due and that no mapping has seen; None where there is none."""
    oldest_ms: int | None = connection.scalar(
        select(func.min(events.c.received_ms)).where(WAITS, events.c.hold_code.is_(None))
    )
    return oldest_ms


def held_for_asaas(connection: Connection, before_ms: int) -> dict[str, str]:
    """Return by account the code for which most events that came before then wait for Asaas.

    Replays are left out: when they were asked for is not in their row.
    """
    c = events.c
    # + "": grouped by the account itself, SQLite walks all events in the order of the accounts.
    account = (c.account + "").label("of")
    query = (
        select(account, c.hold_code)
        .where(WAITS, c.hold_code.like("asaas.%"), c.replay == 0, c.received_ms <= before_ms)
        .group_by(account, c.hold_code)
        .order_by(account, func.count(), c.hold_code.desc())
    )
    return {row.of: row.hold_code for row in connection.execute(query)}
