"""Accounts and destinations in the journal: encrypted, taken up by running processes, behind the environment."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from redis import Redis
from sqlalchemy import select

from bridge.accounts import Accounts
from bridge.crypto import new_key
from bridge.errors import DecryptionFailed, JournalError, KeyNeeded, NotFound, UsageError
from bridge.journal import Database, Journal, audit, destinations
from bridge.journal.audit import Actor
from bridge.journal.schema import attempts, meta, metadata
from bridge.messages import Message
from bridge.model import DeliveryState
from bridge.operations import accounts
from bridge.runtime import Runtime
from bridge.settings import Settings
from bridge.web.app import create_app
from bridge.worker.drain import Drainer
from tests.factories import NOW_MS, envelope, events_of, opened_journal, owe, payment, put_in_state, row_of, until
from tests.peers import Asked, Peer, Reply

KEY = new_key()
TOKEN = "0f3c1d5e-7a28-4b96-8c42-d19e6b7a5c30"
API_KEY = "$aact_hmlg_000MzkwODA2MWY2OGM3MWRlMDU2NWM3MzJlNzZmNGZhZGY"
URL = "https://functions-api.clint.example/endpoints/integration/webhook/5b0c1b6e-1111-4222-8333-944445555666"
ANA = Actor("operator Ana")
EMAIL, NAME = "ana.souza@example.com", "Ana Souza"
MAPPING = """
events: [PAYMENT_RECEIVED]
account: filial
send_to: vendas
contact: {email: customer.email, nome: customer.name}
"""


@pytest.fixture
def asaas() -> Iterator[Peer]:
    """Give an Asaas that knows one customer."""
    answer = {"object": "customer", "id": "cus_1", "email": EMAIL, "name": NAME}
    with Peer(Reply(200, json.dumps(answer).encode(), {"Content-Type": "application/json"})) as peer:
        yield peer


@pytest.fixture
def environ(database_url: str, redis_url: str, tmp_path: Path, asaas: Peer) -> dict[str, str]:
    """Give an environment with a key and one account and one destination of its own."""
    (tmp_path / "mappings").mkdir()
    return {
        "DATABASE_URL": database_url,
        "REDIS_URL": redis_url,
        "BRIDGE_DATA_DIR": str(tmp_path),
        "BRIDGE_MAPPINGS_DIR": str(tmp_path / "mappings"),
        "BRIDGE_ALLOW_PRIVATE_DESTINATIONS": "1",
        "BRIDGE_ENCRYPTION_KEY": KEY,
        "ASAAS_API_URL": asaas.url,
        "ASAAS_WEBHOOK_TOKEN": TOKEN,
        "CLINT_WEBHOOK_URL": "https://clint.example/a",
    }


@pytest.fixture
def runtime(environ: dict[str, str], redis: Redis) -> Iterator[Runtime]:
    """Give the parts of a process that is running already, and has looked once."""
    redis.ping()
    with opened_journal(environ["DATABASE_URL"]):
        made = Runtime(Settings.from_env(environ))
        made.register()
        assert (list(made.accounts), list(made.destinations)) == (["default"], ["default"])
        yield made
        made.close()


@pytest.fixture
def other(environ: dict[str, str], runtime: Runtime) -> Iterator[Runtime]:
    """Give the parts of another process, in which a person makes changes."""
    assert runtime.settings.bridge_encryption_key
    made = Runtime(Settings.from_env(environ))
    yield made
    made.close()


def add_account(process: Runtime, name: str = "filial", **more: Any) -> tuple[accounts.Stored, str | None]:
    """Let a person add an account."""
    return accounts.add_account(
        process.journal, process.settings, ANA, process.clock_ms(), name, **{"api_key": API_KEY, **more}
    )


def add_destination(process: Runtime, name: str = "vendas", url: str = URL) -> tuple[accounts.Stored, int]:
    """Let a person add a destination."""
    return accounts.add_destination(process.journal, process.settings, ANA, process.clock_ms(), name, url)


def test_an_event_of_an_account_that_was_added_goes_the_whole_way(
    runtime: Runtime, other: Runtime, asaas: Peer, redis: Redis
) -> None:
    """Nothing is started again: door, mappings, API client and outbox of a running process take it up themselves."""
    client = create_app(runtime).test_client()
    drainer = Drainer(
        runtime.journal, runtime.decider, runtime.deliverer, runtime.wakeups, runtime.clock_ms, lanes_at_once=1
    )
    (runtime.settings.bridge_mappings_dir / "paga.yaml").write_text(MAPPING)
    assert runtime.mapping_files.import_changed()[0].mapping is None

    def post(token: str) -> int:
        body = envelope(payment=payment("cus_1"))
        return client.post("/webhooks/asaas/filial", json=body, headers={"asaas-access-token": token}).status_code

    with Peer() as clint:
        assert post("anything") == 404
        fresh, token = add_account(other)
        assert token is not None
        assert add_destination(other, url=clint.url) == ("added", 0)
        assert fresh == "added"
        until(lambda: post("wrong") == 401)
        until(lambda: "vendas" in runtime.destinations)
        until(lambda: runtime.mapping_files.import_changed()[0].mapping)
        assert post(token) == 200
        (event,) = events_of(runtime.journal)
        until(lambda: [item.mapping.name for item in runtime.mappings.current()] == ["paga"])
        drainer.start(event["lane"])
        drainer.join()
        (sent,) = clint.asked

    assert json.loads(sent.body) == {"email": EMAIL, "nome": NAME}
    assert asaas.asked[0].headers["access_token"] == API_KEY
    cached = [redis.get(key) for key in redis.keys("bridge:cache:*")]
    assert cached
    assert EMAIL not in str(cached)
    assert (len(runtime.asaas), len(runtime.limiters)) == (1, 1)


def drain(process: Runtime, delivery_id: int) -> None:
    """Let the process send what is due in the delivery's lane."""
    drainer = Drainer(process.journal, process.decider, process.deliverer, process.wakeups, process.clock_ms, 1)
    drainer.start(row_of(process.journal, delivery_id)["lane"])
    drainer.join()


def is_paused(process: Runtime) -> bool:
    """Return whether the destination is paused."""
    with process.journal.database.read() as connection:
        return destinations.load(connection)["vendas"].paused_ms is not None


def test_a_new_url_is_used_at_once(runtime: Runtime, other: Runtime) -> None:
    """Also by a process that has just looked: it would post to the URL before, whose 404 would pause it again."""
    with Peer(Reply(404)) as gone, Peer() as clint:
        add_destination(other, url=gone.url)
        until(lambda: "vendas" in runtime.destinations)
        id_ = owe(runtime.journal, destination="vendas")
        drain(runtime, id_)
        assert is_paused(runtime)
        runtime.account_store.refresh()
        assert runtime.destinations["vendas"] == gone.url

        add_destination(other, url=clint.url)
        drain(runtime, id_)
        assert (len(gone.asked), len(clint.asked)) == (1, 1)

    assert row_of(runtime.journal, id_)["state"] == "delivered"
    assert not is_paused(runtime)


def test_what_a_url_of_before_answers_pauses_nothing(runtime: Runtime, other: Runtime) -> None:
    """The answer comes after a person has entered another URL: the delivery goes there."""
    with Peer() as clint:

        def respond(_asked: Asked) -> Reply:
            add_destination(other, url=clint.url)
            return Reply(404)

        with Peer(respond=respond) as gone:
            add_destination(other, url=gone.url)
            until(lambda: "vendas" in runtime.destinations)
            id_ = owe(runtime.journal, destination="vendas")

            def is_delivered() -> bool:
                drain(runtime, id_)
                assert not is_paused(runtime)
                return bool(row_of(runtime.journal, id_)["state"] == "delivered")

            until(is_delivered)
            assert (len(gone.asked), len(clint.asked)) == (1, 1)

    with runtime.journal.database.read() as connection:
        codes = connection.scalars(select(attempts.c.code).order_by(attempts.c.number)).all()
    assert codes == ["destination.url_changed", "clint.ok"]


def test_a_new_key_of_an_account_is_used_and_its_limits_stay(runtime: Runtime, other: Runtime) -> None:
    """The client is made anew; the quota is the account's, not the key's. Without a key there is no client."""
    add_account(other, token=TOKEN)
    until(lambda: "filial" in runtime.asaas)
    before = (runtime.asaas["filial"], runtime.limiters["filial"])

    assert runtime.asaas["filial"] is before[0]

    changed = add_account(other, api_key="$aact_hmlg_other")
    until(lambda: runtime.asaas["filial"] is not before[0])

    assert changed == ("changed", None)
    assert runtime.accounts["filial"].webhook_token == TOKEN
    assert runtime.limiters["filial"] is before[1]

    add_account(other, api_key="")
    until(lambda: "filial" not in runtime.asaas)

    assert list(runtime.asaas) == []


def test_the_environment_wins(runtime: Runtime, other: Runtime, environ: dict[str, str]) -> None:
    """A name of the environment can't be added, and what the journal has under such a name is not used, but said."""
    for add in (add_account, add_destination):
        with pytest.raises(UsageError, match="set up in the environment, which wins"):
            add(other, "default")
    add_account(other)
    add_destination(other)
    more = {"ASAAS_WEBHOOK_TOKEN_FILIAL": "another-token", "CLINT_WEBHOOK_URL_VENDAS": "https://clint.example/b"}
    third = Runtime(Settings.from_env({**environ, **more}))

    assert third.accounts["filial"].webhook_token == "another-token"
    assert third.destinations["vendas"] == "https://clint.example/b"
    assert (len(third.accounts), len(third.destinations)) == (2, 2)
    with third.journal.database.read() as connection:
        assert accounts.overridden(connection, third.settings) == ["ASAAS_API_KEY_FILIAL", "CLINT_WEBHOOK_URL_VENDAS"]
        assert accounts.overridden(connection, runtime.settings) == []
    third.close()


def put_token(process: Runtime, token: str = TOKEN) -> tuple[bool, int]:
    """Let a person enter a token of Clint's API."""
    return accounts.put_token(process.journal, process.settings, ANA, process.clock_ms(), token)


def test_a_token_of_clint_is_used_within_seconds(runtime: Runtime, other: Runtime, environ: dict[str, str]) -> None:
    """A running process takes up one, another one and none; each new one frees what waited for it, and what Clint
    refused with the one before."""
    origin = "clint-origin:Vendas"
    assert runtime.clint_api is None
    with pytest.raises(UsageError, match="needs a token"):
        add_destination(other, url=origin)
    assert put_token(other) == (True, 0)
    for name in ("vendas", "refused", "by_person"):
        add_destination(other, name, origin)
    first = until(runtime.clint_account)
    waits = owe(runtime.journal, destination="vendas")
    held = {"waiting": "paused", "due_ms": 9_000_000_000_000, "reason_code": "destination.no_token"}
    put_in_state(runtime.journal, waits, DeliveryState.PENDING, **held)
    with runtime.journal.database.write() as connection:
        for name, code in {"refused": "clint.token", "by_person": ""}.items():
            destinations.pause(connection, name, Message("", {"code": code}).to_json(), NOW_MS)

    assert put_token(other) == (False, 0)
    assert put_token(other, f"{TOKEN}-too") == (False, 1)
    assert runtime.clock_ms() < row_of(runtime.journal, waits)["due_ms"] < runtime.clock_ms() + 60_000
    until(lambda: runtime.clint_account() is not first)
    assert runtime.clint_account() is runtime.clint_account(anew=True), "the same object for the same token"
    with runtime.journal.database.read() as connection:
        paused = {one.name for one in destinations.load(connection).values() if one.paused_ms is not None}
        assert accounts.waiting_for_token(connection, runtime.settings) == 1
    assert paused == {"by_person"}

    third = Runtime(Settings.from_env({**environ, "CLINT_API_TOKEN": "of-the-environment"}))
    assert third.account_store.clint_token == "of-the-environment"
    with pytest.raises(UsageError, match="set up in the environment, which wins"):
        put_token(third)
    with third.journal.database.read() as connection:
        assert accounts.overridden(connection, third.settings) == ["CLINT_API_TOKEN"]
    third.close()

    accounts.remove_token(other.journal, ANA, NOW_MS)
    until(lambda: runtime.clint_account() is None)
    with pytest.raises(NotFound):
        accounts.remove_token(other.journal, ANA, NOW_MS)
    with runtime.journal.database.read() as connection:
        noted = [one for one in audit.newest(connection, 20) if one["action"].startswith("clint.")]
    assert [one["action"] for one in reversed(noted)] == [
        *("clint.token_added", "clint.token_changed", "clint.token_removed")
    ], "the same token again is no change"
    assert TOKEN not in str(noted)


def test_what_can_not_work_is_refused(runtime: Runtime) -> None:
    """Names that no variable and no path could have, keys with blanks, weak tokens, URLs that show the data."""
    with pytest.raises(UsageError, match="small letters"):
        add_account(runtime, "Filial São Paulo")
    with pytest.raises(UsageError, match="white space"):
        add_account(runtime, api_key="$aact_hmlg a")
    with pytest.raises(UsageError, match="webhook token"):
        add_account(runtime, token="short")
    with pytest.raises(UsageError, match="must be a URL"):
        add_destination(runtime, url="clint")
    for token in ("", "two words", "é"):
        with pytest.raises(UsageError, match="without blanks"):
            put_token(runtime, token)
    for remove in (accounts.remove_account, accounts.remove_destination):
        with pytest.raises(NotFound, match="'default'"):
            remove(runtime.journal, ANA, NOW_MS, "default")


def test_without_a_key_nothing_is_kept(runtime: Runtime, environ: dict[str, str]) -> None:
    """A secret in clear is refused, with what to do."""
    database = runtime.journal.database
    bare = Runtime(Settings.from_env({**environ, "BRIDGE_ENCRYPTION_KEY": ""}))
    with database.write() as connection:
        connection.execute(meta.delete().where(meta.c.key.in_(["sealed", "search_key"])))
    with pytest.raises(KeyNeeded, match="BRIDGE_ENCRYPTION_KEY"):
        put_token(bare)
    with pytest.raises(KeyNeeded, match="BRIDGE_ENCRYPTION_KEY") as raised:
        add_account(bare)
    bare.close()

    assert "bridge db new-key" in str(raised.value)


def test_work_that_waited_for_a_destination_is_freed(runtime: Runtime) -> None:
    """It is due when every worker knows the URL; another URL resumes a destination that was paused."""
    id_ = owe(runtime.journal, destination="vendas")
    held = {"waiting": "paused", "due_ms": 9_000_000_000_000, "reason_code": "destination.not_set"}
    put_in_state(runtime.journal, id_, DeliveryState.PENDING, **held)

    assert add_destination(runtime) == ("added", 1)
    assert runtime.clock_ms() < row_of(runtime.journal, id_)["due_ms"] < runtime.clock_ms() + 60_000

    with runtime.journal.database.write() as connection:
        destinations.pause(connection, "vendas", "removed in Clint", NOW_MS)

    assert add_destination(runtime) == ("unchanged", 0)
    assert add_destination(runtime, url=f"{URL}x") == ("changed", 0)
    with runtime.journal.database.read() as connection:
        assert destinations.load(connection)["vendas"].paused_ms is None
        assert accounts.open_deliveries(connection, "vendas") == 1


def test_what_is_removed_is_gone_within_seconds(runtime: Runtime, other: Runtime) -> None:
    """Only a send that was claimed just before still finds the URL it was claimed for."""
    add_account(other)
    add_destination(other)
    until(lambda: "filial" in runtime.accounts and "vendas" in runtime.destinations)
    add_account(other, token=TOKEN)
    until(lambda: runtime.accounts["filial"].webhook_token == TOKEN)
    accounts.remove_account(other.journal, ANA, NOW_MS, "filial")
    accounts.remove_destination(other.journal, ANA, NOW_MS, "vendas")
    until(lambda: "filial" not in runtime.accounts and "vendas" not in runtime.destinations)

    assert runtime.account_store.account("filial") is None
    assert runtime.destinations["vendas"] == URL
    with runtime.journal.database.read() as connection:
        noted = [(one["action"], one["about"], one["actor"]) for one in audit.newest(connection, 9)]
        assert accounts.waiting_events(connection, "filial") == 0
    assert noted == [
        ("destination.removed", "vendas", "operator Ana"),
        ("account.removed", "filial", "operator Ana"),
        ("account.changed", "filial", "operator Ana"),
        ("destination.added", "vendas", "operator Ana"),
        ("account.added", "filial", "operator Ana"),
    ]


def test_a_journal_that_is_away_leaves_what_was_known(runtime: Runtime) -> None:
    """An account that was known goes on; whether there is another one is not known, which is no 404."""
    add_account(runtime)
    tenants = Accounts(runtime.settings, runtime.journal, look_every_s=0)

    assert "filial" in tenants.accounts

    with runtime.journal.database.write() as connection:
        connection.exec_driver_sql("ALTER TABLE journal_meta RENAME TO elsewhere")

    assert tenants.account("filial") is not None
    assert tenants.account("default") is not None
    with pytest.raises(JournalError):
        tenants.account("other")

    with runtime.journal.database.write() as connection:
        connection.exec_driver_sql("ALTER TABLE elsewhere RENAME TO journal_meta")

    assert tenants.account("other") is None


def test_a_process_with_a_wrong_key_writes_nothing(runtime: Runtime, environ: dict[str, str]) -> None:
    """Neither at its start nor at the door: what it sealed, nobody could read."""
    add_account(runtime)
    for key in ("", new_key()):
        wrong = Runtime(Settings.from_env({**environ, "BRIDGE_ENCRYPTION_KEY": key}))
        with pytest.raises(DecryptionFailed, match="BRIDGE_ENCRYPTION_KEY"):
            wrong.register()
        answer = (
            create_app(wrong)
            .test_client()
            .post("/webhooks/asaas", json=envelope(), headers={"asaas-access-token": TOKEN})
        )
        wrong.close()

        assert answer.status_code == 503
    assert events_of(runtime.journal) == []


def test_no_secret_stands_in_the_journal(runtime: Runtime) -> None:
    """Whoever reads the tables without the key reads no key, no token and no URL."""
    _, token = add_account(runtime)
    add_destination(runtime)
    with opened_journal(str(runtime.settings.database_url)) as plain:
        said = everything(plain)

    assert "filial" in said
    for secret in (API_KEY, token or "", URL, "5b0c1b6e"):
        assert secret not in said


def everything(journal: Journal) -> str:
    """Return what a dump of the database would hold."""
    database = Database(journal.database.url.render_as_string(hide_password=False))
    with database.read() as connection:
        names = sorted({*metadata.tables})
        rows = [tuple(row) for name in names for row in connection.exec_driver_sql(f"SELECT * FROM {name}")]
    database.close()
    return "\n".join(map(str, rows))
