"""Who is told: a person adds a group with an address, the test arrives, and every page of it is looked at."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import pytest
from playwright.sync_api import Browser, expect

from bridge.alerts.services import SERVICES
from bridge.crypto import new_key
from bridge.simulator.serve import Served
from tests.browser.looking import Visitor
from tests.console import PASSWORD, opened_console
from tests.factories import until
from tests.peers import Peer


@pytest.fixture
def url(sqlite_url: str, tmp_path: Path) -> Iterator[str]:
    """Give the address of a console that can seal."""
    settings = {"BRIDGE_ENCRYPTION_KEY": new_key(), "BRIDGE_ALLOW_PRIVATE_DESTINATIONS": "1"}
    with opened_console(sqlite_url, tmp_path, **settings) as console, Served(console.app) as served:
        yield served.url


def test_a_group_is_added_tested_and_removed(chromium: Browser, url: str) -> None:
    """A wrong address is marked where it stands; the right one gets the message, and is shown nowhere."""
    with Visitor(chromium, url, "pt") as me, Peer() as service:
        me.sign_in(PASSWORD)
        page, t = me.page, me.text
        page.goto("/alerts")
        me.look("alerts-nobody")
        page.get_by_role("link", name=t("Add a person or group")).first.click()
        for name in SERVICES:
            page.goto(f"/alerts/new?service={name}")
            me.look(f"alerts-{name}")
        page.get_by_label(t("Name of the person or group")).fill("Financeiro")
        address = page.get_by_label(t("Address of apprise"))
        address.fill("secreto")
        page.get_by_role("button", name=t("Save"), exact=True).click()
        expect(page.locator("#at-url")).to_have_attribute("aria-invalid", "true")
        me.errors.clear()  # the browser says that the answer was 422
        me.look("alerts-fault")
        address.fill(f"json://user:secreto@127.0.0.1:{service.port}/x")
        page.get_by_role("button", name=t("Save and send a test")).click()
        expect(page.get_by_role("heading", name=t("Who gets alerts"))).to_be_visible(timeout=30_000)
        until(lambda: service.asked)
        page.goto("/alerts")
        expect(page.get_by_text(t("Arrived"))).to_be_visible()
        me.look("alerts")
        assert json.loads(service.asked[0].body)["title"].endswith(": teste")
        assert "secreto" not in page.content()
        page.get_by_role("link", name=t("Change")).click()
        me.look("alerts-change")
        page.go_back()
        page.locator("details.ask summary").click()
        page.get_by_role("button", name=t("Remove"), exact=True).click()
        expect(page.get_by_text(t("Nobody gets alerts yet"))).to_be_visible()
