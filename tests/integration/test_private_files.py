"""Nobody else on the machine reads what the bridge keeps, whatever the umask, and also where it is there already."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from bridge import private_files
from bridge.cli.stack import Child, Supervisor
from bridge.embedded_redis import EmbeddedRedis
from tests.commands import Commands
from tests.factories import incoming, keep, opened_journal, until


@pytest.fixture(autouse=True)
def careless() -> Iterator[None]:
    """Let everybody read what is made without a thought."""
    before = os.umask(0)
    yield
    os.umask(before)


def readable(directory: Path) -> list[str]:
    """Return what of a directory, and it itself, others may read or change."""
    paths = [directory, *directory.rglob("*")]
    return sorted(path.name for path in paths if path.stat().st_mode & 0o077 and not path.is_symlink())


def run_everything(commands: Commands, data: Path) -> None:
    """Let everything write that writes into the data directory, and keep the journal open."""
    assert commands.run("db", "upgrade").status == 0
    with opened_journal(commands.journal_url) as journal:
        keep(journal, incoming())
        assert (data / "journal.sqlite3-wal").exists()
        commands.run("db", "backup", str(data / "backups" / "copy.sqlite3"))
        child = Child("web", [sys.executable, "-c", "print(1)"], os.environ)
        with (
            EmbeddedRedis(data / "redis"),
            Supervisor([child], notice=lambda *_: None, output=data / "logs"),
        ):
            until(lambda: child.process and child.process.poll() is not None)
        found = readable(data)
    assert found == []


def test_what_the_bridge_makes_is_its_own(tmp_path: Path) -> None:
    """Journal, log and locks, a copy, Redis's directory and the processes' logs."""
    run_everything(Commands(tmp_path), tmp_path / "data")


def test_what_was_readable_is_no_longer(tmp_path: Path) -> None:
    """The same after a version that left it open to everybody, and a journal that stands outside of the directory."""
    commands, data = Commands(tmp_path), tmp_path / "data"
    run_everything(commands, data)
    (data / "journal.sqlite3.20261101T000000").touch()
    for path in (data, *data.rglob("*")):
        path.chmod(0o777 if path.is_dir() else 0o666)
    (data / "backups" / "copy.sqlite3").unlink()
    (data / "backups").rmdir()
    run_everything(commands, data)

    outside = tmp_path / "shared"
    outside.mkdir()
    assert commands.run("db", "upgrade", DATABASE_URL=f"sqlite:///{outside}/journal.db").status == 0
    assert readable(outside) == ["shared"]


def test_a_directory_of_others_is_left_alone(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """One in which everybody may write, such as /tmp; where the command was called; a home."""
    shared, here, home = (tmp_path / name for name in ("tmp", "here", "home"))
    for path, mode in ((shared, 0o1777), (here, 0o755), (home, 0o755)):
        path.mkdir()
        path.chmod(mode)
    monkeypatch.chdir(here)
    monkeypatch.setenv("HOME", str(home))
    for path in (shared, Path(), home, tmp_path / "nothing"):
        private_files.restrict(path)

    assert [oct(path.stat().st_mode & 0o7777) for path in (shared, here, home)] == ["0o1777", "0o755", "0o755"]
