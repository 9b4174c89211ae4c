"""The console's pages of mappings: a save that is refused or kept, its history, the form, the preview."""

from __future__ import annotations

import re
import shutil
from collections.abc import Iterator
from html import unescape
from pathlib import Path

import pytest
from werkzeug.test import TestResponse

from bridge.crypto import new_key
from bridge.journal import audit, revisions
from bridge.model import DeliveryState
from bridge.pipeline.active_mappings import MappingFiles
from bridge.simulator.clint.account import INTEGRATIONS
from tests.console import Browser, Console, finish_jobs, opened_console
from tests.factories import incoming, keep, owe, put_in_state
from tests.forms import form_of

SAMPLES = Path(__file__).parents[2] / "mappings" / "samples"
GOOD = """events: [PAYMENT_RECEIVED]
filter:
  all:
    - {field: payment.value, at_least: 5}
contact: {email: customer.email}
deal: {valor: money(payment.value)}
tests:
  - name: paga
    given: samples/payment_received_pix.json
    with: {customer: samples/customer_pf.json}
    expect: {valor: "150.00"}
"""

CLINT = "https://functions-api.clint.digital/endpoints/integration/webhook"


@pytest.fixture
def console(sqlite_url: str, tmp_path: Path) -> Iterator[Console]:
    """Give a console with both passwords, one mapping and the bundled samples."""
    shutil.copytree(SAMPLES, tmp_path / "mappings" / "samples")
    with opened_console(sqlite_url, tmp_path) as opened:
        yield opened


def newest(console: Console, name: str = "cobranca") -> revisions.Revision:
    """Return a mapping's active revision."""
    with console.journal.database.read() as connection:
        found = revisions.newest(connection, name)
    assert found is not None
    return found


def file_of(console: Console, name: str = "cobranca") -> Path:
    """Return a mapping's file."""
    return Path(console.runtime.settings.bridge_mappings_dir) / f"{name}.yaml"


def with_value(value: str) -> str:
    """Return the good mapping with another expectation."""
    return GOOD.replace('"150.00"', f'"{value}"')


def passing(console: Console) -> str:
    """Return the good mapping with the value that its sample really has."""
    body = (SAMPLES / "payment_received_pix.json").read_text()
    value = float(re.search(r'"value":\s*([\d.]+)', body)[1])  # type: ignore[index]
    return with_value(f"{value:.2f}")


def test_the_list_says_state_and_what_became_of_the_last_day(console: Console) -> None:
    """What ended in the last 24 hours is counted by mapping, and what is under way; what ended before is not."""
    now_ms, hour_ms = console.clock(), 3_600_000
    for hours in (0, 23, 25):
        delivery = owe(console.journal, customer=f"cus_{hours}")
        put_in_state(console.journal, delivery, DeliveryState.DELIVERED, finished_ms=now_ms - hours * hour_ms)
    put_in_state(console.journal, owe(console.journal, customer="cus_4"), DeliveryState.DEAD, finished_ms=now_ms)
    owe(console.journal, customer="cus_5")
    page = console.operator().get("/mappings").text

    assert "Broken" in page  # what the deliveries name has a text that can't run
    assert "Switched on" in page
    assert '<td class="number" data-label="Delivered">2</td>' in page
    assert '<td class="number bad-text strong" data-label="Not delivered">1</td>' in page
    assert '<td class="number" data-label="Under way">1</td>' in page


def test_a_save_is_active_and_in_the_file(console: Console) -> None:
    """On one machine the file is written too, and reading the directory again makes no other revision of it."""
    browser = console.operator()
    text = passing(console)
    saved = browser.post("/mappings/cobranca", text=text.replace("\n", "\r\n"), base=newest(console).id)
    after = newest(console)
    files = MappingFiles(console.journal, file_of(console).parent, console.runtime.setup, console.clock)
    files.import_changed()

    assert saved.status_code == 303
    assert (after.text, after.origin, after.author) == (text, "console-file", "Ana")
    assert file_of(console).read_text() == text
    assert newest(console).id == after.id
    with console.journal.database.read() as connection:
        assert audit.newest(connection, 1)[0]["action"] == "mapping.saved"


def test_a_save_whose_file_cant_be_written_is_kept_in_the_journal(console: Console) -> None:
    """The revision wins until the file changes; a file that stays as it was brings nothing back."""
    file_of(console).with_name(".cobranca.yaml.new").mkdir()
    text = passing(console)
    console.operator().post("/mappings/cobranca", text=text, base=newest(console).id)
    after = newest(console)
    MappingFiles(console.journal, file_of(console).parent, console.runtime.setup, console.clock).import_changed()

    assert (after.text, after.origin) == (text, "console")
    assert file_of(console).read_text() != text
    assert newest(console).id == after.id
    assert "The file has another text" in console.operator().get("/mappings/cobranca").text


def test_a_save_with_errors_is_refused(console: Console) -> None:
    """The findings are shown beside the text, which is not lost; nothing was saved."""
    before = newest(console)
    page = console.operator().post(
        "/mappings/cobranca", text=GOOD.replace("money(", "mony("), base=before.id, follow=True
    )

    assert page.status_code == 422
    assert "Not saved: there are errors" in page.text
    assert "expression.unknown_function" in page.text
    assert "mony(payment.value)" in page.text
    assert newest(console) == before


def test_a_save_whose_tests_fail_needs_a_word(console: Console) -> None:
    """What was expected stands beside what came; with the box ticked it is saved all the same."""
    browser, before = console.operator(), newest(console)
    page = browser.post("/mappings/cobranca", text=with_value("1.00"), base=before.id, follow=True)
    kept = browser.post("/mappings/cobranca", text=with_value("1.00"), base=before.id, anyway="on")

    assert page.status_code == 422
    assert "there are tests that fail" in page.text
    assert "1.00" in page.text
    assert kept.status_code == 303
    assert newest(console).text == with_value("1.00")


def test_somebody_elses_save_is_not_overwritten(console: Console) -> None:
    """The second of two who began from the same revision sees what the first one changed, and keeps the own text."""
    first, second, base = console.operator(), console.operator(), newest(console).id
    first.post("/mappings/cobranca", text=passing(console), base=base)
    mine = passing(console).replace("at_least: 5", "at_least: 7")
    page = second.post("/mappings/cobranca", text=mine, base=base, follow=True)

    assert page.status_code == 409
    assert "the text was changed meanwhile" in page.text
    assert "Ana saved another revision" in page.text
    assert "at_least: 7" in page.text
    assert newest(console).text == passing(console)
    assert f'name="base" value="{newest(console).id}"' in page.text


DESCRIBED = f"description: Paga\n{GOOD}"


def saved(console: Console, text: str) -> None:
    """Let another person save a text."""
    answer = console.operator().post("/mappings/cobranca", text=text, base=newest(console).id, anyway="on")
    assert answer.status_code == 303


def second_save(console: Console, theirs: str, **mine: str) -> tuple[Browser, TestResponse]:
    """Let one save in the form what another one changed meanwhile; return the browser and the page that says so."""
    saved(console, DESCRIBED)
    browser = console.operator()
    form = form_of(browser.get("/mappings/cobranca"), "/draft")
    form.fill(**mine)
    change = form_of(form.press(browser, "See what changes"))
    saved(console, theirs)
    change.fields.append(("anyway", "on"))
    return browser, change.press(browser, "Save")


def test_two_changes_by_the_form_are_joined(console: Console) -> None:
    """The second of two stays in the form, which has both changes, and saves them after one more look."""
    browser, page = second_save(console, DESCRIBED.replace("at_least: 5", "at_least: 7"), description="Paga no dia")
    form = form_of(page, "/draft")
    change = form_of(form.press(browser, "See what changes"))
    change.fields.append(("anyway", "on"))
    change.press(browser, "Save")

    assert page.status_code == 409
    assert "Ana saved another revision" in page.text
    assert (form["description"], form["row-0-value"]) == ("Paga no dia", "7.00")
    assert "description: Paga no dia" in (newest(console).text or "")
    assert "at_least: 7" in (newest(console).text or "")


def test_two_changes_of_one_place_leave_the_person_in_the_form(console: Console) -> None:
    """It has the own text, and says that a save undoes the other."""
    theirs = DESCRIBED.replace("Paga", "Recebida")
    _, page = second_save(console, theirs, description="Paga no dia")
    form = form_of(page, "/draft")

    assert page.status_code == 409
    assert form["description"] == "Paga no dia"
    assert form["base"] == str(newest(console).id)
    assert "Recebida" in page.text
    assert newest(console).text == theirs


def test_a_draft_is_not_taken_for_what_is_active(console: Console) -> None:
    """With an error in it the mapping runs well all the same; the page says that the draft is not saved."""
    browser = console.operator()
    saved(console, DESCRIBED)
    file_of(console).write_text(f"{DESCRIBED}# by hand\n")
    form = form_of(browser.get("/mappings/cobranca?tab=yaml"), "/draft")
    draft = form.press(browser, "YAML")
    form.fill(text=DESCRIBED.replace("money(", "mony("))
    wrong = form.press(browser, "YAML")

    for page in (draft, wrong):
        assert "Switched on" in page.text
        assert "Broken" not in page.text
        assert "The active text stays active" in page.text
    assert "not saved yet" not in draft.text
    assert "not saved yet" in wrong.text


def test_a_file_that_somebody_edits_is_not_overwritten(console: Console) -> None:
    """A text in the file that the journal does not know yet is somebody's work, even with an error in it."""
    file_of(console).write_text("events: [PAYMENT_RECEIVED\n")
    page = console.operator().post("/mappings/cobranca", text=passing(console), base=newest(console).id, follow=True)

    assert page.status_code == 409
    assert "has a text that is not active yet" in page.text
    assert file_of(console).read_text() == "events: [PAYMENT_RECEIVED\n"


def test_switching_off_changes_one_line(console: Console) -> None:
    """The rest of the text is as it was, and the list says so."""
    browser = console.operator()
    before = newest(console).text or ""
    browser.post("/mappings/cobranca/switch", on="0")
    off = newest(console).text or ""
    console.clock.go(1)

    assert off.replace("enabled: false\n", "") == before
    assert "Switched off" in browser.get("/mappings").text
    browser.post("/mappings/cobranca/switch", on="1")
    assert "enabled: true" in (newest(console).text or "")


def test_a_mapping_that_sends_nonsense_can_be_switched_off_and_not_on(console: Console) -> None:
    """It became active before lint knew; off it does no harm."""
    text = passing(console) + "organization: {nome: {text: customer.name}}\n"
    with console.journal.database.write() as connection:
        revisions.import_text(connection, "cobranca", text, "console", "", console.clock())
    browser = console.operator()
    off = browser.post("/mappings/cobranca/switch", on="0")
    on = browser.post("/mappings/cobranca/switch", on="1", follow=True)

    assert (off.status_code, on.status_code) == (303, 422)
    assert "enabled: false" in (newest(console).text or "")


def test_the_list_names_a_file_that_is_not_read(console: Console) -> None:
    """An editor of Windows saved it as a text."""
    file_of(console).with_name("nova.yaml.txt").write_text(GOOD)

    assert "rename it to nova.yaml" in console.operator().get("/mappings").text


def test_the_editor_says_which_other_mapping_sends_the_same(console: Console) -> None:
    """The set of files is more than each of them."""
    text = GOOD.replace("PAYMENT_RECEIVED", "PAYMENT_*").replace(
        "filter:\n  all:\n    - {field: payment.value, at_least: 5}\n", ""
    )
    with console.journal.database.write() as connection:
        revisions.import_text(connection, "outra", text, "console", "", console.clock())
    found = (
        console.operator().post("/mappings/live/lint", text=passing(console), name="cobranca").get_json()["findings"]
    )

    (overlap,) = (one["message"] for one in found if one["code"] == "mapping.overlap")
    assert "“outra”" in overlap
    assert "<" not in overlap


def import_mapping(console: Console, name: str, text: str) -> None:
    """Make a mapping active beside the others."""
    with console.journal.database.write() as connection:
        revisions.import_text(connection, name, text, "console", "", console.clock())
    console.clock.go(1)


def is_on(console: Console, name: str = "cobranca") -> bool:
    """Return whether the active text of a mapping is switched on."""
    return "enabled: false" not in (newest(console, name).text or "")


def test_what_goes_out_twice_is_said_before_a_save_and_asked_before_a_switch(console: Console) -> None:
    """Both mappings send the same event to the same destination; while one is off nothing goes out twice."""
    import_mapping(console, "outra", passing(console))
    browser, base = console.operator(), newest(console).id
    change = browser.post("/mappings/cobranca/draft", text=passing(console), base=base, tab="yaml", follow=True).text
    off = browser.post("/mappings/cobranca/switch", on="0", follow=True).text
    asked = browser.post("/mappings/cobranca/switch", on="1", follow=True).text
    before = is_on(console)
    browser.post("/mappings/cobranca/switch", on="1", confirmed="1")
    listed = browser.get("/mappings").text

    said = re.compile(
        r'<a class="row-link" href="/mappings/outra">outra</a>.*?Payment received.*?to “default”', re.DOTALL
    )
    assert said.search(change)
    assert "1 other mapping sends the same events" not in off
    assert said.search(asked)
    assert not before
    assert is_on(console)
    assert listed.count("1 other mapping sends the same events") == 2


def test_two_integrations_may_be_one_funnel(sqlite_url: str, tmp_path: Path) -> None:
    """Clint alone knows the origin of an integration: the question names every mapping, and the page of causes too."""
    with opened_console(sqlite_url, tmp_path, CLINT_WEBHOOK_URL_PAGAS="https://clint.example/pagas") as console:
        browser = console.operator()
        import_mapping(console, "paga", with_destination("pagas", enabled=False))
        asked = browser.post("/mappings/paga/switch", on="1", follow=True).text
        quiet = browser.get("/attention").text
        browser.post("/mappings/paga/switch", on="1", confirmed="1")
        console.clock.go(1)
        cause = browser.get("/attention").text
        place = re.search(r'action="/attention/causes/(cause-\w+)/seen"', cause)
        overview = browser.get("/").text
        assert place
        browser.post(f"/attention/causes/{place[1]}/seen")
        seen = browser.get("/").text

    assert "They may be the same funnel" in asked
    assert "/mappings/cobranca" in asked
    words = "is not the only mapping that sends its events"
    assert (words in quiet, words in cause, words in overview, words in seen) == (False, True, True, False)


def test_by_the_api_one_deal_is_written_twice_or_there_are_two(sqlite_url: str, tmp_path: Path) -> None:
    """Origins are known, so other ones are no question; the deal key says whether it is one deal."""
    origins = {f"CLINT_ORIGIN_{name}": origin for name, origin in (("A", "Vendas"), ("B", "Vendas"), ("C", "Outra"))}
    with opened_console(sqlite_url, tmp_path, CLINT_API_TOKEN="t" * 40, **origins) as console:
        browser = console.operator()
        browser.post("/mappings/cobranca/switch", on="0")
        import_mapping(console, "a", with_destination("a"))
        import_mapping(console, "b", with_destination("b", enabled=False))
        import_mapping(console, "c", with_destination("c", enabled=False))
        import_mapping(console, "d", "one_deal_per: customer\n" + with_destination("b", enabled=False))
        said = [browser.get(f"/mappings/{name}/switch").text for name in "bcd"]

    assert "one deal is written twice" in said[0]
    assert "no other mapping sends the same events" in said[1]
    assert "there will be two deals" in said[2]


def with_destination(name: str, *, enabled: bool = True) -> str:
    """Return a mapping without conditions that sends to a destination."""
    rest = "contact: {email: customer.email}\ndeal: {valor: money(payment.value)}\n"
    return f"enabled: {str(enabled).lower()}\nevents: [PAYMENT_RECEIVED]\n{rest}send_to: {name}\n"


def test_a_missing_destination_leads_to_its_form_and_back(sqlite_url: str, tmp_path: Path) -> None:
    """One line for each, in words with a link; after the last one the mapping can be switched on."""
    routes = "routes:\n  - {events: [PAYMENT_OVERDUE], send_to: vencidas}\n"
    text = with_destination("pagas", enabled=False).replace("[PAYMENT_RECEIVED]", "[PAYMENT_OVERDUE, PAYMENT_CREATED]")
    with opened_console(sqlite_url, tmp_path, BRIDGE_ENCRYPTION_KEY=new_key()) as console:
        import_mapping(console, "funil", text + routes)
        browser = console.operator()
        page = browser.post("/mappings/funil/switch", on="1", follow=True).text
        links = [unescape(link) for link in re.findall(r'href="(/connections/new-destination\?[^"]*)"', page)]
        form = browser.get(links[0]).text
        back = [
            browser.post(link, name=name, url=f"{CLINT}/{INTEGRATIONS[name]}").headers["Location"]
            for link, name in zip(links, ("pagas", "vencidas"), strict=True)
        ]
        ready = browser.get("/mappings/funil/switch").text
        browser.post("/mappings/funil/switch", on="1")

        assert "CLINT_WEBHOOK_URL" not in page
        assert 'name="name" value="pagas"' in form
        assert back == ["/mappings/funil/switch"] * 2
        assert "Everything it sends to is connected" in ready
        assert is_on(console, "funil")


def test_a_mapping_that_is_off_is_said_to_keep_from_a_replay(console: Console) -> None:
    """Only *Discard* is left then: why, and the way to switch it on."""
    failed = owe(console.journal, mapping="cobranca")
    put_in_state(console.journal, failed, DeliveryState.DEAD, due_ms=None, reason_code="clint.http_422")
    browser, words = console.operator(), "Replay is not offered for"
    on = browser.get("/attention").text
    browser.post("/mappings/cobranca/switch", on="0")
    console.clock.go(1)
    off = browser.get("/attention").text

    assert words not in on
    assert words in off
    assert 'href="/mappings/cobranca/switch"' in off


def test_history_shows_differences_and_brings_a_text_back(console: Console) -> None:
    """A restore is a new revision with the old text; one that was begun before another save is refused."""
    browser, first = console.operator(), newest(console)
    browser.post("/mappings/cobranca", text=passing(console), base=first.id)
    second = newest(console)
    page = browser.get(f"/mappings/cobranca/history?from={first.id}&to={second.id}").text
    listed = browser.get("/mappings/cobranca/history").text
    refused = browser.post(f"/mappings/cobranca/history/{first.id}/restore", base=first.id, follow=True)
    restored = browser.post(f"/mappings/cobranca/history/{first.id}/restore", base=second.id, follow=True)

    assert '<span class="added">+deal: {valor: money(payment.value)}</span>' in page
    assert f'href="/mappings/cobranca/restore?revision={first.id}"' in listed
    assert f"restore?revision={second.id}" not in listed
    assert "Not restored: somebody saved meanwhile." in refused.text
    assert restored.status_code == 200
    assert newest(console).text == first.text
    assert newest(console).id > second.id
    assert browser.get("/mappings/nobody/history").status_code == 404


def test_a_restore_is_found_where_revisions_of_other_mappings_are_between(console: Console) -> None:
    """The link of the history leads to the page of that revision: ids and a mapping's own numbers differ."""
    browser = console.operator()
    browser.post("/mappings/outra", text=passing(console), base=0, fresh="1")
    browser.post("/mappings/outra", text=passing(console) + "# mais\n", base=newest(console, "outra").id)
    page = browser.get("/mappings/outra/history").text
    found = re.search(r'href="(/mappings/outra/restore[^"]+)"', page)

    assert found
    assert "Restore revision 1" in browser.get(found[1]).text


def test_a_mapping_whose_file_has_a_long_name_has_its_pages(console: Console) -> None:
    """The name is only held to its rule where a new mapping is made."""
    name = "uma_automacao_com_um_nome_de_arquivo_que_passa_de_quarenta"
    with console.journal.database.write() as connection:
        revisions.import_text(connection, name, passing(console), "file", "Ana", console.clock())
    browser = console.operator()

    for page in ("", "/history", "/checklist", "/run"):
        assert browser.get(f"/mappings/{name}{page}").status_code == 200
    assert browser.post(f"/mappings/{'x' * 50}", text=passing(console), base=0).status_code == 404


def test_lint_answers_what_the_editor_marks(console: Console) -> None:
    """Line, column, severity and code of each finding; a viewer may ask too, since nothing is changed."""
    viewer = console.browser()
    viewer.sign_in("so para olhar")
    found = viewer.post("/mappings/live/lint", text="events: [PAYMENT_RECEIVD]\n", name="x").get_json()["findings"]

    assert {one["code"] for one in found} >= {"events.unknown"} or any(
        "PAYMENT_RECEIVD" in one["message"] for one in found
    )
    assert all(one["line"] >= 1 and one["severity"] in {"error", "warning", "note"} for one in found)
    assert viewer.post("/mappings/cobranca", text="x", base=1).status_code == 403


def test_words_for_completion_come_from_the_tables(console: Console) -> None:
    """Events, functions and paths are those that lint knows."""
    words = console.operator().get("/mappings/live/words.json").get_json()

    assert "PAYMENT_RECEIVED" in {one["label"] for one in words["events"]}
    assert "phone" in {one["label"] for one in words["functions"]}
    assert {"payment.value", "envelope.additionalInfo.splitId"} <= {one["label"] for one in words["paths"]}
    assert "at_least: " in {one["label"] for one in words["operators"]}
    assert {"one_deal_per: ", "funnel: ", "stage: "} <= {one["label"] for one in words["keys"]}
    assert {"open", "won", "lost"} <= {one["label"] for one in words["names"]}


@pytest.mark.parametrize("against", ["sample:payment_received_pix.json", "example", "event:1"])
def test_the_preview_says_what_would_come_out(console: Console, against: str) -> None:
    """Each condition with the value it saw, and the payload with its destination."""
    keep(console.journal, incoming())
    page = console.operator().post("/mappings/live/preview", text=GOOD, name="cobranca", against=against).text

    assert "payment.value" in page
    assert "saw" in page
    assert "Would be sent to default" in page or "Without the data from Asaas" in page or "Could not be sent" in page


def test_the_preview_shows_the_deal(console: Console) -> None:
    """Stage, status and key, for a mapping that is meant for Clint's API."""
    text = GOOD + "enabled: false\nsend_to: funil\nfunnel: {stage: {text: Paga no Pix}, status: {text: won}}\n"
    page = console.operator().post("/mappings/live/preview", text=text, name="x", against="example").text

    assert ">Stage<" in page
    assert "Paga no Pix" in page
    assert ">Deal key<" in page


def test_the_preview_says_why_not(console: Console) -> None:
    """A filter that says no, an event it does not listen to, a text with errors, a sample that is not there."""
    browser = console.operator()

    def seen(text: str, against: str = "sample:payment_received_pix.json") -> str:
        return str(browser.post("/mappings/live/preview", text=text, name="x", against=against).text)

    assert "Would be filtered" in seen(GOOD.replace("at_least: 5", "at_least: 5000"))
    assert "Does not listen" in seen(GOOD, "sample:payment_deleted.json")
    assert "Fix the errors" in seen("events: 7")
    assert "can&#39;t be shown" in seen(GOOD, "sample:nothing.json")


def test_the_checklist_can_be_copied(console: Console) -> None:
    """Each key with its tab and an example, each integration with its stage, also for an event without a label."""
    browser = console.operator("pt-BR")
    text = passing(console).replace("events: [", "events: [LOYALTY_2_EARNED, ")
    browser.post("/mappings/cobranca", text=text, base=newest(console).id)
    page = browser.get("/mappings/cobranca/checklist").text

    assert "LOYALTY_2_EARNED" in page
    assert 'data-copy="valor"' in page
    assert "Negócio" in page


def test_save_and_run_shows_first_and_sends_on_confirmation(console: Console) -> None:
    """The last events go through the mapping again, after a preview that survives a reload."""
    browser = console.operator()
    keep(console.journal, incoming())
    with console.journal.database.write() as connection:
        connection.exec_driver_sql("UPDATE events SET state = 'processed', processed_ms = 1")
    browser.post("/mappings/cobranca", text=passing(console), base=newest(console).id, run="1")
    begun = browser.post("/mappings/cobranca/run", over="events", number="10")
    finish_jobs()
    preview = browser.get(begun.location).text
    asked = browser.post(f"{begun.location}/replay")
    finish_jobs()
    done = browser.get(asked.location).text

    assert begun.status_code == 303
    assert "0 of 1 event would be sent" in preview
    assert "1 can&#39;t be judged now" in preview
    assert "Replay 1 event" in preview
    assert "1 under way" in done
    with console.journal.database.read() as connection:
        assert connection.exec_driver_sql("SELECT replay, state FROM events").all() == [(1, "received")]


def test_nothing_to_run_over_is_said(console: Console) -> None:
    """Where no event came that the mapping listens to, no work is begun."""
    page = console.operator().post("/mappings/cobranca/run", over="events", number="10", follow=True)

    assert "No recent event that this mapping listens to." in page.text


def test_names_that_are_none_are_not_found(console: Console) -> None:
    """An address is no way to write a file of another name."""
    browser = console.operator()

    assert browser.get("/mappings/Paga").status_code == 404
    assert browser.get("/mappings/nobody").status_code == 404
    assert browser.post("/mappings/..paga", text=GOOD, base="0").status_code == 404


def test_a_switch_notices_somebody_elses_save(console: Console) -> None:
    """What was looked at is not what would be switched."""
    browser, base = console.operator(), newest(console).id
    browser.post("/mappings/cobranca", text=passing(console), base=base)
    page = browser.post("/mappings/cobranca/switch", on="0", base=base, follow=True)

    assert page.status_code == 409
    assert newest(console).text == passing(console)


def test_the_same_text_again_is_no_revision(console: Console) -> None:
    """Saving what is active changes nothing and says so."""
    browser, before = console.operator(), newest(console)
    page = browser.post("/mappings/cobranca", text=before.text or "", base=before.id, anyway="on", follow=True)

    assert "nothing changed" in page.text
    assert newest(console) == before


def test_a_text_of_another_time_that_cant_run_is_not_restored(console: Console) -> None:
    """A revision that this version refuses stays where it is; its checklist leads to the editor."""
    with console.journal.database.write() as connection:
        revisions.turn(connection)
        old = revisions.add(connection, "velha", "events: 7\n", "file", "Ana", 1)
        revisions.add(connection, "velha", "events: 8\n", "file", "Ana", 2)
    browser = console.operator()
    page = browser.post(f"/mappings/velha/history/{old}/restore", follow=True).text

    assert "can&#39;t run any more" in page
    assert browser.get("/mappings/velha/checklist").location == "/mappings/velha"
    assert browser.post("/mappings/velha/switch", on="0", follow=True).status_code == 422


def test_charges_that_never_came_can_be_run_over(console: Console) -> None:
    """Without a key the page says why it can't; asked all the same, the work ends with the reason."""
    browser = console.operator()
    begun = browser.post("/mappings/cobranca/run", over="charges", days="7")
    finish_jobs()

    assert "The account has no API key" in browser.get("/mappings/cobranca/run").text
    assert "has no API key" in browser.get(begun.location).text


def test_the_audit_trail_says_what_was_done_in_words(console: Console) -> None:
    """A save, a switch and a restore are told apart, with the mapping's own numbers and in the reader's language."""
    browser, first = console.operator("pt-BR"), newest(console)
    browser.post("/mappings/cobranca", text=passing(console), base=first.id)
    browser.post("/mappings/cobranca/switch", on="0")
    browser.post("/mappings/cobranca/switch", on="1")
    browser.post(f"/mappings/cobranca/history/{first.id}/restore")
    with console.journal.database.read() as connection:
        noted = audit.newest(connection, 4)
    page = browser.get("/who").text

    assert [(one["action"], one["detail"]["number"]) for one in noted] == [
        ("mapping.restored", 5),
        ("mapping.switched_on", 4),
        ("mapping.switched_off", 3),
        ("mapping.saved", 2),
    ]
    assert noted[0]["detail"]["text_of"] == 1
    link = '<a href="/mappings/cobranca/history">cobranca</a>'
    for sentence in ("Restaurou um texto anterior da automação", "Desligou a automação", "Salvou a automação"):
        assert f"{sentence} {link}" in page
    assert "revisão 5 · o arquivo também foi gravado · com o texto da revisão 1" in page
    assert "Entrou no painel" in page
    assert "True" not in page
