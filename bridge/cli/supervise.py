"""Keeps processes running: starts them, restarts one that died, ends them in good order.

It is given commands and never looks into what they do. Their output goes to one file each, or line by line to a
function. They die with this process, also when it is killed (on Linux). Everything but reading output happens in the
thread that calls `tend`, which must be the main thread: the kernel ties a child to the thread that started it.
"""

from __future__ import annotations

import signal
import subprocess
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from types import FrameType, TracebackType
from typing import IO, Self

from bridge import private_files
from bridge.queueing.embedded import bound_to_parent

FIRST_WAIT_S = 1.0
LONGEST_WAIT_S = 30.0
STEADY_S = 60.0
"""A child that ran so long is healthy: its next death waits from the beginning again."""
GRACE_S = 25.0
"""How long a child may finish what it does: longer than the web process takes to stop, and than a usual send."""


@dataclass(frozen=True, slots=True)
class Child:
    """A process to keep running."""

    name: str
    command: Sequence[str]
    """The first part is a path."""
    environ: Mapping[str, str]


@dataclass(slots=True)
class _Kept:
    child: Child
    process: subprocess.Popen[bytes] | None = None
    started_s: float = 0.0
    deaths: int = 0
    start_at_s: float = 0.0
    reader: threading.Thread | None = field(default=None)


class Supervisor:
    """Children that run from entering the `with` block to leaving it."""

    def __init__(
        self,
        children: Sequence[Child],
        *,
        notice: Callable[[str], None],
        line: Callable[[str, str], None] | None = None,
        log_directory: Path | None = None,
        grace_s: float = GRACE_S,
        steady_s: float = STEADY_S,
    ) -> None:
        """Tell `notice` about deaths; give output to `line` (name, text), or to files in the log directory."""
        self._kept = [_Kept(child) for child in children]
        self._notice = notice
        self._line = line
        self._log_directory = log_directory
        self._grace_s = grace_s
        self._steady_s = steady_s

    def __enter__(self) -> Self:
        if self._log_directory is not None:
            private_files.make_directory(self._log_directory)
            private_files.restrict(self._log_directory)
        try:
            self.tend()
        except BaseException:
            self.stop()
            raise
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.stop()

    def tend(self) -> None:
        """Start what is to be started and note what died; call it several times a second."""
        for kept in self._kept:
            if kept.process is None:
                if time.monotonic() >= kept.start_at_s:
                    try:
                        self._start(kept)
                    except OSError as error:
                        if not kept.deaths:
                            raise
                        # A full disk has no room for its log, a full machine none for a process.
                        self._died(kept, f"can't be started: {error}")
            elif kept.process.poll() is not None:
                self._died(kept, _end(kept.process.returncode))

    def alive(self, name: str) -> bool:
        """Return whether the child of that name runs now."""
        return any(kept.child.name == name and _runs(kept) for kept in self._kept)

    def pid(self, name: str) -> int | None:
        """Return the number of the process of that name while it runs."""
        return next((k.process.pid for k in self._kept if k.child.name == name and k.process and _runs(k)), None)

    def stop(self) -> None:
        """Ask every child to end, and kill those that take too long; a second Ctrl-C kills at once."""
        running = [kept.process for kept in self._kept if kept.process is not None]
        for process in running:
            process.send_signal(signal.SIGTERM)
        deadline_s = time.monotonic() + self._grace_s
        try:
            for process in running:
                process.wait(max(0.0, deadline_s - time.monotonic()))
        except (subprocess.TimeoutExpired, KeyboardInterrupt):
            for process in running:
                process.kill()
                process.wait()
        for kept in self._kept:
            if kept.reader is not None:
                kept.reader.join(1.0)

    def _start(self, kept: _Kept) -> None:
        child = kept.child
        if self._log_directory is None:
            kept.process = self._launch(child, subprocess.PIPE)
            if kept.process.stdout is not None:
                kept.reader = threading.Thread(
                    target=self._read, args=(child.name, kept.process.stdout), name=f"output-{child.name}", daemon=True
                )
                kept.reader.start()
        else:
            with open(self._log_directory / f"{child.name}.log", "ab", opener=private_files.opener) as log:
                kept.process = self._launch(child, log)
        kept.started_s = time.monotonic()

    def _launch(self, child: Child, output: int | IO[bytes]) -> subprocess.Popen[bytes]:
        return subprocess.Popen(  # noqa: S603 (the commands are the bridge's own)
            bound_to_parent(list(child.command)),
            env=dict(child.environ),
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=subprocess.STDOUT,
            # Ctrl-C goes to the whole group of the terminal; the order in which things end is decided here.
            start_new_session=True,
        )

    def _read(self, name: str, output: IO[bytes]) -> None:
        with output:
            for line in output:
                if self._line is not None:
                    self._line(name, line.decode(errors="replace").rstrip("\n"))

    def _died(self, kept: _Kept, how: str) -> None:
        now_s = time.monotonic()
        if now_s - kept.started_s >= self._steady_s:
            kept.deaths = 0
        wait_s = min(LONGEST_WAIT_S, FIRST_WAIT_S * 2 ** min(kept.deaths, 10))
        kept.deaths += 1
        kept.process = None
        kept.start_at_s = now_s + wait_s
        self._notice(f"{kept.child.name} {how}; starting it again in {wait_s:g} s{self._log_of(kept.child)}")

    def _log_of(self, child: Child) -> str:
        return f"; see {self._log_directory / f'{child.name}.log'}" if self._log_directory else ""


def _runs(kept: _Kept) -> bool:
    return kept.process is not None and kept.process.poll() is None


def _end(status: int) -> str:
    if status >= 0:
        return f"ended with status {status}"
    try:
        return f"was ended by {signal.Signals(-status).name}"
    except ValueError:
        return f"was ended by signal {-status}"


class Stopping:
    """Whether somebody asked to stop, by Ctrl-C or SIGTERM; asking a second time raises KeyboardInterrupt."""

    def __init__(self) -> None:
        self._asked = False

    def __bool__(self) -> bool:
        return self._asked

    def __enter__(self) -> Self:
        for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
            signal.signal(number, self._ask)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        for number in (signal.SIGTERM, signal.SIGHUP):
            signal.signal(number, signal.SIG_DFL)
        signal.signal(signal.SIGINT, signal.default_int_handler)

    def _ask(self, _signum: int, _frame: FrameType | None) -> None:
        # A flag and no threading.Event: a handler may interrupt the very code that holds the event's lock.
        if self._asked:
            raise KeyboardInterrupt
        self._asked = True
