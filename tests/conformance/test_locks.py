"""What takes a lock waits for whoever has it: without its lock a change would not wait, and this suite would fail.

On PostgreSQL, where rows are locked; on SQLite one transaction writes at a time anyway.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager

import pytest
from sqlalchemy import Connection

from bridge.clint.webhook import Answer
from bridge.errors import DeliveriesOpen
from bridge.journal import Journal, Lease, clock, destinations, encryption, lanes, privacy, retention, revisions
from bridge.journal.audit import Actor
from bridge.model import DeliveryState
from bridge.operations import actions
from bridge.pipeline.deliver import Deliverer, DeliveryRules
from bridge.pipeline.policy import CircuitLimits, RetryPolicy
from tests.factories import (
    NOW_MS,
    acquire,
    begin,
    opened_journal,
    owe,
    owed,
    put_in_state,
    register,
    revision,
    row_of,
    until,
)

MAPPING = "events: [PAYMENT_CREATED]"
FAR_MS = NOW_MS + 10**9


class Bench:
    """A journal with a customer's dead delivery, and one that a worker sent and whose answer is not written yet."""

    def __init__(self, journal: Journal) -> None:
        self.journal = journal
        register(journal)
        self.first_revision = revision(journal)
        revision(journal, text=MAPPING)
        self.sent = owe(journal)
        self.dead = owe(journal, state=DeliveryState.DEAD)
        self.event = row_of(journal, self.dead)["event_id"]
        self.lane = row_of(journal, self.dead)["lane"]
        lease = acquire(journal.lanes, self.lane, "worker", NOW_MS)
        assert lease is not None
        self.lease: Lease = lease
        rules = DeliveryRules(RetryPolicy(10, 60, 3), CircuitLimits(3, 20, 4), in_flight=8, longest_send_ms=3_000)
        self.outbox = Deliverer(journal, self, {"default": "https://clint.example/a"}, rules, lambda: NOW_MS)
        self.send()

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
        """Send nothing, and let the lease's end be the reason."""
        on_result(None)

    def send(self) -> None:
        """Let the worker settle and send."""
        self.outbox.turn([self.lease], [self.lease], lambda: False)

    def write(self, change: Callable[[Connection], object]) -> None:
        """Do it in a transaction of its own."""
        with self.journal.database.write() as connection:
            change(connection)

    def restore(self) -> None:
        """Make an older text of the mapping the active one."""
        with self.journal.database.read() as connection:
            old = revisions.get(connection, self.first_revision)
        assert old is not None
        self.write(lambda connection: revisions.restore(connection, old, "test", NOW_MS))


@pytest.fixture
def bench(postgres_url: str) -> Iterator[Bench]:
    """Give a bench."""
    with opened_journal(postgres_url) as journal:
        yield Bench(journal)


def waits(journal: Journal, thread: threading.Thread) -> bool:
    """Return whether the thread waits for a lock of another transaction; False where it ended instead."""

    def found() -> str:
        with journal.database.read() as connection:
            query = "SELECT count(*) FROM pg_locks WHERE NOT granted AND pid IN (SELECT pid FROM pg_stat_activity"
            blocked = connection.exec_driver_sql(f"{query} WHERE datname = current_database())").scalar_one()
        return "waits" if blocked else "" if thread.is_alive() else "ended"

    return bool(until(found) == "waits")


def beside(
    bench: Bench, holder: AbstractContextManager[None], change: Callable[[Bench], object]
) -> tuple[bool, list[BaseException]]:
    """Make the change while another transaction is open; return whether it waited for it, and its errors."""
    errors: list[BaseException] = []

    def work() -> None:
        try:
            change(bench)
        except BaseException as error:  # noqa: BLE001 (a thread's error must fail the test)
            errors.append(error)

    thread = threading.Thread(target=work)
    with holder:
        thread.start()
        waited = waits(bench.journal, thread)
    thread.join()
    return waited, errors


@contextmanager
def worker(bench: Bench) -> Iterator[None]:
    """A worker writes in the lane."""
    with bench.journal.lanes.transaction([bench.lease], NOW_MS):
        yield


@contextmanager
def person(bench: Bench) -> Iterator[None]:
    """A person changes something in the lane."""
    with bench.journal.database.write() as connection:
        lanes.lock(connection, [bench.lane])
        yield


@contextmanager
def importing(bench: Bench) -> Iterator[None]:
    """Another process brings mappings in."""
    with bench.journal.database.write() as connection:
        revisions.turn(connection)
        yield


@contextmanager
def starting(bench: Bench) -> Iterator[None]:
    """Another process begins."""
    with bench.journal.database.write() as connection:
        encryption.prepare(connection)
        yield


def bring_in(connection: Connection) -> None:
    """Bring a mapping's file in."""
    revisions.import_text(connection, "paga", "new", "file", "test", NOW_MS)


Holder = Callable[[Bench], AbstractContextManager[None]]
CHANGES: dict[str, tuple[Holder, Callable[[Bench], object]]] = {
    "retry": (worker, lambda b: actions.retry(b.journal, b.dead, NOW_MS)),
    "discard": (worker, lambda b: actions.discard(b.journal, b.dead, NOW_MS)),
    "replay": (worker, lambda b: actions.replay(b.journal, b.event, None, NOW_MS)),
    "resume": (worker, lambda b: actions.resume(b.journal, "default", NOW_MS)),
    "register": (worker, lambda b: b.write(lambda c: destinations.register(c, {}, NOW_MS))),
    "empty": (worker, lambda b: b.write(lambda c: retention.empty(c, [b.event], FAR_MS, NOW_MS))),
    "remove": (worker, lambda b: b.write(lambda c: retention.remove(c, [b.event], FAR_MS))),
    "repair of the clock": (worker, lambda b: b.write(lambda c: clock.due_now(c, NOW_MS, NOW_MS - 1, NOW_MS))),
    "settle": (person, Bench.send),
    "import of mappings": (importing, lambda b: b.write(bring_in)),
    "restore of a mapping": (importing, Bench.restore),
    "first start": (starting, lambda b: b.write(encryption.prepare)),
}


@pytest.mark.parametrize("name", CHANGES)
def test_a_change_waits_for_who_has_its_lock(bench: Bench, name: str) -> None:
    """It goes on once the other transaction has ended."""
    holder, change = CHANGES[name]
    if name == "repair of the clock":
        put_in_state(bench.journal, bench.dead, DeliveryState.RETRYING, due_ms=FAR_MS)
    if name == "replay":  # nothing is dead then, and no discard takes the lock in its place
        put_in_state(bench.journal, bench.dead, DeliveryState.DELIVERED, due_ms=None)
    waited, errors = beside(bench, holder(bench), change)

    assert waited
    assert errors == []


def test_a_person_is_not_forgotten_whose_delivery_a_worker_begins_to_send(bench: Bench) -> None:
    """What is owed is looked at under the lock: else a delivery that is on its way would be discarded."""
    put_in_state(bench.journal, bench.sent, DeliveryState.DELIVERED, due_ms=None)
    waiting = owe(bench.journal)

    @contextmanager
    def sending() -> Iterator[None]:
        with bench.journal.lanes.transaction([bench.lease], NOW_MS) as (connection, _):
            begin(connection, [owed(bench.journal, waiting)], bench.lease.fence, NOW_MS)
            yield

    def forget(bench: Bench) -> None:
        with bench.journal.database.write() as connection:
            privacy.erase(connection, [("default", "cus_1")], Actor("test"), NOW_MS, also_open=True)

    waited, errors = beside(bench, sending(), forget)

    assert waited
    assert [type(error) for error in errors] == [DeliveriesOpen]
    assert row_of(bench.journal, waiting)["state"] == "sending"
