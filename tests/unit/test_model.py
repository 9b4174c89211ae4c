"""The states a delivery may be in, the lane of a customer, the key that every POST of a delivery carries."""

from __future__ import annotations

from itertools import product

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bridge.model import FINISHED, TRANSITIONS, DeliveryState, IncomingEvent, idempotency_key, lane_of

# Said twice on purpose: a change of the table in model.py must be meant.
LEGAL = {
    ("pending", "sending"),
    ("pending", "stale"),
    ("pending", "dead"),
    ("pending", "discarded"),
    ("sending", "delivered"),
    ("sending", "retrying"),
    ("sending", "dead"),
    ("sending", "discarded"),
    ("retrying", "sending"),
    ("retrying", "stale"),
    ("retrying", "dead"),
    ("retrying", "discarded"),
    ("dead", "pending"),
    ("dead", "discarded"),
    ("stale", "pending"),
}


@pytest.mark.parametrize(("before", "after"), list(product(DeliveryState, repeat=2)))
def test_legal_transitions(before: DeliveryState, after: DeliveryState) -> None:
    """Each of the 64 pairs of states is legal or not as the list says."""
    assert (after in TRANSITIONS[before]) == ((before, after) in LEGAL)


def test_every_state_has_an_exit_or_is_finished() -> None:
    """No delivery can be stuck: what is not finished leads to a finished state."""
    reaches = set(FINISHED)
    for _ in DeliveryState:
        reaches |= {state for state in DeliveryState if TRANSITIONS[state] & reaches}

    assert reaches == set(DeliveryState)


def test_only_finished_states_free_the_line() -> None:
    """What is owed or being tried holds the customer's next delivery back."""
    assert {DeliveryState.PENDING, DeliveryState.SENDING, DeliveryState.RETRYING} == set(DeliveryState) - FINISHED


@given(st.text(), st.text(), st.integers(1, 1024))
def test_a_lane_is_one_of_the_lanes(account: str, subject: str, lanes: int) -> None:
    """Any texts, lone surrogates included, give the same lane each time, and one that exists."""
    lane = lane_of(account, subject, lanes)

    assert 0 <= lane < lanes
    assert lane == lane_of(account, subject, lanes)


def test_customers_spread_over_the_lanes() -> None:
    """A thousand customers use every one of 64 lanes, none far more than its share."""
    used = [lane_of("default", f"cus_{number:012}", 64) for number in range(1000)]

    assert len(set(used)) == 64
    assert max(used.count(lane) for lane in range(64)) < 40


def test_lanes_stay_where_they_were() -> None:
    """The lane of a customer is in the journal: a new version of the bridge must compute the same."""
    assert [lane_of("default", "cus_000005113026", 64), lane_of("matriz", "cus_000005113026", 64)] == [9, 32]


def test_account_and_subject_do_not_run_together() -> None:
    """The border between account and subject counts."""
    assert lane_of("a", "bc", 1 << 30) != lane_of("ab", "c", 1 << 30)


def test_an_idempotency_key_is_derived() -> None:
    """The same delivery gives the same key, on any machine; each part changes it."""
    key = idempotency_key("default", "evt_1&2", "cobranca_paga", 0)
    others = {
        idempotency_key("matriz", "evt_1&2", "cobranca_paga", 0),
        idempotency_key("default", "evt_1&3", "cobranca_paga", 0),
        idempotency_key("default", "evt_1&2", "cobranca_criada", 0),
        idempotency_key("default", "evt_1&2", "cobranca_paga", 1),
    }

    assert key == "2e976e5f72cf3eaec8ff95c8bbe54efd"
    assert len(others | {key}) == 5


def test_an_event_can_not_be_changed() -> None:
    """What Asaas said stays as it was said."""
    event = IncomingEvent("default", "evt_1", "PAYMENT_CREATED", "payment", "pay_1", "cus_1", "", "{}", 0)

    with pytest.raises(AttributeError):
        event.body = ""  # type: ignore[misc]
