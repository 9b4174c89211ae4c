"""`bridge destinations`: where deliveries go, whether they may, and a person's pause and resume."""

from __future__ import annotations

from dataclasses import asdict

import click

from bridge.cli.output import count, json_option, moment, show_json, show_table
from bridge.cli.root import Invocation


@click.group()
def destinations() -> None:
    """List, pause and resume the places deliveries go to."""


@destinations.command("list")
@json_option
@click.pass_obj
def list_destinations(invocation: Invocation, as_json: bool) -> None:
    """List destinations with the state of each circuit, and whether and why they are paused."""
    from bridge.journal import destinations as journal

    with invocation.journal.database.read() as connection:
        found = journal.load(connection)
    urls = invocation.settings.destinations
    rows = [
        {
            **{name: value for name, value in asdict(one).items() if name not in {"url_digest", "failed_subject"}},
            "url": "set" if one.name in urls else "unset",
            "paused": one.paused_ms is not None,
        }
        for one in found.values()
    ]
    if as_json:
        show_json(rows)
        return
    show_table(
        ("name", "url", "circuit", "failures in a row", "paused since", "why"),
        [(r["name"], r["url"], r["state"], r["failures"], moment(r["paused_ms"]), r["paused_reason"]) for r in rows],
    )


@destinations.command()
@click.argument("name")
@click.option("--reason", default="paused by a person", show_default=True, help="Shown wherever its work waits.")
@click.pass_obj
def pause(invocation: Invocation, name: str, reason: str) -> None:
    """Stop sending to a destination; its work waits, nothing is lost."""
    from bridge import recovery
    from bridge.runtime import clock_ms

    recovery.pause(invocation.journal, name, reason, clock_ms())
    click.echo(f"{name} is paused; its work waits until: bridge destinations resume {name}")


@destinations.command()
@click.argument("name")
@click.pass_obj
def resume(invocation: Invocation, name: str) -> None:
    """Send to a destination again, and forget its failures."""
    from bridge import recovery
    from bridge.runtime import clock_ms

    freed = recovery.resume(invocation.journal, name, clock_ms())
    click.echo(f"{name} takes deliveries again; {count(freed, 'line')} waited for it")
