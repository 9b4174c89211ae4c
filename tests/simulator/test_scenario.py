"""The demo's charges."""

from __future__ import annotations

import json

import httpx

from bridge.simulator.asaas.account import DEFAULT_KEY
from bridge.simulator.scenario import NEW, OVERDUE, PAID, REFUNDED, SALES, ExpectedDeal, play
from tests.simulated import AsaasSimulator, ClintSimulator


def body(person: ExpectedDeal) -> dict[str, str]:
    whole = {"email": person.email, "telefone": f"55{person.phone}", "valor": str(person.value)}
    return {key: value for key, value in whole.items() if value}


def test_demo_makes_one_of_each_kind(asaas: AsaasSimulator, api: httpx.Client) -> None:
    """The demo plays ten customers over the API, says each step, and each one's last event is the expected one."""
    steps: list[str] = []
    expected = play(str(api.base_url), DEFAULT_KEY, steps.append)
    bodies = [json.loads(event.body) for event in asaas.book.events]
    last = {body[key]["customer"]: body["event"] for body in bodies for key in ("payment",) if key in body}
    emails = {customer["id"]: customer["email"] for customer in asaas.book.customers.values()}

    assert [one.kind for one in expected] == [
        "pix", "boleto", "card", "subscription", "split", "refund", "deleted", "cash", "overdue",
        "left to pay",
    ]  # fmt: skip
    assert {(emails[customer] or "").split(".")[0]: event for customer, event in last.items()} == {
        "ana": "PAYMENT_RECEIVED",
        "bruno": "PAYMENT_RECEIVED",
        "carla": "PAYMENT_CONFIRMED",
        "daniel": "PAYMENT_RECEIVED",
        "elisa": "PAYMENT_SPLIT_DONE",
        "fabio": "PAYMENT_REFUNDED",
        "gabriela": "PAYMENT_DELETED",
        "": "PAYMENT_RECEIVED",
        "igor": "PAYMENT_OVERDUE",
        "helena": "PAYMENT_CREATED",
    }
    assert len(steps) == 20
    assert all(
        body["payment"]["dueDate"] < body["dateCreated"][:10] for body in bodies if body["event"] == "PAYMENT_OVERDUE"
    )
    open_charges = [body["payment"]["id"] for body in bodies if body["event"] == "PAYMENT_CREATED"][-1:]
    assert [asaas.book.payments[charge]["status"] for charge in open_charges] == ["PENDING"]


def test_demo_knows_what_is_wrong_with_a_deal(clint: ClintSimulator, crm: httpx.Client, api: httpx.Client) -> None:
    """A deal is as expected when person, value, stage and status are, and it is the person's only one."""
    expected = play(str(api.base_url), DEFAULT_KEY)
    paths = {one.name: one.path for one in clint.receiver.integrations.values()}
    by_place = {NEW: "default", OVERDUE: "vencidas", PAID: "pagas", REFUNDED: "estornadas"}
    for one in expected[1:]:
        crm.post(paths[by_place[one.place]], json=body(one))
    first = expected[0]
    assert [one.found(clint.deals) == one.wanted(of_charges=False) for one in expected] == [False] + [True] * 9

    clint.crm.add_origin("leads", ["Entrada"])
    for path, changes, is_right in (
        (paths["default"], {}, False),
        (paths["pagas"], {"valor": "1"}, False),
        (paths["pagas"], {}, True),
        (clint.has_integration("leads", origin="leads", stage="Entrada").path, {}, True),
        (clint.has_integration("second", stage="Paga", status="WON", mode="create").path, {}, False),
    ):
        crm.post(path, json=body(first) | changes)
        assert (first.found(clint.deals) == first.wanted(of_charges=False)) == is_right


def test_of_an_instalment_plan_each_charge_may_be_a_deal() -> None:
    """By the API each instalment is one, with its part of the value; by the webhooks the plan is."""
    (plan,) = [sale.deal for sale in SALES if sale.deal.charges > 1]

    assert plan.wanted(of_charges=False) == ["Paga, WON, 900.0"]
    assert plan.wanted(of_charges=True) == ["Paga, WON, 300.0"] * 3
