"""The pages that a person looks at."""

from __future__ import annotations

import httpx

from bridge.simulator.asaas.sender import MOST_FAILURES
from bridge.simulator.clint.account import DEFAULT_TOKEN, INTEGRATIONS
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
    for text in (page(api), crm.get("/").text):
        assert "http://" not in text
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
