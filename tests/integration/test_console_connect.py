"""Accounts and destinations by the console's forms, and the guide of the first start, between the simulators."""

from __future__ import annotations

import re
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from werkzeug.test import TestResponse

from bridge.alerts.plan import OVERLAP
from bridge.clint.webhook import classify
from bridge.crypto import new_key
from bridge.journal import accounts as stored
from bridge.journal import audit, jobs, notices, revisions, users
from bridge.journal.audit import Actor
from bridge.journal.users import UserRole
from bridge.mapping import testing
from bridge.messages import Message
from bridge.model import DeliveryState, NoticeLevel
from bridge.operations import accounts, actions
from bridge.operations.mappings import PLACING, starters
from bridge.simulator.asaas.account import DEFAULT_KEY
from bridge.simulator.clint.account import DEFAULT_ORIGIN, DEFAULT_TOKEN, INTEGRATIONS
from bridge.simulator.serve import Served
from bridge.web.console import layout
from bridge.web.console.connecting import KEY_WAITS_MS
from bridge.web.console.guide import MOST_DELIVERED
from bridge.worker.alerts import AlertSetup, send_alerts
from tests.charges import Calendar
from tests.console import VIEWER, Browser, Console, finish_jobs, names, opened_console
from tests.factories import NOW_MS, incoming, keep, noticed, owe, put_in_state, register, row_of
from tests.peers import closed_port
from tests.simulated import AsaasSimulator, ClintSimulator

OTHER_KEY = "$aact_hmlg_of_another_company"
REAL_KEY = "$aact_prod_simulator"
URL = f"https://functions-api.clint.internal/endpoints/integration/webhook/{INTEGRATIONS['default']}"
NEW_URL = f"https://functions-api.clint.internal/endpoints/integration/webhook/{INTEGRATIONS['pagas']}"
WAIT_S = 30.0


@pytest.fixture
def asaas() -> Iterator[AsaasSimulator]:
    """Give a simulated Asaas with a key of each environment."""
    simulator = AsaasSimulator(keys=(DEFAULT_KEY, OTHER_KEY, REAL_KEY), clock=Calendar())
    yield simulator
    simulator.close()


@pytest.fixture
def environ(asaas: AsaasSimulator, redis_url: str) -> Iterator[dict[str, str]]:
    """Give the environment of a bridge to which nothing is connected yet."""
    with Served(asaas.app) as served:
        yield {
            "ASAAS_API_URL": f"{served.url}/v3",
            "CLINT_WEBHOOK_URL": "",
            "REDIS_URL": redis_url,
            "BRIDGE_ALLOW_PRIVATE_DESTINATIONS": "1",
            "BRIDGE_ENCRYPTION_KEY": new_key(),
        }


@pytest.fixture
def console(sqlite_url: str, tmp_path: Path, environ: dict[str, str]) -> Iterator[Console]:
    """Give the console of that bridge."""
    with opened_console(sqlite_url, tmp_path, **environ) as opened:
        yield opened
        finish_jobs(WAIT_S)


@pytest.fixture
def me(console: Console) -> Browser:
    """Give the operator."""
    return console.operator()


def sealed(page: TestResponse) -> str:
    """Return what the second step carries of the key."""
    found = re.search(r'name="sealed" value="([^"]+)"', page.text)
    assert found, page.text
    return found[1]


def connect(me: Browser, key: str = DEFAULT_KEY, place: str = "/connections/new-account", **fields: str) -> str:
    """Connect an account and return the page of the steps that were done."""
    tried = me.post(place, key=key, follow=True)
    begun = me.post(place, {"name": "default", **fields}, sealed=sealed(tried))
    assert begun.status_code == 303, begun.text
    finish_jobs(WAIT_S)
    return me.get(begun.location).text


def done(console: Console) -> list[str]:
    """Return what the audit trail says was done, oldest first, without signing in."""
    with console.journal.database.read() as connection:
        return [row["action"] for row in audit.newest(connection, 20) if row["action"] != audit.SIGNED_IN][::-1]


def stored_names(console: Console) -> tuple[list[str], list[str]]:
    """Return the accounts and the destinations of the journal."""
    with console.runtime.journal.database.read() as connection:
        return list(stored.accounts(connection)), list(stored.destinations(connection))


# ---------------------------------------------------------------- an account


def test_an_account_is_connected_by_its_key_alone(console: Console, me: Browser, asaas: AsaasSimulator) -> None:
    """Asaas says whose key it is; account, webhook and the way to the door are done at once, and no secret is shown."""
    with Served(console.app) as door:
        tried = me.post("/connections/new-account", key=f"'{DEFAULT_KEY}' ", follow=True)
        steps = connect(me, url=door.url, email="ana@example.com")
    (queue,) = asaas.book.queues.values()
    webhook, token = queue.body(), queue.token or ""
    listed = me.get("/connections").text
    page = me.get("/connections/default/webhook").text

    assert "Padaria Aurora" in tried.text
    assert 'value="default"' in tried.text
    assert stored_names(console) == (["default"], [])
    assert console.runtime.accounts["default"].webhook_token == token
    assert webhook["url"] == f"{door.url}/webhooks/asaas"
    with console.runtime.journal.database.read() as connection:
        assert stored.public_url(connection, "") == door.url, "links of messages begin with it"
    assert webhook["email"] == "ana@example.com"
    assert webhook["events"] == ["PAYMENT_RECEIVED"]
    assert steps.count('<li class="good">') == 4
    assert "knows the token" in steps
    assert done(console) == ["account.added", "webhook.registered"]
    assert "Padaria Aurora" in listed
    assert "Padaria Aurora" in page
    for secret in (DEFAULT_KEY, DEFAULT_KEY[-8:], token):
        assert secret not in tried.text + steps + listed + page + me.get("/who").text


@pytest.mark.parametrize(
    ("key", "says"),
    [
        ("of-some-other-service", "begins with $aact_"),
        ("$aact_hmlg_ with blanks", "has no blanks"),
        ("$aact_hmlg_nobody_has_it", "Asaas does not know this key"),
        ("$aact_prod_of_elsewhere", "belongs to the other environment"),
    ],
)
def test_a_key_that_asaas_does_not_take_is_not_stored(console: Console, me: Browser, key: str, says: str) -> None:
    """The page says why and what to do, and shows no part of the key."""
    page = me.post("/connections/new-account", key=key)

    assert page.status_code == 422
    assert says in page.text
    assert "Nothing was stored." in page.text
    assert key.removeprefix("$aact_") not in page.text
    assert stored_names(console) == ([], [])


def test_a_key_that_may_do_nothing_says_so(me: Browser, asaas: AsaasSimulator) -> None:
    """Asaas knows it and refuses the request: permissions, or an address that is not allowed."""
    asaas.faults.answers(403, path="/v3/customers")

    assert "the permissions to read customers" in me.post("/connections/new-account", key=DEFAULT_KEY).text


def test_a_key_is_not_stored_while_asaas_is_away(sqlite_url: str, tmp_path: Path, environ: dict[str, str]) -> None:
    """What could not be tried is not kept."""
    with closed_port() as port:
        environ["ASAAS_API_URL"] = f"http://127.0.0.1:{port}/v3"
        with opened_console(sqlite_url, tmp_path, **environ) as console:
            page = console.operator().post("/connections/new-account", key=DEFAULT_KEY)

    assert page.status_code == 422
    assert "Asaas does not answer" in page.text
    assert stored_names(console) == ([], [])


def test_a_name_that_is_taken_and_a_key_that_is_in_use(console: Console, me: Browser, asaas: AsaasSimulator) -> None:
    """A second account gets a name from its company; neither form changes the first one."""
    connect(me)
    again = me.post("/connections/new-account", key=DEFAULT_KEY)
    asaas.company["tradingName"] = "Comércio São José Ltda."
    tried = me.post("/connections/new-account", key=OTHER_KEY, follow=True)
    taken = me.post("/connections/new-account", name="default", sealed=sealed(tried))
    wrong = me.post("/connections/new-account", name="São José", sealed=sealed(taken))
    connect(me, OTHER_KEY, name="sao_jose")

    assert again.status_code == 422
    assert "the account default has this key already" in again.text.replace("The account", "the account")
    assert 'value="comercio_sao_jose"' in tried.text
    assert (taken.status_code, wrong.status_code) == (422, 422)
    assert "there is an account named default" in taken.text.replace("There is", "there is")
    assert stored_names(console)[0] == ["default", "sao_jose"]
    assert console.runtime.accounts["default"].api_key == DEFAULT_KEY


def test_production_needs_a_confirmation_that_names_the_company(
    console: Console, me: Browser, asaas: AsaasSimulator
) -> None:
    """Without it nothing is stored or registered, neither here nor on the webhook's own page."""
    tried = me.post("/connections/new-account", key=REAL_KEY, follow=True)
    refused = me.post("/connections/new-account", name="default", url="http://127.0.0.1:9", sealed=sealed(tried))

    assert "production account of Padaria Aurora" in tried.text
    assert refused.status_code == 422
    assert stored_names(console) == ([], [])

    connect(me, REAL_KEY, production="on")
    form: dict[str, Any] = {"url": "http://127.0.0.1:9", "confirmed": "1"}
    unsure = me.post("/connections/default/webhook", **form)
    assert (unsure.status_code, asaas.book.queues) == (422, {})
    assert "production account of Padaria Aurora" in unsure.text

    sure = me.post("/connections/default/webhook", **form, production="on")
    assert (sure.status_code, len(asaas.book.queues)) == (200, 1)


def test_the_key_between_the_steps_is_of_this_bridge_and_fresh(console: Console, me: Browser) -> None:
    """What was changed, is of another place or has waited too long is not taken."""
    good = sealed(me.post("/connections/new-account", key=DEFAULT_KEY, follow=True))
    foreign = console.runtime.journal.database.keyring.encrypt("{}", "tenant_accounts.api_key")
    answers = [me.post("/connections/new-account", name="x", sealed=text) for text in ("", good[:-9], foreign)]
    console.clock.go(KEY_WAITS_MS / 1000 + 1)
    answers.append(me.post("/connections/new-account", name="x", sealed=good))

    assert [one.status_code for one in answers] == [422] * 4
    assert all("paste it again" in one.text for one in answers)
    assert stored_names(console) == ([], [])


def test_without_an_address_the_account_is_there_and_the_webhook_waits(console: Console, me: Browser) -> None:
    """A step that fails leaves the others, and each page says how to go on."""
    steps = connect(me)
    guide = me.get("/").text

    assert "Account default is stored" in steps
    assert "public address is not known yet" in steps
    assert stored_names(console)[0] == ["default"]
    assert 'href="/connections/default/webhook"' in steps
    assert 'class="button primary" href="/connections/default/webhook"' in guide


def test_an_address_that_leads_elsewhere_is_said(me: Browser) -> None:
    """The webhook is registered, and the page says that nobody answers there."""
    with closed_port() as port:
        steps = connect(me, url=f"http://127.0.0.1:{port}")

    assert "The webhook is registered" in steps
    assert "Nothing answers there" in steps


def test_another_key_is_tried_like_the_first_and_the_token_stays(
    console: Console, me: Browser, asaas: AsaasSimulator
) -> None:
    """The account keeps its name and its webhook, which goes on with all events that it has."""
    (console.runtime.settings.bridge_mappings_dir / "cobranca.yaml").unlink()
    connect(me, url="http://127.0.0.1:9")
    (queue,) = asaas.book.queues.values()
    assert {"PAYMENT_CREATED", "PAYMENT_REFUNDED"} <= set(queue.body()["events"])  # no mapping names any yet
    queue.change({"events": [*queue.body()["events"], "TRANSFER_CREATED"]})
    token = console.runtime.accounts["default"].webhook_token
    refused = me.post("/connections/default/key", key="$aact_hmlg_wrong")
    steps = connect(me, OTHER_KEY, "/connections/default/key", url="http://127.0.0.1:9")

    assert refused.status_code == 422
    assert "The new key of account default is stored" in steps
    assert console.runtime.accounts["default"].api_key == OTHER_KEY
    assert console.runtime.accounts["default"].webhook_token == token == queue.token
    assert "TRANSFER_CREATED" in queue.body()["events"]
    assert me.get("/connections/nobody/key").status_code == 404


def test_a_new_token_of_an_account_that_is_kept_here_is_seen_by_nobody(
    console: Console, me: Browser, asaas: AsaasSimulator
) -> None:
    """It goes into the journal and to Asaas."""
    connect(me, url="http://127.0.0.1:9")
    (queue,) = asaas.book.queues.values()
    before = queue.token
    shown = me.post("/connections/default/webhook", url="http://127.0.0.1:9", new_token="on", confirmed="1")

    assert "Keep this token now" not in shown.text
    assert (queue.token or "") not in shown.text
    assert queue.token == console.runtime.accounts["default"].webhook_token != before
    assert "account.token_changed" in done(console)


def test_an_account_is_removed_with_its_webhook(console: Console, me: Browser, asaas: AsaasSimulator) -> None:
    """The confirmation says how many events wait; where Asaas is away, the account stays."""
    connect(me, url="http://127.0.0.1:9")
    keep(console.runtime.journal, incoming(), incoming("cus_2"))
    asked = me.get("/connections/default/remove").text
    asaas.faults.answers(500, path="/v3/webhooks")
    stays = me.post("/connections/default/remove", webhook="on", follow=True).text
    asaas.faults.comes_back()
    removed = me.post("/connections/default/remove", webhook="on", follow=True).text

    assert "2 events of this account are not processed yet" in asked
    assert "The account stays" in stays
    assert "Account default is removed" in removed
    assert asaas.book.queues == {}
    assert stored_names(console) == ([], [])
    assert done(console)[-2:] == ["webhook.removed", "account.removed"]
    assert me.get("/connections/default/remove").status_code == 404


def test_the_page_that_removes_an_account_lists_what_uses_it(console: Console, me: Browser) -> None:
    """And leaves the webhook at Asaas alone unless that is ticked."""
    me.post("/connections/new-destination", name="default", url=URL)
    console.clock.go(60)
    connect(me, url="http://127.0.0.1:9")
    with console.runtime.journal.database.write() as connection:
        users.add(connection, "Bia", "bia@example.com", UserRole.VIEWER, ["default"], NOW_MS)
    asked = me.get("/connections/default/remove").text
    me.post("/connections/default/remove")

    assert "Bia" in asked
    assert 'href="/mappings/cobranca"' in asked
    assert re.search(r'name="webhook"[^>]*checked', asked) is None
    assert "webhook.removed" not in done(console)
    assert done(console)[-1] == "account.removed"


def test_another_key_of_a_connected_account_is_told_of_before_it_is_stored(
    console: Console, me: Browser, asaas: AsaasSimulator
) -> None:
    """Asaas gives both keys the same wallet; a key that may not read it, or of the other environment, tells nothing."""
    first = me.post("/connections/new-account", key=DEFAULT_KEY, follow=True).text
    connect(me, url="http://127.0.0.1:9")
    again = me.post("/connections/new-account", key=OTHER_KEY, follow=True).text
    own = me.post("/connections/default/key", key=OTHER_KEY, follow=True).text
    production = me.post("/connections/new-account", key=REAL_KEY, follow=True).text
    asaas.faults.answers(403, path="/v3/wallets")
    unread = me.post("/connections/new-account", key=OTHER_KEY, follow=True).text

    warning = "same account at Asaas as “default”"
    assert warning in again
    assert [warning in page for page in (first, own, production, unread)] == [False] * 4
    assert stored_names(console)[0] == ["default"]


def test_the_end_of_connecting_says_where_no_mapping_listens(console: Console, me: Browser) -> None:
    """The way to a copy is there; the first account, which the mappings serve, has no such step."""
    me.post("/connections/new-destination", name="default", url=URL)
    console.clock.go(60)
    first = connect(me, url="http://127.0.0.1:9")
    second = connect(me, OTHER_KEY, name="filial", url="http://127.0.0.1:9")

    assert "/mappings?account=" not in first
    assert 'href="/mappings?account=filial#copy"' in second


def test_what_the_environment_sets_is_changed_there(sqlite_url: str, tmp_path: Path, environ: dict[str, str]) -> None:
    """Each form names the variable and takes nothing."""
    environ |= {"ASAAS_API_KEY": DEFAULT_KEY, "CLINT_WEBHOOK_URL": URL, "ASAAS_WEBHOOK_TOKEN": "short"}
    with opened_console(sqlite_url, tmp_path, **environ) as console:
        me = console.operator()
        pages = {
            "ASAAS_API_KEY": ("/connections/default/key", "/connections/default/remove"),
            "CLINT_WEBHOOK_URL": ("/connections/destinations/default/url", "/connections/destinations/default/remove"),
        }
        for name, places in pages.items():
            for place in places:
                assert name in me.get(place).text
                assert 'type="password"' not in me.get(place).text
        refused = me.post("/connections/default/key", key=OTHER_KEY)
        unchanged = me.post("/connections/destinations/default/url", url=NEW_URL)
        listed = me.get("/connections").text

        assert (refused.status_code, unchanged.status_code) == (303, 422)
        assert me.post("/connections/default/remove").status_code == 404
        assert me.post("/connections/destinations/default/remove").status_code == 404
        assert stored_names(console) == ([], [])
        assert "Asaas refuses this token" in listed
        assert 'href="/connections/default/key"' not in listed
        assert me.get("/connections/default/company").text == "Padaria Aurora"


def test_without_an_encryption_key_no_form_asks_for_a_secret(
    sqlite_url: str, tmp_path: Path, environ: dict[str, str]
) -> None:
    """The pages say so first, with the command and the variable."""
    environ["BRIDGE_ENCRYPTION_KEY"] = ""
    with opened_console(sqlite_url, tmp_path, **environ) as console:
        me = console.operator()
        for place in ("/connections/new-account", "/connections/new-destination"):
            page = me.get(place).text
            assert "bridge db new-key" in page
            assert "BRIDGE_ENCRYPTION_KEY=" in page
            assert 'name="key"' not in page
            assert 'name="url"' not in page
        assert me.post("/connections/new-account", key=DEFAULT_KEY).status_code == 303
        assert me.post("/connections/new-destination", name="default", url=URL).status_code == 422
        assert "bridge db new-key" in me.get("/connections").text


def test_a_viewer_sees_what_is_connected_and_no_way_to_change_it(console: Console, me: Browser) -> None:
    """Neither a button nor a form that would be refused."""
    connect(me, url="http://127.0.0.1:9")
    me.post("/connections/new-destination", name="default", url=URL)
    viewer = console.browser()
    viewer.sign_in(VIEWER)
    overview, listed = viewer.get("/").text, viewer.get("/connections").text

    assert "of 4 done" in overview
    assert "/connections/new-account" not in overview + listed
    for place in ("new-account", "new-destination", "default/remove", "destinations/default/url"):
        page = viewer.get(f"/connections/{place}").text
        assert re.findall(r'<button class="button (?:primary|danger)"', page) == []
    assert viewer.post("/connections/new-account", key=OTHER_KEY).status_code == 403


# ---------------------------------------------------------------- a destination


def test_a_destination_is_added_and_nothing_is_sent(console: Console, me: Browser) -> None:
    """The next page is the test, which asks before it sends; the URL is on no page."""
    clint = ClintSimulator()
    with Served(clint.app) as served:
        url = f"{served.url}/endpoints/integration/webhook/{INTEGRATIONS['default']}"
        form = me.get("/connections/new-destination").text
        saved = me.post("/connections/new-destination", name="default", url=f" '{url}' ")
        asked = me.get(saved.location).text
        before = len(clint.receiver.history)
        sent = me.post(saved.location, body='{"email": "a@example.com"}', confirmed="on").text

    assert 'value="default"' in form
    assert saved.location == "/connections/destinations/default/test"
    assert "Nothing was sent to it yet" in asked
    assert (before, len(clint.receiver.history)) == (0, 1)
    assert "Clint accepted it" in sent
    assert stored_names(console) == ([], ["default"])
    assert url not in form + asked + sent + me.get("/connections").text + me.get("/who").text
    assert INTEGRATIONS["default"] not in me.get("/connections/destinations/default/url").text


@pytest.mark.parametrize(
    ("name", "url", "says"),
    [
        ("default", "clint", "must be a URL"),
        ("Pagas!", URL, "small letters"),
        ("default", NEW_URL, "there is a destination named default"),
    ],
)
def test_a_destination_that_can_not_be_is_refused(
    console: Console, me: Browser, name: str, url: str, says: str
) -> None:
    """Nothing is stored or changed, and the URL is not shown again."""
    if url == NEW_URL:
        me.post("/connections/new-destination", name="default", url=URL)
    page = me.post("/connections/new-destination", name=name, url=url)

    assert page.status_code == 422
    assert says in page.text.replace("There is", "there is").replace("A name", "a name")
    assert INTEGRATIONS["pagas"] not in page.text
    assert console.runtime.destinations.get("default") in {None, URL}


def test_an_origin_is_added_as_a_destination(sqlite_url: str, tmp_path: Path, environ: dict[str, str]) -> None:
    """With a token the form takes an origin too; it is shown, takes no test of a payload, and can be changed."""
    environ["CLINT_API_TOKEN"] = "token"
    with (
        closed_port() as port,
        opened_console(sqlite_url, tmp_path, CLINT_API_URL=f"http://127.0.0.1:{port}", **environ) as console,
    ):
        me = console.operator()
        form = me.get("/connections/new-destination").text
        both = me.post("/connections/new-destination", name="vendas", origin="Vendas", url=URL)
        saved = me.post("/connections/new-destination", name="vendas", origin="Vendas", follow=True).text
        test = me.get("/connections/destinations/vendas/test")
        sent = me.post("/connections/destinations/vendas/test", body="{}", confirmed="on")
        change = me.get("/connections/destinations/vendas/url").text
        me.post("/connections/destinations/vendas/url", origin="Pós-venda")
        finish_jobs(WAIT_S)

        assert 'name="origin"' in form
        assert both.status_code == 422
        assert "Vendas" in saved
        # Its test has no payload to look at first, and sends none.
        assert (test.status_code, sent.status_code) == (404, 303)
        assert 'value="Vendas"' in change
        assert console.runtime.destinations["vendas"] == "clint-origin:Pós-venda"


def test_without_a_token_the_form_asks_for_no_origin(console: Console, me: Browser) -> None:
    """One that is posted all the same is refused."""
    assert 'name="origin"' not in me.get("/connections/new-destination").text
    assert me.post("/connections/new-destination", name="vendas", origin="Vendas").status_code == 422
    assert stored_names(console) == ([], [])


def paused(console: Console) -> int:
    """Let Clint have removed the integration of a destination with two deliveries; return one."""
    register(console.runtime.journal, default=URL)
    first = owe(console.runtime.journal, destination="default", mapping="cobranca")
    owe(console.runtime.journal, customer="cus_2", destination="default", mapping="cobranca")
    why = classify(404, {}, 0).detail
    told = Message("the destination {destination} is paused: {reason}", {"destination": "default", "reason": why})
    gone = {
        "waiting": "paused",
        "reason_code": "destination.paused",
        "reason": told.to_json(),
        "due_ms": console.clock(),
    }
    put_in_state(console.runtime.journal, first, DeliveryState.RETRYING, **gone)
    actions.pause(console.runtime.journal, "default", why, console.clock())
    return first


def test_from_the_pause_straight_to_the_new_url(console: Console, me: Browser) -> None:
    """Attention, event and connections lead to its field; saving resumes, and says how many deliveries go on."""
    me.post("/connections/new-destination", name="default", url=URL)
    event = row_of(console.runtime.journal, paused(console))["event_id"]
    link = 'href="/connections/destinations/default/url#url"'
    for place in ("/attention", f"/events/{event}", "/connections"):
        assert link in me.get(place).text, place
    actions.resume(console.runtime.journal, "default", console.clock())
    me.post("/connections/destinations/default/pause")
    assert link not in me.get("/attention").text  # a person's own pause asks for no URL
    form = me.get("/connections/destinations/default/url").text
    same = me.post("/connections/destinations/default/url", url=URL)
    strange = me.post("/connections/destinations/default/url", url="http://example.com/x")
    assert console.runtime.destinations["default"] == URL
    changed = me.post("/connections/destinations/default/url", url=NEW_URL, follow=True).text

    assert "2 deliveries wait" in form
    assert "sends nothing" not in form
    assert strange.status_code == 422
    assert "2 deliveries wait, with" in strange.text
    assert same.status_code == 422
    assert "The new URL of default is saved; 2 deliveries go on." in changed
    assert "No answer lately" in changed
    assert "Takes deliveries" not in changed
    assert console.runtime.destinations["default"] == NEW_URL
    assert done(console)[-1] == "destination.changed"


def test_a_destination_is_removed(console: Console, me: Browser) -> None:
    """The confirmation names what waits and which mappings send there."""
    me.post("/connections/new-destination", name="default", url=URL)
    owe(console.runtime.journal, destination="default", mapping="cobranca")
    console.clock.go(1)
    asked = me.get("/connections/destinations/default/remove").text
    removed = me.post("/connections/destinations/default/remove", follow=True).text

    assert "1 delivery waits for another URL" in asked
    assert "cobranca" in asked
    assert "The URL of default is removed" in removed
    assert "No URL" in removed
    assert 'href="/connections/destinations/default/url#url"' in removed
    assert stored_names(console) == ([], [])
    assert me.get("/connections/destinations/default/test").status_code == 404


def test_what_another_process_stored_is_used_at_once(console: Console, me: Browser) -> None:
    """The page to which a form leads may be answered by another web process."""
    settings, journal = console.runtime.settings, console.runtime.journal
    assert len(console.runtime.destinations) == 0
    accounts.add_destination(journal, settings, Actor("operator Ana"), console.clock(), "pagas", URL)

    assert me.get("/connections/destinations/pagas/test").status_code == 200


LONG = "n" * 200


def test_a_name_that_is_too_long_is_refused_at_its_field_and_not_cut(console: Console, me: Browser) -> None:
    """The limit is said and nothing is stored; no control cuts what is typed or pasted without a word."""
    page = me.post("/connections/new-destination", name=LONG, url=URL)
    field = re.search(r'<input id="name".*?</div>', page.text, re.S)

    assert page.status_code == 422
    assert field
    assert 'id="name-fault"' in field[0]
    assert "40" in field[0]
    assert f'value="{LONG}"' in field[0]
    assert LONG not in me.get("/connections").text
    templates = Path(layout.__file__).parents[1] / "templates"
    assert [one.name for one in templates.glob("*.html") if "maxlength" in one.read_text(encoding="utf-8")] == []


def test_the_first_field_of_a_new_connection_has_the_focus(console: Console, me: Browser) -> None:
    """A person who opens the form begins to type; where the name is fixed, that is the URL."""
    me.post("/connections/new-destination", name="default", url=URL)
    places = {"new-destination": "name", "new-account": "key", "destinations/default/url": "url"}

    for path, first in places.items():
        page = me.get(f"/connections/{path}").text
        assert re.findall(r'<input id="(\w+)"[^>]*autofocus', page) == [first]


def test_where_secrets_are_is_said_once(console: Console, me: Browser) -> None:
    """However many accounts and destinations there are."""
    for name in ("default", "pagas", "vencidas"):
        me.post("/connections/new-destination", name=name, url=URL)

    assert me.get("/connections").text.count("stored here, encrypted") == 1


# ---------------------------------------------------------------- the guide


def guided(me: Browser) -> list[str]:
    """Return how the steps of the guide are shown: good, accent (the next one) or neutral; empty without a guide."""
    guide = me.get("/").text.partition("guide-foot")[0]
    return re.findall(r'<li class="(good|accent|neutral)"', guide) if "of 4 done" in guide else []


def reached(console: Console, me: Browser) -> None:
    """Connect an account whose webhook leads to this bridge."""
    with Served(console.app) as door:
        connect(me, url=door.url)


def test_an_account_counts_as_connected_once_the_bridge_is_found(
    console: Console, me: Browser, asaas: AsaasSimulator
) -> None:
    """Until then the first step says what to do and checks again; registering with another address helps too."""
    steps = connect(me, url="http://127.0.0.1:9")
    waits = (guided(me), me.get("/").text)
    again = 'action="/connections/default/reach"'
    me.post("/connections/default/reach")
    finish_jobs(WAIT_S)
    still = guided(me)
    with Served(console.app) as door:
        (queue,) = asaas.book.queues.values()
        queue.change({"url": f"{door.url}/webhooks/asaas"})
        found = me.post("/connections/default/reach")
        finish_jobs(WAIT_S)

    assert again in steps
    assert again in waits[1]
    assert waits[0] == still == ["accent", "neutral", "neutral", "neutral"]
    assert "knows the token" in me.get(found.location).text
    assert guided(me) == ["good", "accent", "neutral", "neutral"]


def test_a_destination_counts_as_connected_once_something_answered(console: Console, me: Browser) -> None:
    """A refused test leads to the change of the URL; a taken one, or a person's word, is enough until the next URL."""
    reached(console, me)
    undone, ticked = ["good", "accent", "neutral", "neutral"], ["good", "good", "good", "accent"]
    test: dict[str, Any] = {"body": '{"email": "a@example.com"}', "confirmed": "on"}
    clint = ClintSimulator()
    with Served(clint.app) as served, closed_port() as port:
        right = f"{served.url}/endpoints/integration/webhook/{INTEGRATIONS['default']}"
        me.post("/connections/new-destination", name="default", url=f"http://127.0.0.1:{port}")
        failed = me.post("/connections/destinations/default/test", **test).text
        assert guided(me) == undone
        assert "Takes deliveries" not in me.get("/connections").text
        assert 'href="/connections/destinations/default/url#url"' in failed
        assert 'href="/connections/destinations/default/test"' in me.get("/").text
        console.clock.go(1)
        me.post("/connections/destinations/default/url", url=right)
        me.post("/connections/destinations/default/test", **test)
        assert "Takes deliveries" in me.get("/connections").text
        assert guided(me)[1] == "good"
        console.clock.go(1)
        me.post("/connections/destinations/default/url", url=URL)
        assert "Takes deliveries" not in me.get("/connections").text
        me.post("/connections/destinations/default/trust")
        assert guided(me) == ticked
        assert done(console)[-1] == "destination.trusted"


@pytest.mark.parametrize(
    ("url", "says"),
    [
        ("https://clint.internal/a", "Nothing answered at that address"),
        ("http://127.0.0.1:{port}/a", "Nothing answered at that address"),
        ("{clint}/nobody", "Clint did not accept it"),
    ],
)
def test_a_test_that_nothing_answers_says_so(console: Console, me: Browser, url: str, says: str) -> None:
    """Where nothing answered, Clint refused nothing, and a code is no answer."""
    with Served(ClintSimulator().app) as served, closed_port() as port:
        where = url.format(port=port, clint=served.url)
        tested = me.post("/connections/new-destination", name="default", url=where).location
        page = me.post(tested, body='{"email": "a@example.com"}', confirmed="on").text

    assert [one for one in ("Nothing answered at that address", "Clint did not accept it") if one in page] == [says]
    assert re.findall(r"clint\.(?:dns|connection|removed)", page) == []


def test_a_new_url_to_which_nothing_goes_yet_leads_to_its_test(console: Console, me: Browser) -> None:
    """As the first one does: until something answers there the destination does not count as connected."""
    first = me.post("/connections/new-destination", name="default", url=URL)
    console.clock.go(1)
    second = me.post("/connections/destinations/default/url", url=NEW_URL)

    assert first.location == second.location == "/connections/destinations/default/test"
    assert "send a test here" in me.get(second.location).text


def test_a_url_that_is_none_of_clints_integrations_is_warned_of_first(
    sqlite_url: str, tmp_path: Path, environ: dict[str, str]
) -> None:
    """It is stored only where a person says so, once more without typing it; the page does not show it.

    A public address is none of a trial's, although private ones are allowed.
    """
    strange = f"https://app.clint.example/{INTEGRATIONS['default']}"
    environ["ASAAS_API_URL"] = ""
    with opened_console(sqlite_url, tmp_path, **environ) as console:
        me = console.operator()
        warned = me.post("/connections/new-destination", name="default", url=strange)
        kept = re.search(r'name="sealed_url" value="([^"]+)"', warned.text)
        assert kept
        assert (warned.status_code, stored_names(console)) == (422, ([], []))
        assert strange not in warned.text
        other = me.post("/connections/new-destination", name="pagas", sealed_url=kept[1])
        assert (other.status_code, stored_names(console)) == (422, ([], []))
        me.post("/connections/new-destination", name="default", sealed_url=kept[1])
        assert console.runtime.destinations["default"] == strange
        known = strange.replace("app.clint.example", "functions-api.clint.digital/endpoints/integration/webhook")
        assert me.post("/connections/new-destination", name="pagas", url=known).status_code == 303


def test_the_page_of_a_key_that_asaas_took_has_an_address(console: Console, me: Browser) -> None:
    """So that a reload or the browser's back finds it; not for others, and not once the key is stored."""
    tried = me.post("/connections/new-account", key=DEFAULT_KEY)
    page = me.get(tried.location)

    assert (tried.status_code, page.status_code) == (303, 200)
    assert DEFAULT_KEY not in tried.location + page.text
    viewer = console.browser()
    viewer.sign_in(VIEWER)
    assert viewer.get(tried.location).location == "/connections"
    me.post("/connections/new-account", name="default", sealed=sealed(page))
    finish_jobs(WAIT_S)
    assert me.get(tried.location).location == "/connections"


def test_the_guide_knows_where_you_are(console: Console, me: Browser) -> None:
    """Each step that is done is ticked, the next one has the button, and the last one ends the guide."""
    seen = [guided(me)]
    reached(console, me)
    with console.runtime.journal.database.write() as connection:
        number = jobs.begin(connection, "connect", "default", {}, "Ana", console.clock())
    assert guided(me)[0] == "accent", "not done while its work is under way"
    assert f'class="button primary" href="/work/{number}"' in me.get("/").text
    with console.runtime.journal.database.write() as connection:
        jobs.finish(connection, number, console.clock(), {"webhook": True, "door": True})
    seen.append(guided(me))
    assert 'class="button primary" href="/connections/new-destination"' in me.get("/").text
    assert 'href="/connections/clint/token"' in me.get("/").text
    (console.runtime.settings.bridge_mappings_dir / "cobranca.yaml").write_text(
        "enabled: false\ndescription: Cobrança paga\nevents: [PAYMENT_RECEIVED]\ncontact: {email: payment.id}\n"
    )
    me.post("/connections/new-destination", name="default", url=URL)
    me.post("/connections/destinations/default/trust")
    console.clock.go(1)
    seen.append(guided(me))
    assert "Switch on: Cobrança paga" in me.get("/").text
    me.post("/mappings/cobranca/switch", on="1")
    console.clock.go(1)
    seen.append(guided(me))
    assert 'href="/test-charge"' in me.get("/").text
    with console.runtime.journal.database.write() as connection:
        number = jobs.begin(connection, "trial", "default", {}, "Ana", console.clock())
        jobs.finish(connection, number, console.clock(), {"proved": True})

    assert seen == [
        ["accent", "neutral", "neutral", "neutral"],
        ["good", "accent", "neutral", "neutral"],
        ["good", "good", "accent", "neutral"],
        ["good", "good", "good", "accent"],
    ]
    assert guided(me) == []


def step_of(me: Browser, path: str) -> tuple[str, list[str]]:
    """Return which step a page says it is, and where its strip leads; empty where it has none."""
    strip = re.search(r'<nav class="guide-step.*?</nav>', me.get(path).text, re.S)
    number = re.search(r"Step (\d) of 4", strip[0]) if strip else None
    return (number[1] if number else "", re.findall(r'href="([^"]+)"', strip[0]) if strip else [])


def test_each_step_leads_back_to_the_guide_and_on_to_the_next(console: Console, me: Browser) -> None:
    """The pages of a step say which it is; where it is done, the next one is a click away."""
    shutil.copytree(starters(), console.runtime.settings.bridge_mappings_dir, dirs_exist_ok=True)
    back = "/#guide"
    new = [("/connections/new-account", "1"), ("/connections/new-destination", "2"), ("/mappings", "3")]
    for path, number in [*new, ("/mappings-new", "3"), ("/test-charge", "4"), ("/connections", "1")]:
        assert step_of(me, path) == (number, [back])
    assert step_of(me, "/events") == ("", [])
    reached(console, me)
    assert step_of(me, "/connections/default/webhook") == ("1", ["/connections/new-destination", back])
    with console.journal.database.write() as connection:
        notices.apply(
            connection, [noticed("webhook.missing", "default", NoticeLevel.ERROR, "none", "register")], console.clock()
        )
    assert step_of(me, "/connections/new-account") == ("1", [back])  # not done while Asaas has no webhook
    with console.journal.database.write() as connection:
        notices.apply(connection, [notices.Resolved("webhook.missing", "default")], console.clock())
    saved = me.post("/connections/new-destination", name="default", url=URL)
    assert step_of(me, saved.location) == ("2", [back])
    me.post("/connections/destinations/default/trust")
    console.clock.go(1)
    assert step_of(me, saved.location) == ("2", ["/test-charge", back])
    with console.journal.database.write() as connection:
        checked = jobs.begin(connection, "clint", "", {}, "Ana", console.clock())
        jobs.finish(connection, checked, console.clock(), {"checks": []})
    assert step_of(me, f"/work/{checked}")[0] == "2"
    me.post("/guide/dismiss")
    assert step_of(me, "/test-charge") == ("", [])


def test_an_empty_bridge_has_no_false_alarms(console: Console, me: Browser) -> None:
    """Mapping files that only wait for the first destination are no errors; other pages lead to the guide."""
    shutil.copytree(starters(), console.runtime.settings.bridge_mappings_dir, dirs_exist_ok=True)
    overview, attention = me.get("/").text, me.get("/attention").text

    assert "Action needed" not in overview
    assert "Nothing needs you" in attention
    for place in ("/events", "/mappings"):
        assert "See the first steps" in me.get(place).text
    for place in ("/test-charge", "/reconcile"):
        assert 'href="/connections/new-account"' in me.get(place).text
    (console.runtime.settings.bridge_mappings_dir / "errada.yaml").write_text("events: [")
    assert "errada" in me.get("/attention").text


def test_ready_mappings_are_copied_where_there_are_none(console: Console, me: Browser) -> None:
    """With samples, as `bridge mappings init` does; those that come switched on run at once."""
    directory = console.runtime.settings.bridge_mappings_dir
    shutil.rmtree(directory)
    reached(console, me)
    me.post("/connections/new-destination", name="default", url=URL)
    me.post("/connections/destinations/default/trust")
    offered = me.get("/").text
    me.post("/guide/mappings")
    console.clock.go(1)
    again = me.post("/guide/mappings", follow=True).text

    assert "Use the ready mappings" in offered
    assert (directory / "samples").is_dir()
    assert "cobranca_paga" in {item.mapping.name for item in console.runtime.mappings.current() if item.mapping.enabled}
    assert "there is a file of that name" in again
    assert guided(me) == ["good", "good", "good", "accent"]


def test_a_funnel_by_the_api_is_done_once_a_mapping_moves_its_deals(
    sqlite_url: str, tmp_path: Path, environ: dict[str, str]
) -> None:
    """The guide says what the check of the origin found, and offers the ready mapping in the place of the others."""
    clint = ClintSimulator()
    with (
        Served(clint.app) as served,
        opened_console(
            sqlite_url, tmp_path, CLINT_API_URL=served.url, CLINT_API_TOKEN=DEFAULT_TOKEN, **environ
        ) as console,
    ):
        me, directory = console.operator(), console.runtime.settings.bridge_mappings_dir
        shutil.copytree(starters(), directory, dirs_exist_ok=True)
        reached(console, me)
        new = me.post("/connections/new-destination", name="default", origin=DEFAULT_ORIGIN)
        finish_jobs(WAIT_S)
        wrong, page = me.get("/").text, me.get(new.location).text
        clint.crm.add_field("CONTACT", "cpf_cnpj")
        clint.crm.add_field("DEAL", "titulo")
        me.post("/connections/destinations/default/test")
        finish_jobs(WAIT_S)
        console.clock.go(1)
        undone = guided(me)
        offered, asked = me.get("/").text, me.get("/guide/stages").text
        done_by = me.post("/guide/stages")
        finish_jobs(WAIT_S)
        console.clock.go(1)
        on = {item.mapping.name: item.mapping for item in console.runtime.mappings.current() if item.mapping.enabled}

        again = 'action="/connections/destinations/default/test"'
        assert again in wrong
        assert again in page
        assert "cpf_cnpj" in wrong
        assert f'href="{new.location}"' in wrong
        assert undone == ["good", "good", "accent", "neutral"]
        assert 'href="/guide/stages"' in offered
        assert "Cobrança paga" in asked
        assert on.keys() == {PLACING}
        assert on[PLACING].send_to == "default"
        assert all(case.passed for case in testing.run(on[PLACING], directory))
        assert done_by.location.startswith("/work/")
        assert guided(me) == ["good", "good", "good", "accent"], me.get(done_by.location).text
        assert me.get("/guide/stages").location == "/mappings"


def test_the_guide_is_dismissed_for_good(console: Console, me: Browser) -> None:
    """Also where it was dismissed in two tabs."""
    for _ in range(2):
        me.post("/guide/dismiss")

    assert guided(me) == []
    assert "guide.dismissed" in done(console)


def test_a_bridge_that_delivers_needs_no_guide(sqlite_url: str, tmp_path: Path, environ: dict[str, str]) -> None:
    """One that was set up by its environment shows none, without any test charge."""
    environ |= {"ASAAS_API_KEY": DEFAULT_KEY, "CLINT_WEBHOOK_URL": URL}
    with opened_console(sqlite_url, tmp_path, **environ) as console:
        me = console.operator()
        before = guided(me)
        delivery = owe(console.runtime.journal, mapping="cobranca")
        put_in_state(
            console.runtime.journal, delivery, DeliveryState.DELIVERED, due_ms=None, finished_ms=console.clock()
        )

        assert before == ["good", "good", "good", "accent"]
        assert guided(me) == []


def test_the_guide_stands_back_behind_what_is_there(sqlite_url: str, tmp_path: Path, environ: dict[str, str]) -> None:
    """Below the state where something needs a person; a bridge that delivered a lot has no first start ahead."""
    environ |= {"CLINT_WEBHOOK_URL": URL}
    with opened_console(sqlite_url, tmp_path, **environ) as console:
        me, journal = console.operator(), console.runtime.journal
        page = me.get("/").text
        assert page.index('id="guide"') < page.find('id="flowing"') or 'id="flowing"' not in page
        dead = owe(journal, mapping="cobranca", customer="cus_dead")
        put_in_state(
            journal, dead, DeliveryState.DEAD, due_ms=None, finished_ms=console.clock(), reason_code="clint.http_422"
        )
        page = me.get("/").text
        assert page.index('id="flowing"') < page.index('id="guide"')
        for n in range(MOST_DELIVERED + 1):
            assert 'id="guide"' in me.get("/").text
            one = owe(journal, mapping="cobranca", customer=f"cus_{n}")
            put_in_state(journal, one, DeliveryState.DELIVERED, due_ms=None, finished_ms=console.clock())
        assert 'id="guide"' not in me.get("/").text


# ---------------------------------------------------------------- words for someone who has only the console

TWICE = """description: A mesma cobrança outra vez
events: [PAYMENT_RECEIVED, PAYMENT_REFUNDED]
contact: {email: customer.email}
send_to: filial
tests: []
"""


@pytest.mark.parametrize("language", ["pt", "en"])
def test_pages_of_a_bridge_connected_here_name_no_command_and_no_variable(
    console: Console, asaas: AsaasSimulator, tmp_path: Path, language: str
) -> None:
    """Before anything is connected, and with one account, a destination that lacks and two mappings that overlap."""
    me = console.operator(language)
    pages = [_checked(me)]
    connect(me, OTHER_KEY, name="filial")
    directory = tmp_path / "mappings"
    for name in ("uma", "outra"):
        (directory / f"{name}.yaml").write_text(TWICE)
    me.post("/connections/new-destination", name="default", url=URL, test="")
    me.post("/connections/new-destination", name="filial", url=NEW_URL, test="")
    with console.journal.database.write() as connection:
        for name in ("uma", "outra"):
            revisions.import_text(connection, name, TWICE, "file", "test", console.clock())
    console.clock.go(3)
    checked = _checked(me)
    told = _overlaps(console)
    for seen in re.findall(r'action="(/attention/causes/[\w-]+/seen)"', me.get("/attention").text):
        me.post(seen)
    left = _overlaps(console)
    me.post("/connections/destinations/filial/remove")
    asaas.faults.answers(401, path="/v3/customers")
    pages += [checked, _checked(me)]
    paths = (
        "/attention",
        "/mappings",
        "/mappings/uma/checklist",
        "/mappings/uma/switch",
        "/mappings/cobranca/checklist",
    )
    pages += [me.get(path).text for path in paths]

    assert [names(_read(page)) for page in pages] == [set()] * len(pages)
    assert (bool(told), left) == (True, [])  # they are over where a person says that they may stay
    assert checked.count("A mesma cobrança outra vez") >= 4  # the mappings that are on, and those that overlap
    assert 'href="/mappings/uma/switch"' in checked or 'href="/mappings/outra/switch"' in checked
    assert {'href="/mappings/uma"', 'href="/mappings/outra"'} <= set(re.findall(r'href="/mappings/\w+"', checked))


def _overlaps(console: Console) -> list[str]:
    """Look for problems as a worker does, and return what the notices say of mappings that send the same events."""
    console.clock.go(20)
    send_alerts(console.journal, AlertSetup.from_runtime(console.runtime), console.clock)
    with console.journal.database.read() as connection:
        return [one.about for one in notices.open_notices(connection, [OVERLAP])]


def _checked(me: Browser) -> str:
    """Return the page of the result of “Check everything”."""
    begun = me.post("/connections/check")
    finish_jobs(WAIT_S)
    page = me.get(begun.location).text
    assert 'class="checks"' in page
    return page


def _read(page: str) -> str:
    return re.sub(r"<[^>]*>", " ", re.sub(r"<(script|style)\b.*?</\1>", "", page, flags=re.DOTALL))
