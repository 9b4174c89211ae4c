"""What commands print: JSON, tables, times. A terminal gets colours and folded cells, a pipe plain aligned lines.

Much of it came from outside (names of events, answers of destinations): nothing of that may steer a terminal or be read
as rich's markup.
"""

from __future__ import annotations

import json
import re
import sys
from collections.abc import Iterable, Mapping, Sequence
from datetime import UTC, datetime
from typing import Any

import click
from rich.console import Console
from rich.table import Table
from rich.text import Text

from bridge.mapping.values import BRASILIA

json_option = click.option("--json", "as_json", is_flag=True, help="Print JSON.")

# Escape sequences begin with one of these; a new line would break a row.
# A surrogate is half a character, which no terminal and no file takes.
_CONTROL = re.compile(r"[\x00-\x1f\x7f-\x9f\u202a-\u202e\u2066-\u2069\ud800-\udfff]")
_SPACE = re.compile(r"[\t\n\r\u2028\u2029]+")


def is_terminal() -> bool:
    """Return whether a person looks at standard output."""
    return sys.stdout.isatty()


def console() -> Console:
    """Return the way to print with colours; a pipe gets none, and lines as long as they are."""
    if is_terminal():
        return Console(file=sys.stdout, highlight=False)
    return Console(file=sys.stdout, highlight=False, no_color=True, width=10_000, force_terminal=False)


def plain(value: object) -> str:
    """Return a value as one line of text that can't steer a terminal."""
    return "" if value is None else _CONTROL.sub("\ufffd", _SPACE.sub(" ", str(value).strip()))


def json_text(value: Any) -> str:
    """Return a value as JSON that UTF-8 can write: one with half a character in it is escaped, as Asaas posted it."""
    text = json.dumps(value, ensure_ascii=False, indent=2)
    try:
        text.encode()
    except UnicodeEncodeError:
        text = json.dumps(value, indent=2)
    return text


def show_json(value: Any) -> None:
    """Print a value as JSON."""
    click.echo(json_text(value))


def show_table(headers: Sequence[str], rows: Iterable[Sequence[object]], *, empty: str = "") -> None:
    """Print rows under headers; where there is none, say on standard error what that means."""
    cells = [[plain(cell) for cell in row] for row in rows]
    if empty and not cells:
        click.echo(empty, err=True)
        if is_terminal():
            return
    if is_terminal():
        table = Table(box=None, pad_edge=False, header_style="bold")
        for header in headers:
            table.add_column(header, overflow="fold")
        for row in cells:
            table.add_row(*(Text(cell) for cell in row))
        console().print(table)
        return
    lines = [list(headers), *cells]
    widths = [max(len(line[column]) for line in lines) for column in range(len(headers))]
    for line in lines:
        click.echo("  ".join(cell.ljust(width) for cell, width in zip(line, widths, strict=True)).rstrip())


def moment(ms: int | None) -> str:
    """Return a time as Brasília's clock shows it.

    >>> moment(1795359005000)
    '2026-11-22 11:50:05'
    """
    if ms is None:
        return ""
    return datetime.fromtimestamp(ms / 1000, UTC).astimezone(BRASILIA).strftime("%Y-%m-%d %H:%M:%S")


def ago(ms: int, now_ms: int) -> str:
    """Return how long ago a time was, or in how long it will be.

    >>> ago(0, 90_000), ago(7_200_000, 0), ago(500, 0)
    ('1 min ago', 'in 2 h', 'now')
    """
    seconds = abs(now_ms - ms) // 1000
    if seconds == 0:
        return "now"
    span = next(f"{seconds // size} {unit}" for size, unit in _UNITS if seconds >= size)
    return f"{span} ago" if ms <= now_ms else f"in {span}"


_UNITS = ((86_400, "d"), (3_600, "h"), (60, "min"), (1, "s"))


def count(number: int, one: str, many: str | None = None) -> str:
    """Return a number with its noun.

    >>> count(1, "event"), count(2, "delivery", "deliveries")
    ('1 event', '2 deliveries')
    """
    return f"{number} {one if number == 1 else many or f'{one}s'}"


def with_times(row: Mapping[str, Any]) -> dict[str, Any]:
    """Return a row with each time also as people and other programs read it."""
    times = {
        f"{name.removesuffix('_ms')}_at": datetime.fromtimestamp(value / 1000, UTC).astimezone(BRASILIA).isoformat()
        for name, value in row.items()
        if name.endswith("_ms") and name != "duration_ms" and value is not None
    }
    return {**row, **times}
