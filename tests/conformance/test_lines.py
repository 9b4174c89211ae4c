"""The rule of lines, over every sequence of what workers and people do to the deliveries of a customer.

Hypothesis draws the sequences; the functions are those of the journal and of recovery, on a real database. The oracles:
a line with open deliveries has exactly one that has its turn (a due time, or is being sent), only a legal change is
made, nothing is owed twice, and what was finished stays as it was unless a person says otherwise.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from typing import Any

import pytest
from hypothesis import HealthCheck, Phase, settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    initialize,
    invariant,
    precondition,
    rule,
    run_state_machine_as_test,
)

from bridge.errors import IllegalTransition
from bridge.journal import Journal, deliveries
from bridge.journal.deliveries import Deferral, DueDelivery, StateChange
from bridge.journal.schema import attempts as attempt_table
from bridge.journal.schema import deliveries as delivery_table
from bridge.journal.schema import events as event_table
from bridge.model import DISCARDABLE, FINISHED, TRANSITIONS, DeliveryState, Outcome, Waiting
from bridge.operations import actions
from tests.factories import (
    NOW_MS,
    acquire,
    begin,
    delivery,
    events_of,
    opened_journal,
    owe_all,
    owed,
    record,
    register,
    row_of,
    rows_of,
    tries_of,
)

CUSTOMERS = ("cus_1", "cus_2")
LINES = ("default", "erp")
OPEN = {state.value for state in DeliveryState} - {state.value for state in FINISHED}
A_TIME = st.integers(min_value=0, max_value=100_000)
_journals: list[Journal] = []


@pytest.fixture
def shared(database_url: str) -> Iterator[Journal]:
    """Give one journal to all sequences; each begins by emptying it."""
    with opened_journal(database_url) as journal:
        _journals[:] = [journal]
        yield journal


class Lines(RuleBasedStateMachine):
    """What may happen to the deliveries of two customers in two lines each."""

    @initialize()
    def empty(self) -> None:
        """Begin with a journal that knows a destination and nothing else."""
        self.journal = _journals[0]
        self.now_ms = NOW_MS
        self.known: dict[int, str] = {}
        with self.journal.database.write() as connection:
            for table in (attempt_table, delivery_table, event_table):
                connection.execute(table.delete())
        register(self.journal)

    def in_states(self, *wanted: DeliveryState) -> list[int]:
        """Return the deliveries in these states."""
        return [row["id"] for row in rows_of(self.journal) if row["state"] in {state.value for state in wanted}]

    def turn(self) -> list[DueDelivery]:
        """Return what has its turn and is not being sent."""
        return [owed(self.journal, row["id"]) for row in rows_of(self.journal) if row["due_ms"] is not None]

    @rule(
        customer=st.sampled_from(CUSTOMERS),
        line=st.sampled_from(LINES),
        state=st.sampled_from(["pending", "filtered", "dead"]),
    )
    def process(self, customer: str, line: str, state: str) -> None:
        """An event of a customer is processed: something is owed, or nothing."""
        new = delivery(self.journal, customer=customer, line=line, state=DeliveryState(state))
        owe_all(self.journal, [new], self.now_ms)

    @rule(customer=st.sampled_from(CUSTOMERS), lines=st.lists(st.sampled_from(LINES), min_size=2, max_size=4))
    def process_many(self, customer: str, lines: list[str]) -> None:
        """A batch makes several deliveries, also of the same line."""
        owe_all(self.journal, [delivery(self.journal, customer=customer, line=line) for line in lines], self.now_ms)

    @precondition(lambda self: self.turn())
    @rule(data=st.data())
    def start(self, data: st.DataObject) -> None:
        """The outbox begins to send what has its turn."""
        chosen = data.draw(st.sampled_from(self.turn()), label="delivery")
        with self.journal.database.write() as connection:
            begin(connection, [chosen], 1, self.now_ms)

    @precondition(lambda self: self.in_states(DeliveryState.SENDING))
    @rule(
        data=st.data(),
        to=st.sampled_from([DeliveryState.DELIVERED, DeliveryState.RETRYING, DeliveryState.DEAD]),
        after_ms=A_TIME,
    )
    def answer(self, data: st.DataObject, to: DeliveryState, after_ms: int) -> None:
        """An answer comes in: delivered, another try later, or dead."""
        chosen = owed(self.journal, data.draw(st.sampled_from(self.in_states(DeliveryState.SENDING)), label="delivery"))
        due_ms = self.now_ms + after_ms if to is DeliveryState.RETRYING else None
        with self.journal.database.write() as connection:
            record(
                connection,
                StateChange(chosen, to, self.now_ms, due_ms),
                chosen.attempts,
                Outcome.DELIVERED if to is DeliveryState.DELIVERED else Outcome.RETRY,
            )

    @precondition(lambda self: self.turn())
    @rule(data=st.data(), to=st.sampled_from([DeliveryState.STALE, DeliveryState.DEAD]))
    def settle_unsent(self, data: st.DataObject, to: DeliveryState) -> None:
        """What has its turn turns out to be stale or at its last try."""
        chosen = data.draw(st.sampled_from(self.turn()), label="delivery")
        with self.journal.database.write() as connection:
            deliveries.move(connection, [(StateChange(chosen, to, self.now_ms), chosen.state)])

    @precondition(lambda self: self.turn())
    @rule(data=st.data(), waiting=st.sampled_from([Waiting.PAUSED, Waiting.CIRCUIT]), after_ms=A_TIME)
    def put_off(self, data: st.DataObject, waiting: Waiting, after_ms: int) -> None:
        """The destination takes nothing right now."""
        chosen = data.draw(st.sampled_from(self.turn()), label="delivery")
        with self.journal.database.write() as connection:
            deliveries.defer(connection, [Deferral(chosen, self.now_ms + after_ms, waiting, "code", "reason")])

    @rule()
    def worker_dies(self) -> None:
        """The owner of every lane dies and another takes over."""
        self.now_ms += 100_000
        for lane in {row["lane"] for row in rows_of(self.journal)}:
            lease = acquire(self.journal.lanes, lane, "next", self.now_ms)
            assert lease is not None
            self.journal.lanes.release_all([lease])

    @precondition(lambda self: bool(rows_of(self.journal)))
    @rule(data=st.data())
    def person_retries(self, data: st.DataObject) -> None:
        """A person asks for another try of any delivery."""
        self.ask(actions.retry, data, DeliveryState.PENDING)

    @precondition(lambda self: bool(rows_of(self.journal)))
    @rule(data=st.data())
    def person_discards(self, data: st.DataObject) -> None:
        """A person discards any delivery."""
        self.ask(actions.discard, data, DeliveryState.DISCARDED)

    def ask(self, command: Any, data: st.DataObject, wanted: DeliveryState) -> None:
        """Run a command on any delivery: it does what the table allows, and says so where it does not."""
        chosen = data.draw(st.sampled_from(rows_of(self.journal)), label="delivery")
        before = DeliveryState(chosen["state"])
        may = before in DISCARDABLE if wanted is DeliveryState.DISCARDED else wanted in TRANSITIONS[before]
        allowed = may and chosen["payload"] is not None
        asked_of_waiting = wanted is DeliveryState.PENDING and before in {DeliveryState.PENDING, DeliveryState.RETRYING}
        expected = contextlib.nullcontext() if allowed or asked_of_waiting else pytest.raises(IllegalTransition)
        with expected:
            assert command(self.journal, chosen["id"], self.now_ms) is before
        after = row_of(self.journal, chosen["id"])["state"]
        assert after == (wanted.value if allowed else before.value)
        if allowed:
            self.known.pop(chosen["id"], None)

    @precondition(lambda self: any(row["state"] == "processed" for row in events_of(self.journal)))
    @rule(data=st.data(), line=st.sampled_from(LINES))
    def replay(self, data: st.DataObject, line: str) -> None:
        """A person replays an event, and the worker processes it again."""
        events = [row for row in events_of(self.journal) if row["state"] == "processed"]
        event = data.draw(st.sampled_from(events), label="event")
        number = actions.replay(self.journal, event["id"], None, self.now_ms)
        for row in rows_of(self.journal):
            if row["event_id"] == event["id"] and self.known.get(row["id"]) == "dead":
                self.known[row["id"]] = "discarded"  # the replay takes its place
        new = delivery(self.journal, customer=event["subject"], event_id=event["id"], line=line, replay=number)
        owe_all(self.journal, [new], self.now_ms)
        with self.journal.database.write() as connection:
            connection.execute(event_table.update().values(state="processed"))

    @rule()
    def resume(self) -> None:
        """A person resumes the destination."""
        actions.resume(self.journal, "default", self.now_ms)

    @invariant()
    def one_turn_in_each_line(self) -> None:
        """Every line with open deliveries has exactly one that has a due time or is being sent."""
        lines: dict[tuple[str, str], list[dict[str, Any]]] = {}
        for row in rows_of(self.journal):
            if row["state"] in OPEN:
                lines.setdefault((row["subject"], row["line"]), []).append(row)
        for line, rows in lines.items():
            turns = [row["id"] for row in rows if row["due_ms"] is not None or row["state"] == "sending"]
            assert len(turns) == 1, (line, rows)
            both = [row for row in rows if row["due_ms"] is not None and row["state"] == "sending"]
            assert both == [], "what is being sent has no due time"

    @invariant()
    def finished_is_finished(self) -> None:
        """What ended has no due time and keeps its state; only a person's command opens it again."""
        for row in rows_of(self.journal):
            if row["state"] in OPEN:
                assert row["finished_ms"] is None, row
                continue
            assert (row["due_ms"], row["waiting"]) == (None, None), row
            assert row["finished_ms"] is not None, row
            assert self.known.setdefault(row["id"], row["state"]) == row["state"]

    @invariant()
    def every_send_has_its_attempt(self) -> None:
        """The attempts of a delivery are numbered without a gap, and only the one being sent has no outcome."""
        tries: dict[int, list[dict[str, Any]]] = {}
        for attempt in tries_of(self.journal):
            tries.setdefault(attempt["delivery_id"], []).append(attempt)
        for row in rows_of(self.journal):
            made = tries.get(row["id"], [])
            assert [attempt["number"] for attempt in made] == list(range(1, row["attempts"] + 1))
            unknown = [attempt["number"] for attempt in made if attempt["outcome"] is None]
            assert unknown == ([row["attempts"]] if row["state"] == "sending" else [])


@pytest.mark.slow
@pytest.mark.usefixtures("shared")
def test_a_line_has_one_turn_whatever_happens(database_url: str) -> None:
    """No sequence of adds, answers, put-offs, deaths of workers, retries, discards and replays breaks a line."""
    examples = 20 if database_url.startswith("sqlite") else 8
    run_state_machine_as_test(
        Lines,
        settings=settings(
            max_examples=examples,
            stateful_step_count=25,
            deadline=None,
            database=None,
            # Each step is several transactions: to shrink a sequence would take longer than to read it.
            phases=[Phase.generate],
            suppress_health_check=list(HealthCheck),
        ),
    )
