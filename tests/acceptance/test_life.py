"""`bridge test-charge --scenario life` against the simulators and a bridge in real processes."""

from __future__ import annotations

import re
import signal
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from bridge.simulator.clint.account import DEFAULT_TOKEN
from tests import asking
from tests.acceptance.deployment import TOKEN, Deployment
from tests.acceptance.test_charge_trial import PRODUCTION_KEY, Site

# In one process of the test run, because they share one bridge.
pytestmark = pytest.mark.slow

FUNNEL = """
events:
  - PAYMENT_CREATED
  - PAYMENT_OVERDUE
  - PAYMENT_CONFIRMED
  - PAYMENT_RECEIVED
  - PAYMENT_PARTIALLY_REFUNDED
  - PAYMENT_REFUNDED
  - PAYMENT_DELETED
contact: {nome: customer.name, email: customer.email}
deal:
  valor: money(payment.value)
  situacao: label(event)
  vencimento: date(payment.dueDate, '%d/%m/%Y')
  codigo_asaas: payment.id
send_to: default
routes:
  - {events: [PAYMENT_OVERDUE], send_to: vencidas}
  - {events: [PAYMENT_CONFIRMED, PAYMENT_RECEIVED, PAYMENT_PARTIALLY_REFUNDED], send_to: pagas}
  - {events: [PAYMENT_REFUNDED, PAYMENT_DELETED], send_to: estornadas}
tests: []
"""
ONLY_LARGE = """
events: [PAYMENT_REFUNDED]
filter: {field: payment.value, at_least: 1000}
contact: {email: customer.email}
deal: {codigo_asaas: payment.id}
send_to: default
tests: []
"""
WALLET = "c0c1688f-636b-42c0-b6ee-7339182276b7:20%"


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory, emptied_redis_url: str) -> Iterator[Site]:
    """Give a bridge that runs, with an integration for each stage of the funnel."""
    scratch = tmp_path_factory.mktemp("life")
    mappings = scratch / "funnel"
    mappings.mkdir()
    (mappings / "funil.yaml").write_text(FUNNEL)
    (mappings / "so_grandes.yaml").write_text(ONLY_LARGE)
    settings = {"CLINT_API_TOKEN": DEFAULT_TOKEN}
    bridge = Deployment(scratch, f"sqlite:///{scratch}/journal.db", emptied_redis_url, mappings, settings)
    with bridge:
        bridge.env["CLINT_API_URL"] = bridge.clint_url
        bridge.start()
        site = Site(bridge, scratch)
        registered = site.commands.run("webhook", "register", "--url", site.url)
        assert registered.status == 0, registered.err
        (webhook,) = site.asaas_api.get("/webhooks").json()["data"]
        names = ("name", "url", "email", "enabled", "interrupted", "apiVersion", "sendType", "events")
        site.registered = {**{name: webhook[name] for name in names}, "authToken": TOKEN}
        yield site
        site.close()


def test_x(site: Site) -> None:
    said = site.commands.run("test-charge", "--scenario", "life", "--split", WALLET)
    print(said.out, said.err)
    assert said.status == 0
