"""Wake-ups in a real Redis: they coalesce, stay few, and may be lost without harm."""

from __future__ import annotations

import re
import socket
import threading
import time
from collections.abc import Iterable

import pytest
from redis import Redis
from redis.exceptions import RedisError
from rq import Queue, SimpleWorker

from bridge.messages import in_language
from bridge.redis_client import connect
from bridge.wakeups import COALESCE_S, LONGEST_QUEUE, QUEUE, BackgroundWaker, Wakeups, redis_problem
from tests.factories import until
from tests.peers import RawPeer, closed_port
from tests.services import RedisServer


def queued(redis: Redis) -> list[int]:
    """Return the lanes of the waiting jobs, first to come first."""
    return [job.args[0] for job in Queue(QUEUE, connection=redis).jobs]


class Notes:
    """Stands for the wake-ups of a waker under test and notes what it is asked."""

    def __init__(self, fault: Exception | None = None) -> None:
        self.lanes: list[int] = []
        self.fault = fault

    def wake_all(self, lanes: Iterable[int]) -> bool:
        """Note the lanes, or fail once."""
        if self.fault:
            fault, self.fault = self.fault, None
            raise fault
        self.lanes += lanes
        return True


def test_a_wake_up_names_its_lane(redis: Redis) -> None:
    """One job for each lane, in the order in which they were woken."""
    wakeups = Wakeups(redis)
    for lane in (5, 3, 9):
        wakeups.wake(lane)

    assert queued(redis) == [5, 3, 9]


def test_lanes_that_are_woken_together_coalesce_too(redis: Redis) -> None:
    """Those of them that were asked for already are left out."""
    wakeups = Wakeups(redis)
    wakeups.wake(5)

    assert wakeups.wake_all([3, 5, 9])
    assert queued(redis) == [5, 3, 9]
    assert not wakeups.wake_all([3, 9])
    assert not wakeups.wake_all([])
    assert queued(redis) == [5, 3, 9]


def test_wake_ups_of_a_lane_coalesce_until_its_last_look(redis: Redis) -> None:
    """A thousand events of a lane make one job; when a worker has looked for the last time one is needed again."""
    wakeups = Wakeups(redis)
    for _ in range(10):
        wakeups.wake(5)
    assert queued(redis) == [5]

    wakeups.ended([5])
    wakeups.wake(5)
    assert queued(redis) == [5, 5]


def test_a_lost_wake_up_holds_the_next_one_back_for_seconds_only(redis: Redis) -> None:
    """A worker that was killed after it took the job leaves a key that ends by itself."""
    wakeups = Wakeups(redis)
    wakeups.wake(5)
    redis.delete(f"rq:queue:{QUEUE}")

    assert 0 < redis.pttl("bridge:wake:5") <= COALESCE_S * 1000


def test_a_key_without_a_time_to_live_keeps_no_lane_asleep(redis: Redis) -> None:
    """Such as one that a person's SET or PERSIST left behind; it gets a time to live again."""
    redis.set("bridge:wake:5", "1")
    wakeups = Wakeups(redis)
    wakeups.wake_all([5, 6])

    assert queued(redis) == [5, 6]
    assert 0 < redis.pttl("bridge:wake:5") <= COALESCE_S * 1000
    wakeups.wake(5)
    assert queued(redis) == [5, 6]


def test_a_flushed_redis_is_like_a_new_one(redis: Redis) -> None:
    """Nothing that was there is needed."""
    wakeups = Wakeups(redis)
    wakeups.wake(5)
    redis.flushall()
    wakeups.wake(5)

    assert queued(redis) == [5]


def test_a_queue_that_nobody_takes_from_stays_short(redis: Redis) -> None:
    """A week without workers must not fill Redis with the ids of jobs that ended long ago."""
    wakeups = Wakeups(redis)
    for lane in range(LONGEST_QUEUE + 50):
        wakeups.wake(lane)

    assert redis.llen(f"rq:queue:{QUEUE}") == LONGEST_QUEUE


def test_a_redis_that_is_away_is_an_error(redis_server: RedisServer) -> None:
    """For the sweeper, which says so; and the look of a worker needs no Redis."""
    wakeups = Wakeups(connect(redis_server.url))
    redis_server.kill()

    with pytest.raises(RedisError):
        wakeups.wake(5)
    wakeups.ended([5])
    wakeups.ended([])
    with pytest.raises(RedisError):
        wakeups.keep([5])


def test_why_redis_is_away_is_said_in_words_with_what_to_do(redis_server: RedisServer) -> None:
    """That nothing listens, and that the password is another one, in both languages."""
    with closed_port() as port:
        urls = {
            f"redis://127.0.0.1:{port}/0": ("connection refused", "conexão recusada"),
            re.sub("//[^@]*@", "//:other@", redis_server.url): ("it refuses the password", "ele recusa a senha"),
        }
        for url, words in urls.items():
            with pytest.raises(RedisError) as away:
                connect(url).ping()
            problem = redis_problem(away.value)
            with in_language("pt"):
                said = (str(problem), problem.text())
            assert all(word in text for word, text in zip(words, said, strict=True))
            assert all("REDIS_URL" in text for text in said)
            assert "other" not in said[0]


def test_a_lane_that_a_worker_keeps_needs_no_wake_ups(redis: Redis) -> None:
    """The worker looks by itself; it is told how many share the lanes."""
    wakeups = Wakeups(redis)

    assert wakeups.keep([5]) == 0
    wakeups.wake(5)
    assert queued(redis) == []
    assert 0 < redis.pttl("bridge:wake:5") <= COALESCE_S * 1000
    worker = SimpleWorker([QUEUE], connection=redis, name="one")
    worker.register_birth()  # type: ignore[no-untyped-call]
    assert wakeups.keep([]) == 1


@pytest.mark.alone
def test_a_redis_that_says_nothing_is_not_waited_for() -> None:
    """A connection that is taken and never answered costs half a second, not a minute."""

    def silent(_connection: socket.socket) -> None:
        time.sleep(3)

    with RawPeer(silent) as peer:
        wakeups = Wakeups(connect(peer.url.replace("http", "redis")))
        began_s = time.monotonic()
        with pytest.raises(RedisError):
            wakeups.wake(5)
        assert time.monotonic() - began_s < 1.5


def test_the_background_waker_wakes(redis: Redis) -> None:
    """From a thread of its own, each lane once for what had gathered."""
    waker = BackgroundWaker(Wakeups(redis))
    for lane in (5, 5, 7):
        waker.wake(lane)

    until(lambda: sorted(queued(redis)) == [5, 7])


@pytest.mark.alone
def test_the_background_waker_never_waits_and_rests_while_redis_is_away() -> None:
    """Thousands of calls cost nothing, and one of them in three seconds finds out whether Redis is back."""
    with closed_port() as port:
        waker = BackgroundWaker(Wakeups(connect(f"redis://127.0.0.1:{port}/0")))
        waker.wake(1)
        until(lambda: waker._rest_until_s > 0)
        began_s = time.monotonic()
        for lane in range(5_000):
            waker.wake(lane)
        assert time.monotonic() - began_s < 0.5
        assert waker._lanes.empty()


def test_what_gathered_before_the_rest_is_dropped() -> None:
    """A waker that rests takes nothing from its queue to Redis; the sweeper makes those wake-ups."""
    notes = Notes(RedisError("away"))
    waker = BackgroundWaker(notes)  # type: ignore[arg-type]
    waker._wake_all([1])
    waker._wake_all([2])
    assert notes.lanes == []

    waker._rest_until_s = 0.0
    waker._wake_all([3])
    assert notes.lanes == [3]


def test_a_fault_does_not_end_the_background_waker() -> None:
    """Without its thread nothing would be woken, and what is asked would gather for ever."""
    notes = Notes(RuntimeError("a fault"))
    waker = BackgroundWaker(notes)  # type: ignore[arg-type]
    waker.wake(1)
    until(lambda: waker._rest_until_s > 0)
    waker._rest_until_s = 0.0
    waker.wake(2)

    until(lambda: notes.lanes == [2])


def test_a_waker_that_is_closed_has_woken_what_was_asked(redis: Redis) -> None:
    """One that was never used ends at once."""
    BackgroundWaker(Wakeups(redis)).close()
    waker = BackgroundWaker(Wakeups(redis))
    for lane in range(20):
        waker.wake(lane)
    waker.close()

    assert sorted(queued(redis)) == list(range(20))


def test_many_threads_start_one_waker(redis: Redis) -> None:
    """The first requests of a web process come at once."""
    waker = BackgroundWaker(Wakeups(redis))
    before = wakers()
    ready = threading.Barrier(16)

    def wake() -> None:
        ready.wait()
        waker.wake(5)

    threads = [threading.Thread(target=wake) for _ in range(16)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    until(lambda: queued(redis) == [5])
    assert wakers() == before + 1


def wakers() -> int:
    """Return how many wakers' threads run; those of earlier tests do until the end."""
    return [thread.name for thread in threading.enumerate()].count("waker")
