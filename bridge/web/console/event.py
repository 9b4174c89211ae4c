"""One event: its whole way, why it went so, and what a person may do about it."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import Any

from flask import Blueprint, redirect, request, url_for
from flask.typing import ResponseReturnValue

from bridge.errors import BridgeError, ConsoleBusy, NoAnswerYet
from bridge.journal import queries
from bridge.journal.queries import Row
from bridge.model import TRANSITIONS, DeliveryState, EventState
from bridge.operations import actions
from bridge.operations import explain as explaining
from bridge.operations.explain import Conditions, Preview, preview
from bridge.reasons import deal_said, reason
from bridge.web.console import layout
from bridge.web.console.jobs import external_call
from bridge.web.console.said import DeliveryStatus, amount_of, describe_delivery, event_label, event_state

event = Blueprint("event", __name__)


@dataclass(frozen=True, slots=True)
class Step:
    """One thing on an event's timeline."""

    at_ms: int
    title: str
    shape: str
    detail: str = ""


@dataclass(frozen=True, slots=True)
class Verdict:
    """What one mapping made of the event."""

    row: Row
    status: DeliveryStatus
    conditions: Conditions
    payload: dict[str, Any] | None
    attempts: list[Row]
    can_replay: bool
    """Whether its mapping is there to see the event again."""

    @property
    def can_retry(self) -> bool:
        """Whether the same payload may be sent again, or sooner."""
        state = DeliveryState(self.row["state"])
        waits = state in {DeliveryState.PENDING, DeliveryState.RETRYING} and self.row["due_ms"] is not None
        return waits or (DeliveryState.PENDING in TRANSITIONS[state] and self.payload is not None)

    @property
    def can_discard(self) -> bool:
        """Whether a person may decide that it is not owed."""
        return DeliveryState.DISCARDED in TRANSITIONS[DeliveryState(self.row["state"])]


@event.get("/events/<int:id_>")
def show(id_: int) -> ResponseReturnValue:
    """Show the whole way of an event; with `ask`, conditions that need what only Asaas knows are looked at too."""
    runtime, text = layout.runtime(), layout.words()
    with runtime.journal.database.read() as connection:
        row = layout.found(queries.find_event(connection, str(id_)))
    fetched, problem = _fetched(row) if "ask" in request.args else (None, "")
    with runtime.journal.database.read() as connection:
        rows = queries.deliveries_of(connection, id_)
        attempts = {one["id"]: queries.attempts_of(connection, one["id"]) for one in rows}
        active = runtime.mappings.current(connection)
        listening = {item.mapping.name for item in active if item.mapping.enabled}
        verdicts = [
            Verdict(
                one,
                describe_delivery(one, text, layout.formats()),
                explaining.conditions(runtime, connection, row, one, fetched),
                json.loads(one["payload"]) if one["payload"] else None,
                attempts[one["id"]],
                row["emptied_ms"] is None and one["mapping"] in listening,
            )
            for one in rows
        ]
    body = json.loads(row["body"])
    return layout.page(
        "event_way.html" if layout.partial() else "event.html",
        event=row,
        label=event_label(row["name"], text.language),
        state=event_state(row, {one["mapping"]: one["state"] for one in rows}.values()),
        held=reason(row["hold_code"]),
        reason=reason,
        deal_said=deal_said,
        amount=amount_of(body, row["entity"]),
        body=json.dumps(body, ensure_ascii=False, indent=2),
        verdicts=verdicts[::-1],
        unheard=explaining.unheard(row["name"], row["account"], row["replay_mapping"], active),
        steps=_steps(row, verdicts),
        problem=problem,
        live=row["state"] == EventState.RECEIVED or any(one["state"] in _MOVING for one in rows),
    )


_MOVING = frozenset({DeliveryState.PENDING, DeliveryState.SENDING, DeliveryState.RETRYING})


def _fetched(row: Row) -> tuple[dict[str, Any] | None, str]:
    runtime, needs = layout.runtime(), frozenset({"customer", "payment", "subscription", "installment"})
    try:
        return external_call(lambda: explaining.fetch(runtime, row, needs)), ""
    except BridgeError as error:
        return None, str(error)


def _steps(row: Row, verdicts: list[Verdict]) -> list[Step]:
    text, fmt = layout.words(), layout.formats()
    again = text.count("events.repeats", row["repeats"]) if row["repeats"] else ""
    steps = [Step(row["received_ms"], text("events.step.received"), "received", again)]
    if row["state"] == EventState.PROCESSED and row["processed_ms"]:
        steps.append(Step(row["processed_ms"], text("events.step.processed"), "mappings"))
    elif row["hold_code"]:
        again = text("events.again", when=fmt.ago(row["due_ms"]))
        steps.append(Step(layout.now_ms(), text("events.step.held"), "warning", again))
    for verdict in verdicts:
        mapping = verdict.row["mapping"]
        for attempt in verdict.attempts:
            outcome = text(f"events.outcome.{attempt['outcome'] or 'unknown'}")
            status = f" · {attempt['status']}" if attempt["status"] else ""
            shape = "delivered" if attempt["outcome"] == "delivered" else "sending"
            title = text("events.step.attempt", mapping=mapping, n=attempt["number"])
            steps.append(Step(attempt["started_ms"], title, shape, outcome + status))
        if verdict.row["finished_ms"] and verdict.row["state"] != DeliveryState.DELIVERED:
            state = verdict.row["state"]
            title = text("events.step.finished", mapping=mapping, state=text(f"states.{state}").lower())
            steps.append(Step(verdict.row["finished_ms"], title, state))
    return sorted(steps, key=lambda step: step.at_ms)


# ---------------------------------------------------------------- changes


@event.post("/events/<int:id_>/deliveries/<int:delivery_id>/retry")
def retry(id_: int, delivery_id: int) -> ResponseReturnValue:
    """Send the same payload again."""
    runtime = layout.runtime()
    actions.retry(runtime.journal, delivery_id, runtime.clock_ms(), by=layout.person().actor)
    layout.flash_message("events.retried", n=delivery_id)
    return redirect(url_for("console.event.show", id_=id_))


@event.post("/events/<int:id_>/deliveries/<int:delivery_id>/discard")
def discard(id_: int, delivery_id: int) -> ResponseReturnValue:
    """Decide that a delivery is not owed."""
    runtime = layout.runtime()
    actions.discard(runtime.journal, delivery_id, runtime.clock_ms(), by=layout.person().actor)
    layout.flash_message("events.discarded", n=delivery_id)
    return redirect(url_for("console.event.show", id_=id_))


@event.get("/events/<int:id_>/replay")
def compare(id_: int) -> ResponseReturnValue:
    """Show what a replay would make of the event, beside what was made of it before."""
    runtime = layout.runtime()
    active = runtime.mappings.current()
    mapping = request.args.get("mapping") or None
    if mapping not in {None, *(item.mapping.name for item in active)}:
        layout.found(None)
    with runtime.journal.database.read() as connection:
        name = layout.found(queries.find_event(connection, str(id_)))["name"]
    try:
        (seen,) = external_call(
            lambda: list(
                preview(
                    runtime.journal,
                    [id_],
                    mapping,
                    active=active,
                    environment=runtime.environment,
                    enrichment=runtime.enricher,
                )
            )
        )
    except (ConsoleBusy, NoAnswerYet) as error:
        seen = Preview(id_, name, problem=str(error))
    return layout.page("replay.html", seen=seen, mapping=mapping, label=event_label(seen.name, layout.words().language))


@event.post("/events/<int:id_>/replay")
def replay(id_: int) -> ResponseReturnValue:
    """Send the event through today's mappings again."""
    runtime = layout.runtime()
    mapping = request.form.get("mapping") or None
    actions.replay(runtime.journal, id_, mapping, runtime.clock_ms(), by=layout.person().actor)
    layout.flash_message("events.replayed", n=id_)
    return redirect(url_for("console.event.show", id_=id_))
