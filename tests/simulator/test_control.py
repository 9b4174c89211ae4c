"""The knobs under `/_sim/`, as a test of another process uses them."""

from __future__ import annotations

from typing import Any

import httpx

from bridge.simulator.clint.account import INTEGRATIONS
from tests import asking
from tests.bench.bulk import bulk_customers
from tests.simulated import AsaasSimulator, ClintSimulator
from tests.simulator.conftest import Inbox


def sim(api: httpx.Client, path: str, **body: Any) -> httpx.Response:
    """Turn a knob of the simulator behind the API's client."""
    return asking.post(f"{str(api.base_url).removesuffix('/v3/')}/_sim/{path}", json=body)


def look(api: httpx.Client, path: str) -> Any:
    """Look at something of the simulator behind the API's client."""
    return asking.get(f"{str(api.base_url).removesuffix('/v3/')}/_sim/{path}").raise_for_status().json()


def test_asaas_is_watched(asaas: AsaasSimulator, api: httpx.Client, inbox: Inbox) -> None:
    """Another process sees how much there is, what happened and how it was delivered."""
    asaas.posts_to(inbox.url)
    asaas.has_payment(asaas.has_customer())
    assert asaas.is_settled()
    api.get("/customers")
    state = look(api, "state")

    assert (state["customers"], state["payments"], state["events"], state["waiting"]) == (1, 1, 1, 0)
    assert state["requests"] == 1
    assert [attempt["status"] for attempt in look(api, "tries")["data"]] == [200]
    assert look(api, "tries?after=1")["data"] == []
    assert look(api, "events")["data"] == inbox.bodies


def test_asaas_does_what_has_no_path(asaas: AsaasSimulator, api: httpx.Client) -> None:
    """Money that arrives, a dispute, the way of paying, the next bill, any event: all from another process."""
    customer = asaas.has_customer()["id"]
    charge = asaas.has_payment(customer, billing_type="UNDEFINED")["id"]
    due = asaas.book.today().isoformat()
    given = {"customer": customer, "billingType": "PIX", "value": 9, "cycle": "WEEKLY", "nextDueDate": due}
    subscription = asaas.subscriptions.create(given)["id"]

    assert sim(api, f"payments/{charge}/pay", billing_type="CREDIT_CARD").json()["status"] == "CONFIRMED"
    assert sim(api, f"payments/{charge}/receive").json()["status"] == "RECEIVED"
    assert sim(api, f"payments/{charge}/disputes", reason="FRAUD").json()["chargeback"]["reason"] == "FRAUD"
    assert sim(api, f"subscriptions/{subscription}/bills").json()["subscription"] == subscription
    said = sim(api, "says", event="BILL_PAID", entity="bill", body={"id": "b"}).json()["id"]
    assert asaas.book.events[-1].id == said
    assert sim(api, f"payments/{charge}/pay").json()["errors"][0]["code"] == "invalid_action"
    assert sim(api, "payments/pay_0/pay").status_code == 404


def test_asaas_is_filled_and_limited(asaas: AsaasSimulator, api: httpx.Client) -> None:
    """Customers of a load are put in with their ids; keys and limits are changed from outside."""
    customers = bulk_customers(3)
    assert sim(api, "customers", customers=customers).json() == {"customers": 3}
    assert api.get(f"/customers/{customers[2]['id']}").json()["email"] == "carga3@example.com"
    assert sim(api, "keys", keys=["$aact_hmlg_new"]).json() == {"count": 1}
    assert api.get("/customers").status_code == 401


def test_clint_is_watched_and_changed(clint: ClintSimulator, crm: httpx.Client) -> None:
    """Another process makes funnels and integrations, removes them, reads history and deals, and starts anew."""
    crm.post("/_sim/origins", json={"name": "Outra", "stages": ["A", "B"]})
    made = crm.post("/_sim/integrations", json={"name": "x", "origin": "Outra", "stage": "B", "status": "WON"}).json()
    crm.post(made["path"], json={"email": "ana@example.com"})
    crm.post("/_sim/removed", json={"uuid": made["uuid"]})
    assert crm.post(made["path"], json={"email": "ana@example.com"}).status_code == 404
    crm.post("/_sim/restored", json={"uuid": made["uuid"]})

    history = crm.get("/_sim/history").json()["data"]
    assert [entry["result"] for entry in history] == ["created", "unknown"]
    assert crm.get("/_sim/history", params={"after": 1, "limit": 5}).json()["data"] == history[1:]
    assert crm.get("/_sim/deals").json()["data"][0]["stage"] == "B"
    assert crm.get("/_sim/state").json()["requests"] == 2
    known = {one["uuid"]: one["path"] for one in crm.get("/_sim/integrations").json()["data"]}
    assert known[made["uuid"]] == made["path"]
    assert set(INTEGRATIONS.values()) < set(known)
    crm.post("/_sim/forget")
    assert crm.get("/_sim/state").json()["deals"] == 0
