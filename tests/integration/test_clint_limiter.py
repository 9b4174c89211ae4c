"""The rate of one Clint API token: over all processes, without Redis for each process by itself, and its pauses."""

from __future__ import annotations

import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor

import pytest
from redis import Redis

from bridge.clint.limiter import PAUSE_CAP_S, ApiLimiter
from bridge.errors import ClintApiFailed, ClintFault
from bridge.redis_client import OptionalRedis
from tests.services import RedisServer

AWAY = "redis://127.0.0.1:1/0"

TURNS = """
import sys, time
from bridge.clint.limiter import ApiLimiter
from bridge.redis_client import OptionalRedis
limiter = ApiLimiter("4/second", OptionalRedis(sys.argv[1], timeout_s=5.0), "token")
for _ in range(8):
    limiter.wait_for_turn(60.0)
    print(time.time())
"""


def test_two_processes_share_the_rate(redis: Redis, redis_url: str) -> None:
    """Sixteen turns at four a second take three seconds at least; two processes on their own would need one."""
    command = [sys.executable, "-c", TURNS, redis_url]
    running = [subprocess.Popen(command, stdout=subprocess.PIPE, text=True) for _ in range(2)]
    turns = sorted(float(line) for process in running for line in process.communicate()[0].split())

    assert [process.returncode for process in running] == [0, 0]
    assert len(turns) == 16
    assert turns[-1] - turns[0] > 2.0


def test_tokens_have_rates_of_their_own_and_stay_secret(redis: Redis, redis_url: str) -> None:
    """Another token does not wait for this one's requests, and Redis never sees either."""
    limiters = [ApiLimiter("1/hour", OptionalRedis(redis_url), token) for token in ("s3cret-one", "s3cret-two")]
    for limiter in limiters:
        limiter.wait_for_turn(0.0)
        limiter.pause(60.0)

    keys = redis.keys("*")

    assert len(keys) == 4
    assert all(b"s3cret" not in key for key in keys)


def test_without_redis_each_process_keeps_the_rate_alone() -> None:
    """A request never waits for Redis; the rate holds for each of them all the same."""
    for limiter in [ApiLimiter("2/hour", OptionalRedis(url), "t") for url in (AWAY, None)]:
        limiter.wait_for_turn(0.0)
        limiter.wait_for_turn(0.0)

        with pytest.raises(ClintApiFailed) as caught:
            limiter.wait_for_turn(1.0)

        assert caught.value.kind is ClintFault.BUSY
        assert 3_500 < (caught.value.retry_after_s or 0) <= 3_600


def test_a_redis_that_goes_away_and_comes_back_changes_nothing_for_the_callers(redis_server: RedisServer) -> None:
    """Turns are given all the while."""
    limiter = ApiLimiter("1000/second", OptionalRedis(redis_server.url, away_s=0.0), "t")
    limiter.wait_for_turn(0.0)
    redis_server.stop()
    limiter.wait_for_turn(0.0)
    redis_server.start()
    limiter.wait_for_turn(0.0)

    with Redis.from_url(redis_server.url) as redis:
        assert redis.keys("*")


def test_a_wait_ends_with_the_window() -> None:
    """The third request of a second starts a second after the first, not earlier and not much later."""
    waits: list[float] = []

    def sleep(wait_s: float) -> None:
        waits.append(wait_s)
        time.sleep(wait_s)

    limiter = ApiLimiter("2/second", OptionalRedis(None), "t", sleep=sleep)
    began_s = time.monotonic()
    for _ in range(3):
        limiter.wait_for_turn(10.0)

    assert time.monotonic() - began_s > 0.9
    assert 0 < sum(waits) < 1.5


def test_threads_that_wait_all_get_a_turn() -> None:
    """They wait for one another, and none starves."""
    limiter = ApiLimiter("10/second", OptionalRedis(None), "t")
    with ThreadPoolExecutor(20) as pool:
        done = [pool.submit(limiter.wait_for_turn, 30.0) for _ in range(20)]

    assert [one.exception() for one in done] == [None] * 20


def test_a_pause_holds_for_every_process(redis: Redis, redis_url: str) -> None:
    """What Clint asks of one, all keep; a shorter pause never ends a longer one."""
    one, other = (ApiLimiter("99/second", OptionalRedis(redis_url), "t") for _ in range(2))
    one.pause(30.0)
    one.pause(2.0)

    for limiter in (one, other):
        with pytest.raises(ClintApiFailed) as caught:
            limiter.wait_for_turn(5.0)
        assert 25 < (caught.value.retry_after_s or 0) <= 30


def test_a_pause_has_a_longest() -> None:
    """A day that some proxy asks for would stop everything for a day."""
    limiter = ApiLimiter("99/second", OptionalRedis(None), "t")
    limiter.pause(86_400.0)

    with pytest.raises(ClintApiFailed) as caught:
        limiter.wait_for_turn(5.0)

    assert PAUSE_CAP_S - 60 < (caught.value.retry_after_s or 0) <= PAUSE_CAP_S


def test_a_pause_ends(redis: Redis, redis_url: str) -> None:
    """A short one is waited for, and the request starts after it."""
    one, other = (ApiLimiter("99/second", OptionalRedis(redis_url), "t") for _ in range(2))
    one.pause(0.3)
    began_s = time.monotonic()
    other.wait_for_turn(10.0)

    assert 0.1 < time.monotonic() - began_s < 9


def test_a_thread_behind_another_gives_up_in_time() -> None:
    """Its patience covers the wait for those before it."""
    limiter = ApiLimiter("1/minute", OptionalRedis(None), "t")
    limiter.wait_for_turn(0.0)
    with ThreadPoolExecutor(2) as pool:
        began_s = time.monotonic()
        done = [pool.submit(limiter.wait_for_turn, 0.2) for _ in range(2)]
        kinds = [getattr(one.exception(), "kind", None) for one in done]

    assert kinds == [ClintFault.BUSY] * 2
    assert time.monotonic() - began_s < 30
