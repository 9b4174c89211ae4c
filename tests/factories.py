"""Makes what tests of the way need, with sensible values for everything a test does not care about.

Journals are real databases with this version's schema. Nothing here patches the bridge: tests turn the knobs that the
code has, such as its clock.
"""

from __future__ import annotations

import atexit
import contextlib
import functools
import json
import shutil
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import fields, replace
from itertools import count
from pathlib import Path
from typing import Any

from sqlalchemy import Connection, insert, select

from bridge.journal import Database, Journal, Lanes, Lease, deliveries, destinations, migrate, revisions, upgrade
from bridge.journal.deliveries import AttemptResult, DueDelivery, NewDelivery, StateChange
from bridge.journal.notices import Notice
from bridge.journal.schema import attempts as attempt_table
from bridge.journal.schema import deliveries as delivery_table
from bridge.journal.schema import events as event_table
from bridge.messages import message
from bridge.model import FINISHED, DeliveryState, IncomingEvent, NoticeLevel, Outcome, lane_of

LEASE_S = 30.0
NOW_MS = 1_795_000_000_000
"""A moment in November 2026, where a test stands still."""

_numbers = count(1)


class Clock:
    """A clock that goes only when a test says so."""

    def __init__(self, now_ms: int = NOW_MS) -> None:
        self.now_ms = now_ms

    def __call__(self) -> int:
        return self.now_ms

    def go(self, seconds: float) -> int:
        """Let time pass; return the new now."""
        self.now_ms += int(seconds * 1000)
        return self.now_ms


@functools.cache
def sqlite_template() -> Path:
    """Return a SQLite file with this version's schema and no rows; to copy it takes a tenth of making it."""
    directory = Path(tempfile.mkdtemp(prefix="bridge-template-"))
    atexit.register(shutil.rmtree, directory)
    database = Database(f"sqlite:///{directory / 'journal.db'}")
    upgrade(database)
    database.close()
    return directory / "journal.db"


@contextlib.contextmanager
def opened_journal(url: str, lease_s: float = LEASE_S) -> Iterator[Journal]:
    """Give a journal of this version's schema in that database."""
    scheme, _, name = url.partition(":///")
    if scheme == "sqlite" and not Path(name).exists():
        Path(name).parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(sqlite_template(), name)
    database = Database(url)
    with database.read() as connection:
        schema = migrate.current(connection)
    if schema != migrate.head():  # to ask Alembic takes five times of all else
        upgrade(database)
    try:
        yield Journal(database, lease_s)
    finally:
        database.close()


def payment(customer: str = "cus_1", **more: Any) -> dict[str, Any]:
    """Return a charge as Asaas puts it into an envelope."""
    return {
        "object": "payment",
        "id": "pay_1",
        "customer": customer,
        "value": 129.9,
        "netValue": 128.91,
        "billingType": "PIX",
        "status": "RECEIVED",
        "description": "Mensalidade",
        **more,
    }


def envelope(name: str = "PAYMENT_RECEIVED", key: str | None = None, **more: Any) -> dict[str, Any]:
    """Return what Asaas posts about a charge."""
    return {
        "id": key or f"evt_d26e303b238e509335ac9ba210e51b0f&{next(_numbers)}",
        "event": name,
        "dateCreated": "2026-11-22 10:00:00",
        "payment": payment(),
        **more,
    }


def incoming(customer: str = "cus_1", **changes: Any) -> IncomingEvent:
    """Return an event of that customer with an id of its own."""
    body = envelope(payment=payment(customer))
    event = IncomingEvent(
        account="default",
        key=body["id"],
        name=body["event"],
        entity="payment",
        object_id="pay_1",
        subject=customer,
        created=body["dateCreated"],
        body=json.dumps(body),
        received_ms=NOW_MS,
    )
    return replace(event, **changes)


def keep(journal: Journal, *events: IncomingEvent) -> list[int]:
    """Append these events and return their numbers."""
    return [kept.id for _, kept in journal.append(list(events))]


class LeaseLost(Exception):
    """Another owner has the lane."""


def acquire(lanes: Lanes, lane: int, owner: str, now_ms: int) -> Lease | None:
    """Lease one lane, unless another owner has it."""
    return next(iter(lanes.acquire_all([lane], owner, now_ms)), None)


@contextlib.contextmanager
def transaction_of_one(lanes: Lanes, lease: Lease, now_ms: int) -> Iterator[Connection]:
    """Open a write transaction under one lease, which must not be lost."""
    with lanes.transaction([lease], now_ms) as (connection, held):
        if not held:
            raise LeaseLost
        yield connection


def revision(journal: Journal, name: str = "paga", text: str = "events: [PAYMENT_RECEIVED]") -> int:
    """Return a revision of that text, a new one where it is."""
    with journal.database.write() as connection:
        fresh = revisions.import_text(connection, name, text, "file", "test", NOW_MS)
    if fresh is not None:
        return fresh
    with journal.database.read() as connection:
        return next(r.id for r in revisions.active(connection) if r.mapping == name)


def register(journal: Journal, **urls: str) -> None:
    """Make the destinations known; by default the one called default."""
    with journal.database.write() as connection:
        destinations.register(connection, urls or {"default": "https://clint.example/a"}, NOW_MS)


def owe(journal: Journal, *, customer: str = "cus_1", event_id: int | None = None, **changes: Any) -> int:
    """Add one delivery of that customer to the journal and return its number."""
    return owe_all(journal, [delivery(journal, customer=customer, event_id=event_id, **changes)])[0]


def delivery(journal: Journal, *, customer: str = "cus_1", event_id: int | None = None, **changes: Any) -> NewDelivery:
    """Return a delivery of that customer that could be added; its event is kept and processed."""
    account = changes.get("account", "default")
    if event_id is None:
        (event_id,) = keep(journal, incoming(customer, account=account))
        with journal.database.write() as connection:
            connection.execute(
                event_table.update().where(event_table.c.id == event_id).values(state="processed", processed_ms=NOW_MS)
            )
    new = NewDelivery(
        event_id=event_id,
        mapping="paga",
        revision_id=revision(journal),
        replay=0,
        account=account,
        subject=customer,
        line="default",
        lane=lane_of(account, customer, journal.lane_count),
        destination="default",
        object_id="pay_1",
        order_at="2026-11-22 10:00:00",
        order_rank=0,
        skip_stale=True,
        state=DeliveryState.PENDING,
        payload='{"email": "ana@example.com"}',
    )
    return replace(new, **changes)


def owe_all(journal: Journal, new: Sequence[NewDelivery], now_ms: int = NOW_MS) -> list[int]:
    """Add these deliveries in one transaction and return their numbers."""
    with journal.database.write() as connection:
        deliveries.add(connection, new, now_ms)
        ids = select(delivery_table.c.id).order_by(delivery_table.c.id.desc()).limit(len(new))
        return sorted(connection.scalars(ids))


def owed(journal: Journal, delivery_id: int) -> DueDelivery:
    """Return a delivery as the outbox gets it, whatever its state."""
    of_event = {"event_key", "received_ms"}
    names = [field.name for field in fields(DueDelivery)]
    columns = [(event_table if name in of_event else delivery_table).c[name] for name in names]
    query = (
        select(*columns)
        .join(event_table, event_table.c.id == delivery_table.c.event_id)
        .where(delivery_table.c.id == delivery_id)
    )
    with journal.database.read() as connection:
        row = connection.execute(query).mappings().one()
    return DueDelivery(**{**row, "state": DeliveryState(row["state"])})


def begin(connection: Connection, owed: Sequence[DueDelivery], fence: int, now_ms: int) -> None:
    """Write down that these are about to be sent, as the outbox does, all under one fence."""
    deliveries.start(connection, owed, {delivery.lane: fence for delivery in owed}, now_ms)


def record(
    connection: Connection, step: StateChange, number: int, outcome: Outcome = Outcome.DELIVERED, **more: Any
) -> None:
    """Write down what became of one attempt, as the outbox does."""
    told = {"status": None, "code": "", "detail": "", "excerpt": "", "duration_ms": 1, **more}
    deliveries.record(connection, [AttemptResult(step, number, outcome, **told)])


def put_in_state(journal: Journal, delivery_id: int, state: DeliveryState, **more: Any) -> None:
    """Put a delivery into a state past all rules, to try what follows from there."""
    more.setdefault("finished_ms", NOW_MS if state in FINISHED else None)
    with journal.database.write() as connection:
        connection.execute(
            delivery_table.update().where(delivery_table.c.id == delivery_id).values(state=state.value, **more)
        )


def rows_of(journal: Journal) -> list[dict[str, Any]]:
    """Return every delivery."""
    with journal.database.read() as connection:
        return [
            dict(row) for row in connection.execute(select(delivery_table).order_by(delivery_table.c.id)).mappings()
        ]


def row_of(journal: Journal, delivery_id: int) -> dict[str, Any]:
    """Return one delivery."""
    return next(row for row in rows_of(journal) if row["id"] == delivery_id)


def states(journal: Journal) -> list[str]:
    """Return the state of every delivery, oldest first."""
    return [row["state"] for row in rows_of(journal)]


def tries_of(journal: Journal, delivery_id: int | None = None) -> list[dict[str, Any]]:
    """Return every attempt, or those of one delivery."""
    query = select(attempt_table).order_by(attempt_table.c.delivery_id, attempt_table.c.number)
    if delivery_id is not None:
        query = query.where(attempt_table.c.delivery_id == delivery_id)
    with journal.database.read() as connection:
        return [dict(row) for row in connection.execute(query).mappings()]


def events_of(journal: Journal) -> list[dict[str, Any]]:
    """Return every event."""
    with journal.database.read() as connection:
        return [dict(row) for row in connection.execute(select(event_table).order_by(event_table.c.id)).mappings()]


def many_rows(journal: Journal, number: int) -> None:
    """Fill events and deliveries with history, so that a query plan is chosen as in a journal that has run for long."""
    fresh = revision(journal)
    with journal.database.write() as connection:
        for first in range(0, number, 1000):
            keys = range(first, min(first + 1000, number))
            connection.execute(
                insert(event_table),
                [
                    {
                        "id": 1_000_000 + n,
                        "account": "default",
                        "event_key": f"old_{n}",
                        "name": "PAYMENT_RECEIVED",
                        "entity": "payment",
                        "object_id": f"pay_{n % 500}",
                        "subject": f"cus_{n % 300}",
                        "lane": n % 64,
                        "created": "2026-11-01 10:00:00",
                        "body": "{}",
                        "received_ms": NOW_MS,
                        "state": "processed" if n % 50 else "received",
                        "due_ms": NOW_MS,
                    }
                    for n in keys
                ],
            )
            connection.execute(
                insert(delivery_table),
                [
                    {
                        "id": 1_000_000 + n,
                        "event_id": 1_000_000 + n,
                        "mapping": "paga",
                        "revision_id": fresh,
                        "replay": 0,
                        "account": "default",
                        "subject": f"cus_{n % 300}",
                        "line": "default",
                        "lane": n % 64,
                        "destination": "default",
                        "object_id": f"pay_{n % 500}",
                        "order_at": "2026-11-01 10:00:00",
                        "order_rank": 0,
                        "skip_stale": True,
                        "once_key": f"plan_{n}" if n % 10 == 0 else None,
                        "payload": "{}",
                        "state": "delivered" if n % 50 else "retrying",
                        "attempts": 1,
                        "due_ms": None if n % 50 else NOW_MS + n,
                        "waiting": None if n % 100 else "paused",
                        "created_ms": NOW_MS,
                        "finished_ms": NOW_MS if n % 50 else None,
                    }
                    for n in keys
                ],
            )
            connection.execute(
                insert(attempt_table),
                [{"delivery_id": 1_000_000 + n, "number": 1, "fence": 1, "started_ms": NOW_MS} for n in keys],
            )


def until(condition: Callable[[], Any], timeout_s: float = 15.0, every_s: float = 0.02) -> Any:
    """Wait until the condition is true and return what it gave; fail where it never is."""
    deadline_s = time.monotonic() + timeout_s
    while True:
        found = condition()
        if found:
            return found
        assert time.monotonic() < deadline_s, f"not so within {timeout_s:g} s"
        time.sleep(every_s)


def noticed(code: str, about: str, level: NoticeLevel, detail: str, mend: str) -> Notice:
    """Return a notice that says these texts in every language."""
    return Notice(code, about, level, message(detail), message(mend))
