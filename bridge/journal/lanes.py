"""Lanes and their leases: who may work on the events of a customer right now.

A lease is a row with an owner, an expiry and a fence that grows with every lease. `hold` opens the only kind of
transaction in which a worker may change a lane's rows: it checks the fence and renews the lease in one statement, which
also locks the row, so that a worker and a person's command never change the same line at once.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

from sqlalchemy import Connection, bindparam, exists, select, update

from bridge.errors import LeaseLost
from bridge.journal.database import Database
from bridge.journal.schema import SENDING, WAITS, attempts, deliveries, events, lanes
from bridge.model import DeliveryState, Outcome


@dataclass(slots=True)
class Lease:
    """The right to work on one lane until a time, under a fence."""

    lane: int
    owner: str
    fence: int
    until_ms: int


_acquire = (
    update(lanes)
    .where(lanes.c.lane == bindparam("b_lane"), lanes.c.lease_until_ms <= bindparam("b_now"))
    .values(owner=bindparam("b_owner"), fence=lanes.c.fence + 1, lease_until_ms=bindparam("b_until"))
    .returning(lanes.c.fence)
)
_renew = (
    update(lanes)
    .where(lanes.c.lane == bindparam("b_lane"), lanes.c.fence == bindparam("b_fence"))
    .values(lease_until_ms=bindparam("b_until"))
)
_event_due = exists(select(1).where(events.c.lane == lanes.c.lane, WAITS, events.c.due_ms <= bindparam("b_now")))
_delivery_due = exists(
    select(1).where(
        deliveries.c.lane == lanes.c.lane, deliveries.c.due_ms.is_not(None), deliveries.c.due_ms <= bindparam("b_now")
    )
)
# An expired lease is due as well: what its owner left in state `sending` has no due time of its own.
_left_behind = exists(select(1).where(deliveries.c.lane == lanes.c.lane, SENDING))
_due = (
    select(lanes.c.lane)
    .where(lanes.c.lease_until_ms <= bindparam("b_now"), _event_due | _delivery_due | _left_behind)
    .order_by(lanes.c.lane)
)


class Lanes:
    """The lanes of one journal."""

    def __init__(self, database: Database, lease_ms: int) -> None:
        self._database = database
        self._lease_ms = lease_ms

    def acquire(self, lane: int, owner: str, now_ms: int) -> Lease | None:
        """Lease the lane, or return None where somebody else has it.

        What the previous owner left in state `sending` becomes an attempt of unknown outcome, due again at once.
        """
        until_ms = now_ms + self._lease_ms
        with self._database.write() as connection:
            fence = connection.scalar(
                _acquire, {"b_lane": lane, "b_now": now_ms, "b_owner": owner, "b_until": until_ms}
            )
            if fence is None:
                return None
            _take_over(connection, lane, now_ms)
        return Lease(lane, owner, fence, until_ms)

    @contextmanager
    def hold(self, lease: Lease, now_ms: int) -> Iterator[Connection]:
        """Open a write transaction under the lease, which it renews; raise LeaseLost where another has the lane."""
        until_ms = now_ms + self._lease_ms
        with self._database.write() as connection:
            renewed = connection.execute(
                _renew, {"b_lane": lease.lane, "b_fence": lease.fence, "b_until": until_ms}
            ).rowcount
            if not renewed:
                raise LeaseLost(f"lane {lease.lane} was taken over after fence {lease.fence}")
            yield connection
        lease.until_ms = until_ms

    def release(self, lease: Lease) -> None:
        """Give the lane back, unless it was taken over already."""
        with self._database.write() as connection:
            connection.execute(_renew, {"b_lane": lease.lane, "b_fence": lease.fence, "b_until": 0})

    def due(self, now_ms: int) -> list[int]:
        """Return the lanes that have work now and no live lease."""
        with self._database.read() as connection:
            return list(connection.scalars(_due, {"b_now": now_ms}))

    def is_due(self, lane: int, now_ms: int) -> bool:
        """Return whether this lane has work now that nobody holds a lease for."""
        with self._database.read() as connection:
            return connection.scalar(_due.where(lanes.c.lane == lane), {"b_now": now_ms}) is not None


def lock(connection: Connection, lane: int) -> None:
    """Lock a lane's row for a person's change, so that it can't cross a worker's in the same line."""
    connection.execute(update(lanes).where(lanes.c.lane == lane).values(fence=lanes.c.fence))


def lock_all(connection: Connection) -> None:
    """Lock every lane's row, for a change that concerns them all; must come before any other lock of the transaction.

    Until the commit no worker decides on what it read before the change: else it could put a delivery off for a
    destination's sake in the very moment in which a person resumes that destination.
    """
    connection.execute(select(lanes.c.lane).order_by(lanes.c.lane).with_for_update())


def _take_over(connection: Connection, lane: int, now_ms: int) -> None:
    left = list(connection.scalars(select(deliveries.c.id).where(deliveries.c.lane == lane, SENDING)))
    if not left:
        return
    connection.execute(
        update(attempts)
        .where(attempts.c.delivery_id.in_(left), attempts.c.outcome.is_(None))
        .values(outcome=Outcome.UNKNOWN.value, finished_ms=now_ms)
    )
    connection.execute(
        update(deliveries)
        .where(deliveries.c.id.in_(left))
        .values(
            state=DeliveryState.RETRYING.value,
            due_ms=now_ms,
            waiting=None,
            reason_code="attempt.unknown",
            reason="the worker stopped before it knew the answer; sent again with the same Idempotency-Key",
        )
    )
