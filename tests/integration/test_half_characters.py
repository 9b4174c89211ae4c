"""Half an emoji in a text of a payload: kept, decided, and shown wherever that text is shown."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, date, datetime
from decimal import Decimal
from pathlib import Path

import pytest

from bridge.journal import customers, jobs, search
from bridge.operations.backfill import events_for_charge
from bridge.operations.statement import Entry, Statement, written_csv, written_ofx
from tests.commands import Commands
from tests.console import Console, opened_console
from tests.databases import on_both
from tests.factories import NOW_MS, acquire, envelope, payment, rows_of
from tests.unit.operations.test_made_event import ASKED_MS, gap

TOKEN = "0f3c1d5e-7a28-4b96-8c42-d19e6b7a5c30"
HALF = "Mensalidade \ud83d"
MAPPING = """
events: [PAYMENT_RECEIVED]
filter: {all: [{field: payment.description, contains: Mensalidade}]}
contact: {email: "'ana@example.com'"}
deal: {titulo: payment.description}
"""


@pytest.fixture
def console(database_url: str, redis_url: str, tmp_path: Path) -> Iterator[Console]:
    """Give a console whose journal has one event with half an emoji, which its mapping took."""
    (tmp_path / "mappings").mkdir()
    (tmp_path / "mappings" / "metade.yaml").write_text(MAPPING)
    with opened_console(database_url, tmp_path, ASAAS_WEBHOOK_TOKEN=TOKEN, REDIS_URL=redis_url) as opened:
        body = json.dumps(envelope(payment=payment(description=HALF, externalReference=HALF)))
        answer = opened.app.test_client().post("/webhooks/asaas", data=body, headers={"asaas-access-token": TOKEN})
        assert answer.status_code == 200
        processor = opened.runtime.decider
        for lane in range(opened.journal.lane_count):
            lease = acquire(opened.journal.lanes, lane, "worker", opened.clock())
            assert lease is not None
            for batch in processor.next_batches([lane]):
                processor.commit([lease], processor.fetch(batch) if batch.must_fetch else batch)
            opened.journal.lanes.release_all([lease])
        yield opened


@on_both
def test_half_an_emoji_is_sent_and_every_page_shows_it(console: Console) -> None:
    """The event's page, its replay, the editor's preview, and long work that failed with such a text."""
    owed = {row["mapping"]: row for row in rows_of(console.journal)}
    browser = console.operator()
    with console.journal.database.write() as connection:
        failed = jobs.begin(connection, "replay", "metade", {}, "Ana", NOW_MS)
        jobs.fail(connection, failed, NOW_MS, "asaas.rejected", HALF)
        found = search.customer_found("default", "cus_1", {"name": f"\0{HALF}", "email": HALF})
        customers.record(connection, [found], [], NOW_MS)

    assert json.loads(owed["metade"]["payload"])["titulo"] == "Mensalidade ?"
    pages = ("/customers/default/cus_1", "/charges/default/pay_1", "/mappings/metade", f"/work/{failed}")
    for path in (*pages, "/events", "/events/1", "/events/1/replay", "/events/1/replay?mapping=metade"):
        assert browser.get(path).status_code == 200, path
    assert "Mensalidade ?" in browser.get("/events/1").text
    assert 'id="e1"' in browser.get("/events?q=mensalidade").text
    answer = browser.post("/mappings/live/preview", text=MAPPING, name="metade", against="event:1")
    assert answer.status_code == 200
    assert "Mensalidade ?" in answer.text


@on_both
def test_half_an_emoji_goes_through_every_command(console: Console, database_url: str, tmp_path: Path) -> None:
    """One event's way, a list, what a replay would change, a sample: for people and as JSON."""
    (tmp_path / "operator").mkdir()
    commands = Commands(tmp_path / "operator")
    sample = tmp_path / "operator" / "sample.json"
    for command in (
        ["events", "show", "1"],
        ["events", "show", "1", "--json"],
        ["events", "list"],
        ["events", "replay", "1", "--dry-run"],
        ["events", "replay", "1", "--dry-run", "--json"],
        ["mappings", "explain", "--event", "1"],
        ["mappings", "sample", "--event-id", "1", "--output", str(sample)],
    ):
        said = commands.run(*command, DATABASE_URL=database_url)
        assert said.status == 0, (command, said.err)
        (said.out + said.err).encode()
    assert "payment" in json.loads(sample.read_text())


def test_half_an_emoji_stands_in_every_file() -> None:
    """In a statement for a spreadsheet and for a bank's program, and in an event that a backfill makes."""
    day = date(2026, 11, 20)
    entry = Entry("1", day, Decimal("1.00"), Decimal("1.00"), "PAYMENT", HALF, HALF)
    statement = Statement("default", day, day, [entry], Decimal("1.00"))
    (event,) = events_for_charge(gap("RECEIVED", paymentDate="2026-11-19", description=HALF), "default", ASKED_MS)

    assert written_csv([statement]).encode(errors="replace")
    assert written_ofx(replace(statement), datetime.now(UTC))
    assert json.loads(event.body)["payment"]["description"] == HALF
