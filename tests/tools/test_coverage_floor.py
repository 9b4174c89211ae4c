"""The floor under each package's coverage: the pipeline, mapping and journal 95 %, everything else 90 %."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from tests.coverage_floor import floor_of, main, shortfalls


def measured(lines: int, reached: int, branches: int = 0, taken: int = 0) -> dict[str, Any]:
    """Return what coverage says of one file."""
    return {
        "summary": {
            "num_statements": lines,
            "covered_lines": reached,
            "num_branches": branches,
            "covered_branches": taken,
        },
        "missing_lines": list(range(1, lines - reached + 1)),
        "missing_branches": [[7, -1]] * (branches - taken),
    }


@pytest.mark.parametrize(
    ("package", "floor"),
    [("bridge/pipeline", 95), ("bridge/mapping", 95), ("bridge/journal", 95), ("bridge/web", 90), ("bridge", 90)],
)
def test_the_core_has_the_higher_floor(package: str, floor: int) -> None:
    """The pipeline, the mapping and the journal must reach 95 %, the rest 90 %."""
    assert floor_of(package) == floor


def test_a_package_below_its_floor_is_named() -> None:
    """Its files that miss most are listed with their places; another package does not make up for it."""
    report = {
        "files": {
            "bridge/pipeline/deliver.py": measured(10, 10, 4, 3),
            "bridge/pipeline/policy.py": measured(4, 4),
            "bridge/web/app.py": measured(1000, 1000),
        }
    }

    assert shortfalls(report) == [
        "bridge/pipeline: covered 94.4 %, at least 95 % is asked; "
        "bridge/pipeline/deliver.py (lines none; branches 7->-1)"
    ]


def test_a_floor_that_is_reached_is_enough_and_less_is_not() -> None:
    """Files of one package count together; modules beside the packages are one; long lists are cut."""
    report = {
        "files": {
            "bridge/web/a.py": measured(100, 80),
            "bridge/web/console/b.py": measured(100, 100),
            "bridge/web/__init__.py": measured(0, 0),
            "bridge/http.py": measured(100, 80),
        }
    }

    assert shortfalls(report) == [
        "bridge: covered 80.0 %, at least 90 % is asked; "
        "bridge/http.py (lines 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12 and 8 more; branches none)"
    ]


def test_a_report_without_files_is_no_success(tmp_path: Path) -> None:
    """A run that measured nothing must not look like one that covered everything."""
    report = tmp_path / "coverage.json"
    report.write_text(json.dumps({"files": {}, "totals": {"percent_covered": 100}}))

    assert main([str(report)]) == 1


@pytest.mark.parametrize(("reached", "status", "said"), [(10, 0, "every package"), (1, 1, "1 packages below")])
def test_the_command_ends_as_it_found(tmp_path: Path, reached: int, status: int, said: str) -> None:
    """`make test` ends with the status of this command."""
    report = tmp_path / "coverage.json"
    totals = {"percent_covered": reached * 10}
    report.write_text(json.dumps({"files": {"bridge/web/app.py": measured(10, reached)}, "totals": totals}))
    script = Path(__file__).parents[1] / "coverage_floor.py"
    ended = subprocess.run([sys.executable, str(script), str(report)], capture_output=True, text=True, check=False)

    assert ended.returncode == status
    assert said in ended.stdout
