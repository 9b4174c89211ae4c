"""Keeps the requests of one Clint API token within a rate, over all processes through Redis.

While Redis is away each process keeps the rate by itself. Clint publishes no limit [U]: the default is what public code
keeps to, and `Retry-After` pauses all requests of the token.
"""

from __future__ import annotations

import hashlib
import threading
import time
from collections.abc import Callable

from limits import parse
from limits.storage import MemoryStorage, RedisStorage
from limits.strategies import MovingWindowRateLimiter
from redis import Redis

from bridge.errors import ClintApiFailed, ClintFault
from bridge.messages import N_
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
        self._redis = redis
        self._key = hashlib.sha256(token.encode()).hexdigest()[:16]
        self._pause_key = f"{_PREFIX}:{self._key}:pause"
        self._sleep = sleep
        self._local = MovingWindowRateLimiter(MemoryStorage())
        self._shared: MovingWindowRateLimiter | None = None
        self._first = threading.Lock()
        """Held by the thread that waits for the next turn; the others wait for the lock."""
        self._paused_until_s = 0.0

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
        wait_s = min(wait_s, PAUSE_CAP_S)
        self._paused_until_s = max(self._paused_until_s, time.monotonic() + wait_s)
        wait_ms = int(wait_s * 1000)
        if wait_ms > 0:
            self._redis.call(lambda redis: self._pause_all(redis, wait_ms))

    def _pause_all(self, redis: Redis, wait_ms: int) -> bool:
        if self._left_ms(redis) < wait_ms:
            redis.set(self._pause_key, "1", px=wait_ms)
        return True

    def _left_ms(self, redis: Redis) -> int:
        return int(redis.pttl(self._pause_key))  # below 0: there is no pause

    def _take(self) -> float:
        """Take a turn and return 0, or return the seconds until the next one."""
        paused_s = self._paused_until_s - time.monotonic()
        if paused_s > 0:
            return paused_s
        wait_s = self._redis.call(self._take_shared)
        return self._hit(self._local) if wait_s is None else wait_s

    def _take_shared(self, redis: Redis) -> float:
        left_ms = self._left_ms(redis)
        if left_ms > 0:
            return left_ms / 1000
        if self._shared is None:
            storage = RedisStorage("redis://", connection_pool=redis.connection_pool, key_prefix=_PREFIX)
            self._shared = MovingWindowRateLimiter(storage)
        return self._hit(self._shared)

    def _hit(self, limiter: MovingWindowRateLimiter) -> float:
        if limiter.hit(self._limit, self._key):
            return 0.0
        free_in_s = limiter.get_window_stats(self._limit, self._key).reset_time - time.time()
        # Clocks of several machines differ: never longer than the window, and never a busy loop.
        return min(max(free_in_s, _LEAST_WAIT_S), float(self._limit.get_expiry()))


def _busy(wait_s: float) -> ClintApiFailed:
    what = N_("the requests to the Clint API wait for their turn")
    return ClintApiFailed(what, kind=ClintFault.BUSY, retry_after_s=wait_s)
