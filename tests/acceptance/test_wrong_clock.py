"""A machine whose clock is wrong takes no lane from a worker that is sending: leases go by the database's clock."""

from __future__ import annotations

from pathlib import Path

import pytest
from sqlalchemy import select

from bridge.journal.database import Database
from bridge.journal.schema import attempts, deliveries
from tests.acceptance import story
from tests.acceptance.deployment import Deployment, until
from tests.services import RedisServer

EVENTS, CUSTOMERS = 240, 40
AHEAD_S = 120

pytestmark = pytest.mark.slow


def _finished(database: Database, count: int) -> bool:
    with database.read() as connection:
        states = connection.execute(select(deliveries.c.state)).scalars().all()
    return len(states) == count and set(states) == {"delivered"}


def test_a_worker_whose_clock_is_ahead_takes_no_lane_that_is_at_work(
    tmp_path: Path, postgres_url: str, redis_server: RedisServer
) -> None:
    """Two minutes ahead, far more than a lease, a worker leaves lanes alone whose owner still sends."""
    people = story.customers(CUSTOMERS)
    told = story.events([person["id"] for person in people], EVENTS, seed=31)
    with Deployment(tmp_path, postgres_url, redis_server.url, story.write_mappings(tmp_path / "mappings")) as bridge:
        bridge.asaas("customers", customers=people)
        bridge.clint("is_slow", seconds=0.1)
        bridge.start(webs=1, workers=2)
        child = bridge.children["worker-1"]
        child.stop()
        wrong = str(Path(__file__).with_name("wrong_clock.py"))
        child.command[1:2] = [wrong, str(AHEAD_S)]
        child.start()
        until(lambda: "clock.differs" in bridge.log_of("worker-1"), 60)
        for events in told.values():
            for event in events:
                bridge.post_until_kept(event.body)
        database = Database(postgres_url)
        until(lambda: _finished(database, EVENTS * 2), 120)
        verdict = story.judge(bridge.history())
        with database.read() as connection:
            outcomes = set(connection.execute(select(attempts.c.outcome)).scalars())
        database.close()

    assert [verdict.delivered, verdict.repeats] == [EVENTS * 2, {}]
    assert [verdict.out_of_order, verdict.overlapping] == [[], []]
    assert outcomes == {"delivered"}
