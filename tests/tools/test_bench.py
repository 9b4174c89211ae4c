"""The bench runs from end to end with tiny numbers and leaves what later runs are compared with.

No number is held to a limit here: how fast a machine is says nothing about whether the bench is right.
"""

from __future__ import annotations

import json
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest

from tests import asking
from tests.bench import load, references, usage
from tests.bench.load import Order
from tests.bench.numbers import Number, percentile, table
from tests.bench.receiver import Receiver
from tests.bench.site import Stream

ROOT = Path(__file__).parents[2]
TINY = [
    "--seconds",
    "0.5",
    "--connections",
    "4",
    "--customers",
    "8",
    "--backlog",
    "20",
    "--idle",
    "2",
]


@pytest.fixture
def receiver() -> Iterator[Receiver]:
    """Give a receiver's process."""
    with Receiver() as process:
        yield process


def _report(scratch: Path, *arguments: str) -> dict[str, Any]:
    path = scratch / "bench.json"
    command = [sys.executable, "-m", "tests.bench", *TINY, *arguments, "--json", str(path)]
    done = subprocess.run(command, cwd=ROOT, check=False, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    report: dict[str, Any] = json.loads(path.read_text())
    assert all(number["measure"] in done.stdout for number in report["numbers"])
    return report


def _by_measure(report: dict[str, Any]) -> dict[str, list[dict[str, Any]]]:
    found: dict[str, list[dict[str, Any]]] = {}
    for number in report["numbers"]:
        found.setdefault(number["measure"], []).append(number)
    return found


@pytest.mark.slow
@pytest.mark.usefixtures("postgres_url")
def test_bench_measures_deliveries_on_postgresql(tmp_path: Path) -> None:
    """Deliveries, what they take of each process and how long one takes are measured; nothing is lost."""
    chosen = ["--only", "flow", "--only", "backlog", "--only", "idle"]
    report = _report(tmp_path, "--database", "postgresql", *chosen)
    measures = _by_measure(report)

    assert report["notes"] == []
    assert {number["database"] for number in report["numbers"]} == {"postgresql"}
    assert list(measures) == [
        "delivered while load arrives, 1 worker",
        "CPU for each delivered event",
        "memory idle",
        "memory after load",
        "draining a backlog of 20, 2 workers",
        "idle bridge, from received to POST",
    ]
    assert {number["name"] for number in measures["CPU for each delivered event"]} == {
        "web",
        "worker",
        "redis",
        "postgresql",
    }
    assert all(number["bridge"] > 0 for number in measures["memory idle"])


def test_flows_keep_each_customer_in_order() -> None:
    """Dealt to several connections, the events of a customer stay in one flow and in their order."""
    stream = Stream(8, 100)
    flows = stream.flows(3)

    assert len(stream.first) == 8
    assert sorted(body for flow in flows for body in flow) == sorted(stream.rest)
    assert all(flow == [body for body in stream.rest if body in set(flow)] for flow in flows)
    assert [sum(len(flow) for flow in stream.flows(3, 10)), sum(map(len, stream.flows(3, first=True)))] == [10, 8]


def test_load_posts_all_and_the_receiver_counts_each(receiver: Receiver) -> None:
    """What is posted as fast as possible arrives whole, is counted, and is forgotten when asked."""
    head = b"POST /endpoints/x HTTP/1.1\r\nHost: x\r\nIdempotency-Key: k\r\nContent-Length: "
    got = load.post(Order(receiver.port, head, [[b"a" * 70_000] * 3, [b"b"] * 2]))
    arrivals = receiver.arrivals()
    receiver.forget()

    assert dict(got.statuses) == {200: 5}
    assert [len(got.latencies_s), len(arrivals), {arrival.key for arrival in arrivals}] == [5, 5, {"k"}]
    assert all(got.begun_ns <= arrival.at_ns <= got.ended_ns for arrival in arrivals)
    assert receiver.count() == 0


def test_load_keeps_to_its_rate(receiver: Receiver) -> None:
    """At a set rate about as many requests go out as the rate asks for, however quick the answers are."""
    head = b"POST /endpoints/x HTTP/1.1\r\nHost: x\r\nContent-Length: "
    got = load.post(Order(receiver.port, head, [[b"a"] * 500] * 4, seconds=1, rate=100))

    assert 60 < got.statuses[200] < 140


def test_load_stays_just_ahead_of_the_deliveries(receiver: Receiver) -> None:
    """While nothing more arrives than was posted so far, no more than allowed is posted beyond it."""
    head = b"POST /endpoints/x HTTP/1.1\r\nHost: x\r\nContent-Length: "
    with Receiver() as elsewhere:
        flows = [[b"a"] * 50] * 2
        got = load.post(Order(elsewhere.port, head, flows, seconds=0.5, receiver_port=receiver.port, ahead=7))

        assert [elsewhere.count(), receiver.count(), got.statuses[200]] == [7, 0, 7]


def test_load_counts_what_was_not_answered() -> None:
    """A server that is not there gives no answer, which is counted as such."""
    with Receiver() as gone:
        port = gone.port
    got = load.post(Order(port, b"POST / HTTP/1.1\r\nContent-Length: ", [[b"a"] * 2]))

    assert dict(got.statuses) == {0: 2}


def test_a_hanging_receiver_counts_but_does_not_answer(receiver: Receiver) -> None:
    """While it hangs a POST is counted and gets no answer; after that posts are answered again."""
    receiver.hang()
    with asking.client() as client:
        with pytest.raises(httpx.ReadTimeout):
            client.post(receiver.url, content=b"{}", timeout=0.2)
        receiver.answer()
        status = client.post(receiver.url, content=b"{}", timeout=5).status_code

    assert [status, receiver.count()] == [200, 2]


def test_bare_posts_reach_the_receiver(receiver: Receiver) -> None:
    """The reference of deliveries posts its payloads again and again for the time it is given."""
    rate = references.post_bare(receiver.url, [b"{}", b"{}"], 0.2)

    assert rate > 0
    assert receiver.count() >= rate * 0.2 * 0.5


def test_usage_sees_a_process_and_its_children() -> None:
    """Memory and CPU time are those of a process and what it started; one that is gone counts nothing."""
    script = "import subprocess, sys; subprocess.run(['sleep', '30'])"
    with subprocess.Popen([sys.executable, "-c", script]) as process:
        ends_s = time.monotonic() + 10
        while len(usage.family(process.pid)) < 2 and time.monotonic() < ends_s:
            time.sleep(0.02)
        pids = usage.family(process.pid)
        held = usage.memory(pids)
        for pid in reversed(pids):
            subprocess.run(["kill", str(pid)], check=True)
        process.wait(10)
        while usage.memory(pids).rss_mb and time.monotonic() < ends_s:
            time.sleep(0.02)

    assert len(pids) == 2
    assert held.rss_mb >= held.pss_mb > 0
    assert [usage.cpu_s(pids), usage.memory(pids).rss_mb] == [0, 0]


def test_percentiles_are_values_that_were_seen() -> None:
    """The percentile of a hundred values is one of them; of none it is no number."""
    values = [float(value) for value in range(100, 0, -1)]

    assert [percentile(values, 50), percentile(values, 99), percentile(values, 100)] == [50, 99, 100]
    assert str(percentile([], 50)) == "nan"


def test_table_shows_ratios_where_there_is_a_reference() -> None:
    """A number with a reference has a ratio in the table, one without has none."""
    numbers = [Number("sqlite", "m", "n", "/s", 50, 100), Number("sqlite", "other", "n", "ms", 1.25)]

    assert [number.ratio for number in numbers] == [0.5, None]
    assert table(numbers).row_count == 2
