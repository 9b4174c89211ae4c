"""The clock that all processes of one journal share: the database's, so that a lease means the same on every machine.

A lease is written by one machine and read by others. By a clock of its own, a machine that is ahead by more than a
lease would take lanes away from workers that still send, and a customer's events would go out twice at once. So each
process measures how far its own clock is from the database's, and goes by the difference. It counts on with a clock
that nobody sets; setting the machine's time changes nothing. On SQLite all processes share a machine, and its clock.
"""

from __future__ import annotations

import threading
import time

from sqlalchemy import text

from bridge.errors import JournalError
from bridge.journal.database import Database
from bridge.logs import logger

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


def own_clock_ms() -> int:
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
        return own_clock_ms() if self._ahead_ms is None else _counted_ms() + self._ahead_ms

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
        differs_ms = own_clock_ms() - (_counted_ms() + self._ahead_ms)
        if abs(differs_ms) > WORTH_SAYING_MS:
            log.warning("clock.differs", ahead_ms=differs_ms, mend="set this machine's clock, such as by NTP")
