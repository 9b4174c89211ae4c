"""A process's place: one CPU at a time, and another one where others fill it."""

from __future__ import annotations

import doctest
import subprocess
import sys

import pytest

from bridge import one_cpu

STORY = """
import os, threading, time
from pathlib import Path
from bridge.one_cpu import keep_on_one_cpu

def places():
    found = set()
    for thread in Path("/proc/self/task").iterdir():
        found.add(frozenset(os.sched_getaffinity(int(thread.name))))
    return found

def until(reached):
    ends_s = time.monotonic() + 30
    while not reached(places()):
        assert time.monotonic() < ends_s, places()
        time.sleep(0.002)

allowed = os.sched_getaffinity(0)
if len(allowed) > 1:
    threading.Thread(target=time.sleep, args=(30,), daemon=True).start()
    keep_on_one_cpu(again_s=0.2)
    until(lambda found: len(found) == 1 and len(min(found)) == 1)
    os.sched_setaffinity(0, allowed)
    until(lambda found: len(found) == 1 and len(min(found)) == 1)
print("kept")
"""


def test_all_threads_of_a_process_stay_on_one_cpu() -> None:
    """Also those that were there before, and one that got away; where there is but one CPU nothing is to be done."""
    told = subprocess.run([sys.executable, "-c", STORY], capture_output=True, text=True, timeout=60)

    assert (told.stdout, told.stderr) == ("kept\n", "")


@pytest.mark.parametrize(
    ("mine", "others", "best"),
    [
        (0, {0: 0.5, 1: 0.4}, 0),
        (0, {0: 0.9, 1: 0.1}, 1),
        (1, {0: 0.1, 1: 0.9, 2: 0.0}, 2),
        (0, {}, 0),
        (3, {0: 0.9, 1: 0.8}, 3),
    ],
)
def test_a_process_moves_where_another_cpu_is_clearly_freer(mine: int, others: dict[int, float], best: int) -> None:
    """A small difference is no reason to move, and where the load is not known nothing is moved."""
    assert one_cpu.freest(mine, others) == best


def test_its_examples_are_true() -> None:
    """The docstring's examples."""
    assert doctest.testmod(one_cpu).failed == 0
