"""What a clock that was ahead has left is taken away once it is right."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from bridge.asaas.limiter import Limits
from bridge.errors import AsaasQuotaSpent
from bridge.journal import Journal, events
from bridge.journal.schema import destinations as destination_table
from bridge.model import DeliveryState, Waiting, lane_of
from bridge.worker.tasks import CLOCK_SLACK_MS, ClockWatch
from tests.databases import on_both
from tests.factories import (
    LEASE_S,
    Clock,
    acquire,
    events_of,
    incoming,
    keep,
    opened_journal,
    owe,
    put_in_state,
    register,
    transaction_of_one,
)
from tests.factories import row_of as delivery_of

HOURS_S = 3 * 3600


@pytest.fixture
def journal(database_url: str) -> Iterator[Journal]:
    """Give an empty journal on each database."""
    with opened_journal(database_url) as journal:
        yield journal


class Counter:
    """Seconds that nobody sets, until a test lets them pass."""

    def __init__(self) -> None:
        self.seconds = 100.0

    def __call__(self) -> float:
        return self.seconds


@on_both
def test_a_lane_slept_for_as_long_as_the_clock_of_a_worker_that_died_was_ahead(journal: Journal) -> None:
    """A lease from a clock that was hours ahead ends once nobody has renewed it for as long as a lease lasts."""
    clock, counted = Clock(), Counter()
    keep(journal, incoming())
    lane = lane_of("default", "cus_1", journal.lane_count)
    assert acquire(journal.lanes, lane, "dead", clock() + HOURS_S * 1000)
    watch = ClockWatch(journal, LEASE_S, 3600, clock, counted)

    assert [watch.check(), journal.lanes.due(clock())] == [0, []]
    counted.seconds += LEASE_S - 1
    assert [watch.check(), journal.lanes.due(clock())] == [0, []]
    counted.seconds += 1
    assert [watch.check(), journal.lanes.due(clock())] == [1, [lane]]
    assert watch.check() == 0


def test_a_lease_whose_owner_lives_is_left_to_it(journal: Journal) -> None:
    """An owner renews its lease by the clock that is right again, so that it is not taken away."""
    clock, counted = Clock(), Counter()
    lease = acquire(journal.lanes, 3, "alive", clock() + HOURS_S * 1000)
    assert lease is not None
    watch = ClockWatch(journal, LEASE_S, 3600, clock, counted)
    assert watch.check() == 0
    with transaction_of_one(journal.lanes, lease, clock()):
        pass
    counted.seconds += LEASE_S * 2

    assert watch.check() == 0
    assert lease.until_ms == clock() + int(LEASE_S * 1000)
    assert acquire(journal.lanes, 3, "other", clock()) is None


@on_both
def test_due_times_that_no_clock_could_give_are_now(journal: Journal) -> None:
    """An event, a delivery and a probe that would be due hours later than any wait are due now; a slow pace is not."""
    clock = Clock()
    later_ms = clock() + HOURS_S * 1000
    register(journal)
    (event,) = keep(journal, incoming("cus_2", received_ms=later_ms))
    far = owe(journal)
    put_in_state(journal, far, DeliveryState.RETRYING, due_ms=later_ms)
    near = owe(journal, customer="cus_3")
    put_in_state(journal, near, DeliveryState.RETRYING, due_ms=clock() + 3_600_000)
    paced = owe(journal, customer="cus_4")
    put_in_state(journal, paced, DeliveryState.PENDING, due_ms=later_ms, waiting=Waiting.PACE.value)
    with journal.database.write() as connection:
        connection.execute(destination_table.update().values(until_ms=later_ms))

    assert ClockWatch(journal, LEASE_S, 3600, clock).check() == 3
    assert next(row["due_ms"] for row in events_of(journal) if row["id"] == event) == clock()
    dues = [delivery_of(journal, id_)["due_ms"] - clock() for id_ in (far, near, paced)]
    assert dues == [0, 3_600_000, HOURS_S * 1000]


@pytest.mark.parametrize("code", [AsaasQuotaSpent.code, "event.behind"])
def test_events_that_wait_for_the_quota_are_left_waiting(journal: Journal, code: str) -> None:
    """Asaas's quota starts anew within twelve hours; what would wait longer is due now."""
    clock = Clock()
    window_ms = int(Limits().window_s * 1000)
    quota, far = keep(journal, incoming("cus_1"), incoming("cus_2"))
    with journal.database.write() as connection:
        waits = {quota: clock() + window_ms, far: clock() + window_ms + CLOCK_SLACK_MS + 1}
        events.hold(connection, {id_: (due_ms, code, "waits") for id_, due_ms in waits.items()})

    assert ClockWatch(journal, LEASE_S, 3600, clock).check() == 1
    assert {row["id"]: row["due_ms"] for row in events_of(journal)} == {quota: waits[quota], far: clock()}
