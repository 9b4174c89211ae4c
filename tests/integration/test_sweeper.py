"""The periodic tasks: lanes with due work are woken, and tasks run whatever fails."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import ExitStack, closing, contextmanager
from pathlib import Path

import pytest
from redis import Redis
from rq import Queue
from structlog.testing import capture_logs

from bridge.alerts.plan import HOUR_MS
from bridge.crypto import new_key
from bridge.errors import JournalError
from bridge.journal import Journal, jobs, notices
from bridge.journal.audit import Actor
from bridge.journal.clock import system_clock_ms
from bridge.messages import read_message
from bridge.model import DeliveryState, lane_of
from bridge.operations.accounts import add_account
from bridge.runtime import Runtime
from bridge.settings import Settings
from bridge.telemetry import TASK_FAILURES, Family, NoCounters, Telemetry
from bridge.wakeups import QUEUE, Wakeups
from bridge.worker.sweeper import FAILING, LEASE_MS, PeriodicRunner, PeriodicTask
from bridge.worker.tasks import tasks, wake_due_lanes
from tests.databases import on_both
from tests.factories import NOW_MS, Clock, acquire, incoming, keep, opened_journal, owe, put_in_state, until


@pytest.fixture
def journal(database_url: str) -> Iterator[Journal]:
    """Give an empty journal on each database."""
    with opened_journal(database_url) as journal:
        yield journal


def woken(redis: Redis) -> list[int]:
    """Return the lanes that are woken."""
    return sorted(job.args[0] for job in Queue(QUEUE, connection=redis).jobs)


@on_both
def test_lanes_with_due_work_are_woken(journal: Journal, redis: Redis) -> None:
    """Events, deliveries and what a dead worker left; not what is for later, and not what is being worked on."""
    clock = Clock()
    names: dict[int, str] = {}
    for n in range(1_000):
        names.setdefault(lane_of("default", f"cus_{n}", journal.lane_count), f"cus_{n}")
    event, now, later, left, busy = list(names)[:5]
    keep(journal, incoming(names[event]))
    owe(journal, customer=names[now])
    put_in_state(journal, owe(journal, customer=names[later]), DeliveryState.RETRYING, due_ms=clock() + 60_000)
    put_in_state(journal, owe(journal, customer=names[left]), DeliveryState.SENDING, due_ms=None)
    owe(journal, customer=names[busy])
    assert acquire(journal.lanes, busy, "worker", clock())

    assert wake_due_lanes(journal, Wakeups(redis), clock()) == 3
    assert woken(redis) == sorted([event, now, left])
    clock.go(61)
    assert wake_due_lanes(journal, Wakeups(redis), clock()) == 5


def test_a_quiet_bridge_wakes_nobody(journal: Journal, redis: Redis) -> None:
    """No work, no job."""
    assert wake_due_lanes(journal, Wakeups(redis), NOW_MS) == 0
    assert woken(redis) == []


# ---------------------------------------------------------------- the runner


class Counted(NoCounters):
    """Takes the numbers that an observer hands on."""

    def __init__(self) -> None:
        self.failures: list[str] = []

    def add(self, family: Family, *labels: str, by: int = 1) -> None:
        """Note a failure."""
        assert (family, by) == (TASK_FAILURES, 1)
        self.failures += labels

    def observe(self, family: Family, value_s: float, *labels: str) -> None:
        """Note nothing: runs have no durations."""


@contextmanager
def at_work(runner: PeriodicRunner) -> Iterator[None]:
    """Let the runner work in a thread for the block; it must end soon after."""
    stopping = threading.Event()
    thread = threading.Thread(target=runner.run, args=(stopping,))
    thread.start()
    try:
        yield
    finally:
        stopping.set()
        thread.join(10)
    assert not thread.is_alive()


@pytest.mark.filterwarnings("ignore::pytest.PytestUnhandledThreadExceptionWarning")
@pytest.mark.parametrize(
    "fault", [JournalError(), OSError("no directory"), RuntimeError("a fault"), SystemExit(3)], ids=repr
)
def test_a_task_that_fails_is_said_counted_and_run_again(sqlite_url: str, fault: BaseException) -> None:
    """Also where its thread ends; another task goes on meanwhile, and a stop ends all."""
    runs: list[str] = []

    def fail_once(_stopping: threading.Event) -> None:
        runs.append("failing")
        if runs.count("failing") == 1:
            raise fault

    counted = Counted()
    tasks = [
        PeriodicTask("failing", 0.01, fail_once),
        PeriodicTask("other", 0.01, lambda _: runs.append("other")),
    ]
    with (
        opened_journal(sqlite_url) as journal,
        capture_logs() as logs,
        at_work(PeriodicRunner(tasks, journal, Telemetry(counted), system_clock_ms)),
    ):
        until(lambda: runs.count("failing") > 2 and runs.count("other") > 2)

    assert [(one["task"], one["log_level"]) for one in logs if one["event"] == "task.failed"] == [("failing", "error")]
    assert counted.failures == ["failing"]


@on_both
def test_of_two_runners_one_runs_the_tasks_until_it_stops(database_url: str) -> None:
    """A stop does not wait for a run that hangs, and the other runner goes on."""
    runs: dict[str, int] = {"one": 0, "two": 0}

    def counted(name: str) -> PeriodicTask:
        def run(_stopping: threading.Event) -> None:
            runs[name] += 1

        return PeriodicTask("count", 0.01, run)

    hanging = PeriodicTask("hanging", 0.01, lambda _: threading.Event().wait(60), stop_timeout_s=0.1)
    with opened_journal(database_url) as journal:
        one = PeriodicRunner([counted("one"), hanging], journal, Telemetry(), system_clock_ms)
        two = PeriodicRunner([counted("two")], journal, Telemetry(), system_clock_ms)
        with ExitStack() as second:
            with at_work(one):
                until(lambda: runs["one"])
                second.enter_context(at_work(two))
                until(lambda: runs["one"] > 20)
                assert runs["two"] == 0
            ended = runs["one"]
            until(lambda: runs["two"])
            assert runs["one"] == ended


@pytest.mark.slow
def test_a_runner_whose_lease_is_taken_ends_its_loops(sqlite_url: str) -> None:
    """It begins again when the other owner does not renew the lease; faults of the lease are said and tried again."""
    runs: list[int] = []
    fails = iter([True])

    def clock_ms() -> int:
        if next(fails, False):
            raise JournalError
        return system_clock_ms()

    tasks = [PeriodicTask("count", 0.01, lambda _: runs.append(1))]
    with (
        opened_journal(sqlite_url) as journal,
        capture_logs() as logs,
        at_work(PeriodicRunner(tasks, journal, Telemetry(), clock_ms)),
    ):
        until(lambda: runs)
        with journal.database.write() as connection:
            owner = jobs.leased_to(connection, jobs.TASKS, LEASE_MS, system_clock_ms())
            jobs.end_lease(connection, jobs.TASKS, owner)
            assert jobs.lease(connection, jobs.TASKS, "other", LEASE_MS, system_clock_ms())
        until(lambda: "count" not in {thread.name for thread in threading.enumerate()})
        ended = len(runs)
        until(lambda: len(runs) > ended)

    assert [one["task"] for one in logs if one["event"] == "task.failed"] == ["lease"]


def test_a_task_that_is_late_is_a_notice_until_it_succeeds(database_url: str) -> None:
    """One that fails and one that hangs."""
    hanging, failing = threading.Event(), threading.Event()

    def hang(stopping: threading.Event) -> None:
        while not (stopping.is_set() or hanging.is_set()):
            stopping.wait(0.01)

    def fail(_stopping: threading.Event) -> None:
        if not failing.is_set():
            raise OSError("no directory")

    tasks = [PeriodicTask(name, 0.01, run, late_after_s=0.2) for name, run in (("hanging", hang), ("failing", fail))]
    with opened_journal(database_url) as journal:
        runner = PeriodicRunner(tasks, journal, Telemetry(), system_clock_ms)

        def said() -> tuple[dict[str, str], list[str]]:
            runner.report()
            with journal.database.read() as connection:
                late = jobs.late_tasks(connection, system_clock_ms())
                return {
                    one.about: str(read_message(one.detail)) for one in notices.open_notices(connection, [FAILING])
                }, late

        with at_work(runner):
            until(lambda: "failing" in {thread.name for thread in threading.enumerate()})
            details, late = until(lambda: found if len((found := said())[0]) == 2 else None)
            assert late == ["failing", "hanging"]
            assert details["failing"].endswith("no directory")
            assert "does not end" in details["hanging"]
            hanging.set()
            failing.set()
            until(lambda: said() == ({}, []))


@pytest.fixture
def runtime(database_url: str, redis_url: str, tmp_path: Path) -> Iterator[Runtime]:
    """Give the parts of a worker with every setting that switches a task on."""
    environ = {
        "DATABASE_URL": database_url,
        "REDIS_URL": redis_url,
        "BRIDGE_DATA_DIR": str(tmp_path),
        "BRIDGE_MAPPINGS_DIR": str(tmp_path),
        "BRIDGE_RETENTION_DAYS": "30",
        "BRIDGE_RECONCILE_HOURS": "24",
        "CLINT_API_TOKEN": "token",
        "CLINT_WEBHOOK_URL": "https://clint.example/a",
        "BRIDGE_ENCRYPTION_KEY": new_key(),
    }
    with opened_journal(database_url), closing(Runtime(Settings.from_env(environ))) as runtime:
        runtime.register()
        yield runtime


def test_every_task_runs(runtime: Runtime) -> None:
    """On an empty journal, none fails."""
    found = tasks(runtime)
    assert {"reconcile", "read_back"} < {task.name for task in found}
    for task in found:
        task.run(threading.Event())


def test_an_account_that_is_added_while_the_tasks_run_is_missed_when_it_is_silent(runtime: Runtime) -> None:
    """Events every hour for six weeks, then none for eight hours."""
    (send_alerts,) = [task for task in tasks(runtime) if task.name == "send_alerts"]
    now_ms = system_clock_ms()
    hours = range(now_ms - 6 * 7 * 24 * HOUR_MS, now_ms - 8 * HOUR_MS, HOUR_MS)
    add_account(runtime.journal, runtime.settings, Actor("test"), now_ms, "filial", api_key="")
    keep(runtime.journal, *(incoming(account="filial", received_ms=at_ms) for at_ms in hours))
    until(lambda: "filial" in runtime.accounts)
    send_alerts.run(threading.Event())

    with runtime.journal.database.read() as connection:
        assert [one.code for one in notices.open_notices(connection, about="filial")] == ["account.silent"]
