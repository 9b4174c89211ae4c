"""A history is as many finished events as were asked for, with delivery and attempt; or as many unfinished ones."""

from __future__ import annotations

from sqlalchemy import func, select

from bridge.journal import causes, statistics
from bridge.journal.schema import attempts, deliveries, events
from bridge.model import DeliveryState
from tests.bench.history import fill, leave_unfinished, leave_waiting
from tests.factories import NOW_MS, begin, incoming, keep, opened_journal, owe, owed, put_in_state


def test_a_history_is_copied_from_what_is_finished(database_url: str) -> None:
    """Fifty copies of one event; the next event gets a number of its own."""
    with opened_journal(database_url) as journal:
        first = owe(journal)
        with journal.database.write() as connection:
            begin(connection, [owed(journal, first)], 1, NOW_MS)
        put_in_state(journal, first, DeliveryState.DELIVERED, due_ms=None)
        fill(journal.database, 50)
        (newest,) = keep(journal, incoming())

        with journal.database.read() as connection:
            counts = [connection.scalar(select(func.count()).select_from(t)) for t in (events, deliveries, attempts)]
        assert counts == [52, 51, 51]
        assert newest > 50


def test_events_that_wait_are_copied_too(database_url: str) -> None:
    """They are what a worker would look at next, and the next event gets a number of its own."""
    with opened_journal(database_url) as journal:
        keep(journal, incoming("cus_1"), incoming("cus_2"))
        leave_waiting(journal.database, 30)
        (newest,) = keep(journal, incoming("cus_3"))

        with journal.database.read() as connection:
            assert statistics.gauges(connection, NOW_MS).events_waiting == 33
        assert newest > 32


def test_what_needs_a_person_is_left_as_asked(database_url: str) -> None:
    """Dead deliveries of several causes, deliveries that wait for a paused destination, and held events."""
    with opened_journal(database_url) as journal:
        first = owe(journal)
        with journal.database.write() as connection:
            begin(connection, [owed(journal, first)], 1, NOW_MS)
        put_in_state(journal, first, DeliveryState.DELIVERED, due_ms=None)
        leave_unfinished(journal.database, dead=24, waiting=14, held=10)

        with journal.database.read() as connection:
            dead, held = causes.dead(connection), causes.held(connection)
            waiting = causes.destination_facts(connection, "default", [])
            assert causes.waited_for(connection) == ["default"]
        assert sum(one.number for one in dead) == 24
        assert len(dead) == 9
        assert [one.number for one in held] == [10]
        assert waiting.number == 14
