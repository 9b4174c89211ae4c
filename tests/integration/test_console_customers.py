"""People and money in the console: names in lists, a customer's and a charge's page, and what never came."""

from __future__ import annotations

import html
import json
import re
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any
from urllib.parse import quote, urlencode

import pytest

from bridge.asaas.incoming import parse_event
from bridge.journal import audit, customers, destinations, search
from bridge.journal.clock import system_clock_ms
from bridge.journal.schema import attempts as attempt_table
from bridge.journal.schema import events as event_table
from bridge.mapping.evaluate import REASONS
from bridge.messages import Message
from bridge.model import DeliveryState, Origin, Waiting
from bridge.simulator.asaas.account import DEFAULT_KEY
from bridge.simulator.serve import Served
from tests.charges import Calendar
from tests.console import VIEWER, Browser, Console, opened_console
from tests.factories import NOW_MS, envelope, events_of, incoming, keep, owe, payment, put_in_state
from tests.simulated import AsaasSimulator

TOKEN = "5a4f0c1e-7b3d-4e8f-9a6c-b2d1f0e3c7a8"
MARIA = {
    "name": "Maria Aparecida Souza",
    "email": "maria@gmail.com",
    "cpfCnpj": "52998224725",
    "mobilePhone": "11987654321",
}


@pytest.fixture
def asaas() -> Iterator[AsaasSimulator]:
    """Give a simulated Asaas."""
    simulator = AsaasSimulator(clock=Calendar())
    yield simulator
    simulator.close()


@pytest.fixture
def console(sqlite_url: str, tmp_path: Path, asaas: AsaasSimulator) -> Iterator[Console]:
    """Give a console whose account has a key of the simulated Asaas."""
    with Served(asaas.app) as served:
        environ = {
            "ASAAS_API_KEY": DEFAULT_KEY,
            "ASAAS_API_URL": f"{served.url}/v3",
            "BRIDGE_ALLOW_PRIVATE_DESTINATIONS": "1",
        }
        with opened_console(sqlite_url, tmp_path, **environ) as opened:
            opened.clock.now_ms = system_clock_ms()
            yield opened


def knows(console: Console, id_: str = "cus_maria", **more: Any) -> None:
    """Let Asaas have said who a customer is."""
    with console.journal.database.write() as connection:
        found = search.customer_found("default", id_, {**MARIA, **more})
        customers.record(connection, [found], [], NOW_MS)


def came(console: Console, customer: str = "cus_maria", name: str = "PAYMENT_RECEIVED", **fields: Any) -> int:
    """Let an event of a customer's charge have come and been processed; return its number."""
    charge = payment(customer, **{"id": "pay_maria", "value": 1100.5, "invoiceNumber": "16479671", **fields})
    body = envelope(name, payment=charge)
    event = incoming(customer, key=body["id"], name=name, object_id=charge["id"], body=json.dumps(body))
    (id_,) = keep(console.journal, event)
    with console.journal.database.write() as connection:
        done = {"state": "processed", "processed_ms": NOW_MS}
        connection.execute(event_table.update().where(event_table.c.id == id_).values(**done))
        customers.record(connection, [search.charge_found("default", charge["id"], charge)], [], NOW_MS)
    return id_


def noted(console: Console) -> list[tuple[str, str]]:
    """Return what the audit trail has of changes, newest first."""
    with console.journal.database.read() as connection:
        found = audit.newest(connection, 50)
    return [(one["action"], one["about"]) for one in found if one["action"] != "console.signed_in"]


def everything(console: Console) -> str:
    """Return all that the audit trail holds."""
    with console.journal.database.read() as connection:
        return json.dumps(audit.newest(connection, 50))


# ---------------------------------------------------------------- names


def test_lists_show_the_person_the_value_and_the_description(console: Console) -> None:
    """The name leads to the customer, the id to the charge; contact data is in no list."""
    knows(console)
    came(console)
    (nobody,) = keep(console.journal, incoming("cus_000005219613", object_id="pay_080225913252"))
    page = console.operator("pt-BR").get("/events").text

    assert "Maria Aparecida Souza" in page
    assert "R$\xa01.100,50" in page
    assert "Mensalidade" in page
    assert 'href="/customers/default/cus_maria"' in page
    assert 'href="/charges/default/pay_maria"' in page
    assert "cus_…219613" in page
    assert f'id="e{nobody}"' in page
    for hidden in ("maria@gmail.com", "52998224725", "11987654321", "m…@gmail.com"):
        assert hidden not in page


def test_an_event_without_a_customer_has_a_line_too(console: Console) -> None:
    """A transfer is about itself."""
    body = {"id": "evt_t", "event": "TRANSFER_DONE", "transfer": {"id": "trf_1", "value": 5}}
    keep(console.journal, parse_event("default", json.dumps(body).encode(), NOW_MS))
    page = console.operator().get("/events").text

    assert "trf_1" in page
    assert "/customers/" not in page


@pytest.mark.parametrize("text", ["sou", "Souz", "maria souza", "apar", "mens", "mensalid", "mensalidade", "16479671"])
def test_a_part_of_a_word_is_found(console: Console, text: str) -> None:
    """Of the name and of the description, from three letters on."""
    knows(console)
    id_ = came(console)

    assert f'id="e{id_}"' in console.operator().get(f"/events?q={text}").text


@pytest.mark.parametrize("text", ["so", "ouza", "mensalidades", "maria silva", "lidade"])
def test_what_is_no_beginning_of_a_word_is_not_found(console: Console, text: str) -> None:
    """Two letters, the end of a word, and a word more."""
    knows(console)
    came(console, description="Mensagem")

    assert 'id="e' not in console.operator().get(f"/events?q={text}").text


def test_a_filter_that_is_not_understood_is_said(console: Console) -> None:
    """It is left out, and the page names it or says it at its field; what is understood says nothing."""
    id_ = came(console)
    browser = console.operator()
    page = browser.get("/events?state=nonsense&mapping=nobody&since=x&until=2026-13-01").text

    assert page.count("was not understood") == 2
    assert re.findall(r'id="(\w+)-fault">[^<]', page) == ["since", "until"]
    assert f'id="e{id_}"' in page
    fine = browser.get("/events?state=dead&mapping=cobranca&since=2026-11-01").text
    assert "was not understood" not in fine
    assert "-fault" not in fine


def test_the_list_can_be_narrowed_by_value(console: Console) -> None:
    """As people type amounts; with or without a delivery, in every combination with another filter."""
    ids = [came(console, id=f"pay_{n}", value=value) for n, value in enumerate((100, 1100.5, 1100.51))]
    owe(console.journal, event_id=ids[1], customer="cus_maria", amount=110050)
    browser = console.operator()

    def shown(**query: str) -> list[int]:
        return sorted(map(int, re.findall(r'id="e(\d+)"', browser.get(f"/events?{urlencode(query)}").text)))

    for text in ("1100.50", "1.100,50", "R$ 1.100,50"):
        assert shown(value_from=text) == ids[1:]
        assert shown(value_to=text) == ids[:2]
        assert shown(value_from=text, value_to=text) == [ids[1]]
    assert shown(value_from="1000", state="unmapped") == [ids[2]]
    assert shown(value_from="1000", state="open") == [ids[1]]
    assert shown(value_from="1000", mapping="paga", name="PAYMENT_RECEIVED") == [ids[1]]
    assert shown(value_to="1000", q="mensalidade") == [ids[0]]
    assert shown(value_from="5000") == []


@pytest.mark.parametrize(
    ("query", "at"),
    [
        ({"value_from": "much"}, ["value_from"]),
        ({"value_from": "1.100", "value_to": "-1"}, ["value_from", "value_to"]),
        ({"value_from": "2", "value_to": "1"}, ["value_to"]),
        ({"since": "2026-11-22", "until": "2026-11-20"}, ["until"]),
    ],
)
def test_what_is_wrong_is_said_at_its_field(console: Console, query: dict[str, str], at: list[str]) -> None:
    """The list is not narrowed by it, and what was typed stands there."""
    id_ = came(console)
    page = console.operator().get(f"/events?{urlencode(query)}").text

    assert re.findall(r'id="(\w+)-fault">[^<]', page) == at
    assert re.findall(r'aria-invalid="true" aria-describedby="(\w+)-fault"', page) == at
    assert f'id="e{id_}"' in page
    for text in query.values():
        assert f'value="{text}"' in page


@pytest.mark.parametrize("state", ["received", "held", "unmapped"])
def test_every_state_that_the_list_shows_can_be_chosen(console: Console, state: str) -> None:
    """Those of events as well as those of deliveries."""
    ids = {}
    for name, (event_state, hold) in {
        "received": ("received", None),
        "held": ("received", "asaas.key_missing"),
        "unmapped": ("processed", None),
    }.items():
        ids[name] = came(console)
        row = event_table.update().where(event_table.c.id == ids[name])
        with console.journal.database.write() as connection:
            connection.execute(row.values(state=event_state, hold_code=hold))
    put_in_state(console.journal, owe(console.journal, event_id=came(console)), DeliveryState.DELIVERED)
    page = console.operator().get(f"/events?state={state}").text

    assert re.findall(r'id="e(\d+)"', page) == [str(ids[state])]
    assert f'<option value="{state}" selected>' in page


# ---------------------------------------------------------------- a customer and a charge


def test_a_customers_page_has_all_charges_and_what_became_of_them(console: Console) -> None:
    """Delivered with its destination, dead with its reason, waiting with what it waits for."""
    knows(console)
    paid, refused = came(console), came(console, id="pay_two", description="Matrícula", value=90, status="OVERDUE")
    put_in_state(console.journal, owe(console.journal, event_id=paid, customer="cus_maria"), DeliveryState.DELIVERED)
    dead = owe(console.journal, event_id=refused, customer="cus_maria", object_id="pay_two")
    put_in_state(console.journal, dead, DeliveryState.DEAD, due_ms=None, reason_code="clint.http_422")
    first, second = came(console, id="pay_three"), came(console, id="pay_four", description="Taxa")
    ahead = owe(console.journal, event_id=first, customer="cus_maria", object_id="pay_three")
    put_in_state(console.journal, ahead, DeliveryState.RETRYING, due_ms=NOW_MS, waiting=Waiting.PAUSED.value)
    owe(console.journal, event_id=second, customer="cus_maria", object_id="pay_four")
    page = console.operator("pt-BR").get("/customers/default/cus_maria").text

    for text in ("Maria Aparecida Souza", "Mensalidade", "Matrícula", "R$\xa01.100,50", "R$\xa090,00", "Vencida"):
        assert text in page
    assert "não aceita esses valores" in page
    waiting = page.split('id="waits"')[1].split("</section>")[0]
    assert f'href="/events/{first}"' in waiting
    behind = waiting.split(f'href="/events/{second}"')[1]
    assert f"espera o evento {first} do mesmo cliente: espera até o destino ser retomado (<a" in behind
    assert f'href="/events/{refused}"' in page.split('id="dead"')[1].split("</section>")[0]
    assert console.operator().get("/customers/default/cus_nobody").status_code == 404
    assert console.operator().get("/customers/matriz/cus_maria").status_code == 404


def test_contact_data_is_masked_until_an_operator_asks(console: Console) -> None:
    """The audit trail says that somebody looked, at whom only by an event; after five minutes it is masked again."""
    knows(console)
    id_ = came(console)
    browser = console.operator()
    page = browser.get("/customers/default/cus_maria").text

    for text in ("m…@gmail.com", "(11) •••••-4321", "***.982.247-**"):
        assert text in page
    shown = browser.post("/customers/default/cus_maria/show", follow=True).text
    for text in ("maria@gmail.com", "(11) 98765-4321", "529.982.247-25"):
        assert text in shown
        assert text not in page
    assert noted(console) == [("customer.shown", str(id_))]
    assert "maria" not in everything(console).lower()
    console.clock.go(301)
    assert "m…@gmail.com" in browser.get("/customers/default/cus_maria").text


def test_a_viewer_sees_names_and_no_contact_data(console: Console) -> None:
    """There is no button, and a form that is made by hand is refused."""
    knows(console)
    came(console)
    browser = console.browser()
    browser.sign_in(VIEWER)

    assert "/cus_maria/show" not in browser.get("/customers/default/cus_maria").text
    assert browser.post("/customers/default/cus_maria/show").status_code == 403
    assert "m…@gmail.com" in browser.get("/customers/default/cus_maria").text


def test_a_charges_page_has_its_events_in_order(console: Console) -> None:
    """Each with its outcome, the customer and the charge as Asaas last said it."""
    knows(console)
    made = came(console, name="PAYMENT_CREATED", status="PENDING", dueDate="2026-12-05")
    paid = came(console, status="RECEIVED", dueDate="2026-12-05")
    put_in_state(console.journal, owe(console.journal, event_id=paid, customer="cus_maria"), DeliveryState.DELIVERED)
    browser = console.operator("pt-BR")
    page = browser.get("/charges/default/pay_maria").text

    assert page.index(f'href="/events/{made}"') < page.index(f'href="/events/{paid}"')
    for text in ("Maria Aparecida Souza", "R$\xa01.100,50", "Recebida", "5 de dez. de 2026", "16479671"):
        assert text in page
    for link in ("/charges/default/pay_maria", "/customers/default/cus_maria"):
        assert f'href="{link}"' in browser.get(f"/events/{paid}").text
    assert browser.get("/charges/default/pay_nobody").status_code == 404


def test_a_long_code_breaks_at_its_underscores(console: Console) -> None:
    """A name that Asaas made up is escaped all the same."""
    came(console, name="PAYMENT_RECEIVED_IN_CASH_UNDONE")
    came(console, name="PAYMENT_<B>")
    page = console.operator().get("/events").text

    assert '<small class="under">PAYMENT_<wbr>&lt;B&gt;</small>' in page
    assert '<small class="under">PAYMENT_<wbr>RECEIVED_<wbr>IN_<wbr>CASH_<wbr>UNDONE</small>' in page


def test_a_paid_charge_says_when_it_was_paid(console: Console) -> None:
    """In lists instead of the day it was due; a card that is confirmed is paid too."""
    came(console, status="RECEIVED", dueDate="2026-12-05", paymentDate="2026-11-24", clientPaymentDate="2026-11-23")
    came(console, id="pay_card", status="CONFIRMED", dueDate="2026-12-05", confirmedDate="2026-11-23")
    came(console, id="pay_open", name="PAYMENT_CREATED", status="PENDING", dueDate="2026-12-06")
    browser = console.operator("pt-BR")
    rows = browser.get("/customers/default/cus_maria").text.split('id="charges"')[1].split("</section>")[0]

    assert [rows.count(text) for text in ("paga em 23 de nov. de 2026", "5 de dez.", "vence em 6 de dez.")] == [2, 0, 1]
    for id_ in ("pay_maria", "pay_card"):
        page = browser.get(f"/charges/default/{id_}").text
        assert "23 de nov. de 2026" in page
        assert "5 de dez." in page  # the charge's own page has room for both


def test_a_name_that_nobody_told_is_said_so(console: Console) -> None:
    """The page is the same, under the customer's id."""
    came(console)
    page = console.operator().get("/customers/default/cus_maria").text

    assert "Customer cus_maria" in page
    assert "The bridge asks for the newest events first" in page
    with console.journal.database.write() as connection:
        customers.record(connection, [], [("default", "cus_maria")], NOW_MS)
    assert "no longer has a customer" in console.operator().get("/customers/default/cus_maria").text


# ---------------------------------------------------------------- what never came


def charged(asaas: AsaasSimulator, *, paid: bool = True, **fields: Any) -> tuple[str, str]:
    """Charge Maria at Asaas, and let her pay; return the customer and the charge."""
    customer = asaas.has_customer(**MARIA)["id"]
    charge = asaas.has_payment(customer, 1100.5, description="Mensalidade", **fields)["id"]
    if paid:
        asaas.is_paid(charge)
    return customer, charge


@pytest.mark.parametrize(
    "typed",
    [
        lambda customer, charge: charge,
        lambda customer, charge: customer,
        lambda customer, charge: MARIA["email"],
        lambda customer, charge: "529.982.247-25",
        lambda customer, charge: MARIA["name"],
        lambda customer, charge: "erp-77",
    ],
    ids=["charge", "customer", "email", "document", "name", "reference"],
)
def test_what_never_came_is_looked_up_at_asaas(
    console: Console, asaas: AsaasSimulator, typed: Callable[[str, str], str]
) -> None:
    """By whatever Asaas finds it, with what was to be expected of it."""
    customer, charge = charged(asaas, externalReference="erp-77")
    asaas.posts_to("https://bridge.example/webhooks/asaas", TOKEN, events=["PAYMENT_CREATED"])
    page = console.operator().get(f"/lookup?account=default&q={quote(typed(customer, charge))}").text

    for said in ("Maria Aparecida Souza", "1,100.50", "Never arrived", "PAYMENT_RECEIVED", "cobranca"):
        assert said in page.replace("<wbr>", "")
    assert "the webhook at Asaas does not send it" in page
    assert f'href="/charges/default/{charge}/bring"' in page


@pytest.mark.parametrize(
    ("changes", "says", "told"),
    [
        ({"interrupted": True}, "Asaas interrupted the webhook", "Asaas interrupted the queue"),
        ({"enabled": False}, "the webhook is switched off at Asaas", "Webhook switched off"),
        (None, "no webhook at Asaas leads to the bridge", "No webhook"),
        ({}, "so it should have come", ""),
    ],
    ids=["interrupted", "switched_off", "missing", "sends"],
)
def test_why_the_webhook_brought_nothing_is_said_with_the_way_to_its_cure(
    console: Console, asaas: AsaasSimulator, changes: dict[str, bool] | None, says: str, told: str
) -> None:
    """The look-up leads to the webhook's own page, and Connections shows from then on that nothing is sent."""
    _, charge = charged(asaas)
    if changes is not None:
        hook = asaas.posts_to("https://bridge.example/webhooks/asaas", TOKEN)
        asaas.webhooks.update(hook["id"], changes)
    browser = console.operator()
    page = browser.get(f"/lookup?account=default&q={charge}").text
    listed = browser.get("/connections").text

    assert says in page
    assert ("does not send it" in page) is False
    assert ('href="/connections/default/webhook">' in page) is bool(told)
    assert told in listed
    assert ('class="button primary" href="/connections/default/webhook"' in listed) is bool(told)
    if says.startswith("Asaas interrupted"):
        asaas.webhooks.update(hook["id"], {"interrupted": False})
        browser.get("/connections/default/webhook")
        assert told not in browser.get("/connections").text


def test_a_charge_is_brought_in_after_a_look_at_what_it_would_send(console: Console, asaas: AsaasSimulator) -> None:
    """Preview, confirmation, event, audit entry; the second time there is nothing to bring in."""
    _, charge = charged(asaas)
    browser = console.operator()
    preview = browser.get(f"/charges/default/{charge}/bring").text

    assert "Would be sent to default" in preview
    assert "ana@example.com" in preview
    assert events_of(console.journal) == []
    answer = browser.post(f"/charges/default/{charge}/bring")
    (event,) = events_of(console.journal)
    assert (event["name"], event["origin"]) == ("PAYMENT_RECEIVED", Origin.BACKFILL.value)
    assert answer.location == f"/events/{event['id']}"
    assert noted(console) == [("event.brought_in", str(event["id"]))]
    console.clock.go(1)
    assert browser.post(f"/charges/default/{charge}/bring").location == f"/charges/default/{charge}"
    assert len(events_of(console.journal)) == 1
    assert browser.get("/charges/default/pay_nobody/bring").status_code == 404


def test_what_asaas_does_not_have_either_is_said(console: Console, asaas: AsaasSimulator) -> None:
    """With what was looked for; a text that Asaas finds nothing by is not asked for."""
    browser = console.operator()

    assert "There may still be one" in browser.get("/lookup?account=default&q=Maria").text
    assert "Asaas does not have it either" in browser.get("/lookup?account=default&q=maria@gmail.com").text
    assert "Asaas can't be searched by phone" in html.unescape(
        browser.get("/lookup?account=default&q=(11)+98765-4321").text
    )
    assert "Asaas finds nothing by this" in browser.get("/lookup?account=default&q=evt_1").text
    assert browser.get("/lookup?account=nobody&q=Maria").status_code == 404
    assert "/lookup?" in browser.get("/events?q=Maria").text
    assert "Too short to be searched, and left out: 3<" in browser.get("/events?q=queda+3").text
    for path in ("/events?q=Mensalidade", "/lookup?account=default&q=Mensalidade"):
        assert browser.get(path).text.count('href="/reconcile"') == 2  # the menu has one
    assert "/lookup?" not in browser.get("/events?q=evt_1").text
    maria = asaas.has_customer(**MARIA)["id"]
    for typed in ("maria@gmail.com", "MARIA@gmail.com"):
        assert "without a charge" in browser.get(f"/lookup?account=default&q={typed}").text
    charge = asaas.has_payment(maria, 100.0)["id"]
    part = "/lookup?account=default&q=souz"  # the simulated Asaas takes whole names only, as the real one may
    assert charge not in browser.get(part).text
    with console.journal.database.write() as connection:
        customers.record(connection, [search.customer_found("default", maria, MARIA)], [], NOW_MS)
    assert charge in browser.get(part).text


def test_asaas_that_is_away_is_said(console: Console, asaas: AsaasSimulator) -> None:
    """The page stands, says so and can be asked again."""
    asaas.faults.answers(503, path="/v3")
    id_ = came(console)
    browser = console.operator()

    assert "Asaas could not be asked" in browser.get("/lookup?account=default&q=Maria").text
    assert "Asaas could not be asked" in browser.get("/charges/default/pay_maria?ask=1").text
    assert "Asaas could not be asked" in browser.get("/charges/default/pay_maria/bring").text
    assert id_


def test_a_viewer_may_look_and_not_bring_in(console: Console, asaas: AsaasSimulator) -> None:
    """What would come is shown without the button."""
    _, charge = charged(asaas)
    browser = console.browser()
    browser.sign_in(VIEWER)

    assert "Never arrived" in browser.get(f"/lookup?account=default&q={charge}").text
    assert f'action="/charges/default/{charge}/bring"' not in browser.get(f"/charges/default/{charge}/bring").text
    assert browser.post(f"/charges/default/{charge}/bring").status_code == 403
    assert events_of(console.journal) == []


def test_asaas_is_asked_for_the_present_status(console: Console, asaas: AsaasSimulator) -> None:
    """Beside what the bridge knows; where Asaas is further the charge can be brought in."""
    customer, charge = charged(asaas, paid=False)
    made = next(event for event in asaas.book.events if event.name == "PAYMENT_CREATED")
    keep(console.journal, parse_event("default", made.body, console.clock() - 1))
    browser = console.operator()

    assert "knows this charge as Asaas has it" in browser.get(f"/charges/default/{charge}?ask=1").text
    asaas.is_paid(charge)
    console.clock.go(1)
    page = browser.get(f"/charges/default/{charge}?ask=1").text
    assert "has changed at Asaas since" in page
    assert f'href="/charges/default/{charge}/bring"' in page
    assert 'title="PENDING">' in page
    assert 'title="RECEIVED">' in page
    assert customer in page


# ---------------------------------------------------------------- "she paid and there is no deal"


class Person:
    """Somebody in front of the console who knows no address: clicks on words, types into the search."""

    def __init__(self, browser: Browser) -> None:
        self._browser = browser
        self.page = browser.get("/").text
        self.clicks = 0

    def click(self, words: str) -> str:
        """Follow the first link with these words and return its page."""
        links = re.findall(r'<a\b[^>]*?href="([^"]*)"[^>]*>(.*?)</a>', self.page.split("<main", 1)[-1], re.DOTALL)
        links += re.findall(r'<a\b[^>]*?href="([^"]*)"[^>]*>(.*?)</a>', self.page, re.DOTALL)
        found = [href for href, inside in links if words in " ".join(re.sub(r"<[^>]+>", " ", inside).split())]
        assert found, f"no link says {words!r}"
        return self._open(html.unescape(found[0]))

    def search(self, text: str) -> str:
        """Type into the search of the page and send it."""
        form = re.search(r'<form[^>]*action="([^"]*)"[^>]*role="search"', self.page)
        assert form
        return self._open(f"{form[1]}?q={text}")

    def _open(self, path: str) -> str:
        self.clicks += 1
        self.page = self._browser.get(path, follow=True).text
        return self.page


def filtered(console: Console, _asaas: AsaasSimulator) -> None:
    """The mapping wants more than she paid."""
    delivery = owe(console.journal, event_id=came(console), customer="cus_maria", payload=None)
    asked = {"field": "payment.value", "operator": "at_least", "must": Message("must be at least"), "operand": "5000"}
    why = Message(REASONS["filter.compare"], {**asked, "value": "1100.5"})
    values = {"reason_code": "filter.compare", "reason": why.to_json(), "due_ms": None}
    put_in_state(console.journal, delivery, DeliveryState.FILTERED, **values)


def refused(console: Console, _asaas: AsaasSimulator) -> None:
    """Clint did not take the payload."""
    delivery = owe(console.journal, event_id=came(console), customer="cus_maria")
    put_in_state(console.journal, delivery, DeliveryState.DEAD, due_ms=None, reason_code="clint.http_422")
    with console.journal.database.write() as connection:
        tried = {"delivery_id": delivery, "number": 1, "fence": 1, "started_ms": NOW_MS, "status": 422}
        connection.execute(attempt_table.insert().values(**tried, outcome="rejected", code="clint.http_422"))


def paused(console: Console, _asaas: AsaasSimulator) -> None:
    """The integration was removed in Clint."""
    delivery = owe(console.journal, event_id=came(console), customer="cus_maria")
    with console.journal.database.write() as connection:
        destinations.pause(connection, "default", "gone", NOW_MS)
    put_in_state(console.journal, delivery, DeliveryState.RETRYING, due_ms=NOW_MS, waiting=Waiting.PAUSED.value)


def never(_console: Console, asaas: AsaasSimulator) -> None:
    """No event of it was ever posted."""
    charged(asaas)


def behind(console: Console, _asaas: AsaasSimulator) -> None:
    """An earlier one of hers is being tried again."""
    earlier = owe(console.journal, event_id=came(console, id="pay_first"), customer="cus_maria", object_id="pay_first")
    put_in_state(
        console.journal, earlier, DeliveryState.RETRYING, due_ms=NOW_MS, waiting=Waiting.BACKOFF.value, attempts=2
    )
    owe(console.journal, event_id=came(console), customer="cus_maria")


@pytest.mark.parametrize(
    ("happened", "last", "says"),
    [
        (filtered, "Payment received", ("Filtered", "Value", "R$1,100.50", "R$5,000.00")),
        (refused, "Payment received", ("Not delivered", "422", "does not accept these values")),
        (paused, "Payment received", ("until the destination is resumed",)),
        (never, "Look at Asaas", ("Never arrived", "Expected event", "PAYMENT_RECEIVED", "Bring in now")),
        (
            behind,
            "Maria Aparecida Souza",
            ("waits for event 1 of the same customer",),
        ),
    ],
)
def test_she_paid_and_there_is_no_deal(
    console: Console,
    asaas: AsaasSimulator,
    happened: Callable[[Console, AsaasSimulator], None],
    last: str,
    says: tuple[str, ...],
) -> None:
    """Three clicks from the first page say why, whatever the reason is."""
    knows(console, "cus_maria")
    happened(console, asaas)
    person = Person(console.operator())

    person.click("Events")
    person.search("Maria Aparecida Souza")
    page = html.unescape(person.click(last))

    assert person.clicks == 3
    for text in says:
        assert text in page.replace("<wbr>", "")
