"""What a clock that was ahead has left in the journal, now that it is right: times that no clock could give today.

A lease that ends later than a lease lasts keeps its lane asleep for as long as the clock was wrong, and so does a due
time that is further away than any wait. Taken away here, they cost no more than a look.
"""

from __future__ import annotations

from collections.abc import Mapping

from sqlalchemy import ColumnElement, Connection, and_, case, exists, or_, select, update

from bridge.errors import AsaasQuotaSpent
from bridge.journal.lanes import lock_some
from bridge.journal.schema import WAITS, deliveries, destinations, events, lanes
from bridge.model import Waiting

_NOT_OF_PACE = deliveries.c.waiting.is_(None) | (deliveries.c.waiting != Waiting.PACE.value)
"""The operator's rate limit may be so low that the next slot is days away."""

_HELD_FOR_QUOTA = (AsaasQuotaSpent.code, "event.behind")


def leases(connection: Connection, latest_ms: int) -> dict[int, int]:
    """Return the lanes whose leases end later than that, with their ends."""
    query = select(lanes.c.lane, lanes.c.lease_until_ms).where(lanes.c.lease_until_ms > latest_ms)
    return {row.lane: row.lease_until_ms for row in connection.execute(query)}


def end_leases(connection: Connection, left: Mapping[int, int]) -> int:
    """End those of these leases that still end then: nobody has renewed them; return how many."""
    ended = 0
    for lane, until_ms in sorted(left.items()):
        same = (lanes.c.lane == lane) & (lanes.c.lease_until_ms == until_ms)
        ended += connection.execute(update(lanes).where(same).values(lease_until_ms=0)).rowcount
    return ended


def is_any_due_after(connection: Connection, latest_ms: int, quota_ms: int) -> bool:
    """Return whether an event, a delivery or a probe is due later than that; a rate limit's slots do not count.

    `quota_ms` is the latest time for an event that waits for Asaas's quota, or behind one that does.
    """
    far = _far(latest_ms, quota_ms)
    return bool(connection.scalar(select(or_(*(exists(select(1).where(each)) for each in far)))))


def _far(latest_ms: int, quota_ms: int) -> tuple[ColumnElement[bool], ColumnElement[bool], ColumnElement[bool]]:
    latest = case((events.c.hold_code.in_(_HELD_FOR_QUOTA), quota_ms), else_=latest_ms)
    return (
        and_(WAITS, events.c.due_ms > latest_ms, events.c.due_ms > latest),
        and_(deliveries.c.due_ms > latest_ms, _NOT_OF_PACE),
        destinations.c.until_ms > latest_ms,
    )


def due_now(connection: Connection, now_ms: int, latest_ms: int, quota_ms: int) -> int:
    """Let be due now what `is_any_due_after` looks for; return how much that was."""
    far_events, far_deliveries, far_probes = _far(latest_ms, quota_ms)
    for table, far in ((events, far_events), (deliveries, far_deliveries)):
        lock_some(connection, select(table.c.lane).where(far))
    moved = connection.execute(update(events).where(far_events).values(due_ms=now_ms)).rowcount
    moved += connection.execute(update(deliveries).where(far_deliveries).values(due_ms=now_ms)).rowcount
    return moved + connection.execute(update(destinations).where(far_probes).values(until_ms=now_ms)).rowcount
