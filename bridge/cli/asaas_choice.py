"""What commands that read from Asaas ask for: accounts and days; and how they show that a walk goes on."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, date, datetime
from typing import TYPE_CHECKING, TypeVar

import click
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn

from bridge.cli.choice import moment_of
from bridge.errors import UsageError
from bridge.mapping.dates import BRASILIA

if TYPE_CHECKING:
    from bridge.asaas.client import AsaasClient
    from bridge.runtime import Runtime

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
            mend="set the ASAAS_API_KEY of that account; see: bridge config",
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
