"""Statements for many rows at once, on both databases."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from sqlalchemy import BigInteger, Boolean, Column, Connection, Integer, MetaData, Table, Text, select

from bridge.journal import Journal
from bridge.journal.schema import EncryptedText
from bridge.journal.statements import BulkStatement

THINGS = Table(
    "things",
    MetaData(),
    Column("id", BigInteger().with_variant(Integer, "sqlite"), primary_key=True),
    Column("name", Text),
    Column("secret", EncryptedText("things.secret")),
    Column("is_new", Boolean),
    Column("number", BigInteger),
)
ADD = BulkStatement(
    "INSERT INTO things ({columns}) SELECT {values} FROM {given} ORDER BY given.place",
    THINGS,
    *("name", "secret", "is_new", "number"),
    place=THINGS.c.id,
)
RENAME = BulkStatement(
    "UPDATE things SET name = given.name FROM {given} WHERE things.id = given.id AND things.name = given.before",
    THINGS,
    *("id", "name"),
    before=THINGS.c.name,
)

THERE = BulkStatement(
    "SELECT {values} FROM {given} WHERE EXISTS (SELECT 1 FROM things WHERE things.name = given.name)", THINGS, "name"
)


@pytest.fixture
def connection(journal: Journal) -> Iterator[Connection]:
    """Give a transaction that has an empty table of things."""
    with journal.database.write() as connection:
        THINGS.create(connection)
        yield connection


def names(connection: Connection) -> list[str | None]:
    """Return the names of the things in their order."""
    return list(connection.scalars(select(THINGS.c.name).order_by(THINGS.c.id)))


def test_each_value_comes_back_as_it_went_in(connection: Connection) -> None:
    """A value keeps its type and every character, also those that SQL, JSON and the drivers write in another way."""
    texts = [None, "", "it's", 'a "b" \\ {c} %s %(d)s :e', "ção 🎉", "\n\t", "NULL", "1"]
    rows = [(text, text, place % 2 == 0, 2**53 + place, place) for place, text in enumerate(texts)]

    assert ADD.run(connection, rows) == len(rows)
    found = connection.execute(select(THINGS).order_by(THINGS.c.id)).all()
    assert [tuple(row)[1:] for row in found] == [row[:4] for row in rows]


def test_more_rows_than_one_statement_takes(connection: Connection) -> None:
    """However many rows there are, all go in, in their order, and all are counted."""
    rows = [(f"thing {place}", None, None, None, place) for place in range(1001)]

    assert ADD.run(connection, rows) == 1001
    assert names(connection) == [row[0] for row in rows]


def test_what_a_change_does_not_apply_to_is_not_counted(connection: Connection) -> None:
    """A row that is not there, or not as it should be before, stays as it is and is not counted."""
    ADD.run(connection, [("a", None, None, None, 0), ("b", None, None, None, 1)])

    assert RENAME.run(connection, [(1, "A", "a"), (2, "B", "other"), (3, "C", "c")]) == 1
    assert names(connection) == ["A", "b"]


def test_a_query_says_which_of_many_it_is_true_of(connection: Connection) -> None:
    """Of however many rows, those come back of which it is true."""
    ADD.run(connection, [(name, None, None, None, 0) for name in ("17", "250", "it's")])

    found = THERE.read(connection, [(str(number),) for number in range(300)])
    assert sorted(row.name for row in found) == ["17", "250"]


def test_no_rows_are_no_statement(connection: Connection) -> None:
    """Nothing to do is nothing asked."""
    assert ADD.run(connection, []) == 0
    assert THERE.read(connection, []) == []
    assert names(connection) == []
