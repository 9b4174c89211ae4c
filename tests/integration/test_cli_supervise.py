"""Keeping processes running: real children that die, hang, and outlive nobody."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from bridge.cli.stack import Child, Stopping, Supervisor
from tests.factories import until

SLEEPS = "import time\nprint('up', flush=True)\ntime.sleep(60)"
DIES = "print('dying', flush=True); raise SystemExit(3)"
DEAF = "import signal, time\nsignal.signal(signal.SIGTERM, signal.SIG_IGN)\nprint('up', flush=True)\ntime.sleep(60)"


def child(name: str, code: str) -> Child:
    """Return a child that runs this code."""
    return Child(name, [sys.executable, "-c", code], dict(os.environ))


def pid_of(supervisor: Supervisor, name: str) -> int | None:
    """Return the process id of the child with that name while it runs."""
    processes = [child.process for child in supervisor.children if child.name == name]
    return next((process.pid for process in processes if process and process.poll() is None), None)


def tended(supervisor: Supervisor, condition: Callable[[], object]) -> Callable[[], object]:
    """Return the condition, which tends the children each time it is asked."""

    def ask() -> object:
        supervisor.poll()
        return condition()

    return ask


def test_output_comes_line_by_line_with_the_name() -> None:
    """What a child prints reaches the function with the child's name."""
    lines: list[tuple[str, str]] = []
    with Supervisor([child("a", SLEEPS)], notice=print, output=lambda *line: lines.append(line)) as supervisor:
        until(tended(supervisor, lambda: lines))

    assert lines == [("a", "up")]


def test_output_goes_to_files(tmp_path: Path) -> None:
    """With a log directory each child writes a file of its own."""
    logs = tmp_path / "logs"
    with Supervisor([child("a", SLEEPS)], notice=print, output=logs) as supervisor:
        until(tended(supervisor, lambda: (logs / "a.log").read_text()))

    assert (logs / "a.log").read_text() == "up\n"


def test_a_child_that_dies_is_started_again_ever_later(tmp_path: Path) -> None:
    """Each death is told with its status and the growing wait; the other child stays."""
    notices: list[str] = []
    children = [child("dies", DIES), child("stays", SLEEPS)]
    with Supervisor(children, notice=notices.append, output=tmp_path) as supervisor:
        first = pid_of(supervisor, "stays")
        until(tended(supervisor, lambda: len(notices) == 2))

        assert pid_of(supervisor, "stays")
        assert pid_of(supervisor, "stays") == first
    log = tmp_path / "dies.log"
    assert notices == [
        f"dies ended with status 3; starting it again in 1 s; see {log}",
        f"dies ended with status 3; starting it again in 2 s; see {log}",
    ]
    assert log.read_text() == "dying\ndying\n"


def test_a_killed_child_is_told_by_its_signal() -> None:
    """A child that a signal ended is said so."""
    notices: list[str] = []
    with Supervisor([child("a", SLEEPS)], notice=notices.append, output=lambda *_: None) as supervisor:
        os.kill(pid_of(supervisor, "a") or 0, signal.SIGKILL)
        until(tended(supervisor, lambda: notices))

        assert pid_of(supervisor, "a") is None
        assert pid_of(supervisor, "a") is None
    assert notices == ["a was ended by SIGKILL; starting it again in 1 s"]


def test_a_steady_child_waits_from_the_beginning_again() -> None:
    """A child that ran long enough is not punished for older deaths."""
    notices: list[str] = []
    with Supervisor([child("a", DIES)], notice=notices.append, output=lambda *_: None, steady_s=0) as supervisor:
        until(tended(supervisor, lambda: len(notices) == 2))

    assert {notice.rpartition("in ")[2] for notice in notices} == {"1 s"}


def test_a_child_that_will_not_end_is_killed() -> None:
    """After the grace a deaf child is killed."""
    lines: list[str] = []
    with Supervisor(
        [child("deaf", DEAF)], notice=print, output=lambda _name, text: lines.append(text), grace_s=0.2
    ) as supervisor:
        until(tended(supervisor, lambda: lines))
        pid = pid_of(supervisor, "deaf") or 0
        began_s = time.monotonic()

    assert time.monotonic() - began_s < 5
    with pytest.raises(ProcessLookupError):
        os.kill(pid, 0)


@pytest.mark.slow
def test_a_child_that_can_not_be_started_again_is_tried_later(tmp_path: Path) -> None:
    """As while the disk has no room for its log; the other child stays."""
    notices: list[str] = []
    logs = tmp_path / "logs"
    in_the_way = logs / "dies.log"
    children = [child("dies", DIES), child("stays", SLEEPS)]
    with Supervisor(children, notice=notices.append, output=logs) as supervisor:
        until(tended(supervisor, lambda: (logs / "dies.log").read_text() and pid_of(supervisor, "dies") is None))
        in_the_way.unlink()
        in_the_way.mkdir()
        until(tended(supervisor, lambda: any("can't be started" in notice for notice in notices)))
        in_the_way.rmdir()
        until(tended(supervisor, lambda: in_the_way.is_file()))
        assert pid_of(supervisor, "stays")


def test_a_child_that_can_not_be_started_ends_the_others(tmp_path: Path) -> None:
    """A failing start leaves no other child behind."""
    children = [child("a", SLEEPS), child("no/where", SLEEPS)]
    supervisor = Supervisor(children, notice=print, output=tmp_path)

    with pytest.raises(OSError, match="where"), supervisor:
        raise AssertionError

    assert pid_of(supervisor, "a") is None


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux ties a child to its parent")
def test_children_die_with_a_killed_parent() -> None:
    """A parent that is killed with -9 leaves no child running."""
    code = (
        "import os, sys, time\n"
        "from bridge.cli.stack import Child, Supervisor\n"
        f"one = Child('a', [sys.executable, '-c', {SLEEPS!r}], dict(os.environ))\n"
        "with Supervisor([one], notice=print, output=lambda *_: None) as supervisor:\n"
        "    print(one.process.pid, flush=True)\n"
        "    time.sleep(60)\n"
    )
    with subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE) as parent:
        assert parent.stdout is not None
        pid = int(parent.stdout.readline())
        parent.kill()
    until(lambda: not Path(f"/proc/{pid}").exists() or _is_dead(pid))


def _is_dead(pid: int) -> bool:
    return " Z " in Path(f"/proc/{pid}/stat").read_text()


def test_stopping_is_asked_for_once_and_insisted_on_twice() -> None:
    """The first signal asks, the second raises; afterwards signals do what they always did."""
    with Stopping() as stopping:
        assert not stopping
        signal.raise_signal(signal.SIGTERM)
        assert stopping
        with pytest.raises(KeyboardInterrupt):
            signal.raise_signal(signal.SIGINT)

    assert signal.getsignal(signal.SIGTERM) is signal.SIG_DFL


def test_a_second_ctrl_c_ends_the_children_at_once() -> None:
    """Whoever does not want to wait presses again."""
    code = (
        "import os, signal, sys, threading\n"
        "from bridge.cli.stack import Child, Stopping, Supervisor\n"
        f"one = Child('a', [sys.executable, '-c', {DEAF!r}], dict(os.environ))\n"
        "up = threading.Event()\n"
        "with Stopping() as stopping, Supervisor([one], notice=print, output=lambda *_: up.set()) as supervisor:\n"
        "    up.wait(20)\n"
        "    signal.raise_signal(signal.SIGINT)\n"
        "    threading.Timer(0.3, os.kill, (os.getpid(), signal.SIGINT)).start()\n"
    )
    began_s = time.monotonic()
    status = subprocess.run([sys.executable, "-c", code], timeout=30, check=False).returncode

    assert status == 0
    assert time.monotonic() - began_s < 20
