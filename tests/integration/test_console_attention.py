"""The page of what needs a person: groups with their cause, and decisions about many at once."""

from __future__ import annotations

import html
import json
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

from bridge.journal import audit, notices, queries, statistics
from bridge.journal.queries import DeadFilter
from bridge.journal.schema import events as event_table
from bridge.model import DeliveryState, NoticeLevel
from bridge.operations import actions
from bridge.operations.bulk import BulkAction
from tests.console import VIEWER, Browser, Console, finish_jobs, opened_console
from tests.factories import NOW_MS, envelope, incoming, keep, noticed, owe, payment, put_in_state, rows_of, states


@pytest.fixture
def console(sqlite_url: str, tmp_path: Path) -> Iterator[Console]:
    """Give a console with both passwords."""
    with opened_console(sqlite_url, tmp_path) as opened:
        yield opened


def give_up(console: Console, number: int, code: str = "clint.http_422", **more: str | None) -> list[int]:
    """Make so many dead deliveries, each of an event and a customer of its own; return their numbers."""
    made = []
    for n in range(number):
        body = json.dumps(envelope(payment=payment(f"cus_{code}_{n}")))
        (event_id,) = keep(console.journal, incoming(f"cus_{code}_{n}", body=body, object_id=f"pay_{code}_{n}"))
        with console.journal.database.write() as connection:
            connection.execute(
                event_table.update().where(event_table.c.id == event_id).values(state="processed", processed_ms=NOW_MS)
            )
        delivery = owe(
            console.journal, event_id=event_id, customer=f"cus_{code}_{n}", **{"mapping": "cobranca", **more}
        )
        put_in_state(
            console.journal, delivery, DeliveryState.DEAD, due_ms=None, reason_code=code, finished_ms=NOW_MS - 60_000
        )
        made.append(delivery)
    return made


def told(console: Console) -> list[tuple[str, str, dict[str, object]]]:
    """Return what the audit trail has of changes, newest first."""
    with console.journal.database.read() as connection:
        noted = audit.newest(connection, 50)
    return [(one["action"], one["about"], one["detail"]) for one in noted if one["action"] != "console.signed_in"]


def fields(page: str) -> dict[str, str]:
    """Return the hidden fields of the page's form that runs a decision."""
    form = page.split('action="/attention/run"')[1].split("</form>")[0]
    found = dict(re.findall(r'name="(\w+)" value="([^"]*)"', form))
    del found["csrf_token"]
    return found


def carry_out(browser: Browser, page: str) -> str:
    """Send the form, wait for its work and return the page of it."""
    begun = browser.post("/attention/run", fields(page))
    finish_jobs()
    return str(browser.get(begun.location).text)


# ---------------------------------------------------------------- what there is


def test_nothing_to_do_is_said(console: Console) -> None:
    """An empty page is good news, and the menu counts nothing."""
    page = console.operator("pt-BR").get("/attention").text

    assert "Nenhuma ação necessária" in page
    assert 'class="count"' not in page


def test_the_events_of_a_cause_are_those_of_no_other(console: Console) -> None:
    """The link of a card leads to its failures alone; the list says so, and the way back to all."""
    give_up(console, 2, "clint.http_400")
    give_up(console, 1)
    give_up(console, 1, "clint.http_422", destination="outro")
    browser = console.operator()
    links = re.findall(r'href="(/events\?state=dead[^"]*)"', browser.get("/attention").text)
    found = {}
    for link in links:
        page = browser.get(html.unescape(link)).text
        found[re.search(r"code=([\w.]+)&destination=(\w+)", html.unescape(link)).groups()] = page  # type: ignore[union-attr]

    assert {key: page.count('class="row-link"') for key, page in found.items()} == {
        ("clint.http_400", "default"): 2,
        ("clint.http_422", "default"): 1,
        ("clint.http_422", "outro"): 1,
    }
    page = found["clint.http_422", "outro"]
    assert "pay_clint.http_422_0" in page.replace("<wbr>", "")
    assert "Show all failures" in page
    assert 'name="code" value="clint.http_422"' in page
    assert browser.get("/events?state=dead").text.count('class="row-link"') == 4


def test_dead_deliveries_are_grouped_with_cause_and_mend(console: Console) -> None:
    """The largest cause first, each with what it means in the reader's language; the menu counts causes."""
    give_up(console, 2, "clint.http_400")
    give_up(console, 3)
    give_up(console, 1, "nobody.knows", destination="outro")
    page = console.operator("pt-BR").get("/attention").text

    assert page.index("não aceita esses valores") < page.index("não entendeu o que foi enviado")
    assert "sem DDD" in page
    assert "Motivo que esta versão não conhece" in page
    assert "<small>Destino: outro</small>" in page
    assert re.search(r'class="count"[^>]*>3<', page)


def test_holds_notices_and_pauses_stand_there_too(console: Console) -> None:
    """With why, since when, and the button that ends them."""
    (held,) = keep(console.journal, incoming())
    with console.journal.database.write() as connection:
        connection.execute(
            event_table.update().where(event_table.c.id == held).values(hold_code="asaas.key_refused", due_ms=NOW_MS)
        )
        notice = noticed("queue.interrupted", "default", NoticeLevel.ERROR, "Asaas sends nothing", "resume it")
        warning = noticed("key.expiring", "default", NoticeLevel.WARNING, "the key expires", "")
        notices.apply(connection, [notice, warning], NOW_MS)
    actions.pause(console.journal, "default", "the integration was removed", NOW_MS)
    browser = console.operator()
    page = browser.get("/attention").text

    for text in ("Asaas refuses the account", "Asaas sends nothing", "resume it", "The integration was removed"):
        assert text in page
    assert page.index("Asaas sends nothing") < page.index("the key expires")
    assert "Notice dismissed" in browser.post("/attention/notices/1/close", follow=True).text
    assert "Notice dismissed" not in browser.post("/attention/notices/1/close", follow=True).text
    assert "takes deliveries again" in browser.post("/attention/destinations/default/resume", follow=True).text
    assert [action for action, _, _ in told(console)] == ["destination.resumed", "notice.closed"]


# ---------------------------------------------------------------- decisions about many


def test_a_decision_says_first_how_many_it_is_about(console: Console) -> None:
    """With the oldest of them and, for a replay, what would change; nothing is done yet."""
    give_up(console, 7, payload='{"email": "old@example.com"}')
    browser = console.operator()
    page = browser.get("/attention/confirm?decision=replay&code=clint.http_422&mapping=cobranca").text

    assert "Yes, replay 7 events" in page
    assert page.count('class="row-link"') == 5
    assert page.count("<del>old@example.com</del>") == 3
    assert page.count('<p class="person-line"><span class="strong">') == 3
    assert "Yes, discard 7 deliveries" in browser.get("/attention/confirm?decision=discard").text
    assert "Nothing is left" in browser.get("/attention/confirm?decision=retry&code=x").text
    assert browser.get("/attention/confirm?decision=shred").status_code == 404
    assert set(states(console.journal)) == {"dead"}


def test_bulk_work_stands_where_it_was_done(console: Console) -> None:
    """On the pages of each event, customer and charge that it changed, with its job; on no other."""
    give_up(console, 2)
    give_up(console, 1, "clint.http_400")
    browser = console.operator()
    page = browser.get("/attention/confirm?decision=retry&code=clint.http_422").text
    carry_out(browser, page)

    note = re.compile(r'Retried many deliveries \(<a href="/work/1">job 1</a>\)</p><p class="soft">Ana · ')
    person, charge = "/customers/default/cus_clint.http_422_0", "/charges/default/pay_clint.http_422_0"
    for path in ("/events/1", "/events/2", person, charge):
        assert len(note.findall(browser.get(path).text)) == 1, path
    for path in ("/events/3", "/customers/default/cus_clint.http_400_0"):
        assert "Nobody has changed anything here" in browser.get(path).text, path


@pytest.mark.parametrize(
    ("decision", "left"),
    [(BulkAction.RETRY, "pending"), (BulkAction.DISCARD, "discarded"), (BulkAction.REPLAY, "discarded")],
)
def test_a_decision_is_carried_out_on_its_group_only(console: Console, decision: BulkAction, left: str) -> None:
    """In pieces, to the end, and noted once with its numbers."""
    chosen = give_up(console, 5)
    other = give_up(console, 1, "clint.http_400")
    browser = console.operator()
    page = browser.get(f"/attention/confirm?decision={decision}&code=clint.http_422").text
    last = carry_out(browser, page)

    # What was set free is still under way: nothing sends it here.
    assert ("Done" if decision is BulkAction.DISCARD else "Under way") in last
    assert "5 of 5" in last
    with console.journal.database.read() as connection:
        assert [id_ for id_, _, _ in queries.dead_page(connection, DeadFilter())] == other
    assert states(console.journal) == [left] * len(chosen) + ["dead"]
    assert told(console) == [
        (f"bulk.{decision}", "clint.http_422", {"done": 5, "refused": 0, "code": "clint.http_422"})
    ]


def test_what_can_not_be_changed_is_counted(console: Console) -> None:
    """An event that still waits for its mappings can't be replayed now; the others are."""
    (waits, _) = give_up(console, 2)
    with console.journal.database.write() as connection:
        connection.execute(event_table.update().where(event_table.c.id == 1).values(state="received"))
    browser = console.operator()
    last = carry_out(browser, browser.get("/attention/confirm?decision=replay").text)

    assert "2 of 2" in last
    assert "1 could not be changed" in last
    assert "1 left as it was" in last
    with console.journal.database.read() as connection:
        assert [id_ for id_, _, _ in queries.dead_page(connection, DeadFilter())] == [waits]


def test_a_replay_of_one_event_puts_its_dead_delivery_aside(console: Console) -> None:
    """What comes of it stands in a new delivery; the old one needs nobody any more."""
    give_up(console, 1)
    console.operator().post("/events/1/replay", mapping="cobranca")

    assert states(console.journal) == ["discarded"]


def test_a_viewer_decides_nothing(console: Console) -> None:
    """There are no buttons, and a form made by hand is refused."""
    give_up(console, 1)
    browser = console.browser()
    browser.sign_in(VIEWER)

    assert "/attention/confirm" not in browser.get("/attention").text
    assert browser.post("/attention/run", decision="discard", until_ms=NOW_MS).status_code == 403
    assert states(console.journal) == ["dead"]


# ---------------------------------------------------------------- only what can be done is offered


def offered(page: str) -> list[str]:
    """Return the decisions that the page offers."""
    return re.findall(r"/attention/confirm\?decision=(\w+)", page)


def test_what_can_not_be_done_is_neither_offered_nor_counted(console: Console) -> None:
    """No retry without a payload, no replay without the event's body or the mapping; a part of a group counts alone."""
    bare = give_up(console, 2, "transform.no_contact", payload=None)
    assert offered(console.operator().get("/attention").text) == ["replay", "discard"]

    put_in_state(console.journal, bare[0], DeliveryState.DEAD, payload="{}", reason_code="transform.no_contact")
    browser = console.operator()
    assert offered(browser.get("/attention").text) == ["retry", "replay", "discard"]
    last = carry_out(browser, browser.get("/attention/confirm?decision=retry").text)
    assert "1 of 1" in last
    assert states(console.journal) == ["pending", "dead"]

    with console.journal.database.write() as connection:
        connection.execute(event_table.update().values(emptied_ms=NOW_MS))
    assert offered(browser.get("/attention").text) == ["discard"]
    assert "Nothing is left" in browser.get("/attention/confirm?decision=replay").text


def test_a_replay_without_its_mapping_puts_nothing_aside(console: Console) -> None:
    """Nothing would come of it, and the delivery would be lost from sight."""
    give_up(console, 1, mapping="removida")
    browser = console.operator()

    assert offered(browser.get("/attention").text) == ["retry", "discard"]
    browser.post("/attention/run", decision="replay", until_ms=NOW_MS)
    finish_jobs()
    assert states(console.journal) == ["dead"]


# ---------------------------------------------------------------- one definition of each number


def test_what_a_replay_replaced_is_not_discarded(console: Console) -> None:
    """By the event's page and by a decision about many: the replay's own delivery counts instead."""
    give_up(console, 3)
    discarded = give_up(console, 1, "clint.http_400")
    browser = console.operator()
    browser.post("/events/1/replay", mapping="cobranca")
    carry_out(browser, browser.get("/attention/confirm?decision=replay&code=clint.http_422").text)
    browser.post(f"/events/4/deliveries/{discarded[0]}/discard")

    assert states(console.journal) == ["discarded"] * 4
    with console.journal.database.read() as connection:
        counted = {one.key[0]: one.number for one in statistics.last_24_hours(connection, NOW_MS)}
    assert counted == {"received": 4, "discarded": 1}
    assert [row["reason_code"] for row in rows_of(console.journal)] == ["delivery.replaced"] * 3 + [
        "delivery.discarded"
    ]


def test_a_mapping_has_the_same_numbers_everywhere(console: Console) -> None:
    """Filtered is what a condition said no to, on the overview and in the list of mappings."""
    for number, state in enumerate((DeliveryState.FILTERED, DeliveryState.STALE, DeliveryState.DISCARDED)):
        for n in range(3 + number):
            made = owe(console.journal, customer=f"cus_{number}_{n}", mapping="cobranca")
            put_in_state(console.journal, made, state, due_ms=None)
    browser = console.operator()
    overview, listed = browser.get("/").text, browser.get("/mappings").text

    assert re.search(r'mapping=cobranca">cobranca</a>.*?data-label="Filtered">3<', overview, re.DOTALL)
    assert re.search(r'data-label="Filtered">3<', listed)


# ---------------------------------------------------------------- a mapping file that can't run


def test_a_broken_mapping_file_is_said_where_people_look(console: Console) -> None:
    """On the overview, on the page of what needs a person and in the menu; mended, it is gone at once."""
    file = console.runtime.settings.bridge_mappings_dir / "quebrada.yaml"
    file.write_text("events: [PAYMENT_RECEIVED\n")
    browser = console.operator()

    assert "The file of mapping quebrada has an error" in browser.get("/").text
    page = browser.get("/attention").text
    assert "quebrada" in page
    assert re.search(r'class="count"[^>]*>1<', page)
    file.write_text("events: [PAYMENT_RECEIVED]\nsend_to: vendas\ncontact: {email: customer.email}\ntests: []\n")
    for address in ("/attention", "/mappings"):
        assert 'href="/connections/new-destination?name=vendas"' in browser.get(address).text
    file.unlink()
    assert "quebrada" not in browser.get("/").text
    assert "Nothing needs you" in browser.get("/attention").text


def test_a_mapping_file_that_leads_nowhere_breaks_no_page(console: Console) -> None:
    """A link to nothing, as a mounted directory may have for a moment."""
    (console.runtime.settings.bridge_mappings_dir / "solta.yaml").symlink_to("nada.yaml")

    assert console.operator().get("/mappings").status_code == 200
