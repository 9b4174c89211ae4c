"""Drains lanes: lease, process, deliver, give back, look again.

A drain gives way after a bounded time so that no lane starves; what is left is woken again behind the others. The look
after the lease is given back is what makes wake-ups during a drain safe to drop.
"""

from __future__ import annotations

import os
import socket
import threading
from collections.abc import Callable
from uuid import uuid4

from redis.exceptions import RedisError

from bridge.errors import JournalError, LeaseLost
from bridge.journal import Journal, Lease
from bridge.logs import logger
from bridge.outbox import Outbox
from bridge.process import Processor
from bridge.queueing.wakeups import Wakeups

log = logger(__name__)

GIVE_WAY_MS = 5_000


class Drainer:
    """Drains several lanes at once, each in a thread."""

    def __init__(
        self,
        journal: Journal,
        processor: Processor,
        outbox: Outbox,
        wakeups: Wakeups,
        clock_ms: Callable[[], int],
        lanes_at_once: int,
    ) -> None:
        self._journal = journal
        self._processor = processor
        self._outbox = outbox
        self._wakeups = wakeups
        self._clock_ms = clock_ms
        self._slots = threading.BoundedSemaphore(lanes_at_once)
        self._lanes_at_once = lanes_at_once
        self._stop = threading.Event()
        self.owner = f"{socket.gethostname()}:{os.getpid()}:{uuid4().hex[:8]}"

    def start(self, lane: int) -> None:
        """Drain a lane in a thread; wait first while as many lanes as allowed are being drained."""
        self._slots.acquire()
        threading.Thread(target=self._drain_in_slot, args=(lane,), name=f"lane-{lane}", daemon=True).start()

    @property
    def stopping(self) -> bool:
        """Whether the process was asked to stop."""
        return self._stop.is_set()

    def stop(self) -> None:
        """Send nothing more; what is in flight is still recorded."""
        self._stop.set()

    def join(self) -> None:
        """Wait until every drain has recorded what it had in flight and given its lane back."""
        for _ in range(self._lanes_at_once):
            self._slots.acquire()
        for _ in range(self._lanes_at_once):
            self._slots.release()

    def _drain_in_slot(self, lane: int) -> None:
        try:
            self.drain(lane)
        except LeaseLost as error:
            log.warning("lane.lost", lane=lane, error=str(error))
        except JournalError as error:
            # Nothing is lost: what was committed is due again when the lease ends, and the sweeper wakes it.
            log.error("lane.journal_away", lane=lane, error=str(error))
        except Exception:
            log.exception("lane.fault", lane=lane)
        finally:
            self._slots.release()

    def drain(self, lane: int) -> None:
        """Work on a lane until nothing is due, its time is over or the worker stops."""
        until_ms = self._clock_ms() + GIVE_WAY_MS
        self._wakeups.started(lane)
        while not self._stop.is_set():
            lease = self._journal.lanes.acquire(lane, self.owner, self._clock_ms())
            if lease is None:
                return  # its owner looks again after it gives the lane back
            try:
                self._work(lease, until_ms)
            finally:
                self._journal.lanes.release(lease)
            if not self._journal.lanes.is_due(lane, self._clock_ms()):
                return
            if self._clock_ms() >= until_ms:
                self._wake_later(lane)
                return

    def _work(self, lease: Lease, until_ms: int) -> None:
        moved = True
        while moved and not self._stop.is_set() and self._clock_ms() < until_ms:
            moved = self._processor.run(lease)
            moved = self._outbox.run(lease, until_ms, self._stop.is_set) or moved

    def _wake_later(self, lane: int) -> None:
        try:
            self._wakeups.wake(lane)
        except RedisError as error:
            log.warning("queue.away", lane=lane, error=type(error).__name__)  # the sweeper wakes it
