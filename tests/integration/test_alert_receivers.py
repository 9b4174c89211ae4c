"""Who is told what: each receiver by its own choice, whatever happens to the messages of the others."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from contextlib import closing
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import select

from bridge.alerts.plan import FAILING_MS, Area
from bridge.alerts.send import Message, Result, send_all
from bridge.crypto import Keyring, new_key
from bridge.journal import Database, Journal, accounts, daily, notices, receivers
from bridge.journal.schema import alerts as alert_table
from bridge.journal.schema import tenant_accounts
from bridge.mapping import Mapping, Setup, parse_mapping
from bridge.model import DeliveryState, NoticeLevel, Outcome
from bridge.runtime import Runtime
from bridge.settings import Settings
from bridge.worker.alerts import BROKEN_MS, AlertSetup, FaultCheck, send_alerts, send_summaries
from tests.databases import on_both
from tests.factories import (
    NOW_MS,
    Clock,
    delivery,
    envelope,
    incoming,
    keep,
    noticed,
    opened_journal,
    owe,
    owe_all,
    payment,
    put_in_state,
    register,
    revision,
    until,
)
from tests.peers import Peer

HOUR_S = 3_600
MORNING_MS = NOW_MS // 86_400_000 * 86_400_000 + 11 * 3_600_000
"""Eight o'clock in Brasília, on the day of NOW_MS (08:06 there)."""


@pytest.fixture
def journal(database_url: str) -> Iterator[Journal]:
    """Give an empty journal."""
    with opened_journal(database_url) as journal:
        register(journal)
        yield journal


@dataclass
class Post:
    """Stands for the process that sends: keeps what each address got."""

    got: dict[str, list[Message]] = field(default_factory=dict)
    broken: set[str] = field(default_factory=set)

    def __call__(self, posts: Sequence[tuple[str, Message]], *, allow_private: bool) -> list[Result]:
        """Take messages."""
        results = []
        for url, message in posts:
            fails = url in self.broken
            if not fails:
                self.got.setdefault(url, []).append(message)
            results.append(Result("json", not fails, "the service did not accept the message" if fails else ""))
        return results

    def titles(self, name: str) -> list[str]:
        """Return the titles of what a receiver got."""
        return [message.title for message in self.got.get(f"json://{name}", [])]

    def bodies(self, name: str) -> str:
        """Return all that a receiver got."""
        return "\n".join(message.body for message in self.got.get(f"json://{name}", []))


class World:
    """A journal with receivers, and the worker's round."""

    def __init__(self, journal: Journal, *urls: str, mappings: Sequence[Mapping] = (), public_url: str = "") -> None:
        self.journal = journal
        self.clock = Clock()
        self.post = Post()
        self.setup = AlertSetup(urls, "en", public_url, mappings=lambda: mappings, send=self.post)

    def add(self, name: str, **values: Any) -> int:
        """Add a receiver."""
        row: dict[str, Any] = {"areas": (), "accounts": (), "level": "warning", "summary_ms": None, **values}
        with self.journal.database.write() as connection:
            return receivers.put(connection, None, self.clock(), name=name, url=f"json://{name}", **row)

    def raises(self, *codes: str, about: str = "default", level: NoticeLevel = NoticeLevel.WARNING) -> None:
        """Raise notices."""
        with self.journal.database.write() as connection:
            notices.apply(connection, [noticed(code, about, level, "d", "m") for code in codes], self.clock())

    def ends(self, code: str, about: str = "default") -> None:
        """Close a notice."""
        with self.journal.database.write() as connection:
            notices.apply(connection, [notices.Resolved(code, about)], self.clock())

    def dies(self, number: int, **changes: Any) -> None:
        """Let deliveries die."""
        one = delivery(self.journal, **changes)
        owe_all(self.journal, [replace(one, replay=replay) for replay in range(number)])
        with self.journal.database.write() as connection:
            table = delivery_table()
            dead = {"state": "dead", "due_ms": None, "finished_ms": self.clock(), "reason_code": "clint.http_422"}
            connection.execute(table.update().where(table.c.state == "pending").values(**dead))

    def round(self, seconds: float = 15.0) -> None:
        """Let the worker look, and time go on."""
        send_alerts(self.journal, self.setup, self.clock)
        self.clock.go(seconds)

    def rounds(self, seconds: float, every_s: float = 15.0) -> None:
        """Let the worker look for so long."""
        until_ms = self.clock() + seconds * 1000
        while self.clock() < until_ms:
            self.round(every_s)

    def open(self) -> list[str]:
        """Return the open notices."""
        with self.journal.database.read() as connection:
            return [f"{one.code} {one.about}" for one in notices.open_notices(connection)]


def delivery_table() -> Any:
    """Return the table."""
    from bridge.journal.schema import deliveries

    return deliveries


def mapping(account: str, destination: str, name: str = "paga") -> Mapping:
    """Return a mapping of an account to a destination."""
    text = (
        f"account: {account}\nevents: [PAYMENT_RECEIVED]\nsend_to: {destination}\ncontact: {{email: customer.email}}\n"
    )
    found = parse_mapping(text, f"{name}.yaml", Setup(None, None, active=True)).mapping
    assert found is not None
    return found


@on_both
def test_each_receiver_gets_what_it_chose(journal: Journal) -> None:
    """By kind, by level and by account; a notice that concerns the whole bridge is everybody's."""
    world = World(journal, mappings=[mapping("matriz", "vip"), mapping("filial", "default")])
    world.add("all")
    world.add("asaas", areas=(Area.ASAAS,))
    world.add("stopped", level="error")
    world.add("matriz", accounts=("matriz",))
    world.raises("webhook.events", about="matriz")
    world.raises("account.key_refused", about="filial", level=NoticeLevel.ERROR)
    world.raises("task.failing", about="reconcile")
    register(journal, vip="https://clint.example/b", default="https://clint.example/a")
    with journal.database.write() as connection:
        from bridge.journal import destinations

        destinations.pause(connection, "default", "it was removed", NOW_MS)
    world.round()

    def got(name: str) -> set[str]:
        (message,) = world.post.got[f"json://{name}"]
        titles = {"lacks events": "webhook", "refuses the API key": "key", "periodic task": "task", "paused": "paused"}
        return {short for text, short in titles.items() if text in message.body}

    assert got("all") == {"webhook", "key", "task", "paused"}
    assert got("asaas") == {"webhook", "key"}
    assert got("stopped") == {"key", "paused"}
    assert got("matriz") == {"webhook", "task"}


@on_both
def test_dead_deliveries_are_counted_for_the_accounts_of_the_receiver(journal: Journal) -> None:
    """Those of another account are neither told nor counted, nor does their end end these."""
    world = World(journal)
    world.add("matriz", accounts=("matriz",))
    world.add("filial", accounts=("filial",))
    world.dies(3, account="matriz")
    world.round()
    world.dies(2, account="filial")
    world.round(600)
    world.round()

    assert "deliveries that need a person: 3 (the destination does not accept these values ×3)" in world.post.bodies(
        "matriz"
    )
    assert "deliveries that need a person: 2 (the destination does not accept these values ×2)" in world.post.bodies(
        "filial"
    )
    assert "need a person: 5" not in world.post.bodies("matriz")
    with journal.database.write() as connection:
        table = delivery_table()
        mine = table.update().where(table.c.account == "matriz")
        connection.execute(mine.values(state="discarded"))
    world.rounds(600)

    assert world.post.titles("matriz")[-1] == "Asaas–Clint bridge: back to normal"
    assert "back to normal" not in " ".join(world.post.titles("filial"))


def test_growing_tenfold_is_told_at_once(journal: Journal) -> None:
    """3, then 30, then 300; not what grows less."""
    world = World(journal)
    world.add("ana")
    for more in (3, 26, 1, 200, 70):
        world.dies(more)
        world.rounds(120)

    numbers = [line.split("person: ")[1].split(" ")[0] for line in world.post.bodies("ana").splitlines() if "×" in line]
    assert numbers == ["3", "30", "300"]
    assert world.post.bodies("ana").count("TEN TIMES AS MANY") == 2


@on_both
def test_a_receiver_that_fails_holds_up_no_other(journal: Journal) -> None:
    """It is tried again alone; that it fails is a notice, which is told to the others, until a message arrives."""
    world = World(journal, "json://environment")
    broken = world.add("broken")
    world.add("works")
    world.post.broken = {"json://broken"}
    world.raises("webhook.events")
    world.rounds(FAILING_MS / 1000 + 60)
    failing = world.open()
    with journal.database.read() as connection:
        (row,) = [one for one in receivers.load(connection) if one.id == broken]
    world.post.broken = set()
    world.rounds(900)

    assert failing == ["webhook.events default", "alerts.failing broken"]
    assert (row.failing_ms, row.sent_ms, row.problem) == (NOW_MS, None, "the service did not accept the message")
    assert world.open() == ["webhook.events default"]
    for name in ("environment", "works"):
        assert world.post.bodies(name).count("lacks events") == 1
        assert "Alerts do not arrive (broken)" in world.post.bodies(name)
    assert world.post.bodies("broken").count("lacks events") == 1
    assert "Alerts do not arrive" not in world.post.bodies("broken")


def test_what_a_receiver_wants_no_more_is_not_told_as_over(journal: Journal) -> None:
    """The problem is still there; a receiver that is gone leaves nothing behind."""
    world = World(journal)
    ana, rui = world.add("ana"), world.add("rui")
    world.raises("webhook.events")
    world.rounds(120)
    with journal.database.write() as connection:
        receivers.put(connection, ana, world.clock(), areas=(Area.CLINT,))
        receivers.remove(connection, rui)
    world.rounds(900)
    world.ends("webhook.events")
    world.rounds(900)

    assert (len(world.post.titles("ana")), len(world.post.titles("rui"))) == (1, 1)
    with journal.database.read() as connection:
        assert connection.execute(select(alert_table)).all() == []


def test_what_was_told_as_an_error_is_told_to_its_end(journal: Journal) -> None:
    """A receiver of errors hears that the error is over, although it became a warning before."""
    world = World(journal)
    world.add("ana", level="error")
    world.raises("webhook.events", level=NoticeLevel.ERROR)
    world.rounds(120)
    world.raises("webhook.events", level=NoticeLevel.WARNING)
    world.rounds(120)
    world.ends("webhook.events")
    world.rounds(900)

    assert world.post.titles("ana") == ["Asaas–Clint bridge: 1 problem", "Asaas–Clint bridge: back to normal"]


def test_a_message_links_to_what_it_speaks_of(journal: Journal) -> None:
    """Each problem to its page."""
    world = World(journal)
    with journal.database.write() as connection:
        for address in ("https://old.example", "https://bridge.example"):
            accounts.put_public_url(connection, address)  # as a person pasted it for the webhook
    world.add("ana")
    world.raises("webhook.events", about="matriz")
    world.raises("reconcile.missing")
    world.round()

    links = [line.strip() for line in world.post.bodies("ana").splitlines() if "https://" in line]
    assert links == ["https://bridge.example/reconcile", "https://bridge.example/connections/matriz/webhook"]


def test_a_mapping_with_an_error_is_told(journal: Journal) -> None:
    """Which one and in which line; nothing of what stands there."""
    world = World(journal)
    world.add("ana", areas=(Area.MAPPINGS,))
    faults: dict[str, tuple[str, int]] = {"paga": ("mapping.broken", 3)}
    world.setup = AlertSetup(language="en", faults=lambda _now_ms: faults, send=world.post)
    world.round()
    faults.clear()
    world.round()

    assert "A mapping's file has an error and is not used (paga)" in world.post.bodies("ana")
    assert "line 3" in world.post.bodies("ana")
    assert world.open() == []


# ---------------------------------------------------------------- morning summary


def delivers(
    journal: Journal, charge: str, value: float, at_ms: int, account: str = "default", mapping: str = "paga"
) -> None:
    """Let an event about a charge be delivered at that time."""
    body = envelope(payment=payment(id=charge, value=value))
    (event,) = keep(
        journal, incoming(body=json.dumps(body), object_id=charge, account=account, received_ms=at_ms, key=body["id"])
    )
    id_ = owe(journal, event_id=event, object_id=charge, account=account, mapping=mapping)
    with journal.database.write() as connection:
        from bridge.journal.schema import attempts, events

        connection.execute(events.update().where(events.c.id == event).values(state="processed", processed_ms=at_ms))
        row = {"delivery_id": id_, "number": 1, "fence": 1, "started_ms": at_ms, "finished_ms": at_ms}
        connection.execute(attempts.insert().values(**row, outcome=Outcome.DELIVERED.value))
    put_in_state(journal, id_, DeliveryState.DELIVERED, due_ms=None, finished_ms=at_ms)


@on_both
def test_the_summary_says_what_yesterday_was(journal: Journal) -> None:
    """Each charge once, only of yesterday, only of the receiver's accounts; what waits now, and what needs a person."""
    yesterday_ms = MORNING_MS - 20 * 3_600_000
    world = World(journal, public_url="https://bridge.example", mappings=[mapping("default", "default", "parada")])
    with journal.database.write() as connection:
        accounts.put_public_url(connection, "https://pasted.example")  # the variable wins
    world.clock.now_ms = MORNING_MS + 1_000
    delivers(journal, "pay_1", 100.0, yesterday_ms)
    delivers(journal, "pay_1", 100.0, yesterday_ms + 1)
    delivers(journal, "pay_2", 1000.5, yesterday_ms, account="matriz")
    delivers(journal, "pay_3", 7.0, MORNING_MS)  # today
    delivers(journal, "pay_4", 9.0, yesterday_ms - 86_400_000)
    delivers(journal, "pay_5", 9.0, MORNING_MS - 12 * 86_400_000, mapping="parada")
    keep(journal, incoming(received_ms=MORNING_MS - 2 * 3_600_000))
    world.raises("webhook.events")
    world.add("all", summary_ms=MORNING_MS)
    world.add("matriz", summary_ms=MORNING_MS, accounts=("matriz",))
    world.add("none")
    send_summaries(journal, world.setup, world.clock)

    body = world.post.bodies("all")
    assert world.post.titles("all") == ["Asaas–Clint bridge: summary of 2026-11-17"]
    assert "• 3 received" in body
    assert "• 3 delivered: R$1,100.50 in 2 charges" in body
    assert "• 1 waiting now, the oldest came 2 hours ago" in body
    assert "https://bridge.example/connections/default/webhook" in body
    assert "DELIVERED NOTHING FOR A WEEK\n• parada" in body
    assert "• 1 delivered: R$1,000.50 in 1 charge" in world.post.bodies("matriz")
    assert "parada" not in world.post.bodies("matriz")
    assert world.post.titles("none") == []


@on_both
def test_the_summary_comes_once_a_day(journal: Journal) -> None:
    """With two workers and after restarts; one that does not arrive comes later."""
    world = World(journal)
    world.clock.now_ms = MORNING_MS - 60_000
    world.add("ana", summary_ms=MORNING_MS)
    world.add("broken", summary_ms=MORNING_MS)
    world.post.broken = {"json://broken"}
    for _ in range(2 * 24 * 4):
        send_summaries(journal, world.setup, world.clock)
        send_summaries(journal, world.setup, world.clock)
        world.clock.go(900)
        if world.clock() > MORNING_MS + 3_600_000:
            world.post.broken = set()

    assert len(world.post.titles("ana")) == 2
    assert len(world.post.titles("broken")) == 2


def test_a_clock_that_was_ahead_delays_no_summary(journal: Journal) -> None:
    """A time later than tomorrow was set by a wrong clock."""
    world = World(journal)
    world.add("ana", summary_ms=MORNING_MS + 365 * 86_400_000)
    send_summaries(journal, world.setup, world.clock)

    assert len(world.post.titles("ana")) == 1


def test_long_days_are_read_in_pages(journal: Journal) -> None:
    """Until the first attempt of the day before."""
    for number in range(7):
        delivers(journal, f"pay_{number}", 1.0, MORNING_MS - 20 * 3_600_000 - (number < 2) * 86_400_000)
    page = daily.PAGE
    start_ms = daily.day_before(MORNING_MS)
    found, before_id = [], None
    try:
        daily.PAGE = 2
        for _ in range(10):
            with journal.database.read() as connection:
                charges, before_id = daily.delivered_page(connection, start_ms, start_ms + 86_400_000, before_id)
            found += [charge for _account, charge, _value in charges]
            if before_id is None:
                break
    finally:
        daily.PAGE = page

    assert sorted(found) == [f"pay_{number}" for number in range(2, 7)]


def test_nothing_of_a_customer_is_sent(journal: Journal) -> None:
    """Neither in alerts nor in summaries."""
    world = World(journal)
    world.add("ana", summary_ms=MORNING_MS)
    world.clock.now_ms = MORNING_MS + 1_000
    body = envelope(payment=payment("cus_secret", description="Ana Souza ana@example.com", id="pay_secret"))
    keep(journal, incoming("cus_secret", body=json.dumps(body), received_ms=MORNING_MS - 20 * 3_600_000))
    world.dies(1, customer="cus_secret", reason="refused ana@example.com", object_id="pay_secret")
    world.round()
    send_summaries(journal, world.setup, world.clock)

    told = world.post.bodies("ana")
    assert told.count("Deliveries that need a person") == 2
    assert [word for word in ("Souza", "ana@example.com", "cus_secret", "pay_secret") if word in told] == []


# ---------------------------------------------------------------- on the wire


def test_one_that_hangs_takes_no_other_with_it(tmp_path: Path) -> None:
    """The answers that the process gave before it was killed count."""
    script = tmp_path / "process"
    script.write_text(
        """#!/bin/sh
echo '{"number": 1, "service": "json", "sent": true, "problem": ""}'
printf '{"number": 0, "ser'
exec sleep 60
"""
    )
    script.chmod(0o700)
    posts = [(f"json://{name}", Message("a", "b")) for name in ("hangs", "works")]
    results = send_all(posts, timeout_s=1.0, python=str(script))

    assert [(one.sent, one.problem) for one in results] == [(False, "it was not sent in time"), (True, "")]


def test_a_receiver_of_the_journal_leads_to_public_addresses_only() -> None:
    """No service behind the door is reached by way of an alert; the environment's addresses are the operator's own."""
    with Peer() as inside:
        posts = [(f"json://{host}:{inside.port}/x", Message("a", "b")) for host in ("127.0.0.1", "localhost")]
        results = send_all(posts, allow_private=False)

        assert [result.sent for result in results] == [False, False]
        assert {result.problem[:44] for result in results} == {"the address leads to this machine or network"}
        assert inside.asked == []


def test_the_address_is_sealed(sqlite_url: str) -> None:
    """In the bytes of the journal nobody reads it."""
    with opened_journal(sqlite_url):
        pass
    with closing(Database(sqlite_url, keyring=Keyring.from_text(new_key()))) as database:
        with database.write() as connection:
            row: dict[str, Any] = {"areas": (), "accounts": (), "level": "warning", "summary_ms": None}
            receivers.put(connection, None, NOW_MS, name="ana", url="tgram://123:hidden/1", **row)
            accounts.put(connection, tenant_accounts, "matriz", NOW_MS, api_key="", webhook_token="")
        with database.read() as connection:
            (found,) = receivers.load(connection)
            raw = connection.exec_driver_sql("SELECT url FROM alert_receivers").scalar_one()

    assert found.url == "tgram://123:hidden/1"
    assert raw.startswith("sealed:")
    assert "hidden" not in repr(found)


# ---------------------------------------------------------------- mappings that can't run


def test_a_file_that_is_being_saved_is_no_fault(sqlite_url: str, tmp_path: Path) -> None:
    """Only one that has had an error for a minute; a mapping that this version refuses is one at once."""
    mappings = tmp_path / "mappings"
    mappings.mkdir()
    (mappings / "paga.yaml").write_text("events: [PAYMENT_RECEIVED\n")
    environ = {"DATABASE_URL": sqlite_url, "BRIDGE_DATA_DIR": str(tmp_path), "BRIDGE_MAPPINGS_DIR": str(mappings)}
    environ["CLINT_WEBHOOK_URL"] = "https://clint.example/a"
    with opened_journal(sqlite_url) as journal, closing(Runtime(Settings.from_env(environ))) as runtime:
        check = FaultCheck(runtime)
        at_once, later = check(NOW_MS), check(NOW_MS + BROKEN_MS)
        (mappings / "paga.yaml").write_text("events: [PAYMENT_RECEIVED]\ncontact: {email: customer.email}\n")
        fixed = check(NOW_MS + 2 * BROKEN_MS)
        revision(journal, "antiga", "events: 1")
        until(lambda: check(NOW_MS + 3 * BROKEN_MS))

        assert (at_once, set(later), fixed) == ({}, {"paga"}, {})
        assert later["paga"][0] == "mapping.broken"
        assert check(NOW_MS + 3 * BROKEN_MS) == {"antiga": ("mapping.refused", 0)}
