"""`python -m tests.bench.compare REF`: runs the bench on REF and on the work tree in turn, and prints what changed.

REF is checked out into a worktree of its own in a temporary directory and runs in this virtual environment, with the
bench of the work tree, so that both revisions are measured in one way.
"""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import click
from rich.console import Console

from tests.bench.changes import Verdict, by_chance, changes, table
from tests.bench.measures import MEASURES
from tests.bench.site import commit_of

_ROOT = Path(__file__).parents[2]
_LITTER = shutil.ignore_patterns("__pycache__")


@click.command(context_settings={"show_default": True})
@click.argument("ref")
@click.option("--database", type=click.Choice(["sqlite", "postgresql", "both"]), default="both", help="Journal.")
@click.option("--only", type=click.Choice(list(MEASURES)), multiple=True, help="Measure only this; may be repeated.")
@click.option("--rounds", type=click.IntRange(1), default=5, help="Runs of each revision.")
@click.option("--seconds", type=click.FloatRange(min=0.1), default=5.0, help="Length of each timed run.")
@click.option("--backlog", type=click.IntRange(10), default=2_000, help="Events of the backlog that is drained.")
@click.option("--idle", type=click.IntRange(1), default=40, help="Events sent one by one to an idle bridge.")
@click.option("--bench", "more", multiple=True, metavar="OPTION=VALUE", help="More for the bench; may be repeated.")
@click.option("--least", type=click.FloatRange(0), default=5.0, help="Least change that is called one, in percent.")
@click.option("--own-bench", is_flag=True, help="Run REF with the bench that it has itself.")
@click.option("--check", is_flag=True, help="End with status 1 where something is worse.")
@click.option("--json", "path", type=click.Path(dir_okay=False, path_type=Path), help="File to write all to.")
def main(
    ref: str,
    database: str,
    only: tuple[str, ...],
    rounds: int,
    seconds: float,
    backlog: int,
    idle: int,
    more: tuple[str, ...],
    least: float,
    own_bench: bool,
    check: bool,
    path: Path | None,
) -> None:
    """Run the bench on REF and on the work tree alternately; say what is worse or better beyond the spread."""
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))  # so that the worktree is removed also then
    arguments = ["--database", database, "--seconds", str(seconds), "--backlog", str(backlog), "--idle", str(idle)]
    arguments += [word for name in only for word in ("--only", name)]
    arguments += [f"--{option}" for option in more]
    console = Console(stderr=True)
    with _checked_out(ref, own_bench=own_bench) as tree:
        trees = {_commit(ref): tree, f"here {commit_of(_ROOT)}": _ROOT}
        reports: dict[str, list[dict[str, Any]]] = {name: [] for name in trees}
        for number in range(rounds):
            # Each goes first as often as the other: what a machine does in the course of a run favours neither.
            for name in sorted(trees, key=list(trees).index, reverse=bool(number % 2)):
                console.print(f"round {number + 1} of {rounds}: {name}")
                reports[name].append(_run(trees[name], arguments, name))
    before, after = reports.values()
    found = changes(before, after, least / 100)
    names = (next(iter(trees)), list(trees)[-1])
    Console(width=None if sys.stdout.isatty() else 150).print(table(found, names))
    _explain(rounds, len(found), [note for report in (*before, *after) for note in report["notes"]])
    if path is not None:
        told = {"before": names[0], "after": names[1], "rounds": rounds, "least_percent": least, "runs": reports}
        path.write_text(json.dumps({**told, "changes": [change.as_json() for change in found]}, indent=2) + "\n")
    if check and any(change.verdict is Verdict.WORSE for change in found):
        sys.exit(1)


def _explain(rounds: int, numbers: int, notes: list[str]) -> None:
    lines = [
        *notes,
        "x ref.: the bridge by the reference of the same run, which is what is compared where there is one;"
        " change: after by before.",
        "worse, better: every run of one revision lies beyond every run of the other."
        f" With {rounds} runs of each, chance alone does that on either side to one number in"
        f" {1 / by_chance(rounds):,.0f}, and {numbers} numbers are shown.",
    ]
    for line in lines:
        click.echo(line)


def _git(*arguments: str) -> str:
    done = subprocess.run(["git", *arguments], cwd=_ROOT, capture_output=True, text=True, check=False)
    if done.returncode:
        raise click.UsageError(done.stderr.strip())
    return done.stdout.strip()


def _commit(ref: str) -> str:
    return _git("rev-parse", "--short", "--verify", f"{ref}^{{commit}}")


@contextmanager
def _checked_out(ref: str, *, own_bench: bool) -> Iterator[Path]:
    with tempfile.TemporaryDirectory(prefix="bridge-compare-") as scratch:
        tree = Path(scratch) / "tree"
        _git("worktree", "add", "--detach", str(tree), _commit(ref))
        try:
            if not own_bench:
                shutil.rmtree(tree / "tests")
                shutil.copytree(_ROOT / "tests", tree / "tests", ignore=_LITTER)
            yield tree
        finally:
            _git("worktree", "remove", "--force", str(tree))


def _run(tree: Path, arguments: list[str], name: str) -> dict[str, Any]:
    """Run the bench in that tree, whose own code comes before what the virtual environment has installed."""
    with tempfile.NamedTemporaryFile(prefix="bridge-compare-", suffix=".json") as report:
        command = [sys.executable, "-m", "tests.bench", *arguments, "--json", report.name]
        env = {**os.environ, "PYTHONPATH": str(tree)}
        done = subprocess.run(command, cwd=tree, env=env, capture_output=True, text=True, check=False)
        if done.returncode:
            raise click.ClickException(f"the bench ended with {done.returncode} on {name}:\n{done.stderr[-2000:]}")
        found: dict[str, Any] = json.loads(Path(report.name).read_text())
        return found


if __name__ == "__main__":
    main()
