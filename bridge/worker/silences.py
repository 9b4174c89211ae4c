"""Which accounts have been silent for unusually long, by the journal's counts of each hour."""

from __future__ import annotations

from collections.abc import Collection

from bridge.alerting.silence import HOUR_MS, KEPT_H, Silence, unusual
from bridge.journal import Journal, rollups

EVERY_MS = 300_000
"""How long what was read is used: it is nine weeks of hours, and a silence takes hours to be one."""


class Silences:
    """The silences of the accounts that are set up, read now and then."""

    def __init__(self, journal: Journal, accounts: Collection[str]) -> None:
        self._journal = journal
        self._accounts = accounts
        self._found: dict[str, Silence | None] = {}
        self._read_ms: int | None = None

    def __call__(self, now_ms: int) -> dict[str, Silence | None]:
        """Return by account the silence that is unusually long, or None."""
        if self._read_ms is None or not 0 <= now_ms - self._read_ms < EVERY_MS:
            with self._journal.database.read() as connection:
                hours = rollups.active_hours(connection, now_ms - KEPT_H * HOUR_MS)
            self._found = {account: unusual(hours.get(account, []), now_ms) for account in self._accounts}
            self._read_ms = now_ms
        return self._found
