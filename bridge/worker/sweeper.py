"""The sweeper stands behind every wake-up that was lost or is for later: it wakes the lanes that have due work.

Retries, probes of open circuits and leases that ran out need no timer of their own: they are due times in the journal,
and the sweeper looks once a second. It also brings changed mapping files into the journal. Two sweepers do no harm.
"""

from __future__ import annotations

import threading
from collections.abc import Callable

from redis.exceptions import RedisError

from bridge.errors import BridgeError
from bridge.failpoints import reached
from bridge.journal import Journal
from bridge.logs import logger
from bridge.queueing.wakeups import Wakeups

log = logger(__name__)

EVERY_S = 1.0


class Sweeper:
    """Sweeps until it is stopped."""

    def __init__(
        self, journal: Journal, wakeups: Wakeups, import_mappings: Callable[[], None], clock_ms: Callable[[], int]
    ) -> None:
        self._journal = journal
        self._wakeups = wakeups
        self._import_mappings = import_mappings
        self._clock_ms = clock_ms

    def run(self, stopping: threading.Event) -> None:
        """Sweep once a second; a fault of the database, of Redis or of a file is logged and tried again."""
        while not stopping.is_set():
            for step in (self.wake_due, self._import_mappings):
                try:
                    step()
                except (BridgeError, RedisError, OSError) as error:
                    name = getattr(step, "__name__", "")
                    log.error("sweep.failed", step=name, error=str(error) or type(error).__name__)
            stopping.wait(EVERY_S)

    def wake_due(self) -> int:
        """Wake each lane that has due work and no live lease; return how many."""
        lanes = self._journal.lanes.due(self._clock_ms())
        if lanes:
            reached("sweep.before_wake")
        for lane in lanes:
            self._wakeups.wake(lane)
        if lanes:
            log.debug("sweep.woke", lanes=lanes)
        return len(lanes)
