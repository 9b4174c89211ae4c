"""`bridge backfill`: brings in charges whose events never came, such as those from before the connection."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator
from contextlib import closing, suppress
from datetime import date
from typing import TYPE_CHECKING, Any

import click

from bridge.cli.asaas_choice import account_option, by_option, check_days, clients_of, days, progress_bar
from bridge.cli.choice import agreed, check_can_ask
from bridge.cli.output import count, json_option, plain, show_json
from bridge.cli.root import NO, Invocation
from bridge.errors import SettingsError
from bridge.failpoints import reached
from bridge.model import IncomingEvent

if TYPE_CHECKING:
    from bridge.journal import Journal
    from bridge.recovery.backfill import Gathered
    from bridge.recovery.preview import Preview
    from bridge.runtime import Runtime

SHOWN = 20
"""So many are shown before the question; --dry-run shows all."""


@click.command()
@days
@account_option
@by_option
@click.option("--only", type=click.Choice(["missing", "older"]), help="Only charges of this kind; otherwise both.")
@click.option("--dry-run", is_flag=True, help="Only show what would be sent.")
@click.option("--yes", is_flag=True, help="Do not show and ask first.")
@json_option
@click.pass_context
def backfill(
    context: click.Context,
    since: date,
    until: date,
    account: str | None,
    by: Any,
    only: str | None,
    dry_run: bool,
    yes: bool,
    as_json: bool,
) -> None:
    """Make the events that never came, from what Asaas says of its charges, and send them down the same way.

    One event for each charge, by its status today: a paid one makes PAYMENT_RECEIVED, not also PAYMENT_CREATED. Shows
    what would be sent, then asks. What was brought in once is known: running it again changes nothing.
    """
    from bridge.recovery.backfill import gather
    from bridge.recovery.comparison import BEHIND, Verdict
    from bridge.recovery.walk import Window
    from bridge.runtime import Runtime

    check_days(since, until)
    check_can_ask(yes=yes or dry_run)
    invocation: Invocation = context.obj
    journal = invocation.journal
    with closing(Runtime(invocation.settings)) as runtime:
        found = []
        for client in clients_of(runtime, account):
            with progress_bar(f"comparing {client.account}") as tell:
                wanted = BEHIND if only is None else frozenset({Verdict(only)})
                window = Window(since, until, by)
                found.append(gather(client, journal, window, runtime.clock_ms, only=wanted, tell=tell))
        events = [event for gathered in found for event in gathered.events]
        _say(found)
        if dry_run or not yes:
            _show(journal, runtime, events if dry_run else events[:SHOWN], as_json=as_json and dry_run)
        if not dry_run and events:
            if not agreed(f"bring in {count(len(events), 'event')}?", yes=yes):
                click.echo("nothing was brought in", err=True)
                context.exit(NO)
            _bring_in(journal, runtime, events, as_json=as_json)
        elif as_json and not dry_run:
            show_json([])
    if any(gathered.unknown for gathered in found):
        context.exit(NO)


def _say(found: Iterable[Gathered]) -> None:
    charges, names = 0, Counter[str]()
    for gathered in found:
        charges += gathered.charges
        names.update(event.name for event in gathered.events)
        for one in gathered.unknown:
            click.echo(
                f"{plain(one.charge.get('id'))} can't be brought in: no documented event leads to status "
                f"{plain(one.standing) or 'none'}",
                err=True,
            )
    what = ", ".join(f"{number} {name}" for name, number in sorted(names.items())) or "nothing is missing"
    click.echo(f"{count(charges, 'charge')} at Asaas; {what}", err=True)


def _show(journal: Journal, runtime: Runtime, events: list[IncomingEvent], *, as_json: bool) -> None:
    from bridge.cli.event_views import preview_data, show_outcomes

    previews = zip(events, _previews(journal, runtime, events), strict=True)
    if as_json:
        show_json([{**_data(event), **preview_data(one), "event_id": None} for event, one in previews])
        return
    for event, one in previews:
        click.echo(f"{event.object_id} {event.name} ({event.created})")
        show_outcomes(one)


def _previews(journal: Journal, runtime: Runtime, events: list[IncomingEvent]) -> Iterator[Preview]:
    from bridge.process import ActiveMappings
    from bridge.recovery.backfill import as_kept
    from bridge.recovery.preview import preview_events

    return preview_events(
        journal,
        [as_kept(journal, event) for event in events],
        active=ActiveMappings(journal, runtime.clock_ms).current(),
        environment=runtime.environment,
        enrichment=runtime.enricher,
    )


def _bring_in(journal: Journal, runtime: Runtime, events: list[IncomingEvent], *, as_json: bool) -> None:
    from redis.exceptions import RedisError

    from bridge.recovery.backfill import bring_in

    made, lanes = [], set[int]()
    with progress_bar("bringing in") as tell:
        for event, lane, kept in bring_in(journal, events, runtime.clock_ms):
            made.append({"id": kept.id, **_data(event)})
            lanes.add(lane)
            tell(len(made), len(events))
    reached("backfill.before_wake")
    # Without Redis a periodic task finds the work.
    with suppress(RedisError, SettingsError):
        for lane in sorted(lanes):
            runtime.wakeups.wake(lane)
    if as_json:
        show_json(made)
    else:
        click.echo(f"{count(len(made), 'event')} handed to the workers; see: bridge events list")


def _data(event: IncomingEvent) -> dict[str, Any]:
    return {
        "key": event.key,
        "account": event.account,
        "event": event.name,
        "charge": event.object_id,
        "created": event.created,
    }
