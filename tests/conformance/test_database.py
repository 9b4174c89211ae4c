"""The journal's database: durable writes, one writer's turn, faults said as JournalError, and its schema."""

from __future__ import annotations

import contextlib
import errno
import fcntl
import os
import re
import shutil
import sqlite3
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from alembic.autogenerate import compare_metadata
from alembic.migration import MigrationContext
from sqlalchemy import text

from bridge.errors import JournalError, JournalRefused
from bridge.journal import Database, Journal, schema_alerts, schema_console, schema_rollups, schema_tenants, upgrade
from bridge.journal.migrate import current, head
from bridge.journal.schema import metadata, with_partial_indexes
from bridge.journal.write_turn import Turn
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


@pytest.mark.alone
def test_the_door_stands_before_all_but_one_of_those_that_wait(sqlite_url: str) -> None:
    """However many workers want to write, an answer to Asaas waits for a few of them at most."""

    def write(name: str, *, next_in_turn: bool) -> None:
        database = Database(sqlite_url)  # of its own, as another process would have
        database.write_statement("INSERT INTO writers (name) VALUES (?)", [name], next_in_turn=next_in_turn)
        database.close()

    with opened_journal(sqlite_url) as journal:
        with journal.database.write() as connection:
            connection.execute(text("CREATE TABLE writers (id INTEGER PRIMARY KEY, name TEXT)"))
        path = Path(f"{journal.database.url.database}.turn")
        with path.open("ab") as turn:
            fcntl.flock(turn, fcntl.LOCK_EX)
            workers = [
                threading.Thread(target=write, args=(f"worker {n}",), kwargs={"next_in_turn": False}) for n in range(8)
            ]
            for thread in workers:
                thread.start()
            until(lambda: waiting_for(path) == 1 and waiting_for(path.with_name(f"{path.name}s")) == 7)
            door = threading.Thread(target=write, args=("door",), kwargs={"next_in_turn": True})
            door.start()
            until(lambda: waiting_for(path) == 2)
        for thread in [*workers, door]:
            thread.join()
        with journal.database.read() as connection:
            order = list(connection.scalars(text("SELECT name FROM writers ORDER BY id")))

    # The one that came before the door may be first, and a waiter that Linux wakes later may overtake it now and then.
    assert order.index("door") < len(workers) // 2


def waiting_for(path: Path) -> int:
    """Return how many wait for a lock on the file, as Linux says."""
    waits = re.compile(rf"-> FLOCK .*:{path.stat().st_ino} ")
    return sum(1 for line in Path("/proc/locks").read_text().splitlines() if waits.search(line))


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

    with pytest.raises(JournalError) as caught:
        insert_again()
    assert str(caught.value).startswith("the journal's database refused a statement: ")
    assert "maria" not in str(caught.value)
    assert "\n" not in str(caught.value)


def test_a_statement_of_its_own_is_committed_when_its_rows_are_there(journal: Journal) -> None:
    """Another connection sees it, and the next transaction of that connection is one again."""
    statement = "UPDATE lanes SET fence = 8 WHERE lane < 2 RETURNING lane"

    def fence(lane: int) -> int:
        with journal.database.read() as reading:
            query = text("SELECT fence FROM lanes WHERE lane = :lane")
            return int(reading.execute(query, {"lane": lane}).scalar_one())

    assert sorted(row[0] for row in journal.database.write_statement(statement, [])) == [0, 1]
    assert (fence(0), fence(1)) == (8, 8)
    for _ in range(3):  # whichever connection of the pool it has
        break_off(journal)
    assert fence(0) == 8


def test_what_the_driver_can_not_write_is_said_without_values(journal: Journal) -> None:
    """As of every statement, and the next one has a connection that works."""

    def insert_again() -> None:
        journal.database.write_statement(
            "INSERT INTO journal_meta (key, value) VALUES ('lanes', 'maria@example.com')", []
        )

    with pytest.raises(JournalRefused) as caught:
        insert_again()
    assert str(caught.value).startswith("the journal's database refused a statement: ")
    assert "maria" not in str(caught.value)
    assert keep(journal, incoming())


def test_a_fault_of_ours_in_a_statement_leaves_no_connection_that_commits_by_itself(journal: Journal) -> None:
    """Whichever way the driver says so: the next transaction is undone as a whole."""
    with pytest.raises((TypeError, JournalRefused)):
        journal.database.write_statement("SELECT 1", 7)  # type: ignore[arg-type]
    break_off(journal)
    with journal.database.read() as reading:
        assert reading.execute(text("SELECT fence FROM lanes WHERE lane = 0")).scalar_one() == 0


def test_the_migrations_make_the_schema_that_the_code_has(journal: Journal) -> None:
    """Tables, columns and indexes; else a new installation and an upgraded one would differ."""
    tables = {schema_alerts.alerts, schema_console.audit, schema_rollups.rollups, schema_tenants.tenant_accounts}
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
    assert {current(database) for database in databases} == {head()}
    for database in databases:
        database.close()


def test_sqlite_keeps_a_log_and_checks_its_keys(sqlite_url: str) -> None:
    """Each connection has the write-ahead log, which SQLite leaves to us to sync, and foreign keys."""
    with opened_journal(sqlite_url) as journal, journal.database.read() as connection:
        pragmas = {
            name: connection.exec_driver_sql(f"PRAGMA {name}").scalar_one()
            for name in ("journal_mode", "synchronous", "foreign_keys")
        }

    assert pragmas == {"journal_mode": "wal", "synchronous": 1, "foreign_keys": 1}


def test_a_file_system_without_a_log_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Where SQLite can keep no write-ahead log, nothing would bring a commit to the disk: it is said at once."""
    monkeypatch.chdir(tmp_path)
    database = Database("sqlite:///file:journal.db?vfs=unix-dotfile&uri=true")  # a way to open it that knows no log

    with pytest.raises(JournalError, match="write-ahead log"), database.write():
        raise AssertionError("opened")
    database.close()


class Synced:
    """Stands where a sync goes out to the disk: keeps what is on it then, and how many events another process sees."""

    def __init__(self, url: str, on_disk: Path) -> None:
        self._others = Database(url)
        self._path = Path(self._others.place)
        self._on_disk = on_disk
        self.events: list[int] = []
        self.fails = False

    def __call__(self, file: int) -> None:
        """Sync: the other process can write, and so see all that is committed."""
        assert os.readlink(f"/proc/self/fd/{file}") == f"{self._path}-wal"
        if self.fails:
            raise OSError(errno.EIO, os.strerror(errno.EIO))
        with self._others.write(durable=False) as connection:
            self.events.append(connection.scalar(text("SELECT count(*) FROM events")) or 0)
        for name in (self._path.name, f"{self._path.name}-wal"):
            shutil.copy(self._path.with_name(name), self._on_disk / name)

    def after_the_power_came_back(self) -> int:
        """Return how many events a journal has that is opened from what was on the disk at the last sync."""
        database = Database(f"sqlite:///{self._on_disk / self._path.name}")
        with database.read() as connection:
            number = connection.scalar(text("SELECT count(*) FROM events")) or 0
        database.close()
        return number

    def close(self) -> None:
        """Close the other's connections."""
        self._others.close()


@pytest.fixture
def synced(sqlite_url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Synced]:
    """Give what stands for the disk."""
    on_disk = tmp_path / "disk"
    on_disk.mkdir()
    synced = Synced(sqlite_url, on_disk)
    monkeypatch.setattr(os, "fdatasync", synced)
    yield synced
    synced.close()


def test_what_is_durable_is_on_the_disk_before_it_is_said(sqlite_url: str, synced: Synced) -> None:
    """The log is synced after the commit, when others write again, and before the caller goes on."""
    with opened_journal(sqlite_url) as journal:
        synced.events.clear()
        keep(journal, incoming())
        assert (synced.events, synced.after_the_power_came_back()) == ([1], 1)
        with journal.database.write(durable=False) as connection:
            connection.execute(text("UPDATE events SET replay = 1"))
        assert synced.events == [1], "what need not be durable waits for no disk"
        with journal.database.write():
            pass
        assert synced.events == [1, 1], "but goes to it with the next that is"


def test_a_disk_that_fails_is_no_success(sqlite_url: str, synced: Synced) -> None:
    """Whoever can't know that it is kept says so; an event is then posted again, and kept once."""
    with opened_journal(sqlite_url) as journal:
        event = incoming()
        synced.fails = True
        with pytest.raises(JournalError, match="brought to the disk"):
            keep(journal, event)
        with pytest.raises(JournalError, match="brought to the disk"), journal.database.write():
            pass
        synced.fails = False
        keep(journal, event)
        assert synced.events[-1] == 1


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
    turn = Turn(path, timeout_s=0.1)
    with path.open("ab") as stopped, path.open("ab") as other:
        fcntl.flock(stopped, fcntl.LOCK_EX)
        for next_in_turn in (True, False, True):
            with pytest.raises(JournalError, match=r"was not free for 0\.1 seconds"), turn(next_in_turn):
                pass
        assert [thread.name for thread in threading.enumerate()].count("flock") == 1
        fcntl.flock(stopped, fcntl.LOCK_UN)
        until(lambda: "flock" not in [thread.name for thread in threading.enumerate()])
        fcntl.flock(other, fcntl.LOCK_EX | fcntl.LOCK_NB)
        fcntl.flock(other, fcntl.LOCK_UN)

    with turn(True):
        pass
    turn.close()


def test_a_data_directory_that_can_not_be_written_is_said(sqlite_url: str, tmp_path: Path) -> None:
    """The file of the writers' turn can't be opened: a JournalError, not a traceback."""
    with opened_journal(sqlite_url) as journal:
        (tmp_path / "elsewhere").mkdir()
        journal.database.close()
        Path(f"{journal.database.url.database}.turn").unlink()
        Path(f"{journal.database.url.database}.turn").mkdir()
        with pytest.raises(JournalError, match="the journal's directory can't be written"):
            keep(journal, incoming())
        Path(f"{journal.database.url.database}.turn").rmdir()
        keep(journal, incoming())


def test_a_postgresql_that_is_not_there_is_said_in_time() -> None:
    """Connecting is bounded; the password of the URL is in no error."""
    with closed_port() as port:
        database = Database(f"postgresql+psycopg://bridge:s3cr3t@127.0.0.1:{port}/x")
        with pytest.raises(JournalError, match="did not answer") as caught:
            current(database)
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
    with pytest.raises(JournalError, match="no connection to the journal's database was free in time"):
        current(database)
    for connection in held:
        connection.close()
    database.close()
