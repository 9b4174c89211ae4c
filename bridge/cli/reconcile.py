"""`bridge reconcile`, `backfill` and `statement`: what Asaas's API says of an account's charges and money."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from contextlib import closing, suppress
from datetime import UTC, date, datetime
from pathlib import Path
from typing import Any

import click
from redis.exceptions import RedisError

from bridge.cli.events import handed_over, preview_data, show_outcomes
from bridge.cli.main import NO, Invocation
from bridge.cli.options import (
    account_option,
    by_option,
    check_can_ask,
    check_days,
    clients_of,
    confirm,
    days,
    progress_bar,
)
from bridge.cli.output import json_option, json_text, plain, show_json, show_table
from bridge.errors import SettingsError, UsageError
from bridge.failpoints import failpoint
from bridge.journal import Journal
from bridge.messages import N_, _, ngettext
from bridge.model import IncomingEvent
from bridge.operations import reconcile as operations
from bridge.operations.backfill import Collected, append_events, as_stored, collect
from bridge.operations.explain import preview_events
from bridge.operations.reconcile import BEHIND, Verdict, Window
from bridge.pipeline.active_mappings import ActiveMappings
from bridge.runtime import Runtime

PROGRESS_DIRECTORY = "reconcile"
"""The directory of interrupted reconciliations, within the data directory."""
_SHOWN = 20

_VERDICTS = {
    "missing": N_("missing"),
    "older": N_("older"),
    "dead": N_("dead"),
    "waiting": N_("waiting"),
    "delivered": N_("delivered"),
    "stale": N_("stale"),
    "discarded": N_("discarded"),
    "filtered": N_("filtered"),
    "unmapped": N_("unmapped"),
}


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
    /,
    since: date,
    until: date,
    account: str | None,
    by: Any,
    output: str | None,
    **formats: bool,
) -> None:
    """Compare the charges at Asaas with the journal, and say by day and status what it does not know.

    missing: no event of the charge ever came. older: its last event says another status than Asaas. The others are
    known: delivered, dead, waiting, filtered, stale, discarded, or unmapped where no mapping listens. Started again
    within the hour, an interrupted run goes on at the same charge. Exit status 1 when something is missing or older;
    `bridge backfill` brings it in.
    """
    check_days(since, until)
    if all(formats.values()):
        raise UsageError(N_("give --json or --csv, not both"))
    invocation: Invocation = context.obj
    journal, directory = invocation.journal, invocation.settings.bridge_data_dir / PROGRESS_DIRECTORY
    window, reports = Window(since, until, by), []
    with closing(Runtime(invocation.settings)) as runtime:
        for client in clients_of(runtime, account):
            with progress_bar(_("comparing {account}", account=client.account)) as on_progress:
                report = operations.reconcile(
                    client, journal, window, runtime.clock_ms, directory=directory, on_progress=on_progress
                )
                reports.append(report.data())
    _show_reports(reports, output, **formats)
    if behind := sum(len(report["behind"]) for report in reports):
        command = f"bridge backfill --since {since} --until {until}{'' if by == 'created' else f' --by {by}'}"
        command += f"{'' if account is None else f' --account {account}'} --dry-run"
        text = ngettext(
            "{n} charge not known as Asaas has it; see: {command}",
            "{n} charges not known as Asaas has them; see: {command}",
            behind,
            command=command,
        )
        click.echo(text, err=True)
        context.exit(NO)


def _show_reports(reports: list[dict[str, Any]], output: str | None, *, as_json: bool, as_csv: bool) -> None:
    if not (output or as_json or as_csv):
        for report in reports:
            _show_report(report)
        return
    text = json_text(reports) + "\n" if as_json else operations.as_csv(reports)
    if output:
        Path(output).write_text(text, encoding="utf-8")
        click.echo(_("written: {file}", file=output), err=True)
    else:
        click.echo(text, nl=False)


def _show_report(report: dict[str, Any]) -> None:
    if report["resumed_at"]:
        click.echo(_("charges known from an interrupted run: {number}", number=report["resumed_at"]), err=True)
    charges = ngettext("{n} charge", "{n} charges", report["charges"])
    click.echo(_("account {name}", name=report["account"]) + f": {charges}")
    if not report["charges"]:
        return
    names = [name for name in _VERDICTS if report["totals"][name]]
    total = {"day": _("total"), "status": "", "charges": report["charges"], **report["totals"]}
    show_table(
        (_("day"), _("status"), _("charges"), *(_(_VERDICTS[name]) for name in names)),
        [
            (row["day"], row["status"], row["charges"], *(row[name] or "" for name in names))
            for row in (*report["days"], total)
        ],
    )
    for one in report["behind"][:_SHOWN]:
        known = ""
        if one["known"]:
            known = _(", the journal knows {status} (event {number})", status=one["known"], number=one["event_id"])
        click.echo(f"  {one['day']} {one['id']} {one['status']}: {_(_VERDICTS[one['verdict']])}{known}")
    if (more := len(report["behind"]) - _SHOWN) > 0:
        click.echo("  " + _("and {number} more; --json lists them all", number=more))


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
    """Make the events that never came, from what Asaas says of its charges, and send them the same way.

    One event for each charge, by its status today: a paid one makes PAYMENT_RECEIVED, not also PAYMENT_CREATED. Shows
    what would be sent, then asks. A charge that was brought in once is known: running it again changes nothing.
    """
    check_days(since, until)
    check_can_ask(yes=yes or dry_run)
    invocation: Invocation = context.obj
    journal = invocation.journal
    wanted = BEHIND if only is None else frozenset({Verdict(only)})
    window, found = Window(since, until, by), []
    with closing(Runtime(invocation.settings)) as runtime:
        for client in clients_of(runtime, account):
            with progress_bar(_("comparing {account}", account=client.account)) as on_progress:
                collected = collect(client, journal, window, runtime.clock_ms, only=wanted, on_progress=on_progress)
                found.append(collected)
        events = [event for collected in found for event in collected.events]
        _show_collected(found)
        if dry_run or not yes:
            _show_backfill(journal, runtime, events if dry_run else events[:_SHOWN], as_json=as_json and dry_run)
        if not dry_run and events:
            question = ngettext("bring in {n} event?", "bring in {n} events?", len(events))
            confirm(question, _("nothing was brought in"), yes=yes)
            _bring_in(journal, runtime, events, as_json=as_json)
        elif as_json and not dry_run:
            show_json([])
    if any(collected.unknown for collected in found):
        context.exit(NO)


def _show_collected(found: Iterable[Collected]) -> None:
    charges, names = 0, Counter[str]()
    for collected in found:
        charges += collected.charges
        names.update(event.name for event in collected.events)
        for one in collected.unknown:
            text = _(
                "{id} can't be brought in: no documented event leads to status {status}",
                id=plain(one.charge.get("id")),
                status=plain(one.charge_status) or _("none"),
            )
            click.echo(text, err=True)
    what = ", ".join(f"{number} {name}" for name, number in sorted(names.items())) or _("nothing is missing")
    text = ngettext("{n} charge at Asaas; {what}", "{n} charges at Asaas; {what}", charges, what=what)
    click.echo(text, err=True)


def _show_backfill(journal: Journal, runtime: Runtime, events: list[IncomingEvent], *, as_json: bool) -> None:
    active = ActiveMappings(journal, runtime.clock_ms).current()
    previews = preview_events(runtime, [as_stored(journal, event) for event in events], active)
    if as_json:
        show_json(
            [
                {**_data(event), **preview_data(one), "event_id": None}
                for event, one in zip(events, previews, strict=True)
            ]
        )
        return
    for event, one in zip(events, previews, strict=True):
        click.echo(f"{event.object_id} {event.name} ({event.created})")
        show_outcomes(one)


def _bring_in(journal: Journal, runtime: Runtime, events: list[IncomingEvent], *, as_json: bool) -> None:

    made, lanes = [], set[int]()
    with progress_bar(_("bringing in")) as on_progress:
        for event, lane, kept in append_events(journal, events, runtime.clock_ms):
            made.append({"id": kept.id, **_data(event)})
            lanes.add(lane)
            on_progress(len(made), len(events))
    failpoint("backfill.before_wake")
    # Without Redis a periodic task finds these lanes.
    with suppress(RedisError, SettingsError):
        for lane in sorted(lanes):
            runtime.wakeups.wake(lane)
    if as_json:
        show_json(made)
    else:
        click.echo(handed_over(len(made)))


def _data(event: IncomingEvent) -> dict[str, Any]:
    names = {"key": "key", "account": "account", "event": "name", "charge": "object_id", "created": "created"}
    return {key: getattr(event, name) for key, name in names.items()}


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

    OFX 1.02, Windows-1252, days of Brasília. Each entry has the id that Asaas gave it, so importing the same days a
    second time repeats nothing. It has names of customers in it: keep the file as safe as a bank's.
    """
    from bridge.operations.statement import read_statement, written_csv, written_ofx

    check_days(since, until)
    if not 1 <= len(bank_id) <= 9:
        raise UsageError(N_("--bank-id must have 1 to 9 characters, got {number}"), number=len(bank_id))
    with closing(Runtime(invocation.settings)) as runtime:
        clients = clients_of(runtime, account)
        if kind == "ofx" and len(clients) > 1:
            names = ", ".join(client.account for client in clients)
            raise UsageError(
                N_("an OFX file is for one account, got {names}"), names=names, hint=N_("choose one with --account")
            )
        found = []
        for client in clients:
            with progress_bar(_("reading {account}", account=client.account)) as on_progress:
                found.append(read_statement(client, since, until, on_progress=on_progress))
    if kind == "csv":
        written = written_csv(found).encode(errors="replace")
    else:
        written = written_ofx(found[0], datetime.now(UTC), bank=bank_id, account_id=account_id or "")
    entries = ngettext("{n} entry", "{n} entries", sum(len(one.entries) for one in found))
    if output:
        Path(output).write_bytes(written)
        click.echo(_("{entries}; written: {file}", entries=entries, file=output), err=True)
    else:
        click.echo(written, nl=False)  # bytes: the encoding is the file's, not the terminal's
        click.echo(entries, err=True)
