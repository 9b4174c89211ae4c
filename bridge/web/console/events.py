"""The list of events, and the page of one event: its way, the reasons, and the possible actions."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any, NamedTuple

from flask import Blueprint, request
from flask.typing import ResponseReturnValue
from sqlalchemy import Connection
from werkzeug.exceptions import NotFound

from bridge.errors import BridgeError, UsageError
from bridge.formats import Formats
from bridge.journal import destinations, queries, revisions
from bridge.journal.about import amount_of, customer_of, description_of, object_of
from bridge.journal.queries import ANY_VALUE, DeadFilter, EventFilter, Row, ValueRange
from bridge.journal.search import left_out
from bridge.mapping.drafts import as_cents
from bridge.mapping.evaluate import spread
from bridge.mapping.model import FETCHABLE
from bridge.mapping.values import BRASILIA
from bridge.messages import N_, _, ngettext
from bridge.model import DISCARDABLE, NOT_SENT, TRANSITIONS, DeliveryState, EventState, Waiting
from bridge.operations import actions
from bridge.operations import explain as explaining
from bridge.operations.causes import CIRCUIT, PAUSED, Stop, stop_of
from bridge.operations.explain import Conditions
from bridge.operations.lookup import searches
from bridge.reasons import reason
from bridge.web.console import layout
from bridge.web.console.access import person, runtime
from bridge.web.console.jobs import external_call, notes_about, previews_now
from bridge.web.console.lines import Why, event_state, know, lines, of_events, why, why_held
from bridge.web.console.personal import shown

EVENTS_PAGE = 50
STATES = (*(state.value for state in DeliveryState), "open", *queries.EVENT_STATES)

pages = Blueprint("events", __name__)

MOST_SEARCHED = 200
"""Characters of a search."""


@pages.get("/events")
def index() -> ResponseReturnValue:
    asked = request.args
    before = layout.number(asked.get("before"))
    with runtime.journal.database.read() as connection:
        wanted, misread, faults = _wanted(connection)
        rows = queries.event_page(connection, wanted, EVENTS_PAGE + 1, before)
        found = lines(connection, rows[:EVENTS_PAGE])
        floor = queries.event_floor(connection, wanted, before)
        choices: dict[str, Any] = {}
        if not layout.partial():
            accounts = [name for name in queries.accounts(connection) if person.sees(name)]
            choices = {"names": queries.names(connection), "accounts": accounts}
    active = [one.name for one in layout.seen_mappings()]
    return layout.page(
        "events_rows.html" if layout.partial() else "events.html",
        found=found,
        older=rows[EVENTS_PAGE - 1]["id"] if len(rows) > EVENTS_PAGE else floor,
        looked_through=queries.LOOKED_THROUGH if floor is not None and len(rows) <= EVENTS_PAGE else None,
        before=before,
        wanted=wanted,
        misread=misread,
        too_short=left_out(wanted.text),
        faults=faults,
        cause=reason(wanted.dead.code) if wanted.dead else None,
        narrowed=wanted != EventFilter(accounts=person.accounts),
        # A search does not refresh itself: it costs more, and its result may show personal data.
        live=before is None and not wanted.text and wanted.value == ANY_VALUE,
        states=STATES,
        mappings=active if not wanted.mapping or wanted.mapping in active else [*active, wanted.mapping],
        looks_at=_looks_at(wanted.text) if not found else [],
        **choices,
    )


def _wanted(connection: Connection) -> tuple[EventFilter, list[tuple[str, str]], dict[str, str]]:
    """Return the filter of the address, without the parts that can't be read.

    First that of the lists and the search, with their texts; then what is wrong with the other fields, by their names.
    """
    asked = {name: request.args.get(name, "").strip() for name in ("state", "mapping", "q")}
    understood = {
        "state": asked["state"] in STATES,
        "mapping": asked["mapping"] and queries.has_mapping(connection, asked["mapping"]),
        "q": len(asked["q"]) <= MOST_SEARCHED,
    }
    (since_ms, until_ms), faults = period(request.args)
    value, value_faults = _value_range()
    wanted = EventFilter(
        text=asked["q"] if understood["q"] else "",
        state=asked["state"] if understood["state"] else "",
        mapping=asked["mapping"] if understood["mapping"] else "",
        name=request.args.get("name", ""),
        account=request.args.get("account", ""),
        since_ms=since_ms,
        until_ms=until_ms,
        accounts=person.accounts,
        value=value,
        dead=_of_cause(asked["state"]),
    )
    misread = [(name, text[:80]) for name, text in asked.items() if text and not understood[name]]
    return wanted, misread, faults | value_faults


def _of_cause(state: str) -> DeadFilter | None:
    """Return the filter of the failed deliveries of one cause that the address names; None without one."""
    code, destination = (request.args.get(name, "") for name in ("code", "destination"))
    if state != DeliveryState.DEAD or not (code or destination):
        return None
    return DeadFilter(code, destination=destination, answer=request.args.get("answer"))


def period(asked: Mapping[str, str], *, needed: bool = False) -> tuple[tuple[int | None, int | None], dict[str, str]]:
    """Return the begin of the day `since` and the end of the day `until`, and what is wrong with these fields by name.

    A fault leaves its field out; a period that ends before it begins is left out as a whole.
    """
    days = {"since": day_ms(asked.get("since", "").strip()), "until": day_ms(asked.get("until", "").strip(), after=1)}
    faults = {}
    for name, found in days.items():
        text = asked.get(name, "").strip()
        if found is None and (text or needed):
            faults[name] = _("“{text}” is no day.", text=text[:80]) if text else _("Choose a day.")
    since_ms, until_ms = days["since"], days["until"]
    if since_ms is not None and until_ms is not None and until_ms <= since_ms:
        faults["until"] = _("The last day is before the first.")
        since_ms = until_ms = None
    return (since_ms, until_ms), faults


def _value_range() -> tuple[ValueRange, dict[str, str]]:
    """Return the range of values of the address, and what is wrong with its fields by name."""
    found: dict[str, int | None] = {"value_from": None, "value_to": None}
    faults = {}
    for name in found:
        text = request.args.get(name, "").strip()
        try:
            found[name] = as_cents(text) if text else None
        except UsageError as error:
            faults[name] = f"{layout.capital(error.text())}."
    value = ValueRange(*found.values())
    if value.low is not None and value.high is not None and value.high < value.low:
        return ANY_VALUE, {"value_to": _("The highest value is less than the lowest.")}
    return value, faults


def _looks_at(text: str) -> list[str]:
    """Return the accounts in which Asaas could be asked for a text."""
    return sorted(filter(person.sees, runtime.asaas)) if text and searches(text) else []


def day_ms(text: str, after: int = 0) -> int | None:
    """Return when a day (yyyy-mm-dd) begins in Brasília, or one some days after; None for any other text."""
    try:
        day = datetime.strptime(text, "%Y-%m-%d").replace(tzinfo=BRASILIA)
        return int((day + timedelta(days=after)).timestamp() * 1000)
    except (ValueError, OverflowError):
        return None


# ---------------------------------------------------------------- one event

_MOVING = frozenset({DeliveryState.PENDING, DeliveryState.SENDING, DeliveryState.RETRYING})
_REPLAYED: dict[str, str] = {
    DeliveryState.FILTERED: N_("Delivered before; the replay was filtered"),
    DeliveryState.STALE: N_("Delivered before; the replay was superseded"),
    DeliveryState.DISCARDED: N_("Delivered before; the replay was discarded"),
}
"""The sentence about a replay that sent nothing, for an event that was delivered before."""
OUTCOMES = {
    "delivered": N_("accepted"),
    "retry": N_("failed, tried again"),
    "rejected": N_("refused"),
    "removed": N_("destination paused"),
    "postponed": N_("not tried yet"),
    "discarded": N_("nothing left to do"),
    "unknown": N_("no answer yet"),
}
"""The outcome of an attempt."""


class Step(NamedTuple):
    at_ms: int
    title: str
    shape: str
    detail: str = ""


@dataclass(frozen=True, slots=True)
class Verdict:
    """The outcome of the event in one mapping."""

    row: Row
    why: Why
    before: str
    """Says that the mapping delivered the event before this replay, which sent nothing; else empty."""
    conditions: Conditions
    payload: dict[str, Any] | None
    attempts: list[Row]
    can_replay: bool
    """Whether the mapping is still on and the event's body kept."""
    stop: Stop | None
    """Why the destination takes nothing now, for a delivery that only waits for it."""

    @property
    def can_retry(self) -> bool:
        """Whether the same payload may be sent again, or sooner: not while the destination or its pace forbids it."""
        state = DeliveryState(self.row["state"])
        if state in queries.OPEN_STATES and state is not DeliveryState.SENDING:
            return self.row["due_ms"] is not None and self.stop is None and self.row["waiting"] != Waiting.PACE
        return DeliveryState.PENDING in TRANSITIONS[state] and self.payload is not None

    @property
    def can_discard(self) -> bool:
        return DeliveryState(self.row["state"]) in DISCARDABLE


def _event(id_: int, delivery_id: int | None = None) -> Row:
    """Return an event of an account that the person may see; answer 404 for any other, or another's delivery."""
    with runtime.journal.database.read() as connection:
        row: Row = layout.found(queries.find_event(connection, str(id_)))
        if delivery_id is not None:
            mine = {one["id"] for one in queries.deliveries_of(connection, id_)}
            layout.found(delivery_id if delivery_id in mine else None)
    return layout.found(row if person.sees(row["account"]) else None)


@pages.get("/events/<int:id_>")
def show(id_: int) -> ResponseReturnValue:
    """Show the whole way of an event; with `ask`, Asaas is asked for what its conditions need."""
    row = _event(id_)
    fetched, problem = None, ""
    if "ask" in request.args:
        try:
            fetched = external_call(lambda: explaining.fetch(runtime, row, FETCHABLE))
        except BridgeError as error:
            problem = error.text()
    with runtime.journal.database.read() as connection:
        rows = queries.deliveries_of(connection, id_)
        first_delivered: dict[str, int] = {}
        for one in rows:
            if one["state"] == DeliveryState.DELIVERED:
                first_delivered.setdefault(one["mapping"], one["id"])
        kept = destinations.load(connection)
        active = runtime.mappings.current(connection)
        listening = {item.mapping.name for item in active if item.mapping.enabled}
        verdicts = [
            Verdict(
                one,
                why(connection, one),
                _(_REPLAYED[one["state"]])
                if one["state"] in NOT_SENT and first_delivered.get(one["mapping"], one["id"]) < one["id"]
                else "",
                explaining.conditions(runtime, connection, row, one, fetched),
                spread(json.loads(one["payload"])) if one["payload"] else None,
                queries.attempts_of(connection, one["id"]),
                row["emptied_ms"] is None and one["mapping"] in listening,
                stop_of(runtime, one["destination"], kept.get(one["destination"]))
                if one["state"] in queries.OPEN_STATES and one["due_ms"] is not None
                else None,
            )
            for one in rows
        ]
        held = why_held(connection, row)
        notes = notes_about(connection, [id_], [one["id"] for one in rows])
        numbers = revisions.numbers(connection, {one["revision_id"] for one in rows})
        customer = customer_of(row)
        known = know(connection, [(row["account"], customer)]).get((row["account"], customer)) if customer else None
    body, about = shown(json.loads(row["body"])), object_of(row)
    return layout.page(
        "event_way.html" if layout.partial() else "event.html",
        event=row,
        state=event_state(row, {one["state"] for one in queries.standing(rows).values()}),
        held=held,
        held_known=reason(row["hold_code"]),
        amount=amount_of(about),
        description=shown(description_of(about)),
        customer=customer,
        customer_known=known,
        body=json.dumps(body, ensure_ascii=False, indent=2),
        verdicts=sorted(verdicts, key=_place),
        revisions=numbers,
        unheard=explaining.unheard(row["name"], row["account"], row["replay_mapping"], active),
        steps=_steps(row, verdicts),
        notes=notes,
        problem=problem,
        live=row["state"] == EventState.RECEIVED or any(one["state"] in _MOVING for one in rows),
        OUTCOMES=OUTCOMES,
    )


def _place(verdict: Verdict) -> tuple[int, int]:
    """Return the sort key of a delivery: first those that need a person, then those under way; newest first."""
    state = verdict.row["state"]
    return 0 if state == DeliveryState.DEAD else 1 if state in _MOVING else 2, -verdict.row["id"]


def _steps(row: Row, verdicts: list[Verdict]) -> list[Step]:
    again = ngettext("posted {n} more time", "posted {n} more times", row["repeats"]) if row["repeats"] else ""
    steps = [Step(row["received_ms"], _("Received and kept"), "received", again)]
    # An event keeps the time of its last decision only; deliveries are made when the mappings decide.
    decided = {verdict.row["replay"]: verdict.row["created_ms"] for verdict in verdicts}
    if row["state"] == EventState.PROCESSED and row["processed_ms"]:
        decided.setdefault(row["replay"], row["processed_ms"])
    for replay, at_ms in decided.items():
        detail = _("replay {n}", n=replay) if replay else ""
        steps.append(Step(at_ms, _("The mappings decided"), "mappings", detail))
    if row["state"] == EventState.RECEIVED and row["hold_code"]:
        again = _("looked at again {when}", when=Formats(layout.now_ms()).ago(row["due_ms"]))
        steps.append(Step(layout.now_ms(), _("On hold"), "warning", again))
    for verdict in verdicts:
        mapping, state = layout.mapping_title(verdict.row["mapping"]), verdict.row["state"]
        for attempt in verdict.attempts:
            outcome = attempt["outcome"] or "unknown"
            said = _(OUTCOMES.get(outcome, outcome))
            status = f" · {attempt['status']}" if attempt["status"] else ""
            shape = "delivered" if outcome == "delivered" else "sending"
            title = _("{mapping}: attempt {n}", mapping=mapping, n=attempt["number"])
            steps.append(Step(attempt["started_ms"], title, shape, said + status))
        if verdict.row["finished_ms"] and state != DeliveryState.DELIVERED:
            steps.append(Step(verdict.row["finished_ms"], f"{mapping}: {_(layout.STATES[state]).lower()}", state))
    return sorted(steps, key=lambda step: step.at_ms)


# ---------------------------------------------------------------- changes


@pages.post("/events/<int:id_>/deliveries/<int:delivery_id>/retry")
def retry(id_: int, delivery_id: int) -> ResponseReturnValue:
    """Send the same payload again; one that waits for its destination stays where it is."""
    _event(id_, delivery_id)
    state, stop = _standing(id_, delivery_id)
    if stop is None or state not in queries.OPEN_STATES:
        actions.retry(runtime.journal, delivery_id, runtime.clock_ms(), by=person.actor)
    if stop is None:
        layout.flash_message(_("Delivery {n} is sent in a moment.", n=delivery_id))
    else:
        text = _("Delivery {n} waits: the destination {name} takes nothing now.", n=delivery_id, name=stop.destination)
        layout.flash_message(text, "warning")
    return layout.go("console.events.show", id_=id_)


def _standing(id_: int, delivery_id: int) -> tuple[DeliveryState, Stop | None]:
    """Return the state of a delivery, and why its destination takes nothing now."""
    with runtime.journal.database.read() as connection:
        row = next(one for one in queries.deliveries_of(connection, id_) if one["id"] == delivery_id)
        name = row["destination"]
        return DeliveryState(row["state"]), stop_of(runtime, name, destinations.load(connection).get(name))


@pages.post("/events/<int:id_>/deliveries/<int:delivery_id>/resume")
def resume(id_: int, delivery_id: int) -> ResponseReturnValue:
    """Resume the destination that a delivery waits for."""
    _event(id_, delivery_id)
    _state, stop = _standing(id_, delivery_id)
    if stop is not None and stop.code in {PAUSED, CIRCUIT}:
        resumed = actions.resume(runtime.journal, stop.destination, runtime.clock_ms(), by=person.actor)
        layout.flash_message(layout.resumed_words(stop.destination, resumed))
    return layout.go("console.events.show", id_=id_)


@pages.post("/events/<int:id_>/deliveries/<int:delivery_id>/discard")
def discard(id_: int, delivery_id: int) -> ResponseReturnValue:
    _event(id_, delivery_id)
    actions.discard(runtime.journal, delivery_id, runtime.clock_ms(), by=person.actor)
    layout.flash_message(_("Delivery {n} is discarded.", n=delivery_id))
    return layout.go("console.events.show", id_=id_)


@pages.get("/events/<int:id_>/replay")
def compare(id_: int) -> ResponseReturnValue:
    """Show the deliveries that a replay would make, beside those that the event has."""
    _event(id_)
    mapping = request.args.get("mapping") or None
    if mapping not in {None, *(one.name for one in layout.seen_mappings())}:
        raise NotFound
    (seen,) = previews_now([id_], mapping)
    return layout.page("replay.html", seen=seen, mapping=mapping, line=of_events([id_]).get(id_))


@pages.post("/events/<int:id_>/replay")
def replay(id_: int) -> ResponseReturnValue:
    _event(id_)
    mapping = request.form.get("mapping") or None
    actions.replay(runtime.journal, id_, mapping, runtime.clock_ms(), by=person.actor)
    layout.flash_message(_("Event {n} goes through today's mappings in a moment.", n=id_))
    return layout.go("console.events.show", id_=id_)
