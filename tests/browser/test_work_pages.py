"""The pages on which something is done, in a real browser, against a bridge in real processes and the simulators."""

from __future__ import annotations

import shutil
from collections.abc import Iterator

import pytest
from playwright.sync_api import Browser, Page

from bridge.simulator.asaas.account import DEFAULT_KEY
from bridge.simulator.clint.account import DEFAULT_TOKEN
from tests import asking
from tests.acceptance.deployment import ROOT, Deployment
from tests.browser.looking import DESK, PHONE, Visitor

PASSWORD = "cavalo bateria grampo"
WORDS = {
    "pt": {
        "proved": "Confirmado: a cobrança virou negócio",
        "lacking": "falta aqui ou está diferente do Asaas",
        "brought": "segue agora para a Clint",
        "sent": "Seria enviado ao destino",
        "refused": "Não foi salvo: há erros",
        "checks": "Última verificação",
        "registered": "Webhook registrado",
        "taken": "A Clint aceitou",
        "saved": "Salvo como revisão",
    },
    "en": {
        "proved": "Proved: the charge became a deal",
        "lacking": "not known as Asaas has it",
        "brought": "goes on its way to Clint",
    },
}
PAGES = (
    "/alerts",
    "/connections",
    "/connections/default/webhook",
    "/connections/destinations/default/test",
    "/test-charge",
    "/reconcile",
    "/mappings",
    "/mappings/cobranca_paga",
    "/mappings/cobranca_paga/history",
    "/mappings/cobranca_paga/checklist",
    "/mappings-new",
)


@pytest.fixture(scope="module")
def bridge(tmp_path_factory: pytest.TempPathFactory, emptied_redis_url: str) -> Iterator[Deployment]:
    """Give a bridge that runs, with the mappings it ships with and a console with a password."""
    scratch = tmp_path_factory.mktemp("console")
    shutil.copytree(ROOT / "mappings", scratch / "mappings")
    settings = {"CLINT_API_TOKEN": DEFAULT_TOKEN, "BRIDGE_PASSWORD": PASSWORD}
    deployment = Deployment(
        scratch, f"sqlite:///{scratch}/journal.db", emptied_redis_url, scratch / "mappings", settings
    )
    with deployment:
        deployment.env["CLINT_API_URL"] = deployment.clint_url
        deployment.start()
        yield deployment


def sees(me: Visitor, name: str, says: str = "") -> None:
    """Wait for words on the page, then look at it."""
    if says:
        me.page.get_by_text(says).first.wait_for(timeout=120_000)
    me.look(name)


@pytest.mark.long
def test_a_day_of_an_operator(chromium: Browser, bridge: Deployment) -> None:
    """Connect, prove the way by a test charge, change a mapping, run it over the last events, reconcile.

    All is done in Portuguese; then the pages are looked at in English.
    """
    url, words = f"http://127.0.0.1:{bridge.web_ports[0]}", WORDS["pt"]
    with Visitor(chromium, url, "pt") as me:
        me.sign_in(PASSWORD)
        _connects(me, url, words)
        done = {"proved": _tries(me, words)}
        done["lacking"], done["brought"] = _reconciles(me, bridge, words)
        _maps(me, words)
    with Visitor(chromium, url, "en") as me:
        me.sign_in(PASSWORD)
        for says, place in done.items():
            me.page.goto(place)
            me.page.get_by_text(WORDS["en"][says]).first.wait_for()
            me.look(f"{says}-en", dark=False)
        for page in PAGES:
            me.page.goto(page)
            me.look(f"{page}-en", dark=False)


def _connects(me: Visitor, url: str, words: dict[str, str]) -> None:
    page = me.page

    page.goto("/connections/default/webhook")
    sees(me, "webhook-empty")
    page.fill("#url", url)
    page.click("form[action$='/webhook'] button.primary")
    sees(me, "webhook-confirm")
    page.click("button[name=confirmed]")
    sees(me, "webhook-done", words["registered"])
    page.goto("/connections/default/webhook")
    sees(me, "webhook")
    page.goto("/connections")
    page.click(".heading button.primary")
    page.locator("#checks-title").wait_for(timeout=60_000)
    page.goto("/connections")
    sees(me, "connections", words["checks"])
    page.goto("/connections/destinations/default/test")
    sees(me, "destination-test")
    page.check("input[name=confirmed]")
    page.click("main button.primary")
    sees(me, "destination-tested", words["taken"])


def _tries(me: Visitor, words: dict[str, str]) -> str:
    """Return where the proof is."""
    page = me.page
    page.goto("/test-charge")
    sees(me, "trial")
    page.click("main form button.primary")
    page.wait_for_url("**/work/*")
    page.reload()
    page.get_by_text(words["proved"]).first.wait_for(timeout=120_000)
    sees(me, "trial-proved")
    return page.url


def _maps(me: Visitor, words: dict[str, str]) -> None:
    page = me.page
    page.goto("/mappings")
    sees(me, "mappings")
    page.click("a[href='/mappings/cobranca_paga']")
    sees(me, "mapping-form")
    page.locator(".tabs button[value=yaml]").click()
    page.locator(".cm-editor").wait_for()
    page.locator("#preview .badge").first.wait_for()
    sees(me, "mapping-edit")
    page.locator(".cm-content").click()
    page.keyboard.press("Control+End")
    page.keyboard.insert_text("nonsense: 1\n")
    page.locator(".findings .error").first.wait_for()
    page.locator(".cm-lint-marker-error").first.wait_for()
    page.click("button[value=preview]")
    page.get_by_text(words["refused"]).first.wait_for()
    me.errors.clear()  # the browser itself notes the answer 422
    sees(me, "mapping-refused", words["refused"])
    page.locator(".cm-content").click()
    page.keyboard.press("Control+End")
    for _ in "nonsense: 1\n":
        page.keyboard.press("Backspace")
    page.once("dialog", lambda dialog: dialog.dismiss())  # asked before what is not saved is left
    page.locator("nav a[href='/events']").first.click(no_wait_after=True)
    page.locator(".cm-content").click()
    page.keyboard.press("Control+End")
    page.keyboard.insert_text(f"# {me.language}\n")
    page.click("button[value=preview]")
    sees(me, "mapping-change")
    page.click("button[name=save]")
    page.wait_for_url("**/cobranca_paga")
    sees(me, "mapping-saved", words["saved"])
    page.goto("/mappings/cobranca_paga/run")
    sees(me, "mapping-run")
    page.click("main form button.primary >> nth=0")
    page.wait_for_selector("#affected", timeout=60_000)
    sees(me, "replay-preview", words["sent"])
    page.click("main form button.primary")
    sees(me, "replay-done", me.text("Done"))
    page.goto("/mappings/cobranca_paga/history")
    sees(me, "mapping-history")
    page.goto("/mappings/cobranca_paga/checklist")
    sees(me, "mapping-checklist")
    _keys_are_whole_and_can_be_copied_on_a_phone(page)

    page.goto("/mappings-new")
    page.check("input[value=PAYMENT_OVERDUE]")
    page.fill("#description", f"Vencida {me.language}")
    sees(me, "mapping-new")
    page.click("button.primary[value=preview]")
    sees(me, "mapping-new-change")
    page.click("button[name=save]")
    page.wait_for_url("**/mappings/vencida_*")


def _keys_are_whole_and_can_be_copied_on_a_phone(page: Page) -> None:
    page.set_viewport_size({"width": PHONE, "height": 900})
    button = "document.querySelectorAll('[data-copy]')"
    rights = page.evaluate(f"[...{button}].map(one => one.getBoundingClientRect().right)")
    lines = page.evaluate(f"[...{button}].map(one => one.closest('tr').querySelector('code').getClientRects().length)")
    assert rights
    assert max(rights) <= PHONE
    assert set(lines) == {1}
    page.set_viewport_size({"width": DESK, "height": 900})


def _reconciles(me: Visitor, bridge: Deployment, words: dict[str, str]) -> tuple[str, str]:
    """Return where the report is, and what was brought in."""
    page = me.page
    _missed_charge(bridge)
    page.goto("/reconcile")
    sees(me, "reconcile")
    page.click("main form button.primary")
    page.get_by_text(words["lacking"]).first.wait_for(timeout=60_000)
    sees(me, "reconcile-report")
    report = page.url
    page.click("main .callout button.primary")
    page.locator(".previews").first.wait_for(timeout=60_000)
    sees(me, "backfill-preview")
    page.click("main .callout button.primary")
    page.get_by_text(words["brought"]).first.wait_for(timeout=60_000)
    sees(me, "backfill-done")
    return report, page.url


def _missed_charge(bridge: Deployment) -> None:
    """Make a charge at Asaas while no webhook brings its events."""
    with asking.client(base_url=f"{bridge.asaas_url}/v3", headers={"access_token": DEFAULT_KEY}) as asaas:
        hooks = asaas.get("/webhooks").json()["data"]
        for hook in hooks:
            asaas.put(f"/webhooks/{hook['id']}", json={"enabled": False}).raise_for_status()
        customer = asaas.post("/customers", json={"name": "Cliente Perdido", "cpfCnpj": "24971563792"}).json()["id"]
        charge = {"customer": customer, "billingType": "PIX", "value": 42, "dueDate": "2030-01-01"}
        asaas.post("/payments", json=charge).raise_for_status()
