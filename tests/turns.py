"""The order in which tests run, and who may run beside whom, when pytest-xdist runs several at once.

Slow tests come first, so that none is begun when everything else is done. A test that is marked `alone` holds a
duration to a limit that others could spoil: these come last, one after another, and wait until no other test runs.
"""

from __future__ import annotations

import fcntl
import os
import tempfile
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

import pytest

from tests.measuring import is_counted, uncounted


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Put slow tests first and tests that run alone last."""
    items.sort(key=lambda item: 2 if item.get_closest_marker("alone") else not item.get_closest_marker("slow"))


@pytest.hookimpl(wrapper=True)
def pytest_runtest_protocol(item: pytest.Item) -> Iterator[None]:
    """Run the test when it is its turn."""
    run = os.environ.get("PYTEST_XDIST_TESTRUNUID")
    with ExitStack() as stack:
        if run:
            stack.enter_context(turn(run, alone=item.get_closest_marker("alone") is not None))
        if not is_counted(item):
            stack.enter_context(uncounted())
        return (yield)


@contextmanager
def turn(run: str, *, alone: bool) -> Iterator[None]:
    """Wait until nobody runs alone; to run alone, until nobody runs at all."""
    kind = fcntl.LOCK_EX if alone else fcntl.LOCK_SH
    with ExitStack() as stack:
        door, room = (
            stack.enter_context(Path(tempfile.gettempdir(), f"bridge-tests-{run}-{name}").open("w"))
            for name in ("door", "room")
        )
        # Who wants to be alone stands in the door until the room is empty: else newcomers would keep it full for ever.
        fcntl.flock(door, kind)
        fcntl.flock(room, kind)
        if not alone:
            fcntl.flock(door, fcntl.LOCK_UN)
        yield
