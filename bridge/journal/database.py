"""Connections to the journal's database: SQLite by default, PostgreSQL where a URL says so.

Reading and writing are separate. A write on SQLite begins with BEGIN IMMEDIATE, under `WriteLock`. Faults of the
database become JournalError; a caller never sees a driver's exception.
"""

from __future__ import annotations

import fcntl
import glob
import os
import threading
import time
from collections.abc import Iterator
from contextlib import closing, contextmanager, nullcontext
from pathlib import Path
from typing import IO, Any

from sqlalchemy import URL, Connection, Engine, create_engine, event, make_url
from sqlalchemy.exc import (
    DataError,
    DBAPIError,
    IntegrityError,
    InterfaceError,
    InvalidatePoolError,
    OperationalError,
    ProgrammingError,
)
from sqlalchemy.exc import TimeoutError as PoolTimeout

from bridge import private_files
from bridge.crypto import Keyring
from bridge.errors import JournalError, JournalRefused
from bridge.journal import schema
from bridge.redaction import redact

BUSY_TIMEOUT_MS = 5_000
NO_PLACE = "let BRIDGE_DATA_DIR or DATABASE_URL name a place that this user can write to"


class WriteLock:
    """SQLite's write lock, taken in advance for one block at a time.

    SQLite waits by sleeping, longer each time, up to 100 ms. A waiter of this lock is woken when the lock is free, and
    raises JournalError after `timeout_s`. A writer without this lock still waits as SQLite does.
    """

    def __init__(self, path: Path, timeout_s: float = BUSY_TIMEOUT_MS / 1000) -> None:
        self._path = path
        self._timeout_s = timeout_s
        self._thread = threading.Lock()
        self._file: IO[bytes] | None = None
        self._pid = 0
        self._changed = threading.Condition()
        self._in_flock = False
        self._wanted = False
        self._locked = False

    def __enter__(self) -> None:
        ends_s = time.monotonic() + self._timeout_s
        if not self._thread.acquire(timeout=self._timeout_s):
            raise self._not_free()
        try:
            if self._file is None or self._pid != os.getpid():  # a fork shares the lock of its parent
                private_files.make_directory(self._path.parent)
                self._file = open(self._path, "ab", opener=private_files.opener)
                self._pid, self._in_flock = os.getpid(), False
            if not self._lock(self._file, ends_s - time.monotonic()):
                raise self._not_free()
        except BaseException as error:
            self._thread.release()
            if not isinstance(error, OSError):
                raise
            raise JournalError(
                f"the journal's directory {self._path.parent} can't be written: {(error.strerror or '').lower()}",
                hint=NO_PLACE,
            ) from error

    def __exit__(self, *_: object) -> None:
        if self._file is not None:
            fcntl.flock(self._file, fcntl.LOCK_UN)
        self._thread.release()

    def close(self) -> None:
        """Close the file; the next writer opens it again."""
        with self._thread, self._changed:
            if self._file is not None and not self._in_flock:
                self._file.close()
                self._file = None

    def _not_free(self) -> JournalError:
        return JournalError(f"the journal's write lock was not free for {self._timeout_s:g} seconds")

    def _lock(self, file: IO[bytes], timeout_s: float) -> bool:
        """Lock the file against other processes; return whether that was possible in time.

        flock() has no time limit, and a process that is stopped may hold the lock. So a thread of its own waits in
        flock(), one at a time: a caller that gives up leaves it to the next one.
        """
        with self._changed:
            if not self._in_flock:
                try:
                    fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
                except BlockingIOError:
                    threading.Thread(target=self._wait_in_flock, args=(file,), name="flock", daemon=True).start()
                    self._in_flock = True
                else:
                    return True
            self._wanted, self._locked = True, False
            self._changed.wait_for(lambda: self._locked, max(0.0, timeout_s))
            self._wanted = False
            return self._locked

    def _wait_in_flock(self, file: IO[bytes]) -> None:
        try:
            fcntl.flock(file, fcntl.LOCK_EX)
            is_held = True
        except OSError:
            is_held = False  # the caller gives up when its time is over
        with self._changed:
            self._in_flock = False
            self._locked = is_held and self._wanted
            if self._locked:
                self._changed.notify()
            elif is_held:
                fcntl.flock(file, fcntl.LOCK_UN)


def sqlite(url: str, pool_size: int) -> Engine:
    """Return an engine for a journal on SQLite, which raises JournalError where its file can't have a log beside it."""
    path = make_url(url).database
    if path in {":memory:", ""}:
        path = None
    if path:
        file = Path(path)
        for there in file.parent.glob(f"{glob.escape(file.name)}*"):  # the log, locks, what was restored over
            private_files.restrict(there)
    engine = create_engine(url, pool_size=pool_size, max_overflow=16, hide_parameters=True)

    @event.listens_for(engine, "do_connect")
    def _create(*_: Any) -> None:
        # Its log gets the rights of the file. One that is there is not opened: to close it would free SQLite's locks.
        if path:
            try:
                private_files.make_directory(Path(path).parent)
                os.close(private_files.opener(path, os.O_CREAT | os.O_EXCL | os.O_RDWR))
            except FileExistsError:
                pass
            except OSError as error:
                raise _no_place(path, error) from error

    @event.listens_for(engine, "connect")
    def _connect(connection: Any, record: Any) -> None:
        record.info[_FILE] = _file(path)
        connection.isolation_level = None  # the driver must not begin transactions by itself: see _begin
        cursor = connection.cursor()
        if cursor.execute("PRAGMA journal_mode = WAL").fetchone() != ("wal",):
            raise JournalError(
                f"SQLite can't keep a write-ahead log beside {path}",
                hint="put the journal on a disk of this machine, or use PostgreSQL",
            )
        for pragma in (
            "synchronous = FULL",  # a commit returns once it is on the disk
            "foreign_keys = ON",
            "secure_delete = ON",  # what is deleted or replaced may be somebody's: see people
            f"busy_timeout = {BUSY_TIMEOUT_MS}",
        ):
            cursor.execute(f"PRAGMA {pragma}")
        cursor.close()

    @event.listens_for(engine, "checkout")
    def _same_file(_connection: Any, record: Any, _proxy: Any) -> None:
        # SQLite would go on in a file that was removed, and what it commits there is lost.
        if record.info[_FILE] != _file(path):
            raise InvalidatePoolError

    @event.listens_for(engine, "begin")
    def _begin(connection: Connection) -> None:
        write = connection.get_execution_options().get("bridge_write", False)
        connection.exec_driver_sql("BEGIN IMMEDIATE" if write else "BEGIN")

    return engine


_FILE = "bridge_file"


def _file(path: str | None) -> tuple[int, int] | None:
    """Return what tells a file from one that takes its place, None where there is none."""
    try:
        found = os.stat(path) if path else None
    except OSError:
        return None
    return (found.st_dev, found.st_ino) if found else None


def _no_place(path: str, error: OSError) -> JournalError:
    return JournalError(
        f"the journal's file {path} can't be made: {(error.strerror or str(error)).lower()}",
        hint=NO_PLACE,
    )


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
# A journal's statistics are of another moment than its queue. Analyzed while next to nothing waits, a table looks so
# small that a statement is prepared to read the whole of it for each row, and does so until the next look, when 20,000
# wait. What runs for each event has its index; whole tables are read, and joined as a whole, only where there is none.
_PLANS = {"enable_seqscan": "off", "enable_hashjoin": "off", "enable_mergejoin": "off", "jit": "off"}
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


def postgresql(text: str, pool_size: int) -> Engine:
    """Return an engine for a journal on PostgreSQL; raise JournalError where the URL asks for what is not known."""
    url = make_url(text)
    return create_engine(
        url.difference_update_query([_PREPARE]),
        pool_size=pool_size,
        max_overflow=16,
        hide_parameters=True,  # an error's text ends up in logs, and the parameters are events
        pool_timeout=5,
        pool_pre_ping=True,  # a restart of the server fails no event
        connect_args={
            **_CLIENT_SIDE,
            **_prepare_after(url),
            "options": " ".join(f"-c {name}={value}" for name, value in (_SERVER_SIDE | _PLANS).items()),
        },
    )


_OF_THE_STATEMENT = (DataError, IntegrityError, ProgrammingError)


class Database:
    """One engine, with `read()` and `write()` transactions."""

    def __init__(self, url: str, *, pool_size: int = 8, keyring: Keyring | None = None) -> None:
        self.url = make_url(url)
        self.is_sqlite = self.url.get_backend_name() == "sqlite"
        self.engine = sqlite(url, pool_size) if self.is_sqlite else postgresql(url, pool_size)
        self.keyring = keyring or Keyring()
        schema.use(self.engine, self.keyring)
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
