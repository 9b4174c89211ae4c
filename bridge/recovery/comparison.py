"""Compares a charge as the Asaas API has it with what the journal was told of it; pure.

Given the charge and its kept events it leaves one verdict. The newest event's own body says how far the journal knows
the charge; where the API is in another standing, an event never came.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from decimal import Decimal
from enum import StrEnum
from typing import Any

from bridge.journal.charges import KeptCharge
from bridge.mapping.asaas_events import flow_rank
from bridge.mapping.values import Unreadable, as_decimal
from bridge.model import FINISHED, DeliveryState


class Verdict(StrEnum):
    """How a charge stands in the journal."""

    MISSING = "missing"  # no event about it was ever kept
    OLDER = "older"  # its newest event says another status than the API
    DEAD = "dead"  # known, and a delivery of it was given up
    WAITING = "waiting"  # known, and still being processed or delivered
    DELIVERED = "delivered"  # known, and sent to a destination
    STALE = "stale"  # known, and not sent because a newer event was
    DISCARDED = "discarded"  # known, and a person decided that it is not owed
    FILTERED = "filtered"  # known, and no mapping wanted it
    UNMAPPED = "unmapped"  # known, and no mapping listened to its event


BEHIND = frozenset({Verdict.MISSING, Verdict.OLDER})
"""What a backfill brings in."""


@dataclass(frozen=True, slots=True)
class Standing:
    """What of a charge makes an event when it changes."""

    status: str
    refunded: Decimal = Decimal(0)
    """What was given back of a charge that is still paid."""

    def __str__(self) -> str:
        """Write it in one line."""
        return f"{self.status} ({self.refunded:.2f} refunded)" if self.refunded else self.status


@dataclass(frozen=True, slots=True)
class Compared:
    """One charge and what the journal knows of it."""

    charge: Mapping[str, Any]
    standing: Standing
    verdict: Verdict
    newest: KeptCharge | None = None
    """The event that says most about it, by Asaas's own time."""
    known: Standing | None = None
    """The standing in that event."""


def standing_of(charge: Mapping[str, Any]) -> Standing:
    """Return the standing of a charge, from the API or from an event."""
    if charge.get("deleted") is True:
        return Standing("DELETED")  # its status stays what it was
    status = str(charge.get("status") or "")
    if status not in {"CONFIRMED", "RECEIVED"}:
        return Standing(status)
    refunds = charge.get("refunds")
    given_back = [refund for refund in refunds if isinstance(refund, dict)] if isinstance(refunds, list) else []
    try:
        refunded = sum((as_decimal(one.get("value")) for one in given_back if one.get("status") == "DONE"), Decimal(0))
    except (Unreadable, ArithmeticError):
        refunded = Decimal(0)
    return Standing(status, refunded)


def compare(charge: Mapping[str, Any], kept: Sequence[KeptCharge], asked_ms: int) -> Compared:
    """Return the verdict on a charge that the API was asked for at that time."""
    standing = standing_of(charge)
    if not kept:
        return Compared(charge, standing, Verdict.MISSING)
    newest = max(kept, key=lambda event: (event.created, flow_rank(event.name), event.event_id))
    known = standing_in(newest)
    # An event that came after the API was asked knows more than the API's answer.
    if known != standing and newest.received_ms < asked_ms:
        return Compared(charge, standing, Verdict.OLDER, newest, known)
    # A boleto that was only looked at makes an event too: every event of this standing counts.
    same = [event for event in kept if event is newest or standing_in(event) == standing]
    return Compared(charge, standing, _came_of_it(same), newest, known)


def standing_in(event: KeptCharge) -> Standing:
    """Return the standing of the charge in an event's body."""
    charge = json.loads(event.body).get("payment")
    return standing_of(charge if isinstance(charge, dict) else {})


_FIRST_OF = (
    (DeliveryState.DEAD, Verdict.DEAD),
    (DeliveryState.DELIVERED, Verdict.DELIVERED),
    (DeliveryState.STALE, Verdict.STALE),
    (DeliveryState.DISCARDED, Verdict.DISCARDED),
    (DeliveryState.FILTERED, Verdict.FILTERED),
)


def _came_of_it(events: Sequence[KeptCharge]) -> Verdict:
    states = {state for event in events for state in event.states}
    if DeliveryState.DEAD not in states and (states - FINISHED or any(event.waits for event in events)):
        return Verdict.WAITING
    return next((verdict for state, verdict in _FIRST_OF if state in states), Verdict.UNMAPPED)
