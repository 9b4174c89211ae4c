"""Counts one process's own requests to the Asaas API, for the time that Redis is away.

It knows nothing of other processes, which is why it allows fewer at once. Counts are lost with the process; Asaas's
own 429 is what stands behind it.
"""

from __future__ import annotations

import threading
import time


class LocalPlaces:
    """The places, the quota and the pause of one account as this process sees them."""

    def __init__(self, at_once: int, quota: int, window_s: float) -> None:
        self._lock = threading.Lock()
        self._at_once = at_once
        self._quota = quota
        self._window_s = window_s
        self._held = 0
        self._window_ends_s = 0.0
        self._paused_until_s = 0.0
        self.used = 0

    def take(self) -> tuple[str, float]:
        """Take a place: `taken` and the requests used, `spent` and the seconds to wait, or `full`."""
        with self._lock:
            now_s = time.monotonic()
            if now_s >= self._window_ends_s:
                self.used, self._window_ends_s = 0, now_s + self._window_s
            if self.used >= self._quota:
                return "spent", self._window_ends_s - now_s
            if self._held >= self._at_once:
                return "full", 0.0
            self._held += 1
            self.used += 1
            return "taken", float(self.used)

    def give_back(self) -> None:
        """Give a place back."""
        with self._lock:
            self._held -= 1

    def pause(self, wait_s: float) -> None:
        """Refuse until the seconds have passed; a shorter pause never ends a longer one."""
        with self._lock:
            self._paused_until_s = max(self._paused_until_s, time.monotonic() + wait_s)

    def paused_s(self) -> float:
        """Return the seconds for which the pause still lasts, 0 where there is none."""
        return max(0.0, self._paused_until_s - time.monotonic())
