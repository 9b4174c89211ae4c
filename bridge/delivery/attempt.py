"""One try to send a delivery: the only place from which a payload leaves the bridge.

It is given a delivery whose intent is committed, and returns what the destination said. It writes nothing: the outbox
records the answer under the lane's lease.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Protocol

from bridge.clint import Answer
from bridge.failpoints import reached
from bridge.journal import Lease
from bridge.journal.owed import Owed
from bridge.logs import logger
from bridge.model import Outcome, idempotency_key, trace_id, traceparent

log = logger(__name__)


class Destinations(Protocol):
    """Sends a payload to a webhook URL; never raises for what the network does."""

    def send(self, url: str, payload: dict[str, Any], idempotency_key: str, *, traceparent: str) -> Answer:
        """Return the destination's answer, classified."""
        ...


@dataclass(frozen=True, slots=True)
class Sent:
    """A delivery, the number and fence of the attempt, and what came back (None: nothing was sent)."""

    owed: Owed
    number: int
    fence: int
    answer: Answer | None


def make(
    client: Destinations, url: str, owed: Owed, lease: Lease, *, longest_ms: int, clock_ms: Callable[[], int]
) -> Sent:
    """Send one delivery and return the answer; send nothing where the lease could run out before the answer is in.

    Without that look, a process that slept (a suspended machine, a debugger) between the commit of the intent and the
    send could send at the same time as the worker that took its lane over. A fault of ours is an answer too: raised, it
    would cost the answers of all other sends of the lane.
    """
    number = owed.attempts + 1
    if clock_ms() + longest_ms > lease.until_ms:
        return Sent(owed, number, lease.fence, None)
    key = idempotency_key(owed.account, owed.event_key, owed.mapping, owed.replay)
    parent = traceparent(trace_id(owed.account, owed.event_key), owed.id, number)
    reached("deliver.before_send")
    try:
        answer = client.send(url, json.loads(owed.payload), key, traceparent=parent)
    except Exception as error:
        log.exception("delivery.fault", delivery_id=owed.id, event_id=owed.event_id, attempt=number)
        detail = f"the bridge failed to send ({type(error).__name__}); the log has the details"
        answer = Answer(Outcome.RETRY, None, "bridge.fault", detail, None, 0, "")
    reached("deliver.after_send")
    return Sent(owed, number, lease.fence, answer)
