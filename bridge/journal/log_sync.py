"""Brings SQLite's write-ahead log to the disk after the write lock is given back.

With `synchronous=FULL` SQLite does so within the commit, and nobody else writes for those milliseconds. With `NORMAL` a
commit stands in the log, whole and in order, but may go with the machine's power (sqlite.org/pragma.html,
"synchronous"): so whoever promises that something is kept syncs the log before it says so. A sync takes along all that
the log has: nothing that was built on another's commit can be on the disk without it. What SQLite copies into its file
it syncs by itself, before it begins the log anew.
"""

from __future__ import annotations

import os

from bridge.errors import JournalError


def to_disk(database: str) -> None:
    """Return when all that was committed to the SQLite file of this name outlives the machine's power.

    The caller has a connection to it, which keeps the log from being taken away. Raises JournalError.
    """
    try:
        log = os.open(f"{database}-wal", os.O_RDWR)
        try:
            # macOS has no fdatasync.
            (os.fdatasync if hasattr(os, "fdatasync") else os.fsync)(log)
        finally:
            os.close(log)
    except OSError as error:
        raise JournalError(f"the journal's log can't be brought to the disk: {error.strerror}") from error
