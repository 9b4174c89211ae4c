"""`python -m tests.trial`: 10,000 events of 3,000 charges through an API destination, in bad weather, on each database.

What a whole run has found goes to tests/trial/measured.json; `make docs` puts it into docs/reliability.md.
"""

from __future__ import annotations

import shutil
import sys
import tempfile
from contextlib import ExitStack
from pathlib import Path

import click

from tests.services import PostgresServer, RedisServer
from tests.torture.fault import POSTGRESQL, SQLITE
from tests.trial import measured
from tests.trial.run import Weather, plan, run
from tests.trial.site import write_mapping

CHARGES = 3_000


@click.command(context_settings={"show_default": True})
@click.option("--charges", type=click.IntRange(1), default=CHARGES, help="With ten events for each three.")
@click.option("--database", multiple=True, type=click.Choice([SQLITE, POSTGRESQL]), help="Only this one.")
@click.option("--seed", type=int, default=7, help="Of what is drawn by lot.")
@click.option("--patience", "patience_s", type=float, default=7_200, help="Seconds after which a run is given up.")
def main(charges: int, database: tuple[str, ...], seed: int, patience_s: float) -> None:
    """Try API destinations. Ends with 1 where a charge is not one deal in its place; the logs of such a run stay."""
    broken = 0
    for name in database or (SQLITE, POSTGRESQL):
        scratch = Path(tempfile.mkdtemp(prefix=f"trial-{name}-"))
        click.echo(f"{name}: {scratch}")
        with ExitStack() as stack:
            redis = stack.enter_context(RedisServer.started())
            if name == SQLITE:
                url = f"sqlite:///{scratch / 'journal.sqlite3'}"
            else:
                server = stack.enter_context(PostgresServer.started())
                url = stack.enter_context(server.database())
            site = stack.enter_context(Weather(scratch, url, redis.url, write_mapping(scratch)))
            site.start(webs=1, workers=0)
            planned = plan(charges, seed)
            trial = run(site, planned, kill_every_s=(4, 12), patience_s=patience_s, tell=click.echo, seed=seed)
        breaches = list(trial.judgement.breaches)
        if trial.contacts != trial.customers:
            breaches.append(f"there are {trial.contacts} contacts of {trial.customers} customers")
        for breach in breaches[:50]:
            click.echo(breach)
        click.echo(measured.table({name: measured.row(trial)}))
        if breaches:
            broken += 1
            continue
        shutil.rmtree(scratch)
        if charges == CHARGES:
            measured.write(name, trial)
    sys.exit(int(broken > 0))


if __name__ == "__main__":
    main()
