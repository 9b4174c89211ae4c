"""The lane protocol as a state machine: two workers, the sweeper and wake-ups, in every order that hypothesis finds.

Events of a few customers come, are decided on and sent by workers that pause, crash, are woken twice or not at all, and
lose their lanes. At every POST and after every step the promises are held against what the journal says; at the end of
each sequence everything that came must have been delivered or have a reason.
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Callable
from dataclasses import replace
from typing import Any, ClassVar

from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule
from sqlalchemy import delete, select, update

from bridge.clint.webhook import Answer
from bridge.journal import Database, Journal, Lanes, Lease, revisions
from bridge.journal.destinations import register
from bridge.journal.schema import attempts, deliveries, destinations, events, lanes
from bridge.messages import Message
from bridge.model import DeliveryState, Outcome, lane_of
from bridge.pipeline.active_mappings import ActiveMappings
from tests.factories import LEASE_S, NOW_MS, Clock, envelope, incoming, payment
from tests.model.worker import DOMAIN, LONGEST_SEND_MS, RULES, Bell, Worker

CUSTOMERS = ("cus_1", "cus_2")
URLS = {"default": "https://clint.example/a"}
MAPPING = "events: [PAYMENT_RECEIVED]\ncontact: {email: payment.description}\n"
ENDED = frozenset({"delivered", "dead", "stale", "filtered", "discarded"})
ANSWERS = (Outcome.DELIVERED, Outcome.DELIVERED, Outcome.RETRY, Outcome.UNKNOWN)
ROUNDS = 60
"""After so many rounds of a whole bridge, with time passing, nothing may be left to do."""

which = st.integers(0, 1)
"""Which of the workers, among those that can do it."""
customers = st.sampled_from(CUSTOMERS)


def is_woken(worker: Worker) -> object:
    """Say whether a worker was woken for something."""
    return worker.woken


def is_free(worker: Worker) -> object:
    """Say whether a worker has lanes and is not about to decide."""
    return worker.held.lanes and not worker.batches


def has_read(worker: Worker) -> object:
    """Say whether a worker is about to decide."""
    return worker.batches


def has_sends(worker: Worker) -> object:
    """Say whether a worker has claimed what is not sent yet."""
    return worker.hands.waiting


def is_at_work(worker: Worker) -> object:
    """Say whether a worker has anything to lose."""
    return worker.held.lanes or worker.woken


def some(can: Callable[[Worker], object]) -> Callable[[LaneProtocol], bool]:
    """Return the condition that one of the workers can do it."""
    return lambda machine: any(can(worker) for worker in machine.workers)


class LaneProtocol(RuleBasedStateMachine):
    """The machine; `url` names a database with this version's schema, which it empties for each sequence."""

    url: ClassVar[str]
    lanes_type: ClassVar[type[Lanes]] = Lanes
    worker_type: ClassVar[type[Worker]] = Worker
    steps: ClassVar[int] = 0
    sequences: ClassVar[int] = 0

    def __init__(self) -> None:
        super().__init__()
        self.clock = Clock()
        self.database = Database(self.url)
        self.journal = Journal(self.database, LEASE_S)
        self.journal.lanes = self.lanes_type(self.database, int(LEASE_S * 1000))
        self._empty()
        self.mappings = ActiveMappings(self.journal, self.clock)
        self.bell = Bell(self.clock)
        self.lane_of = {customer: lane_of("default", customer, self.journal.lane_count) for customer in CUSTOMERS}
        self.workers = [self._new_worker("A"), self._new_worker("B")]
        self.numbers: Counter[str] = Counter()
        self.delivered: set[str] = set()
        self.excused: set[int] = set()
        self.sending: tuple[Worker, Lease] | None = None
        self.answer = Outcome.DELIVERED
        self.breach = ""
        type(self).sequences += 1

    def _empty(self) -> None:
        with self.database.write() as connection:
            for table in (attempts, deliveries, events, destinations):
                connection.execute(delete(table))
            connection.execute(update(lanes).values(owner=None, fence=0, lease_until_ms=0))
            register(connection, URLS, NOW_MS)
            revisions.import_text(connection, "paga", MAPPING, "file", "test", NOW_MS)

    def _new_worker(self, name: str) -> Worker:
        return self.worker_type(name, self.journal, self.mappings, self.bell, self._posted, URLS, self.clock)

    # ------------------------------------------------------------ what comes from outside

    @initialize(customer=customers)
    def begin(self, customer: str) -> None:
        """Begin with an event: without one nothing can happen."""
        self.event_comes(customer, woken=True)

    @rule(customer=customers, woken=st.booleans())
    def event_comes(self, customer: str, woken: bool) -> None:
        """Asaas posts an event; where it is not woken, Redis was away."""
        self._count()
        self.numbers[customer] += 1
        number = self.numbers[customer]
        key = f"{customer}-{number}"
        event = incoming(customer, key=key, object_id=f"pay_{key}", received_ms=self.clock())
        body = json.dumps(envelope(key=key, payment=payment(customer, description=key + DOMAIN)))
        ((lane, _),) = self.journal.append([replace(event, body=body)])
        if woken:
            self.bell.wake(lane)
        else:
            self.excused.add(lane)

    @rule(seconds=st.sampled_from([1, 3, 6, 28, 31]))
    def time_passes(self, seconds: int) -> None:
        """Nobody does anything for a while: leases may end, retries become due."""
        self._count()
        before = set(self.journal.lanes.due(self.clock()))
        self.clock.go(seconds)
        self.excused |= set(self.journal.lanes.due(self.clock())) - before  # what becomes due by time is the sweeper's

    @rule()
    def sweep(self) -> None:
        """The sweeper wakes what is due."""
        self._count()
        for lane in self.journal.lanes.due(self.clock()):
            self.bell.wake(lane)

    # ------------------------------------------------------------ what a worker does

    @precondition(lambda self: self.bell.rung)
    @rule(which=which, lost=st.integers(0, 9))
    def wake_up(self, which: int, lost: int) -> None:
        """A worker takes the oldest wake-up from the queue; one in ten is lost with Redis."""
        self._count()
        lane = self.bell.rung.pop(0)
        if lost:
            self.workers[which].wake(lane)
        else:
            self.excused.add(lane)

    @rule(which=which, customer=customers)
    def stray_wake_up(self, which: int, customer: str) -> None:
        """A worker is woken once more than needed."""
        self._count()
        self.workers[which].wake(self.lane_of[customer])

    @precondition(some(is_woken))
    @rule(which=which)
    def take(self, which: int) -> None:
        """A worker leases the lanes that it was woken for."""
        self._count()
        self._take(self._one(which, is_woken))

    @precondition(some(is_free))
    @rule(which=which)
    def look(self, which: int) -> None:
        """A worker reads what waits."""
        self._count()
        self._one(which, is_free).look()

    @precondition(some(has_read))
    @rule(which=which)
    def decide(self, which: int) -> None:
        """A worker writes down what it has decided."""
        self._count()
        self._one(which, has_read).decide()

    @precondition(some(is_free))
    @rule(which=which)
    def turn(self, which: int) -> None:
        """A worker records answers and claims deliveries."""
        self._count()
        self._one(which, is_free).turn()

    @precondition(some(is_free))
    @rule(which=which)
    def drain(self, which: int) -> None:
        """A worker that nothing comes between does all its steps up to the sends."""
        self._count()
        self._drain(self._one(which, is_free))

    @precondition(some(has_sends))
    @rule(which=which, nth=st.integers(0, 3), outcome=st.sampled_from(ANSWERS))
    def send(self, which: int, nth: int, outcome: Outcome) -> None:
        """One of a worker's sends goes out, however long after it was claimed, and is answered."""
        self._count()
        self._send(self._one(which, has_sends), nth, outcome)

    @precondition(some(has_sends))
    @rule(which=which, seconds=st.sampled_from([0, 0, 28, 31]))
    def overtake(self, which: int, seconds: int) -> None:
        """A worker is woken for the lanes of another one, which then sends what it had claimed before."""
        self._count()
        late = self._one(which, has_sends)
        early = self.workers[1 - self.workers.index(late)]
        if seconds:
            self.time_passes(seconds)
        for lease, _ in late.hands.waiting:
            early.wake(lease.lane)
        if not early.batches:
            self._take(early)
            self._drain(early)
        while late.hands.waiting:
            self._send(late, 0, Outcome.DELIVERED)

    @precondition(some(is_free))
    @rule(which=which)
    def give_back(self, which: int) -> None:
        """A worker gives its lanes back and looks once more."""
        self._count()
        self._one(which, is_free).give_back()

    @precondition(some(is_at_work))
    @rule(which=which)
    def crash(self, which: int) -> None:
        """A worker is killed: what it knew and had not sent is gone."""
        self._count()
        worker = self._one(which, is_at_work)
        self.excused |= set(worker.held.lanes) | worker.woken
        self.workers[self.workers.index(worker)] = self._new_worker(worker.name)

    def _one(self, which: int, can: Callable[[Worker], object]) -> Worker:
        able = [worker for worker in self.workers if can(worker)]
        return able[which % len(able)]

    def _take(self, worker: Worker) -> None:
        worker.take()
        self.excused -= set(worker.held.lanes)

    def _drain(self, worker: Worker) -> None:
        if not worker.batches:
            worker.look()
        worker.decide()
        worker.turn()

    def _send(self, worker: Worker, which: int, outcome: Outcome) -> None:
        if not worker.hands.waiting:
            return
        lease, go = worker.hands.waiting.pop(which % len(worker.hands.waiting))
        self.sending, self.answer = (worker, lease), outcome
        go()
        assert not self.breach, self.breach

    # ------------------------------------------------------------ the destination, and what it holds the bridge to

    def _posted(self, event_key: str) -> Answer:
        # Kept, not raised: to the bridge an exception would be a fault of its own, which it survives.
        self.breach = self.breach or self._judge(event_key)
        if self.answer is Outcome.DELIVERED:
            self.delivered.add(event_key)
        return Answer(
            self.answer, 200 if self.answer is Outcome.DELIVERED else None, "test", Message("test"), None, 1, ""
        )

    def _judge(self, event_key: str) -> str:
        """Return which promise the POST that has just come breaks, if any."""
        assert self.sending is not None
        worker, lease = self.sending
        customer, _, number = event_key.partition("-")
        with self.database.read() as connection:
            lane = connection.execute(select(lanes).where(lanes.c.lane == lease.lane)).one()
            rows = connection.execute(
                select(deliveries.c.id, deliveries.c.state, events.c.event_key)
                .join(events, events.c.id == deliveries.c.event_id)
                .where(deliveries.c.subject == customer)
            ).all()
            mine = next(row for row in rows if row.event_key == event_key)
            outcomes = list(connection.scalars(select(attempts.c.outcome).where(attempts.c.delivery_id == mine.id)))
        states = {int(row.event_key.partition("-")[2]): row.state for row in rows}
        if (lane.owner, lane.fence) != (worker.name, lease.fence):
            return f"{event_key} was sent by {worker.name}, which had lost the lane to {lane.owner}"
        if lane.lease_until_ms < self.clock() + LONGEST_SEND_MS:
            return f"{event_key} was sent under a lease that may end before the answer comes"
        if mine.state != DeliveryState.SENDING or outcomes.count(None) != 1:
            return f"{event_key} was sent in the state {mine.state}, with {outcomes.count(None)} open attempts"
        if Outcome.DELIVERED in outcomes:
            return f"{event_key} was sent again although its delivery is recorded"
        early = [before for before in range(1, int(number)) if states.get(before) not in ENDED]
        return f"{event_key} was sent before {early} of its customer had ended" if early else ""

    @invariant()
    def one_try_of_each_customer_is_open(self) -> None:
        """However many workers there are, one delivery of a customer is being sent at most."""
        with self.database.read() as connection:
            out = connection.scalars(select(deliveries.c.subject).where(deliveries.c.state == "sending")).all()
        assert len(out) == len(set(out)), f"two are sent at once: {sorted(out)}"

    @invariant()
    def nothing_sleeps(self) -> None:
        """Work that nobody has is woken or about to be, but where a wake-up was lost, or it became due by time."""
        due = self.journal.lanes.due(self.clock())
        seen = set(self.bell.rung) | self.excused
        for worker in self.workers:
            seen |= worker.woken | set(worker.held.lanes)
        asleep = set(due) - seen
        assert not asleep, f"nobody sees to the lanes {sorted(asleep)}"

    def teardown(self) -> None:
        """Let the whole bridge run on, and judge what became of everything that came."""
        try:
            if not self.breach:
                self._come_to_rest()
        finally:
            self.database.close()

    def _come_to_rest(self) -> None:
        for _ in range(ROUNDS):
            for lane in self.journal.lanes.due(self.clock()):
                self.bell.wake(lane)
            for worker in self.workers:
                while self.bell.rung:
                    worker.wake(self.bell.rung.pop(0))
                self._take(worker)
                self._drain(worker)
                while worker.hands.waiting:
                    self._send(worker, 0, Outcome.DELIVERED)
                worker.turn()
                worker.give_back()
            if not self._left():
                break
            self.clock.go(7)
        assert not self._left(), f"never came to rest: {self._left()}"
        with self.database.read() as connection:
            rows = connection.execute(
                select(events.c.event_key, deliveries.c.state, deliveries.c.attempts).join(
                    deliveries, deliveries.c.event_id == events.c.id
                )
            ).all()
        assert Counter(row.event_key for row in rows) == Counter(
            f"{customer}-{n}" for customer in CUSTOMERS for n in range(1, self.numbers[customer] + 1)
        ), "each event becomes one delivery"
        early = [row.event_key for row in rows if row.state != "delivered" and row.attempts < RULES.retries.attempts]
        assert early == [], f"given up before their last try: {early}"
        recorded = {row.event_key for row in rows if row.state == "delivered"}
        assert recorded <= self.delivered, f"recorded as delivered, and never sent: {recorded - self.delivered}"

    def _left(self) -> list[Any]:
        with self.database.read() as connection:
            waiting = connection.scalars(select(events.c.event_key).where(events.c.state == "received")).all()
            states = connection.scalars(select(deliveries.c.state)).all()
        return [*waiting, *(state for state in states if state not in ENDED)]

    def _count(self) -> None:
        type(self).steps += 1
