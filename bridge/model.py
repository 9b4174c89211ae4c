"""The nouns of the bridge and their states.

Asaas posts *events*; a *delivery* is one payload for one destination; an *attempt* is one try to send it. `TRANSITIONS`
is the only list of legal changes of a delivery's state. Names that end in `_ms` hold milliseconds since the Unix epoch.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum

from bridge.messages import N_, Message

_OBJECTS = {
    "customer": N_("customer"),
    "payment": N_("payment"),
    "subscription": N_("subscription"),
    "installment": N_("instalment plan"),
    "webhook": N_("webhook"),
}


def object_name(name: str) -> Message:
    """Return what an object of Asaas is called, for a sentence in the reader's language."""
    return Message(_OBJECTS.get(name, name))


def of_account(account: str, request: str = "") -> Message:
    """Return where an error comes from: an account, and what was asked of it."""
    if request:
        return Message(N_("{request}, account {account}"), {"request": request, "account": account})
    return Message(N_("account {account}"), {"account": account})


class EventState(StrEnum):
    RECEIVED = "received"  # no mapping has judged it yet
    PROCESSED = "processed"  # every mapping has judged it; its deliveries exist


class Origin(StrEnum):
    WEBHOOK = "webhook"  # Asaas posted it
    BACKFILL = "backfill"  # made from the API's data, because it never came


class DeliveryState(StrEnum):
    PENDING = "pending"  # due, without an attempt
    SENDING = "sending"  # an attempt is committed, its result is not
    RETRYING = "retrying"  # an attempt failed, the next one comes
    DELIVERED = "delivered"  # the destination answered 2xx
    FILTERED = "filtered"  # a condition of the mapping said no: nothing is sent
    STALE = "stale"  # a newer event of the same charge was already delivered: nothing is sent
    DEAD = "dead"  # failed for good, with a reason; a person may retry, replay or discard it
    DISCARDED = "discarded"  # a person or a replay took it out, or its deal was removed in Clint


_S = DeliveryState
FINISHED = frozenset({_S.DELIVERED, _S.FILTERED, _S.STALE, _S.DEAD, _S.DISCARDED})
"""States that free the line for the next delivery of the same customer."""
NOT_SENT = frozenset({_S.FILTERED, _S.STALE, _S.DISCARDED})
"""States of a replay that take nothing back: what the mapping delivered of the event before still stands."""

DISCARDABLE = frozenset({_S.PENDING, _S.RETRYING, _S.DEAD})
"""The states from which a person or a replay may discard a delivery."""

TRANSITIONS: Mapping[DeliveryState, frozenset[DeliveryState]] = {
    _S.PENDING: frozenset({_S.SENDING, _S.STALE, _S.DEAD, _S.DISCARDED}),
    # Discarded: there is nothing left to do, such as for a deal that was removed in Clint.
    _S.SENDING: frozenset({_S.DELIVERED, _S.RETRYING, _S.DEAD, _S.DISCARDED}),
    _S.RETRYING: frozenset({_S.SENDING, _S.STALE, _S.DEAD, _S.DISCARDED}),
    # Only a person's retry, which sends the same payload again, or a discard leads out of these two.
    _S.DEAD: frozenset({_S.PENDING, _S.DISCARDED}),
    _S.STALE: frozenset({_S.PENDING}),
    _S.DELIVERED: frozenset(),
    _S.FILTERED: frozenset(),
    _S.DISCARDED: frozenset(),
}


class ReadBack(StrEnum):
    """The state of the read-back of a delivery; only mappings with `verify` have one."""

    ASKED = "asked"
    SEEN = "seen"
    NOT_SEEN = "not_seen"  # after the last look


class Outcome(StrEnum):
    UNKNOWN = "unknown"  # the process died before it committed the answer
    DELIVERED = "delivered"
    RETRY = "retry"  # not delivered; another attempt may succeed
    REJECTED = "rejected"  # not delivered; the destination will never take it
    REMOVED = "removed"  # the destination no longer exists, or lets nothing in
    POSTPONED = "postponed"  # not delivered; something of the bridge must be over first, so the try does not count
    DISCARDED = "discarded"  # not delivered, and nothing is left to do


class Waiting(StrEnum):
    """Why the first delivery of a line waits."""

    BACKOFF = "backoff"  # an attempt failed; it waits for its due time
    CIRCUIT = "circuit"  # the destination fails for several customers; one probe at a time
    PACE = "pace"  # the rate limit of the destination has no free slot
    PAUSED = "paused"  # the destination is paused until a person resumes it


class NoticeLevel(StrEnum):
    WARNING = "warning"  # it works, but not well or not for long
    ERROR = "error"  # it does not work until a person fixes it


@dataclass(frozen=True, slots=True)
class IncomingEvent:
    """An event of Asaas in the form of the journal."""

    account: str
    key: str
    """Asaas's event id, or `sha256:` and the hash of the canonical body where there is none."""
    name: str
    """Such as PAYMENT_RECEIVED; any name is kept."""
    entity: str
    """The key of the envelope that holds the object (`payment`, `transfer`, ...), or an empty text."""
    object_id: str
    subject: str
    """Events of one subject keep their order: the customer, else the object, else the entity."""
    created: str
    """Asaas's `dateCreated` (Brasília time, one-second steps), or an empty text."""
    body: str
    """Exactly as posted."""
    received_ms: int
    origin: Origin = Origin.WEBHOOK


def lane_of(account: str, subject: str, lanes: int) -> int:
    """Return the lane (0 to `lanes` - 1) of all events of an account's subject."""
    digest = hashlib.blake2b(f"{account}\x00{subject}".encode(errors="surrogatepass"), digest_size=8).digest()
    return int.from_bytes(digest) % lanes


def idempotency_key(account: str, event_key: str, mapping: str, replay: int) -> str:
    """Return the `Idempotency-Key` of every POST of one delivery; the same also after a restore from a backup."""
    return hashlib.sha256("\x00".join((account, event_key, mapping, str(replay))).encode()).hexdigest()[:32]


def trace_id(account: str, event_key: str) -> str:
    """Return the trace id (W3C Trace Context) of every log line, span and POST of one event: 32 hexadecimal digits.

    It is derived from the event, so that every process knows it.
    """
    return hashlib.sha256(f"trace\x00{account}\x00{event_key}".encode(errors="surrogatepass")).hexdigest()[:32]


def attempt_span(trace: str, delivery_id: int, number: int) -> str:
    """Return the span id of an attempt: 16 hexadecimal digits."""
    return hashlib.sha256(f"span\x00{trace}\x00{delivery_id}\x00{number}".encode()).hexdigest()[:16]


def traceparent(trace: str, delivery_id: int, number: int) -> str:
    """Return the header (W3C Trace Context) by which a destination may join the event's trace."""
    return f"00-{trace}-{attempt_span(trace, delivery_id, number)}-01"


@dataclass(frozen=True, slots=True)
class EventProcessed:
    """A report: every mapping has judged the event."""

    event_id: int
    trace_id: str
    account: str
    name: str
    began_ms: int
    ended_ms: int
    verdicts: Mapping[str, str] = field(default_factory=dict)
    """A value of `DeliveryState` by mapping."""


@dataclass(frozen=True, slots=True)
class AttemptFinished:
    """A report: the result of an attempt is committed."""

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
    """Of the delivery, after the attempt."""
    duration_ms: int
    ended_ms: int
    received_ms: int
    created: str
    """Asaas's `dateCreated`, or an empty text."""
    replay: int = 0
    """The number of the replay that made the delivery, 0 for none."""
