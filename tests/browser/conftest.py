"""A Chromium of this machine, and a bridge in real processes between the simulators, for all journeys together.

A machine without Chromium skips them and says so; under CI=true they fail.
"""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterator
from functools import cached_property

import pytest
from playwright.sync_api import Browser, sync_playwright
from werkzeug.security import generate_password_hash

from bridge.crypto import new_key
from bridge.simulator.asaas.account import DEFAULT_KEY
from tests import asking
from tests.acceptance.deployment import Deployment, until
from tests.browser.looking import ARGUMENTS, Visitor
from tests.console import PASSWORD, QUICK, VIEWER
from tests.missing import cannot_have

CHROMIUM = ("chromium-headless-shell", "chromium", "chromium-browser", "google-chrome")
MAPPING = """
description: Cobrança paga vira (ou atualiza) negócio
events: [PAYMENT_RECEIVED]
filter:
  all:
    - {field: payment.value, at_least: 50}
contact: {nome: customer.name, email: customer.email, telefone: phone(customer.mobilePhone)}
deal:
  titulo: {template: "Cobrança {payment.invoiceNumber}"}
  valor: money(payment.value)
"""
in_both_languages = pytest.mark.parametrize(
    "visitor", [pytest.param("en", marks=pytest.mark.long), "pt"], ids=["en", "pt"], indirect=True
)
PEOPLE = [
    ("cus_000000000001", "Ana Lúcia Ferreira", "24971563792"),
    ("cus_000000000002", "Bruno Carvalho", "52998224725"),
    ("cus_000000000003", "Clara Nunes", "11144477735"),
]


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Mark all journeys as slow."""
    for item in items:
        if "tests/browser/" in item.path.as_posix():
            item.add_marker(pytest.mark.slow)


@pytest.fixture(scope="module")  # while it is open, no other test of the process can run a loop of its own
def chromium() -> Iterator[Browser]:
    """Give the machine's own Chromium."""
    path = next((found for name in CHROMIUM if (found := shutil.which(name))), None)
    if path is None:
        cannot_have("Chromium", f"none of {', '.join(CHROMIUM)} is on PATH")
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=path, args=list(ARGUMENTS))
        yield browser
        browser.close()


class Site(Deployment):
    """A bridge with a console, and what Asaas says to it."""

    @property
    def base_url(self) -> str:
        """The console's address."""
        return self._web_urls[0]

    @cached_property
    def missed(self) -> str:
        """A charge that Asaas has and never told of, of a customer with a long name."""
        with asking.client(base_url=f"{self.asaas_url}/v3", headers={"access_token": DEFAULT_KEY}) as asaas:
            person = {"name": "Maria Aparecida das Graças de Albuquerque Cavalcanti", "cpfCnpj": "24971563792"}
            customer = asaas.post("/customers", json=person).raise_for_status().json()["id"]
            charge = {"customer": customer, "billingType": "PIX", "value": 1100.5, "dueDate": "2030-01-01"}
            made: str = asaas.post("/payments", json=charge).raise_for_status().json()["id"]
            asaas.post(f"/sandbox/payment/{made}/confirm").raise_for_status()
        return made

    def says(self, charge: str, customer: int = 0, value: float = 129.9, name: str = "PAYMENT_RECEIVED") -> str:
        """Post an event about a charge as Asaas does; return the charge's id."""
        body = {
            "id": f"evt_{charge}&{name}",
            "event": name,
            "dateCreated": "2026-11-22 10:00:00",
            "payment": {
                "object": "payment",
                "id": f"pay_{charge}",
                "customer": PEOPLE[customer][0],
                "value": value,
                "netValue": value - 1,
                "billingType": "PIX",
                "status": "RECEIVED",
                "invoiceNumber": str(abs(hash(charge)) % 10**8),
                "externalReference": f"PED-{charge}",
            },
        }
        assert self.post(json.dumps(body).encode()) == 200
        return f"pay_{charge}"

    def until_event(self, charge: str, state: str) -> int:
        """Wait until an event of the charge has a delivery in that state; return the event's number."""
        found: list[int] = []

        def there() -> bool:
            found[:] = [
                row["id"]
                for row in self.bridge("events", "list", "--object", charge)
                if state in row["deliveries"] or row["state"] == state
            ]
            return bool(found)

        until(there, 60, every_s=0.3)
        return found[0]


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory, emptied_redis_url: str) -> Iterator[Site]:
    """Give a bridge that has something to show: delivered, filtered, not delivered, and an event without a mapping."""
    scratch = tmp_path_factory.mktemp("site")
    (scratch / "mappings").mkdir()
    (scratch / "mappings" / "cobranca_paga.yaml").write_text(MAPPING.lstrip())
    settings = {
        "BRIDGE_PASSWORD": generate_password_hash(PASSWORD, QUICK),
        "BRIDGE_VIEWER_PASSWORD": generate_password_hash(VIEWER, QUICK),
        "BRIDGE_SECRET_KEY": "for these tests only",
        "BRIDGE_ENCRYPTION_KEY": new_key(),
    }
    database = f"sqlite:///{scratch / 'journal.db'}"
    with Site(scratch, database, emptied_redis_url, scratch / "mappings", settings) as bridge:
        people = [
            {"id": id_, "name": name, "email": f"{id_}@example.com", "mobilePhone": "47996321478", "cpfCnpj": cpf}
            for id_, name, cpf in PEOPLE
        ]
        bridge.asaas("customers", customers=people)
        bridge.start()
        bridge.until_event(bridge.says("delivered"), "delivered")
        bridge.until_event(bridge.says("filtered", 1, 19.9), "filtered")
        bridge.until_event(bridge.says("unmapped", 2, name="PAYMENT_CREATED"), "processed")
        yield bridge


@pytest.fixture
def visitor(request: pytest.FixtureRequest, chromium: Browser, site: Site) -> Iterator[Visitor]:
    """Give somebody who is not signed in yet and reads Portuguese, but for tests marked `in_both_languages`."""
    with Visitor(chromium, site.base_url, getattr(request, "param", "pt")) as one:
        yield one


@pytest.fixture
def operator(visitor: Visitor) -> Visitor:
    """Give the operator, signed in."""
    visitor.sign_in(PASSWORD)
    return visitor


@pytest.fixture
def plain(chromium: Browser, site: Site) -> Iterator[Visitor]:
    """Give the operator, signed in, in a browser that runs no script."""
    with Visitor(chromium, site.base_url, "pt", scripts=False) as one:
        one.sign_in(PASSWORD)
        yield one
