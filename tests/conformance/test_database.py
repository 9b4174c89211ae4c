"""The journal's database: durable writes, one writer's turn, faults said as JournalError, and its schema."""

from __future__ import annotations

import contextlib
import fcntl
import os
import resource
import sqlite3
import subprocess
import sys
import threading
import time
from pathlib import Path
from typing import Any

import pytest
from alembic.autogenerate import compare_metadata
from alembic.migration import MigrationContext
from sqlalchemy import text

from bridge.errors import JournalError, JournalRefused
from bridge.journal import Database, Journal, schema, upgrade
from bridge.journal.database import WriteLock
from bridge.journal.migrate import current, head
from bridge.journal.schema import metadata, with_partial_indexes
from tests.factories import incoming, keep, opened_journal, until
from tests.peers import closed_port
from tests.services import PostgresServer


def break_off(journal: Journal) -> None:
    """Change every lane in a transaction that fails half way."""

    def fail() -> None:
        with journal.database.write() as connection:
            connection.execute(text("UPDATE lanes SET fence = 99"))
            raise ValueError("half way")

    with pytest.raises(ValueError, match="half way"):
        fail()


def test_a_block_that_fails_is_undone(journal: Journal) -> None:
    """Nothing of it is there, and the next write finds the way free."""
    break_off(journal)
    with journal.database.read() as connection:
        assert connection.execute(text("SELECT sum(fence) FROM lanes")).scalar_one() == 0
    keep(journal, incoming())


def test_writers_take_turns(journal: Journal) -> None:
    """Thirty threads that read and write one number lose none of their additions."""

    lock = "" if journal.database.is_sqlite else " FOR UPDATE"
    look = text(f"SELECT fence FROM lanes WHERE lane = 0{lock}")

    def add() -> None:
        for _ in range(5):
            with journal.database.write() as connection:
                found = connection.execute(look).scalar_one()
                connection.execute(text("UPDATE lanes SET fence = :next WHERE lane = 0"), {"next": found + 1})

    threads = [threading.Thread(target=add) for _ in range(30)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    with journal.database.read() as connection:
        assert connection.execute(text("SELECT fence FROM lanes WHERE lane = 0")).scalar_one() == 150


def test_a_reader_sees_one_state_while_others_write(journal: Journal) -> None:
    """A read does not wait for a writer, nor a writer for a read."""
    with journal.database.write() as writing:
        writing.execute(text("UPDATE lanes SET fence = 7 WHERE lane = 0"))
        with journal.database.read() as reading:
            assert reading.execute(text("SELECT fence FROM lanes WHERE lane = 0")).scalar_one() == 0


def test_a_statement_that_is_refused_shows_no_values(journal: Journal) -> None:
    """What was to be written (a customer's data) stays out of the error."""

    def insert_again() -> None:
        with journal.database.write() as connection:
            connection.execute(text("INSERT INTO journal_meta (key, value) VALUES ('lanes', 'maria@example.com')"))

    with pytest.raises(JournalRefused) as caught:
        insert_again()
    assert str(caught.value).startswith("the journal's database refused a statement: ")
    assert "maria" not in str(caught.value)
    assert "\n" not in str(caught.value)


def test_the_migrations_make_the_schema_that_the_code_has(journal: Journal) -> None:
    """Tables, columns and indexes; else a new installation and an upgraded one would differ."""
    tables = {schema.alerts, schema.audit, schema.rollups, schema.tenant_accounts}
    assert {table.name for table in tables} <= set(metadata.tables)
    with journal.database.read() as connection:
        context = MigrationContext.configure(connection, opts={"compare_type": True})
        assert compare_metadata(context, with_partial_indexes()) == []


def test_an_upgrade_can_be_repeated(journal: Journal) -> None:
    """At every start, and by several processes at once."""
    assert upgrade(journal.database) == (head(), head())
    journal.check()


def test_many_processes_may_upgrade_an_empty_database_at_once(empty_url: str) -> None:
    """One of them migrates; the others wait and find it done."""
    errors: list[BaseException] = []
    databases = [Database(empty_url) for _ in range(6)]

    def start(database: Database) -> None:
        try:
            upgrade(database)
        except BaseException as error:  # noqa: BLE001 (a thread's error must fail the test)
            errors.append(error)

    threads = [threading.Thread(target=start, args=(database,)) for database in databases]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    assert errors == []
    for database in databases:
        with database.read() as connection:
            assert current(connection) == head()
        database.close()


def test_sqlite_keeps_a_log_and_checks_its_keys(sqlite_url: str) -> None:
    """Each connection has the write-ahead log, syncs it with each commit (2 is FULL), and checks foreign keys."""
    wanted = {"journal_mode": "wal", "synchronous": 2, "foreign_keys": 1}
    with opened_journal(sqlite_url) as journal:
        for transaction in (journal.database.write, journal.database.read):
            with transaction() as one, journal.database.read() as another:
                for connection in (one, another):
                    pragmas = {name: connection.exec_driver_sql(f"PRAGMA {name}").scalar_one() for name in wanted}
                    assert pragmas == wanted


def test_a_file_system_without_a_log_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Where SQLite can keep no write-ahead log, nothing would bring a commit to the disk: it is said at once."""
    monkeypatch.chdir(tmp_path)
    database = Database("sqlite:///file:journal.db?vfs=unix-dotfile&uri=true")  # a way to open it that knows no log

    with pytest.raises(JournalError, match="write-ahead log"), database.write():
        raise AssertionError("opened")
    database.close()


def test_a_commit_that_the_disk_does_not_take_is_no_success(sqlite_url: str) -> None:
    """The caller gets a JournalError; the event is posted again, and kept once."""
    with opened_journal(sqlite_url) as journal:
        event = incoming()
        limit = resource.getrlimit(resource.RLIMIT_FSIZE)
        resource.setrlimit(resource.RLIMIT_FSIZE, (Path(f"{journal.database.place}-wal").stat().st_size, limit[1]))
        try:
            with pytest.raises(JournalError, match="did not answer"):
                keep(journal, event)
        finally:
            resource.setrlimit(resource.RLIMIT_FSIZE, limit)
        keep(journal, event)
        with journal.database.read() as connection:
            assert connection.execute(text("SELECT repeats FROM events")).scalars().all() == [0]


@pytest.mark.slow
def test_a_killed_process_leaves_a_journal_that_opens(sqlite_url: str, tmp_path: Path) -> None:
    """What it had committed is there; what it was writing is not, and the turn is free."""
    program = """
import os, signal, sys
from tests.factories import incoming, keep, opened_journal, until
with opened_journal(sys.argv[1]) as journal:
    keep(journal, incoming(key="kept"))
    with journal.database.write() as connection:
        connection.exec_driver_sql("UPDATE events SET event_key = 'half'")
        os.kill(os.getpid(), signal.SIGKILL)
"""
    root = Path(__file__).parents[2]
    env = {"PATH": os.environ["PATH"], "PYTHONPATH": str(root)}
    ended = subprocess.run([sys.executable, "-c", program, sqlite_url], env=env, cwd=tmp_path, check=False)
    assert ended.returncode == -9

    with opened_journal(sqlite_url) as journal, journal.database.read() as connection:
        assert connection.execute(text("SELECT event_key FROM events")).scalars().all() == ["kept"]


@pytest.mark.slow
def test_a_stranger_that_holds_sqlites_lock_is_waited_for_and_then_said(sqlite_url: str) -> None:
    """A backup program holds the file: writers wait five seconds and say what happened, readers go on."""
    with opened_journal(sqlite_url) as journal:
        stranger = sqlite3.connect(str(journal.database.url.database), isolation_level=None)
        stranger.execute("BEGIN IMMEDIATE")
        began_s = time.monotonic()
        with pytest.raises(JournalError, match="database is locked"):
            keep(journal, incoming())
        assert 4 < time.monotonic() - began_s < 8
        with journal.database.read() as connection:
            assert connection.execute(text("SELECT count(*) FROM events")).scalar_one() == 0
        stranger.execute("ROLLBACK")
        stranger.close()
        keep(journal, incoming())


@pytest.mark.slow
def test_a_thread_that_writes_for_too_long_is_not_waited_for_for_ever(sqlite_url: str) -> None:
    """The other threads of the process say after five seconds that the lock was not free."""
    with opened_journal(sqlite_url) as journal:
        _ = journal.lane_count
        errors: list[str] = []

        def write() -> None:
            try:
                keep(journal, incoming())
            except JournalError as error:
                errors.append(str(error))

        with journal.database.write():
            thread = threading.Thread(target=write)
            thread.start()
            thread.join()

    assert errors == ["the journal's write lock was not free for 5 seconds"]


def test_a_process_that_stopped_while_it_wrote_is_not_waited_for_for_ever(tmp_path: Path) -> None:
    """Each writer gives up in time; one thread at most goes on waiting, and keeps the lock from nobody later."""
    path = tmp_path / "journal.db.turn"
    lock = WriteLock(path, timeout_s=0.1)
    with path.open("ab") as stopped, path.open("ab") as other:
        fcntl.flock(stopped, fcntl.LOCK_EX)
        for _ in range(3):
            with pytest.raises(JournalError, match=r"was not free for 0\.1 seconds"), lock:
                pass
        assert [thread.name for thread in threading.enumerate()].count("flock") == 1
        fcntl.flock(stopped, fcntl.LOCK_UN)
        until(lambda: "flock" not in [thread.name for thread in threading.enumerate()])
        fcntl.flock(other, fcntl.LOCK_EX | fcntl.LOCK_NB)
        fcntl.flock(other, fcntl.LOCK_UN)

    with lock:
        pass
    lock.close()


def test_a_data_directory_that_can_not_be_written_is_said(sqlite_url: str, tmp_path: Path) -> None:
    """The file of the writers' turn can't be opened: a JournalError, not a traceback."""
    with opened_journal(sqlite_url) as journal:
        (tmp_path / "elsewhere").mkdir()
        journal.database.close()
        Path(f"{journal.database.url.database}.turn").unlink(missing_ok=True)
        Path(f"{journal.database.url.database}.turn").mkdir()
        with pytest.raises(JournalError, match=r"the journal's directory .* can't be written"):
            keep(journal, incoming())
        Path(f"{journal.database.url.database}.turn").rmdir()
        keep(journal, incoming())


def test_a_postgresql_that_is_not_there_is_said_in_time() -> None:
    """Connecting is bounded; the password of the URL is in no error."""
    with closed_port() as port:
        database = Database(f"postgresql+psycopg://bridge:s3cr3t@127.0.0.1:{port}/x")
        with pytest.raises(JournalError, match="did not answer") as caught, database.read():
            pass
        database.close()

    assert "s3cr3t" not in str(caught.value)


@pytest.mark.slow
def test_connections_that_a_restart_killed_are_replaced(postgres_server: PostgresServer) -> None:
    """The first statement after the database is back works; no request has to fail first."""
    with postgres_server.database() as url, opened_journal(url) as journal:
        keep(journal, incoming())
        postgres_server.kill()
        postgres_server.start()
        keep(journal, incoming())


def test_a_connection_that_was_closed_under_the_pool_is_replaced(postgres_url: str) -> None:
    """However it came to be closed, nobody gets it."""
    with opened_journal(postgres_url) as journal:
        keep(journal, incoming())
        with contextlib.closing(journal.database.engine.raw_connection()) as raw:
            driver: Any = raw.driver_connection
        driver.close()
        keep(journal, incoming())


@pytest.mark.slow
def test_a_pool_that_is_used_up_is_said(postgres_url: str) -> None:
    """Every connection is in use for longer than a caller should wait."""
    with opened_journal(postgres_url):
        pass
    database = Database(postgres_url, pool_size=1)
    held = [database.engine.connect() for _ in range(17)]
    no_place = "no connection to the journal's database was free in time"
    with pytest.raises(JournalError, match=no_place), database.read():
        pass
    for connection in held:
        connection.close()
    database.close()
