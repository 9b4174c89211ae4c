"""Behind a connection pooler that gives each transaction another server, nothing may be kept in a session."""

from __future__ import annotations

import pytest
from sqlalchemy import text

from bridge.errors import JournalError
from bridge.journal import Database


def _prepared(url: str) -> int:
    database = Database(url, pool_size=1)
    for _ in range(10):
        with database.read() as connection:
            connection.execute(text("SELECT 1"))
    with database.read() as connection:
        count = connection.scalar(text("SELECT count(*) FROM pg_prepared_statements"))
    database.close()
    return int(count or 0)


def test_the_url_can_say_that_nothing_is_prepared(postgres_url: str) -> None:
    """By default what is asked often is prepared; `prepare_threshold=none` in the URL leaves nothing in the session."""
    assert _prepared(postgres_url) > 0
    assert _prepared(f"{postgres_url}?prepare_threshold=1000") == 0
    assert _prepared(f"{postgres_url}?prepare_threshold=none") == 0


def test_a_mistake_in_the_url_is_said() -> None:
    """What is neither a number nor none is refused by name, before anything connects."""
    with pytest.raises(JournalError, match="must be a whole number or none, got 'never'"):
        Database("postgresql+psycopg://nobody@127.0.0.1/x?prepare_threshold=never")
