"""Sends the due deliveries of leased lanes.

`Deliverer.turn()` is one step: a transaction records the answers that came in and commits the attempts that go next;
then the payloads are posted. Each line has at most one send in flight. `policy` holds the rules.
"""

from __future__ import annotations

import json
import random
import time
from collections import Counter
from collections.abc import Callable, Collection, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field, replace
from queue import Empty, SimpleQueue
from typing import Protocol

from sqlalchemy import Connection

from bridge.clint import origin_of
from bridge.clint.webhook import Answer
from bridge.failpoints import failpoint
from bridge.journal import Journal, Lease, deliveries, destinations, is_away, notices
from bridge.journal.deliveries import AttemptResult, Deferral, DueDelivery, StateChange
from bridge.journal.destinations import Destination, url_digest
from bridge.journal.notices import Resolved
from bridge.logs import log_batch, logger
from bridge.mapping.evaluate import flat
from bridge.mapping.model import FUNNEL
from bridge.messages import N_, Message, read_message
from bridge.model import AttemptFinished, DeliveryState, Outcome, Waiting, idempotency_key, trace_id, traceparent
from bridge.pipeline import policy
from bridge.pipeline.deals import DealSender
from bridge.pipeline.policy import FairShares, is_stale
from bridge.settings import Settings
from bridge.telemetry import NO_TELEMETRY, Telemetry

log = logger(__name__)

UNSET_LOOK_MS = 60_000
"""The delay of a delivery whose destination has no URL in the environment."""
GATHER_S = 0.015
"""Answers wait this long for others, to share a transaction, until half of the sends in flight have one."""
_POLL_S = 0.002
_SELECT_ROUNDS = 8  # a transaction that defers a long row of deliveries ends after so many rounds
_RETRY_COMMIT_S = 0.5
_COMMIT_TRIES_AT_STOP = 20  # a worker that stops does not wait for the database without end

Pacing = Callable[[str, str, int], int | None]
"""(Destination, account, now) -> when to check again; None where a delivery may go now."""
Newest = Mapping[tuple[str, str, str], tuple[str, int]]
"""(Account, object, line) -> time and rank of the newest event that was delivered."""


class Client(Protocol):
    """Posts a payload to a webhook URL; network errors are answers, not exceptions."""

    def send_later(
        self,
        url: str,
        payload: str,
        idempotency_key: str,
        on_result: Callable[[Answer | None], None],
        *,
        traceparent: str,
        may_start: Callable[[], bool],
    ) -> None:
        """Post JSON text and call `on_result` with the answer; with None where `may_start` returned False."""


@dataclass(frozen=True, slots=True)
class DeliveryRules:
    retries: policy.RetryPolicy
    limits: policy.CircuitLimits
    in_flight: int
    longest_send_ms: int

    @classmethod
    def from_settings(cls, settings: Settings) -> DeliveryRules:
        s = settings
        longest_s = s.bridge_send_timeout + 1
        return cls(
            policy.RetryPolicy(s.bridge_retry_base, s.bridge_retry_cap, s.bridge_retry_attempts),
            policy.CircuitLimits(s.bridge_circuit_failures, s.bridge_circuit_wait, probe_s=longest_s),
            in_flight=s.bridge_worker_sends,
            longest_send_ms=int(longest_s * 1000),
        )


@dataclass(frozen=True, slots=True)
class SendResult:
    """One attempt with its fence, and its answer (None: nothing was sent)."""

    delivery: DueDelivery
    number: int
    fence: int
    answer: Answer | None
    url_digest: str = ""
    """Of the URL that it was sent to."""


@dataclass(slots=True)
class TurnResult:
    moved: bool = False
    """Whether anything was sent or recorded."""
    more: bool = False
    """Whether more may be due now."""
    lost: list[Lease] = field(default_factory=list)
    """Lanes that another worker has taken over: nothing was recorded there."""
    faulty: list[Lease] = field(default_factory=list)
    """Lanes whose answers a fault of the bridge keeps out of the journal: their next owner sends again."""


@dataclass(slots=True)
class _Writes:
    """The answers and the new attempts that one transaction wrote."""

    fences: dict[int, int] = field(default_factory=dict)
    ended: list[AttemptResult] = field(default_factory=list)
    started: list[DueDelivery] = field(default_factory=list)

    def lease_of(self, delivery: DueDelivery) -> tuple[int, int]:
        return delivery.lane, self.fences[delivery.lane]

    def forget(self, lanes: Collection[int]) -> None:
        self.ended = [end for end in self.ended if end.step.delivery.lane not in lanes]
        self.started = [delivery for delivery in self.started if delivery.lane not in lanes]


class Deliverer:
    """The sending half of a drain; one thread takes the turns.

    A worker may die at any moment:

    - Before the attempt is committed: nothing was sent, and the delivery is still due.
    - After that commit, also after the POST: the journal has an attempt without a result, and the delivery is in state
      `sending`. The lease of the lane runs out; `Lanes.acquire_all` of the next owner marks the attempt's outcome as
      unknown and makes the delivery due; it is sent again with the same `Idempotency-Key`, and Clint updates the same
      deal. That second POST is the price of losing none.
    - After the result is committed: nothing is left to do.

    A worker that lives but lost its lease can do no harm: each commit checks the fence of the lease, `send` posts
    nothing that could still be in flight when the lease ends, and a late answer is dropped. While the database is away,
    answers stay in memory and the turn repeats their commit; only another owner of the lane sends again.
    """

    def __init__(
        self,
        journal: Journal,
        client: Client,
        urls: Mapping[str, str],
        rules: DeliveryRules,
        clock_ms: Callable[[], int],
        rng: Callable[[], float] = random.random,
        pace: Pacing | None = None,
        observer: Telemetry = NO_TELEMETRY,
        accounts: Collection[str] = (),
        deals: DealSender | None = None,
        read_urls: Callable[[], object] = lambda: None,
    ) -> None:
        """`read_urls` lets the next look at `urls` see what the journal has now."""
        self._journal = journal
        self._telemetry = observer
        self._client = client
        self._deals = deals
        self._urls = urls
        self._read_urls = read_urls
        self._rules = rules
        self._clock_ms = clock_ms
        self._selector = Selector(urls, rules, clock_ms, rng, pace, deals)
        self._recorder = Recorder(rules.retries, rules.limits, clock_ms, rng)
        self._arrivals: SimpleQueue[SendResult | None] = SimpleQueue()
        self._results: list[SendResult] = []
        self._unconfirmed: list[_Writes] = []
        """The writes of transactions that seemed to fail: the answer to a COMMIT may be lost."""
        self._in_flight: Counter[int] = Counter()
        slots = deals.at_once if deals else 0
        self._shares = FairShares(rules.in_flight, urls, accounts, lambda name: is_origin(urls, name), slots)

    @property
    def in_flight(self) -> int:
        """How many sends have no recorded result yet."""
        return self._in_flight.total()

    @property
    def room(self) -> int:
        """How many more sends may start."""
        return self._rules.in_flight - self.in_flight

    @property
    def has_landed(self) -> bool:
        """Whether an answer waits to be recorded, or `wake` was called."""
        return bool(self._results) or not self._arrivals.empty()

    def is_busy_in(self, lane: int) -> bool:
        """Whether a send of this lane has no recorded result yet."""
        return self._in_flight[lane] > 0

    def turn(self, leases: Sequence[Lease], sending: Sequence[Lease], stopping: Callable[[], bool]) -> TurnResult:
        """Record the answers that came in for these leases; send the due deliveries of the `sending` ones.

        Raises JournalError where the database is away and no send is in flight, or the worker has waited long enough
        at its end.
        """
        tries = 0
        apart = False
        while True:
            self._take_arrivals()
            try:
                if apart:
                    result = self._commit_lane_by_lane(leases, sending)
                else:
                    result = self._commit(leases, sending, self._results)
                self._unconfirmed.clear()
                return result
            except Exception as error:
                if not is_away(error):
                    log.exception("delivery.not_recorded", deliveries=len(self._results))
                    apart = True
                    continue
                tries += 1
                if not self.in_flight or (stopping() and tries > _COMMIT_TRIES_AT_STOP):
                    raise
                log.error("delivery.not_recorded", deliveries=len(self._results), error=str(error))
                time.sleep(_RETRY_COMMIT_S)

    def wait(self, timeout_s: float) -> None:
        """Wait until enough answers came in for a transaction, `wake` is called, or the time is over."""
        if self._results:
            return
        with suppress(Empty):
            arrival = self._arrivals.get(timeout=timeout_s)
            gather_until_s = time.monotonic() + GATHER_S
            while arrival is not None:
                self._results.append(arrival)
                if len(self._results) * 2 >= self.in_flight:
                    return
                # Polled: in `get` each answer would wake this thread.
                while self._arrivals.empty():
                    if time.monotonic() >= gather_until_s:
                        return
                    time.sleep(_POLL_S)
                arrival = self._arrivals.get_nowait()

    def wake(self) -> None:
        self._arrivals.put(None)

    def _take_arrivals(self) -> None:
        with suppress(Empty):
            while True:
                arrival = self._arrivals.get_nowait()
                if arrival is not None:
                    self._results.append(arrival)

    def _commit(self, leases: Sequence[Lease], sending: Sequence[Lease], results: Sequence[SendResult]) -> TurnResult:
        with self._journal.lanes.transaction(leases, self._clock_ms()) as (connection, held):
            lanes = {lease.lane for lease in held}
            fences = {lease.lane: lease.fence for lease in held}
            known = destinations.load(connection)
            confirmed = self._confirmed(connection, held)
            recorded = {end.step.delivery.id for end in confirmed.ended}
            # A result from an earlier lease of the lane is dropped: the delivery may have been sent again since.
            fresh = [r for r in results if fences.get(r.delivery.lane) == r.fence and r.delivery.id not in recorded]
            ended = self._recorder.record(connection, fresh, known)
            shares = self._shares.without(result.delivery for result in results)
            for delivery in confirmed.started:
                shares.take(delivery)
            room = self.room + len(results) - len(confirmed.started)
            ready = [lease for lease in sending if lease.lane in lanes]
            selection = self._selector.select(connection, ready, room, shares, known)
            for earlier in self._unconfirmed:
                earlier.forget(lanes)
            started = [*confirmed.started, *selection.started]
            self._unconfirmed.append(_Writes(fences, [*confirmed.ended, *ended], started))
        self._unconfirmed.pop()
        if ended:
            failpoint("deliver.outcome_after_commit")
        if selection.started:
            failpoint("deliver.intent_after_commit")
        self._finish(results)
        if selection.urls_changed:
            self._read_urls()
        self._send(started, held)
        with log_batch():
            if confirmed.ended or confirmed.started:
                log.warning(
                    "delivery.commit_stood",
                    recorded=sorted(recorded),
                    begun=[delivery.id for delivery in confirmed.started],
                    reason="the database had committed these, and its answer was lost",
                )
            log_result([*confirmed.ended, *ended], known, self._telemetry)
            log_selection(selection.ended, self._telemetry)
        lost = [lease for lease in leases if lease.lane not in lanes]
        return TurnResult(bool(confirmed.ended or ended or started), selection.more, lost)

    def _confirmed(self, connection: Connection, held: Sequence[Lease]) -> _Writes:
        """Return the unconfirmed writes in these lanes that the database has committed after all."""
        if not self._unconfirmed:
            return _Writes()
        now = {(lease.lane, lease.fence) for lease in held}
        ended = [end for each in self._unconfirmed for end in each.ended if each.lease_of(end.step.delivery) in now]
        started = [one for each in self._unconfirmed for one in each.started if each.lease_of(one) in now]
        ids = [*(end.step.delivery.id for end in ended), *(delivery.id for delivery in started)]
        open_attempts = deliveries.sending(connection, ids)
        return _Writes(
            ended=[end for end in ended if (end.step.delivery.id, end.number) not in open_attempts],
            started=[delivery for delivery in started if (delivery.id, delivery.attempts + 1) in open_attempts],
        )

    def _commit_lane_by_lane(self, leases: Sequence[Lease], sending: Sequence[Lease]) -> TurnResult:
        # The fault of one lane must cost the others neither their answers nor their turn.
        turn = TurnResult(moved=True)
        for lease in leases:
            results = [result for result in self._results if result.delivery.lane == lease.lane]
            try:
                turn.lost += self._commit([lease], [lease] if lease in sending else [], results).lost
            except Exception as error:
                if is_away(error):
                    raise
                log.exception("lane.fault", lane=lease.lane, deliveries=len(results))
                turn.faulty.append(lease)
                self._finish(results)
        self._finish(self._results)
        return turn

    def _finish(self, results: Sequence[SendResult]) -> None:
        done = {result.delivery.id for result in results}
        for result in results:
            self._in_flight[result.delivery.lane] -= 1
            self._shares.give_back(result.delivery)
        self._results = [result for result in self._results if result.delivery.id not in done]

    def _send(self, started: Sequence[DueDelivery], leases: Sequence[Lease]) -> None:
        by_lane = {lease.lane: lease for lease in leases}
        for delivery in started:
            self._in_flight[delivery.lane] += 1
            self._shares.take(delivery)
        for delivery in started:
            send(
                self._client,
                self._urls,
                delivery,
                by_lane[delivery.lane],
                self._arrivals.put,
                longest_ms=self._rules.longest_send_ms,
                clock_ms=self._clock_ms,
                deals=self._deals,
            )


@dataclass(slots=True)
class Selection:
    """The due deliveries that were sent, ended or deferred."""

    started: list[DueDelivery] = field(default_factory=list)
    """To be sent; their attempts are written."""
    ended: list[StateChange] = field(default_factory=list)
    """Stale, or without an attempt left."""
    deferred: list[Deferral] = field(default_factory=list)
    more: bool = False
    """Whether more may be due now."""
    urls_changed: bool = False
    """Whether the URL of one that is to be sent has been changed since this process read the URLs."""


class Selector:
    def __init__(
        self,
        urls: Mapping[str, str],
        rules: DeliveryRules,
        clock_ms: Callable[[], int],
        rng: Callable[[], float],
        pace: Pacing | None,
        deals: DealSender | None = None,
    ) -> None:
        self._urls = urls
        self._rules = rules
        self._clock_ms = clock_ms
        self._rng = rng
        self._pace = pace
        self._deals = deals

    def select(
        self,
        connection: Connection,
        leases: Sequence[Lease],
        room: int,
        shares: FairShares,
        known: dict[str, Destination],
    ) -> Selection:
        """Select up to `room` deliveries within `shares`, and write their attempts; the caller commits.

        `known` has the destinations; a destination that is probed gets its new state there.
        """
        fences = {lease.lane: lease.fence for lease in leases}
        selection = Selection(more=bool(leases) and room > 0)
        rounds = 0
        while selection.more and len(selection.started) < room and rounds < _SELECT_ROUNDS:
            now_ms = self._clock_ms()
            full = (shares.full_destinations, shares.full_accounts)
            rows, more = deliveries.due(connection, fences, now_ms, room - len(selection.started), *full)
            newest = deliveries.newest_delivered(connection, rows)
            chosen = Selection()
            for delivery in rows:
                self._choose(connection, delivery, chosen, shares, known, newest, now_ms)
            deliveries.defer(connection, chosen.deferred)
            deliveries.move(connection, [(step, step.delivery.state) for step in chosen.ended])
            deliveries.start(connection, chosen.started, fences, now_ms)
            if chosen.started:
                failpoint("deliver.intent_before_commit")
            selection.started += chosen.started
            selection.ended += chosen.ended
            selection.urls_changed |= chosen.urls_changed
            # The next in line of an ended delivery is due now; rows behind a share that became full were not read.
            newly_full = (shares.full_destinations, shares.full_accounts) != full
            selection.more = more or bool(chosen.ended) or newly_full
            rounds += 1
        return selection

    def _choose(
        self,
        connection: Connection,
        delivery: DueDelivery,
        chosen: Selection,
        shares: FairShares,
        known: dict[str, Destination],
        newest: Newest,
        now_ms: int,
    ) -> None:
        """Send, end or defer one due delivery."""
        name, charge = delivery.destination, (delivery.account, delivery.object_id, delivery.line)
        destination = known.get(name)

        def defer(due_ms: int, waiting: Waiting, code: str, text: str, **facts: object) -> None:
            reason = Message(text, {"destination": name, **facts}).to_json()
            chosen.deferred.append(Deferral(delivery, due_ms, waiting, code, reason))

        def end(state: DeliveryState, code: str, text: str, **facts: object) -> None:
            reason = Message(text, facts).to_json()
            chosen.ended.append(StateChange(delivery, state, now_ms, code=code, reason=reason))

        if destination is None or name not in self._urls:
            text = N_("no URL is set for the destination {destination}")
            defer(now_ms + UNSET_LOOK_MS, Waiting.PAUSED, "destination.not_set", text)
        elif is_origin(self._urls, name) and not (self._deals and self._deals.has_token):
            text = N_(
                "the destination {destination} is an origin of Clint and needs a token of Clint's API, and none is set"
            )
            defer(now_ms + UNSET_LOOK_MS, Waiting.PAUSED, "destination.no_token", text)
        elif destination.paused_ms is not None:
            text = N_("the destination {destination} is paused: {reason}")
            reason = read_message(destination.paused_reason)
            defer(now_ms + policy.PAUSE_LOOK_MS, Waiting.PAUSED, "destination.paused", text, reason=reason)
        elif is_stale(delivery, newest.get(charge)):
            text = N_("an event of {time} was already delivered for this charge")
            end(DeliveryState.STALE, "delivery.stale", text, time=newest[charge][0])
        elif delivery.attempts - delivery.forgiven >= self._rules.retries.attempts:
            text = N_("the outcome of try {number}, the last, is unknown")
            end(DeliveryState.DEAD, "delivery.attempts_spent", text, number=delivery.attempts)
        elif not shares.allow(delivery):
            return  # no send slot is free; the delivery stays due, and the next turn selects it again
        elif self._pace and (free_ms := self._pace(name, delivery.account, now_ms)) is not None:
            text = N_("the rate limit of the destination {destination} has no free slot")
            defer(free_ms, Waiting.PACE, "destination.rate_limit", text)
        else:
            gate = policy.circuit_gate(destination, self._rules.limits, now_ms)
            is_probe = gate.probe is not None and destinations.save(connection, destination, gate.probe)
            if gate.probe is not None and is_probe:
                known[name] = gate.probe
            if is_probe or (gate.probe is None and gate.open_until_ms is None):
                chosen.started.append(delivery)
                chosen.urls_changed |= url_digest(self._urls.get(name, "")) != destination.url_digest
                shares.take(delivery)
                return
            # Spread over a second, so that the lines do not all come at once when the circuit closes.
            due_ms = max(gate.open_until_ms or 0, now_ms) + int(1000 * self._rng())
            text = N_("the destination {destination} fails for several customers; it is probed until it answers")
            defer(due_ms, Waiting.CIRCUIT, "destination.circuit_open", text)


def is_origin(urls: Mapping[str, str], name: str) -> bool:
    """Return whether the destination of this name is an API destination."""
    return origin_of(urls.get(name, "")) is not None


def send(
    client: Client,
    urls: Mapping[str, str],
    delivery: DueDelivery,
    lease: Lease,
    on_result: Callable[[SendResult], None],
    *,
    longest_ms: int,
    clock_ms: Callable[[], int],
    deals: DealSender | None = None,
) -> None:
    """Start to send one delivery; `on_result` gets the result, in a thread that must not block.

    Nothing is sent where the lease could run out before the answer: a process that slept after the commit (a suspended
    machine, a debugger) would post at the same time as the lane's next owner. An exception is an answer too: raised, it
    would cost the answers of all other sends, and this delivery would count as in flight for ever.
    """
    number = delivery.attempts + 1
    digest = ""

    def may_start() -> bool:
        if clock_ms() + longest_ms > lease.until_ms:
            return False
        failpoint("deliver.before_send")
        return True

    def finish(answer: Answer | None) -> None:
        if answer is not None:
            failpoint("deliver.after_send")
        on_result(SendResult(delivery, number, lease.fence, answer, digest))

    try:
        key = idempotency_key(delivery.account, delivery.event_key, delivery.mapping, delivery.replay)
        parent = traceparent(trace_id(delivery.account, delivery.event_key), delivery.id, number)
        url = urls[delivery.destination]
        digest = url_digest(url)
        origin = origin_of(url)
        if origin is not None and deals is not None:
            deals.send_later(delivery, lease, origin, finish, may_start=may_start)
            return
        payload = delivery.payload
        if f'"{FUNNEL}"' in payload:  # the destination was an origin when the event was decided
            payload = json.dumps(flat(json.loads(payload)), ensure_ascii=False)
        client.send_later(url, payload, key, finish, traceparent=parent, may_start=may_start)
    except Exception as error:
        text = N_("the bridge failed to send ({error}); the log has the details")
        finish(Answer(Outcome.RETRY, None, "bridge.fault", Message(text, {"error": type(error).__name__})))
        log.exception("delivery.fault", delivery_id=delivery.id, event_id=delivery.event_id, attempt=number)


NOT_SENT = Answer(
    Outcome.RETRY, None, "attempt.not_sent", Message(N_("not sent: the lane's lease was about to run out"))
)


class Recorder:
    """Records the results of attempts, with the next states of their deliveries and destinations."""

    def __init__(
        self,
        retries: policy.RetryPolicy,
        limits: policy.CircuitLimits,
        clock_ms: Callable[[], int],
        rng: Callable[[], float],
    ) -> None:
        self._retries = retries
        self._limits = limits
        self._clock_ms = clock_ms
        self._rng = rng

    def record(
        self, connection: Connection, results: Sequence[SendResult], known: dict[str, Destination]
    ) -> list[AttemptResult]:
        """Write these results and return them; the caller commits. `known` gets the destinations' new states."""
        now_ms = self._clock_ms()
        results = [_of_current_url(result, known) for result in results]
        ended = [self._attempt_result(result, now_ms) for result in results]
        deliveries.record(connection, ended)
        answers: dict[str, list[tuple[str, Answer]]] = {}
        for result in results:
            if result.answer is not None:
                subject = f"{result.delivery.account} {result.delivery.subject}"
                answers.setdefault(result.delivery.destination, []).append((subject, result.answer))
        # This locks rows of destinations: in one order in all workers, or two could wait for each other.
        for name in sorted(answers):
            known[name] = self._update_destination(connection, known[name], answers[name], now_ms)
        if ended:
            failpoint("deliver.outcome_before_commit")
        return ended

    def _attempt_result(self, result: SendResult, now_ms: int) -> AttemptResult:
        delivery, answer = result.delivery, result.answer or NOT_SENT
        if result.answer is None:
            # Nothing was sent: due at once for the lane's next owner, and no failure of the destination.
            decision = policy.Decision(DeliveryState.RETRYING, now_ms, code=answer.code, reason=answer.detail)
        else:
            decision = policy.next_state(
                self._retries,
                outcome=answer.outcome,
                attempt=result.number - delivery.forgiven,
                code=answer.code,
                detail=answer.detail,
                retry_after_s=answer.retry_after_s,
                now_ms=now_ms,
                rng=self._rng,
            )
        reason = decision.reason.to_json() if decision.reason else None
        return AttemptResult(
            StateChange(delivery, decision.state, now_ms, decision.due_ms, decision.waiting, decision.code, reason),
            result.number,
            answer.outcome,
            answer.status,
            answer.code,
            answer.detail.to_json(),
            answer.excerpt,
            answer.duration_ms,
        )

    def _update_destination(
        self, connection: Connection, before: Destination, answers: Sequence[tuple[str, Answer]], now_ms: int
    ) -> Destination:
        after = before
        for subject, answer in answers:
            if answer.outcome is Outcome.REMOVED:
                # The code says what to do about it: `pause_code`.
                reason = Message(answer.detail.id, {**answer.detail.facts, "code": answer.code}).to_json()
                destinations.pause(connection, before.name, reason, now_ms)
                log.warning("destination.paused", destination=before.name, code=answer.code)
                before = replace(before, paused_ms=now_ms, paused_reason=reason)
                after = replace(after, paused_ms=now_ms, paused_reason=reason)
                continue
            if answer.outcome is Outcome.RETRY and not answer.opens_circuit:
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


def _of_current_url(result: SendResult, known: Mapping[str, Destination]) -> SendResult:
    """Return a result whose answer pauses the destination only where it came from the URL that the destination has."""
    answer, destination = result.answer, known[result.delivery.destination]
    if answer is None or answer.outcome is not Outcome.REMOVED or result.url_digest in {"", destination.url_digest}:
        return result
    text = N_("the URL of the destination was changed while this was sent to the one before ({reason})")
    detail = Message(text, {"reason": answer.detail})
    changed = replace(
        answer,
        outcome=Outcome.RETRY,
        code="destination.url_changed",
        detail=detail,
        retry_after_s=None,
        opens_circuit=False,
    )
    return replace(result, answer=changed)


def log_selection(ended: Sequence[StateChange], telemetry: Telemetry) -> None:
    """Log and count each delivery that ended without being sent."""
    for step in ended:
        delivery = step.delivery
        telemetry.ended(delivery.destination, step.to.value)
        log.info(
            "delivery.ended",
            trace=trace_id(delivery.account, delivery.event_key),
            delivery_id=delivery.id,
            event_id=delivery.event_id,
            state=step.to.value,
            code=step.code,
        )


def log_result(ended: Sequence[AttemptResult], known: Mapping[str, Destination], telemetry: Telemetry) -> None:
    """Log and count each attempt that ended."""
    for end in ended:
        step, delivery = end.step, end.step.delivery
        trace = trace_id(delivery.account, delivery.event_key)
        telemetry.attempted(
            AttemptFinished(
                delivery_id=delivery.id,
                event_id=delivery.event_id,
                trace_id=trace,
                destination=delivery.destination,
                mapping=delivery.mapping,
                number=end.number,
                outcome=end.outcome.value,
                code=end.code,
                status=end.status,
                state=step.to.value,
                duration_ms=end.duration_ms,
                ended_ms=step.now_ms,
                received_ms=delivery.received_ms,
                created=delivery.order_at,
                replay=delivery.replay,
            )
        )
        log.info(
            "delivery.attempted",
            trace=trace,
            delivery_id=delivery.id,
            event_id=delivery.event_id,
            mapping=delivery.mapping,
            destination=delivery.destination,
            attempt=end.number,
            outcome=end.outcome.value,
            code=end.code,
            status=end.status,
            duration_ms=end.duration_ms,
            state=step.to.value,
            due_ms=step.due_ms,
            circuit=known[delivery.destination].state,
            after_ms=step.now_ms - delivery.received_ms,
        )
