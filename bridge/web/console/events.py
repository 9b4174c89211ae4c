"""The list of events: searched, filtered, live."""

from __future__ import annotations

import json
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from flask import Blueprint, request
from flask.typing import ResponseReturnValue
from sqlalchemy import Connection

from bridge.journal import queries
from bridge.journal.queries import EventFilter, Row
from bridge.mapping.catalogue import event_label
from bridge.mapping.values import BRASILIA
from bridge.model import DeliveryState, EventState
from bridge.web.console import layout
from bridge.web.console.access import runtime

EVENTS_PAGE = 50
STATES = ("open", *(state.value for state in DeliveryState), queries.WAITING)

_FIRST_SHOWN = (
    DeliveryState.DEAD,
    DeliveryState.RETRYING,
    DeliveryState.SENDING,
    DeliveryState.PENDING,
    DeliveryState.DELIVERED,
    DeliveryState.STALE,
    DeliveryState.DISCARDED,
    DeliveryState.FILTERED,
)
"""An event with several deliveries shows the first of these states that one of them has."""

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


def event_state(event: Row, states: Collection[str]) -> str:
    """Return the state that stands for an event and the newest delivery of each mapping."""
    if event["state"] == EventState.RECEIVED:
        return "held" if event["hold_code"] else "received"
    return next((state.value for state in _FIRST_SHOWN if state in states), "unmapped")


def amount_of(body: Mapping[str, Any], entity: str) -> Any:
    """Return the value of an event's object, None where it has none."""
    kept = body.get(entity)
    value = kept.get("value") if isinstance(kept, dict) else None
    return value if isinstance(value, int | float | str) and not isinstance(value, bool) else None


def lines(connection: Connection, rows: list[Row]) -> list[Line]:
    verdicts = queries.mappings_of(connection, [row["id"] for row in rows])
    return [
        Line(
            row,
            event_label(row["name"]),
            event_state(row, verdicts[row["id"]].values()),
            amount_of(json.loads(row["body"]), row["entity"]),
            tuple(verdicts[row["id"]].items()),
        )
        for row in rows
    ]


@events.get("/events")
def index() -> ResponseReturnValue:
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
    with runtime.journal.database.read() as connection:
        rows = queries.event_page(connection, wanted, EVENTS_PAGE + 1, before)
        found = lines(connection, rows[:EVENTS_PAGE])
        choices = {} if layout.partial() else _choices(connection)
    return layout.page(
        "events_rows.html" if layout.partial() else "events.html",
        found=found,
        more=len(rows) > EVENTS_PAGE,
        before=before,
        wanted=wanted,
        narrowed=wanted != EventFilter(),
        # A search is not repeated: it costs more, and what it shows is for nobody who looks over the shoulder.
        live=before is None and not wanted.text,
        **choices,
    )


def _choices(connection: Connection) -> dict[str, Any]:
    return {
        "states": STATES,
        "mappings": [item.mapping.name for item in runtime.mappings.current()],
        "names": [(name, event_label(name)) for name in queries.names(connection)],
        "accounts": queries.accounts(connection),
    }


def day_ms(text: str, after: int = 0) -> int | None:
    """Return when a day (yyyy-mm-dd) begins in Brasília, or one some days after; None for any other text."""
    try:
        day = datetime.strptime(text, "%Y-%m-%d").replace(tzinfo=BRASILIA)
        return int((day + timedelta(days=after)).timestamp() * 1000)
    except (ValueError, OverflowError):
        return None
