"""An event loop's selector that pauses before it looks while much is under way.

Each look that finds one answer takes the interpreter from the thread that decides and writes, and each of its
statements hands it over again: fifty waits for a delivery. After a pause one look finds many answers.
"""

from __future__ import annotations

import selectors
import time
from collections.abc import Callable

PAUSE_S = 0.002
"""Long beside the handling of an answer, and short beside any answer's way."""


class PausingSelector(selectors.DefaultSelector):
    """Looks at what is ready, after a pause where `is_busy` says that it pays."""

    def __init__(self, is_busy: Callable[[], bool]) -> None:
        super().__init__()
        self._is_busy = is_busy

    def select(self, timeout: float | None = None) -> list[tuple[selectors.SelectorKey, int]]:
        """Return what is ready, as the selector does."""
        if (timeout is None or timeout > PAUSE_S) and self._is_busy():
            time.sleep(PAUSE_S)
            timeout = None if timeout is None else timeout - PAUSE_S
        return super().select(timeout)
