"""The states of a delivery: each legal change of `model.TRANSITIONS` can be made, every other is refused."""

from __future__ import annotations

from itertools import product

import pytest

from bridge.errors import IllegalTransition
from bridge.journal import Journal, deliveries
from bridge.journal.deliveries import StateChange
from bridge.model import FINISHED, TRANSITIONS, DeliveryState, Outcome, Waiting
from tests.factories import NOW_MS, begin, owe, owed, put_in_state, record, row_of, rows_of, tries_of

EVERY = list(product(DeliveryState, DeliveryState))
LEGAL = [(source, to) for source, to in EVERY if to in TRANSITIONS[source]]
ILLEGAL = [pair for pair in EVERY if pair not in LEGAL]


def moved(journal: Journal, delivery_id: int, source: DeliveryState, to: DeliveryState) -> None:
    """Ask for that change."""
    step = StateChange(owed(journal, delivery_id), to, NOW_MS + 5, code="a.code", reason="a reason")
    with journal.database.write() as connection:
        deliveries.move(connection, [(step, source)])


def test_every_legal_change_is_made(journal: Journal) -> None:
    """The new state and its reason are written; a state that ends the delivery has a time, and only such a one."""
    for source, to in LEGAL:
        delivery_id = owe(journal, customer=f"{source}-{to}")
        put_in_state(journal, delivery_id, source)
        moved(journal, delivery_id, source, to)

        row = row_of(journal, delivery_id)
        assert (row["state"], row["reason_code"], row["reason"]) == (to.value, "a.code", "a reason")
        assert row["finished_ms"] == (NOW_MS + 5 if to in FINISHED else None), (source, to)


def test_every_other_change_is_refused(journal: Journal) -> None:
    """What the table does not have is an error, and nothing is written."""
    for source, to in ILLEGAL:
        delivery_id = owe(journal, customer=f"{source}-{to}")
        put_in_state(journal, delivery_id, source)
        before = row_of(journal, delivery_id)
        with pytest.raises(IllegalTransition, match=f"can't go from {source} to {to}"):
            moved(journal, delivery_id, source, to)

        assert row_of(journal, delivery_id) == before


def test_a_delivery_in_another_state_is_not_changed(journal: Journal) -> None:
    """A change that was decided on an older state is refused, whatever the state is now."""
    for source, to in LEGAL:
        for actual in set(DeliveryState) - {source}:
            delivery_id = owe(journal, customer=f"{source}-{to}-{actual}")
            put_in_state(journal, delivery_id, actual)
            with pytest.raises(IllegalTransition, match="changed its state meanwhile"):
                moved(journal, delivery_id, source, to)

            assert row_of(journal, delivery_id)["state"] == actual.value


def test_only_what_waits_can_be_started(journal: Journal) -> None:
    """An attempt begins from pending or retrying; from elsewhere nothing is written, also not for its neighbours."""
    for state in set(DeliveryState) - {DeliveryState.PENDING, DeliveryState.RETRYING}:
        fine, wrong = owe(journal, customer=f"fine-{state}"), owe(journal, customer=f"wrong-{state}")
        put_in_state(journal, wrong, state)
        pair = [owed(journal, fine), owed(journal, wrong)]
        with pytest.raises(IllegalTransition, match="1 of 2"), journal.database.write() as connection:
            begin(connection, pair, 1, NOW_MS)

        assert row_of(journal, fine)["state"] == "pending"
    assert tries_of(journal) == []


def test_a_start_counts_the_attempt_and_takes_the_due_time(journal: Journal) -> None:
    """The intent is an attempt without an outcome; the delivery is sending, and waits for nothing."""
    ids = [owe(journal, customer=f"cus_{n}") for n in range(3)]
    put_in_state(journal, ids[1], DeliveryState.RETRYING, attempts=4, waiting=Waiting.BACKOFF.value)
    with journal.database.write() as connection:
        begin(connection, [owed(journal, id_) for id_ in ids], 9, NOW_MS)
        begin(connection, [], 9, NOW_MS)

    assert [(row["state"], row["attempts"], row["due_ms"], row["waiting"]) for row in rows_of(journal)] == [
        ("sending", 1, None, None),
        ("sending", 5, None, None),
        ("sending", 1, None, None),
    ]
    assert [(a["delivery_id"], a["number"], a["fence"], a["outcome"]) for a in tries_of(journal)] == [
        (ids[0], 1, 9, None),
        (ids[1], 5, 9, None),
        (ids[2], 1, 9, None),
    ]


def test_an_outcome_is_recorded_with_its_attempt(journal: Journal) -> None:
    """What came back stands in the attempt, what follows from it in the delivery."""
    delivery_id = owe(journal)
    with journal.database.write() as connection:
        begin(connection, [owed(journal, delivery_id)], 1, NOW_MS)
    step = StateChange(
        owed(journal, delivery_id), DeliveryState.RETRYING, NOW_MS + 7, NOW_MS + 900, Waiting.BACKOFF, "c", "why"
    )
    with journal.database.write() as connection:
        record(
            connection,
            step,
            1,
            Outcome.RETRY,
            status=503,
            code="clint.http_503",
            detail="the destination answered 503",
            excerpt="sorry",
            duration_ms=6,
        )

    row, (attempt,) = row_of(journal, delivery_id), tries_of(journal)
    assert (row["state"], row["due_ms"], row["waiting"], row["reason"]) == ("retrying", NOW_MS + 900, "backoff", "why")
    expected = {
        "outcome": "retry",
        "status": 503,
        "code": "clint.http_503",
        "detail": "the destination answered 503",
        "excerpt": "sorry",
        "duration_ms": 6,
        "finished_ms": NOW_MS + 7,
    }
    assert expected.items() <= attempt.items()


def test_an_outcome_is_recorded_only_for_what_is_being_sent(journal: Journal) -> None:
    """An answer that comes for a delivery that is not in state sending is refused as a whole."""
    delivery_id = owe(journal)
    step = StateChange(owed(journal, delivery_id), DeliveryState.DELIVERED, NOW_MS)
    with pytest.raises(IllegalTransition), journal.database.write() as connection:
        record(
            connection,
            step,
            1,
            Outcome.DELIVERED,
        )

    assert row_of(journal, delivery_id)["state"] == "pending"
