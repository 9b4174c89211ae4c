"""The short form of the fault matrix: each failpoint once on SQLite. `make torture` tries all of it."""

from __future__ import annotations

import pytest

from bridge.failpoints import FAILPOINTS
from tests.torture.fault import SQLITE, Tried
from tests.torture.kills import KILLS, point_of
from tests.torture.run import run, troubles

SHORT = [fault for fault in KILLS if fault.short]

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def tried() -> dict[str, Tried]:
    """Give what came of each by its failpoint, tried several at once: they wait for leases most of the time."""
    return {point_of(one.fault): one for one in run([(fault, SQLITE) for fault in SHORT], at_once=6)}


def test_every_failpoint_is_in_the_matrix() -> None:
    """Each failpoint of the list is tried by the long form, and once by the short one."""
    assert {point_of(fault) for fault in KILLS} == set(FAILPOINTS)
    assert sorted(point_of(fault) for fault in SHORT) == sorted(FAILPOINTS)


@pytest.mark.parametrize("failpoint", FAILPOINTS)
def test_a_process_that_is_killed_breaks_no_promise(tried: dict[str, Tried], failpoint: str) -> None:
    """A process dies at the failpoint and is started again: nothing lost, in order, and no repeat without a reason."""
    assert list(troubles(tried[failpoint])) == []
    assert tried[failpoint].strikes > 0
