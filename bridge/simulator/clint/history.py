"""The history of what was posted to the webhooks, as Clint keeps it, with more detail than Clint shows.

An entry is made when a request arrives and completed when its answer leaves, so that a test can prove the order of
the requests and that two of one customer never overlapped.
"""

from __future__ import annotations

import threading
import time
from dataclasses import asdict, dataclass, field
from typing import Any


@dataclass
class Entry:
    """One request to a webhook."""

    sequence: int
    integration: str
    started_ms: float
    headers: dict[str, str]
    body: dict[str, Any]
    finished_ms: float | None = None
    status: int | None = None
    """None while it is being answered, or when the connection was cut."""
    result: str = "pending"
    """created, updated, failed (why says it), unreadable, unknown (no such integration), fault or dropped."""
    why: str | None = None
    contact_id: str | None = None
    deal_id: str | None = None
    stage_before: str | None = None
    """The label of the stage that the deal left; None for a new deal."""
    stage: str | None = None
    deal_status: str | None = None
    notes: list[str] = field(default_factory=list)

    @property
    def key(self) -> str | None:
        """Give the Idempotency-Key that came with it."""
        return self.headers.get("idempotency-key")

    @property
    def is_done(self) -> bool:
        """Say whether a deal was written."""
        return self.result in {"created", "updated"}

    def as_json(self) -> dict[str, Any]:
        """Give the entry as JSON."""
        return asdict(self)


class History:
    """All requests to the webhooks, oldest first."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._entries: list[Entry] = []
        self._next = 1

    def begin(self, integration: str, headers: dict[str, str], body: dict[str, Any]) -> Entry:
        """Note that a request came."""
        with self._lock:
            entry = Entry(self._next, integration, time.time() * 1000, headers, body)
            self._next += 1
            self._entries.append(entry)
            return entry

    def end(self, entry: Entry, status: int | None) -> None:
        """Note that its answer leaves."""
        entry.status = status
        entry.finished_ms = time.time() * 1000

    def entries(self, after: int = 0, limit: int | None = None) -> list[Entry]:
        """Give the entries whose sequence is greater than `after`."""
        with self._lock:
            found = [entry for entry in self._entries if entry.sequence > after] if after else list(self._entries)
        return found[:limit]

    def forget(self) -> None:
        """Drop all entries; the numbers go on."""
        with self._lock:
            self._entries.clear()
