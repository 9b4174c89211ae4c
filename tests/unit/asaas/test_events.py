"""The catalogue of names against the published list."""

from __future__ import annotations

from pathlib import Path

import pytest

from bridge.mapping.asaas_events import ENTITY_OF_FAMILY, EVENTS, flow_rank
from bridge.mapping.asaas_labels import BILLING_TYPE_LABELS, STATUS_LABELS, label_of

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


def test_no_word_has_two_meanings() -> None:
    """A status and a billing type never share a word, so one function can name both."""
    assert not set(STATUS_LABELS) & set(BILLING_TYPE_LABELS)
    assert not set(EVENTS) & (set(STATUS_LABELS) | set(BILLING_TYPE_LABELS))
