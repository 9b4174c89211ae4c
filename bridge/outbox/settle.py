"""After the send: records attempts' answers, and what they mean for the deliveries and for their destinations.

It is given a transaction that holds the lanes. It must never lead to a second send of what was answered.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace

from sqlalchemy import Connection

from bridge.clint import Answer
from bridge.delivery import circuit, retry
from bridge.delivery.attempt import Sent
from bridge.failpoints import reached
from bridge.journal import deliveries, destinations, notices
from bridge.journal.destinations import Destination
from bridge.journal.notices import Mended
from bridge.journal.owed import Ended, Step
from bridge.logs import logger
from bridge.model import DeliveryState, Outcome, trace_id
from bridge.observing import Attempted, Observer

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

    def settle(self, connection: Connection, landed: Sequence[Sent], known: dict[str, Destination]) -> list[Ended]:
        """Record answers, move the deliveries on and tell their destinations' circuits; return what was recorded.

        `known` has the destinations, and afterwards their new states.
        """
        now_ms = self._clock_ms()
        ended = [self._ended(sent, now_ms) for sent in landed]
        deliveries.record(connection, ended)
        answers: dict[str, list[tuple[str, Answer]]] = {}
        for sent in landed:
            if sent.answer is not None:
                subject = f"{sent.owed.account} {sent.owed.subject}"
                answers.setdefault(sent.owed.destination, []).append((subject, sent.answer))
        # In one order in all workers: this locks destinations, and two must not wait for each other.
        for name in sorted(answers):
            known[name] = self._told(connection, known[name], answers[name], now_ms)
        if ended:
            reached("deliver.outcome_before_commit")
        return ended

    def _ended(self, sent: Sent, now_ms: int) -> Ended:
        owed, answer = sent.owed, sent.answer or NOT_SENT
        if sent.answer is None:
            # Nothing left the bridge: due at once, for whoever holds the lane next; the destination has no part in it.
            decision = retry.Decision(DeliveryState.RETRYING, now_ms, code=answer.code, reason=answer.detail)
        else:
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
        return Ended(
            step,
            sent.number,
            answer.outcome,
            answer.status,
            answer.code,
            answer.detail,
            answer.excerpt,
            answer.duration_ms,
        )

    def _told(
        self, connection: Connection, before: Destination, answers: Sequence[tuple[str, Answer]], now_ms: int
    ) -> Destination:
        after = before
        for subject, answer in answers:
            if answer.outcome is Outcome.REMOVED:
                destinations.pause(connection, before.name, answer.detail, now_ms)
                log.warning("destination.paused", destination=before.name, code=answer.code)
                before = replace(before, paused_ms=now_ms, paused_reason=answer.detail)
                after = replace(after, paused_ms=now_ms, paused_reason=answer.detail)
                continue
            state = after.state
            after = circuit.after(
                after,
                self._limits,
                outcome=answer.outcome,
                subject=subject,
                retry_after_s=answer.retry_after_s,
                now_ms=now_ms,
                rng=self._rng,
            )
            if after.state != state:
                log.warning("destination.circuit", destination=before.name, state=after.state, opens=after.opens)
                if after.state == "closed":
                    notices.apply(connection, [Mended(destinations.NOTICES[1], before.name)], now_ms)
        destinations.save(connection, before, after)
        return after


def say(ended: Sequence[Ended], known: Mapping[str, Destination], observer: Observer) -> None:
    """Log one record for each attempt that ended, and tell the observer."""
    for end in ended:
        step, owed = end.step, end.step.delivery
        trace = trace_id(owed.account, owed.event_key)
        observer.attempted(_attempted(end, trace))
        log.info(
            "delivery.attempted",
            trace=trace,
            delivery_id=owed.id,
            event_id=owed.event_id,
            mapping=owed.mapping,
            destination=owed.destination,
            attempt=end.number,
            outcome=end.outcome.value,
            code=end.code,
            status=end.status,
            duration_ms=end.duration_ms,
            state=step.to.value,
            due_ms=step.due_ms,
            circuit=known[owed.destination].state,
            after_ms=step.now_ms - owed.received_ms,
        )


def _attempted(end: Ended, trace: str) -> Attempted:
    step, owed = end.step, end.step.delivery
    return Attempted(
        delivery_id=owed.id,
        event_id=owed.event_id,
        trace_id=trace,
        destination=owed.destination,
        mapping=owed.mapping,
        number=end.number,
        outcome=end.outcome.value,
        code=end.code,
        status=end.status,
        state=step.to.value,
        duration_ms=end.duration_ms,
        ended_ms=step.now_ms,
        received_ms=owed.received_ms,
        created=owed.order_at,
        replay=owed.replay,
    )
