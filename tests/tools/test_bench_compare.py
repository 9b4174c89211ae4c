"""Two revisions beside each other: what counts as a change, and a comparison from end to end with tiny sizes."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from tests.bench.changes import Change, Range, Verdict, by_chance, changes, table

ROOT = Path(__file__).parents[2]


def _report(
    bridge: float, reference: float | None = None, unit: str = "/s", measure: str = "answers"
) -> dict[str, Any]:
    ratio = bridge / reference if reference else None
    number = {"database": "sqlite", "measure": measure, "name": "n", "unit": unit, "bridge": bridge, "ratio": ratio}
    return {"numbers": [number]}


def _verdict(before: list[float], after: list[float], unit: str = "/s", least: float = 0.05) -> Verdict:
    found = changes([_report(value, 1, unit) for value in before], [_report(value, 1, unit) for value in after], least)
    return found[0].verdict


@pytest.mark.parametrize(
    ("unit", "before", "after", "verdict"),
    [
        ("/s", [100, 110, 90], [80, 70, 89], Verdict.WORSE),
        ("/s", [100, 110, 90], [80, 70, 91], Verdict.SAME),
        ("/s", [100, 110, 90], [111, 150, 130], Verdict.BETTER),
        ("ms", [100, 110, 90], [111, 150, 130], Verdict.WORSE),
        ("ms", [100, 110, 90], [80, 70, 89], Verdict.BETTER),
        ("MB", [100, 100, 100], [104, 104, 104], Verdict.SAME),
        ("MB", [100, 100, 100], [106, 106, 106], Verdict.WORSE),
        ("ms", [0, 0, 0], [1, 1, 1], Verdict.SAME),
    ],
)
def test_only_what_lies_beyond_the_spread_is_a_change(
    unit: str, before: list[float], after: list[float], verdict: Verdict
) -> None:
    """Rates that fall and times that rise are worse, but only where no run of one reaches a run of the other."""
    assert _verdict(before, after, unit) is verdict


def test_a_slow_machine_is_not_a_regression() -> None:
    """A run in which the reference was slow as well is compared by its ratio."""
    found = changes([_report(100, 200), _report(50, 100)], [_report(25, 50), _report(110, 220)], 0.05)[0]

    assert [found.quotient, found.verdict, found.by_ratio] == [1.0, Verdict.SAME, True]
    assert [found.before, found.after] == [75, 67.5]


def test_measures_that_name_their_own_rate_are_one() -> None:
    """The rate that a run found itself stands in the measure's name, and differs from run to run."""
    runs = [_report(1, 2, measure=f"answer at {rate}/s") for rate in (204, 1_180)]

    assert [change.measure for change in changes(runs[:1], runs[1:], 0.05)] == ["answer at 204/s"]


def test_a_number_that_one_run_lacks_is_left_out() -> None:
    """Only what every run of both revisions has can be compared."""
    assert changes([_report(1)], [_report(1, measure="new")], 0.05) == []


def test_without_a_reference_the_numbers_themselves_are_compared() -> None:
    """Memory has no reference: its change is that of the number."""
    found = changes([_report(100, unit="MB")], [_report(150, unit="MB")], 0.05)[0]

    assert [found.by_ratio, found.quotient, found.as_json()["verdict"]] == [False, 1.5, "worse"]


def test_chance_is_said() -> None:
    """How often chance alone puts the runs of one revision beyond the other's is counted, not guessed."""
    orders = [(a, b, c) for a in range(6) for b in range(a) for c in range(b)]

    assert by_chance(3) == 1 / len(orders)


def test_the_table_has_a_row_for_each_number() -> None:
    """Each change has a row with medians, ratios, change and spread."""
    change = Change("sqlite", "m", "n", "/s", 1, 2, Range(1, 1, 1), Range.of([1.9, 2, 2.1]), True, 0.05)
    shown = table([change, change], ("old", "new"))

    assert shown.row_count == 2
    assert [column.header for column in shown.columns[3:5]] == ["old", "new"]
    assert change.after_range.spread == pytest.approx(0.1)


@pytest.mark.slow
def test_two_revisions_are_measured_in_turn(tmp_path: Path) -> None:
    """The last commit and the work tree run in turn; the report has every run and every number; no worktree stays.

    Of each run the answers are measured, each number beside its reference, and nothing is refused.
    """
    path = tmp_path / "compare.json"
    before = _worktrees()
    sizes = ["--rounds", "1", "--seconds", "0.2", "--database", "sqlite", "--only", "answers"]
    command = [sys.executable, "-m", "tests.bench.compare", "HEAD", *sizes, "--bench=connections=2"]
    done = subprocess.run([*command, "--json", str(path)], cwd=ROOT, check=False, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    told = json.loads(path.read_text())

    assert [len(runs) for runs in told["runs"].values()] == [1, 1]
    assert [change["name"] for change in told["changes"]] == ["answers", "p50", "p99", "longest"]
    assert told["after"].startswith(f"here {told['before']}")
    assert "chance alone" in done.stdout
    for report in [run for runs in told["runs"].values() for run in runs]:
        assert report["notes"] == []
        assert {number["database"] for number in report["numbers"]} == {"sqlite"}
        assert all(number["ratio"] == number["bridge"] / number["reference"] for number in report["numbers"])
        assert {"fsync_ms", "cores", "load_before", "load_after"} <= set(report["machine"])
    assert _worktrees() == before


def test_a_revision_that_is_not_there_is_said_so() -> None:
    """A mistyped revision ends with status 2 and git's own words, before anything runs."""
    command = [sys.executable, "-m", "tests.bench.compare", "no-such-revision"]
    done = subprocess.run(command, cwd=ROOT, check=False, capture_output=True, text=True)

    assert done.returncode == 2
    assert "no-such-revision" in done.stderr or "Needed a single revision" in done.stderr


def _worktrees() -> str:
    return subprocess.run(["git", "worktree", "list"], cwd=ROOT, check=True, capture_output=True, text=True).stdout
