"""Holds each file of the bridge to its floor of covered lines and branches, from `coverage json`.

Run as `python tests/coverage_floor.py REPORT`; ends with 1 and names each file below its floor and what is not covered.
A floor for the whole would let a stage without tests hide behind the others.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Iterable
from fnmatch import fnmatchcase
from pathlib import Path
from typing import Any

CORE = (
    "bridge/model.py",
    "bridge/pipeline/*",
    "bridge/mapping/*",
    "bridge/journal/*",
)
"""The pipeline, the mapping language and the journal."""

CORE_PERCENT = 95
FLOOR_PERCENT = 90


def floor_of(path: str) -> int:
    """Return the least percentage that the file must reach."""
    return CORE_PERCENT if any(fnmatchcase(path, pattern) for pattern in CORE) else FLOOR_PERCENT


def shortfalls(report: dict[str, Any]) -> list[str]:
    """Return a line for each file below its floor, with the lines and branches that no test reached."""
    found = []
    for path, measured in sorted(report["files"].items()):
        summary = measured["summary"]
        parts = summary["num_statements"] + summary["num_branches"]
        reached = summary["covered_lines"] + summary["covered_branches"]
        if reached * 100 < floor_of(path) * parts:
            lines = _first(str(line) for line in measured["missing_lines"])
            branches = _first(f"{start}->{end}" for start, end in measured["missing_branches"])
            found.append(
                f"{path}: covered {reached * 100 / parts:.1f} %, at least {floor_of(path)} % is asked; "
                f"lines {lines}; branches {branches}"
            )
    return found


def _first(places: Iterable[str], most: int = 12) -> str:
    every = list(places)
    rest = f" and {len(every) - most} more" if len(every) > most else ""
    return (", ".join(every[:most]) or "none") + rest


def main(arguments: list[str]) -> int:
    """Print what is below its floor; return the exit status."""
    report = json.loads(Path(arguments[0]).read_text())
    if not report["files"]:
        print("coverage measured no file", file=sys.stderr)  # noqa: T201 (this is a command)
        return 1
    found = shortfalls(report)
    for line in found:
        print(line, file=sys.stderr)  # noqa: T201
    totals = report["totals"]
    verdict = f"{len(found)} files below their floor" if found else "every file reaches its floor"
    print(f"coverage {totals['percent_covered']:.1f} % of {len(report['files'])} files, {verdict}")  # noqa: T201
    return 1 if found else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
