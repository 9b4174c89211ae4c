"""Connections to the journal's database: SQLite by default, PostgreSQL where a URL says so.

Reading and writing are separate. A write on SQLite takes the file's only write lock at once (BEGIN IMMEDIATE) and
queues on a lock of this process first, since SQLite's own waiting is a sleep that grows to 100 ms. Faults of the
database become JournalError; a caller never sees a driver's exception.
"""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from sqlalchemy import Connection, Engine, create_engine, event, make_url
from sqlalchemy.exc import DBAPIError, InterfaceError, OperationalError, SQLAlchemyError

from bridge.errors import JournalError
from bridge.redaction import redact

BUSY_TIMEOUT_MS = 5_000


class Database:
    """One engine, with `read()` and `write()` transactions."""

    def __init__(self, url: str, *, pool_size: int = 8) -> None:
        self.url = make_url(url)
        self.is_sqlite = self.url.get_backend_name() == "sqlite"
        self.engine = _sqlite(url, pool_size) if self.is_sqlite else _postgresql(url, pool_size)
        self._writer = self.engine.execution_options(bridge_write=True)
        self._turn = threading.Lock()

    @contextmanager
    def read(self) -> Iterator[Connection]:
        """Open a transaction that sees one state of the journal and changes nothing."""
        with _translated(), self.engine.begin() as connection:
            yield connection

    @contextmanager
    def write(self) -> Iterator[Connection]:
        """Open a transaction that is durable once the block is left, and undone where it raises."""
        if not self.is_sqlite:
            with _translated(), self._writer.begin() as connection:
                yield connection
            return
        if not self._turn.acquire(timeout=BUSY_TIMEOUT_MS / 1000):
            raise JournalError("the journal's write lock was not free for 5 seconds")
        try:
            with _translated(), self._writer.begin() as connection:
                yield connection
        finally:
            self._turn.release()

    def close(self) -> None:
        """Close every pooled connection."""
        self.engine.dispose()


@contextmanager
def _translated() -> Iterator[None]:
    try:
        yield
    except (OperationalError, InterfaceError) as error:
        raise JournalError(f"the journal's database did not answer: {_first_line(error)}") from error
    except SQLAlchemyError as error:
        raise JournalError(f"the journal's database refused a statement: {_first_line(error)}") from error


def _first_line(error: SQLAlchemyError) -> str:
    # The statement and its parameters (personal data) stand behind the first line and stay out of the message.
    cause = error.orig if isinstance(error, DBAPIError) else error
    return redact(str(cause).splitlines()[0] if str(cause) else type(cause).__name__)


def _sqlite(url: str, pool_size: int) -> Engine:
    path = make_url(url).database
    if path:
        Path(path).parent.mkdir(parents=True, exist_ok=True)
    engine = create_engine(url, pool_size=pool_size, max_overflow=16)

    @event.listens_for(engine, "connect")
    def _connect(connection: Any, _record: Any) -> None:
        connection.isolation_level = None  # the driver must not begin transactions by itself: see _begin
        cursor = connection.cursor()
        # FULL: a commit is on the disk before the answer to Asaas, also when the machine loses power.
        for pragma in (
            "journal_mode = WAL",
            "synchronous = FULL",
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


def _postgresql(url: str, pool_size: int) -> Engine:
    # pool_pre_ping: a connection that a database restart killed is replaced instead of failing the next event.
    return create_engine(
        url,
        pool_size=pool_size,
        max_overflow=16,
        pool_pre_ping=True,
        pool_timeout=5,
        connect_args={"connect_timeout": 5, "options": "-c statement_timeout=15000 -c lock_timeout=10000"},
    )
