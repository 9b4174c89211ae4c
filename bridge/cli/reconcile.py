"""`bridge reconcile`: which charges of Asaas the journal knows, and how far; changes nothing."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator
from contextlib import closing, suppress
from datetime import UTC, date, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from bridge.cli.main import NO, Invocation
from bridge.cli.options import (
    account_option,
    agreed,
    by_option,
    check_can_ask,
    check_days,
    clients_of,
    days,
    progress_bar,
)
from bridge.cli.output import count, json_option, json_text, plain, show_json, show_table
from bridge.errors import SettingsError, UsageError
from bridge.failpoints import failpoint
from bridge.model import IncomingEvent

if TYPE_CHECKING:
    from bridge.journal import Journal
    from bridge.operations.backfill import Collected
    from bridge.operations.explain import Preview
    from bridge.operations.reconcile import Report
    from bridge.runtime import Runtime


DIRECTORY = "reconcile"
"""Where walks that go on note how far they have come, within the data directory."""
SHOWN = 20


@click.command()
@days
@account_option
@by_option
@json_option
@click.option("--csv", "as_csv", is_flag=True, help="Print CSV.")
@click.option("--output", metavar="FILE", help="Write there instead of printing.")
@click.pass_context
def reconcile(
    context: click.Context,
    since: date,
    until: date,
    account: str | None,
    by: Any,
    as_json: bool,
    as_csv: bool,
    output: str | None,
) -> None:
    """Compare the charges at Asaas with the journal, and say by day and status what it does not know.

    missing: no event of the charge ever came. older: its last event says another status than Asaas. The others are
    known: delivered, dead, waiting, filtered, stale, discarded, or unmapped where no mapping listens. A walk that is
    broken off goes on where it stood when it is run again within the hour. Exit status 1 when something is missing or
    older; `bridge backfill` brings it in.
    """
    from bridge.operations.reconcile import Window
    from bridge.operations.reconcile import reconcile as reconciled
    from bridge.runtime import Runtime

    check_days(since, until)
    if as_json and as_csv:
        raise UsageError("give --json or --csv, not both")
    invocation: Invocation = context.obj
    journal, runtime = invocation.journal, Runtime(invocation.settings)
    directory = invocation.settings.bridge_data_dir / DIRECTORY
    reports = []
    with closing(runtime):
        for client in clients_of(runtime, account):
            with progress_bar(f"comparing {client.account}") as tell:
                window = Window(since, until, by)
                reports.append(reconciled(client, journal, window, runtime.clock_ms, directory=directory, tell=tell))
    _show_reconciliation(reports, as_json=as_json, as_csv=as_csv, output=output)
    behind = sum(len(report.behind) for report in reports)
    if behind:
        chosen = "" if account is None else f" --account {account}"
        which = f"--since {since} --until {until}{'' if by == 'created' else f' --by {by}'}{chosen}"
        click.echo(
            f"{count(behind, 'charge')} not known as Asaas has them; see: bridge backfill {which} --dry-run", err=True
        )
        context.exit(NO)


def _show_reconciliation(reports: list[Report], *, as_json: bool, as_csv: bool, output: str | None) -> None:
    from bridge.operations.reconcile import as_csv as csv_of
    from bridge.operations.reconcile import as_data

    data = [as_data(report) for report in reports]
    if output:
        text = json_text(data) + "\n" if as_json else csv_of(data)
        Path(output).write_text(text, encoding="utf-8")
        click.echo(f"written: {output}", err=True)
    elif as_json:
        show_json(data)
    elif as_csv:
        click.echo(csv_of(data), nl=False)
    else:
        for report in reports:
            _show_table(report)


def _show_table(report: Report) -> None:
    if report.resumed_at:
        click.echo(f"went on after {count(report.resumed_at, 'charge')} of a walk that was broken off", err=True)
    click.echo(f"account {report.account}: {count(len(report.findings), 'charge')}")
    if not report.findings:
        return
    from bridge.operations.reconcile import VERDICTS

    names = [name for name in VERDICTS if report.totals[name]]
    rows = [
        (day, status, counted.total(), *(counted[name] or "" for name in names))
        for (day, status), counted in report.by_day().items()
    ]
    total = ("total", "", len(report.findings), *(report.totals[name] for name in names))
    show_table(("day", "status", "charges", *names), [*rows, total])
    for one in report.behind[:SHOWN]:
        known = f", the journal knows {one.known} (event {one.event_id})" if one.known else ""
        click.echo(f"  {one.day} {one.id} {one.status}: {one.verdict}{known}")
    if len(report.behind) > SHOWN:
        click.echo(f"  and {len(report.behind) - SHOWN} more; --json lists them all")


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
    from bridge.operations.backfill import collect
    from bridge.operations.reconcile import BEHIND, Verdict, Window
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
                found.append(collect(client, journal, window, runtime.clock_ms, only=wanted, tell=tell))
        events = [event for gathered in found for event in gathered.events]
        _say(found)
        if dry_run or not yes:
            _show_backfill(journal, runtime, events if dry_run else events[:SHOWN], as_json=as_json and dry_run)
        if not dry_run and events:
            if not agreed(f"bring in {count(len(events), 'event')}?", yes=yes):
                click.echo("nothing was brought in", err=True)
                context.exit(NO)
            _bring_in(journal, runtime, events, as_json=as_json)
        elif as_json and not dry_run:
            show_json([])
    if any(gathered.unknown for gathered in found):
        context.exit(NO)


def _say(found: Iterable[Collected]) -> None:
    charges, names = 0, Counter[str]()
    for gathered in found:
        charges += gathered.charges
        names.update(event.name for event in gathered.events)
        for one in gathered.unknown:
            click.echo(
                f"{plain(one.charge.get('id'))} can't be brought in: no documented event leads to status "
                f"{plain(one.charge_status) or 'none'}",
                err=True,
            )
    what = ", ".join(f"{number} {name}" for name, number in sorted(names.items())) or "nothing is missing"
    click.echo(f"{count(charges, 'charge')} at Asaas; {what}", err=True)


def _show_backfill(journal: Journal, runtime: Runtime, events: list[IncomingEvent], *, as_json: bool) -> None:
    from bridge.cli.events import preview_data, show_outcomes

    previews = zip(events, _previews(journal, runtime, events), strict=True)
    if as_json:
        show_json([{**_data(event), **preview_data(one), "event_id": None} for event, one in previews])
        return
    for event, one in previews:
        click.echo(f"{event.object_id} {event.name} ({event.created})")
        show_outcomes(one)


def _previews(journal: Journal, runtime: Runtime, events: list[IncomingEvent]) -> Iterator[Preview]:
    from bridge.operations.backfill import as_stored
    from bridge.operations.explain import preview_events
    from bridge.pipeline.active_mappings import ActiveMappings

    return preview_events(
        journal,
        [as_stored(journal, event) for event in events],
        active=ActiveMappings(journal, runtime.clock_ms).current(),
        environment=runtime.environment,
        enrichment=runtime.enricher,
    )


def _bring_in(journal: Journal, runtime: Runtime, events: list[IncomingEvent], *, as_json: bool) -> None:
    from redis.exceptions import RedisError

    from bridge.operations.backfill import append_events

    made, lanes = [], set[int]()
    with progress_bar("bringing in") as tell:
        for event, lane, kept in append_events(journal, events, runtime.clock_ms):
            made.append({"id": kept.id, **_data(event)})
            lanes.add(lane)
            tell(len(made), len(events))
    failpoint("backfill.before_wake")
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


@click.command()
@days
@account_option
@click.option(
    "--format", "kind", type=click.Choice(["ofx", "csv"]), default="ofx", show_default=True, help="What to write."
)
@click.option("--output", metavar="FILE", help="Write there instead of printing.")
@click.option("--bank-id", default="461", show_default=True, metavar="CODE", help="BANKID in OFX: Asaas's code.")
@click.option("--account-id", metavar="NUMBER", help="ACCTID in OFX; otherwise the account's name.")
@click.pass_obj
def statement(
    invocation: Invocation,
    since: date,
    until: date,
    account: str | None,
    kind: str,
    output: str | None,
    bank_id: str,
    account_id: str | None,
) -> None:
    """Write the account's statement for an accounting program, such as Conta Azul's import of OFX.

    OFX 1.02, Windows-1252, days of Brasília. Each entry keeps the id that Asaas gave it, so importing the same days a
    second time repeats nothing. It has names of customers in it: keep the file as you keep a bank's.
    """
    from bridge.operations.statement import read_statement, written_csv, written_ofx
    from bridge.runtime import Runtime

    check_days(since, until)
    if not 1 <= len(bank_id) <= 9:
        raise UsageError(f"--bank-id must have 1 to 9 characters, got {len(bank_id)}")
    with closing(Runtime(invocation.settings)) as runtime:
        clients = clients_of(runtime, account)
        if kind == "ofx" and len(clients) > 1:
            names = ", ".join(client.account for client in clients)
            raise UsageError(f"an OFX file is for one account, got {names}", hint="choose one with --account")
        found = []
        for client in clients:
            with progress_bar(f"reading {client.account}") as tell:
                found.append(read_statement(client, since, until, tell=tell))
    if kind == "csv":
        written = written_csv(found).encode(errors="replace")
    else:
        written = written_ofx(found[0], datetime.now(UTC), bank=bank_id, account_id=account_id or "")
    if output:
        Path(output).write_bytes(written)
    else:
        click.echo(written, nl=False)  # bytes: the encoding is the file's, not the terminal's
    entries = sum(len(one.entries) for one in found)
    click.echo(f"{count(entries, 'entry', 'entries')}{f'; written: {output}' if output else ''}", err=True)
