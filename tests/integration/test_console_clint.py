"""Clint's side of *Connections*: its API, a destination by an origin from the list, and the check at once."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from bridge.crypto import new_key
from bridge.journal import accounts as stored
from bridge.journal import audit, destinations, jobs, revisions
from bridge.messages import Message
from bridge.model import DeliveryState
from bridge.simulator.clint.account import DEFAULT_TOKEN
from bridge.simulator.serve import Served
from tests.console import VIEWER, Browser, Console, finish_jobs, names, opened_console
from tests.factories import owe, put_in_state
from tests.simulated import ClintSimulator

MAPPING = """
events: [PAYMENT_RECEIVED]
send_to: vendas
funnel:
  stage: {text: Pagas}
contact: {email: "'ana@example.com'"}
tests: []
"""


@pytest.fixture
def clint() -> Iterator[ClintSimulator]:
    """Give a Clint with two origins."""
    simulator = ClintSimulator()
    simulator.crm.add_origin("Suporte", ["Nova", "Feita"])
    yield simulator
    simulator.close()


@pytest.fixture
def console(clint: ClintSimulator, tmp_path: Path) -> Iterator[Console]:
    """Give a console with a token of Clint's API, and a mapping to a destination that is not there yet."""
    (tmp_path / "mappings").mkdir()
    (tmp_path / "mappings" / "paga.yaml").write_text(MAPPING)
    environ = {
        "CLINT_API_TOKEN": DEFAULT_TOKEN,
        "CLINT_API_RATE_LIMIT": "1000/second",
        "BRIDGE_ENCRYPTION_KEY": new_key(),
        "BRIDGE_ALLOW_PRIVATE_DESTINATIONS": "1",
    }
    url = f"sqlite:///{tmp_path / 'journal.db'}"
    with (
        Served(clint.app) as served,
        opened_console(url, tmp_path, CLINT_API_URL=served.url, **environ) as opened,
    ):
        yield opened
        finish_jobs()


@pytest.fixture
def me(console: Console) -> Browser:
    """Give the operator's browser."""
    return console.operator()


def choices(page: str) -> dict[str, str]:
    """Return the origins that a form lists, texts by values."""
    return dict(re.findall(r'<option value="([^"]*)"(?: selected)?>([^<]*)', page))


def codes(console: Console) -> list[str]:
    """Return the codes of the last check of Clint, without those that are fine."""
    finish_jobs()
    with console.runtime.journal.database.read() as connection:
        (last,) = jobs.newest(connection, "clint", console.clock())
    assert last.result is not None
    return [one["code"] for one in last.result["checks"] if one["state"] != "fine"]


def test_an_origin_is_chosen_and_checked_at_once(console: Console, me: Browser) -> None:
    """The list shows each origin with its stages; the next page is the check of what the mappings need there."""
    form = me.get("/connections/new-destination").text
    saved = me.post("/connections/new-destination", name="vendas", origin="Vendas", url="")
    found = codes(console)
    page = me.get(saved.location).text

    assert set(choices(form)) == {"", "Suporte", "Vendas"}
    assert "Nova → Feita" in choices(form)["Suporte"]
    assert saved.location.startswith("/work/")
    assert console.runtime.destinations["vendas"] == "clint-origin:Vendas"
    assert found == ["api.stage"]
    assert "Pagas" in page
    assert "Suporte" not in page, "only what concerns this destination"


def test_an_origin_is_changed(console: Console, me: Browser) -> None:
    """The form has the present one chosen, also one that Clint does not have any more."""
    me.post("/connections/new-destination", name="vendas", origin="Vendas", url="")
    before = me.get("/connections/destinations/vendas/url").text
    me.post("/connections/destinations/vendas/url", origin="Suporte", url="")
    finish_jobs()
    with console.runtime.journal.database.read() as connection:
        assert jobs.newest(connection, "clint", console.clock())[0].about == "vendas"
    after = console.runtime.destinations["vendas"]

    assert '<option value="Vendas" selected>' in before
    assert after == "clint-origin:Suporte"


def test_a_removed_origin_stays_chosen(console: Console, clint: ClintSimulator, me: Browser) -> None:
    """Nobody changes a destination by opening its form."""
    me.post("/connections/new-destination", name="vendas", origin="Vendas", url="")
    clint.removes_origin("Vendas")

    assert '<option value="Vendas" selected>' in me.get("/connections/destinations/vendas/url").text


def test_origins_of_one_name_are_stored_by_id(console: Console, clint: ClintSimulator, me: Browser) -> None:
    """A name that two have would lead nowhere."""
    other = clint.crm.add_origin("Vendas", ["Nova"])
    values = choices(me.get("/connections/new-destination").text)

    assert other["id"] in values
    assert "Vendas" not in values


def test_a_clint_that_does_not_answer_leaves_a_field_to_type(
    console: Console, clint: ClintSimulator, me: Browser
) -> None:
    """The reason is on the page, and what is typed is stored."""
    clint.api_answers(500)
    form = me.get("/connections/new-destination").text
    me.post("/connections/new-destination", name="vendas", origin="Vendas", url="")

    assert '<input id="origin"' in form
    assert "500" in form
    assert console.runtime.destinations["vendas"] == "clint-origin:Vendas"
    assert codes(console) == ["api.away"]


def test_everything_is_checked_from_the_page(console: Console, me: Browser) -> None:
    """The page tells how the last check ended and leads to it."""
    me.post("/connections/new-destination", name="vendas", origin="Vendas", url="")
    finish_jobs()
    begun = me.post("/connections/clint/check")
    assert codes(console) == ["api.stage"]
    page = me.get("/connections").text

    assert f'href="{begun.location}"' in page
    assert "1 thing to do" in page
    assert "Suporte" in me.get(begun.location).text


def test_a_viewer_sees_the_result_and_begins_nothing(console: Console, me: Browser) -> None:
    """No button, and the form is refused."""
    me.post("/connections/clint/check")
    finish_jobs()
    viewer = console.browser()
    viewer.sign_in(VIEWER)
    page = viewer.get("/connections").text

    assert "/connections/clint/check" not in page
    assert "/work/" in page
    assert viewer.post("/connections/clint/check").status_code == 403


def test_without_a_token_the_page_says_what_it_gives(tmp_path: Path) -> None:
    """And leads to its form, which says where nothing can be stored; no button that could do nothing."""
    with opened_console(f"sqlite:///{tmp_path / 'journal.db'}", tmp_path) as opened:
        me = opened.operator()
        page, form = me.get("/connections").text, me.get("/connections/clint/token").text
        me.post("/connections/clint/token", token=DEFAULT_TOKEN)
        assert opened.runtime.clint_api is None

    assert 'href="/connections/clint/token"' in page
    assert "Elite" in page
    assert "/connections/clint/check" not in page
    assert "bridge db new-key" in form
    assert 'id="token"' not in form


@pytest.fixture
def bare(clint: ClintSimulator, tmp_path: Path) -> Iterator[Console]:
    """Give a console to which nothing of Clint is connected, and which can store secrets."""
    environ = {"CLINT_WEBHOOK_URL": "", "BRIDGE_ENCRYPTION_KEY": new_key(), "BRIDGE_ALLOW_PRIVATE_DESTINATIONS": "1"}
    url = f"sqlite:///{tmp_path / 'journal.db'}"
    with Served(clint.app) as served, opened_console(url, tmp_path, CLINT_API_URL=served.url, **environ) as opened:
        yield opened
        finish_jobs()


def test_a_token_is_entered_and_leads_on(bare: Console, clint: ClintSimulator) -> None:
    """One that Clint refuses is not stored. With one that it takes an origin can be chosen, and no page shows it."""
    me, place = bare.operator(), "/connections/clint/token"
    assert f'href="{place}?name=default"' in me.get("/connections/new-destination").text
    clint.knobs.turn(has_plan=False)
    no_plan = me.post(place, token=DEFAULT_TOKEN, follow=True).text
    clint.knobs.turn(has_plan=True)
    refused = me.post(place, token="of-nobody", follow=True).text
    assert bare.runtime.clint_api is None
    taken = me.post(f"{place}?name=vendas", token=f"'{DEFAULT_TOKEN}' ")
    form = me.get(taken.location).text
    me.post("/connections/new-destination", name="vendas", origin="Vendas", url="")
    finish_jobs()
    changed = me.post(place, token=DEFAULT_TOKEN)
    finish_jobs()
    pages = [form, me.get(changed.location).text, me.get("/connections").text, me.get(place).text, me.get("/who").text]

    assert "Elite" in no_plan
    assert "Nothing was stored" in refused
    assert taken.location == "/connections/new-destination?by=origin&name=vendas"
    assert "Vendas" in choices(form)
    assert changed.location.startswith("/work/")
    for page in (no_plan, refused, *pages):
        assert DEFAULT_TOKEN not in page
        assert "of-nobody" not in page
        assert not names(page) & {"CLINT_API_TOKEN", "bridge clint"}
    with bare.journal.database.read() as connection:
        assert DEFAULT_TOKEN not in str(audit.newest(connection, 20))


def test_what_waits_for_a_token_leads_to_its_form(bare: Console) -> None:
    """Where Clint refuses it, and where it was removed; the page of the removal says what will wait."""
    me, place, journal = bare.operator(), "/connections/clint/token", bare.runtime.journal
    me.post(place, token=DEFAULT_TOKEN)
    me.post("/connections/new-destination", name="vendas", origin="Vendas", url="")
    finish_jobs()
    id_ = owe(journal, destination="vendas")
    put_in_state(journal, id_, DeliveryState.PENDING, waiting="paused", reason_code="destination.paused")
    with journal.database.write() as connection:
        destinations.pause(connection, "vendas", Message("refused", {"code": "clint.token"}).to_json(), bare.clock())
    paused = [me.get(path).text for path in ("/attention", "/connections")]
    asked = me.get(f"{place}/remove").text
    me.post(f"{place}/remove")
    removed = [me.get(path).text for path in ("/attention", "/connections")]
    me.post(place, token=DEFAULT_TOKEN)
    finish_jobs()

    for page in (*paused, *removed):
        assert f'class="button primary" href="{place}"' in page
    assert "1 delivery waits for it" in asked
    assert "vendas" in asked
    assert "as soon as there is a token" in removed[0]
    assert f'href="{place}"' not in me.get("/attention").text
    with journal.database.read() as connection:
        assert destinations.load(connection)["vendas"].paused_ms is None


def test_a_token_of_the_environment_is_changed_there(console: Console, me: Browser) -> None:
    """The page names the variable and has no field; nothing is stored beside it."""
    pages = [me.get(path).text for path in ("/connections/clint/token", "/connections/clint/token/remove")]
    me.post("/connections/clint/token", token="another")
    with console.runtime.journal.database.read() as connection:
        assert stored.clint_token(connection) == ""

    for page in (*pages, me.get("/connections").text):
        assert "CLINT_API_TOKEN" in page
        assert 'name="token"' not in page
        assert "Remove the token</button>" not in page


def test_what_changes_says_which_stage_clint_does_not_have(console: Console, me: Browser) -> None:
    """Before a save with the name that is meant, and again after it."""
    me.post("/connections/new-destination", name="vendas", origin="Vendas", url="")
    finish_jobs()
    console.runtime.clint_names()  # a person has opened the editor before
    text = MAPPING.replace("PAYMENT_RECEIVED", "PAYMENT_CONFIRMED")
    with console.journal.database.write() as connection:
        revisions.import_text(connection, "paga", MAPPING, "console", "", console.clock())
        base = revisions.newest(connection, "paga")
    form: dict[str, Any] = {"text": text, "base": str(base.id if base else 0), "tab": "yaml", "came": "yaml"}
    asked = me.post("/mappings/paga/draft", **form)
    changes = me.get(asked.location).text
    me.post("/mappings/paga", **form)
    saved = me.get("/mappings/paga?tab=yaml").text

    for page in (changes, saved):
        assert "no stage &#39;Pagas&#39; in origin &#39;Vendas&#39;; did you mean Paga?" in page


def test_a_destination_by_the_api_is_tested_like_any_other(
    console: Console, clint: ClintSimulator, me: Browser
) -> None:
    """Token, origin and stages are looked at; what is missing is said, what is fine too, and nothing is written."""
    me.post("/connections/new-destination", name="vendas", origin="Vendas", url="")
    finish_jobs()
    where = "/connections/destinations/vendas/test"
    assert f'action="{where}"' in me.get("/connections").text
    lacking = me.post(where)
    assert codes(console) == ["api.stage"]
    said = me.get(lacking.location).text
    clint.crm.add_origin("Vendas novas", ["Pagas"])
    me.post("/connections/destinations/vendas/url", origin="Vendas novas", url="")
    finish_jobs()
    complete = me.post(where)
    assert codes(console) == []
    right = me.get(complete.location).text
    clint.api_answers(401)
    refused = me.post(where)

    assert codes(console) == ["api.token"]
    assert "callout bad" in said
    assert "1 thing to do is below" in said
    assert "callout good" in right
    assert "callout bad" in me.get(refused.location).text
    assert all("nothing was written to Clint" in page for page in (said, right))
    assert clint.deals == []


def test_a_failing_origin_leads_to_its_test(console: Console, me: Browser) -> None:
    """The test reads what the destination needs in Clint."""
    me.post("/connections/new-destination", name="vendas", origin="Vendas", url="")
    with console.journal.database.write() as connection:
        before = destinations.load(connection)["vendas"]
        failing = replace(before, state="open", opens=2, until_ms=console.clock() + 60_000)
        destinations.save(connection, before, failing)
    page = me.get("/attention").text

    assert 'action="/connections/destinations/vendas/test"' in page


def test_a_pause_by_the_api_says_what_its_code_needs(console: Console, me: Browser) -> None:
    """A refused token asks for a token, not for another URL."""
    me.post("/connections/new-destination", name="vendas", origin="Vendas", url="")
    why = Message("the Clint API refused the token, got {status}", {"status": 401, "code": "clint.token"})
    with console.journal.database.write() as connection:
        destinations.pause(connection, "vendas", why.to_json(), console.clock())
    page = me.get("/attention").text

    assert "Make a new token in Clint" in page
    assert "Enter the new URL" not in page


def test_removing_an_origin_does_not_speak_of_a_url(console: Console, me: Browser) -> None:
    """What is forgotten is which origin the destination leads to."""
    me.post("/connections/new-destination", name="vendas", origin="Vendas", url="")
    finish_jobs()
    asked = me.get("/connections/destinations/vendas/remove").text
    me.post("/connections/destinations/vendas/remove")

    assert "Remove the destination" in asked
    assert "Remove the URL" not in asked
    assert "vendas" not in console.runtime.destinations
