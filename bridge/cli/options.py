"""How commands name what they are for: an event, a time, many deliveries; and how a bulk change is agreed to."""

from __future__ import annotations

import re
import sys
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from datetime import UTC, date, datetime, timedelta
from typing import TYPE_CHECKING, Any, TypeVar

import click
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, track

from bridge.cli.main import Invocation
from bridge.errors import IllegalTransition, NotFound, UsageError
from bridge.mapping.values import BRASILIA, BadValue, as_moment
from bridge.messages import Message
from bridge.settings import DEFAULT, Settings

if TYPE_CHECKING:
    from sqlalchemy import Connection

    from bridge.asaas.client import AsaasClient
    from bridge.journal.queries import Row
    from bridge.mapping import Mapping
    from bridge.runtime import Runtime


T = TypeVar("T")

_AGO = re.compile(r"(\d{1,6})(s|min|h|d)")
_UNITS = {"s": "seconds", "min": "minutes", "h": "hours", "d": "days"}
_BAR_FROM = 20
"""So many changes take long enough for a progress bar."""


def moment_of(_context: click.Context, parameter: click.Parameter, value: str | None) -> int | None:
    """Return the time that an option says, in milliseconds since the epoch: `2h` (ago), a day, or a day with a time."""
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
                f"must be like 2h, 3d, 2026-11-22 or '2026-11-22 10:30' (Brasília), got {text!r}", param=parameter
            ) from None
    return int(moment.timestamp() * 1000)


def find_event(connection: Connection, reference: str) -> Row:
    """Return the event of that number or whole Asaas id; raise NotFound."""
    from bridge.journal import queries

    event = queries.find_event(connection, reference)
    if event is None:
        raise NotFound(
            f"no event has the number or id {reference!r}",
            hint="put an Asaas id in quotes, for it contains &; see: bridge events list",
        )
    return event


def check_can_ask(*, yes: bool) -> None:
    """Raise UsageError where the operator must be asked and there is no terminal to ask on."""
    if not yes and not sys.stdin.isatty():
        raise UsageError("this asks first, and there is no terminal to ask on", hint="add --yes")


def agreed(question: str, *, yes: bool) -> bool:
    """Return whether the operator agrees, by --yes or by answering."""
    check_can_ask(yes=yes)
    return yes or click.confirm(question, err=True)


def each(items: Sequence[T], what: str) -> Iterable[T]:
    """Go through the items, with a progress bar on the terminal's standard error where they are many."""
    quiet = len(items) < _BAR_FROM or not sys.stderr.isatty()
    return track(items, what, console=Console(file=sys.stderr), disable=quiet, transient=True)


def apply_each(ids: Sequence[int], what: str, change: Callable[[int], str]) -> list[dict[str, Any]]:
    """Make a change to each delivery or event; return what came of it, one refusal stops no other."""
    results: list[dict[str, Any]] = []
    for identity in each(ids, what):
        try:
            results.append({"id": identity, "done": change(identity)})
        except (NotFound, IllegalTransition) as error:
            results.append({"id": identity, "error": str(error), "code": error.code})
    return results


def refusals(results: Iterable[dict[str, Any]]) -> list[str]:
    """Return why some changes were refused."""
    return [result["error"] for result in results if "error" in result]


Command = TypeVar("Command", bound=Callable[..., object])


def _day(context: click.Context, parameter: click.Parameter, value: str | None) -> date | None:
    moment_ms = moment_of(context, parameter, value)
    return None if moment_ms is None else datetime.fromtimestamp(moment_ms / 1000, UTC).astimezone(BRASILIA).date()


def days(command: Command) -> Command:
    """Give a command the options --since and --until, which name whole days in Brasília."""
    command = click.option(
        "--until",
        callback=_day,
        metavar="DAY",
        default="0d",
        show_default="today",
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
    """Raise UsageError where the days are in the wrong order."""
    if until < since:
        raise UsageError(f"--until must not be before --since, got {until} before {since}")


def clients_of(runtime: Runtime, account: str | None) -> list[AsaasClient]:
    """Return the API's client of that account, or of each that has a key; raise where there is none."""
    if not runtime.asaas:
        runtime.settings.require("ASAAS_API_KEY")
    if account is None:
        return list(runtime.asaas.values())
    if account not in runtime.asaas:
        raise UsageError(
            f"no account {account!r} has an API key, got keys of {', '.join(sorted(runtime.asaas))}",
            hint="set the ASAAS_API_KEY of that account; see: bridge config",
        )
    return [runtime.asaas[account]]


@contextmanager
def progress_bar(what: str) -> Iterator[Callable[[int, int], None]]:
    """Give a way to say how many of how many are done; a bar on the terminal's standard error, else nothing."""
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn())
    quiet = not sys.stderr.isatty()
    with Progress(*columns, console=Console(file=sys.stderr), transient=True, disable=quiet) as bar:
        task = bar.add_task(what, total=None)

        def tell(done: int, total: int) -> None:
            bar.update(task, completed=done, total=max(done, total))

        yield tell


asaas_account_option = click.option(
    "--account", metavar="NAME", default=DEFAULT, show_default=True, help="The Asaas account, by its name in settings."
)


@contextmanager
def opened_runtime(settings: Settings) -> Iterator[Runtime]:
    """Give the parts of this process, closed afterwards."""
    from bridge.runtime import Runtime

    runtime = Runtime(settings)
    runtime.check_urls()
    try:
        yield runtime
    finally:
        runtime.close()


def mappings_in_use(invocation: Invocation) -> tuple[Sequence[Mapping], Message]:
    """Return the mappings that are active in the journal, or those of the files where it has none, and which it is."""
    from bridge.operations import accounts

    return accounts.mappings_in_use(lambda: invocation.journal, invocation.settings.bridge_mappings_dir)
