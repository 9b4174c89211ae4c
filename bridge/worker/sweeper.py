"""The runner of the periodic tasks, and the task that wakes lanes with due work.

Of all processes with a runner, the one that holds the lease runs the tasks. The lease only saves double work: a task
that runs in two processes does no harm. The runner gives each task a loop in a thread of its own. An error of a task is
logged, counted and followed by a new run; a thread that ends is started again. A task without success for five minutes
is a notice.
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
from bridge.failpoints import failpoint
from bridge.journal import Journal, jobs, notices
from bridge.journal.notices import Notice, Resolved
from bridge.logs import logger
from bridge.model import NoticeLevel
from bridge.runtime import Runtime
from bridge.telemetry import Telemetry
from bridge.wakeups import Wakeups
from bridge.worker.tasks import EVERY_S as ALERTS_EVERY_S
from bridge.worker.tasks import AlertTask, ClockWatch, Housekeeping, QueueWatch, SilenceCheck

log = logger(__name__)

FAILING = "task.failing"
"""The notice's code; the next success of the task closes it."""
_TODO = "see task.failed in the worker's log and remove the cause; a run that does not end needs a restart"
WATCH_S = 1.0
LEASE_MS = 3_000
"""How long after the death of the process that runs the tasks another one begins."""
RENEW_S = 1.5
"""The lease is renewed by the first look after this time."""
REPORT_S = 15.0
STOP_TIMEOUT_S = 2.0
LONGEST_STOP_S = 10.0
"""How long the end of the process waits for a task that writes much."""


@dataclass(frozen=True, slots=True)
class PeriodicTask:
    """A function that runs again and again; it returns soon once the event that it is given is set."""

    name: str
    every_s: float
    run: Callable[[threading.Event], object]
    enabled: bool = True
    stop_timeout_s: float = STOP_TIMEOUT_S
    """How long the end of the process waits for a run."""
    again_s: float | None = None
    """How long after an error the next run begins, where that is not `every_s`."""
    late_after_s: float = 300.0
    """A task is late where its next success takes longer than this, beyond `every_s`."""


class PeriodicRunner:
    """Runs tasks while it holds their lease, until it is stopped."""

    def __init__(
        self, tasks: Sequence[PeriodicTask], journal: Journal, observer: Telemetry, clock_ms: Callable[[], int]
    ) -> None:
        self._tasks = [task for task in tasks if task.enabled]
        self._report = PeriodicTask("report", REPORT_S, lambda _: self.report())
        self._journal = journal
        self._observer = observer
        self._clock_ms = clock_ms
        self._owner = uuid4().hex
        self._renew_at_s = 0.0
        self._ending = threading.Event()  # ends the loops that began with the lease; set: it is not held
        self._ending.set()
        self._threads: dict[PeriodicTask, threading.Thread] = {}
        self._succeeded_s: dict[str, float] = {}
        self._errors: dict[str, str] = {}

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
        """Run every task whenever this process holds the lease."""
        while not stopping.is_set():
            try:
                self._look()
            except Exception as error:  # noqa: BLE001 (the process would live on without its tasks)
                self._failed("lease", error)
            stopping.wait(WATCH_S)
        self._end()

    def _look(self) -> None:
        """Begin with the lease, end without it, and start the thread of each task again where it ended."""
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
            self._renew_at_s = now_s + RENEW_S
        return held

    def _end(self) -> None:
        """Wait for the runs, each as long as its task says, and give the lease back."""
        held = not self._ending.is_set()
        self._ending.set()
        began_s = time.monotonic()
        for task, thread in self._threads.items():
            thread.join(max(0.0, began_s + task.stop_timeout_s - time.monotonic()))
        if held:
            with suppress(BridgeError), self._journal.database.write() as connection:
                jobs.end_lease(connection, jobs.TASKS, self._owner)

    def _loop(self, task: PeriodicTask, ending: threading.Event) -> None:
        wait_s = 0.0
        while not ending.wait(wait_s):
            wait_s = task.every_s
            try:
                task.run(ending)
            except Exception as error:  # noqa: BLE001 (no error may end the loop)
                self._failed(task.name, error)
            except BaseException as error:
                self._failed(task.name, error)
                raise
            else:
                self._succeeded_s[task.name] = time.monotonic()
                self._errors.pop(task.name, None)
                continue
            wait_s = task.again_s or task.every_s

    def _failed(self, name: str, error: BaseException) -> None:
        expected = isinstance(error, BridgeError | RedisError | OSError)
        self._errors[name] = (str(error) if expected else "") or type(error).__name__
        self._observer.task_failed(name)
        log.error("task.failed", task=name, error=self._errors[name], exc_info=None if expected else error)

    def report(self) -> None:
        """Keep until when each task is in time, raise a notice for each that is late, close those that are over."""
        now_s, now_ms = time.monotonic(), self._clock_ms()
        until_ms = {
            task.name: now_ms + int(1000 * (task.every_s + task.late_after_s + self._succeeded_s[task.name] - now_s))
            for task in self._tasks
        }
        late = {name for name, at_ms in until_ms.items() if at_ms < now_ms}
        with self._journal.database.write() as connection:
            jobs.note_result(connection, jobs.TASKS, until_ms)
            over = [
                Resolved(FAILING, one.about)
                for one in notices.open_notices(connection, [FAILING])
                if one.about not in late
            ]
            news = notices.apply(connection, [*map(self._notice, late), *over], now_ms)
        for one in news:
            if isinstance(one, Notice):
                log.warning("notice.raised", code=one.code, about=one.about, level=one.level.value, detail=one.detail)
            else:
                log.info("notice.closed", code=one.code, about=one.about)

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
        failpoint("sweep.before_wake")
    for lane in lanes:
        wakeups.wake(lane)
    if lanes:
        log.debug("sweep.woke", lanes=lanes)
    return len(lanes)


def tasks(runtime: Runtime) -> list[PeriodicTask]:
    """Return the tasks; accounts, destinations and mappings are looked up in each run, since they may change."""
    settings, journal, clock_ms = runtime.settings, runtime.journal, runtime.clock_ms
    house = Housekeeping(journal, settings.bridge_retention_days, clock_ms)
    silences = SilenceCheck(journal, runtime.accounts)
    alerts = AlertTask(
        journal, settings.bridge_alert_urls, settings.bridge_language, settings.bridge_public_url, silences, clock_ms
    )
    clock = ClockWatch(journal, settings.bridge_lease, settings.bridge_retry_cap, clock_ms)
    webhooks = QueueWatch(
        journal,
        runtime.asaas,
        runtime.limiters,
        lambda: [item.mapping for item in runtime.mappings.current()],
        settings.bridge_public_url,
        clock_ms,
    )
    return [
        PeriodicTask("wake_due_lanes", 1.0, lambda _: wake_due_lanes(journal, runtime.wakeups, clock_ms())),
        PeriodicTask("import_mappings", 1.0, lambda _: runtime.mapping_files.import_changed()),
        PeriodicTask("fold_counts", 2.0, house.fold, stop_timeout_s=LONGEST_STOP_S),
        PeriodicTask("clear_old", 2.0, house.clear_due, stop_timeout_s=LONGEST_STOP_S, late_after_s=3_600.0),
        PeriodicTask("repair_clock", 5.0, lambda _: clock.check()),
        PeriodicTask("send_alerts", ALERTS_EVERY_S, lambda _: alerts.run()),
        PeriodicTask("watch_webhooks", 300.0, lambda _: webhooks.check()),
        _reconcile(runtime),
        _read_back(runtime),
        # SQLite's log is copied back here, so that no writer must.
    ]


def _reconcile(runtime: Runtime) -> PeriodicTask:
    """Look for charges that the journal does not know, where BRIDGE_RECONCILE_HOURS says how often."""
    from bridge.worker.tasks import Reconciling

    settings = runtime.settings
    directory = settings.bridge_data_dir / "reconcile" / "scheduled"
    reconciling = Reconciling(
        runtime.asaas, runtime.journal, settings.bridge_reconcile_hours, runtime.clock_ms, directory
    )
    return PeriodicTask(
        "reconcile",
        60.0,
        reconciling.reconcile_all,
        enabled=bool(settings.bridge_reconcile_hours),
        stop_timeout_s=LONGEST_STOP_S,
        late_after_s=24 * 3_600.0,  # a round of a large account waits for Asaas's quota of 12 hours
    )


def _read_back(runtime: Runtime) -> PeriodicTask:
    """Look for the deals of deliveries whose mapping says verify, with CLINT_API_TOKEN."""
    from bridge.operations.read_back import ReadBacks

    if runtime.clint_api is None:
        return PeriodicTask("read_back", 2.0, lambda _: None, enabled=False)
    looks = ReadBacks(runtime.journal, runtime.clint_api, runtime.mappings, runtime.settings.bridge_read_back_wait)
    return PeriodicTask("read_back", 2.0, lambda _: looks.step(runtime.clock_ms()), again_s=60.0)
