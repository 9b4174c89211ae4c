"""The rate limits of destinations, for each account, which the operator sets; all workers share them.

No delivery waits for Redis: while it is away each worker counts for itself.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping

from limits import parse

from bridge.rates import MovingWindows
from bridge.redis_client import OptionalRedis

HORIZON_MS = 60_000
"""A delivery is deferred by a minute at most: those before it may be gone by then."""


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
        self._windows = MovingWindows(redis, "bridge:pace", wall_s)
        self._slots_ms: dict[tuple[str, str], float] = {}

    def wait_until_ms(self, destination: str, account: str, now_ms: int) -> int | None:
        """Take a slot and return None, or return when to check again."""
        limit = self._limits.get(destination, self._of_all)
        if limit is None:
            return None
        key = (destination, account)
        free_in_s = self._windows.take(limit, *key)
        if free_in_s is None:
            self._slots_ms.pop(key, None)
            return None
        # Deliveries that wait get one slot after the other, so that not all of them check again at each slot.
        step_ms = 1000 * limit.get_expiry() / limit.amount
        first_ms = now_ms + 1000 * max(0.0, free_in_s)
        slot_ms = max(first_ms, self._slots_ms.get(key, 0.0) + step_ms)
        slot_ms = min(slot_ms, max(first_ms, now_ms + HORIZON_MS))
        self._slots_ms[key] = slot_ms
        return int(slot_ms) + 1
