"""What is wrong is noticed and told to people, by real messages to a service that stands for theirs."""

from __future__ import annotations

import email
import email.policy
import json
import socket
import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

import pytest
import structlog

from bridge.alerts.child import CLOSED, NO_NAME
from bridge.alerts.plan import HELD_MS
from bridge.alerts.send import Message, Result, check, send
from bridge.alerts.services import address_of
from bridge.journal import Journal, destinations, events, notices
from bridge.model import DeliveryState, NoticeLevel
from bridge.worker.alerts import AlertSetup, send_alerts
from tests.databases import on_both
from tests.factories import Clock, incoming, keep, noticed, opened_journal, owe, put_in_state, register
from tests.peers import Peer, Reply, closed_port


@pytest.fixture
def journal(database_url: str) -> Iterator[Journal]:
    """Give an empty journal on each database."""
    with opened_journal(database_url) as journal:
        register(journal)
        yield journal


class Mailbox:
    """Stands for the process that sends: keeps what it is given."""

    def __init__(self) -> None:
        self.messages: list[Message] = []
        self.works = True

    def __call__(self, posts: Sequence[tuple[str, Message]], *, allow_private: bool) -> list[Result]:
        """Take a message."""
        assert allow_private  # the environment's own
        self.messages += [message for _url, message in posts]
        return [Result("json", self.works, "" if self.works else "no") for _ in posts]


def telling(
    journal: Journal, clock: Clock, send: Any, silences: Mapping[str, int | None] | None = None
) -> Callable[[], bool]:
    """Return what a worker runs."""
    setup = AlertSetup(["json://x"], "en", silences=lambda _now_ms: silences or {}, send=send)
    return lambda: send_alerts(journal, setup, clock)


def open_codes(journal: Journal) -> list[str]:
    """Return what the open notices are about."""
    with journal.database.read() as connection:
        return [f"{one.code} {one.about}" for one in notices.open_notices(connection)]


def test_a_thousand_dead_deliveries_are_one_message(journal: Journal) -> None:
    """They are told once, and once more when a person has discarded them."""
    clock, box = Clock(), Mailbox()
    dead = [owe(journal, customer=f"cus_{number}") for number in range(30)]
    for delivery in dead:
        put_in_state(journal, delivery, DeliveryState.DEAD, due_ms=None, reason_code="clint.http_422")
    one = telling(journal, clock, box)
    for _ in range(10):
        one()
        clock.go(15)
    for delivery in dead:
        put_in_state(journal, delivery, DeliveryState.DISCARDED, due_ms=None)
    clock.go(600)
    for _ in range(40):
        one()
        clock.go(15)

    problem, over = box.messages
    assert "deliveries that need a person: 30 (the destination does not accept these values ×30)" in problem.body
    assert over.title == "Asaas–Clint bridge: back to normal"
    assert open_codes(journal) == []
    with journal.database.read() as connection:
        assert notices.load(connection) == {}


@on_both
def test_all_kinds_of_trouble_are_noticed(journal: Journal) -> None:
    """A paused destination, an open circuit, events that wait, a silent account: a notice each, one message for all."""
    clock, box = Clock(), Mailbox()
    register(journal, default="https://clint.example/a", vip="https://clint.example/b")
    with journal.database.write() as connection:
        destinations.pause(connection, "default", "it was removed", clock())
        before = destinations.load(connection)["vip"]
        destinations.save(
            connection, before, destinations.Destination("vip", before.url_digest, "open", 9, None, True, 3)
        )
    keep(journal, incoming(received_ms=clock() - 600_000))
    telling(journal, clock, box, {"default": 9})()

    assert open_codes(journal) == [
        "account.silent default",
        "destination.circuit_open vip",
        "destination.paused default",
        "events.behind bridge",
    ]
    assert [message.title for message in box.messages] == ["Asaas–Clint bridge: 4 problems"]


@pytest.mark.parametrize("code", ["asaas.rate_limited", "asaas.unavailable", "asaas.quota_spent", "asaas.key_missing"])
def test_events_that_wait_long_for_asaas_are_a_notice_until_they_go_on(journal: Journal, code: str) -> None:
    """Of each account with its cause; not those that came a moment ago, unless they wait for a person, nor one behind
    another of its customer."""
    clock, box = Clock(), Mailbox()
    held_for_long, just_held, behind, refused = keep(
        journal,
        incoming(received_ms=clock() - HELD_MS),
        incoming(received_ms=clock(), account="matriz"),
        incoming(received_ms=clock() - HELD_MS, account="filial"),
        incoming(received_ms=clock() - HELD_MS, account="outra"),
    )
    until_ms = clock() + 3_600_000
    with journal.database.write() as connection:
        holds = {held_for_long: code, just_held: code, behind: "event.behind", refused: "mapping.refused"}
        events.hold(connection, {id_: (until_ms, why, "later") for id_, why in holds.items()})
    one = telling(journal, clock, box)
    one()
    waits = open_codes(journal)
    with journal.database.write() as connection:
        events.mark_processed(connection, [held_for_long, just_held], clock())
    clock.go(60)
    one()

    at_once = ["events.held matriz"] if code == "asaas.key_missing" else []
    assert waits == ["events.held default", *at_once]
    assert code in box.messages[0].body
    assert open_codes(journal) == []


def test_what_others_notice_is_told_too(journal: Journal) -> None:
    """Every notice is, whoever raised it; without URLs nobody is told, and the notices are there all the same."""
    clock, box = Clock(), Mailbox()
    with journal.database.write() as connection:
        said = noticed("webhook.interrupted", "matriz", NoticeLevel.ERROR, "what", "mend")
        notices.apply(connection, [said], clock())
    put_in_state(journal, owe(journal), DeliveryState.DEAD, due_ms=None)

    assert not send_alerts(journal, AlertSetup(send=box), clock)
    clock.go(15)
    assert telling(journal, clock, box)()
    assert "Asaas interrupted the queue of events (matriz)" in box.messages[0].body
    assert open_codes(journal) == ["webhook.interrupted matriz", "delivery.dead default"]


@on_both
def test_two_sweepers_tell_once(journal: Journal) -> None:
    """One of them does each round, and what is being sent is left alone."""
    clock, box = Clock(), Mailbox()
    put_in_state(journal, owe(journal), DeliveryState.DEAD, due_ms=None)
    one, other = telling(journal, clock, box), telling(journal, clock, box)

    assert one()
    assert not other()
    clock.go(15)
    assert not other()
    assert len(box.messages) == 1


def test_what_could_not_be_sent_is_sent_later(journal: Journal) -> None:
    """The outcome is kept with the problem, and in the log without a URL."""
    clock, box = Clock(), Mailbox()
    put_in_state(journal, owe(journal), DeliveryState.DEAD, due_ms=None)
    one = telling(journal, clock, box)
    box.works = False
    with structlog.testing.capture_logs() as logs:
        one()
    with journal.database.read() as connection:
        (failed,) = notices.load(connection)[0].values()
    box.works = True
    clock.go(60)
    one()
    with journal.database.read() as connection:
        (told,) = notices.load(connection)[0].values()

    assert (failed.failures, failed.times, told.failures, told.times) == (1, 0, 0, 1)
    record = next(record for record in logs if record["event"] == "alert.not_sent")
    assert record["services"] == ["json: no"]
    assert record["problems"] == ["new delivery.dead default"]


def test_one_service_that_fails_does_not_repeat_the_others(sqlite_url: str) -> None:
    """Whoever was reached is not told again each minute because another service is down."""
    with opened_journal(sqlite_url) as journal:
        clock = Clock()
        put_in_state(journal, owe(journal), DeliveryState.DEAD, due_ms=None)
        sends: list[Message] = []

        def half(posts: Sequence[tuple[str, Message]], **_options: Any) -> list[Result]:
            sends.append(posts[0][1])
            return [Result("slack", True, ""), Result("mailto", False, "no")]

        setup = AlertSetup(["slack://x", "mailto://x"], send=half)
        for _ in range(20):
            send_alerts(journal, setup, clock)
            clock.go(15)

        assert len(sends) == 1


# ---------------------------------------------------------------- the process that sends


def test_a_message_arrives() -> None:
    """Over real HTTP, by apprise; each URL for itself."""
    with Peer() as service:
        results = send([f"json://127.0.0.1:{service.port}/x", "slack://a"], Message("título", "corpo"))
        (asked,) = service.asked

    assert results == [Result("json", True, ""), Result("slack", False, "apprise can't use the URL")]
    told = json.loads(asked.body)
    assert (told["title"], told["message"]) == ("título", "corpo")


def test_a_service_that_refuses_is_named_without_its_url() -> None:
    """A URL is a password as a whole."""
    with Peer(Reply(status=403)) as service:
        results = send([f"json://user:secret@127.0.0.1:{service.port}/x"], Message("a", "b"))

    assert results == [Result("json", False, "the service did not accept the message")]


def test_a_server_that_is_not_there_is_said() -> None:
    """A wrong port and a wrong name are what a person mistypes most."""
    with closed_port() as port:
        mail = f"mailto://a:b@example.com:{port}/?smtp=127.0.0.1&from=a@example.com&to=a@example.com"
        closed, nameless = send([mail, "json://a.invalid/x"], Message("a", "b"))

    assert closed.problem == CLOSED
    assert nameless.problem == NO_NAME


def test_a_check_sends_nothing() -> None:
    """`bridge doctor` may look as often as it likes."""
    with Peer() as service:
        results = check([f"json://127.0.0.1:{service.port}/x", "nothing://x"])

        assert [result.sent for result in results] == [True, False]
        assert service.asked == []


def test_a_process_that_hangs_is_killed() -> None:
    """A service that takes the message and never answers costs the bridge nothing but time."""
    with Peer(Reply(after_s=3)) as service:
        (result,) = send([f"json://127.0.0.1:{service.port}/x"], Message("a", "b"), timeout_s=0.01)

    assert result == Result("json", False, "it was not sent in time")


@pytest.mark.parametrize("python", ["/bin/false", "/nowhere"])
def test_a_process_that_fails_is_a_message_not_sent(python: str) -> None:
    """Whatever it is: nothing is raised."""
    assert send(["json://x"], Message("a", "b"), python=python) == [
        Result("json", False, "the process that sends ended early")
    ]


class Mail:
    """A server for outgoing mail, as small as apprise can speak to."""

    def __init__(self) -> None:
        self.said: list[str] = []
        self.data = ""

    def __call__(self, connection: socket.socket) -> None:
        """Take one message."""
        with connection.makefile("rwb") as lines:

            def answer(text: str) -> None:
                lines.write(f"{text}\r\n".encode())
                lines.flush()

            answer("220 mail.example")
            while line := lines.readline().decode().strip():
                self.said.append(line)
                word = line.split()[0].upper()
                answer({"DATA": "354 go on", "QUIT": "221 bye"}.get(word, "250 fine"))
                if word == "DATA":
                    while (part := lines.readline().decode()) != ".\r\n":
                        self.data += part
                    answer("250 taken")


def test_a_message_arrives_by_mail() -> None:
    """Over real SMTP, to each address, as plain text whose lines are kept."""
    mail = Mail()
    listener = socket.create_server(("127.0.0.1", 0))

    def serve() -> None:
        for _ in range(2):
            connection, _address = listener.accept()
            with connection:
                mail(connection)

    thread = threading.Thread(target=serve, daemon=True)
    thread.start()
    given = {"to": "ana@example.com, rui@example.com", "server": "127.0.0.1", "port": str(listener.getsockname()[1])}
    given |= {"security": "insecure", "sender": "avisos@example.com"}
    (result,) = send([address_of("email", given)], Message("título", "• um\n  https://bridge.example/x\n• dois"))
    listener.close()

    assert result == Result("mailto", True, "")
    assert {line.lower() for line in mail.said if line.upper().startswith("RCPT")} == {
        "rcpt to:<ana@example.com>",
        "rcpt to:<rui@example.com>",
    }
    found = email.message_from_string(mail.data, policy=email.policy.default)
    assert found["Subject"] == "título"
    assert found.get_content().splitlines()[:3] == ["• um", "  https://bridge.example/x", "• dois"]
