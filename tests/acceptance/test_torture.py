"""600 events while everything is killed, flushed and stopped: kept, in order, explained, and repeats only where the
outcome was unknown.

The bridge runs as the Procfile runs it. The test plays Asaas (posts until answered 200, one event in ten twice) and the
host (starts again what died); nobody runs a repair command.
"""

from __future__ import annotations

import random
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from redis import Redis

from bridge.journal.database import Database
from tests.acceptance import story
from tests.acceptance.deployment import Deployment, until
from tests.services import RedisServer
from tests.torture.judge import Expected, judge, settled

CUSTOMERS = 100
CHAOS_S = 12

pytestmark = pytest.mark.slow


class Chaos:
    """Does one harm after another, and brings back what died as a host would."""

    def __init__(self, bridge: Deployment, redis: RedisServer, seed: int) -> None:
        self._bridge = bridge
        self._redis = redis
        self._lots = random.Random(seed)
        self.done: list[str] = []

    def run(self, over: Callable[[], bool]) -> None:
        """Do harm until it is over, then let everything come back."""
        harms: list[Callable[[], None]] = [
            self._kill,
            self._kill,
            self._kill,
            self._flush,
            self._stop_redis,
            lambda: self._tell_clint("answers", status=500, share=0.2, times=60),
            lambda: self._tell_clint("answers", status=429, headers={"Retry-After": "1"}, times=10),
            lambda: self._tell_clint("hangs", seconds=3, times=3),
            lambda: self._tell_clint("drops", times=5),
        ]
        while not over():
            self._lots.choice(harms)()
            time.sleep(self._lots.uniform(1, 4))
            self._bridge.restart_the_dead()
        self._bridge.clint("comes_back")

    def _tell_clint(self, knob: str, **told: object) -> None:
        self._bridge.clint(knob, **told)
        self.done.append(f"clint {knob}")

    def _kill(self) -> None:
        name = self._lots.choice([name for name in self._bridge.children if not name.startswith("simulated")])
        self._bridge.children[name].kill()
        self.done.append(f"kill {name}")

    def _flush(self) -> None:
        with Redis.from_url(self._redis.url) as client:
            client.flushall()
        self.done.append("flush")

    def _stop_redis(self) -> None:
        self._redis.kill()
        self.done.append("stop redis")
        time.sleep(self._lots.uniform(0.5, 2))
        self._redis.start()


def _play_asaas(bridge: Deployment, told: dict[str, list[story.Told]], webs: int, seed: int) -> None:
    """Post every customer's events in order, many customers at once, one event in ten twice."""

    def post(customer: str) -> None:
        lots = random.Random(f"{seed}{customer}")
        for event in told[customer]:
            bridge.post_until_kept(event.body, lots.randrange(webs))
            if lots.random() < 0.1:
                bridge.post_until_kept(event.body, lots.randrange(webs))
            time.sleep(lots.uniform(0, 0.1))

    with ThreadPoolExecutor(8) as pool:
        list(pool.map(post, told))


def _torture(
    scratch: Path, database_url: str, redis: RedisServer, *, webs: int, workers: int, seed: int, events: int
) -> None:
    mappings = story.write_mappings(scratch / "mappings")
    people = story.customers(CUSTOMERS)
    told = story.events([person["id"] for person in people], events, seed)
    with Deployment(scratch, database_url, redis.url, mappings) as bridge:
        bridge.asaas("customers", customers=people)
        bridge.start(webs=webs, workers=workers)
        chaos = Chaos(bridge, redis, seed)
        ends_s = time.monotonic() + CHAOS_S
        with ThreadPoolExecutor(1) as asaas:
            posted = asaas.submit(_play_asaas, bridge, told, webs, seed)
            chaos.run(lambda: posted.done() and time.monotonic() > ends_s)
            posted.result()

        database = Database(database_url)
        until(lambda: settled(database), 300, every_s=1)
        answered = {event.event_id for events in told.values() for event in events}
        found = judge(database, bridge.history(), Expected(answered))
        database.close()

    print(  # noqa: T201 (the counts are what the test is for; pytest shows them with -rP)
        f"{len(chaos.done)} harms, {found.kept} events kept, {dict(found.states)}, "
        f"{found.repeats} repeats, {found.unknown} attempts of unknown outcome"
    )
    assert found.breaches == []
    assert set(found.states) <= {"delivered", "dead"}


def test_nothing_is_lost_while_everything_is_killed_on_sqlite(
    tmp_path: Path, sqlite_url: str, redis_server: RedisServer
) -> None:
    """One web process and two workers on SQLite bring every event to Clint, in order, through all harm."""
    _torture(tmp_path, sqlite_url, redis_server, webs=1, workers=2, seed=11, events=300)


@pytest.mark.long
def test_nothing_is_lost_while_everything_is_killed_on_postgresql(
    tmp_path: Path, postgres_url: str, redis_server: RedisServer
) -> None:
    """Two web processes and three workers on PostgreSQL bring every event to Clint, in order."""
    _torture(tmp_path, postgres_url, redis_server, webs=2, workers=3, seed=12, events=600)
