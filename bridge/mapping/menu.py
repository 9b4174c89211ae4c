"""What `bridge mappings new` offers: fields that most automations send, with an example of what each one gives.

The examples are also the event and the customer of the test that a new file gets, so the menu, the file and its test
can't disagree.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any

from bridge.mapping.asaas_events import EVENTS
from bridge.mapping.parts import covers


@dataclass(frozen=True, slots=True)
class Offer:
    """One field of the menu."""

    group: str
    key: str
    source: str
    """As it stands in the file: an expression, or a block in braces."""
    entity: str = ""
    """The object that its event must carry; empty: any event of a customer."""


OFFERS: tuple[Offer, ...] = (
    Offer("contact", "nome", "customer.name"),
    Offer("contact", "email", "customer.email"),
    Offer("contact", "telefone", "phone(customer.mobilePhone) || phone(customer.phone)"),
    Offer("contact", "cpf_cnpj", "cpf_cnpj(customer.cpfCnpj)"),
    Offer("organization", "empresa", "customer.company"),
    Offer("deal", "titulo", '{template: "Cobrança {payment.invoiceNumber} - {customer.name}"}', "payment"),
    Offer("deal", "valor", "money(payment.value)", "payment"),
    Offer("deal", "valor_liquido", "money(payment.netValue)", "payment"),
    Offer("deal", "taxa", "money(fee)", "payment"),
    Offer("deal", "situacao", "label(payment.status)", "payment"),
    Offer("deal", "vencimento", "date(payment.dueDate, '%d/%m/%Y')", "payment"),
    Offer("deal", "pago_em", "date(payment.clientPaymentDate, '%d/%m/%Y')", "payment"),
    Offer("deal", "forma_de_pagamento", "label(payment.billingType)", "payment"),
    Offer("deal", "parcela", "payment.installmentNumber", "payment"),
    Offer("deal", "descricao", "payment.description", "payment"),
    Offer("deal", "referencia", "payment.externalReference", "payment"),
    Offer("deal", "link", "payment.invoiceUrl", "payment"),
    Offer("deal", "codigo_asaas", "payment.id", "payment"),
    Offer("deal", "titulo", '{template: "{subscription.description} - {customer.name}"}', "subscription"),
    Offer("deal", "valor", "money(subscription.value)", "subscription"),
    Offer("deal", "situacao", "label(event)", "subscription"),
    Offer("deal", "proximo_vencimento", "date(subscription.nextDueDate, '%d/%m/%Y')", "subscription"),
    Offer("deal", "forma_de_pagamento", "label(subscription.billingType)", "subscription"),
    Offer("deal", "codigo_asaas", "subscription.id", "subscription"),
    Offer("deal", "origem", "{text: Asaas}"),
)
USUAL = frozenset(
    {
        *("nome", "email", "telefone", "titulo", "valor", "situacao", "vencimento"),
        *("forma_de_pagamento", "link", "codigo_asaas", "proximo_vencimento"),
    }
)
"""The keys that are taken where nobody chooses."""

EXAMPLES: Mapping[str, Any] = MappingProxyType(
    {
        "payment": {
            "id": "pay_exemplo000001001",
            "customer": "cus_000000000001",
            "invoiceNumber": "00001001",
            "value": 129.9,
            "netValue": 127.91,
            "status": "RECEIVED",
            "billingType": "PIX",
            "dueDate": "2026-11-22",
            "clientPaymentDate": "2026-11-20",
            "installmentNumber": 1,
            "description": "Pedido 1001",
            "externalReference": "loja-1001",
            "invoiceUrl": "https://sandbox.asaas.com/i/exemplo000001001",
        },
        "subscription": {
            "id": "sub_exemplo000001008",
            "customer": "cus_000000000001",
            "value": 49.9,
            "nextDueDate": "2026-12-10",
            "description": "Plano Pró",
            "billingType": "CREDIT_CARD",
            "externalReference": "loja-1008",
        },
        "customer": {
            "name": "Cliente Teste",
            "email": "cliente.teste@example.com",
            "mobilePhone": "47990000001",
            "phone": None,
            "cpfCnpj": "24971563792",
            "company": "Empresa Exemplo",
        },
    }
)


def entity_of(events: tuple[str, ...]) -> str:
    """Return the object that these events or families carry; empty where the menu has none, or they differ."""
    entities = {known.entity for known in EVENTS.values() if covers(events, known.name)}
    (entity,) = entities if len(entities) == 1 else ("",)
    return entity if entity in {"payment", "subscription"} else ""


def offers_of(entity: str) -> list[Offer]:
    """Return the fields of the menu for an event that carries this object."""
    return [offer for offer in OFFERS if offer.entity in {"", entity}]
