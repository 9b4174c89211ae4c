"""Processes of the bridge that are forked from one which has imported it: hundreds of them are started and killed here.

Each is a process of its own, with its own session, environment, log and signals; only what imports would cost is saved.
One whose environment asks for it is measured for coverage, from its first line on.
"""

from __future__ import annotations

import multiprocessing
import os
import runpy
import signal
import subprocess
import sys
import threading
import time
import warnings
from collections.abc import Mapping
from contextlib import suppress
from functools import cache
from multiprocessing.connection import Connection
from multiprocessing.forkserver import ensure_running
from pathlib import Path

import coverage

from tests.measuring import asks_for_coverage, without_children

ROOT = Path(__file__).parents[2]
_FORKS = multiprocessing.get_context("forkserver")
_FORKS.set_forkserver_preload(
    [
        *("alembic.command", "coverage", "httpcore", "psycopg", "rq", "stringprep", "_strptime"),
        *("cryptography.hazmat.primitives.ciphers.aead", "phonenumbers"),
        *("bridge.cli.main", "bridge.cli.processes", "bridge.cli.database", "bridge.cli.life", "bridge.cli.testcharge"),
        *("bridge.cli.reconcile", "bridge.cli.deliveries", "bridge.cli.events", "bridge.runtime", "bridge.operations"),
        *("bridge.web.app", "bridge.web.server", "bridge.worker.alerts", "bridge.worker.tasks", "bridge.worker.drain"),
        *("bridge.worker.rq_worker", "bridge.worker.sweeper"),
        *("bridge.simulator.asaas", "bridge.simulator.clint", "bridge.simulator.serve"),
    ]
)


# An exit status can be read once, and multiprocessing asks all processes for theirs whenever one is started: of two
# threads that ask at the same time one would be told 255.
_asking = threading.Lock()


@cache
def _server() -> None:
    """Start what everything is forked from; coverage does not measure it."""
    with without_children():
        ensure_running()


class Forked:
    """A running process, with the methods of subprocess.Popen that a Child needs.

    It reads from a terminal and prints to it, where it is given one; the rest goes to the log.
    """

    def __init__(
        self, command: list[str], env: Mapping[str, str], log: Path, terminal: Connection | None = None
    ) -> None:
        _server()
        with _asking:
            told = (command[1:], dict(env), str(log), terminal)
            self._process = _FORKS.Process(target=_run, args=told, daemon=True)
            self._process.start()
        self.pid = self._process.pid or 0

    def poll(self) -> int | None:
        """Return its exit status (minus the signal that ended it), None while it runs."""
        with _asking:
            return self._process.exitcode

    def wait(self, timeout: float | None = None) -> int:
        """Wait until it ends and return its exit status; raise subprocess.TimeoutExpired."""
        ends_s = time.monotonic() + (float("inf") if timeout is None else timeout)
        while (status := self.poll()) is None:
            if time.monotonic() > ends_s:
                raise subprocess.TimeoutExpired(self._process.name, timeout or 0)
            time.sleep(0.01)
        return status

    def send_signal(self, sig: int, /) -> None:
        """Send it a signal; -9 also to the processes that it has forked."""
        if sig == signal.SIGKILL:
            with suppress(ProcessLookupError):  # it may not have its own group yet
                os.killpg(self.pid, sig)
        with suppress(ProcessLookupError):
            os.kill(self.pid, sig)

    def terminate(self) -> None:
        """Ask it to end."""
        self.send_signal(signal.SIGTERM)

    def kill(self) -> None:
        """End it as a crash would."""
        self.send_signal(signal.SIGKILL)


def _run(arguments: list[str], env: dict[str, str], log: str, terminal: Connection | None) -> None:
    """Become the process that `python ARGUMENTS` would be."""
    os.setsid()
    output = os.open(log, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o644)
    for number in (1, 2):
        os.dup2(output, number)
    if terminal is not None:
        for number in (0, 1):
            os.dup2(terminal.fileno(), number)
        terminal.close()
        sys.stdin = os.fdopen(0, closefd=False)
    sys.stdout = os.fdopen(1, "w", buffering=1, closefd=False)
    sys.stderr = os.fdopen(2, "w", buffering=1, closefd=False)
    os.environ.clear()
    os.environ.update(env)
    os.chdir(ROOT)
    if asks_for_coverage(env):
        with warnings.catch_warnings(action="ignore"):  # that what it measures is imported already
            coverage.process_startup()
    if arguments[0] == "-m":
        sys.argv = arguments[1:]
        runpy.run_module(arguments[1], run_name="__main__", alter_sys=True)
    else:
        sys.argv = arguments
        runpy.run_path(arguments[0], run_name="__main__")
