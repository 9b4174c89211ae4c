"""The floor under each file's coverage: the pipeline, mapping and journal 95 %, everything else 90 %."""

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
    ("path", "floor"),
    [
        ("bridge/pipeline/intake.py", 95),
        ("bridge/pipeline/active_mappings.py", 95),
        ("bridge/mapping/parser.py", 95),
        ("bridge/mapping/deep/er.py", 95),
        ("bridge/pipeline/policy.py", 95),
        ("bridge/mapping_cases.py", 90),
        ("bridge/web/app.py", 90),
        ("bridge/simulator/clint/__init__.py", 90),
    ],
)
def test_the_core_has_the_higher_floor(path: str, floor: int) -> None:
    """The pipeline, the mapping and the journal must reach 95 %, the rest 90 %."""
    assert floor_of(path) == floor


def test_a_file_below_its_floor_is_named() -> None:
    """A file below its floor is reported with the lines and branches that no test reached."""
    report = {
        "files": {
            "bridge/pipeline/deliver.py": measured(10, 10, 4, 3),
            "bridge/web/app.py": measured(10, 10, 10, 8),
        }
    }

    assert shortfalls(report) == [
        "bridge/pipeline/deliver.py: covered 92.9 %, at least 95 % is asked; lines none; branches 7->-1"
    ]


def test_ninety_in_a_hundred_is_enough_and_less_is_not() -> None:
    """The floor itself is reached, an empty file has nothing to reach, and long lists are cut."""
    report = {
        "files": {
            "bridge/web/a.py": measured(100, 90),
            "bridge/web/b.py": measured(100, 80),
            "bridge/web/__init__.py": measured(0, 0),
        }
    }

    assert shortfalls(report) == [
        "bridge/web/b.py: covered 80.0 %, at least 90 % is asked; "
        "lines 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12 and 8 more; branches none"
    ]


def test_a_report_without_files_is_no_success(tmp_path: Path) -> None:
    """A run that measured nothing must not look like one that covered everything."""
    report = tmp_path / "coverage.json"
    report.write_text(json.dumps({"files": {}, "totals": {"percent_covered": 100}}))

    assert main([str(report)]) == 1


@pytest.mark.parametrize(("reached", "status", "said"), [(10, 0, "every file"), (1, 1, "1 files below")])
def test_the_command_ends_as_it_found(tmp_path: Path, reached: int, status: int, said: str) -> None:
    """`make test` ends with the status of this command."""
    report = tmp_path / "coverage.json"
    totals = {"percent_covered": reached * 10}
    report.write_text(json.dumps({"files": {"bridge/web/app.py": measured(10, reached)}, "totals": totals}))
    script = Path(__file__).parents[1] / "coverage_floor.py"
    ended = subprocess.run([sys.executable, str(script), str(report)], capture_output=True, text=True, check=False)

    assert ended.returncode == status
    assert said in ended.stdout
