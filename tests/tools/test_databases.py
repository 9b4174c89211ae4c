"""The database that tests hand on is the same for each of them, whatever the one before did to it."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator

import pytest
from sqlalchemy import create_engine, text

from tests.databases import SpareDatabase
from tests.factories import incoming, keep, opened_journal
from tests.services import PostgresServer


@pytest.fixture
def spare(_postgres: PostgresServer, _postgres_template: str) -> Iterator[SpareDatabase]:
    """Give a database of the test's own."""
    with contextlib.closing(SpareDatabase(_postgres, _postgres_template)) as spare:
        yield spare


def _first_event(url: str) -> int:
    with opened_journal(url) as journal:
        return keep(journal, incoming())[0]


def test_rows_and_numbers_begin_anew(spare: SpareDatabase) -> None:
    """The next test finds the rows of a new journal, and its first event is number one."""
    with spare.lent() as url:
        first = _first_event(url)
        engine = create_engine(url)
        with engine.begin() as connection:
            connection.execute(text("delete from lanes"))
        engine.dispose()
    with spare.lent() as again, opened_journal(again) as journal:
        assert journal.lane_count > 0
        with journal.database.read() as connection:
            assert connection.scalar(text("select count(*) from lanes")) == journal.lane_count

        assert again == url
        assert keep(journal, incoming()) == [first] == [1]


@pytest.mark.parametrize(
    "harm",
    ["drop table attempts", "create table mine (n int)", "alter table lanes alter owner drop not null, add n int"],
)
def test_another_shape_is_not_handed_on(spare: SpareDatabase, harm: str) -> None:
    """Who changes tables gets the next test a new database."""
    with spare.lent() as url:
        engine = create_engine(url)
        with engine.begin() as connection:
            connection.execute(text(harm))
        engine.dispose()
    with spare.lent() as again:
        assert again != url
        assert _first_event(again) == 1


def test_who_is_still_connected_is_thrown_out(spare: SpareDatabase) -> None:
    """A connection that a test forgot, in the middle of a transaction, keeps nobody waiting."""
    with spare.lent() as url:
        engine = create_engine(url)
        connection = engine.connect()
        connection.execute(text("lock table events"))
    with spare.lent() as again:
        assert _first_event(again) == 1
    connection.invalidate()
    engine.dispose()
