"""Keeps the requests of one Clint API token within a rate, over all processes.

Clint publishes no limit [U]: the default is what public code keeps to, and `Retry-After` pauses all requests of the
token.
"""

from __future__ import annotations

import hashlib
import threading
import time
from collections.abc import Callable

from limits import parse

from bridge.errors import ClintApiFailed, ClintFault
from bridge.messages import N_
from bridge.rates import MovingWindows, SharedPause
from bridge.redis_client import OptionalRedis

RATE_LIMIT = "2/second"
PAUSE_CAP_S = 3_600.0
"""A longer `Retry-After` pauses the token for an hour."""
_PREFIX = "bridge:clint-api"
_LEAST_WAIT_S = 0.01


class ApiLimiter:
    """The turns of one token's requests; threads may share it."""

    def __init__(
        self,
        limit: str,
        redis: OptionalRedis,
        token: str,
        *,
        sleep: Callable[[float], object] = time.sleep,
    ) -> None:
        """Take a limit such as `2/second`; the token itself never reaches Redis."""
        self._limit = parse(limit)
        self._key = hashlib.sha256(token.encode()).hexdigest()[:16]
        self._windows = MovingWindows(redis, _PREFIX)
        self._pause = SharedPause(redis, f"{_PREFIX}:{self._key}:pause")
        self._sleep = sleep
        self._first = threading.Lock()
        """Held by the thread that waits for the next turn; the others wait for the lock."""

    def wait_for_turn(self, patience_s: float) -> None:
        """Wait until a request may start; raise ClintApiFailed (busy) where that takes longer than the seconds."""
        gives_up_s = time.monotonic() + patience_s
        if not self._first.acquire(timeout=patience_s):
            raise _busy(1.0)
        try:
            while (wait_s := self._take()) > 0:
                if time.monotonic() + wait_s > gives_up_s:
                    raise _busy(wait_s)
                self._sleep(wait_s)
        finally:
            self._first.release()

    def pause(self, wait_s: float) -> None:
        """Let no process send a request of the token until the seconds have passed; a later end replaces an earlier."""
        self._pause.begin(min(wait_s, PAUSE_CAP_S))

    def _take(self) -> float:
        """Take a turn and return 0, or return the seconds until the next one."""
        if (paused_s := self._pause.left_s()) > 0:
            return paused_s
        free_in_s = self._windows.take(self._limit, self._key)
        if free_in_s is None:
            return 0.0
        # Clocks of several machines differ: never longer than the window, and never a busy loop.
        return min(max(free_in_s, _LEAST_WAIT_S), float(self._limit.get_expiry()))


def _busy(wait_s: float) -> ClintApiFailed:
    what = N_("the requests to the Clint API wait for their turn")
    return ClintApiFailed(what, kind=ClintFault.BUSY, retry_after_s=wait_s)
