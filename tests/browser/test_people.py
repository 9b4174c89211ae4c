"""People in a real browser: from an invitation to a person who may see one account, and is shut out again."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from pathlib import Path

import pytest
from playwright.sync_api import Browser, expect
from werkzeug.serving import WSGIRequestHandler, make_server

from tests.browser.looking import Visitor
from tests.console import PASSWORD, opened_console

PHRASE = "uma frase bem curta"


class Silent(WSGIRequestHandler):
    """Writes no line for each request."""

    def log_request(self, code: int | str = "-", size: int | str = "-") -> None:
        """Say nothing."""


@pytest.fixture
def address(sqlite_url: str, tmp_path: Path) -> Iterator[str]:
    """Give the address of a console with two accounts."""
    tokens = {"ASAAS_WEBHOOK_TOKEN": "a1" * 16, "ASAAS_WEBHOOK_TOKEN_FILIAL": "b2" * 16}
    with opened_console(sqlite_url, tmp_path, **tokens) as console:
        server = make_server("127.0.0.1", 0, console.app, threaded=True, request_handler=Silent)
        thread = threading.Thread(target=server.serve_forever, daemon=True)
        thread.start()
        yield f"http://127.0.0.1:{server.server_port}"
        server.shutdown()
        thread.join()
        server.server_close()


@pytest.mark.slow
def test_from_an_invitation_to_being_shut_out(chromium: Browser, address: str) -> None:
    """Each page is looked at; the guest's browser runs no script, and needs none."""
    with Visitor(chromium, address, "pt") as admin, Visitor(chromium, address, "pt", scripts=False) as guest:
        page, t = admin.page, admin.text
        admin.sign_in(PASSWORD)
        page.get_by_role("link", name=t("People")).click()
        page.wait_for_url("**/people")
        admin.look("people-empty", dark=False)
        page.get_by_label(t("Name"), exact=True).fill("Beatriz Lima")
        page.get_by_label(t("E-mail")).fill("beatriz@example.com")
        page.get_by_label(t("Only these:")).check()
        page.get_by_label("filial").check()
        page.get_by_role("button", name=t("Invite")).click()
        expect(page.locator("pre")).to_be_visible()
        admin.look("people-link", dark=False)
        link = page.locator("pre").inner_text()

        there = guest.page
        there.goto(link)
        for again in (PHRASE + "!", PHRASE):
            there.get_by_label(t("Password"), exact=True).fill(PHRASE)
            there.get_by_label(t("The password again")).fill(again)
            there.get_by_role("button", name=t("Choose and sign in")).click()
            if again != PHRASE:
                expect(there.get_by_role("alert")).to_be_visible()
        expect(there.get_by_text(t("Welcome, {name}.", name="Beatriz Lima"))).to_be_visible()
        expect(there.get_by_role("link", name=t("Mappings"), exact=True)).to_have_count(0)
        expect(there.get_by_role("table").get_by_text("default", exact=True)).to_have_count(0)
        there.get_by_role("link", name=t("My account")).click()
        expect(there.get_by_text("filial")).to_be_visible()

        page.goto("/people")
        admin.look("people")
        page.get_by_role("link", name="Beatriz Lima").click()
        page.wait_for_url("**/people/1")
        admin.look("person")
        page.get_by_role("button", name=t("Shut out")).click()
        expect(page.get_by_role("status").first).to_contain_text("Beatriz Lima")
        there.reload()
        expect(there.get_by_label(t("E-mail"))).to_be_visible()
        page.get_by_role("link", name=t("My account")).click()
        page.wait_for_url("**/me")
        admin.look("me", dark=False)
        page.goto(link)
        expect(page.get_by_role("heading", name=t("This link no longer works"))).to_be_visible()
        admin.errors.clear()  # the browser itself notes the answer 410
        page.get_by_role("button", name=t("Sign out")).click()
        page.wait_for_url("**/login")
        admin.look("login-email")
