"""What retention takes and what it leaves, on both databases."""

from __future__ import annotations

import json
from typing import Any

import pytest
from sqlalchemy import select, update

from bridge.errors import BodyEmptied
from bridge.journal import Journal, customers, deliveries, events, retention, search, statistics
from bridge.journal.deliveries import StateChange
from bridge.journal.schema import customers as customer_table
from bridge.journal.schema import events as event_table
from bridge.model import DeliveryState, Outcome
from bridge.operations import actions
from tests.factories import (
    NOW_MS,
    begin,
    envelope,
    events_of,
    incoming,
    keep,
    owe,
    owed,
    payment,
    put_in_state,
    record,
    rows_of,
    tries_of,
)

LATER_MS = NOW_MS + 1_000
BEFORE_MS = NOW_MS + 500


def finished(journal: Journal, customer: str = "cus_1", **changes: Any) -> int:
    """Return a delivery that was tried and delivered, of a processed event."""
    delivery_id = owe(journal, customer=customer, **changes)
    delivery = owed(journal, delivery_id)
    with journal.database.write() as connection:
        begin(connection, [delivery], 1, NOW_MS)
        record(
            connection,
            StateChange(delivery, DeliveryState.DELIVERED, NOW_MS, reason="Ana has paid"),
            1,
            Outcome.DELIVERED,
            status=200,
            code="clint.delivered",
            detail="ok",
            excerpt="Ana",
            duration_ms=5,
        )
    return delivery_id


def emptied(journal: Journal, before_ms: int = BEFORE_MS) -> int:
    """Empty all that may be; return how many events were."""
    with journal.database.write() as connection:
        ids, _ = retention.old_page(connection, before_ms, 0, full_only=True)
        return retention.empty(connection, ids, before_ms, LATER_MS)


def removed(journal: Journal) -> int:
    """Remove all that may be; return how many events were."""
    with journal.database.write() as connection:
        ids, _ = retention.old_page(connection, BEFORE_MS, 0, full_only=False)
        return retention.remove(connection, ids, BEFORE_MS)


def test_emptying_leaves_the_rows_and_nothing_of_a_person(journal: Journal) -> None:
    """What happened can still be told: states, codes, times and numbers stay."""
    finished(journal)
    assert emptied(journal) == 1

    (event,), (delivery,), (attempt,) = events_of(journal), rows_of(journal), tries_of(journal)
    assert (event["emptied_ms"], event["state"]) == (LATER_MS, "processed")
    assert (delivery["payload"], delivery["reason"], delivery["state"]) == (None, None, "delivered")
    assert (attempt["detail"], attempt["excerpt"], attempt["status"], attempt["duration_ms"]) == (None, None, 200, 5)
    assert "Ana" not in json.dumps([event, delivery, attempt])
    assert emptied(journal) == 0


def test_how_a_charge_stood_stays_for_reconciling(journal: Journal) -> None:
    """Its status and what was refunded, by numbers only."""
    refunds = [{"status": "DONE", "value": 5.5, "description": "Ana"}, 1]
    charge = payment("cus_1", status="RECEIVED", deleted=False, refunds=refunds)
    ids = keep(journal, incoming(body=json.dumps(envelope(payment=charge))), incoming(body="[]"), incoming(entity=""))
    with journal.database.write() as connection:
        events.mark_processed(connection, ids, NOW_MS)
    assert emptied(journal) == 3

    bodies = [json.loads(event["body"]) for event in events_of(journal)]
    assert bodies[0] == {
        "payment": {"status": "RECEIVED", "deleted": False, "refunds": [{"status": "DONE", "value": 5.5}]}
    }
    assert bodies[1:] == [{}, {}]


@pytest.mark.parametrize("state", [s for s in DeliveryState if s.value in {"pending", "sending", "retrying"}])
def test_nothing_unfinished_is_touched(journal: Journal, state: DeliveryState) -> None:
    """However old it is; nor what ended only lately, nor an event that waits or whose deal is to be looked for."""
    put_in_state(journal, owe(journal, customer="cus_open"), state)
    put_in_state(journal, finished(journal, "cus_late"), DeliveryState.DELIVERED, finished_ms=BEFORE_MS)
    put_in_state(journal, finished(journal, "cus_look"), DeliveryState.DELIVERED, read_back="asked")
    keep(journal, incoming("cus_waits"))
    before = events_of(journal), rows_of(journal)

    assert (emptied(journal), removed(journal)) == (0, 0)
    assert (events_of(journal), rows_of(journal)) == before


def test_what_is_young_is_left(journal: Journal) -> None:
    """The page ends where the young ones begin."""
    ids = keep(journal, incoming(), incoming(received_ms=BEFORE_MS))
    with journal.database.write() as connection:
        events.mark_processed(connection, ids, NOW_MS)
        assert retention.old_page(connection, BEFORE_MS, 0, full_only=True)[0] == ids[:1]
        assert retention.old_page(connection, BEFORE_MS, 0, full_only=True, limit=1) == (ids[:1], ids[0])
        assert retention.old_page(connection, BEFORE_MS, ids[0], full_only=True) == ([], None)


def test_what_is_emptied_says_so_when_a_person_wants_it_again(journal: Journal) -> None:
    """Replay and retry are refused in words; a discard of what is dead goes on."""
    dead = finished(journal)
    put_in_state(journal, dead, DeliveryState.DEAD)
    event_id = rows_of(journal)[0]["event_id"]
    emptied(journal)

    with pytest.raises(BodyEmptied, match=f"the body of event {event_id} was emptied after BRIDGE_RETENTION_DAYS"):
        actions.replay(journal, event_id, None, LATER_MS)
    with pytest.raises(BodyEmptied):
        actions.retry(journal, dead, LATER_MS)
    assert actions.discard(journal, dead, LATER_MS) is DeliveryState.DEAD


def test_removing_takes_an_event_with_all_that_was_made_of_it(journal: Journal) -> None:
    """What was counted by the hour stays counted."""
    finished(journal, "cus_1")
    emptied(journal)
    with journal.database.read() as connection:
        before = statistics.last_24_hours(connection, LATER_MS)
    assert removed(journal) == 1
    assert removed(journal) == 0

    assert (events_of(journal), rows_of(journal), tries_of(journal)) == ([], [], [])
    with journal.database.read() as connection:
        assert statistics.last_24_hours(connection, LATER_MS) == before


def test_the_one_delivery_of_a_plan_is_remembered(journal: Journal) -> None:
    """Its next instalment may come years later, and must not be sent as a new plan."""
    finished(journal, "cus_plan", once_key="ins_1")
    put_in_state(journal, finished(journal, "cus_not", once_key="ins_2"), DeliveryState.FILTERED)
    emptied(journal)

    assert removed(journal) == 1
    with journal.database.read() as connection:
        assert deliveries.plans_taken(connection, [("paga", "ins_1"), ("paga", "ins_2")], [0]) == {("paga", "ins_1")}


def test_a_body_that_was_emptied_by_hand_is_no_fault(journal: Journal) -> None:
    """Whatever text stands there."""
    (event_id,) = keep(journal, incoming())
    with journal.database.write() as connection:
        events.mark_processed(connection, [event_id], NOW_MS)
        connection.execute(update(event_table).values(body="no JSON"))

    assert emptied(journal) == 1
    assert events_of(journal)[0]["body"] == "{}"


def test_a_customer_goes_with_the_last_full_event(journal: Journal) -> None:
    """Name and contact data stay while one event of the customer is full, also where Asaas had no such customer."""
    finished(journal)
    (later,) = keep(journal, incoming("cus_1", object_id="pay_2", received_ms=LATER_MS))

    def known() -> list[str]:
        with journal.database.read() as connection:
            return list(connection.scalars(select(customer_table.c.id).order_by(customer_table.c.id)))

    finished(journal, "cus_2")
    with journal.database.write() as connection:
        found = search.customer_found("default", "cus_1", {"name": "Ana"})
        customers.record(connection, [found], [("default", "cus_2")], NOW_MS)
    assert known() == ["cus_1", "cus_2"]
    assert emptied(journal) == 2
    assert known() == ["cus_1"]
    with journal.database.write() as connection:
        events.mark_processed(connection, [later], NOW_MS)
    with journal.database.write() as connection:
        assert retention.remove(connection, [later], LATER_MS + 1) == 1
    assert known() == []
