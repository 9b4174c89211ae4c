"""Many customers, and the events of their charges, for the benches.

The same arguments give the same bytes. The simulated Asaas makes each event. A customer's events keep their order,
mixed with those of the others.
"""

from __future__ import annotations

import random
from collections.abc import Iterator
from datetime import datetime, timedelta
from typing import Any

from bridge.simulator.asaas.customers import cpf_of
from bridge.simulator.asaas.rules import BRASILIA
from tests.simulated import AsaasSimulator

START = datetime(2026, 11, 22, 9, 0, tzinfo=BRASILIA)
STEP_S = 0.2
"""Several events share a second, as in a busy account."""
FIRST = 90_000_000


def bulk_customers(count: int) -> list[dict[str, Any]]:
    """Give the bodies of the customers, ids included; `POST /_sim/customers` or `Customers.load` takes them."""
    return [
        {
            "id": f"cus_{FIRST + number:012d}",
            "name": f"Cliente de Carga {number}",
            "email": f"carga{number}@example.com",
            "mobilePhone": f"119{70_000_000 + number}",
            "cpfCnpj": cpf_of(200_000_000 + number),
            "notificationDisabled": True,
        }
        for number in range(1, count + 1)
    ]


def bulk(customers: int, events: int, seed: int = 0) -> Iterator[tuple[str, bytes]]:
    """Give id and body of so many events; every customer has at least one when there are enough."""
    lots = random.Random(seed)
    now = START
    asaas = AsaasSimulator(seed=seed, clock=lambda: now)
    asaas.customers.load(bulk_customers(customers))
    lives = [_charges(asaas, customer, lots) for customer in asaas.book.customers]
    given = 0
    while given < events:
        # Each once first, in turn, so that a small stream still touches every customer.
        life = lives[given] if given < customers else lots.choice(lives)
        next(life)
        now += timedelta(seconds=STEP_S)
        fresh, asaas.book.events = asaas.book.events, []
        for event in fresh[: events - given]:
            given += 1
            yield event.id, event.body
    asaas.close()


def _charges(asaas: AsaasSimulator, customer: str, lots: random.Random) -> Iterator[None]:
    """Live a customer's life, an action at a time."""
    while True:
        value = lots.randrange(1_000, 100_000) / 100
        billing_type = lots.choice(("PIX", "BOLETO", "UNDEFINED"))
        charge = asaas.has_payment(customer, value, billing_type, description="Pedido de carga")["id"]
        yield
        if lots.random() < 0.3:
            asaas.is_overdue(charge)
            yield
        if lots.random() < 0.1:
            asaas.is_deleted(charge)
            yield
            continue
        asaas.is_paid(charge)
        yield
        if lots.random() < 0.1:
            asaas.is_refunded(charge)
            yield
