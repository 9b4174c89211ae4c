"""How often a wrong password may be tried: by address, and altogether.

Kept in the memory of each web process: a restart forgives, and several processes allow several times as much, which
still leaves nobody enough tries to guess.
"""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, field

from bridge.errors import TooManySignIns

WINDOW_MS = 15 * 60 * 1000
BY_ADDRESS = 8
ALTOGETHER = 60
"""In a window of a quarter of an hour."""


@dataclass(slots=True)
class Throttle:
    """The wrong passwords of the last quarter of an hour."""

    clock_ms: Callable[[], int]
    _failures: deque[tuple[int, str]] = field(default_factory=deque)
    _lock: threading.Lock = field(default_factory=threading.Lock)

    def check(self, address: str) -> None:
        """Raise TooManySignIns where no further try is allowed now."""
        with self._lock:
            self._forget()
            here = sum(1 for _, failed in self._failures if failed == address)
            if here >= BY_ADDRESS or len(self._failures) >= ALTOGETHER:
                raise TooManySignIns

    def failed(self, address: str) -> None:
        """Count a wrong password."""
        with self._lock:
            self._failures.append((self.clock_ms(), address))

    def _forget(self) -> None:
        oldest = self.clock_ms() - WINDOW_MS
        while self._failures and self._failures[0][0] < oldest:
            self._failures.popleft()
