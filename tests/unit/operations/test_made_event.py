"""Which event a gap makes: its name, its key and its time."""

from __future__ import annotations

import json
from datetime import datetime
from typing import Any

import pytest

from bridge.journal.queries import ChargeEvent
from bridge.mapping.catalogue import EVENTS
from bridge.mapping.values import BRASILIA
from bridge.model import Origin
from bridge.operations.backfill import NAMES, events_for_charge
from bridge.operations.reconcile import Compared, compare

ASKED_MS = int(datetime(2026, 11, 22, 15, tzinfo=BRASILIA).timestamp() * 1000)


def gap(status: str, known: str | None = None, created: str = "2026-11-20 10:00:00", **charge: Any) -> Compared:
    """Return a charge of that status of which the journal knows another one, or nothing."""
    kept = [ChargeEvent(7, "PAYMENT_UPDATED", created, json.dumps({"payment": body(known)}), 1, False, ())]
    return compare({"id": "pay_1", "customer": "cus_1", **body(status), **charge}, kept if known else [], ASKED_MS)


def body(standing: str | None) -> dict[str, Any]:
    """Return the status of a charge as its body says it."""
    return {"status": "PENDING", "deleted": True} if standing == "DELETED" else {"status": standing}


def made(compared: Compared) -> list[tuple[str, str, str]]:
    """Return name, key and time of the events that are made."""
    return [(event.name, event.key, event.created) for event in events_for_charge(compared, "default", ASKED_MS)]


def test_the_event_is_as_if_asaas_had_posted_it() -> None:
    """The whole charge in the usual envelope, marked by its origin."""
    (event,) = events_for_charge(gap("RECEIVED", paymentDate="2026-11-19", value=129.9), "matriz", ASKED_MS)

    assert (event.account, event.entity, event.object_id, event.subject) == ("matriz", "payment", "pay_1", "cus_1")
    assert event.origin is Origin.BACKFILL
    envelope = json.loads(event.body)
    assert list(envelope) == ["id", "event", "dateCreated", "payment"]
    assert envelope["payment"]["value"] == 129.9


def test_every_name_is_an_event_of_asaas() -> None:
    """Nothing is made that a mapping could not listen to."""
    assert set(NAMES.values()) <= EVENTS.keys()


@pytest.mark.parametrize(
    ("compared", "name", "key", "created"),
    [
        (gap("PENDING", dateCreated="2026-11-10"), "CREATED", "PENDING", "2026-11-10 23:59:59"),
        (gap("PENDING", dateCreated="2026-11-22"), "CREATED", "PENDING", "2026-11-22 15:00:00"),
        (gap("RECEIVED", paymentDate="2026-11-12"), "RECEIVED", "RECEIVED", "2026-11-12 23:59:59"),
        (gap("RECEIVED", clientPaymentDate="2026-11-12"), "RECEIVED", "RECEIVED", "2026-11-12 23:59:59"),
        (gap("RECEIVED_IN_CASH", paymentDate="x"), "RECEIVED", "RECEIVED_IN_CASH", "2026-11-22 15:00:00"),
        (gap("CONFIRMED", confirmedDate="2026-11-12"), "CONFIRMED", "CONFIRMED", "2026-11-12 23:59:59"),
        (gap("OVERDUE", dueDate="2026-11-12"), "OVERDUE", "OVERDUE", "2026-11-13 23:59:59"),
        (gap("OVERDUE"), "OVERDUE", "OVERDUE", "2026-11-22 15:00:00"),
        (
            gap("REFUNDED", refunds=[{"dateCreated": "2026-11-12 10:00:00"}, {"dateCreated": "2026-11-13 09:00:00"}]),
            "REFUNDED",
            "REFUNDED",
            "2026-11-13 23:59:59",
        ),
        (gap("REFUNDED", refunds=None), "REFUNDED", "REFUNDED", "2026-11-22 15:00:00"),
        (gap("CHARGEBACK_DISPUTE"), "CHARGEBACK_DISPUTE", "CHARGEBACK_DISPUTE", "2026-11-22 15:00:00"),
        (gap("DELETED"), "DELETED", "DELETED", "2026-11-22 15:00:00"),
    ],
)
def test_a_charge_that_never_came(compared: Compared, name: str, key: str, created: str) -> None:
    """The end of the day on which it came into its status, never later than the asking."""
    assert made(compared) == [(f"PAYMENT_{name}", f"backfill:pay_1:{key}", created)]


@pytest.mark.parametrize(
    ("compared", "name", "created"),
    [
        (gap("RECEIVED", "PENDING", paymentDate="2026-11-21"), "RECEIVED", "2026-11-21 23:59:59"),
        (gap("RECEIVED", "CONFIRMED", paymentDate="2026-11-19"), "RECEIVED", "2026-11-20 10:00:01"),
        (gap("RECEIVED", "CONFIRMED", "", paymentDate="2026-11-19"), "RECEIVED", "2026-11-19 23:59:59"),
        (gap("PENDING", "OVERDUE", dateCreated="2026-11-01"), "UPDATED", "2026-11-22 15:00:00"),
        (gap("PENDING", "RECEIVED_IN_CASH"), "RECEIVED_IN_CASH_UNDONE", "2026-11-22 15:00:00"),
        (gap("PENDING", "DELETED"), "RESTORED", "2026-11-22 15:00:00"),
        (gap("OVERDUE", "DELETED", dueDate="2026-11-12"), "RESTORED", "2026-11-20 10:00:01"),
        (gap("OVERDUE", "PENDING", dueDate="2026-11-20"), "OVERDUE", "2026-11-21 23:59:59"),
    ],
)
def test_a_charge_whose_last_event_never_came(compared: Compared, name: str, created: str) -> None:
    """The event is newer than the last one that was kept, and its key names that one."""
    ((got_name, key, got_created),) = made(compared)

    assert (got_name, got_created) == (f"PAYMENT_{name}", created)
    assert key == f"backfill:pay_1:{compared.charge_status.status}:after-7"


REFUNDS = [{"status": "DONE", "value": 20, "dateCreated": "2026-11-21 10:00:00"}]


def test_a_part_that_was_given_back_is_told_after_the_payment() -> None:
    """Two events where the journal knows neither, one where it knows the payment."""
    both = [(name, key) for name, key, _ in made(gap("RECEIVED", refunds=REFUNDS))]
    one = made(gap("RECEIVED", "RECEIVED", refunds=REFUNDS))

    assert both == [
        ("PAYMENT_RECEIVED", "backfill:pay_1:RECEIVED"),
        ("PAYMENT_PARTIALLY_REFUNDED", "backfill:pay_1:PARTIALLY_REFUNDED-20.00"),
    ]
    assert one == [
        ("PAYMENT_PARTIALLY_REFUNDED", "backfill:pay_1:PARTIALLY_REFUNDED-20.00:after-7", "2026-11-21 23:59:59")
    ]


def test_a_status_that_no_flow_names_makes_no_event() -> None:
    """Better nothing than a guess."""
    assert made(gap("REFUND_REQUESTED")) == []
