"""Names, descriptions and destinations of one unbroken word, on a phone: no page scrolls to the side."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import pytest
from playwright.sync_api import Browser

from bridge.crypto import new_key
from bridge.journal import audit, customers, search
from bridge.journal.audit import Actor
from bridge.journal.schema import events as event_table
from bridge.messages import Message
from bridge.model import DeliveryState
from bridge.operations.users import NAME_LENGTH
from bridge.simulator.serve import Served
from tests.browser.looking import PHONE, Visitor
from tests.console import finish_jobs, opened_console
from tests.factories import NOW_MS, envelope, incoming, keep, owe, payment, put_in_state

WORD = "W" * 90
NAME = "w" * 40
"""Destinations, accounts and mappings have at most 40 letters."""
PERSON = "w" * NAME_LENGTH
MAPPING = f"""
description: {WORD}
events: [PAYMENT_RECEIVED]
send_to: {NAME}
filter:
  all:
    - {{field: payment.description, equals: {WORD}}}
contact: {{{WORD}: payment.description, email: "'ana@example.com'"}}
tests: []
"""
CUSTOMER, CHARGE = "cus_" + "w" * 86, "pay_" + "w" * 86


@pytest.fixture
def pages(sqlite_url: str, tmp_path: Path) -> Iterator[tuple[str, str, list[str]]]:
    """Give the address of a console full of long words, the session of an operator, and the main pages."""
    settings = {"BRIDGE_ENCRYPTION_KEY": new_key(), "ASAAS_API_KEY": "$aact_hmlg_000"}
    settings |= {f"CLINT_WEBHOOK_URL_{NAME.upper()}": "http://127.0.0.1:9/a", "BRIDGE_ALLOW_PRIVATE_DESTINATIONS": "1"}
    with opened_console(sqlite_url, tmp_path, **settings) as console, Served(console.app) as served:
        (tmp_path / "mappings" / f"{NAME}.yaml").write_text(MAPPING)
        console.runtime.register()
        journal = console.runtime.journal  # which has the key
        body = envelope(payment=payment(CUSTOMER, id=CHARGE, description=WORD, externalReference=WORD))
        event = incoming(CUSTOMER, key=body["id"], object_id=CHARGE, body=json.dumps(body))
        (id_,) = keep(journal, event)
        made = owe(journal, event_id=id_, customer=CUSTOMER, mapping=NAME, payload=json.dumps({WORD: WORD}))
        why = Message("the answer was {text}", {"text": WORD}).to_json()
        dead = {"due_ms": None, "reason": why, "reason_code": "clint.http_422", "finished_ms": NOW_MS}
        put_in_state(journal, made, DeliveryState.DEAD, **dead)
        with journal.database.write() as connection:
            done = {"state": "processed", "processed_ms": NOW_MS}
            connection.execute(event_table.update().where(event_table.c.id == id_).values(**done))
            known = search.customer_found("default", CUSTOMER, {"name": WORD, "email": f"{WORD}@example.com"})
            customers.record(connection, [known], [], NOW_MS)
            audit.note(connection, Actor(f"operator {PERSON}", WORD), "destination.paused", NAME, NOW_MS)
        browser = console.operator()
        browser.post("/people", name=PERSON, email=f"{WORD[:60]}@example.com", role="viewer")
        receiver = {"at-url": "json://127.0.0.1:9/a", "area": "mappings", "account": "default"}
        browser.post("/alerts/new", {"service": "other", "name": PERSON, **receiver})
        job = browser.post(f"/mappings/{NAME}/run", over="events").location
        finish_jobs()
        yield (
            served.url,
            browser.cookie(),
            [
                *("/", "/events", f"/events/{id_}", f"/events/{id_}/replay", "/attention", "/connections"),
                *(f"/customers/default/{CUSTOMER}", f"/charges/default/{CHARGE}", job, "/who", "/me", "/alerts"),
                *("/alerts/1", "/people", "/people/1", "/reconcile", "/test-charge", "/mappings-new", "/mappings"),
                *(f"/mappings/{NAME}{rest}" for rest in ("", "?tab=yaml", "/history", "/checklist", "/run")),
                *(f"/connections/destinations/{NAME}/{rest}" for rest in ("test", "url")),
                "/attention/confirm?decision=discard&code=clint.http_422",
            ],
        )


def test_a_long_word_makes_no_page_wider_than_a_phone(chromium: Browser, pages: tuple[str, str, list[str]]) -> None:
    """Whoever writes a description at Asaas decides how long its words are."""
    url, session, addresses = pages
    wrong = []
    with Visitor(chromium, url, "pt") as me:
        me.page.context.add_cookies([{"name": "bridge_session", "value": session, "url": url}])
        me.page.set_viewport_size({"width": PHONE, "height": 900})
        for address in addresses:
            answer = me.page.goto(address)
            status, width = answer.status if answer else 0, me.width()
            if (status, width <= PHONE, me.scrolling()) != (200, True, []):
                wrong.append(f"{address}: {status}, {width} pixels, {me.scrolling()}")

    assert not wrong, "\n".join(wrong)
