"""`bridge notices`, and where else open notices are said."""

from __future__ import annotations

from pathlib import Path

import pytest

from bridge.journal import Journal, notices
from bridge.journal.notices import Notice
from bridge.model import NoticeLevel
from tests.commands import Commands
from tests.factories import NOW_MS, incoming, keep, noticed

SOON = noticed("account.access_token", "default/1", NoticeLevel.WARNING, "an API key expires soon", "make a new key")


@pytest.fixture
def commands(tmp_path: Path) -> Commands:
    """Give a place to run commands in."""
    return Commands(tmp_path)


def raises(journal: Journal, *what: Notice) -> None:
    """Raise these notices."""
    with journal.database.write() as connection:
        notices.apply(connection, what, NOW_MS)


def test_open_notices_are_listed_with_what_mends_them(commands: Commands) -> None:
    """As a table and as JSON; without any the list is empty."""
    with commands.journal() as journal:
        empty = commands.run("notices", "list", "--json")
        raises(journal, SOON)
        said = commands.run("notices", "list")
        (row,) = commands.run("notices", "list", "--json").json

    assert empty.json == []
    assert "an API key expires soon" in said.out
    assert "make a new key" in said.out
    assert (row["code"], row["about"], row["level"], row["times"]) == (SOON.code, SOON.about, "warning", 1)
    assert row["raised_at"]


@pytest.mark.parametrize("more", [(), ("--all",)])
def test_a_broken_mapping_file_is_listed_too(commands: Commands, more: tuple[str, ...]) -> None:
    """As on the console's overview; it has no number, since nobody can close it."""
    commands.has_mapping("quebrada", "events: [PAYMENT_RECEIVED]\n")
    with commands.journal():
        said = commands.run("notices", "list", *more)
        (row,) = commands.run("notices", "list", "--json", *more).json

    assert "quebrada" in said.out
    assert (row["code"], row["about"], row["level"], row["id"]) == ("mapping.broken", "quebrada", "error", None)


def test_a_closed_notice_is_history(commands: Commands) -> None:
    """It leaves the list, `--all` still shows it, and closing it twice is no."""
    with commands.journal() as journal:
        raises(journal, SOON)
        closed = commands.run("notices", "close", "1")
        again = commands.run("notices", "close", "1")

        assert (closed.status, closed.out) == (0, "notice 1 is closed\n")
        assert (again.status, again.err) == (1, "notice 1 is not open; see: bridge notices list\n")
        assert commands.run("notices", "list", "--json").json == []
        assert "closed" in commands.run("notices", "list", "--all").out


def test_the_list_of_events_points_to_open_notices(commands: Commands) -> None:
    """On standard error, so that a pipe is not disturbed; nothing where there is nothing."""
    with commands.journal() as journal:
        keep(journal, incoming())
        before = commands.run("events", "list")
        raises(journal, SOON)
        after = commands.run("events", "list")

    assert before.err == ""
    assert after.err == "1 open notice; see: bridge notices list\n"
