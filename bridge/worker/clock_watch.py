"""Looks for leases and due times that a clock which was ahead has left, so that nothing waits for it to come round.

With PostgreSQL all go by its clock, and counting on by themselves they see no step of it; a machine with SQLite has one
clock, and somebody may set it.
"""

from __future__ import annotations

import time
from collections.abc import Callable

from bridge.asaas.governor import Limits
from bridge.delivery.retry import PAUSE_LOOK_MS
from bridge.journal import Journal, ahead
from bridge.logs import logger

log = logger(__name__)

SLACK_MS = 60_000
"""Two processes need not agree to the second, and one may have been started with longer waits than the other."""
_QUOTA_WAIT_MS = int(Limits().window_s * 1000) + SLACK_MS


class ClockWatch:
    """Remembers the leases that it saw, so that one which nobody renews is told from one that somebody holds."""

    def __init__(
        self,
        journal: Journal,
        lease_s: float,
        retry_cap_s: float,
        clock_ms: Callable[[], int],
        counted_s: Callable[[], float] = time.monotonic,
    ) -> None:
        self._journal = journal
        self._lease_s = lease_s
        self._longest_wait_ms = max(int(retry_cap_s * 1000), PAUSE_LOOK_MS) + SLACK_MS
        self._clock_ms = clock_ms
        self._counted_s = counted_s
        self._seen: dict[tuple[int, int], float] = {}

    def look(self) -> int:
        """Take away what lies further ahead than it can; return how much that was.

        A lease must have looked so for as long as a lease lasts: an owner that lives renews it meanwhile.
        """
        now_ms = self._clock_ms()
        latest_ms = now_ms + self._longest_wait_ms
        quota_ms = max(latest_ms, now_ms + _QUOTA_WAIT_MS)
        with self._journal.database.read() as connection:
            found = ahead.leases(connection, now_ms + int(self._lease_s * 1000) + SLACK_MS)
            far = ahead.is_any_due_after(connection, latest_ms, quota_ms)
        at_s = self._counted_s()
        self._seen = {seen: self._seen.get(seen, at_s) for seen in found.items()}
        left = {lane: until_ms for (lane, until_ms), since_s in self._seen.items() if at_s - since_s >= self._lease_s}
        if not left and not far:
            return 0
        with self._journal.database.write() as connection:
            ended = ahead.end_leases(connection, left)
            moved = ahead.due_now(connection, now_ms, latest_ms, quota_ms)
        log.warning("clock.was_ahead", leases=ended, due=moved, mend="keep this machine's clock right, as by NTP")
        return ended + moved
