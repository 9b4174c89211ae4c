"""`bridge accounts`, `bridge destinations add` and `remove`: what is kept in the journal, with secrets unseen."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from bridge.journal import audit
from tests.commands import Commands

API_KEY = "$aact_hmlg_000MzkwODA2MWY2OGM3MWRlMDU2NWM3MzJlNzZmNGZhZGY"
TOKEN = "0f3c1d5e-7a28-4b96-8c42-d19e6b7a5c30"
URL = "https://functions-api.clint.digital/endpoints/integration/webhook/5b0c1b6e-1111-4222-8333-944445555666"


@pytest.fixture
def commands(tmp_path: Path) -> Commands:
    """Give a place to run commands in, with an encryption key and a journal."""
    made = Commands(tmp_path)
    made.environ["BRIDGE_ENCRYPTION_KEY"] = made.run("db", "new-key").out.strip()
    made.run("db", "upgrade")
    return made


def test_an_account_is_added_listed_and_removed(commands: Commands) -> None:
    """The token that was made is shown once; lists say only what is set, and where."""
    added = commands.run("accounts", "add", "filial", lines=f"{API_KEY}\n\n")
    token = re.search(r"^\S{32,}$", added.out, re.MULTILINE)
    listed = commands.run("accounts", "list", ASAAS_WEBHOOK_TOKEN=TOKEN)
    rows = commands.run("accounts", "list", "--json", ASAAS_API_KEY_FILIAL=API_KEY).json

    assert (added.status, added.err) == (0, "")
    assert added.out.startswith("account filial is added; its webhook is /webhooks/asaas/filial\n")
    assert token is not None
    assert [line.split()[:5] for line in listed.out.splitlines()[1:]] == [
        ["default", "environment", "unset", "set", "/webhooks/asaas"],
        ["filial", "journal", "set", "set", "/webhooks/asaas/filial"],
    ]
    assert [(row["name"], row["kept_in"], row["hidden"]) for row in rows] == [("filial", "environment", True)]
    assert token[0] not in listed.out + str(rows)
    assert API_KEY not in added.out + listed.out + str(rows)

    again = commands.run("accounts", "add", "filial", "--json", "--no-key", lines=f"{TOKEN}\n").json
    same = commands.run("accounts", "add", "filial", "--no-key", lines="\n").out
    removed = commands.run("accounts", "remove", "filial", "--yes")
    with commands.journal() as journal, journal.database.read() as connection:
        noted = [one["action"] for one in audit.newest(connection, 9)]

    assert {name: again[name] for name in ("fresh", "done", "token")} == {
        "fresh": False,
        "done": "changed",
        "token": None,
    }
    assert "account filial is unchanged" in same
    assert "register --account" not in same, "which needs a key"
    assert noted == ["account.removed", "account.changed", "account.added"]
    assert (removed.status, removed.out) == (0, "account filial is removed\n")
    assert commands.run("accounts", "list", "--json").json == []


def test_a_changed_account_says_so(commands: Commands) -> None:
    """Its own token stays, and is not shown."""
    commands.run("accounts", "add", "filial", lines=f"{API_KEY}\n{TOKEN}\n")
    said = commands.run("accounts", "add", "filial", lines=f"{API_KEY}2\n")

    assert said.out == (
        "account filial is changed; its webhook is /webhooks/asaas/filial\n"
        "next: bridge webhook register --account filial\n"
    )


def test_an_origin_is_added_as_a_destination(commands: Commands) -> None:
    """Nothing is asked for; the list says the origin, which is no secret. Without the token it is refused."""
    refused = commands.run("destinations", "add", "vendas", "--origin", "Vendas")
    commands.environ["CLINT_API_TOKEN"] = "token"
    added = commands.run("destinations", "add", "vendas", "--origin", "Vendas")
    (row,) = commands.run("destinations", "list", "--json").json

    assert refused.status == 2
    assert "CLINT_API_TOKEN" in refused.err
    assert added.out == "destination vendas is added\n"
    assert (row["name"], row["url"], row["origin"], row["kept_in"]) == ("vendas", "set", "Vendas", "journal")
    assert "Vendas" in commands.run("destinations", "list").out


def test_a_url_of_no_clint_integration_is_kept_only_on_demand(commands: Commands) -> None:
    """The words are those of the console; a script says --yes."""
    strange = URL.replace("/webhook/", "/webhook-test/")
    refused = commands.run("destinations", "add", "vendas", lines=f"{strange}\n", BRIDGE_ALLOW_PRIVATE_DESTINATIONS="1")
    none = commands.run("destinations", "list", "--json").json
    kept = commands.run("destinations", "add", "outras", "--yes", lines=f"{strange}\n")
    trial = commands.run(
        "destinations", "add", "local", lines="http://127.0.0.1:1/a\n", BRIDGE_ALLOW_PRIVATE_DESTINATIONS="1"
    )

    assert (refused.status, none) == (2, [])
    assert (kept.status, trial.status) == (0, 0)
    for said in (refused, kept):
        assert "This does not look like a URL of a Clint webhook integration" in said.err
        assert strange not in said.out + said.err
    assert "add --yes" in refused.err
    assert trial.err == ""


def test_a_destination_is_added_and_removed(commands: Commands) -> None:
    """The list says where each URL is kept and never shows one."""
    added = commands.run("destinations", "add", "vendas", lines=f"{URL}\n")
    unchanged = commands.run("destinations", "add", "vendas", lines=f"{URL}\n")
    changed = commands.run("destinations", "add", "vendas", lines=f"{URL[:-1]}7\n")
    (row,) = commands.run("destinations", "list", "--json").json
    refused = commands.run("destinations", "remove", "vendas")
    removed = commands.run("destinations", "remove", "vendas", "--yes")
    (after,) = commands.run("destinations", "list", "--json").json

    assert unchanged.out == "destination vendas is unchanged\n"
    assert (added.out, changed.out) == ("destination vendas is added\n", "destination vendas is changed\n")
    assert (row["name"], row["url"], row["kept_in"]) == ("vendas", "set", "journal")
    assert (refused.status, refused.err) == (2, "this asks first, and there is no terminal to ask on; add --yes\n")
    assert removed.out == "destination vendas is removed\n"
    assert (after["url"], after["kept_in"]) == ("unset", None)


@pytest.mark.parametrize("what", ["accounts", "destinations"])
def test_a_person_may_say_no(commands: Commands, what: str) -> None:
    """Asked on the terminal, with what would follow."""
    commands.run(what, "add", "um", lines=f"{API_KEY if what == 'accounts' else URL}\n")
    said = commands.on_terminal(what, "remove", "um", types="n\n")

    assert said.status == 1
    assert "remove" in said.err
    assert "nothing was removed" in said.err
    assert commands.run(what, "list", "--json").json != []


def test_without_a_key_it_is_wrong_use(commands: Commands) -> None:
    """With what to do, and before a secret gets anywhere."""
    said = commands.run("accounts", "add", "filial", lines=API_KEY, BRIDGE_ENCRYPTION_KEY="")

    assert said.status == 2
    assert "bridge db new-key" in said.err


def test_doctor_says_what_the_environment_hides(commands: Commands) -> None:
    """The variable that wins is named, and what is in the journal counts."""
    commands.run("accounts", "add", "filial", "--no-key")
    commands.run("destinations", "add", "vendas", lines=f"{URL}\n")
    checks = {
        check["name"]: check
        for check in commands.run(
            "doctor", "--json", ASAAS_API_URL="https://127.0.0.1:1", ASAAS_WEBHOOK_TOKEN_FILIAL=TOKEN
        ).json
    }

    assert checks["encryption"]["value"] == "on"
    said = "accounts: filial; destinations: vendas; token of Clint's API: –"
    assert checks["in the journal"]["value"] == said
    assert "the environment wins" in checks["hidden by ASAAS_API_KEY_FILIAL"]["value"]
    assert checks["destination vendas"]["state"] in {"fine", "warning"}


def test_mappings_may_name_what_is_in_the_journal(commands: Commands) -> None:
    """`lint` knows the accounts and destinations that were added."""
    commands.has_mapping(
        "paga", "events: [PAYMENT_RECEIVED]\naccount: filial\nsend_to: vendas\ncontact: {email: payment.id}\n"
    )
    before = commands.run("mappings", "lint")
    commands.run("accounts", "add", "filial", lines=f"{API_KEY}\n")
    commands.run("destinations", "add", "vendas", lines=f"{URL}\n")
    after = commands.run("mappings", "lint")

    assert "2 errors" in before.out
    assert "0 errors" in after.out
