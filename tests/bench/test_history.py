"""A history is as many finished events as were asked for, each with its delivery and its attempt."""

from __future__ import annotations

from sqlalchemy import func, select

from bridge.journal.schema import attempts, deliveries, events
from bridge.model import DeliveryState
from tests.bench.history import fill
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
