"""`bridge backfill`: gaps of a real journal, filled from a simulated Asaas over real HTTP."""

from __future__ import annotations

import contextlib
import json
from collections.abc import Iterator
from pathlib import Path

import pytest
from redis import Redis

from bridge.model import DeliveryState
from tests.charges import Place, body_of, place
from tests.factories import events_of, rows_of

BY_CUSTOMER = """
events: [PAYMENT_RECEIVED, PAYMENT_CREATED]
contact: {email: customer.email}
deal: {valor: payment.value}
"""


@pytest.fixture
def at(tmp_path: Path) -> Iterator[Place]:
    """Give a simulated Asaas and commands that read from it."""
    with place(tmp_path) as found:
        yield found


def drained(at: Place) -> list[dict[str, object]]:
    """Let a worker's deciding half look at every lane; return the deliveries."""
    with contextlib.closing(at.runtime()) as runtime:
        lanes = runtime.journal.lanes
        leases = {
            lease.lane: lease
            for lease in lanes.acquire_all(range(runtime.journal.lane_count), "test", runtime.clock_ms())
        }
        while batches := runtime.decider.next_batches(leases):
            for batch in batches:
                found = runtime.decider.fetch(batch) if batch.must_fetch else batch
                runtime.decider.commit([leases[lane] for lane in batch.lanes], found)
        lanes.release_all(list(leases.values()))
        return rows_of(runtime.journal)


def test_a_dry_run_shows_what_would_be_sent(at: Place) -> None:
    """The payload of each mapping, with the customer fetched; nothing is kept."""
    at.register("paga", BY_CUSTOMER)
    charge = at.paid(129.9)

    said = at.commands.run("backfill", "--since", "1d", "--dry-run")

    assert said.status == 0
    assert f"{charge} PAYMENT_RECEIVED (" in said.out
    assert "paga: new, would be sent to default: 2 changes" in said.out
    assert 'valor: (not sent) -> "129.9"' in said.out
    assert "1 charge at Asaas; 1 PAYMENT_RECEIVED" in said.err
    with at.commands.journal() as journal:
        assert events_of(journal) == []


def test_a_backfill_brings_in_what_is_missing_once(at: Place) -> None:
    """Oldest first, marked, through the mappings; the second run finds nothing to do."""
    at.register("paga", BY_CUSTOMER)
    first, second = at.paid(10), at.paid(20)
    with at.commands.journal() as journal:
        at.came(journal, "PAYMENT_CREATED", about=second)

    said = at.commands.run("backfill", "--since", "1d", "--yes", "--json")
    deliveries = drained(at)
    again = at.commands.run("backfill", "--since", "1d", "--yes", "--json")

    assert [(one["charge"], one["event"]) for one in said.json] == [
        (first, "PAYMENT_RECEIVED"),
        (second, "PAYMENT_RECEIVED"),
    ]
    assert [one["key"] for one in said.json] == [
        f"backfill:{first}:RECEIVED",
        f"backfill:{second}:RECEIVED:after-1",
    ]
    assert [row["state"] for row in deliveries] == [DeliveryState.PENDING] * 2
    assert (again.status, again.json) == (0, [])
    with at.commands.journal() as journal:
        rows = events_of(journal)
    assert [(row["origin"], row["repeats"]) for row in rows] == [("webhook", 0), ("backfill", 0), ("backfill", 0)]
    assert body_of(rows[1])["payment"]["status"] == "RECEIVED"
    listed = at.commands.run("events", "list").out
    assert listed.count("PAYMENT_RECEIVED (backfill)") == 2
    shown = at.commands.run("events", "show", "2").out
    assert "origin       backfill: made from the Asaas API" in shown
    assert at.commands.run("reconcile", "--since", "1d").status == 0


def test_an_event_that_comes_late_does_not_move_the_deal_back(at: Place) -> None:
    """Asaas's queue goes on after the backfill: what it says of the time before is stale."""
    at.register("paga", BY_CUSTOMER)
    charge = at.paid(10)
    at.commands.run("backfill", "--since", "1d", "--yes")
    drained(at)
    with at.commands.journal() as journal:
        ours = events_of(journal)[0]["created"]
        at.came(journal, about=charge, processed=False)
        theirs = [event["created"] for event in events_of(journal)[1:]]

    assert max(theirs) <= ours


@pytest.mark.parametrize(("only", "number"), [("missing", 1), ("older", 2)])
def test_one_kind_may_be_chosen(at: Place, only: str, number: int) -> None:
    """Charges from before the connection, or events lost since."""
    at.paid()
    for charge in (at.paid(), at.paid()):
        with at.commands.journal() as journal:
            at.came(journal, "PAYMENT_CREATED", about=charge)

    said = at.commands.run("backfill", "--since", "1d", "--only", only, "--dry-run", "--json")

    assert len(said.json) == number
    assert {one["event_id"] for one in said.json} == {None}


def test_it_asks_first(at: Place) -> None:
    """On a terminal the operator sees what would be sent and says yes or no."""
    charge = at.paid()

    no = at.commands.on_terminal("backfill", "--since", "1d", types="n\n")
    yes = at.commands.on_terminal("backfill", "--since", "1d", types="y\n")

    assert no.status == 1
    assert "nothing was brought in" in no.err
    assert f"{charge} PAYMENT_RECEIVED" in yes.out
    assert "1 event handed to the workers" in yes.out


def test_it_does_not_ask_without_a_terminal(at: Place) -> None:
    """Nothing hangs in a cron job."""
    said = at.commands.run("backfill", "--since", "1d")

    assert said.status == 2
    assert "add --yes" in said.err


def test_a_worker_is_woken(at: Place, redis: Redis, redis_url: str) -> None:
    """With Redis the events do not wait for the sweeper."""
    at.paid()

    said = at.commands.run("backfill", "--since", "1d", "--yes", REDIS_URL=redis_url)

    assert "1 event handed to the workers" in said.out
    assert redis.keys("bridge:wake:*")


def test_a_charge_in_an_unknown_status_is_told(at: Place) -> None:
    """It is not brought in, and the status of the command says so."""
    charge = at.paid()
    at.asaas.book.payments[charge]["status"] = "REFUND_REQUESTED"

    said = at.commands.run("backfill", "--since", "1d", "--yes")

    assert said.status == 1
    assert f"{charge} can't be brought in: no documented event leads to status REFUND_REQUESTED" in said.err


def test_many_are_brought_in_by_hundreds(at: Place) -> None:
    """More than one commit keeps the order of the charges' days."""
    customer = at.asaas.has_customer()["id"]
    at.calendar.goes(-3)
    for _ in range(60):
        at.asaas.has_payment(customer)
    at.calendar.goes(2)
    for _ in range(60):
        at.asaas.has_payment(customer)

    made = json.loads(at.commands.run("backfill", "--since", "5d", "--yes", "--json").out)

    assert len(made) == 120
    assert [one["created"] for one in made] == sorted(one["created"] for one in made)
