"""The rate limits of destinations, for each account, which the operator sets; Redis shares them among workers.

While Redis is away each worker counts for itself: no delivery waits for Redis.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping

from limits import RateLimitItem, parse
from limits.storage import MemoryStorage, RedisStorage
from limits.strategies import MovingWindowRateLimiter
from redis import Redis

from bridge.redis_client import OptionalRedis

HORIZON_MS = 60_000
"""A delivery is deferred by a minute at most: those before it may be gone by then."""
_PREFIX = "bridge:pace"


class Pace:
    """The limits of all destinations: one of its own each, or `of_all`, also for destinations that are added later."""

    def __init__(
        self,
        limits: Mapping[str, str],
        redis: OptionalRedis,
        wall_s: Callable[[], float] = time.time,
        *,
        of_all: str = "",
    ) -> None:
        self._limits = {name: parse(text) for name, text in limits.items()}
        self._of_all = parse(of_all) if of_all else None
        self._redis = redis
        self._wall_s = wall_s
        self._local = MovingWindowRateLimiter(MemoryStorage())
        self._shared: MovingWindowRateLimiter | None = None
        self._slots_ms: dict[tuple[str, str], float] = {}

    def wait_until_ms(self, destination: str, account: str, now_ms: int) -> int | None:
        """Take a slot and return None, or return when to check again."""
        limit = self._limits.get(destination, self._of_all)
        if limit is None:
            return None
        key = (destination, account)
        result = self._redis.call(lambda redis: self._hit(self._limiter(redis), limit, key))
        taken, free_in_s = result if result is not None else self._hit(self._local, limit, key)
        if taken:
            self._slots_ms.pop(key, None)
            return None
        # Deliveries that wait get one slot after the other, so that not all of them check again at each slot.
        step_ms = 1000 * limit.get_expiry() / limit.amount
        first_ms = now_ms + 1000 * max(0.0, free_in_s)
        slot_ms = max(first_ms, self._slots_ms.get(key, 0.0) + step_ms)
        slot_ms = min(slot_ms, max(first_ms, now_ms + HORIZON_MS))
        self._slots_ms[key] = slot_ms
        return int(slot_ms) + 1

    def _limiter(self, redis: Redis) -> MovingWindowRateLimiter:
        if self._shared is None:
            storage = RedisStorage("redis://", connection_pool=redis.connection_pool, key_prefix=_PREFIX)
            self._shared = MovingWindowRateLimiter(storage)
        return self._shared

    def _hit(self, limiter: MovingWindowRateLimiter, limit: RateLimitItem, key: tuple[str, str]) -> tuple[bool, float]:
        if limiter.hit(limit, *key):
            return True, 0.0
        return False, limiter.get_window_stats(limit, *key).reset_time - self._wall_s()
