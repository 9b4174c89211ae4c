"""Runs the periodic tasks in threads, in one of all processes with a runner: the one that holds the lease.

The lease only saves double work: a task that runs in two processes does no harm. An error of a task is logged, counted
and followed by a new run; a thread that ends is started again; a task without success for minutes is a notice.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from uuid import uuid4

from redis.exceptions import RedisError

from bridge.errors import BridgeError
from bridge.journal import Journal, jobs, notices
from bridge.journal.notices import Notice, Resolved
from bridge.logs import logger
from bridge.messages import N_, Message, system_reason, verbatim
from bridge.model import NoticeLevel
from bridge.operations.webhooks import apply_notices
from bridge.telemetry import Telemetry
from bridge.wakeups import why_away

log = logger(__name__)

FAILING = "task.failing"
"""The notice's code; the next success of the task closes it."""
_TODO = N_("see task.failed in the worker's log and remove the cause; a run that does not end needs a restart")
CHECK_EVERY_S = 1.0
LEASE_MS = 3_000
"""The time between the death of the process that runs the tasks and the start of another."""
RENEW_AFTER_S = 1.5
REPORT_EVERY_S = 15.0
STOP_TIMEOUT_S = 2.0
LONGEST_STOP_S = 10.0
"""How long the process waits at its end for a task that writes much."""


@dataclass(frozen=True, slots=True)
class PeriodicTask:
    """A function that runs again and again; it returns soon once the event that it is given is set."""

    name: str
    every_s: float
    run: Callable[[threading.Event], object]
    stop_timeout_s: float = STOP_TIMEOUT_S
    """How long the process waits at its end for a run."""
    again_s: float | None = None
    """The time between an error and the next run, where that is not `every_s`."""
    late_after_s: float = 300.0
    """A task is late where its next success takes longer than this, beyond `every_s`."""


def _in_words(error: BaseException) -> Message | None:
    if isinstance(error, BridgeError):
        return error.message()
    if isinstance(error, RedisError):
        return why_away(error)
    return system_reason(error) if isinstance(error, OSError) else None


class PeriodicRunner:
    """Runs tasks while it holds their lease, until it is stopped."""

    def __init__(
        self, tasks: Sequence[PeriodicTask], journal: Journal, observer: Telemetry, clock_ms: Callable[[], int]
    ) -> None:
        self._tasks = list(tasks)
        self._report = PeriodicTask("report", REPORT_EVERY_S, lambda _: self.report())
        self._journal = journal
        self._telemetry = observer
        self._clock_ms = clock_ms
        self._owner = uuid4().hex
        self._renew_at_s = 0.0
        self._ending = threading.Event()  # ends the threads of one lease; set: the lease is not held
        self._ending.set()
        self._threads: dict[PeriodicTask, threading.Thread] = {}
        self._succeeded_s: dict[str, float] = {}
        self._errors: dict[str, Message] = {}

    @contextmanager
    def in_thread(self, stopping: threading.Event) -> Iterator[None]:
        """Run the tasks beside the block, and stop them at its end."""
        thread = threading.Thread(target=self.run, args=(stopping,), name="tasks", daemon=True)
        thread.start()
        try:
            yield
        finally:
            stopping.set()
            thread.join()

    def run(self, stopping: threading.Event) -> None:
        """Run every task while this process holds the lease."""
        while not stopping.is_set():
            try:
                self._check()
            except Exception as error:  # noqa: BLE001 (the process would live on without its tasks)
                self._failed("lease", error)
            stopping.wait(CHECK_EVERY_S)
        held = not self._ending.is_set()
        self._ending.set()
        began_s = time.monotonic()
        for task, thread in self._threads.items():
            thread.join(max(0.0, began_s + task.stop_timeout_s - time.monotonic()))
        if held:
            with suppress(BridgeError), self._journal.database.write() as connection:
                jobs.end_lease(connection, jobs.TASKS, self._owner)

    def _check(self) -> None:
        """Start the tasks with the lease, end them without it, and start each thread that ended again."""
        if not self._holds_lease():
            self._ending.set()
            return
        if self._ending.is_set():
            self._ending = threading.Event()
            self._succeeded_s = dict.fromkeys((task.name for task in self._tasks), time.monotonic())
        for task in (*self._tasks, self._report):
            if task not in self._threads or not self._threads[task].is_alive():
                self._threads[task] = threading.Thread(
                    target=self._loop, args=(task, self._ending), name=task.name, daemon=True
                )
                self._threads[task].start()

    def _holds_lease(self) -> bool:
        now_s = time.monotonic()
        if now_s < self._renew_at_s:
            return True
        now_ms = self._clock_ms()
        with self._journal.database.read() as connection:
            if jobs.leased_to(connection, jobs.TASKS, LEASE_MS, now_ms) not in {"", self._owner}:
                return False
        with self._journal.database.write() as connection:
            held = jobs.lease(connection, jobs.TASKS, self._owner, LEASE_MS, now_ms)
        if held:
            self._renew_at_s = now_s + RENEW_AFTER_S
        return held

    def _loop(self, task: PeriodicTask, ending: threading.Event) -> None:
        wait_s = 0.0
        while not ending.wait(wait_s):
            wait_s = task.every_s
            try:
                task.run(ending)
            except Exception as error:  # noqa: BLE001 (no error may end the loop)
                self._failed(task.name, error)
                wait_s = task.again_s or task.every_s
            except BaseException as error:
                self._failed(task.name, error)
                raise
            else:
                self._succeeded_s[task.name] = time.monotonic()
                self._errors.pop(task.name, None)

    def _failed(self, name: str, error: BaseException) -> None:
        expected = isinstance(error, BridgeError | RedisError | OSError)
        text = (str(error) if expected else "") or type(error).__name__
        self._errors[name] = _in_words(error) or verbatim(text)
        self._telemetry.task_failed(name)
        log.error("task.failed", task=name, error=text, exc_info=None if expected else error)

    def report(self) -> None:
        """Write until when each task is in time; raise a notice for each late task, close the others."""
        now_s, now_ms = time.monotonic(), self._clock_ms()
        until_ms = {
            task.name: now_ms + int(1000 * (task.every_s + task.late_after_s + self._succeeded_s[task.name] - now_s))
            for task in self._tasks
        }
        late = {name for name, at_ms in until_ms.items() if at_ms < now_ms}
        changes: list[Notice | Resolved] = []
        for name in late:
            error = self._errors.get(name, Message(N_("its run does not end")))
            detail = Message(N_("has not succeeded for minutes: {error}"), {"error": error})
            changes.append(Notice(FAILING, name, NoticeLevel.ERROR, detail, Message(_TODO)))
        with self._journal.database.write() as connection:
            jobs.note_result(connection, jobs.TASKS, until_ms)
            known = notices.open_notices(connection, [FAILING])
        changes += [Resolved(FAILING, one.about) for one in known if one.about not in late]
        if changes:
            apply_notices(self._journal, changes, now_ms)
