"""Sends what a lane owes: intent committed, POST, outcome committed; many at once, one of each line.

It is given a lease and works until nothing is due, its time is over or it is told to stop; then it waits for what is
in flight and records it. One transaction records the answers that came in and claims what is due next, so that a commit
is shared by many deliveries. An outcome that can't be written down is tried until it can: sending again is the last
resort, and only for another owner of the lane.
"""

from __future__ import annotations

import random
import time
from collections.abc import Callable, Mapping
from concurrent.futures import FIRST_COMPLETED, Executor, Future, wait
from dataclasses import dataclass

from sqlalchemy import Connection

from bridge.delivery import attempt, circuit, retry
from bridge.delivery.attempt import Sent
from bridge.errors import JournalError
from bridge.journal import Journal, Lease, deliveries, destinations
from bridge.journal.deliveries import NewDelivery, Owed, Step
from bridge.journal.destinations import Destination
from bridge.logs import logger
from bridge.model import DeliveryState, Outcome, Waiting

log = logger(__name__)

UNSET_LOOK_MS = 60_000
"""A delivery for a destination that the environment does not name is looked at again after a minute."""
_RENEW_S = 2.0
_CLAIM_ROUNDS = 8  # a transaction that puts off a long row of heads gives way to others after so many looks
_WRITE_AGAIN_S = 0.5
_WRITE_TRIES_AT_END = 20  # a worker that is asked to stop does not wait for the database for ever


@dataclass(frozen=True, slots=True)
class Rules:
    """How the outbox sends, from the settings."""

    policy: retry.Policy
    limits: circuit.Limits
    in_flight: int
    longest_send_ms: int


class Outbox:
    """The sending half of a drain."""

    def __init__(
        self,
        journal: Journal,
        client: attempt.Destinations,
        urls: Mapping[str, str],
        rules: Rules,
        pool: Executor,
        clock_ms: Callable[[], int],
        rng: Callable[[], float] = random.random,
    ) -> None:
        self._journal = journal
        self._client = client
        self._urls = urls
        self._rules = rules
        self._pool = pool
        self._clock_ms = clock_ms
        self._rng = rng

    def run(self, lease: Lease, until_ms: int, stopping: Callable[[], bool]) -> bool:
        """Send what is due in the leased lane; return whether anything was sent or settled.

        Raises LeaseLost where another worker took the lane over.
        """
        flights: set[Future[Sent]] = set()
        landed: list[Sent] = []
        moved = False
        try:
            while True:
                room = 0 if stopping() or self._clock_ms() >= until_ms else self._rules.in_flight - len(flights)
                claimed, more = self._write(lease, landed, room, must=bool(landed or flights), stopping=stopping)
                moved = moved or bool(claimed) or bool(landed)
                flights |= {self._pool.submit(self._send, owed, lease) for owed in claimed}
                if not flights and not more:
                    return moved
                done, flights = wait(flights, _RENEW_S, FIRST_COMPLETED)
                landed = [future.result() for future in done]
        finally:
            # The lane must not be given back while something is on its way: its next owner would send it again at once.
            wait(flights)

    def _send(self, owed: Owed, lease: Lease) -> Sent:
        return attempt.make(
            self._client,
            self._urls[owed.destination],
            owed,
            lease,
            longest_ms=self._rules.longest_send_ms,
            clock_ms=self._clock_ms,
        )

    def _write(
        self, lease: Lease, landed: list[Sent], room: int, *, must: bool, stopping: Callable[[], bool]
    ) -> tuple[list[Owed], bool]:
        tries = 0
        while True:
            try:
                with self._journal.lanes.hold(lease, self._clock_ms()) as connection:
                    for sent in landed:
                        self._settle(connection, sent)
                    return self._claim(connection, lease, room) if room > 0 else ([], False)
            except JournalError as error:
                tries += 1
                if not must or (stopping() and tries > _WRITE_TRIES_AT_END):
                    raise
                # The database is away and these were sent: keep the answers until they can be written down.
                log.error("delivery.not_recorded", lane=lease.lane, deliveries=len(landed), error=str(error))
                time.sleep(_WRITE_AGAIN_S)

    # ------------------------------------------------------------ before the send

    def _claim(self, connection: Connection, lease: Lease, room: int) -> tuple[list[Owed], bool]:
        """Commit-to-be: choose up to `room` deliveries to send; also return whether more may be due."""
        claimed: list[Owed] = []
        for _ in range(_CLAIM_ROUNDS):
            now_ms = self._clock_ms()
            rows = deliveries.due(connection, lease.lane, now_ms, room - len(claimed))
            if not rows:
                return claimed, False
            known = destinations.load(connection, {owed.destination for owed in rows})
            newest = deliveries.newest_delivered(connection, rows)
            go = []
            for owed in rows:
                if self._may_go(connection, owed, known, newest, now_ms):
                    go.append(owed)
            deliveries.start(connection, go, lease.fence, now_ms)
            claimed += go
            if len(claimed) == room:
                return claimed, True
        return claimed, True

    def _may_go(
        self,
        connection: Connection,
        owed: Owed,
        known: dict[str, Destination],
        newest: Mapping[tuple[str, str, str], tuple[str, int]],
        now_ms: int,
    ) -> bool:
        destination = known.get(owed.destination)
        if destination is None or owed.destination not in self._urls:
            reason = f"no URL is set for the destination {owed.destination}"
            deliveries.put_off(connection, owed, now_ms + UNSET_LOOK_MS, Waiting.PAUSED, "destination.not_set", reason)
        elif destination.paused_ms is not None:
            reason = f"the destination {owed.destination} is paused: {destination.paused_reason}"
            deliveries.put_off(
                connection, owed, now_ms + retry.PAUSE_LOOK_MS, Waiting.PAUSED, "destination.paused", reason
            )
        elif is_stale(owed, newest.get((owed.account, owed.object_id, owed.line))):
            at = newest[owed.account, owed.object_id, owed.line][0]
            reason = f"an event of {at} was already delivered for this charge"
            self._move(connection, owed, Step(owed, DeliveryState.STALE, now_ms, code="delivery.stale", reason=reason))
        elif owed.attempts - owed.forgiven >= self._rules.policy.attempts:
            reason = f"the outcome of try {owed.attempts}, the last, is unknown"
            step = Step(owed, DeliveryState.DEAD, now_ms, code="delivery.attempts_spent", reason=reason)
            self._move(connection, owed, step)
        else:
            return self._circuit_lets(connection, owed, destination, known, now_ms)
        return False

    def _circuit_lets(
        self, connection: Connection, owed: Owed, destination: Destination, known: dict[str, Destination], now_ms: int
    ) -> bool:
        gate = circuit.gate(destination, self._rules.limits, now_ms)
        if gate.probe is not None and destinations.save(connection, destination, gate.probe):
            known[owed.destination] = gate.probe
            return True
        if gate.probe is None and gate.open_until_ms is None:
            return True
        # Spread over a second: when the circuit closes, the lines behind it do not all come at once.
        due_ms = max(gate.open_until_ms or 0, now_ms) + int(1000 * self._rng())
        reason = f"the destination {owed.destination} fails for several customers; it is probed until it answers"
        deliveries.put_off(connection, owed, due_ms, Waiting.CIRCUIT, "destination.circuit_open", reason)
        return False

    def _move(self, connection: Connection, owed: Owed, step: Step) -> None:
        deliveries.move(connection, step, owed.state)
        log.info("delivery.ended", delivery_id=owed.id, event_id=owed.event_id, state=step.to.value, code=step.code)

    # ------------------------------------------------------------ after the send

    def _settle(self, connection: Connection, sent: Sent) -> None:
        owed, answer, now_ms = sent.owed, sent.answer, self._clock_ms()
        if answer is None:
            # Nothing left the bridge: the lease was too near its end. Due at once, for whoever holds the lane next.
            step = Step(owed, DeliveryState.RETRYING, now_ms, due_ms=now_ms, code="attempt.not_sent", reason="not sent")
            deliveries.record(
                connection,
                step,
                sent.number,
                Outcome.RETRY,
                status=None,
                code="attempt.not_sent",
                detail="not sent: the lane's lease was about to run out",
                excerpt="",
                duration_ms=0,
            )
            return
        decision = retry.decide(
            self._rules.policy,
            outcome=answer.outcome,
            attempt=sent.number - owed.forgiven,
            code=answer.code,
            detail=answer.detail,
            retry_after_s=answer.retry_after_s,
            now_ms=now_ms,
            rng=self._rng,
        )
        step = Step(owed, decision.state, now_ms, decision.due_ms, decision.waiting, decision.code, decision.reason)
        deliveries.record(
            connection,
            step,
            sent.number,
            answer.outcome,
            status=answer.status,
            code=answer.code,
            detail=answer.detail,
            excerpt=answer.excerpt,
            duration_ms=answer.duration_ms,
        )
        state = self._settle_destination(connection, sent, now_ms)
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

    def _settle_destination(self, connection: Connection, sent: Sent, now_ms: int) -> str:
        owed, answer = sent.owed, sent.answer
        before = destinations.load(connection, [owed.destination]).get(owed.destination)
        if before is None or answer is None:
            return "unknown"
        if answer.outcome is Outcome.REMOVED:
            destinations.pause(connection, owed.destination, answer.detail, now_ms)
            log.warning("destination.paused", destination=owed.destination, code=answer.code)
            return before.state
        after = circuit.after(
            before,
            self._rules.limits,
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


def is_stale(owed: Owed | NewDelivery, newest: tuple[str, int] | None) -> bool:
    """Return whether a newer event of the same charge was already delivered in this line.

    Asaas stamps events in steps of one second; within a second only the order of its documented flows tells (rank 0 is
    in no flow, and never stale in a tie).
    """
    if newest is None or not owed.skip_stale or not owed.order_at:
        return False
    at, rank = newest
    return at > owed.order_at or (at == owed.order_at and 0 < owed.order_rank < rank)
