"""Notes in the journal what the door refuses, for whoever asks why an event did not come.

A refusal costs a stranger nothing, so it must cost the bridge little: the same reason is written once in a few
seconds at most, and where the journal can't be written it is forgotten. It must never change the answer.
"""

from __future__ import annotations

import threading
from collections.abc import Callable

from bridge.errors import JournalError
from bridge.journal import Journal, door

EVERY_MS = 5_000


class Refusals:
    """The last refusals of one web process."""

    def __init__(self, journal: Journal, clock_ms: Callable[[], int], every_ms: int = EVERY_MS) -> None:
        self._journal = journal
        self._clock_ms = clock_ms
        self._every_ms = every_ms
        self._noted: dict[tuple[str, str], int] = {}
        self._lock = threading.Lock()

    def note(self, account: str, code: str) -> None:
        """Note a refusal, or which of two tokens came, for one of our accounts or an empty name."""
        now_ms = self._clock_ms()
        with self._lock:
            last_ms = self._noted.get((account, code))
            if last_ms is not None and 0 <= now_ms - last_ms < self._every_ms:
                return
            self._noted[account, code] = now_ms
        try:
            with self._journal.database.write() as connection:
                door.note(connection, account, code, now_ms)
        except JournalError:
            return  # Asaas comes again, and then it is noted
