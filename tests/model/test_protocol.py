"""The lane protocol's state machine keeps its promises for a short while, and finds every fault that is planted."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from bridge.errors import BridgeError
from bridge.journal import Lanes
from tests.model.planted import FAULTS, planted
from tests.model.protocol import LaneProtocol
from tests.model.run import run
from tests.model.worker import Worker

UNTIL_FOUND = 3_000
"""A fault that needs more steps than this is found by luck."""


@pytest.mark.slow
def test_the_lane_protocol_keeps_its_promises(database_url: str) -> None:
    """In a few sequences; `make model` runs thousands of steps."""
    assert run(LaneProtocol, database_url, 250, drawn_by=1).steps >= 250


@pytest.mark.slow
@pytest.mark.parametrize("fault", FAULTS, ids=lambda fault: fault.__name__)
def test_a_planted_fault_is_found(fault: type[Lanes] | type[Worker], sqlite_url: str) -> None:
    """The machine breaks off where the protocol is not what it should be."""
    with pytest.raises((AssertionError, BridgeError)):
        run(planted(fault), sqlite_url, UNTIL_FOUND, drawn_by=2, shrink=False)


@pytest.mark.slow
def test_the_long_run_says_what_it_did() -> None:
    """`python -m tests.model` names the database, the steps and that nothing was broken."""
    command = [sys.executable, "-m", "tests.model", "--steps", "20", "--database", "sqlite", "--seed", "7"]
    done = subprocess.run(command, cwd=Path(__file__).parents[2], capture_output=True, text=True, check=False)

    assert done.returncode == 0, done.stderr
    assert "drawn by the seed 7" in done.stdout
    assert "sqlite: " in done.stdout
    assert "no promise broken" in done.stdout
