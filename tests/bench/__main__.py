"""`python -m tests.bench`: starts everything, measures, prints a table, writes JSON, stops everything.

The numbers go to standard output, what is going on to standard error. Nothing is judged: the exit status says only
whether it ran.
"""

from __future__ import annotations

import json
import os
import platform
import signal
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import click
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

from tests.bench.measures import LONG, MEASURES, Bench, Size
from tests.bench.numbers import Number, percentile, table
from tests.bench.site import Site, Stream, commit_of

DATABASES = ("sqlite", "postgresql")
_ROOT = Path(__file__).parents[2]
_MOST_PER_S = 3_000


@click.command(context_settings={"show_default": True})
@click.option("--database", type=click.Choice([*DATABASES, "both"]), default="both", help="Journal to measure on.")
@click.option("--only", type=click.Choice(list(MEASURES)), multiple=True, help="Measure only this; may be repeated.")
@click.option("--seconds", type=click.FloatRange(min=0.1), default=10.0, help="Length of each timed run.")
@click.option("--connections", type=click.IntRange(1, 256), default=16, help="Connections that post events.")
@click.option("--customers", type=click.IntRange(1), default=300, help="Customers that the events are of.")
@click.option("--backlog", type=click.IntRange(10), default=20_000, help="Events of the backlog that is drained.")
@click.option("--idle", type=click.IntRange(1), default=100, help="Events sent one by one to an idle bridge.")
@click.option("--journal", type=click.IntRange(1), default=1_000_000, help="Events in the journal that is full.")
@click.option("--waiting", type=click.IntRange(1), default=100_000, help="Events that wait while answers are timed.")
@click.option("--minutes", type=click.IntRange(1), default=30, help="Length of soak, which runs only when asked for.")
@click.option("--json", "path", type=click.Path(dir_okay=False, path_type=Path), help="File to write the numbers to.")
def main(
    database: str,
    only: tuple[str, ...],
    seconds: float,
    connections: int,
    customers: int,
    backlog: int,
    idle: int,
    journal: int,
    waiting: int,
    minutes: int,
    path: Path | None,
) -> None:
    """Measure answers and deliveries of the bridge, each beside a bare reference in the same run."""
    # So that everything is stopped also when the bench itself is told to stop.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
    names = [name for name in MEASURES if name in only or (not only and name not in LONG)]
    databases = DATABASES if database == "both" else (database,)
    size = Size(seconds, connections, backlog, idle, journal, waiting, minutes)
    console = Console(stderr=True)
    notes: list[str] = []
    numbers: list[Number] = []
    machine = _machine()
    stream = Stream(customers, max(backlog, idle, int(seconds * _MOST_PER_S)))
    # On a terminal only: in a log the bar would be noise, and the lines say as much.
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn())
    progress = Progress(*columns, console=console, refresh_per_second=2, disable=not console.is_terminal)
    with progress:
        task = progress.add_task("starting", total=len(databases) * len(names))
        for kind in databases:
            with Site(kind, stream) as site:
                bench = Bench(site, size, lambda note, kind=kind: notes.append(f"{kind}: {note}"))  # type: ignore[misc]
                for name in names:
                    progress.update(task, description=f"{kind}: {name}")
                    begun_s = time.monotonic()
                    found = list(MEASURES[name](bench))
                    numbers += found
                    progress.advance(task)
                    console.print(f"{kind}: {name}, {time.monotonic() - begun_s:.0f} s: {_first(found[0])}")
    machine["load_after"] = list(os.getloadavg())
    for note in notes:
        console.print(note, style="red")
    # Wide enough for the table also where the output goes into a file.
    Console(width=None if sys.stdout.isatty() else 130).print(table(numbers))
    if path is not None:
        sizes = {"seconds": seconds, "connections": connections, "customers": customers, "backlog": backlog}
        report = {
            "commit": commit_of(_ROOT),
            "machine": machine,
            "sizes": {**sizes, "idle": idle, "journal": journal, "waiting": waiting, "minutes": minutes},
            "notes": notes,
            "numbers": [number.as_json() for number in numbers],
        }
        path.write_text(json.dumps(report, indent=2) + "\n")


def _first(number: Number) -> str:
    beside = f", reference {number.reference:,.1f}, {number.ratio:.2f} x" if number.reference else ""
    return f"{number.name} {number.bridge:,.1f} {number.unit}{beside}"


def _machine() -> dict[str, Any]:
    return {
        "system": platform.platform(),
        "python": platform.python_version(),
        "cores": len(os.sched_getaffinity(0)),
        "load_before": list(os.getloadavg()),
        "fsync_ms": _fsync_ms(),
    }


def _fsync_ms() -> float:
    """Return how long the disk takes to have a page: without it rates of commits can't be compared."""
    took_s = []
    with tempfile.TemporaryFile() as file:
        for _ in range(50):
            file.write(bytes(4096))
            file.flush()
            begun_s = time.perf_counter()
            os.fsync(file.fileno())
            took_s.append(time.perf_counter() - begun_s)
    return percentile(took_s, 50) * 1000


if __name__ == "__main__":
    main()
