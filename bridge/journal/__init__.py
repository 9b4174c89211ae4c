"""The journal owns the work: events, deliveries, attempts, leases, destinations and mapping revisions.

What is written here has happened; everything else (Redis, a worker's memory) may be lost at any time. Relied upon: a
write is durable (on SQLite by synchronous=FULL, on PostgreSQL by its default synchronous_commit), and a row's update
locks it until the transaction ends. The rules of each table stand beside it in `schema`.
"""

from __future__ import annotations

from collections.abc import Sequence

from sqlalchemy import select

from bridge.errors import DecryptionFailed, JournalError, JournalNotMigrated
from bridge.journal import encryption, events, migrate
from bridge.journal.database import Database, is_away
from bridge.journal.lanes import Lanes, Lease
from bridge.journal.migrate import upgrade
from bridge.journal.schema import meta
from bridge.model import IncomingEvent, lane_of

__all__ = ["Database", "Journal", "Lanes", "Lease", "is_away", "upgrade"]


class Journal:
    """One journal: a database, its lanes, and how an event is appended."""

    def __init__(self, database: Database, lease_s: float) -> None:
        self.database = database
        self.lanes = Lanes(database, int(lease_s * 1000))
        self._lane_count: int | None = None

    @property
    def lane_count(self) -> int:
        """The number of lanes, fixed when the journal was made; raises DecryptionFailed without the journal's key."""
        if self._lane_count is None:
            with self.database.read() as connection:
                known = {row.key: row.value for row in connection.execute(select(meta))}
            # Before the first event is written: one that was sealed with a wrong key, nobody could read.
            encryption.check(known, self.database.keyring)
            self._lane_count = int(known["lanes"])
        return self._lane_count

    def check(self) -> None:
        """Raise JournalNotMigrated where this version can't work on the schema, JournalError where it can't be read.

        Raises DecryptionFailed where the journal is encrypted and its key is not there.
        """
        with self.database.read() as connection:
            migrate.check(connection)
            encryption.check({row.key: row.value for row in connection.execute(select(meta))}, self.database.keyring)

    def try_append(self) -> None:
        """Raise JournalError where no event could be kept; it is tried."""
        try:
            self.check()
        except JournalError as error:
            # Damaged pages of SQLite's file that no event comes to.
            if not self.database.is_sqlite or isinstance(error, JournalNotMigrated | DecryptionFailed):
                raise
        events.try_append(self.database)

    def append(self, batch: Sequence[IncomingEvent]) -> list[tuple[int, events.AppendResult]]:
        """Keep these events in one commit; return lane and result of each. When this returns, they are durable."""
        lanes = [lane_of(event.account, event.subject, self.lane_count) for event in batch]
        kept = events.append(self.database, list(zip(batch, lanes, strict=True)))
        return list(zip(lanes, kept, strict=True))
