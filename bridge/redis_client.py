"""A Redis that may be away: every call is bounded to milliseconds and returns None while Redis is away.

It never raises an error of Redis. After a failure no caller waits for the connection timeout: for a few seconds nobody
tries, then one caller tries for all.
"""

from __future__ import annotations

import socket
import threading
import time
from collections.abc import Callable
from typing import TypeVar

from redis import Redis
from redis.backoff import NoBackoff
from redis.exceptions import RedisError
from redis.retry import Retry

T = TypeVar("T")

TIMEOUT_S = 0.25
"""For the connection and for each answer."""

AWAY_S = 3.0
"""After this one caller checks whether Redis is back."""


_KEEPALIVE = {
    getattr(socket, name): value
    for name, value in {"TCP_KEEPIDLE": 5, "TCP_KEEPINTVL": 2, "TCP_KEEPCNT": 3, "TCP_USER_TIMEOUT": 10_000}.items()
    if hasattr(socket, name)
}
"""A connection over a network that is down ends within seconds."""


def connect(url: str, *, timeout_s: float | None = 0.5, connect_timeout_s: float = 0.5) -> Redis:
    """Return a client without the library's own retries, whose backoff would take seconds for each call."""
    alive = {} if url.startswith("unix:") else {"socket_keepalive": True, "socket_keepalive_options": _KEEPALIVE}
    return Redis.from_url(
        url, socket_timeout=timeout_s, socket_connect_timeout=connect_timeout_s, retry=Retry(NoBackoff(), 0), **alive
    )


class OptionalRedis:
    def __init__(self, url: str | None, *, timeout_s: float = TIMEOUT_S, away_s: float = AWAY_S) -> None:
        """Without a URL Redis is always away."""
        self._client = connect(url, timeout_s=timeout_s, connect_timeout_s=timeout_s) if url else None
        self._away_s = away_s
        self._away_until_s = 0.0  # 0 while Redis answers
        self._lock = threading.Lock()

    def call(self, call: Callable[[Redis], T]) -> T | None:
        """Return what the call returns, or None while Redis is away."""
        if self._client is None or not self._may_try():
            return None
        try:
            result = call(self._client)
        except (RedisError, OSError):
            self._away_until_s = time.monotonic() + self._away_s
            return None
        self._away_until_s = 0.0
        return result

    def _may_try(self) -> bool:
        if not self._away_until_s:
            return True
        with self._lock:
            if time.monotonic() < self._away_until_s:
                return False
            # The others continue without Redis while this caller checks whether it is back.
            self._away_until_s = time.monotonic() + self._away_s
            return True
