"""A deployment whose one destination is an origin of the simulated Clint, and the charges that it is told of."""

from __future__ import annotations

import json
import sys
from collections.abc import Mapping
from contextlib import closing
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any, ClassVar

from bridge.journal import Database
from bridge.simulator.clint.account import DEFAULT_TOKEN, KEY_FIELD
from tests import asking
from tests.acceptance.deployment import Child, Deployment, until
from tests.torture.judge import settled

MAPPING = f"""
events: [PAYMENT_*]
contact: {{nome: customer.name, email: customer.email, telefone: phone(customer.mobilePhone)}}
deal: {{titulo: {{template: "Cobrança {{payment.id}}"}}, valor: payment.value}}
one_deal_per: charge
funnel:
  stage:
    from: event
    lookup:
      PAYMENT_CREATED: Nova cobrança
      PAYMENT_OVERDUE: Vencida
      PAYMENT_RECEIVED: Paga
      PAYMENT_REFUNDED: Estornada
  status: {{from: event, lookup: {{PAYMENT_RECEIVED: won, PAYMENT_REFUNDED: lost}}, default: open}}
  tags: [Asaas]
  key_field: {KEY_FIELD}
send_to: vendas
"""


FIRST_EVENT = datetime(2026, 11, 30, 10)  # noqa: DTZ001 - in the time of Brasília, as Asaas writes it


class DealDeployment(Deployment):
    """A deployment with one API destination."""

    with_api: ClassVar[Mapping[str, str]] = {
        "CLINT_ORIGIN_VENDAS": "Vendas",
        "CLINT_API_RATE_LIMIT": "500/second",
        "CLINT_DEAL_APPEARS_S": "1",
        "BRIDGE_LEASE": "4",
        "BRIDGE_SEND_TIMEOUT": "1",
    }

    def _begin(self) -> None:
        super()._begin()
        self.env |= {"CLINT_API_TOKEN": DEFAULT_TOKEN, "CLINT_API_URL": self.clint_url, **self.with_api}
        self.posted = 0

    def has_customers(self, number: int) -> list[str]:
        """Add customers at Asaas and return their ids."""
        ids = [f"cus_{n:012d}" for n in range(number)]
        people = [
            {"id": id_, "name": f"Cliente {id_}", "email": f"{id_}@example.com", "mobilePhone": f"479{90000000 + n}"}
            for n, id_ in enumerate(ids)
        ]
        self.asaas("customers", customers=people)
        return ids

    def tells(self, customer: str, *names: str, charge: str = "", value: float = 129.9) -> None:
        """Post these events of a charge, by default of the customer's only one."""
        for name in names:
            self.posted += 1
            payment = {
                "object": "payment",
                "id": charge or f"pay_{customer}",
                "customer": customer,
                "value": value,
                "billingType": "PIX",
                "status": name.removeprefix("PAYMENT_"),
            }
            body = {
                "id": f"evt_{self.posted:032d}&{self.posted}",
                "event": name,
                "dateCreated": f"{FIRST_EVENT + timedelta(seconds=self.posted)}",
                "payment": payment,
            }
            self.post_until_kept(json.dumps(body).encode())

    def judged(self) -> list[dict[str, Any]]:
        """Return every deal in Clint, with its key and place."""
        answer = asking.get(f"{self.clint_url}/_sim/judged?field={KEY_FIELD}", timeout=10)
        found: list[dict[str, Any]] = answer.json()["data"]
        return found

    def deals(self) -> int:
        """Return how many deals Clint has."""
        return len(self.judged())

    def contacts(self) -> int:
        """Return how many contacts Clint has."""
        headers = {"api-token": DEFAULT_TOKEN}
        answer = asking.get(f"{self.clint_url}/v1/contacts?limit=1000", headers=headers, timeout=10)
        return len(answer.json()["data"])

    def settles(self, patience_s: float = 60) -> None:
        """Wait until every event is processed and every delivery finished."""
        with closing(Database(self.env["DATABASE_URL"])) as database:
            until(lambda: settled(database), patience_s)

    def worker_dies(self, point: str) -> None:
        """Start a worker that kills itself there, and wait until it has."""
        child = self.worker()
        child.env = {**self.env, "BRIDGE_FAILPOINT": point}
        before = self.log_of("worker").count("failpoint.reached") if child.log.exists() else 0
        child.start()
        until(lambda: self.log_of("worker").count("failpoint.reached") > before, 60, 0.02)
        until(lambda: not child.alive, 10, 0.02)

    def works(self) -> None:
        """Start a worker that lives."""
        self.worker().start()

    def worker(self, name: str = "worker") -> Child:
        """Return a worker that is not started."""
        command = [sys.executable, "-m", "bridge", "worker"]
        self.children[name] = self._child(command, self.env, self._scratch / f"{name}.log")
        return self.children[name]


def write_mapping(scratch: Path) -> Path:
    """Write the mapping into a directory of its own and return that."""
    mappings = scratch / "mappings"
    mappings.mkdir()
    (mappings / "vendas.yaml").write_text(MAPPING.lstrip())
    return mappings
