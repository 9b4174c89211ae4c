"""`python -m tests.model`: the lane protocol as a state machine, for many steps on both databases."""

from __future__ import annotations

import random
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import click

from bridge import logs
from bridge.errors import BridgeError
from tests.factories import opened_journal
from tests.model.protocol import LaneProtocol
from tests.model.run import run
from tests.services import PostgresServer, ServiceMissing

DATABASES = ("sqlite", "postgresql")


@contextmanager
def journal_url(database: str) -> Iterator[str]:
    """Give a new database with this version's schema; raise ServiceMissing."""
    if database == "sqlite":
        with tempfile.TemporaryDirectory() as scratch:
            url = f"sqlite:///{Path(scratch, 'journal.db')}"
            with opened_journal(url):
                pass
            yield url
        return
    with PostgresServer.started() as server, server.database() as url:
        with opened_journal(url):
            pass
        yield url


@click.command(context_settings={"show_default": True})
@click.option("--steps", type=click.IntRange(1), default=10_000, help="How many steps, on each database.")
@click.option("--database", multiple=True, type=click.Choice(DATABASES), help="Only this one; repeat it.")
@click.option(
    "--seed", type=click.IntRange(0), help="Draws the orders; the same seed draws the same ones. [default: a new one]"
)
def main(steps: int, database: tuple[str, ...], seed: int | None) -> None:
    """Try the lane protocol in many orders. Ends with 1 and the shortest such order where a promise was broken."""
    logs.configure("critical")  # what two workers say in ten thousand steps
    seed = random.randrange(10**9) if seed is None else seed
    click.echo(f"orders drawn by the seed {seed}")
    for name in database or DATABASES:
        begun_s = time.monotonic()
        try:
            with journal_url(name) as url:
                ran = run(LaneProtocol, url, steps, drawn_by=seed)
        except ServiceMissing as error:
            click.echo(f"{name}: not tried: {error}", err=True)
            sys.exit(2)
        except (AssertionError, BridgeError) as error:
            click.echo(f"{name}: a promise was broken: {error}", err=True)
            click.echo("\n".join(getattr(error, "__notes__", [])), err=True)
            sys.exit(1)
        seconds = time.monotonic() - begun_s
        click.echo(f"{name}: {ran.steps:,} steps in {ran.sequences:,} sequences, {seconds:.0f} s, no promise broken")


if __name__ == "__main__":
    main()
