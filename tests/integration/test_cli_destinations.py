"""`bridge destinations` and `bridge config`: what is set up, and a person's pause and resume."""

from __future__ import annotations

from pathlib import Path

import pytest

from bridge.model import DeliveryState
from bridge.settings import SETTINGS
from tests.commands import Commands
from tests.factories import owe, put_in_state, register, row_of

SECRET = "https://functions-api.example/webhook/5b0c1b6e-secret"


@pytest.fixture
def commands(tmp_path: Path) -> Commands:
    """Give a place to run commands in."""
    return Commands(tmp_path)


def test_list_says_what_is_paused_and_why(commands: Commands) -> None:
    """Each destination shows whether it has a URL, its circuit and its pause; never the URL."""
    with commands.journal() as journal:
        register(journal, default=SECRET, vencidas="https://clint.example/b")
        paused = commands.run("destinations", "pause", "default", "--reason", "Clint is being set up")
        said = commands.run("destinations", "list", CLINT_WEBHOOK_URL=SECRET)
        rows = commands.run("destinations", "list", "--json", CLINT_WEBHOOK_URL=SECRET).json

    assert paused.out == "default is paused; its deliveries wait until: bridge destinations resume default\n"
    assert "Clint is being set up" in said.out
    assert "takes deliveries" in said.out, "the state of the circuit, in the words of the console"
    assert [(row["name"], row["url"], row["paused"]) for row in rows] == [
        ("default", "set", True),
        ("vencidas", "unset", False),
    ]
    assert "secret" not in said.out + str(rows)


def test_resume_frees_what_waits(commands: Commands) -> None:
    """Resuming makes the waiting lines due and says how many there are."""
    with commands.journal() as journal:
        register(journal)
        id_ = owe(journal)
        commands.run("destinations", "pause", "default")
        put_in_state(journal, id_, DeliveryState.PENDING, waiting="paused", due_ms=9_000_000_000_000)
        said = commands.run("destinations", "resume", "default")

        assert (said.status, said.out) == (0, "default takes deliveries again; 1 line waited for it\n")
        assert row_of(journal, id_)["waiting"] is None
        assert commands.run("destinations", "pause", "default", "--json").json == {"name": "default", "paused": True}
        again = commands.run("destinations", "resume", "default", "--json").json
        assert again == {"name": "default", "paused": False, "lines": 0, "is_probed": False}


@pytest.mark.parametrize("verb", ["pause", "resume"])
def test_an_unknown_destination_is_no(commands: Commands, verb: str) -> None:
    """A name that the journal does not know is said, with where the names are."""
    with commands.journal():
        said = commands.run("destinations", verb, "nope")

    assert (said.status, said.err) == (1, "no destination is named 'nope'; see: bridge destinations list\n")


def test_config_shows_every_setting_and_no_secret(commands: Commands) -> None:
    """Every variable is listed; a secret is only set or unset."""
    secrets = {
        "ASAAS_API_KEY": "$aact_hmlg_abc",
        "ASAAS_WEBHOOK_TOKEN_MATRIZ": "tokentoken" * 4,
        "CLINT_WEBHOOK_URL": SECRET,
        "REDIS_URL": "redis://:hunter2@127.0.0.1:1/0",
        "CLINT_RATE_LIMIT_VENCIDAS": "10/second",
        "DATABASE_URL": "postgresql+psycopg://u:hunter2@127.0.0.1:1/x",
    }
    said = commands.run("config", **secrets)
    values = {row["name"]: row["value"] for row in commands.run("config", "--json", **secrets).json}

    assert said.status == 0
    assert {setting.name for setting in SETTINGS} <= set(values)
    assert values["ASAAS_API_KEY"] == values["ASAAS_WEBHOOK_TOKEN_MATRIZ"] == values["DATABASE_URL"] == "set"
    assert (values["CLINT_RATE_LIMIT"], values["CLINT_RATE_LIMIT_VENCIDAS"]) == ("unset", "10/second")
    assert values["ASAAS_API_KEY_MATRIZ"] == values["ASAAS_WEBHOOK_TOKEN"] == values["BRIDGE_PASSWORD"] == "unset"
    assert (values["PORT"], values["BRIDGE_ALLOW_PRIVATE_DESTINATIONS"]) == ("8000", "0")
    for secret in ("abc", "tokentoken" * 4, "5b0c1b6e", "hunter2"):
        assert secret not in said.out + str(values)


def test_config_shows_where_the_journal_is(commands: Commands) -> None:
    """The path of a SQLite journal is no secret."""
    values = {row["name"]: row["value"] for row in commands.run("config", "--json").json}

    assert values["DATABASE_URL"] == commands.journal_url


def test_the_origin_of_a_destination_is_named_and_learned_anew(commands: Commands) -> None:
    """A read-back takes a deal of another origin for no proof."""
    with commands.journal() as journal:
        register(journal, default=SECRET)
        named = commands.run("destinations", "origin", "default", "o1")
        rows = commands.run("destinations", "list", "--json").json
        forgotten = commands.run("destinations", "origin", "default")
        after = commands.run("destinations", "list", "--json").json
        unknown = commands.run("destinations", "origin", "nope", "o1")

    assert (named.status, forgotten.status, unknown.status) == (0, 0, 1)
    assert (rows[0]["origin_id"], after[0]["origin_id"]) == ("o1", None)
