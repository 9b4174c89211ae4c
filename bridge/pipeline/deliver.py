"""Sends what lanes owe: intent committed, POST, outcome committed; many at once, one of each line.

It is given leases, turn by turn. One transaction of a turn records the answers that came in and claims what is due
next, so that a commit is shared by many deliveries of many lanes; then what was claimed is handed to the client, whose
own thread sends. An outcome that can't be written down is tried until it can: sending again is the last resort, and
only for another owner of the lane.
"""

from __future__ import annotations

import random
import time
from collections import Counter
from collections.abc import Callable, Collection, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field, replace
from queue import Empty, SimpleQueue
from typing import Protocol

from sqlalchemy import Connection

from bridge.clint.webhook import Answer
from bridge.failpoints import failpoint
from bridge.journal import Journal, Lease, deliveries, destinations, is_away, notices
from bridge.journal.deliveries import AttemptResult, Deferral, DueDelivery, StateChange
from bridge.journal.destinations import Destination
from bridge.journal.notices import Resolved
from bridge.logs import log_batch, logger
from bridge.model import AttemptFinished, DeliveryState, Outcome, Waiting, idempotency_key, trace_id, traceparent
from bridge.pipeline import policy
from bridge.pipeline.policy import FairShares, is_stale
from bridge.settings import Settings
from bridge.telemetry import NO_TELEMETRY, Telemetry

log = logger(__name__)

UNSET_LOOK_MS = 60_000
"""A delivery for a destination that the environment does not name is looked at again after a minute."""
_ROUNDS = 8  # a transaction that puts off a long row of heads gives way to others after so many looks

Pacing = Callable[[str, str, int], int | None]
"""(Destination, account, now) -> when to ask again, None where a delivery may go now."""


def unpaced(_destination: str, _account: str, _now_ms: int) -> int | None:
    """No limit."""
    return None


Newest = Mapping[tuple[str, str, str], tuple[str, int]]
"""(Account, object, line) -> time and rank of the newest event that was delivered."""


@dataclass(slots=True)
class Selection:
    """What became of due deliveries."""

    go: list[DueDelivery] = field(default_factory=list)
    """To be sent; their intents are written."""
    ended: list[StateChange] = field(default_factory=list)
    """Stale, or at their last try."""
    deferred: list[Deferral] = field(default_factory=list)
    more: bool = False
    """Whether more may be due."""


class Selector:
    """Chooses deliveries to send."""

    def __init__(
        self,
        urls: Collection[str],
        policy: policy.RetryPolicy,
        limits: policy.CircuitLimits,
        clock_ms: Callable[[], int],
        rng: Callable[[], float],
        pace: Pacing,
    ) -> None:
        self._urls = urls
        self._policy = policy
        self._limits = limits
        self._clock_ms = clock_ms
        self._rng = rng
        self._pace = pace

    def select(
        self,
        connection: Connection,
        leases: Sequence[Lease],
        room: int,
        shares: FairShares,
        known: dict[str, Destination],
    ) -> Selection:
        """Commit-to-be: choose up to `room` deliveries to send, and note them in `shares`, which bound them.

        `known` has the destinations, and afterwards the new state of those that are being probed.
        """
        fences = {lease.lane: lease.fence for lease in leases}
        claimed = Selection(more=bool(leases) and room > 0)
        rounds = 0
        while claimed.more and len(claimed.go) < room and rounds < _ROUNDS:
            now_ms = self._clock_ms()
            full = (shares.full_destinations, shares.full_accounts)
            rows, more = deliveries.due(connection, fences, now_ms, room - len(claimed.go), *full)
            newest = deliveries.newest_delivered(connection, rows)
            chosen = Selection()
            for owed in rows:
                self._choose(connection, owed, chosen, shares, known, newest, now_ms)
            deliveries.defer(connection, chosen.deferred)
            deliveries.move(connection, [(step, step.delivery.state) for step in chosen.ended])
            deliveries.start(connection, chosen.go, fences, now_ms)
            if chosen.go:
                failpoint("deliver.intent_before_commit")
            claimed.go += chosen.go
            claimed.ended += chosen.ended
            claimed.deferred += chosen.deferred
            # What stood behind those that ended is due now; what stood behind a share that is full now was not read.
            newly_full = (shares.full_destinations, shares.full_accounts) != full
            claimed.more = more or bool(chosen.ended) or newly_full
            rounds += 1
        return claimed

    def _choose(
        self,
        connection: Connection,
        owed: DueDelivery,
        chosen: Selection,
        shares: FairShares,
        known: dict[str, Destination],
        newest: Newest,
        now_ms: int,
    ) -> None:
        destination = known.get(owed.destination)
        if destination is None or owed.destination not in self._urls:
            reason = f"no URL is set for the destination {owed.destination}"
            chosen.deferred.append(
                Deferral(owed, now_ms + UNSET_LOOK_MS, Waiting.PAUSED, "destination.not_set", reason)
            )
        elif destination.paused_ms is not None:
            reason = f"the destination {owed.destination} is paused: {destination.paused_reason}"
            chosen.deferred.append(
                Deferral(owed, now_ms + policy.PAUSE_LOOK_MS, Waiting.PAUSED, "destination.paused", reason)
            )
        elif is_stale(owed, newest.get((owed.account, owed.object_id, owed.line))):
            at = newest[owed.account, owed.object_id, owed.line][0]
            reason = f"an event of {at} was already delivered for this charge"
            chosen.ended.append(StateChange(owed, DeliveryState.STALE, now_ms, code="delivery.stale", reason=reason))
        elif owed.attempts - owed.forgiven >= self._policy.attempts:
            reason = f"the outcome of try {owed.attempts}, the last, is unknown"
            chosen.ended.append(
                StateChange(owed, DeliveryState.DEAD, now_ms, code="delivery.attempts_spent", reason=reason)
            )
        elif not shares.allow(owed):
            return  # as due as before: the next round, or the next answer, sees to it
        elif (free_ms := self._pace(owed.destination, owed.account, now_ms)) is not None:
            reason = f"the rate limit of the destination {owed.destination} has no free slot"
            chosen.deferred.append(Deferral(owed, free_ms, Waiting.PACE, "destination.rate_limit", reason))
        else:
            self._ask_circuit(connection, owed, chosen, shares, destination, known, now_ms)

    def _ask_circuit(
        self,
        connection: Connection,
        owed: DueDelivery,
        chosen: Selection,
        shares: FairShares,
        destination: Destination,
        known: dict[str, Destination],
        now_ms: int,
    ) -> None:
        gate = policy.circuit_gate(destination, self._limits, now_ms)
        if gate.probe is not None and destinations.save(connection, destination, gate.probe):
            known[owed.destination] = gate.probe
            chosen.go.append(owed)
            shares.take(owed)
        elif gate.probe is None and gate.open_until_ms is None:
            chosen.go.append(owed)
            shares.take(owed)
        else:
            # Spread over a second: when the circuit closes, the lines behind it do not all come at once.
            due_ms = max(gate.open_until_ms or 0, now_ms) + int(1000 * self._rng())
            reason = f"the destination {owed.destination} fails for several customers; it is probed until it answers"
            chosen.deferred.append(Deferral(owed, due_ms, Waiting.CIRCUIT, "destination.circuit_open", reason))


def log_selection(ended: Sequence[StateChange], observer: Telemetry) -> None:
    """Log one record for each delivery that ended without being sent, and tell the observer."""
    for step in ended:
        owed = step.delivery
        observer.ended(owed.destination, step.to.value)
        log.info(
            "delivery.ended",
            trace=trace_id(owed.account, owed.event_key),
            delivery_id=owed.id,
            event_id=owed.event_id,
            state=step.to.value,
            code=step.code,
        )


class Destinations(Protocol):
    """Sends a payload to a webhook URL; never raises for what the network does."""

    def send_later(
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
class SendResult:
    """A delivery, the number and fence of the attempt, and what came back (None: nothing was sent)."""

    delivery: DueDelivery
    number: int
    fence: int
    answer: Answer | None


def send(
    client: Destinations,
    urls: Mapping[str, str],
    owed: DueDelivery,
    lease: Lease,
    then: Callable[[SendResult], None],
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
        failpoint("deliver.before_send")
        return True

    def told(answer: Answer | None) -> None:
        if answer is not None:
            failpoint("deliver.after_send")
        then(SendResult(owed, number, lease.fence, answer))

    try:
        key = idempotency_key(owed.account, owed.event_key, owed.mapping, owed.replay)
        parent = traceparent(trace_id(owed.account, owed.event_key), owed.id, number)
        client.send_later(urls[owed.destination], owed.payload, key, told, traceparent=parent, may_go=may_go)
    except Exception as error:
        detail = f"the bridge failed to send ({type(error).__name__}); the log has the details"
        told(Answer(Outcome.RETRY, None, "bridge.fault", detail, None, 0, ""))
        log.exception("delivery.fault", delivery_id=owed.id, event_id=owed.event_id, attempt=number)


NOT_SENT = Answer(
    outcome=Outcome.RETRY,
    status=None,
    code="attempt.not_sent",
    detail="not sent: the lane's lease was about to run out",
    retry_after_s=None,
    duration_ms=0,
    excerpt="",
)


class Recorder:
    """Records answers."""

    def __init__(
        self,
        policy: policy.RetryPolicy,
        limits: policy.CircuitLimits,
        clock_ms: Callable[[], int],
        rng: Callable[[], float],
    ) -> None:
        self._policy = policy
        self._limits = limits
        self._clock_ms = clock_ms
        self._rng = rng

    def record(
        self, connection: Connection, landed: Sequence[SendResult], known: dict[str, Destination]
    ) -> list[AttemptResult]:
        """Record answers, move the deliveries on and tell their destinations' circuits; return what was recorded.

        `known` has the destinations, and afterwards their new states.
        """
        now_ms = self._clock_ms()
        ended = [self._ended(sent, now_ms) for sent in landed]
        deliveries.record(connection, ended)
        answers: dict[str, list[tuple[str, Answer]]] = {}
        for sent in landed:
            if sent.answer is not None:
                subject = f"{sent.delivery.account} {sent.delivery.subject}"
                answers.setdefault(sent.delivery.destination, []).append((subject, sent.answer))
        # In one order in all workers: this locks destinations, and two must not wait for each other.
        for name in sorted(answers):
            known[name] = self._record_result(connection, known[name], answers[name], now_ms)
        if ended:
            failpoint("deliver.outcome_before_commit")
        return ended

    def _ended(self, sent: SendResult, now_ms: int) -> AttemptResult:
        owed, answer = sent.delivery, sent.answer or NOT_SENT
        if sent.answer is None:
            # Nothing left the bridge: due at once, for whoever holds the lane next; the destination has no part in it.
            decision = policy.Decision(DeliveryState.RETRYING, now_ms, code=answer.code, reason=answer.detail)
        else:
            decision = policy.next_state(
                self._policy,
                outcome=answer.outcome,
                attempt=sent.number - owed.forgiven,
                code=answer.code,
                detail=answer.detail,
                retry_after_s=answer.retry_after_s,
                now_ms=now_ms,
                rng=self._rng,
            )
        step = StateChange(
            owed, decision.state, now_ms, decision.due_ms, decision.waiting, decision.code, decision.reason
        )
        return AttemptResult(
            step,
            sent.number,
            answer.outcome,
            answer.status,
            answer.code,
            answer.detail,
            answer.excerpt,
            answer.duration_ms,
        )

    def _record_result(
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
            after = policy.circuit_after(
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
                    notices.apply(connection, [Resolved(destinations.NOTICES[1], before.name)], now_ms)
        destinations.save(connection, before, after)
        return after


def log_result(ended: Sequence[AttemptResult], known: Mapping[str, Destination], observer: Telemetry) -> None:
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


def _attempted(end: AttemptResult, trace: str) -> AttemptFinished:
    step, owed = end.step, end.step.delivery
    return AttemptFinished(
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


GATHER_S = 0.015
"""How long answers that came in wait for others, to share a transaction with them, while half of the sends are out."""
_LOOK_S = 0.002
"""How often they are looked for meanwhile."""
_WRITE_AGAIN_S = 0.5
_WRITE_TRIES_AT_END = 20  # a worker that is asked to stop does not wait for the database for ever


@dataclass(frozen=True, slots=True)
class DeliveryRules:
    """How the outbox sends, from the settings."""

    retries: policy.RetryPolicy
    limits: policy.CircuitLimits
    in_flight: int
    longest_send_ms: int

    @classmethod
    def from_settings(cls, settings: Settings) -> DeliveryRules:
        """Return the rules that these settings make."""
        s = settings
        longest_s = s.bridge_send_timeout + 1
        return cls(
            policy.RetryPolicy(s.bridge_retry_base, s.bridge_retry_cap, s.bridge_retry_attempts),
            policy.CircuitLimits(s.bridge_circuit_failures, s.bridge_circuit_wait, probe_s=longest_s),
            in_flight=s.bridge_worker_sends,
            longest_send_ms=int(longest_s * 1000),
        )


@dataclass(slots=True)
class TurnResult:
    """What one turn did."""

    moved: bool = False
    """Whether anything was sent or settled."""
    more: bool = False
    """Whether more may be due at once."""
    lost: list[Lease] = field(default_factory=list)
    """Lanes that another worker has taken over: nothing was recorded there."""
    faulty: list[Lease] = field(default_factory=list)
    """Lanes whose answers can't be recorded through a fault of ours: their next owner sends again."""


@dataclass(slots=True)
class _Recorded:
    """What a transaction wrote: answers, and intents of deliveries that are to be sent."""

    fences: dict[int, int] = field(default_factory=dict)
    ended: list[AttemptResult] = field(default_factory=list)
    go: list[DueDelivery] = field(default_factory=list)

    def lease_of(self, owed: DueDelivery) -> tuple[int, int]:
        """Return lane and fence under which this was written of a delivery."""
        return owed.lane, self.fences[owed.lane]

    def forget(self, lanes: Collection[int]) -> None:
        """Leave out what was written in these lanes."""
        self.ended = [end for end in self.ended if end.step.delivery.lane not in lanes]
        self.go = [owed for owed in self.go if owed.lane not in lanes]


class Deliverer:
    """The sending half of a drain; one thread takes the turns."""

    def __init__(
        self,
        journal: Journal,
        client: Destinations,
        urls: Mapping[str, str],
        rules: DeliveryRules,
        clock_ms: Callable[[], int],
        rng: Callable[[], float] = random.random,
        pace: Pacing = unpaced,
        observer: Telemetry = NO_TELEMETRY,
        accounts: Collection[str] = (),
    ) -> None:
        self._journal = journal
        self._observer = observer
        self._client = client
        self._urls = urls
        self._rules = rules
        self._clock_ms = clock_ms
        self._claims = Selector(urls, rules.retries, rules.limits, clock_ms, rng, pace)
        self._settling = Recorder(rules.retries, rules.limits, clock_ms, rng)
        self._arrivals: SimpleQueue[SendResult | None] = SimpleQueue()
        self._landed: list[SendResult] = []
        self._unsure: list[_Recorded] = []
        """What transactions wrote that seemed to fail: the answer to a COMMIT may be lost."""
        self._flying: Counter[int] = Counter()
        self._shares = FairShares(rules.in_flight, urls, accounts)

    @property
    def in_flight(self) -> int:
        """How many sends are out, or came back and are not recorded yet."""
        return self._flying.total()

    @property
    def room(self) -> int:
        """How many more sends may be out."""
        return self._rules.in_flight - self.in_flight

    @property
    def has_landed(self) -> bool:
        """Whether answers are there to be recorded, or somebody called `wake`."""
        return bool(self._landed) or not self._arrivals.empty()

    def is_busy_in(self, lane: int) -> bool:
        """Whether a send of this lane is out, or came back and is not recorded yet."""
        return self._flying[lane] > 0

    def turn(self, leases: Sequence[Lease], claiming: Sequence[Lease], stopping: Callable[[], bool]) -> TurnResult:
        """Record what came in for these leases, and send what is due in those that claim.

        Raises JournalError where the database is away and no answer is waited for.
        """
        tries = 0
        apart = False
        while True:
            self._take_arrivals()
            try:
                turn = (
                    self._commit_one_by_one(leases, claiming) if apart else self._commit(leases, claiming, self._landed)
                )
                self._unsure.clear()
                return turn
            except Exception as error:
                if not is_away(error):
                    log.exception("delivery.not_recorded", deliveries=len(self._landed))
                    apart = True
                    continue
                tries += 1
                if not self.in_flight or (stopping() and tries > _WRITE_TRIES_AT_END):
                    raise
                # The database is away and these were sent: keep the answers until they can be written down.
                log.error("delivery.not_recorded", deliveries=len(self._landed), error=str(error))
                time.sleep(_WRITE_AGAIN_S)

    def wait(self, timeout_s: float) -> None:
        """Wait until answers came in that are worth a transaction, somebody calls `wake`, or the time is over."""
        if self._landed:
            return
        with suppress(Empty):
            arrived = self._arrivals.get(timeout=timeout_s)
            ends_s = time.monotonic() + GATHER_S
            while arrived is not None:
                self._landed.append(arrived)
                if len(self._landed) * 2 >= self.in_flight:
                    return
                # Asleep, not in `get`: each answer would wake this thread for itself.
                while self._arrivals.empty():
                    if time.monotonic() >= ends_s:
                        return
                    time.sleep(_LOOK_S)
                arrived = self._arrivals.get_nowait()

    def wake(self) -> None:
        """End the waiting of another thread."""
        self._arrivals.put(None)

    # ------------------------------------------------------------ parts of a turn

    def _take_arrivals(self) -> None:
        with suppress(Empty):
            while True:
                arrived = self._arrivals.get_nowait()
                if arrived is not None:
                    self._landed.append(arrived)

    def _commit(self, leases: Sequence[Lease], claiming: Sequence[Lease], landed: Sequence[SendResult]) -> TurnResult:
        with self._journal.lanes.transaction(leases, self._clock_ms()) as (connection, held):
            known = destinations.load(connection)
            stood = self._still_leased(connection, held)
            recorded = {end.step.delivery.id for end in stood.ended}
            answers = [sent for sent in _of(held, landed) if sent.delivery.id not in recorded]
            ended = self._settling.record(connection, answers, known)
            lanes = {lease.lane for lease in held}
            mine = [lease for lease in claiming if lease.lane in lanes]
            shares = self._shares.without(sent.delivery for sent in landed)
            for owed in stood.go:
                shares.take(owed)
            room = self.room + len(landed) - len(stood.go)
            claimed = self._claims.select(connection, mine, room, shares, known)
            for earlier in self._unsure:
                earlier.forget(lanes)
            fences = {lease.lane: lease.fence for lease in held}
            self._unsure.append(_Recorded(fences, [*stood.ended, *ended], [*stood.go, *claimed.go]))
        self._unsure.pop()
        if ended:
            failpoint("deliver.outcome_after_commit")
        if claimed.go:
            failpoint("deliver.intent_after_commit")
        self._finish(landed)
        self._launch([*stood.go, *claimed.go], held)
        with log_batch():
            if stood.ended or stood.go:
                log.warning(
                    "delivery.commit_stood",
                    recorded=sorted(recorded),
                    begun=[owed.id for owed in stood.go],
                    reason="the database had committed these, and its answer was lost",
                )
            log_result([*stood.ended, *ended], known, self._observer)
            log_selection(claimed.ended, self._observer)
        lost = [lease for lease in leases if lease.lane not in lanes]
        return TurnResult(bool(stood.ended or ended or stood.go or claimed.go), claimed.more, lost)

    def _still_leased(self, connection: Connection, held: Sequence[Lease]) -> _Recorded:
        """Return what transactions committed in these lanes although they seemed to fail."""
        if not self._unsure:
            return _Recorded()
        now = {(lease.lane, lease.fence) for lease in held}
        ended = [end for each in self._unsure for end in each.ended if each.lease_of(end.step.delivery) in now]
        go = [owed for each in self._unsure for owed in each.go if each.lease_of(owed) in now]
        ids = [*(end.step.delivery.id for end in ended), *(owed.id for owed in go)]
        sending = deliveries.sending(connection, ids)
        return _Recorded(
            ended=[end for end in ended if (end.step.delivery.id, end.number) not in sending],
            go=[owed for owed in go if (owed.id, owed.attempts + 1) in sending],
        )

    def _commit_one_by_one(self, leases: Sequence[Lease], claiming: Sequence[Lease]) -> TurnResult:
        # One lane's trouble must cost the others neither their answers nor their turn.
        turn = TurnResult(moved=True)
        for lease in leases:
            landed = [sent for sent in self._landed if sent.delivery.lane == lease.lane]
            try:
                turn.lost += self._commit([lease], [lease] if lease in claiming else [], landed).lost
            except Exception as error:
                if is_away(error):
                    raise
                log.exception("lane.fault", lane=lease.lane, deliveries=len(landed))
                turn.faulty.append(lease)
                self._finish(landed)
        self._finish(self._landed)
        return turn

    def _finish(self, sents: Sequence[SendResult]) -> None:
        done = {sent.delivery.id for sent in sents}
        for sent in sents:
            self._flying[sent.delivery.lane] -= 1
            self._shares.give_back(sent.delivery)
        self._landed = [sent for sent in self._landed if sent.delivery.id not in done]

    def _launch(self, claimed: Sequence[DueDelivery], leases: Sequence[Lease]) -> None:
        by_lane = {lease.lane: lease for lease in leases}
        for owed in claimed:
            self._flying[owed.lane] += 1
            self._shares.take(owed)
        for owed in claimed:
            send(
                self._client,
                self._urls,
                owed,
                by_lane[owed.lane],
                self._arrivals.put,
                longest_ms=self._rules.longest_send_ms,
                clock_ms=self._clock_ms,
            )


def _of(leases: Sequence[Lease], landed: Sequence[SendResult]) -> list[SendResult]:
    # An answer to what was sent under an earlier lease of the lane comes too late: it may have been sent again since.
    fences = {lease.lane: lease.fence for lease in leases}
    return [sent for sent in landed if fences.get(sent.delivery.lane) == sent.fence]
