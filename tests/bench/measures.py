"""The measures: each is given a site and leaves numbers beside their references.

A reference runs before and after what it is held against, so that a machine that others slow down meanwhile slows both.
A measure never judges: what is good enough is for the reader and for the issues.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass

from sqlalchemy import select

from bridge.journal.schema import events
from bridge.model import idempotency_key
from tests.bench import history as history_of
from tests.bench import pages, usage
from tests.bench.load import Answers
from tests.bench.numbers import Number, percentile
from tests.bench.site import MAPPINGS, Bridge, Site, Stream

_PERCENTILES = {"p50": 50.0, "p99": 99.0, "longest": 100.0}
_AHEAD = 400
"""Events under way while deliveries are counted: enough that no lane runs dry, too few to become a backlog."""
_IDLE_RATE = 4.0
_SETTLE_S = 2.0
_PAYLOADS = 200
_MINUTE_S = 60.0
_BAD_WEEK, _UNFINISHED = 64_000, {"dead": 12_000, "waiting": 14_000, "held": 10_000}
"""100,000 events, of which nobody has looked after a third."""
_CHARGES = 1_000
"""Of the customer whose page is measured."""


@dataclass(frozen=True, slots=True)
class Size:
    """How long and how much."""

    seconds: float
    connections: int
    backlog: int
    idle: int
    journal: int
    waiting: int
    minutes: int


class Bench:
    """The measures on one site."""

    def __init__(self, site: Site, size: Size, note: Callable[[str], None]) -> None:
        self._site = site
        self._size = size
        self._note = note
        self._rate: float | None = None

    def answers(self) -> Iterator[Number]:
        """How many answers a second the web process gives, and how long each takes, with all connections busy."""
        flows = self._site.stream.flows(self._size.connections)
        with self._site.bridge(workers=0) as bridge:
            bridge.begin(self._size.connections)
            before = self._site.post_to_view(flows, self._size.seconds)
            got = bridge.post(flows, self._size.seconds)
            after = self._site.post_to_view(flows, self._size.seconds)
        self._rate = got.per_s / 2
        self._refused("answers", got)
        measure = f"answers at {self._size.connections} connections"
        yield self._number(measure, "answers", "/s", got.per_s, (before + after).per_s)
        yield from self._latencies(measure, "", got, before + after)

    def latency(self) -> Iterator[Number]:
        """How long an answer takes at half the rate that `answers` found, in good times and in bad."""
        if self._rate is None:
            list(self.answers())
        flows = self._site.stream.flows(self._size.connections)
        before = self._site.post_to_view(flows, self._size.seconds, rate=self._rate)
        got = {
            "no worker": self._answers_while(0),
            "worker delivers": self._answers_while(1),
            "Clint hangs": self._answers_while(1, clint_hangs=True),
            "Redis is stopped": self._answers_while(1, redis_stops=True),
            f"{self._size.waiting:,} events wait": self._answers_while(0, waiting=self._size.waiting),
        }
        reference = before + self._site.post_to_view(flows, self._size.seconds, rate=self._rate)
        for state, answers in got.items():
            self._refused(state, answers)
            yield from self._latencies(f"answer at {self._rate:.0f}/s", f"{state}: ", answers, reference)

    def flow(self) -> Iterator[Number]:
        """How many deliveries a second arrive while events arrive too, and what that takes of the machine."""
        receiver, seconds = self._site.receiver, self._size.seconds
        with self._site.bridge(workers=1) as bridge:
            payloads = bridge.warm()[:_PAYLOADS]
            time.sleep(_SETTLE_S)
            idle = {part: usage.memory(pids) for part, pids in bridge.parts().items()}
            before = self._site.post_bare(payloads, seconds)
            receiver.forget()
            cpu_before = {part: usage.cpu_s(pids) for part, pids in bridge.parts().items()}
            got = bridge.post(self._site.stream.flows(self._size.connections), seconds, ahead=_AHEAD)
            arrivals = receiver.arrivals()
            self._settled(bridge, got.statuses[200])
            cpu_after = {part: usage.cpu_s(pids) for part, pids in bridge.parts().items()}
            loaded = {part: usage.memory(pids) for part, pids in bridge.parts().items()}
            receiver.forget()
            after = self._site.post_bare(payloads, seconds)
        self._refused("flow", got)
        per_s = self._steady(got, [arrival.at_ns for arrival in arrivals])
        measure = "delivered while load arrives, 1 worker"
        yield self._number(measure, "deliveries", "/s", per_s, (before + after) / 2)
        yield from self._latencies(measure, "answer ", got, None)
        for part, spent_s in cpu_after.items():
            per_event_ms = (spent_s - cpu_before[part]) / got.statuses[200] * 1000
            yield self._number("CPU for each delivered event", part, "ms", per_event_ms)
        for state, held in (("idle", idle), ("after load", loaded)):
            measure = f"memory {state}"
            for part, memory in held.items():
                yield self._number(measure, f"{part}, resident", "MB", memory.rss_mb)
            yield self._number(measure, "bridge and Redis, shared counted once", "MB", _together_mb(held))

    def backlog(self) -> Iterator[Number]:
        """How many deliveries a second two workers make out of a backlog that nobody adds to."""
        receiver, count = self._site.receiver, self._size.backlog
        with self._site.bridge(workers=2) as bridge:
            payloads = bridge.warm()[:_PAYLOADS]
            workers = [child for name, child in bridge.deployment.children.items() if name.startswith("worker")]
            for worker in workers:
                worker.stop()
            posted = bridge.post(self._site.stream.flows(self._size.connections, count)).statuses[200]
            before = self._site.post_bare(payloads, self._size.seconds)
            receiver.forget()
            for worker in workers:
                worker.start()
            self._settled(bridge, posted)
            arrivals = [arrival.at_ns for arrival in receiver.arrivals()]
            receiver.forget()
            after = self._site.post_bare(payloads, self._size.seconds)
        per_s = (len(arrivals) - 1) / (max(arrivals) - min(arrivals)) * 1e9
        yield self._number(
            f"draining a backlog of {posted:,}, 2 workers", "deliveries", "/s", per_s, (before + after) / 2
        )

    def idle(self) -> Iterator[Number]:
        """How long an event of an idle bridge takes from the door to Clint; the commit's own time is part of it."""
        with self._site.bridge(workers=1) as bridge:
            bridge.warm()
            posted = bridge.post(self._site.stream.flows(1, self._size.idle), rate=_IDLE_RATE)
            self._settled(bridge, posted.statuses[200])
            at_ns = {arrival.key: arrival.at_ns for arrival in self._site.receiver.arrivals()}
            with bridge.database.read() as connection:
                rows = connection.exec_driver_sql(
                    "SELECT e.account, e.event_key, d.mapping, d.replay, e.received_ms"
                    " FROM events e JOIN deliveries d ON d.event_id = e.id"
                )
                received_ms = {idempotency_key(*row[:4]): int(row[4]) for row in rows}
        took_s = [ns / 1e9 - received_ms[key] / 1e3 for key, ns in at_ns.items()]
        for name, percent in _PERCENTILES.items():
            yield self._number("idle bridge, from received to POST", name, "ms", percentile(took_s, percent) * 1000)

    def journal(self) -> Iterator[Number]:
        """What deliveries and answers are with a long history in the journal, beside those with none."""
        empty, full = self._rates(0), self._rates(self._size.journal)
        measure = f"with {self._size.journal:,} events in the journal"
        for name, value in full.items():
            yield self._number(measure, name, "/s", value, empty[name])

    def console(self) -> Iterator[Number]:
        """How long pages of the console take with a long history in the journal, beside those with a short one."""
        few, many = self._pages(0), self._pages(self._size.journal)
        yield from self._page_numbers(f"{self._size.journal:,} events in the journal", many, few)
        left = self._pages(_BAD_WEEK, **_UNFINISHED)
        counts = ", ".join(f"{count:,} {state}" for state, count in _UNFINISHED.items())
        yield from self._page_numbers(counts, left, few)

    def soak(self) -> Iterator[Number]:
        """What the bridge holds after each minute of a load that goes on, at half of what it delivers at most."""
        held: list[float] = []
        posted = 0
        with self._site.bridge(workers=1) as bridge:
            bridge.warm()
            most = bridge.post(self._site.stream.flows(self._size.connections), self._size.seconds, ahead=_AHEAD)
            for minute in range(self._size.minutes):
                stream = Stream(self._site.stream.customers, int(most.per_s / 2 * _MINUTE_S), seed=minute + 1)
                flows = stream.flows(self._size.connections)
                got = bridge.post(flows, _MINUTE_S, rate=most.per_s / 2, ahead=_AHEAD)
                self._refused("soak", got)
                posted += got.statuses[200]
                held.append(_together_mb({part: usage.memory(pids) for part, pids in bridge.parts().items()}))
        measure = f"memory under {most.per_s / 2:.0f} events/s, {posted:,} in all"
        for minute, memory_mb in enumerate(held, 1):
            yield self._number(measure, f"after minute {minute}", "MB", memory_mb, held[0])

    # ------------------------------------------------------------ parts of measures

    def _pages(self, history: int, **unfinished: int) -> dict[str, pages.Took]:
        with self._site.bridge(workers=1) as bridge:
            bridge.warm()
            bridge.deployment.children["worker-0"].stop()
            database = bridge.database
            history_of.fill(database, history)
            history_of.leave_trail(database, history)
            history_of.leave_report(database, history)
            with database.read() as connection:
                of_first = select(events.c.subject, events.c.object_id).where(events.c.id == 1)
                customer, charge = connection.execute(of_first).one()
            history_of.fill(database, min(history, _CHARGES), customer)
            if unfinished:
                history_of.leave_unfinished(database, **unfinished)
            parts = bridge.parts()
            pids = [pid for part in ("web", "postgresql") for pid in parts.get(part, ())]
            mapping = (MAPPINGS / "cobranca.yaml").read_text()
            return pages.took(bridge.deployment.web_ports[0], pids, mapping, customer, charge)

    def _page_numbers(
        self, state: str, found: Mapping[str, pages.Took], few: Mapping[str, pages.Took]
    ) -> Iterator[Number]:
        measure = f"page of the console with {state}"
        for name, took in found.items():
            yield self._number(measure, name, "ms", took.wall_ms, few[name].wall_ms)
            yield self._number(measure, f"{name}, CPU", "ms", took.cpu_ms, few[name].cpu_ms)

    def _rates(self, history: int) -> dict[str, float]:
        receiver, stream = self._site.receiver, self._site.stream
        flows = stream.flows(self._size.connections)
        with self._site.bridge(workers=1) as bridge:
            bridge.warm()
            history_of.fill(bridge.database, history)
            half = [flow[: len(flow) // 2] for flow in flows]
            got = bridge.post(half, self._size.seconds, ahead=_AHEAD)
            arrivals = receiver.arrivals()
            self._settled(bridge, got.statuses[200])
            bridge.deployment.children["worker-0"].stop()
            rest = [flow[len(flow) // 2 :] for flow in flows]
            answered = bridge.post(rest, self._size.seconds)
        self._refused("journal", got + answered)
        return {"deliveries": self._steady(got, [arrival.at_ns for arrival in arrivals]), "answers": answered.per_s}

    def _steady(self, got: Answers, arrivals_ns: Sequence[int]) -> float:
        # The first second fills the pipe, and is not what goes on for hours.
        begins_ns = got.begun_ns + int(min(1.0, self._size.seconds / 4) * 1e9)
        steady = [at_ns for at_ns in arrivals_ns if begins_ns <= at_ns <= got.ended_ns]
        return len(steady) / (got.ended_ns - begins_ns) * 1e9

    def _answers_while(
        self, workers: int, *, clint_hangs: bool = False, redis_stops: bool = False, waiting: int = 0
    ) -> Answers:
        with self._site.bridge(workers=workers) as bridge:
            if workers:
                bridge.warm()
            else:
                bridge.begin(self._size.connections)
            if waiting:
                history_of.leave_waiting(bridge.database, waiting)
            if clint_hangs:
                self._site.receiver.hang()
            if redis_stops:
                self._site.redis.stop()
            try:
                flows = self._site.stream.flows(self._size.connections)
                return bridge.post(flows, self._size.seconds, rate=self._rate)
            finally:
                if redis_stops:
                    self._site.redis.start()

    def _settled(self, bridge: Bridge, posted: int) -> None:
        arrived = bridge.arrived(posted)
        if arrived < posted:
            self._note(f"only {arrived} of {posted} events arrived")

    def _refused(self, name: str, answers: Answers) -> None:
        others = {status: count for status, count in answers.statuses.items() if status != 200}
        if others:
            self._note(f"{name}: not answered 200: {others}")

    def _latencies(self, measure: str, prefix: str, got: Answers, reference: Answers | None) -> Iterator[Number]:
        for name, percent in _PERCENTILES.items():
            held_against = percentile(reference.latencies_s, percent) * 1000 if reference else None
            yield self._number(measure, prefix + name, "ms", percentile(got.latencies_s, percent) * 1000, held_against)

    def _number(self, measure: str, name: str, unit: str, bridge: float, reference: float | None = None) -> Number:
        return Number(self._site.database, measure, name, unit, bridge, reference)


def _together_mb(held: Mapping[str, usage.Memory]) -> float:
    """Return what the bridge and Redis hold, what they share counted once."""
    return sum(memory.pss_mb for part, memory in held.items() if part != "postgresql")


MEASURES: dict[str, Callable[[Bench], Iterator[Number]]] = {
    "answers": Bench.answers,
    "latency": Bench.latency,
    "flow": Bench.flow,
    "backlog": Bench.backlog,
    "idle": Bench.idle,
    "journal": Bench.journal,
    "console": Bench.console,
    "soak": Bench.soak,
}
"""By the name that `--only` takes."""
LONG = frozenset({"soak"})
"""Measured only where `--only` says so."""
