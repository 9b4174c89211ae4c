"""Engines for the journal's database: what a connection is told when it is made, and asked before it is used again."""

from __future__ import annotations

import glob
import os
from pathlib import Path
from typing import Any

from sqlalchemy import URL, Connection, Engine, create_engine, event, make_url
from sqlalchemy.exc import InvalidatePoolError

from bridge import private_files
from bridge.errors import JournalError
from bridge.journal.write_turn import BUSY_TIMEOUT_MS, NO_PLACE


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
                mend="put the journal on a disk of this machine, or use PostgreSQL",
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


_FILE = "bridge.file"


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
        mend=NO_PLACE,
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
