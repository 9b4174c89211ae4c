"""The short form of the fault matrix: each failpoint once on SQLite. `make torture` tries all of it.

Those of deals by Clint's API are tried in `tests/acceptance/test_deals.py`, on both databases.
"""

from __future__ import annotations

import pytest

from bridge.failpoints import FAILPOINTS
from tests.acceptance.test_deals import DEAL_POINTS
from tests.torture.fault import SQLITE, Tried
from tests.torture.kills import KILLS, point_of
from tests.torture.run import run, troubles

OURS = [name for name in FAILPOINTS if name not in DEAL_POINTS]
SHORT = [fault for fault in KILLS if fault.short]

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def tried() -> dict[str, Tried]:
    """Give what came of each by its failpoint, tried several at once: they wait for leases most of the time."""
    return {point_of(one.fault): one for one in run([(fault, SQLITE) for fault in SHORT], at_once=6)}


def test_every_failpoint_is_in_the_matrix() -> None:
    """Each failpoint of the list but those of deals is tried by the long form, and once by the short one."""
    assert {point_of(fault) for fault in KILLS} == set(OURS)
    assert sorted(point_of(fault) for fault in SHORT) == sorted(OURS)


@pytest.mark.parametrize("failpoint", OURS)
def test_a_process_that_is_killed_breaks_no_promise(tried: dict[str, Tried], failpoint: str) -> None:
    """A process dies at the failpoint and is started again: nothing lost, in order, and no repeat without a reason."""
    assert list(troubles(tried[failpoint])) == []
    assert tried[failpoint].strikes > 0
