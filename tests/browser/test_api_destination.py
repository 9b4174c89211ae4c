"""A destination by Clint's API in a real browser: from a bridge to which nothing is connected to a proved deal.

Nothing is set but where the simulators are; the token too is entered in the console.
"""

from __future__ import annotations

import re
from pathlib import Path

from playwright.sync_api import Browser

from bridge.simulator.asaas.account import DEFAULT_KEY
from bridge.simulator.clint.account import DEFAULT_ORIGIN, DEFAULT_TOKEN, KEY_FIELD
from bridge.simulator.serve import Served
from tests.acceptance.test_up import up
from tests.browser.looking import Visitor
from tests.commands import Commands
from tests.factories import until
from tests.services import free_port
from tests.simulated import AsaasSimulator, ClintSimulator


def test_from_nothing_to_a_proved_deal(chromium: Browser, tmp_path: Path) -> None:
    """Account, token, origin, mappings and test charge, each by a button of the guide; the deal is seen unasked."""
    commands, port = Commands(tmp_path), free_port()
    asaas, clint = AsaasSimulator(webhook_time_scale=0.01), ClintSimulator()
    clint.crm.add_field("CONTACT", "cpf_cnpj")
    clint.crm.add_field("DEAL", "titulo")
    address = f"http://127.0.0.1:{port}"
    with Served(asaas.app) as at_asaas, Served(clint.app) as at_clint:
        environ = {
            "ASAAS_API_URL": f"{at_asaas.url}/v3",
            "BRIDGE_ALLOW_PRIVATE_DESTINATIONS": "1",
            "CLINT_API_URL": at_clint.url,
            "CLINT_API_RATE_LIMIT": "50/second",
        }
        with (
            up(commands, "--port", str(port), **environ) as (_, shown),
            Visitor(chromium, address, "pt") as me,
        ):
            until(lambda: "open the console:" in shown.read_text(), 90, 0.1)
            found = re.search(r"open the console: (\S+)", shown.read_text())
            assert found
            me.page.goto(found[1])
            _connects_asaas(me, address)
            _enters_token(me)
            _chooses_origin(me)
            before = len(clint.deals)
            _tests(me)
            assert len(clint.deals) == before
            _proves(me)
            me.page.goto("/connections")
            said = me.page.content()
        deals = clint.deals
    asaas.close()
    clint.close()

    assert all(deal["fields"][KEY_FIELD].startswith("pay_") for deal in deals)
    assert [deal["status"] for deal in deals] == ["OPEN", "WON"]
    for secret in (DEFAULT_KEY, DEFAULT_TOKEN):
        assert secret not in said + shown.read_text()


def _connects_asaas(me: Visitor, address: str) -> None:
    page = me.page
    page.get_by_role("link", name=me.text("Connect an Asaas account")).click()
    page.get_by_label(me.text("API key")).fill(DEFAULT_KEY)
    page.get_by_role("button", name=me.text("Try the key")).click()
    page.get_by_label(me.text("The bridge's public address")).fill(address)
    page.get_by_role("button", name=me.text("Connect the account")).click()
    # The step is done once its work is, without a reload.
    page.locator("#guide-step").get_by_text(me.text("Done")).wait_for(timeout=30_000)
    page.get_by_role("link", name=me.text("All four steps")).click()


def _enters_token(me: Visitor) -> None:
    page = me.page
    page.get_by_role("link", name=me.text("Enter a token of Clint's API")).click()
    page.get_by_label(me.text("Token"), exact=True).fill("of-nobody")
    page.get_by_role("button", name=me.text("Try the token")).click()
    page.get_by_text(me.text("Nothing was stored: paste the token again.")).wait_for()
    me.errors.clear()  # the browser itself notes the answer 422
    me.look("clint-token-refused")
    page.get_by_label(me.text("Token"), exact=True).fill(DEFAULT_TOKEN)
    page.get_by_role("button", name=me.text("Try the token")).click()


def _chooses_origin(me: Visitor) -> None:
    page = me.page
    # The only one is chosen already.
    assert page.get_by_label(me.text("Origin (funnel) of Clint")).input_value() == DEFAULT_ORIGIN
    assert page.get_by_label("URL").count() == 0
    me.look("destination-origin")
    page.get_by_text(me.text("Step {n} of 4", n=2)).wait_for()
    page.get_by_role("button", name=me.text("Save")).click()
    # It is tested at once.
    page.get_by_text(me.text("Clint has all that “{name}” needs", name="default")).wait_for(timeout=60_000)


def _tests(me: Visitor) -> None:
    page = me.page
    page.goto("/connections")
    me.look("connections-origin")
    page.get_by_role("button", name=f"{me.text('Test')} default").click()
    page.get_by_text(me.text("Clint has all that “{name}” needs", name="default")).wait_for(timeout=60_000)
    me.look("destination-origin-tested")
    page.get_by_role("link", name=me.text("All four steps")).click()


def _proves(me: Visitor) -> None:
    page = me.page
    page.get_by_role("button", name=me.text("Use the ready mappings")).click()
    page.goto("/test-charge")
    page.get_by_role("button", name=me.text("Make the test charge")).click()
    # By these mappings the paid charge stays open.
    page.get_by_text(me.text("Its deal was not moved to a stage")).wait_for(timeout=120_000)
    me.look("trial-not-moved")
    page.get_by_role("link", name=me.text("Move the deals through the stages")).click()
    me.look("guide-stages")
    page.get_by_role("button", name=me.text("Switch this one on and the others off")).click()
    page.get_by_text(me.text("Clint has all that “{name}” needs", name="default")).wait_for(timeout=60_000)
    page.goto("/test-charge")
    page.get_by_role("button", name=me.text("Make the test charge")).click()
    page.get_by_text(me.text("Proved: the charge became a deal")).wait_for(timeout=120_000)
    me.look("trial-by-api")
