"""The simulators may not drift: every answer against the keys and types that the OpenAPI documents give it."""

from __future__ import annotations

import json
import re
from typing import Any

import httpx
import pytest
from flask import request

from bridge.asaas.client import AsaasClient
from bridge.asaas.limiter import AccountLimiter
from bridge.asaas.webhooks import Webhooks
from bridge.http import HttpClient
from bridge.redis_client import OptionalRedis
from bridge.simulator.asaas.account import DEFAULT_KEY
from bridge.simulator.asaas.sender import NAMES
from bridge.simulator.clint.account import DEFAULT_TOKEN, INTEGRATIONS
from bridge.simulator.serve import Served
from tests.simulated import AsaasSimulator, ClintSimulator
from tests.simulator.clint_contract import ClintContract, operations
from tests.simulator.recordings import DATA, recorded

SPECS = DATA / "specs"
ASAAS = json.loads((SPECS / "asaas.json").read_text())
CARD = {"number": "4444444444444444", "holderName": "CLIENTE TESTE"}
LISTED = ("contacts", "tags", "origins", "groups", "users", "lost-status")
WALLET = "48548710-9baa-4ec1-a11f-9010193527c6"

RECORDED_BEYOND_THE_DOCUMENT = frozenset(
    {
        "confirmedDate", "lastInvoiceViewedDate", "lastBankSlipViewedDate", "sendPaymentByPostalService",
        "company", "municipalInscription", "stateInscription", "canDelete", "cannotBeDeletedReason", "canEdit",
        "cannotEditReason", "type", "limitDate",
    }
)  # fmt: skip
"""Keys of real sandbox bodies that the document of 2026-03 does not have."""
JSON_TYPES: dict[str, tuple[type, ...]] = {
    "string": (str,),
    "integer": (int,),
    "number": (int, float),
    "boolean": (bool,),
    "array": (list,),
    "object": (dict,),
}


def check(value: Any, schema: dict[str, Any], spec: dict[str, Any], beyond: frozenset[str], where: str) -> None:
    """Hold a value against a schema: no unknown key, no other type, no word outside an enumeration."""
    if "$ref" in schema:
        check(value, spec["schemas"][schema["$ref"]], spec, beyond, where)
        return
    if value is None:  # the documents do not say what may be null; the recordings do
        return
    if "allOf" in schema:
        merged: dict[str, Any] = {}
        for part in schema["allOf"]:
            whole = spec["schemas"][part["$ref"]] if "$ref" in part else part
            merged |= whole.get("properties", {})
        schema = {"type": "object", "properties": merged}
    kind = schema.get("type", "object")
    is_kind: bool = isinstance(value, JSON_TYPES[kind])
    assert is_kind, f"{where}: {value!r} is not {kind}"
    assert kind == "boolean" or not isinstance(value, bool), f"{where}: {value!r} is not {kind}"
    assert "enum" not in schema or value in schema["enum"], f"{where}: {value!r} is not in the enumeration"
    if kind == "array" and "items" in schema:
        for index, item in enumerate(value):
            check(item, schema["items"], spec, beyond, f"{where}[{index}]")
    if kind == "object" and schema.get("properties"):
        unknown = set(value) - set(schema["properties"]) - beyond
        assert not unknown, f"{where}: {sorted(unknown)} are not in the document"
        for name in set(value) & set(schema["properties"]):
            check(value[name], schema["properties"][name], spec, beyond, f"{where}.{name}")


class Calls:
    """Calls operations of the API by the path of the document and checks each answer."""

    def __init__(self, api: httpx.Client) -> None:
        self._api = api
        self.made: set[str] = set()

    def __call__(self, operation: str, object_id: str = "", **body: Any) -> Any:
        method, path = operation.split(" ")
        given = body or None
        url = path.removeprefix("/v3").replace("{id}", object_id)
        answer = self._api.request(method, url, json=given if method in {"POST", "PUT"} else None)
        document = ASAAS["operations"][operation]
        self.made.add(operation)
        if answer.status_code == 204:
            return None
        assert answer.status_code == 200, answer.text
        schema = document["responses"]["200"]
        check(answer.json(), schema, ASAAS, RECORDED_BEYOND_THE_DOCUMENT, operation)
        return answer.json()


def test_every_operation_answers_as_documented(asaas: AsaasSimulator, api: httpx.Client) -> None:
    """Each operation of the simulated Asaas answers with keys and types of the OpenAPI document, and none is missed."""
    call = Calls(api)
    due = asaas.book.today().isoformat()
    customer = call("POST /v3/customers", name="Ana", cpfCnpj="24971563792", mobilePhone="47996321478")["id"]
    call("PUT /v3/customers/{id}", customer, email="ana@example.com")
    call("GET /v3/customers")
    call("GET /v3/customers/{id}", customer)

    charge = {"customer": customer, "value": 100, "dueDate": due}
    split = [{"walletId": WALLET, "percentualValue": 20}, {"walletId": WALLET, "fixedValue": 5}]
    pix = call("POST /v3/payments", billingType="PIX", split=split, **charge)["id"]
    call("PUT /v3/payments/{id}", pix, value=120)
    call("POST /v3/sandbox/payment/{id}/overdue", pix)
    call("POST /v3/sandbox/payment/{id}/confirm", pix)
    call("POST /v3/payments/{id}/refund", pix, value=20)
    call("POST /v3/payments/{id}/refund", pix)
    call("GET /v3/payments/{id}/refunds", pix)
    call("GET /v3/payments/{id}/status", pix)
    boleto = call("POST /v3/payments", billingType="BOLETO", fine={"value": 2}, **charge)["id"]
    call("POST /v3/payments/{id}/receiveInCash", boleto, value=100)
    call("POST /v3/payments/{id}/undoReceivedInCash", boleto)
    call("DELETE /v3/payments/{id}", boleto)
    call("POST /v3/payments/{id}/restore", boleto)
    card = call("POST /v3/payments", billingType="CREDIT_CARD", creditCard=CARD, **charge)["id"]
    asaas.payments.disputes(card)
    call("GET /v3/payments/{id}", card)

    plan = call(
        "POST /v3/installments",
        billingType="CREDIT_CARD",
        creditCard=CARD,
        installmentCount=3,
        totalValue=300,
        **charge,
    )["id"]
    call("GET /v3/installments")
    call("GET /v3/installments/{id}/payments", plan)
    call("POST /v3/installments/{id}/refund", plan)
    call("GET /v3/installments/{id}", plan)

    subscription = call(
        "POST /v3/subscriptions", customer=customer, billingType="BOLETO", value=50, nextDueDate=due, cycle="MONTHLY"
    )["id"]
    call("GET /v3/subscriptions")
    call("GET /v3/subscriptions/{id}/payments", subscription)
    call("DELETE /v3/subscriptions/{id}", subscription)
    call("GET /v3/subscriptions/{id}", subscription)
    call("GET /v3/payments")

    hook = {"name": "x", "url": "http://127.0.0.1:9/", "email": "a@example.com", "sendType": "SEQUENTIALLY"}
    webhook = call("POST /v3/webhooks", events=["CHECKOUT_PAID"], **hook)["id"]
    call("GET /v3/webhooks")
    call("PUT /v3/webhooks/{id}", webhook, interrupted=False)
    call("GET /v3/webhooks/{id}", webhook)
    call("POST /v3/webhooks/{id}/removeBackoff", webhook)
    call("DELETE /v3/webhooks/{id}", webhook)
    call("GET /v3/financialTransactions")
    call("GET /v3/wallets/")
    call("GET /v3/myAccount/status/")
    call("DELETE /v3/customers/{id}", customer)

    assert call.made == set(ASAAS["operations"])


def test_the_bridge_asks_for_webhooks_as_documented(asaas: AsaasSimulator) -> None:
    """What the bridge sends to make, change, resume and remove a webhook has no key that the document does not have."""
    sent: list[tuple[str, list[str]]] = []
    hook = re.compile("/v3/webhooks/[0-9a-f-]{36}")

    def note() -> None:
        body = request.get_json(silent=True) if request.content_length else None
        path = hook.sub("/v3/webhooks/{id}", request.path)
        sent.append((f"{request.method} {path}", sorted({*(body or {}), *request.args})))

    asaas.app.before_request(note)
    with Served(asaas.app) as served, HttpClient(allow_private=True) as http:
        client = AsaasClient(
            "default", DEFAULT_KEY, f"{served.url}/v3", http, AccountLimiter("default", OptionalRedis(None))
        )
        webhooks = Webhooks(client)
        made = webhooks.create(
            url="https://b.example/webhooks/asaas",
            events=["PAYMENT_RECEIVED"],
            token="5a4f0c1e-7b3d-4e8f-9a6c-b2d1f0e3c7a8",
            send_type="SEQUENTIALLY",
            email="ana@example.com",
        )
        assert webhooks.all() == [made]
        assert webhooks.update(made, {"interrupted": False, "events": ["PAYMENT_CREATED"]}).events == (
            "PAYMENT_CREATED",
        )
        webhooks.remove_backoff(made)
        webhooks.remove(made)

    assert len(sent) == 5
    for operation, keys in sent:
        document = ASAAS["operations"][operation]
        assert set(keys) <= {*document["query"], *document["request"]}, operation


def test_event_names_are_the_documented_ones() -> None:
    """A webhook may ask for the 111 names of the document and PAYMENT_SPLIT_DONE."""
    names = set(ASAAS["schemas"]["WebhookConfigGetResponseWebhookEvent"]["enum"])

    assert len(names) == 111
    assert names | {"PAYMENT_SPLIT_DONE"} == NAMES


def test_every_operation_of_clint_is_asked_and_answers_as_documented(clint: ClintSimulator, crm: httpx.Client) -> None:
    """Requests and answers of each operation hold to the OpenAPI document, and none is missed."""
    contract = ClintContract(clint.app)
    crm.headers["api-token"] = DEFAULT_TOKEN

    def call(operation: str, object_id: str = "", body: Any = None, **query: Any) -> Any:
        method, path = operation.split()
        given = {} if body is None else {"json": body}
        answer = crm.request(method, path.replace("{id}", object_id), params=query, **given).raise_for_status()
        return answer.json() if answer.content else None

    people = {"name": "Ana", "ddi": "+55", "phone": "48999999998", "email": "ana@example.com", "username": "ana"}
    extra = {"cpf": "24971563792", "organization": {"name": "Loja", "setor": "Varejo"}}
    contact = call("POST /v1/contacts", body={**people, "fields": extra})["id"]
    call("POST /v1/contacts/{id}", contact, {"name": "Ana B.", "fields": {"cpf": "1"}})
    call("POST /v1/contacts/{id}/tags", contact, ["Asaas", "Cliente"])
    call("DELETE /v1/contacts/{id}/tags", contact, {"tag_name": "Cliente"})
    call("GET /v1/contacts/{id}", contact)
    call("GET /v1/contacts", email="ana@example.com", phone="48999999998", tag_names="Asaas", limit=10, page=1)
    one_of = {name: call(f"GET /v1/{name}")["data"][0]["id"] for name in LISTED}
    for name, object_id in one_of.items():
        call(f"GET /v1/{name}/{{id}}", object_id)
    call("GET /v1/account/fields")

    origin = call("GET /v1/origins")["data"][0]
    stages = [stage["id"] for stage in origin["stages"]]
    new = {"origin_id": origin["id"], "contact_id": contact, "stage_id": stages[0], "user_id": one_of["users"]}
    fields = {"codigo_asaas": "pay_1", "contact": {"cidade": "Recife"}, "organization": {"setor": "Serviços"}}
    deal = call("POST /v1/deals", body={**new, "name": "C 1", "value": 129.9, "fields": fields})["id"]
    call("GET /v1/deals/{id}", deal)
    call("POST /v1/deals/{id}", deal, {"stage_id": stages[2], "status": "WON", "value": 130, "fields": {"link": "x"}})
    since = "2020-01-01T00:00:00.000000+00:00"
    clint.knobs.turn(deal_extras=["value", "currency", "stage", "updated_at"])
    found = {"contact_id": contact, "origin_id": origin["id"], "fields[codigo_asaas]": "pay_1", "won_at_start": since}
    assert [one["id"] for one in call("GET /v1/deals", status="WON", **found)["data"]] == [deal]
    call("DELETE /v1/deals/{id}", deal)

    assert contract.breaches == []
    assert contract.operations == set(operations())


def test_the_contract_with_clint_hears_what_breaks_it(clint: ClintSimulator, crm: httpx.Client) -> None:
    """Unknown keys, paths and queries, wrong types and a missing token are noted, of requests and of answers."""
    contract = ClintContract(clint.app)
    origin = clint.crm.origin("Vendas")["id"]
    token = {"api-token": DEFAULT_TOKEN}
    crm.get("/v1/deals")
    crm.get("/v1/deals", headers=token, params={"per_page": "9", "limit": "2000", "status": "PAID"})
    crm.get("/v1/invoices", headers=token)
    crm.post("/v1/deals", headers=token, json={"origin_id": origin, "status": "WON", "fields": {"parcela": 1}})
    crm.post("/v1/deals", headers=token, json={"value": "1"})
    next(iter(clint.crm.users.values()))["age"] = 30
    clint.crm.origin("Vendas")["name"] = 7
    crm.get("/v1/users", headers=token)
    crm.get("/v1/origins", headers=token)
    heard = " ".join(contract.breaches)

    for word in (
        "'age'",
        "7 is not of type",
        "no api-token",
        "per_page",
        "2000",
        "PAID",
        "/v1/invoices",
        "'status'",
        "fields.parcela",
        "origin_id",
    ):
        assert word in heard


def test_a_list_of_deals_has_the_keys_of_the_recorded_one(clint: ClintSimulator, crm: httpx.Client) -> None:
    """As it stands in a public transcription of the document."""
    body = {"nome": "Ana", "email": "ana@example.com", "telefone": "48999999998", "valor": "10.00", "titulo": "C 1"}
    crm.post(clint.receiver.integrations[INTEGRATIONS["default"]].path, json=body)
    listed = crm.get("/v1/deals", headers={"api-token": DEFAULT_TOKEN}).json()
    real = recorded("clint_api_deal_list")["body"]

    assert list(listed) == list(real)
    assert list(listed["data"][0]) == list(real["data"][0])
    assert list(listed["data"][0]["contact"]) == list(real["data"][0]["contact"])
    assert listed["data"][0]["contact"]["phone"] == "+5548999999998"


@pytest.mark.parametrize("name", [path.stem for path in sorted((SPECS / "recorded").glob("clint_in_*.json"))])
def test_clint_takes_the_bodies_that_others_send(clint: ClintSimulator, crm: httpx.Client, name: str) -> None:
    """The flat bodies that real senders post make a deal."""
    body = recorded(name)["body"]
    answer = crm.post(clint.receiver.integrations[INTEGRATIONS["default"]].path, json=body)

    assert answer.status_code == 200
    assert clint.receiver.history[0].result == "created"
