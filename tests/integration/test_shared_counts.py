"""Numbers of several processes in one Redis that may go away."""

from __future__ import annotations

import os
import signal
import subprocess
import sys

from redis import Redis

from bridge.redis_client import OptionalRedis
from bridge.telemetry import ATTEMPT_S, ATTEMPTS, KEY, SUM, SharedCounters
from tests.factories import until
from tests.services import RedisServer


def counts(url: str, flush_s: float = 60.0) -> SharedCounters:
    """Return the counts of a process."""
    return SharedCounters(OptionalRedis(url, away_s=0.01), flush_s)


def test_processes_add_up(redis: Redis, redis_url: str) -> None:
    """What two count is one number, for both of them."""
    one, other = counts(redis_url), counts(redis_url)
    one.add(ATTEMPTS, "default", "delivered")
    one.add(ATTEMPTS, "default", "delivered", by=2)
    other.add(ATTEMPTS, "default", "delivered")
    other.close()

    assert one.totals() == {(ATTEMPTS, ("default", "delivered"), ""): 4.0}
    one.close()


def test_a_duration_is_in_its_bucket(redis: Redis, redis_url: str) -> None:
    """A bound belongs to the bucket below it; what is longer than all has one too."""
    one = counts(redis_url)
    for value_s in (0.01, 0.011, 99.0):
        one.observe(ATTEMPT_S, value_s, "default")

    found = one.totals()

    assert found is not None
    parts = {part: value for (_, _, part), value in found.items()}
    assert parts.pop(SUM) == 99.021
    assert parts == {"0": 1.0, "1": 1.0, str(len(ATTEMPT_S.bounds)): 1.0}
    one.close()


def test_numbers_are_handed_on_by_themselves(redis: Redis, redis_url: str) -> None:
    """A worker is never asked: it writes what it counted a moment later."""
    one = counts(redis_url, flush_s=0.01)
    one.add(ATTEMPTS, "default", "retry")

    assert until(lambda: redis.hlen(KEY)) == 1
    one.close()


def test_numbers_wait_for_a_redis_that_is_away(redis_server: RedisServer) -> None:
    """Nothing is lost while Redis restarts; nobody is told a number that is not known."""
    one = counts(redis_server.url, flush_s=0.02)
    redis_server.kill()
    one.add(ATTEMPTS, "default", "retry")
    assert one.totals() is None
    redis_server.start()

    assert until(one.totals) == {(ATTEMPTS, ("default", "retry"), ""): 1.0}
    one.close()


def test_what_another_version_counted_is_left_out(redis: Redis, redis_url: str) -> None:
    """A family that is gone, and one that had other labels."""
    redis.hset(KEY, mapping={"bridge_gone\x1fa\x1f": 1, "bridge_attempts\x1fdefault\x1f": 7})
    one = counts(redis_url)

    assert one.totals() == {}


def test_a_process_that_ends_has_no_thread_left(redis: Redis, redis_url: str) -> None:
    """The timer keeps no process alive, and a killed one takes along only what it had not handed on."""
    code = (
        "import sys; from bridge.redis_client import OptionalRedis; from bridge.telemetry import SharedCounters; "
        "from bridge.telemetry import ATTEMPTS; one = SharedCounters(OptionalRedis(sys.argv[1]), 60); "
        "one.add(ATTEMPTS, 'default', 'retry'); one.flush(); one.add(ATTEMPTS, 'default', 'retry')"
    )
    ended = subprocess.run([sys.executable, "-c", code, redis_url], check=False, timeout=60, env=os.environ)

    assert ended.returncode != -signal.SIGKILL
    assert redis.hgetall(KEY) == {b"bridge_attempts\x1fdefault\x1fretry\x1f": b"1"}
