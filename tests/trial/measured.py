"""What a whole trial leaves behind for docs/reliability.md: a row for each database, with when and where it ran."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any

from tests.torture.measured import place_and_time
from tests.trial.run import Trial

MEASURED = Path(__file__).with_name("measured.json")
COLUMNS = {
    "events": "events",
    "charges": "charges",
    "customers": "customers",
    "lost": "answers lost",
    "busy": "429",
    "kills": "workers killed",
    "moved": "moved by a person",
    "contacts": "contacts",
    "deals": "deals",
    "doubled": "doubled",
    "misplaced": "not in place",
    "minutes": "minutes",
}


def row(trial: Trial) -> dict[str, Any]:
    """Return a trial as a row."""
    told = {**asdict(trial), **asdict(trial.judgement), "minutes": round(trial.seconds / 60, 1)}
    return {name: told[name] for name in COLUMNS}


def write(database: str, trial: Trial) -> None:
    """Write down a whole run on a database, in the place of the one before."""
    rows = json.loads(MEASURED.read_text()) if MEASURED.exists() else {}
    rows[database] = {**row(trial), **place_and_time()}
    MEASURED.write_text(json.dumps(rows, indent=1, sort_keys=True) + "\n")


def table(rows: Mapping[str, Mapping[str, Any]]) -> str:
    """Return rows as a table in Markdown."""
    lines = [
        f"| database | {' | '.join(COLUMNS.values())} |",
        f"| --- |{' ---: |' * len(COLUMNS)}",
    ]
    lines += [
        f"| {database} | {' | '.join(f'{told[name]:,}' for name in COLUMNS)} |" for database, told in rows.items()
    ]
    return "\n".join(lines)
