"""Options and arguments that several commands share, questions to the operator, and progress bars."""

from __future__ import annotations

import re
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from datetime import UTC, date, datetime, timedelta
from typing import TYPE_CHECKING, TypeVar

import click
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn

from bridge.cli.main import NO, Invocation
from bridge.errors import NotFound, UsageError
from bridge.mapping.values import BRASILIA, BadValue, as_moment
from bridge.messages import N_, Message, _
from bridge.settings import DEFAULT, Settings

if TYPE_CHECKING:
    from sqlalchemy import Connection

    from bridge.asaas.client import AsaasClient
    from bridge.journal.queries import Row
    from bridge.mapping import Mapping
    from bridge.runtime import Runtime


_AGO = re.compile(r"(\d{1,6})(s|min|h|d)")
_UNITS = {"s": "seconds", "min": "minutes", "h": "hours", "d": "days"}


def moment_of(_context: click.Context, parameter: click.Parameter, value: str | None) -> int | None:
    """Return the time of an option in milliseconds since the epoch: `2h` (ago), a day, or a day with a time."""
    if value is None:
        return None
    text = value.strip()
    if found := _AGO.fullmatch(text):
        moment = datetime.now(BRASILIA) - timedelta(**{_UNITS[found[2]]: int(found[1])})
    else:
        try:
            moment = as_moment(text)
        except BadValue:
            raise click.BadParameter(
                _("must be like 2h, 3d, 2026-11-22 or '2026-11-22 10:30' (Brasília), got {text!r}", text=text),
                param=parameter,
            ) from None
    return int(moment.timestamp() * 1000)


def find_event(connection: Connection, reference: str) -> Row:
    """Return the event with this number or whole Asaas id; raise NotFound."""
    from bridge.journal import queries

    event = queries.find_event(connection, reference)
    if event is None:
        raise NotFound(
            N_("no event has the number or id {reference!r}"),
            hint=N_("put an Asaas id in quotes, for it contains &; see: bridge events list"),
            reference=reference,
        )
    return event


def check_can_ask(*, yes: bool) -> None:
    """Raise UsageError without --yes where standard input is no terminal."""
    if not yes and not sys.stdin.isatty():
        raise UsageError(N_("this asks first, and there is no terminal to ask on"), hint=N_("add --yes"))


def agreed(question: str, *, yes: bool) -> bool:
    """Return whether the operator agrees, by --yes or on the terminal."""
    check_can_ask(yes=yes)
    if yes:
        return True
    # click.confirm takes English answers only.
    answer = click.prompt(_("{question} [y/N]", question=question), default="", show_default=False, err=True)
    return str(answer).strip().lower() in {"y", "yes", "s", "sim"}


def confirm(question: str, declined: str, *, yes: bool) -> None:
    """Go on where the operator agrees; otherwise print what was not done and end with status 1."""
    if not agreed(question, yes=yes):
        click.echo(declined, err=True)
        click.get_current_context().exit(NO)


Command = TypeVar("Command", bound=Callable[..., object])


def _day(context: click.Context, parameter: click.Parameter, value: str | None) -> date | None:
    moment_ms = moment_of(context, parameter, value)
    return None if moment_ms is None else datetime.fromtimestamp(moment_ms / 1000, UTC).astimezone(BRASILIA).date()


def days(command: Command) -> Command:
    """Give a command the options --since and --until: whole days in Brasília."""
    command = click.option(
        "--until",
        callback=_day,
        metavar="DAY",
        default="0d",
        show_default=N_("today"),
        help="The last day, that one included.",
    )(command)
    return click.option(
        "--since", callback=_day, metavar="DAY", required=True, help="The first day, such as 2026-11-01 or 30d (ago)."
    )(command)


account_option = click.option("--account", help="Only this Asaas account; otherwise each that has a key.")


by_option = click.option(
    "--by",
    type=click.Choice(["created", "due", "paid"]),
    default="created",
    show_default=True,
    help="Which day of a charge counts.",
)


def check_days(since: date, until: date) -> None:
    """Raise UsageError where --until is before --since."""
    if until < since:
        raise UsageError(
            N_("--until must not be before --since, got {until} before {since}"), until=str(until), since=str(since)
        )


def clients_of(runtime: Runtime, account: str | None) -> list[AsaasClient]:
    """Return the API client of the account, or of each account with a key; raise where there is none."""
    if not runtime.asaas:
        runtime.settings.require("ASAAS_API_KEY")
    if account is None:
        return list(runtime.asaas.values())
    if account not in runtime.asaas:
        raise UsageError(
            N_("no account {account!r} has an API key, got keys of {others}"),
            hint=N_("set the ASAAS_API_KEY of that account; see: bridge config"),
            account=account,
            others=", ".join(sorted(runtime.asaas)),
        )
    return [runtime.asaas[account]]


@contextmanager
def progress_bar(what: str) -> Iterator[Callable[[int, int], None]]:
    """Give a function of (done, total) that moves a bar on standard error, where that is a terminal."""
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn())
    quiet = not sys.stderr.isatty()
    with Progress(*columns, console=Console(file=sys.stderr), transient=True, disable=quiet) as bar:
        task = bar.add_task(what, total=None)

        yield lambda done, total: bar.update(task, completed=done, total=max(done, total))


asaas_account_option = click.option(
    "--account", metavar="NAME", default=DEFAULT, show_default=True, help="The Asaas account, by its name in settings."
)


@contextmanager
def opened_runtime(settings: Settings) -> Iterator[Runtime]:
    """Give the parts of this process; raise UsageError for a URL that the bridge may not call."""
    from bridge.runtime import Runtime

    runtime = Runtime(settings)
    runtime.check_urls()
    try:
        yield runtime
    finally:
        runtime.close()


def mappings_in_use(invocation: Invocation) -> tuple[Sequence[Mapping], Message]:
    """Return the journal's active mappings, or without any those of the files, and a text that says which they are."""
    from bridge.operations import accounts

    return accounts.mappings_in_use(lambda: invocation.journal, invocation.settings.bridge_mappings_dir)
