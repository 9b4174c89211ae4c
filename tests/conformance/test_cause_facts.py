"""What a page says of a cause: how many, whose, worth what, and what can be done with it."""

from __future__ import annotations

from sqlalchemy import update

from bridge.journal import Journal, causes
from bridge.journal.causes import Cause, Kind
from bridge.journal.queries import DeadFilter
from bridge.journal.schema import deliveries, events
from bridge.model import DeliveryState
from bridge.operations.causes import facts_of
from tests.bench.history import leave_unfinished
from tests.factories import NOW_MS, begin, owe, owed, put_in_state, register

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
        asked = causes.dead_facts(connection, SPENT)
        (cause,) = causes.dead(connection)
        (facts,) = facts_of(connection, [cause])
    with journal.database.write() as connection:
        connection.execute(update(events).values(emptied_ms=NOW_MS))
        connection.execute(update(deliveries).values(payload=None))
        (none,) = facts_of(connection, [cause])

    for one in (asked, facts):
        assert (one.number, one.people, one.cents, one.mappings) == (3, 2, 3_000, {"paga": 3})
    assert (facts.can_retry, facts.replayable) == (True, ("paga",))
    assert (none.can_retry, none.replayable) == (False, ())
    assert facts.sample == asked.sample
    assert emptied in facts.sample


def test_a_destination_counts_what_died_of_it_once(journal: Journal) -> None:
    """A charge that waits and has a failed delivery is worth its value once; each filter has counts of its own."""
    dies(journal, "cus_1", "pay_1", "{}")
    dies(journal, "cus_2", "pay_2", "{}", "clint.removed")
    waits = owe(journal, customer="cus_1", object_id="pay_1", amount=1_000)
    put_in_state(journal, waits, DeliveryState.PENDING, waiting="paused")

    with journal.database.read() as connection:
        died = tuple(causes.dead(connection))
        (facts,) = facts_of(connection, [Cause(Kind.PAUSED, "destination.paused", "default", dead=died)])

    assert (facts.number, facts.people, facts.cents, facts.least) == (3, 2, 2_000, frozenset())
    assert [one.number for one in facts.died] == [1, 1]
    assert len(facts.sample) == 1


def test_of_many_deliveries_a_part_is_looked_at(journal: Journal) -> None:
    """Failed ones are all counted; the people and the worth, and how many wait, are at least so many."""
    register(journal)
    first = owe(journal, amount=1_000)
    with journal.database.write() as connection:
        begin(connection, [owed(journal, first)], 1, NOW_MS)
    put_in_state(journal, first, DeliveryState.DELIVERED, due_ms=None)
    many = causes.MOST_COUNTED + 100
    leave_unfinished(journal.database, dead=7 * many, waiting=many, held=0)

    with journal.database.read() as connection:
        died = causes.dead(connection)
        *dead, paused = facts_of(connection, [*died, Cause(Kind.PAUSED, "destination.paused", "default")])

    assert [one.number for one in dead] == [one.number for one in died]
    assert {one.least for one in dead if one.number > causes.MOST_COUNTED} == {frozenset({"people", "cents"})}
    assert {bool(one.sample) for one in dead if one.number > causes.MOST_COUNTED} == {False}
    assert sum(one.number for one in dead) == 7 * many
    assert (paused.number, paused.least) == (causes.MOST_COUNTED, frozenset({"number", "people", "cents"}))
