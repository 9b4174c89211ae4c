"""`bridge alerts`: the messages that people get about problems that last, and who gets them."""

from __future__ import annotations

from contextlib import suppress
from dataclasses import asdict
from functools import partial
from typing import TYPE_CHECKING, Any

import click
from click.exceptions import Exit

from bridge.alerts.plan import Area
from bridge.cli.accounts import read_secret
from bridge.cli.main import NO, Invocation
from bridge.cli.notices import LEVELS
from bridge.cli.options import check_can_ask, remove_after_question
from bridge.cli.output import Columns, as_message, json_option, show_list
from bridge.errors import JournalError, NotFound, UsageError
from bridge.journal import notices, receivers
from bridge.journal.clock import system_clock_ms
from bridge.messages import N_, Message, _, ngettext

if TYPE_CHECKING:
    from bridge.journal.receivers import Receiver

AREAS = [one.value for one in Area]
_KEPT_IN = (N_("environment"), N_("journal"))
"""Codes of `--json` that tables show in words."""


@click.group()
def alerts() -> None:
    """List alerts; list, add, remove and test those who get them.

    A worker sends alerts to BRIDGE_ALERT_URLS and to the receivers that `add` or the console keeps in the journal.
    """


@alerts.command("list")
@json_option
@click.pass_obj
def list_alerts(invocation: Invocation, as_json: bool) -> None:
    """List the problems that last, and how often an alert was sent about each to each receiver."""
    with invocation.journal.database.read() as connection:
        names = {one.id: one.name for one in receivers.load(connection)}
        told = notices.load(connection)
    names.setdefault(receivers.ENVIRONMENT, receivers.ENVIRONMENT_NAME)
    rows = [
        {**asdict(one), "receiver": names.get(receiver, str(receiver))}
        for receiver in sorted(told)
        for _key, one in sorted(told[receiver].items())
    ]
    columns: Columns = [
        (_("code"), "code"),
        (_("about"), "about"),
        (_("receiver"), "receiver"),
        (_("level"), lambda row: _(LEVELS[row["level"]])),
        (_("since"), "since_ms"),
        (_("sent"), "times"),
        (_("last"), "told_ms"),
        (_("next"), "due_ms"),
        (_("what"), lambda row: _untold(row["failures"], as_message(row["detail"]))),
    ]
    show_list(rows, columns, as_json=as_json, empty=_("no alert was sent"))


def _untold(failures: int, detail: Message) -> Message | str:
    if not failures:
        return detail
    return ngettext(
        "not sent, tried {n} time: {detail}", "not sent, tried {n} times: {detail}", failures, detail=detail
    )


@alerts.command("receivers")
@json_option
@click.pass_obj
def list_receivers(invocation: Invocation, as_json: bool) -> None:
    """List who gets alerts and about what; of an address, only the service."""
    from bridge.operations.receivers import load

    found = load(invocation.journal, invocation.settings)
    urls = invocation.settings.bridge_alert_urls
    rows = [_row(one, [url.split("://", 1)[0] for url in urls]) for one in found]
    columns: Columns = [
        (_("name"), "name"),
        (_("kept in"), lambda row: _(row["kept_in"])),
        (_("service"), lambda row: ", ".join(row["services"])),
        (_("about what"), lambda row: ", ".join(row["areas"]) or _("everything")),
        (_("accounts"), lambda row: ", ".join(row["accounts"]) or _("all")),
        (_("level"), lambda row: _(LEVELS[row["level"]])),
        (_("next summary"), "summary_ms"),
        (_("last"), "sent_ms"),
        (_("failing since"), "failing_ms"),
        (_("problem"), lambda row: row["problem"] and _(row["problem"])),
    ]
    show_list(rows, columns, as_json=as_json, empty=_("nobody gets alerts; see: bridge alerts add --help"))


def _row(one: Receiver, environment: list[str]) -> dict[str, Any]:
    row = {name: value for name, value in asdict(one).items() if name not in {"id", "url"}}
    kept_in = "environment" if one.is_environment else "journal"
    services = environment if one.is_environment else [one.service]
    return {**row, "kept_in": kept_in, "services": services}


@alerts.command()
@click.argument("name")
@click.option(
    "--area",
    "areas",
    multiple=True,
    type=click.Choice(AREAS),
    help="Only this kind; repeat for more.",
)
@click.option("--account", "accounts", multiple=True, help="Only what concerns this account; repeat for more.")
@click.option("--errors-only", is_flag=True, help="Only what does not work until a person fixes it.")
@click.option("--summary", is_flag=True, help="Also the summary of each day, at 8:00 Brasília time.")
@click.pass_obj
def add(
    invocation: Invocation,
    name: str,
    areas: tuple[str, ...],
    accounts: tuple[str, ...],
    errors_only: bool,
    summary: bool,
) -> None:
    """Let a person or a group get alerts, or change what the one of that name gets.

    Asks for the address of apprise (such as tgram://TOKEN/CHAT) without showing it; where there is no terminal, the
    first line of standard input is the address. It is encrypted with BRIDGE_ENCRYPTION_KEY. An empty address leaves
    that of an existing receiver as it is.
    """
    from bridge.alerts.send import check
    from bridge.model import NoticeLevel
    from bridge.operations.receivers import Choice, save_receiver

    url = read_secret(_("address of apprise (empty: it stays)"))
    with invocation.journal.database.read() as connection:
        before = receivers.find(connection, name)
    level = NoticeLevel.ERROR if errors_only else NoticeLevel.WARNING
    choice = Choice(areas, accounts, level.value, summary)
    id_ = before.id if before else None
    address = url if url or before is None else None
    if address is not None and (refused := check([address])[0]).problem:
        raise UsageError(N_("the address can't be used: {problem}"), problem=Message(refused.problem))
    save_receiver(invocation.journal, invocation.actor, system_clock_ms(), id_, name, address, choice)
    done = _("{name} is changed", name=name) if before else _("{name} gets alerts now", name=name)
    click.echo(done)
    click.echo(_("next: bridge alerts test"))


@alerts.command()
@click.argument("name")
@click.option("--yes", is_flag=True, help="Do not ask first.")
@click.pass_obj
def remove(invocation: Invocation, name: str, yes: bool) -> None:
    """Send no more alerts to a receiver of the journal."""
    from bridge.operations.receivers import remove_receiver

    check_can_ask(yes=yes)
    with invocation.journal.database.read() as connection:
        before = receivers.find(connection, name)
    if before is None or before.is_environment:
        hint = N_("one of the environment is removed there; see: bridge alerts receivers")
        raise NotFound(N_("no receiver of the journal is named {name!r}"), hint=hint, name=name)
    remove = partial(remove_receiver, invocation.journal, invocation.actor, system_clock_ms(), before.id)
    done = _("{name} gets no more alerts", name=name)
    remove_after_question(_("remove {name}?", name=name), remove, done, yes=yes)


@alerts.command("test")
@click.argument("names", nargs=-1, metavar="[NAME]...")
@click.pass_obj
def send_test(invocation: Invocation, names: tuple[str, ...]) -> None:
    """Send a test message to each receiver, or to those of these names."""
    from bridge.alerts.send import send, trial
    from bridge.operations.receivers import load, send_trial

    settings = invocation.settings
    kept: list[Receiver] = []
    # The URLs of the environment can be tested before there is a journal.
    with suppress(*(() if names else (JournalError,))):
        kept = [one for one in load(invocation.journal, settings) if not one.is_environment]
    if missing := set(names) - {one.name for one in kept} - {receivers.ENVIRONMENT_NAME}:
        hint = N_("see: bridge alerts receivers")
        raise NotFound(N_("no receiver is named {name!r}"), hint=hint, name=min(missing))
    if not kept or receivers.ENVIRONMENT_NAME in names:
        settings.require("BRIDGE_ALERT_URLS")
    failed = False
    if not names or receivers.ENVIRONMENT_NAME in names:
        results = (
            send(settings.bridge_alert_urls, trial(settings.bridge_language)) if settings.bridge_alert_urls else []
        )
        for number, result in enumerate(results, 1):
            said = _("sent") if result.sent else _(result.problem)
            text = _("URL {number} ({service}): {result}", number=number, service=result.service, result=said)
            click.echo(text, err=not result.sent)
            failed |= not result.sent
    for one in (one for one in kept if not names or one.name in names):
        for result in send_trial(invocation.journal, settings, system_clock_ms, one):
            said = _("sent") if result.sent else _(result.problem)
            text = _("{name} ({service}): {result}", name=one.name, service=result.service, result=said)
            click.echo(text, err=not result.sent)
            failed |= not result.sent
    if failed:
        raise Exit(NO)
