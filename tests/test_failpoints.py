"""The places where a test lets a process die: each is in the code once, and none is armed by accident or unnoticed."""

from __future__ import annotations

import ast
import json
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from bridge import failpoints
from bridge.errors import SettingsError
from bridge.failpoints import FAILPOINTS
from bridge.operations import doctor
from bridge.settings import Settings
from tests.layers import read_sources

PACKAGE = Path(__file__).parents[1] / "bridge"


def _placed(text: str) -> list[str]:
    """Return the names that are given to `failpoint` in this module."""
    return [
        node.args[0].value
        for node in ast.walk(ast.parse(text))
        if isinstance(node, ast.Call)
        and getattr(node.func, "id", getattr(node.func, "attr", "")) == "failpoint"
        and isinstance(node.args[0], ast.Constant)
        and isinstance(node.args[0].value, str)
    ]


def test_every_failpoint_is_placed_exactly_once() -> None:
    """The list and the code name the same places, and a name stands for one of them."""
    placed = [name for text in read_sources(PACKAGE).values() for name in _placed(text)]

    assert sorted(placed) == sorted(FAILPOINTS)


@pytest.mark.parametrize("text", ["nowhere", "ingress", "ingress.after_commit:0", "ingress.after_commit:x", ":3"])
def test_an_unknown_failpoint_is_an_error_that_lists_them(text: str) -> None:
    """No process starts with a failpoint that does not exist, and the error says which do."""
    with pytest.raises(SettingsError, match=r"BRIDGE_FAILPOINT must be one of append\.before_commit, .*wake\.before_q"):
        Settings.from_env({"BRIDGE_FAILPOINT": text})


def test_a_process_dies_at_its_failpoint_and_at_no_other() -> None:
    """It is killed at the pass that was asked for, and says where."""
    code = (
        "from bridge import failpoints as f\n"
        "f.arm('wake.after_queue:3')\n"
        "for n in range(5): print(n, flush=True); f.failpoint('wake.before_queue'); f.failpoint('wake.after_queue')\n"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)

    assert done.returncode == -signal.SIGKILL
    assert done.stdout.split() == ["0", "1", "2"]
    assert json.loads(done.stderr) == {"action": "failpoint.reached", "failpoint": "wake.after_queue"}


def test_nothing_happens_where_none_is_armed() -> None:
    """Without the variable every place is passed."""
    failpoints.arm(Settings.from_env({}).bridge_failpoint)
    for name in FAILPOINTS:
        failpoints.failpoint(name)


def test_passes_before_the_last_one_are_survived() -> None:
    """The process lives through all passes but the one that was asked for."""
    failpoints.arm("wake.after_queue:3")
    try:
        for _ in range(2):
            failpoints.failpoint("wake.after_queue")
    finally:
        failpoints.arm("")


def test_an_armed_process_says_so_first(tmp_path: Path) -> None:
    """A process that will kill itself says that as loudly as it can, before anything else."""
    environ = {"BRIDGE_FAILPOINT": "migration.before_steps", "DATABASE_URL": f"sqlite:///{tmp_path / 'journal.db'}"}
    done = subprocess.run(
        [sys.executable, "-m", "bridge", "db", "upgrade"],
        env={"PATH": "/usr/bin:/bin", **environ},
        cwd=PACKAGE.parent,
        capture_output=True,
        text=True,
        check=False,
    )
    first = json.loads(done.stderr.splitlines()[0])

    assert done.returncode == -signal.SIGKILL
    assert (first["level"], first["action"], first["failpoint"]) == (
        "critical",
        "failpoint.armed",
        "migration.before_steps",
    )


def test_doctor_complains_of_a_failpoint() -> None:
    """`bridge doctor` says that the setting is for tests, and that it is wrong to have it."""
    (check,) = doctor.failpoint(Settings.from_env({"BRIDGE_FAILPOINT": "ingress.after_commit:2"}))

    assert (check.state, str(check.mend)) == (doctor.State.WRONG, "unset it and start all processes again")
    assert "kill themselves at ingress.after_commit:2" in str(check.value)
    assert list(doctor.failpoint(Settings.from_env({}))) == []
