"""The events of a month in an afternoon, and what must be true of Clint's history after them.

Each customer has charges that go through Asaas's documented flows; each event carries its place in the customer's order
in the charge's description, so that the history alone proves order, completeness and repeats.
"""

from __future__ import annotations

import json
import random
from collections import defaultdict
from dataclasses import dataclass
from hashlib import md5
from itertools import pairwise
from pathlib import Path
from typing import Any

FLOWS = (
    ("PAYMENT_CREATED", "PAYMENT_RECEIVED"),
    ("PAYMENT_CREATED", "PAYMENT_CONFIRMED", "PAYMENT_RECEIVED"),
    ("PAYMENT_CREATED", "PAYMENT_OVERDUE", "PAYMENT_RECEIVED"),
    ("PAYMENT_CREATED", "PAYMENT_OVERDUE", "PAYMENT_CONFIRMED", "PAYMENT_RECEIVED", "PAYMENT_REFUNDED"),
)

MAPPINGS = {
    "a_funil": """
description: Toda cobrança no funil
events: [PAYMENT_*]
contact: {nome: customer.name, email: customer.email, telefone: phone(customer.mobilePhone)}
deal:
  titulo: {template: "Cobrança {payment.id}"}
  ordem: payment.description
  cliente: payment.customer
  evento: event
send_to: default
""",
    "b_cobranca": """
description: Toda cobrança também na régua
events: [PAYMENT_*]
contact: {email: customer.email}
deal: {ordem: payment.description, cliente: payment.customer, evento: event}
send_to: vencidas
""",
}
"""Two mappings of one line with different URLs: the order must hold over both."""


def write_mappings(directory: Path) -> Path:
    """Write the mapping files of the story and return their directory."""
    directory.mkdir()
    for name, text in MAPPINGS.items():
        (directory / f"{name}.yaml").write_text(text.lstrip())
    return directory


@dataclass(frozen=True, slots=True)
class Told:
    """One event of the story."""

    customer: str
    place: int
    event_id: str
    body: bytes


def customers(count: int) -> list[dict[str, Any]]:
    """Return so many customers as the simulated Asaas takes them."""
    return [
        {
            "id": f"cus_{number:012d}",
            "name": f"Cliente {number}",
            "email": f"cliente{number}@example.com",
            "mobilePhone": f"479{90000000 + number}",
        }
        for number in range(count)
    ]


def events(customer_ids: list[str], count: int, seed: int, padding: int = 0) -> dict[str, list[Told]]:
    """Return `count` events by customer, each customer's in order, and each with so many bytes more than it needs."""
    lots = random.Random(seed)
    told: dict[str, list[Told]] = defaultdict(list)
    sequence = 0
    while sequence < count:
        customer = lots.choice(customer_ids)
        charge = f"pay_{seed:04d}{sequence:010d}"
        for name in lots.choice(FLOWS)[: count - sequence]:
            place = len(told[customer])
            event_id = f"evt_{md5(name.encode(), usedforsecurity=False).hexdigest()}&{seed}{sequence:07d}"
            body = {
                "id": event_id,
                "event": name,
                # Asaas stamps whole seconds: a charge's events share one now and then.
                "dateCreated": f"2026-08-08 10:{place // 60 % 60:02d}:{place % 60:02d}",
                "payment": {
                    "object": "payment",
                    "id": charge,
                    "customer": customer,
                    "value": lots.choice([10, 10.5, 129.9]),
                    "netValue": 9.01,
                    "billingType": "PIX",
                    "status": name.removeprefix("PAYMENT_"),
                    "description": str(place),
                },
            }
            if padding:
                body["padding"] = lots.randbytes(padding // 2).hex()
            told[customer].append(Told(customer, place, event_id, json.dumps(body).encode()))
            sequence += 1
    return dict(told)


@dataclass(frozen=True, slots=True)
class Verdict:
    """What the history says."""

    delivered: int
    repeats: dict[str, int]
    """Idempotency-Key -> how often the deal was written again."""
    out_of_order: list[str]
    overlapping: list[str]


def judge(history: list[dict[str, Any]]) -> Verdict:
    """Read Clint's history: what was written, how often, and whether each customer's order held."""
    by_customer: dict[str, list[dict[str, Any]]] = defaultdict(list)
    written: dict[str, int] = defaultdict(int)
    for entry in history:
        by_customer[entry["body"]["cliente"]].append(entry)
        if entry["result"] in {"created", "updated"}:
            written[entry["headers"]["idempotency-key"]] += 1
    out_of_order, overlapping = [], []
    for customer, entries in by_customer.items():
        # Within an event the mappings go in the order of their names: a_funil to one URL, then b_cobranca to the other.
        places = [(int(entry["body"]["ordem"]), "nome" not in entry["body"]) for entry in entries]
        if places != sorted(places):
            out_of_order.append(customer)
        for before, after in pairwise(entries):
            again = before["headers"]["idempotency-key"] == after["headers"]["idempotency-key"]
            # A second try of the same delivery may come while Clint still hangs on the first: the bridge gave that up.
            if not again and before["finished_ms"] is not None and after["started_ms"] < before["finished_ms"]:
                overlapping.append(customer)
    repeats = {key: count - 1 for key, count in written.items() if count > 1}
    return Verdict(len(written), repeats, out_of_order, overlapping)
