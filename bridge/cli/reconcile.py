"""`bridge reconcile`: which charges of Asaas the journal knows, and how far; changes nothing."""

from __future__ import annotations

from contextlib import closing
from datetime import date
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from bridge.cli.asaas_choice import account_option, by_option, check_days, clients_of, days, progress_bar
from bridge.cli.output import count, json_option, json_text, show_json, show_table
from bridge.cli.root import NO, Invocation
from bridge.errors import UsageError

if TYPE_CHECKING:
    from bridge.recovery.reconcile import Report

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
    from bridge.recovery.reconcile import reconcile as reconciled
    from bridge.recovery.walk import Window
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
    _show(reports, as_json=as_json, as_csv=as_csv, output=output)
    behind = sum(len(report.behind) for report in reports)
    if behind:
        chosen = "" if account is None else f" --account {account}"
        which = f"--since {since} --until {until}{'' if by == 'created' else f' --by {by}'}{chosen}"
        click.echo(
            f"{count(behind, 'charge')} not known as Asaas has them; see: bridge backfill {which} --dry-run", err=True
        )
        context.exit(NO)


def _show(reports: list[Report], *, as_json: bool, as_csv: bool, output: str | None) -> None:
    from bridge.recovery.report import as_csv as csv_of
    from bridge.recovery.report import as_data

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
    from bridge.recovery.report import VERDICTS

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
