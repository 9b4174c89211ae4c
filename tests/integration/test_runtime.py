"""The composition root: what stands together when only the settings are given."""

from __future__ import annotations

import contextlib
import json
from collections.abc import Iterator
from pathlib import Path

import pytest

from bridge.errors import JournalNotMigrated, SettingsError
from bridge.journal import Database, destinations, upgrade
from bridge.journal.clock import system_clock_ms
from bridge.runtime import Runtime, open_journal
from bridge.settings import Settings
from bridge.worker.drain import Drainer
from tests.factories import events_of, incoming, keep, opened_journal, rows_of
from tests.peers import Asked, Peer, Reply

MAPPING = """
events: [PAYMENT_RECEIVED]
contact: {email: customer.email}
deal: {ambiente: environment}
"""


@pytest.fixture
def environ(sqlite_url: str, tmp_path: Path) -> dict[str, str]:
    """Give an environment with a mapping, without Redis."""
    (tmp_path / "mappings").mkdir()
    (tmp_path / "mappings" / "paga.yaml").write_text(MAPPING)
    return {
        "DATABASE_URL": sqlite_url,
        "BRIDGE_MAPPINGS_DIR": str(tmp_path / "mappings"),
        "BRIDGE_ALLOW_PRIVATE_DESTINATIONS": "1",
        "ASAAS_API_KEY": "$aact_hmlg_abc",
        "ASAAS_WEBHOOK_TOKEN_MATRIZ": "t" * 32,
        "CLINT_WEBHOOK_URL": "https://clint.example/a",
    }


@pytest.fixture
def migrated(sqlite_url: str) -> Iterator[None]:
    """Bring the journal to this version's schema."""
    with opened_journal(sqlite_url):
        yield


def runtime_of(environ: dict[str, str], **more: str) -> Runtime:
    """Return the runtime of an environment."""
    return Runtime(Settings.from_env({**environ, **more}))


@pytest.mark.usefixtures("migrated", "redis")  # emptied: another test's pause of the account would hold the event
def test_an_event_goes_the_whole_way(environ: dict[str, str], redis_url: str) -> None:
    """From the door over Asaas's API to the destination, with nothing but what the settings say."""
    customer = json.dumps({"object": "customer", "id": "cus_1", "email": "ana@example.com"}).encode()
    asked_of_asaas: list[Asked] = []

    def respond(asked: Asked) -> Reply:
        asked_of_asaas.append(asked)
        return Reply(200, customer, {"Content-Type": "application/json"})

    with Peer(respond=respond) as asaas, Peer() as clint:
        runtime = runtime_of(
            environ, REDIS_URL=redis_url, ASAAS_API_URL=f"{asaas.url}/v3", CLINT_WEBHOOK_URL=f"{clint.url}/hook"
        )
        runtime.check_urls()
        assert runtime.register() == []
        runtime.intake.keep(incoming(received_ms=system_clock_ms()))
        lane = events_of(runtime.journal)[0]["lane"]
        drainer = Drainer(runtime.journal, runtime.decider, runtime.deliverer, runtime.wakeups, runtime.clock_ms, 1)
        drainer.start(lane)
        drainer.join()
        assert rows_of(runtime.journal)[0]["state"] == "delivered"
        runtime.close()

        assert asked_of_asaas[0].path == "/v3/customers/cus_1"
        assert asked_of_asaas[0].headers["access_token"] == "$aact_hmlg_abc"
        (sent,) = clint.asked
        assert sent.path == "/hook"
        assert json.loads(sent.body) == {"email": "ana@example.com", "ambiente": "sandbox"}


@pytest.mark.usefixtures("migrated", "redis")
def test_a_person_of_one_environment_is_not_taken_for_that_of_another(environ: dict[str, str], redis_url: str) -> None:
    """After the key of the sandbox was changed for that of production, an id may be somebody else's."""
    found = []
    for email in ("sandbox@example.com", "ana@example.com", "ana@example.com"):
        with Peer(Reply(200, json.dumps({"object": "customer", "email": email}).encode())) as asaas:
            runtime = runtime_of(environ, REDIS_URL=redis_url, ASAAS_API_URL=f"{asaas.url}/v3")
            with contextlib.closing(runtime):
                found.append(runtime.enricher.fetch("default", {"customer": "cus_000000000001"})["customer"]["email"])

    assert found == ["sandbox@example.com", "ana@example.com", "ana@example.com"]


@pytest.mark.usefixtures("migrated")
def test_registering_brings_destinations_and_mappings_into_the_journal(environ: dict[str, str]) -> None:
    """And tells which paused destination a new URL has resumed."""
    runtime = runtime_of(environ)
    runtime.register()
    assert [item.mapping.name for item in runtime.mappings.current()] == ["paga"]
    with runtime.journal.database.write() as connection:
        assert list(destinations.load(connection)) == ["default"]
        destinations.pause(connection, "default", "gone", system_clock_ms())
    runtime.close()

    again = runtime_of(environ, CLINT_WEBHOOK_URL="https://clint.example/b")
    assert again.register() == ["default"]
    again.close()


def test_what_has_no_redis_needs_none_until_it_is_asked_for(environ: dict[str, str]) -> None:
    """A command that reads the journal needs no Redis; what does names the variable."""
    runtime = runtime_of(environ)

    for part in ("redis", "worker_redis", "wakeups", "intake"):
        with pytest.raises(SettingsError, match="REDIS_URL is not set"):
            getattr(runtime, part)
    assert runtime.enricher is runtime.enricher
    runtime.close()


def test_an_account_without_a_key_has_no_client(environ: dict[str, str]) -> None:
    """Its environment is production unless something says otherwise: the URL, or the key's prefix."""
    runtime = runtime_of(environ)

    assert list(runtime.asaas) == ["default"]
    assert runtime.environment("default") == "sandbox"
    assert runtime.environment("matriz") == runtime.environment("nobody") == "production"
    assert runtime_of(environ, ASAAS_API_KEY="$aact_prod_x").environment("default") == "production"


def test_urls_that_nothing_may_be_sent_to_are_named(environ: dict[str, str]) -> None:
    """Plain http and addresses of this network, all at once, without the secret part; the key is not sent there."""
    runtime = runtime_of(
        environ,
        BRIDGE_ALLOW_PRIVATE_DESTINATIONS="0",
        CLINT_WEBHOOK_URL_ERP="http://erp.example/s3cr3t",
        ASAAS_API_URL="http://127.0.0.1/v3",
    )
    with pytest.raises(SettingsError) as caught:
        runtime.check_urls()

    assert [problem.facts["name"] for problem in caught.value.problems] == ["CLINT_WEBHOOK_URL_ERP", "ASAAS_API_URL"]
    assert "s3cr3t" not in str(caught.value)
    with pytest.raises(SettingsError, match="ASAAS_API_URL"):
        _ = runtime.asaas
    runtime_of(environ, BRIDGE_ALLOW_PRIVATE_DESTINATIONS="0").check_urls()


def test_a_runtime_that_did_nothing_closes(environ: dict[str, str]) -> None:
    """Nothing was opened, nothing is closed."""
    runtime_of(environ).close()


def test_a_journal_that_is_not_there_is_said(environ: dict[str, str], tmp_path: Path) -> None:
    """A command that only looks makes no file; an older schema names the command too."""
    path = tmp_path / "none.db"
    settings = Settings.from_env({**environ, "DATABASE_URL": f"sqlite:///{path}"})
    with pytest.raises(JournalNotMigrated, match="there is no journal yet"):
        open_journal(settings)
    assert not path.exists()

    path.touch()
    with pytest.raises(JournalNotMigrated, match="bridge db upgrade"):
        open_journal(settings)
    database = Database(settings.database_url)
    upgrade(database)
    database.close()
    journal = open_journal(settings)
    assert keep(journal, incoming())
    journal.database.close()


def test_the_clock_is_utc_milliseconds() -> None:
    """Whole milliseconds since the epoch."""
    assert 1_700_000_000_000 < system_clock_ms() < 4_000_000_000_000
