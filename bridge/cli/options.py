"""Options and arguments that several commands share, questions to the operator, and progress bars."""

from __future__ import annotations

import re
import sys
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Any, TypeVar

import click
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn

from bridge.cli.main import NO
from bridge.errors import NotFound, UsageError
from bridge.mapping.values import BRASILIA, BadValue, as_moment
from bridge.messages import N_, _
from bridge.settings import DEFAULT, Settings

if TYPE_CHECKING:
    from sqlalchemy import Connection

    from bridge.journal.queries import Row, ValueRange
    from bridge.runtime import Runtime

_Command = TypeVar("_Command", bound=Callable[..., object])

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
            problem = _("must be like 2h, 3d, 2026-11-22 or '2026-11-22 10:30' (Brasília), got {text!r}", text=text)
            raise click.BadParameter(problem, param=parameter) from None
    return int(moment.timestamp() * 1000)


def check_period(since_ms: int | None, until_ms: int | None) -> None:
    """Raise UsageError where a period ends before it begins."""
    if since_ms is not None and until_ms is not None and until_ms <= since_ms:
        since, until = (datetime.fromtimestamp(ms / 1000, BRASILIA) for ms in (since_ms, until_ms))
        what = N_("--until must be after --since, got {until} and {since}")
        raise UsageError(what, until=f"{until:%Y-%m-%d %H:%M}", since=f"{since:%Y-%m-%d %H:%M}")


def cents_of_option(_context: click.Context, parameter: click.Parameter, text: str | None) -> int | None:
    """Return the amount of an option in cents: 1100.50, 1.100,50 or R$ 1.100,50."""
    from bridge.mapping.drafts import as_cents

    try:
        return None if text is None else as_cents(text)
    except UsageError as error:
        raise click.BadParameter(error.text(), param=parameter) from None


def find_event(connection: Connection, reference: str) -> Row:
    """Return the event with this number or whole Asaas id; raise NotFound."""
    from bridge.journal import queries

    event = queries.find_event(connection, reference)
    if event is None:
        hint = N_("put an Asaas id in quotes, for it contains &; see: bridge events list")
        raise NotFound(N_("no event has the number or id {reference!r}"), hint=hint, reference=reference)
    return event


def check_can_ask(*, yes: bool) -> None:
    """Raise UsageError without --yes where standard input is no terminal."""
    if not yes and not sys.stdin.isatty():
        raise UsageError(N_("this asks first, and there is no terminal to ask on"), hint=N_("add --yes"))


def agreed(question: str, *, yes: bool) -> bool:
    """Return whether the operator agrees, by --yes or on the terminal."""
    check_can_ask(yes=yes)
    # click.confirm takes English answers only.
    ask = _("{question} [y/N]", question=question)
    return yes or click.prompt(ask, "", show_default=False, err=True).strip().lower() in {"y", "yes", "s", "sim"}


def confirm(question: str, declined: str, *, yes: bool) -> None:
    """Go on where the operator agrees; otherwise print what was not done and end with status 1."""
    if not agreed(question, yes=yes):
        click.echo(declined, err=True)
        click.get_current_context().exit(NO)


def remove_after_question(question: str, remove: Callable[[], object], done: str, *, yes: bool) -> None:
    """Remove something where the operator agrees, and say so; otherwise end with status 1."""
    confirm(question, _("nothing was removed"), yes=yes)
    remove()
    click.echo(done)


def stacked(*options: Callable[[Any], Any]) -> Callable[[_Command], _Command]:
    """Return one decorator for options that several commands share."""

    def add(command: _Command) -> _Command:
        for option in reversed(options):
            command = option(command)
        return command

    return add


value_options = stacked(
    click.option(
        "--value-from",
        callback=cents_of_option,
        metavar="AMOUNT",
        help="Only a value of this much or more, such as 1100.50.",
    ),
    click.option("--value-to", callback=cents_of_option, metavar="AMOUNT", help="Only a value of this much or less."),
)


def value_range(low: int | None, high: int | None) -> ValueRange:
    """Return the range of `value_options`; raise UsageError where it ends before it begins."""
    from bridge.formats import Formats
    from bridge.journal.queries import ValueRange

    if low is not None and high is not None and high < low:
        fmt, what = Formats(0), N_("--value-to must not be less than --value-from, got {high} and {low}")
        raise UsageError(what, high=fmt.money(high / 100), low=fmt.money(low / 100))
    return ValueRange(low, high)


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


def opened_runtime(settings: Settings) -> closing[Runtime]:
    """Return the parts of this process; raise UsageError for a URL that the bridge may not call."""
    from bridge.runtime import Runtime

    runtime = Runtime(settings)
    runtime.check_urls()
    return closing(runtime)
