"""Connections to the journal's database: SQLite by default, PostgreSQL where a URL says so.

Reading and writing are separate. A write on SQLite takes the file's only write lock at once (BEGIN IMMEDIATE), and
queues for it on a file lock first, which wakes the next writer at once. Faults of the database become JournalError; a
caller never sees a driver's exception.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from contextlib import AbstractContextManager, closing, contextmanager, nullcontext, suppress
from pathlib import Path
from typing import Any

from sqlalchemy import URL, Connection, Engine, create_engine, event, make_url
from sqlalchemy.exc import DataError, DBAPIError, IntegrityError, InterfaceError, OperationalError, ProgrammingError
from sqlalchemy.exc import TimeoutError as PoolTimeout

from bridge.errors import JournalError, JournalRefused
from bridge.journal import sealed
from bridge.journal.checkpoint import checkpoint
from bridge.journal.log_sync import to_disk
from bridge.journal.write_turn import BUSY_TIMEOUT_MS, Turn
from bridge.redaction import redact
from bridge.sealing import Keyring

CHECKPOINT_PAGES = 20_000
"""From 80 MB of log on SQLite's own checkpoint helps, in the middle of a commit: then the sweeper's has not run."""
_OF_THE_STATEMENT = (DataError, IntegrityError, ProgrammingError)


class Database:
    """One engine, with `read()` and `write()` transactions."""

    def __init__(self, url: str, *, pool_size: int = 8, keyring: Keyring | None = None) -> None:
        self.url = make_url(url)
        self.is_sqlite = self.url.get_backend_name() == "sqlite"
        self.engine = _sqlite(url, pool_size) if self.is_sqlite else _postgresql(url, pool_size)
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

    @contextmanager
    def write_by_driver(self, *, next_in_turn: bool = False) -> Iterator[Any]:
        """Open the same transaction and give the driver's own cursor.

        For the door's one statement: of an answer to Asaas SQLAlchemy's own objects took a fifth of the CPU time.
        On SQLite `next_in_turn` waits only for the writer that is at it, not for others that wait already: for the
        door, where somebody waits for an answer.
        """
        dialect = self.engine.dialect
        base: type[Exception] = dialect.loaded_dbapi.Error
        with (
            self._in_turn(next_in_turn),
            _translated(),
            closing(self.engine.raw_connection()) as raw,
        ):  # whose close undoes what is left
            try:
                with closing(raw.cursor()) as cursor:  # a statement that is not ended would keep SQLite's write lock
                    if self.is_sqlite:
                        cursor.execute("BEGIN IMMEDIATE")
                    yield cursor
                raw.commit()
            except base as error:
                with suppress(base):
                    raw.rollback()
                raw.invalidate(error)  # whether it stands is not known, and another is soon made
                raise DBAPIError.instance(None, None, error, base, hide_parameters=True, dialect=dialect) from error
        self._to_disk()

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


def _sqlite(url: str, pool_size: int) -> Engine:
    path = make_url(url).database
    if path:
        Path(path).parent.mkdir(parents=True, exist_ok=True)
    engine = create_engine(url, pool_size=pool_size, max_overflow=16, hide_parameters=True)

    @event.listens_for(engine, "connect")
    def _connect(connection: Any, _record: Any) -> None:
        connection.isolation_level = None  # the driver must not begin transactions by itself: see _begin
        cursor = connection.cursor()
        if cursor.execute("PRAGMA journal_mode = WAL").fetchone() != ("wal",):
            raise JournalError(
                f"SQLite can't keep a write-ahead log beside {path}",
                mend="put the journal on a disk of this machine, or use PostgreSQL",
            )
        for pragma in (
            "synchronous = NORMAL",  # the log is brought to the disk when others may write: see log_sync
            f"wal_autocheckpoint = {CHECKPOINT_PAGES}",
            "foreign_keys = ON",
            f"busy_timeout = {BUSY_TIMEOUT_MS}",
        ):
            cursor.execute(f"PRAGMA {pragma}")
        cursor.close()

    @event.listens_for(engine, "begin")
    def _begin(connection: Connection) -> None:
        write = connection.get_execution_options().get("bridge_write", False)
        connection.exec_driver_sql("BEGIN IMMEDIATE" if write else "BEGIN")

    return engine


# A machine that is cut off from the network says nothing more, and would hold its locks and be waited for without end.
# The server ends what stands idle inside a transaction (its locks keep a lane from being taken over) and asks quiet
# peers whether they live; both give up what nobody acknowledges instead of waiting a quarter of an hour. That counts on
# the server too, to which nobody is idle who went in the middle of a pipeline of statements (acceptance/test_hosts.py).
_SERVER_SIDE = {
    "statement_timeout": 15_000,
    "lock_timeout": 10_000,
    "idle_in_transaction_session_timeout": 10_000,
    "tcp_keepalives_idle": 30,
    "tcp_keepalives_interval": 10,
    "tcp_keepalives_count": 3,
    "tcp_user_timeout": 10_000,
}
_CLIENT_SIDE = {
    "connect_timeout": 5,
    "keepalives_idle": 5,
    "keepalives_interval": 2,
    "keepalives_count": 3,
    "tcp_user_timeout": 10_000,
}


_PREPARE = "prepare_threshold"


def _prepare_after(url: URL) -> dict[str, int | None]:
    """Return after how many uses a statement is prepared, where the URL says so: `?prepare_threshold=none` is never.

    Behind PgBouncer's transaction pooling the next transaction may have another server, which knows of no statement.
    """
    said = url.query.get(_PREPARE)
    if said is None:
        return {}
    if said == "none":
        return {_PREPARE: None}
    if isinstance(said, str) and said.isdecimal():
        return {_PREPARE: int(said)}
    raise JournalError(f"{_PREPARE} in DATABASE_URL must be a whole number or none, got {said!r}")


def _postgresql(text: str, pool_size: int) -> Engine:
    url = make_url(text)
    # pool_pre_ping: a connection that a database restart killed is replaced instead of failing the next event.
    return create_engine(
        url.difference_update_query([_PREPARE]),
        pool_size=pool_size,
        max_overflow=16,
        pool_pre_ping=True,
        hide_parameters=True,  # an error's text ends up in logs, and the parameters are events
        pool_timeout=5,
        connect_args={
            **_CLIENT_SIDE,
            **_prepare_after(url),
            "options": " ".join(f"-c {name}={value}" for name, value in _SERVER_SIDE.items()),
        },
    )
