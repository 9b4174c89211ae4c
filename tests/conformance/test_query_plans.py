"""Every query that runs for each event, delivery or sweep finds its rows by an index, however long the journal is.

The real functions run on a journal with history; what they ask the database is explained by the database itself.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import Connection, event, text, update

from bridge.journal import (
    Journal,
    audit,
    causes,
    customers,
    daily,
    deliveries,
    destinations,
    events,
    queries,
    search,
    statistics,
)
from bridge.journal.audit import AuditFilter
from bridge.journal.deliveries import StateChange
from bridge.journal.queries import EventFilter, ValueRange
from bridge.journal.schema import audit as audit_table
from bridge.journal.schema import events as event_table
from bridge.journal.search import Kind, Term
from bridge.model import DeliveryState, Outcome, lane_of
from bridge.operations import actions
from tests.bench.history import fill
from tests.console import opened_console
from tests.databases import on_both
from tests.factories import (
    NOW_MS,
    acquire,
    begin,
    delivery,
    incoming,
    keep,
    many_rows,
    opened_journal,
    owe,
    owe_all,
    owed,
    put_in_state,
    record,
    register,
    transaction_of_one,
)

BIG = "events|deliveries|attempts|line|head|search_terms|customers|audit"


class Asked:
    """The statements that a block sent to the database."""

    def __init__(self) -> None:
        self.statements: list[tuple[str, Any]] = []

    def note(self, _connection: Any, _cursor: Any, statement: str, parameters: Any, _context: Any, many: bool) -> None:
        """Keep one statement with one set of its parameters."""
        first = parameters[0] if many else parameters
        if statement.lstrip().upper().startswith(("SELECT", "UPDATE", "INSERT")):
            self.statements.append((statement, first))


@contextmanager
def asked(journal: Journal) -> Iterator[Asked]:
    """Note what is asked of the journal's database in the block."""
    found = Asked()
    event.listen(journal.database.engine, "before_cursor_execute", found.note)
    try:
        yield found
    finally:
        event.remove(journal.database.engine, "before_cursor_execute", found.note)


SMALL = "deliveries_dead|deliveries_cause|deliveries_sending|events_on_hold"


def scans(journal: Journal, found: Asked, small: str = SMALL) -> list[str]:
    """Return what of the noted statements reads a whole big table, or a whole index of it that is not small."""
    wrong = []
    once = {(statement, repr(parameters)): (statement, parameters) for statement, parameters in found.statements}
    with journal.database.write() as connection:
        for statement, parameters in once.values():
            prefix = "EXPLAIN QUERY PLAN " if journal.database.is_sqlite else "EXPLAIN "
            rows = connection.exec_driver_sql(prefix + statement, parameters).all()
            if journal.database.is_sqlite:
                steps = [row[3] for row in rows]
            else:
                # One step is a line with an arrow and the lines about it, such as its condition.
                steps = re.split(r"->", "\n".join(row[0] for row in rows))
            wrong += [f"{step.strip()} <- {statement}" for step in steps if _reads_all(step, statement, small)]
    return wrong


def _reads_all(step: str, statement: str, small: str) -> bool:
    if re.search(r"ORDER BY \w+\.(id|event_id|name|account)( DESC)?\s+LIMIT", statement):
        return False  # walks from an end and stops at the limit
    if re.search(rf"\b(INDEX|using) ({small})\b", step):
        return False  # holds nothing but what is asked for
    # SQLite calls it a search, too, when it walks a table from one end for min() or max() until a row fits.
    if re.search(rf"\bSCAN ({BIG})\b|\bSEARCH ({BIG})$", step) or re.search(rf"Seq Scan on ({BIG})\b", step):
        return True
    # PostgreSQL walks an index from end to end, and filters, where it finds nothing better.
    return bool(re.search(rf"Index (Only )?Scan (Backward )?using \w+ on ({BIG})\b", step)) and "Index Cond" not in step


@pytest.fixture
def old(journal: Journal) -> Journal:
    """Give a journal with thousands of rows of history, with statistics where the database makes them by itself."""
    register(journal)
    many_rows(journal, 1_500)
    if not journal.database.is_sqlite:
        with journal.database.write() as connection:
            connection.execute(text("ANALYZE"))
    return journal


def claim(journal: Journal) -> None:
    """What the outbox asks to claim what is due."""
    with journal.database.write() as connection:
        rows, _ = deliveries.due(connection, [0, 1], NOW_MS + 10_000, 16)
        assert rows
        deliveries.newest_delivered(connection, rows)
        destinations.load(connection)
        begin(connection, rows[:2], 1, NOW_MS)


def settle(journal: Journal) -> None:
    """What the outbox asks to record an answer and let the next of the line go."""
    delivery_id = owe(journal)
    put_in_state(journal, delivery_id, DeliveryState.SENDING, due_ms=None, attempts=1)
    with journal.database.write() as connection:
        record(
            connection,
            StateChange(owed(journal, delivery_id), DeliveryState.DELIVERED, NOW_MS),
            1,
            Outcome.DELIVERED,
        )


def process(journal: Journal) -> None:
    """What a batch of events asks."""
    ids = keep(journal, *(incoming(f"cus_{n}") for n in range(30)))
    lane = lane_of("default", "cus_0", journal.lane_count)
    with journal.database.write() as connection:
        ready, _ = events.waiting(connection, [lane, 1, 2], NOW_MS, 50)
        events.load(connection, ready)
        deliveries.plans_taken(connection, [("paga", f"plan_{n}") for n in range(20)], ids)
        events.mark_processed(connection, ids, NOW_MS)
        events.hold(connection, {ids[0]: (NOW_MS, "code", "reason")})
    for n in range(3):
        owe(journal, customer=f"cus_{n}")


def lease(journal: Journal) -> None:
    """What taking, holding and giving back a lane asks."""
    taken = acquire(journal.lanes, 3, "one", NOW_MS)
    assert taken is not None
    with transaction_of_one(journal.lanes, taken, NOW_MS):
        pass
    journal.lanes.release_all([taken])
    late = acquire(journal.lanes, 4, "one", NOW_MS)
    assert late is not None
    with transaction_of_one(journal.lanes, late, NOW_MS) as connection:
        rows, _ = deliveries.due(connection, [4], NOW_MS + 10_000, 1)
        begin(connection, rows, 1, NOW_MS)
    assert acquire(journal.lanes, 4, "two", NOW_MS + 60_000) is not None


def sweep(journal: Journal) -> None:
    """What the sweeper and a drain's last look ask."""
    assert journal.lanes.due(NOW_MS + 10_000)
    journal.lanes.due(NOW_MS + 10_000, [3])


def repair(journal: Journal) -> None:
    """What a person's commands ask."""
    dead, open_ = owe(journal), owe(journal, customer="cus_2")
    put_in_state(journal, dead, DeliveryState.DEAD, due_ms=None)
    actions.retry(journal, dead, NOW_MS)
    actions.discard(journal, open_, NOW_MS)
    actions.resume(journal, "default", NOW_MS)


def look(journal: Journal) -> None:
    """What a person's lists and one event's page ask."""
    with journal.database.read() as connection:
        queries.processed_between(connection, "default", ("PAYMENT_RECEIVED",), NOW_MS - 86_400_000, NOW_MS, limit=50)
        queries.list_events(connection, limit=50, object_id="pay_1")
        queries.list_events(connection, limit=50, before_id=1_000_100)
        queries.list_deliveries(connection, limit=50, before_id=1_000_100)
        queries.list_deliveries(connection, limit=50, states=["dead"])
        queries.list_deliveries(connection, limit=50, before_id=1_000_100, value=ValueRange(100))
        queries.list_events(connection, limit=50, before_id=1_000_100, value=ValueRange(100))
        queries.dead_page(connection, queries.DeadFilter())
        queries.find_event(connection, "1000003")
        queries.deliveries_of(connection, 1_000_003)
        queries.attempts_of(connection, 1_000_003)
        queries.mappings_of(connection, [1_000_003, 1_000_004])


SOME = frozenset({"default", "filial"})
"""The accounts that a person may see who may not see all."""


def attend(journal: Journal) -> None:
    """What the console's page of what needs a person asks."""
    with journal.database.read() as connection:
        for accounts in (None, SOME):
            causes.dead(connection, accounts)
            causes.held(connection, accounts)
        queries.dead_count(connection, queries.DeadFilter(accounts=SOME))
        chosen = queries.DeadFilter("clint.http_422", "paga", "default", until_ms=NOW_MS)
        causes.dead_facts(connection, queries.DeadFilter("clint.http_422", destination="default", answer="0a"))
        causes.facts_of_dead(connection, causes.dead(connection))
        causes.held_facts(connection, "asaas.key_refused", "default")
        causes.waited_for(connection)
        causes.noted(connection)
        causes.resolved(connection)
        list(queries.replayable(connection, NOW_MS - 1, NOW_MS + 1))
        queries.dead_count(connection, chosen)
        queries.dead_page(connection, chosen, 0, 200)
        queries.dead_page(connection, queries.DeadFilter(event_id=1_000_003, mapping="paga"))


def append(journal: Journal) -> None:
    """What an arriving event asks, new and again."""
    posted = incoming()
    journal.append([posted])
    journal.append([posted])


def browse(journal: Journal) -> None:
    """What the console's list of events asks, searched and filtered."""
    with journal.database.write() as connection:
        terms = [Term("ana", Kind.SUBJECT, "default", "cus_1"), Term("pedido", Kind.OBJECT, "default", "pay_1")]
        search.write(connection, [*terms, Term("1003", Kind.OBJECT, "default", "pay_1")])
    with journal.database.read() as connection:
        queries.names(connection)
        queries.accounts(connection)
        for wanted in (
            EventFilter(),
            EventFilter(text="pay_1"),
            EventFilter(text="Ana"),
            EventFilter(text="ana pedido 1003"),
            EventFilter(text="ana pedido"),
            EventFilter(text="1000003"),
            EventFilter(text="evt_x&1"),
            EventFilter(name="PAYMENT_RECEIVED"),
            EventFilter(account="default"),
            EventFilter(mapping="paga"),
            EventFilter(state="delivered", mapping="paga"),
            EventFilter(state="dead", name="PAYMENT_RECEIVED", account="default"),
            EventFilter(state="delivered", name="PAYMENT_RECEIVED"),
            EventFilter(state="filtered"),
            EventFilter(state="filtered", name="PAYMENT_RECEIVED"),
            EventFilter(state="stale", mapping="paga", text="ana sou"),
            EventFilter(state="discarded", mapping="paga"),
            EventFilter(state="open"),
            EventFilter(state="waiting"),
            EventFilter(state="held"),
            EventFilter(state="unmapped"),
            EventFilter(mapping="paga", text="ana sou"),
            EventFilter(since_ms=NOW_MS - 1, until_ms=NOW_MS + 1),
            EventFilter(value=ValueRange(100)),
            EventFilter(value=ValueRange(100, 200), state="open", mapping="paga"),
            EventFilter(value=ValueRange(None, 200), text="ana sou"),
        ):
            queries.event_page(connection, wanted, 50, 1_000_100)
            queries.event_page(connection, replace(wanted, accounts=SOME), 50, 1_000_100)


def visit(journal: Journal) -> None:
    """What the page of a customer, and a list with names, asks."""
    with journal.database.write() as connection:
        found = [search.customer_found("default", f"cus_{n}", {"name": "Ana Souza"}) for n in range(30)]
        charges = [search.charge_found("default", f"pay_{n}", {"description": "Mensalidade"}) for n in range(30)]
        customers.record(connection, [*found, *charges], [("default", "cus_99")], NOW_MS)
    with journal.database.read() as connection:
        rows = queries.events_about(connection, "default", "subject", "cus_1", 300)
        queries.events_about(connection, "default", "object_id", "pay_1", 300)
        made = queries.deliveries_of_events(connection, [row["id"] for row in rows])
        queries.first_of_line(connection, next(one for ones in made.values() for one in ones))
        queries.event_before(connection, rows[0])
        queries.events_of(connection, [rows[0]["id"]])
        queries.has_mapping(connection, "paga")
        customers.load(connection, [("default", f"cus_{n}") for n in range(50)])
        customers.unnamed(connection, "default", 10)
        audit.about(connection, {"event.replayed": ["1", "2"], "delivery.retried": ["3"]})


WORKS = (attend, claim, settle, process, lease, sweep, look)


def assert_no_scans(journal: Journal, works: Iterable[Callable[[Journal], None]], small: str = SMALL) -> None:
    """Fail where the plan of a statement of these works reads a whole table; each finds what those before it left."""
    for work in works:
        with asked(journal) as found:
            work(journal)

        assert found.statements, work
        assert scans(journal, found, small) == [], work


def test_no_query_reads_a_whole_table(old: Journal) -> None:
    """The database's own plan of each statement searches by an index."""
    assert_no_scans(old, (*WORKS, browse, visit, append))
    # A resume, which a person asks for, reads what waits for any destination.
    assert_no_scans(old, [repair], f"{SMALL}|deliveries_due")


def test_statistics_of_a_quiet_hour_lead_no_query_astray(postgres_url: str) -> None:
    """PostgreSQL looks at a table once a minute at most: what it saw may be sixty rows, all of them finished."""
    with opened_journal(postgres_url) as journal:
        register(journal)
        for id_ in owe_all(journal, [delivery(journal) for _ in range(60)]):
            with journal.database.write() as connection:
                begin(connection, [owed(journal, id_)], 1, NOW_MS)
            with journal.database.write() as connection:
                record(connection, StateChange(owed(journal, id_), DeliveryState.DELIVERED, NOW_MS), 1)
        with journal.database.write() as connection:
            connection.execute(text("UPDATE events SET state = 'processed'"))
        with journal.database.write() as connection:
            connection.execute(text("ANALYZE"))
        many_rows(journal, 1_500)
        assert_no_scans(journal, (*WORKS, repair))


def steps(journal: Journal, work: Callable[[Connection], object]) -> int:
    """Return how many tens of instructions SQLite takes for some work."""
    taken = []
    with journal.database.write() as connection:
        raw: Any = connection.connection.dbapi_connection
        raw.set_progress_handler(lambda: taken.append(1), 10)
        work(connection)
        raw.set_progress_handler(None, 10)
    return len(taken)


def test_a_delivery_costs_the_same_in_a_long_line(sqlite_url: str) -> None:
    """What one more delivery takes, and one that is finished, does not grow with those that wait in the line."""

    took = []
    with opened_journal(sqlite_url) as journal:
        register(journal)
        owe_all(journal, [delivery(journal) for _ in range(10)])
        for first in (1, 2):
            went, comes = owed(journal, first), delivery(journal)
            with journal.database.write() as connection:
                begin(connection, [went], 1, NOW_MS)
            step = StateChange(went, DeliveryState.DELIVERED, NOW_MS)
            took.append(
                (
                    steps(journal, lambda connection, comes=comes: deliveries.add(connection, [comes], NOW_MS)),  # type: ignore[misc]
                    steps(journal, lambda connection, step=step: record(connection, step, 1)),  # type: ignore[misc]
                )
            )
            owe_all(journal, [delivery(journal) for _ in range(60)])

    for short, long in zip(*took, strict=True):
        assert long <= short * 1.2 + 5, took


def test_what_is_counted_for_a_page_is_what_is_unfinished(journal: Journal) -> None:
    """The overview and the list of mappings read indexes that hold unfinished work only, and the counts by the hour.

    On a journal in which nearly all is finished: there a database walks the whole table where it may.
    """
    delivery = owe(journal)
    with journal.database.write() as connection:
        begin(connection, [owed(journal, delivery)], 1, NOW_MS)
    put_in_state(journal, delivery, DeliveryState.DELIVERED, due_ms=None, finished_ms=NOW_MS)
    fill(journal.database, 2_000)
    if journal.database.is_sqlite:  # which index it walks until the limit, the plan does not tell
        assert steps(journal, lambda one: queries.events_about(one, "default", "object_id", "pay_1", 100)) < 200
    owe(journal)
    with asked(journal) as found, journal.database.read() as connection:
        queries.under_way(connection)
        statistics.held_for_asaas(connection, NOW_MS)
        for accounts in (None, SOME):
            statistics.gauges(connection, NOW_MS, accounts)
            statistics.last_24_hours(connection, NOW_MS, ("mapping", "verdict"), accounts)
            statistics.last_30_days(connection, NOW_MS, accounts=accounts)
            causes.dead(connection, accounts)
            causes.held(connection, accounts)
            facts = causes.destination_facts(connection, "default", [], accounts)
            causes.with_last_try(connection, facts, "default", accounts)
            statistics.has_work(connection, NOW_MS, accounts)
        statistics.waiting_since_ms(connection)
        statistics.dead_by_account(connection)
        daily.numbers(connection, NOW_MS)
        daily.idle_mappings(connection, NOW_MS)
        day_ms = daily.day_before(NOW_MS)
        daily.delivered_page(connection, day_ms, day_ms + statistics.DAY_MS, None)
        daily.delivered_page(connection, day_ms, day_ms + statistics.DAY_MS, 1_000)

    assert scans(journal, found, "deliveries_(dead|cause|line|due|head)|events_(waiting|on_hold)") == []


PAGES = (
    *("/", "/events", "/events/1000003", "/events/1000003/replay", "/attention", "/mappings", "/mappings/paga"),
    *("/mappings/paga/history", "/mappings/cobranca/run", "/mappings-new", "/customers/default/cus_1", "/connections"),
    *("/charges/default/pay_1", "/test-charge", "/reconcile", "/alerts", "/people", "/who"),
    *("/who?actor=operator+Ana&kind=connections", "/who?since=2026-11-01&until=2026-11-02", "/who?kind=data"),
    *(f"/events?state={state}" for state in ("delivered", "filtered", "dead", "open", "held", "waiting", "unmapped")),
    *("/events?mapping=paga&state=dead", "/events?q=ana+souza", "/events?since=2026-11-05&until=2026-11-06&state=dead"),
    *(f"/attention/confirm?decision={decision}&code=clint.http_422" for decision in ("retry", "replay", "discard")),
    *("/attention/confirm?decision=retry&since=2026-11-01T00:00", "/events?state=dead&code=clint.http_422&answer="),
)


@on_both
def test_no_page_of_the_console_reads_a_whole_table(database_url: str, tmp_path: Path) -> None:
    """Whatever a page asks, also to count what it lists, is found by an index."""
    with opened_console(database_url, tmp_path) as console:
        journal = console.runtime.journal
        register(journal)
        many_rows(journal, 1_500)
        for n, code in enumerate(("clint.http_422", "delivery.attempts_spent", "clint.http_422")):
            dead = owe(journal, customer=f"cus_{n}")
            put_in_state(journal, dead, DeliveryState.DEAD, due_ms=None, reason_code=code)
            put_in_state(journal, owe(journal, customer=f"cus_{n}"), DeliveryState.PENDING, waiting="paused")
        (held,) = keep(journal, incoming("cus_9"))
        with journal.database.write() as connection:
            destinations.pause(connection, "default", "", NOW_MS)
            hold = update(event_table).where(event_table.c.id == held)
            connection.execute(hold.values(hold_code="asaas.key_refused"))
        if not journal.database.is_sqlite:
            with journal.database.write() as connection:
                connection.execute(text("ANALYZE"))
        person = console.operator()
        with asked(journal) as found:
            answers = {page: person.get(page).status_code for page in PAGES}

        assert {page: status for page, status in answers.items() if status != 200} == {}
        assert scans(journal, found, "deliveries_(dead|cause|line|due|head)|events_(waiting|on_hold)") == []


TRAIL_ROWS = 100_000
NARROWED = [
    AuditFilter(actor="operator Rara"),
    AuditFilter(actions=("person.forgotten", "customer.shown")),
    AuditFilter(actor="operator Rara", actions=("mapping.saved", "delivery.retried")),
    AuditFilter(since_ms=NOW_MS + 40_000, until_ms=NOW_MS + 41_000),
    AuditFilter(actor="operator Rara", since_ms=NOW_MS, until_ms=NOW_MS + 90_000),
]
"""What few of the changes are, however long one looks from the end."""


def test_a_narrowed_trail_is_found_by_an_index_among_many_changes(journal: Journal) -> None:
    """Each statement of the page starts from an index of the filter, or from a range of the numbers."""
    row = {"address": "", "about": "1", "detail": "{}"}
    with journal.database.write() as connection:
        for first in range(0, TRAIL_ROWS, 5_000):
            numbers = range(first, first + 5_000)
            connection.execute(
                audit_table.insert(),
                [
                    {
                        **row,
                        "at_ms": NOW_MS + n,
                        "actor": "operator Rara" if n == 7 else f"operator {n % 30}",
                        "action": "customer.shown" if n == 9 else ("mapping.saved", "delivery.retried")[n % 2],
                    }
                    for n in numbers
                ],
            )
        if not journal.database.is_sqlite:
            connection.execute(text("ANALYZE audit"))
    found = {}
    with asked(journal) as statements, journal.database.read() as connection:
        for wanted in NARROWED:
            found[wanted] = len(audit.page(connection, wanted, 51))
        people = audit.actors(connection, 300)

    assert list(found.values()) == [1, 1, 1, 51, 1]
    assert len(people) == 31
    if journal.database.is_sqlite:  # each person, and each thing, is one jump: the plan does not tell
        assert steps(journal, lambda connection: audit.actors(connection, 300)) < TRAIL_ROWS / 100
        one = {"delivery.retried": ["7"], "mapping.saved": ["cobranca"]}
        assert steps(journal, lambda connection: audit.about(connection, one)) < TRAIL_ROWS / 100
    assert scans(journal, statements) == []
    with journal.database.write() as connection:
        prefix = "EXPLAIN QUERY PLAN " if journal.database.is_sqlite else "EXPLAIN "
        for statement, parameters in statements.statements:
            plan = str(connection.exec_driver_sql(prefix + statement, parameters).all())
            by_number = re.search(r"USING INTEGER PRIMARY KEY|Index Cond: \(\(?id", plan)
            assert by_number or re.search(r"audit_(actor|action|at)", plan), plan
