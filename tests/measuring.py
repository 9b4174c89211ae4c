"""Which tests count in `make coverage`.

Not those that drive the whole bridge, or one part of it thousands of times, nor those that do on PostgreSQL what the
same test has done on SQLite. Watching every line adds seven tenths to what a test takes. What these tests run is
reached by others too: without them every package stands above its floor. Where a package comes near its floor, let some
count again.
"""

from __future__ import annotations

import os
import re
import warnings
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, nullcontext

import pytest
from coverage import Coverage

NOT_COUNTED = (
    "tests/acceptance/test_demo.py::test_a_killed_demo_leaves_nothing_running",
    "tests/acceptance/test_demo.py::test_once_ends_with_1",
    "tests/acceptance/test_hosts.py",
    "tests/acceptance/test_log_output.py",
    "tests/acceptance/test_mapping_reload.py",
    "tests/acceptance/test_samples.py",
    "tests/acceptance/test_torture.py",
    "tests/acceptance/test_wrong_clock.py",
    "tests/browser/",
    "tests/conformance/test_actions.py",
    "tests/conformance/test_lines.py",
    "tests/conformance/test_query_plans.py",
    "tests/conformance/test_transitions.py",
    "tests/integration/test_backup.py",
    "tests/integration/test_bad_input.py",
    "tests/integration/test_cli_alerts.py",
    "tests/integration/test_cli_demo_stage.py",
    "tests/integration/test_console_access.py",
    "tests/integration/test_console_attention.py",
    "tests/integration/test_console_crawl.py",
    "tests/integration/test_console_events.py",
    "tests/integration/test_log_readers.py",
    "tests/integration/test_malformed_settings.py",
    "tests/integration/test_notice_fixes.py",
    "tests/integration/test_openapi.py",
    "tests/integration/test_process.py",
    "tests/integration/test_slow_senders.py",
    "tests/integration/test_web.py",
    "tests/integration/test_worker.py::test_a_failed_job",
    "tests/integration/test_worker.py::test_a_wake_up",
    "tests/integration/test_worker.py::test_a_worker_killed",
    "tests/integration/test_worker.py::test_an_idle_worker",
    "tests/integration/test_worker.py::test_two_workers",
    "tests/model/",
    "tests/test_docs.py",
    "tests/test_mapping",
    "tests/test_starter_flows.py",
    "tests/torture/",
    "tests/trial/",
    "tests/unit/mapping/test_bounds.py",
    "tests/unit/mapping/test_evaluation.py::test_both_give_the_same",
    "tests/unit/mapping/test_fuzz.py",
    "tests/unit/mapping/test_schema.py",
    "tests/unit/test_cli_mappings_test.py",
    "tests/unit/test_console_words.py",
    "tests/unit/test_http.py",
    "tests/unit/test_settings.py",
    "tests/unit/test_transform.py",
)
_ON_THE_OTHER_DATABASE = re.compile(r"[\[-]postgresql[\]-]")
_FIRST_WORKER = "gw0"
_CHILDREN = "COVERAGE"
"""So the variables begin that let processes which a test starts be measured too."""


def is_counted(item: pytest.Item) -> bool:
    """Return whether a test counts."""
    return not item.nodeid.startswith(NOT_COUNTED) and not _ON_THE_OTHER_DATABASE.search(item.nodeid)


@pytest.hookimpl(wrapper=True)
def pytest_collection() -> Iterator[None]:
    """Let one of pytest-xdist's workers watch what an import runs: all of them import the same."""
    with nullcontext() if os.environ.get("PYTEST_XDIST_WORKER", _FIRST_WORKER) == _FIRST_WORKER else uncounted():
        return (yield)


@contextmanager
def uncounted() -> Iterator[None]:
    """Measure neither this process nor those that it starts, where they are measured at all."""
    coverage = Coverage.current()
    if coverage is None:
        yield
        return
    coverage.stop()
    try:
        with without_children():
            yield
    finally:
        with warnings.catch_warnings(action="ignore"):  # that what it measures is imported already
            coverage.start()


def asks_for_coverage(env: Mapping[str, str]) -> bool:
    """Return whether a process with this environment is measured."""
    return any(name.startswith(_CHILDREN) for name in env)


@contextmanager
def without_children() -> Iterator[None]:
    """Measure none of the processes that are started meanwhile."""
    kept = {name: os.environ.pop(name) for name in list(os.environ) if name.startswith(_CHILDREN)}
    try:
        yield
    finally:
        os.environ.update(kept)
