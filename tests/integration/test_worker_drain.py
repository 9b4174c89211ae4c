"""Drains of lanes in this process: lease, process, deliver, give back, look again."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest
from redis.exceptions import RedisError

from bridge.asaas.redis_link import RedisLink
from bridge.clint import ClintClient, http_client
from bridge.delivery.circuit import Limits
from bridge.delivery.retry import Policy
from bridge.enrichment import Cache, Enricher
from bridge.journal import Journal, revisions
from bridge.model import lane_of
from bridge.outbox import Outbox, Rules
from bridge.process import ActiveMappings, Processor
from bridge.worker import jobs
from bridge.worker.drain import GIVE_WAY_MS, Drainer
from tests.factories import NOW_MS, Clock, events_of, incoming, keep, opened_journal, register, states, tries_of
from tests.peers import Asked, Peer, Reply

MAPPING = """
events: [PAYMENT_RECEIVED]
contact: {email: "'ana@example.com'"}
"""


class Notes:
    """Stands for the wake-ups and notes what it is asked; Redis may be away."""

    def __init__(self) -> None:
        self.woken: list[int] = []
        self.begun: list[int] = []
        self.away = False

    def wake(self, lane: int) -> None:
        """Note the lane."""
        if self.away:
            raise RedisError("away")
        self.woken.append(lane)

    def started(self, lane: int) -> None:
        """Note the lane."""
        self.begun.append(lane)


class World:
    """A worker's parts, with a destination that a test plays."""

    def __init__(self, journal: Journal, pool: ThreadPoolExecutor) -> None:
        self.journal = journal
        self.clock = Clock()
        self.wakeups = Notes()
        self.http = http_client(allow_private=True)
        self.pool = pool
        self.urls: dict[str, str] = {}
        self.lane = lane_of("default", "cus_1", journal.lane_count)
        with journal.database.write() as connection:
            revisions.import_text(connection, "paga", MAPPING, "file", "test", NOW_MS)

    def drainer(self, lanes_at_once: int = 2) -> Drainer:
        """Return a drainer of these parts."""
        enricher = Enricher({}, Cache(RedisLink(None)))
        processor = Processor(
            self.journal, ActiveMappings(self.journal, self.clock), enricher, lambda _account: "sandbox", self.clock
        )
        rules = Rules(Policy(10, 60, 3), Limits(3, 20, 4), 8, 3_000)
        client = ClintClient(self.http, deadline_s=2, allow_private=True)
        outbox = Outbox(self.journal, client, self.urls, rules, self.pool, self.clock)
        return Drainer(self.journal, processor, outbox, self.wakeups, self.clock, lanes_at_once)  # type: ignore[arg-type]

    def sends_to(self, url: str) -> None:
        """Make the destination known."""
        self.urls["default"] = url
        register(self.journal, default=url)

    def is_free(self) -> bool:
        """Whether the lane was given back."""
        lease = self.journal.lanes.acquire(self.lane, "looks", self.clock())
        if lease is not None:
            self.journal.lanes.release(lease)
        return lease is not None


@pytest.fixture
def world(database_url: str) -> Iterator[World]:
    """Give an empty world on each database."""
    with opened_journal(database_url) as journal, ThreadPoolExecutor(8) as pool:
        world = World(journal, pool)
        with world.http:
            yield world


def test_a_drain_decides_and_delivers_and_gives_the_lane_back(world: World) -> None:
    """Everything that is due, in one go; the wake-up is served from its beginning on."""
    with Peer() as peer:
        world.sends_to(peer.url)
        keep(world.journal, incoming(), incoming())
        world.drainer().drain(world.lane)
        assert len(peer.asked) == 2

    assert states(world.journal) == ["delivered", "delivered"]
    assert world.is_free()
    assert (world.wakeups.begun, world.wakeups.woken) == ([world.lane], [])


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
        world.drainer().drain(world.lane)

    assert states(world.journal) == ["delivered", "delivered"]


def test_a_lane_that_somebody_else_has_is_left(world: World) -> None:
    """Its owner looks again by itself."""
    world.sends_to("http://127.0.0.1:9")
    keep(world.journal, incoming())
    assert world.journal.lanes.acquire(world.lane, "another", world.clock())
    world.drainer().drain(world.lane)

    assert events_of(world.journal)[0]["state"] == "received"
    assert not world.is_free()


@pytest.mark.parametrize("away", [False, True])
def test_a_drain_gives_way_after_its_time(world: World, away: bool) -> None:
    """What is left is woken again behind the other lanes; without Redis the sweeper does that."""
    world.wakeups.away = away

    def respond(_asked: Asked) -> Reply:
        world.clock.go(GIVE_WAY_MS / 1000 / 2)
        return Reply()

    with Peer(respond=respond) as peer:
        world.sends_to(peer.url)
        keep(world.journal, *(incoming() for _ in range(9)))
        world.drainer().drain(world.lane)
        assert len(peer.asked) == 2

    assert states(world.journal).count("delivered") == 2
    assert world.wakeups.woken == ([] if away else [world.lane])
    assert world.is_free()
    assert world.journal.lanes.is_due(world.lane, world.clock())


def test_what_is_for_later_is_left_to_its_time(world: World) -> None:
    """A retry that is not due ends the drain; nobody is woken for it now."""
    with Peer(Reply(500)) as peer:
        world.sends_to(peer.url)
        keep(world.journal, incoming())
        world.drainer().drain(world.lane)
        assert len(peer.asked) == 1

    assert states(world.journal) == ["retrying"]
    assert world.wakeups.woken == []


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
        drainers[0].drain(world.lane)
        assert len(peer.asked) == 1

    assert drainers[0].stopping
    assert states(world.journal) == ["delivered", "pending"]
    assert world.is_free()


def lost(world: World) -> None:
    """Another worker takes the lane over."""
    world.clock.go(31)
    assert world.journal.lanes.acquire(world.lane, "another", world.clock())


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


def test_a_fault_of_ours_gives_the_lane_back(world: World) -> None:
    """The place and the lane are free; the error is in the log."""

    class Broken:
        def run(self, *_: Any) -> bool:
            raise RuntimeError("a fault")

    drainer = Drainer(world.journal, Broken(), Broken(), world.wakeups, world.clock, 1)  # type: ignore[arg-type]
    drainer.start(world.lane)
    drainer.join()

    assert world.is_free()
    with pytest.raises(RuntimeError):
        drainer.drain(world.lane)


def test_two_workers_have_two_names(world: World) -> None:
    """The journal tells by it who has a lane."""
    assert world.drainer().owner != world.drainer().owner
