"""`bridge deliveries`: what is owed to Clint, what was given up, and a person's decisions about it."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any, Protocol, TypeVar

import click

from bridge.cli.main import NO, Invocation
from bridge.cli.options import agreed, apply_each, refusals
from bridge.cli.output import count, json_option, moment, show_json, show_table
from bridge.errors import UsageError
from bridge.model import DeliveryState

if TYPE_CHECKING:
    from bridge.journal import Journal
    from bridge.journal.audit import Actor

    class Change(Protocol):
        """Changes one delivery."""

        def __call__(self, journal: Journal, delivery_id: int, now_ms: int, *, by: Actor | None) -> DeliveryState: ...


SHOWN = 50
_Command = TypeVar("_Command", bound=Callable[..., Any])


def _only(command: _Command) -> _Command:
    """Add the options by which deliveries are chosen."""
    for option in (
        click.option("--code", help="Only with this reason code, such as clint.http_422."),
        click.option("--destination", metavar="NAME", help="Only to this destination."),
        click.option("--mapping", metavar="NAME", help="Only of this mapping."),
    ):
        command = option(command)
    return command


def _chosen(command: _Command) -> _Command:
    """Add what the two commands that change deliveries have in common."""
    for option in (
        json_option,
        click.option("--yes", is_flag=True, help="Do not ask first."),
        _only,
        click.option("--all-dead", is_flag=True, help="All dead deliveries, or those that the options below name."),
        click.argument("numbers", nargs=-1, type=click.IntRange(1), metavar="[NUMBER]..."),
    ):
        command = option(command)
    return command


@click.group()
def deliveries() -> None:
    """List, retry and discard what is owed to Clint."""


@deliveries.command("list")
@click.option(
    "--state",
    "states",
    multiple=True,
    type=click.Choice([state.value for state in DeliveryState]),
    help="Only in this state; may be given several times.",
)
@_only
@click.option("--limit", type=click.IntRange(1, 10_000), default=SHOWN, show_default=True, help="At most so many.")
@click.option("--before", "before_id", type=int, metavar="NUMBER", help="Only deliveries before this number.")
@json_option
@click.pass_obj
def list_deliveries(invocation: Invocation, /, limit: int, as_json: bool, **wanted: Any) -> None:
    """List deliveries, newest first, with their state and reason."""
    from bridge.cli.output import delivery_brief, with_times
    from bridge.journal import queries
    from bridge.journal.clock import system_clock_ms

    with invocation.journal.database.read() as connection:
        rows = queries.list_deliveries(connection, limit=limit, **wanted)
    if as_json:
        show_json([with_times(row) for row in rows])
        return
    now_ms = system_clock_ms()
    show_table(
        ("number", "event", "name", "mapping", "to", "state", "since", "why"),
        [
            (
                row["id"],
                row["event_id"],
                row["event_name"],
                row["mapping"],
                row["destination"],
                row["state"],
                moment(row["finished_ms"] or row["created_ms"]),
                delivery_brief(row, now_ms),
            )
            for row in rows
        ],
        empty="no delivery like that",
    )
    if len(rows) == limit:
        click.echo(f"older ones: bridge deliveries list --before {rows[-1]['id']}", err=True)


@deliveries.command()
@_chosen
@click.pass_context
def retry(context: click.Context, /, **chosen: Any) -> None:
    """Send the same payload again: what waits is sent now, what is dead or stale anew.

    Name the NUMBERs of deliveries, or say --all-dead: those that have no payload are then left out and counted. To
    send an event through today's mapping instead: bridge events replay.
    """
    from bridge.operations import actions

    _change(context, "retry", actions.retry, **chosen)


@deliveries.command()
@_chosen
@click.pass_context
def discard(context: click.Context, /, **chosen: Any) -> None:
    """Decide that deliveries are not owed; they are never sent.

    Name the NUMBERs of deliveries, or say --all-dead.
    """
    from bridge.operations import actions

    _change(context, "discard", actions.discard, **chosen)


def _change(
    context: click.Context,
    verb: str,
    change: Change,
    *,
    numbers: tuple[int, ...],
    all_dead: bool,
    yes: bool,
    as_json: bool,
    **only: str | None,
) -> None:
    from bridge.journal.clock import system_clock_ms

    invocation: Invocation = context.obj
    if bool(numbers) == all_dead or (numbers and any(only.values())):
        raise UsageError("either name deliveries or say --all-dead, which --mapping and the like narrow down")
    journal = invocation.journal
    ids = list(dict.fromkeys(numbers)) if numbers else _dead(journal, only)
    if all_dead and not ids:
        click.echo("no delivery is dead" + (" with these options" if any(only.values()) else ""), err=True)
        return
    if all_dead and verb == "retry":
        every, ids = ids, _dead(journal, only, with_payload=True)
        if bare := len(every) - len(ids):
            text = f"{count(bare, 'dead delivery has', 'dead deliveries have')} no payload to send again"
            click.echo(f"{text}; mend the cause, then: bridge events replay", err=True)
        if not ids:
            context.exit(NO)
    if all_dead and not agreed(f"{verb} {count(len(ids), 'dead delivery', 'dead deliveries')}?", yes=yes):
        click.echo("nothing was changed", err=True)
        context.exit(NO)

    def one(delivery_id: int) -> str:
        return f"was {change(journal, delivery_id, system_clock_ms(), by=invocation.actor)}"

    results = apply_each(ids, verb, one)
    refused = refusals(results)
    if as_json:
        show_json(results)
    elif len(results) > len(refused):
        done = "will be sent" if verb == "retry" else "discarded"
        click.echo(f"{count(len(results) - len(refused), 'delivery', 'deliveries')} {done}")
    for text in refused:
        click.echo(text, err=True)
    if refused:
        context.exit(NO)


def _dead(journal: Journal, only: dict[str, str | None], *, with_payload: bool = False) -> list[int]:
    from bridge.journal import queries

    with journal.database.read() as connection:
        return queries.dead_ids(connection, with_payload=with_payload, **only)
