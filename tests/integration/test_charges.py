"""Test charges by the Asaas API: what is sent, what is read of the answers, and what is refused."""

from __future__ import annotations

import json
from collections.abc import Iterator
from decimal import Decimal
from typing import Any

import pytest

from bridge.asaas.charges import Charge, ChargeRequest, Charges, Split
from bridge.asaas.client import AsaasClient
from bridge.asaas.limiter import AccountLimiter
from bridge.errors import AsaasRejected, AsaasUnavailable
from bridge.http import HttpClient
from bridge.redis_client import OptionalRedis
from bridge.simulator.asaas.account import DEFAULT_KEY
from bridge.simulator.serve import Served
from tests.peers import Peer, Reply
from tests.simulated import AsaasSimulator

WALLET = "c0c1688f-636b-42c0-b6ee-7339182276b7"
ORDER = ChargeRequest("PIX", Decimal("10.00"), "2030-01-31", email="a@example.com", mark="bridge-test-1")


def charges(url: str, http: Any) -> Charges:
    """Return the charges of an account whose API is there."""
    return Charges(AsaasClient("default", DEFAULT_KEY, url, http, AccountLimiter("default", OptionalRedis(None))))


@pytest.fixture
def http() -> Iterator[Any]:
    """Give the bridge's own HTTP client."""
    with HttpClient(allow_private=True) as client:
        yield client


def test_a_plan_is_charged_with_splits_of_both_kinds(http: Any) -> None:
    """A percentage and a fixed value; the plan's charges come with the first instalment first."""
    simulator = AsaasSimulator()
    splits = (Split.parse(f"{WALLET}:20%"), Split.parse(f"{WALLET}:10.50"))
    order = ChargeRequest("BOLETO", Decimal("90.00"), "2030-01-31", 3, splits, "a@example.com", "11987654321", "m")
    with Served(simulator.app) as served:
        made = charges(f"{served.url}/v3", http)
        charge = made.make_charge(made.make_customer(order), order)
        bodies = [simulator.payments.get(one) for one in charge.payment_ids]
        customer = simulator.customers.get(charge.customer_id)
        kept = made.remove(charge)
    simulator.close()

    assert [body["installmentNumber"] for body in bodies] == [1, 2, 3]
    assert [(part["percentualValue"], part["fixedValue"]) for part in bodies[0]["split"]] == [(20, None), (None, 10.5)]
    assert customer["mobilePhone"] == "11987654321"
    assert kept == ()


def test_removing_a_customer_removes_what_is_open(http: Any) -> None:
    """As documented: charges and subscriptions of the customer go with it, what was paid stays."""
    simulator = AsaasSimulator()
    customer = simulator.has_customer()
    paid, open_ = simulator.has_payment(customer), simulator.has_payment(customer)
    other = simulator.has_payment(simulator.has_customer())
    given = {"customer": customer["id"], "billingType": "PIX", "value": 5, "nextDueDate": open_["dueDate"]}
    subscription = simulator.subscriptions.create({**given, "cycle": "MONTHLY"})
    simulator.is_paid(paid["id"])
    with Served(simulator.app) as served:
        charges(f"{served.url}/v3", http).remove_customer(customer["id"])
    simulator.close()

    assert [simulator.payments.get(one["id"])["deleted"] for one in (paid, open_, other)] == [False, True, False]
    assert simulator.subscriptions.get(subscription["id"])["deleted"]


def test_a_charge_that_is_not_there_can_not_be_paid(http: Any) -> None:
    """A production API has no such path, and answers 404."""
    simulator = AsaasSimulator()
    with Served(simulator.app) as served, pytest.raises(AsaasRejected, match="no such charge"):
        charges(f"{served.url}/v3", http).pay("pay_unknown")
    simulator.close()


def test_an_answer_without_an_id_is_no_charge(http: Any) -> None:
    """What can't be followed is said at once."""
    with Peer() as peer, pytest.raises(AsaasUnavailable, match="must have an id"):
        charges(peer.url, http).make_customer(ORDER)


def test_a_plan_without_a_list_has_its_first_charge(http: Any) -> None:
    """The first instalment is what is paid, so it is enough."""
    bodies = {"POST": {"id": "pay_1", "installment": "plan-1"}, "GET": {"data": None}}
    with Peer(respond=lambda asked: Reply(body=json.dumps(bodies[asked.method]).encode())) as peer:
        charge = charges(peer.url, http).make_charge("cus_1", ORDER)

    assert charge == Charge("cus_1", ("pay_1",), "plan-1", "")
