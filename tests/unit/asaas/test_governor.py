"""The limits of an account, over several workers and without Redis."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from contextlib import ExitStack

import pytest
from redis import Redis
from structlog.testing import capture_logs

from bridge.asaas.limiter import AccountLimiter, Limits
from bridge.errors import AsaasQuotaSpent, AsaasRateLimited
from bridge.redis_client import OptionalRedis


@pytest.fixture(params=["redis", "alone"])
def link(request: pytest.FixtureRequest) -> Iterator[OptionalRedis]:
    """Give a link to a Redis, and one to none."""
    if request.param == "alone":
        yield OptionalRedis(None)
        return
    request.getfixturevalue("redis")
    yield OptionalRedis(str(request.getfixturevalue("redis_url")))


def take(governor: AccountLimiter) -> None:
    """Hold a place for a moment."""
    with governor.slot():
        pass


def test_no_more_than_the_limit_is_held_at_once(link: OptionalRedis) -> None:
    """Forty threads with five places never hold six, and all get their turn."""
    governor = AccountLimiter("a", link, Limits(at_once=5, at_once_alone=5))
    held, most, lock = 0, 0, threading.Lock()

    def work() -> None:
        nonlocal held, most
        with governor.slot():
            with lock:
                held += 1
                most = max(most, held)
            time.sleep(0.005)
            with lock:
                held -= 1

    threads = [threading.Thread(target=work) for _ in range(40)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    assert 1 < most <= 5
    assert governor.used() == 40


def test_the_limit_holds_over_workers(redis: Redis, redis_url: str) -> None:
    """Two processes' governors count the same places, and other accounts have their own."""
    limits = Limits(at_once=2, patience_s=0)
    one, other = (AccountLimiter("a", OptionalRedis(redis_url), limits) for _ in range(2))

    with one.slot(), other.slot():
        with pytest.raises(AsaasRateLimited, match="all taken"):
            take(one)
        take(AccountLimiter("b", OptionalRedis(redis_url), limits))
    take(other)


@pytest.mark.alone
def test_a_place_whose_worker_was_killed_is_free_again(redis: Redis, redis_url: str) -> None:
    """A place that is never given back runs out."""
    limits = Limits(at_once=1, lease_s=0.1, patience_s=1)
    dead = AccountLimiter("a", OptionalRedis(redis_url), limits).slot()
    dead.__enter__()

    started_s = time.monotonic()
    take(AccountLimiter("a", OptionalRedis(redis_url), limits))

    assert 0.05 < time.monotonic() - started_s < 0.9


def test_a_place_is_given_back_after_an_error(link: OptionalRedis) -> None:
    """A request that fails frees its place as any other."""
    governor = AccountLimiter("a", link, Limits(at_once=1, at_once_alone=1, patience_s=0))

    for _ in range(3):
        with pytest.raises(ZeroDivisionError), governor.slot():
            raise ZeroDivisionError


def test_the_quota_ends_before_asaas_ends_it(link: OptionalRedis) -> None:
    """With the margin reached, the account waits for the window's end."""
    governor = AccountLimiter("a", link, Limits(quota=10, quota_margin=3, window_s=60))
    for _ in range(7):
        take(governor)

    with pytest.raises(AsaasQuotaSpent, match="quota of 10 requests") as spent:
        take(governor)

    assert spent.value.retry_after_s is not None
    assert 50 < spent.value.retry_after_s <= 60
    assert governor.used() == 7


def test_the_quota_starts_anew_after_its_window(link: OptionalRedis) -> None:
    """The window runs from the first request, not from the last."""
    governor = AccountLimiter("a", link, Limits(quota=2, quota_margin=0, window_s=0.15))
    take(governor)
    take(governor)
    with pytest.raises(AsaasQuotaSpent):
        take(governor)

    time.sleep(0.2)
    take(governor)

    assert governor.used() == 1


def test_a_count_without_a_time_to_live_starts_anew_too(redis: Redis, redis_url: str) -> None:
    """Such as one that a person's SET or PERSIST left behind."""
    governor = AccountLimiter("a", OptionalRedis(redis_url), Limits(quota=2, quota_margin=0, window_s=60))
    redis.set("bridge:asaas:a:quota", 2)
    with pytest.raises(AsaasQuotaSpent) as raised:
        take(governor)

    assert raised.value.retry_after_s is not None
    assert 0 < raised.value.retry_after_s <= 60


def test_four_fifths_of_the_quota_are_said_once(link: OptionalRedis) -> None:
    """One warning names the account and the numbers; the next requests are silent."""
    governor = AccountLimiter("matriz", link, Limits(quota=10, quota_margin=0))

    with capture_logs() as said:
        for _ in range(10):
            take(governor)

    assert [(record["event"], record["log_level"]) for record in said] == [("asaas.quota_warning", "warning")]
    assert (said[0]["account"], said[0]["used"], said[0]["quota"]) == ("matriz", 8, 10)


def test_a_pause_holds_for_all_workers(redis: Redis, redis_url: str) -> None:
    """What one worker was told by a 429, the others know; a shorter pause does not end a longer one."""
    one, other = (AccountLimiter("a", OptionalRedis(redis_url)) for _ in range(2))

    one.pause(30)
    one.pause(1)

    for governor in (one, other):
        with pytest.raises(AsaasRateLimited, match="slow down") as told:
            take(governor)
        assert told.value.retry_after_s is not None
        assert 25 < told.value.retry_after_s <= 30


def test_a_pause_holds_without_redis_and_ends() -> None:
    """A process alone keeps to the pause it was told, and goes on after it."""
    governor = AccountLimiter("a", OptionalRedis(None))
    governor.pause(0.1)
    with pytest.raises(AsaasRateLimited):
        take(governor)

    time.sleep(0.12)
    take(governor)


def test_no_pause_is_no_pause(link: OptionalRedis) -> None:
    """A wait of nothing changes nothing."""
    governor = AccountLimiter("a", link)

    governor.pause(0)

    take(governor)


def test_without_redis_fewer_places_are_used() -> None:
    """A process that does not see the others takes the smaller share."""
    governor = AccountLimiter("a", OptionalRedis(None), Limits(at_once=50, at_once_alone=2, patience_s=0))

    with ExitStack() as held:
        held.enter_context(governor.slot())
        held.enter_context(governor.slot())
        with pytest.raises(AsaasRateLimited):
            take(governor)
