"""The worker process: an RQ worker that takes wake-ups, and survives Redis going away.

SIGTERM and SIGINT: no new wake-up is taken, drains finish what is in flight, record it and give their lanes back.
"""

from __future__ import annotations

import signal
import time
from types import FrameType
from uuid import uuid4

from redis import Redis
from redis.exceptions import RedisError
from rq import Queue, SimpleWorker
from rq.exceptions import StopRequested
from rq.worker import WorkerStatus

from bridge.logs import logger
from bridge.queueing.wakeups import QUEUE
from bridge.worker import jobs
from bridge.worker.drain import Drainer

log = logger(__name__)

AGAIN_S = 1.0


class LaneWorker(SimpleWorker):
    """RQ's worker without a fork for each job: a drain shares the process's connections, and a job only starts it."""

    def _install_signal_handlers(self) -> None:
        """Leave the signals to `work`, which outlives one RQ worker."""


def work(redis: Redis, drainer: Drainer) -> None:
    """Take wake-ups until the process is asked to stop."""
    jobs.serve(drainer)
    current: list[LaneWorker] = []

    def stop(_signum: int, _frame: FrameType | None) -> None:
        drainer.stop()
        if current and current[0].get_state() == WorkerStatus.BUSY:
            current[0]._stop_requested = True
        else:
            # RQ waits for wake-ups in a blocking read that only an exception ends.
            raise StopRequested

    signal.signal(signal.SIGTERM, stop)
    signal.signal(signal.SIGINT, stop)
    try:
        while not drainer.stopping:
            _take_wakeups(redis, current)
            if not drainer.stopping:
                time.sleep(AGAIN_S)  # RQ gave up because Redis went away in the middle of a job
    except StopRequested:
        pass
    log.info("worker.stopping", owner=drainer.owner)
    drainer.join()


def _take_wakeups(redis: Redis, current: list[LaneWorker]) -> None:
    try:
        worker = LaneWorker([Queue(QUEUE, connection=redis)], connection=redis, name=f"bridge-{uuid4().hex}")
        current[:] = [worker]
        worker.work(logging_level="WARNING")
    except RedisError as error:
        log.warning("queue.away", error=type(error).__name__)
