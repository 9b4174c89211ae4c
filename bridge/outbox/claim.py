"""Before the send: chooses which due deliveries of a lane may go, and says of the others why not and until when.

It is given a transaction that holds the lane, and leaves an attempt's intent for each delivery that may go. It sends
nothing.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping

from sqlalchemy import Connection

from bridge.delivery import circuit, retry
from bridge.delivery.stale import is_stale
from bridge.journal import Lease, deliveries, destinations
from bridge.journal.destinations import Destination
from bridge.journal.owed import Owed, Step
from bridge.logs import logger
from bridge.model import DeliveryState, Waiting

log = logger(__name__)

UNSET_LOOK_MS = 60_000
"""A delivery for a destination that the environment does not name is looked at again after a minute."""
_ROUNDS = 8  # a transaction that puts off a long row of heads gives way to others after so many looks


class Claims:
    """Chooses deliveries to send."""

    def __init__(
        self,
        urls: Collection[str],
        policy: retry.Policy,
        limits: circuit.Limits,
        clock_ms: Callable[[], int],
        rng: Callable[[], float],
    ) -> None:
        self._urls = urls
        self._policy = policy
        self._limits = limits
        self._clock_ms = clock_ms
        self._rng = rng

    def claim(self, connection: Connection, lease: Lease, room: int) -> tuple[list[Owed], bool]:
        """Commit-to-be: choose up to `room` deliveries to send; also return whether more may be due."""
        claimed: list[Owed] = []
        for _ in range(_ROUNDS):
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
        elif owed.attempts - owed.forgiven >= self._policy.attempts:
            reason = f"the outcome of try {owed.attempts}, the last, is unknown"
            step = Step(owed, DeliveryState.DEAD, now_ms, code="delivery.attempts_spent", reason=reason)
            self._move(connection, owed, step)
        else:
            return self._circuit_lets(connection, owed, destination, known, now_ms)
        return False

    def _circuit_lets(
        self, connection: Connection, owed: Owed, destination: Destination, known: dict[str, Destination], now_ms: int
    ) -> bool:
        gate = circuit.gate(destination, self._limits, now_ms)
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
