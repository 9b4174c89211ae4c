"""The intake commits each posted event before the door answers 200.

It runs no mapping and calls no other service: a broken mapping, a hanging Clint or an absent Redis must cost neither an
event nor time. Requests that come together share a commit: the thread of the first writes the events of all that wait,
then appoints the next writer among those that came meanwhile.
"""

from __future__ import annotations

import threading
import time
from collections import deque
from collections.abc import Callable, Sequence

from bridge.errors import BridgeError, JournalError
from bridge.failpoints import failpoint
from bridge.journal import Journal, is_away
from bridge.journal.events import AppendResult
from bridge.logs import log_batch, logger
from bridge.messages import N_
from bridge.model import IncomingEvent, trace_id

log = logger(__name__)

ANSWER_WITHIN_S = 8.0
"""Asaas gives up after 10 seconds (docs "erro-read-timed-out"); a 503 before that makes it post again."""
INTAKE_BATCH = 64


class _Pending:
    """An event whose request waits."""

    __slots__ = ("done", "error", "event", "kept", "until_s", "writes")

    def __init__(self, event: IncomingEvent, until_s: float) -> None:
        self.event = event
        self.until_s = until_s
        self.kept: AppendResult | None = None
        self.error: Exception | None = None
        self.writes = False
        """Whether this request writes the next batch."""
        self.done = threading.Lock()  # held until there is a result: the cheapest way to wait for another thread
        self.done.acquire()


class Intake:
    """The writer of one web process."""

    def __init__(self, journal: Journal, wake: Callable[[int], None], answer_within_s: float = ANSWER_WITHIN_S) -> None:
        self._journal = journal
        self._wake = wake
        self._answer_within_s = answer_within_s
        self._lock = threading.Lock()
        self._queue: deque[_Pending] = deque()
        self._is_writing = False

    def keep(self, event: IncomingEvent) -> AppendResult:
        """Return once the event is durable; raise JournalError where it could not be written in time.

        An event that is written after the error does no harm: Asaas posts it again, and it is kept once. The request
        that writes has no deadline of its own: the time limits of the database's statements end its wait.
        """
        item = _Pending(event, time.monotonic() + self._answer_within_s)
        with self._lock:
            self._queue.append(item)
            item.writes = is_first = not self._is_writing
            self._is_writing = True
        if not is_first and not item.done.acquire(timeout=self._answer_within_s):
            with self._lock:
                # Its request is answered 503, and Asaas posts the event again: it must not be written now.
                if not item.writes and item in self._queue:
                    self._queue.remove(item)
        if item.writes:
            self._write_batch()
        if item.kept is None:
            late = N_("the journal did not take the event within {seconds:g} seconds")
            raise item.error or JournalError(late, seconds=self._answer_within_s)
        return item.kept

    def _write_batch(self) -> None:
        """Write the events that gathered, appoint the next writer, wake the lanes and log."""
        with self._lock:
            batch = [self._queue.popleft() for _ in range(min(INTAKE_BATCH, len(self._queue)))]
        lanes: set[int] = set()
        try:
            lanes = self._write(batch)
        finally:
            with self._lock:
                batch += self._refuse_late(batch)
                if self._queue:
                    self._queue[0].writes = True
                    self._queue[0].done.release()
                else:
                    self._is_writing = False
            for item in batch:
                if not item.writes:
                    item.done.release()
        failpoint("ingress.before_wake")
        for lane in lanes:
            self._wake(lane)
        with log_batch():
            for item in batch:
                event, kept = item.event, item.kept
                if kept is not None:
                    log.info(
                        "event.received",
                        trace=trace_id(event.account, event.key),
                        event_id=kept.id,
                        event_key=event.key,
                        name=event.name,
                        account=event.account,
                        object=event.object_id,
                        repeats=kept.repeats,
                    )

    def _refuse_late(self, batch: Sequence[_Pending]) -> list[_Pending]:
        """Where the journal is away, refuse the requests that have no time left for a write of their own."""
        error = batch[0].error
        if error is None or not is_away(error):
            return []
        latest_s = time.monotonic() + self._answer_within_s / 2
        refused = [item for item in self._queue if item.until_s < latest_s]
        for item in refused:
            item.error = error
            self._queue.remove(item)
        return refused

    def _write(self, batch: Sequence[_Pending]) -> set[int]:
        """Commit these events, give each its result or error, and return the lanes that have work now."""
        failpoint("ingress.before_write")
        try:
            results = self._journal.append([item.event for item in batch])
        except Exception as error:  # noqa: BLE001 (each waiting request must be answered)
            if len(batch) > 1 and not is_away(error):
                # One of them may be an event that the database refuses: each is tried by itself.
                in_time = (item for item in batch if time.monotonic() < item.until_s)
                return set[int]().union(*(self._write([item]) for item in in_time))
            for item in batch:
                log.error("event.not_kept", event_key=item.event.key, name=item.event.name, error=str(error))
                item.error = error if isinstance(error, BridgeError) else JournalError()
            return set()
        failpoint("ingress.after_commit")
        for item, (_, kept) in zip(batch, results, strict=True):
            item.kept = kept
        return {lane for lane, _ in results}
