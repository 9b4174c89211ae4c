"""What the bridge works out of a charge, on bodies that Asaas sent or documents."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from bridge.mapping import Setup, parse_mapping
from bridge.mapping.context import DERIVED, build_context

DATA = Path(__file__).parents[2] / "data"


def body(name: str) -> dict[str, Any]:
    """Return the charge of a posted body."""
    charge: dict[str, Any] = json.loads((DATA / "asaas" / f"{name}.json").read_text())["payment"]
    return charge


def plan() -> dict[str, Any]:
    """Return a plan of three as the API gave it."""
    path = DATA / "specs" / "recorded" / "api_installment.credit_card.3x.sandbox.2026-07.json"
    found: dict[str, Any] = json.loads(path.read_text())
    return found


def worked_out(name: str, charge: dict[str, Any], entity: str = "payment", **fetched: Any) -> Any:
    """Return one derived value."""
    return build_context("X", entity, {entity: charge}, "default", "sandbox", fetched, today="2026-11-22")[name]


def test_net_of_splits_takes_fixed_and_percentual_shares_off_the_net_value() -> None:
    """The documented body: 94.51 less 20 less 10 % of 94.51."""
    assert worked_out("net_of_splits", body("docs_payment_received.credit_card.full")) == 65.06


@pytest.mark.parametrize(
    ("split", "net"),
    [
        (None, 100.0),
        ([], 100.0),
        ([{"percentualValue": 20, "status": "PENDING"}], 80.0),
        ([{"fixedValue": 5, "percentualValue": 10, "totalValue": None}], 85.0),
        ([{"percentualValue": 20, "fixedValue": None, "totalValue": 19.99}], 80.01),
        ([{"fixedValue": 30, "status": "CANCELLED"}, {"fixedValue": 30, "status": "REFUNDED"}], 100.0),
        ([{"totalFixedValue": 12.5}, "odd"], 87.5),
        ([{"fixedValue": "30"}], None),
        ([{"fixedValue": True}], None),
    ],
)
def test_net_of_splits_knows_each_form_of_a_share(split: Any, net: float | None) -> None:
    """What was called off is not taken off."""
    assert worked_out("net_of_splits", {"netValue": 100, "split": split}) == net


def test_the_share_of_a_whole_plan_is_not_guessed() -> None:
    """How much of it one instalment bears is not said."""
    charge = {"netValue": 100, "installment": "x", "split": [{"totalFixedValue": 30}]}

    assert worked_out("net_of_splits", charge) is None


@pytest.mark.parametrize(
    ("charge", "total"),
    [
        ({"status": "RECEIVED", "refunds": [{"status": "DONE", "value": 0.1}, {"status": "DONE", "value": 0.2}]}, 0.3),
        ({"status": "RECEIVED", "refunds": [{"status": "CANCELLED", "value": 5}]}, 0.0),
        ({"status": "RECEIVED", "refunds": None}, 0.0),
        ({"status": "REFUNDED", "refunds": None, "value": 50}, 50.0),
        ({"status": "REFUNDED", "refunds": [{"status": "DONE", "value": 50}], "value": 50}, 50.0),
        ({"status": "REFUNDED", "value": None}, None),
        ({"status": "RECEIVED"}, None),
    ],
)
def test_refunded_total_sums_the_parts_that_were_given_back(charge: dict[str, Any], total: float | None) -> None:
    """A whole refund without parts is the charge's value."""
    assert worked_out("refunded_total", charge) == total


def test_a_plan_gives_its_total_and_the_position() -> None:
    """The first instalment of a recorded sale, with a recorded plan."""
    charge = body("webhook_payment_confirmed.credit_card.installment1of2.sandbox.2025-11")

    assert worked_out("plan_total", charge, installment=plan()) == 300.0
    assert worked_out("installment_position", charge, installment=plan()) == "1/3"
    assert worked_out("installment_position", charge) is None
    assert worked_out("plan_total", charge, installment=None) is None


@pytest.mark.parametrize(
    ("charge", "days"),
    [
        ({"dueDate": "2026-11-20"}, 2),
        ({"dueDate": "2026-11-22"}, 0),
        ({"dueDate": "2026-12-01"}, 0),
        ({"dueDate": "2026-11-01", "clientPaymentDate": "2026-11-04", "paymentDate": "2026-11-05"}, 3),
        ({"dueDate": "2026-11-01", "paymentDate": "2026-11-05"}, 4),
        ({"dueDate": None}, None),
        ({}, None),
    ],
)
def test_days_overdue_end_with_the_payment(charge: dict[str, Any], days: int | None) -> None:
    """A charge in time has none."""
    assert worked_out("days_overdue", charge) == days


def test_other_events_have_none_of_it() -> None:
    """A transfer has a net value too, and no splits."""
    found = build_context("X", "transfer", {"transfer": {"netValue": 1}}, "default", "sandbox", {}, today="2026-11-22")

    assert [found[name] for name in DERIVED] == [None] * len(DERIVED)


def test_a_mapping_that_names_one_fetches_the_plan() -> None:
    """Lint knows the names, and the worker fetches what they need."""
    text = (
        "events: [PAYMENT_RECEIVED]\n"
        "contact: {email: \"'a@example.com'\"}\n"
        "deal: {parcela: installment_position, liquido: money(net_of_splits)}\n"
    )
    read = parse_mapping(text, "x.yaml", Setup(None, None, None))

    assert [finding for finding in read.findings if finding.code.startswith("path")] == []
    assert read.mapping is not None
    assert read.mapping.field_needs == {"installment"}


def test_samples_show_the_derived_values() -> None:
    """The samples beside the mappings hold a charge with splits and the plan of a charge in two parts."""
    samples = Path(__file__).parents[3] / "mappings" / "samples"
    split = json.loads((samples / "payment_received_split.json").read_text())["payment"]
    first = json.loads((samples / "payment_confirmed_card_installment_1of2.json").read_text())["payment"]
    of_two = json.loads((samples / "installment_2x.json").read_text())

    assert worked_out("net_of_splits", split) == 68.21
    assert first["installment"] == of_two["id"]
    assert worked_out("installment_position", first, installment=of_two) == "1/2"
    assert worked_out("plan_total", first, installment=of_two) == 2504.14
