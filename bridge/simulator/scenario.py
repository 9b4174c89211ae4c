"""The demo's charges, one of each kind, made by the Asaas API, and the deals that Clint must then have.

`play` uses only paths of the real sandbox. Names and numbers are the same in each run; the people do not exist. Each
customer has one charge or one instalment plan, since Clint's webhooks find a deal by contact and origin.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from datetime import timedelta
from typing import Any

import httpx

from bridge.simulator.asaas.customers import cpf_of
from bridge.simulator.asaas.rules import brasilia_now
from bridge.simulator.asaas.sender import authorities
from bridge.simulator.clint.account import STAGES

CARD = {"holderName": "CLIENTE TESTE", "number": "4444444444444444", "expiryMonth": "12", "expiryYear": "2031"}
WALLET = "48548710-9baa-4ec1-a11f-9010193527c6"
NEW, OVERDUE, PAID, REFUNDED = ("Nova cobrança", "OPEN"), ("Vencida", "OPEN"), ("Paga", "WON"), ("Estornada", "LOST")
"""Stage and status of the simulated integrations `default`, `vencidas`, `pagas` and `estornadas`."""
PAY, DELAY = "POST /sandbox/payment/{}/confirm", "POST /sandbox/payment/{}/overdue"


def N_(text: str) -> str:
    """Mark a text for the bridge's catalogue; the simulator imports nothing of the bridge."""
    return text


@dataclass(frozen=True)
class ExpectedDeal:
    """The deal of a customer that Clint's funnel of charges must have after all deliveries, or one for each charge."""

    kind: str
    """A message id, as the steps are."""
    name: str
    email: str | None
    phone: str
    value: float
    """Of an instalment plan, the whole."""
    place: tuple[str, str]
    """Stage and status."""
    charges: int = 1
    """Of an instalment plan, the instalments."""

    def wanted(self, *, of_charges: bool) -> list[str]:
        """Return stage, status and value as `found` does: of one deal, or of one for each charge."""
        number = self.charges if of_charges else 1
        return [f"{', '.join(self.place)}, {self.value / number}"] * number

    def found(self, deals: Iterable[Mapping[str, Any]]) -> list[str]:
        """Return stage, status and value of each deal of the customer, given all deals of Clint's API."""
        mine = [deal for deal in deals if deal["stage"] in STAGES and self._is_of(deal["contact"])]
        return [f"{deal['stage']}, {deal['status']}, {deal['value']}" for deal in mine]

    def _is_of(self, contact: Mapping[str, Any]) -> bool:
        return bool(contact["email"] == self.email if self.email else contact["phone"] == f"+55{self.phone}")


@dataclass(frozen=True)
class Sale:
    """A charge, the steps after it, and the deal that they end in."""

    deal: ExpectedDeal
    step: str
    given: dict[str, Any]
    """The charge without customer, due date and the deal's value; with a cycle, a subscription."""
    then: tuple[tuple[str, str, dict[str, Any]], ...] = ()
    """The message id of each step, its request, in which {} is the charge, and the body."""
    customer: dict[str, Any] = field(default_factory=dict)


SALES = (
    Sale(
        ExpectedDeal(N_("pix"), "Ana Beatriz Souza", "ana.souza@example.com", "11960000101", 129.9, PAID),
        N_("a Pix charge of R$ 129,90 for Ana"),
        {"billingType": "PIX", "description": "Pedido 1001"},
        ((N_("Ana pays the Pix"), PAY, {}),),
    ),
    Sale(
        ExpectedDeal(N_("boleto"), "Bruno Carvalho", "bruno.carvalho@example.com", "21960000102", 350.0, PAID),
        N_("a boleto of R$ 350,00 for Bruno"),
        {"billingType": "BOLETO", "description": "Pedido 1002"},
        ((N_("Bruno's boleto becomes overdue"), DELAY, {}), (N_("Bruno pays the overdue boleto"), PAY, {})),
    ),
    Sale(
        ExpectedDeal(N_("card"), "Carla Dias da Silva", "carla.dias@example.com", "31960000103", 900.0, PAID, 3),
        N_("a card sale to Carla in 3 instalments of R$ 300,00, approved at once"),
        {
            "billingType": "CREDIT_CARD",
            "value": 300,
            "installmentCount": 3,
            "totalValue": 900,
            "description": "Pedido 1003",
            "creditCard": CARD,
            "remoteIp": "192.0.2.1",
        },
    ),
    Sale(
        ExpectedDeal(N_("subscription"), "Daniel Esteves", "daniel.esteves@example.com", "41960000104", 79.9, PAID),
        N_("a monthly subscription of R$ 79,90 for Daniel"),
        {"billingType": "BOLETO", "cycle": "MONTHLY", "description": "Plano mensal"},
        ((N_("Daniel pays the first month"), PAY, {}),),
    ),
    Sale(
        ExpectedDeal(N_("split"), "Elisa Fontes", "elisa.fontes@example.com", "51960000105", 240.0, PAID),
        N_("a Pix charge of R$ 240,00 with a split for Elisa"),
        {"billingType": "PIX", "split": [{"walletId": WALLET, "percentualValue": 20}]},
        ((N_("Elisa pays the Pix"), PAY, {}),),
    ),
    Sale(
        ExpectedDeal(N_("refund"), "Fábio Gomes", "fabio.gomes@example.com", "61960000106", 59.9, REFUNDED),
        N_("a Pix charge of R$ 59,90 for Fábio"),
        {"billingType": "PIX", "description": "Pedido 1006"},
        ((N_("Fábio pays the Pix"), PAY, {}), (N_("Fábio's payment is refunded"), "POST /payments/{}/refund", {})),
    ),
    Sale(
        ExpectedDeal(N_("deleted"), "Gabriela Horta", "gabriela.horta@example.com", "71960000107", 45.0, REFUNDED),
        N_("a charge of R$ 45,00 for Gabriela"),
        {"billingType": "UNDEFINED"},
        ((N_("Gabriela's charge is removed"), "DELETE /payments/{}", {}),),
    ),
    Sale(
        ExpectedDeal(N_("cash"), "Mercado Ipê Ltda", None, "81960000108", 500.0, PAID),
        N_("a boleto of R$ 500,00 for Mercado Ipê"),
        {"billingType": "BOLETO"},
        ((N_("Mercado Ipê pays in cash"), "POST /payments/{}/receiveInCash", {"value": 500}),),
        customer={"cpfCnpj": "11222333000181"},
    ),
    Sale(
        ExpectedDeal(N_("overdue"), "Igor Jardim", "igor.jardim@example.com", "91960000109", 180.0, OVERDUE),
        N_("a boleto of R$ 180,00 for Igor"),
        {"billingType": "BOLETO", "description": "Pedido 1009"},
        ((N_("Igor's boleto becomes overdue"), DELAY, {}),),
    ),
    Sale(
        ExpectedDeal(N_("left to pay"), "Helena Klein", "helena.klein@example.com", "85960000110", 99.0, NEW),
        N_("a Pix charge of R$ 99,00 for Helena, left for you to pay"),
        {"billingType": "PIX", "description": "Pedido 1010"},
    ),
)


def play(
    url: str, key: str, on_step: Callable[[str], None] = lambda step: None, pause_s: float = 0.0
) -> list[ExpectedDeal]:
    """Make the charges at an API URL that ends in /v3; return the expected deals."""
    headers = {"access_token": key, "User-Agent": "bridge-demo"}
    due = (brasilia_now().date() + timedelta(days=3)).isoformat()
    with httpx.Client(base_url=url, headers=headers, timeout=10, verify=authorities(), trust_env=False) as client:

        def ask(request: str, body: dict[str, Any] | None = None) -> dict[str, Any]:
            method, path = request.split()
            answer = client.request(method, path, json=body if method == "POST" else None)
            return dict(answer.raise_for_status().json())

        def step(text: str, request: str, body: dict[str, Any]) -> dict[str, Any]:
            on_step(text)
            answer = ask(request, body)
            time.sleep(pause_s)
            return answer

        for number, sale in enumerate(SALES, start=1):
            person: dict[str, Any] = {"name": sale.deal.name, "email": sale.deal.email}
            person |= {"mobilePhone": sale.deal.phone, "notificationDisabled": True}
            person |= {"cpfCnpj": cpf_of(529_982_240 + number), **sale.customer}
            given = {"customer": ask("POST /customers", person)["id"], "value": sale.deal.value, **sale.given}
            if "cycle" in given:
                subscription = step(sale.step, "POST /subscriptions", {**given, "nextDueDate": due})["id"]
                charge = ask(f"GET /subscriptions/{subscription}/payments")["data"][0]["id"]
            else:
                charge = step(sale.step, "POST /payments", {**given, "dueDate": due})["id"]
            for text, request, body in sale.then:
                step(text, request.format(charge), body)
    return [sale.deal for sale in SALES]
