"""A Redis that comes and goes must cost its callers nothing but its help."""

from __future__ import annotations

import socket
import threading
import time

import pytest
from redis import Redis

from bridge.redis_client import OptionalRedis
from tests.peers import closed_port
from tests.services import RedisServer


def test_a_link_without_url_is_always_away() -> None:
    """No Redis is a way to run, not an error."""
    assert OptionalRedis(None).call(lambda redis: redis.ping()) is None
    assert OptionalRedis("").call(lambda redis: redis.ping()) is None


def test_an_answer_is_passed_on(redis_url: str) -> None:
    """While Redis answers, its answer is what the caller gets."""
    assert OptionalRedis(redis_url).call(lambda redis: redis.ping()) is True


@pytest.mark.alone
def test_a_refused_connection_costs_milliseconds_and_is_remembered() -> None:
    """After the first failure nobody even tries until the time is over."""
    with closed_port() as port:
        link = OptionalRedis(f"redis://127.0.0.1:{port}/0")
        tried: list[Redis] = []

        def call(redis: Redis) -> object:
            tried.append(redis)
            return redis.ping()

        started_s = time.monotonic()
        for _ in range(50):
            assert link.call(call) is None

    assert time.monotonic() - started_s < 0.5
    assert len(tried) == 1


@pytest.mark.alone
def test_a_redis_that_says_nothing_costs_one_timeout_for_all() -> None:
    """A connection that hangs is given up after the timeout, once for all threads."""
    with socket.create_server(("127.0.0.1", 0)) as silent:
        link = OptionalRedis(f"redis://127.0.0.1:{silent.getsockname()[1]}/0", timeout_s=0.1)
        link.call(lambda redis: redis.ping())
        started_s = time.monotonic()
        threads = [threading.Thread(target=link.call, args=(lambda redis: redis.ping(),)) for _ in range(20)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()

        assert time.monotonic() - started_s < 0.1


def test_a_redis_that_comes_back_is_found_again(redis_server: RedisServer) -> None:
    """The link works before an absence, does without during it, and works again after it."""
    link = OptionalRedis(redis_server.url, away_s=0.05)
    assert link.call(lambda redis: redis.ping()) is True

    redis_server.kill()
    assert link.call(lambda redis: redis.ping()) is None
    redis_server.start()
    time.sleep(0.06)

    assert link.call(lambda redis: redis.ping()) is True
    assert link.call(lambda redis: redis.ping()) is True


def test_a_command_that_redis_refuses_counts_as_its_absence(redis_url: str) -> None:
    """A full or read-only Redis answers with errors, which must not reach the caller either."""
    assert OptionalRedis(redis_url).call(lambda redis: redis.eval("return redis.call('NO_SUCH')", 0)) is None
