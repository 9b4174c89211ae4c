"""Keeps what Asaas posts: nothing is answered with 200 before it is committed here.

Ingress does no mapping and no network call: a broken mapping, a hanging Clint or an absent Redis must not cost an event
or time. One thread writes; it commits what has gathered while the commit before was under way, so that many requests
share a commit and each still waits for its own. Waking the lane is left to another thread and may fail.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from concurrent.futures import Future
from concurrent.futures import TimeoutError as FutureTimeout
from queue import SimpleQueue
from typing import NamedTuple

from bridge.errors import BridgeError, JournalError
from bridge.journal import Journal
from bridge.journal.events import Kept
from bridge.logs import logger
from bridge.model import IncomingEvent

log = logger(__name__)

ANSWER_WITHIN_S = 8.0
"""Asaas gives up after 10 seconds (docs "erro-read-timed-out"); a 503 before that tells it to come again."""
BATCH = 64


class _Posted(NamedTuple):
    event: IncomingEvent
    kept: Future[Kept]
    waits_until_s: float


class Ingress:
    """The door's writer: one for each web process, started at the first event."""

    def __init__(self, journal: Journal, wake: Callable[[int], None]) -> None:
        self._journal = journal
        self._wake = wake
        self._posted: SimpleQueue[_Posted | None] = SimpleQueue()
        self._starting = threading.Lock()
        self._writer: threading.Thread | None = None

    def keep(self, event: IncomingEvent) -> Kept:
        """Return once the event is durable; raise JournalError where it could not be written in time.

        An event that is written after the error was raised is no harm: Asaas posts it again, and it is kept once.
        """
        self._start()
        kept: Future[Kept] = Future()
        self._posted.put(_Posted(event, kept, time.monotonic() + ANSWER_WITHIN_S))
        try:
            result = kept.result(ANSWER_WITHIN_S)
        except FutureTimeout:
            raise _too_late() from None
        log.info(
            "event.received",
            event_id=result.id,
            event_key=event.key,
            name=event.name,
            account=event.account,
            object=event.object_id,
            repeats=result.repeats,
        )
        return result

    def close(self) -> None:
        """Write what has gathered and end the writer."""
        if self._writer is not None:
            self._posted.put(None)
            self._writer.join()

    def _start(self) -> None:
        # Not at construction: a web server forks after the application is made, and threads do not survive a fork.
        # A writer that a fault ended is replaced: else every request from then on would wait in vain.
        with self._starting:
            if self._writer is None or not self._writer.is_alive():
                self._writer = threading.Thread(target=self._write_all, name="ingress", daemon=True)
                self._writer.start()

    def _write_all(self) -> None:
        while True:
            batch = [self._posted.get()]
            while len(batch) < BATCH and not self._posted.empty():
                batch.append(self._posted.get())
            posted = [item for item in batch if item is not None]
            if posted:
                self._write(posted)
            if None in batch:
                return

    def _write(self, posted: list[_Posted]) -> None:
        # Who was told 503 already comes again: a journal that was away must not find a queue of the past.
        for item in posted:
            if item.waits_until_s < time.monotonic():
                item.kept.set_exception(_too_late())
        posted = [item for item in posted if not item.kept.done()]
        if not posted:
            return
        try:
            kept = self._journal.append([item.event for item in posted])
        except Exception as error:  # noqa: BLE001 (whatever it is, each waiting request must be answered)
            self._failed(posted, error)
            return
        for item, (_, result) in zip(posted, kept, strict=True):
            item.kept.set_result(result)
        for lane in {lane for lane, _ in kept}:
            self._wake(lane)

    def _failed(self, posted: list[_Posted], error: Exception) -> None:
        if len(posted) > 1:
            # One of them may be what the database can't take: the others must not fail with it.
            for item in posted:
                self._write([item])
            return
        log.error("event.not_kept", event_key=posted[0].event.key, name=posted[0].event.name, error=str(error))
        posted[0].kept.set_exception(error if isinstance(error, BridgeError) else JournalError())


def _too_late() -> JournalError:
    return JournalError(f"the journal did not take the event within {ANSWER_WITHIN_S:g} seconds")
