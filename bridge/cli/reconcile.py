"""`bridge reconcile`, `backfill` and `statement`: what Asaas's API says of an account's charges and money."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from contextlib import closing
from datetime import UTC, date, datetime
from pathlib import Path
from typing import Any

import click
from click.exceptions import Exit

from bridge.asaas.client import AsaasClient
from bridge.cli.events import handed_over, preview_data, show_outcomes
from bridge.cli.main import NO, Invocation
from bridge.cli.options import check_can_ask, confirm, moment_of, progress_bar, stacked
from bridge.cli.output import json_option, json_text, plain, show_json, show_table
from bridge.errors import UsageError
from bridge.failpoints import failpoint
from bridge.journal import Journal
from bridge.mapping.values import BRASILIA
from bridge.messages import N_, _, ngettext
from bridge.model import IncomingEvent
from bridge.operations import reconcile as operations
from bridge.operations.accounts import is_kept
from bridge.operations.backfill import Collected, append_events, as_stored, collect
from bridge.operations.explain import preview_events
from bridge.operations.reconcile import BEHIND, Verdict, Window
from bridge.pipeline.active_mappings import ActiveMappings
from bridge.runtime import Runtime

_SHOWN = 20

_VERDICTS = (
    *(N_("missing"), N_("older"), N_("dead"), N_("waiting"), N_("delivered")),
    *(N_("stale"), N_("discarded"), N_("filtered"), N_("unmapped")),
)


def _day(context: click.Context, parameter: click.Parameter, value: str | None) -> date | None:
    moment_ms = moment_of(context, parameter, value)
    return None if moment_ms is None else datetime.fromtimestamp(moment_ms / 1000, BRASILIA).date()


_days = stacked(
    click.option(
        "--since", callback=_day, metavar="DAY", required=True, help="The first day, such as 2026-11-01 or 30d (ago)."
    ),
    click.option(
        "--until",
        callback=_day,
        metavar="DAY",
        default="0d",
        show_default=N_("today"),
        help="The last day, that one included.",
    ),
    click.option("--account", help="Only this Asaas account; otherwise each that has a key."),
)
_by = click.option(
    "--by",
    type=click.Choice(["created", "due", "paid"]),
    default="created",
    show_default=True,
    help="Which day of a charge counts.",
)
_output = click.option("--output", metavar="FILE", help="Write there instead of printing.")


def _window(since: date, until: date, by: Any = "created") -> Window:
    if until < since:
        what = N_("--until must not be before --since, got {until} before {since}")
        raise UsageError(what, until=str(until), since=str(since))
    return Window(since, until, by)


def _clients(runtime: Runtime, account: str | None) -> list[AsaasClient]:
    """Return the API client of the account, or of each account with a key; raise where there is none."""
    if not runtime.asaas:
        runtime.settings.require("ASAAS_API_KEY")
    if account is None:
        return list(runtime.asaas.values())
    if account not in runtime.asaas:
        what = N_("no account {account!r} has an API key, got keys of {others}")
        hint = N_("set the ASAAS_API_KEY of that account; see: bridge config")
        if is_kept(runtime, account):
            hint = N_("run: bridge accounts add {account}")
        raise UsageError(what, hint=hint, account=account, others=", ".join(sorted(runtime.asaas)))
    return [runtime.asaas[account]]


@click.command()
@_days
@_by
@json_option
@click.option("--csv", "as_csv", is_flag=True, help="Print CSV.")
@_output
@click.pass_obj
def reconcile(
    invocation: Invocation, /, account: str | None, output: str | None, as_json: bool, as_csv: bool, **days: Any
) -> None:
    """Compare the charges at Asaas with the journal, and say by day and status what it does not know.

    missing: no event of the charge ever came. older: its last event says another status than Asaas. The others are
    known: delivered, dead, waiting, filtered, stale, discarded, or unmapped where no mapping listens. Started again
    within the hour, an interrupted run goes on at the same charge. Exit status 1 when something is missing or older;
    `bridge backfill` brings it in.
    """
    window, reports = _window(**days), []
    if as_json and as_csv:
        raise UsageError(N_("give --json or --csv, not both"))
    journal = invocation.journal
    directory = invocation.settings.bridge_data_dir / "reconcile"  # of interrupted runs
    with closing(Runtime(invocation.settings)) as runtime:
        for client in _clients(runtime, account):
            with progress_bar(_("comparing {account}", account=client.account)) as on_progress:
                report = operations.reconcile(
                    client, journal, window, runtime.clock_ms, directory=directory, on_progress=on_progress
                )
                reports.append(report.data())
    text = json_text(reports) + "\n" if as_json else operations.as_csv(reports)
    if output:
        Path(output).write_text(text, encoding="utf-8")
        click.echo(_("written: {file}", file=output), err=True)
    elif as_json or as_csv:
        click.echo(text, nl=False)
    else:
        for one in reports:
            _show_report(one)
    if behind := sum(len(report["behind"]) for report in reports):
        command = f"bridge backfill --since {window.since} --until {window.until}"
        command += f"{'' if window.by == 'created' else f' --by {window.by}'}"
        command += f"{'' if account is None else f' --account {account}'} --dry-run"
        text = ngettext(
            "{n} charge not known as Asaas has it; see: {command}",
            "{n} charges not known as Asaas has them; see: {command}",
            behind,
            command=command,
        )
        click.echo(text, err=True)
        raise Exit(NO)


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
        (_("day"), _("status"), _("charges"), *map(_, names)),
        [
            (row["day"], row["status"], row["charges"], *(row[name] or "" for name in names))
            for row in (*report["days"], total)
        ],
    )
    for one in report["behind"][:_SHOWN]:
        known = ""
        if one["known"]:
            known = _(", the journal knows {status} (event {number})", status=one["known"], number=one["event_id"])
        click.echo(f"  {one['day']} {one['id']} {one['status']}: {_(one['verdict'])}{known}")
    if (more := len(report["behind"]) - _SHOWN) > 0:
        click.echo("  " + _("and {number} more; --json lists them all", number=more))


@click.command()
@_days
@_by
@click.option("--only", type=click.Choice(["missing", "older"]), help="Only charges of this kind; otherwise both.")
@click.option("--dry-run", is_flag=True, help="Only show what would be sent.")
@click.option("--yes", is_flag=True, help="Do not show and ask first.")
@json_option
@click.pass_obj
def backfill(
    invocation: Invocation,
    /,
    account: str | None,
    only: str | None,
    dry_run: bool,
    yes: bool,
    as_json: bool,
    **days: Any,
) -> None:
    """Make the events that we never received, from what Asaas says of its charges, and send them the same way.

    One event for each charge, by its status today: a paid one makes PAYMENT_RECEIVED, not also PAYMENT_CREATED. Shows
    what would be sent, then asks. A charge that was brought in once is known: running it again changes nothing.
    """
    window, found = _window(**days), []
    check_can_ask(yes=yes or dry_run)
    journal = invocation.journal
    wanted = BEHIND if only is None else frozenset({Verdict(only)})
    with closing(Runtime(invocation.settings)) as runtime:
        for client in _clients(runtime, account):
            with progress_bar(_("comparing {account}", account=client.account)) as on_progress:
                found.append(collect(client, journal, window, runtime.clock_ms, only=wanted, on_progress=on_progress))
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
        raise Exit(NO)


def _show_collected(found: Sequence[Collected]) -> None:
    for one in (one for collected in found for one in collected.unknown):
        text = _(
            "{id} can't be brought in: no documented event leads to status {status}",
            id=plain(one.charge.get("id")),
            status=plain(one.charge_status) or "–",
        )
        click.echo(text, err=True)
    names = Counter(event.name for collected in found for event in collected.events)
    what = ", ".join(f"{number} {name}" for name, number in sorted(names.items())) or _("nothing is missing")
    charges = sum(collected.charges for collected in found)
    click.echo(ngettext("{n} charge at Asaas; {what}", "{n} charges at Asaas; {what}", charges, what=what), err=True)


def _show_backfill(journal: Journal, runtime: Runtime, events: list[IncomingEvent], *, as_json: bool) -> None:
    active = ActiveMappings(journal, runtime.clock_ms).current()
    previews = preview_events(runtime, [as_stored(journal, event) for event in events], active)
    pairs = list(zip(events, previews, strict=True))
    if as_json:
        show_json([{**_data(event), **preview_data(one), "event_id": None} for event, one in pairs])
        return
    for event, one in pairs:
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
    runtime.wake(lanes)
    if as_json:
        show_json(made)
    else:
        click.echo(handed_over(len(made)))


def _data(event: IncomingEvent) -> dict[str, Any]:
    names = {"key": "key", "account": "account", "event": "name", "charge": "object_id", "created": "created"}
    return {key: getattr(event, name) for key, name in names.items()}


@click.command()
@_days
@click.option(
    "--format", "kind", type=click.Choice(["ofx", "csv"]), default="ofx", show_default=True, help="What to write."
)
@_output
@click.option("--bank-id", default="461", show_default=True, metavar="CODE", help="BANKID in OFX: Asaas's code.")
@click.option("--account-id", metavar="NUMBER", help="ACCTID in OFX; otherwise the account's name.")
@click.pass_obj
def statement(
    invocation: Invocation,
    /,
    account: str | None,
    kind: str,
    output: str | None,
    bank_id: str,
    account_id: str | None,
    **days: Any,
) -> None:
    """Write the account's statement for an accounting program, such as Conta Azul's import of OFX.

    OFX 1.02, Windows-1252, days of Brasília. Each entry has the id that Asaas gave it, so importing the same days a
    second time repeats nothing. It has names of customers in it: keep the file as safe as a bank's.
    """
    from bridge.operations.statement import read_statement, written_csv, written_ofx

    window = _window(**days)
    if not 1 <= len(bank_id) <= 9:
        raise UsageError(N_("--bank-id must have 1 to 9 characters, got {number}"), number=len(bank_id))
    with closing(Runtime(invocation.settings)) as runtime:
        clients, found = _clients(runtime, account), []
        if kind == "ofx" and len(clients) > 1:
            names, hint = ", ".join(client.account for client in clients), N_("choose one with --account")
            raise UsageError(N_("an OFX file is for one account, got {names}"), names=names, hint=hint)
        for client in clients:
            with progress_bar(_("reading {account}", account=client.account)) as on_progress:
                found.append(read_statement(client, window.since, window.until, on_progress=on_progress))
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
