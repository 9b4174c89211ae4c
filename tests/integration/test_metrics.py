"""`/metrics`: the numbers of all processes and the state of the journal, as Prometheus reads them."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest
from flask.testing import FlaskClient
from prometheus_client.parser import text_string_to_metric_families
from redis import Redis
from sqlalchemy import text

from bridge.errors import BridgeError, EnrichmentWaits, MappingRefused, WrongToken
from bridge.journal import Journal, destinations, jobs, notices, statistics
from bridge.model import FINISHED, DeliveryState, EventProcessed, NoticeLevel, Outcome
from bridge.pipeline.policy import Circuit
from bridge.reasons import WORDS
from bridge.runtime import Runtime
from bridge.settings import Settings
from bridge.telemetry import DUE
from bridge.web.app import create_app
from bridge.web.metrics import Numbers
from tests.conformance.test_query_plans import asked, scans
from tests.databases import on_both
from tests.factories import (
    NOW_MS,
    acquire,
    envelope,
    incoming,
    keep,
    many_rows,
    noticed,
    opened_journal,
    owe,
    put_in_state,
    register,
)
from tests.peers import closed_port
from tests.unit.telemetry.test_spans import ATTEMPTED
from tests.unit.test_dead_letter import tree

TOKEN = "0f3c1d5e-7a28-4b96-8c42-d19e6b7a5c30"

Samples = dict[tuple[str, ...], float]
"""Name and values of the labels -> value."""


def runtime_at(database_url: str, redis_url: str, scratch: Path) -> Runtime:
    """Return the parts of a process."""
    return Runtime(
        Settings.from_env(
            {
                "DATABASE_URL": database_url,
                "REDIS_URL": redis_url,
                "BRIDGE_DATA_DIR": str(scratch),
                "ASAAS_WEBHOOK_TOKEN": TOKEN,
                "ASAAS_API_KEY": "$aact_hmlg_x",
                "CLINT_WEBHOOK_URL": "https://clint.example/a",
            }
        )
    )


@pytest.fixture
def journal(database_url: str) -> Iterator[Journal]:
    """Give an empty journal on each database."""
    with opened_journal(database_url) as journal:
        register(journal)
        yield journal


@pytest.fixture
def runtime(journal: Journal, database_url: str, redis_url: str, redis: Redis, tmp_path: Path) -> Iterator[Runtime]:
    """Give the parts of a web process."""
    runtime = runtime_at(database_url, redis_url, tmp_path)
    yield runtime
    runtime.close()


def numbers(client: FlaskClient) -> Samples:
    """Return every sample: its name and the values of its labels -> its value."""
    answer = client.get("/metrics")
    assert answer.status_code == 200
    return {
        (sample.name, *sample.labels.values()): sample.value
        for family in text_string_to_metric_families(answer.text)
        for sample in family.samples
    }


def test_the_door_is_counted(runtime: Runtime) -> None:
    """What was kept, what came again, what was refused and why; a stranger's account name becomes no label."""
    client = create_app(runtime).test_client()
    body = envelope()
    for _ in range(2):
        client.post("/webhooks/asaas", json=body, headers={"asaas-access-token": TOKEN})
    client.post("/webhooks/asaas", json=body, headers={"asaas-access-token": "x"})
    client.post("/webhooks/asaas/made-up", json=body)

    found = numbers(client)

    assert found["bridge_events_received_total", "default", "first"] == 1
    assert found["bridge_events_received_total", "default", "repeat"] == 1
    assert found["bridge_webhook_refusals_total", "default", "webhook.wrong_token"] == 1
    assert found["bridge_webhook_refusals_total", "", "webhook.unknown_account"] == 1
    assert not [key for key in found if "made-up" in key]


def test_a_worker_is_seen_through_the_web(runtime: Runtime, database_url: str, redis_url: str, tmp_path: Path) -> None:
    """A worker that no scraper can reach counts in the same numbers."""
    worker = runtime_at(database_url, redis_url, tmp_path)
    done = EventProcessed(1, "0" * 32, "default", "PAYMENT_RECEIVED", 0, 1, {"paga": "pending"})
    worker.telemetry.processed(done)
    worker.close()

    found = numbers(create_app(runtime).test_client())

    assert found["bridge_verdicts_total", "default", "PAYMENT_RECEIVED", "paga", "owed"] == 1


@on_both
def test_lanes_and_destinations_are_gauges(runtime: Runtime, journal: Journal) -> None:
    """How much waits where, since when, who is being worked on, and which destination takes nothing."""
    now_ms = runtime.clock_ms()
    keep(journal, incoming("cus_1", received_ms=now_ms - 90_000), incoming("cus_1"))
    owe(journal)
    owe(journal, customer="cus_2", state=DeliveryState.DEAD)
    assert acquire(journal.lanes, 3, "worker", now_ms)
    with journal.database.write() as connection:
        destinations.pause(connection, "default", "gone", now_ms)

    found = numbers(create_app(runtime).test_client())

    assert found["bridge_events_waiting",] == 2
    assert found["bridge_oldest_waiting_seconds",] >= 90
    assert found["bridge_oldest_owed_seconds",] > 0
    assert found["bridge_lanes",] == journal.lane_count
    assert found["bridge_lanes_leased",] == 1
    assert [value for key, value in found.items() if key[0] == "bridge_lane_events"] == [2]
    assert [value for key, value in found.items() if key[0] == "bridge_lane_due"] == [1]
    assert found["bridge_destination_paused", "default"] == 1
    assert found["bridge_destination_circuit", "default", "closed"] == 1
    assert found["bridge_destination_circuit", "default", "open"] == 0
    assert found["bridge_destination_up", "default"] == 0


def test_asaas_is_a_gauge(runtime: Runtime, journal: Journal) -> None:
    """The queue's state, what is left of the quota, what the last reconciliation found."""
    with journal.database.write() as connection:
        said = noticed("webhook.interrupted", "default", NoticeLevel.ERROR, "what", "mend")
        notices.apply(connection, [said], runtime.clock_ms())
        jobs.note_result(connection, "reconcile:default", {"behind": 4})
        jobs.note_result(connection, "reconcile:default", {"behind": 3})
    runtime.redis.set("bridge:asaas:default:quota", 24_000)

    found = numbers(create_app(runtime).test_client())

    assert found["bridge_asaas_queue_interrupted", "default"] == 1
    assert found["bridge_asaas_queue_penalised", "default"] == 0
    assert found["bridge_notices_open", "webhook.interrupted"] == 1
    assert found["bridge_notices", "error"] == 1
    assert found["bridge_asaas_quota_left", "default"] == 1_000
    assert found["bridge_reconcile_missing", "default"] == 3


def test_what_is_away_is_a_number(tmp_path: Path) -> None:
    """Without Redis and without a journal there is an answer all the same, which says so."""
    with closed_port() as port:
        runtime = runtime_at(f"sqlite:///{tmp_path / 'none.db'}", f"redis://127.0.0.1:{port}/0", tmp_path)
        found = numbers(create_app(runtime).test_client())
        runtime.close()

    assert found["bridge_redis_up",] == 0
    assert found["bridge_journal_up",] == 0
    assert next(key for key in found if key[0] == "bridge_build_info")


def test_a_slow_look_is_used_again(runtime: Runtime, journal: Journal) -> None:
    """A journal of millions is not counted anew for every scraper."""
    reused, anew = Numbers(runtime, slow_s=-1.0), Numbers(runtime, slow_s=float("inf"))

    def waiting(of: Numbers) -> float:
        return next(metric.samples[0].value for metric in of.collect() if metric.name == "bridge_events_waiting")

    before = [waiting(reused), waiting(anew)]
    keep(journal, incoming())

    assert [*before, waiting(reused), waiting(anew)] == [0, 0, 0, 1]


@on_both
def test_a_look_reads_what_is_unfinished_only(journal: Journal) -> None:
    """On a journal with history each number comes from a partial index or from a small table."""
    many_rows(journal, 1_500)
    with journal.database.write() as connection:
        connection.execute(text("ANALYZE"))
    with asked(journal) as found, journal.database.read() as connection:
        statistics.gauges(connection, NOW_MS)

    partial = r"\b(events_waiting|events_due|deliveries_due|deliveries_line)\b"
    assert found.statements
    assert [step for step in scans(journal, found) if not re.search(partial, step.split("<-")[0])] == []


VERDICTS = (DUE, DeliveryState.FILTERED.value, DeliveryState.DEAD.value)


def held_codes() -> list[str]:
    """Return every code under which an event may be put off."""
    return sorted({kind.code for kind in tree(EnrichmentWaits)} | {MappingRefused.code})


def refusal_codes() -> list[str]:
    """Return every code under which the door may refuse a post."""
    return sorted(kind.code for kind in tree(BridgeError) if kind.__module__ == WrongToken.__module__)


MEMBERS = [
    *(("bridge_attempts_total", "default", outcome.value) for outcome in Outcome if outcome is not Outcome.UNKNOWN),
    *(("bridge_deliveries_settled_total", "default", state.value) for state in DeliveryState),
    *(("bridge_deliveries", state.value) for state in DeliveryState if state not in FINISHED or state == "dead"),
    *(("bridge_verdicts_total", "default", "PAYMENT_RECEIVED", "paga", verdict) for verdict in VERDICTS),
    *(("bridge_events_held_total", "default", code) for code in held_codes()),
    *(("bridge_webhook_refusals_total", "default", code) for code in refusal_codes()),
    *(("bridge_destination_circuit", "default", state.value) for state in Circuit),
    *(("bridge_notices", level.value) for level in NoticeLevel),
    *(("bridge_notices_open", code) for code in WORDS),
]
"""Every label's value that a member of an enumeration makes."""


@pytest.fixture(scope="module")
def everything(emptied_redis_url: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Samples]:
    """Give the numbers of a bridge in which whatever can happen happened once."""
    scratch = tmp_path_factory.mktemp("everything")
    url = f"sqlite:///{scratch / 'journal.db'}"
    with opened_journal(url) as journal:
        runtime = runtime_at(url, emptied_redis_url, scratch)
        register(journal)
        for place, state in enumerate(DeliveryState):
            put_in_state(journal, owe(journal, customer=f"cus_{place}"), state)
            runtime.telemetry.ended("default", state.value)
        for outcome in Outcome:
            runtime.telemetry.attempted(
                replace(ATTEMPTED, destination="default", outcome=outcome.value, state="retrying")
            )
        for verdict in VERDICTS:
            said = {"paga": "pending" if verdict == DUE else verdict}
            runtime.telemetry.processed(EventProcessed(1, "0" * 32, "default", "PAYMENT_RECEIVED", 0, 1, said))
        for code in held_codes():
            runtime.telemetry.held("default", code)
        for code in refusal_codes():
            runtime.telemetry.refused("default", code)
        levels = list(NoticeLevel)
        with journal.database.write() as connection:
            told = [noticed(code, "default", levels[place % 2], "", "") for place, code in enumerate(WORDS)]
            notices.apply(connection, told, NOW_MS)
        assert runtime.shared_counts.flush()
        yield numbers(create_app(runtime).test_client())
        runtime.close()


@pytest.mark.parametrize("labels", MEMBERS, ids=" ".join)
def test_every_outcome_state_and_code_stands_in_the_metrics(everything: Samples, labels: tuple[str, ...]) -> None:
    """Under its own name, so that a rule can watch for it."""
    assert labels in everything
