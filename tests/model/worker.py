"""A worker taken apart: the machine lets go of each step, send, answer and wake-up of the bridge's own parts.

The parts are those that `bridge.worker.drain.Drainer` puts together, in the order in which it uses them. Here anything
may happen between two steps.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass
from typing import Any

from bridge.clint.webhook import Answer
from bridge.journal import Journal, Lease
from bridge.model import lane_of
from bridge.pipeline.active_mappings import ActiveMappings
from bridge.pipeline.decide import Batch, Decider
from bridge.pipeline.deliver import Deliverer, DeliveryRules
from bridge.pipeline.enrich import Cache, Enricher
from bridge.pipeline.policy import CircuitLimits, RetryPolicy
from bridge.redis_client import OptionalRedis
from bridge.wakeups import COALESCE_S
from bridge.worker.drain import LaneSlots, LeaseSet

DOMAIN = "@example.com"
"""What follows an event's id in the e-mail of its payload."""
LONGEST_SEND_MS = 3_000
RULES = DeliveryRules(
    RetryPolicy(base_s=2, cap_s=8, attempts=4),
    CircuitLimits(failures=3, wait_s=4, probe_s=4),
    in_flight=4,
    longest_send_ms=LONGEST_SEND_MS,
)


class Bell:
    """The wake-ups: coalesced by keys with a short life, as in Redis, and delivered when the machine says so."""

    def __init__(self, clock_ms: Callable[[], int], before_ended: Callable[[], None]) -> None:
        self.rung: list[int] = []
        self._clock_ms = clock_ms
        self._before_ended = before_ended
        self._quiet_until_ms: dict[int, int] = {}

    def wake(self, lane: int) -> None:
        """Ring for a lane, unless that was done or is being seen to."""
        if self._quiet_until_ms.get(lane, 0) <= self._clock_ms():
            self.keep([lane])
            self.rung.append(lane)

    def keep(self, lanes: Collection[int]) -> int:
        """Note that a worker looks at these lanes by itself; there is one worker for each lane, as far as it knows."""
        self._quiet_until_ms |= dict.fromkeys(lanes, self._clock_ms() + COALESCE_S * 1000)
        return 1

    def ended(self, lanes: Collection[int]) -> None:
        """Note that a worker looks at these lanes for the last time."""
        self._before_ended()
        for lane in lanes:
            self._quiet_until_ms.pop(lane, None)


@dataclass(slots=True)
class Send:
    """One delivery in the client's hands, with the lease under which it was claimed."""

    event_key: str
    lease: Lease
    may_start: Callable[[], bool]
    on_result: Callable[[Answer | None], None]

    @property
    def customer(self) -> str:
        """Whose event it is."""
        return self.event_key.partition("-")[0]


class Hands:
    """The client that sends: each send waits until the machine lets it go."""

    def __init__(self, handed_over: Callable[[Send], None], lease_of: Callable[[str], Lease]) -> None:
        self.waiting: list[Send] = []
        self._handed_over = handed_over
        self._lease_of = lease_of

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
        """Keep a send, whose e-mail begins with the event's id."""
        event_key = json.loads(payload)["email"].removesuffix(DOMAIN)
        lease = self._lease_of(event_key.partition("-")[0])
        self.waiting.append(
            Send(event_key, Lease(lease.lane, lease.owner, lease.fence, lease.until_ms), may_start, on_result)
        )
        self._handed_over(self.waiting[-1])


class Worker:
    """One process's worth of parts; a crash is to forget it and make another."""

    def __init__(
        self,
        name: str,
        journal: Journal,
        mappings: ActiveMappings,
        bell: Bell,
        handed_over: Callable[[Send], None],
        urls: Mapping[str, str],
        clock_ms: Callable[[], int],
    ) -> None:
        self.name = name
        self.journal = journal
        self.hands = Hands(handed_over, self._lease_of)
        self.posts: list[Any] = []
        """What it has posted and has no answer to."""
        self.batches: list[Batch] = []
        self.woken: set[int] = set()
        self._places = LaneSlots(64)
        self._bell = bell
        self.held = LeaseSet(journal, bell, self._places, name, clock_ms)  # type: ignore[arg-type]
        self.outbox = Deliverer(journal, self.hands, urls, RULES, clock_ms, lambda: 0.5)
        self.processor = Decider(
            journal, mappings, Enricher({}, Cache(OptionalRedis(None))), lambda _: "sandbox", clock_ms
        )

    def _lease_of(self, customer: str) -> Lease:
        return self.held.of([lane_of("default", customer, self.journal.lane_count)])[0]

    def wake(self, lane: int) -> None:
        """Want a lane."""
        self._places.request(lane)
        self.woken.add(lane)

    def take(self) -> None:
        """Lease the lanes that are wanted."""
        self.held.take()
        self.woken.clear()

    def look(self) -> None:
        """Read what waits in the lanes."""
        self._bell.keep(self.held.lanes)
        if self.held.lanes:
            self.batches = self.processor.next_batches(self.held.lanes)

    def decide(self) -> None:
        """Write what was read down as deliveries."""
        for batch in self.batches:
            leases = self.held.of(batch.lanes)
            if leases:
                self.held.forget_lost(self.processor.commit(leases, batch)[1])
        self.batches = []

    def turn(self) -> None:
        """Record what was answered and claim what is due; the sends wait in `hands`."""
        self._bell.keep(self.held.lanes)
        turn = self.outbox.turn(self.held.all, self.held.staying, lambda: False)
        self.held.forget_lost(turn.lost)
        assert turn.faulty == [], "what was answered can't be written down"

    def give_back(self) -> None:
        """Give back the lanes in which no answer is waited for; want those again in which there is something by now."""
        lanes = [lane for lane in self.held.lanes if not self.outbox.is_busy_in(lane)]
        if self.held.release(lanes):
            self.woken |= set(lanes)
