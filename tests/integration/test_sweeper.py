"""The sweeper behind every wake-up that was lost."""

from __future__ import annotations

import threading
from collections.abc import Iterator

import pytest
from redis import Redis
from rq import Queue

from bridge.errors import JournalError
from bridge.journal import Journal
from bridge.model import DeliveryState, lane_of
from bridge.queueing.wakeups import QUEUE, Wakeups, connect
from bridge.worker.sweeper import Sweeper
from tests.factories import Clock, incoming, keep, opened_journal, owe, put_in_state, until
from tests.services import RedisServer


@pytest.fixture
def journal(database_url: str) -> Iterator[Journal]:
    """Give an empty journal on each database."""
    with opened_journal(database_url) as journal:
        yield journal


def woken(redis: Redis) -> list[int]:
    """Return the lanes that are woken."""
    return sorted(job.args[0] for job in Queue(QUEUE, connection=redis).jobs)


def nothing() -> None:
    """Import no mapping."""


def test_lanes_with_due_work_are_woken(journal: Journal, redis: Redis) -> None:
    """Events, deliveries and what a dead worker left; not what is for later, and not what is being worked on."""
    clock = Clock()
    names: dict[int, str] = {}
    for n in range(1_000):
        names.setdefault(lane_of("default", f"cus_{n}", journal.lane_count), f"cus_{n}")
    event, now, later, left, busy = list(names)[:5]
    keep(journal, incoming(names[event]))
    owe(journal, customer=names[now])
    put_in_state(journal, owe(journal, customer=names[later]), DeliveryState.RETRYING, due_ms=clock() + 60_000)
    put_in_state(journal, owe(journal, customer=names[left]), DeliveryState.SENDING, due_ms=None)
    owe(journal, customer=names[busy])
    assert journal.lanes.acquire(busy, "worker", clock())
    sweeper = Sweeper(journal, Wakeups(redis), nothing, clock)

    assert sweeper.wake_due() == 3
    assert woken(redis) == sorted([event, now, left])
    clock.go(61)
    assert sweeper.wake_due() == 5


def test_a_quiet_bridge_wakes_nobody(journal: Journal, redis: Redis) -> None:
    """No work, no job."""
    assert Sweeper(journal, Wakeups(redis), nothing, Clock()).wake_due() == 0
    assert woken(redis) == []


def test_a_sweep_goes_on_whatever_is_away(sqlite_url: str, redis_server: RedisServer) -> None:
    """Redis, a file or the journal may fail in one sweep; the next one tries again, and a stop ends it."""
    clock = Clock()
    imports: list[str] = []

    def import_mappings() -> None:
        imports.append("tried")
        if len(imports) == 1:
            raise OSError("no directory")
        if len(imports) == 2:
            raise JournalError

    with opened_journal(sqlite_url) as journal:
        keep(journal, incoming())
        wakeups = Wakeups(connect(redis_server.url))
        redis_server.kill()
        stopping = threading.Event()
        sweeping = threading.Thread(target=Sweeper(journal, wakeups, import_mappings, clock).run, args=(stopping,))
        sweeping.start()
        until(lambda: len(imports) >= 3)
        redis_server.start()
        with Redis.from_url(redis_server.url) as client:
            assert until(lambda: woken(client)) == [lane_of("default", "cus_1", journal.lane_count)]
        stopping.set()
        sweeping.join(5)

        assert not sweeping.is_alive()
