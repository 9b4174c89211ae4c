"""The busiest quarter of an hour, event by event (simpy): merchants, Asaas, web processes, PostgreSQL, workers, Clint.

A process of Python computes on one core at a time, so that each is a queue for one server. The web process answers
after the commit, and a commit takes what has gathered. A worker drains several lanes at once and has so many sends on
their way. What is left out: retries, a customer's line inside a lane, the cost of reading customers from Asaas, and
whatever else a machine does.
"""

from __future__ import annotations

import math
import random
from collections import deque
from collections.abc import Generator
from dataclasses import dataclass, field
from typing import Any

import simpy
from simpy.resources.resource import Request

from bridge.settings import SETTINGS
from tests.bench.numbers import percentile
from tests.scale.demand import Costs

_DEFAULTS = {setting.name: setting.default for setting in SETTINGS}

Steps = Generator[simpy.Event, Any, None]


@dataclass(frozen=True, slots=True)
class Site:
    """What is set up, and what the world around it is like."""

    webs: int
    workers: int
    lanes: int = 64
    threads: int = int(_DEFAULTS["BRIDGE_WEB_THREADS"])
    """Requests that one web process answers at once."""
    lanes_at_once: int = int(_DEFAULTS["BRIDGE_WORKER_LANES"])
    """Lanes that one worker drains at once."""
    sends: int = int(_DEFAULTS["BRIDGE_WORKER_SENDS"])
    """Sends of one worker that are on their way at once."""
    give_way_s: float = 5.0
    database_cores: int = 4
    commit_s: float = 0.001
    """What a commit waits for the disk."""
    clint_s: float = 0.2
    """The median of Clint's answer: assumed, nobody publishes it."""
    clint_spread: float = 0.5  # docs/scale_tables.py says it too
    """Sigma of its logarithm: at 0.5 one answer in a hundred takes three times as long."""
    asaas_gap_s: float = 0.05
    """From an answer to the next event of the same merchant, on average: assumed."""
    spread: float = 0.6
    """Sigma of the logarithm of each computation: one in a hundred takes three to four times as long as most."""


@dataclass(frozen=True, slots=True)
class Burst:
    """What comes: runs in bulk that begin at random moments."""

    events: int
    seconds: float
    run: float
    seed: int = 1


@dataclass(slots=True)
class Outcome:
    """What became of it."""

    answers_s: list[float] = field(default_factory=list)
    deliveries_s: list[float] = field(default_factory=list)
    """From the commit of an event to Clint's answer."""
    waiting: list[tuple[float, int]] = field(default_factory=list)
    """How many events were kept and not delivered, by the second."""
    ended_s: float = 0.0
    """When the last was delivered."""
    busy_s: dict[str, float] = field(default_factory=lambda: {"web": 0.0, "worker": 0.0, "database": 0.0})

    def as_json(self, site: Site) -> dict[str, Any]:
        """Return what the page shows."""
        step = max(1, len(self.waiting) // 120)
        return {
            "webs": site.webs,
            "workers": site.workers,
            "lanes": site.lanes,
            "sends": site.sends,
            "events": len(self.answers_s),
            "answer_p50_ms": round(percentile(self.answers_s, 50) * 1000, 1),
            "answer_p99_ms": round(percentile(self.answers_s, 99) * 1000, 1),
            "delivery_p50_s": round(percentile(self.deliveries_s or [0.0], 50), 2),
            "delivery_p99_s": round(percentile(self.deliveries_s or [0.0], 99), 2),
            "ended_s": round(self.ended_s, 1),
            "web_busy": round(self.busy_s["web"] / site.webs / self.ended_s, 3),
            "worker_busy": round(self.busy_s["worker"] / max(1, site.workers) / self.ended_s, 3),
            "database_busy": round(self.busy_s["database"] / site.database_cores / self.ended_s, 3),
            "most_waiting": max((count for _, count in self.waiting), default=0),
            "waiting": [[round(at_s), count] for at_s, count in self.waiting[::step]],
        }


class _Lane:
    """Events of some customers, and whether a worker drains it or it waits for one."""

    def __init__(self) -> None:
        self.kept_s: deque[float] = deque()
        self.woken = False


class Simulation:
    """One run."""

    def __init__(self, site: Site, burst: Burst, costs: Costs) -> None:
        self._site = site
        self._burst = burst
        self._costs = costs
        self._lots = random.Random(burst.seed)
        self._world = simpy.Environment()
        self._database = simpy.Resource(self._world, site.database_cores)
        self._lanes = [_Lane() for _ in range(site.lanes)]
        self._woken: simpy.Store = simpy.Store(self._world)
        self.outcome = Outcome()

    def run(self) -> Outcome:
        """Let everything come, be answered and be delivered."""
        webs = [_Web(self, self._world, self._site) for _ in range(self._site.webs)]
        workers = [
            (simpy.Resource(self._world, 1), simpy.Resource(self._world, self._site.sends))
            for _ in range(self._site.workers)
        ]
        for _ in range(self._site.lanes_at_once):
            for cpu, sends in workers:  # in turn: wake-ups go to whoever waits longest
                self._world.process(self._place(cpu, sends))
        left, number = self._burst.events, 0
        while left > 0:
            count = min(left, max(1, round(self._lots.expovariate(1 / self._burst.run))))
            self._world.process(self._merchant(webs[number % len(webs)], count))
            left, number = left - count, number + 1
        self._world.process(self._watch())
        self._world.run(until=self._done())
        return self.outcome

    def _done(self) -> simpy.Event:
        self._all = self._world.event()
        return self._all

    def _one_more_done(self) -> None:
        done = self.outcome.deliveries_s if self._site.workers else self.outcome.answers_s
        if len(done) == self._burst.events:
            self.outcome.ended_s = self._world.now
            self._all.succeed()

    def _watch(self) -> Steps:
        while True:
            waiting = len(self.outcome.answers_s) - len(self.outcome.deliveries_s)
            self.outcome.waiting.append((self._world.now, waiting))
            yield self._world.timeout(1)

    def spend(self, what: str, on: simpy.Resource, seconds: float) -> Steps:
        """Wait for a core and use it for about so long."""
        spread = self._site.spread
        spent_s = seconds * self._lots.lognormvariate(-spread * spread / 2, spread)
        with on.request() as turn:
            yield turn
            yield self._world.timeout(spent_s)
        self.outcome.busy_s[what] += spent_s

    def commit(self, events: int) -> Steps:
        """Write so many events down in one transaction."""
        yield from self.spend("database", self._database, events * self._costs.answer_database_ms / 1000)
        yield self._world.timeout(self._site.commit_s)

    def _merchant(self, web: _Web, count: int) -> Steps:
        yield self._world.timeout(self._lots.uniform(0, self._burst.seconds))
        for _ in range(count):
            begun_s = self._world.now
            yield from web.answer(self._costs.web_ms / 1000)
            self.outcome.answers_s.append(self._world.now - begun_s)
            if self._site.workers:
                self._keep()
            else:
                self._one_more_done()
            yield self._world.timeout(self._lots.expovariate(1 / self._site.asaas_gap_s))

    def _keep(self) -> None:
        # Each event of a run in bulk is of another customer, and so of any lane.
        lane = self._lots.choice(self._lanes)
        lane.kept_s.append(self._world.now)
        self._wake(lane)

    def _wake(self, lane: _Lane) -> None:
        if not lane.woken:
            lane.woken = True
            self._woken.put(lane)

    def _place(self, cpu: simpy.Resource, sends: simpy.Resource) -> Steps:
        """Drain one lane after the other, each until it is empty or must give way."""
        while True:
            lane: _Lane = yield self._woken.get()
            until_s = self._world.now + self._site.give_way_s
            flights: list[simpy.Process] = []
            while lane.kept_s and self._world.now < until_s:
                turn = sends.request()
                yield turn
                flights.append(self._world.process(self._send(lane.kept_s.popleft(), cpu, sends, turn)))
            # The lane must not be given back while something is on its way.
            yield self._world.all_of([flight for flight in flights if flight.is_alive])
            lane.woken = False
            if lane.kept_s:
                self._wake(lane)

    def _send(self, kept_s: float, cpu: simpy.Resource, sends: simpy.Resource, turn: Request) -> Steps:
        costs, site = self._costs, self._site
        yield from self.spend("worker", cpu, costs.worker_ms / 1000)
        yield from self.spend("database", self._database, costs.delivery_database_ms / 1000)
        yield self._world.timeout(self._lots.lognormvariate(math.log(site.clint_s), site.clint_spread))
        sends.release(turn)
        self.outcome.deliveries_s.append(self._world.now - kept_s)
        self._one_more_done()


class _Web:
    """A web process: threads that share a core, and one writer that commits what has gathered."""

    def __init__(self, simulation: Simulation, world: simpy.Environment, site: Site) -> None:
        self._simulation = simulation
        self._world = world
        self._threads = simpy.Resource(world, site.threads)
        self._cpu = simpy.Resource(world, 1)
        self._gathered: list[simpy.Event] = []
        self._called = world.event()
        world.process(self._write())

    def answer(self, seconds: float) -> Steps:
        """Take an event and return when it is durable."""
        with self._threads.request() as thread:
            yield thread
            yield from self._simulation.spend("web", self._cpu, seconds)
            durable = self._world.event()
            self._gathered.append(durable)
            if not self._called.triggered:
                self._called.succeed()
            yield durable

    def _write(self) -> Steps:
        while True:
            yield self._called
            self._called = self._world.event()
            while self._gathered:
                batch, self._gathered = self._gathered, []
                yield from self._simulation.commit(len(batch))
                for durable in batch:
                    durable.succeed()
