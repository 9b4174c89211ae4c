"""Every state of a delivery with every action on it: legal or refused, and the line goes on."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field

import pytest

from bridge.clint.webhook import Answer
from bridge.errors import DeliveriesOpen, IllegalTransition
from bridge.journal import Journal, privacy, retention
from bridge.journal.audit import Actor
from bridge.messages import Message
from bridge.model import FINISHED, DeliveryState, Outcome, Waiting, lane_of
from bridge.operations import actions
from bridge.pipeline.deliver import Deliverer, DeliveryRules
from bridge.pipeline.policy import CircuitLimits, RetryPolicy
from tests.factories import (
    Clock,
    acquire,
    begin,
    owe,
    owed,
    put_in_state,
    register,
    row_of,
    rows_of,
    transaction_of_one,
)

S = DeliveryState
URLS = {"default": "https://clint.example/a"}


class Delivers:
    """A destination that takes everything at once."""

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
        """Answer 200."""
        on_result(Answer(Outcome.DELIVERED, 200, "clint.ok", Message(""), None, 1, ""))


@dataclass
class Line:
    """A customer's line: one delivery in a state, and one that is owed behind it."""

    journal: Journal
    clock: Clock
    state: DeliveryState
    customer: str
    first: int = field(init=False)
    behind: int = field(init=False)

    def __post_init__(self) -> None:
        """Bring the first delivery into its state."""
        is_open = self.state not in FINISHED
        self.first = owe(self.journal, customer=self.customer, state=S.PENDING if is_open else self.state)
        self.behind = owe(self.journal, customer=self.customer)
        if self.state is S.RETRYING:
            due_ms = self.clock() + 60_000
            put_in_state(self.journal, self.first, self.state, due_ms=due_ms, attempts=1, waiting=Waiting.BACKOFF.value)
        elif self.state is S.SENDING:
            lease = acquire(self.journal.lanes, self.lane, "died", self.clock())
            assert lease is not None
            with transaction_of_one(self.journal.lanes, lease, self.clock()) as connection:
                begin(connection, [owed(self.journal, self.first)], lease.fence, self.clock())

    @property
    def lane(self) -> int:
        """The customer's lane."""
        return lane_of("default", self.customer, self.journal.lane_count)

    def states(self) -> tuple[str, str]:
        """Return the state of both deliveries."""
        return row_of(self.journal, self.first)["state"], row_of(self.journal, self.behind)["state"]

    def goes_on(self) -> None:
        """Let a worker do what is due within two minutes."""
        self.clock.go(120)
        lease = acquire(self.journal.lanes, self.lane, "worker", self.clock())
        assert lease is not None
        rules = DeliveryRules(RetryPolicy(10, 60, 3), CircuitLimits(3, 20, 4), in_flight=8, longest_send_ms=3_000)
        outbox = Deliverer(self.journal, Delivers(), URLS, rules, self.clock)
        turns = (outbox.turn([lease], [lease], lambda: False).moved for _ in range(20))
        assert not all(turns), "the worker never comes to an end"
        self.journal.lanes.release_all([lease])


def retry(line: Line) -> None:
    """Send the same payload again."""
    actions.retry(line.journal, line.first, line.clock())


def discard(line: Line) -> None:
    """Decide that it is not owed."""
    actions.discard(line.journal, line.first, line.clock())


def replay(line: Line) -> None:
    """Send the event through today's mappings again."""
    actions.replay(line.journal, row_of(line.journal, line.first)["event_id"], None, line.clock())


def pause(line: Line) -> None:
    """Stop sending, look that nothing is sent, and go on."""
    actions.pause(line.journal, "default", "a person's", line.clock())
    before = line.states()
    line.goes_on()
    after = line.states()
    actions.resume(line.journal, "default", line.clock())
    # What a worker was sending when it died is due again; no state but that changes.
    assert after == tuple("retrying" if state == "sending" else state for state in before)


def resume(line: Line) -> None:
    """Send again to a destination that is not even paused."""
    actions.resume(line.journal, "default", line.clock())


def forget(line: Line) -> None:
    """Erase the person, and drop what is owed."""
    with line.journal.database.write() as connection:
        privacy.erase(connection, [("default", line.customer)], Actor("test"), line.clock(), also_open=True)


def clear(line: Line) -> None:
    """Empty what is finished, however young."""
    ids = [row["event_id"] for row in rows_of(line.journal)]
    with line.journal.database.write() as connection:
        retention.empty(connection, ids, line.clock() + 1, line.clock())


REFUSED: dict[Callable[[Line], None], set[DeliveryState]] = {
    retry: {S.SENDING, S.DELIVERED, S.FILTERED, S.DISCARDED},
    discard: {S.SENDING, S.DELIVERED, S.FILTERED, S.STALE, S.DISCARDED},
    replay: set(),
    pause: set(),
    resume: set(),
    forget: {S.SENDING},
    clear: set(),
}


def expected_end(action: Callable[[Line], None], state: DeliveryState) -> tuple[str, str]:
    """Return what becomes of both deliveries in the end."""
    left_alone = "delivered" if state not in FINISHED else state.value
    if state in REFUSED[action]:
        return left_alone, "delivered"
    if action is forget:
        return "discarded" if state not in FINISHED else state.value, "discarded"
    if action is discard or (action is replay and state is S.DEAD):
        return "discarded", "delivered"
    return "delivered" if action is retry else left_alone, "delivered"


@pytest.mark.parametrize("action", REFUSED, ids=lambda action: action.__name__)
def test_every_state_with_this_action(journal: Journal, action: Callable[[Line], None]) -> None:
    """What is refused changes nothing; after both the line goes on, and nothing in it waits for ever."""
    register(journal, **URLS)
    clock = Clock()
    ended, expected = {}, {}
    for number, state in enumerate(DeliveryState):
        line = Line(journal, clock, state, f"cus_{number}")
        if state in REFUSED[action]:
            before = rows_of(journal)
            with pytest.raises((IllegalTransition, DeliveriesOpen)):
                action(line)
            assert rows_of(journal) == before, state
        else:
            action(line)
        line.goes_on()
        ended[state], expected[state] = line.states(), expected_end(action, state)

    assert ended == expected
