"""How commands name what they are for: an event, a time, many deliveries; and how a bulk change is agreed to."""

from __future__ import annotations

import re
import sys
from collections.abc import Callable, Iterable, Sequence
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Any, TypeVar

import click
from rich.console import Console
from rich.progress import track

from bridge.errors import IllegalTransition, NotFound, UsageError
from bridge.mapping.dates import BRASILIA, as_moment
from bridge.mapping.values import Unreadable

if TYPE_CHECKING:
    from sqlalchemy import Connection

    from bridge.journal.reading import Row

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
        except Unreadable:
            raise click.BadParameter(
                f"must be like 2h, 3d, 2026-11-22 or '2026-11-22 10:30' (Brasília), got {text!r}", param=parameter
            ) from None
    return int(moment.timestamp() * 1000)


def find_event(connection: Connection, reference: str) -> Row:
    """Return the event of that number or whole Asaas id; raise NotFound."""
    from bridge.journal import reading

    event = reading.find_event(connection, reference)
    if event is None:
        raise NotFound(
            f"no event has the number or id {reference!r}",
            mend="put an Asaas id in quotes, for it contains &; see: bridge events list",
        )
    return event


def check_can_ask(*, yes: bool) -> None:
    """Raise UsageError where the operator must be asked and there is no terminal to ask on."""
    if not yes and not sys.stdin.isatty():
        raise UsageError("this asks first, and there is no terminal to ask on", mend="add --yes")


def agreed(question: str, *, yes: bool) -> bool:
    """Return whether the operator agrees, by --yes or by answering."""
    check_can_ask(yes=yes)
    return yes or click.confirm(question, err=True)


def each(items: Sequence[T], what: str) -> Iterable[T]:
    """Go through the items, with a progress bar on the terminal's standard error where they are many."""
    quiet = len(items) < _BAR_FROM or not sys.stderr.isatty()
    return track(items, what, console=Console(file=sys.stderr), disable=quiet, transient=True)


def change_each(ids: Sequence[int], what: str, change: Callable[[int], str]) -> list[dict[str, Any]]:
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
