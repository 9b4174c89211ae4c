"""Event in, deal out, by real processes: workers are killed at every step of a deal, and each charge is one deal."""

from __future__ import annotations

import json
import random
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from bridge.failpoints import FAILPOINTS
from bridge.journal import Database
from bridge.simulator.clint.account import DEFAULT_TOKEN, KEY_FIELD
from tests import asking
from tests.acceptance.deployment import Child, Deployment, until
from tests.databases import on_both
from tests.torture.judge import settled

DEAL_POINTS = tuple(name for name in FAILPOINTS if name.startswith("deal."))
"""The failpoints that this file tries; `tests/torture` tries the others."""

MAPPING = f"""
events: [PAYMENT_*]
contact: {{nome: customer.name, email: customer.email, telefone: phone(customer.mobilePhone)}}
deal: {{titulo: {{template: "Cobrança {{payment.id}}"}}, valor: payment.value}}
one_deal_per: charge
funnel:
  stage: {{from: event, lookup: {{PAYMENT_CREATED: Nova cobrança, PAYMENT_OVERDUE: Vencida, PAYMENT_RECEIVED: Paga}}}}
  status: {{from: event, lookup: {{PAYMENT_RECEIVED: won}}, default: open}}
  tags: [Asaas]
  key_field: {KEY_FIELD}
send_to: vendas
"""


class DealDeployment(Deployment):
    """A deployment with one API destination."""

    def _begin(self) -> None:
        super()._begin()
        self.env |= {
            "CLINT_API_TOKEN": DEFAULT_TOKEN,
            "CLINT_API_URL": self.clint_url,
            "CLINT_ORIGIN_VENDAS": "Vendas",
            "CLINT_API_RATE_LIMIT": "500/second",
            "CLINT_DEAL_APPEARS_S": "1",
            "BRIDGE_LEASE": "4",
            "BRIDGE_SEND_TIMEOUT": "1",
        }
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

    def tells(self, customer: str, *names: str, charge: str = "") -> None:
        """Post these events of a charge, by default of the customer's only one."""
        for name in names:
            self.posted += 1
            payment = {
                "object": "payment",
                "id": charge or f"pay_{customer}",
                "customer": customer,
                "value": 129.9,
                "billingType": "PIX",
                "status": name.removeprefix("PAYMENT_"),
            }
            body = {
                "id": f"evt_{self.posted:032d}&{self.posted}",
                "event": name,
                "dateCreated": f"2026-11-30 10:{self.posted // 60:02d}:{self.posted % 60:02d}",
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


@pytest.fixture
def site(tmp_path: Path, database_url: str, redis_url: str, redis: object) -> Iterator[DealDeployment]:
    """Give a deployment on each database, with a web process and no worker yet."""
    mappings = tmp_path / "mappings"
    mappings.mkdir()
    (mappings / "vendas.yaml").write_text(MAPPING.lstrip())
    with DealDeployment(tmp_path, database_url, redis_url, mappings) as site:
        site.start(webs=1, workers=0)
        yield site


FLOWS = (
    ("PAYMENT_CREATED", "PAYMENT_RECEIVED"),
    ("PAYMENT_CREATED", "PAYMENT_OVERDUE", "PAYMENT_RECEIVED"),
    ("PAYMENT_CREATED", "PAYMENT_OVERDUE"),
    ("PAYMENT_RECEIVED",),
)
PLACES = {
    "PAYMENT_CREATED": ("Nova cobrança", "OPEN"),
    "PAYMENT_OVERDUE": ("Vencida", "OPEN"),
    "PAYMENT_RECEIVED": ("Paga", "WON"),
}
MOVED = ("Estornada", "LOST")


@on_both
def test_each_charge_is_one_deal_in_bad_weather(site: DealDeployment) -> None:
    """A third of the answers lost after the write, 429s, late lists, two workers killed, a person who moves deals."""
    lots = random.Random(7)
    customers = site.has_customers(8)
    told = {f"pay_{number:04d}": lots.choice(FLOWS) for number in range(40)}
    site.clint("knobs", late_s=0.3, contacts_late_s=0.3)
    site.clint("breaks", how="closes", path="/v1", method="POST", share=0.3)
    site.clint("answers", status=429, path="/v1", share=0.03)
    site.clint("person/follows", share=0.1, stage=MOVED[0], status=MOVED[1], field=KEY_FIELD)
    workers = [site.worker(f"worker-{number}") for number in range(2)]
    for worker in workers:
        worker.start()

    def tell() -> None:
        for number, (charge, names) in enumerate(told.items()):
            site.tells(customers[number % len(customers)], *names, charge=charge)

    telling = threading.Thread(target=tell)
    telling.start()
    for _ in range(6):
        time.sleep(lots.uniform(1, 2))  # a worker dies at any moment
        victim = lots.choice(workers)
        victim.kill()
        victim.start()
    telling.join()
    site.clint("comes_back")
    site.settles(120)

    deals = {deal["key"]: deal for deal in site.judged()}
    moved = {key for key, deal in deals.items() if deal["moved_by"] == "person"}
    assert site.deals() == len(told)
    assert deals.keys() == told.keys()
    assert {key: (deal["stage"], deal["status"]) for key, deal in deals.items()} == {
        key: MOVED if key in moved else PLACES[names[-1]] for key, names in told.items()
    }
    places = {key: deals[key]["places"] for key in deals.keys() - moved}
    assert [(key, all_) for key, all_ in places.items() if "person" in [by for by, *_ in all_]] == []
    assert moved
    assert site.contacts() == len(customers)


@on_both
def test_each_charge_is_one_deal_where_workers_are_killed_at_every_step(site: DealDeployment) -> None:
    """A worker dies at each failpoint of a deal; the next ones go on from what was noted, and nothing is doubled."""
    customers = site.has_customers(len(DEAL_POINTS))
    for customer, point in zip(customers, DEAL_POINTS, strict=True):
        if point == "deal.contact_updated":
            known = {"email": f"{customer}@example.com", "name": "Outro nome"}
            headers = {"api-token": DEFAULT_TOKEN}
            with asking.client(headers=headers, timeout=10) as clint:
                clint.post(f"{site.clint_url}/v1/contacts", json=known).raise_for_status()
        site.tells(customer, "PAYMENT_CREATED", "PAYMENT_OVERDUE", "PAYMENT_RECEIVED")
        site.worker_dies(point)
    site.works()
    site.settles()

    deals = site.judged()
    assert sorted(deal["key"] for deal in deals) == sorted(f"pay_{customer}" for customer in customers)
    assert {(deal["stage"], deal["status"], deal["moved_by"]) for deal in deals} == {("Paga", "WON", "api")}
    assert site.contacts() == len(customers)


def test_the_second_event_moves_the_deal_of_the_first(site: DealDeployment) -> None:
    """The whole way with one worker: created, overdue, paid, each seen in Clint."""
    (customer,) = site.has_customers(1)
    site.works()
    site.tells(customer, "PAYMENT_CREATED")
    until(lambda: [one["stage"] for one in site.judged()] == ["Nova cobrança"], 60)
    site.tells(customer, "PAYMENT_OVERDUE")
    until(lambda: [one["stage"] for one in site.judged()] == ["Vencida"], 60)
    site.tells(customer, "PAYMENT_RECEIVED")
    site.settles()

    (deal,) = site.judged()
    assert (deal["key"], deal["stage"], deal["status"], deal["value"]) == (f"pay_{customer}", "Paga", "WON", 129.9)
