"""`bridge db upgrade` and `bridge mappings explain` of a kept event: commands that need the journal only."""

from __future__ import annotations

import contextlib
from pathlib import Path
from typing import Any

import pytest
from alembic import command
from alembic.config import Config
from sqlalchemy import inspect, text

from bridge.journal import Database, migrate
from bridge.journal.migrate import head
from bridge.model import lane_of
from bridge.runtime import Runtime
from bridge.settings import Settings
from bridge.worker.drain import Drainer
from tests.commands import Commands
from tests.factories import events_of, incoming, keep, opened_journal
from tests.peers import Peer, Reply


@pytest.fixture
def commands(tmp_path: Path) -> Commands:
    """Give a place to run commands in."""
    return Commands(tmp_path)


def test_upgrade_says_before_and_after(commands: Commands, empty_url: str) -> None:
    """The first run makes the journal, the second finds nothing to do; neither shows a credential."""
    first = commands.run("db", "upgrade", DATABASE_URL=empty_url)
    second = commands.run("db", "upgrade", DATABASE_URL=empty_url)

    assert (first.status, second.status) == (0, 0)
    assert f"made with schema {head()}" in first.out
    assert second.out.endswith(f"schema {head()}, nothing to do\n")
    assert "postgres@" not in first.out


def test_events_of_the_first_schema_came_by_webhook(commands: Commands, empty_url: str) -> None:
    """A journal that has run before keeps its events, and each says how it came."""
    config = Config()
    config.set_main_option("script_location", str(Path(migrate.__file__).parent / "migrations"))
    with contextlib.closing(Database(empty_url)) as database, database.write() as connection:
        config.attributes["connection"] = connection
        command.upgrade(config, "0001")
        connection.execute(
            text(
                "INSERT INTO events (account, event_key, name, entity, object_id, subject, lane, created, body,"
                " received_ms, state, due_ms) VALUES ('a', 'b', 'c', '', '', 'd', 0, '', '{}', 1, 'received', 1)"
            )
        )

    said = commands.run("db", "upgrade", DATABASE_URL=empty_url)

    assert "schema 0001 -> " in said.out
    with opened_journal(empty_url) as journal:
        assert [event["origin"] for event in events_of(journal)] == ["webhook"]


def changed_by_the_next_version(url: str, *more: str) -> None:
    """Do to the journal what a migration that only adds does, and then more."""
    with contextlib.closing(Database(url)) as database, database.write() as connection:
        for statement in (
            "ALTER TABLE events ADD COLUMN of_tomorrow TEXT",
            "ALTER TABLE deliveries ADD COLUMN of_tomorrow INTEGER NOT NULL DEFAULT 7",
            "CREATE TABLE tomorrow (id INTEGER PRIMARY KEY)",
            "UPDATE alembic_version SET version_num = '9999'",
            *more,
        ):
            connection.execute(text(statement))


def test_a_journal_of_the_next_version_is_worked_on(commands: Commands, empty_url: str, redis_url: str) -> None:
    """Going back needs no migration: the release line ends well, and events are kept, decided and delivered."""
    commands.environ |= {"DATABASE_URL": empty_url, "REDIS_URL": redis_url}
    commands.has_mapping("paga", "events: [PAYMENT_RECEIVED]\ncontact: {email: \"'ana@example.com'\"}\n")
    commands.run("db", "upgrade")
    changed_by_the_next_version(empty_url)
    said = commands.run("db", "upgrade")
    checks = {check["name"]: check for check in commands.run("doctor", "--json").json}

    assert (said.status, "schema 9999 of a newer version" in said.out) == (0, True), said.err
    assert (checks["journal"]["state"], checks["journal"]["code"]) == ("warning", "journal.newer")
    with Peer(Reply(body=b'{"success": true}')) as clint, contextlib.ExitStack() as opened:
        environ = {"CLINT_WEBHOOK_URL": clint.url, "BRIDGE_ALLOW_PRIVATE_DESTINATIONS": "1"}
        runtime = opened.enter_context(contextlib.closing(Runtime(Settings.from_env(commands.environ | environ))))
        runtime.register()
        keep(runtime.journal, incoming(received_ms=runtime.clock_ms()))
        drainer = Drainer(
            runtime.journal, runtime.decider, runtime.deliverer, runtime.wakeups, runtime.clock_ms, lanes_at_once=1
        )
        drainer.start(lane_of("default", "cus_1", runtime.journal.lane_count))
        drainer.join()
        assert len(clint.asked) == 1
    assert [one["state"] for one in commands.run("deliveries", "list", "--json").json] == ["delivered"]


@pytest.mark.parametrize(
    "more",
    [
        "DELETE FROM journal_meta WHERE key = 'runs_from'",
        "UPDATE journal_meta SET value = '9998' WHERE key = 'runs_from'",
    ],
)
def test_a_journal_that_this_version_can_not_work_on_is_left_alone(commands: Commands, more: str) -> None:
    """A newer version that took something away says so in the journal; upgrading with the older one is no way out."""
    with commands.journal():
        changed_by_the_next_version(commands.journal_url, more)

    for arguments in (("db", "upgrade"), ("events", "list")):
        said = commands.run(*arguments)
        assert (said.status, said.out, said.err.count("\n")) == (1, "", 1)
        assert "install the newer version again" in said.err
        assert "run: bridge db upgrade" not in said.err


def test_migrations_only_add_to_what_an_older_version_works_on(tmp_path: Path) -> None:
    """Every table and column that it knows is there, and it may leave the others out when it writes."""

    def columns(revision: str) -> dict[tuple[str, str], Any]:
        config = Config()
        config.set_main_option("script_location", str(Path(migrate.__file__).parent / "migrations"))
        database = Database(f"sqlite:///{tmp_path}/{revision}.db")
        with contextlib.closing(database), database.write() as connection:
            config.attributes["connection"] = connection
            command.upgrade(config, revision)
            found = inspect(connection)
            return {
                (table, column["name"]): column
                for table in found.get_table_names()
                for column in found.get_columns(table)
            }

    old, new = columns(migrate.RUNS_FROM), columns(head())

    assert old.keys() <= new.keys()
    for table, name in new.keys() - old.keys():
        if table in {table for table, _ in old}:
            assert new[table, name]["nullable"] or new[table, name]["default"] is not None, (table, name)


def test_place_names_no_credential() -> None:
    """Of a PostgreSQL URL only host and database are shown."""
    database = Database("postgresql+psycopg://user:secret@db.example/bridge")

    assert database.place == "db.example/bridge"


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

    assert "explained without the data from Asaas" in said.err
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


def test_rekey_encrypts_what_came_before_there_was_a_key(commands: Commands) -> None:
    """It says how much; without a key it says what to do and changes nothing."""
    with commands.journal() as journal:
        keep(journal, incoming())
    refused = commands.run("db", "rekey")
    key = commands.run("db", "new-key").out.strip()
    done = commands.run("db", "rekey", BRIDGE_ENCRYPTION_KEY=key)

    assert (refused.status, "bridge db new-key" in refused.err) == (2, True)
    assert done.status == 0, done.err
    assert "encrypted with the first key" in done.out
