"""Drains of lanes in this process: lease, process, deliver, give back, look again."""

from __future__ import annotations

import threading
from collections.abc import Callable, Collection, Iterator
from contextlib import closing, contextmanager
from typing import Any

import pytest
from redis import Redis
from redis.exceptions import RedisError
from rq import Queue
from sqlalchemy import Connection, select

from bridge.clint.webhook import ClintClient
from bridge.errors import JournalError
from bridge.http import HttpClient
from bridge.journal import Database, Journal, revisions
from bridge.journal.schema import lanes
from bridge.model import lane_of
from bridge.pipeline.active_mappings import ActiveMappings
from bridge.pipeline.decide import Batch, Decider
from bridge.pipeline.deliver import Deliverer, DeliveryRules
from bridge.pipeline.enrich import Cache, Enricher
from bridge.pipeline.policy import CircuitLimits, RetryPolicy
from bridge.redis_client import OptionalRedis
from bridge.wakeups import QUEUE, Wakeups
from bridge.worker import jobs
from bridge.worker.drain import GIVE_WAY_MS, Drainer, LaneSlots, LeaseSet
from tests.databases import on_both
from tests.factories import (
    LEASE_S,
    NOW_MS,
    Clock,
    acquire,
    events_of,
    incoming,
    keep,
    opened_journal,
    register,
    rows_of,
    states,
    tries_of,
    until,
)
from tests.peers import Asked, Peer, Reply

MAPPING = """
events: [PAYMENT_RECEIVED]
contact: {email: "'ana@example.com'"}
"""


class Notes:
    """Stands for the wake-ups and notes what it is asked; Redis may be away."""

    def __init__(self) -> None:
        self.woken: list[int] = []
        self.ended_lanes: list[int] = []
        self.kept: list[int] = []
        self.workers = 1
        self.away = False

    def wake(self, lane: int) -> None:
        """Note the lane."""
        if self.away:
            raise RedisError("away")
        self.woken.append(lane)

    def keep(self, lanes: Collection[int]) -> int:
        """Note the lanes; return how many workers share them."""
        if self.away:
            raise RedisError("away")
        self.kept += lanes
        return self.workers

    def ended(self, lanes: Collection[int]) -> None:
        """Note the lanes."""
        self.ended_lanes += lanes


class World:
    """A worker's parts, with a destination that a test plays."""

    def __init__(self, journal: Journal) -> None:
        self.journal = journal
        self.clock = Clock()
        self.wakeups = Notes()
        self.http = HttpClient(allow_private=True)
        self.client = ClintClient(self.http, deadline_s=2)
        self.urls: dict[str, str] = {}
        self.says: Callable[[str, str], dict[str, Any] | None] = lambda _name, _id: None
        self.lane = lane_of("default", "cus_1", journal.lane_count)
        with journal.database.write() as connection:
            revisions.import_text(connection, "paga", MAPPING, "file", "test", NOW_MS)

    def processor(self) -> Decider:
        """Return a processor of these parts."""
        enricher = Enricher({"default": self}, Cache(OptionalRedis(None)))
        mappings = ActiveMappings(self.journal, self.clock)
        return Decider(self.journal, mappings, enricher, lambda _account: "sandbox", self.clock)

    def get_object(self, name: str, object_id: str) -> dict[str, Any] | None:
        """Answer in the place of Asaas."""
        return self.says(name, object_id)

    def maps(self, email: str) -> None:
        """Take the contact's e-mail from there."""
        with self.journal.database.write() as connection:
            text = MAPPING.replace("\"'ana@example.com'\"", email)
            revisions.import_text(connection, "paga", text, "file", "test", NOW_MS)

    def drainer(self, lanes_at_once: int = 2, processor: Any = None) -> Drainer:
        """Return a drainer of these parts."""
        rules = DeliveryRules(RetryPolicy(10, 60, 3), CircuitLimits(3, 20, 4), 8, 3_000)
        outbox = Deliverer(self.journal, self.client, self.urls, rules, self.clock)
        return Drainer(self.journal, processor or self.processor(), outbox, self.wakeups, self.clock, lanes_at_once)  # type: ignore[arg-type]

    def sends_to(self, url: str) -> None:
        """Make the destination known."""
        self.urls["default"] = url
        register(self.journal, default=url)

    def drain(self) -> None:
        """Let a worker drain the lane."""
        drainer = self.drainer()
        drainer.start(self.lane)
        drainer.join()

    def lane_of(self, customer: str) -> int:
        """Return a customer's lane."""
        return lane_of("default", customer, self.journal.lane_count)

    def other_customers(self, number: int) -> list[str]:
        """Return customers whose lanes are other ones than that of cus_1, each its own."""
        found: dict[int, str] = {}
        for n in range(2, 1_000):
            found.setdefault(self.lane_of(f"cus_{n}"), f"cus_{n}")
        return [name for lane, name in found.items() if lane != self.lane][:number]

    def lease_until(self) -> int:
        """Return when the lane's lease ends."""
        with self.journal.database.read() as connection:
            query = select(lanes.c.lease_until_ms).where(lanes.c.lane == self.lane)
            return int(connection.execute(query).scalar_one())

    def is_free(self) -> bool:
        """Whether the lane was given back."""
        lease = acquire(self.journal.lanes, self.lane, "looks", self.clock())
        if lease is not None:
            self.journal.lanes.release_all([lease])
        return lease is not None


@pytest.fixture
def world(database_url: str) -> Iterator[World]:
    """Give an empty world on each database."""
    with opened_journal(database_url) as journal:
        world = World(journal)
        with world.http:
            yield world


def test_a_drain_decides_and_delivers_and_gives_the_lane_back(world: World) -> None:
    """Everything that is due, in one go; the wake-up is served from its beginning on."""
    with Peer() as peer:
        world.sends_to(peer.url)
        keep(world.journal, incoming(), incoming())
        world.drain()
        assert len(peer.asked) == 2

    assert states(world.journal) == ["delivered", "delivered"]
    assert world.is_free()
    assert (world.wakeups.ended_lanes, world.wakeups.woken) == ([world.lane], [])


@on_both
def test_an_event_that_comes_during_the_drain_is_not_forgotten(world: World) -> None:
    """Its wake-up may be dropped: the drain looks again after it has given the lane back."""
    came: list[int] = []

    def respond(_asked: Asked) -> Reply:
        if not came:
            came.extend(keep(world.journal, incoming(received_ms=world.clock())))
        return Reply()

    with Peer(respond=respond) as peer:
        world.sends_to(peer.url)
        keep(world.journal, incoming())
        world.drain()

    assert states(world.journal) == ["delivered", "delivered"]


def test_a_lane_that_somebody_else_has_is_left(world: World) -> None:
    """Its owner looks again by itself."""
    world.sends_to("http://127.0.0.1:9")
    keep(world.journal, incoming())
    assert acquire(world.journal.lanes, world.lane, "another", world.clock())
    world.drain()

    assert events_of(world.journal)[0]["state"] == "received"
    assert not world.is_free()


@pytest.mark.parametrize("away", [False, True])
def test_a_drain_gives_way_after_its_time(world: World, away: bool) -> None:
    """Where another lane waits for the place, what is left is woken again; without Redis the sweeper does that."""
    world.wakeups.away = away
    asked: list[str] = []
    other = world.other_customers(1)[0]
    drainer = world.drainer(lanes_at_once=1)
    waiting = threading.Thread(target=lambda: drainer.start(world.lane_of(other)))

    def respond(_asked: Asked) -> Reply:
        asked.append("")
        if len(asked) == 1:
            waiting.start()
            until(lambda: drainer._slots.requested == 1)
        world.clock.go(GIVE_WAY_MS / 1000 / 2)
        return Reply()

    with Peer(respond=respond) as peer:
        world.sends_to(peer.url)
        keep(world.journal, *(incoming() for _ in range(9)))
        keep(world.journal, incoming(other))
        drainer.start(world.lane)
        until(lambda: waiting.ident)
        waiting.join()
        drainer.join()

    delivered = [row["subject"] for row in rows_of(world.journal) if row["state"] == "delivered"]
    assert delivered == ["cus_1", "cus_1", other]
    assert world.wakeups.woken == ([] if away else [world.lane])
    assert world.is_free()
    assert world.journal.lanes.due(world.clock(), [world.lane])


def test_what_is_for_later_is_left_to_its_time(world: World) -> None:
    """A retry that is not due ends the drain; nobody is woken for it now."""
    with Peer(Reply(500)) as peer:
        world.sends_to(peer.url)
        keep(world.journal, incoming())
        world.drain()
        assert len(peer.asked) == 1

    assert states(world.journal) == ["retrying"]
    assert world.wakeups.woken == []


@on_both
def test_lanes_are_drained_side_by_side_up_to_the_bound(world: World) -> None:
    """A start beyond the bound waits until a drain has ended."""
    entered = threading.Semaphore(0)
    go_on = threading.Event()

    def respond(_asked: Asked) -> Reply:
        entered.release()
        go_on.wait(10)
        return Reply()

    lanes: dict[int, str] = {}
    for n in range(1_000):
        lanes.setdefault(lane_of("default", f"cus_{n}", world.journal.lane_count), f"cus_{n}")
    three = list(lanes)[:3]
    with Peer(respond=respond) as peer:
        world.sends_to(peer.url)
        keep(world.journal, *(incoming(lanes[lane]) for lane in three))
        drainer = world.drainer(lanes_at_once=2)
        jobs.serve(drainer)

        def start_all() -> None:
            for lane in three:
                jobs.drain(lane)

        starting = threading.Thread(target=start_all)
        starting.start()
        entered.acquire()
        entered.acquire()
        starting.join(0.3)
        assert starting.is_alive()
        assert len(peer.asked) == 2
        go_on.set()
        starting.join()
        drainer.join()

    assert states(world.journal) == ["delivered"] * 3


def test_a_stop_ends_drains_and_what_was_in_flight_is_recorded(world: World) -> None:
    """The rest stays due, and the lane is free at once."""
    drainers: list[Drainer] = []

    def respond(_asked: Asked) -> Reply:
        drainers[0].stop()
        return Reply()

    with Peer(respond=respond) as peer:
        world.sends_to(peer.url)
        keep(world.journal, incoming(), incoming())
        drainers.append(world.drainer())
        drainers[0].start(world.lane)
        drainers[0].join()
        drainers[0].start(world.lane)
        drainers[0].join()
        assert len(peer.asked) == 1

    assert drainers[0].stopping
    assert states(world.journal) == ["delivered", "pending"]
    assert world.is_free()


def test_a_stop_does_not_wait_for_asaas(world: World) -> None:
    """What Asaas is still asked for is asked again by the lane's next owner, who has it at once."""
    world.maps(email="customer.email")
    asked, answer = threading.Event(), threading.Event()

    def says(_name: str, id_: str) -> dict[str, Any]:
        asked.set()
        answer.wait(30)
        return {"email": f"{id_}@example.com"}

    world.says = says
    with Peer() as peer:
        world.sends_to(peer.url)
        keep(world.journal, incoming())
        drainer = world.drainer()
        drainer.start(world.lane)
        assert asked.wait(10)
        drainer.stop()
        drainer.join()
        assert not answer.is_set()
        assert world.is_free()

        answer.set()
        world.drain()

    assert states(world.journal) == ["delivered"]


def lost(world: World) -> None:
    """Another worker takes the lane over."""
    world.clock.go(31)
    assert acquire(world.journal.lanes, world.lane, "another", world.clock())


def away(world: World) -> None:
    """The journal loses a table, which is as good as its database."""
    with world.journal.database.write() as connection:
        connection.exec_driver_sql("ALTER TABLE mapping_revisions RENAME TO gone")
    world.clock.go(2)


@pytest.mark.parametrize("trouble", [lost, away])
def test_a_drain_in_trouble_gives_its_place_to_others(world: World, trouble: Callable[[World], None]) -> None:
    """A lost lane, an absent database: said in the log, and the next drain of the process can begin."""
    done = threading.Event()

    def respond(_asked: Asked) -> Reply:
        if not done.is_set():
            trouble(world)
            done.set()
            keep(world.journal, incoming(received_ms=world.clock()))
        return Reply()

    with Peer(respond=respond) as peer:
        world.sends_to(peer.url)
        keep(world.journal, incoming())
        drainer = world.drainer(lanes_at_once=1)
        drainer.start(world.lane)
        drainer.join()

    assert tries_of(world.journal)
    assert len(peer.asked) == 1


class Broken:
    """A processor that fails in some lanes through a fault of ours."""

    def __init__(self, processor: Decider, lane: int) -> None:
        self._processor = processor
        self._lane = lane

    def next_batches(self, lanes: Collection[int]) -> list[Batch]:
        """Fail where the lane is one of them."""
        if self._lane in lanes:
            raise RuntimeError("a fault")
        return self._processor.next_batches(lanes)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._processor, name)


def test_a_fault_of_ours_gives_the_lane_back_and_costs_no_other_lane(world: World) -> None:
    """The place and the lane are free, the error is in the log, and the customers of other lanes are served."""
    other = world.other_customers(1)[0]
    with Peer() as peer:
        world.sends_to(peer.url)
        keep(world.journal, incoming(), incoming(other))
        drainer = world.drainer(processor=Broken(world.processor(), world.lane))
        drainer.start(world.lane)
        drainer.start(world.lane_of(other))
        drainer.join()

    assert [(row["subject"], row["state"]) for row in rows_of(world.journal)] == [(other, "delivered")]
    assert world.is_free()
    assert world.wakeups.woken == []


@on_both
def test_what_a_fault_kept_from_being_recorded_costs_no_other_lane(world: World) -> None:
    """An answer for a delivery that somebody changed under the bridge's hands: the other lane's is recorded."""
    other = world.other_customers(1)[0]
    both = threading.Barrier(2)

    def respond(_asked: Asked) -> Reply:
        if both.wait(10) == 0:
            with world.journal.database.write() as connection:
                connection.exec_driver_sql("UPDATE deliveries SET state = 'discarded' WHERE subject = 'cus_1'")
        both.wait(10)
        return Reply()

    with Peer(respond=respond) as peer:
        world.sends_to(peer.url)
        keep(world.journal, incoming(), incoming(other))
        drainer = world.drainer()
        drainer.start(world.lane)
        drainer.start(world.lane_of(other))
        drainer.join()

    assert {row["subject"]: row["state"] for row in rows_of(world.journal)} == {
        "cus_1": "discarded",
        other: "delivered",
    }
    assert world.is_free()


def test_a_slow_asaas_costs_neither_the_lane_nor_the_others(world: World) -> None:
    """The lease is renewed while Asaas is asked, and customers who are known go on meanwhile."""
    world.maps(email="customer.email")
    other = world.other_customers(1)[0]
    before_ms: list[int] = []

    def says(_name: str, id_: str) -> dict[str, Any]:
        if id_ == "cus_1":
            until(lambda: "delivered" in states(world.journal))
            before_ms.append(world.lease_until())
            world.clock.go(20)
            until(lambda: world.lease_until() > before_ms[0])
        return {"email": f"{id_}@example.com"}

    world.says = says
    with Peer() as peer:
        world.sends_to(peer.url)
        keep(world.journal, incoming(), incoming(other))
        drainer = world.drainer()
        drainer.start(world.lane)
        drainer.start(world.lane_of(other))
        drainer.join()

    assert before_ms
    assert states(world.journal) == ["delivered", "delivered"]


def test_a_lane_is_kept_without_wake_ups_while_others_have_work(world: World) -> None:
    """Redis is told that the worker looks by itself; an event that comes meanwhile is found without a wake-up."""
    other = world.other_customers(1)[0]
    go_on = threading.Event()

    def respond(asked: Asked) -> Reply:
        go_on.wait(10)
        return Reply()

    with Peer(respond=respond) as peer:
        world.sends_to(peer.url)
        keep(world.journal, incoming(other))
        drainer = world.drainer()
        drainer.start(world.lane_of(other))
        until(lambda: peer.asked)
        drainer.start(world.lane)
        until(lambda: world.lease_until() > 0)
        keep(world.journal, incoming())
        until(lambda: len(peer.asked) == 2)
        go_on.set()
        drainer.join()

    assert states(world.journal) == ["delivered", "delivered"]
    assert world.wakeups.kept == [world.lane_of(other)]


@on_both
def test_workers_share_the_lanes(world: World) -> None:
    """With as many workers as lanes each has one, and leaves the wake-ups of others to the others."""
    world.wakeups.workers = world.journal.lane_count
    other = world.other_customers(1)[0]
    drainer = world.drainer(lanes_at_once=64)
    waiting = threading.Thread(target=lambda: drainer.start(world.lane_of(other)))

    def respond(_asked: Asked) -> Reply:
        until(lambda: world.wakeups.kept)
        if not waiting.is_alive():
            waiting.start()
            until(lambda: drainer._slots.requested == 1)
        return Reply()

    with Peer(respond=respond) as peer:
        world.sends_to(peer.url)
        keep(world.journal, incoming())
        drainer.start(world.lane)
        until(lambda: waiting.ident)
        waiting.join()
        drainer.join()

    assert states(world.journal) == ["delivered"]
    assert world.wakeups.ended_lanes == [world.lane, world.lane_of(other)]


def test_two_workers_have_two_names(world: World) -> None:
    """The journal tells by it who has a lane."""
    assert world.drainer().owner != world.drainer().owner


# ---------------------------------------------------------------- what ends a drain


class Ending:
    """A processor whose first look ends the thread."""

    def __init__(self, processor: Decider) -> None:
        self._processor = processor
        self.looks = 0

    def next_batches(self, lanes: Collection[int]) -> list[Batch]:
        """End the thread once."""
        self.looks += 1
        if self.looks == 1:
            raise SystemExit
        return self._processor.next_batches(lanes)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._processor, name)


@pytest.mark.filterwarnings("ignore::pytest.PytestUnhandledThreadExceptionWarning")
def test_a_drain_whose_thread_ended_begins_anew_with_the_next_wake_up(world: World) -> None:
    """Its places are free, a stop does not wait for it, and another thread drains the lane once the lease ran out."""
    with Peer() as peer:
        world.sends_to(peer.url)
        keep(world.journal, incoming())
        ending = Ending(world.processor())
        drainer = world.drainer(lanes_at_once=1, processor=ending)
        drainer.start(world.lane)
        until(lambda: ending.looks == 1)
        drainer.join()
        world.clock.go(31)
        drainer.start(world.lane)
        drainer.join()

    assert states(world.journal) == ["delivered"]


class Refusing(Database):
    """A database that takes no write until a test says so."""

    refuses = True

    @contextmanager
    def write(self, *, one_statement: bool = False) -> Iterator[Connection]:
        """Refuse, or write."""
        if self.refuses:
            raise JournalError
        with super().write(one_statement=one_statement) as connection:
            yield connection


def test_lanes_that_could_not_be_leased_leave_no_place_taken(sqlite_url: str) -> None:
    """Nor do those that could not be given back: others get their turn."""
    with opened_journal(sqlite_url), closing(Refusing(sqlite_url)) as database:
        places = LaneSlots(1)
        held = LeaseSet(Journal(database, LEASE_S), Notes(), places, "worker", Clock())  # type: ignore[arg-type]
        assert places.request(1)
        with pytest.raises(JournalError):
            held.take()
        database.refuses = False
        assert places.request(2), "waits for ever where the place is still taken"
        assert held.take()
        database.refuses = True
        with pytest.raises(JournalError):
            held.release([2])
        held.forget_all()
        assert places.request(3), "waits for ever where the place is still taken"


@on_both
def test_the_wake_up_key_is_removed_before_the_last_look(database_url: str, redis: Redis) -> None:
    """An event that comes in between is seen by the look, for its own wake-up may have been dropped."""
    with opened_journal(database_url) as journal:
        lane = lane_of("default", "cus_1", journal.lane_count)

        class Late(Wakeups):
            def ended(self, lanes: Collection[int]) -> None:
                keep(journal, incoming())
                self.wake(lane)
                super().ended(lanes)

        wakeups = Late(redis)
        places = LaneSlots(1)
        held = LeaseSet(journal, wakeups, places, "worker", Clock())
        places.request(lane)
        held.take()
        wakeups.keep([lane])

        assert held.release([lane]), "nobody would look: the wake-up was dropped, and the key is gone"
        assert Queue(QUEUE, connection=redis).count == 0
