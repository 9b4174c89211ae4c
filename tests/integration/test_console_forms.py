"""Forms of the console that are not taken: no POST answers with a page, nothing typed is lost, each fault is linked."""

from __future__ import annotations

import inspect
import re
from collections.abc import Iterator
from pathlib import Path

import pytest
from sqlalchemy import select

from bridge.crypto import new_key
from bridge.journal.schema import jobs as job_table
from bridge.simulator.asaas.account import DEFAULT_KEY
from bridge.web.console import PAGES, forms
from tests.console import ANSWERS_WITH_A_PAGE, PASSWORD, Browser, Console, opened_console
from tests.factories import incoming, keep

LONG = "x" * 130
REFUSED = {
    "console.people.index": ("/people", {"name": LONG, "email": "no", "role": "boss", "which": "some"}),
    "console.people.show": ("/people/1", {"name": LONG, "role": "boss"}),
    "console.people.me": ("/me/name", {"name": LONG}),
    "console.alerts.new": ("/alerts/new", {"service": "other", "name": ""}),
    "console.alerts.edit": ("/alerts/1", {"service": "other", "name": ""}),
    "console.attention.index": ("/attention/replay", {"since": "no", "until": ""}),
    "console.reconcile.form": ("/reconcile", {"account": "default", "since": "no", "until": ""}),
    "console.trial.form": ("/test-charge", {"account": "default", "value": "no", "email": "no", "phone": "1"}),
    "console.connecting.new_destination": ("/connections/new-destination", {"name": "Ã", "url": "no"}),
    "console.connecting.url_form": ("/connections/destinations/vendas/url", {"url": "no"}),
    "console.connections.test_form": ("/connections/destinations/default/test", {"body": "no"}),
}
"""A form that is refused, by the page that shows it again."""
ELSEWHERE = {
    "console.connecting.new_account": "test_console_connect: a key is refused by Asaas only",
    "console.connecting.key_form": "test_console_connect",
    "console.connecting.key_taken": "test_console_connect: the second step of a key",
    "console.connecting.token_form": "test_console_clint: Clint refuses the token",
    "console.connections.ask_to_register": "test_console_connect: it asks Asaas",
}
"""Pages whose forms are refused in other tests, since they need Asaas."""


@pytest.fixture
def console(sqlite_url: str, tmp_path: Path) -> Iterator[Console]:
    """Give a console with an account, a destination, a receiver of alerts and an invited person."""
    settings = {"ASAAS_API_KEY": DEFAULT_KEY, "BRIDGE_ENCRYPTION_KEY": new_key()}
    with opened_console(sqlite_url, tmp_path, **settings) as opened:
        browser = opened.operator()
        url = {"at-url": "json://127.0.0.1:9/a", "area": "mappings"}
        browser.post("/people", name="Bia", email="bia@example.com", role="administrator")
        browser.post("/alerts/new", {"service": "other", "name": "Ana", "account": "default", **url})
        vendas = (
            "https://functions-api.clint.digital/endpoints/integration/webhook/5b0c1b6e-1111-4222-8333-444455556666"
        )
        browser.post("/connections/new-destination", name="vendas", url=vendas)
        keep(opened.runtime.journal, incoming())
        yield opened


def posts(console: Console) -> list[tuple[str, str]]:
    """Return the endpoint and an address of each route that takes a POST, but for the door's."""
    with console.app.test_request_context():
        adapter = console.app.url_map.bind("")
        return [
            (rule.endpoint, adapter.build(rule.endpoint, dict.fromkeys(rule.arguments, "1"), "POST"))
            for rule in console.app.url_map.iter_rules()
            if "POST" in (rule.methods or ()) and rule.endpoint.startswith("console.")
        ]


def test_no_post_answers_with_a_page(console: Console) -> None:
    """A reload and the browser's back repeat nothing; each exception has its reason and is still there."""
    routes = dict(posts(console))

    assert set(routes) > set(ANSWERS_WITH_A_PAGE)
    for endpoint, path in routes.items():
        for fields in ({}, dict.fromkeys(("name", "account", "value", "body", "text", "url", "key", "email"), LONG)):
            browser = console.operator()  # some of them end the session
            assert browser.post(path, fields).status_code < 600, endpoint  # `post` itself looks at the answer


def test_each_page_that_shows_a_form_again_is_walked() -> None:
    """A new one joins here, or says which test refuses it."""
    text = "".join(inspect.getsource(module) for module in PAGES)
    sent = set(re.findall(r'send_back\(\s*"(console\.[a-z_.]+)"', text))

    assert sent - set(ELSEWHERE) <= set(REFUSED)


def of_person(console: Console) -> Browser:
    """Return a browser in which an administrator with an account of their own is signed in."""
    page = console.operator().post("/people/1/link").text
    path = re.findall(r"/invitation/[\w-]+", page)[0]
    browser = console.browser()
    assert browser.post(path, password=PASSWORD, again=PASSWORD).status_code == 302
    return browser


@pytest.mark.parametrize("endpoint", REFUSED)
def test_the_summary_leads_to_each_field(console: Console, endpoint: str) -> None:
    """It has the focus, and each of its links leads to a control that is marked and says why."""
    path, fields = REFUSED[endpoint]
    browser = of_person(console) if path == "/me/name" else console.operator()
    page = browser.post(path, fields)
    summary = re.findall(r'<div[^>]*id="not-taken" tabindex="-1" autofocus>.*?</div></div>', page.text, re.S)
    links = re.findall(r'href="#([\w-]+)"', "".join(summary))
    marked = [
        re.search(r"^\w+", tag)
        for one in links
        for tag in re.findall(rf'<([^>]*\bid="{one}"[^>]*aria-invalid="true"[^>]*\b{one}-fault[^>]*)>', page.text)
    ]

    assert page.status_code == 422
    assert len(summary) == 1
    assert links
    assert len(marked) == len(links)
    assert all(f'id="{one}-fault"' in page.text for one in links)
    assert [tag[0] for tag in marked if tag and tag[0] not in {"input", "select", "textarea", "fieldset"}] == []


def test_what_was_typed_is_kept_for_its_person_only_and_encrypted(console: Console) -> None:
    """Loading the page again shows it again and sends nothing; nobody else finds it, and no row has it in clear."""
    browser, path = console.operator(), "/test-charge"
    typed = {"account": "default", "value": "no", "email": "maria.souza@example", "phone": "47 91234-0000"}
    token = browser.token()
    sent = browser._client.post(path, data={"csrf_token": token, **typed}, headers=browser._headers)
    pages = [browser.get(sent.location) for _ in range(2)]
    stranger = console.browser()
    stranger.sign_in(name="Bruno")
    with console.runtime.journal.database.read() as connection:
        rows = str(connection.execute(select(job_table.c.params, job_table.c.about)).all())

    assert (sent.status_code, [page.status_code for page in pages]) == (303, [422, 422])
    assert all(typed["email"] in page.text and typed["phone"] in page.text for page in pages)
    assert typed["email"] not in stranger.get(sent.location).text
    assert "maria" not in rows
    assert "sealed:" in rows


def test_a_link_is_shown_for_some_minutes_to_the_person_who_made_it(console: Console) -> None:
    """A reload shows the same link and makes no other; then the page is over, and the link still works."""
    browser = console.operator()
    sent = browser._client.post("/people/1/link", data={"csrf_token": browser.token()}, headers=browser._headers)
    pages = [browser.get(sent.location).text for _ in range(2)]
    (link,) = {one for page in pages for one in re.findall(r"/invitation/[\w-]+", page)}
    other = console.browser()
    other.sign_in(name="Bruno")
    with console.runtime.journal.database.read() as connection:
        rows = str(connection.execute(select(job_table.c.params, job_table.c.about)).all())

    assert link.rpartition("/")[2] not in rows
    assert other.get(sent.location).status_code == 303
    console.clock.go(forms.SHOWN_MS / 1000 + 1)
    assert browser.get(sent.location).status_code == 303
    assert console.browser().get(link).status_code == 200
