"""A journal's history: copies of events that went their whole way, as many as are wanted, made by the database itself.

Each copy is an event with its delivery and its attempt, of the same customers and lanes, so that what is posted next
meets a journal as it is after years.
"""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from datetime import date
from typing import Any

from sqlalchemy import Table, func, select, text

from bridge.journal import destinations, jobs, statistics
from bridge.journal.database import Database
from bridge.journal.schema import attempts, deliveries, events
from bridge.messages import Message
from bridge.operations.reconcile import Report, Verdict, Window

_PORTION = 20_000
_NUMBERS = (
    "WITH RECURSIVE n(i) AS ("
    "SELECT CAST(:first AS bigint) UNION ALL SELECT i + 1 FROM n WHERE i < CAST(:last AS bigint))"
)


def leave_waiting(database: Database, count: int) -> None:
    """Add so many events that no mapping has seen, copies of those of the journal in turn."""
    with database.read() as connection:
        templates, base = connection.execute(select(func.count(), func.max(events.c.id) + 1).select_from(events)).one()
    new = {"id": ":base + n.i", "event_key": "'wait_' || n.i", "state": "'received'", "processed_ms": "NULL"}
    _run(database, [_copy(events, new)], count, base, templates)
    _mind_the_numbers(database, (events,))
    _fold(database)


def fill(database: Database, count: int, subject: str = "") -> None:
    """Add so many finished events; the first rows of the journal, which must be finished, are what is copied.

    Four are of one charge; with `subject`, each is of a charge of its own, and all of that customer.
    """
    base, templates = _base(database)
    own = ":base + n.i"
    about = {"object_id": f"'old_pay_' || (:base + n.i{'' if subject else ' / 4'})"}
    about |= {"subject": f"'{subject}'"} if subject else {}
    statements = [
        _copy(events, {"id": own, "event_key": "'old_' || (:base + n.i)", **about}),
        _copy(deliveries, {"id": own, "event_id": own, **about}),
        _copy(attempts, {"id": own, "delivery_id": own}),
    ]
    _run(database, statements, count, base, templates)
    _mind_the_numbers(database, (events, deliveries, attempts))
    _fold(database)


_LATER = "9000000000000"
"""Due times that do not come while a bench runs, so that the worker leaves the rows alone."""


def leave_unfinished(database: Database, dead: int, waiting: int, held: int) -> None:
    """Add dead deliveries of several causes, deliveries that wait for a paused destination, and held events.

    They are copies of finished events of the journal, `waiting` of them for the destination `default`.
    """
    base, templates = _base(database)
    own, now_ms = ":base + n.i", int(time.time() * 1000)
    answer = "CASE n.i % 3 WHEN 0 THEN '0a' WHEN 1 THEN '0b' END"
    code = "CASE n.i % 4 WHEN 0 THEN 'delivery.attempts_spent' WHEN 1 THEN 'clint.http_400' ELSE 'clint.http_422' END"
    object_id = "'left_pay_' || (:base + n.i / 2)"
    of_delivery = {"id": own, "event_id": own, "object_id": object_id}
    dead_now = {**of_delivery, "state": "'dead'", "reason_code": code, "answer": answer}
    # Only the first of a customer knows what it waits for.
    first_only = "CASE WHEN n.i % 4 = 0 AND n.i < 4 * :templates THEN {} END"
    waits = {"state": "'pending'", "attempts": "0", "finished_ms": "NULL"}
    waits |= {"due_ms": first_only.format(_LATER), "waiting": first_only.format("'paused'")}
    hold = {"state": "'received'", "processed_ms": "NULL", "due_ms": _LATER, "hold_code": "'asaas.key_refused'"}

    def copied(changes: Mapping[str, str]) -> str:
        return _copy(events, {"id": own, "event_key": "'left_' || (:base + n.i)", "object_id": object_id, **changes})

    attempt = _copy(attempts, {"id": own, "delivery_id": own})
    _run(database, [copied({}), _copy(deliveries, dead_now), attempt], dead, base, templates)
    _run(database, [copied({}), _copy(deliveries, {**of_delivery, **waits})], waiting, base + dead, templates)
    _run(database, [copied(hold)], held, base + dead + waiting, templates)
    with database.write() as connection:
        destinations.pause(connection, "default", Message("a bench").to_json(), now_ms)
    _mind_the_numbers(database, (events, deliveries, attempts))
    _fold(database)


def leave_report(database: Database, charges: int) -> int:
    """Add a reconciliation that found so many charges that the journal misses; return its number."""
    day, now_ms = date(2026, 11, 22), int(time.time() * 1000)
    what: dict[str, Any] = {"day": f"{day}", "status": "RECEIVED", "verdict": Verdict.MISSING.value, "known": ""}
    what |= {
        "event_id": None,
        "customer": "cus_000005219613",
        "value": 129.9,
        "description": "Mensalidade de novembro de 2026",
    }
    findings = [{"id": f"pay_{number:016d}", **what} for number in range(charges)]
    report = Report("default", Window(day, day), findings, 0)
    with database.write() as connection:
        days = {"account": "default", "since": f"{day}", "until": f"{day}", "by": "created"}
        id_ = jobs.begin(connection, "reconcile", "default", days, "bench", now_ms)
        data = report.data()
        jobs.finish(connection, id_, now_ms, {**data, "behind": data["behind"][:200]}, {"behind": data["behind"]})
    return id_


def leave_trail(database: Database, count: int) -> None:
    """Add so many changes of thirty people to the audit trail."""
    action = "CASE n.i % 3 WHEN 0 THEN 'mapping.saved' WHEN 1 THEN 'delivery.retried' ELSE 'console.signed_in' END"
    values = f":base + n.i, 'operator ' || (n.i % 30), '', {action}, 'cobranca', '{{}}'"
    insert = f"INSERT INTO audit (at_ms, actor, address, action, about, detail) SELECT {values} FROM n"
    _run(database, [f"{_NUMBERS} {insert}"], count, int(time.time() * 1000), 1)


def _base(database: Database) -> tuple[int, int]:
    """Return the number of the next event, and of the customers: the journal begins with an event of each."""
    with database.read() as connection:
        found = connection.execute(select(func.max(events.c.id), func.count(events.c.subject.distinct()))).one()
    return int(found[0] or 0) + 1, int(found[1])


def _run(database: Database, statements: Sequence[str], count: int, base: int, templates: int) -> None:
    """Make so many copies, a portion to a transaction."""
    for first in range(0, count, _PORTION):
        which = {"first": first, "last": min(first + _PORTION, count) - 1, "base": base, "templates": templates}
        with database.write() as connection:
            for statement in statements:
                connection.execute(text(statement), which)


def _mind_the_numbers(database: Database, tables: Sequence[Table]) -> None:
    """Let the next row have a number of its own, which SQLite sees to by itself."""
    if not database.is_sqlite:
        with database.write() as connection:
            for table in tables:
                sequence = f"pg_get_serial_sequence('{table.name}', 'id')"
                connection.execute(text(f"SELECT setval({sequence}, (SELECT max(id) FROM {table.name}))"))
            connection.execute(text("ANALYZE"))  # as its autovacuum would by then


def _fold(database: Database) -> None:
    more = True
    while more:  # as the sweeper would by then
        with database.write() as connection:
            more = statistics.fold(connection)


def _copy(table: Table, changed: Mapping[str, str]) -> str:
    names = [column.name for column in table.columns]
    values = ", ".join(changed.get(name, f"old.{name}") for name in names)
    return (
        f"{_NUMBERS} INSERT INTO {table.name} ({', '.join(names)}) "
        f"SELECT {values} FROM n JOIN {table.name} old ON old.id = 1 + (n.i / 4 % :templates)"
    )
