"""The simulated Asaas against recorded bodies: exactly their keys, in their order, with their types."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from typing import Any

import httpx
import pytest

from bridge.simulator.asaas.rules import net_value
from tests.simulated import AsaasSimulator
from tests.simulator.recordings import recorded

CARD = {"number": "4444444444444444", "holderName": "CLIENTE TESTE"}
WALLET = "48548710-9baa-4ec1-a11f-9010193527c6"


def shape(value: Any) -> Any:
    """Reduce a body to its keys, in order, with the types of their values."""
    if isinstance(value, dict):
        return [(key, shape(inner)) for key, inner in value.items()]
    if isinstance(value, list):
        return [shape(value[0])] if value else []
    if isinstance(value, bool) or value is None or isinstance(value, str):
        return type(value).__name__
    return "number"


Situation = Callable[[AsaasSimulator], dict[str, Any]]


def _plan(asaas: AsaasSimulator, count: int, **fields: Any) -> str:
    card: dict[str, Any] = {"creditCard": CARD, "installmentCount": count}
    payment = asaas.has_payment(asaas.has_customer(), billing_type="CREDIT_CARD", **card, **fields)
    return str(payment["installment"])


def _subscription(asaas: AsaasSimulator, **fields: Any) -> dict[str, Any]:
    due = asaas.book.today().isoformat()
    given = {"customer": asaas.has_customer()["id"], "billingType": "BOLETO", "value": 100, "nextDueDate": due}
    return asaas.subscriptions.create({**given, "cycle": "MONTHLY", **fields})


ANSWERS: dict[str, Situation] = {
    "api_customer.minimal.sandbox.2026-07": lambda asaas: asaas.has_customer(),
    "api_payment.pix.pending.sandbox.2026-07": lambda asaas: asaas.has_payment(
        asaas.has_customer(), description="Paridade Pix"
    ),
    "api_payment.boleto.pending.fine_interest_discount.sandbox.2026-07": lambda asaas: asaas.has_payment(
        asaas.has_customer(), 350, "BOLETO", discount={"value": 5, "dueDateLimitDays": 0, "type": "PERCENTAGE"}
    ),
    "api_payment.credit_card.pending_no_card.sandbox.2026-07": lambda asaas: asaas.has_payment(
        asaas.has_customer(), billing_type="CREDIT_CARD"
    ),
    "api_payment.credit_card.confirmed.sandbox.2026-07": lambda asaas: asaas.has_payment(
        asaas.has_customer(), billing_type="CREDIT_CARD", creditCard=CARD, description="probe"
    ),
    "api_installment.credit_card.3x.sandbox.2026-07": lambda asaas: asaas.installments.get(
        _plan(asaas, 3, totalValue=300)
    ),
    "api_payments_list.installment.credit_card.3x.sandbox.2026-07": lambda asaas: asaas.installments.list_payments(
        _plan(asaas, 3, totalValue=300), {}
    ),
    "api_subscription.boleto.monthly.sandbox.2026-07": _subscription,
    "api_subscription_payments_list.sandbox.2026-07": lambda asaas: asaas.subscriptions.list_payments(
        _subscription(asaas)["id"], {}
    ),
}


@pytest.mark.parametrize("name", ANSWERS)
def test_answer_has_the_shape_of_the_recorded_one(asaas: AsaasSimulator, name: str) -> None:
    """An answer has the keys of the recorded one, in their order, with their types."""
    assert shape(ANSWERS[name](asaas)) == shape(recorded(name))


def test_error_bodies_are_the_recorded_ones(asaas: AsaasSimulator, api: httpx.Client) -> None:
    """A wrong CPF, a missing customer and a declined card are refused in the sandbox's own words."""
    due = asaas.book.today().isoformat()
    customer = asaas.has_customer()["id"]
    charge = {"value": 10, "dueDate": due, "billingType": "CREDIT_CARD"}

    wrong_cpf = api.post("/customers", json={"name": "Ana", "cpfCnpj": "11111111111"})
    no_customer = api.post("/payments", json={**charge, "customer": "cus_0"})
    declined = api.post(
        "/payments", json={**charge, "customer": customer, "creditCard": {"number": "5184019740373151"}}
    )

    assert wrong_cpf.json() == recorded("api_error_400.invalid_cpf.sandbox")
    assert no_customer.json() == recorded("api_error_400.missing_customer.sandbox")
    assert declined.json() == recorded("api_error_400.card_declined.sandbox")


# ---------------------------------------------------------------- recorded events


def _last(asaas: AsaasSimulator, name: str) -> dict[str, Any]:
    bodies = [json.loads(event.body) for event in asaas.book.events if event.name == name]
    return dict(bodies[-1])


def _happened(asaas: AsaasSimulator, billing_type: str, then: str, **fields: Any) -> None:
    given = {"description": "Palpite", "externalReference": "PLP-1", **fields}
    payment = asaas.has_payment(asaas.has_customer(), 10, billing_type, **given)["id"]
    if then == "paid":
        asaas.is_paid(payment)
    if then == "deleted":
        asaas.is_deleted(payment)


def _received_in_cash(asaas: AsaasSimulator) -> None:
    subscription = _subscription(asaas, description="Plano", externalReference="company_10")["id"]
    payment = asaas.subscriptions.list_payments(subscription, {})["data"][0]["id"]
    asaas.payments.receive_in_cash(payment, {})


EVENTS: dict[str, tuple[str, Callable[[AsaasSimulator], object]]] = {
    "webhook_payment_created.pix.sandbox.2026-08": (
        "PAYMENT_CREATED",
        lambda asaas: _happened(asaas, "PIX", "created"),
    ),
    "webhook_payment_created.undefined.sandbox.2026-08": (
        "PAYMENT_CREATED",
        lambda asaas: _happened(asaas, "UNDEFINED", "created"),
    ),
    "webhook_payment_received.pix.sandbox.2026-08": (
        "PAYMENT_RECEIVED",
        lambda asaas: _happened(asaas, "PIX", "paid"),
    ),
    "webhook_payment_received.boleto.sandbox.2026-08": (
        "PAYMENT_RECEIVED",
        lambda asaas: _happened(asaas, "BOLETO", "paid"),
    ),
    "webhook_payment_received.boleto.was_undefined.sandbox.2026-08": (
        "PAYMENT_RECEIVED",
        lambda asaas: _happened(asaas, "UNDEFINED", "paid"),
    ),
    "webhook_payment_deleted.undefined.sandbox.2026-08": (
        "PAYMENT_DELETED",
        lambda asaas: _happened(asaas, "UNDEFINED", "deleted"),
    ),
    "webhook_payment_created.credit_card.installment2of2.sandbox.2025-11": (
        "PAYMENT_CREATED",
        lambda asaas: _plan(asaas, 2, totalValue=2504.14, externalReference="1"),
    ),
    "webhook_payment_confirmed.credit_card.installment2of2.sandbox.2025-11": (
        "PAYMENT_CONFIRMED",
        lambda asaas: _plan(asaas, 2, totalValue=2504.14, externalReference="1"),
    ),
    "webhook_payment_confirmed.credit_card.subscription.sandbox.2025-10": (
        "PAYMENT_CONFIRMED",
        lambda asaas: _subscription(asaas, billingType="CREDIT_CARD", creditCard=CARD, description="Cesta"),
    ),
    "webhook_payment_received.received_in_cash.boleto.subscription.sandbox.2025-06": (
        "PAYMENT_RECEIVED",
        _received_in_cash,
    ),
}


@pytest.mark.parametrize("name", EVENTS)
def test_event_has_the_shape_of_the_recorded_one(asaas: AsaasSimulator, name: str) -> None:
    """An event has the keys of the recorded one, in their order, with their types, and its id begins as that one's."""
    event, happens = EVENTS[name]
    happens(asaas)
    made, real = _last(asaas, event), recorded(name)
    real.setdefault("account", made["account"])  # not in bodies before 2026-01
    real = {key: real[key] for key in ("id", "event", "dateCreated", "account", "payment")}
    real["payment"].pop("custody", None)  # gone since the middle of 2025
    if real["payment"]["lastInvoiceViewedDate"] is not None:  # nobody looks at a simulated invoice
        real["payment"]["lastInvoiceViewedDate"] = None

    assert shape(made) == shape(real)
    assert made["id"].partition("&")[0] == real["id"].partition("&")[0]
    assert made["payment"]["status"] == real["payment"]["status"]


def test_documented_events_have_the_keys_of_the_documentation(asaas: AsaasSimulator) -> None:
    """The subscription event has the documented keys and dd/mm/yyyy days; a split has the webhook's own keys."""
    split = [{"walletId": WALLET, "percentualValue": 20}]
    _subscription(asaas, split=split)
    documented = recorded("docs_subscription_created")["subscription"]
    made = _last(asaas, "SUBSCRIPTION_CREATED")["subscription"]
    asaas.has_payment(asaas.has_customer(), split=[{"walletId": WALLET, "fixedValue": 20}])
    part = _last(asaas, "PAYMENT_CREATED")["payment"]["split"][0]

    assert set(made) == set(documented)
    assert re.fullmatch(r"\d\d/\d\d/\d{4}", made["nextDueDate"])
    assert list(part) == list(recorded("docs_payment_received.credit_card.full")["payment"]["split"][0])


@pytest.mark.parametrize(
    ("billing_type", "value", "instalments", "net"),
    [
        ("PIX", 100, 1, 98.01),
        ("BOLETO", 350, 1, 348.01),
        ("UNDEFINED", 10, 1, 8.01),
        ("CREDIT_CARD", 100, 1, 96.52),
        ("CREDIT_CARD", 100, 3, 96.35),
        ("CREDIT_CARD", 1252.07, 2, 1208.14),
        ("CREDIT_CARD", 100, 12, 95.97),
        ("CREDIT_CARD", 100, 21, 95.69),
    ],
)
def test_fees_are_those_of_the_sandbox(billing_type: str, value: float, instalments: int, net: float) -> None:
    """What is left of a charge is what the recorded bodies show; plans of 7 and more follow the published prices."""
    assert net_value(billing_type, value, instalments) == net
