"""The arithmetic and the simulation of docs/scale.md, with small sizes."""

from __future__ import annotations

import json
import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from xml.etree import ElementTree

import pytest

from tests.scale.demand import Costs, Demand, Habits, demand_table
from tests.scale.simulation import Burst, Outcome, Simulation, Site

ROOT = Path(__file__).parents[2]
COSTS = Costs(1.0, 0.2, 2.0, 0.5, 5_000, "nowhere")


def _run(site: Site, events: int = 600, seconds: float = 3, costs: Costs = COSTS) -> Outcome:
    return Simulation(site, Burst(events, seconds, run=50), costs).run()


def test_demand_is_arithmetic() -> None:
    """Ten merchants with sixty charges of three events make 1,800 events; the peak follows from the shares."""
    demand = Demand(10, Habits(), COSTS)

    assert demand.month == 1_800
    assert demand.peak_per_s == pytest.approx(1_800 * 0.05 * 0.4 / 900)
    assert demand.peak_factor == pytest.approx(0.05 * 0.4 * 730 * 4)
    assert demand.gb_a_month == pytest.approx(0.009)
    assert demand.cores(COSTS.worker_ms) == pytest.approx(demand.peak_per_s * 0.002)


def test_the_table_has_a_column_for_each_size() -> None:
    """Ten, a thousand and a hundred thousand merchants stand side by side."""
    lines = demand_table(Habits(), COSTS).splitlines()

    assert lines[0] == "| | 10 merchants | 1,000 merchants | 100,000 merchants |"
    assert lines[2] == "| events a month | 1,800 | 180,000 | 18,000,000 |"
    assert {line.count("|") for line in lines} == {5}


def test_costs_are_those_of_the_run_with_the_fewest_workers(tmp_path: Path) -> None:
    """What `make bench-hosts` has left is read; with more workers these would wait for each other's cores."""
    names = ("web_ms", "postgresql_answer_ms", "worker_ms", "postgresql_ms", "event_bytes")
    rates = [{"workers": count, **dict.fromkeys(names, float(count))} for count in (4, 1, 2)]
    (tmp_path / "x.json").write_text(json.dumps({"commit": "abc", "cores": 2, "rates": rates}))

    assert Costs.measured(tmp_path / "x.json") == Costs(1, 1, 1, 1, 1, "commit abc, 2 cores")


def test_everything_is_answered_and_delivered() -> None:
    """Whatever comes is answered once and delivered once, and nothing waits in the end."""
    outcome = _run(Site(webs=2, workers=2))

    assert [len(outcome.answers_s), len(outcome.deliveries_s)] == [600, 600]
    assert min(outcome.answers_s) > 0.001  # no answer before its commit
    assert outcome.ended_s > 0


def test_the_same_run_comes_twice() -> None:
    """The lots are drawn from a seed, so that two runs of the same numbers say the same."""
    assert _run(Site(1, 1)) == _run(Site(1, 1))


def test_more_workers_deliver_sooner() -> None:
    """Where one worker's sends can't keep up with a slow Clint, four deliver sooner."""
    slow = Site(webs=1, workers=1, sends=2, clint_s=0.05)

    assert _run(replace(slow, workers=4)).ended_s < 0.5 * _run(slow).ended_s


def test_a_worker_delivers_no_more_than_its_core_allows() -> None:
    """With a quick Clint it is the worker's own computing that sets the pace."""
    outcome = _run(Site(webs=1, workers=1, clint_s=0.001), costs=replace(COSTS, worker_ms=20))

    assert outcome.ended_s == pytest.approx(600 * 0.02, rel=0.15)


def test_few_lanes_hold_many_workers_back() -> None:
    """A lane is drained by one worker at a time: with one lane the other workers have nothing to do."""
    many = Site(webs=1, workers=4, lanes=64, sends=8, clint_s=0.5)

    assert _run(many).ended_s < 0.5 * _run(replace(many, lanes=1)).ended_s


def test_the_page_gets_its_numbers_and_its_picture(tmp_path: Path) -> None:
    """The command leaves the numbers of every run and a picture with a line for each number of workers."""
    sizes = ["--merchants", "1000", "--seconds", "30", "--webs", "1", "--workers", "1", "--workers", "2"]
    command = [sys.executable, "-m", "tests.scale", *sizes, "--lanes", "16", "--to", str(tmp_path)]
    done = subprocess.run(command, cwd=ROOT, check=False, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    told = json.loads((tmp_path / "scale.json").read_text())
    drawn = ElementTree.fromstring((tmp_path / "scale.svg").read_text())  # noqa: S314 (our own)
    names = [element.tag.rpartition("}")[2] for element in drawn]

    assert {name: len(told[name]) for name in ("webs", "workers", "lanes")} == {"webs": 1, "workers": 2, "lanes": 1}
    assert names.count("polyline") == 2
    assert {"title", "desc"} <= set(names)
