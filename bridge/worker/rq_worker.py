"""The worker process: an RQ worker that takes wake-ups and survives the absence of Redis.

SIGTERM and SIGINT: it takes no new wake-up; the drain records what is in flight and releases the lanes.
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

RECONNECT_EVERY_S = 1.0
WORKER_TTL_S = 45
"""RQ waits for wake-ups for 15 seconds less than this, and 10 seconds more for Redis's answer: so long it takes to
notice a Redis that vanished without closing its connections."""


class LaneWorker(SimpleWorker):
    """RQ's worker without a fork for each job: a drain uses the process's connections, and a job only starts it."""

    max_connection_wait_time = 2.0
    """RQ's own wait doubles up to a minute while Redis is away."""

    def _install_signal_handlers(self) -> None:
        """Leave the signals to `work`, which outlives an RQ worker."""

    def subscribe(self) -> None:
        """Listen to no commands in Redis: RQ's thread for them outlives a worker that lost Redis."""


def _log_as_warning(record: logging.LogRecord) -> bool:
    """Log a lost job and an RQ worker that ends as warnings: RQ logs errors, and the bridge starts the next one."""
    error = sys.exc_info()[1]
    # A flush between RQ's list of executions and its look at one is a plain ValueError (rq/executions.py).
    is_gone = isinstance(error, ValueError) and "not found in Redis" in str(error)
    if is_gone or isinstance(error, InvalidJobOperation | NoSuchJobError):
        log.warning("queue.job_lost", error=type(error).__name__)
    elif str(record.msg).endswith("quitting..."):
        log.warning("worker.begins_again", exc_info=error)
    else:
        return True
    return False


def work(redis: Redis, drainer: Drainer, stopping: threading.Event, stop_within_s: float) -> None:
    """Take wake-ups until a signal asks to stop, which sets `stopping`; the process ends within that time then."""
    jobs.serve(drainer)
    logging.getLogger("rq.worker").addFilter(_log_as_warning)
    current: list[LaneWorker] = []

    def stop(_signum: int, _frame: FrameType | None) -> None:
        if drainer.stopping:
            return  # Ctrl-C reaches the whole group, and the supervisor's SIGTERM follows
        # The kernel ends a process that hangs: nothing is lost, the leases run out.
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
            try:
                queue, name = Queue(QUEUE, connection=redis), f"bridge-{uuid4().hex}"
                current[:] = [LaneWorker([queue], connection=redis, name=name, worker_ttl=WORKER_TTL_S)]
                # The signal may have come while there was no worker to stop, or an old one.
                if not drainer.stopping:
                    current[0].work(logging_level="WARNING")
            except RedisError as error:
                log.warning("queue.away", error=str(why_away(error)))
            if not drainer.stopping:
                time.sleep(RECONNECT_EVERY_S)  # RQ gave up because Redis went away in the middle of a job
    except StopRequested:
        pass
    log.info("worker.stopping", owner=drainer.owner)
    drainer.join()
