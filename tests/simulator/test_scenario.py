"""The demo's charges and the load for benches."""

from __future__ import annotations

import json
from collections import Counter

import httpx

from bridge.simulator.asaas import DEFAULT_KEY, AsaasSimulator
from bridge.simulator.clint import INTEGRATIONS, ClintSimulator
from bridge.simulator.scenario import bulk, bulk_customers, missing, play


def test_demo_makes_one_of_each_kind(asaas: AsaasSimulator, api: httpx.Client) -> None:
    """The demo plays eight customers over the API, says each step, and each one's last event is the expected one."""
    steps: list[str] = []
    expected = play(str(api.base_url), DEFAULT_KEY, steps.append)
    bodies = [json.loads(event.body) for event in asaas.events]
    last = {body[key]["customer"]: body["event"] for body in bodies for key in ("payment",) if key in body}
    emails = {customer["id"]: customer["email"] for customer in asaas.book.customers.values()}

    assert [one.kind for one in expected] == [
        "pix", "boleto", "card", "subscription", "split", "refund", "deleted", "cash",
    ]  # fmt: skip
    assert {emails[customer]: event for customer, event in last.items()} == {
        one.email: one.last_event for one in expected
    }
    assert len(steps) == 17
    assert [one.kind for one in expected if not one.is_paid] == ["deleted"]


def test_demo_knows_which_deals_are_missing(clint: ClintSimulator, crm: httpx.Client, api: httpx.Client) -> None:
    """A deal meets the expectation when person and value are right: by e-mail, or by phone where there is no e-mail."""
    expected = play(str(api.base_url), DEFAULT_KEY)
    path = clint.receiver.integrations[INTEGRATIONS["default"]].path
    for one in expected[1:]:
        body = {"email": one.email, "telefone": f"55{one.phone}", "valor": str(one.values[0])}
        crm.post(path, json={key: value for key, value in body.items() if value})
    assert missing(expected, clint.deals) == expected[:1]
    crm.post(path, json={"email": expected[0].email, "valor": "1"})

    assert missing(expected, clint.deals) == expected[:1]
    crm.post(path, json={"email": expected[0].email, "valor": "129.9"})
    assert missing(expected, clint.deals) == []


def test_load_is_the_same_each_time_and_touches_everybody() -> None:
    """The load repeats byte by byte, has an id of its own for each event, and an event for each customer."""
    load = list(bulk(30, 200))
    bodies = [json.loads(body) for _, body in load]

    assert load == list(bulk(30, 200))
    assert load != list(bulk(30, 200, seed=1))
    assert [body["id"] for body in bodies] == [event_id for event_id, _ in load]
    assert len({event_id for event_id, _ in load}) == 200
    assert {body["payment"]["customer"] for body in bodies} == {customer["id"] for customer in bulk_customers(30)}
    assert set(Counter(body["event"] for body in bodies)) >= {"PAYMENT_CREATED", "PAYMENT_RECEIVED", "PAYMENT_OVERDUE"}


def test_load_tells_each_charge_in_order() -> None:
    """A charge begins with CREATED, and its events never go back in time."""
    first: dict[str, str] = {}
    times: dict[str, str] = {}
    for _, raw in bulk(20, 300):
        body = json.loads(raw)
        charge = body["payment"]["id"]
        first.setdefault(charge, body["event"])
        assert times.get(charge, "") <= body["dateCreated"]
        times[charge] = body["dateCreated"]

    assert set(first.values()) == {"PAYMENT_CREATED"}
    assert len(list(bulk(20, 5))) == 5
