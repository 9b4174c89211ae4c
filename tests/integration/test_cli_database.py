"""`bridge db upgrade` and `bridge mappings explain` of a kept event: commands that need the journal only."""

from __future__ import annotations

from pathlib import Path

import pytest

from bridge.cli.database import place
from bridge.journal import Database
from bridge.journal.migrate import head
from tests.commands import Commands
from tests.factories import incoming, keep


@pytest.fixture
def commands(tmp_path: Path) -> Commands:
    """Give a place to run commands in."""
    return Commands(tmp_path)


def test_upgrade_says_before_and_after(commands: Commands, database_url: str) -> None:
    """The first run makes the journal, the second finds nothing to do; neither shows a credential."""
    first = commands.run("db", "upgrade", DATABASE_URL=database_url)
    second = commands.run("db", "upgrade", DATABASE_URL=database_url)

    assert (first.status, second.status) == (0, 0)
    assert f"schema none -> {head()}" in first.out
    assert second.out.endswith(f"schema {head()}, nothing to do\n")
    assert "postgres@" not in first.out


def test_place_names_no_credential() -> None:
    """Of a PostgreSQL URL only host and database are shown."""
    database = Database("postgresql+psycopg://user:secret@db.example/bridge")

    assert place(database) == "db.example/bridge"


def test_upgrade_of_a_database_that_is_away_is_one_line(commands: Commands) -> None:
    """A database that can't be reached is said without a traceback."""
    said = commands.run("db", "upgrade", DATABASE_URL="postgresql://u:hunter2@127.0.0.1:1/x")

    assert (said.status, said.out, said.err.count("\n")) == (1, "", 1)
    assert "did not answer" in said.err
    assert "hunter2" not in said.err


def test_explain_takes_a_kept_event(commands: Commands) -> None:
    """An event's number leads to what each mapping makes of it."""
    commands.has_mapping("paga", "events: [PAYMENT_RECEIVED]\ncontact: {email: \"'ana@example.com'\"}\n")
    with commands.journal() as journal:
        keep(journal, incoming())
    said = commands.run("mappings", "explain", "--event", "1")

    assert said.status == 0
    assert "ana@example.com" in said.out


def test_explain_goes_on_without_asaas(commands: Commands) -> None:
    """Where Asaas can't be asked, that is said, and the rest is explained."""
    commands.has_mapping("paga", "events: [PAYMENT_RECEIVED]\ncontact: {email: customer.email}\n")
    with commands.journal() as journal:
        keep(journal, incoming())
    said = commands.run("mappings", "explain", "--event", "1")

    assert "explained without what Asaas would say" in said.err
    assert "paga" in said.out


def test_explain_of_an_event_without_an_object(commands: Commands) -> None:
    """An event that names nobody is fetched nothing for."""
    commands.has_mapping("tudo", "events: [PING]\ncontact: {email: \"'ana@example.com'\"}\n")
    with commands.journal() as journal:
        keep(journal, incoming(name="PING", entity="", object_id="", body='{"event": "PING"}'))
    said = commands.run("mappings", "explain", "--event", "1", "--json")

    assert said.status == 0
    assert said.err == ""


def test_explain_of_an_unknown_event_is_no(commands: Commands) -> None:
    """An id that the journal does not have is said."""
    with commands.journal():
        said = commands.run("mappings", "explain", "--event", "99")

    assert said.status == 1
    assert "no event has the number or id '99'" in said.err
