"""The demo's charges, one of each kind, made by the Asaas API, and the deals that Clint must then have.

`play` uses only paths of the real sandbox. Names and numbers are the same in each run; the people do not exist. Each
customer has one charge or one instalment plan, since Clint finds a deal by contact and origin.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
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


def N_(text: str) -> str:
    """Mark a text for the bridge's catalogue; the simulator imports nothing of the bridge."""
    return text


@dataclass(frozen=True)
class ExpectedDeal:
    """The deal of a customer that Clint's funnel of charges must have after all deliveries."""

    kind: str
    """A message id, as the steps are."""
    name: str
    email: str | None
    phone: str | None
    value: float
    """Of an instalment plan, the whole."""
    last_event: str
    place: tuple[str, str]
    """Stage and status."""

    @property
    def wanted(self) -> str:
        """Stage, status and value, as `found` writes them."""
        return f"{', '.join(self.place)}, {self.value}"

    def found(self, deals: Iterable[Mapping[str, Any]]) -> list[str]:
        """Return stage, status and value of each deal of the customer, given all deals of Clint's API."""
        mine = [deal for deal in deals if deal["stage"] in STAGES and self._is_of(deal["contact"])]
        return [f"{deal['stage']}, {deal['status']}, {deal['value']}" for deal in mine]

    def _is_of(self, contact: Mapping[str, Any]) -> bool:
        return bool(contact["email"] == self.email if self.email else contact["phone"] == f"+55{self.phone}")


class Account:
    """A client of the API of an Asaas account."""

    def __init__(self, url: str, key: str, on_step: Callable[[str], None], pause_s: float) -> None:
        headers = {"access_token": key, "User-Agent": "bridge-demo"}
        self._client = httpx.Client(base_url=url, headers=headers, timeout=10, verify=authorities(), trust_env=False)
        self._on_step = on_step
        self._pause_s = pause_s
        self.due = (brasilia_now().date() + timedelta(days=3)).isoformat()

    def close(self) -> None:
        self._client.close()

    def post(self, step: str, path: str, **body: Any) -> dict[str, Any]:
        """Report a step, post it and pause."""
        self._on_step(step)
        answer = self._client.post(path, json=body).raise_for_status().json()
        time.sleep(self._pause_s)
        return dict(answer)

    def delete(self, step: str, path: str) -> None:
        self._on_step(step)
        self._client.delete(path).raise_for_status()
        time.sleep(self._pause_s)

    def get(self, path: str) -> dict[str, Any]:
        return dict(self._client.get(path).raise_for_status().json())

    def customer(self, number: int, name: str, **fields: Any) -> str:
        given = {"name": name, "cpfCnpj": cpf_of(529_982_240 + number), "notificationDisabled": True, **fields}
        return str(self._client.post("/customers", json=given).raise_for_status().json()["id"])

    def charge(self, step: str, customer: str, billing_type: str, **fields: Any) -> str:
        given = {"customer": customer, "billingType": billing_type, "dueDate": self.due, **fields}
        return str(self.post(step, "/payments", **given)["id"])


def play(
    url: str, key: str, on_step: Callable[[str], None] = lambda step: None, pause_s: float = 0.0
) -> list[ExpectedDeal]:
    """Make the charges at an API URL that ends in /v3; return the expected deals."""
    account = Account(url, key, on_step, pause_s)
    try:
        return [kind(account) for kind in KINDS]
    finally:
        account.close()


def _pix_paid(account: Account) -> ExpectedDeal:
    name, email = "Ana Beatriz Souza", "ana.souza@example.com"
    customer = account.customer(1, name, email=email, mobilePhone="11960000101")
    charge = account.charge(
        N_("a Pix charge of R$ 129,90 for Ana"), customer, "PIX", value=129.9, description="Pedido 1001"
    )
    account.post(N_("Ana pays the Pix"), f"/sandbox/payment/{charge}/confirm")
    return ExpectedDeal(N_("pix"), name, email, "11960000101", 129.9, "PAYMENT_RECEIVED", PAID)


def _boleto_overdue_then_paid(account: Account) -> ExpectedDeal:
    name, email = "Bruno Carvalho", "bruno.carvalho@example.com"
    customer = account.customer(2, name, email=email, mobilePhone="21960000102")
    charge = account.charge(
        N_("a boleto of R$ 350,00 for Bruno"), customer, "BOLETO", value=350, description="Pedido 1002"
    )
    account.post(N_("Bruno's boleto becomes overdue"), f"/sandbox/payment/{charge}/overdue")
    account.post(N_("Bruno pays the overdue boleto"), f"/sandbox/payment/{charge}/confirm")
    return ExpectedDeal(N_("boleto"), name, email, "21960000102", 350.0, "PAYMENT_RECEIVED", PAID)


def _boleto_overdue(account: Account) -> ExpectedDeal:
    name, email = "Igor Jardim", "igor.jardim@example.com"
    customer = account.customer(9, name, email=email, mobilePhone="91960000109")
    charge = account.charge(
        N_("a boleto of R$ 180,00 for Igor"), customer, "BOLETO", value=180, description="Pedido 1009"
    )
    account.post(N_("Igor's boleto becomes overdue"), f"/sandbox/payment/{charge}/overdue")
    return ExpectedDeal(N_("overdue"), name, email, "91960000109", 180.0, "PAYMENT_OVERDUE", OVERDUE)


def _card_in_three(account: Account) -> ExpectedDeal:
    name, email = "Carla Dias da Silva", "carla.dias@example.com"
    customer = account.customer(3, name, email=email, mobilePhone="31960000103")
    account.charge(
        N_("a card sale to Carla in 3 instalments of R$ 300,00, approved at once"),
        customer,
        "CREDIT_CARD",
        value=300,
        installmentCount=3,
        totalValue=900,
        description="Pedido 1003",
        creditCard=CARD,
        remoteIp="192.0.2.1",
    )
    return ExpectedDeal(N_("card"), name, email, "31960000103", 900.0, "PAYMENT_CONFIRMED", PAID)


def _subscription(account: Account) -> ExpectedDeal:
    name, email = "Daniel Esteves", "daniel.esteves@example.com"
    customer = account.customer(4, name, email=email, mobilePhone="41960000104")
    subscription = account.post(
        N_("a monthly subscription of R$ 79,90 for Daniel"),
        "/subscriptions",
        customer=customer,
        billingType="BOLETO",
        value=79.9,
        nextDueDate=account.due,
        cycle="MONTHLY",
        description="Plano mensal",
    )
    charge = account.get(f"/subscriptions/{subscription['id']}/payments")["data"][0]["id"]
    account.post(N_("Daniel pays the first month"), f"/sandbox/payment/{charge}/confirm")
    return ExpectedDeal(N_("subscription"), name, email, "41960000104", 79.9, "PAYMENT_RECEIVED", PAID)


def _split(account: Account) -> ExpectedDeal:
    name, email = "Elisa Fontes", "elisa.fontes@example.com"
    customer = account.customer(5, name, email=email, mobilePhone="51960000105")
    split = [{"walletId": WALLET, "percentualValue": 20}]
    charge = account.charge(
        N_("a Pix charge of R$ 240,00 with a split for Elisa"), customer, "PIX", value=240, split=split
    )
    account.post(N_("Elisa pays the Pix"), f"/sandbox/payment/{charge}/confirm")
    return ExpectedDeal(N_("split"), name, email, "51960000105", 240.0, "PAYMENT_SPLIT_DONE", PAID)


def _refunded(account: Account) -> ExpectedDeal:
    name, email = "Fábio Gomes", "fabio.gomes@example.com"
    customer = account.customer(6, name, email=email, mobilePhone="61960000106")
    charge = account.charge(
        N_("a Pix charge of R$ 59,90 for Fábio"), customer, "PIX", value=59.9, description="Pedido 1006"
    )
    account.post(N_("Fábio pays the Pix"), f"/sandbox/payment/{charge}/confirm")
    account.post(N_("Fábio's payment is refunded"), f"/payments/{charge}/refund")
    return ExpectedDeal(N_("refund"), name, email, "61960000106", 59.9, "PAYMENT_REFUNDED", REFUNDED)


def _deleted(account: Account) -> ExpectedDeal:
    name, email = "Gabriela Horta", "gabriela.horta@example.com"
    customer = account.customer(7, name, email=email, mobilePhone="71960000107")
    charge = account.charge(N_("a charge of R$ 45,00 for Gabriela"), customer, "UNDEFINED", value=45)
    account.delete(N_("Gabriela's charge is removed"), f"/payments/{charge}")
    return ExpectedDeal(N_("deleted"), name, email, "71960000107", 45.0, "PAYMENT_DELETED", REFUNDED)


def _cash_without_email(account: Account) -> ExpectedDeal:
    name = "Mercado Ipê Ltda"
    customer = account.customer(8, name, cpfCnpj="11222333000181", mobilePhone="81960000108")
    charge = account.charge(N_("a boleto of R$ 500,00 for Mercado Ipê"), customer, "BOLETO", value=500)
    account.post(N_("Mercado Ipê pays in cash"), f"/payments/{charge}/receiveInCash", value=500)
    return ExpectedDeal(N_("cash"), name, None, "81960000108", 500.0, "PAYMENT_RECEIVED", PAID)


def _left_to_pay(account: Account) -> ExpectedDeal:
    name, email = "Helena Klein", "helena.klein@example.com"
    customer = account.customer(10, name, email=email, mobilePhone="85960000110")
    account.charge(
        N_("a Pix charge of R$ 99,00 for Helena, left for you to pay"),
        customer,
        "PIX",
        value=99,
        description="Pedido 1010",
    )
    return ExpectedDeal(N_("left to pay"), name, email, "85960000110", 99.0, "PAYMENT_CREATED", NEW)


KINDS = (
    _pix_paid,
    _boleto_overdue_then_paid,
    _card_in_three,
    _subscription,
    _split,
    _refunded,
    _deleted,
    _cash_without_email,
    _boleto_overdue,
    _left_to_pay,
)
