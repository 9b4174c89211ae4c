"""`python -m tests.scale`: simulates the end of a month at 100,000 merchants; leaves numbers and a picture.

docs/scale.json holds every run, docs/scale.svg shows the backlog; `make docs` puts the tables into docs/scale.md.
"""

from __future__ import annotations

import json
from dataclasses import asdict
from pathlib import Path
from typing import Any

import click

from tests.scale.demand import Costs, Demand, Habits
from tests.scale.picture import picture
from tests.scale.simulation import Burst, Simulation, Site

_DOCS = Path(__file__).parents[2] / "docs"
ENOUGH_WEBS = 2
"""Behind so many web processes the workers are looked at."""


@click.command(context_settings={"show_default": True})
@click.option("--merchants", type=click.IntRange(1), default=100_000, help="Merchants.")
@click.option("--seconds", type=click.FloatRange(min=1), default=300.0, help="Length of the burst, at its own rate.")
@click.option("--webs", type=click.IntRange(1), multiple=True, default=(1, 2, 4), help="Web processes; repeat it.")
@click.option("--workers", type=click.IntRange(1), multiple=True, default=(1, 2, 4, 8), help="Workers; repeat it.")
@click.option("--lanes", type=click.IntRange(1), multiple=True, default=(2, 8, 64), help="Lanes; repeat it.")
@click.option("--clint", type=click.FloatRange(min=0), default=0.2, help="Median of Clint's answer in seconds.")
@click.option("--to", type=click.Path(file_okay=False, path_type=Path), default=_DOCS, help="Where to write.")
def main(
    merchants: int,
    seconds: float,
    webs: tuple[int, ...],
    workers: tuple[int, ...],
    lanes: tuple[int, ...],
    clint: float,
    to: Path,
) -> None:
    """Simulate minutes of the busiest quarter of an hour of a month with so many merchants."""
    habits, costs = Habits(), Costs.measured()
    demand = Demand(merchants, habits, costs)
    burst = Burst(max(1, round(demand.peak_per_s * seconds)), seconds, habits.run)
    click.echo(f"{burst.events:,} events in {seconds:g} s, {demand.peak_per_s:,.3g} a second", err=True)
    sites = {
        "webs": [Site(count, 0) for count in webs],
        "workers": [Site(ENOUGH_WEBS, count, clint_s=clint) for count in workers],
        # With so many workers that few lanes do not keep all of them at work.
        "lanes": [Site(ENOUGH_WEBS, max(workers), lanes=count, clint_s=clint) for count in lanes],
    }
    runs = {name: [_run(site, burst, costs) for site in chosen] for name, chosen in sites.items()}
    told = {
        "merchants": merchants,
        "per_s": demand.peak_per_s,
        "seconds": seconds,
        "clint_s": clint,
        "habits": asdict(habits),
        "costs": asdict(costs),
        **runs,
    }
    (to / "scale.json").write_text(json.dumps(told) + "\n")
    (to / "scale.svg").write_text(picture(runs["workers"], merchants, seconds))


def _run(site: Site, burst: Burst, costs: Costs) -> dict[str, Any]:
    found = Simulation(site, burst, costs).run().as_json(site)
    words = f"{site.webs} web processes, {site.workers} workers, {site.lanes} lanes"
    click.echo(f"{words}: p99 {found['answer_p99_ms']} ms, {found['delivery_p99_s']} s", err=True)
    return found


if __name__ == "__main__":
    main()
