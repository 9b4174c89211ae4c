"""Rates and pauses that all processes share through Redis.

While Redis is away each process counts for itself: nothing waits for Redis.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable

from limits import RateLimitItem
from limits.storage import MemoryStorage, RedisStorage
from limits.strategies import MovingWindowRateLimiter
from redis import Redis

from bridge.redis_client import OptionalRedis

# A later pause never shortens one that is still running.
_PAUSE = """
if redis.call('PTTL', KEYS[1]) < tonumber(ARGV[1]) then redis.call('SET', KEYS[1], '1', 'PX', ARGV[1]) end
return 1
"""


class MovingWindows:
    """The moving windows of any number of limits; threads may share it."""

    def __init__(self, redis: OptionalRedis, prefix: str, wall_s: Callable[[], float] = time.time) -> None:
        self._redis = redis
        self._prefix = prefix
        self._wall_s = wall_s
        self._local = MovingWindowRateLimiter(MemoryStorage())
        self._shared: MovingWindowRateLimiter | None = None

    def take(self, limit: RateLimitItem, *key: str) -> float | None:
        """Take a slot of this key and return None, or return the seconds until one is free, which may be below 0."""
        answer = self._redis.call(lambda redis: self._hit(self._limiter(redis), limit, key))
        taken, free_in_s = answer if answer is not None else self._hit(self._local, limit, key)
        return None if taken else free_in_s

    def _limiter(self, redis: Redis) -> MovingWindowRateLimiter:
        if self._shared is None:
            storage = RedisStorage("redis://", connection_pool=redis.connection_pool, key_prefix=self._prefix)
            self._shared = MovingWindowRateLimiter(storage)
        return self._shared

    def _hit(self, limiter: MovingWindowRateLimiter, limit: RateLimitItem, key: tuple[str, ...]) -> tuple[bool, float]:
        if limiter.hit(limit, *key):
            return True, 0.0
        return False, limiter.get_window_stats(limit, *key).reset_time - self._wall_s()


class SharedPause:
    """A time in which no process does something; threads may share it."""

    def __init__(self, redis: OptionalRedis, key: str) -> None:
        self.key = key
        self._redis = redis
        self._lock = threading.Lock()
        self._until_s = 0.0

    def begin(self, wait_s: float) -> None:
        """Pause until the seconds have passed; a shorter pause never ends a longer one."""
        with self._lock:
            self._until_s = max(self._until_s, time.monotonic() + wait_s)
        wait_ms = int(wait_s * 1000)
        if wait_ms > 0:
            self._redis.call(lambda redis: redis.eval(_PAUSE, 1, self.key, str(wait_ms)))

    def known_s(self) -> float:
        """Return how long a pause of this process lasts yet, without asking Redis."""
        return max(0.0, self._until_s - time.monotonic())

    def left_s(self) -> float:
        """Return how long the pause of any process lasts yet."""
        known_s = self.known_s()
        if known_s > 0:
            return known_s
        left_ms = self._redis.call(lambda redis: int(redis.pttl(self.key)))
        return max(0, left_ms or 0) / 1000  # below 0: there is no pause
