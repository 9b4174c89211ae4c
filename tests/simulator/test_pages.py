"""The pages that a person looks at."""

from __future__ import annotations

import httpx

from bridge.simulator.asaas.account import DEFAULT_KEY
from bridge.simulator.asaas.sender import MOST_FAILURES
from bridge.simulator.clint.account import DEFAULT_TOKEN, INTEGRATIONS
from bridge.simulator.clint.receiver import PATH
from tests import asking
from tests.simulated import AsaasSimulator, ClintSimulator
from tests.simulator.conftest import Inbox
from tests.simulator.test_asaas_sender import until


def page(api: httpx.Client, path: str = "/") -> str:
    """Give the page of the simulator behind the API's client."""
    return asking.get(site(api) + path).raise_for_status().text


def site(api: httpx.Client) -> str:
    """Give the address of the simulator behind the API's client."""
    return str(api.base_url).removesuffix("/v3/")


def test_empty_pages(api: httpx.Client, crm: httpx.Client) -> None:
    """With nothing in them the pages say so, and need nothing from elsewhere."""
    for client, text in ((api, page(api)), (crm, crm.get("/").text)):
        own = f"{client.base_url.scheme}://{client.base_url.netloc.decode()}"
        assert "http://" not in text.replace(own, "")
        assert "https://" not in text
        assert 'name="viewport"' in text
    assert "Nenhuma cobrança ainda" in page(api)
    assert "Nada chegou ainda" in crm.get("/").text


def test_charges_with_their_buttons(asaas: AsaasSimulator, api: httpx.Client) -> None:
    """A charge stands with name, amount and state; its buttons pay it, let it fall due, refund and remove it."""
    customer = asaas.has_customer(name="Ana <b>")
    paid, removed = (asaas.has_payment(customer, 1234.5)["id"] for _ in range(2))

    def press(charge: str, action: str) -> httpx.Response:
        return asking.post(f"{site(api)}/charges/{charge}/{action}")

    text = page(api)
    assert "Ana &lt;b&gt;" in text
    assert "R$ 1.234,50" in text
    assert press(paid, "overdue").status_code == 303
    assert "Vencida" in page(api)
    press(paid, "pay")
    assert "Recebida" in page(api)
    press(paid, "refund")
    press(removed, "delete")
    text = page(api)
    assert "Estornada" in text
    assert "Removida" in text
    wrong = press(paid, "pay").headers["Location"]
    assert "não permite" in page(api, wrong)
    assert press("pay_0", "pay").headers["Location"].startswith("/?problem=")
    assert press(paid, "burn").headers["Location"] == "/"


def test_keys_and_addresses_are_shown(api: httpx.Client, crm: httpx.Client) -> None:
    """What the bridge needs of each simulator stands on its page, to be copied."""
    own = str(crm.base_url).rstrip("/").removesuffix("/v1")
    asaas_page, clint_page = page(api), crm.get("/").text

    assert f"<code>{DEFAULT_KEY}</code>" in asaas_page
    assert f"ASAAS_API_URL={site(api)}/v3<" in asaas_page
    assert f"<code>{DEFAULT_TOKEN}</code>" in clint_page
    assert f"CLINT_API_URL={own}<" in clint_page
    assert all(f"{own}{PATH}{uuid}<" in clint_page for uuid in INTEGRATIONS.values())


def test_a_customer_and_a_charge_are_made_on_the_page(asaas: AsaasSimulator, api: httpx.Client) -> None:
    """By forms on pages that do not refresh themselves; what Asaas refuses is said, and what was typed stays."""
    home = site(api)
    assert "Crie o primeiro" in page(api, "/new-charge")
    refused = asking.post(f"{home}/new-customer", data={"name": "Ana <b>", "mobilePhone": "123"})
    made = asking.post(f"{home}/new-customer", data={"name": "Ana <b>", "email": "ana@example.com", "cpfCnpj": ""})
    (customer,) = asaas.book.customers.values()
    form = page(api, "/new-charge")
    given = {"customer": customer["id"], "value": "1.234,50", "billingType": "PIX", "description": "Pedido 7"}
    given |= {"dueDate": asaas.book.today().isoformat(), "installmentCount": "1"}
    wrong = asking.post(f"{home}/new-charge", data={**given, "value": "muito"})
    asking.post(f"{home}/new-charge", data=given)
    asking.post(f"{home}/new-charge", data={**given, "value": "90", "installmentCount": "3"})

    assert (refused.status_code, made.status_code, wrong.status_code) == (400, 303, 400)
    assert "telefone informado" in refused.text
    assert "Ana &lt;b&gt;" in refused.text
    assert "Ana &lt;b&gt;" in form
    assert 'http-equiv="refresh"' not in form + refused.text
    assert "Pedido 7" in wrong.text
    assert [one["value"] for one in asaas.book.payments.values()] == [1234.5, 30, 30, 30]


def test_clint_fails_on_purpose_and_says_so(clint: ClintSimulator, crm: httpx.Client) -> None:
    """For the next requests or until it is switched off; the API for reading deals goes on."""

    def sends() -> int:
        body = {"nome": "Ana", "email": "ana@example.com"}
        return crm.post(f"{PATH}{INTEGRATIONS['default']}", json=body).status_code

    crm.post("/faults", data={"status": "422", "times": "2"})
    text = crm.get("/").text
    assert "422" in text
    assert "mais 2 vezes" in text
    assert [sends() for _ in range(3)] == [422, 422, 200]
    assert "Falhando de propósito" not in crm.get("/").text
    crm.post("/faults", data={"status": "404", "times": "2", "until": "off"})
    assert [sends() for _ in range(4)] == [404] * 4
    assert "até alguém desligar" in crm.get("/").text
    crm.post("/faults/off")
    assert sends() == 200
    crm.post("/faults", data={"status": "200"})
    assert "Falhando de propósito" not in crm.get("/").text
    assert {entry.status for entry in clint.receiver.history} == {200, 404, 422}


def test_webhooks_and_their_tries(asaas: AsaasSimulator, api: httpx.Client, inbox: Inbox) -> None:
    """A paused webhook is shown as such and can be switched on by its button; the last tries are listed."""
    inbox.always = 500
    webhook = asaas.posts_to(inbox.url)["id"]
    asaas.has_payment(asaas.has_customer())
    assert until(lambda: len(asaas.webhooks.tries) == MOST_FAILURES, 10)
    assert until(lambda: "fila pausada" in page(api))
    assert "1 evento espera entrega" in page(api)
    inbox.always = None
    assert asking.post(f"{site(api)}/webhooks/{webhook}/resume").status_code == 303
    assert asaas.is_settled()

    text = page(api)
    assert "ativa" in text
    assert "0 eventos esperam entrega" in text
    assert "PAYMENT_CREATED" in text


def test_funnel(clint: ClintSimulator, crm: httpx.Client) -> None:
    """Deals stand in their columns, newest first, with amount and sum; the history is below."""

    def post(name: str, **body: str) -> None:
        crm.post(f"/endpoints/integration/webhook/{INTEGRATIONS[name]}", json=body)

    post("default", nome="Ana <i>", email="ana@example.com", valor="1500", titulo="C 1", forma="Pix")
    post("default", telefone="11988887777")
    post("pagas", nome="Bia", email="bia@example.com", valor="10")
    post("default", nome="Ninguém")
    crm.post("/endpoints/integration/webhook/x", json={})
    text = crm.get("/").text

    assert "Ana &lt;i&gt;" in text
    assert "R$ 1.500,00" in text
    assert "forma: Pix" in text
    assert text.index("11988887777") < text.index("Ana &lt;i&gt;")
    assert "Ganho" in text
    assert "sem e-mail e sem telefone" in text
    assert "sem integração" in text


def test_deals_of_the_api_and_of_people(clint: ClintSimulator, crm: httpx.Client) -> None:
    """A deal stands with its key before its other fields, also one of nobody; what API and people wrote is listed."""
    origin = clint.crm.origin("Vendas")["id"]
    fields = {"um": "1", "dois": "2", "tres": "3", "quatro": "4", "codigo_asaas": "pay_7"}
    body = {"origin_id": origin, "value": 30, "fields": fields}
    assert "Pela API" not in crm.get("/").text
    deal = crm.post("/v1/deals", json=body, headers={"api-token": DEFAULT_TOKEN}).json()["id"]
    clint.person.moves(deal, "Paga", "WON")
    text = crm.get("/").text

    for words in ("Sem nome", "R$ 30,00", "codigo_asaas: pay_7", "API criou", "uma pessoa alterou", "Paga · Ganho"):
        assert words in text
    assert "quatro: 4" not in text
    clint.removes_origin("Vendas")
    assert "Sem nome" not in crm.get("/").text
