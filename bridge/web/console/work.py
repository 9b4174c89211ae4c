"""Long work that a page begins and that goes on without it: in threads of this process, noted in the journal.

A page only begins it and shows what the journal says of it, so that a reload, another tab or another web process shows
the same. Few threads do it, apart from those that answer requests: the webhook's door never waits for any of it.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Mapping
from concurrent.futures import Future
from typing import Any, TypeVar, cast

from flask import current_app

from bridge.errors import BridgeError, ConsoleBusy, NoAnswerYet
from bridge.journal import jobs
from bridge.logs import logger
from bridge.runtime import Runtime

log = logger(__name__)

AT_ONCE = 4
BEAT_EVERY_S = 1.0
MOST_STEPS = 500

Result = Mapping[str, Any]
T = TypeVar("T")


class Task:
    """One job while it is done: what it works with, and how it says how far it is."""

    def __init__(self, runtime: Runtime, id_: int, params: Mapping[str, Any]) -> None:
        self.runtime = runtime
        self.params = params
        self._id = id_
        self._done = 0
        self._total: int | None = None
        self._steps: list[Mapping[str, Any]] = []
        self._beaten_s = time.monotonic()

    def tell(self, done: int, total: int | None) -> None:
        """Say how many of how many are done."""
        self._done, self._total = done, None if total is None else max(done, total)
        self._beat()

    def step(self, **said: Any) -> None:
        """Say that something happened; it is shown at once."""
        if len(self._steps) < MOST_STEPS:
            self._steps.append({"at_ms": self.runtime.clock_ms(), **said})
        self._beat(now=True)

    def sleep(self, seconds: float) -> None:
        """Wait, giving signs of life."""
        time.sleep(seconds)
        self._beat()

    def _beat(self, *, now: bool = False) -> None:
        if not now and time.monotonic() - self._beaten_s < BEAT_EVERY_S:
            return
        self._beaten_s = time.monotonic()
        with self.runtime.journal.database.write() as connection:
            jobs.beat(
                connection,
                self._id,
                self.runtime.clock_ms(),
                done=self._done,
                total=self._total,
                steps=self._steps,
            )

    def flush(self) -> None:
        """Write down how far it came."""
        self._beat(now=True)


Doing = Callable[[Task], Result]


class Work:
    """The long work of one process."""

    def __init__(self, runtime: Runtime) -> None:
        self._runtime = runtime
        self._free = threading.Semaphore(AT_ONCE)
        self._threads: list[threading.Thread] = []

    def begin(self, kind: str, about: str, doing: Doing, params: Mapping[str, Any], author: str) -> int:
        """Begin it and return the job's number; raise ConsoleBusy where too much is under way."""
        if not self._free.acquire(blocking=False):
            raise ConsoleBusy
        try:
            runtime = self._runtime
            with runtime.journal.database.write() as connection:
                id_ = jobs.begin(connection, kind, about, params, author, runtime.clock_ms())
            # A daemon: a process that ends does not wait for it, and the journal knows that it was lost.
            thread = threading.Thread(
                target=self._run, args=(doing, Task(runtime, id_, params), id_), name=f"{kind}-{id_}", daemon=True
            )
            thread.start()
        except BaseException:
            self._free.release()
            raise
        self._threads = [*(one for one in self._threads if one.is_alive()), thread]
        return id_

    def join(self, timeout_s: float) -> None:
        """Wait until all that was begun is done."""
        for thread in self._threads:
            thread.join(timeout_s)

    def _run(self, doing: Doing, task: Task, id_: int) -> None:
        try:
            self._end(task, id_, doing)
        except BridgeError as error:  # the journal is away: the page will say that it was lost
            log.warning("console.job_not_noted", job=id_, code=error.code)
        finally:
            self._free.release()

    def _end(self, task: Task, id_: int, doing: Doing) -> None:
        database, clock_ms = self._runtime.journal.database, self._runtime.clock_ms
        try:
            result = doing(task)
            task.flush()
        except BridgeError as error:
            task.flush()
            log.info("console.job_failed", job=id_, code=error.code)
            with database.write() as connection:
                jobs.fail(connection, id_, clock_ms(), error.code, str(error))
        except Exception as error:
            log.error("console.job_fault", job=id_, exc_info=error)
            with database.write() as connection:
                jobs.fail(connection, id_, clock_ms(), BridgeError.code, type(error).__name__)
        else:
            with database.write() as connection:
                jobs.finish(connection, id_, clock_ms(), result)


_OUTSIDE = threading.Semaphore(3)
OUTSIDE_S = 3.0


def outside(ask: Callable[[], T]) -> T:
    """Ask Asaas or Clint while a request waits, for 3 seconds at most; the caller holds no transaction meanwhile.

    Raises NoAnswerYet after that, and ConsoleBusy where as many calls as may be are under way, those that nobody
    waits for any more included.
    """
    if not _OUTSIDE.acquire(blocking=False):
        raise ConsoleBusy
    answer: Future[T] = Future()

    def run() -> None:
        try:
            answer.set_result(ask())
        except BaseException as error:  # noqa: BLE001 raised where it is waited for
            answer.set_exception(error)
        finally:
            _OUTSIDE.release()

    # A daemon: a process that ends does not wait for it.
    threading.Thread(target=run, name="outside", daemon=True).start()
    try:
        return answer.result(OUTSIDE_S)
    except TimeoutError:
        raise NoAnswerYet from None


def work() -> Work:
    """Return the long work of this process."""
    return cast(Work, current_app.extensions["bridge.work"])
