"""Numbers that all processes share: kept here for a moment, then added to one hash in Redis.

So one scrape of any web process gives the numbers of all processes on all machines, also of those that no scraper can
reach. While Redis is away the numbers wait here; a process that is killed takes those of its last two seconds along,
and a Redis that is emptied begins at zero, as Prometheus expects of a counter. The journal is what counts exactly.
"""

from __future__ import annotations

import threading
from bisect import bisect_left
from collections import defaultdict
from collections.abc import Callable, Mapping
from typing import Protocol, TypeVar, cast

from redis import Redis

from bridge.observing.families import FAMILIES, Family

T = TypeVar("T")

KEY = "bridge:metrics:1"
"""The number grows when a family's labels or bounds change: what an older version counted would not fit."""
FLUSH_S = 2.0
KEPT_S = 90 * 86_400
_BETWEEN = "\x1f"
SUM = "sum"

Series = tuple[Family, tuple[str, ...], str]
"""A family, its labels' values, and of a histogram the number of the bucket or `sum`."""


class Link(Protocol):
    """The way to a Redis that may be away."""

    def ask(self, call: Callable[[Redis], T]) -> T | None:
        """Return what the call returns, or None while Redis is away."""
        ...


class SharedCounts:
    """The counters and histograms of one process, on their way into those of all."""

    def __init__(self, link: Link, flush_s: float = FLUSH_S) -> None:
        self._link = link
        self._flush_s = flush_s
        self._pending = defaultdict[Series, float](int)
        self._lock = threading.Lock()
        self._flushing = threading.Lock()
        self._timer: threading.Timer | None = None

    def add(self, family: Family, *labels: str, by: int = 1) -> None:
        """Count."""
        with self._lock:
            self._pending[family, labels, ""] += by
            self._hand_on_soon()

    def observe(self, family: Family, value_s: float, *labels: str) -> None:
        """Note one duration in a histogram."""
        bucket = str(bisect_left(family.bounds, value_s))
        with self._lock:
            self._pending[family, labels, bucket] += 1
            self._pending[family, labels, SUM] += value_s
            self._hand_on_soon()

    def _hand_on_soon(self) -> None:
        if self._timer is None:
            # Made when there is something to hand on: threads do not survive a web server's fork.
            self._timer = threading.Timer(self._flush_s, self._flush_in_time)
            self._timer.daemon = True
            self._timer.start()

    def _flush_in_time(self) -> None:
        try:
            self.flush()
        finally:  # a flush that fails must not be the last
            with self._lock:
                self._timer = None
                if self._pending:
                    self._hand_on_soon()  # counted meanwhile, or Redis is away

    def flush(self) -> bool:
        """Hand on what has gathered; return False where Redis did not take it."""
        with self._flushing:
            with self._lock:
                pending, self._pending = self._pending, defaultdict[Series, float](int)
            if not pending or self._link.ask(lambda redis: _add(redis, pending)):
                return True
            with self._lock:
                for series, by in pending.items():
                    self._pending[series] += by
            return False

    def totals(self) -> dict[Series, float] | None:
        """Return the numbers of all processes, this one's latest included; None while Redis is away."""
        self.flush()
        stored = self._link.ask(lambda redis: cast("dict[bytes, bytes]", redis.hgetall(KEY)))
        return None if stored is None else _totals(stored)

    @property
    def idle(self) -> bool:
        """Whether everything is handed on and no timer runs."""
        with self._lock:
            return self._timer is None and not self._pending

    def close(self) -> None:
        """Hand on what is left and end the timer."""
        with self._lock:
            if self._timer is not None:
                self._timer.cancel()
        self.flush()


def _add(redis: Redis, pending: Mapping[Series, float]) -> bool:
    with redis.pipeline(transaction=True) as pipe:
        for (family, labels, part), by in pending.items():
            field = _BETWEEN.join((family.name, *labels, part))
            if isinstance(by, int):
                pipe.hincrby(KEY, field, by)
            else:
                pipe.hincrbyfloat(KEY, field, by)
        pipe.expire(KEY, KEPT_S)
        pipe.execute()
    return True


def _totals(stored: Mapping[bytes, bytes]) -> dict[Series, float]:
    by_name = {family.name: family for family in FAMILIES}
    found: dict[Series, float] = {}
    for field, value in stored.items():
        name, *labels, part = field.decode().split(_BETWEEN)
        family = by_name.get(name)
        if family is not None and len(labels) == len(family.labels):
            found[family, tuple(labels), part] = float(value)
    return found
