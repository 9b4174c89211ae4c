"""How fast a destination is sent to, for each account: limits that the operator sets, over all workers by Redis.

Asked before an attempt's intent, it leaves the time at which the delivery may go, or nothing where it may go now. While
Redis is away each worker counts for itself. It must never hold a delivery up for Redis's sake.
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
"""A delivery that has to wait is looked at again within a minute: others that stood before it may be gone by then."""
_PREFIX = "bridge:pace"


class Pace:
    """The limits of all destinations: each its own, or the one `of_all`, which a destination added later has too."""

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
        self._own = MovingWindowRateLimiter(MemoryStorage())
        self._shared: MovingWindowRateLimiter | None = None
        self._slots_ms: dict[tuple[str, str], float] = {}

    def wait_until_ms(self, destination: str, account: str, now_ms: int) -> int | None:
        """Take a slot and return None, or return when to ask again; each that waits is given a later time."""
        limit = self._limits.get(destination, self._of_all)
        if limit is None:
            return None
        taken, free_in_s = self._take(limit, (destination, account))
        if taken:
            self._slots_ms.pop((destination, account), None)
            return None
        # One behind the other, so that not all of them ask again at each slot.
        step_ms = 1000 * limit.get_expiry() / limit.amount
        first_ms = now_ms + 1000 * max(0.0, free_in_s)
        slot_ms = max(first_ms, self._slots_ms.get((destination, account), 0.0) + step_ms)
        slot_ms = min(slot_ms, max(first_ms, now_ms + HORIZON_MS))
        self._slots_ms[destination, account] = slot_ms
        return int(slot_ms) + 1

    def _take(self, limit: RateLimitItem, who: tuple[str, str]) -> tuple[bool, float]:
        shared = self._redis.call(lambda redis: self._ask(self._of(redis), limit, who))
        return shared if shared is not None else self._ask(self._own, limit, who)

    def _of(self, redis: Redis) -> MovingWindowRateLimiter:
        if self._shared is None:
            storage = RedisStorage("redis://", connection_pool=redis.connection_pool, key_prefix=_PREFIX)
            self._shared = MovingWindowRateLimiter(storage)
        return self._shared

    def _ask(self, limiter: MovingWindowRateLimiter, limit: RateLimitItem, who: tuple[str, str]) -> tuple[bool, float]:
        if limiter.hit(limit, *who):
            return True, 0.0
        return False, limiter.get_window_stats(limit, *who).reset_time - self._wall_s()
