"""Wake-ups: RQ jobs that name a lane. They may be lost, late or doubled; the journal owns the work.

Wake-ups of a lane coalesce by the key `bridge:wake:<lane>`: a worker keeps it with the lane and deletes it before
its last look there. RQ's `unique=True` would leave a lane asleep: RQ 3.0.0 refuses the id while the job runs, while a
killed worker's job is not cleaned up, and for `failure_ttl` after a failure.
"""

from __future__ import annotations

import contextlib
import ssl
import threading
import time
from collections.abc import Collection, Iterable
from queue import Empty, SimpleQueue
from typing import NamedTuple, cast
from uuid import uuid4

from redis import Redis
from redis.exceptions import AuthenticationError, RedisError
from redis.exceptions import TimeoutError as RedisTimeout
from rq import Queue, Worker

from bridge.failpoints import failpoint
from bridge.logs import logger
from bridge.messages import N_, Message, message, system_reason

log = logger(__name__)

QUEUE = "bridge"
JOB = "bridge.worker.jobs.drain"
COALESCE_S = 5
"""A lost wake-up (Redis flushed, a worker killed) holds back the next one of its lane for this long."""
JOB_TTL_S = 120
LONGEST_QUEUE = 256
"""An expired job leaves its id in the queue: a week without workers must not fill Redis with ids."""
REST_S = 3.0
"""After an error Redis is left alone for this long."""
CLOSE_S = 2.0
GATHER_S = 0.01
"""The waker collects lanes for this long and asks Redis once for all of them."""
GATHER_AWAKE_S = 0.03
"""The same after a call that found all lanes awake; the longest time that an event of a sleeping lane waits."""


def refused_certificate(error: BaseException) -> str:
    """Return why Redis's certificate is refused, an empty text for another error."""
    cause = error.__context__
    return cause.verify_message if isinstance(cause, ssl.SSLCertVerificationError) else ""


def why_away(error: BaseException) -> Message:
    """Return why Redis does not answer, without a password."""
    if refused := refused_certificate(error):
        return message(N_("its certificate is refused: {error}"), error=refused)
    if isinstance(error, AuthenticationError):
        return Message(N_("it refuses the password"))
    if isinstance(error, RedisTimeout):
        return Message(N_("no answer in time"))
    reason = error if isinstance(error, OSError) else error.__context__
    return system_reason(reason) if isinstance(reason, OSError) else Message(type(error).__name__)


def redis_problem(error: BaseException) -> Message:
    """Return that the Redis of REDIS_URL is away, why, and what to do, for people."""
    what = N_("the Redis of REDIS_URL does not answer: {why}; {hint}")
    hint = Message(N_("start it, or fix REDIS_URL; events are kept meanwhile and delivered once it is back"))
    return message(what, why=why_away(error), hint=hint)


# Marks the lanes that sleep and returns their places. A key without a time to live would keep its lane asleep for ever.
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
    """Wakes lanes through Redis."""

    def __init__(self, redis: Redis) -> None:
        self._redis = redis
        self._queue = Queue(QUEUE, connection=redis)
        self._mark = redis.register_script(_MARK)

    def check(self) -> None:
        """Raise RedisError where Redis takes no writes: it is away, full, or a replica."""
        self._redis.set("bridge:check", "1", ex=COALESCE_S)

    def wake(self, lane: int) -> None:
        """Queue a drain of the lane unless one is queued already; raise RedisError.

        The queue stays short without workers: the sweeper makes dropped wake-ups anew.
        """
        self.wake_all([lane])

    def wake_all(self, lanes: Iterable[int]) -> bool:
        """Do the same for all of these lanes; return whether any of them slept."""
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
        """Keep these lanes marked as awake for COALESCE_S; return the number of workers. Raises RedisError."""
        with self._redis.pipeline(transaction=False) as pipe:
            for lane in lanes:
                pipe.set(_key(lane), "1", ex=COALESCE_S)
            pipe.execute()
        return Worker.count(connection=self._redis, queue=self._queue)

    def ended(self, lanes: Collection[int]) -> None:
        """Unmark these lanes before a worker's last look at them: later wake-ups are needed again."""
        if lanes:
            with contextlib.suppress(RedisError):  # else the keys' short lives end by themselves
                self._redis.delete(*(_key(lane) for lane in lanes))


class BackgroundWaker:
    """Wakes lanes in a thread, so that no caller waits for Redis; rests while Redis is away.

    The sweeper makes dropped wake-ups anew.
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
        """Wake the pending lanes and end; call it before the Redis client is closed."""
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
            log.warning("queue.away", error=str(why_away(error)), rest_s=REST_S)
        except Exception:
            # The thread must live on: without it no lane is woken.
            self._rest_until_s = time.monotonic() + REST_S
            log.exception("queue.fault")
        return False


def _key(lane: int) -> str:
    return f"bridge:wake:{lane}"


class SeenWorker(NamedTuple):
    host: str
    pid: int
    seen_ms: int
    """Its last heartbeat."""


def workers(redis: Redis) -> list[SeenWorker]:
    """Return the workers by machine and process. Raises RedisError."""
    found = []
    for worker in Worker.all(connection=redis):
        seen_s = worker.last_heartbeat.timestamp() if worker.last_heartbeat else 0
        found.append(SeenWorker(worker.hostname or "", worker.pid or 0, int(seen_s * 1000)))
    return sorted(found)
