"""An account to which no mapping listens: people are told where they look, and a copy of a mapping ends it."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

import pytest

from bridge.alerts.plan import UNHEARD
from bridge.journal import notices, revisions
from bridge.mapping import Setup, parse_mapping, testing
from bridge.operations.accounts import without_mapping
from bridge.operations.causes import find_causes
from bridge.operations.doctor import run_checks
from bridge.operations.mappings import copied, starters
from bridge.worker.alerts import AlertSetup, send_alerts
from bridge.worker.drain import Drainer
from tests.console import Browser, Console, opened_console
from tests.factories import incoming, keep

PAGA = """
description: Cobrança paga
events: [PAYMENT_CONFIRMED]
filter:
  all:
    - field: payment.value
      at_least: 100
contact: {email: "'ana@example.com'"}
"""


@pytest.fixture
def console(sqlite_url: str, tmp_path: Path, redis_url: str) -> Iterator[Console]:
    """Give a console with two accounts; the mappings are the first one's."""
    (tmp_path / "mappings").mkdir()
    (tmp_path / "mappings" / "paga.yaml").write_text(PAGA)
    with opened_console(
        sqlite_url, tmp_path, ASAAS_API_KEY="$aact_hmlg_x", ASAAS_API_KEY_FILIAL="$aact_hmlg_y", REDIS_URL=redis_url
    ) as opened:
        yield opened


@pytest.fixture
def me(console: Console) -> Browser:
    """Give the operator."""
    return console.operator()


def standing(console: Console) -> list[tuple[str, str]]:
    """Return the causes that need a person."""
    with console.journal.database.read() as connection:
        return [(one.code, one.about) for one in find_causes(console.runtime, connection)]


def look(console: Console) -> list[tuple[str, str]]:
    """Look for problems as a worker does, and return the open notices."""
    console.clock.go(60)
    send_alerts(console.journal, AlertSetup.from_runtime(console.runtime), console.clock)
    with console.journal.database.read() as connection:
        return [(one.code, one.about) for one in notices.open_notices(connection)]


def text_of(page: str) -> str:
    """Return the text that the form of a mapping carries."""
    found = re.search(r'<textarea name="text" hidden>\n(.*?)</textarea>', page, re.DOTALL)
    assert found, page
    return found[1].replace("&#39;", "'").replace("&#34;", '"').replace("&gt;", ">")


def test_an_account_without_a_mapping_is_told_everywhere(console: Console, me: Browser) -> None:
    """On the pages, in the notices that alerts speak of, and in the doctor's checks."""
    copy = "/mappings?account=filial#copy"

    assert standing(console) == [(UNHEARD, "filial")]
    assert copy in me.get("/attention").text
    assert "No mapping is on for account filial" in me.get("/").text
    assert "Everything is flowing" not in me.get("/").text
    assert look(console) == [(UNHEARD, "filial")]
    assert standing(console) == [(UNHEARD, "filial")]  # the notice is of the same cause
    assert [one.code for one in run_checks(console.runtime, lambda: console.journal)].count(UNHEARD) == 1


def test_the_page_of_its_event_leads_to_a_copy(console: Console, me: Browser) -> None:
    """With the account of the event chosen."""
    keep(console.journal, incoming(account="filial", received_ms=console.clock()))
    runtime = console.runtime
    drainer = Drainer(runtime.journal, runtime.decider, runtime.deliverer, runtime.wakeups, runtime.clock_ms, 1)
    for lane in runtime.journal.lanes.due(runtime.clock_ms()):
        drainer.start(lane)
        drainer.join()
    page = me.get("/events/1").text

    assert 'href="/mappings?account=filial#copy"' in page


def test_a_copy_is_a_form_first_and_ends_it(console: Console, me: Browser) -> None:
    """Nothing is saved before the person has seen the copy."""
    assert look(console) == [(UNHEARD, "filial")]
    assert "<option selected>filial</option>" in me.get("/mappings").text
    begun = me.post("/mappings-copy", mapping="paga", account="filial")
    form = me.get(begun.location).text
    text = text_of(form)

    assert '<option value="filial" selected>filial</option>' in form
    assert 'value="Cobrança paga (filial)"' in form
    with console.journal.database.read() as connection:
        assert [one.mapping for one in revisions.active(connection)] == ["cobranca", "paga"]
    saved = me.post("/mappings/paga_filial", text=text, base="0", fresh="1", anyway="1")
    assert saved.location == "/mappings/paga_filial"
    console.clock.go(60)
    served = {one.mapping.name: one.mapping.account for one in console.runtime.mappings.current()}
    assert served == {"cobranca": "default", "paga": "default", "paga_filial": "filial"}
    assert standing(console) == []
    assert look(console) == []


def test_nothing_is_copied_for_an_account_that_is_not_there(console: Console, me: Browser) -> None:
    """Nor is a mapping that is not there."""
    assert me.post("/mappings-copy", mapping="paga", account="nenhuma").status_code == 404
    assert me.post("/mappings-copy", mapping="nenhuma", account="filial").status_code == 404


def test_the_ready_mappings_can_be_copied() -> None:
    """Each is the same for the other account: its tests hold, and it is switched on."""
    setup = Setup(None, None, starters())
    paths = sorted(starters().glob("*.yaml"))

    assert paths
    for path in paths:
        mapping = parse_mapping(copied(path.read_text(), path.stem, "filial"), "copy.yaml", setup).mapping
        assert mapping is not None, path
        assert (mapping.account, mapping.enabled) == ("filial", True), path
        assert all(one.passed for one in testing.run(mapping, starters())), path


def test_a_text_without_a_form_gets_the_line() -> None:
    """Where there is one, it is changed."""
    odd = "events: [PAYMENT_RECEIVED]\ncontact: []\n"

    assert copied(odd, "x", "filial") == f"account: filial\n{odd}"
    assert copied(f"account: loja # x\n{odd}", "x", "filial") == f"account: filial # x\n{odd}"


def test_without_any_mapping_it_is_about_no_account() -> None:
    """The guide of the first start says what is missing then."""
    assert without_mapping(["default", "filial"], []) == []
