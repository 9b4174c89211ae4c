"""The order in which tests run, and who may run beside whom, when pytest-xdist runs several at once.

A file is one worker's work. The longest files are begun first and those with slow tests next, so that none is begun
when everything else is done. A test that is marked `alone` holds a duration to a limit that others could spoil: these
are taken out of their files and come last, one after another, and wait until no other test runs. In the middle of a run
each would hold up all workers until the longest test of the others has ended.
"""

from __future__ import annotations

import fcntl
import os
import tempfile
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from functools import cached_property
from pathlib import Path
from typing import Any

import pytest

from tests.measuring import is_counted, uncounted

LONGEST = (
    "tests/trial/test_short.py",
    "tests/torture/test_short.py",
    "tests/acceptance/test_hosts.py",
    "tests/acceptance/test_torture.py",
    "tests/browser/",
    "tests/integration/test_malformed_settings.py",
    "tests/integration/test_console_crawl.py",
    "tests/integration/test_worker.py",
    "tests/acceptance/",
    "tests/integration/test_cli_processes.py",
    "tests/conformance/test_lines.py",
)
"""The files that take longest, the longest first; what only waits beside what computes."""
_ALONE = "alone"
"""What the tests that run alone are to the scheduler instead of their files."""


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Put the tests of the longest files first, then other slow tests, and tests that run alone last."""
    items.sort(key=_place)
    if os.environ.get("PYTEST_XDIST_WORKER") == "gw0":
        alone = [item.nodeid for item in items if item.get_closest_marker("alone")]
        _file_of(os.environ["PYTEST_XDIST_TESTRUNUID"], _ALONE).write_text("\n".join(alone))


def _place(item: pytest.Item) -> int:
    if item.get_closest_marker("alone"):
        return len(LONGEST) + 2
    if not item.get_closest_marker("slow"):
        return len(LONGEST) + 1
    return next((place for place, name in enumerate(LONGEST) if item.nodeid.startswith(name)), len(LONGEST))


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_make_scheduler(config: pytest.Config, log: Any) -> Any:
    """Give each worker a file at a time, and one of them all tests that run alone."""
    if config.getoption("dist") != "loadfile":
        return None
    from xdist.scheduler import LoadFileScheduling  # type: ignore[import-untyped]

    class Files(LoadFileScheduling):  # type: ignore[misc]
        @cached_property
        def alone(self) -> set[str]:
            # Only the workers collect: the first one has said which these are when all of them have done so.
            run = next(iter(self.registered_collections)).workerinput["testrunuid"]
            return set(_file_of(run, _ALONE).read_text().splitlines())

        def _split_scope(self, nodeid: str) -> str:
            return _ALONE if nodeid in self.alone else nodeid.partition("::")[0]

    return Files(config, log)


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
        door, room = (stack.enter_context(_file_of(run, name).open("w")) for name in ("door", "room"))
        # Who wants to be alone stands in the door until the room is empty: else newcomers would keep it full for ever.
        fcntl.flock(door, kind)
        fcntl.flock(room, kind)
        if not alone:
            fcntl.flock(door, fcntl.LOCK_UN)
        yield


def _file_of(run: str, name: str) -> Path:
    return Path(tempfile.gettempdir(), f"bridge-tests-{run}-{name}")
