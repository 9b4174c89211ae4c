"""The log of what was written to deals: what happened, when, and by whom, for tests that judge the bridge."""

from __future__ import annotations

import time
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True)
class Write:
    """One write to one deal."""

    sequence: int
    at_ms: float
    deal_id: str
    by: str
    """webhook, api or person."""
    what: str
    """created, changed or removed."""
    stage_before: str | None
    """The label of the stage before; None for a new deal."""
    status_before: str | None
    stage: str
    status: str
    value: float | None
    fields: dict[str, Any]
    """The fields that were written, not those that the deal has."""

    @property
    def has_moved(self) -> bool:
        """Whether the deal is in another stage or status since then, or is new."""
        return (self.stage_before, self.status_before) != (self.stage, self.status)


class WriteLog:
    """Every write, oldest first; it is changed under the lock of the CRM."""

    def __init__(self) -> None:
        self.all: list[Write] = []
        self._of: dict[str, list[Write]] = {}

    def add(self, deal_id: str, by: str, what: str, before: tuple[str, str] | None, **now: Any) -> None:
        """Note a write; `before` is stage and status."""
        stage_before, status_before = before or (None, None)
        sequence, at_ms = len(self.all) + 1, time.time() * 1000
        write = Write(sequence, at_ms, deal_id, by, what, stage_before, status_before, **now)
        self.all.append(write)
        self._of.setdefault(deal_id, []).append(write)

    def of(self, deal_id: str) -> list[Write]:
        """Return the writes to a deal; a removed one has them too."""
        return list(self._of.get(deal_id, []))

    def by_api(self, deal_id: str) -> int:
        """Return how many times the API wrote to a deal."""
        return sum(write.by == "api" for write in self._of.get(deal_id, []))

    def places(self, deal_id: str) -> list[tuple[str, str, str]]:
        """Return who put a deal where: by, stage and status of each write that moved it."""
        moves: Iterable[Write] = (write for write in self._of.get(deal_id, []) if write.has_moved)
        return [(write.by, write.stage, write.status) for write in moves]

    def moved_by(self, deal_id: str) -> str:
        """Return who put a deal where it is: webhook, api or person."""
        places = self.places(deal_id)
        return places[-1][0] if places else ""

    def forget(self) -> None:
        self.all.clear()
        self._of.clear()
