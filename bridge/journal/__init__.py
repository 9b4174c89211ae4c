"""The journal owns the work: events, deliveries, attempts, leases, destinations and mapping revisions.

What is committed here has happened; everything else (Redis, the memory of a worker) may be lost at any time. Commits
are durable: by synchronous=FULL on SQLite, by the default synchronous_commit on PostgreSQL. The rules of each table
stand beside it in `schema`.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import cached_property

from bridge.errors import DecryptionFailed, JournalError, JournalNotMigrated
from bridge.journal import encryption, events, migrate
from bridge.journal.database import Database, is_away
from bridge.journal.lanes import Lanes, Lease
from bridge.journal.migrate import upgrade
from bridge.model import IncomingEvent

__all__ = ["Database", "Journal", "Lanes", "Lease", "is_away", "upgrade"]


class Journal:
    """One journal: a database, its lanes, and how an event is appended."""

    def __init__(self, database: Database, lease_s: float) -> None:
        self.database = database
        self.lanes = Lanes(database, int(lease_s * 1000))

    @cached_property
    def lane_count(self) -> int:
        """The number of lanes, fixed when the journal was made; raises DecryptionFailed without the journal's key."""
        with self.database.read() as connection:
            # Before the first event is written: an event encrypted with a wrong key is lost.
            return int(encryption.check(connection)["lanes"])

    def check(self) -> None:
        """Raise JournalNotMigrated for a schema of another version, DecryptionFailed without the journal's key."""
        with self.database.read() as connection:
            migrate.check(connection)
            encryption.check(connection)

    def try_append(self) -> None:
        """Append an event and remove it again; raise JournalError where that fails."""
        try:
            self.check()
        except JournalError as error:
            # Damaged pages of the SQLite file do not matter where appending an event does not touch them.
            if not self.database.is_sqlite or isinstance(error, JournalNotMigrated | DecryptionFailed):
                raise
        events.try_append(self.database)

    def append(self, batch: Sequence[IncomingEvent]) -> list[tuple[int, events.AppendResult]]:
        """Commit these events together; return the lane and the result of each."""
        return events.append(self.database, batch, self.lane_count)
