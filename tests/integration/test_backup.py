"""The backup and restore drill of docs/hosting.md, on both databases: what was copied is there, and goes on."""

from __future__ import annotations

import sqlite3
import subprocess
import threading
from contextlib import closing
from pathlib import Path

import pytest
from sqlalchemy import make_url

from bridge.errors import JournalError
from bridge.journal import Journal
from bridge.journal.backup import back_up, check, restore
from bridge.model import DeliveryState
from tests.commands import Commands
from tests.factories import acquire, events_of, incoming, keep, opened_journal, owe, put_in_state, register, rows_of
from tests.services import PostgresServer


@pytest.fixture
def commands(tmp_path: Path) -> Commands:
    """Give a place to run commands in."""
    return Commands(tmp_path)


def story(journal: Journal) -> None:
    """Let something happen before the copy: an event that waits, a delivery that is owed, one that is dead."""
    register(journal)
    keep(journal, incoming("cus_1", key="kept"))
    owe(journal)
    put_in_state(journal, owe(journal, customer="cus_2"), DeliveryState.DEAD, due_ms=None)


def goes_on(journal: Journal, before: list[dict[str, object]]) -> None:
    """Hold that a restored journal has what was copied, and that events posted again and new ones are kept."""
    assert events_of(journal) == before
    assert [row["state"] for row in rows_of(journal)] == ["pending", "dead"]
    keep(journal, incoming("cus_1", key="kept"), incoming("cus_1", key="since"))

    assert [row["repeats"] for row in events_of(journal) if row["event_key"] == "kept"] == [1]
    assert [row["event_key"] for row in events_of(journal)][-1] == "since"
    lease = acquire(journal.lanes, 0, "worker", 2**41)
    assert lease is not None


def test_the_drill_on_sqlite(commands: Commands, tmp_path: Path) -> None:
    """Copied while a writer writes, the journal destroyed, put back, upgraded, gone on from."""
    copy = tmp_path / "copies" / "journal.backup"
    with commands.journal() as journal:
        story(journal)
        before = events_of(journal)
        copied = commands.run("db", "backup", str(copy))
        keep(journal, incoming("cus_1", key="since"))
    (commands.directory / "data" / "journal.sqlite3").write_bytes(b"destroyed" * 1000)
    restored = commands.run("db", "restore", str(copy))
    upgraded = commands.run("db", "upgrade")

    assert (copied.status, copied.out) == (0, f"{copy}: 3 events\n")
    assert copy.stat().st_mode & 0o777 == 0o600
    assert restored.status == 0, restored.err
    assert "the journal of before is" in restored.out
    assert upgraded.out.endswith("nothing to do\n")
    with commands.journal() as journal:
        goes_on(journal, before)


def test_the_drill_on_postgresql(postgres_server: PostgresServer, tmp_path: Path) -> None:
    """With pg_dump while the bridge is connected, and pg_restore into a new database."""
    copy = str(tmp_path / "journal.backup")
    with postgres_server.database() as url, opened_journal(url) as journal:
        story(journal)
        before = events_of(journal)
        postgres_server.program("pg_dump", "--format=custom", f"--file={copy}", plain(url))
    with postgres_server.database() as url:
        options = ["--clean", "--if-exists", "--no-owner", "--exit-on-error"]
        postgres_server.program("pg_restore", *options, f"--dbname={plain(url)}", copy)
        with opened_journal(url) as journal:
            goes_on(journal, before)


def plain(url: str) -> str:
    """Return the URL as PostgreSQL's own programs take it."""
    return make_url(url).set(drivername="postgresql").render_as_string(hide_password=False)


def test_a_copy_under_load_is_whole(sqlite_url: str, tmp_path: Path) -> None:
    """Each copy has every event that was kept before it began, and no writer waits for it."""
    stopping = threading.Event()
    with opened_journal(sqlite_url) as journal:
        path = Path(str(journal.database.url.database))

        def write() -> None:
            while not stopping.is_set():
                keep(journal, incoming())

        writer = threading.Thread(target=write)
        writer.start()
        for number in range(5):
            kept = len(events_of(journal))
            assert back_up(path, tmp_path / f"{number}.copy") >= kept
        stopping.set()
        writer.join()

    assert sorted(found.name for found in tmp_path.glob("*.copy*")) == [f"{number}.copy" for number in range(5)]


def test_a_journal_that_is_in_use_is_not_replaced(commands: Commands, tmp_path: Path) -> None:
    """A process that went on with the old file would write what nobody ever sees."""
    copy = tmp_path / "copy"
    with commands.journal() as journal:
        keep(journal, incoming())
        commands.run("db", "backup", str(copy))
        refused = commands.run("db", "restore", str(copy))
        after = len(events_of(journal))

    assert refused.status == 1
    assert "the journal is in use" in refused.err
    assert "stop web and worker first" in refused.err
    assert after == 1


def test_a_copy_that_is_none_is_refused(commands: Commands, tmp_path: Path) -> None:
    """Before anything is touched: no database, another database, a damaged one."""
    text, other, damaged = tmp_path / "text", tmp_path / "other", tmp_path / "damaged"
    text.write_text("no database" * 1000)
    with closing(sqlite3.connect(other)) as connection:
        connection.execute("CREATE TABLE x (y)")
    with commands.journal() as journal:
        for number in range(200):
            keep(journal, incoming(f"cus_{number}"))
    path = commands.directory / "data" / "journal.sqlite3"
    back_up(path, damaged)
    body = bytearray(damaged.read_bytes())
    body[4096 * 3 : 4096 * 12] = b"\x00" * 4096 * 9
    damaged.write_bytes(body)
    was = path.read_bytes()

    for file in (text, other, damaged):
        assert commands.run("db", "restore", str(file)).status == 1
        with pytest.raises(JournalError):
            check(file)
    assert path.read_bytes() == was


def test_a_file_that_is_there_is_not_written_over(commands: Commands, tmp_path: Path) -> None:
    """The last good copy must not go before the next is whole; a place that can't be written is said."""
    copy = tmp_path / "copy"
    copy.write_text("precious")
    with commands.journal():
        there = commands.run("db", "backup", str(copy))
        nowhere = commands.run("db", "backup", "/proc/nowhere/copy")

    assert there.status == 1
    assert "exists" in there.err
    assert copy.read_text() == "precious"
    assert nowhere.status == 1
    assert "copying the journal failed" in nowhere.err


def test_a_first_journal_is_restored_where_there_was_none(tmp_path: Path, sqlite_url: str) -> None:
    """On a new machine nothing is put aside; a place that can't be written is said."""
    with opened_journal(sqlite_url) as journal:
        back_up(Path(str(journal.database.url.database)), tmp_path / "copy")

    assert restore(tmp_path / "copy", tmp_path / "new" / "journal.sqlite3") is None
    with pytest.raises(JournalError, match="putting back the copy failed"):
        restore(tmp_path / "copy", Path("/proc/nowhere/journal.sqlite3"))


def test_postgresql_has_its_own_tools(commands: Commands, tmp_path: Path) -> None:
    """The command names them, and shows no password."""
    url = "postgresql://user:secret@127.0.0.1:1/x"
    said = commands.run("db", "backup", str(tmp_path / "copy"), DATABASE_URL=url)

    assert said.status == 2
    assert "pg_dump --format=custom" in said.err
    assert "secret" not in said.err


def test_a_whole_bridge_starts_from_a_copy(commands: Commands, tmp_path: Path) -> None:
    """As an operator does it: commands in a process of their own."""
    copy = tmp_path / "copy"
    with commands.journal() as journal:
        story(journal)
    for arguments in (["db", "backup", str(copy)], ["db", "restore", str(copy)], ["events", "list", "--json"]):
        with commands.process(*arguments, stdout=subprocess.PIPE) as process:
            out, _ = process.communicate()
            assert process.returncode == 0
    assert out.count(b'"event_key"') == 3
