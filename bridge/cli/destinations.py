"""`bridge destinations`: where deliveries go, whether they may, and a person's pause and resume."""

from __future__ import annotations

from dataclasses import asdict

import click

from bridge.cli.choice import agreed, check_can_ask
from bridge.cli.output import count, json_option, moment, show_json, show_table
from bridge.cli.root import NO, Invocation
from bridge.errors import NotFound


@click.group()
def destinations() -> None:
    """List, add, remove, pause and resume the places deliveries go to."""


@destinations.command("list")
@json_option
@click.pass_obj
def list_destinations(invocation: Invocation, as_json: bool) -> None:
    """List destinations with the state of each circuit, and whether and why they are paused."""
    from bridge.journal import destinations as journal
    from bridge.journal import tenants as kept

    with invocation.journal.database.read() as connection:
        found = journal.load(connection)
        urls = {
            **dict.fromkeys(kept.destinations(connection), "journal"),
            **dict.fromkeys(invocation.settings.destinations, "environment"),
        }
    rows = [
        {
            **{name: value for name, value in asdict(one).items() if name not in {"url_digest", "failed_subject"}},
            "url": "set" if one.name in urls else "unset",
            "kept_in": urls.get(one.name),
            "paused": one.paused_ms is not None,
        }
        for one in found.values()
    ]
    if as_json:
        show_json(rows)
        return
    show_table(
        ("name", "url", "kept in", "circuit", "failures in a row", "paused since", "why"),
        [
            (r["name"], r["url"], r["kept_in"], r["state"], r["failures"], moment(r["paused_ms"]), r["paused_reason"])
            for r in rows
        ],
        empty="no destination yet; see: bridge destinations add --help",
    )


@destinations.command()
@click.argument("name")
@click.pass_obj
def add(invocation: Invocation, name: str) -> None:
    """Keep a destination in the journal, or give the one of that name another URL.

    Asks for the URL of the Clint integration without showing it; where there is no terminal, the first line of standard
    input is the URL. It is encrypted with BRIDGE_ENCRYPTION_KEY, and taken up by the running processes within seconds.
    """
    from bridge.cli.accounts import read_secret
    from bridge.runtime import clock_ms
    from bridge.tenants.changes import add_destination

    url = read_secret("URL (Clint: the origin's integrations, Receber Webhook)")
    fresh, freed = add_destination(invocation.journal, invocation.settings, invocation.actor, clock_ms(), name, url)
    waited = f"; {count(freed, 'line')} waited for it" if freed else ""
    click.echo(f"destination {name} is {'added' if fresh else 'changed'}{waited}")


@destinations.command()
@click.argument("name")
@click.option("--yes", is_flag=True, help="Do not ask first.")
@click.pass_context
def remove(context: click.Context, name: str, yes: bool) -> None:
    """Remove a destination's URL from the journal; what is owed to it waits until there is one again."""
    from bridge.runtime import clock_ms
    from bridge.tenants.changes import open_deliveries, remove_destination

    invocation: Invocation = context.obj
    check_can_ask(yes=yes)
    with invocation.journal.database.read() as connection:
        owed = open_deliveries(connection, name)
    question = f"remove the URL of {name}? {count(owed, 'delivery', 'deliveries')} to it will wait"
    if not agreed(question, yes=yes):
        click.echo("nothing was removed", err=True)
        context.exit(NO)
    remove_destination(invocation.journal, invocation.actor, clock_ms(), name)
    click.echo(f"destination {name} is removed")


@destinations.command()
@click.argument("name")
@click.option("--reason", default="paused by a person", show_default=True, help="Shown wherever its work waits.")
@click.pass_obj
def pause(invocation: Invocation, name: str, reason: str) -> None:
    """Stop sending to a destination; its work waits, nothing is lost."""
    from bridge import recovery
    from bridge.runtime import clock_ms

    recovery.pause(invocation.journal, name, reason, clock_ms(), by=invocation.actor)
    click.echo(f"{name} is paused; its work waits until: bridge destinations resume {name}")


@destinations.command()
@click.argument("name")
@click.pass_obj
def resume(invocation: Invocation, name: str) -> None:
    """Send to a destination again, and forget its failures."""
    from bridge import recovery
    from bridge.runtime import clock_ms

    freed = recovery.resume(invocation.journal, name, clock_ms(), by=invocation.actor)
    click.echo(f"{name} takes deliveries again; {count(freed, 'line')} waited for it")


@destinations.command()
@click.argument("name")
@click.argument("origin_id", metavar="[ORIGIN_ID]", required=False)
@click.pass_context
def origin(context: click.Context, name: str, origin_id: str | None) -> None:
    """Say in which origin of Clint a destination's deals stand; without an id it is learned anew.

    A read-back takes a deal of another origin for no proof. The origin is learned from the first delivery whose deal
    is seen, and forgotten with the destination's URL.
    """
    from bridge.journal import audit
    from bridge.journal import destinations as journal
    from bridge.runtime import clock_ms

    invocation: Invocation = context.obj
    with invocation.journal.database.write() as connection:
        found = journal.set_place(connection, name, origin_id)
        if found:
            audit.note(connection, invocation.actor, "destination.origin", name, clock_ms(), {"origin": origin_id})
    if not found:
        raise NotFound(f"no destination is named {name!r}", mend="see: bridge destinations list")
    click.echo(f"the deals of {name} stand in origin {origin_id}" if origin_id else f"the origin of {name} is learned")
