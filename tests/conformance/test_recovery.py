"""What a person repairs with, on both databases: retry, discard, replay, pause and resume."""

from __future__ import annotations

import threading
from typing import Any

import pytest

from bridge.errors import IllegalTransition, NotFound
from bridge.journal import Journal, deliveries, destinations, events
from bridge.journal.deliveries import Deferral, StateChange
from bridge.messages import read_message
from bridge.model import DeliveryState, Waiting, lane_of
from bridge.operations import actions
from tests.factories import (
    NOW_MS,
    acquire,
    begin,
    events_of,
    incoming,
    keep,
    owe,
    owed,
    put_in_state,
    register,
    row_of,
    transaction_of_one,
    tries_of,
)


def processed(journal: Journal, *ids: int) -> None:
    """Mark these events as processed."""
    with journal.database.write() as connection:
        events.mark_processed(connection, list(ids), NOW_MS)


def the_event(journal: Journal, event_id: int) -> dict[str, Any]:
    """Return one event's row."""
    return next(row for row in events_of(journal) if row["id"] == event_id)


def test_retry_makes_a_waiting_delivery_due_now(journal: Journal) -> None:
    """A delivery that waits for its next try is due at once; its attempts stay counted."""
    delivery_id = owe(journal)
    put_in_state(
        journal, delivery_id, DeliveryState.RETRYING, due_ms=NOW_MS + 9_000, waiting=Waiting.BACKOFF.value, attempts=3
    )

    assert actions.retry(journal, delivery_id, NOW_MS + 5) is DeliveryState.RETRYING
    row = row_of(journal, delivery_id)
    assert (row["state"], row["due_ms"], row["waiting"], row["attempts"]) == ("retrying", NOW_MS + 5, None, 3)


def test_retry_does_not_let_a_delivery_pass_an_earlier_one(journal: Journal) -> None:
    """What stands behind another in its line stays there."""
    first, second = owe(journal), owe(journal)
    actions.retry(journal, second, NOW_MS + 5)

    assert row_of(journal, second)["due_ms"] is None
    assert row_of(journal, first)["due_ms"] == NOW_MS


def test_a_retried_dead_delivery_has_all_its_tries_again(journal: Journal) -> None:
    """The attempts before a person's retry stay in the journal but no longer count to the limit."""
    delivery_id = owe(journal)
    put_in_state(
        journal, delivery_id, DeliveryState.DEAD, due_ms=None, attempts=16, finished_ms=NOW_MS, reason_code="x"
    )

    assert actions.retry(journal, delivery_id, NOW_MS + 5) is DeliveryState.DEAD
    row = row_of(journal, delivery_id)
    assert (row["state"], row["due_ms"], row["finished_ms"], row["reason_code"]) == ("pending", NOW_MS + 5, None, None)
    assert (row["attempts"], row["forgiven"]) == (16, 16)


def test_a_stale_delivery_with_attempts_can_be_retried_and_sent(journal: Journal) -> None:
    """Its next attempt gets the next number: a number that exists already would stop the whole lane."""
    delivery_id = owe(journal)
    with journal.database.write() as connection:
        begin(connection, [owed(journal, delivery_id)], 1, NOW_MS)
        deliveries.move(
            connection,
            [(StateChange(owed(journal, delivery_id), DeliveryState.RETRYING, NOW_MS, NOW_MS), DeliveryState.SENDING)],
        )
    with journal.database.write() as connection:
        deliveries.move(
            connection, [(StateChange(owed(journal, delivery_id), DeliveryState.STALE, NOW_MS), DeliveryState.RETRYING)]
        )
    actions.retry(journal, delivery_id, NOW_MS + 5)
    with journal.database.write() as connection:
        begin(connection, [owed(journal, delivery_id)], 1, NOW_MS)

    assert [attempt["number"] for attempt in tries_of(journal)] == [1, 2]
    assert not owed(journal, delivery_id).skip_stale, "a person said that it shall be sent although it is stale"


@pytest.mark.parametrize(
    "state", [DeliveryState.SENDING, DeliveryState.DELIVERED, DeliveryState.FILTERED, DeliveryState.DISCARDED]
)
def test_retry_is_refused_where_there_is_nothing_to_send_again(journal: Journal, state: DeliveryState) -> None:
    """The refusal says which command does what the person may want."""
    delivery_id = owe(journal)
    put_in_state(journal, delivery_id, state)

    mend = "check again in a moment" if state is DeliveryState.SENDING else "bridge events replay"
    with pytest.raises(IllegalTransition, match=mend):
        actions.retry(journal, delivery_id, NOW_MS)
    assert row_of(journal, delivery_id)["state"] == state.value


def test_retry_is_refused_where_no_payload_was_made(journal: Journal) -> None:
    """A delivery that died before it had a payload needs a replay."""
    delivery_id = owe(journal, state=DeliveryState.DEAD, payload=None)

    with pytest.raises(IllegalTransition, match="bridge events replay"):
        actions.retry(journal, delivery_id, NOW_MS)


def test_discard_frees_the_line(journal: Journal) -> None:
    """The next delivery of the line is due at once."""
    first, second = owe(journal), owe(journal)

    assert actions.discard(journal, first, NOW_MS + 5) is DeliveryState.PENDING
    row = row_of(journal, first)
    assert (row["state"], row["reason_code"], row["finished_ms"]) == ("discarded", "delivery.discarded", NOW_MS + 5)
    assert row_of(journal, second)["due_ms"] == NOW_MS + 5


def test_discard_of_a_dead_delivery_changes_only_that(journal: Journal) -> None:
    """A dead delivery has freed its line long before."""
    dead, waiting = owe(journal, state=DeliveryState.DEAD), owe(journal)
    actions.discard(journal, dead, NOW_MS + 5)

    assert row_of(journal, dead)["state"] == "discarded"
    assert row_of(journal, waiting)["due_ms"] == NOW_MS


def test_discard_is_refused_for_what_was_sent(journal: Journal) -> None:
    """What was delivered, or is on its way, can't be made unsent."""
    for state in (DeliveryState.SENDING, DeliveryState.DELIVERED, DeliveryState.STALE):
        delivery_id = owe(journal, customer=state.value)
        put_in_state(journal, delivery_id, state)
        with pytest.raises(IllegalTransition, match=f"is {state} and can't be discarded"):
            actions.discard(journal, delivery_id, NOW_MS)


@pytest.mark.parametrize("command", [actions.retry, actions.discard])
def test_a_delivery_that_is_not_there_is_not_found(journal: Journal, command: Any) -> None:
    """The error names the number and where to look."""
    with pytest.raises(NotFound, match=r"no delivery has the number 7; see: bridge deliveries list"):
        command(journal, 7, NOW_MS)


def test_a_replay_sends_the_event_back_to_its_lane(journal: Journal) -> None:
    """The event is due now under the next number, for all mappings or for one."""
    (event_id,) = keep(journal, incoming())
    processed(journal, event_id)

    assert actions.replay(journal, event_id, None, NOW_MS + 5) == 1
    row = the_event(journal, event_id)
    assert (row["state"], row["due_ms"], row["replay"], row["replay_mapping"]) == ("received", NOW_MS + 5, 1, None)
    assert journal.lanes.due(NOW_MS + 5) == [lane_of("default", "cus_1", journal.lane_count)]
    processed(journal, event_id)
    assert actions.replay(journal, event_id, "paga", NOW_MS + 6) == 2
    assert the_event(journal, event_id)["replay_mapping"] == "paga"


def test_a_replay_of_one_mapping_does_not_take_the_event_from_the_others(journal: Journal) -> None:
    """An event that no mapping has seen yet must still reach all of them; it goes through today's anyway."""
    (event_id,) = keep(journal, incoming())
    with pytest.raises(IllegalTransition, match="is not processed yet"):
        actions.replay(journal, event_id, "paga", NOW_MS + 5)

    row = the_event(journal, event_id)
    assert (row["state"], row["replay"], row["replay_mapping"]) == ("received", 0, None)


def test_a_second_replay_does_not_replace_one_that_waits(journal: Journal) -> None:
    """Asked for one mapping and then for another, the first is not lost: the second is told to come again."""
    (event_id,) = keep(journal, incoming())
    processed(journal, event_id)
    actions.replay(journal, event_id, "paga", NOW_MS)
    with pytest.raises(IllegalTransition, match="is not processed yet"):
        actions.replay(journal, event_id, "criada", NOW_MS)

    assert the_event(journal, event_id)["replay_mapping"] == "paga"


@pytest.mark.parametrize("mapping", [None, "paga"])
def test_a_replay_discards_the_deliveries_that_were_dead_before_it(journal: Journal, mapping: str | None) -> None:
    """Of the mapping that is replayed only, and none that the replay itself made, which may be dead by then."""
    (event_id,) = keep(journal, incoming())
    processed(journal, event_id)
    old = owe(journal, event_id=event_id, state=DeliveryState.DEAD)
    other = owe(journal, event_id=event_id, mapping="outra", state=DeliveryState.DEAD)
    delivered = owe(journal, event_id=event_id, mapping="terceira", state=DeliveryState.DELIVERED)
    actions.replay(journal, event_id, mapping, NOW_MS + 5)
    new = owe(journal, event_id=event_id, replay=1, state=DeliveryState.DEAD)

    states = {id_: row_of(journal, id_)["state"] for id_ in (old, other, delivered, new)}
    assert states == {
        old: "discarded",
        other: "dead" if mapping else "discarded",
        delivered: "delivered",
        new: "dead",
    }


def test_a_bulk_replay_that_is_killed_left_the_dead_delivery_to_be_replayed_again(journal: Journal) -> None:
    """A replay in place of a dead delivery puts it aside in the same commit: there is no moment between the two."""
    register(journal)
    dead, delivered = owe(journal), owe(journal, mapping="criada")
    put_in_state(journal, dead, DeliveryState.DEAD, due_ms=None)
    put_in_state(journal, delivered, DeliveryState.DELIVERED, due_ms=None)

    assert actions.replay(journal, row_of(journal, dead)["event_id"], "paga", NOW_MS, instead_of=dead) == 1
    assert row_of(journal, dead)["state"] == "discarded"
    event_id = row_of(journal, delivered)["event_id"]
    with pytest.raises(IllegalTransition, match="can't be discarded"):
        actions.replay(journal, event_id, "criada", NOW_MS, instead_of=delivered)
    assert the_event(journal, event_id)["replay"] == 0


def test_an_event_that_is_not_there_is_not_found(journal: Journal) -> None:
    """The error names the number and where to look."""
    with pytest.raises(NotFound, match=r"no event has the number 7; see: bridge events list"):
        actions.replay(journal, 7, None, NOW_MS)


def test_pause_and_resume_of_a_destination(journal: Journal) -> None:
    """Paused work waits with its reason; a resume makes it due at once and forgets what the circuit knew."""
    register(journal)
    waiting, other = owe(journal), owe(journal, customer="cus_2")
    actions.pause(journal, "default", "by hand", NOW_MS)
    actions.pause(journal, "default", "again", NOW_MS + 1)
    with journal.database.write() as connection:
        paused = Deferral(owed(journal, waiting), NOW_MS + 9_000, Waiting.PAUSED, "code", "reason")
        failing = Deferral(owed(journal, other), NOW_MS + 9_000, Waiting.CIRCUIT, "code", "reason")
        deliveries.defer(connection, [paused, failing])
        before = destinations.load(connection)["default"]
    assert (before.paused_ms, str(read_message(before.paused_reason))) == (NOW_MS, "by hand")

    assert actions.resume(journal, "default", NOW_MS + 5) == (2, False)
    for id_ in (waiting, other):
        assert (row_of(journal, id_)["due_ms"], row_of(journal, id_)["waiting"]) == (NOW_MS + 5, None)
    with journal.database.read() as connection:
        assert destinations.load(connection)["default"].paused_ms is None


def test_a_resumed_delivery_has_all_its_tries_again(journal: Journal) -> None:
    """Tries that a removed integration answered with 404 were not the payload's fault: the limit counts anew."""
    register(journal)
    delivery_id = owe(journal)
    put_in_state(journal, delivery_id, DeliveryState.RETRYING, attempts=16, waiting=Waiting.PAUSED.value)
    actions.resume(journal, "default", NOW_MS)

    assert row_of(journal, delivery_id)["forgiven"] == 16


def test_a_destination_that_is_not_there_is_not_found(journal: Journal) -> None:
    """The error names the destination and where to look."""
    with pytest.raises(NotFound, match=r"no destination is named 'crm'; see: bridge destinations list"):
        actions.pause(journal, "crm", "why", NOW_MS)
    with pytest.raises(NotFound, match=r"no destination is named 'crm'; see: bridge destinations list"):
        actions.resume(journal, "crm", NOW_MS)


def test_a_command_waits_for_the_worker_in_the_same_lane(journal: Journal) -> None:
    """A discard that comes while the worker claims the delivery sees it as sending and is refused."""
    delivery_id = owe(journal)
    lease = acquire(journal.lanes, lane_of("default", "cus_1", journal.lane_count), "worker", NOW_MS)
    assert lease is not None
    said: list[str] = []

    def discard() -> None:
        try:
            actions.discard(journal, delivery_id, NOW_MS)
        except IllegalTransition as error:
            said.append(str(error))

    thread = threading.Thread(target=discard)
    claimed = owed(journal, delivery_id)
    with transaction_of_one(journal.lanes, lease, NOW_MS) as connection:
        thread.start()
        thread.join(0.2)
        begin(connection, [claimed], lease.fence, NOW_MS)
    thread.join()

    assert said == [f"delivery {delivery_id} is sending and can't be discarded"]
    assert row_of(journal, delivery_id)["state"] == "sending"
