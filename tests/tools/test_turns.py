"""Who may run beside whom."""

from __future__ import annotations

import threading
from dataclasses import dataclass
from typing import Any
from uuid import uuid4

import pytest

from tests.turns import LONGEST, pytest_collection_modifyitems, turn


@dataclass(frozen=True)
class Item:
    """A test, as far as its order goes."""

    nodeid: str
    markers: tuple[str, ...] = ()

    def get_closest_marker(self, name: str) -> object:
        """Return the marker of that name."""
        return name if name in self.markers else None


def test_the_longest_files_come_first_and_tests_that_run_alone_last(monkeypatch: pytest.MonkeyPatch) -> None:
    """Whatever the order of collection; a test that is not slow waits for those that are."""
    monkeypatch.delenv("PYTEST_XDIST_WORKER", raising=False)
    order: list[Any] = [
        Item(f"{LONGEST[1]}::test", ("slow",)),
        Item(f"{LONGEST[0]}::test", ("slow",)),
        Item("tests/unit/test_other.py::test_slow", ("slow",)),
        Item("tests/unit/test_other.py::test_quick"),
        Item("tests/unit/test_other.py::test_alone", ("slow", "alone")),
    ]
    items = order[::-1]
    pytest_collection_modifyitems(items)

    assert items == [order[1], order[0], *order[2:]]


def test_alone_waits_for_those_who_run_and_holds_up_those_who_come() -> None:
    """Others run side by side; who wants to be alone waits for them, and goes before whoever comes later."""
    run, seen = uuid4().hex, []
    inside, leave = threading.Barrier(3), threading.Event()

    def others() -> None:
        with turn(run, alone=False):
            inside.wait(10)
            leave.wait(10)
            seen.append("beside")

    def alone() -> None:
        with turn(run, alone=True):
            seen.append("alone")

    def later() -> None:
        with turn(run, alone=False):
            seen.append("later")

    running = [threading.Thread(target=others) for _ in range(2)]
    for thread in running:
        thread.start()
    inside.wait(10)
    waiting = [threading.Thread(target=alone)]
    waiting[0].start()
    waiting[0].join(0.1)
    waiting.append(threading.Thread(target=later))
    waiting[1].start()
    waiting[1].join(0.1)
    assert seen == []
    leave.set()
    for thread in (*running, *waiting):
        thread.join(10)

    assert seen == ["beside", "beside", "alone", "later"]
