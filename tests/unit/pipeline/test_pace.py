"""The rate limit of a destination: over all workers, for each account, and without Redis for each worker by itself."""

from __future__ import annotations

import time

from bridge.pipeline.pace import HORIZON_MS, Pace
from bridge.redis_client import OptionalRedis

NOW_MS = 1_000_000


def test_a_destination_without_a_limit_never_waits(redis_url: str) -> None:
    """Only those that are named are held back."""
    pace = Pace({"crm": "1/hour"}, OptionalRedis(redis_url))

    assert [pace.wait_until_ms("erp", "default", NOW_MS) for _ in range(5)] == [None] * 5


def test_workers_share_a_limit_and_accounts_do_not(redis_url: str) -> None:
    """What one worker sends counts for the other; another account has slots of its own."""
    one, other = (Pace({"crm": "2/hour"}, OptionalRedis(redis_url)) for _ in range(2))

    assert [one.wait_until_ms("crm", "default", NOW_MS), other.wait_until_ms("crm", "default", NOW_MS)] == [None, None]
    assert one.wait_until_ms("crm", "default", NOW_MS) is not None
    assert other.wait_until_ms("crm", "default", NOW_MS) is not None
    assert one.wait_until_ms("crm", "matriz", NOW_MS) is None


def test_those_that_wait_ask_again_one_after_the_other() -> None:
    """At the pace of the limit, from the moment in which the next slot is free, and within a minute."""
    at_s = time.time()
    pace = Pace({"crm": "10/second"}, OptionalRedis(None), wall_s=lambda: at_s)
    assert [pace.wait_until_ms("crm", "default", NOW_MS) for _ in range(10)] == [None] * 10
    waits = [pace.wait_until_ms("crm", "default", NOW_MS) for _ in range(3)]

    assert all(wait is not None for wait in waits)
    first, second, third = (wait or 0 for wait in waits)
    assert NOW_MS < first <= NOW_MS + 2_000
    assert second - first in {100, 101}
    assert third - second in {100, 101}
    for _ in range(700):
        last = pace.wait_until_ms("crm", "default", NOW_MS) or 0
    assert last == NOW_MS + HORIZON_MS + 1


def test_without_redis_each_worker_counts_for_itself() -> None:
    """Better twice the limit than a delivery that waits for Redis; a slot that is free again is taken at once."""
    one, other = (Pace({"crm": "1/second"}, OptionalRedis("redis://127.0.0.1:1/0")) for _ in range(2))

    assert [one.wait_until_ms("crm", "a", NOW_MS), other.wait_until_ms("crm", "a", NOW_MS)] == [None, None]
    assert one.wait_until_ms("crm", "a", NOW_MS) is not None
    ends_s = time.monotonic() + 20
    while one.wait_until_ms("crm", "a", NOW_MS) is not None:
        assert time.monotonic() < ends_s
        time.sleep(0.05)


def test_a_destination_without_a_limit_of_its_own_has_that_of_all() -> None:
    """Also one that was added while the bridge ran."""
    pace = Pace({"crm": "2/hour"}, OptionalRedis(None), of_all="1/hour")

    assert [pace.wait_until_ms("added", "default", 0) is None for _ in range(2)] == [True, False]
    assert [pace.wait_until_ms("crm", "default", 0) is None for _ in range(3)] == [True, True, False]
