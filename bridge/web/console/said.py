"""Says in the reader's language what became of events and deliveries; pure, from rows of the journal to words."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from typing import Any

from bridge.journal.queries import Row
from bridge.mapping.catalogue import EVENTS
from bridge.model import DeliveryState, EventState, Waiting
from bridge.reasons import Reason, reason
from bridge.web.console.formats import Formats
from bridge.web.console.words import Words

# Of several deliveries the one that most wants to be looked at stands for the event.
_LOUDEST = (
    DeliveryState.DEAD,
    DeliveryState.RETRYING,
    DeliveryState.SENDING,
    DeliveryState.PENDING,
    DeliveryState.DELIVERED,
    DeliveryState.STALE,
    DeliveryState.DISCARDED,
    DeliveryState.FILTERED,
)


def event_state(event: Row, states: Collection[str]) -> str:
    """Return in one state how far an event has come: the loudest of each mapping's newest delivery, or its own."""
    if event["state"] == EventState.RECEIVED:
        return "held" if event["hold_code"] else "received"
    return next((state.value for state in _LOUDEST if state in states), "unmapped")


def event_label(name: str, language: str) -> str:
    """Return an event's name as people say it."""
    known = EVENTS.get(name)
    return known.label if known and language == "pt" else name.replace("_", " ").capitalize()


@dataclass(frozen=True, slots=True)
class DeliveryStatus:
    """What became of a delivery or of an event that is held, and what a person may do about it."""

    why: str
    """What the state means, or what the reason code means."""
    detail: str = ""
    """The sentence that the bridge wrote down when it happened; English."""
    reason: Reason | None = None


def describe_delivery(delivery: Row, text: Words, fmt: Formats) -> DeliveryStatus:
    """Return why a delivery stands where it stands."""
    state = DeliveryState(delivery["state"])
    if state is DeliveryState.DELIVERED:
        return DeliveryStatus(text("states.means.delivered", to=delivery["destination"]))
    if state in {DeliveryState.PENDING, DeliveryState.RETRYING}:
        return DeliveryStatus(_waits(delivery, text, fmt), delivery["reason"] or "", reason(delivery["reason_code"]))
    known = reason(delivery["reason_code"])
    fallback = text.maybe(f"states.means.{state}") or delivery["reason"] or text(f"states.{state}")
    return DeliveryStatus(known.means if known else fallback, delivery["reason"] or "", known)


def _waits(delivery: Row, text: Words, fmt: Formats) -> str:
    if delivery["due_ms"] is None:
        return text("states.line")
    if delivery["waiting"] is None:
        return text("states.next")
    if delivery["waiting"] == Waiting.PAUSED:
        return text("states.paused")
    return text(f"states.{delivery['waiting']}", when=fmt.ago(delivery["due_ms"]))


def amount_of(body: Mapping[str, Any], entity: str) -> Any:
    """Return the value of an event's object, None where it has none."""
    held = body.get(entity)
    value = held.get("value") if isinstance(held, dict) else None
    return value if isinstance(value, int | float | str) and not isinstance(value, bool) else None
