"""Connections to the journal's database: SQLite by default, PostgreSQL where a URL says so.

Reading and writing are separate. A write on SQLite begins with BEGIN IMMEDIATE, under `WriteLock`. Faults of the
database become JournalError; a caller never sees a driver's exception.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import closing, contextmanager, nullcontext
from pathlib import Path

from sqlalchemy import Connection, make_url
from sqlalchemy.exc import DataError, DBAPIError, IntegrityError, InterfaceError, OperationalError, ProgrammingError
from sqlalchemy.exc import TimeoutError as PoolTimeout

from bridge.errors import JournalError, JournalRefused
from bridge.journal import engines, sealed
from bridge.journal.write_turn import WriteLock
from bridge.redaction import redact
from bridge.sealing import Keyring

_OF_THE_STATEMENT = (DataError, IntegrityError, ProgrammingError)


class Database:
    """One engine, with `read()` and `write()` transactions."""

    def __init__(self, url: str, *, pool_size: int = 8, keyring: Keyring | None = None) -> None:
        self.url = make_url(url)
        self.is_sqlite = self.url.get_backend_name() == "sqlite"
        self.engine = engines.sqlite(url, pool_size) if self.is_sqlite else engines.postgresql(url, pool_size)
        self.keyring = keyring or Keyring()
        sealed.use(self.engine, self.keyring)
        self._writer = self.engine.execution_options(bridge_write=True)
        self._write_lock = WriteLock(Path(f"{self.url.database}.turn")) if self.is_sqlite else None

    @property
    def place(self) -> str:
        """Where the journal is, without user and password."""
        return str(self.url.database) if self.is_sqlite else f"{self.url.host}/{self.url.database}"

    @contextmanager
    def read(self) -> Iterator[Connection]:
        """Open a transaction that sees one state of the journal and changes nothing."""
        with _translated(), self.engine.begin() as connection:
            yield connection

    @contextmanager
    def write(self) -> Iterator[Connection]:
        """Open a transaction that is durable when the block is left, and undone where the block raises.

        Raises JournalError where the commit failed, or its result is not known.
        """
        with self._write_lock or nullcontext(), _translated(), self._writer.begin() as connection:
            yield connection

    def clear_log(self) -> bool:
        """Empty SQLite's write-ahead log, where older versions of rows stand; return False where a reader needs it."""
        if not self.is_sqlite:
            return True
        with self._write_lock or nullcontext(), _translated(), closing(self.engine.raw_connection()) as raw:
            (busy, _, _) = raw.cursor().execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchone()
        return not busy

    def close(self) -> None:
        """Close every pooled connection."""
        self.engine.dispose()
        if self._write_lock is not None:
            self._write_lock.close()


def is_away(error: Exception) -> bool:
    """Return whether the error says that the database is away for now, and not that something is wrong with a row."""
    return isinstance(error, JournalError) and not isinstance(error, JournalRefused)


@contextmanager
def _translated() -> Iterator[None]:
    # Only what the database said: a statement that we built wrong is a fault of ours, and must look like one.
    try:
        yield
    except (OperationalError, InterfaceError) as error:
        raise JournalError(f"the journal's database did not answer: {_first_line(error)}") from error
    except DBAPIError as error:
        refused = JournalRefused if isinstance(error, _OF_THE_STATEMENT) else JournalError
        raise refused(f"the journal's database refused a statement: {_first_line(error)}") from error
    except PoolTimeout as error:
        raise JournalError("no connection to the journal's database was free in time") from error


def _first_line(error: DBAPIError) -> str:
    # The statement and its parameters (personal data) stand behind the first line and stay out of the message.
    cause = error.orig
    return redact(str(cause).splitlines()[0] if str(cause) else type(cause).__name__)
