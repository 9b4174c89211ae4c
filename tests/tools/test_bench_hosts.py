"""The long run on several machines runs from end to end with tiny numbers."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

from tests.acceptance.hosts import CutOff
from tests.acceptance.network import Network, NetworkMissing
from tests.acceptance.story import Verdict
from tests.bench.hosts import Rate, cut_words, rates_table
from tests.missing import cannot_have

ROOT = Path(__file__).parents[2]


@pytest.mark.slow
@pytest.mark.usefixtures("postgres_url")
def test_workers_on_hosts_of_their_own_are_measured(tmp_path: Path) -> None:
    """Two workers, each on a host of its own, drain a backlog; rate, CPU times and sizes are left and shown."""
    try:
        with Network():
            pass
    except NetworkMissing as error:
        cannot_have("network namespaces", error)
    path = tmp_path / "hosts.json"
    sizes = ["--workers", "2", "--backlog", "40", "--customers", "8", "--cut", "0"]
    command = [sys.executable, "-m", "tests.bench.hosts", *sizes, "--json", str(path)]
    done = subprocess.run(command, cwd=ROOT, check=False, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    rates = json.loads(path.read_text())["rates"]

    assert [rate["workers"] for rate in rates] == [2]
    assert all(rate[name] > 0 for rate in rates for name in ("per_s", "bare_per_s", "cores_busy", "event_bytes"))
    assert "| workers |" in done.stdout


def test_rates_are_held_against_the_first() -> None:
    """The table says how much more so many workers deliver than the first number of them."""
    shown = rates_table([Rate(1, 100, 1000, 7, 3, 1.2, 1, 1, 1), Rate(2, 150, 1000, 8, 4, 1.9, 1, 1, 1)])

    assert shown.splitlines()[-1] == "| 2 | 150 | 1.50 | 0.15 | 8.0 ms | 4.0 ms | 1.9 |"


def test_a_cut_is_told_in_words() -> None:
    """What became of the lanes, attempts and customers of a worker that was cut off is one sentence."""
    told = cut_words(4, CutOff(3, 31.2, 5, 0, Verdict(4_000, {"a": 1, "b": 2}, [], ["cus_1"])))

    assert "3 lanes: taken over within 31 s; 5 attempts" in told
    assert "4,000 delivered, 3 of them twice; customers out of order: 0; sent two at once: 1." in told
