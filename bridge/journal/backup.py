"""Copies of a SQLite journal: made while the bridge runs, put back while it is stopped.

Copying the file alone is not enough: the newest commits may still be in the write-ahead log beside it, and an old log
beside a new file destroys the file. PostgreSQL has tools of its own.
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
from bridge.messages import N_, system_reason

_BUSY_S = 5.0


def back_up(journal: Path, target: Path) -> int:
    """Write a copy of the journal; return the number of its events. Writers go on meanwhile. Raises JournalError."""
    if target.exists():
        raise JournalError(N_("{path} exists"), path=target, hint=N_("name a file that does not exist"))
    unfinished = target.with_name(f"{target.name}.part")
    try:
        private_files.make_directory(target.parent)
        os.close(private_files.opener(str(unfinished), os.O_CREAT | os.O_TRUNC | os.O_WRONLY))
        with closing(_open_for_reading(journal)) as source, closing(sqlite3.connect(unfinished)) as copy:
            source.backup(copy)  # in one go: step by step it would begin again with each commit
            copy.execute("PRAGMA journal_mode=DELETE")
        events = check(unfinished)
        unfinished.rename(target)
    except (OSError, sqlite3.Error) as error:
        raise JournalError(
            N_("copying the journal failed: {error}"), error=system_reason(error), where=str(target)
        ) from error
    finally:
        unfinished.unlink(missing_ok=True)
    return events


def check(copy: Path) -> int:
    """Return the number of events of a copy; raise JournalError where it is damaged or not a journal."""
    try:
        with closing(_open_for_reading(copy)) as connection:
            (result,) = connection.execute("PRAGMA quick_check(1)").fetchone()
            if result != "ok":
                raise JournalError(N_("the copy is damaged: {error}"), error=result, where=str(copy))
            return int(connection.execute("SELECT count(*) FROM events").fetchone()[0])
    except sqlite3.Error as error:
        raise JournalError(N_("this is not a copy of a journal: {error}"), error=error, where=str(copy)) from error


def restore(copy: Path, journal: Path) -> Path | None:
    """Put a copy in the journal's place; return the new path of the replaced journal.

    Raises JournalError where the copy is not good, or a process has the journal open.
    """
    check(copy)
    replaced = None
    try:
        private_files.make_directory(journal.parent)
        if journal.exists():
            _remove_log(journal)
            replaced = journal.with_name(f"{journal.name}.{datetime.now(UTC):%Y%m%dT%H%M%S}")
            journal.rename(replaced)
        with copy.open("rb") as source, open(journal, "wb", opener=private_files.opener) as file:
            shutil.copyfileobj(source, file)
    except OSError as error:
        raise JournalError(
            N_("putting back the copy failed: {error}"), error=system_reason(error), where=str(journal)
        ) from error
    return replaced


def _remove_log(journal: Path) -> None:
    try:
        with closing(sqlite3.connect(journal, timeout=_BUSY_S)) as connection:
            connection.execute("PRAGMA journal_mode=DELETE")  # fails while another process has the file open
    except sqlite3.OperationalError as error:
        what, hint = N_("the journal is in use: {error}"), N_("stop web and worker first")
        raise JournalError(what, error=error, where=str(journal), hint=hint) from error
    except sqlite3.DatabaseError:
        # The journal is damaged, which may be why a copy is put back: keep its log apart from the new file.
        for path in journal.parent.glob(f"{journal.name}-*"):
            path.rename(path.with_name(f"{path.name}.damaged"))


def _open_for_reading(path: Path) -> sqlite3.Connection:
    return sqlite3.connect(f"{path.absolute().as_uri()}?mode=ro", uri=True, timeout=_BUSY_S)
