"""The journal's state in numbers, for whoever watches the bridge: lanes, destinations, how old the oldest work is.

Every number comes from a small table or from a partial index that holds only unfinished work.
"""

from __future__ import annotations

from dataclasses import dataclass

from sqlalchemy import Connection, func, select

from bridge.journal.schema import DEAD, OPEN, UNMENDED, WAITS, deliveries, destinations, events, lanes, notices


@dataclass(frozen=True, slots=True)
class Gauges:
    """One look at the journal."""

    oldest_owed_s: float
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
