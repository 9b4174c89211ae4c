"""The periodic tasks that keep the journal small: one adds tallies up, one empties and removes once a day what is old.

Both work in small transactions: neither a wake-up nor an answer to Asaas may wait for them.
"""

from __future__ import annotations

import threading
from collections.abc import Callable

from sqlalchemy import Connection

from bridge.journal import Journal, jobs, retention, rollups, rounds
from bridge.logs import logger

log = logger(__name__)

PAUSE_S = 0.05
"""Between two transactions, so that others get their turn."""

ROUND = "retention"
DAY_MS = 86_400_000
AGAIN_AFTER_MS = 10 * 60_000
"""How long after a round that was broken off the next is tried."""


class Housekeeping:
    """Keeps house."""

    def __init__(
        self,
        journal: Journal,
        retention_days: int,
        clock_ms: Callable[[], int],
        pause_s: float = PAUSE_S,
    ) -> None:
        self._journal = journal
        self._retention_days = retention_days
        self._clock_ms = clock_ms
        self._pause_s = pause_s

    def fold(self, stopping: threading.Event) -> None:
        """Add up all tallies there are."""
        more = True
        while more and not stopping.is_set():
            with self._journal.database.write() as connection:
                more = rollups.fold(connection)
            if more:
                stopping.wait(self._pause_s)

    def clear_due(self, stopping: threading.Event) -> None:
        """Empty and remove what is old, where that is due today and no other process does it."""
        with self._journal.database.write() as connection:
            if not rounds.claim(connection, ROUND, DAY_MS, self._clock_ms()):
                return
        finished = False
        try:
            finished = self.clear(stopping)
        finally:
            if not finished:
                with self._journal.database.write() as connection:
                    rounds.again_at(connection, ROUND, self._clock_ms() + AGAIN_AFTER_MS)

    def clear(self, stopping: threading.Event) -> bool:
        """Remove what is twice as old as BRIDGE_RETENTION_DAYS, empty what is older than they; return whether all.

        The console's jobs go after a month also where events are kept for ever.
        """
        now_ms = self._clock_ms()
        with self._journal.database.write() as connection:
            jobs.forget(connection, now_ms)
        if not self._retention_days:
            return True
        before_ms = now_ms - self._retention_days * DAY_MS
        removed = self._each(
            stopping,
            before_ms - self._retention_days * DAY_MS,
            lambda connection, ids, until_ms: retention.remove(connection, ids, until_ms),
            full_only=False,
        )
        emptied = self._each(
            stopping,
            before_ms,
            lambda connection, ids, until_ms: retention.empty(connection, ids, until_ms, now_ms),
            full_only=True,
        )
        log.info("house.cleared", removed=removed, emptied=emptied)
        return not stopping.is_set()

    def _each(
        self,
        stopping: threading.Event,
        before_ms: int,
        clear: Callable[[Connection, list[int], int], int],
        *,
        full_only: bool,
    ) -> int:
        cleared = 0
        last_id: int | None = 0
        while last_id is not None and not stopping.is_set():
            with self._journal.database.read() as connection:
                page = retention.old(connection, before_ms, last_id, full_only=full_only)
            if page.ids:
                with self._journal.database.write() as connection:
                    cleared += clear(connection, page.ids, before_ms)
                stopping.wait(self._pause_s)
            last_id = page.last_id
        return cleared
