"""The console's list of events, the page of one event, and what a person does there."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

from bridge.conditions import condition_in_words, in_words, value_in_words
from bridge.journal import audit, destinations, retention, revisions, search
from bridge.journal.schema import attempts as attempt_table
from bridge.journal.schema import deliveries as delivery_table
from bridge.journal.schema import destinations as destination_table
from bridge.journal.schema import events as event_table
from bridge.journal.search import Kind, Term
from bridge.mapping.evaluate import REASONS
from bridge.messages import Message, in_language
from bridge.model import DeliveryState, Origin, Outcome, Waiting
from bridge.operations import actions
from tests.console import VIEWER, Console, opened_console
from tests.factories import NOW_MS, envelope, incoming, keep, owe, payment, put_in_state, revision, row_of

FILTERING = """
events: [PAYMENT_RECEIVED]
filter:
  all:
    - {field: payment.value, at_least: 500}
    - {field: payment.billingType, equals: PIX}
contact: {email: "'ana@example.com'"}
"""
ASKING = """
events: [PAYMENT_RECEIVED]
filter: {all: [{field: customer.name, equals: Ana}]}
contact: {email: customer.email}
"""


@pytest.fixture
def console(sqlite_url: str, tmp_path: Path) -> Iterator[Console]:
    """Give a console with both passwords."""
    with opened_console(sqlite_url, tmp_path) as opened:
        yield opened


def processed(console: Console, **changes: object) -> int:
    """Keep an event that the mappings have seen, and return its number."""
    (id_,) = keep(console.journal, incoming(**changes))  # type: ignore[arg-type]
    with console.journal.database.write() as connection:
        connection.execute(
            event_table.update().where(event_table.c.id == id_).values(state="processed", processed_ms=NOW_MS)
        )
    return id_


def told(console: Console) -> list[tuple[str, str, str]]:
    """Return what the audit trail has of changes, newest first."""
    with console.journal.database.read() as connection:
        noted = audit.newest(connection, 50)
    return [(one["actor"], one["action"], one["about"]) for one in noted if one["action"] != "console.signed_in"]


def attempt(console: Console, delivery_id: int, number: int, **values: object) -> None:
    """Write down an attempt of a delivery."""
    with console.journal.database.write() as connection:
        row = {"delivery_id": delivery_id, "number": number, "fence": 1, "started_ms": NOW_MS + number, **values}
        connection.execute(attempt_table.insert().values(**row))


# ---------------------------------------------------------------- the list


def test_the_list_says_what_became_of_each_event(console: Console) -> None:
    """Newest first, with state, amount, mapping and how old; masked as lists are: no name, no address."""
    first, second = processed(console), processed(console, name="PAYMENT_OVERDUE", origin=Origin.BACKFILL)
    put_in_state(console.journal, owe(console.journal, event_id=first), DeliveryState.DEAD, due_ms=None)
    page = console.operator("pt-BR").get("/events").text

    assert page.index(f"/events/{second}") < page.index(f"/events/{first}")
    assert "Cobrança recebida" in page
    assert "Não entregue" in page
    assert "Sem automação" in page
    assert "recuperado do Asaas" in page
    assert "R$\xa0129,90" in page
    assert "ana@example.com" not in page


@pytest.mark.parametrize(("origin", "was_sent"), [(Origin.WEBHOOK, True), (Origin.BACKFILL, False)])
def test_a_body_is_called_asaass_only_where_asaas_sent_it(console: Console, origin: Origin, was_sent: bool) -> None:
    """What was brought in is made from the charge, and Asaas's log has nothing like it."""
    page = console.operator().get(f"/events/{processed(console, origin=origin)}").text

    assert ("Body as Asaas sent it" in page) is was_sent
    assert ("Asaas id" in page) is was_sent


def test_an_empty_journal_says_what_to_look_at(console: Console) -> None:
    """Nothing yet and nothing found are different things."""
    browser = console.operator()

    assert "No events yet" in browser.get("/events").text
    assert "Nothing found" in browser.get("/events?q=nobody").text


def test_filters_and_search_narrow_the_list(console: Console) -> None:
    """Each of them is part of the address, and what is no value of a filter is as if it was not there."""
    one, two = processed(console, object_id="pay_one"), processed(console, name="PAYMENT_OVERDUE", object_id="pay_two")
    put_in_state(console.journal, owe(console.journal, event_id=one, object_id="pay_one"), DeliveryState.DEAD)
    with console.journal.database.write() as connection:
        search.write(connection, [Term("16479671", Kind.OBJECT, "default", "pay_two")])
    browser = console.operator()

    def shown(query: str) -> list[int]:
        page = browser.get(f"/events?{query}").text
        return [id_ for id_ in (one, two) if f'id="e{id_}"' in page]

    assert shown("") == [one, two]
    assert shown("state=dead") == [one]
    assert shown("state=open") == []
    assert shown("mapping=paga") == [one]
    assert shown("name=PAYMENT_OVERDUE") == [two]
    assert shown("q=16479671") == [two]
    assert shown("q=pay_one") == [one]
    assert shown("since=2026-11-18") == [one, two]
    assert shown("until=2026-11-17") == []
    assert shown("state=nonsense&since=x&until=9999-12-31&before=x") == [one, two]


def test_the_list_is_paged_by_number(console: Console) -> None:
    """The second page begins where the first ends, and leads back."""
    keep(console.journal, *(incoming(f"cus_{n}") for n in range(53)))
    browser = console.operator()
    first = browser.get("/events")

    assert first.text.count('class="row-link"') == 50
    assert "before=4" in first.text
    second = browser.get("/events?before=4")
    assert second.text.count('class="row-link"') == 3
    assert "Back to the newest" in second.text
    assert "hx-trigger" not in second.text.split('id="rows"')[1].split(">")[0]


def test_the_list_is_fetched_anew_in_part(console: Console) -> None:
    """htmx gets the rows and nothing else."""
    processed(console)
    part = console.operator().part("/events").text

    assert "<html" not in part
    assert 'id="rows"' in part
    assert "every 4s" in part


# ---------------------------------------------------------------- one event


def test_a_dead_delivery_is_explained_with_cause_and_mend(console: Console) -> None:
    """In the reader's language, with every attempt, the payload, and the buttons."""
    id_ = processed(console)
    dead = owe(console.journal, event_id=id_, payload='{"nome": "Ana Souza"}')
    attempt(console, dead, 1, outcome="failed", code="clint.timeout", detail="no answer", finished_ms=NOW_MS)
    attempt(console, dead, 2, outcome="rejected", status=422, code="clint.http_422", excerpt="phone", duration_ms=42)
    attempt(console, dead, 3)
    put_in_state(
        console.journal, dead, DeliveryState.DEAD, due_ms=None, reason_code="clint.http_422", finished_ms=NOW_MS + 9
    )
    page = console.operator("pt-BR").get(f"/events/{id_}").text

    for text in ("não aceita esses valores", "Causa provável", "sem DDD", "42\xa0ms", "phone", "Ana Souza", "422"):
        assert text in page
    assert f"/events/{id_}/deliveries/{dead}/retry" in page
    assert f"/events/{id_}/deliveries/{dead}/discard" in page


def test_a_mapping_that_failed_is_a_link(console: Console) -> None:
    """Where a page says to fix a mapping, it leads there; one that is gone is a name, and so for who can't open it."""
    id_ = processed(console)
    for mapping in ("cobranca", "removida"):
        owed = owe(console.journal, event_id=id_, mapping=mapping)
        put_in_state(console.journal, owed, DeliveryState.DEAD, due_ms=None, reason_code="clint.http_422")
    browser = console.operator()
    asked = "/attention/confirm?decision=retry&code=clint.http_422&destination=default"

    for path in (f"/events/{id_}", "/attention", asked):
        page = browser.get(path).text
        assert 'href="/mappings/cobranca"' in page
        assert "removida" in page
        assert 'href="/mappings/removida"' not in page


@pytest.mark.parametrize("language", ["pt", "en"])
def test_amounts_of_the_filter_are_read_as_in_every_form(console: Console, language: str) -> None:
    """One way to read them and one way to say what is wrong, with the reader's own comma or point."""
    browser = console.operator(language)
    example, one = ("129,90", "1,00") if language == "pt" else ("129.90", "1.00")

    def fault(value: str) -> str:
        found = re.search(r'id="value_from-fault">([^<]*)', browser.get(f"/events?value_from={value}").text)
        return found[1] if found else ""

    assert fault("1.000.000") == fault("1,100.50") == fault("R$ 1.100,50") == ""
    assert example in fault("abc")
    assert "“1.000”" in fault("1.000")
    assert f"1000 {'ou' if language == 'pt' else 'or'} {one}." in fault("1.000")
    assert "“-5”" in fault("-5")


def test_what_needs_a_person_stands_first(console: Console) -> None:
    """Before what is under way and what was delivered, whatever came later."""
    id_ = processed(console)
    for mapping, state in (
        ("failed", DeliveryState.DEAD),
        ("waiting", DeliveryState.RETRYING),
        ("sent", DeliveryState.DELIVERED),
    ):
        put_in_state(console.journal, owe(console.journal, event_id=id_, mapping=mapping), state)
    page = console.operator().get(f"/events/{id_}").text

    assert re.findall(r'<h3 id="d\d+">(\w+)', page) == ["failed", "waiting", "sent"]


@pytest.mark.parametrize(("language", "says"), [("pt", "Pausado por Ana"), ("en", "Paused by Ana")])
def test_what_the_journal_wrote_is_read_in_the_readers_language(console: Console, language: str, says: str) -> None:
    """The row keeps a message with its facts; a sentence of an older version stands as it was written."""
    id_ = processed(console)
    for kept, mapping in ((Message("paused by {who}", {"who": "Ana"}).to_json(), "a"), ("an old sentence", "b")):
        delivery = owe(console.journal, event_id=id_, mapping=mapping)
        put_in_state(console.journal, delivery, DeliveryState.DEAD, reason_code="nobody.knows", reason=kept)
    page = console.operator(language).get(f"/events/{id_}").text

    assert says in page
    assert "An old sentence" in page


def test_every_condition_stands_with_the_value_it_saw(console: Console) -> None:
    """Those after the one that said no were not looked at."""
    revision(console.journal)
    with console.journal.database.write() as connection:
        text = revisions.import_text(connection, "grande", FILTERING, "console", "test", NOW_MS)
    id_ = processed(console)
    delivery = owe(console.journal, event_id=id_, mapping="grande", revision_id=text, payload=None)
    asked = {"field": "payment.value", "operator": "at_least", "must": Message("must be at least"), "operand": "500"}
    why = Message(REASONS["filter.compare"], {**asked, "value": "129.9"})
    put_in_state(
        console.journal,
        delivery,
        DeliveryState.FILTERED,
        due_ms=None,
        reason_code="filter.compare",
        reason=why.to_json(),
        finished_ms=NOW_MS,
    )
    page = console.operator().get(f"/events/{id_}").text

    with in_language("en"):
        words, path = condition_in_words("payment.value at_least 500")
        assert f'{words} <code class="detail">{path}</code>' in page
        assert in_words(why) in page
        assert page.count(value_in_words("payment.value", 129.9)) > 1
    assert "Not looked at" in page


def test_conditions_that_need_asaas_are_looked_at_on_request(console: Console) -> None:
    """A page asks nobody by itself; where Asaas can't be asked it says so."""
    with console.journal.database.write() as connection:
        text = revisions.import_text(connection, "ana", ASKING, "console", "test", NOW_MS)
    id_ = processed(console)
    owe(console.journal, event_id=id_, mapping="ana", revision_id=text)
    browser = console.operator()

    assert "Ask Asaas" in browser.get(f"/events/{id_}").text
    assert "has no key" in browser.get(f"/events/{id_}?ask=1").text


@pytest.mark.parametrize("text", [None, "events: ["])
def test_a_mapping_that_is_gone_is_said(console: Console, text: str | None) -> None:
    """A removed mapping and one that this version can't read have no conditions to show."""
    with console.journal.database.write() as connection:
        revisions.import_text(connection, "weg", "events: [PAYMENT_RECEIVED]", "console", "test", NOW_MS)
        gone = revisions.import_text(connection, "weg", text, "console", "test", NOW_MS)
    id_ = processed(console)
    owe(console.journal, event_id=id_, mapping="weg", revision_id=gone)

    assert "no longer exist" in console.operator().get(f"/events/{id_}").text


def test_an_event_that_retention_emptied_says_so(console: Console) -> None:
    """Its way is still there, its conditions and buttons are not, and a replay is refused in words."""
    id_ = processed(console)
    put_in_state(console.journal, owe(console.journal, event_id=id_), DeliveryState.DISCARDED, finished_ms=NOW_MS)
    with console.journal.database.write() as connection:
        assert retention.empty(connection, [id_], NOW_MS + 1, NOW_MS) == 1
    browser = console.operator()
    page = browser.get(f"/events/{id_}").text

    assert "no longer exist" in page
    assert "/replay" not in page
    refused = browser.get(f"/events/{id_}/replay")
    assert (refused.status_code, "neither retried nor replayed" in refused.text) == (410, True)


def test_an_event_that_waits_says_why(console: Console) -> None:
    """On hold with its reason and mend, or for a worker; such a page fetches itself anew."""
    (new, held) = keep(console.journal, incoming("cus_1"), incoming("cus_2"))
    with console.journal.database.write() as connection:
        connection.execute(
            event_table.update()
            .where(event_table.c.id == held)
            .values(hold_code="asaas.key_missing", hold_reason="no key", due_ms=NOW_MS + 90_000)
        )
    browser = console.operator()

    assert "have not seen this event yet" in browser.get(f"/events/{new}").text
    page = browser.get(f"/events/{held}").text
    assert "Connections, Change key" in page
    assert 'href="/connections/default/key"' in page
    assert "in 2 minutes" in page
    assert "every 3s" in browser.part(f"/events/{held}").text


@pytest.mark.parametrize(
    ("changes", "says"),
    [
        ({"state": "pending", "due_ms": None}, "Waits for the delivery before it"),
        ({"state": "pending"}, "Is sent next"),
        ({"state": "retrying", "waiting": "backoff", "due_ms": NOW_MS + 90_000}, "Next try in 2 minutes"),
        ({"state": "retrying", "waiting": "circuit", "due_ms": NOW_MS + 9_000}, "it is probed in 9 seconds"),
        ({"state": "retrying", "waiting": "paused"}, "until the destination is resumed"),
        ({"state": "sending"}, "Is being sent right now"),
        ({"state": "delivered", "read_back": "not_seen"}, "Deal not confirmed in Clint"),
        (
            {"state": "delivered", "read_back": "not_seen", "read_back_detail": '{"code": "deal.differs"}'},
            "Deal contradicted in Clint",
        ),
        ({"state": "dead", "reason_code": "nobody.knows", "reason": "old words"}, "Old words"),
        ({"state": "dead"}, "Not delivered"),
    ],
)
def test_each_state_is_said_in_words(console: Console, changes: dict[str, object], says: str) -> None:
    """Why a delivery stands where it stands."""
    delivery = owe(console.journal, event_id=processed(console))
    values = {**changes}
    put_in_state(console.journal, delivery, DeliveryState(str(values.pop("state"))), **values)

    assert says in console.operator().get(f"/events/{row_of(console.journal, delivery)['event_id']}").text


def test_a_delivery_behind_others_says_what_the_first_of_them_waits_for(console: Console) -> None:
    """The list and the page of the last event of a chain name its first one, and what that one waits for."""
    ids = [owe(console.journal) for _ in range(3)]
    put_in_state(console.journal, ids[0], DeliveryState.RETRYING, waiting="paused")
    first, _, last = (row_of(console.journal, id_)["event_id"] for id_ in ids)
    browser = console.operator()

    for path in (f"/events/{last}", "/events"):
        page = browser.get(path).text.lower()
        assert f"waits for event {first} of the same customer: waits until the destination is resumed" in page
        assert "/attention#cause-" in page


def test_what_a_deal_shows_otherwise_is_masked_for_a_viewer(console: Console) -> None:
    """Fields with personal data by their keys, and e-mails in any; who may change something sees what to compare."""
    differences = [
        {"what": "stage", "wanted": "Paga", "seen": "Nova"},
        {"what": "field", "field": "celular", "wanted": "98765-4321", "seen": "11 2222-3333"},
        {"what": "field", "field": "nota", "wanted": "maria@gmail.com", "seen": ""},
    ]
    detail = json.dumps({"code": "deal.differs", "stage": "Nova", "status": "OPEN", "differences": differences})
    delivery = owe(console.journal, event_id=processed(console))
    found = {"read_back": "not_seen", "read_back_detail": detail}
    put_in_state(console.journal, delivery, DeliveryState.DELIVERED, **found)
    path = f"/events/{row_of(console.journal, delivery)['event_id']}"
    viewer = console.browser()
    viewer.sign_in(VIEWER)
    mine, theirs = console.operator().get(path).text, viewer.get(path).text

    assert all(text in mine for text in ("“Paga”", "“Nova”", "celular", "98765-4321", "2222-3333", "maria@gmail.com"))
    assert all(text in theirs for text in ("“Paga”", "“Nova”", "celular", "nota"))
    assert not any(text in theirs for text in ("98765-4321", "2222-3333", "maria@gmail.com"))


def test_an_event_that_nobody_listens_to_says_so(console: Console) -> None:
    """And one that is not there is not found."""
    browser = console.operator()

    assert "No active mapping listens" in browser.get(f"/events/{processed(console, name='TRANSFER_DONE')}").text
    of_another = processed(console, account="matriz")
    for path in (f"/events/{of_another}", f"/events/{of_another}/replay"):
        assert "Only mappings of another account listen" in browser.get(path).text
    assert browser.get("/events/999").status_code == 404


# ---------------------------------------------------------------- changes


def test_a_delivery_is_retried_and_discarded_and_noted(console: Console) -> None:
    """The journal has the change and who made it."""
    id_ = processed(console)
    dead = owe(console.journal, event_id=id_)
    put_in_state(console.journal, dead, DeliveryState.DEAD, due_ms=None)
    browser = console.operator()

    answer = browser.post(f"/events/{id_}/deliveries/{dead}/retry", follow=True)
    assert f"Delivery {dead} is sent in a moment" in answer.text
    assert row_of(console.journal, dead)["state"] == "pending"
    answer = browser.post(f"/events/{id_}/deliveries/{dead}/discard", follow=True)
    assert f"Delivery {dead} is discarded" in answer.text
    assert row_of(console.journal, dead)["state"] == "discarded"
    refused = browser.post(f"/events/{id_}/deliveries/{dead}/retry")
    assert (refused.status_code, "no longer possible" in refused.text) == (409, True)
    assert told(console) == [
        ("administrator Ana", "delivery.discarded", str(dead)),
        ("administrator Ana", "delivery.retried", str(dead)),
    ]
    assert "Retried delivery" in browser.get("/who").text


def test_what_waits_for_a_paused_destination_has_the_way_out_and_no_send_now(console: Console) -> None:
    """A page from before the pause says the truth, too; after the resume the delivery is due."""
    id_, later = processed(console), NOW_MS + 3_600_000
    delivery = owe(console.journal, event_id=id_)
    put_in_state(console.journal, delivery, DeliveryState.RETRYING, waiting=Waiting.BACKOFF, due_ms=later)
    browser, path = console.operator(), f"/events/{id_}/deliveries/{delivery}"
    assert f'action="{path}/retry"' in browser.get(f"/events/{id_}").text

    actions.pause(console.journal, "default", "gone", NOW_MS)
    put_in_state(console.journal, delivery, DeliveryState.RETRYING, waiting=Waiting.PAUSED, due_ms=later)
    page = browser.get(f"/events/{id_}").text
    assert f'action="{path}/retry"' not in page
    assert f'action="{path}/resume"' in page
    answer = browser.post(f"{path}/retry", follow=True).text
    assert "the destination default takes nothing now" in answer
    assert (row_of(console.journal, delivery)["waiting"], row_of(console.journal, delivery)["due_ms"]) == (
        "paused",
        later,
    )
    assert told(console) == []

    browser.post(f"{path}/resume")
    assert row_of(console.journal, delivery)["due_ms"] == NOW_MS
    assert f'action="{path}/resume"' not in browser.get(f"/events/{id_}").text


def test_a_failing_destination_is_tried_at_once(console: Console) -> None:
    """While its circuit is open, sending one delivery would only put it back; the page says that one goes first."""
    id_, later = processed(console), NOW_MS + 300_000
    delivery, other = owe(console.journal, event_id=id_), owe(console.journal, customer="cus_2")
    put_in_state(console.journal, delivery, DeliveryState.RETRYING, waiting=Waiting.CIRCUIT, due_ms=later)
    put_in_state(console.journal, other, DeliveryState.RETRYING, waiting=Waiting.BACKOFF, due_ms=later)
    with console.journal.database.write() as connection:
        connection.execute(destination_table.update().values(state="open", until_ms=later))
    browser, path = console.operator(), f"/events/{id_}/deliveries/{delivery}"
    assert f'action="{path}/retry"' not in browser.get(f"/events/{id_}").text

    said = browser.post(f"{path}/resume", follow=True).text
    assert "one delivery first; those of 2 customers follow" in said
    assert [row_of(console.journal, one)["due_ms"] for one in (delivery, other)] == [NOW_MS] * 2
    with console.journal.database.read() as connection:
        circuit = destinations.load(connection)["default"]
    assert (circuit.state, circuit.until_ms) == ("open", NOW_MS)


def test_a_destination_without_a_url_asks_for_it_on_the_event(console: Console) -> None:
    """It has nothing to resume and nothing to send to."""
    id_ = processed(console)
    delivery = owe(console.journal, event_id=id_, destination="outro")
    page = console.operator().get(f"/events/{id_}").text

    assert "/connections/destinations/outro/url" in page
    assert f"/deliveries/{delivery}/resume" not in page
    assert f"/deliveries/{delivery}/retry" not in page


def test_a_failed_delivery_that_is_retried_into_a_pause_is_said_to_wait(console: Console) -> None:
    """It stands in line, and nobody is told that it goes out in a moment."""
    id_ = processed(console)
    dead = owe(console.journal, event_id=id_)
    put_in_state(console.journal, dead, DeliveryState.DEAD, due_ms=None)
    actions.pause(console.journal, "default", "gone", NOW_MS)
    answer = console.operator().post(f"/events/{id_}/deliveries/{dead}/retry", follow=True).text

    assert "is sent in a moment" not in answer
    assert "the destination default takes nothing now" in answer
    assert row_of(console.journal, dead)["state"] == "pending"


def test_a_replay_shows_the_difference_first(console: Console) -> None:
    """What today's mapping makes of the event beside what was sent; then it is asked for."""
    body = json.dumps(envelope(payment=payment("cus_1")))
    id_ = processed(console, body=body)
    owe(console.journal, event_id=id_, mapping="cobranca", payload='{"email": "old@example.com", "gone": 1}')
    browser = console.operator()
    page = browser.get(f"/events/{id_}/replay").text

    assert "<del>old@example.com</del>" in page
    assert "<ins>ana@example.com</ins>" in page
    assert "Would be sent to default" in page
    answer = browser.post(f"/events/{id_}/replay", mapping="cobranca", follow=True)
    assert "goes through today" in answer.text
    assert told(console) == [("administrator Ana", "event.replayed", str(id_))]
    assert "Only through the mapping cobranca" in browser.get(f"/events/{id_}/replay?mapping=cobranca").text
    assert browser.get(f"/events/{id_}/replay?mapping=nobody").status_code == 404
    assert browser.get("/events/999/replay").status_code == 404


def test_a_replay_that_is_filtered_leaves_the_event_delivered(console: Console) -> None:
    """Lists and pages say delivered; the event's page has the replay's verdict and both decisions."""
    id_ = processed(console, object_id="pay_1")
    first = owe(console.journal, event_id=id_, mapping="cobranca")
    put_in_state(console.journal, first, DeliveryState.DELIVERED)
    again = owe(console.journal, event_id=id_, mapping="cobranca", replay=1, state=DeliveryState.FILTERED, payload=None)
    with console.journal.database.write() as connection:
        connection.execute(delivery_table.update().where(delivery_table.c.id == again).values(created_ms=NOW_MS + 9))
        connection.execute(event_table.update().values(replay=1, processed_ms=NOW_MS + 9))
    browser = console.operator("pt-BR")
    page = browser.get(f"/events/{id_}").text

    heading, verdicts = page.split("O que cada automação fez")
    assert "Entregue</span>" in heading
    assert "Filtrado" not in heading
    assert verdicts.count("Entregue antes; o reprocessamento foi filtrado.") == 1
    assert verdicts.count("As automações decidiram") == 2
    assert "Filtrado</span>" in verdicts
    for path in ("/events", "/charges/default/pay_1", "/customers/default/cus_1"):
        rows = browser.get(path).text.split("<main")[1].split("</select>")[-1]
        assert "Entregue</span>" in rows, path
        assert "Filtrado" not in rows, path
    assert f'id="e{id_}"' in browser.get("/events?state=delivered").text
    assert f'id="e{id_}"' not in browser.get("/events?state=filtered").text


def test_a_viewer_has_no_buttons_and_no_way_past_them(console: Console) -> None:
    """The page shows everything; a form that is made by hand is refused and changes nothing."""
    id_ = processed(console)
    dead = owe(console.journal, event_id=id_)
    put_in_state(console.journal, dead, DeliveryState.DEAD, due_ms=None)
    browser = console.browser()
    browser.sign_in(VIEWER)

    page = browser.get(f"/events/{id_}").text
    assert "Payload to send" in page
    assert 'action="/events' not in page
    answer = browser.post(f"/events/{id_}/deliveries/{dead}/retry")
    assert (answer.status_code, "viewer" in answer.text) == (403, True)
    assert row_of(console.journal, dead)["state"] == "dead"


def test_a_form_that_is_sent_after_the_session_changes_nothing(console: Console) -> None:
    """It is said, and the person signs in again."""
    answer = console.browser().post("/events/1/deliveries/1/retry")

    assert (answer.status_code, "Nothing was changed" in answer.text) == (401, True)


@pytest.mark.parametrize("language", ["pt-BR", "en"])
@pytest.mark.parametrize("outcome", Outcome)
def test_the_page_of_an_event_that_was_tried_again_opens(console: Console, outcome: Outcome, language: str) -> None:
    """Whatever became of the first try, and whatever the next one waits for."""
    event_id = processed(console)
    for number, waiting in enumerate((None, *Waiting)):
        delivery = owe(console.journal, event_id=event_id, customer=f"cus_{number}", mapping=f"m{number}")
        attempt(console, delivery, 1, outcome=outcome.value, status=500, code="clint.http_500", detail="500")
        put_in_state(console.journal, delivery, DeliveryState.RETRYING, due_ms=NOW_MS + 5_000, waiting=waiting)

    assert console.operator(language).get(f"/events/{event_id}").status_code == 200
    assert console.operator(language).part(f"/events/{event_id}").status_code == 200


def test_a_replay_is_not_offered_where_the_mapping_is_gone(console: Console) -> None:
    """It would make nothing, and its page would not be found."""
    event_id = processed(console)
    for mapping in ("cobranca", "removida"):
        put_in_state(console.journal, owe(console.journal, event_id=event_id, mapping=mapping), DeliveryState.DEAD)
    page = console.operator().get(f"/events/{event_id}").text

    assert f"/events/{event_id}/replay?mapping=cobranca" in page
    assert "mapping=removida" not in page


def test_a_page_leads_to_others_with_any_query(console: Console) -> None:
    """The query's names are Flask's as well; none of them may steer the links."""
    keep(console.journal, *(incoming(f"cus_{n}") for n in range(53)))
    page = console.operator().get("/events?endpoint=x&_method=DELETE&_external=1&name=PAYMENT_RECEIVED")

    assert page.status_code == 200
    assert "/events?endpoint=x&amp;_method=DELETE&amp;_external=1&amp;name=PAYMENT_RECEIVED&amp;before=4" in page.text


@pytest.mark.parametrize("path", ["/work/{}", "/events/{}", "/events/{}/replay", "/work/{}/report.csv"])
def test_a_number_that_no_journal_holds_is_not_found(console: Console, path: str) -> None:
    """It is no fault."""
    assert console.operator().get(path.format(99999999999999999999)).status_code == 404


def test_what_an_event_waits_for_is_a_link(console: Console) -> None:
    """The event before it of the same customer, its paused or failing destination, what holds its account.

    The list, the pages of the customer and the charge, and the page of the event say the same.
    """
    first = owe(console.journal)
    owe(console.journal)
    held, behind = keep(console.journal, incoming("cus_h"), incoming("cus_h"))
    with console.journal.database.write() as connection:
        for id_, code in ((held, "asaas.quota_spent"), (behind, "event.behind")):
            change = event_table.update().where(event_table.c.id == id_)
            connection.execute(change.values(hold_code=code, due_ms=NOW_MS + 7_200_000))
    browser = console.operator()

    def pages(id_: int, customer: str) -> list[str]:
        """Return what each place says of an event."""
        row = re.search(rf'<tr>(?:(?!</tr>).)*id="e{id_}".*?</tr>', browser.get("/events").text, re.DOTALL)
        assert row
        others = (f"/events/{id_}", f"/customers/default/{customer}", "/charges/default/pay_1")
        return [row[0], *(browser.get(path).text for path in others)]

    for page in pages(2, "cus_1"):
        assert re.search('<a class="above" href="/events/1">[Ee]vent 1</a>', page)
    for page in pages(behind, "cus_h"):
        assert re.search(f'<a class="above" href="/events/{held}">[Ee]vent {held}</a>', page)
    for page in pages(held, "cus_h"):
        cause = re.search(r'href="/attention#(cause-\w+)"', page)
        assert cause
        assert f'id="{cause[1]}"' in browser.get("/attention").text
        assert "renewed in 2 hours (10:06:40)" in page

    actions.pause(console.journal, "default", "gone", NOW_MS)
    for waiting, code in ((Waiting.PAUSED, "destination.paused"), (Waiting.CIRCUIT, "destination.circuit_open")):
        put_in_state(
            console.journal, first, DeliveryState.RETRYING, waiting=waiting, reason_code=code, due_ms=NOW_MS + 90_000
        )
        for page in pages(1, "cus_1"):
            cause = re.search(r'href="/attention#(cause-\w+)"[^>]*>[Dd]estination default<', page)
            assert cause
            assert (f'id="{cause[1]}"' in browser.get("/attention").text) is (waiting is Waiting.PAUSED)
    assert all("probed in 2 minutes (08:08:10)" in page for page in pages(1, "cus_1"))
    put_in_state(console.journal, first, DeliveryState.RETRYING, waiting=Waiting.BACKOFF, due_ms=NOW_MS + 90_000)
    assert all("ext try in 2 minutes (08:08:10)" in page for page in pages(1, "cus_1"))
    console.clock.go(91)
    assert all("s sent next" in page for page in pages(1, "cus_1"))


def test_dates_are_the_readers_outside_of_the_body(console: Console) -> None:
    """When Asaas made the event, and in the reason of a superseded one."""
    id_ = processed(console)
    delivery = owe(console.journal, event_id=id_)
    why = Message("an event of {time} was already delivered for this charge", {"time": "2026-11-23 09:30:00"})
    stale = {"reason_code": "delivery.stale", "reason": why.to_json(), "due_ms": None}
    put_in_state(console.journal, delivery, DeliveryState.STALE, **stale)
    page = console.operator("pt-BR").get(f"/events/{id_}").text
    outside = re.sub(r'<pre class="body".*?</pre>|data-copy="[^"]*"', "", page, flags=re.DOTALL)

    assert "22 de nov. de 2026, 10:00:00" in outside
    assert "23 de nov. de 2026, 09:30:00" in outside
    assert "2026-11-2" not in re.sub(r'(datetime|title)="[^"]*"', "", outside)
