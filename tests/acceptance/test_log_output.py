"""Processes whose output takes nothing: events are kept and delivered all the same, and SIGTERM ends the processes.

`make torture` has the long form, with disks that fill and are freed.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

import pytest

from bridge.journal.database import Database
from tests import asking
from tests.acceptance import story
from tests.acceptance.deployment import Child, Deployment, until
from tests.torture.judge import Expected, judge, settled
from tests.torture.outputs import Output, Outputs, reader_gone, reader_stands_still

pytestmark = pytest.mark.slow


class Spawned(Deployment):
    """A deployment whose processes have opened their output once they are started: a pipe without a reader blocks."""

    def _child(self, command: list[str], env: Mapping[str, str], log: Path) -> Child:
        return Child(command, env, log)


@contextmanager
def full(_directory: Path) -> Iterator[Output]:
    """A file on a disk that stays full."""
    yield Path("/dev/full"), lambda: None


@pytest.mark.parametrize(
    ("output", "processes"),
    [
        *((output, ("web-0", "worker-0", "sweeper-0")) for output in (full, reader_gone, reader_stands_still)),
        (reader_stands_still, ("up",)),
    ],
    ids=["full", "reader_gone", "reader_stands_still", "up"],
)
def test_an_output_that_takes_nothing_stops_nobody(
    tmp_path: Path, sqlite_url: str, emptied_redis_url: str, output: Outputs, processes: tuple[str, ...]
) -> None:
    """Every event that is posted is answered, delivered in order, and every process ends when it is asked to."""
    mappings = story.write_mappings(tmp_path / "mappings")
    people = story.customers(3)
    told = story.events([person["id"] for person in people], 6, seed=6)
    settings = {"BRIDGE_LOG_LEVEL": "debug"}
    with (
        output(tmp_path) as (path, strike),
        Spawned(tmp_path, sqlite_url, emptied_redis_url, mappings, settings) as bridge,
    ):
        bridge.asaas("customers", customers=people)
        bridge.outputs = dict.fromkeys(processes, path)
        if processes == ("up",):
            bridge.start_up()
        else:
            bridge.start(sweepers=1)
        strike()
        for event in (event for events in told.values() for event in events):
            bridge.post_until_kept(event.body, patience_s=60)
        database = Database(sqlite_url)
        until(lambda: settled(database), 60)
        found = judge(database, bridge.history(), Expected({e.event_id for events in told.values() for e in events}))
        database.close()

        assert found.breaches == []
        if output is full:
            numbers = f"http://{bridge.address}:{bridge.web_ports[0]}/metrics"
            until(lambda: re.search(r"^bridge_log_lines_dropped_total [1-9]", asking.get(numbers).text, re.M), 30)
        assert [bridge.children[name].stop() for name in processes] == [0] * len(processes)
