"""The first page: is everything flowing, and what needs a person."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

import pytest
from redis import Redis
from rq import Queue, SimpleWorker

from bridge.journal import notices
from bridge.journal.schema import destinations as destination_table
from bridge.model import DeliveryState, NoticeLevel
from bridge.operations import actions
from bridge.telemetry import ATTEMPT_S, FROM_RECEIPT_S
from bridge.wakeups import QUEUE, workers
from tests.console import MAPPING, Console, opened_console
from tests.factories import NOW_MS, incoming, keep, noticed, owe, put_in_state, register, revision


@pytest.fixture
def console(sqlite_url: str, tmp_path: Path, redis_url: str, redis: Redis) -> Iterator[Console]:
    """Give a console with an account and a Redis."""
    with opened_console(sqlite_url, tmp_path, REDIS_URL=redis_url, ASAAS_API_KEY="$aact_hmlg_x") as opened:
        yield opened


@pytest.fixture
def worker(redis: Redis) -> Iterator[None]:
    """Let a worker be registered."""
    one = SimpleWorker([Queue(QUEUE, connection=redis)], connection=redis, name="bridge-test")
    one.register_birth()  # type: ignore[no-untyped-call]
    one.heartbeat()
    yield
    one.register_death()  # type: ignore[no-untyped-call]


@pytest.mark.usefixtures("worker")
def test_everything_is_flowing(console: Console, redis: Redis) -> None:
    """In both languages, with the worker that is there, its lanes, the mapping, the destination and the account."""
    page = console.operator("pt-BR").get("/").text

    for text in ("Tudo funcionando", "Ligada", "Sem resposta recente", "Sem avisos", "0 de 16", "processo"):
        assert text in page
    assert "Everything is flowing" in console.operator("en").get("/").text
    assert workers(redis)[0].pid > 0


@pytest.mark.usefixtures("worker")
def test_what_needs_a_person_comes_first(console: Console) -> None:
    """Dead deliveries, a paused destination and an error before what may pass by itself."""
    put_in_state(console.journal, owe(console.journal), DeliveryState.DEAD, due_ms=None, finished_ms=NOW_MS)
    actions.pause(console.journal, "default", "gone", NOW_MS)
    with console.journal.database.write() as connection:
        error = noticed(
            "queue.interrupted", "default queue", NoticeLevel.ERROR, "the queue is interrupted", "resume it"
        )
        warning = noticed("key.expiring", "default", NoticeLevel.WARNING, "the key expires", "renew it")
        notices.apply(connection, [warning, error], NOW_MS)
    page = console.operator().get("/").text

    order = ["1 delivery to default failed", "Destination default is paused", "queue is interrupted", "the key expires"]
    places = [page.index(text) for text in order]
    assert "Action needed" in page
    assert places == sorted(places)
    assert "The first 3 of these need a person" in page
    assert "2 notices" in page
    assert re.search(r'class="figure alarming">1<', page)


def test_what_is_off_is_only_counted(console: Console) -> None:
    """A mapping that is switched off and a destination that none uses have no row, unless something was delivered."""
    register(console.journal, default="https://clint.example/a", spare="https://clint.example/b")
    revision(console.journal, "desligada", f"enabled: false{MAPPING}")
    page = console.operator().get("/").text

    assert "mapping=cobranca" in page
    assert "mapping=desligada" not in page
    assert "and 1 that is switched off" in page
    assert "and 1 that no mapping uses" in page
    put_in_state(console.journal, owe(console.journal, mapping="desligada", destination="spare"), DeliveryState.STALE)
    page = console.operator().get("/").text
    assert "mapping=desligada" in page
    assert "that no mapping uses" not in page


def test_work_that_nobody_does_is_noticed(console: Console) -> None:
    """Events wait and no worker runs; the page names both, and the oldest one's age."""
    keep(console.journal, incoming(received_ms=NOW_MS - 600_000))
    page = console.operator().get("/").text

    assert "No worker is running, and events wait" in page
    assert re.search(r'class="count"[^>]*>1<', page)
    assert "No worker is running, and events wait" in console.operator().get("/attention").text
    assert "has been waiting for 10\N{NO-BREAK SPACE}min" in page


@pytest.mark.usefixtures("worker")
def test_a_destination_that_fails_is_a_reservation(console: Console) -> None:
    """It may pass by itself."""
    with console.journal.database.write() as connection:
        connection.execute(destination_table.update().values(state="open", until_ms=NOW_MS + 1))
    page = console.operator().get("/").text

    assert "with reservations" in page
    assert "fails for several customers" in page
    assert "Failing" in page


def test_redis_may_be_away(sqlite_url: str, tmp_path: Path) -> None:
    """The page is there all the same and says so."""
    with opened_console(sqlite_url, tmp_path) as console:
        page = console.operator().get("/").text

    assert "Redis does not answer" in page
    assert "No account" in page


@pytest.mark.usefixtures("worker")
def test_counts_and_latencies_are_shown_as_pictures_with_words(console: Console) -> None:
    """Each picture has a text and a table; htmx fetches the state alone."""
    for n in range(3):
        (id_,) = keep(console.journal, incoming(f"cus_{n}", received_ms=NOW_MS - 2_000))
        delivery = owe(console.journal, event_id=id_, customer=f"cus_{n}", mapping="cobranca")
        state = DeliveryState.DEAD if n == 2 else DeliveryState.DELIVERED
        put_in_state(console.journal, delivery, state, due_ms=None, finished_ms=NOW_MS)
    counts = console.runtime.shared_counts
    for seconds in (0.2, 0.3):
        counts.observe(FROM_RECEIPT_S, seconds, "default")
        counts.observe(ATTEMPT_S, seconds, "default")
    assert counts.flush()
    part = console.operator().part("/").text

    assert "<html" not in part
    assert part.count('role="img"') == 2
    assert "2 delivered, 0 filtered, 1 not delivered" in part
    assert "66.7% of what was due" in part
    assert "95% within" in part
    assert part.count("<rect") == 4
    assert "Show as a table" in part
