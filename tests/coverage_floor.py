"""Holds each package of the bridge to its floor of covered lines and branches, from `coverage json`.

Run as `python tests/coverage_floor.py REPORT`; ends with 1 and names each package below its floor, with its files that
miss most. A floor for the whole would let a package without tests hide behind the others.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Iterable
from pathlib import Path
from typing import Any

CORE = frozenset({"bridge/pipeline", "bridge/mapping", "bridge/journal"})
CORE_PERCENT = 95
FLOOR_PERCENT = 90
SHOWN_FILES = 5


def floor_of(package: str) -> int:
    """Return the least percentage that the package must reach."""
    return CORE_PERCENT if package in CORE else FLOOR_PERCENT


def shortfalls(report: dict[str, Any]) -> list[str]:
    """Return a line for each package below its floor, with the files in which no test reached most."""
    packages: dict[str, list[tuple[int, int, str]]] = {}
    for path, measured in sorted(report["files"].items()):
        summary = measured["summary"]
        parts = summary["num_statements"] + summary["num_branches"]
        reached = summary["covered_lines"] + summary["covered_branches"]
        branches = [f"{start}->{end}" for start, end in measured["missing_branches"]]
        places = f"{path} (lines {_first(measured['missing_lines'])}; branches {_first(branches)})"
        # A module of the foundation has no package but the bridge itself.
        package = "/".join(path.split("/")[:2]) if path.count("/") > 1 else "bridge"
        packages.setdefault(package, []).append((parts - reached, parts, places))
    found = []
    for package, files in packages.items():
        missing, parts = sum(one[0] for one in files), sum(one[1] for one in files)
        if missing * 100 > (100 - floor_of(package)) * parts:
            worst = [places for missed, _, places in sorted(files, reverse=True)[:SHOWN_FILES] if missed]
            found.append(
                f"{package}: covered {100 - missing * 100 / parts:.1f} %, at least {floor_of(package)} % is asked; "
                + "; ".join(worst)
            )
    return found


def _first(places: Iterable[object], most: int = 12) -> str:
    every = [str(place) for place in places]
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
    verdict = f"{len(found)} packages below their floor" if found else "every package reaches its floor"
    print(f"coverage {totals['percent_covered']:.1f} % of {len(report['files'])} files, {verdict}")  # noqa: T201
    return 1 if found else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
