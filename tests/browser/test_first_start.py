"""The first start in a real browser: from a bridge to which nothing is connected to the first proved deal.

Nothing is set but where the simulators are; all else is done in the console that `bridge up` opens.
"""

from __future__ import annotations

import re
import shutil
from pathlib import Path

from playwright.sync_api import Browser

from bridge.simulator.asaas.account import DEFAULT_KEY
from bridge.simulator.clint.account import INTEGRATIONS
from bridge.simulator.serve import Served
from tests.acceptance.deployment import PATH, ROOT
from tests.acceptance.test_up import up
from tests.browser.looking import Visitor
from tests.commands import Commands
from tests.factories import until
from tests.services import free_port
from tests.simulated import AsaasSimulator, ClintSimulator


def test_from_an_empty_bridge_to_the_first_proved_deal(chromium: Browser, tmp_path: Path) -> None:
    """Account, Clint, mapping and test charge, each by the button of the guide."""
    commands, port = Commands(tmp_path), free_port()
    shutil.copytree(ROOT / "mappings", commands.mappings, dirs_exist_ok=True)
    for file in commands.mappings.glob("cobranca_*.yaml"):
        file.write_text(file.read_text().replace("\nevents:", "\nenabled: false\nevents:", 1))
    asaas, clint = AsaasSimulator(webhook_time_scale=0.01), ClintSimulator()
    with Served(asaas.app) as at_asaas, Served(clint.app) as at_clint:
        environ = {"ASAAS_API_URL": f"{at_asaas.url}/v3", "BRIDGE_ALLOW_PRIVATE_DESTINATIONS": "1"}
        with up(commands, "--port", str(port), **environ) as (_, shown):
            until(lambda: "open the console:" in shown.read_text(), 90, 0.1)
            found = re.search(r"open the console: (\S+)", shown.read_text())
            assert found
            with Visitor(chromium, f"http://127.0.0.1:{port}", "pt") as me:
                me.page.goto(found[1])
                me.look("guide-empty")
                _connects_asaas(me, f"http://127.0.0.1:{port}")
                _connects_clint(me, f"{at_clint.url}{PATH}{INTEGRATIONS['default']}")
                _proves(me)
                me.page.goto("/")
                assert me.page.locator("#guide").count() == 0
                me.page.goto("/connections")
                me.look("connections-connected")
                said = me.page.content()
        deals = clint.deals
    asaas.close()

    assert [deal["contact"]["name"] for deal in deals if "Teste" in str(deal["contact"]["name"])]
    for secret in (DEFAULT_KEY, INTEGRATIONS["default"]):
        assert secret not in said + shown.read_text()


def _connects_asaas(me: Visitor, address: str) -> None:
    page = me.page
    page.get_by_role("link", name=me.text("Connect an Asaas account")).click()
    page.get_by_label(me.text("API key")).fill("$aact_hmlg_typed_wrong")
    page.get_by_role("button", name=me.text("Try the key")).click()
    page.get_by_text(me.text("Nothing was stored.")).wait_for()
    me.errors.clear()  # the browser itself notes the answer 422
    me.look("account-refused")
    page.get_by_label(me.text("API key")).fill(DEFAULT_KEY)
    page.get_by_role("button", name=me.text("Try the key")).click()
    page.get_by_text("Padaria Aurora").first.wait_for()
    me.look("account-confirm")
    page.get_by_label(me.text("The bridge's public address")).fill(address)
    page.get_by_role("button", name=me.text("Connect the account")).click()
    on = page.locator("#job").get_by_role("link", name=me.text("Next: {step}", step=me.text("Connect Clint")))
    on.wait_for(timeout=30_000)
    me.look("account-connected")
    on.click()


def _connects_clint(me: Visitor, url: str) -> None:
    page = me.page
    page.get_by_role("button", name=me.text("Save the URL")).wait_for()
    page.get_by_text(me.text("Step {n} of 4", n=2)).wait_for()
    me.look("destination-new")
    page.get_by_role("textbox", name="URL").fill(url)
    page.get_by_role("button", name=me.text("Save the URL")).click()
    page.locator("input[name=confirmed]").check()
    page.get_by_role("button", name=me.text("Send once")).click()
    page.get_by_text(me.text("Clint accepted it")).wait_for()
    page.get_by_role("link", name=me.text("All four steps")).click()


def _proves(me: Visitor) -> None:
    page = me.page
    switch = page.get_by_role("button", name=me.text("Switch on: {mapping}", mapping="Cobrança criada"))
    switch.wait_for(timeout=30_000)
    me.look("guide-mapping")
    switch.click()
    page.goto("/")
    page.get_by_role("link", name=me.text("Make the test charge")).wait_for(timeout=30_000)
    me.look("guide-last-step")
    page.get_by_role("link", name=me.text("Make the test charge")).click()
    page.get_by_role("button", name=me.text("Make the test charge")).click()
    page.get_by_role("button", name=me.text("Yes, I see it")).click(timeout=120_000)
    page.get_by_text(me.text("Proved: the charge became a deal")).wait_for()
