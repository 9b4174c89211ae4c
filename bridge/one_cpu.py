"""Keeps a process on one CPU at a time, since only one of its threads runs Python at once anyway.

Its threads hand the interpreter's lock to each other at every read and write. Where they sit on several CPUs each
hand-over wakes another CPU, which then finds the lock taken again: measured on two cores, an answer took twice the CPU
time. Now and then the process looks how busy others keep each CPU, and moves to another one that is clearly freer.
Linux only; elsewhere nothing is done.
"""

from __future__ import annotations

import os
import random
import sys
import threading
import time
from collections.abc import Mapping
from pathlib import Path

AGAIN_S = 5.0
WORTH_A_MOVE = 0.15
"""The share of a CPU's time that another one must have more: each move leaves what the old CPU has cached behind."""
_PROCESSOR = 36  # the field of /proc/<pid>/stat that says where the thread ran last, counted behind the name
_IDLE = slice(3, 5)  # of a CPU's times in /proc/stat: doing nothing, and waiting for a disk
_STATED = 8  # what follows is in the first of these already


def keep_on_one_cpu(again_s: float = AGAIN_S) -> None:
    """Keep the calling process on one CPU from now on, with a thread that looks again; nothing where it has but one."""
    allowed = set(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else set()
    if len(allowed) > 1 and getattr(sys, "_is_gil_enabled", lambda: True)():
        threading.Thread(target=_stay, args=(allowed, again_s), name="one-cpu", daemon=True).start()


def freest(mine: int, others: Mapping[int, float]) -> int:
    """Return the CPU to be on, given the share of each CPU's time that others have taken.

    >>> freest(0, {0: 0.50, 1: 0.40})
    0
    >>> freest(0, {0: 0.60, 1: 0.40})
    1
    """
    best = min(others, key=lambda cpu: others[cpu], default=mine)
    return best if others and others[best] + WORTH_A_MOVE < others.get(mine, 0.0) else mine


def _stay(allowed: set[int], again_s: float) -> None:
    mine = _last_cpu()
    mine = mine if mine in allowed else min(allowed)
    while True:
        _let_all_run_on(mine)
        busy, own_s, since_s = _busy_s(allowed), time.process_time(), time.monotonic()
        # Not all at one time: two processes that see the same free CPU would both move there, and both come back.
        time.sleep(again_s * random.uniform(0.5, 1.5))  # noqa: S311 no secret
        passed_s = time.monotonic() - since_s
        now = _busy_s(allowed)
        own_s = time.process_time() - own_s
        took = {cpu: now[cpu] - busy[cpu] - (own_s if cpu == mine else 0.0) for cpu in busy.keys() & now.keys()}
        mine = freest(mine, {cpu: seconds / passed_s for cpu, seconds in took.items()})


def _last_cpu() -> int:
    return int(Path("/proc/self/stat").read_text().rpartition(")")[2].split()[_PROCESSOR])


def _busy_s(cpus: set[int]) -> dict[int, float]:
    """Return for how long each CPU has been busy since the machine began."""
    tick_s = 1 / os.sysconf("SC_CLK_TCK")
    found = {}
    for line in Path("/proc/stat").read_text().splitlines():
        name, *times = line.split()
        if name[:3] == "cpu" and name[3:].isdigit() and int(name[3:]) in cpus:
            ticks = [int(ticks) for ticks in times[:_STATED]]
            found[int(name[3:])] = (sum(ticks) - sum(ticks[_IDLE])) * tick_s
    return found


def _let_all_run_on(cpu: int) -> None:
    for thread in Path("/proc/self/task").iterdir():
        try:
            os.sched_setaffinity(int(thread.name), {cpu})
        except OSError:  # the thread has ended, or the host has taken the CPU away
            continue
