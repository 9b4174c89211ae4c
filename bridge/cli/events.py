"""`bridge events`: what came from Asaas, what became of it, and sending it through today's mappings again."""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING, Any

import click

from bridge.cli.choice import agreed, change_each, check_can_ask, find_event, moment_of, refusals
from bridge.cli.notices import hint
from bridge.cli.output import ago, count, json_option, moment, show_json, show_table
from bridge.cli.root import NO, Invocation
from bridge.errors import UsageError
from bridge.model import EventState, Origin

if TYPE_CHECKING:
    from collections.abc import Sequence

    from bridge.journal import Journal
    from bridge.process import ActiveMapping

SHOWN = 50

_since = click.option(
    "--since", "since_ms", callback=moment_of, metavar="TIME", help="Received at or after, such as 2h."
)
_until = click.option(
    "--until", "until_ms", callback=moment_of, metavar="TIME", help="Received before, such as 2026-11-22."
)
_name = click.option("--name", metavar="EVENT", help="Only events of this name, such as PAYMENT_RECEIVED.")


@click.group()
def events() -> None:
    """List, show and replay what came from Asaas.

    Times are Brasília's. TIME is an age (90s, 30min, 2h, 3d), a day (2026-11-22) or '2026-11-22 10:30'.
    """


@events.command("list")
@_since
@_until
@_name
@click.option("--account", help="Only events of this Asaas account.")
@click.option("--object", "object_id", metavar="ID", help="Only events about this charge, subscription, ...")
@click.option("--limit", type=click.IntRange(1, 10_000), default=SHOWN, show_default=True, help="At most so many.")
@click.option("--before", "before_id", type=int, metavar="NUMBER", help="Only events before this number.")
@json_option
@click.pass_obj
def list_events(invocation: Invocation, /, limit: int, before_id: int | None, as_json: bool, **wanted: Any) -> None:
    """List events, newest first, with what became of them."""
    from bridge.cli.event_views import verdicts
    from bridge.cli.output import with_times
    from bridge.journal import reading
    from bridge.runtime import clock_ms

    with invocation.journal.database.read() as connection:
        rows = reading.list_events(connection, limit=limit, before_id=before_id, **wanted)
        found = reading.mappings_of(connection, [row["id"] for row in rows])
    states = {id_: Counter(mappings.values()) for id_, mappings in found.items()}
    if as_json:
        show_json([{**with_times(row), "deliveries": states[row["id"]]} for row in rows])
        return
    now_ms = clock_ms()
    show_table(
        ("number", "received", "age", "event", "about", "what became of it"),
        [
            (
                row["id"],
                moment(row["received_ms"]),
                ago(row["received_ms"], now_ms),
                row["name"] if row["origin"] == Origin.WEBHOOK else f"{row['name']} ({row['origin']})",
                row["object_id"],
                verdicts(row, states[row["id"]], now_ms),
            )
            for row in rows
        ],
        empty="no event like that",
    )
    if len(rows) == limit:
        click.echo(f"older ones: bridge events list --before {rows[-1]['id']}", err=True)
    hint(invocation)


@events.command()
@click.argument("event")
@json_option
@click.pass_obj
def show(invocation: Invocation, event: str, as_json: bool) -> None:
    """Show the whole way of an event: what came, what each mapping said, what was sent and answered.

    EVENT is the number from the list, or the whole id that Asaas gave it. Put that in quotes, for it contains &.
    """
    from bridge.cli.event_views import event_data, show_event
    from bridge.journal import reading
    from bridge.runtime import clock_ms

    with invocation.journal.database.read() as connection:
        row = find_event(connection, event)
        found = [
            (delivery, reading.attempts_of(connection, delivery["id"]))
            for delivery in reading.deliveries_of(connection, row["id"])
        ]
    if as_json:
        show_json(event_data(row, found, clock_ms()))
    else:
        show_event(row, found, clock_ms())


@events.command()
@click.argument("which", nargs=-1, metavar="[EVENT]...")
@_since
@_until
@_name
@click.option("--mapping", metavar="NAME", help="Only through this mapping.")
@click.option("--dry-run", is_flag=True, help="Only show what would change.")
@click.option("--yes", is_flag=True, help="Do not show and ask first.")
@json_option
@click.pass_context
def replay(
    context: click.Context,
    which: tuple[str, ...],
    since_ms: int | None,
    until_ms: int | None,
    name: str | None,
    mapping: str | None,
    dry_run: bool,
    yes: bool,
    as_json: bool,
) -> None:
    """Send events through today's mappings again, as new deliveries.

    Name the EVENTs, or choose them by --since, --until and --name. Shows what would be sent otherwise than before,
    then asks. The workers take it up within seconds, in the order of arrival. What is dead of these events is
    discarded: the new delivery takes its place.
    """
    invocation: Invocation = context.obj
    by_filter = since_ms is not None or until_ms is not None or name is not None
    if bool(which) == by_filter:
        raise UsageError("either name events or choose them by --since, --until or --name", mend="see --help")
    check_can_ask(yes=yes or dry_run)
    journal = invocation.journal
    active = _active(journal, mapping)
    ids = _chosen(journal, which, since_ms=since_ms, until_ms=until_ms, name=name)
    if not yes or dry_run:
        _show_previews(invocation, ids, mapping, active, as_json=as_json and dry_run)
    if dry_run:
        return
    if not ids or not agreed(f"replay {count(len(ids), 'event')}?", yes=yes):
        click.echo("nothing was replayed", err=True)
        context.exit(NO)
    _replay(context, journal, ids, mapping, as_json=as_json)


def _chosen(journal: Journal, which: tuple[str, ...], **wanted: Any) -> list[int]:
    """Return the numbers of the chosen events in the order of arrival, each once."""
    from bridge.journal import reading

    with journal.database.read() as connection:
        if which:
            return sorted({find_event(connection, reference)["id"] for reference in which})
        # What still waits goes through today's mappings anyway.
        return reading.event_ids(connection, state=EventState.PROCESSED.value, **wanted)


def _active(journal: Journal, mapping: str | None) -> Sequence[ActiveMapping]:
    """Return the active mappings; raise UsageError where the one that was named is not among them."""
    from bridge.process import ActiveMappings
    from bridge.runtime import clock_ms

    active = ActiveMappings(journal, clock_ms).current()
    if mapping is not None and mapping not in {item.mapping.name for item in active}:
        raise UsageError(f"no active mapping is named {mapping!r}", mend="see: bridge mappings show")
    return active


def _show_previews(
    invocation: Invocation, ids: list[int], mapping: str | None, active: Sequence[ActiveMapping], *, as_json: bool
) -> None:
    from bridge.cli.event_views import preview_data, show_preview
    from bridge.recovery.preview import preview
    from bridge.runtime import Runtime

    runtime = Runtime(invocation.settings)
    try:
        found = preview(
            invocation.journal,
            ids,
            mapping,
            active=active,
            environment=runtime.environment,
            enrichment=runtime.enricher,
        )
        if as_json:
            show_json([preview_data(one) for one in found])
        else:
            for one in found:
                show_preview(one, mapping)
    finally:
        runtime.close()


def _replay(context: click.Context, journal: Journal, ids: list[int], mapping: str | None, *, as_json: bool) -> None:
    from bridge import recovery
    from bridge.runtime import clock_ms

    actor = context.obj.actor

    def change(event_id: int) -> str:
        return f"replay {recovery.replay(journal, event_id, mapping, clock_ms(), by=actor)}"

    results = change_each(ids, "replaying", change)
    refused = refusals(results)
    if as_json:
        show_json(results)
    elif len(results) > len(refused):
        click.echo(f"{count(len(results) - len(refused), 'event')} handed to the workers; see: bridge events list")
    for text in refused:
        click.echo(text, err=True)
    if refused:
        context.exit(NO)
