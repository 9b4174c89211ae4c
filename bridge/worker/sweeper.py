"""The periodic runner of the sweeper, and the task that wakes lanes with due work.

The runner gives each task a loop in a thread of its own. An error of a task is logged, counted and followed by a new
run; a thread that ends is started again. A task without success for five minutes is a notice. Two sweepers do no harm.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from redis.exceptions import RedisError
from sqlalchemy import Connection

from bridge.errors import BridgeError
from bridge.failpoints import reached
from bridge.journal import Journal, notices, rounds
from bridge.journal.notices import Mended, Notice
from bridge.logs import logger
from bridge.model import NoticeLevel
from bridge.observing import Observer
from bridge.queueing.wakeups import Wakeups

log = logger(__name__)

FAILING = "task.failing"
"""The notice's code; the next success of the task, in any sweeper, closes it."""
_TODO = "see task.failed in the sweeper's log and remove the cause; a run that does not end needs a restart"
WATCH_S = 1.0
REPORT_S = 15.0
STOP_TIMEOUT_S = 2.0


@dataclass(frozen=True, slots=True)
class PeriodicTask:
    """A function that runs again and again; it returns soon once the event that it is given is set."""

    name: str
    every_s: float
    run: Callable[[threading.Event], object]
    enabled: bool = True
    stop_timeout_s: float | None = STOP_TIMEOUT_S
    """How long the end of the process waits for a run; None: until it is done."""
    again_s: float | None = None
    """How long after an error the next run begins, where that is not `every_s`."""
    late_after_s: float = 300.0
    """A task is late where its next success takes longer than this, beyond `every_s`."""


class PeriodicRunner:
    """Runs tasks until it is stopped."""

    def __init__(
        self, tasks: Sequence[PeriodicTask], journal: Journal, observer: Observer, clock_ms: Callable[[], int]
    ) -> None:
        self._tasks = [task for task in tasks if task.enabled]
        self._journal = journal
        self._observer = observer
        self._clock_ms = clock_ms
        began_s = time.monotonic()
        self._succeeded_s = {task.name: began_s for task in self._tasks}
        self._errors: dict[str, str] = {}

    def run(self, stopping: threading.Event) -> None:
        """Run every task, and start its thread again where it ended."""
        report = PeriodicTask("report", REPORT_S, lambda _: self.report())
        threads: dict[PeriodicTask, threading.Thread] = {}
        try:
            while not stopping.is_set():
                for task in (*self._tasks, report):
                    if task in threads and threads[task].is_alive():
                        continue
                    if task in threads:
                        self._failed(task, "its thread ended")
                    threads[task] = threading.Thread(
                        target=self._loop, args=(task, stopping), name=task.name, daemon=task.stop_timeout_s is not None
                    )
                    threads[task].start()
                stopping.wait(WATCH_S)
        finally:
            stopping.set()  # an error of this thread ends the process, and no thread may keep it alive
            for task, thread in threads.items():
                thread.join(task.stop_timeout_s)

    def _loop(self, task: PeriodicTask, stopping: threading.Event) -> None:
        wait_s = 0.0
        while not stopping.wait(wait_s):
            wait_s = task.every_s
            try:
                task.run(stopping)
            except (BridgeError, RedisError, OSError) as error:
                self._failed(task, str(error) or type(error).__name__)
            except Exception as error:  # noqa: BLE001 (no error may end the loop)
                self._failed(task, type(error).__name__, error)
            else:
                self._succeeded_s[task.name] = time.monotonic()
                self._errors.pop(task.name, None)
                continue
            wait_s = task.again_s or task.every_s

    def _failed(self, task: PeriodicTask, what: str, fault: Exception | None = None) -> None:
        self._errors[task.name] = what
        self._observer.task_failed(task.name)
        log.error("task.failed", task=task.name, error=what, exc_info=fault)

    def report(self) -> None:
        """Keep until when each task is in time, raise a notice for each that is late, close those that are over."""
        with self._journal.database.write() as connection:
            now_ms = self._clock_ms()
            until_ms = self._in_time_until(connection, now_ms)
            rounds.note_result(connection, rounds.TASKS, until_ms)
            late = {name for name, at_ms in until_ms.items() if at_ms < now_ms}
            over = [
                Mended(FAILING, one.about) for one in notices.unmended(connection, [FAILING]) if one.about not in late
            ]
            news = notices.apply(connection, [*map(self._notice, late), *over], now_ms)
        for one in news:
            if isinstance(one, Notice):
                log.warning("notice.raised", code=one.code, about=one.about, level=one.level.value, detail=one.detail)
            else:
                log.info("notice.closed", code=one.code, about=one.about)

    def _in_time_until(self, connection: Connection, now_ms: int) -> dict[str, int]:
        """Return for each task until when it is in time; the success of another sweeper counts too."""
        known = rounds.results(connection, [rounds.TASKS]).get(rounds.TASKS, {})
        now_s = time.monotonic()
        found = {}
        for task in self._tasks:
            longest_ms = int(1000 * (task.every_s + task.late_after_s))
            mine_ms = now_ms + longest_ms - int(1000 * (now_s - self._succeeded_s[task.name]))
            # A clock that was ahead may have left a time that no success could give now.
            found[task.name] = max(mine_ms, min(known.get(task.name, 0), now_ms + longest_ms))
        return found

    def _notice(self, name: str) -> Notice:
        why = self._errors.get(name, "its run does not end")
        return Notice(FAILING, name, NoticeLevel.ERROR, f"has not succeeded for minutes: {why}", _TODO)


def wake_due_lanes(journal: Journal, wakeups: Wakeups, now_ms: int) -> int:
    """Wake each lane that has due work and no live lease; return how many.

    Retries, probes of open circuits and leases that ran out need no timer of their own: they are due times in the
    journal.
    """
    lanes = journal.lanes.due(now_ms)
    if lanes:
        reached("sweep.before_wake")
    for lane in lanes:
        wakeups.wake(lane)
    if lanes:
        log.debug("sweep.woke", lanes=lanes)
    return len(lanes)
