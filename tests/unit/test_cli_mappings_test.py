"""`bridge mappings test`: coverage of fields, conditions and routes, and running again after a change."""

from __future__ import annotations

import signal
import subprocess
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from queue import Empty, Queue
from typing import Any

import pytest

from tests.commands import Commands

TEXT = """\
events: [PAYMENT_CREATED, PAYMENT_OVERDUE]
installments: first
filter:
  any:
    - {field: payment.value, at_least: 50}
    - not: {expression: payment.deleted}
contact: {email: "'ana@example.com'"}
deal:
  valor: payment.value
  parcela: payment.installmentNumber
routes:
  - {events: [PAYMENT_OVERDUE], send_to: vencidas}
tests:
  - {name: grande, given: {event: PAYMENT_CREATED, payment: {value: 60}}, expect: {valor: "60"}}
"""


@pytest.fixture
def commands(tmp_path: Path) -> Commands:
    """Give a directory of mappings."""
    return Commands(tmp_path)


def test_coverage_names_what_no_test_reached(commands: Commands) -> None:
    """Fields that no test sends, sides of conditions that none saw, routes that none took."""
    commands.has_mapping("a", TEXT)
    lines = commands.run("mappings", "test", "--coverage").out.splitlines()
    where = f"{commands.mappings}/a.yaml"

    assert lines[2] == "no test reaches:"
    assert [line.split(maxsplit=2) for line in lines[4:-1]] == [
        [f"{where}:1", "condition", "installments: first (does not hold)"],
        [f"{where}:5", "condition", "payment.value at_least 50 (does not hold)"],
        [f"{where}:6", "condition", "payment.deleted (holds)"],
        [f"{where}:6", "condition", "payment.deleted (does not hold)"],
        [f"{where}:10", "field", "parcela"],
        [f"{where}:12", "route", "PAYMENT_OVERDUE -> vencidas"],
    ]
    assert lines[-1] == "the tests reach 45.5 % of 11 fields, sides of conditions and routes"


def test_coverage_can_be_asked_for(commands: Commands) -> None:
    """Status 1 below the percentage, 0 at it; --json has every part."""
    commands.has_mapping("a", TEXT)
    below = commands.run("mappings", "test", "--fail-under", "45.6")
    told = commands.run("mappings", "test", "--fail-under", "45", "--json")

    assert (below.status, below.err) == (1, "the tests reach 45.5 %, at least 45.6 % is asked\n")
    assert told.status == 0
    assert told.json["coverage"]["percent"] == pytest.approx(500 / 11)
    assert told.json["coverage"]["parts"][-1] == {
        "mapping": "a",
        "path": f"{commands.mappings}/a.yaml",
        "line": 12,
        "kind": "route",
        "what": "every other event -> default",
        "reached": True,
    }


def test_everything_reached_is_said(commands: Commands) -> None:
    """Tests that are filtered or dead reach conditions too; a mapping without a filter has none."""
    more = "  - {name: b, given: {event: PAYMENT_OVERDUE, payment: {value: 1, installmentNumber: 1}},"
    more += " expect: {parcela: 1}}\n"
    more += "  - {name: c, given: {event: PAYMENT_CREATED, payment: {installmentNumber: 2}}, expect: filtered}\n"
    more += "  - {name: d, given: {event: PAYMENT_CREATED, payment: {deleted: true}}, expect: filtered}\n"
    commands.has_mapping("a", TEXT + more)
    commands.has_mapping(
        "b",
        "events: [PAYMENT_CREATED]\ncontact: {email: customer.email}\n"
        "tests: [{name: a, given: {event: PAYMENT_CREATED}, expect: {dead: transform.no_contact}}]\n",
    )
    said = commands.run("mappings", "test", "--coverage")

    assert said.status == 0, said.out
    assert said.out.splitlines()[-2].endswith("b.yaml:2  field  email")
    assert said.out.splitlines()[-1] == "the tests reach 91.7 % of 12 fields, sides of conditions and routes"
    (commands.mappings / "b.yaml").unlink()
    assert "no test reaches" not in commands.run("mappings", "test", "--coverage").out


def test_nothing_to_reach_is_all(commands: Commands) -> None:
    """An empty directory has nothing to cover."""
    assert commands.run("mappings", "test", "--fail-under", "100").status == 0


def test_watch_does_not_go_with_json(commands: Commands) -> None:
    """JSON is one value."""
    assert commands.run("mappings", "test", "--watch", "--json").status == 2


class Lines:
    """The lines of a process as they come."""

    def __init__(self, process: subprocess.Popen[bytes]) -> None:
        self._queue: Queue[str] = Queue()
        threading.Thread(target=self._read, args=(process,), daemon=True).start()

    def _read(self, process: subprocess.Popen[bytes]) -> None:
        assert process.stdout is not None
        for line in process.stdout:
            self._queue.put(line.decode().rstrip())

    def until(self, start: str) -> str:
        """Return the next line that begins so."""
        ends_s = time.monotonic() + 20
        while (left_s := ends_s - time.monotonic()) > 0:
            try:
                line = self._queue.get(timeout=left_s)
            except Empty:
                break
            if line.startswith(start):
                return line
        raise AssertionError(f"no line began with {start!r}")


@contextmanager
def watching(commands: Commands, **more: Any) -> Iterator[tuple[subprocess.Popen[bytes], Lines]]:
    """Give a process that watches the mapping a, and its lines."""
    commands.has_mapping("a", TEXT)
    arguments = ("mappings", "test", "--watch", str(commands.mappings / "a.yaml"))
    with commands.process(*arguments, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, **more) as process:
        try:
            yield process, Lines(process)
        finally:
            process.kill()


@pytest.mark.alone
@pytest.mark.slow
def test_watch_runs_again_when_a_file_changes(commands: Commands) -> None:
    """A mapping, then a sample; Ctrl-C ends with the status of the last run."""
    with watching(commands) as (process, lines):
        assert lines.until("1 passed") == "1 passed, 0 failed, 0 files can't run"
        lines.until("watching")
        time.sleep(1)
        commands.has_mapping("a", TEXT.replace('valor: "60"', 'valor: "61"'))
        assert lines.until("0 passed") == "0 passed, 1 failed, 0 files can't run"
        commands.has_mapping("a", TEXT.replace("{event: PAYMENT_CREATED, payment: {value: 60}}", "s.json"))
        lines.until("0 passed")
        (commands.mappings / "s.json").write_text('{"event": "PAYMENT_CREATED", "payment": {"value": 60}}')
        lines.until("1 passed")
        process.send_signal(signal.SIGINT)

        assert process.wait(10) == 0


@pytest.mark.slow
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_watch_ends_also_as_the_background_job_of_a_shell(commands: Commands, number: signal.Signals) -> None:
    """Such a job inherits SIGINT as ignored."""
    with watching(commands, preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_IGN)) as (process, lines):
        lines.until("watching")
        process.send_signal(number)

        assert process.wait(10) == 0


@pytest.mark.parametrize("command", ["test", "lint", "show", "checklist"])
def test_a_mapping_is_given_by_its_name_or_its_file(commands: Commands, command: str) -> None:
    """All commands about one mapping take both."""
    commands.has_mapping("a", TEXT)
    commands.has_mapping("b", TEXT.replace("grande", "outra"))
    more = ("--no-environment",) if command == "lint" else ()
    by_name = commands.run("mappings", command, "a", "--json", *more)
    by_file = commands.run("mappings", command, f"{commands.mappings}/a.yaml", "--json", *more)

    assert by_name.json == by_file.json
    assert by_name.status == by_file.status
    assert commands.run("mappings", "test", "c").status == 2
