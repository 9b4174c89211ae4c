"""What the stages tell an observer: one event, or one try, that is done and written down."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field


@dataclass(frozen=True, slots=True)
class Processed:
    """One event that every mapping has had its say on."""

    event_id: int
    trace_id: str
    account: str
    name: str
    began_ms: int
    ended_ms: int
    verdicts: Mapping[str, str] = field(default_factory=dict)
    """State of the new delivery by mapping: a value of `DeliveryState`."""


@dataclass(frozen=True, slots=True)
class Attempted:
    """One try whose outcome is written down."""

    delivery_id: int
    event_id: int
    trace_id: str
    destination: str
    mapping: str
    number: int
    outcome: str
    code: str
    status: int | None
    state: str
    """Of the delivery, after it."""
    duration_ms: int
    ended_ms: int
    received_ms: int
    created: str
    """Asaas's `dateCreated`, or an empty text."""
    replay: int = 0
    """The replay that made the delivery, 0 where it was made when the event came."""
