"""The write-ahead log of a SQLite journal is copied back beside those who write, and does not grow without end."""

from __future__ import annotations

import sqlite3
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from bridge.errors import JournalError
from bridge.journal import Journal
from bridge.journal.checkpoint import LONG
from bridge.journal.database import Database
from tests.factories import incoming, keep, opened_journal

PAGE = 4096


def file_of(journal: Journal) -> Path:
    """Return the journal's file."""
    return Path(str(journal.database.url.database))


def log_of(journal: Journal) -> Path:
    """Return the file of its log."""
    return file_of(journal).with_name(file_of(journal).name + "-wal")


def write_pages(journal: Journal, pages: int) -> None:
    """Write so many pages, each commit less than would make SQLite copy by itself."""
    with journal.database.write() as connection:
        connection.exec_driver_sql("CREATE TABLE IF NOT EXISTS filling (body BLOB)")
    for _ in range(pages // 1_000):
        with journal.database.write() as connection:
            connection.exec_driver_sql("INSERT INTO filling VALUES (zeroblob(?))", (1_000 * PAGE,))


@pytest.fixture
def journal(sqlite_url: str) -> Iterator[Journal]:
    """Give a journal on SQLite."""
    with opened_journal(sqlite_url) as opened:
        yield opened


def test_what_is_written_is_copied_into_the_file(journal: Journal) -> None:
    """The file alone, without its log, then has the event."""
    (event,) = keep(journal, incoming())
    journal.database.checkpoint()
    alone = file_of(journal).with_name("alone.db")
    alone.write_bytes(file_of(journal).read_bytes())

    with sqlite3.connect(alone) as copy:
        assert copy.execute("SELECT id FROM events").fetchall() == [(event,)]
    copy.close()


def test_a_long_log_is_begun_anew(journal: Journal) -> None:
    """What is written after a checkpoint overwrites the log instead of making it longer."""
    write_pages(journal, LONG + 1_000)
    longest = log_of(journal).stat().st_size
    for _ in range(3):
        journal.database.checkpoint()
        write_pages(journal, LONG)

    assert longest > LONG * PAGE
    assert log_of(journal).stat().st_size <= longest * 1.1


def test_a_reader_does_not_hold_writers_up(journal: Journal) -> None:
    """Somebody who still reads what is in the log keeps it as it is for now; writing and the next checkpoint go on."""
    write_pages(journal, 1_000)
    with journal.database.read() as reader:
        reader.exec_driver_sql("SELECT count(*) FROM filling").all()
        write_pages(journal, LONG)
        begun_s = time.monotonic()
        journal.database.checkpoint()
        keep(journal, incoming())
        assert time.monotonic() - begun_s < 5  # SQLite's own patience with a reader

    longest = log_of(journal).stat().st_size
    journal.database.checkpoint()
    write_pages(journal, LONG)
    assert log_of(journal).stat().st_size <= longest


def test_postgresql_is_left_alone(postgres_url: str) -> None:
    """It has a process of its own for that."""
    database = Database(postgres_url)
    database.checkpoint()
    database.close()


def test_a_log_that_can_not_be_copied_is_an_error(tmp_path: Path) -> None:
    """Such as of a directory that was unmounted."""
    (tmp_path / "gone").mkdir()
    database = Database(f"sqlite:///{tmp_path}/gone/journal.db")
    (tmp_path / "gone").rmdir()
    with pytest.raises(JournalError, match="can't be copied"):
        database.checkpoint()
    database.close()
