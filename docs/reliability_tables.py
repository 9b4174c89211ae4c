"""The parts of docs/reliability.md: from the list of failpoints, and from what the last `make torture` has left."""

from __future__ import annotations

import json
from typing import Any

from bridge.failpoints import FAILPOINTS
from tests.torture.measured import MEASURED, table
from tests.trial import measured as trial


def failpoints() -> str:
    """Return the failpoints with how things stand there."""
    rows = ["| failpoint | how things stand there |", "| --- | --- |"]
    return "\n".join([*rows, *(f"| `{name}` | {meaning} |" for name, meaning in FAILPOINTS.items())])


def run() -> str:
    """Return when, where and how long the last run was, and how it ended."""
    told = _told()
    tries, held = sum(sum(row["tries"].values()) for row in told["rows"]), sum(row["held"] for row in told["rows"])
    return (
        f"{tries} tries of {len(told['rows'])} faults in {told['seconds'] / 60:.1f} minutes, {told['at_once']} at once,"
        f" on {told['date']}: {held} of {tries} kept every promise.\nCommit {told['commit']}; {told['machine']}."
        f" A failpoint that is not armed cost {told['failpoint_ns']} ns."
    )


def matrix() -> str:
    """Return the matrix."""
    return table(_told()["rows"])


def broken() -> str:
    """Return what was broken, fault by fault."""
    found = [(row, row["broken"]) for row in _told()["rows"] if row["broken"]]
    if not found:
        return "Nothing was broken in this run."
    return "\n".join(f"- {row['area']}: {row['fault']}: {'; '.join(words)}" for row, words in found)


def trials() -> str:
    """Return what the last whole trials of deals by Clint's API have found, and where they ran."""
    read = json.loads(trial.MEASURED.read_text())
    names = {"sqlite": "SQLite", "postgresql": "PostgreSQL"}
    told = {name: read[kind] for kind, name in names.items() if kind in read}
    places = [f"{name}: {row['date']}, commit {row['commit']}; {row['machine']}." for name, row in told.items()]
    return "\n".join([trial.table(told), "", *places])


def _told() -> Any:
    return json.loads(MEASURED.read_text())
