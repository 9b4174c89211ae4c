"""What a run leaves behind for docs/reliability.md: each fault with what came of its tries, and where it ran."""

from __future__ import annotations

import json
import os
import platform
import sqlite3
import subprocess
import timeit
from collections.abc import Iterator, Sequence
from datetime import UTC, datetime
from itertools import groupby
from pathlib import Path
from typing import Any

from bridge.failpoints import failpoint
from tests.acceptance.deployment import ROOT
from tests.torture.fault import Tried
from tests.torture.run import troubles

MEASURED = Path(__file__).with_name("measured.json")


def write(tried: Sequence[Tried], seconds: float, at_once: int) -> None:
    """Write down a whole run."""
    told = {
        **place_and_time(),
        "seconds": round(seconds),
        "at_once": at_once,
        "failpoint_ns": failpoint_ns(),
        "rows": list(rows(tried)),
    }
    MEASURED.write_text(json.dumps(told, indent=1) + "\n")


def place_and_time() -> dict[str, str]:
    """Return the commit, the date and the machine of a run."""
    return {
        "commit": _commit(),
        "date": datetime.now(UTC).date().isoformat(),
        "machine": f"{len(os.sched_getaffinity(0))} cores, Linux {platform.machine()}, Python"
        f" {platform.python_version()}, SQLite {sqlite3.sqlite_version}",
    }


def failpoint_ns(passes: int = 1_000_000) -> int:
    """Return what a failpoint that is not armed costs, beyond the loop around it."""
    calls = timeit.repeat(lambda: failpoint("ingress.after_commit"), number=passes, repeat=3)
    nothing = timeit.repeat(lambda: None, number=passes, repeat=3)
    return round((min(calls) - min(nothing)) / passes * 1e9)


def rows(tried: Sequence[Tried]) -> Iterator[dict[str, Any]]:
    """Give a row for each fault, in the order of the matrix."""
    for (area, name), group in groupby(tried, key=lambda one: (one.fault.area, one.fault.name)):
        tries = list(group)
        judged = [one.judgement for one in tries if one.judgement is not None]
        yield {
            "area": area,
            "fault": name,
            "tries": {
                database: sum(one.database == database for one in tries)
                for database in sorted({one.database for one in tries})
            },
            "struck": sum(one.strikes for one in tries),
            "events": sum(one.kept for one in judged),
            "deliveries": sum(one.states.total() for one in judged),
            "dead": sum(one.states["dead"] for one in judged),
            "unknown": sum(one.unknown for one in judged),
            "repeats": sum(one.repeats for one in judged),
            "held": sum(one.held for one in tries),
            "broken": [trouble for one in tries for trouble in troubles(one) if not trouble.startswith("logs:")],
        }


def table(told: Sequence[dict[str, Any]]) -> str:
    """Return rows as a table in Markdown."""
    lines = [
        "| fault | tries (SQLite, PostgreSQL) | struck | events | deliveries | unknown | twice | result |",
        "| --- | ---: | ---: | ---: | ---: | ---: | ---: | --- |",
    ]
    for row in told:
        tries = ", ".join(str(row["tries"].get(name, "-")) for name in ("sqlite", "postgresql"))
        asked = sum(row["tries"].values())
        result = "all kept" if row["held"] == asked else f"**{asked - row['held']} of {asked} broken**"
        counted = ("struck", "events", "deliveries", "unknown", "repeats")
        numbers = " | ".join(f"{row[name]:,}" for name in counted)
        lines.append(f"| {row['area']}: {row['fault']} | {tries} | {numbers} | {result} |")
    return "\n".join(lines)


def _commit() -> str:
    def git(*arguments: str) -> str:
        return subprocess.run(["git", *arguments], cwd=ROOT, capture_output=True, text=True, check=False).stdout.strip()

    # What the run before has left is no change of the code.
    changed = git("status", "--porcelain", "--", "bridge", "tests", ":(exclude)tests/*/measured.json")
    return (git("rev-parse", "--short", "HEAD") or "unknown") + (" with changes" if changed else "")
