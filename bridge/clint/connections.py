"""Kept connections, the last used first: a connection belongs to one request at a time, and asks nobody for it.

httpcore's own pool looks at every connection, with a system call for each that is idle, whenever a request begins or
ends; with 32 sends in flight that costs more than the sends. Here a request takes one connection and looks at that one.
"""

from __future__ import annotations

import threading
from collections.abc import Callable

import httpcore

MAX_IDLE = 100
"""More idle connections than this are closed."""


class Connections:
    """Idle connections by origin; threads may share it."""

    def __init__(self, make: Callable[[httpcore.Origin], httpcore.HTTPConnection]) -> None:
        self._make = make
        self._lock = threading.Lock()
        self._idle: list[tuple[httpcore.Origin, httpcore.HTTPConnection]] = []

    def take(self, origin: httpcore.Origin) -> httpcore.HTTPConnection:
        """Return an idle connection that still stands, or a new one that is not made yet."""
        while True:
            with self._lock:
                places = range(len(self._idle) - 1, -1, -1)
                place = next((n for n in places if self._idle[n][0] == origin), None)
                if place is None:
                    return self._make(origin)
                _, connection = self._idle.pop(place)
            if not connection.has_expired():
                return connection
            connection.close()

    def give(self, origin: httpcore.Origin, connection: httpcore.HTTPConnection) -> None:
        """Keep a connection whose request is over, where it can be used again."""
        closing: httpcore.HTTPConnection | None = connection
        if connection.is_idle():
            with self._lock:
                self._idle.append((origin, connection))
                # The oldest one: destinations that are sent to no more must not keep theirs for ever.
                closing = self._idle.pop(0)[1] if len(self._idle) > MAX_IDLE else None
        if closing is not None:
            closing.close()

    def close(self) -> None:
        """Close every idle connection."""
        with self._lock:
            idle, self._idle = self._idle, []
        for _, connection in idle:
            connection.close()
