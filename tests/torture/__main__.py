"""`python -m tests.torture`: tries every fault of the matrix on both databases and judges the bridge after each.

Leaves tests/torture/measured.json where everything was tried; `make docs` puts it into docs/reliability.md.
"""

from __future__ import annotations

import os
import sys
import time

import click

from tests.torture import measured
from tests.torture.fault import POSTGRESQL, SQLITE, Fault, Tried
from tests.torture.harms import HARMS
from tests.torture.kills import KILLS
from tests.torture.run import line, run, tries_of
from tests.torture.upgrade import old_commit

MATRIX: tuple[Fault, ...] = (*KILLS, *HARMS)


@click.command(context_settings={"show_default": True})
@click.option("--only", multiple=True, metavar="TEXT", help="Only faults whose name or area has this; repeat it.")
@click.option("--database", multiple=True, type=click.Choice([SQLITE, POSTGRESQL]), help="Only this one; repeat it.")
@click.option("--tries", type=click.IntRange(1), default=1, help="How often each fault is tried on each database.")
@click.option("--at-once", type=click.IntRange(1), default=6, help="How many faults are tried at once.")
@click.option("--list", "listing", is_flag=True, help="Only list the faults.")
def main(only: tuple[str, ...], database: tuple[str, ...], tries: int, at_once: int, listing: bool) -> None:
    """Try every fault of the matrix. Ends with 1 where a promise was broken; logs of such a try are kept."""
    faults = [fault for fault in MATRIX if not only or any(text in _name(fault) for text in only)]
    for fault in [fault for fault in faults if missing(fault)]:
        click.echo(f"not tried: {_name(fault)}: {missing(fault)}", err=True)
        faults.remove(fault)
    if listing:
        click.echo("\n".join(f"{_name(fault)} ({', '.join(fault.databases)})" for fault in faults))
        return
    wanted = tries_of(faults, database or (SQLITE, POSTGRESQL), tries)

    def tell(tried: Tried, done: int) -> None:
        click.echo(f"{done:4} of {len(wanted)}  {line(tried)}")

    begun_s = time.monotonic()
    tried = run(wanted, at_once, tell)
    seconds = time.monotonic() - begun_s
    click.echo(f"\n{measured.table(list(measured.rows(tried)))}\n")
    broken = sum(not one.held for one in tried)
    click.echo(f"{len(tried)} tries of {len(faults)} faults in {seconds / 60:.1f} minutes, {broken} broke a promise")
    if not database and {id(fault) for fault in faults} == {id(fault) for fault in MATRIX}:
        measured.write(tried, seconds, at_once)
    sys.exit(int(broken > 0))


def missing(fault: Fault) -> str:
    """Return what this machine has not and the fault needs, an empty text where it can be tried."""
    if fault.root and os.geteuid() != 0:
        return "only root may mount a disk"
    if fault.site.get("before_head") and old_commit() is None:
        return "git's history is not here"
    return ""


def _name(fault: Fault) -> str:
    return f"{fault.area}: {fault.name}"


if __name__ == "__main__":
    main()
