"""What lists show of an event: its state, the customer, the value and the description of its charge."""

from __future__ import annotations

import json
from collections.abc import Collection, Iterable, Mapping
from typing import Any, NamedTuple

from flask import g
from sqlalchemy import Connection

from bridge.formats import Formats
from bridge.journal import customers, queries
from bridge.journal.customers import Customer
from bridge.journal.queries import Row
from bridge.journal.search import Ref
from bridge.mapping.catalogue import event_label
from bridge.model import EventState
from bridge.web.console import layout
from bridge.web.console.access import runtime

_FIRST_SHOWN = ("dead", "retrying", "sending", "pending", "delivered", "stale", "discarded", "filtered")
"""An event with several deliveries shows the first of these states that any of them has."""


class Line(NamedTuple):
    row: Row
    state: str
    amount: Any
    verdicts: dict[str, str]
    """Each mapping with the state of its delivery that stands."""
    description: str
    name: str
    """The customer's name; empty where it is not known."""

    @property
    def customer(self) -> str:
        """The customer's id; empty for an event without one."""
        return customer_of(self.row)


def event_state(event: Row, states: Collection[str]) -> str:
    """Return the state that stands for an event and for what stands of each mapping."""
    if event["state"] == EventState.RECEIVED:
        return "held" if event["hold_code"] else "received"
    return next((state for state in _FIRST_SHOWN if state in states), "unmapped")


def object_of(row: Row) -> Mapping[str, Any]:
    """Return the object that an event is about, as its body has it."""
    body = json.loads(row["body"])
    kept = body.get(row["entity"]) if isinstance(body, dict) else None
    return kept if isinstance(kept, dict) else {}


def amount_of(about: Mapping[str, Any]) -> Any:
    """Return the value of an event's object, None where it has none."""
    value = about.get("value")
    return value if isinstance(value, int | float | str) and not isinstance(value, bool) else None


def description_of(about: Mapping[str, Any]) -> str:
    found = about.get("description")
    return " ".join(found.split())[:120] if isinstance(found, str) else ""


def paid_on(about: Mapping[str, Any]) -> str:
    """Return the day on which a charge was paid, as Asaas writes it; empty where it was not."""
    return str(about.get("clientPaymentDate") or about.get("paymentDate") or about.get("confirmedDate") or "")


def customer_of(row: Row) -> str:
    subject = str(row["subject"])
    return subject if subject != row["object_id"] and subject != row["entity"] else ""


def lines(connection: Connection, rows: list[Row]) -> list[Line]:
    verdicts = queries.mappings_of(connection, [row["id"] for row in rows])
    known = know(connection, {(row["account"], row["subject"]) for row in rows})
    found = []
    for row in rows:
        about, person = object_of(row), known.get((row["account"], row["subject"]))
        states = verdicts[row["id"]]
        state = event_state(row, states.values())
        name = person.name if person else ""
        found.append(Line(row, state, amount_of(about), states, description_of(about), name))
    return found


def know(connection: Connection, refs: Collection[Ref]) -> dict[Ref, Customer]:
    """Return those of these customers that are known, and keep them for `customer_name` in this request."""
    known = customers.load(connection, refs)
    names: dict[Ref, str] = g.setdefault("customer_names", {})
    names.update({ref: known[ref].name if ref in known else "" for ref in refs})
    return known


def customer_name(account: str, id_: str) -> str:
    """Return a customer's name; empty where it is not known."""
    ref = (account, id_)
    if ref not in g.get("customer_names", {}):
        with runtime.journal.database.read() as connection:
            know(connection, [ref])
    return str(g.customer_names[ref])


def label(line: Line, now_ms: int) -> str:
    """Return an event in one line: customer, value, description, what happened and when."""
    fmt, row = Formats(now_ms), line.row
    who = line.name or line.customer or row["object_id"]
    value = fmt.money(line.amount) if line.amount is not None else ""
    parts = (who, value, line.description[:40], f"{event_label(row['name'])} {fmt.ago(row['received_ms'])}")
    return " · ".join(part for part in parts if part)


def of_events(ids: Iterable[int]) -> dict[int, Line]:
    """Return the lines of these events by number, for pages that have numbers only."""
    with runtime.journal.database.read() as connection:
        return {line.row["id"]: line for line in lines(connection, queries.events_of(connection, sorted(set(ids))))}


def short_id(text: str) -> str:
    """Return an id in few letters.

    >>> short_id("cus_000005219613"), short_id("pay_1")
    ('cus_…219613', 'pay_1')
    """
    return text if len(text) <= 14 else f"{text[:4]}…{text[-6:]}"


layout.GLOBALS.update(customer_name=customer_name, short_id=short_id)
