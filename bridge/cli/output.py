"""What commands print: JSON, tables, times, states in words.

A terminal gets colours and folded cells, a pipe aligned lines. Texts from outside (names of events, answers of
destinations) can't steer a terminal and are not read as rich's markup.
"""

from __future__ import annotations

import json
import re
import sys
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import fields
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

import click
from rich.console import Console
from rich.table import Table
from rich.text import Text

from bridge.conditions import in_words
from bridge.journal.about import amount_of, description_of, object_of
from bridge.mapping.catalogue import event_label
from bridge.mapping.evaluate import spread
from bridge.mapping.values import BRASILIA, facts_data
from bridge.messages import N_, VERBATIM, Message, _, read_message
from bridge.model import DeliveryState, EventState
from bridge.reasons import waits_for
from bridge.redaction import redact

if TYPE_CHECKING:
    from sqlalchemy import Connection

    from bridge.journal.queries import Row

json_option = click.option("--json", "as_json", is_flag=True, help="Print JSON.")

# Control characters (escape sequences begin with one), marks that turn the direction of a text, halves of characters.
_CONTROL = re.compile(r"[\x00-\x1f\x7f-\x9f\u202a-\u202e\u2066-\u2069\ud800-\udfff]")
_SPACE = re.compile(r"[\t\n\r\u2028\u2029]+")


def is_terminal() -> bool:
    """Return whether standard output is a terminal."""
    return sys.stdout.isatty()


def console() -> Console:
    """Return a console on standard output; on a pipe it has no colours and never folds a line."""
    if is_terminal():
        return Console(file=sys.stdout, highlight=False)
    return Console(file=sys.stdout, highlight=False, no_color=True, width=10_000, force_terminal=False)


def plain(value: object) -> str:
    """Return a value as one line of text that can't steer a terminal; a message in the current language."""
    text = in_words(value) if isinstance(value, Message) else "" if value is None else str(value)
    return _CONTROL.sub("\ufffd", _SPACE.sub(" ", text.strip()))


def json_text(value: Any) -> str:
    """Return a value as JSON that UTF-8 can write, a dataclass as its fields, a message in English.

    Half a character, as Asaas may post one, is escaped.
    """
    text = json.dumps(value, ensure_ascii=False, indent=2, default=_plain_data)
    try:
        text.encode()
    except UnicodeEncodeError:
        text = json.dumps(value, indent=2, default=_plain_data)
    return text


def _plain_data(value: Any) -> Any:
    return str(value) if isinstance(value, Message) else values_of(value)


def values_of(row: Any) -> dict[str, Any]:
    """Return the fields of a dataclass, as they are."""
    return {one.name: getattr(row, one.name) for one in fields(row)}


def show_json(value: Any) -> None:
    """Print a value as JSON."""
    click.echo(json_text(value))


def show_table(headers: Sequence[str], rows: Iterable[Sequence[object]], *, empty: str = "") -> None:
    """Print rows under headers; without rows, print `empty` on standard error."""
    cells = [[plain(cell) for cell in row] for row in rows]
    if empty and not cells:
        click.echo(empty, err=True)
        if is_terminal():
            return
    if is_terminal():
        table = Table(box=None, pad_edge=False, header_style="bold")
        for place, header in enumerate(headers):
            # Numbers, times and codes stay whole; texts are folded between words.
            is_whole = all(" " not in row[place] and len(row[place]) <= _WHOLE for row in cells)
            table.add_column(header, overflow="fold", no_wrap=is_whole)
        for row in cells:
            table.add_row(*(Text(cell) for cell in row))
        console().print(table)
        return
    lines = [list(headers), *cells]
    widths = [max(len(line[column]) for line in lines) for column in range(len(headers))]
    for line in lines:
        click.echo("  ".join(cell.ljust(width) for cell, width in zip(line, widths, strict=True)).rstrip())


_WHOLE = 20
"""The longest word that a table on a terminal does not fold."""
_NARROW = 150
"""Columns of a terminal that has no room for what a list can do without."""


def is_narrow() -> bool:
    """Return whether a list goes to a terminal that has no room for all its columns."""
    return is_terminal() and console().width < _NARROW


def show_line(name: str, value: object) -> None:
    """Print a name and its value, indented."""
    click.echo(f"  {name:<12} {plain(value)}".rstrip())


Columns = Sequence[tuple[str, str | Callable[[Any], object]]]
"""Of a table: each header, with the name of a value of a row or a function of the row."""


def show_list(rows: Iterable[Mapping[str, Any]], columns: Columns, *, as_json: bool, empty: str) -> None:
    """Print rows as JSON or as a table."""
    if as_json:
        show_json([row_data(row) for row in rows])
        return
    cells = [[pick(row) if callable(pick) else _shown(pick, row[pick]) for _header, pick in columns] for row in rows]
    show_table([header for header, _pick in columns], cells, empty=empty)


def _shown(name: str, value: Any) -> object:
    return moment(value) if name.endswith("_ms") else as_message(value) if name in _MESSAGES else value


def moment(ms: int | None) -> str:
    """Return a time as Brasília's clock shows it.

    >>> moment(1795359005000)
    '2026-11-22 11:50:05'
    """
    return "" if ms is None else _brasilia(ms).strftime("%Y-%m-%d %H:%M:%S")


def _brasilia(ms: int) -> datetime:
    return datetime.fromtimestamp(ms / 1000, UTC).astimezone(BRASILIA)


def ago(ms: int, now_ms: int) -> str:
    """Return how long ago a time was, or in how long it will be.

    >>> ago(0, 90_000), ago(7_200_000, 0), ago(500, 0)
    ('1 min ago', 'in 2 h', 'now')
    """
    seconds = abs(now_ms - ms) // 1000
    if seconds == 0:
        return _("now")
    span = next(f"{seconds // size} {unit}" for size, unit in _UNITS if seconds >= size)
    return _("{span} ago", span=span) if ms <= now_ms else _("in {span}", span=span)


_UNITS = ((86_400, "d"), (3_600, "h"), (60, "min"), (1, "s"))


def list_facts(connection: Connection, ids: Collection[int]) -> dict[int, dict[str, Any]]:
    """Return what lists show of these events: customer_name, value and description; without any, empty texts and None.

    A description may hold an e-mail, a phone or a document, which are masked.
    """
    from bridge.journal import customers, queries

    rows = queries.events_of(connection, ids)
    known = customers.load(connection, {(row["account"], row["subject"]) for row in rows})
    found = {}
    for row in rows:
        about, person = object_of(row), known.get((row["account"], row["subject"]))
        found[row["id"]] = {
            "customer_name": person.name if person else "",
            "value": amount_of(about),
            "description": redact(description_of(about)),
        }
    return found


def fact_columns() -> Columns:
    """Return the columns of `list_facts`."""
    return [
        (
            _("customer"),
            lambda row: row["customer_name"] or (row["subject"] if row["subject"] != row["object_id"] else ""),
        ),
        (_("value"), lambda row: _money(row["value"])),
        (_("description"), "description"),
    ]


def _customer_id(row: Mapping[str, Any]) -> str:
    return str(row["subject"]) if row["subject"] != row["object_id"] else ""


def _money(value: Any) -> str:
    from bridge.formats import Formats

    return "" if value is None else Formats(0).money(value)


def listed_event(name: str) -> str:
    """Return the name of an event for a list: in words, which can be folded, on a terminal without room."""
    return event_label(name) if is_narrow() else name


def listed_moment(ms: int, now_ms: int) -> str:
    """Return a past time for a list: short on a terminal without room."""
    from bridge.formats import Formats

    return Formats(now_ms).short(ms) if is_narrow() else moment(ms)


_MESSAGES = ("reason", "hold_reason", "detail", "mend", "paused_reason")
"""Columns whose texts are messages."""


def as_message(value: Message | str | None) -> Message:
    """Return a message as it is, or the one that a row keeps."""
    return value if isinstance(value, Message) else read_message(value)


def row_data(row: Any) -> dict[str, Any]:
    """Return a row or a dataclass for --json: times also in ISO 8601, messages in English with their facts."""
    data = dict(row) if isinstance(row, Mapping) else values_of(row)
    for name, value in list(data.items()):
        if name.endswith("_ms") and name != "duration_ms" and value is not None:
            data[f"{name.removesuffix('_ms')}_at"] = _brasilia(value).isoformat()
        elif isinstance(value, Message) or (name in _MESSAGES and value is not None):
            message = as_message(value)
            facts = {} if message.id == VERBATIM else facts_data(message.facts)
            data |= {name: str(message), f"{name}_facts": facts}
    return data


_STATES = {
    N_("pending"): "cyan",
    N_("sending"): "cyan",
    N_("retrying"): "yellow",
    N_("delivered"): "green",
    N_("filtered"): "dim",
    N_("stale"): "dim",
    N_("dead"): "bold red",
    N_("discarded"): "dim",
}
"""The states of a delivery with their colours."""


def delivery_said(delivery: Row, attempts: Sequence[Row], now_ms: int, *, as_kept: bool = False) -> str:
    """Return state and reason of a delivery in one line; the reason's own sentence where it is `as_kept`."""
    state, reason = delivery["state"], delivery_brief(delivery, now_ms, as_kept=as_kept)
    if state != DeliveryState.DELIVERED:
        return f"{_(state)}: {reason}" if reason else _(state)
    text = _("delivered to {destination}", destination=plain(delivery["destination"]))
    if attempts:
        status, milliseconds = attempts[-1]["status"], attempts[-1]["duration_ms"]
        text += _(" ({status} in {milliseconds} ms)", status=status, milliseconds=milliseconds)
    return text + (_(", try {number}", number=delivery["attempts"]) if delivery["attempts"] > 1 else "")


def delivery_brief(delivery: Row, now_ms: int, *, as_kept: bool = False) -> str:
    """Return why a delivery is in its state, without the state."""
    kept = as_message(delivery["reason"])
    reason = plain(kept.text() if as_kept else kept)
    if delivery["state"] not in {DeliveryState.PENDING, DeliveryState.RETRYING}:
        return reason
    due_ms = delivery["due_ms"]
    wait = waits_for(delivery["waiting"], due_ms, now_ms, ago(due_ms, now_ms) if due_ms is not None else "")
    return f"{wait}; {reason}" if reason else wait


_KIND_STYLES = {"asaas": "magenta", "clint": "bold green", "bridge": "yellow"}
_ON_ITS_WAY = frozenset({DeliveryState.PENDING, DeliveryState.SENDING})


class LiveLog:
    """Prints events and their deliveries as they come, each change once, and payloads if told so."""

    def __init__(self, *, payloads: bool = False, quiet: bool = False) -> None:
        self.out = console()
        self.out.quiet = quiet
        self._payloads = payloads
        self._printed: set[tuple[object, ...]] = set()

    def print(self, kind: str, text: object, style: str = "", *, indent: int = 0) -> None:
        """Print one line of a kind: asaas, clint, bridge or an event's number."""
        time = datetime.now(BRASILIA).strftime("%H:%M:%S")
        head = ((time, "dim"), "  ", (f"{kind:<7}", _KIND_STYLES.get(kind, "cyan")), " " * (indent + 1))
        self.out.print(Text.assemble(*head, (plain(text), style)), soft_wrap=True)

    @contextmanager
    def waiting(self, for_events: Sequence[str]) -> Iterator[None]:
        """Show on a terminal that these events are being waited for."""
        if not is_terminal() or self.out.quiet:
            yield
            return
        with self.out.status(_("waiting for {events}", events=_(" or ").join(map(event_label, for_events)))):
            yield

    def news(self, seen: Iterable[tuple[Row, list[tuple[Row, list[Row]]]]], now_ms: int) -> bool:
        """Print the changes of these events, each with its deliveries and their attempts; return whether any came."""
        before = len(self._printed)
        for event, deliveries in seen:
            kind = f"#{event['id']}"
            if self._is_new("event", event["id"]):
                self.print(kind, f"{event['name']} {event['object_id']}", "bold")
            if event["hold_code"] and self._is_new("hold", event["id"], event["hold_code"]):
                self.print(kind, _("on hold: {reason}", reason=as_message(event["hold_reason"])), "yellow", indent=2)
            if event["state"] == EventState.PROCESSED and not deliveries and self._is_new("unheard", event["id"]):
                text = _("kept; no active mapping of its account listens to this event")
                self.print(kind, text, "dim", indent=2)
            for delivery, attempts in deliveries:
                self._print_delivery(kind, delivery, attempts, now_ms)
        return len(self._printed) > before

    def _print_delivery(self, kind: str, delivery: Row, attempts: list[Row], now_ms: int) -> None:
        mapping, state = delivery["mapping"], delivery["state"]
        if self._payloads and delivery["payload"] and self._is_new("payload", delivery["id"]):
            text = _("{mapping} sends to {destination}:", mapping=mapping, destination=delivery["destination"])
            self.print(kind, text, indent=2)
            for key, value in spread(json.loads(delivery["payload"])).items():
                self.print(kind, f"{key}: {value}", "dim", indent=4)
        change = (delivery["id"], state, delivery["attempts"], delivery["waiting"])
        if state not in _ON_ITS_WAY and self._is_new("delivery", *change):
            self.print(kind, f"{mapping}: {delivery_said(delivery, attempts, now_ms)}", _STATES[state], indent=2)

    def _is_new(self, *change: object) -> bool:
        if change in self._printed:
            return False
        self._printed.add(change)
        return True
