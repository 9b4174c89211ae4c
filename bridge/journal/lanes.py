"""Lanes and their leases: the right to work on the events of some customers.

A lease has an owner, an end and a fence that grows with every lease. A worker changes rows of a lane only inside
`Lanes.transaction`, which locks the lanes' rows, compares the fences and renews the leases; a person's command locks
them by `lock` or `lock_all`. Rows are locked in the order of lanes, which prevents deadlocks.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass

from sqlalchemy import ColumnElement, Connection, Select, TextClause, bindparam, literal, select, update

from bridge.journal.database import Database
from bridge.journal.schema import SENDING, WAITS, attempts, deliveries, events, lanes
from bridge.messages import N_, Message
from bridge.model import DeliveryState, Outcome


@dataclass(slots=True)
class Lease:
    """The right to work on one lane until a time, under a fence."""

    lane: int
    owner: str
    fence: int
    until_ms: int


_is_lane = lanes.c.lane == bindparam("b_lane")
_is_free = lanes.c.lease_until_ms <= bindparam("b_now")
_acquire = (
    update(lanes)
    .where(_is_lane, _is_free)
    .values(owner=bindparam("b_owner"), fence=lanes.c.fence + 1, lease_until_ms=bindparam("b_until"))
    .returning(lanes.c.fence)
)
_RENEW_AFTER_MS = 500  # a lease that was renewed less than this ago is not written again
_rows_for_update = select(lanes.c.lane, lanes.c.fence).order_by(lanes.c.lane).with_for_update()
_is_given = lanes.c.lane.in_(bindparam("b_lanes", expanding=True))
_fences = _rows_for_update.where(_is_given)
_is_held = _is_lane & (lanes.c.fence == bindparam("b_fence"))
_renew = update(lanes).where(_is_held).values(lease_until_ms=bindparam("b_until"))


def _has_row(*conditions: ColumnElement[bool] | TextClause) -> ColumnElement[bool]:
    # Not EXISTS: see the statements of `deliveries`.
    return select(literal(1)).where(*conditions).limit(1).scalar_subquery().is_not(None)


_event_due = _has_row(events.c.lane == lanes.c.lane, WAITS, events.c.due_ms <= bindparam("b_now"))
_delivery_due = _has_row(
    deliveries.c.lane == lanes.c.lane, deliveries.c.due_ms.is_not(None), deliveries.c.due_ms <= bindparam("b_now")
)
# A delivery in state `sending` has no due time, so an expired lease makes its lane due as well.
_is_sending = _has_row(deliveries.c.lane == lanes.c.lane, SENDING)
_due = select(lanes.c.lane).where(_is_free, _event_due | _delivery_due | _is_sending).order_by(lanes.c.lane)
_due_among = _due.where(_is_given)


class Lanes:
    def __init__(self, database: Database, lease_ms: int) -> None:
        self._database = database
        self._lease_ms = lease_ms

    def acquire_all(self, wanted: Collection[int], owner: str, now_ms: int) -> list[Lease]:
        """Lease the wanted lanes that are free.

        An attempt that the previous owner left unfinished gets an unknown outcome; its delivery is due at once.
        """
        until_ms = now_ms + self._lease_ms
        leases = []
        with self._database.write() as connection:
            for lane in sorted(wanted):
                values = {"b_lane": lane, "b_now": now_ms, "b_owner": owner, "b_until": until_ms}
                fence = connection.scalar(_acquire, values)
                if fence is not None:
                    _take_over(connection, lane, now_ms)
                    leases.append(Lease(lane, owner, fence, until_ms))
        return leases

    @contextmanager
    def transaction(self, leases: Sequence[Lease], now_ms: int) -> Iterator[tuple[Connection, list[Lease]]]:
        """Open a write transaction that renews these leases; yields it with the leases that are not lost."""
        until_ms = now_ms + self._lease_ms
        with self._database.write() as connection:
            rows = connection.execute(_fences, {"b_lanes": [lease.lane for lease in leases]})
            fences = {row.lane: row.fence for row in rows}
            held = [lease for lease in leases if fences[lease.lane] == lease.fence]
            # Also a lease that ends too late, after the clock was set back: the clock's repair ends it otherwise.
            aged = [lease for lease in held if abs(lease.until_ms - until_ms) > _RENEW_AFTER_MS]
            _set_ends(connection, aged, until_ms)
            yield connection, held
        for lease in aged:
            lease.until_ms = until_ms

    def release_all(self, leases: Sequence[Lease]) -> None:
        """Release these leases; those that another owner took over are left alone."""
        with self._database.write() as connection:
            _set_ends(connection, sorted(leases, key=lambda lease: lease.lane), 0)

    def due(self, now_ms: int, among: Collection[int] | None = None) -> list[int]:
        """Return the lanes (of all, or of these) that have due work and no live lease."""
        with self._database.read() as connection:
            if among is None:
                return list(connection.scalars(_due, {"b_now": now_ms}))
            return list(connection.scalars(_due_among, {"b_now": now_ms, "b_lanes": list(among)}))


def lock(connection: Connection, which: Select[tuple[int]] | Collection[int]) -> None:
    """Lock the rows of these lanes, in their order, against their workers."""
    connection.execute(_rows_for_update.where(lanes.c.lane.in_(which)))


def lock_all(connection: Connection) -> None:
    """Lock every lane's row, before any other lock of the transaction.

    Until the commit no worker decides on rows that it read before the change: it could defer a delivery for its
    destination at the moment in which a person resumes that destination.
    """
    connection.execute(_rows_for_update)


def _set_ends(connection: Connection, leases: Sequence[Lease], until_ms: int) -> None:
    if leases:
        ends = [{"b_lane": lease.lane, "b_fence": lease.fence, "b_until": until_ms} for lease in leases]
        connection.execute(_renew, ends)


def _take_over(connection: Connection, lane: int, now_ms: int) -> None:
    ids = list(connection.scalars(select(deliveries.c.id).where(deliveries.c.lane == lane, SENDING)))
    if not ids:
        return
    unanswered = update(attempts).where(attempts.c.delivery_id.in_(ids), attempts.c.outcome.is_(None))
    connection.execute(unanswered.values(outcome=Outcome.UNKNOWN.value, finished_ms=now_ms))
    why = Message(N_("the worker stopped before the answer came; sent again with the same Idempotency-Key"))
    due = {"state": DeliveryState.RETRYING.value, "due_ms": now_ms, "waiting": None}
    query = update(deliveries).where(deliveries.c.id.in_(ids))
    connection.execute(query.values(**due, reason_code="attempt.unknown", reason=why.to_json()))
