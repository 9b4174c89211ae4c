"""Wake-ups: RQ jobs that name a lane. They may be lost, late or doubled; the journal owns the work.

Each job has an id of its own; wake-ups coalesce by a key in Redis with a short life, not by RQ's `unique=True`.
Measured on RQ 3.0.0: a unique job id is refused while that job runs, while a killed worker's job is not cleaned up, and
for `failure_ttl` after a failure; each would leave a lane asleep. The key `bridge:wake:<lane>` stays while a worker has
the lane, and is deleted before its last look there: what is committed after that makes a new wake-up.
"""

from __future__ import annotations

import contextlib
import socket
import ssl
import threading
import time
from collections.abc import Collection, Iterable
from dataclasses import dataclass
from datetime import UTC, datetime
from queue import Empty, SimpleQueue
from typing import cast
from uuid import uuid4

from redis import Redis
from redis.backoff import NoBackoff
from redis.exceptions import RedisError
from redis.retry import Retry
from rq import Queue, Worker

from bridge.failpoints import failpoint
from bridge.logs import logger

log = logger(__name__)

QUEUE = "bridge"
JOB = "bridge.worker.jobs.drain"
COALESCE_S = 5
"""How long a wake-up that was lost (Redis flushed, a worker killed) keeps the next one of its lane back."""
JOB_TTL_S = 120
LONGEST_QUEUE = 256
"""A job that ended by its TTL leaves its id in the queue: a week without workers must not fill Redis with them."""
REST_S = 3.0
"""How long Redis is left alone after it did not answer."""
TIMEOUT_S = 0.5
CLOSE_S = 2.0
GATHER_S = 0.01
"""How long after a wake-up the next ones gather: a question to Redis for each commit took a tenth of the web's time."""
GATHER_AWAKE_S = 0.03
"""The same where all lanes were awake: they will be now too, and an event waits that long at most where one is not."""
_KEEPALIVE = {
    getattr(socket, name): value
    for name, value in {
        "TCP_KEEPIDLE": 5,
        "TCP_KEEPINTVL": 2,
        "TCP_KEEPCNT": 3,
        "TCP_USER_TIMEOUT": 10_000,
    }.items()
    if hasattr(socket, name)
}
"""A Redis beyond a network that is down is given up within seconds: no wake-up can come from there."""


def connect(url: str, *, timeout_s: float | None = TIMEOUT_S) -> Redis:
    """Return a client that gives up quickly and does not try again by itself."""
    alive = {} if url.startswith("unix:") else {"socket_keepalive": True, "socket_keepalive_options": _KEEPALIVE}
    return Redis.from_url(
        url, socket_timeout=timeout_s, socket_connect_timeout=TIMEOUT_S, retry=Retry(NoBackoff(), 0), **alive
    )


def refused_certificate(error: BaseException) -> str:
    """Return why Redis's certificate is refused, empty where the error is another."""
    cause = error.__context__
    return cause.verify_message if isinstance(cause, ssl.SSLCertVerificationError) else ""


def why_away(error: BaseException) -> str:
    """Return why Redis does not answer, in words that hold no password."""
    refused = refused_certificate(error)
    return f"its certificate is refused: {refused}" if refused else type(error).__name__


# Under load nearly all lanes are awake, and one question for all of them tells so. A key without a time to live, which
# nothing here makes, would keep its lane asleep for ever.
_MARK = """
local fresh = {}
for place, key in ipairs(KEYS) do
    if redis.call('PTTL', key) < 0 then
        redis.call('SET', key, '1', 'EX', ARGV[1])
        fresh[#fresh + 1] = place
    end
end
return fresh
"""


class Wakeups:
    """Wakes lanes, as well as Redis allows."""

    def __init__(self, redis: Redis) -> None:
        self._redis = redis
        self._queue = Queue(QUEUE, connection=redis)
        self._mark = redis.register_script(_MARK)

    def check(self) -> None:
        """Raise RedisError where Redis takes no writes: it is away, full, or another one's replica."""
        self._redis.set("bridge:check", "1", ex=COALESCE_S)

    def wake(self, lane: int) -> None:
        """Ask for the lane to be drained, unless that is asked already; raise RedisError where Redis is away.

        While nobody takes wake-ups the queue stays short; the sweeper makes those anew that are still needed then.
        """
        self.wake_all([lane])

    def wake_all(self, lanes: Iterable[int]) -> bool:
        """Ask for all of these lanes, as `wake` does for one; return whether any of them slept."""
        asked = list(lanes)
        keys = [_key(lane) for lane in asked]
        fresh = [asked[place - 1] for place in cast("list[int]", self._mark(keys, [COALESCE_S]))] if asked else []
        if not fresh:
            return False
        failpoint("wake.before_queue")
        room = LONGEST_QUEUE - self._queue.count
        for lane in fresh[: max(0, room)]:
            self._queue.enqueue_call(
                JOB,
                args=(lane,),
                job_id=f"drain-{lane}-{uuid4().hex[:12]}",
                timeout=-1,
                ttl=JOB_TTL_S,
                result_ttl=0,
                failure_ttl=0,
                description=f"drain lane {lane}",
            )
        failpoint("wake.after_queue")
        return True

    def keep(self, lanes: Collection[int]) -> int:
        """Note that a worker looks at these lanes by itself for some seconds more; return how many workers there are.

        Raises RedisError where Redis is away.
        """
        with self._redis.pipeline(transaction=False) as pipe:
            for lane in lanes:
                pipe.set(_key(lane), "1", ex=COALESCE_S)
            pipe.execute()
        return Worker.count(connection=self._redis, queue=self._queue)

    def ended(self, lanes: Collection[int]) -> None:
        """Note that a worker looks at these lanes for the last time now: later wake-ups are needed again."""
        if lanes:
            with contextlib.suppress(RedisError):  # else the keys' short lives end by themselves
                self._redis.delete(*(_key(lane) for lane in lanes))


class BackgroundWaker:
    """Wakes lanes from a thread of its own, so that no caller waits for Redis; rests while Redis is away.

    A wake-up that is dropped is made by the sweeper.
    """

    def __init__(self, wakeups: Wakeups) -> None:
        self._wakeups = wakeups
        self._lanes: SimpleQueue[int | None] = SimpleQueue()
        self._starting = threading.Lock()
        self._thread: threading.Thread | None = None
        self._rest_until_s = 0.0

    def wake(self, lane: int) -> None:
        """Wake the lane soon; never waits and never raises."""
        if time.monotonic() < self._rest_until_s:
            return
        if self._thread is None:
            with self._starting:  # not at construction: threads do not survive a web server's fork
                if self._thread is None:
                    self._thread = threading.Thread(target=self._run, name="waker", daemon=True)
                    self._thread.start()
        self._lanes.put(lane)

    def close(self) -> None:
        """Wake what is asked for and end, before its Redis client is closed."""
        if self._thread is not None:
            self._lanes.put(None)
            self._thread.join(CLOSE_S)

    def _run(self) -> None:
        while True:
            asked = {self._lanes.get()}
            with contextlib.suppress(Empty):
                while True:
                    asked.add(self._lanes.get_nowait())
            any_slept = self._wake_all(lane for lane in asked if lane is not None)
            if None in asked:
                return
            time.sleep(GATHER_S if any_slept else GATHER_AWAKE_S)

    def _wake_all(self, lanes: Iterable[int]) -> bool:
        if time.monotonic() < self._rest_until_s:
            return False
        try:
            return self._wakeups.wake_all(lanes)
        except RedisError as error:
            self._rest_until_s = time.monotonic() + REST_S
            log.warning("queue.away", error=why_away(error), rest_s=REST_S)
        except Exception:
            # The thread must live on: without it nothing is woken, and what is asked gathers for ever.
            self._rest_until_s = time.monotonic() + REST_S
            log.exception("queue.fault")
        return False


def _key(lane: int) -> str:
    return f"bridge:wake:{lane}"


@dataclass(frozen=True, slots=True)
class SeenWorker:
    """One worker process."""

    host: str
    pid: int
    seen_ms: int
    """When it last said that it is there."""


def workers(redis: Redis) -> list[SeenWorker]:
    """Return the workers by machine and process. Raises RedisError where Redis is away."""
    found = [
        SeenWorker(str(worker.hostname or ""), int(worker.pid or 0), _ms(worker.last_heartbeat))
        for worker in Worker.all(connection=redis)
    ]
    return sorted(found, key=lambda one: (one.host, one.pid))


def _ms(moment: datetime | None) -> int:
    if moment is None:
        return 0
    return int((moment if moment.tzinfo else moment.replace(tzinfo=UTC)).timestamp() * 1000)
