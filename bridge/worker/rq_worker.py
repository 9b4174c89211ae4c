"""The worker process: an RQ worker that takes wake-ups, and survives Redis going away.

SIGTERM and SIGINT: no new wake-up is taken, drains finish what is in flight, record it and give their lanes back.
"""

from __future__ import annotations

import logging
import math
import signal
import sys
import threading
import time
from types import FrameType
from uuid import uuid4

from redis import Redis
from redis.exceptions import RedisError
from rq import Queue, SimpleWorker
from rq.exceptions import InvalidJobOperation, NoSuchJobError, StopRequested
from rq.worker import WorkerStatus

from bridge.logs import logger
from bridge.wakeups import QUEUE, why_away
from bridge.worker import jobs
from bridge.worker.drain import Drainer

log = logger(__name__)

AGAIN_S = 1.0
WORKER_TTL_S = 45
"""RQ waits for wake-ups for 15 seconds less than this, and for Redis's answer for 10 more: so long is a Redis that
vanished without closing its connections waited for."""


class LaneWorker(SimpleWorker):
    """RQ's worker without a fork for each job: a drain shares the process's connections, and a job only starts it."""

    max_connection_wait_time = 2.0
    """While Redis is away RQ's own wait doubles up to a minute, in which a Redis that is back would not be seen."""

    def _install_signal_handlers(self) -> None:
        """Leave the signals to `work`, which outlives one RQ worker."""

    def subscribe(self) -> None:
        """Listen to no commands in Redis: the thread that RQ starts for them outlives a worker that lost Redis."""


def _in_own_words(record: logging.LogRecord) -> bool:
    """Warn of a job that Redis lost and of an RQ worker that gives up: RQ logs errors, while the next one goes on."""
    error = sys.exc_info()[1]
    if isinstance(error, InvalidJobOperation | NoSuchJobError):
        log.warning("queue.job_lost", error=type(error).__name__)
    elif str(record.msg).endswith("quitting..."):
        log.warning("worker.begins_again", exc_info=error)
    else:
        return True
    return False


def work(redis: Redis, drainer: Drainer, stopping: threading.Event, stop_within_s: float) -> None:
    """Take wake-ups until the process is asked to stop, which sets `stopping`; within this time it has ended then."""
    jobs.serve(drainer)
    logging.getLogger("rq.worker").addFilter(_in_own_words)
    current: list[LaneWorker] = []

    def stop(_signum: int, _frame: FrameType | None) -> None:
        if drainer.stopping:
            return  # Ctrl-C reaches the whole group, and then comes the supervisor's SIGTERM
        # The kernel ends what hangs: nothing is lost, the leases run out.
        signal.signal(signal.SIGALRM, signal.SIG_DFL)
        signal.alarm(math.ceil(stop_within_s))
        drainer.stop()
        stopping.set()
        for worker in current:
            worker._stop_requested = True
        if not current or current[0].get_state() != WorkerStatus.BUSY:
            # RQ waits for wake-ups in a blocking read that only an exception ends.
            raise StopRequested

    try:
        signal.signal(signal.SIGTERM, stop)
        signal.signal(signal.SIGINT, stop)
        while not drainer.stopping:
            _take_wakeups(redis, current, drainer)
            if not drainer.stopping:
                time.sleep(AGAIN_S)  # RQ gave up because Redis went away in the middle of a job
    except StopRequested:
        pass
    log.info("worker.stopping", owner=drainer.owner)
    drainer.join()


def _take_wakeups(redis: Redis, current: list[LaneWorker], drainer: Drainer) -> None:
    try:
        queue = Queue(QUEUE, connection=redis)
        current[:] = [LaneWorker([queue], connection=redis, name=f"bridge-{uuid4().hex}", worker_ttl=WORKER_TTL_S)]
        # The signal may have come while there was no worker, or a dead one, to tell it to.
        if not drainer.stopping:
            current[0].work(logging_level="WARNING")
    except RedisError as error:
        log.warning("queue.away", error=why_away(error))
