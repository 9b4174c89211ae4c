"""The nouns of the bridge and the states they may be in.

An *event* is what Asaas said, a *delivery* is one payload owed to one destination, an *attempt* is one try to send
it. `TRANSITIONS` is the only list of legal changes of a delivery's state; the journal refuses any other.
Times are whole milliseconds since the Unix epoch, UTC, in names that end in `_ms`.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from types import MappingProxyType


class EventState(StrEnum):
    """How far an event has come."""

    RECEIVED = "received"  # kept, not yet looked at by the mappings
    PROCESSED = "processed"  # every mapping has had its say; what is owed stands as deliveries


class Origin(StrEnum):
    """How an event came into the journal."""

    WEBHOOK = "webhook"  # Asaas posted it
    BACKFILL = "backfill"  # made from what the API says, because it never came


class DeliveryState(StrEnum):
    """How far a delivery has come."""

    PENDING = "pending"  # owed, never tried
    SENDING = "sending"  # an attempt's intent is committed; its outcome is not known yet
    RETRYING = "retrying"  # tried at least once, will be tried again
    DELIVERED = "delivered"  # the destination answered 2xx
    FILTERED = "filtered"  # a condition of the mapping said no; nothing is owed
    STALE = "stale"  # a newer event of the same charge was already delivered; not sent
    DEAD = "dead"  # given up, with a reason; a person may retry, replay or discard it
    DISCARDED = "discarded"  # a person decided that it is not owed


FINISHED = frozenset(
    {
        DeliveryState.DELIVERED,
        DeliveryState.FILTERED,
        DeliveryState.STALE,
        DeliveryState.DEAD,
        DeliveryState.DISCARDED,
    }
)
"""States that free the line: the next delivery of the same customer and line may go."""

TRANSITIONS: Mapping[DeliveryState, frozenset[DeliveryState]] = MappingProxyType(
    {
        DeliveryState.PENDING: frozenset(
            {DeliveryState.SENDING, DeliveryState.STALE, DeliveryState.DEAD, DeliveryState.DISCARDED}
        ),
        DeliveryState.SENDING: frozenset({DeliveryState.DELIVERED, DeliveryState.RETRYING, DeliveryState.DEAD}),
        DeliveryState.RETRYING: frozenset(
            {DeliveryState.SENDING, DeliveryState.STALE, DeliveryState.DEAD, DeliveryState.DISCARDED}
        ),
        # A person's retry sends the same payload again, and is the only way out of these two besides discarding.
        DeliveryState.DEAD: frozenset({DeliveryState.PENDING, DeliveryState.DISCARDED}),
        DeliveryState.STALE: frozenset({DeliveryState.PENDING}),
        DeliveryState.DELIVERED: frozenset(),
        DeliveryState.FILTERED: frozenset(),
        DeliveryState.DISCARDED: frozenset(),
    }
)


class ReadBack(StrEnum):
    """Whether the deal of a delivery was looked for in Clint; deliveries of mappings without `verify` have none."""

    ASKED = "asked"  # to be looked for after the delivery
    SEEN = "seen"
    NOT_SEEN = "not_seen"  # looked for often enough


class Outcome(StrEnum):
    """What became of an attempt."""

    UNKNOWN = "unknown"  # the intent was committed, the answer was not: the process died in between
    DELIVERED = "delivered"
    RETRY = "retry"  # not delivered; worth another try
    REJECTED = "rejected"  # not delivered; the destination will never take it
    REMOVED = "removed"  # the destination says that it no longer exists


class Waiting(StrEnum):
    """Why the first delivery of a line is not being sent right now."""

    BACKOFF = "backoff"  # a failed attempt; waits for its due time
    CIRCUIT = "circuit"  # the destination fails for several customers; one probe at a time
    PACE = "pace"  # the operator's rate limit for the destination; waits for a free slot
    PAUSED = "paused"  # the destination is paused until a person resumes it


class NoticeLevel(StrEnum):
    """How bad it is what a notice tells the operator."""

    WARNING = "warning"  # it works, but not as it should, or not for long
    ERROR = "error"  # something does not work until a person mends it


@dataclass(frozen=True, slots=True)
class IncomingEvent:
    """What Asaas said, as the journal keeps it."""

    account: str
    key: str
    """The whole Asaas event id, or `sha256:` and the hash of the canonical body where there is none."""
    name: str
    """The event's name, such as PAYMENT_RECEIVED; any name is kept."""
    entity: str
    """The key of the envelope that holds the object (`payment`, `transfer`, ...), or an empty text."""
    object_id: str
    """The id of that object, or an empty text."""
    subject: str
    """Whose order counts: the customer, else the object, else the entity."""
    created: str
    """Asaas's `dateCreated` (Brasília time, one-second steps), or an empty text."""
    body: str
    """The body exactly as it was posted."""
    received_ms: int
    origin: Origin = Origin.WEBHOOK


def lane_of(account: str, subject: str, lanes: int) -> int:
    """Return the lane (0 to `lanes` - 1) in which all events of this account's subject travel."""
    digest = hashlib.blake2b(f"{account}\x00{subject}".encode(errors="surrogatepass"), digest_size=8).digest()
    return int.from_bytes(digest) % lanes


def idempotency_key(account: str, event_key: str, mapping: str, replay: int) -> str:
    """Return the `Idempotency-Key` that every POST of one delivery carries.

    It is derived, not drawn, so that it survives a journal restored from a backup.
    """
    return hashlib.sha256("\x00".join((account, event_key, mapping, str(replay))).encode()).hexdigest()[:32]


def trace_id(account: str, event_key: str) -> str:
    """Return the id that every log line, span and POST about one event carries: 32 hexadecimal digits.

    As W3C's Trace Context has them. It is derived, so that all processes know it and nothing has to be kept.
    """
    return hashlib.sha256(f"trace\x00{account}\x00{event_key}".encode(errors="surrogatepass")).hexdigest()[:32]


def attempt_span(trace: str, delivery_id: int, number: int) -> str:
    """Return the id of an attempt within its event's trace: 16 hexadecimal digits."""
    return hashlib.sha256(f"span\x00{trace}\x00{delivery_id}\x00{number}".encode()).hexdigest()[:16]


def traceparent(trace: str, delivery_id: int, number: int) -> str:
    """Return the header (W3C Trace Context) with which a destination could join the event's trace."""
    return f"00-{trace}-{attempt_span(trace, delivery_id, number)}-01"


@dataclass(frozen=True, slots=True)
class EventProcessed:
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
class AttemptFinished:
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
