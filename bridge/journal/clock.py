"""The clock that all processes of one journal share: the database's, so that a lease means the same on every machine.

Each process measures the difference between its own clock and the database's, and adds it. It counts on with a clock
that no operator sets. On SQLite all processes share one machine, and its clock.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Mapping

from sqlalchemy import ColumnElement, Connection, and_, case, exists, or_, select, text, update

from bridge.errors import AsaasQuotaSpent, JournalError
from bridge.journal.database import Database
from bridge.journal.lanes import lock
from bridge.journal.schema import WAITS, deliveries, destinations, events, lanes
from bridge.logs import logger
from bridge.model import Waiting

log = logger(__name__)

_COMPARE_EVERY_MS = 60_000
_SAMPLES = 3  # the sample with the shortest round trip counts: its error is at most half of that
_WARN_FROM_MS = 2_000

_NOW = text("SELECT floor(extract(epoch FROM clock_timestamp()) * 1000)::bigint")
# Unlike CLOCK_MONOTONIC it also counts while the machine is suspended, when leases run out.
_COUNTER = getattr(time, "CLOCK_BOOTTIME", time.CLOCK_MONOTONIC)


def system_clock_ms() -> int:
    """Return this machine's time: milliseconds since the epoch, UTC."""
    return time.time_ns() // 1_000_000


def _counter_ms() -> int:
    return time.clock_gettime_ns(_COUNTER) // 1_000_000


class DatabaseClock:
    """The database's time; until the database has answered once, this machine's."""

    def __init__(self, database: Database, retry_after_ms: int = 5_000) -> None:
        self._database = database
        self._retry_after_ms = retry_after_ms
        self._comparing = threading.Lock()
        self._ahead_ms: int | None = None
        self._due_ms = 0

    def __call__(self) -> int:
        """Return milliseconds since the epoch, UTC; once a minute one caller compares with the database first."""
        if _counter_ms() >= self._due_ms and self._comparing.acquire(blocking=self._ahead_ms is None):
            try:
                if _counter_ms() >= self._due_ms:  # another thread may have compared meanwhile
                    self._compare()
            finally:
                self._comparing.release()
        return system_clock_ms() if self._ahead_ms is None else _counter_ms() + self._ahead_ms

    def _compare(self) -> None:
        samples = []
        try:
            with self._database.read() as connection:
                for _ in range(_SAMPLES):
                    began_ms = _counter_ms()
                    database_ms = int(connection.execute(_NOW).scalar_one())
                    took_ms = _counter_ms() - began_ms
                    samples.append((took_ms, database_ms - began_ms - took_ms // 2))
        except JournalError as error:
            self._due_ms = _counter_ms() + self._retry_after_ms
            log.warning("clock.not_compared", error=str(error))
            return
        self._ahead_ms = min(samples)[1]
        self._due_ms = _counter_ms() + _COMPARE_EVERY_MS
        difference_ms = system_clock_ms() - (_counter_ms() + self._ahead_ms)
        if abs(difference_ms) > _WARN_FROM_MS:
            log.warning("clock.differs", ahead_ms=difference_ms, mend="set this machine's clock, such as by NTP")


def leases(connection: Connection, latest_ms: int) -> dict[int, int]:
    """Return the lanes whose leases end later than that, with their ends."""
    query = select(lanes.c.lane, lanes.c.lease_until_ms).where(lanes.c.lease_until_ms > latest_ms)
    return {row.lane: row.lease_until_ms for row in connection.execute(query)}


def end_leases(connection: Connection, ends: Mapping[int, int]) -> int:
    """End the leases of these lanes that were not renewed: that still end at the given time. Return their number."""
    ended = 0
    for lane, until_ms in sorted(ends.items()):
        same = (lanes.c.lane == lane) & (lanes.c.lease_until_ms == until_ms)
        ended += connection.execute(update(lanes).where(same).values(lease_until_ms=0)).rowcount
    return ended


def is_any_due_after(connection: Connection, latest_ms: int, quota_ms: int) -> bool:
    """Return whether an event, a delivery or a probe is due later than that; rate-limited deliveries do not count.

    `quota_ms` is the latest time for an event that waits for Asaas's quota, or behind another event.
    """
    future = _future(latest_ms, quota_ms)
    return bool(connection.scalar(select(or_(*(exists(select(1).where(each)) for each in future)))))


def _future(latest_ms: int, quota_ms: int) -> tuple[ColumnElement[bool], ColumnElement[bool], ColumnElement[bool]]:
    # The operator's rate limit may be so low that the next slot is days away.
    not_rate_limited = deliveries.c.waiting.is_(None) | (deliveries.c.waiting != Waiting.PACE.value)
    waits_for_quota = events.c.hold_code.in_((AsaasQuotaSpent.code, "event.behind"))
    return (
        and_(WAITS, events.c.due_ms > latest_ms, events.c.due_ms > case((waits_for_quota, quota_ms), else_=latest_ms)),
        and_(deliveries.c.due_ms > latest_ms, not_rate_limited),
        destinations.c.until_ms > latest_ms,
    )


def due_now(connection: Connection, now_ms: int, latest_ms: int, quota_ms: int) -> int:
    """Set the rows that `is_any_due_after` finds to due now; return their number."""
    future_events, future_deliveries, future_probes = _future(latest_ms, quota_ms)
    for table, future in ((events, future_events), (deliveries, future_deliveries)):
        lock(connection, select(table.c.lane).where(future))
    moved = connection.execute(update(events).where(future_events).values(due_ms=now_ms)).rowcount
    moved += connection.execute(update(deliveries).where(future_deliveries).values(due_ms=now_ms)).rowcount
    return moved + connection.execute(update(destinations).where(future_probes).values(until_ms=now_ms)).rowcount
