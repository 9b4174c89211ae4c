"""Connections to the journal's database: SQLite by default, PostgreSQL where a URL says so.

Reading and writing are separate. A write on SQLite takes the file's only write lock at once (BEGIN IMMEDIATE), and
queues for it on a file lock first, which wakes the next writer at once. Faults of the database become JournalError; a
caller never sees a driver's exception.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator, Sequence
from contextlib import AbstractContextManager, closing, contextmanager, nullcontext
from pathlib import Path
from typing import Any

from sqlalchemy import Connection, make_url
from sqlalchemy.exc import DataError, DBAPIError, IntegrityError, InterfaceError, OperationalError, ProgrammingError
from sqlalchemy.exc import TimeoutError as PoolTimeout

from bridge.errors import JournalError, JournalRefused
from bridge.journal import engines, sealed
from bridge.journal.checkpoint import checkpoint
from bridge.journal.log_sync import to_disk
from bridge.journal.write_turn import Turn
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
        self._turn = Turn(Path(f"{self.url.database}.turn")) if self.is_sqlite else None

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
    def write(self, *, durable: bool = True) -> Iterator[Connection]:
        """Open a transaction that is undone where the block raises, and outlives the machine's power once it is left.

        On SQLite, one that need not be `durable` is with the next that is: for what would be done again the same way.
        Raises JournalError where it did not come about, or is not known to be durable.
        """
        with self._in_turn(), _translated(), self._writer.begin() as connection:
            yield connection
        if durable:
            self._to_disk()

    def write_statement(self, statement: str, values: Sequence[Any], *, next_in_turn: bool = False) -> list[Any]:
        """Let the driver carry out one statement as a durable transaction of its own, and return its rows.

        For the door, where somebody waits for an answer: of that SQLAlchemy's own objects took a fifth of the CPU time,
        and PostgreSQL is asked once, where BEGIN and COMMIT would be two more ways there and back. On SQLite
        `next_in_turn` waits only for the writer that is at it, not for others that wait already.
        """
        dialect = self.engine.dialect
        base: type[Exception] = dialect.loaded_dbapi.Error
        with (
            self._in_turn(next_in_turn),
            _translated(),
            closing(self.engine.raw_connection()) as raw,
        ):
            try:
                connection: Any = raw.driver_connection
                with closing(raw.cursor()) as cursor:
                    if not self.is_sqlite:  # there no transaction begins by itself anyway: see engines
                        connection.autocommit = True
                    cursor.execute(statement, values)
                    rows = list(cursor.fetchall())  # until the last is read, SQLite has not committed
                    if not self.is_sqlite:
                        connection.autocommit = False
            except BaseException as error:
                raw.invalidate(error)  # it may commit by itself still, and another is soon made
                if not isinstance(error, base):
                    raise
                raise DBAPIError.instance(None, None, error, base, hide_parameters=True, dialect=dialect) from error
        self._to_disk()
        return rows

    def checkpoint(self) -> None:
        """Copy SQLite's write-ahead log into its file while others write; PostgreSQL does so by itself.

        Raises JournalError where the file can't be written.
        """
        if not self.is_sqlite or self.url.database is None:
            return
        try:
            checkpoint(self.url.database, self._in_turn)
        except sqlite3.Error as error:
            raise JournalError(f"the journal's log can't be copied into its file: {error}") from error

    def clear_log(self) -> bool:
        """Empty SQLite's write-ahead log, where older versions of rows stand; return False where a reader needs it."""
        if not self.is_sqlite:
            return True
        with self._in_turn(), _translated(), closing(self.engine.raw_connection()) as raw:
            (busy, _, _) = raw.cursor().execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchone()
        return not busy

    def _to_disk(self) -> None:
        if self.is_sqlite and self.url.database is not None:
            to_disk(self.url.database)

    def _in_turn(self, next_in_turn: bool = False) -> AbstractContextManager[None]:
        return self._turn(next_in_turn) if self._turn else nullcontext()

    def close(self) -> None:
        """Close every pooled connection."""
        self.engine.dispose()
        if self._turn is not None:
            self._turn.close()


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
