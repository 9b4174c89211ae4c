"""Each kind of cause, made for real: its card, what it says, the button that fixes it, and the card gone."""

from __future__ import annotations

import contextlib
import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from redis import Redis

from bridge.journal import audit, causes, destinations, notices
from bridge.journal.audit import Actor
from bridge.journal.clock import system_clock_ms
from bridge.journal.deliveries import answer_hash
from bridge.journal.encryption import search_key
from bridge.journal.schema import destinations as destination_table
from bridge.journal.schema import events as event_table
from bridge.messages import message
from bridge.model import DeliveryState, NoticeLevel
from bridge.operations import actions
from bridge.operations.causes import find_causes, note_causes
from bridge.simulator.asaas.account import DEFAULT_KEY
from bridge.simulator.clint.account import INTEGRATIONS
from bridge.simulator.serve import Served
from bridge.worker.drain import Drainer
from tests.charges import Calendar
from tests.console import MAPPING, VIEWER, Browser, Console, finish_jobs, opened_console
from tests.factories import (
    NOW_MS,
    envelope,
    incoming,
    keep,
    noticed,
    owe,
    payment,
    put_in_state,
    register,
    revision,
    states,
)
from tests.simulated import AsaasSimulator, ClintSimulator

ASKING = """
events: [PAYMENT_OVERDUE]
contact: {email: customer.email}
"""
PAGAS = {"CLINT_WEBHOOK_URL_PAGAS": "https://clint.example/b"}
OTHER = """
events: [PAYMENT_RECEIVED]
filter: {field: payment.value, at_least: 1}
contact: {email: "'ana@example.com'"}
deal: {valor: money(payment.value)}
"""


class World:
    """A console between a simulated Asaas and a simulated Clint, with the work of a worker on demand."""

    def __init__(self, console: Console, asaas: AsaasSimulator, clint: ClintSimulator) -> None:
        self.console = console
        self.asaas = asaas
        self.clint = clint
        self.browser = console.operator()

    def arrives(self, number: int, name: str = "PAYMENT_RECEIVED", value: float = 100.5) -> None:
        """Let charges of so many customers arrive, and do what follows."""
        for _ in range(number):
            customer = self.asaas.has_customer()["id"]
            charge = payment(customer, id=f"pay_{customer}", value=value)
            body = envelope(name, payment=charge)
            keep(
                self.console.journal,
                incoming(
                    customer,
                    key=body["id"],
                    name=name,
                    object_id=charge["id"],
                    body=json.dumps(body),
                    received_ms=self.console.clock(),
                ),
            )
        self.work()

    def work(self) -> None:
        """Do what is due, as a worker would."""
        runtime = self.console.runtime
        runtime.mapping_files.import_changed()
        while lanes := runtime.journal.lanes.due(runtime.clock_ms()):
            drainer = Drainer(runtime.journal, runtime.decider, runtime.deliverer, runtime.wakeups, runtime.clock_ms, 1)
            for lane in lanes:
                drainer.start(lane)
                drainer.join()

    def page(self) -> str:
        return str(self.browser.get("/attention").text)

    def cards(self) -> list[str]:
        return articles(self.page())

    def job(self, path: str) -> str:
        """Confirm a decision, wait for its job, do what follows, and return the job's page."""
        page = self.browser.get(path).text
        begun = self.browser.post("/attention/run", hidden(page, "/attention/run"))
        assert begun.status_code == 303, begun.text
        finish_jobs()
        self.work()
        return str(self.browser.get(begun.location).text)


def articles(page: str) -> list[str]:
    return re.findall(r'<article class="card cause.*?</article>', page, re.DOTALL)


def hidden(page: str, action: str) -> dict[str, str]:
    """Return the hidden fields of the form with that action."""
    form = page.split(f'action="{action}"')[1].split("</form>")[0]
    found = dict(re.findall(r'type="hidden" name="(\w+)" value="([^"]*)"', form))
    found.pop("csrf_token", None)
    return found


def link(card: str, path: str) -> str:
    """Return the address of a card's link that begins so."""
    found = re.search(rf'href="({re.escape(path)}[^"]*)"', card)
    assert found, card
    return found[1].replace("&amp;", "&")


@pytest.fixture
def world(sqlite_url: str, tmp_path: Path, redis_url: str, redis: Redis) -> Iterator[World]:
    """Give the world; the clock goes when a test says so."""
    asaas, clint = AsaasSimulator(clock=Calendar()), ClintSimulator()
    with contextlib.ExitStack() as opened:
        opened.callback(asaas.close)
        at_asaas, at_clint = opened.enter_context(Served(asaas.app)), opened.enter_context(Served(clint.app))
        environ: dict[str, Any] = {
            "ASAAS_API_KEY": DEFAULT_KEY,
            "ASAAS_WEBHOOK_TOKEN": "5a4f0c1e-7b3d-4e8f-9a6c-b2d1f0e3c7a8",
            "ASAAS_API_URL": f"{at_asaas.url}/v3",
            "CLINT_WEBHOOK_URL": f"{at_clint.url}/endpoints/integration/webhook/{INTEGRATIONS['default']}",
            "REDIS_URL": redis_url,
            "BRIDGE_ALLOW_PRIVATE_DESTINATIONS": "1",
            "BRIDGE_RETRY_ATTEMPTS": "1",
            "BRIDGE_CIRCUIT_FAILURES": "3",
        }
        (tmp_path / "mappings").mkdir()
        (tmp_path / "mappings" / "vencida.yaml").write_text(ASKING)
        (tmp_path / "mappings" / "outra.yaml").write_text(OTHER)
        console = opened.enter_context(opened_console(sqlite_url, tmp_path, **environ))
        # With a filter of its own: mappings that nothing divides would be a cause too.
        (tmp_path / "mappings" / "cobranca.yaml").write_text(
            f"{MAPPING}filter: {{field: payment.value, at_least: 2}}\n"
        )
        console.runtime.mapping_files.import_changed()
        console.clock.now_ms = system_clock_ms()
        yield World(console, asaas, clint)
        finish_jobs()


# ---------------------------------------------------------------- each kind


def test_what_clint_refuses_is_one_card_over_mappings(world: World) -> None:
    """With how many deliveries and people, each charge's value once, Clint's answer, and the retry that delivers."""
    world.clint.answers(422)
    world.arrives(3)
    (card,) = world.cards()

    for text in ("6 deliveries", "3 customers", "R$301.50", "/mappings/cobranca", "/mappings/outra", ">422<"):
        assert text in card
    world.clint.faults.comes_back()
    done = world.job(link(card, "/attention/confirm?decision=retry"))
    assert "6 delivered" in done
    assert "failed again" not in done
    assert world.cards() == []
    assert set(states(world.console.journal)) == {"delivered"}


def test_different_answers_are_different_causes(world: World) -> None:
    """The same status with another text is another fault; another id or number in it is not."""
    for excerpt in ('{"erro": "telefone 11999 sem DDD"}', '{"erro": "telefone 11888 sem DDD"}', '{"erro": "etapa"}'):
        world.arrives(1)
        made = len(states(world.console.journal))
        for id_ in (made - 1, made):
            put_in_state(
                world.console.journal,
                id_,
                DeliveryState.DEAD,
                due_ms=None,
                reason_code="clint.http_422",
                answer=hash_of(world, excerpt),
                finished_ms=world.console.clock(),
            )

    assert sorted(re.findall(r"(\d) deliveries</li>", "".join(world.cards()))) == ["2", "4"]


def hash_of(world: World, excerpt: str) -> str:
    """Return what the journal keeps of a destination's answer."""
    with world.console.journal.database.read() as connection:
        return answer_hash(search_key(connection), 422, excerpt)


def test_a_removed_integration_pauses_its_destination_and_is_one_card(world: World) -> None:
    """What waits for it is counted there, people and reais as well; resumed, everything goes."""
    world.clint.removed(INTEGRATIONS["default"])
    world.arrives(2)
    put_in_state(
        world.console.journal,
        owe(world.console.journal, customer="cus_9", amount=1000, object_id="pay_9"),
        DeliveryState.DEAD,
        due_ms=None,
        reason_code="delivery.attempts_spent",
        finished_ms=world.console.clock(),
    )
    (card,) = world.cards()

    assert "Destination default is paused" in card
    for text in ("5 deliveries wait or failed", "3 customers", "R$211.00", "Retry 1 that failed", "/connections"):
        assert text in card
    world.clint.removed(INTEGRATIONS["default"], is_removed=False)
    world.browser.post("/attention/destinations/default/resume")
    world.work()
    (rest,) = world.cards()
    assert "1 delivery" in rest
    world.job(link(rest, "/attention/confirm?decision=discard"))
    assert world.cards() == []


def test_a_destination_without_a_url_that_deliveries_wait_for_is_one_card(world: World) -> None:
    """Never connected, or paused and removed since: the button leads to its URL, and nothing offers to resume it."""
    journal = world.console.journal
    for name in ("vendas", "antigo"):
        owe(journal, customer=f"cus_{name}", destination=name, amount=10_050, object_id=f"pay_{name}")
    with journal.database.write() as connection:
        destinations.register(connection, {"antigo": "https://clint.example/a"}, NOW_MS)
        destinations.pause(connection, "antigo", message("gone").to_json(), NOW_MS)
    world.work()
    first, second = sorted(world.cards())

    for name, card in (("antigo", first), ("vendas", second)):
        assert f"Destination {name} is not connected" in card
        for text in ("1 customer", "R$100.50", f'href="/connections/destinations/{name}/url#url"'):
            assert text in card
        assert "/resume" not in card
        assert f"Destination {name} is not connected" in world.browser.get("/").text


def test_a_destination_that_fails_for_several_is_one_card(world: World) -> None:
    """What has died of it and what waits for it; tried again, it delivers, and what died is retried."""
    world.clint.answers(500)
    world.arrives(4)
    (card,) = world.cards()

    assert "fails for several customers" in card
    assert "4 customers" in card
    for text in (">500<", "Likely cause", "What to do"):
        assert text in card
    world.clint.faults.comes_back()
    retry = link(card, "/attention/confirm?decision=retry")
    world.browser.post("/attention/destinations/default/resume")
    world.console.clock.go(60)
    assert "delivered" in world.job(retry)
    assert world.cards() == []
    assert set(states(world.console.journal)) == {"delivered"}


def test_a_key_that_asaas_refuses_holds_events(world: World) -> None:
    """One card, with the notice that says the same; it is gone when the key works."""
    world.asaas.faults.answers(401, path="/v3/customers")
    world.arrives(2, "PAYMENT_OVERDUE", value=50)
    with world.console.journal.database.write() as connection:
        said = noticed("account.key_refused", "default", NoticeLevel.ERROR, "the key is refused", "make a new one")
        notices.apply(connection, [said], world.console.clock())
    (card,) = world.cards()

    for text in ("2 events", "2 customers", "R$100.00", "/connections"):
        assert text in card
    assert causes.anchor("account.key_refused", "default") in card
    world.asaas.faults.comes_back()
    world.console.clock.go(61)
    world.work()
    left = world.cards()
    assert ["on hold" in one for one in left] == [False] * len(left)
    world.browser.post("/attention/notices/1/close")
    assert world.cards() == []


def test_a_replay_that_asaas_lets_nobody_judge_has_one_reason(world: World) -> None:
    """In words, not the request of each customer; with what to do."""
    for number in (1, 2):
        body = json.dumps(envelope("PAYMENT_OVERDUE", payment=payment(f"cus_{number}", id=f"pay_{number}")))
        event = incoming(f"cus_{number}", key=f"evt_{number}", name="PAYMENT_OVERDUE", body=body)
        (id_,) = keep(world.console.journal, event)
        with world.console.journal.database.write() as connection:
            done = event_table.update().where(event_table.c.id == id_)
            connection.execute(done.values(state="processed", processed_ms=world.console.clock()))
        made = owe(world.console.journal, event_id=id_, customer=f"cus_{number}", mapping="vencida")
        put_in_state(world.console.journal, made, DeliveryState.DEAD, due_ms=None, reason_code="clint.http_422")
    world.asaas.faults.answers(401, path="/v3/customers")
    page = world.browser.get("/attention/confirm?decision=replay&code=clint.http_422").text

    assert "2 can&#39;t be judged now" in page
    assert page.count("Give the account a valid key") == 2
    assert "GET /customers" not in page


def test_a_broken_mapping_opens_at_its_text_and_is_fixed_there(world: World) -> None:
    """The text of the file with its findings; saved without errors it is active and the card is gone."""
    file = world.console.runtime.settings.bridge_mappings_dir / "quebrada.yaml"
    file.write_text("events: [PAYMENT_RECEIVED\n")
    (card,) = world.cards()

    assert "quebrada" in card
    editor = world.browser.get(link(card, "/mappings/quebrada")).text
    assert "events: [PAYMENT_RECEIVED" in editor
    form = {**hidden(editor, "/mappings/quebrada/draft"), "text": OTHER.strip(), "do": "preview"}
    change = world.browser.post("/mappings/quebrada/draft", form, follow=True).text
    saved = world.browser.post("/mappings/quebrada", {**hidden(change, "/mappings/quebrada"), "text": OTHER.strip()})
    assert saved.status_code == 303, saved.text
    assert file.read_text() == OTHER.strip() + "\n"
    assert world.cards() == []


def test_a_notice_is_a_card_that_can_be_dismissed(world: World) -> None:
    """Its level, its words and its button."""
    with world.console.journal.database.write() as connection:
        told = noticed("webhook.interrupted", "default", NoticeLevel.ERROR, "it is interrupted", "resume it")
        notices.apply(connection, [told], world.console.clock())
    (card,) = world.cards()

    assert "cause bad" in card
    assert "/connections/default/webhook" in card
    assert causes.anchor("webhook.interrupted", "default") in card
    world.browser.post("/attention/notices/1/close")
    assert world.cards() == []


# ---------------------------------------------------------------- numbers that agree


def fails(console: Console, customer: str, code: str = "clint.http_422", destination: str = "default") -> None:
    """Add a delivery that failed, of a mapping that can run."""
    made = owe(console.journal, customer=customer, destination=destination)
    put_in_state(console.journal, made, DeliveryState.DEAD, due_ms=None, reason_code=code)
    revision(console.journal, text=MAPPING.replace("PAYMENT_RECEIVED", "PAYMENT_DELETED"))


def made_up(console: Console, kinds: str) -> None:
    """Put so much into a journal: dead deliveries of two reasons, a pause, a hold, a broken file, notices."""
    register(console.journal, default="https://clint.example/a", pagas="https://clint.example/b")
    if "d" in kinds:
        for n, (code, destination) in enumerate([("clint.http_422", "default")] * 3 + [("clint.http_400", "pagas")]):
            fails(console, f"cus_{n}", code, destination)
    if "p" in kinds:
        actions.pause(console.journal, "pagas", "gone", NOW_MS)
    if "c" in kinds:
        with console.journal.database.write() as connection:
            change = destination_table.update().where(destination_table.c.name == "default")
            connection.execute(change.values(state="open", opens=2, until_ms=NOW_MS + 60_000))
    if "h" in kinds:
        (held, behind) = keep(console.journal, incoming("cus_h"), incoming("cus_h"))
        with console.journal.database.write() as connection:
            for id_, code in ((held, "asaas.unavailable"), (behind, "event.behind")):
                change = event_table.update().where(event_table.c.id == id_)
                connection.execute(change.values(hold_code=code, due_ms=NOW_MS + 1))
    if "m" in kinds:
        (console.runtime.settings.bridge_mappings_dir / "quebrada.yaml").write_text("events: [\n")
    if "n" in kinds:
        codes = ("delivery.dead", "destination.paused", "events.held", "webhook.missing", "account.silent")
        with console.journal.database.write() as connection:
            told = [noticed(code, "default", NoticeLevel.WARNING, "d", "m") for code in codes]
            notices.apply(connection, told, NOW_MS)


@pytest.mark.parametrize(
    ("kinds", "number"), [("", 0), ("d", 2), ("p", 1), ("dp", 3), ("dc", 3), ("h", 1), ("mn", 3), ("dpchmn", 8)]
)
def test_menu_overview_and_page_count_the_same(sqlite_url: str, tmp_path: Path, kinds: str, number: int) -> None:
    """Causes, each once: not deliveries, nor the notices that say what a cause of its own says."""
    with opened_console(sqlite_url, tmp_path, **PAGAS) as console:
        made_up(console, kinds)
        browser = console.operator()
        page, overview = browser.get("/attention").text, browser.get("/").text
        badge = re.search(r'class="count"[^>]*>(\d+)<', page)

        assert len(articles(page)) == number
        assert (int(badge[1]) if badge else 0) == number
        assert len(re.findall(r'href="/attention#cause-\w+"', overview)) == min(number, 5)
        for one in re.findall(r'href="/attention#(cause-\w+)"', overview):
            assert f'id="{one}"' in page


# ---------------------------------------------------------------- states


def test_a_cause_is_seen_grows_and_is_resolved(sqlite_url: str, tmp_path: Path) -> None:
    """Who has seen it stands there until it grows tenfold; resolved, it says how long it took and who did what."""
    with opened_console(sqlite_url, tmp_path, **PAGAS) as console:
        made_up(console, "d")
        browser = console.operator()
        (first, _) = articles(browser.get("/attention").text)
        seen = re.search(r'action="(/attention/causes/cause-\w+/seen)"', first)
        assert seen

        browser.post(seen[1])
        assert "Seen by Ana" in browser.get("/attention").text
        assert "Seen by Ana" in browser.get("/").text
        browser.post(f"{seen[1].removesuffix('seen')}unseen")
        assert "Seen by Ana" not in browser.get("/attention").text
        browser.post(seen[1])
        assert "Seen by Ana" in browser.get("/attention").text
        for n in range(30):
            fails(console, f"cus_more_{n}")
        assert "Seen by Ana" not in browser.get("/attention").text

        console.clock.go(120)
        page = browser.get("/attention/confirm?decision=discard&code=clint.http_422&destination=default").text
        browser.post("/attention/run", hidden(page, "/attention/run"))
        finish_jobs()
        after = browser.get("/attention").text
        assert len(articles(after)) == 1
        resolved = after.split('class="card more-card"')[1]
        assert "33 deliveries" in resolved
        assert "Ana · Discarded many deliveries" in resolved
        console.clock.go(20)
        with console.journal.database.write() as connection:
            done = audit.newest(connection, 1)[0]
            by = Actor("administrator Eva")
            audit.note(connection, by, done["action"], done["about"], console.clock(), done["detail"])
        assert "Eva" not in browser.get("/attention").text.split('class="card more-card"')[1]
        fails(console, "cus_again")
        assert len(articles(browser.get("/attention").text)) == 2


def test_a_worker_notes_causes_without_anybody_looking(sqlite_url: str, tmp_path: Path) -> None:
    """When it began and when it was over do not depend on who looks."""
    with opened_console(sqlite_url, tmp_path, **PAGAS) as console:
        made_up(console, "p")
        note_causes(console.runtime)
        note_causes(console.runtime)
        with console.journal.database.read() as connection:
            standing = find_causes(console.runtime, connection)
            (noted,) = causes.noted(connection).values()
        console.clock.go(60)
        actions.resume(console.journal, "pagas", console.clock())
        note_causes(console.runtime)
        with console.journal.database.read() as connection:
            (resolved,) = causes.resolved(connection)

    assert [one.key for one in standing] == [noted.key]
    assert (noted.since_ms, noted.resolved_ms, resolved.resolved_ms) == (NOW_MS, None, NOW_MS + 60_000)


def test_a_viewer_fixes_nothing(sqlite_url: str, tmp_path: Path) -> None:
    """The cards without buttons; a form made by hand is refused."""
    with opened_console(sqlite_url, tmp_path, **PAGAS) as console:
        made_up(console, "dpcm")
        browser: Browser = console.browser()
        browser.sign_in(VIEWER)
        page = browser.get("/attention").text
        (first, *_) = re.findall(r'<article class="[^"]*" id="(cause-\w+)"', page)

        assert len(articles(page)) == 5
        assert "<form" not in "".join(articles(page))
        assert browser.post(f"/attention/causes/{first}/seen").status_code == 403
        assert browser.post("/attention/replay", since="2026-11-01", until="2026-11-02").status_code == 403
