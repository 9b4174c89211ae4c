"""The sending half of a drain: a real journal, real HTTP to a destination that answers as it is told."""

from __future__ import annotations

import json
import threading
import time
from collections import Counter
from collections.abc import Collection, Iterator
from contextlib import ExitStack, closing, contextmanager
from typing import Any

import pytest
from sqlalchemy import Connection
from structlog.testing import capture_logs

from bridge.clint.webhook import ClintClient
from bridge.errors import JournalError
from bridge.journal import Database, Journal, Lease, destinations
from bridge.journal.destinations import Destination
from bridge.messages import read_message
from bridge.model import DeliveryState, idempotency_key, lane_of, trace_id, traceparent
from bridge.operations import actions
from bridge.pipeline.deliver import UNSET_LOOK_MS, Deliverer, DeliveryRules
from bridge.pipeline.policy import PAUSE_LOOK_MS, CircuitLimits, RetryPolicy
from tests.databases import on_both
from tests.factories import (
    LEASE_S,
    NOW_MS,
    Clock,
    LeaseLost,
    acquire,
    opened_journal,
    owe,
    owed,
    put_in_state,
    register,
    row_of,
    rows_of,
    states,
    tries_of,
    until,
)
from tests.peers import Asked, Peer, Reply, clint_client, closed_port
from tests.services import PostgresServer

LONGEST_MS = 3_000
FOREVER_MS = NOW_MS + 10**9


def rules(attempts: int = 3, failures: int = 3, in_flight: int = 8) -> DeliveryRules:
    """Return rules whose times a test reads off: no wait is drawn, half of each ceiling counts."""
    return DeliveryRules(
        RetryPolicy(base_s=10, cap_s=60, attempts=attempts),
        CircuitLimits(failures=failures, wait_s=20, probe_s=4),
        in_flight=in_flight,
        longest_send_ms=LONGEST_MS,
    )


class World:
    """One journal, one clock, and outboxes that send from it."""

    def __init__(self, journal: Journal) -> None:
        self.journal = journal
        self.clock = Clock()
        self._opened = ExitStack()
        self.client = self.patient(2)
        self.stopping = threading.Event()
        self.urls: dict[str, str] = {}

    def patient(self, deadline_s: float) -> ClintClient:
        """Return a client that waits that long for an answer."""
        return self._opened.enter_context(clint_client(deadline_s=deadline_s))

    def close(self) -> None:
        """Close every client."""
        self._opened.close()

    def sends_to(self, **urls: str) -> None:
        """Make these destinations known."""
        self.urls |= urls
        register(self.journal, **urls)

    def outbox(
        self, with_rules: DeliveryRules | None = None, client: Any = None, accounts: Collection[str] = ()
    ) -> Deliverer:
        """Return an outbox with these rules."""
        return Deliverer(
            self.journal,
            client or self.client,
            self.urls,
            with_rules or rules(),
            self.clock,
            lambda: 0.5,
            accounts=accounts,
        )

    def lease(self, customer: str = "cus_1", owner: str = "worker") -> Lease:
        """Lease that customer's lane."""
        lease = acquire(self.journal.lanes, self.lane(customer), owner, self.clock())
        assert lease is not None
        return lease

    def lane(self, customer: str) -> int:
        """Return a customer's lane."""
        return lane_of("default", customer, self.journal.lane_count)

    def run(self, with_rules: DeliveryRules | None = None, customer: str = "cus_1", until_ms: int = FOREVER_MS) -> bool:
        """Send what is due in that customer's lane."""
        lease = self.lease(customer)
        try:
            return self.drain(self.outbox(with_rules), lease, until_ms)
        finally:
            self.journal.lanes.release_all([lease])

    def drain(self, outbox: Deliverer, lease: Lease, until_ms: int = FOREVER_MS) -> bool:
        """Take turns until nothing is left to send; return whether anything was sent or settled."""
        moved = False
        while True:
            ends = self.stopping.is_set() or self.clock() >= until_ms
            turn = outbox.turn([lease], [] if ends else [lease], self.stopping.is_set)
            if turn.lost:
                raise LeaseLost
            moved = moved or turn.moved
            if outbox.in_flight:
                outbox.wait(2)
            elif not turn.more:
                return moved

    def customers(self, number: int) -> list[str]:
        """Return customers of one lane."""
        names = (f"cus_{n}" for n in range(1, 10_000))
        return [name for name in names if self.lane(name) == self.lane("cus_1")][:number]

    def destination(self, name: str = "default") -> Destination:
        """Return what is known of a destination."""
        with self.journal.database.read() as connection:
            return destinations.load(connection)[name]


@contextmanager
def made_world(url: str) -> Iterator[World]:
    """Give an empty world on that database."""
    with opened_journal(url) as journal, closing(World(journal)) as world:
        yield world


@pytest.fixture
def world(database_url: str) -> Iterator[World]:
    """Give an empty world on each database."""
    with made_world(database_url) as world:
        yield world


def customer_of(asked: Asked) -> str:
    """Return whose delivery a request is; these tests put it into the payload."""
    return str(json.loads(asked.body)["customer"])


def due(world: World, customer: str = "cus_1", **changes: Any) -> int:
    """Owe that customer a delivery that says whose it is."""
    payload = json.dumps({"customer": customer, "email": "ana@example.com"})
    return owe(world.journal, customer=customer, **{"payload": payload, **changes})


# ---------------------------------------------------------------- what is sent, and what is written down


@on_both
def test_a_delivery_is_posted_once_and_recorded(world: World) -> None:
    """The payload with the delivery's own Idempotency-Key; attempt and state say what came back."""
    with Peer(Reply(200, b'{"ok": true}')) as peer:
        world.sends_to(default=peer.url)
        delivery_id = due(world)
        assert world.run()
        assert not world.run()

        (asked,) = peer.asked
    chosen = owed(world.journal, delivery_id)
    assert json.loads(asked.body) == json.loads(chosen.payload)
    assert asked.headers["Idempotency-Key"] == idempotency_key("default", chosen.event_key, "paga", 0)
    assert asked.headers["traceparent"] == traceparent(trace_id("default", chosen.event_key), chosen.id, 1)
    row, (attempt,) = row_of(world.journal, delivery_id), tries_of(world.journal)
    assert (row["state"], row["attempts"], row["finished_ms"], row["due_ms"]) == ("delivered", 1, world.clock(), None)
    assert (attempt["outcome"], attempt["status"], attempt["code"]) == ("delivered", 200, "clint.ok")
    assert attempt["excerpt"] == '{"ok": true}'
    assert attempt["finished_ms"] is not None


@on_both
def test_the_intent_is_committed_before_the_send(world: World) -> None:
    """Another connection reads the attempt and the state sending in the moment in which the client gets the request."""
    seen: list[tuple[list[str], list[Any]]] = []

    class Looking:
        def send_later(self, *arguments: Any, **more: Any) -> None:
            seen.append((states(world.journal), [attempt["outcome"] for attempt in tries_of(world.journal)]))
            world.client.send_later(*arguments, **more)

    with Peer() as peer:
        world.sends_to(default=peer.url)
        due(world)
        world.drain(world.outbox(client=Looking()), world.lease())

    assert seen == [(["sending"], [None])]


@on_both
def test_a_line_is_sent_one_by_one_in_order(world: World) -> None:
    """Each waits for the answer to the one before; the whole line goes in one run."""
    with Peer(Reply(after_s=0.02)) as peer:
        world.sends_to(default=peer.url)
        for number in range(5):
            due(world, payload=json.dumps({"customer": "cus_1", "number": number}))
        world.run()

        assert [json.loads(asked.body)["number"] for asked in peer.asked] == [0, 1, 2, 3, 4]
        assert peer.most_at_once == 1


@on_both
def test_lines_are_sent_side_by_side_up_to_the_bound(world: World) -> None:
    """Many customers at once, never more than allowed, never two of one customer and line."""
    at_once: Counter[str] = Counter()
    lock = threading.Lock()
    most: list[int] = []
    all_out = threading.Event()

    def respond(asked: Asked) -> Reply:
        customer = customer_of(asked)
        with lock:
            at_once[customer] += 1
            most.append(at_once[customer])
            if at_once.total() == 4:
                all_out.set()
        all_out.wait(10)
        time.sleep(0.03)
        with lock:
            at_once[customer] -= 1
        return Reply()

    with Peer(respond=respond) as peer:
        world.sends_to(default=peer.url)
        for customer in world.customers(10) * 3:
            due(world, customer)
        world.run(rules(in_flight=4))

        assert set(states(world.journal)) == {"delivered"}
        assert peer.most_at_once == 4
        assert set(most) == {1}


def test_two_lines_of_a_customer_do_not_wait_for_each_other(world: World) -> None:
    """A second destination in a line of its own goes on while the first is being retried."""
    with Peer(Reply(503)) as slow, Peer() as fine:
        world.sends_to(default=slow.url, erp=fine.url)
        due(world)
        due(world, destination="erp", line="erp")
        world.run()

    assert states(world.journal) == ["retrying", "delivered"]


# ---------------------------------------------------------------- answers


@pytest.mark.parametrize("status", [408, 425, 429, 500, 502, 503])
def test_a_failure_is_tried_again_at_its_time(world: World, status: int) -> None:
    """Not before the due time of the backoff; the line waits behind it."""
    with Peer(Reply(status), Reply(200)) as peer:
        world.sends_to(default=peer.url)
        first, second = due(world), due(world)
        world.run()

        row = row_of(world.journal, first)
        assert (row["state"], row["waiting"], row["due_ms"]) == ("retrying", "backoff", world.clock() + 5_000)
        assert row["reason_code"] == f"clint.http_{status}"
        assert row_of(world.journal, second)["due_ms"] is None
        world.clock.go(4.999)
        assert not world.run()
        world.clock.go(0.001)
        assert world.run()
        assert states(world.journal) == ["delivered", "delivered"]
        keys = [asked.headers["Idempotency-Key"] for asked in peer.asked]
        assert keys[0] == keys[1] != keys[2]
    assert [attempt["outcome"] for attempt in tries_of(world.journal, first)] == ["retry", "delivered"]


def test_retry_after_is_honoured(world: World) -> None:
    """The destination's own word counts where it is longer than the backoff, up to the cap."""
    with Peer(Reply(429, headers={"Retry-After": "42"}), Reply(503, headers={"Retry-After": "86400"})) as peer:
        world.sends_to(default=peer.url)
        due(world)
        world.run()
        assert rows_of(world.journal)[0]["due_ms"] == world.clock() + 42_000
        world.clock.go(42)
        world.run()
        assert rows_of(world.journal)[0]["due_ms"] == world.clock() + 60_000


def test_a_destination_that_does_not_answer_is_tried_again(world: World) -> None:
    """Timeout and refused connection alike."""
    with Peer(Reply(after_s=4)) as silent, closed_port() as port:
        world.sends_to(default=silent.url, erp=f"http://127.0.0.1:{port}")
        due(world)
        due(world, destination="erp", line="erp")
        world.run()

    assert [row["reason_code"] for row in rows_of(world.journal)] == ["clint.timeout", "clint.connection"]
    assert states(world.journal) == ["retrying", "retrying"]


@pytest.mark.parametrize("status", [301, 400, 401, 403, 422])
def test_a_refusal_is_dead_at_once_and_frees_the_line(world: World, status: int) -> None:
    """The payload will never be taken: the reason is kept and the next delivery goes."""
    with Peer(Reply(status, b"no"), Reply()) as peer:
        world.sends_to(default=peer.url)
        first, second = due(world), due(world)
        world.run()

    row = row_of(world.journal, first)
    assert row["state"] == "dead"
    assert str(status) in row["reason"]
    assert row_of(world.journal, second)["state"] == "delivered"


def test_the_last_try_makes_it_dead(world: World) -> None:
    """As many tries as the policy says, then the line goes on."""
    with Peer(*[Reply(500)] * 3, Reply()) as peer:
        world.sends_to(default=peer.url)
        first = due(world)
        due(world)
        for _ in range(3):
            world.run()
            world.clock.go(60)
        assert len(peer.asked) == 4

    row = row_of(world.journal, first)
    assert (row["state"], row["reason_code"], row["attempts"]) == ("dead", "delivery.attempts_spent", 3)
    assert states(world.journal) == ["dead", "delivered"]


def test_a_retried_dead_delivery_is_really_sent(world: World) -> None:
    """A person's retry after all tries were spent gets as many tries again."""
    with Peer(*[Reply(500)] * 4, Reply()) as peer:
        world.sends_to(default=peer.url)
        delivery_id = due(world)
        for _ in range(3):
            world.run()
            world.clock.go(60)
        actions.retry(world.journal, delivery_id, world.clock())
        world.run()
        assert row_of(world.journal, delivery_id)["state"] == "retrying"
        world.clock.go(60)
        world.run()

        assert row_of(world.journal, delivery_id)["state"] == "delivered"
        assert len(peer.asked) == 5


def test_a_delivery_whose_last_try_is_unknown_is_dead(world: World) -> None:
    """A worker that dies at each try must not be fed with the same delivery for ever."""
    with Peer() as peer:
        world.sends_to(default=peer.url)
        delivery_id = due(world)
        put_in_state(world.journal, delivery_id, DeliveryState.RETRYING, attempts=3)
        world.run()

        assert peer.asked == []
    row = row_of(world.journal, delivery_id)
    assert (row["state"], str(read_message(row["reason"]))) == ("dead", "the outcome of try 3, the last, is unknown")


def test_a_fault_of_the_client_does_not_cost_the_others_their_answers(world: World) -> None:
    """One delivery that our own code fails on is retried; what was on its way beside it is recorded."""
    one, two = world.customers(2)

    class Client:
        def send_later(self, url: str, payload: str, *arguments: Any, **more: Any) -> None:
            if json.loads(payload)["customer"] == one:
                raise RuntimeError("a fault")
            world.client.send_later(url, payload, *arguments, **more)

    with Peer(Reply(after_s=0.1)) as peer:
        world.sends_to(default=peer.url)
        due(world, one)
        due(world, two)
        lease = world.lease()
        world.drain(world.outbox(client=Client()), lease)

    assert [(row["state"], row["reason_code"]) for row in rows_of(world.journal)] == [
        ("retrying", "bridge.fault"),
        ("delivered", None),
    ]


def test_a_fault_between_claim_and_send_leaves_no_slot_taken(world: World) -> None:
    """A URL that is gone once the intent is committed: the try failed, the place is free, and the next try is sent."""

    class Vanishing(dict[str, str]):
        looks = 0

        def __getitem__(self, name: str) -> str:
            self.looks += 1
            if self.looks == 1:
                raise KeyError(name)
            return super().__getitem__(name)

    with Peer() as peer:
        world.sends_to(default=peer.url)
        world.urls = Vanishing(world.urls)
        delivery_id = due(world)
        outbox, lease = world.outbox(), world.lease()
        world.drain(outbox, lease)
        assert (outbox.in_flight, outbox.room) == (0, rules().in_flight)
        world.clock.go(60)
        world.drain(outbox, lease)
        assert len(peer.asked) == 1

    assert [attempt["code"] for attempt in tries_of(world.journal, delivery_id)] == ["bridge.fault", "clint.ok"]


# ---------------------------------------------------------------- stale


@on_both
def test_an_older_event_of_the_charge_is_not_sent(world: World) -> None:
    """Something newer of the same charge was delivered in the line: stale, with the reason, and the line goes on."""
    with Peer() as peer:
        world.sends_to(default=peer.url)
        due(world, order_at="2026-11-22 10:00:02")
        old = due(world, order_at="2026-11-22 10:00:01")
        due(world, order_at="2026-11-22 10:00:03")
        world.run()

        assert len(peer.asked) == 2
    row = row_of(world.journal, old)
    assert (row["state"], row["reason_code"], row["attempts"]) == ("stale", "delivery.stale", 0)
    assert str(read_message(row["reason"])) == "an event of 2026-11-22 10:00:02 was already delivered for this charge"
    assert states(world.journal) == ["delivered", "stale", "delivered"]


@pytest.mark.parametrize(
    ("first", "second", "state"),
    [
        # Within one second the order of Asaas's documented flows tells.
        ({"order_rank": 5}, {"order_rank": 3}, "stale"),
        ({"order_rank": 3}, {"order_rank": 5}, "delivered"),
        ({"order_rank": 3}, {"order_rank": 3}, "delivered"),
        # An event that is in no flow is never stale in a tie.
        ({"order_rank": 5}, {"order_rank": 0}, "delivered"),
        # The rank says nothing where the seconds differ.
        ({"order_rank": 5}, {"order_rank": 3, "order_at": "2026-11-22 10:00:01"}, "delivered"),
        ({"order_rank": 0}, {"order_rank": 5, "order_at": "2026-11-22 09:59:59"}, "stale"),
        # Another charge, another line, no charge at all, no time, or a mapping that says `stale: send`.
        ({}, {"order_at": "2026-11-22 09:00:00", "object_id": "pay_2"}, "delivered"),
        ({}, {"order_at": "2026-11-22 09:00:00", "line": "erp"}, "delivered"),
        ({"object_id": ""}, {"order_at": "2026-11-22 09:00:00", "object_id": ""}, "delivered"),
        ({}, {"order_at": ""}, "delivered"),
        ({}, {"order_at": "2026-11-22 09:00:00", "skip_stale": False}, "delivered"),
    ],
)
def test_the_stale_rule(world: World, first: dict[str, Any], second: dict[str, Any], state: str) -> None:
    """What counts as older: the time in seconds, then the rank in the flow, of one charge in one line."""
    with Peer() as peer:
        world.sends_to(default=peer.url)
        due(world, **first)
        world.run()
        late = due(world, **second)
        world.run()

    assert row_of(world.journal, late)["state"] == state


def test_another_accounts_charge_of_the_same_id_makes_nothing_stale(world: World) -> None:
    """Ids are an account's own."""
    account = next(
        f"a{n}" for n in range(500) if lane_of(f"a{n}", "cus_1", world.journal.lane_count) == world.lane("cus_1")
    )
    with Peer() as peer:
        world.sends_to(default=peer.url)
        due(world)
        world.run()
        due(world, account=account, order_at="2026-11-22 09:00:00")
        world.run()

    assert states(world.journal) == ["delivered", "delivered"]


def test_only_what_was_delivered_makes_something_stale(world: World) -> None:
    """A newer event that died, or was filtered, says nothing about what stands in Clint."""
    with Peer(Reply(400), Reply()) as peer:
        world.sends_to(default=peer.url)
        due(world, order_at="2026-11-22 10:00:02")
        due(world, order_at="2026-11-22 10:00:03", state=DeliveryState.FILTERED, payload=None)
        due(world, order_at="2026-11-22 10:00:01")
        world.run()

    assert states(world.journal) == ["dead", "filtered", "delivered"]


@on_both
def test_a_long_row_of_stale_deliveries_is_worked_off_in_portions(world: World) -> None:
    """Each transaction settles some and lets others write; one run settles them all."""
    with Peer() as peer:
        world.sends_to(default=peer.url)
        due(world, order_at="2026-11-22 10:00:02")
        for _ in range(20):
            due(world)
        world.run(rules(in_flight=1))

    assert states(world.journal) == ["delivered"] + ["stale"] * 20


# ---------------------------------------------------------------- destinations


@on_both
def test_a_removed_integration_pauses_its_destination(world: World) -> None:
    """Nothing is dead; what was not tried is not tried; a resume sends it all, in order."""
    one, two = world.customers(2)
    with Peer(Reply(404), Reply()) as peer:
        world.sends_to(default=peer.url)
        due(world, one)
        due(world, one)
        world.run()
        due(world, two)
        assert not world.run()
        assert len(peer.asked) == 1

        rows = rows_of(world.journal)
        assert [(row["state"], row["waiting"], row["attempts"]) for row in rows] == [
            ("retrying", "paused", 1),
            ("pending", None, 0),
            ("pending", "paused", 0),
        ]
        assert (rows[0]["due_ms"], rows[2]["due_ms"]) == (world.clock() + PAUSE_LOOK_MS,) * 2
        assert str(read_message(rows[2]["reason"])).startswith(
            "the destination default is paused: the destination answered 404"
        )
        assert world.destination().paused_ms == world.clock()

        assert actions.resume(world.journal, "default", world.clock()) == (2, False)
        world.run()
        assert states(world.journal) == ["delivered"] * 3
        assert [customer_of(asked) for asked in peer.asked].count(one) == 3


def test_a_gone_integration_at_the_last_try_waits_too(world: World) -> None:
    """410 at the last try is the integration's fault, not the payload's: after the resume there are tries again."""
    with Peer(Reply(500), Reply(500), Reply(410), Reply(500), Reply()) as peer:
        world.sends_to(default=peer.url)
        due(world)
        for _ in range(3):
            world.run()
            world.clock.go(60)
        assert states(world.journal) == ["retrying"]
        actions.resume(world.journal, "default", world.clock())
        for _ in range(2):
            world.run()
            world.clock.go(60)
        assert states(world.journal) == ["delivered"]
        assert len(peer.asked) == 5


def test_a_destination_that_is_not_set_waits(world: World) -> None:
    """Neither the environment nor the journal knows it: its deliveries wait a minute at a time, others go on."""
    one, two, three = world.customers(3)
    with Peer() as peer:
        world.sends_to(default=peer.url, old=peer.url)
        del world.urls["old"]
        due(world, one, destination="never")
        due(world, two, destination="old")
        due(world, three)
        world.run()

        rows = rows_of(world.journal)
        assert [row["state"] for row in rows] == ["pending", "pending", "delivered"]
        assert [(row["reason_code"], row["due_ms"]) for row in rows[:2]] == [
            ("destination.not_set", world.clock() + UNSET_LOOK_MS)
        ] * 2
        world.sends_to(never=peer.url, old=peer.url)
        world.clock.go(60)
        world.run()
        assert states(world.journal) == ["delivered"] * 3


@on_both
def test_failures_of_several_customers_open_the_circuit(world: World) -> None:
    """While it is open no attempts are burnt; one probe goes, and what it brings back decides for all."""
    customers = world.customers(6)
    answer = [Reply(500)]
    with Peer(respond=lambda _asked: answer[0]) as peer:
        world.sends_to(default=peer.url)
        for customer in customers:
            due(world, customer)
        world.run(rules(in_flight=1))
        assert len(peer.asked) == 3
        assert (world.destination().state, world.destination().opens) == ("open", 1)
        waiting = [row for row in rows_of(world.journal) if row["waiting"] == "circuit"]
        assert [row["attempts"] for row in waiting] == [0, 0, 0]
        assert {row["due_ms"] for row in waiting} == {world.destination().until_ms + 500}
        assert "fails for several customers" in waiting[0]["reason"]

        world.clock.go(21)
        world.run(rules(in_flight=8))
        assert len(peer.asked) == 4, "one probe, which failed"
        assert (world.destination().state, world.destination().opens) == ("open", 2)

        answer[0] = Reply(200)
        assert actions.resume(world.journal, "default", world.clock()) == (6, True)
        assert {row["due_ms"] for row in rows_of(world.journal)} == {world.clock()}
        world.run(rules(in_flight=8))
        assert len(peer.asked) == 5, "one probe, which a person did not wait for"
        assert world.destination().state == "closed"
        world.clock.go(rules().limits.probe_s + 1)
        world.run(rules(in_flight=8))
        assert states(world.journal) == ["delivered"] * 6


def test_one_customers_failures_do_not_stop_the_others(world: World) -> None:
    """A payload that the destination chokes on opens nothing, however often it is tried."""
    one, two = world.customers(2)
    with Peer(respond=lambda asked: Reply(500 if customer_of(asked) == one else 200)) as peer:
        world.sends_to(default=peer.url)
        due(world, one)
        for _ in range(5):
            world.run(rules(attempts=9))
            world.clock.go(60)
        assert world.destination().state == "closed"
        due(world, two)
        world.run(rules(attempts=9))

    assert states(world.journal) == ["retrying", "delivered"]


def test_a_refused_payload_is_no_failure_of_the_destination(world: World) -> None:
    """Answers of 400 count as answers."""
    with Peer(Reply(400)) as peer:
        world.sends_to(default=peer.url)
        for customer in world.customers(5):
            due(world, customer)
        world.run()

    assert world.destination().failures == 0
    assert states(world.journal) == ["dead"] * 5


def test_of_two_workers_one_sends_the_probe(postgres_url: str) -> None:
    """Both see that it is time; the second one's row is changed under it, and it waits."""
    with made_world(postgres_url) as world, Peer(Reply(after_s=0.5)) as peer:
        world.sends_to(default=peer.url)
        other = next(name for name in (f"x{n}" for n in range(99)) if world.lane(name) != world.lane("cus_1"))
        due(world)
        due(world, other)
        with world.journal.database.write() as connection:
            before = destinations.load(connection)["default"]
            destinations.save(connection, before, Destination(**{**_as_dict(before), "state": "open", "opens": 1}))
        leases = [world.lease(), world.lease(other)]
        ready = threading.Barrier(2)

        def drain(lease: Lease) -> None:
            ready.wait()
            world.drain(world.outbox(), lease)

        threads = [threading.Thread(target=drain, args=(lease,)) for lease in leases]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()

        assert len(peer.asked) == 1
        assert sorted(states(world.journal)) == ["delivered", "pending"]


def _as_dict(destination: Destination) -> dict[str, Any]:
    return {name: getattr(destination, name) for name in Destination.__slots__}


def test_a_probe_that_somebody_else_took_is_waited_for(postgres_url: str) -> None:
    """The circuit's row is locked by another worker's claim; when that commits, this one's claim is too late."""
    with made_world(postgres_url) as world, Peer() as peer:
        world.sends_to(default=peer.url)
        due(world)
        with world.journal.database.write() as connection:
            before = destinations.load(connection)["default"]
            opened = Destination(**{**_as_dict(before), "state": "open", "opens": 1})
            destinations.save(connection, before, opened)
        lease = world.lease()
        with world.journal.database.write() as connection:
            probing = Destination(**{**_as_dict(opened), "state": "half_open", "until_ms": world.clock() + 4_000})
            assert destinations.save(connection, opened, probing)
            thread = threading.Thread(target=lambda: world.drain(world.outbox(), lease))
            thread.start()
            thread.join(0.5)
            assert thread.is_alive()
        thread.join()

        assert peer.asked == []
        (row,) = rows_of(world.journal)
        assert (row["waiting"], row["due_ms"]) == ("circuit", world.clock() + 500)


# ---------------------------------------------------------------- time, leases, stops, and an absent database


def test_nothing_new_is_sent_when_the_time_is_over(world: World) -> None:
    """The lane gives way; what is due stays due."""
    with Peer() as peer:
        world.sends_to(default=peer.url)
        due(world)
        assert not world.run(until_ms=world.clock())
        assert peer.asked == []
        assert world.journal.lanes.due(world.clock(), [world.lane("cus_1")])


def test_a_stop_lets_what_is_in_flight_finish(world: World) -> None:
    """It is recorded; the rest of the line is left for another worker."""

    def respond(_asked: Asked) -> Reply:
        world.stopping.set()
        time.sleep(0.2)
        return Reply()

    with Peer(respond=respond) as peer:
        world.sends_to(default=peer.url)
        due(world)
        due(world)
        assert world.run()
        assert len(peer.asked) == 1

    assert states(world.journal) == ["delivered", "pending"]
    assert world.journal.lanes.due(world.clock(), [world.lane("cus_1")])


def test_a_lease_that_runs_out_before_the_send_sends_nothing(world: World) -> None:
    """A process that slept after the claim must not send beside the lane's next owner; the attempt says so."""
    slept = threading.Event()

    class Sleepy:
        def send_later(self, *arguments: Any, **more: Any) -> None:
            if not slept.is_set():
                slept.set()
                world.clock.go(29)
            world.client.send_later(*arguments, **more)

    with Peer() as peer:
        world.sends_to(default=peer.url)
        delivery_id = due(world)
        world.drain(world.outbox(client=Sleepy()), world.lease())
        assert len(peer.asked) == 1, "in the next round, under the renewed lease"

    attempts = tries_of(world.journal, delivery_id)
    assert [(attempt["outcome"], attempt["code"]) for attempt in attempts] == [
        ("retry", "attempt.not_sent"),
        ("delivered", "clint.ok"),
    ]
    assert states(world.journal) == ["delivered"]


@on_both
def test_an_owner_that_lost_its_lane_records_nothing(world: World) -> None:
    """Its answer comes too late: the new owner sends again with the same key, and the first try stays unknown."""
    with Peer() as peer:
        world.sends_to(default=peer.url)
        delivery_id = due(world)
        late = world.lease()

        def respond(_asked: Asked) -> Reply:
            if len(peer.asked) == 1:
                world.clock.go(31)
                next_owner = world.lease(owner="next")
                world.drain(world.outbox(), next_owner)
            return Reply()

        peer._respond = respond
        with pytest.raises(LeaseLost):
            world.drain(world.outbox(), late)
        assert len({asked.headers["Idempotency-Key"] for asked in peer.asked}) == 1

    assert [attempt["outcome"] for attempt in tries_of(world.journal, delivery_id)] == ["unknown", "delivered"]
    assert states(world.journal) == ["delivered"]


def test_an_answer_under_an_old_fence_is_not_recorded(world: World) -> None:
    """The same worker lost its lane and has it again: the first try stays unknown, the second one's answer counts."""
    first_may_end, second_may_end = threading.Event(), threading.Event()

    def respond(_asked: Asked) -> Reply:
        if len(peer.asked) == 1:
            first_may_end.wait(20)
            return Reply(422)
        second_may_end.wait(20)
        return Reply()

    world.client = world.patient(30)
    with Peer(respond=respond) as peer:
        world.sends_to(default=peer.url)
        delivery_id = due(world)
        outbox, lost = world.outbox(), world.lease()
        outbox.turn([lost], [lost], world.stopping.is_set)
        until(lambda: len(peer.asked) == 1)
        world.clock.go(31)
        regained = world.lease()
        outbox.turn([regained], [regained], world.stopping.is_set)
        until(lambda: len(peer.asked) == 2)
        first_may_end.set()
        until(lambda: outbox.has_landed)
        outbox.turn([regained], [], world.stopping.is_set)
        assert row_of(world.journal, delivery_id)["state"] == "sending"
        second_may_end.set()
        world.drain(outbox, regained)

    assert [attempt["outcome"] for attempt in tries_of(world.journal, delivery_id)] == ["unknown", "delivered"]
    assert states(world.journal) == ["delivered"]
    assert outbox.in_flight == 0


class LosesAnswers(Database):
    """A database whose answer to a COMMIT is lost as often as a test says."""

    losses = 0

    @contextmanager
    def write(self, *, one_statement: bool = False) -> Iterator[Connection]:
        """Commit, and say that the database is away."""
        with super().write(one_statement=one_statement) as connection:
            yield connection
        if self.losses:
            self.losses -= 1
            raise JournalError("the answer to COMMIT was lost")


@pytest.fixture
def losing(database_url: str) -> Iterator[tuple[World, LosesAnswers]]:
    """Give an empty world on a database that loses answers."""
    with (
        opened_journal(database_url),
        closing(LosesAnswers(database_url)) as database,
        closing(World(Journal(database, LEASE_S))) as world,
    ):
        yield world, database


@on_both
@pytest.mark.parametrize("losses", [1, 2])
def test_an_outcome_whose_commit_stood_is_not_written_again(losing: tuple[World, LosesAnswers], losses: int) -> None:
    """What was recorded is said, and the next of the line, whose intent was committed with it, is sent once."""
    world, database = losing
    with Peer() as peer:
        world.sends_to(default=peer.url)
        due(world)
        due(world)
        outbox, lease = world.outbox(), world.lease()
        outbox.turn([lease], [lease], world.stopping.is_set)
        until(lambda: outbox.has_landed)
        database.losses = losses
        with capture_logs() as logs:
            world.drain(outbox, lease)
        assert len(peer.asked) == 2

    assert states(world.journal) == ["delivered", "delivered"]
    assert [attempt["outcome"] for attempt in tries_of(world.journal)] == ["delivered", "delivered"]
    first, second = (row["id"] for row in rows_of(world.journal))
    (stood,) = [one for one in logs if one["event"] == "delivery.commit_stood"]
    assert (stood["recorded"], stood["begun"]) == ([first], [second])
    assert [one["delivery_id"] for one in logs if one["event"] == "delivery.attempted"] == [first, second]
    assert {one["event"] for one in logs} == {"delivery.not_recorded", "delivery.commit_stood", "delivery.attempted"}
    assert outbox.in_flight == 0


@on_both
def test_an_intent_whose_commit_stood_is_sent_once(losing: tuple[World, LosesAnswers]) -> None:
    """Nothing was out yet, so that the turn gave up: the next one sends what the database has as being sent."""
    world, database = losing
    with Peer() as peer:
        world.sends_to(default=peer.url)
        due(world)
        outbox, lease = world.outbox(), world.lease()
        database.losses = 1
        with pytest.raises(JournalError):
            outbox.turn([lease], [lease], world.stopping.is_set)
        assert (states(world.journal), peer.asked) == (["sending"], [])
        world.drain(outbox, lease)
        assert len(peer.asked) == 1

    assert [attempt["outcome"] for attempt in tries_of(world.journal)] == ["delivered"]


@on_both
def test_an_intent_whose_commit_stood_is_left_to_the_lanes_next_owner(losing: tuple[World, LosesAnswers]) -> None:
    """Under another fence it was taken over: the first try is unknown, and the second one is the only request."""
    world, database = losing
    with Peer() as peer:
        world.sends_to(default=peer.url)
        due(world)
        outbox, lease = world.outbox(), world.lease()
        database.losses = 1
        with pytest.raises(JournalError):
            outbox.turn([lease], [lease], world.stopping.is_set)
        world.journal.lanes.release_all([lease])
        world.drain(outbox, world.lease())
        assert len(peer.asked) == 1

    assert [attempt["outcome"] for attempt in tries_of(world.journal)] == ["unknown", "delivered"]


def test_a_long_send_keeps_its_lane(world: World) -> None:
    """The lease is renewed while answers are waited for."""
    lease_until: list[int] = []

    def respond(_asked: Asked) -> Reply:
        world.clock.go(20)
        until(lambda: lease.until_ms == world.clock() + 30_000)
        lease_until.append(lease.until_ms)
        return Reply()

    world.client = world.patient(10)
    with Peer(respond=respond) as peer:
        world.sends_to(default=peer.url)
        due(world)
        lease = world.lease()
        world.drain(world.outbox(), lease)

    assert lease_until
    assert states(world.journal) == ["delivered"]


def test_an_answer_is_recorded_although_the_database_was_away(postgres_server: PostgresServer) -> None:
    """Sent is sent: the worker keeps the answer until it can write it down, and nothing is sent twice."""
    sending, answered = threading.Event(), threading.Event()

    def respond(_asked: Asked) -> Reply:
        sending.set()
        answered.wait(20)
        return Reply()

    with postgres_server.database() as url, made_world(url) as world, Peer(respond=respond) as peer:
        world.client = world.patient(30)
        world.sends_to(default=peer.url)
        due(world)
        lease = world.lease()
        outcome: list[bool] = []
        worker = threading.Thread(target=lambda: outcome.append(world.drain(world.outbox(), lease)))
        worker.start()
        assert sending.wait(10)
        postgres_server.kill()
        # Long enough for the lease's renewal to fail before the answer is in: that must not give up the answer.
        time.sleep(3)
        answered.set()
        time.sleep(1)
        assert worker.is_alive()
        postgres_server.start()
        worker.join(30)

        assert outcome == [True]
        assert len(peer.asked) == 1
        assert states(world.journal) == ["delivered"]


def test_a_worker_that_stops_does_not_wait_for_the_database_for_ever(postgres_server: PostgresServer) -> None:
    """It gives up after some tries; the attempt is unknown to the next owner, which sends again."""
    with postgres_server.database() as url, made_world(url) as world:

        def respond(_asked: Asked) -> Reply:
            postgres_server.kill()
            world.stopping.set()
            return Reply()

        with Peer(respond=respond) as peer:
            world.sends_to(default=peer.url)
            due(world)
            lease = world.lease()
            with pytest.raises(JournalError):
                world.drain(world.outbox(), lease)
            assert len(peer.asked) == 1
        postgres_server.start()
        assert states(world.journal) == ["sending"]


def test_a_database_that_is_away_before_anything_was_sent_is_said(postgres_server: PostgresServer) -> None:
    """Nothing is lost by giving up: no answer is waited for."""
    with postgres_server.database() as url, made_world(url) as world:
        world.sends_to(default="http://127.0.0.1:9/")
        due(world)
        lease = world.lease()
        postgres_server.kill()
        with pytest.raises(JournalError):
            world.drain(world.outbox(), lease)
        postgres_server.start()


def test_a_delivery_that_the_database_refuses_costs_only_its_own_lane(sqlite_url: str) -> None:
    """What can't be claimed, whatever the reason, stops no other lane; its own is given back."""
    with made_world(sqlite_url) as world, Peer() as peer:
        world.sends_to(default=peer.url)
        other = next(name for name in (f"x{n}" for n in range(99)) if world.lane(name) != world.lane("cus_1"))
        due(world)
        due(world, other)
        with world.journal.database.write() as connection:
            connection.exec_driver_sql(
                "CREATE TRIGGER refuses BEFORE UPDATE ON deliveries WHEN old.subject = 'cus_1'"
                " BEGIN SELECT RAISE(ABORT, 'no'); END"
            )
        outbox = world.outbox()
        leases = [world.lease(), world.lease(other)]
        turn = outbox.turn(leases, leases, world.stopping.is_set)
        assert turn.faulty == leases[:1]
        while outbox.in_flight:
            outbox.wait(2)
            outbox.turn(leases[1:], [], world.stopping.is_set)

    assert states(world.journal) == ["pending", "delivered"]


def test_a_database_that_goes_away_during_a_fault_is_waited_for(world: World) -> None:
    """The answer that came in is recorded when both are over, and sent once."""
    faults: list[Exception] = []

    def clock() -> int:
        if faults:
            raise faults.pop(0)
        return world.clock()

    with Peer() as peer:
        world.sends_to(default=peer.url)
        due(world)
        outbox = Deliverer(world.journal, world.client, world.urls, rules(), clock)
        lease = world.lease()
        outbox.turn([lease], [lease], world.stopping.is_set)
        until(lambda: outbox.has_landed)
        faults += [RuntimeError("a fault"), JournalError("away")]
        assert outbox.turn([lease], [], world.stopping.is_set).moved
        assert len(peer.asked) == 1

    assert states(world.journal) == ["delivered"]


def test_two_workers_with_two_failing_destinations_do_not_stop_each_other(postgres_url: str) -> None:
    """Both record failures of both destinations in one transaction: locked in one order, they can't deadlock."""
    with made_world(postgres_url) as world, Peer(Reply(500, after_s=0.05)) as a, Peer(Reply(500, after_s=0.05)) as b:
        world.sends_to(a=a.url, b=b.url)
        other = next(name for name in (f"x{n}" for n in range(99)) if world.lane(name) != world.lane("cus_1"))
        calm = DeliveryRules(RetryPolicy(0.01, 0.01, 10**6), CircuitLimits(10**6, 20, 4), 8, LONGEST_MS)
        for customer, first, second in (("cus_1", "a", "b"), (other, "b", "a")):
            due(world, customer, destination=first, line="one")
            due(world, customer, destination=second, line="two")
        faults: list[BaseException] = []
        leases = [world.lease(), world.lease(other)]

        def drain(lease: Lease) -> None:
            try:
                for _ in range(15):
                    world.drain(world.outbox(calm), lease)
                    world.clock.go(0.2)
            except BaseException as error:  # noqa: BLE001 (a thread's error must fail the test)
                faults.append(error)

        threads = [threading.Thread(target=drain, args=(lease,)) for lease in leases]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()

        assert faults == []
        with world.journal.database.read() as connection:
            found = connection.exec_driver_sql(
                "SELECT deadlocks FROM pg_stat_database WHERE datname = current_database()"
            )
            assert found.scalar_one() == 0


def test_a_rate_limit_lets_deliveries_wait_without_a_try_and_in_order(world: World) -> None:
    """What finds no slot is due again when the limit says, with the reason; no attempt is burnt and none overtakes."""
    with Peer() as peer:
        world.sends_to(default=peer.url)
        first, second, third = (owe(world.journal, customer=name) for name in world.customers(3))
        behind = owe(world.journal, customer=world.customers(3)[2])
        slots = [None, None, NOW_MS + 5_000]
        outbox = Deliverer(
            world.journal,
            world.client,
            world.urls,
            rules(),
            world.clock,
            pace=lambda _destination, _account, _now_ms: slots.pop(0) if slots else None,
        )
        world.drain(outbox, world.lease())

        assert [row_of(world.journal, one)["state"] for one in (first, second, third, behind)] == [
            "delivered",
            "delivered",
            "pending",
            "pending",
        ]
        row = row_of(world.journal, third)
        assert (row["due_ms"], row["waiting"], row["reason_code"], row["attempts"]) == (
            NOW_MS + 5_000,
            "pace",
            "destination.rate_limit",
            0,
        )
        assert row_of(world.journal, behind)["due_ms"] is None


# ---------------------------------------------------------------- shares


@contextmanager
def hanging() -> Iterator[Peer]:
    """Give a destination that answers nobody before the end."""
    released = threading.Event()

    def respond(_asked: Asked) -> Reply:
        released.wait(30)
        return Reply()

    with Peer(respond=respond) as peer:
        try:
            yield peer
        finally:
            released.set()


@on_both
def test_a_hanging_destination_leaves_sends_to_another(world: World) -> None:
    """Of eight it gets six however much it is owed; what another is owed later goes at once."""
    with hanging() as hung, Peer() as fine:
        world.sends_to(default=hung.url, erp=fine.url)
        customers = world.customers(25)
        for customer in customers[:20]:
            due(world, customer)
        outbox, lease = world.outbox(client=world.patient(30)), world.lease()
        turn = outbox.turn([lease], [lease], world.stopping.is_set)
        assert (outbox.in_flight, turn.more) == (6, False)

        for customer in customers[20:]:
            due(world, customer, destination="erp", line="erp")

        def all_there() -> bool:
            outbox.wait(0.05)
            outbox.turn([lease], [lease], world.stopping.is_set)
            return states(world.journal).count("delivered") == 5

        until(all_there)
        until(lambda: len(hung.asked) == 6)
        assert outbox.in_flight == 6


@on_both
def test_an_account_with_a_backlog_leaves_sends_to_another(world: World) -> None:
    """Both send to one destination: what the second account is owed last is among the first that go."""
    with hanging() as peer:
        world.sends_to(default=peer.url)
        for customer in world.customers(20):
            due(world, customer)
        late = due(world, "cus_1", account="branch", lane=world.lane("cus_1"))
        outbox, lease = world.outbox(client=world.patient(30), accounts=("default", "branch")), world.lease()
        outbox.turn([lease], [lease], world.stopping.is_set)

        assert row_of(world.journal, late)["state"] == "sending"
        assert outbox.in_flight == 7


def test_the_only_destination_and_account_have_all_the_sends(world: World) -> None:
    """Nothing is kept free for somebody who is not there."""
    with hanging() as peer:
        world.sends_to(default=peer.url)
        for customer in world.customers(20):
            due(world, customer)
        outbox, lease = world.outbox(client=world.patient(30), accounts=("default",)), world.lease()
        outbox.turn([lease], [lease], world.stopping.is_set)

        assert outbox.in_flight == 8
