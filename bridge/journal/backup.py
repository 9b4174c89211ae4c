"""Copies of a SQLite journal: taken while the bridge runs, put back while it is stopped.

A copy of the file alone is none: what was committed last may still be in the write-ahead log beside it, and an old log
beside a new file destroys it. PostgreSQL has tools of its own for this.
"""

from __future__ import annotations

import os
import shutil
import sqlite3
from contextlib import closing
from datetime import UTC, datetime
from pathlib import Path

from bridge import private_files
from bridge.errors import JournalError

_BUSY_S = 5.0


def back_up(journal: Path, target: Path) -> int:
    """Write a copy of the journal as it is at this moment; return how many events it has.

    Nobody waits for it: in a write-ahead log a reader and writers go past each other. Raises JournalError.
    """
    if target.exists():
        raise JournalError(f"{target} is there already", hint="name a file that is not there yet")
    unfinished = target.with_name(f"{target.name}.part")
    try:
        private_files.make_directory(target.parent)
        os.close(private_files.opener(str(unfinished), os.O_CREAT | os.O_TRUNC | os.O_WRONLY))
        with closing(_opened(journal)) as source, closing(sqlite3.connect(unfinished)) as copy:
            source.backup(copy)  # in one go: step by step it would begin anew with each commit
            copy.execute("PRAGMA journal_mode=DELETE")
        events = check(unfinished)
        unfinished.rename(target)
    except (OSError, sqlite3.Error) as error:
        raise JournalError(f"the journal could not be copied: {error}", where=str(target)) from error
    finally:
        unfinished.unlink(missing_ok=True)
    return events


def check(copy: Path) -> int:
    """Return how many events a copy has; raise JournalError where it is damaged or no journal."""
    try:
        with closing(_opened(copy)) as connection:
            (said,) = connection.execute("PRAGMA quick_check(1)").fetchone()
            if said != "ok":
                raise JournalError(f"the copy is damaged: {said}", where=str(copy))
            return int(connection.execute("SELECT count(*) FROM events").fetchone()[0])
    except sqlite3.Error as error:
        raise JournalError(f"this is no copy of a journal: {error}", where=str(copy)) from error


def restore(copy: Path, journal: Path) -> Path | None:
    """Put a copy in the journal's place; return where the journal that was there is now.

    Raises JournalError where the copy is none, or where a process has the journal open.
    """
    check(copy)
    aside = None
    try:
        private_files.make_directory(journal.parent)
        if journal.exists():
            _close_log(journal)
            aside = journal.with_name(f"{journal.name}.{datetime.now(UTC):%Y%m%dT%H%M%S}")
            journal.rename(aside)
        with copy.open("rb") as source, open(journal, "wb", opener=private_files.opener) as file:
            shutil.copyfileobj(source, file)
    except OSError as error:
        raise JournalError(f"the copy could not be put back: {error}", where=str(journal)) from error
    return aside


def _close_log(journal: Path) -> None:
    """Bring the write-ahead log into the file and remove it, which only works where nobody else has it open."""
    try:
        with closing(sqlite3.connect(journal, timeout=_BUSY_S)) as connection:
            connection.execute("PRAGMA journal_mode=DELETE")
    except sqlite3.OperationalError as error:
        raise JournalError(
            f"the journal is in use: {error}", where=str(journal), hint="stop web and worker first"
        ) from error
    except sqlite3.DatabaseError:
        # It is damaged, which may be why a copy is put back: its log goes aside with it under the file's new name.
        for path in journal.parent.glob(f"{journal.name}-*"):
            path.rename(path.with_name(f"{path.name}.damaged"))


def _opened(path: Path) -> sqlite3.Connection:
    return sqlite3.connect(f"{path.absolute().as_uri()}?mode=ro", uri=True, timeout=_BUSY_S)
