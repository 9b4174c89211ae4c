"""Leases of lanes: one owner at a time, a fence against one that came too late, and what a new owner finds."""

from __future__ import annotations

import threading
from dataclasses import replace

import pytest
from sqlalchemy import func, select

from bridge.errors import JournalError
from bridge.journal import Journal, Lease, lanes
from bridge.journal.deliveries import StateChange
from bridge.journal.schema import events
from bridge.journal.schema import lanes as lane_table
from bridge.model import DeliveryState, Outcome, lane_of
from tests.factories import (
    LEASE_S,
    NOW_MS,
    LeaseLost,
    acquire,
    begin,
    incoming,
    keep,
    owe,
    owed,
    put_in_state,
    record,
    row_of,
    rows_of,
    transaction_of_one,
    tries_of,
)

LEASE_MS = int(LEASE_S * 1000)
LATER_MS = NOW_MS + LEASE_MS


def lease_of(journal: Journal, customer: str = "cus_1", owner: str = "one", now_ms: int = NOW_MS) -> Lease:
    """Lease the lane of that customer."""
    lease = acquire(journal.lanes, lane_of("default", customer, journal.lane_count), owner, now_ms)
    assert lease is not None
    return lease


def start(journal: Journal, lease: Lease, delivery_id: int, now_ms: int = NOW_MS) -> None:
    """Write down the intent to send, as the outbox does."""
    with transaction_of_one(journal.lanes, lease, now_ms) as connection:
        begin(connection, [owed(journal, delivery_id)], lease.fence, now_ms)


def test_a_lane_has_one_owner(journal: Journal) -> None:
    """Nobody else gets a lane before its lease ends; then anybody does, under a higher fence."""
    lease = lease_of(journal)

    assert acquire(journal.lanes, lease.lane, "two", LATER_MS - 1) is None
    taken = acquire(journal.lanes, lease.lane, "two", LATER_MS)
    assert taken == Lease(lease.lane, "two", lease.fence + 1, LATER_MS + LEASE_MS)


def test_of_many_that_want_a_lane_one_gets_it(journal: Journal) -> None:
    """Sixteen threads that ask for the same lane in the same moment get one lease in all."""
    got: list[Lease | None] = []
    ready = threading.Barrier(16)

    def ask(number: int) -> None:
        ready.wait()
        got.append(acquire(journal.lanes, 7, f"owner-{number}", NOW_MS))

    threads = [threading.Thread(target=ask, args=(number,)) for number in range(16)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    assert len(got) == 16
    assert sum(lease is not None for lease in got) == 1


def test_another_lane_is_free(journal: Journal) -> None:
    """A lease says nothing about other lanes."""
    lease = lease_of(journal)

    assert acquire(journal.lanes, (lease.lane + 1) % journal.lane_count, "two", NOW_MS) is not None


def test_holding_a_lane_renews_its_lease(journal: Journal) -> None:
    """Whoever writes under the lease keeps it for its whole length from then on."""
    lease = lease_of(journal)
    with transaction_of_one(journal.lanes, lease, LATER_MS - 1):
        pass

    assert lease.until_ms == LATER_MS - 1 + LEASE_MS
    assert acquire(journal.lanes, lease.lane, "two", LATER_MS) is None
    assert acquire(journal.lanes, lease.lane, "two", lease.until_ms) is not None


def test_a_transaction_that_fails_does_not_renew(journal: Journal) -> None:
    """What is undone leaves the lease as it was, in the journal and in the owner's hand."""
    lease = lease_of(journal)
    before = replace(lease)
    with pytest.raises(JournalError), transaction_of_one(journal.lanes, lease, LATER_MS - 1):
        raise JournalError

    assert lease == before
    assert acquire(journal.lanes, lease.lane, "two", LATER_MS) is not None


def test_an_owner_whose_lane_was_taken_over_writes_nothing(journal: Journal) -> None:
    """The fence stops an owner that slept: LeaseLost, and what it wanted to record is not there."""
    late = lease_of(journal)
    delivery_id = owe(journal)
    start(journal, late, delivery_id)
    lease_of(journal, owner="two", now_ms=LATER_MS)
    before = rows_of(journal), tries_of(journal)

    step = StateChange(owed(journal, delivery_id), DeliveryState.DELIVERED, LATER_MS)
    with pytest.raises(LeaseLost), transaction_of_one(journal.lanes, late, LATER_MS) as connection:
        record(
            connection,
            step,
            1,
            Outcome.DELIVERED,
        )
    assert (rows_of(journal), tries_of(journal)) == before


def test_an_owner_whose_lane_was_taken_over_can_not_give_it_back(journal: Journal) -> None:
    """A late release leaves the new owner's lease alone."""
    late = lease_of(journal)
    lease_of(journal, owner="two", now_ms=LATER_MS)
    journal.lanes.release_all([late])

    assert acquire(journal.lanes, late.lane, "three", LATER_MS + 1) is None


def test_a_lane_that_was_given_back_is_free_at_once(journal: Journal) -> None:
    """Release ends the lease before its time."""
    lease = lease_of(journal)
    journal.lanes.release_all([lease])

    assert acquire(journal.lanes, lease.lane, "two", NOW_MS) is not None


def test_a_take_over_makes_what_was_being_sent_due_again(journal: Journal) -> None:
    """What a dead owner left in state sending becomes retrying, due now, its attempt of unknown outcome."""
    first = lease_of(journal)
    sent, behind = owe(journal), owe(journal)
    start(journal, first, sent)
    lease_of(journal, owner="two", now_ms=LATER_MS)

    row = row_of(journal, sent)
    assert (row["state"], row["due_ms"], row["attempts"]) == ("retrying", LATER_MS, 1)
    assert row["reason_code"] == "attempt.unknown"
    assert row_of(journal, behind)["due_ms"] is None
    (attempt,) = tries_of(journal)
    assert (attempt["outcome"], attempt["finished_ms"], attempt["status"]) == ("unknown", LATER_MS, None)
    assert attempt["fence"] == first.fence


def test_a_take_over_leaves_attempts_whose_outcome_is_known(journal: Journal) -> None:
    """Only the attempt that has no outcome yet becomes unknown; earlier tries keep theirs."""
    lease = lease_of(journal)
    delivery_id = owe(journal)
    start(journal, lease, delivery_id)
    with transaction_of_one(journal.lanes, lease, NOW_MS) as connection:
        step = StateChange(owed(journal, delivery_id), DeliveryState.RETRYING, NOW_MS, due_ms=NOW_MS)
        record(connection, step, 1, Outcome.RETRY, status=503, code="x")
    start(journal, lease, delivery_id)
    lease_of(journal, owner="two", now_ms=LATER_MS)

    assert [attempt["outcome"] for attempt in tries_of(journal)] == ["retry", "unknown"]


def test_a_take_over_leaves_other_lanes_alone(journal: Journal) -> None:
    """A delivery that another lane's owner is sending right now stays in state sending."""
    busy = lease_of(journal, "cus_2")
    delivery_id = owe(journal, customer="cus_2")
    start(journal, busy, delivery_id)
    lease_of(journal, "cus_1")

    assert row_of(journal, delivery_id)["state"] == "sending"


def test_a_lane_is_due_for_a_new_event(journal: Journal) -> None:
    """A kept event makes its lane due from the moment it was received; a processed one does not."""
    keep(journal, incoming("cus_1"), incoming("cus_2", received_ms=NOW_MS + 1))

    assert journal.lanes.due(NOW_MS) == [lane_of("default", "cus_1", journal.lane_count)]
    assert len(journal.lanes.due(NOW_MS + 1)) == 2
    with journal.database.write() as connection:
        connection.execute(events.update().values(state="processed"))
    assert journal.lanes.due(NOW_MS + 1) == []


def test_a_lane_is_due_for_a_due_delivery(journal: Journal) -> None:
    """A delivery makes its lane due from its due time on."""
    delivery_id = owe(journal)
    lane = lane_of("default", "cus_1", journal.lane_count)
    put_in_state(journal, delivery_id, DeliveryState.RETRYING, due_ms=NOW_MS + 500)

    assert journal.lanes.due(NOW_MS + 499) == []
    assert journal.lanes.due(NOW_MS + 500) == [lane]
    assert (journal.lanes.due(NOW_MS + 499, [lane]), journal.lanes.due(NOW_MS + 500, [lane])) == ([], [lane])


def test_a_leased_lane_is_not_due(journal: Journal) -> None:
    """Nobody is woken for a lane that its owner is at work on; when the lease ends it is due again."""
    delivery_id = owe(journal)
    lease = lease_of(journal)

    assert journal.lanes.due(LATER_MS - 1) == []
    assert not journal.lanes.due(LATER_MS - 1, [lease.lane])
    assert journal.lanes.due(LATER_MS) == [lease.lane]
    put_in_state(journal, delivery_id, DeliveryState.DELIVERED, due_ms=None)
    assert journal.lanes.due(LATER_MS) == []


def test_a_lane_is_due_for_what_a_dead_owner_was_sending(journal: Journal) -> None:
    """A delivery left in state sending has no due time; the end of the lease makes its lane due."""
    lease = lease_of(journal)
    delivery_id = owe(journal)
    start(journal, lease, delivery_id)

    assert row_of(journal, delivery_id)["due_ms"] is None
    assert journal.lanes.due(LATER_MS - 1) == []
    assert journal.lanes.due(LATER_MS) == [lease.lane]


def test_a_lane_without_work_is_not_due(journal: Journal) -> None:
    """An empty journal, and one where everything is finished, wakes nobody."""
    assert journal.lanes.due(NOW_MS) == []
    for state in (DeliveryState.FILTERED, DeliveryState.DEAD):
        owe(journal, state=state, payload=None)
    assert journal.lanes.due(LATER_MS) == []


def test_a_persons_change_waits_for_the_owner_in_the_same_lane(journal: Journal) -> None:
    """The lane's row lock makes a command wait until the owner's transaction has ended."""
    lease = lease_of(journal)
    order: list[str] = []
    inside = threading.Event()

    def command() -> None:
        inside.wait()
        with journal.database.write() as connection:
            lanes.lock(connection, [lease.lane])
            order.append("command")

    thread = threading.Thread(target=command)
    thread.start()
    with transaction_of_one(journal.lanes, lease, NOW_MS):
        inside.set()
        thread.join(0.2)
        order.append("owner")
    thread.join()

    assert order == ["owner", "command"]


def test_a_persons_change_keeps_the_lease(journal: Journal) -> None:
    """Locking a lane for a command changes neither its fence nor its end."""
    lease = lease_of(journal)
    with journal.database.write() as connection:
        lanes.lock(connection, [lease.lane])
    with transaction_of_one(journal.lanes, lease, NOW_MS):
        pass

    assert acquire(journal.lanes, lease.lane, "two", LATER_MS - 1) is None


def test_the_number_of_lanes_is_the_journals(journal: Journal) -> None:
    """Every lane that an event can fall into has its row."""
    with journal.database.read() as connection:
        rows = connection.scalar(select(func.count()).select_from(lane_table))

    assert rows == journal.lane_count
