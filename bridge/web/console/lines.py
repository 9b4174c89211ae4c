"""What lists and pages show of an event: its state, the customer, value and description of its charge, and why a
delivery is in its state, with a link to what it waits for."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping
from typing import Any, NamedTuple

from flask import g, url_for
from sqlalchemy import Connection

from bridge.errors import AsaasQuotaSpent
from bridge.formats import Formats
from bridge.journal import customers, destinations, queries
from bridge.journal.about import amount_of, customer_of, description_of, object_of
from bridge.journal.causes import Cause, Kind
from bridge.journal.customers import Customer
from bridge.journal.queries import Row
from bridge.journal.search import Ref
from bridge.mapping.catalogue import event_label
from bridge.messages import _
from bridge.model import DeliveryState, EventState, Waiting
from bridge.reasons import reason, waits_for
from bridge.web.console import layout
from bridge.web.console.access import runtime
from bridge.web.console.personal import masked

_FIRST_SHOWN = ("dead", "retrying", "sending", "pending", "delivered", "stale", "discarded", "filtered")
"""An event with several deliveries shows the first of these states that any of them has."""


class Link(NamedTuple):
    text: str
    url: str


class Why(NamedTuple):
    """Why an event or a delivery is in its state, in lower case without a full stop."""

    text: str
    link: Link | None = None
    """What it waits for."""


class Line(NamedTuple):
    row: Row
    state: str
    amount: Any
    verdicts: dict[str, str]
    """Each mapping with the state of its current delivery."""
    description: str
    name: str
    """The customer's name; empty where it is not known."""
    held: Why | None
    """Why the event is on hold."""
    waits: dict[str, Why]
    """Why each current, open delivery is not delivered yet, by mapping."""

    @property
    def customer(self) -> str:
        """The customer's id; empty for an event without one."""
        return customer_of(self.row)


def event_state(event: Row, states: Collection[str]) -> str:
    """Return the state of an event from the states of its mappings' current deliveries."""
    if event["state"] == EventState.RECEIVED:
        return "held" if event["hold_code"] else "received"
    return next((state for state in _FIRST_SHOWN if state in states), "unmapped")


def paid_on(about: Mapping[str, Any]) -> str:
    """Return the day on which a charge was paid, as Asaas writes it; empty where it was not."""
    return str(about.get("clientPaymentDate") or about.get("paymentDate") or about.get("confirmedDate") or "")


def lines(connection: Connection, rows: list[Row]) -> list[Line]:
    ids = [row["id"] for row in rows]
    verdicts = queries.mappings_of(connection, ids)
    under_way = queries.open_deliveries(connection, ids)
    known = know(connection, {(row["account"], row["subject"]) for row in rows})
    found = []
    for row in rows:
        about, person = object_of(row), known.get((row["account"], row["subject"]))
        states = verdicts[row["id"]]
        waits = {one["mapping"]: why(connection, one) for one in under_way[row["id"]] if one["mapping"] in states}
        found.append(
            Line(
                row,
                event_state(row, states.values()),
                amount_of(about),
                states,
                masked(description_of(about)),
                person.name if person else "",
                why_held(connection, row),
                waits,
            )
        )
    return found


def why(connection: Connection, delivery: Row) -> Why:
    """Return why a delivery is in its state."""
    state = DeliveryState(delivery["state"])
    if state is DeliveryState.DELIVERED:
        return Why(_("delivered to {to}", to=delivery["destination"]))
    if state is DeliveryState.SENDING:
        return Why(_("is being sent right now"))
    if state in queries.OPEN_STATES:
        first = queries.first_of_line(connection, delivery) if delivery["due_ms"] is None else None
        if first:
            return _behind(connection, delivery, first)
        due_ms = delivery["due_ms"]
        text = waits_for(delivery["waiting"], due_ms, layout.now_ms(), when(due_ms) if due_ms is not None else "")
        return Why(text, _waits_for(connection, delivery))
    known, detail = reason(delivery["reason_code"]), layout.said(delivery["reason"])
    # A filter's own words name the condition and the value it saw.
    text = detail if state is DeliveryState.FILTERED and detail else known.means if known else detail
    return Why(text or _(layout.STATES[state]))


def _behind(connection: Connection, delivery: Row, first: Row) -> Why:
    """Return why a delivery waits that is not the first of its line: the reason of the first one."""
    known = reason(first["reason_code"]) if first["waiting"] == Waiting.BACKOFF else None
    cause = why(connection, first)
    text = f"{known.means}; {cause.text}" if known else cause.text
    if first["event_id"] == delivery["event_id"]:
        return Why(_("waits for the delivery before it of the same customer: {why}", why=text), cause.link)
    words = _("waits for event {n} of the same customer: {why}", n=first["event_id"], why=text)
    return Why(words, cause.link or event_link(first["event_id"]))


def _waits_for(connection: Connection, delivery: Row) -> Link | None:
    """Return what the first open delivery of a line waits for."""
    if delivery["waiting"] == Waiting.PAUSED and delivery["reason_code"] == "destination.not_set":
        return Link(_("Connections"), url_for("console.connections.show"))
    name = delivery["destination"]
    standing = {
        Waiting.PAUSED: Cause(Kind.PAUSED, destinations.NOTICES[0], name),
        Waiting.CIRCUIT: Cause(Kind.CIRCUIT, destinations.NOTICES[1], name),
    }
    cause = standing.get(Waiting(delivery["waiting"])) if delivery["waiting"] else None
    return _cause_link(cause, _("destination {name}", name=name)) if cause else None


def why_held(connection: Connection, event: Row) -> Why | None:
    """Return what an event on hold waits for; None for any other."""
    code = event["hold_code"]
    if event["state"] != EventState.RECEIVED or not code:
        return None
    known = reason(code)
    text = known.means if known else layout.said(event["hold_reason"])
    if code == "event.behind":
        earlier = queries.event_before(connection, event)
        return Why(text, event_link(earlier["id"]) if earlier else None)
    link = _cause_link(Cause(Kind.HELD, code, event["account"]), _("all that wait for it"))
    if event["due_ms"] <= layout.now_ms():
        return Why(text, link)
    if code == AsaasQuotaSpent.code:
        text = _("the quota of requests to Asaas of the account {account} is used up", account=event["account"])
        return Why(_("{reason}; it is renewed {when}", reason=text, when=when(event["due_ms"])), link)
    return Why(_("{reason}; looked at again {when}", reason=text, when=when(event["due_ms"])), link)


def when(ms: int) -> str:
    """Return a moment to come: how long it takes, and the time."""
    fmt = Formats(layout.now_ms())
    return f"{fmt.until(ms)} ({fmt.short(ms)})"


def event_link(id_: int) -> Link:
    return Link(_("event {n}", n=id_), url_for("console.events.show", id_=id_))


def _cause_link(cause: Cause, text: str) -> Link:
    return Link(text, url_for("console.attention.index", _anchor=cause.anchor))


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
