"""After the send: records an attempt's answer, and what it means for the delivery and for its destination.

It is given a transaction that holds the lane. It must never lead to a second send of what was answered.
"""

from __future__ import annotations

from collections.abc import Callable

from sqlalchemy import Connection

from bridge.clint import Answer
from bridge.delivery import circuit, retry
from bridge.delivery.attempt import Sent
from bridge.journal import deliveries, destinations
from bridge.journal.owed import Step
from bridge.logs import logger
from bridge.model import DeliveryState, Outcome

log = logger(__name__)

NOT_SENT = Answer(
    outcome=Outcome.RETRY,
    status=None,
    code="attempt.not_sent",
    detail="not sent: the lane's lease was about to run out",
    retry_after_s=None,
    duration_ms=0,
    excerpt="",
)


class Settling:
    """Records answers."""

    def __init__(
        self,
        policy: retry.Policy,
        limits: circuit.Limits,
        clock_ms: Callable[[], int],
        rng: Callable[[], float],
    ) -> None:
        self._policy = policy
        self._limits = limits
        self._clock_ms = clock_ms
        self._rng = rng

    def settle(self, connection: Connection, sent: Sent) -> None:
        """Record one answer, move the delivery on and tell its destination's circuit."""
        owed, now_ms = sent.owed, self._clock_ms()
        if sent.answer is None:
            # Nothing left the bridge: due at once, for whoever holds the lane next; the destination has no part in it.
            step = Step(owed, DeliveryState.RETRYING, now_ms, due_ms=now_ms, code=NOT_SENT.code, reason=NOT_SENT.detail)
            _record(connection, step, sent.number, NOT_SENT)
            return
        answer = sent.answer
        decision = retry.decide(
            self._policy,
            outcome=answer.outcome,
            attempt=sent.number - owed.forgiven,
            code=answer.code,
            detail=answer.detail,
            retry_after_s=answer.retry_after_s,
            now_ms=now_ms,
            rng=self._rng,
        )
        step = Step(owed, decision.state, now_ms, decision.due_ms, decision.waiting, decision.code, decision.reason)
        _record(connection, step, sent.number, answer)
        state = self._tell_destination(connection, sent, answer, now_ms)
        log.info(
            "delivery.attempted",
            delivery_id=owed.id,
            event_id=owed.event_id,
            mapping=owed.mapping,
            destination=owed.destination,
            attempt=sent.number,
            outcome=answer.outcome.value,
            code=answer.code,
            status=answer.status,
            duration_ms=answer.duration_ms,
            state=decision.state.value,
            due_ms=decision.due_ms,
            circuit=state,
        )

    def _tell_destination(self, connection: Connection, sent: Sent, answer: Answer, now_ms: int) -> str:
        owed = sent.owed
        before = destinations.load(connection, [owed.destination])[owed.destination]
        if answer.outcome is Outcome.REMOVED:
            destinations.pause(connection, owed.destination, answer.detail, now_ms)
            log.warning("destination.paused", destination=owed.destination, code=answer.code)
            return before.state
        after = circuit.after(
            before,
            self._limits,
            outcome=answer.outcome,
            subject=f"{owed.account} {owed.subject}",
            retry_after_s=answer.retry_after_s,
            now_ms=now_ms,
            rng=self._rng,
        )
        destinations.save(connection, before, after)
        if after.state != before.state:
            log.warning("destination.circuit", destination=owed.destination, state=after.state, opens=after.opens)
        return after.state


def _record(connection: Connection, step: Step, number: int, answer: Answer) -> None:
    deliveries.record(
        connection,
        step,
        number,
        answer.outcome,
        status=answer.status,
        code=answer.code,
        detail=answer.detail,
        excerpt=answer.excerpt,
        duration_ms=answer.duration_ms,
    )
