"""Connections to the journal's database: SQLite by default, PostgreSQL where DATABASE_URL names one.

Reading and writing are separate. A write on SQLite begins with BEGIN IMMEDIATE, under `WriteLock`. A fault of the
database becomes a JournalError; a caller never gets an exception of the driver.
"""

from __future__ import annotations

import fcntl
import glob
import os
import select
import threading
import time
from collections.abc import Iterator
from contextlib import closing, contextmanager, nullcontext
from pathlib import Path
from typing import IO, Any

from sqlalchemy import URL, Connection, Engine, create_engine, event, exc, make_url

from bridge import private_files
from bridge.crypto import Keyring
from bridge.errors import JournalError, JournalRefused
from bridge.journal import schema
from bridge.messages import N_, Message, system_reason
from bridge.redaction import redact

BUSY_TIMEOUT_MS = 5_000
NO_PLACE = N_("let BRIDGE_DATA_DIR or DATABASE_URL name a place that this user can write to")


class WriteLock:
    """A lock before SQLite's own write lock: its waiters are woken at once, where SQLite sleeps up to 100 ms.

    Entering raises JournalError after `timeout_s`. A writer without this lock still waits as SQLite does.
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
            what = N_("the journal's directory {path} can't be written: {error}")
            raise JournalError(what, path=self._path.parent, error=system_reason(error), hint=NO_PLACE) from error

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
        return JournalError(
            N_("the journal's write lock was not free for {seconds} seconds"), seconds=f"{self._timeout_s:g}"
        )

    def _lock(self, file: IO[bytes], timeout_s: float) -> bool:
        # flock() has no time limit, and a stopped process may hold the lock. So a thread of its own waits in flock(),
        # one at a time: a caller whose time is over leaves it to the next caller.
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
            is_held = False  # the caller raises when its time is over
        with self._changed:
            self._in_flock = False
            self._locked = is_held and self._wanted
            if self._locked:
                self._changed.notify()
            elif is_held:
                fcntl.flock(file, fcntl.LOCK_UN)


def _sqlite(url: str, pool_size: int) -> Engine:
    path = Path(make_url(url).database or "")
    for related in path.parent.glob(f"{glob.escape(path.name)}*"):  # its log, locks, replaced journals
        private_files.restrict(related)
    engine = create_engine(url, pool_size=pool_size, max_overflow=16, hide_parameters=True)

    @event.listens_for(engine, "do_connect")
    def _create(*_: Any) -> None:
        # SQLite gives its log the rights of the file. An existing file is not opened: closing it frees SQLite's locks.
        try:
            private_files.make_directory(path.parent)
            os.close(private_files.opener(str(path), os.O_CREAT | os.O_EXCL | os.O_RDWR))
        except FileExistsError:
            pass
        except OSError as error:
            what = N_("the journal's file {path} can't be made: {error}")
            raise JournalError(what, path=path, error=system_reason(error), hint=NO_PLACE) from error

    @event.listens_for(engine, "connect")
    def _connect(connection: Any, record: Any) -> None:
        record.info["file"] = _identity(path)
        connection.isolation_level = None  # transactions are begun by _begin, not by the driver
        cursor = connection.cursor()
        if cursor.execute("PRAGMA journal_mode = WAL").fetchone() != ("wal",):
            hint = N_("put the journal on a disk of this machine, or use PostgreSQL")
            raise JournalError(N_("SQLite can't keep a write-ahead log beside {path}"), path=path, hint=hint)
        for pragma in (
            "synchronous = FULL",  # a commit returns once it is on the disk
            "foreign_keys = ON",
            "secure_delete = ON",  # deleted or replaced values may be personal data: see `privacy`
            f"busy_timeout = {BUSY_TIMEOUT_MS}",
        ):
            cursor.execute(f"PRAGMA {pragma}")
        cursor.close()

    @event.listens_for(engine, "checkout")
    def _check_file(_connection: Any, record: Any, _proxy: Any) -> None:
        # SQLite would go on in a file that was removed, and commits there are lost.
        if record.info["file"] != _identity(path):
            raise exc.InvalidatePoolError

    @event.listens_for(engine, "begin")
    def _begin(connection: Connection) -> None:
        write = connection.get_execution_options().get("bridge_write", False)
        connection.exec_driver_sql("BEGIN IMMEDIATE" if write else "BEGIN")

    return engine


def _identity(path: Path) -> tuple[int, int] | None:
    try:
        found = path.stat()
    except OSError:
        return None
    return found.st_dev, found.st_ino


# A machine that is cut off from the network would hold its locks, and be waited for, without end. The server ends
# sessions that idle inside a transaction (their locks keep a lane from being taken over) and probes silent peers; both
# sides close a connection whose data is not acknowledged. The server needs that too: a session that disappears in the
# middle of a pipeline of statements is not idle for it (acceptance/test_hosts.py).
_SERVER_SIDE = {
    "statement_timeout": 15_000,
    "lock_timeout": 10_000,
    "idle_in_transaction_session_timeout": 10_000,
    "tcp_keepalives_idle": 30,
    "tcp_keepalives_interval": 10,
    "tcp_keepalives_count": 3,
    "tcp_user_timeout": 10_000,
}
# PostgreSQL's statistics are older than the queue. A table that was nearly empty at the last ANALYZE gets plans that
# read the whole of it for each row, until the next ANALYZE. Every frequent statement has its index; these settings
# leave sequential scans and joins of whole tables to statements without one.
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
    """Return psycopg's setting as the URL has it; `?prepare_threshold=none` prepares no statement.

    Behind PgBouncer's transaction pooling the next transaction may have another server, without prepared statements.
    """
    value = url.query.get(_PREPARE)
    if value is None:
        return {}
    if value != "none" and not str(value).isdecimal():
        what = N_("{name} in DATABASE_URL must be a whole number or none, got {value!r}")
        raise JournalError(what, name=_PREPARE, value=value)
    return {_PREPARE: None if value == "none" else int(str(value))}


def _postgresql(text: str, pool_size: int) -> Engine:
    url = make_url(text)
    engine = create_engine(
        url.difference_update_query([_PREPARE]),
        pool_size=pool_size,
        max_overflow=16,
        hide_parameters=True,  # an error's text ends up in logs, and the parameters are events
        pool_timeout=5,
        connect_args={
            **_CLIENT_SIDE,
            **_prepare_after(url),
            "options": " ".join(f"-c {name}={value}" for name, value in (_SERVER_SIDE | _PLANS).items()),
        },
    )

    @event.listens_for(engine, "checkout")
    def _check_socket(connection: Any, _record: Any, _proxy: Any) -> None:
        # A restart of the server must fail no event. Its last message or the end of the stream is readable then;
        # pool_pre_ping would send a query for each checkout.
        poll = select.poll()
        if not connection.closed:
            poll.register(connection.fileno(), select.POLLIN)
        if connection.closed or poll.poll(0):
            raise exc.DisconnectionError

    return engine


class Database:
    def __init__(self, url: str, *, pool_size: int = 8, keyring: Keyring | None = None) -> None:
        self.url = make_url(url)
        self.is_sqlite = self.url.get_backend_name() == "sqlite"
        self.engine = _sqlite(url, pool_size) if self.is_sqlite else _postgresql(url, pool_size)
        self.keyring = keyring or Keyring()
        schema.keyrings[self.engine.dialect] = self.keyring
        self._writer = self.engine.execution_options(bridge_write=True)
        # PostgreSQL commits a statement by itself: BEGIN and COMMIT would be two more round trips.
        autocommit = None if self.is_sqlite else self.engine.execution_options(isolation_level="AUTOCOMMIT")
        self._reader = autocommit or self.engine
        self._writer_of_one = autocommit or self._writer
        self._write_lock = WriteLock(Path(f"{self.url.database}.turn")) if self.is_sqlite else None

    @property
    def place(self) -> str:
        """The journal's file, or its host and database, without user and password."""
        return str(self.url.database) if self.is_sqlite else f"{self.url.host}/{self.url.database}"

    @contextmanager
    def read(self) -> Iterator[Connection]:
        """Open a connection for reading. On SQLite all statements see one state, on PostgreSQL each its own."""
        with _translated(), self._reader.begin() as connection:
            yield connection

    @contextmanager
    def write(self, *, one_statement: bool = False) -> Iterator[Connection]:
        """Open a transaction that is durable when the block is left, and rolled back where the block raises.

        A block of a single statement says so, to save round trips. Raises JournalError where the commit failed, or its
        result is not known.
        """
        writer = self._writer_of_one if one_statement else self._writer
        with self._write_lock or nullcontext(), _translated(), writer.begin() as connection:
            yield connection

    def clear_log(self) -> bool:
        """Empty SQLite's write-ahead log, which holds older versions of rows; return False where a reader needs it."""
        if not self.is_sqlite:
            return True
        with self._write_lock or nullcontext(), _translated(), closing(self.engine.raw_connection()) as raw:
            (busy, _, _) = raw.cursor().execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchone()
        return not busy

    def close(self) -> None:
        self.engine.dispose()
        if self._write_lock is not None:
            self._write_lock.close()


def is_away(error: Exception) -> bool:
    """Return whether the database did not answer, in contrast to an error of one row or statement."""
    return isinstance(error, JournalError) and not isinstance(error, JournalRefused)


@contextmanager
def _translated() -> Iterator[None]:
    # Only errors of the database: a statement that the bridge builds wrong must look like the fault it is.
    try:
        yield
    except (exc.OperationalError, exc.InterfaceError) as error:
        raise JournalError(N_("the journal's database did not answer: {error}"), error=_reason(error)) from error
    except exc.DBAPIError as error:
        is_statement = isinstance(error, exc.DataError | exc.IntegrityError | exc.ProgrammingError)
        refused = JournalRefused if is_statement else JournalError
        raise refused(N_("the journal's database refused a statement: {error}"), error=_reason(error)) from error
    except exc.TimeoutError as error:
        raise JournalError(N_("no connection to the journal's database was free in time")) from error


def _reason(error: exc.DBAPIError) -> Message:
    # The statement and its parameters (personal data) follow the first line and stay out of the message.
    cause = error.orig
    return Message(redact(str(cause).splitlines()[0] if str(cause) else type(cause).__name__))
