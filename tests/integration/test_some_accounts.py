"""A person who may see some accounts only: no page, list, count or change reaches another account.

Every route of the application is asked, so that a new page joins by itself: it keeps to the person's accounts, or it
does not exist for them.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from itertools import product
from typing import Any

import pytest
from werkzeug.routing import Rule

from bridge.journal import customers, destinations, jobs, notices
from bridge.journal.audit import Actor
from bridge.journal.schema import events as event_table
from bridge.journal.search import Found, Kind
from bridge.journal.users import UserRole
from bridge.model import DeliveryState, NoticeLevel
from bridge.operations import users as operations
from bridge.web.console.access import FOR_ADMINISTRATORS, FOR_SOME_ACCOUNTS, FOR_STRANGERS
from bridge.web.console.jobs import HOME
from tests.console import Browser, Console, opened_console
from tests.factories import (
    NOW_MS,
    envelope,
    events_of,
    incoming,
    keep,
    noticed,
    owe,
    payment,
    put_in_state,
    register,
    rows_of,
)
from tests.integration.test_console_crawl import RESULTS
from tests.peers import closed_port

SECRET = "grampo bateria cavalo"
MAPPING = """
account: {account}
description: {description}
events: [PAYMENT_RECEIVED]
contact: {{email: "'x@example.com'"}}
send_to: {destination}
tests: []
"""
THEIRS = ("oculta", "pay_hidden", "cus_hidden", "Zenaide", "777.77", "777,77", "secreto")
"""What belongs to the account oculta, in every form in which a page could show it."""
MINE = ("pay_mine", "33,30", "Ana")


@pytest.fixture(scope="module")
def console(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Console]:
    """Give a console on a journal in which two accounts have something in every state."""
    scratch = tmp_path_factory.mktemp("some")
    (scratch / "mappings").mkdir()
    for name, account, destination in (("clara", "default", "default"), ("oculta", "oculta", "secreto")):
        text = MAPPING.format(account=account, description=f"de {account}", destination=destination)
        (scratch / "mappings" / f"{name}.yaml").write_text(text)
    (scratch / "mappings" / "oculta_quebrada.yaml").write_text("events: [x\n")
    with (
        closed_port() as port,
        opened_console(
            f"sqlite:///{scratch / 'journal.db'}",
            scratch,
            ASAAS_API_KEY="$aact_hmlg_x",
            ASAAS_API_KEY_OCULTA="$aact_hmlg_y",
            ASAAS_WEBHOOK_TOKEN="5a4f0c1e-7b3d-4e8f-9a6c-b2d1f0e3c7a8",
            ASAAS_WEBHOOK_TOKEN_OCULTA="6b5f1d2e-8c4d-4f9f-8b7d-c3e2f1f4d8b9",
            ASAAS_API_URL=f"http://127.0.0.1:{port}/v3",
            CLINT_WEBHOOK_URL_SECRETO="https://clint.example/b",
            BRIDGE_ALLOW_PRIVATE_DESTINATIONS="1",
            BRIDGE_PUBLIC_URL="https://bridge.example",
        ) as opened,
    ):
        register(opened.journal, default="https://clint.example/a", secreto="https://clint.example/b")
        fill(opened, "default", "mine", "Ana", 33.3, "clara", "default")
        fill(opened, "oculta", "hidden", "Zenaide", 777.77, "oculta", "secreto")
        yield opened


def fill(console: Console, account: str, key: str, name: str, value: float, mapping: str, destination: str) -> None:
    """Write what an account may have."""
    journal = console.journal
    more = {"account": account, "object_id": f"pay_{key}", "subject": f"cus_{key}"}
    body = json.dumps(
        envelope(payment=payment(f"cus_{key}", id=f"pay_{key}", value=value, description=f"Curso de {name}"))
    )
    _, held, done = keep(journal, *(incoming(**more, customer=f"cus_{key}", body=body) for _ in range(3)))
    with journal.database.write() as connection:
        c = event_table.c
        hold = {"hold_code": "asaas.unavailable", "hold_reason": f"about {name}"}
        connection.execute(event_table.update().where(c.id == held).values(**hold))
        connection.execute(event_table.update().where(c.id == done).values(state="processed", processed_ms=NOW_MS))
    for number, state in enumerate(DeliveryState):
        given = {"account": account, "object_id": f"pay_{key}", "mapping": mapping, "destination": destination}
        payload = json.dumps({"nome": name, "valor": value})
        made = owe(journal, customer=f"cus_{key}", event_id=done, replay=number, payload=payload, **given)
        code = {"reason_code": "clint.http_422", "reason": f"refused {name}"} if state is DeliveryState.DEAD else {}
        put_in_state(journal, made, state, due_ms=None, **code)
    with journal.database.write() as connection:
        known = {"name": name, "email": f"{name}@example.com", "mobilePhone": "11987654321", "cpfCnpj": "52998224725"}
        customers.record(connection, [Found(account, f"cus_{key}", Kind.SUBJECT, known)], [], NOW_MS)
        codes = ("account.key_refused", "webhook.disabled", "events.held")
        found = [noticed(code, account, NoticeLevel.ERROR, f"of {name}", "do") for code in codes]
        found.append(noticed("account.access_token", f"{account}/1", NoticeLevel.WARNING, f"of {name}", "do"))
        found.append(noticed("destination.circuit_open", destination, NoticeLevel.WARNING, f"of {name}", "do"))
        found.append(noticed("delivery.not_seen", f"{destination}/{mapping}", NoticeLevel.WARNING, f"of {name}", "do"))
        notices.apply(connection, found, NOW_MS)
        destinations.pause(connection, destination, f"gone with {name}", NOW_MS)
        params = {"account": account, "mapping": mapping, "ids": [done], "value": str(value), "billing_type": "PIX"}
        params |= {"since": "2026-11-01", "until": "2026-11-20", "by": "created"}
        for kind in HOME:
            about = account if kind not in {"replay", "replay_preview", "examination"} else mapping
            made = jobs.begin(connection, kind, about, params, name, NOW_MS)
            text = json.dumps(RESULTS[kind]).replace('"default"', f'"{account}"').replace("pay_1", f"pay_{key}")
            jobs.finish(connection, made, NOW_MS, json.loads(text))


@pytest.fixture(scope="module")
def person(console: Console) -> Browser:
    """Give the browser of an operator who may see the account default."""
    given: dict[str, Any] = {"name": "Bia", "email": "bia@example.com", "role": UserRole.OPERATOR}
    _, link = operations.invite(console.journal, Actor("operator Ana"), NOW_MS, **given, accounts=["default"])
    browser = console.browser("pt")
    assert browser.post(f"/invitation/{link}", password=SECRET, again=SECRET).status_code == 302
    return browser


def numbers(console: Console, account: str) -> dict[str, list[Any]]:
    """Return what may follow each piece of an address, of one account."""
    mine = account == "default"
    with console.journal.database.read() as connection:
        works = [jobs.find(connection, number, NOW_MS) for number in range(1, 30)]
    found = [job for job in works if job]
    return {
        "/events/": [row["id"] for row in events_of(console.journal) if row["account"] == account],
        "/deliveries/": [row["id"] for row in rows_of(console.journal) if row["account"] == account],
        "/work/": [job.id for job in found if job.author == ("Ana" if mine else "Zenaide")],
        "/report.": ["csv", "json", "charges.csv"],
        "/mappings/": ["clara" if mine else "oculta"],
        "/history/": [1, 2],
        "/connections/": [account],
        "/customers/": [account],
        "/charges/": [account],
        "/": ["pay_mine", "cus_mine"] if mine else ["pay_hidden", "cus_hidden"],
        "/destinations/": ["default" if mine else "secreto"],
        "/connections/destinations/": ["default" if mine else "secreto"],
        "/attention/destinations/": ["default" if mine else "secreto"],
        "/attention/notices/": list(range(1, 13) if mine else range(7, 13)),
        "/assets/": ["console.css"],
        "/people/": [1],
        "/invitation/": ["x"],
    }


def paths(rule: Rule, known: dict[str, list[Any]]) -> Iterator[str]:
    """Return the addresses of a route."""
    *pieces, end = re.split(r"<(?:\w+:)?\w+>", rule.rule)
    for chosen in product(*(known.get(piece, ["1"]) for piece in pieces)):
        yield "".join(f"{a}{b}" for a, b in zip(pieces, chosen, strict=True)) + end


def routes(console: Console, method: str) -> list[Rule]:
    """Return the console's routes that take this method."""
    rules = console.app.url_map.iter_rules()
    return [rule for rule in rules if method in (rule.methods or ()) and rule.endpoint.startswith("console.")]


def traces(text: str) -> list[str]:
    """Return what of the other account stands in a page."""
    return [one for one in THEIRS if one in text]


def test_the_routes_that_are_said_to_keep_to_accounts_exist(console: Console) -> None:
    """A page that is renamed would be closed to the person without anybody noticing."""
    assert {rule.endpoint for rule in console.app.url_map.iter_rules()} >= FOR_SOME_ACCOUNTS


def test_no_page_has_a_trace_of_another_account(console: Console, person: Browser) -> None:
    """As a page and as the part that htmx fetches; and the own account's pages are there."""
    found, opened = [], set()
    text = ""
    more = ["/attention/confirm?decision=" + one for one in ("retry", "replay", "discard")]
    known = numbers(console, "default")
    addresses = [(rule.endpoint, path) for rule in routes(console, "GET") for path in paths(rule, known)]
    for endpoint, path in [*addresses, *(("console.attention.confirm", one) for one in more)]:
        for answer in (person.get(path), person.part(path)):
            if answer.status_code in {200, 422}:
                opened.add(endpoint)
                text += answer.text if answer.mimetype == "text/html" else ""
                found += [f"{path}: {one}" for one in traces(answer.text)]
            answer.close()
    fetched = {rule.endpoint for rule in routes(console, "GET")}

    assert found == []
    assert [one for one in MINE if one not in text] == []
    # Reading back a token, a provider and a spent link need more than an address, as does what was just registered.
    with_more = FOR_STRANGERS | {"console.connections.registered"}
    assert opened - with_more == ((fetched & FOR_SOME_ACCOUNTS) - with_more) | {"console.static"}


def test_an_address_of_another_account_is_not_found(console: Console, person: Browser) -> None:
    """As if there were nothing: 404, not 403. Pages without an object, and those of administrators, are closed."""
    known = numbers(console, "oculta")
    wrong = []
    for rule in routes(console, "GET"):
        is_shut = rule.endpoint in FOR_ADMINISTRATORS or (not rule.arguments and rule.endpoint not in FOR_SOME_ACCOUNTS)
        if (rule.arguments or is_shut) and rule.endpoint not in {"console.static"}:
            for path in paths(rule, known):
                answer = person.get(path)
                if answer.status_code not in ({403} if is_shut else {404, 410}):
                    wrong.append(f"{path}: {answer.status_code}")

    assert wrong == []


@pytest.mark.parametrize(
    "query",
    [
        "q=Zenaide",
        "q=cus_hidden",
        "q=pay_hidden",
        "account=oculta",
        "mapping=oculta",
        "state=dead",
        "state=waiting",
        "",
    ],
)
def test_no_list_or_search_finds_another_account(console: Console, person: Browser, query: str) -> None:
    """Whatever is asked for; the own account's events are found all the same."""
    theirs = {f'href="/events/{row["id"]}"' for row in events_of(console.journal) if row["account"] == "oculta"}
    for page in (person.get(f"/events?{query}").text, person.part(f"/events?{query}").text):
        assert not [link for link in theirs if link in page]
    if query.startswith("state") or not query:
        assert "pay_mine" in page


def test_the_count_of_what_needs_a_person_is_of_the_own_accounts(console: Console, person: Browser) -> None:
    """Failed deliveries, a pause, a hold, three notices, an overlap; for all a broken file and a mapping too."""
    count = re.compile(r'class="count"[^>]*>(\d+)')
    own, all_ = count.search(person.get("/").text), count.search(console.operator("pt").get("/").text)

    assert own
    assert all_
    assert (int(own[1]), int(all_[1])) == (7, 2 * 7 + 3)


def test_no_form_changes_anything_of_another_account(console: Console, person: Browser) -> None:
    """Whether the address names it or a field does; a delivery of theirs is not reached by an event of one's own."""

    def standing() -> Any:
        with console.journal.database.read() as connection:
            noticed = [one for one in notices.newest(connection, 100) if one.closed_ms is None]
            paused = {one.name: one.paused_ms for one in destinations.load(connection).values()}
        theirs = [row for row in rows_of(console.journal) if row["account"] == "oculta"]
        return theirs, [row for row in events_of(console.journal) if row["account"] == "oculta"], noticed, paused

    before = standing()
    theirs, mixed = numbers(console, "oculta"), numbers(console, "oculta")
    mixed["/events/"] = numbers(console, "default")["/events/"]
    form = {"account": "oculta", "mapping": "oculta", "destination": "secreto", "decision": "retry", "code": ""}
    form |= {"since": "2026-11-01", "until": "2026-11-02", "by": "created", "value": "10", "billing_type": "PIX"}
    wrong = []
    for rule in routes(console, "POST"):
        if rule.endpoint in FOR_STRANGERS or rule.endpoint.startswith(("console.people.", "console.signin.")):
            continue
        pieces = "/deliveries/" in rule.rule
        for path in {*paths(rule, theirs), *(paths(rule, mixed) if pieces else ())}:
            status = person.post(path, form).status_code
            is_nothing_left = status == 303 and (path == "/attention/run" or path.endswith("seen"))
            if status not in ({404, 422} if rule.arguments else {403, 404, 422}) and not is_nothing_left:
                wrong.append(f"{path}: {status}")

    assert wrong == []
    assert standing() == before


def test_a_person_whose_accounts_change_sees_the_new_ones_at_once(console: Console, person: Browser) -> None:
    """Without signing in again; and nothing of the old ones any more."""
    admin = console.operator()
    assert admin.post("/people/1", name="Bia", role="operator", which="some", account="oculta").status_code == 303
    page = person.get("/events").text
    assert "pay_hidden" in page
    assert "pay_mine" not in page
    assert admin.post("/people/1", name="Bia", role="operator", which="some", account="default").status_code == 303
    assert "pay_mine" in person.get("/events").text
