"""A viewer meets no e-mail, phone or document of a customer, wherever a page shows what came or was sent."""

from __future__ import annotations

import html
import json
from collections.abc import Iterator
from pathlib import Path

import pytest

from bridge.journal import customers, search
from bridge.journal.schema import attempts as attempt_table
from bridge.journal.schema import events as event_table
from bridge.messages import Message
from bridge.model import DeliveryState
from bridge.web.console.personal import masked
from tests.console import VIEWER, Browser, Console, finish_jobs, opened_console
from tests.factories import NOW_MS, envelope, incoming, keep, owe, payment, put_in_state

EMAIL, PHONE, DOCUMENT = "maria.souza@gmail.com", "11987654321", "52998224725"
PERSONAL = (EMAIL, PHONE, DOCUMENT, "(11) 98765-4321", "98765-4321", "529.982.247-25")
MAPPING = """
events: [PAYMENT_RECEIVED]
filter: {all: [{field: payment.externalReference, ends_with: gmail.com}]}
contact: {email: payment.externalReference, phone: payment.nossoNumero, cpf: payment.pixTransaction}
tests: []
"""


@pytest.fixture
def console(sqlite_url: str, tmp_path: Path) -> Iterator[Console]:
    """Give a console whose mapping sends what the event has of the customer."""
    with opened_console(sqlite_url, tmp_path) as opened:
        (tmp_path / "mappings" / "cobranca.yaml").write_text(MAPPING)
        opened.runtime.register()
        yield opened


@pytest.fixture
def event(console: Console) -> int:
    """Return an event that was sent and refused, of a known customer."""
    about = {"email": EMAIL, "mobilePhone": PHONE, "cpfCnpj": DOCUMENT}
    sent_on = {"externalReference": EMAIL, "nossoNumero": PHONE, "pixTransaction": DOCUMENT}
    note = f"CPF 529.982.247-25, {EMAIL}, (11) 98765-4321"
    body = envelope(
        payment=payment("cus_maria", id="pay_maria", contact=about, note=note, description=f"Plano {EMAIL}", **sent_on)
    )
    (id_,) = keep(console.journal, incoming("cus_maria", key=body["id"], object_id="pay_maria", body=json.dumps(body)))
    sent = json.dumps(
        {"email": f"antiga.{EMAIL}", "contact_phone": f"+55{PHONE}", "cpf": int(DOCUMENT), "fone": "98765-4321"}
    )
    made = owe(console.journal, event_id=id_, customer="cus_maria", mapping="cobranca", payload=sent)
    why = Message("the answer was {text}", {"text": f"{EMAIL} is no contact"}).to_json()
    put_in_state(console.journal, made, DeliveryState.DEAD, due_ms=None, reason=why, finished_ms=NOW_MS)
    with console.journal.database.write() as connection:
        done = {"state": "processed", "processed_ms": NOW_MS}
        connection.execute(event_table.update().where(event_table.c.id == id_).values(**done))
        tried = {"delivery_id": made, "number": 1, "fence": 1, "started_ms": NOW_MS, "excerpt": f"bad phone {PHONE}"}
        connection.execute(attempt_table.insert().values(**tried, outcome="rejected", status=422))
        known = search.customer_found("default", "cus_maria", {"name": "Maria Souza", **about})
        customers.record(connection, [known], [], NOW_MS)
    return id_


def pages(console: Console, browser: Browser, event: int) -> dict[str, str]:
    """Return what the browser sees of the event, page by page."""
    addresses = (
        *(f"/events/{event}", f"/events/{event}/replay", f"/events/{event}?ask=1"),
        *("/events", "/attention", "/mappings/cobranca", "/mappings/cobranca?tab=yaml"),
        *("/customers/default/cus_maria", "/charges/default/pay_maria", f"/work/{job_of(console)}"),
    )
    seen = {address: browser.get(address, follow=True).text for address in addresses}
    seen["part"] = browser.part(f"/events/{event}").text
    asked = {"name": "cobranca", "against": f"event:{event}", "text": MAPPING}
    for name in ("preview", "values"):
        seen[name] = browser.post(f"/mappings/live/{name}", asked).text
    return {address: html.unescape(text) for address, text in seen.items()}


def job_of(console: Console) -> int:
    """Return the number of a preview that an operator began."""
    begun = console.operator().post("/mappings/cobranca/run", over="events")
    finish_jobs()
    return int(begun.location.rpartition("/")[2])


def test_a_viewer_meets_no_contact_data(console: Console, event: int) -> None:
    """Neither in what Asaas sent nor in what Clint got, would get or answered."""
    browser = console.browser("pt-BR")
    browser.sign_in(VIEWER)
    seen = pages(console, browser, event)

    assert {(address, one) for address, text in seen.items() for one in PERSONAL if one in text} == set()
    for address in (f"/events/{event}", f"/events/{event}/replay", "part", "preview"):
        assert "m…@gmail.com" in seen[address], address


def test_an_operator_sees_what_was_sent_in_full(console: Console, event: int) -> None:
    """They must check it: on each page that has it masked for viewers."""
    seen = pages(console, console.operator("pt-BR"), event)

    for address, text in seen.items():
        if address.startswith(("/work/", f"/events/{event}")) or address in {"part", "preview", "values"}:
            assert (address, EMAIL in text, PHONE in text) == (address, True, True)
    assert "m…@gmail.com" in seen["/customers/default/cus_maria"]


def test_lists_and_the_pages_of_customer_and_charge_mask_for_everybody(console: Console, event: int) -> None:
    """Within descriptions, references and reasons too; the details of one event are where values are compared."""
    seen = pages(console, console.operator("pt-BR"), event)
    gathered = ("/events", "/customers/default/cus_maria", "/charges/default/pay_maria")

    assert {(address, one) for address in gathered for one in PERSONAL if one in seen[address]} == set()
    assert all("Plano m…@gmail.com" in seen[address] for address in gathered)
    assert f"Plano {EMAIL}" in seen[f"/events/{event}"]


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("id", "evt_05b708f961d739ea7eba7e4db318f621&368604920"),
        ("id", "pay_080225913252"),
        ("day", "2026-11-30 10:20:30"),
        ("value", 129.9),
        ("invoiceNumber", "16479671"),
        ("deleted", False),
        ("email", None),
        ("emailEnabled", True),
    ],
)
def test_what_is_not_personal_stays(name: str, value: object) -> None:
    """Ids, dates and amounts are what a viewer looks for."""
    assert masked({name: value}) == {name: value}
