"""Copies SQLite's write-ahead log back into the file, so that nobody who writes has to wait for that.

By itself SQLite lets the commit that makes the log a thousand pages long copy them all before it returns: an answer to
Asaas, or a worker that holds the write lock, waits for some megabytes and two syncs of the disk. What is copied by a
connection of its own is copied while others write. What is left of it, to begin the log anew, is a moment's work.
See "Checkpointing" on sqlite.org/wal.html.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Callable
from contextlib import AbstractContextManager, closing

LONG = 4_000
"""Pages (of 4 KiB) from which on the log is begun anew, for which writers wait: the time to copy what came just now."""
WAIT_MS = 100
"""How long a reader of what is in the log may hold that up; the next time comes soon."""


def checkpoint(path: str, writing: Callable[[], AbstractContextManager[None]]) -> int:
    """Copy what is in the log of the database at `path`; return how many pages the log has.

    `writing` keeps others from writing. Raises sqlite3.Error where the file can't be opened or written.
    """
    with closing(sqlite3.connect(path, timeout=WAIT_MS / 1000, isolation_level=None)) as connection:
        pages = _ask(connection, "PASSIVE")
        if pages >= LONG:
            with writing():
                pages = _ask(connection, "RESTART")
        return pages


def _ask(connection: sqlite3.Connection, mode: str) -> int:
    (_, pages, _) = connection.execute(f"PRAGMA wal_checkpoint({mode})").fetchone()
    return int(pages)
