"""Filtering: every operator held to the tables in tests/compliance/filters, instalments, and what a verdict shows."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import yaml

from bridge.errors import FilterFailed
from bridge.mapping import Mapping, Setup, parse_mapping
from bridge.mapping.context import build_context
from bridge.mapping.evaluate import REASONS, apply_filter, once_key
from bridge.mapping.operators import OPERATORS
from bridge.messages import in_language, read_message

TABLES = Path(__file__).parents[1] / "compliance" / "filters"
ROWS = [
    pytest.param(row, id=f"{path.stem}-{index}")
    for path in sorted(TABLES.glob("*.yaml"))
    for index, row in enumerate(yaml.safe_load(path.read_text(encoding="utf-8")))
]


def mapping_with(extra: str, name: str = "m") -> Mapping:
    """Return a small mapping with these lines added."""
    text = f"events: [PAYMENT_RECEIVED]\n{extra}\ncontact: {{email: customer.email}}\n"
    read = parse_mapping(text, f"{name}.yaml", Setup(None, None, None))
    assert read.mapping is not None, [str(finding) for finding in read.findings]
    return read.mapping


def context_of(payment: dict[str, Any], event: str = "PAYMENT_RECEIVED") -> dict[str, Any]:
    """Return the context of a payment event of 2026-11-22."""
    customer = {"name": "Cliente Teste", "email": "cliente@example.com"}
    return build_context(
        event, "payment", {"payment": payment}, "default", "sandbox", {"customer": customer}, today="2026-11-22"
    )


@pytest.mark.parametrize("row", ROWS)
def test_condition_says_what_its_table_says(row: dict[str, Any]) -> None:
    """Every row of the tables holds: passes, or the reason with its code, or the whole error."""
    mapping = mapping_with(f"filter: {row['condition']}")
    context = context_of(row["payment"])

    if "error" in row:
        with pytest.raises(FilterFailed) as caught:
            apply_filter(mapping, context)
        assert str(caught.value) == row["error"]
    else:
        verdict = apply_filter(mapping, context)
        assert (verdict.passed, verdict.code, str(verdict.message)) == (
            row["passes"],
            row.get("code", ""),
            row.get("reason", ""),
        )


def test_every_operator_has_rows() -> None:
    """No operator is left out of the tables."""
    conditions = " ".join(
        row["condition"] for path in TABLES.glob("*.yaml") for row in yaml.safe_load(path.read_text(encoding="utf-8"))
    )

    assert [name for name in OPERATORS if f" {name}: " not in conditions] == []


def test_without_a_filter_every_event_passes() -> None:
    """A mapping without a filter has no conditions to show."""
    verdict = apply_filter(mapping_with(""), context_of({}))

    assert verdict.passed
    assert verdict.conditions == ()
    assert str(verdict.message) == ""


def test_verdict_shows_each_condition_looked_at_in_the_order_of_the_file() -> None:
    """Groups stand before what they hold, with depth and line; what was not needed is not there."""
    mapping = mapping_with(
        "filter:\n"
        "  all:\n"
        "    - {field: payment.value, at_least: 50}\n"
        "    - any:\n"
        "        - {field: payment.status, equals: X}\n"
        "        - {field: payment.status, equals: RECEIVED}\n"
        "        - {field: payment.status, equals: Z}\n"
        "    - not: {expression: payment.deleted}\n"
        "    - {field: payment.billingType, one_of: [PIX, BOLETO]}\n"
        "    - {field: payment.never, exists: true}\n"
    )
    verdict = apply_filter(
        mapping, context_of({"value": 60, "status": "RECEIVED", "deleted": False, "billingType": "CASH"})
    )

    assert [(seen.depth, seen.line, seen.text, seen.value, seen.passed) for seen in verdict.conditions] == [
        (0, 3, "all", None, False),
        (1, 4, "payment.value at_least 50", 60, True),
        (1, 5, "any", None, True),
        (2, 6, "payment.status equals X", "RECEIVED", False),
        (2, 7, "payment.status equals RECEIVED", "RECEIVED", True),
        (1, 9, "not", None, True),
        (2, 9, "payment.deleted", False, False),
        (1, 10, "payment.billingType one_of PIX, BOLETO", "CASH", False),
    ]


def test_reason_is_a_message() -> None:
    """A verdict carries the code and the facts of its sentence, in the reader's language."""
    verdict = apply_filter(mapping_with("filter: {field: payment.value, at_least: 50}"), context_of({"value": 10.0}))

    assert verdict.code in REASONS
    assert {name: str(fact) for name, fact in verdict.facts.items()} == {
        "field": "payment.value",
        "operator": "at_least",
        "must": "must be at least",
        "operand": "50",
        "value": "10",
    }
    with in_language("pt"):
        assert "no mínimo 50" in read_message(verdict.message.to_json()).text()


def test_today_is_brasilias_where_the_context_names_none() -> None:
    """A context without a day is compared with the day it is, so that a caller can't forget it."""
    mapping = mapping_with("filter: {field: payment.dueDate, before: today}")

    assert apply_filter(mapping, {"event": "PAYMENT_RECEIVED", "payment": {"dueDate": "2020-01-01"}}).passed


@pytest.mark.parametrize(
    ("payment", "reason"),
    [
        ({"installmentNumber": 1}, ""),
        ({"installmentNumber": None}, ""),
        ({}, ""),
        ({"installmentNumber": 2}, "instalment 2 is not the first, and the mapping takes only the first"),
    ],
)
def test_first_takes_the_first_instalment_and_single_charges(payment: dict[str, Any], reason: str) -> None:
    """`installments: first` lets through what is in no plan, and shows itself as a condition."""
    verdict = apply_filter(mapping_with("installments: first"), context_of(payment))

    assert str(verdict.message) == reason
    assert verdict.conditions[0].text == "installments: first"


def test_first_passes_events_that_carry_no_charge() -> None:
    """A transfer has no instalments."""
    context = build_context("TRANSFER_DONE", "transfer", {"transfer": {"id": "x"}}, "default", "sandbox", {})

    assert apply_filter(mapping_with("installments: first"), context).passed


def test_once_key_is_one_for_a_plan_and_event() -> None:
    """All instalments of a plan share a key, which differs by plan, event and mapping."""
    mapping = mapping_with("installments: once")
    key = once_key(mapping, context_of({"installment": "plan-1", "id": "pay_1"}))

    assert key
    assert key == once_key(mapping, context_of({"installment": "plan-1", "id": "pay_2"}))
    assert key != once_key(mapping, context_of({"installment": "plan-2"}))
    assert key != once_key(mapping, context_of({"installment": "plan-1"}, "PAYMENT_OVERDUE"))
    assert key != once_key(mapping_with("installments: once", name="other"), context_of({"installment": "plan-1"}))


@pytest.mark.parametrize(
    ("extra", "payment"),
    [
        ("installments: once", {"installment": None}),
        ("installments: once", {}),
        ("installments: once", {"installment": {"maxInstallmentCount": 2}}),
        ("", {"installment": "plan-1"}),
    ],
)
def test_once_key_is_none_outside_of_a_plan(extra: str, payment: dict[str, Any]) -> None:
    """A charge without a plan, or a mapping that takes each instalment, is never held back."""
    assert once_key(mapping_with(extra), context_of(payment)) is None


def test_once_key_is_none_for_events_without_a_charge() -> None:
    """A transfer is in no plan."""
    context = build_context("TRANSFER_DONE", "transfer", {"transfer": {"id": "x"}}, "default", "sandbox", {})

    assert once_key(mapping_with("installments: once"), context) is None
