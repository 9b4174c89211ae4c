"""A destination by Clint's API in a real browser: from the token to the first proved deal."""

from __future__ import annotations

import re
from pathlib import Path

from playwright.sync_api import Browser, expect

from bridge.simulator.asaas.account import DEFAULT_KEY
from bridge.simulator.clint.account import DEFAULT_ORIGIN, DEFAULT_TOKEN, INTEGRATIONS, KEY_FIELD
from bridge.simulator.serve import Served
from tests.acceptance.deployment import PATH
from tests.acceptance.test_up import TOKEN, up
from tests.browser.looking import Visitor
from tests.commands import Commands
from tests.factories import until
from tests.services import free_port
from tests.simulated import AsaasSimulator, ClintSimulator

MAPPING = """
description: Cobrança vira negócio
events: [PAYMENT_CREATED, PAYMENT_CONFIRMED, PAYMENT_RECEIVED]
contact: {nome: customer.name, email: customer.email}
deal:
  titulo: {template: "Cobrança {payment.invoiceNumber}"}
  valor: money(payment.value)
"""


def test_from_the_token_to_a_proved_deal(chromium: Browser, tmp_path: Path) -> None:
    """The origin is chosen, tested and given to a mapping; the test charge's deal is seen without a question."""
    commands, port = Commands(tmp_path), free_port()
    commands.has_mapping("cobranca", MAPPING.lstrip())
    asaas, clint = AsaasSimulator(webhook_time_scale=0.01), ClintSimulator()
    with Served(asaas.app) as at_asaas, Served(clint.app) as at_clint:
        environ = {
            "ASAAS_API_KEY": DEFAULT_KEY,
            "ASAAS_API_URL": f"{at_asaas.url}/v3",
            "ASAAS_WEBHOOK_TOKEN": TOKEN,
            "BRIDGE_ALLOW_PRIVATE_DESTINATIONS": "1",
            "CLINT_API_URL": at_clint.url,
            "CLINT_API_RATE_LIMIT": "50/second",
            "CLINT_WEBHOOK_URL": f"{at_clint.url}{PATH}{INTEGRATIONS['default']}",
        }
        asaas.posts_to(f"http://127.0.0.1:{port}/webhooks/asaas", TOKEN)
        with Visitor(chromium, f"http://127.0.0.1:{port}", "pt") as me:
            with up(commands, "--port", str(port), **environ) as (_, shown):
                _enters(me, shown)
                me.page.goto("/connections")
                expect(me.page.locator("section", has=me.page.locator("#clint-api"))).to_contain_text("CLINT_API_TOKEN")
            with up(commands, "--port", str(port), CLINT_API_TOKEN=DEFAULT_TOKEN, **environ) as (_, shown):
                _enters(me, shown)
                _connects(me)
                before = len(clint.deals)
                _tests(me)
                assert len(clint.deals) == before
                _switches_the_mapping(me)
                _proves(me)
        deals = clint.deals
    asaas.close()
    clint.close()

    (deal,) = deals
    assert deal["fields"][KEY_FIELD].startswith("pay_")


def _enters(me: Visitor, shown: Path) -> None:
    until(lambda: "open the console:" in shown.read_text(), 90, 0.1)
    found = re.search(r"open the console: (\S+)", shown.read_text())
    assert found
    me.page.goto(found[1])


def _connects(me: Visitor) -> None:
    page = me.page
    page.goto("/connections")
    page.get_by_role("link", name=me.text("New destination")).click()
    page.get_by_label(me.text("Name"), exact=True).fill("vendas")
    page.get_by_label(me.text("Or an origin (funnel) of Clint, by the API")).select_option(DEFAULT_ORIGIN)
    page.get_by_role("button", name=me.text("Save")).click()
    # It is tested at once.
    page.get_by_text(me.text("Clint has all that {name} needs", name="vendas")).wait_for(timeout=60_000)


def _tests(me: Visitor) -> None:
    page = me.page
    page.goto("/connections")
    me.look("connections-origin")
    page.get_by_role("button", name=f"{me.text('Test')} vendas").click()
    page.get_by_text(me.text("Clint has all that {name} needs", name="vendas")).wait_for(timeout=60_000)
    me.look("destination-origin-tested")


def _switches_the_mapping(me: Visitor) -> None:
    page = me.page
    page.goto("/mappings/cobranca")
    page.get_by_label(me.text("Destination"), exact=True).select_option("vendas")
    page.get_by_role("button", name=me.text("See what changes")).click()
    page.get_by_role("button", name=me.text("Save"), exact=True).click()
    page.wait_for_url("**/mappings/cobranca*")
    page.goto("/mappings/cobranca")
    expect(page.get_by_label(me.text("Destination"), exact=True)).to_have_value("vendas")


def _proves(me: Visitor) -> None:
    page = me.page
    page.goto("/test-charge")
    page.get_by_role("button", name=me.text("Make the test charge")).click()
    page.get_by_text(me.text("Proved: the charge became a deal")).wait_for(timeout=120_000)
    me.look("trial-by-api")
