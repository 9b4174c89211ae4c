"""Keeps what Asaas posts: nothing is answered with 200 before it is committed here.

Intake does no mapping and no network call: a broken mapping, a hanging Clint or an absent Redis must not cost an event
or time. A request that finds nobody writing writes; those that come meanwhile gather, and the first of them writes for
all when that commit is done. So many requests share a commit, each still waits for its own, and a lone one is not
handed to another thread: that cost more than the commit. Waking the lane is left to another thread and may fail.
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
from bridge.model import IncomingEvent, trace_id

log = logger(__name__)

ANSWER_WITHIN_S = 8.0
"""Asaas gives up after 10 seconds (docs "erro-read-timed-out"); a 503 before that tells it to come again."""
BATCH = 64


class _Pending:
    """An event whose request waits."""

    __slots__ = ("done", "error", "event", "kept", "until_s", "writes")

    def __init__(self, event: IncomingEvent, until_s: float) -> None:
        self.event = event
        self.until_s = until_s
        self.kept: AppendResult | None = None
        self.error: Exception | None = None
        self.writes = False
        """Whether its request is the one to write now."""
        self.done = threading.Lock()  # held until there is something to tell: the cheapest way to wait for another
        self.done.acquire()


class Intake:
    """The door's writing: one for each web process."""

    def __init__(self, journal: Journal, wake: Callable[[int], None], answer_within_s: float = ANSWER_WITHIN_S) -> None:
        self._journal = journal
        self._wake = wake
        self._answer_within_s = answer_within_s
        self._lock = threading.Lock()
        self._posted: deque[_Pending] = deque()
        self._somebody_writes = False

    def keep(self, event: IncomingEvent) -> AppendResult:
        """Return once the event is durable; raise JournalError where it could not be written in time.

        An event that is written after the error was raised is no harm: Asaas posts it again, and it is kept once. The
        request that writes waits as long as the database's own limits allow, the others do not.
        """
        item = _Pending(event, time.monotonic() + self._answer_within_s)
        with self._lock:
            self._posted.append(item)
            item.writes = not self._somebody_writes
            self._somebody_writes = True
        if item.writes or self._told_to_write(item):
            self._write_for_all()
        if item.kept is None:
            raise item.error or JournalError(
                f"the journal did not take the event within {self._answer_within_s:g} seconds"
            )
        return item.kept

    def _told_to_write(self, item: _Pending) -> bool:
        """Wait for another request's commit; return whether it has come to this one to write instead."""
        if not item.done.acquire(timeout=self._answer_within_s):
            with self._lock:
                # Who was told 503 comes again: a journal that was away must not find a queue of the past.
                if not item.writes and item in self._posted:
                    self._posted.remove(item)
        return item.writes

    def _write_for_all(self) -> None:
        """Write what has gathered, let the next one write, and wake the lanes."""
        with self._lock:
            batch = [self._posted.popleft() for _ in range(min(BATCH, len(self._posted)))]
        lanes: set[int] = set()
        try:
            lanes = self._write(batch)
        finally:
            with self._lock:
                batch += self._without_time(batch)
                if self._posted:
                    self._posted[0].writes = True
                    self._posted[0].done.release()
                else:
                    self._somebody_writes = False
            for item in batch:
                if not item.writes:
                    item.done.release()
        failpoint("ingress.before_wake")
        for lane in lanes:
            self._wake(lane)
        with log_batch():
            for item in batch:
                if item.kept is not None:
                    log_events(item.event, item.kept)

    def _without_time(self, batch: Sequence[_Pending]) -> list[_Pending]:
        """Refuse those that waited for a write that the journal did not take and have no time for one of their own."""
        error = batch[0].error
        if error is None or not is_away(error):
            return []
        latest_s = time.monotonic() + self._answer_within_s / 2
        refused = [item for item in self._posted if item.until_s < latest_s]
        for item in refused:
            item.error = error
            self._posted.remove(item)
        return refused

    def _write(self, batch: Sequence[_Pending]) -> set[int]:
        """Commit these events and note what became of each; return the lanes that have work now."""
        failpoint("ingress.before_write")
        try:
            kept = self._journal.append([item.event for item in batch])
        except Exception as error:  # noqa: BLE001 (whatever it is, each waiting request must be answered)
            return self._not_written(batch, error)
        failpoint("ingress.after_commit")
        for item, (_, result) in zip(batch, kept, strict=True):
            item.kept = result
        return {lane for lane, _ in kept}

    def _not_written(self, batch: Sequence[_Pending], error: Exception) -> set[int]:
        """Try each event by itself where the database is there: one of them may be what it can't take."""
        if len(batch) > 1 and not is_away(error):
            in_time = (item for item in batch if time.monotonic() < item.until_s)
            return set[int]().union(*(self._write([item]) for item in in_time))
        for item in batch:
            log.error("event.not_kept", event_key=item.event.key, name=item.event.name, error=str(error))
            item.error = error if isinstance(error, BridgeError) else JournalError()
        return set()


def log_events(event: IncomingEvent, kept: AppendResult) -> None:
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
