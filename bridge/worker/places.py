"""The lanes that a worker wants or has: as many as it has places for, asked for by one thread and worked on by another.

Who wants a lane beyond the bound waits, and with it the wake-ups that it has not taken yet: other workers take those.
"""

from __future__ import annotations

import threading


class Places:
    """Which lanes this worker is to see to."""

    def __init__(self, most: int) -> None:
        self.most = self._most = most
        self._changed = threading.Condition()
        self._lanes: set[int] = set()
        self._fresh: set[int] = set()
        self._waiting = 0
        self._closed = False

    @property
    def missing(self) -> int:
        """How many places are missing: for lanes that wait for one, or because there are fewer than there were."""
        return self._waiting + max(0, len(self._lanes) - self._most)

    def limit(self, most: int) -> None:
        """Change the number of places."""
        with self._changed:
            self._most = most
            self._changed.notify_all()

    def want(self, lane: int) -> bool:
        """Give the lane a place, and wait for one to be free if need be; False where the worker stops instead."""
        with self._changed:
            self._waiting += 1
            try:
                self._changed.wait_for(lambda: self._closed or lane in self._lanes or len(self._lanes) < self._most)
            finally:
                self._waiting -= 1
            if self._closed:
                return False
            self._lanes.add(lane)
            self._fresh.add(lane)
            return True

    def take(self) -> set[int]:
        """Return the lanes that were wanted since the last call."""
        with self._changed:
            fresh, self._fresh = self._fresh, set()
            self._lanes |= fresh  # one of them may have been left after it was wanted again
            return fresh

    def leave(self, *lanes: int) -> None:
        """Free the places of these lanes."""
        with self._changed:
            self._lanes.difference_update(lanes)
            self._changed.notify_all()

    def leave_all_unless_wanted(self) -> bool:
        """Free all places and return True, but where a lane was wanted since the last `take` change nothing."""
        with self._changed:
            if self._fresh and not self._closed:
                return False
            self._lanes.clear()
            self._fresh.clear()
            self._changed.notify_all()
            return True

    def close(self) -> None:
        """Give nobody a place any more."""
        with self._changed:
            self._closed = True
            self._changed.notify_all()
