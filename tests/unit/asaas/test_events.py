"""The catalogue of names against the published list."""

from __future__ import annotations

from pathlib import Path

import pytest

from bridge.mapping.catalogue import ENTITY_OF_FAMILY, EVENTS, LABELS, TABLES, flow_rank, label_of
from bridge.mapping.lint import VALUES

NAMES = (Path(__file__).parents[2] / "data" / "asaas" / "webhook_event_names.txt").read_text().split()


def test_the_catalogue_has_exactly_the_published_names() -> None:
    """The 111 names of the webhook configuration and PAYMENT_SPLIT_DONE are known, and no other."""
    assert len(NAMES) == 112
    assert sorted(NAMES) == sorted(EVENTS)


def test_every_event_has_its_family_entity_and_label() -> None:
    """A name begins with its family, and the family tells the entity."""
    for name, event in EVENTS.items():
        assert name == event.name
        assert name.startswith(f"{event.family}_")
        assert event.entity == ENTITY_OF_FAMILY[event.family]
        assert event.label == event.label.strip() != ""


def test_labels_tell_events_apart() -> None:
    """No two events read the same to a person."""
    labels = [event.label for event in EVENTS.values()]

    assert sorted(labels) == sorted(set(labels))


@pytest.mark.parametrize(
    "flow",
    [
        "CREATED CONFIRMED RECEIVED",
        "CREATED OVERDUE CONFIRMED RECEIVED",
        "CREATED OVERDUE RECEIVED REFUNDED",
        "CREATED AWAITING_RISK_ANALYSIS APPROVED_BY_RISK_ANALYSIS CONFIRMED RECEIVED",
        "CREATED AUTHORIZED CONFIRMED RECEIVED REFUND_IN_PROGRESS REFUNDED",
        "CREATED CONFIRMED CHARGEBACK_REQUESTED CHARGEBACK_DISPUTE AWAITING_CHARGEBACK_REVERSAL REFUNDED",
        "OVERDUE DUNNING_REQUESTED DUNNING_RECEIVED",
        "RECEIVED PARTIALLY_REFUNDED REFUNDED",
    ],
)
def test_ranks_follow_the_documented_flows(flow: str) -> None:
    """In each documented flow every event stands after the one before it."""
    ranks = [flow_rank(f"PAYMENT_{step}") for step in flow.split()]

    assert ranks == sorted(set(ranks))
    assert ranks[0] > 0


@pytest.mark.parametrize("name", ["PAYMENT_UPDATED", "PAYMENT_DELETED", "TRANSFER_DONE", "NUNCA_VISTO"])
def test_an_event_outside_the_flows_has_no_rank(name: str) -> None:
    """No documented flow names it, so it says nothing about the order."""
    assert flow_rank(name) == 0


@pytest.mark.parametrize(
    ("word", "label"),
    [
        ("PAYMENT_OVERDUE", "Cobrança vencida"),
        ("RECEIVED", "Recebida"),
        ("CREDIT_CARD", "Cartão de crédito"),
        ("NUNCA_VISTO", None),
    ],
)
def test_words_of_asaas_have_portuguese_names(word: str, label: str | None) -> None:
    """Events, statuses and billing types are named; an unknown word is not."""
    assert label_of(word) == label


@pytest.mark.parametrize("path", sorted(VALUES.keys() - {"environment"}))
def test_every_documented_value_has_a_portuguese_name(path: str) -> None:
    """Statuses, chargeback reasons, cycles and whatever lint learns next."""
    assert [word for word in VALUES[path] if label_of(word) is None] == []


def test_chargeback_reasons_are_those_that_asaas_documents() -> None:
    """All 32, and lint knows the same."""
    labels = TABLES["labels"]["chargeback_reason"]

    assert len(labels) == 32
    assert set(VALUES["payment.chargeback.reason"]) == set(labels)


@pytest.mark.parametrize(
    "reason",
    [
        *("PAYMENT_DELETED", "PAYMENT_OVERDUE", "PAYMENT_RECEIVED_IN_CASH", "PAYMENT_REFUNDED"),
        *("VALUE_DIVERGENCE_BLOCK", "WALLET_UNABLE_TO_RECEIVE"),
        *("EXTERNAL_AUTHORIZATION_REFUSED", "PAYMENT_SPLIT_VALIDATION_FAILED"),
    ],
)
def test_cancellation_reason_of_a_split_has_a_portuguese_name(reason: str) -> None:
    """Asaas adds some without naming them, so lint holds no list of them."""
    assert label_of(reason)


def test_no_word_has_two_meanings() -> None:
    """No two tables share a word, so one function can name all; `PAYMENT_DELETED` the reason is the event's."""
    tables = [EVENTS, *LABELS]
    words = [word for table in tables for word in table]

    assert sorted({word for word in words if words.count(word) > 1}) == []
