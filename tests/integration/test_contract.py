"""What the bridge asks of Asaas is what Asaas's OpenAPI document has, for every operation that it uses."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import timedelta
from decimal import Decimal
from pathlib import Path

import pytest
from flask import Flask

from bridge.asaas.charges import ChargeRequest, Charges, Split
from bridge.asaas.client import PATHS
from bridge.asaas.webhooks import Webhooks
from bridge.simulator.serve import Served
from tests import asking
from tests.charges import Place, place
from tests.simulator.contract import Contract, operation_of

USED = {
    *(f"GET /v3/{path}/{{id}}" for path in PATHS.values()),
    "GET /v3/payments",
    "GET /v3/financialTransactions",
}
"""What the bridge asks for: who adds a request adds it here, and lets a test below make it."""

WRITTEN = {
    "POST /v3/customers",
    "DELETE /v3/customers/{id}",
    "POST /v3/payments",
    "GET /v3/customers",
    "POST /v3/payments/{id}/refund",
    "POST /v3/sandbox/payment/{id}/confirm",
    "POST /v3/sandbox/payment/{id}/overdue",
    "POST /v3/sandbox/payment/{id}/refund/confirm",
    "DELETE /v3/payments/{id}",
    "GET /v3/payments",
    "GET /v3/webhooks",
    "POST /v3/webhooks",
    "PUT /v3/webhooks/{id}",
    "POST /v3/webhooks/{id}/removeBackoff",
    "DELETE /v3/webhooks/{id}",
}
"""What the bridge writes there, and reads on the way."""

EVERYTHING = """
events: [PAYMENT_CREATED, PAYMENT_RECEIVED, PAYMENT_CONFIRMED]
contact: {email: customer.email}
deal:
  ciclo: subscription.cycle
  parcelas: installment.installmentCount
"""


@pytest.fixture
def at(tmp_path: Path) -> Iterator[Place]:
    """Give a simulated Asaas and commands that read from it."""
    with place(tmp_path) as found:
        yield found


def test_every_request_is_in_the_document(at: Place) -> None:
    """Reconcile, backfill with all that a mapping may fetch, and the statement, over real HTTP."""
    contract = Contract(at.asaas.app)
    customer = at.asaas.has_customer()["id"]
    at.paid(customer=customer, split=[{"walletId": "48548710-9baa-4ec1-a11f-9010193527c6", "percentualValue": 20}])
    at.asaas.has_payment(customer, 90.0, "CREDIT_CARD", installmentCount=3, totalValue=90.0)
    due = at.calendar.now.date().isoformat()
    at.asaas.subscriptions.create(
        {"customer": customer, "billingType": "BOLETO", "value": 50, "nextDueDate": due, "cycle": "MONTHLY"}
    )
    at.register("tudo", EVERYTHING)

    for by in ("created", "due", "paid"):
        at.commands.run("reconcile", "--since", "2d", "--by", by)
    said = at.commands.run("backfill", "--since", "2d", "--dry-run")
    at.commands.run("statement", "--since", "2d")
    at.commands.run("statement", "--since", "9d", "--until", "8d")
    runtime = at.runtime()
    runtime.asaas["default"].get_object("payment", next(iter(at.asaas.book.payments)))
    runtime.close()

    assert said.out.count("would be sent to default") == 5
    assert contract.breaches == []
    assert contract.operations == USED


def test_what_a_test_charge_and_the_webhook_write_is_in_the_document(at: Place) -> None:
    """Charges paid, refunded and removed, a split and a plan, and a webhook from register to remove, over real HTTP."""
    contract = Contract(at.asaas.app)
    runtime = at.runtime()
    charges = Charges(runtime.asaas["default"])
    split = Split.parse("48548710-9baa-4ec1-a11f-9010193527c6:20%")
    due = (at.calendar.now.date() + timedelta(days=3)).isoformat()
    paid = ChargeRequest("PIX", Decimal("10.00"), due, splits=(split,), email="teste@example.com", mark="contract")
    plan = ChargeRequest("BOLETO", Decimal("30.00"), due, installments=3, email="teste@example.com", mark="contract")
    customer = charges.make_customer(paid)
    charges.pay(charges.make_charge(customer, paid).payment_ids[0])
    boleto = ChargeRequest("BOLETO", Decimal("30.00"), due, email="teste@example.com", mark="contract")
    charges.make_overdue(late := charges.make_charge(customer, boleto).payment_ids[0])
    charges.pay(late)
    assert charges.refund(late) == "REFUNDED"  # pending until the sandbox is told to complete it
    assert charges.customers_marked("contract") == [customer]
    assert late in charges.charges_of(customer)
    charges.remove(charges.make_charge(customer, plan))
    charges.remove_customer(customer)
    at.register("tudo", EVERYTHING)
    webhook = ["--url", "https://bridge.example.com"]
    at.commands.run("webhook", "register", *webhook, "--email", "ana@example.com", "--yes")
    at.commands.run("webhook", "register", *webhook, "--send-type", "non_sequentially", "--yes")
    at.commands.run("webhook", "status", *webhook)
    at.commands.run("webhook", "resume", *webhook)
    webhooks = Webhooks(runtime.asaas["default"])
    webhooks.remove_backoff(webhooks.all()[0])
    runtime.close()
    at.commands.run("webhook", "remove", *webhook, "--yes")

    assert contract.breaches == []
    assert contract.operations == WRITTEN


@pytest.mark.parametrize(
    ("method", "path", "breach"),
    [
        ("GET", "/v3/payment", "GET /v3/payment is not in the document"),
        ("GET", "/v3/payments?since=1", "the query has ['since']"),
        ("GET", "/v3/payments?limit=101", "more than a page at once"),
        ("POST", "/v3/payments", "the body has ['valor']"),
    ],
)
def test_a_breach_is_heard(at: Place, method: str, path: str, breach: str) -> None:
    """The check itself is tried: a request that the document does not have is named."""
    contract = Contract(at.asaas.app)
    url = at.commands.environ["ASAAS_API_URL"].removesuffix("/v3")
    headers = {"access_token": at.commands.environ["ASAAS_API_KEY"]}
    asking.request(method, f"{url}{path}", headers=headers, json={"valor": 1} if method == "POST" else None)

    assert len(contract.breaches) == 1
    assert breach in contract.breaches[0]


def test_an_answer_that_drifts_is_heard() -> None:
    """A simulator that answers another type than the document fails the test that hears it."""
    app = Flask("drifted")
    app.add_url_rule("/v3/payments", view_func=lambda: {"totalCount": "one", "data": []})
    contract = Contract(app)
    with Served(app) as served:
        asking.get(f"{served.url}/v3/payments")

    assert contract.breaches == ["GET /v3/payments.totalCount: 'one' is not integer"]


def test_a_path_without_placeholders_wins() -> None:
    """Or a list would be taken for an object."""
    assert operation_of("GET", "/v3/payments/pay_1/refunds") == "GET /v3/payments/{id}/refunds"
    assert operation_of("GET", "/v3/payments/pay_1") == "GET /v3/payments/{id}"
    assert operation_of("GET", "/v3/webhooks") == "GET /v3/webhooks"
