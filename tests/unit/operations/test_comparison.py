"""The verdict on one charge, from the API's body and the kept events."""

from __future__ import annotations

import json
from decimal import Decimal
from typing import Any

import pytest

from bridge.journal.queries import ChargeEvent
from bridge.model import DeliveryState
from bridge.operations.reconcile import ChargeStatus, Verdict, compare, status_of

ASKED_MS = 2_000_000


def kept(
    id_: int,
    status: str,
    *states: DeliveryState,
    created: str = "2026-11-20 10:00:00",
    waits: bool = False,
    received_ms: int = 1_000_000,
    **charge: Any,
) -> ChargeEvent:
    """Return a kept event about a charge of that status."""
    body = json.dumps({"payment": {"status": status, **charge}})
    return ChargeEvent(id_, "PAYMENT_UPDATED", created, body, received_ms, waits, states)


@pytest.mark.parametrize(
    ("charge", "standing"),
    [
        ({"status": "PENDING"}, "PENDING"),
        ({"status": "PENDING", "deleted": True}, "DELETED"),
        ({"status": "RECEIVED", "refunds": None}, "RECEIVED"),
        ({"status": "RECEIVED", "refunds": [{"status": "DONE", "value": 20}]}, "RECEIVED (20.00 refunded)"),
        (
            {"status": "CONFIRMED", "refunds": [{"status": "DONE", "value": 0.1}, {"status": "DONE", "value": 0.2}]},
            "CONFIRMED (0.30 refunded)",
        ),
        ({"status": "RECEIVED", "refunds": [{"status": "CANCELLED", "value": 20}, "x"]}, "RECEIVED"),
        ({"status": "RECEIVED", "refunds": [{"status": "DONE", "value": None}]}, "RECEIVED"),
        ({"status": "REFUNDED", "refunds": [{"status": "DONE", "value": 20}]}, "REFUNDED"),
        ({}, ""),
    ],
)
def test_standing_is_status_and_what_was_given_back(charge: dict[str, Any], standing: str) -> None:
    """A removed charge keeps its status, and a partly refunded one too."""
    assert str(status_of(charge)) == standing


def test_a_charge_without_events_is_missing() -> None:
    """Nothing is known of it."""
    assert compare({"status": "PENDING"}, [], ASKED_MS).verdict is Verdict.MISSING


def test_the_newest_event_by_asaas_time_says_what_is_known() -> None:
    """An event that arrived late does not make the journal look older than it is."""
    late = kept(2, "PENDING", created="2026-11-19 10:00:00")
    found = compare({"status": "RECEIVED"}, [kept(1, "RECEIVED"), late], ASKED_MS)

    assert found.verdict is Verdict.UNMAPPED
    assert found.newest is not None
    assert found.newest.event_id == 1


def test_another_standing_is_older() -> None:
    """The verdict carries both standings."""
    found = compare({"status": "RECEIVED"}, [kept(1, "PENDING", DeliveryState.DELIVERED)], ASKED_MS)

    assert (found.verdict, found.charge_status, found.known) == (
        Verdict.OLDER,
        ChargeStatus("RECEIVED", Decimal(0)),
        ChargeStatus("PENDING"),
    )


def test_an_event_that_came_after_the_question_knows_more() -> None:
    """The charge was paid while the page was on its way."""
    found = compare({"status": "PENDING"}, [kept(1, "RECEIVED", received_ms=ASKED_MS, waits=True)], ASKED_MS)

    assert found.verdict is Verdict.WAITING


@pytest.mark.parametrize(
    ("events", "verdict"),
    [
        ([kept(1, "PENDING", DeliveryState.DELIVERED), kept(2, "PENDING")], Verdict.DELIVERED),
        ([kept(1, "PENDING", DeliveryState.DELIVERED, DeliveryState.DEAD)], Verdict.DEAD),
        ([kept(1, "PENDING", DeliveryState.RETRYING, DeliveryState.DEAD)], Verdict.DEAD),
        ([kept(1, "PENDING", DeliveryState.DELIVERED, DeliveryState.PENDING)], Verdict.WAITING),
        ([kept(1, "PENDING", waits=True)], Verdict.WAITING),
        ([kept(1, "PENDING", DeliveryState.STALE, DeliveryState.FILTERED)], Verdict.STALE),
        ([kept(1, "PENDING", DeliveryState.DISCARDED)], Verdict.DISCARDED),
        ([kept(1, "PENDING", DeliveryState.FILTERED)], Verdict.FILTERED),
        ([kept(1, "PENDING")], Verdict.UNMAPPED),
        ([kept(1, "OVERDUE", DeliveryState.DELIVERED), kept(2, "PENDING")], Verdict.UNMAPPED),
    ],
)
def test_a_known_charge_says_what_came_of_it(events: list[ChargeEvent], verdict: Verdict) -> None:
    """Every event of the same standing counts, what wants a person first."""
    assert compare({"status": "PENDING"}, events, ASKED_MS).verdict is verdict


def test_a_body_without_a_charge_is_no_fault() -> None:
    """Whatever Asaas posts under that name, the charge is older then."""
    odd = ChargeEvent(1, "PAYMENT_CREATED", "", '{"payment": null}', 1, False, ())

    assert compare({"status": "PENDING"}, [odd], ASKED_MS).verdict is Verdict.OLDER
