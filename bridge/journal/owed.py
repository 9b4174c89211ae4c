"""What the journal says of a delivery: decided by a mapping, owed to a destination, moved a step."""

from __future__ import annotations

from dataclasses import dataclass

from bridge.model import DeliveryState, Outcome, Waiting

Line = tuple[str, str, str]
"""Account, subject, line: the queue in which a delivery stands."""


@dataclass(frozen=True, slots=True)
class NewDelivery:
    """What a mapping decided about an event: something owed, or the reason why nothing is."""

    event_id: int
    mapping: str
    revision_id: int
    replay: int
    account: str
    subject: str
    line: str
    lane: int
    destination: str
    object_id: str
    order_at: str
    order_rank: int
    skip_stale: bool
    state: DeliveryState
    once_key: str | None = None
    payload: str | None = None
    read_back: str | None = None
    reason_code: str | None = None
    reason: str | None = None


@dataclass(frozen=True, slots=True)
class Owed:
    """A delivery whose turn it is."""

    id: int
    event_id: int
    event_key: str
    mapping: str
    replay: int
    account: str
    subject: str
    line: str
    lane: int
    destination: str
    object_id: str
    order_at: str
    order_rank: int
    skip_stale: bool
    payload: str
    state: DeliveryState
    attempts: int
    forgiven: int
    received_ms: int
    """When Asaas posted the event."""


@dataclass(frozen=True, slots=True)
class Step:
    """A change of one delivery's state, with why."""

    delivery: Owed
    to: DeliveryState
    now_ms: int
    due_ms: int | None = None
    waiting: Waiting | None = None
    code: str | None = None
    reason: str | None = None


@dataclass(frozen=True, slots=True)
class Ended:
    """What became of one attempt, and the step that follows from it."""

    step: Step
    number: int
    outcome: Outcome
    status: int | None
    code: str
    detail: str
    excerpt: str
    duration_ms: int


@dataclass(frozen=True, slots=True)
class PutOff:
    """A delivery that waits without burning an attempt: until when, and why."""

    delivery: Owed
    due_ms: int
    waiting: Waiting
    code: str
    reason: str
