"""One try to send a delivery: the only place from which a payload leaves the bridge.

It is given a delivery whose intent is committed, and returns what the destination said. It writes nothing: the outbox
records the answer under the lane's lease.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Protocol

from bridge.clint import Answer
from bridge.failpoints import reached
from bridge.journal import Lease
from bridge.journal.owed import Owed
from bridge.logs import logger
from bridge.model import Outcome, idempotency_key, trace_id, traceparent

log = logger(__name__)


class Destinations(Protocol):
    """Sends a payload to a webhook URL; never raises for what the network does."""

    def begin(
        self,
        url: str,
        payload: str,
        idempotency_key: str,
        then: Callable[[Answer | None], None],
        *,
        traceparent: str,
        may_go: Callable[[], bool],
    ) -> None:
        """Post JSON text and give `then` the destination's answer, classified; None where `may_go` said no."""
        ...


@dataclass(frozen=True, slots=True)
class Sent:
    """A delivery, the number and fence of the attempt, and what came back (None: nothing was sent)."""

    owed: Owed
    number: int
    fence: int
    answer: Answer | None


def begin(
    client: Destinations,
    urls: Mapping[str, str],
    owed: Owed,
    lease: Lease,
    then: Callable[[Sent], None],
    *,
    longest_ms: int,
    clock_ms: Callable[[], int],
) -> None:
    """Begin to send one delivery; `then` is given the answer, in a thread that must not wait.

    Nothing is sent where the lease could run out before the answer is in. Without that look, a process that slept (a
    suspended machine, a debugger) between the commit of the intent and the send could send at the same time as the
    worker that took its lane over. A fault of ours is an answer too, whatever it is: raised, it would cost the answers
    of all other sends of the lane, and this delivery would count as in flight for ever.
    """
    number = owed.attempts + 1

    def may_go() -> bool:
        if clock_ms() + longest_ms > lease.until_ms:
            return False
        reached("deliver.before_send")
        return True

    def told(answer: Answer | None) -> None:
        if answer is not None:
            reached("deliver.after_send")
        then(Sent(owed, number, lease.fence, answer))

    try:
        key = idempotency_key(owed.account, owed.event_key, owed.mapping, owed.replay)
        parent = traceparent(trace_id(owed.account, owed.event_key), owed.id, number)
        client.begin(urls[owed.destination], owed.payload, key, told, traceparent=parent, may_go=may_go)
    except Exception as error:
        detail = f"the bridge failed to send ({type(error).__name__}); the log has the details"
        told(Answer(Outcome.RETRY, None, "bridge.fault", detail, None, 0, ""))
        log.exception("delivery.fault", delivery_id=owed.id, event_id=owed.event_id, attempt=number)
