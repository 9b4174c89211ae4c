"""The console's page of alerts: a person is added, tested, changed and removed, and no address is ever shown."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from werkzeug.datastructures import MultiDict

from bridge.alerts.plan import Area, path_of
from bridge.crypto import new_key
from bridge.journal import audit, receivers
from bridge.journal.receivers import Receiver
from bridge.messages import _, in_language
from bridge.reasons import WORDS
from tests.console import VIEWER, Browser, Console, opened_console
from tests.factories import NOW_MS
from tests.peers import Peer, Reply


@pytest.fixture
def service() -> Iterator[Peer]:
    """Give a service that takes messages."""
    with Peer() as peer:
        yield peer


@pytest.fixture
def console(sqlite_url: str, tmp_path: Path, service: Peer) -> Iterator[Console]:
    """Give a console whose journal can seal, of a bridge with two accounts and one address in the environment."""
    with opened_console(
        sqlite_url,
        tmp_path,
        BRIDGE_ENCRYPTION_KEY=new_key(),
        BRIDGE_ALLOW_PRIVATE_DESTINATIONS="1",
        BRIDGE_ALERT_URLS=f"json://user:environment-secret@127.0.0.1:{service.port}/env",
        BRIDGE_PUBLIC_URL="https://bridge.example",
        ASAAS_WEBHOOK_TOKEN_MATRIZ="a",
        ASAAS_WEBHOOK_TOKEN_FILIAL="b",
    ) as opened:
        yield opened


def kept(console: Console) -> list[Receiver]:
    """Return the receivers of the journal."""
    with console.runtime.journal.database.read() as connection:
        return [one for one in receivers.load(connection) if not one.is_environment]


def fill(peer: Peer, **changes: object) -> MultiDict[str, object]:
    """Return the form as a person fills it in."""
    filled: dict[str, object] = {
        "service": "other",
        "name": "Financeiro",
        "at-url": f"json://user:very-secret@127.0.0.1:{peer.port}/x",
        "area": [*Area],
        "account": ["matriz", "filial"],
        "level": "warning",
        "summary": "on",
        **changes,
    }
    return MultiDict({name: value for name, value in filled.items() if value is not None})


def add(browser: Browser, peer: Peer, **changes: object) -> int:
    """Fill in the form and send it; return the status."""
    return browser.post("/alerts/new", dict(fill(peer, **changes).lists())).status_code


def test_a_receiver_is_added_and_tested_at_once(console: Console, service: Peer) -> None:
    """The message arrives, the page says so, the trail has it; the address is on no page."""
    browser = console.operator()
    status = add(browser, service, then="test")
    page = browser.get("/alerts").text
    (found,) = kept(console)

    assert status == 303
    assert [asked.path for asked in service.asked] == ["/x"]
    assert (found.name, found.areas, found.accounts, found.level) == ("Financeiro", (), (), "warning")
    assert found.summary_ms is not None
    assert NOW_MS < found.summary_ms <= NOW_MS + 86_400_000
    assert (found.sent_ms, found.failing_ms) == (NOW_MS, None)
    assert "Financeiro" in page
    with console.runtime.journal.database.read() as connection:
        trail = [(row["action"], row["about"]) for row in audit.newest(connection, 3)]
    assert trail[:2] == [("receiver.tested", "Financeiro"), ("receiver.added", "Financeiro")]
    for text in (page, browser.get(f"/alerts/{found.id}").text, str(trail)):
        assert "very-secret" not in text
        assert "environment-secret" not in text


def test_a_test_that_does_not_arrive_is_said(console: Console) -> None:
    """At once, and on the page until one arrives."""
    browser = console.operator()
    with Peer(Reply(status=500)) as broken:
        add(browser, broken, then="test")
        said = browser.get("/alerts").text
        again = browser.get("/alerts").text
        with in_language("pt"):
            problem = _("the service did not accept the message")
        browser.post("/language", language="pt")
        in_portuguese = browser.get("/alerts").text
        browser.post("/language", language="en")
        add(browser, broken, name="Ana", then="test", **{"at-url": "nothing://x"})
        unusable = browser.get("/alerts").text

    assert "did not arrive: the service did not accept the message" in said
    assert "Does not arrive" in again
    assert f"{problem[0].upper()}{problem[1:]}." in in_portuguese
    assert "0 of 1 address accepted it" in browser.get("/who").text
    assert "apprise can&#39;t use the URL" in unusable
    assert kept(console)[0].failing_ms == NOW_MS


def test_the_environments_addresses_are_shown_and_can_be_tested(console: Console, service: Peer) -> None:
    """As what they are; they are neither changed nor removed here."""
    browser = console.operator()
    page = browser.get("/alerts").text
    tested = browser.post("/alerts/0/test")

    assert "BRIDGE_ALERT_URLS" in page
    assert tested.status_code == 303
    assert [asked.path for asked in service.asked] == ["/env"]
    assert browser.get("/alerts/0").status_code == 404
    assert browser.post("/alerts/0").status_code == 404
    assert browser.post("/alerts/0/remove").status_code == 404


def test_a_change_keeps_the_address_that_is_not_given(console: Console, service: Peer) -> None:
    """Name, kinds, accounts, level and summary change; a new address replaces the old one."""
    browser = console.operator()
    add(browser, service)
    (before,) = kept(console)
    data = fill(service, name="Ana", area=["clint"], account=["matriz"], level="error", summary=None)
    data.pop("at-url")
    data["csrf_token"] = browser.token()
    browser._client.post(f"/alerts/{before.id}", data=data, headers=browser._headers)
    (changed,) = kept(console)
    page = browser.get(f"/alerts/{before.id}").text
    data["at-url"] = "json://127.0.0.1/other"
    browser._client.post(f"/alerts/{before.id}", data=data, headers=browser._headers)

    assert (changed.name, changed.areas, changed.accounts) == ("Ana", ("clint",), ("matriz",))
    assert (changed.level, changed.summary_ms, changed.url) == ("error", None, before.url)
    assert page.count(" checked") == 3
    assert kept(console)[0].url == "json://127.0.0.1/other"


@pytest.mark.parametrize(
    ("changes", "fault"),
    [
        ({"name": " "}, "name-fault"),
        ({"area": []}, "area-fault"),
        ({"account": []}, "account-fault"),
        ({"at-url": "what"}, "at-url-fault"),
        ({"at-url": ""}, "at-url-fault"),
        ({"service": "telegram", "at-token": "1:a", "at-chat": "x"}, "at-chat-fault"),
        ({"name": "x" * 121}, "1 to 120"),
    ],
)
def test_what_is_wrong_is_said_and_nothing_is_kept(
    console: Console, service: Peer, changes: dict[str, object], fault: str
) -> None:
    """Beside its field; what else was filled in stays, but for secrets."""
    browser = console.operator()
    answer = browser.post("/alerts/new", dict(fill(service, **changes).lists()))

    assert answer.status_code == 422
    assert fault in answer.text
    assert "very-secret" not in answer.text
    assert kept(console) == []


def test_two_of_one_name_are_refused(console: Console, service: Peer) -> None:
    """A notice says which receiver fails by its name."""
    browser = console.operator()

    assert (add(browser, service), add(browser, service)) == (303, 422)
    assert len(kept(console)) == 1


def test_a_receiver_is_removed(console: Console, service: Peer) -> None:
    """With its address; a second time there is none."""
    browser = console.operator()
    add(browser, service)
    (found,) = kept(console)

    assert browser.post(f"/alerts/{found.id}/remove").status_code == 303
    assert kept(console) == []
    assert browser.post(f"/alerts/{found.id}/remove").status_code == 404
    assert browser.get(f"/alerts/{found.id}").status_code == 404


def test_a_viewer_sees_who_gets_alerts_and_no_button(console: Console, service: Peer) -> None:
    """Neither on the list nor on the form."""
    add(console.operator(), service)
    viewer = console.browser()
    viewer.sign_in(VIEWER)
    pages = viewer.get("/alerts").text + viewer.get("/alerts/new").text

    assert "Financeiro" in pages
    assert 'action="/alerts' not in pages


def test_without_a_key_the_page_says_so_before_anything_is_typed(sqlite_url: str, tmp_path: Path) -> None:
    """With the command that makes one, and no form."""
    with opened_console(sqlite_url, tmp_path) as console:
        browser = console.operator()
        pages = [browser.get(path).text for path in ("/alerts", "/alerts/new")]
        with Peer() as service:
            refused = add(browser, service)

    assert all("bridge db new-key" in page for page in pages)
    assert all('action="/alerts' not in page for page in pages)
    assert refused == 422


@pytest.mark.parametrize("code", sorted(WORDS))
def test_every_link_of_a_message_opens(console: Console, code: str) -> None:
    """Whoever gets the message gets to a page."""
    assert console.operator().get(path_of(code, "matriz")).status_code == 200
