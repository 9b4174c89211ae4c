"""Worker processes as the Procfile runs them, with a real Redis that fails and no periodic task to cover up.

What is asserted is what stands in the journal and what the destination got; processes end by signals only.
"""

from __future__ import annotations

import os
import signal
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from redis import Redis
from rq import Queue

from bridge.journal import Journal
from bridge.journal.clock import system_clock_ms
from bridge.model import lane_of
from bridge.redis_client import connect
from bridge.telemetry import Telemetry
from bridge.wakeups import QUEUE, Wakeups
from bridge.worker.sweeper import PeriodicRunner
from tests.acceptance.forked import Forked
from tests.factories import acquire, incoming, keep, opened_journal, rows_of, states, tries_of, until
from tests.peers import Asked, Peer, Reply
from tests.services import RedisServer

pytestmark = pytest.mark.slow

MAPPING = """
events: [PAYMENT_RECEIVED]
contact: {email: "'ana@example.com'"}
"""


class World:
    """A journal, a Redis, a destination, and worker processes."""

    def __init__(self, journal: Journal, redis_server: RedisServer, peer: Peer, scratch: Path) -> None:
        self.journal = journal
        self.redis_server = redis_server
        self.peer = peer
        self.scratch = scratch
        self.wakeups = Wakeups(connect(redis_server.url))
        self.answer = Reply()
        self.processes: list[Forked] = []
        (scratch / "mappings").mkdir()
        (scratch / "mappings" / "paga.yaml").write_text(MAPPING)
        peer._respond = lambda asked: self.respond(asked)

    def respond(self, _asked: Asked) -> Reply:
        """Answer as the test says."""
        return self.answer

    def start(self) -> Forked:
        """Start one worker and wait until it takes wake-ups."""
        env = {
            "PATH": os.environ["PATH"],
            **{name: value for name, value in os.environ.items() if name.startswith("COVERAGE")},
            "DATABASE_URL": str(self.journal.database.url.render_as_string(hide_password=False)),
            "REDIS_URL": self.redis_server.url,
            "BRIDGE_DATA_DIR": str(self.scratch),
            "BRIDGE_MAPPINGS_DIR": str(self.scratch / "mappings"),
            "BRIDGE_ALLOW_PRIVATE_DESTINATIONS": "1",
            "BRIDGE_SEND_TIMEOUT": "3",
            "BRIDGE_LEASE": "5",
            "BRIDGE_RETRY_BASE": "0.01",
            "CLINT_WEBHOOK_URL": self.peer.url,
        }
        log = self.scratch / "worker.log"
        log.touch()
        process = Forked([sys.executable, "-m", "bridge", "worker"], env, log)
        self.processes.append(process)
        with Redis.from_url(self.redis_server.url) as client:
            until(lambda: any(worker for worker in client.smembers("rq:workers")), 30)
        return process

    def post(self, customer: str = "cus_1") -> int:
        """Keep an event of that customer as the web process does, and wake its lane."""
        (event_id,) = keep(self.journal, incoming(customer, received_ms=time.time_ns() // 1_000_000))
        self.wake(customer)
        return event_id

    def wake(self, customer: str = "cus_1") -> None:
        """Wake that customer's lane."""
        self.wakeups.wake(lane_of("default", customer, self.journal.lane_count))

    def wake_until_delivered(self, number: int, timeout_s: float) -> None:
        """Wake the lane of cus_1 again and again, as a periodic task does, until so many deliveries are delivered."""

        def woken() -> bool:
            self.wake()
            return states(self.journal).count("delivered") == number

        until(woken, timeout_s, 0.5)

    def delivered(self, number: int, timeout_s: float = 20) -> None:
        """Wait until so many deliveries are delivered."""
        until(lambda: states(self.journal).count("delivered") == number, timeout_s)

    def log(self) -> str:
        """Return what the workers said."""
        return (self.scratch / "worker.log").read_text()


@pytest.fixture
def world(sqlite_url: str, redis_server: RedisServer, tmp_path: Path) -> Iterator[World]:
    """Give a world whose processes are ended with it, and run no periodic tasks: the lease for them is taken."""
    with (
        opened_journal(sqlite_url) as journal,
        PeriodicRunner([], journal, Telemetry(), system_clock_ms).in_thread(threading.Event()),
        Peer() as peer,
    ):
        world = World(journal, redis_server, peer, tmp_path)
        yield world
        for process in world.processes:
            process.kill()
            process.wait()


def test_a_wake_up_during_a_drain_is_not_lost(world: World) -> None:
    """What comes while the worker is busy with the same customer is delivered without anybody waking it again."""
    world.answer = Reply(after_s=1)
    world.start()
    world.post()
    until(lambda: world.peer.asked)
    for _ in range(3):
        world.post()

    world.delivered(4)
    events = [row["event_id"] for row in rows_of(world.journal)]
    assert events == sorted(events)
    assert world.peer.most_at_once == 1


def test_a_worker_killed_at_work_does_not_put_its_lane_to_sleep(world: World) -> None:
    """The next worker takes the lane over when the lease ends; the attempt is unknown and sent again."""
    world.answer = Reply(after_s=2.5)
    first = world.start()
    world.post()
    until(lambda: world.peer.asked)
    first.kill()
    first.wait()
    world.answer = Reply()
    world.start()
    # Only the lease's end counts, whatever RQ still believes of the dead worker's job.
    world.wake_until_delivered(1, 30)

    assert [attempt["outcome"] for attempt in tries_of(world.journal)] == ["unknown", "delivered"]
    assert len({asked.headers["Idempotency-Key"] for asked in world.peer.asked}) == 1


def test_a_failed_job_does_not_put_its_lane_to_sleep(world: World) -> None:
    """A job that RQ counts as failed leaves nothing behind that would hold the next wake-up back."""
    world.start()
    with Redis.from_url(world.redis_server.url) as client:
        lane = lane_of("default", "cus_1", world.journal.lane_count)
        queue = Queue(QUEUE, connection=client)
        queue.enqueue_call(
            "bridge.worker.jobs.no_such_function", args=(lane,), job_id=f"drain-{lane}", failure_ttl=0, result_ttl=0
        )
        until(lambda: queue.count == 0)
    world.post()

    world.delivered(1)


def test_sigterm_finishes_what_is_in_flight_and_leaves(world: World) -> None:
    """The answer is awaited and recorded, the lane is given back, the rest stays due; the exit status is 0."""
    world.answer = Reply(after_s=1.5)
    process = world.start()
    world.post()
    world.post()
    until(lambda: world.peer.asked)
    process.terminate()
    time.sleep(0.3)
    # The terminal's Ctrl-C and the supervisor's signal: the second one must not break off the waiting.
    process.send_signal(signal.SIGINT)
    process.terminate()

    assert process.wait(10) == 0
    assert states(world.journal)[0] == "delivered"
    assert "pending" in states(world.journal) or len(states(world.journal)) == 1
    lane = lane_of("default", "cus_1", world.journal.lane_count)
    assert acquire(world.journal.lanes, lane, "next", time.time_ns() // 1_000_000) is not None
    assert "Traceback" not in world.log()


def test_an_idle_worker_leaves_at_once(world: World) -> None:
    """It waits in a blocking read of Redis, which the signal ends."""
    process = world.start()
    time.sleep(0.5)
    began_s = time.monotonic()
    process.terminate()

    assert process.wait(10) == 0
    assert time.monotonic() - began_s < 5


def test_a_worker_survives_a_flush_of_redis(world: World) -> None:
    """The next wake-up is taken as ever, and a worker that goes on at once reports no error."""
    world.start()
    world.post()
    world.delivered(1)
    ends_s = time.monotonic() + 1.5
    with Redis.from_url(world.redis_server.url) as client:
        while time.monotonic() < ends_s:
            world.wake()
            client.flushall()
    world.post()
    world.wake_until_delivered(2, 20)

    assert '"level":"error"' not in world.log()


def test_a_worker_survives_a_restart_of_redis(world: World) -> None:
    """Away for seconds, in the middle of a job and in between; then it takes wake-ups again within seconds."""
    process = world.start()
    world.answer = Reply(after_s=0.5)
    world.post()
    until(lambda: world.peer.asked)
    world.redis_server.kill()
    world.delivered(1)
    time.sleep(4)
    world.redis_server.start()
    keep(world.journal, incoming(received_ms=time.time_ns() // 1_000_000))
    world.wake_until_delivered(2, 15)

    assert process.poll() is None
    process.terminate()
    assert process.wait(15) == 0


def test_a_worker_leaves_although_redis_is_away(world: World) -> None:
    """SIGTERM during an outage ends the process in seconds; what is in flight is recorded all the same."""
    process = world.start()
    world.answer = Reply(after_s=1)
    world.post()
    until(lambda: world.peer.asked)
    world.redis_server.kill()
    time.sleep(0.2)
    process.terminate()

    assert process.wait(15) == 0
    assert states(world.journal) == ["delivered"]


def test_two_workers_share_the_lanes(world: World) -> None:
    """Each event is delivered once, each customer's in order, by whichever worker has the lane."""
    world.answer = Reply(after_s=0.05)
    world.start()
    world.start()
    posting = [threading.Thread(target=_post_many, args=(world, f"cus_{n}")) for n in range(4)]
    for thread in posting:
        thread.start()
    for thread in posting:
        thread.join()

    world.delivered(20)
    assert len(world.peer.asked) == 20
    for n in range(4):
        ofone = [row for row in rows_of(world.journal) if row["subject"] == f"cus_{n}"]
        finished: list[Any] = [row["finished_ms"] for row in ofone]
        assert finished == sorted(finished)


def _post_many(world: World, customer: str) -> None:
    for _ in range(5):
        world.post(customer)
