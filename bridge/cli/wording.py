"""Says in an operator's words what became of events and deliveries; pure, from rows of the journal to texts."""

from __future__ import annotations

from collections.abc import Sequence

from bridge.cli.output import ago, plain
from bridge.journal.queries import Row
from bridge.model import DeliveryState, Waiting

_WAITS = {
    Waiting.BACKOFF: "waits for its next try",
    Waiting.CIRCUIT: "waits until the destination answers again",
    Waiting.PACE: "waits for its turn under the rate limit",
    Waiting.PAUSED: "waits until the destination is resumed",
}

STYLES = {
    DeliveryState.DELIVERED: "green",
    DeliveryState.FILTERED: "dim",
    DeliveryState.STALE: "dim",
    DeliveryState.DEAD: "bold red",
    DeliveryState.DISCARDED: "dim",
    DeliveryState.RETRYING: "yellow",
    DeliveryState.SENDING: "cyan",
    DeliveryState.PENDING: "cyan",
}


def delivery_said(delivery: Row, attempts: Sequence[Row], now_ms: int) -> str:
    """Return state and reason of a delivery in one line."""
    state = DeliveryState(delivery["state"])
    reason = plain(delivery["reason"])
    if state is DeliveryState.DELIVERED:
        last = attempts[-1] if attempts else None
        answer = f" ({last['status']} in {last['duration_ms']} ms)" if last else ""
        tries = f", try {delivery['attempts']}" if delivery["attempts"] > 1 else ""
        return f"delivered to {plain(delivery['destination'])}{answer}{tries}"
    if state in {DeliveryState.PENDING, DeliveryState.RETRYING}:
        return f"{state.value}: {_wait(delivery, now_ms)}" + (f"; {reason}" if reason else "")
    return f"{state.value}: {reason}" if reason else state.value


def _wait(delivery: Row, now_ms: int) -> str:
    if delivery["due_ms"] is None:
        return "waits for the delivery before it in this customer's line"
    if delivery["waiting"] is None:
        return "is sent next"
    what = _WAITS[Waiting(delivery["waiting"])]
    if delivery["waiting"] == Waiting.PAUSED:
        return what
    return f"{what} {ago(delivery['due_ms'], now_ms)}"


def delivery_brief(delivery: Row, now_ms: int) -> str:
    """Return why a delivery stands where it stands, without its state."""
    state = DeliveryState(delivery["state"])
    reason = plain(delivery["reason"])
    if state in {DeliveryState.PENDING, DeliveryState.RETRYING}:
        return "; ".join(part for part in (_wait(delivery, now_ms), reason) if part)
    return reason
