"""What a page says of a cause: how many, whose, worth what, and what can be done with it."""

from __future__ import annotations

from sqlalchemy import update

from bridge.journal import Journal, causes
from bridge.journal.queries import DeadFilter
from bridge.journal.schema import events
from bridge.model import DeliveryState
from tests.factories import NOW_MS, owe, put_in_state

SPENT = DeadFilter("delivery.attempts_spent", destination="default")


def dies(journal: Journal, customer: str, charge: str, payload: str | None, code: str = SPENT.code) -> int:
    """Add a failed delivery; return the number of its event."""
    delivery_id = owe(journal, customer=customer, object_id=charge, amount=1_000)
    put_in_state(journal, delivery_id, DeliveryState.DEAD, due_ms=None, reason_code=code, payload=payload)
    with journal.database.read() as connection:
        return int(connection.exec_driver_sql(f"SELECT event_id FROM deliveries WHERE id = {delivery_id}").scalar_one())


def test_what_can_be_sent_again_is_told_from_what_can_be_replayed(journal: Journal) -> None:
    """Without a payload nothing is sent again; an event that retention emptied is not replayed either."""
    dies(journal, "cus_1", "pay_1", "{}")
    dies(journal, "cus_1", "pay_2", None)
    emptied = dies(journal, "cus_2", "pay_3", None)
    with journal.database.write() as connection:
        connection.execute(update(events).where(events.c.id == emptied).values(emptied_ms=NOW_MS))

    with journal.database.read() as connection:
        facts = causes.dead_facts(connection, SPENT)

    assert (facts.number, facts.people, facts.cents) == (3, 2, 3_000)
    assert facts.retried == 1
    assert facts.replayable == {"paga": 2}


def test_a_destination_counts_what_died_of_it_once(journal: Journal) -> None:
    """A charge that waits and has a failed delivery is worth its value once; each filter has counts of its own."""
    dies(journal, "cus_1", "pay_1", "{}")
    dies(journal, "cus_2", "pay_2", "{}", "clint.removed")
    waits = owe(journal, customer="cus_1", object_id="pay_1", amount=1_000)
    put_in_state(journal, waits, DeliveryState.PENDING, waiting="paused")

    with journal.database.read() as connection:
        died = [SPENT, DeadFilter("clint.removed", destination="default"), DeadFilter("clint.url")]
        facts = causes.destination_facts(connection, "default", died)

    assert (facts.number, facts.people, facts.cents) == (3, 2, 2_000)
    assert [one.number for one in facts.died] == [1, 1, 0]
    assert len(facts.sample) == 3
