"""`bridge deliveries`: lists deliveries to Clint, sends them again and discards them."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from contextlib import closing
from functools import partial
from typing import TYPE_CHECKING, Any

import click
from click.exceptions import Exit

from bridge.cli.main import NO, Invocation
from bridge.cli.options import confirm, moment_of, progress_bar, stacked, value_options, value_range
from bridge.cli.output import (
    Columns,
    delivery_brief,
    fact_columns,
    is_narrow,
    json_option,
    list_facts,
    listed_moment,
    show_json,
    show_list,
)
from bridge.errors import IllegalTransition, NotFound, UsageError
from bridge.journal import destinations, queries
from bridge.journal.clock import system_clock_ms
from bridge.journal.queries import DeadFilter
from bridge.messages import N_, _, ngettext
from bridge.model import DeliveryState
from bridge.operations import actions

if TYPE_CHECKING:
    from bridge.operations.causes import Stop

limit_option = click.option(
    "--limit", type=click.IntRange(1, 10_000), default=50, show_default=True, help="At most this many."
)
list_options = stacked(
    value_options,
    limit_option,
    click.option("--before", "before_id", type=int, metavar="NUMBER", help="Only those before this number."),
    json_option,
)
_only = stacked(
    click.option("--mapping", metavar="NAME", help="Only of this mapping."),
    click.option("--destination", metavar="NAME", help="Only to this destination."),
    click.option("--code", help="Only with this reason code, such as clint.http_422."),
)
_chosen = stacked(
    click.argument("numbers", nargs=-1, type=click.IntRange(1), metavar="[NUMBER]..."),
    click.option("--all-dead", is_flag=True, help="All dead deliveries, or those that the options below name."),
    click.option("--since", "since_ms", callback=moment_of, metavar="TIME", help="Failed at or after, such as 2h."),
    _only,
    click.option("--yes", is_flag=True, help="Do not ask first."),
    json_option,
)


@click.group()
def deliveries() -> None:
    """List, retry and discard deliveries to Clint."""


@deliveries.command("list")
@click.option(
    "--state",
    "states",
    multiple=True,
    type=click.Choice([state.value for state in DeliveryState]),
    help="Only in this state; may be given several times.",
)
@_only
@list_options
@click.pass_obj
def list_deliveries(
    invocation: Invocation,
    /,
    limit: int,
    before_id: int | None,
    value_from: int | None,
    value_to: int | None,
    as_json: bool,
    **wanted: Any,
) -> None:
    """List deliveries, newest first, with their state and reason."""
    value = value_range(value_from, value_to)
    with invocation.journal.database.read() as connection:
        rows = queries.list_deliveries(connection, limit=limit, before_id=before_id, value=value, **wanted)
        told = list_facts(connection, {row["event_id"] for row in rows})
        floor = queries.delivery_floor(connection, before_id) if value != queries.ANY_VALUE else None
    now_ms = system_clock_ms()
    wide: Columns = [(_("name"), "event_name"), (_("mapping"), "mapping"), (_("to"), "destination")]
    columns: Columns = [
        (_("number"), "id"),
        (_("event"), "event_id"),
        *([] if is_narrow() else wide),
        *fact_columns(),
        (_("state"), lambda row: _(row["state"])),
        (_("since"), lambda row: listed_moment(row["finished_ms"] or row["created_ms"], now_ms)),
        (_("why"), lambda row: delivery_brief(row, now_ms)),
    ]
    listed = [{**row, **told[row["event_id"]]} for row in rows]
    show_list(listed, columns, as_json=as_json, empty=_("no such delivery"))
    if (older := rows[-1]["id"] if len(rows) == limit else floor) and not as_json:
        click.echo(_("older ones: bridge deliveries list --before {number}", number=older), err=True)


@deliveries.command()
@_chosen
@click.pass_obj
def retry(invocation: Invocation, /, **chosen: Any) -> None:
    """Send the same payload again: a waiting delivery at once, a dead or stale one once more.

    Name the NUMBERs of deliveries, or say --all-dead, which leaves out and counts those without a payload. To send an
    event through today's mapping instead: bridge events replay.
    """

    _change(
        invocation,
        actions.retry,
        lambda n: ngettext("retry {n} dead delivery?", "retry {n} dead deliveries?", n),
        lambda n: ngettext("{n} delivery will be sent", "{n} deliveries will be sent", n),
        with_payload=True,
        **chosen,
    )


@deliveries.command()
@_chosen
@click.pass_obj
def discard(invocation: Invocation, /, **chosen: Any) -> None:
    """Discard deliveries: they are never sent.

    Name the NUMBERs of deliveries, or say --all-dead.
    """

    _change(
        invocation,
        actions.discard,
        lambda n: ngettext("discard {n} dead delivery?", "discard {n} dead deliveries?", n),
        lambda n: ngettext("{n} delivery discarded", "{n} deliveries discarded", n),
        with_payload=False,
        **chosen,
    )


def _change(
    invocation: Invocation,
    change: Callable[..., DeliveryState],
    question: Callable[[int], str],
    done: Callable[[int], str],
    *,
    with_payload: bool,
    numbers: tuple[int, ...],
    all_dead: bool,
    yes: bool,
    as_json: bool,
    **only: Any,
) -> None:
    narrowed = {name: value for name, value in only.items() if value}
    if bool(numbers) == all_dead or (numbers and narrowed):
        raise UsageError(N_("either name deliveries or say --all-dead, which --mapping and the like narrow down"))
    journal = invocation.journal
    ids = list(dict.fromkeys(numbers))
    if all_dead:
        with journal.database.read() as connection:
            dead = queries.dead_count(connection, DeadFilter(**narrowed))
            found = queries.dead_page(connection, DeadFilter(**narrowed, with_payload=with_payload))
        ids = [id_ for id_, _, _ in found]
        if not dead:
            click.echo(_("no delivery is dead with these options") if narrowed else _("no delivery is dead"), err=True)
            return
        if without := dead - len(ids):
            text = N_("dead deliveries without a payload: {number}; fix the cause, then: bridge events replay")
            click.echo(_(text, number=without), err=True)
        if not ids:
            raise Exit(NO)
        confirm(question(len(ids)), _("nothing was changed"), yes=yes)

    def one(delivery_id: int) -> str:
        return f"was {change(journal, delivery_id, system_clock_ms(), by=invocation.actor)}"

    change_each(ids, one, done, as_json=as_json, stops=partial(_stops, invocation) if with_payload else None)


def _stops(invocation: Invocation, ids: Sequence[int]) -> dict[int, Stop]:
    """Return why the destination takes nothing now, of each delivery whose destination does."""
    from bridge.operations.causes import stop_of
    from bridge.runtime import Runtime

    with closing(Runtime(invocation.settings)) as runtime, invocation.journal.database.read() as connection:
        kept = destinations.load(connection)
        names = queries.destinations_of(connection, ids)
        found = {name: stop_of(runtime, name, kept.get(name)) for name in set(names.values())}
    return {id_: stop for id_, name in names.items() if (stop := found[name])}


_WAITS = {
    "destination.not_set": N_(
        "deliveries that wait: {n}; {name} has no URL in this environment; run: bridge destinations add {name}"
    ),
    "destination.no_token": N_(
        "deliveries that wait: {n}; {name} is an origin of Clint, and no token of its API is set; run: bridge "
        "clint set-token"
    ),
    "destination.paused": N_("deliveries that wait: {n}; {name} is paused; run: bridge destinations resume {name}"),
    "destination.circuit_open": N_(
        "deliveries that wait: {n}; {name} fails; to try it now: bridge destinations resume {name}"
    ),
}
"""What becomes of deliveries whose destination takes nothing, by the code of the stop."""


def change_each(
    ids: Sequence[int],
    change: Callable[[int], str],
    done: Callable[[int], str],
    *,
    as_json: bool,
    stops: Callable[[Sequence[int]], Mapping[int, Stop]] | None = None,
) -> None:
    """Change each delivery or event and print what came of it; one refusal stops no other, and ends with status 1.

    `stops` gives those of the changed deliveries that wait for their destination.
    """
    results: list[dict[str, Any]] = []
    refused: list[str] = []
    with progress_bar("") as on_progress:
        for number, identity in enumerate(ids, 1):
            try:
                results.append({"id": identity, "done": change(identity)})
            except (NotFound, IllegalTransition) as error:
                results.append({"id": identity, "error": str(error), "code": error.code})
                refused.append(error.text())
            on_progress(number, len(ids))
    changed = [one for one in results if "done" in one]
    waiting = stops([one["id"] for one in changed]) if stops and changed else {}
    for one in changed:
        one |= {"waits": waiting[one["id"]].code} if one["id"] in waiting else {}
    if as_json:
        show_json(results)
    else:
        if sent := len(changed) - len(waiting):
            click.echo(done(sent))
        for stop, number in Counter(waiting.values()).items():
            click.echo(_(_WAITS[stop.code], n=number, name=stop.destination))
    for text in refused:
        click.echo(text, err=True)
    if refused:
        raise Exit(NO)
