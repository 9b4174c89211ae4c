"""The lane protocol as a state machine: two workers, the sweeper and wake-ups, in the orders that hypothesis draws.

Two workers decide on the events of two customers and send them. They pause, crash, miss wake-ups, lose lanes and get
them back; an event or a crash may come within a step, at a failpoint. At each POST and after each step the machine
compares the journal with the promises. At the end of a sequence each event must be delivered or have a reason.
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import dataclass, replace
from typing import Any, ClassVar
from unittest.mock import patch

from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule
from sqlalchemy import delete, select, update

from bridge.clint.webhook import Answer
from bridge.journal import Database, Journal, revisions
from bridge.journal.destinations import register
from bridge.journal.schema import attempts, deliveries, destinations, events, lanes
from bridge.messages import Message
from bridge.model import DeliveryState, Outcome, lane_of
from bridge.pipeline import decide, deliver
from bridge.pipeline.active_mappings import ActiveMappings
from bridge.worker import drain
from tests.factories import LEASE_S, NOW_MS, Clock, envelope, incoming, payment
from tests.model.worker import DOMAIN, LONGEST_SEND_MS, RULES, Bell, Send, Worker

CUSTOMERS = ("cus_1", "cus_2")
URLS = {"default": "https://clint.example/a"}
MAPPING = "events: [PAYMENT_RECEIVED]\ncontact: {email: payment.description}\n"
ENDED = frozenset({"delivered", "dead", "stale", "filtered", "discarded"})
ANSWERS = (Outcome.DELIVERED, Outcome.DELIVERED, Outcome.RETRY, Outcome.UNKNOWN)
ROUNDS = 60
"""After so many rounds of a whole bridge, with time passing, nothing may be left to do."""
OUTSIDE = (
    "lane.after_lease",
    "lane.before_release",
    "lane.after_release",
    "wake.before_ended",
    "process.before_write",
    "process.after_commit",
    "deliver.intent_after_commit",
    "deliver.outcome_after_commit",
)
"""Points within a step at which no transaction is open: an event may come there, or the worker crash."""
RELEASING = OUTSIDE[1:4]
"""Those that a worker passes when it gives lanes back."""
INSIDE = ("process.before_commit", "deliver.intent_before_commit", "deliver.outcome_before_commit")
"""Points within a transaction: the worker may crash there."""


class Crash(BaseException):
    """A worker is killed within a step; no handler of the bridge may keep it alive."""


@dataclass(slots=True)
class Post:
    """A POST that the destination got and has not answered."""

    customer: str
    answer: Outcome
    until_ms: int
    """When its sender gives it up."""
    send: Send


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


def has_posts(worker: Worker) -> object:
    """Say whether a worker waits for an answer."""
    return worker.posts


def is_at_work(worker: Worker) -> object:
    """Say whether a worker has anything to lose."""
    return worker.held.lanes or worker.woken


def some(can: Callable[[Worker], object]) -> Callable[[LaneProtocol], bool]:
    """Return the condition that one of the workers can do it."""
    return lambda machine: any(can(worker) for worker in machine.workers)


class LaneProtocol(RuleBasedStateMachine):
    """The machine; `url` names a database with this version's schema, which it empties for each sequence."""

    url: ClassVar[str]
    steps: ClassVar[int] = 0
    sequences: ClassVar[int] = 0

    def __init__(self) -> None:
        super().__init__()
        self.clock = Clock()
        self.database = Database(self.url)
        self.journal = Journal(self.database, LEASE_S)
        self._empty()
        self.mappings = ActiveMappings(self.journal, self.clock)
        self.bell = Bell(self.clock, lambda: self._at("wake.before_ended"))
        self.lane_of = {customer: lane_of("default", customer, self.journal.lane_count) for customer in CUSTOMERS}
        self.workers = [self._new_worker("A"), self._new_worker("B")]
        self.numbers: Counter[str] = Counter()
        self.delivered: set[str] = set()
        self.excused: set[int] = set()
        self.flying: list[Post] = []
        """What the destination is busy with, whether or not its sender still lives."""
        self.armed: tuple[str, str] | None = None
        self.breach = ""
        self.patches = ExitStack()
        for module in (drain, decide, deliver):
            self.patches.enter_context(patch.object(module, "failpoint", self._at))
        type(self).sequences += 1

    def _empty(self) -> None:
        with self.database.write() as connection:
            for table in (attempts, deliveries, events, destinations):
                connection.execute(delete(table))
            connection.execute(update(lanes).values(owner=None, fence=0, lease_until_ms=0))
            register(connection, URLS, NOW_MS)
            revisions.import_text(connection, "paga", MAPPING, "file", "test", NOW_MS)

    def _new_worker(self, name: str) -> Worker:
        return Worker(name, self.journal, self.mappings, self.bell, self._handed_over, URLS, self.clock)

    def _at(self, point: str) -> None:
        """Let happen what is armed for this point."""
        if self.armed is None or self.armed[0] != point:
            return
        (_, what), self.armed = self.armed, None
        if what == "crash":
            raise Crash
        self._event_comes(what, woken=True)

    def _step(self, worker: Worker, *steps: Callable[[], object]) -> None:
        """Do steps of a worker, which may die in one of them."""
        if worker not in self.workers:
            return
        try:
            for step in steps:
                step()
        except Crash:
            self._crash(worker)
        assert not self.breach, self.breach

    # ------------------------------------------------------------ what comes from outside

    @initialize(customer=customers)
    def begin(self, customer: str) -> None:
        """Begin with an event: without one nothing can happen."""
        self.event_comes(customer, woken=True)

    @rule(customer=customers, woken=st.booleans())
    def event_comes(self, customer: str, woken: bool) -> None:
        """Asaas posts an event; where it is not woken, Redis was away."""
        self._count()
        self._event_comes(customer, woken=woken)

    def _event_comes(self, customer: str, *, woken: bool) -> None:
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

    @rule(point=st.sampled_from(OUTSIDE), what=st.sampled_from(("crash", *CUSTOMERS)))
    def arm(self, point: str, what: str) -> None:
        """Let a worker crash, or an event come, when the next worker passes that point."""
        self._count()
        self.armed = (point, what)

    @rule(point=st.sampled_from(INSIDE))
    def arm_a_crash(self, point: str) -> None:
        """Let the next worker that passes that point crash, before its commit."""
        self._count()
        self.armed = (point, "crash")

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
        worker = self._one(which, is_free)
        self._step(worker, worker.look)

    @precondition(some(has_read))
    @rule(which=which)
    def decide(self, which: int) -> None:
        """A worker writes down what it has decided."""
        self._count()
        worker = self._one(which, has_read)
        self._step(worker, worker.decide)

    @precondition(some(is_free))
    @rule(which=which)
    def turn(self, which: int) -> None:
        """A worker records answers and claims deliveries."""
        self._count()
        worker = self._one(which, is_free)
        self._step(worker, worker.turn)

    @precondition(some(is_free))
    @rule(which=which)
    def drain(self, which: int) -> None:
        """A worker that nothing comes between does all its steps up to the sends."""
        self._count()
        self._drain(self._one(which, is_free))

    @precondition(some(has_sends))
    @rule(which=which, nth=st.integers(0, 3), outcome=st.sampled_from(ANSWERS))
    def send(self, which: int, nth: int, outcome: Outcome) -> None:
        """One of a worker's sends goes out, however long after it was claimed; its answer is on its way."""
        self._count()
        self._send(self._one(which, has_sends), nth, outcome)

    @precondition(some(has_posts))
    @rule(which=which, nth=st.integers(0, 3))
    def answer(self, which: int, nth: int) -> None:
        """One of a worker's sends is answered, however late."""
        self._count()
        self._answer(self._one(which, has_posts), nth)

    @precondition(some(is_free))
    @rule(which=which, seconds=st.sampled_from([0, 28, 31]), goes_on=st.sampled_from(["sends", "leaves", "regains"]))
    def overtake(self, which: int, seconds: int, goes_on: str) -> None:
        """The other worker is woken for a worker's lanes and works on them; then the first one goes on as before.

        It sends what it had claimed, gives the lanes back although an event came, or notices the loss and leases them
        anew.
        """
        self._count()
        late = self._one(which, is_free)
        early = self.workers[1 - self.workers.index(late)]
        taken = late.held.lanes
        if goes_on == "leaves":
            self._work_off(late)  # a lane in which an answer is waited for is not given back
        if seconds:
            self.time_passes(seconds)
        if early.batches or late.batches:
            return
        if goes_on == "leaves":
            for customer in CUSTOMERS:
                if self.lane_of[customer] in taken:
                    self._event_comes(customer, woken=True)
        self._wake(early, taken)
        if goes_on == "regains":
            self._step(early, early.give_back)
            self._step(late, late.turn)
            self._wake(late, taken)
            self._drain(late)
            self._send_all(late)
            if late.posts:
                self._answer(late, 0)
            self._drain(late)
        else:
            self._drain(early)
            self._send_all(early)
            if goes_on == "leaves":
                self._step(late, late.give_back)
                self._take(late)
                self._drain(late)
        self._send_all(late)

    @precondition(some(is_free))
    @rule(which=which)
    def give_back(self, which: int) -> None:
        """A worker gives its lanes back and looks once more."""
        self._count()
        worker = self._one(which, is_free)
        self._step(worker, worker.give_back)

    @precondition(some(is_free))
    @rule(which=which, comes_at=st.sampled_from(RELEASING))
    def finish(self, which: int, comes_at: str) -> None:
        """A worker does all it has to do and gives its lanes back; meanwhile an event comes in one of them."""
        self._count()
        worker = self._one(which, is_free)
        mine = [customer for customer, lane in self.lane_of.items() if lane in worker.held.lanes]
        self._work_off(worker)
        self.armed = (comes_at, mine[0])
        self._step(worker, worker.give_back)
        self.armed = None

    @precondition(some(is_at_work))
    @rule(which=which)
    def crash(self, which: int) -> None:
        """A worker is killed: what it knew and had not sent is gone."""
        self._count()
        self._crash(self._one(which, is_at_work))

    def _wake(self, worker: Worker, lanes_: list[int]) -> None:
        for lane in lanes_:
            worker.wake(lane)
        self._take(worker)

    def _crash(self, worker: Worker) -> None:
        worker.hands.waiting.clear()
        worker.posts.clear()
        self.excused |= set(worker.held.lanes) | worker.woken
        self.workers[self.workers.index(worker)] = self._new_worker(worker.name)

    def _one(self, which: int, can: Callable[[Worker], object]) -> Worker:
        able = [worker for worker in self.workers if can(worker)]
        return able[which % len(able)]

    def _take(self, worker: Worker) -> None:
        self._step(worker, worker.take)
        if worker in self.workers:
            self.excused -= set(worker.held.lanes)

    def _drain(self, worker: Worker) -> None:
        self._step(worker, *([] if worker.batches else [worker.look]), worker.decide, worker.turn)

    def _work_off(self, worker: Worker) -> None:
        self._drain(worker)
        self._send_all(worker)
        while worker.posts:
            self._answer(worker, 0)
        self._step(worker, worker.turn)

    def _send_all(self, worker: Worker) -> None:
        while worker.hands.waiting:
            self._send(worker, 0, Outcome.DELIVERED)

    def _send(self, worker: Worker, which: int, outcome: Outcome) -> None:
        send = worker.hands.waiting.pop(which % len(worker.hands.waiting))
        if not send.may_start():
            send.on_result(None)
            return
        breach = self._judge(worker, send)
        assert not breach, breach
        if outcome is Outcome.DELIVERED:
            self.delivered.add(send.event_key)
        post = Post(send.customer, outcome, self.clock() + LONGEST_SEND_MS, send)
        self.flying.append(post)
        worker.posts.append(post)

    def _answer(self, worker: Worker, which: int) -> None:
        post = worker.posts.pop(which % len(worker.posts))
        self.flying.remove(post)
        status = 200 if post.answer is Outcome.DELIVERED else None
        post.send.on_result(Answer(post.answer, status, "test", Message("test"), None, 1, ""))

    # ------------------------------------------------------------ the destination, and what it holds the bridge to

    def _handed_over(self, send: Send) -> None:
        """Note a breach where a send is handed to the client before its intent is committed."""
        # Kept, not raised: to the bridge an exception would be a fault of its own, which it survives.
        with self.database.read() as connection:
            state = connection.scalar(
                select(deliveries.c.state)
                .join(events, events.c.id == deliveries.c.event_id)
                .where(events.c.event_key == send.event_key)
            )
        if state != DeliveryState.SENDING:
            self.breach = f"{send.event_key} was handed over in the state {state}: its intent is not committed"

    def _judge(self, worker: Worker, send: Send) -> str:
        """Return which promise the POST that has just come breaks, if any."""
        event_key, lease = send.event_key, send.lease
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
        busy = [post for post in self.flying if post.customer == customer and self.clock() < post.until_ms]
        states = {int(row.event_key.partition("-")[2]): row.state for row in rows}
        if busy:
            return f"{event_key} was sent while {busy[0].send.event_key} of its customer was on its way"
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
            self.patches.close()
            self.database.close()

    def _come_to_rest(self) -> None:
        self.armed = None
        for _ in range(ROUNDS):
            for lane in self.journal.lanes.due(self.clock()):
                self.bell.wake(lane)
            for worker in self.workers:
                while self.bell.rung:
                    worker.wake(self.bell.rung.pop(0))
                self._take(worker)
                self._work_off(worker)
                self._step(worker, worker.give_back)
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
