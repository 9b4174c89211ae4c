"""A worker taken apart: the bridge's own parts, but every step, every send and every wake-up waits until it is let go.

The parts are those that `bridge.worker.drain.Drainer` puts together, in the order in which it uses them. A real worker
differs in that nothing else happens to it between two of its steps; here anything may.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, Sequence
from concurrent.futures import Executor, Future
from functools import partial
from typing import Any

from bridge.delivery.attempt import Destinations
from bridge.delivery.circuit import Limits
from bridge.delivery.retry import Policy
from bridge.errors import BridgeError
from bridge.journal import Journal, Lease
from bridge.outbox import Outbox, Rules
from bridge.process import ActiveMappings, Batch, Processor
from bridge.queueing.wakeups import COALESCE_S
from bridge.worker.held import HeldLanes
from bridge.worker.places import Places

LONGEST_SEND_MS = 3_000
RULES = Rules(
    Policy(base_s=2, cap_s=8, attempts=4),
    Limits(failures=3, wait_s=4, probe_s=4),
    in_flight=4,
    longest_send_ms=LONGEST_SEND_MS,
)


class Bell:
    """The wake-ups: coalesced by keys with a short life, as in Redis, and delivered when the machine says so."""

    def __init__(self, clock_ms: Callable[[], int]) -> None:
        self.rung: list[int] = []
        self._clock_ms = clock_ms
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
        for lane in lanes:
            self._quiet_until_ms.pop(lane, None)


class Hands(Executor):
    """The pool of senders: each send waits until it is let go."""

    def __init__(self) -> None:
        self.waiting: list[tuple[Lease, Callable[[], object]]] = []

    def submit(self, fn: Callable[..., Any], /, *args: Any, **kwargs: Any) -> Future[Any]:
        """Keep a send, whose last argument is the lease under which it was claimed."""
        self.waiting.append((args[-1], partial(fn, *args, **kwargs)))
        return Future()


class NoEnrichment:
    """Stands for Asaas's API, of which these mappings want nothing."""

    def at_hand(self, requests: Sequence[tuple[str, Mapping[str, str]]]) -> list[dict[str, Any] | BridgeError | None]:
        """Return nothing for each."""
        return [{} for _ in requests]

    def fetch_many(self, requests: Sequence[tuple[str, Mapping[str, str]]]) -> list[dict[str, Any] | BridgeError]:
        """Return nothing for each."""
        return [{} for _ in requests]

    def forget(self, account: str, wanted: Mapping[str, str]) -> None:
        """Do nothing."""


class Worker:
    """One process's worth of parts; a crash is to forget it and make another."""

    def __init__(
        self,
        name: str,
        journal: Journal,
        mappings: ActiveMappings,
        bell: Bell,
        client: Destinations,
        urls: Mapping[str, str],
        clock_ms: Callable[[], int],
    ) -> None:
        self.name = name
        self.journal = journal
        self.hands = Hands()
        self.batches: list[Batch] = []
        self.woken: set[int] = set()
        self._places = Places(64)
        self._bell = bell
        self.held = HeldLanes(journal, bell, self._places, name, clock_ms)  # type: ignore[arg-type]
        self.outbox = Outbox(journal, client, urls, RULES, self.hands, clock_ms, lambda: 0.5)
        self.processor = Processor(journal, mappings, NoEnrichment(), lambda _: "sandbox", clock_ms)

    def wake(self, lane: int) -> None:
        """Want a lane."""
        self._places.want(lane)
        self.woken.add(lane)

    def take(self) -> None:
        """Lease the lanes that are wanted."""
        self.held.take()
        self.woken.clear()

    def look(self) -> None:
        """Read what waits in the lanes."""
        self._bell.keep(self.held.lanes)
        if self.held.lanes:
            self.batches = self.processor.look(self.held.lanes)

    def decide(self) -> None:
        """Write what was read down as deliveries."""
        for batch in self.batches:
            leases = self.held.of(batch.lanes)
            if leases:
                self.held.lose(self.processor.write(leases, batch)[1])
        self.batches = []

    def turn(self) -> None:
        """Record what was answered and claim what is due; the sends wait in `hands`."""
        self._bell.keep(self.held.lanes)
        turn = self.outbox.turn(self.held.all, self.held.staying, lambda: False)
        self.held.lose(turn.lost)
        assert turn.faulty == [], "what was answered can't be written down"

    def give_back(self) -> None:
        """Give back the lanes in which no answer is waited for; want those again in which there is something by now."""
        lanes = [lane for lane in self.held.lanes if not self.outbox.is_busy_in(lane)]
        if self.held.give_back(lanes):
            self.woken |= set(lanes)
