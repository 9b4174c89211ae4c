"""The scheduled reconciliation, against a simulated Asaas: when it is due, what it says, how it ends."""

from __future__ import annotations

import contextlib
import json
import signal
import subprocess
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import structlog

from bridge.journal import jobs, notices
from bridge.messages import read_message
from bridge.runtime import Runtime
from bridge.worker.tasks import AGAIN_AFTER_MS, reconcile_due
from tests.charges import Place, place
from tests.databases import on_both
from tests.factories import Clock, opened_journal, until

HOUR_MS = 3_600_000


@pytest.fixture
def at(tmp_path: Path) -> Iterator[Place]:
    """Give a simulated Asaas and commands that read from it."""
    with place(tmp_path) as found:
        yield found


@pytest.fixture
def runtime(at: Place) -> Iterator[Runtime]:
    """Give the parts of a worker."""
    with contextlib.closing(at.runtime()) as found:
        yield found


def reconciled(runtime: Runtime, at: Place, clock: Clock, stopping: threading.Event | None = None) -> list[Any]:
    """Look once whether a round is due; return what was logged."""
    client = runtime.asaas["default"]
    directory = at.commands.directory / "state"
    with structlog.testing.capture_logs() as logs:
        reconcile_due(client, runtime.journal, 24, clock, directory, stopping or threading.Event())
    return [
        {name: value for name, value in record.items() if name != "_logger"}
        for record in logs
        if record["event"].startswith("reconcile")
    ]


def test_it_says_what_is_missing_once_a_round(at: Place, runtime: Runtime) -> None:
    """A charge of last month that was paid today is found too; a day later the next round is due."""
    at.paid()
    at.calendar.goes(-30)
    old = at.asaas.has_payment(at.asaas.has_customer())["id"]
    at.calendar.goes(30)
    at.asaas.is_paid(old)
    clock = Clock(runtime.clock_ms())

    first = reconciled(runtime, at, clock)
    second = reconciled(runtime, at, clock)
    clock.go(24 * 3600)
    third = reconciled(runtime, at, clock)

    assert first == [
        {
            "account": "default",
            "charges": 2,
            "missing": 2,
            "older": 0,
            "dead": 0,
            "event": "reconcile.done",
            "log_level": "warning",
        }
    ]
    assert second == []
    assert len(third) == 1


def test_what_is_missing_is_a_notice_until_it_is_there(at: Place, runtime: Runtime) -> None:
    """The next round that finds nothing missing closes it; the number is kept for the metrics."""
    at.paid()
    clock = Clock(runtime.clock_ms())

    def noticed() -> tuple[list[str], int]:
        reconciled(runtime, at, clock)
        clock.go(24 * 3600)
        with runtime.journal.database.read() as connection:
            open_ = notices.open_notices(connection)
            found = [f"{one.code} {one.about}: {read_message(one.detail)}" for one in open_]
            return found, jobs.results(connection, ["reconcile:default"])["reconcile:default"]["behind"]

    before = noticed()
    at.came(runtime.journal)

    detail = "charges that never arrived: 1, that arrived in an older state: 0"
    assert before == ([f"reconcile.missing default: {detail}"], 1)
    assert noticed() == ([], 0)


def test_nothing_missing_is_no_warning(at: Place, runtime: Runtime) -> None:
    """The log says that it was looked."""
    assert [record["log_level"] for record in reconciled(runtime, at, Clock(runtime.clock_ms()))] == ["info"]


def test_a_round_that_fails_is_tried_again_soon(at: Place, runtime: Runtime) -> None:
    """A refused key costs ten minutes, not a day."""
    keys = set(at.asaas.limits.keys)
    at.asaas.limits.keys.clear()
    clock = Clock(runtime.clock_ms())

    failed = reconciled(runtime, at, clock)
    at.asaas.limits.keys |= keys
    at_once = reconciled(runtime, at, clock)
    clock.go(AGAIN_AFTER_MS / 1000)
    later = reconciled(runtime, at, clock)

    assert [record["event"] for record in failed] == ["reconcile.failed"]
    assert "refused the account's key" in failed[0]["error"]
    assert at_once == []
    assert [record["event"] for record in later] == ["reconcile.done"]


def test_it_stops_in_the_middle(at: Place, runtime: Runtime) -> None:
    """A process that is to end does not walk on; the round is due again soon."""
    at.paid()
    stopping = threading.Event()
    stopping.set()
    clock = Clock(runtime.clock_ms())

    stopped = reconciled(runtime, at, clock, stopping)
    clock.go(AGAIN_AFTER_MS / 1000)

    assert stopped == []
    assert len(reconciled(runtime, at, clock)) == 1


@on_both
def test_one_of_two_processes_gets_a_round(database_url: str) -> None:
    """On both databases; a shorter interval takes effect at once."""
    with opened_journal(database_url) as journal:

        def claimed(every_ms: int, now_ms: int) -> bool:
            with journal.database.write() as connection:
                return jobs.claim_run(connection, "x", every_ms, now_ms)

        assert claimed(24 * HOUR_MS, 1000)
        assert not claimed(24 * HOUR_MS, 1000)
        assert not claimed(24 * HOUR_MS, 24 * HOUR_MS)
        assert claimed(24 * HOUR_MS, 24 * HOUR_MS + 1000)
        assert claimed(HOUR_MS, 24 * HOUR_MS + 2000)
        with journal.database.write() as connection:
            jobs.reschedule(connection, "x", 7)
        assert claimed(HOUR_MS, 8)


@pytest.mark.slow
def test_the_worker_reconciles_where_the_setting_says_so(at: Place) -> None:
    """As a real process, which ends when it is asked to."""
    at.paid()
    at.commands.environ |= {"CLINT_WEBHOOK_URL": "https://clint.example/a", "REDIS_URL": "redis://127.0.0.1:1/0"}
    log = at.commands.directory / "worker.log"
    with log.open("wb") as file:
        process = at.commands.process(
            "worker", environ={"BRIDGE_RECONCILE_HOURS": "24"}, stdout=file, stderr=subprocess.STDOUT
        )

    def said() -> list[dict[str, Any]]:
        records = [json.loads(line) for line in log.read_text().split("\n")[:-1] if line.startswith("{")]
        return [record for record in records if record["action"] == "reconcile.done"]

    try:
        (record,) = until(said, timeout_s=30)
        process.send_signal(signal.SIGTERM)
        assert process.wait(20) == 0
    finally:
        process.kill()
        process.wait()
    assert (record["missing"], record["level"]) == (1, "warning")
