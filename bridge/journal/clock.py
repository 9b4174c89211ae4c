"""The clock that all processes of one journal share: the database's, so that a lease means the same on every machine.

A lease is written by one machine and read by others. By a clock of its own, a machine that is ahead by more than a
lease would take lanes away from workers that still send, and a customer's events would go out twice at once. So each
process measures how far its own clock is from the database's, and goes by the difference. It counts on with a clock
that nobody sets; setting the machine's time changes nothing. On SQLite all processes share a machine, and its clock.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Mapping

from sqlalchemy import ColumnElement, Connection, and_, case, exists, or_, select, text, update

from bridge.errors import AsaasQuotaSpent, JournalError
from bridge.journal.database import Database
from bridge.journal.lanes import lock_some
from bridge.journal.schema import WAITS, deliveries, destinations, events, lanes
from bridge.logs import logger
from bridge.model import Waiting

log = logger(__name__)

COMPARE_EVERY_MS = 60_000
"""Quartz drifts by less than 0.1 ms a second: 6 ms between two looks."""
AGAIN_AFTER_MS = 5_000
LOOKS = 3
"""The look with the shortest way there and back counts: the truth is off by at most half of that."""
WORTH_SAYING_MS = 2_000

_NOW = text("SELECT floor(extract(epoch FROM clock_timestamp()) * 1000)::bigint")
# Unlike CLOCK_MONOTONIC it also counts while the machine is suspended, when leases run out.
_COUNTER = getattr(time, "CLOCK_BOOTTIME", time.CLOCK_MONOTONIC)


def system_clock_ms() -> int:
    """Return this machine's time: milliseconds since the epoch, UTC."""
    return time.time_ns() // 1_000_000


def _counted_ms() -> int:
    return time.clock_gettime_ns(_COUNTER) // 1_000_000


class DatabaseClock:
    """The database's time; until the database has answered once, this machine's."""

    def __init__(self, database: Database, again_after_ms: int = AGAIN_AFTER_MS) -> None:
        self._database = database
        self._again_after_ms = again_after_ms
        self._comparing = threading.Lock()
        self._ahead_ms: int | None = None
        self._due_ms = 0

    def __call__(self) -> int:
        """Return milliseconds since the epoch, UTC; now and then one caller asks the database."""
        if _counted_ms() >= self._due_ms and self._comparing.acquire(blocking=self._ahead_ms is None):
            try:
                if _counted_ms() >= self._due_ms:  # who waited for the first look has no need of a second
                    self._compare()
            finally:
                self._comparing.release()
        return system_clock_ms() if self._ahead_ms is None else _counted_ms() + self._ahead_ms

    def _compare(self) -> None:
        looks = []
        try:
            with self._database.read() as connection:
                for _ in range(LOOKS):
                    asked_ms = _counted_ms()
                    database_ms = int(connection.execute(_NOW).scalar_one())
                    took_ms = _counted_ms() - asked_ms
                    looks.append((took_ms, database_ms - asked_ms - took_ms // 2))
        except JournalError as error:
            self._due_ms = _counted_ms() + self._again_after_ms
            log.warning("clock.not_compared", error=str(error))
            return
        self._ahead_ms = min(looks)[1]
        self._due_ms = _counted_ms() + COMPARE_EVERY_MS
        differs_ms = system_clock_ms() - (_counted_ms() + self._ahead_ms)
        if abs(differs_ms) > WORTH_SAYING_MS:
            log.warning("clock.differs", ahead_ms=differs_ms, mend="set this machine's clock, such as by NTP")


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
