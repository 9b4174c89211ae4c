"""Instalment plans and subscriptions of the simulated Asaas."""

from __future__ import annotations

from typing import Any

import httpx
import pytest

from bridge.simulator.asaas.rules import Missing, Refusal, card_credit, next_due
from tests.simulated import AsaasSimulator
from tests.simulator.test_asaas_charges import CARD, TUESDAY, told


def test_captured_plan_is_created_confirmed(asaas: AsaasSimulator) -> None:
    """A card plan that is captured at once: every CREATED says CONFIRMED already, then come the CONFIRMED ones."""
    asaas.has_payment(
        asaas.has_customer(), billing_type="CREDIT_CARD", installmentCount=2, totalValue=100, creditCardToken="t"
    )

    assert told(asaas) == [("PAYMENT_CREATED", "CONFIRMED")] * 2 + [("PAYMENT_CONFIRMED", "CONFIRMED")] * 2


def test_plan_divides_its_total_and_moves_its_due_days() -> None:
    """The rest of a division is on the last instalment, and the 31st becomes the last day of a short month."""
    asaas = AsaasSimulator(clock=lambda: TUESDAY)
    customer = asaas.has_customer()
    boleto: dict[str, Any] = {"billing_type": "BOLETO", "dueDate": "2026-08-31"}
    first = asaas.has_payment(customer, installmentCount=3, totalValue=350, description="Pedido", **boleto)
    plan = asaas.installments.payments(first["installment"])
    same = asaas.has_payment(customer, installmentCount=2, installmentValue=50, **boleto)

    assert [part["value"] for part in plan] == [116.66, 116.66, 116.68]
    assert [part["dueDate"] for part in plan] == ["2026-08-31", "2026-09-30", "2026-10-31"]
    assert [part["description"] for part in plan] == [f"Parcela {number} de 3. Pedido" for number in (1, 2, 3)]
    assert asaas.installments.get(same["installment"])["value"] == 100
    assert asaas.installments.listed({"limit": "1"})["hasMore"]


def test_card_money_comes_on_working_days() -> None:
    """The credit of an instalment is 32 days each away and not on a weekend, as recorded."""
    start = TUESDAY.date()

    assert [card_credit(start, number).isoformat() for number in (1, 2, 3)] == [
        "2026-08-17",
        "2026-09-16",
        "2026-10-19",
    ]


def test_refund_of_a_plan_is_one_event_for_each_instalment(asaas: AsaasSimulator, api: httpx.Client) -> None:
    """Refunding a card plan sends PAYMENT_REFUNDED for each instalment."""
    first = asaas.has_payment(asaas.has_customer(), 30, "CREDIT_CARD", installmentCount=3, **CARD)
    api.post(f"/installments/{first['installment']}/refund").raise_for_status()

    assert [name for name, _ in told(asaas)][-3:] == ["PAYMENT_REFUNDED"] * 3
    assert len(asaas.installments.get(first["installment"])["refunds"]) == 3


def test_subscription_bills_its_first_charge_at_once() -> None:
    """A subscription is told, then its first charge; its next due day is a cycle ahead, and billing goes on there."""
    asaas = AsaasSimulator(clock=lambda: TUESDAY)
    given = {"customer": asaas.has_customer()["id"], "billingType": "BOLETO", "value": 100, "cycle": "MONTHLY"}
    made = asaas.subscriptions.create({**given, "nextDueDate": "2026-09-12", "endDate": "2027-01-01"})
    second = asaas.subscriptions.bills(made["id"])

    assert [event.name for event in asaas.book.events] == ["SUBSCRIPTION_CREATED", "PAYMENT_CREATED", "PAYMENT_CREATED"]
    assert (made["nextDueDate"], second["dueDate"]) == ("2026-10-12", "2026-10-12")
    assert (second["subscription"], made["endDate"]) == (made["id"], "2027-01-01")
    assert asaas.subscriptions.get(made["id"])["nextDueDate"] == "2026-11-12"
    assert next_due(TUESDAY.date(), "WEEKLY").isoformat() == "2026-07-21"


def test_removed_subscription_takes_its_open_charges_along(asaas: AsaasSimulator) -> None:
    """Removing a subscription removes its open charges, keeps the paid ones, and it bills no more."""
    due = asaas.book.today().isoformat()
    given = {"customer": asaas.has_customer()["id"], "billingType": "PIX", "value": 9, "cycle": "WEEKLY"}
    subscription = asaas.subscriptions.create({**given, "nextDueDate": due})["id"]
    asaas.is_paid(asaas.subscriptions.list_payments(subscription, {})["data"][0]["id"])
    asaas.subscriptions.bills(subscription)
    asaas.subscriptions.delete(subscription)

    assert [event.name for event in asaas.book.events][-2:] == ["PAYMENT_DELETED", "SUBSCRIPTION_DELETED"]
    assert asaas.subscriptions.list_payments(subscription, {})["totalCount"] == 1
    assert asaas.subscriptions.listed({})["totalCount"] == 0
    with pytest.raises(Refusal, match="invalid_action"):
        asaas.subscriptions.bills(subscription)
    with pytest.raises(Refusal, match="invalid_cycle"):
        asaas.subscriptions.create({**given, "cycle": "HOURLY"})
    with pytest.raises(Missing):
        asaas.subscriptions.get("sub_0")
