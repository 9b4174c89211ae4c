"""The lane protocol's machine finds every fault that is planted in the product; its long run says what it did."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from bridge.errors import BridgeError
from tests.model.planted import FAULTS, Fault, planted
from tests.model.protocol import LaneProtocol
from tests.model.run import run

UNTIL_FOUND = 3_000
"""A fault that needs more steps than this is found by luck."""


@pytest.mark.parametrize("fault", FAULTS, ids=lambda fault: fault.name)
def test_a_planted_fault_is_found(fault: Fault, sqlite_url: str) -> None:
    """The machine breaks off where the protocol is not what it should be."""
    with planted(fault), pytest.raises((AssertionError, BridgeError)):
        run(LaneProtocol, sqlite_url, UNTIL_FOUND, drawn_by=2, shrink=False)


def test_the_long_run_says_what_it_did() -> None:
    """`python -m tests.model` names the database, the steps and that nothing was broken."""
    command = [sys.executable, "-m", "tests.model", "--steps", "20", "--database", "sqlite", "--seed", "7"]
    done = subprocess.run(command, cwd=Path(__file__).parents[2], capture_output=True, text=True, check=False)

    assert done.returncode == 0, done.stderr
    assert "drawn by the seed 7" in done.stdout
    assert "sqlite: " in done.stdout
    assert "no promise broken" in done.stdout
