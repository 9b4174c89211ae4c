"""Counts by the hour equal a count of the rows, whatever happened, on both databases."""

from __future__ import annotations

import random
from collections import Counter
from contextlib import closing
from pathlib import Path
from typing import Any

from alembic import command
from alembic.config import Config
from sqlalchemy import MetaData, Table, func, insert, select, text

from bridge.errors import IllegalTransition
from bridge.journal import Database, Journal, migrate, statistics, upgrade
from bridge.journal.deliveries import StateChange
from bridge.journal.schema import COUNTED_BY, attempts, deliveries, events, revisions
from bridge.journal.statistics import BRASILIA_MS, DAY_MS, HOUR_MS
from bridge.model import DeliveryState
from bridge.operations import actions
from tests.factories import NOW_MS, begin, incoming, keep, opened_journal, owe, owed, record, row_of

ENDS = [DeliveryState.DELIVERED, DeliveryState.DEAD, DeliveryState.RETRYING]
COUNTED = (
    "SELECT received_ms, account, '', '', name, 'received', 1, 0 FROM events UNION ALL "
    "SELECT d.finished_ms, d.account, d.mapping, d.destination, e.name, d.state, 1, CASE WHEN d.state = 'delivered'"
    " THEN d.finished_ms - CASE WHEN d.replay = 0 THEN e.received_ms ELSE d.created_ms END ELSE 0 END"
    " FROM deliveries d JOIN events e ON e.id = d.event_id WHERE d.finished_ms IS NOT NULL"
)


def counted(journal: Journal, every_ms: int = HOUR_MS, shift_ms: int = 0) -> dict[Any, list[int]]:
    """Count the rows themselves."""
    found: dict[Any, list[int]] = {}
    with journal.database.read() as connection:
        for at_ms, *key, number, latency_ms in connection.execute(text(COUNTED)):
            start_ms = (at_ms + shift_ms) // every_ms * every_ms - shift_ms
            sums = found.setdefault((start_ms, tuple(key)), [0, 0])
            sums[0] += number
            sums[1] += latency_ms
    return found


def hours(journal: Journal, now_ms: int) -> dict[Any, list[int]]:
    """Return what the roll-ups say of the last day by everything they know."""
    with journal.database.read() as connection:
        sums = statistics.last_24_hours(connection, now_ms, COUNTED_BY)
    return {(one.start_ms, one.key): [one.number, one.latency_ms] for one in sums}


def fold(journal: Journal, limit: int = 1_000) -> bool:
    """Add some tallies up."""
    with journal.database.write() as connection:
        return statistics.fold(connection, limit)


def tried(journal: Journal, delivery_id: int, to: DeliveryState, now_ms: int) -> None:
    """Let one attempt of a delivery end in this state."""
    delivery = owed(journal, delivery_id)
    with journal.database.write() as connection:
        begin(connection, [delivery], 1, now_ms)
        due_ms = now_ms if to is DeliveryState.RETRYING else None
        record(
            connection, StateChange(delivery, to, now_ms, due_ms=due_ms), delivery.attempts + 1, status=200, code="x"
        )


def story(journal: Journal, lots: random.Random, steps: int, *, folds: bool = True) -> int:
    """Let events come and deliveries end, be retried, discarded and replayed; return the time at the end."""
    now_ms = NOW_MS
    ids: list[int] = []
    for step in range(steps):
        now_ms += lots.randrange(0, HOUR_MS // 8)
        account, mapping = lots.choice(["default", "matriz"]), lots.choice(["paga", "vencida"])
        name = lots.choice(["PAYMENT_RECEIVED", "PAYMENT_OVERDUE"])
        (event_id,) = keep(journal, incoming(f"cus_{step}", account=account, name=name, received_ms=now_ms))
        more: dict[str, Any] = {"account": account, "mapping": mapping, "destination": lots.choice(["default", "crm"])}
        more["replay"] = lots.choice([0, 0, 1])
        if lots.random() < 0.2:
            more |= {"state": lots.choice([DeliveryState.FILTERED, DeliveryState.STALE]), "payload": None}
        ids.append(owe(journal, customer=f"cus_{step}", event_id=event_id, **more))
        for delivery_id in lots.sample(ids, min(3, len(ids))):
            state = DeliveryState(row_of(journal, delivery_id)["state"])
            if state in {DeliveryState.PENDING, DeliveryState.RETRYING}:
                tried(journal, delivery_id, lots.choice(ENDS), now_ms)
            elif lots.random() < 0.5:
                try:
                    lots.choice([actions.retry, actions.discard])(journal, delivery_id, now_ms)
                except IllegalTransition:
                    continue
        if folds and lots.random() < 0.2:
            fold(journal, lots.choice([1, 7]))
    return now_ms


def test_roll_ups_equal_a_count_of_the_rows(journal: Journal) -> None:
    """Before the tallies are added up, while they are, and after; by the hour and by the day of Brasília."""
    now_ms = story(journal, random.Random(5), 60)
    wanted = counted(journal)
    assert {key[1][4] for key in wanted} >= {"received", "delivered", "dead", "discarded", "filtered"}
    assert hours(journal, now_ms) == wanted

    while fold(journal, 20):
        assert hours(journal, now_ms) == wanted
    with journal.database.read() as connection:
        assert connection.execute(text("SELECT count(*) FROM tallies")).scalar_one() == 0
        days = statistics.last_30_days(connection, now_ms, COUNTED_BY)
        by_verdict = statistics.last_30_days(connection, now_ms)
    assert hours(journal, now_ms) == wanted
    assert {(day.start_ms, day.key): [day.number, day.latency_ms] for day in days} == counted(
        journal, DAY_MS, BRASILIA_MS
    )
    total: Counter[str] = Counter()
    for day in by_verdict:
        total[day.key[0]] += day.number
    assert total["received"] == 60
    assert sum(total.values()) == sum(number for number, _ in wanted.values())


def test_what_is_undone_is_not_counted_any_more(journal: Journal) -> None:
    """A dead delivery that a person retries leaves its hour, and counts where it ends then."""
    delivery_id = owe(journal)
    tried(journal, delivery_id, DeliveryState.DEAD, NOW_MS)
    actions.retry(journal, delivery_id, NOW_MS + HOUR_MS)
    tried(journal, delivery_id, DeliveryState.DELIVERED, NOW_MS + HOUR_MS)
    with journal.database.read() as connection:
        (received, delivered) = statistics.last_24_hours(connection, NOW_MS + HOUR_MS)

    assert (received.key, received.number, received.latency_ms) == (("received",), 1, 0)
    assert (delivered.key, delivered.number, delivered.latency_ms) == (("delivered",), 1, HOUR_MS)


def copy(journal: Journal, to: Database) -> None:
    """Write the rows of a journal of today into one of an older version, as far as that has their columns."""
    with journal.database.read() as source, to.write() as target:
        for table in (revisions, events, deliveries, attempts):
            old = Table(table.name, MetaData(), autoload_with=target)
            rows = source.execute(select(*(table.c[column.name] for column in old.c))).mappings().all()
            target.execute(insert(old), [dict(row) for row in rows])
            if target.dialect.name == "postgresql":
                highest = select(func.max(old.c.id)).scalar_subquery()
                target.execute(select(func.setval(func.pg_get_serial_sequence(table.name, "id"), highest)))


def test_what_was_there_before_the_roll_ups_is_counted_by_the_upgrade(empty_url: str, tmp_path: Path) -> None:
    """A journal of an older version has its counts from the first moment."""
    with closing(Database(empty_url)) as database:
        _counts_what_was_there(database, tmp_path)


def _counts_what_was_there(database: Database, tmp_path: Path) -> None:
    config = Config()
    config.set_main_option("script_location", str(Path(migrate.__file__).parent / "migrations"))
    with database.write() as connection:
        config.attributes["connection"] = connection
        command.upgrade(config, "0006")
    journal = Journal(database, 30)
    with opened_journal(f"sqlite:///{tmp_path / 'today.db'}") as today:
        now_ms = story(today, random.Random(6), 20, folds=False)
        copy(today, database)
    upgrade(database)

    assert hours(journal, now_ms) == counted(journal)
    with database.read() as connection:
        assert connection.execute(text("SELECT count(*) FROM tallies")).scalar_one() == 0
    tried(journal, owe(journal, customer="cus_new"), DeliveryState.DELIVERED, now_ms)
    assert hours(journal, now_ms) == counted(journal)
