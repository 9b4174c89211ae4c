"""What expressions see, and which objects an event points to."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import pytest

from bridge.mapping.context import build_context, references
from bridge.mapping.values import brasilia_day


def context_of(entity: str, value: dict[str, Any], **fetched: Any) -> dict[str, Any]:
    """Return the context of an event about this object."""
    return build_context(
        "X", entity, {"id": "evt_1", entity: value}, "matriz", "production", fetched, today="2026-11-22"
    )


def test_context_holds_the_event_and_what_the_bridge_knows() -> None:
    """The names of the language and nothing else."""
    assert context_of("payment", {"value": 10, "netValue": 8.01}, customer={"id": "cus_1"}) == {
        "event": "X",
        "account": "matriz",
        "environment": "production",
        "today": "2026-11-22",
        "fee": 1.99,
        "net_of_splits": 8.01,
        "refunded_total": None,
        "plan_total": None,
        "installment_position": None,
        "days_overdue": None,
        "envelope": {"id": "evt_1", "payment": {"value": 10, "netValue": 8.01}},
        "payment": {"value": 10, "netValue": 8.01},
        "customer": {"id": "cus_1"},
    }


@pytest.mark.parametrize(
    "names", [("paymentInstruction", "instruction"), ("balance", "balanceData")], ids=lambda names: names[0]
)
def test_object_with_two_names_is_seen_under_both(names: tuple[str, str]) -> None:
    """Asaas's documents have two; a mapping may write either, whichever comes."""
    for sent in names:
        context = context_of(sent, {"id": "x"})
        assert [context[name] for name in names] == [{"id": "x"}, {"id": "x"}]


def test_envelope_points_to_nothing() -> None:
    """What stands beside the object is not the object's customer."""
    envelope = {"event": "X", "customer": "cus_2", "payment": {"customer": "cus_1"}}

    assert references(build_context("X", "payment", envelope, "a", "sandbox", {})) == {"customer": "cus_1"}


def test_own_object_wins_over_a_fetched_one() -> None:
    """What Asaas said in this event is what the mapping sees."""
    assert context_of("payment", {"value": 1}, payment={"value": 2})["payment"] == {"value": 1}


@pytest.mark.parametrize("entity", ["", "event", "account", "environment", "today", "fee", "days_overdue", "envelope"])
def test_no_object_hides_a_name_of_the_bridge(entity: str) -> None:
    """An envelope with odd keys can't change what `account` means."""
    context = context_of(entity, {"x": 1})

    assert (context["event"], context["account"], context["environment"]) == ("X", "matriz", "production")
    assert "" not in context


@pytest.mark.parametrize(
    ("payment", "fee"),
    [
        ({"value": 10.0, "netValue": 8.01}, 1.99),
        ({"value": 0.3, "netValue": 0.1}, 0.2),
        ({"value": 10, "netValue": 10}, 0.0),
        ({"value": 10, "netValue": 10.01}, -0.01),
        ({"value": 5, "netValue": 7.5}, -2.5),
        ({"value": -10, "netValue": -8.01}, -1.99),
        ({"value": 0, "netValue": 0}, 0.0),
        ({"value": 1.005, "netValue": 1}, 0.01),
        ({"value": 1, "netValue": 1.005}, -0.01),
        ({"value": 1.015, "netValue": 1}, 0.02),
        ({"value": 1.004, "netValue": 1}, 0.0),
        ({"value": 1, "netValue": 1.004}, 0.0),
        ({"value": "10", "netValue": 8}, None),
        ({"value": True, "netValue": 8}, None),
        ({"value": 10, "netValue": None}, None),
        ({"value": 10}, None),
        ({"value": 1e300, "netValue": 1}, None),
        ({}, None),
    ],
)
def test_fee_is_there_only_where_both_amounts_are_numbers(payment: dict[str, Any], fee: float | None) -> None:
    """The fee is rounded to cents."""
    assert str(context_of("payment", payment)["fee"]) == str(fee)


@pytest.mark.parametrize(
    ("utc", "day"),
    [
        ("2026-11-22T01:00:00", "2026-11-21"),
        ("2026-11-22T02:59:59.999999", "2026-11-21"),
        ("2026-11-22T03:00:00", "2026-11-22"),
        ("2026-11-22T23:59:59", "2026-11-22"),
        ("2027-01-01T02:59:59", "2026-12-31"),
        ("2027-01-01T03:00:00", "2027-01-01"),
        ("2028-03-01T02:59:59", "2028-02-29"),
        ("2018-11-05T01:59:59", "2018-11-04"),  # summer time, two hours behind
        ("2018-11-05T02:00:00", "2018-11-05"),
    ],
)
def test_today_is_the_day_in_brasilia(utc: str, day: str) -> None:
    """The day ends there at three in the morning in London."""
    assert brasilia_day(datetime.fromisoformat(utc).replace(tzinfo=UTC)) == day


def test_today_is_the_day_of_now() -> None:
    """Where nobody names another."""
    assert build_context("X", "payment", {}, "a", "sandbox", {})["today"] == brasilia_day()


@pytest.mark.parametrize(
    ("context", "found"),
    [
        (
            context_of("payment", {"customer": "cus_1", "subscription": "sub_1"}),
            {"customer": "cus_1", "subscription": "sub_1"},
        ),
        (context_of("payment", {"customer": "cus_1", "installment": "i_1"}, customer=None), {"installment": "i_1"}),
        (context_of("payment", {"customer": "cus_1"}, customer={}), {}),
        (context_of("subscription", {"customer": "cus_1"}), {"customer": "cus_1"}),
        (context_of("invoice", {"customer": "cus_1", "payment": "pay_1"}), {"customer": "cus_1", "payment": "pay_1"}),
        (context_of("checkout", {"customer": None, "subscription": {"cycle": "MONTHLY"}}), {}),
        (context_of("authorization", {"customerId": "cus_1", "subscriptionId": ""}), {"customer": "cus_1"}),
        (context_of("anticipation", {"payment": "pay_1"}), {"payment": "pay_1"}),
        (context_of("anticipation", {"payment": "pay_1"}, payment={"customer": "cus_1"}), {"customer": "cus_1"}),
        (context_of("transfer", {"id": "x"}), {}),
        (context_of("payment", {"customer": {"id": "cus_1"}}), {}),
    ],
)
def test_references_are_ids_of_objects_that_are_not_there(context: dict[str, Any], found: dict[str, str]) -> None:
    """Each leads to a GET; an object that was looked for and does not exist is not looked for again."""
    assert references(context) == found
