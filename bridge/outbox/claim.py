"""Before the send: chooses which due deliveries of lanes may go, and says of the others why not and until when.

It is given a transaction that holds the lanes, and leaves an attempt's intent for each delivery that may go. It sends
nothing.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, field

from sqlalchemy import Connection

from bridge.delivery import circuit, retry
from bridge.delivery.stale import is_stale
from bridge.failpoints import reached
from bridge.journal import Lease, deliveries, destinations
from bridge.journal.destinations import Destination
from bridge.journal.owed import Owed, PutOff, Step
from bridge.logs import logger
from bridge.model import DeliveryState, Waiting, trace_id
from bridge.observing import Observer
from bridge.outbox.shares import Shares

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
class Claimed:
    """What became of due deliveries."""

    go: list[Owed] = field(default_factory=list)
    """To be sent; their intents are written."""
    ended: list[Step] = field(default_factory=list)
    """Stale, or at their last try."""
    put_off: list[PutOff] = field(default_factory=list)
    more: bool = False
    """Whether more may be due."""


class Claims:
    """Chooses deliveries to send."""

    def __init__(
        self,
        urls: Collection[str],
        policy: retry.Policy,
        limits: circuit.Limits,
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

    def claim(
        self,
        connection: Connection,
        leases: Sequence[Lease],
        room: int,
        shares: Shares,
        known: dict[str, Destination],
    ) -> Claimed:
        """Commit-to-be: choose up to `room` deliveries to send, and note them in `shares`, which bound them.

        `known` has the destinations, and afterwards the new state of those that are being probed.
        """
        fences = {lease.lane: lease.fence for lease in leases}
        claimed = Claimed(more=bool(leases) and room > 0)
        rounds = 0
        while claimed.more and len(claimed.go) < room and rounds < _ROUNDS:
            now_ms = self._clock_ms()
            full = (shares.full_destinations, shares.full_accounts)
            rows, more = deliveries.due(connection, fences, now_ms, room - len(claimed.go), *full)
            newest = deliveries.newest_delivered(connection, rows)
            chosen = Claimed()
            for owed in rows:
                self._choose(connection, owed, chosen, shares, known, newest, now_ms)
            deliveries.put_off(connection, chosen.put_off)
            deliveries.move(connection, [(step, step.delivery.state) for step in chosen.ended])
            deliveries.start(connection, chosen.go, fences, now_ms)
            if chosen.go:
                reached("deliver.intent_before_commit")
            claimed.go += chosen.go
            claimed.ended += chosen.ended
            claimed.put_off += chosen.put_off
            # What stood behind those that ended is due now; what stood behind a share that is full now was not read.
            newly_full = (shares.full_destinations, shares.full_accounts) != full
            claimed.more = more or bool(chosen.ended) or newly_full
            rounds += 1
        return claimed

    def _choose(
        self,
        connection: Connection,
        owed: Owed,
        chosen: Claimed,
        shares: Shares,
        known: dict[str, Destination],
        newest: Newest,
        now_ms: int,
    ) -> None:
        destination = known.get(owed.destination)
        if destination is None or owed.destination not in self._urls:
            reason = f"no URL is set for the destination {owed.destination}"
            chosen.put_off.append(PutOff(owed, now_ms + UNSET_LOOK_MS, Waiting.PAUSED, "destination.not_set", reason))
        elif destination.paused_ms is not None:
            reason = f"the destination {owed.destination} is paused: {destination.paused_reason}"
            chosen.put_off.append(
                PutOff(owed, now_ms + retry.PAUSE_LOOK_MS, Waiting.PAUSED, "destination.paused", reason)
            )
        elif is_stale(owed, newest.get((owed.account, owed.object_id, owed.line))):
            at = newest[owed.account, owed.object_id, owed.line][0]
            reason = f"an event of {at} was already delivered for this charge"
            chosen.ended.append(Step(owed, DeliveryState.STALE, now_ms, code="delivery.stale", reason=reason))
        elif owed.attempts - owed.forgiven >= self._policy.attempts:
            reason = f"the outcome of try {owed.attempts}, the last, is unknown"
            chosen.ended.append(Step(owed, DeliveryState.DEAD, now_ms, code="delivery.attempts_spent", reason=reason))
        elif not shares.allow(owed):
            return  # as due as before: the next round, or the next answer, sees to it
        elif (free_ms := self._pace(owed.destination, owed.account, now_ms)) is not None:
            reason = f"the rate limit of the destination {owed.destination} has no free slot"
            chosen.put_off.append(PutOff(owed, free_ms, Waiting.PACE, "destination.rate_limit", reason))
        else:
            self._ask_circuit(connection, owed, chosen, shares, destination, known, now_ms)

    def _ask_circuit(
        self,
        connection: Connection,
        owed: Owed,
        chosen: Claimed,
        shares: Shares,
        destination: Destination,
        known: dict[str, Destination],
        now_ms: int,
    ) -> None:
        gate = circuit.gate(destination, self._limits, now_ms)
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
            chosen.put_off.append(PutOff(owed, due_ms, Waiting.CIRCUIT, "destination.circuit_open", reason))


def say(ended: Sequence[Step], observer: Observer) -> None:
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
