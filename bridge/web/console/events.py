"""The list of events: searched, filtered, live."""

from __future__ import annotations

import json
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from flask import Blueprint, request
from flask.typing import ResponseReturnValue
from sqlalchemy import Connection

from bridge.journal import queries
from bridge.journal.queries import EventFilter, Row
from bridge.mapping.values import BRASILIA
from bridge.model import DeliveryState
from bridge.web.console import layout
from bridge.web.console.said import amount_of, event_label, event_state

SHOWN = 50
STATES = ("open", *(state.value for state in DeliveryState), queries.WAITING)

events = Blueprint("events", __name__)


@dataclass(frozen=True, slots=True)
class Line:
    """One event in a list."""

    row: Row
    label: str
    state: str
    amount: Any
    verdicts: tuple[tuple[str, str], ...]
    """Each mapping with the state of its newest delivery."""


def lines(connection: Connection, rows: list[Row], language: str) -> list[Line]:
    """Return what a list says of these events."""
    ids = [row["id"] for row in rows]
    verdicts = queries.mappings_of(connection, ids)
    return [
        Line(
            row,
            event_label(row["name"], language),
            event_state(row, verdicts[row["id"]].values()),
            amount_of(json.loads(row["body"]), row["entity"]),
            tuple(verdicts[row["id"]].items()),
        )
        for row in rows
    ]


@events.get("/events")
def index() -> ResponseReturnValue:
    """Show the newest events, or those that a search and the filters name."""
    asked = request.args
    wanted = EventFilter(
        text=asked.get("q", "").strip()[:200],
        state=asked.get("state", "") if asked.get("state") in STATES else "",
        mapping=asked.get("mapping", ""),
        name=asked.get("name", ""),
        account=asked.get("account", ""),
        since_ms=day_ms(asked.get("since", "")),
        until_ms=day_ms(asked.get("until", ""), after=1),
    )
    before = layout.number(asked.get("before"))
    language = layout.words().language
    with layout.runtime().journal.database.read() as connection:
        rows = queries.event_page(connection, wanted, SHOWN + 1, before)
        found = lines(connection, rows[:SHOWN], language)
        choices = {} if layout.partial() else _choices(connection, language)
    return layout.page(
        "events_rows.html" if layout.partial() else "events.html",
        found=found,
        more=len(rows) > SHOWN,
        before=before,
        wanted=wanted,
        narrowed=wanted != EventFilter(),
        # A search may show what nobody else should read over the shoulder, and costs more: it stays as it is.
        live=before is None and not wanted.text,
        **choices,
    )


def _choices(connection: Connection, language: str) -> dict[str, Any]:
    return {
        "states": STATES,
        "mappings": [item.mapping.name for item in layout.runtime().mappings.current()],
        "names": [(name, event_label(name, language)) for name in queries.names(connection)],
        "accounts": queries.accounts(connection),
    }


def day_ms(text: str, after: int = 0) -> int | None:
    """Return when a day (yyyy-mm-dd) begins in Brasília, or one some days after; None where it is none."""
    try:
        day = datetime.strptime(text, "%Y-%m-%d").replace(tzinfo=BRASILIA)
        return int((day + timedelta(days=after)).timestamp() * 1000)
    except (ValueError, OverflowError):
        return None
