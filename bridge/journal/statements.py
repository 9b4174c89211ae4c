"""Statements about many rows, and the first rows of each lane, for SQLite and PostgreSQL alike.

The values of all rows go into one statement: a statement for each row would cost more than its work
(docs/performance.md).
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from sqlalchemy import Column, Connection, CursorResult, Dialect, Row, Table, bindparam, func, select, text

from bridge.journal.schema import EncryptedText, keyring_of

_MOST = 100  # rows of one statement; SQLite's limit is 32,766 values


class BulkStatement:
    """A statement with the rows in place of `{given}`, under the alias `given`.

    `names` are columns of `table`, by whose types values are encrypted; `more` adds columns under other names.
    `{columns}` stands for the names, `{values}` for the given values of them, `{changes}` sets them to these.
    """

    def __init__(self, template: str, table: Table, *names: str, **more: Column[Any]) -> None:
        self._template = template
        self._parts = {
            "columns": ", ".join(names),
            "values": ", ".join(f"given.{name}" for name in names),
            "changes": ", ".join(f"{name} = given.{name}" for name in names),
        }
        self._columns: dict[str, Column[Any]] = {**{name: table.c[name] for name in names}, **more}
        types = enumerate(column.type for column in self._columns.values())
        self._sealed = [(at, type_.place) for at, type_ in types if isinstance(type_, EncryptedText)]
        self._on_postgresql = ""

    def run(self, connection: Connection, rows: Sequence[tuple[Any, ...]]) -> int:
        """Execute it with rows of values in the order of the columns; return the number of changed rows."""
        return sum(result.rowcount for result in self._results(connection, rows))

    def read(self, connection: Connection, rows: Sequence[tuple[Any, ...]]) -> list[Row[*tuple[Any, ...]]]:
        return [row for result in self._results(connection, rows) for row in result.all()]

    def _results(
        self, connection: Connection, rows: Sequence[tuple[Any, ...]]
    ) -> Iterator[CursorResult[*tuple[Any, ...]]]:
        for first in range(0, len(rows), _MOST):
            part = self._encrypt(connection, rows[first : first + _MOST])
            if connection.dialect.name == "sqlite":
                values = tuple(value for row in part for value in row)
                yield connection.exec_driver_sql(self._for_sqlite(len(part)), values)
            else:
                names = tuple(self._columns)
                text = json.dumps([dict(zip(names, row, strict=True)) for row in part], ensure_ascii=False)
                yield connection.exec_driver_sql(self._for_postgresql(connection.dialect), (text,))

    def _encrypt(self, connection: Connection, rows: Sequence[tuple[Any, ...]]) -> Sequence[Sequence[Any]]:
        if not self._sealed:
            return rows
        keyring = keyring_of(connection)
        sealed = [list(row) for row in rows]
        for row in sealed:
            for at, place in self._sealed:
                row[at] = None if row[at] is None else keyring.encrypt(row[at], place)
        return sealed

    def _for_sqlite(self, rows: int) -> str:
        marks = f"({', '.join(['?'] * len(self._columns))})"
        named = ", ".join(f"column{number} AS {name}" for number, name in enumerate(self._columns, 1))
        # Not WITH: the driver of Python 3.11 has no rowcount for a statement that begins with it.
        given = f"(SELECT {named} FROM (VALUES {', '.join([marks] * rows)})) AS given"  # noqa: S608 (names and marks)
        return self._template.format(given=given, **self._parts)

    def _for_postgresql(self, dialect: Dialect) -> str:
        # One value for any number of rows: the statement is always the same, and prepared.
        if not self._on_postgresql:
            names = ", ".join(self._columns)
            typed = ", ".join(f"{name} {column.type.compile(dialect)}" for name, column in self._columns.items())
            rows = f"ROWS FROM (json_to_recordset(CAST(%s AS json)) AS ({typed})) WITH ORDINALITY AS one({names}, nth)"
            # Every row is in that range. Without it PostgreSQL expects a hundred rows and reads a whole table for them;
            # with a range over an unknown value it expects one.
            given = f"(SELECT {names} FROM {rows} WHERE nth BETWEEN 1 AND {_MOST}) AS given"  # noqa: S608 (our names)
            self._on_postgresql = self._template.format(given=given, **self._parts)
        return self._on_postgresql


def distinct(
    connection: Connection, column: Column[str], *conditions: Any, after: str | None = None, limit: int | None = None
) -> list[str]:
    """Return the values of an indexed column beyond `after`, `limit` at most, in their order.

    Each is one jump in the index; DISTINCT would read all rows. No condition may bound the column, since SQLite jumps
    to one bound only and reads on from there.
    """
    found: list[str] = []
    query = select(column).where(*conditions).order_by(column).limit(1)
    while limit is None or len(found) < limit:
        value = connection.scalar(query if after is None else query.where(column > after))
        if value is None:
            break
        found.append(after := value)
    return found


def count_by(connection: Connection, column: Column[Any], *conditions: Any) -> dict[Any, int]:
    """Return the number of rows by the value of a column."""
    query = select(column, func.count().label("number")).where(*conditions).group_by(column)
    return {row[0]: row.number for row in connection.execute(query)}


# CROSS JOIN: SQLite keeps the order of these tables; the other order would read the whole table.
_SQLITE = """
SELECT {columns} FROM json_each(:places) AS place
CROSS JOIN {table} ON {table}.id IN (
    SELECT head.id FROM {table} AS head
    WHERE head.lane = CAST(place.key AS INTEGER) AND {where} ORDER BY {order} LIMIT :each)
"""
_POSTGRESQL = """
SELECT {columns} FROM unnest(CAST(:lanes AS int[]), CAST(:afters AS bigint[])) AS place(lane, value)
CROSS JOIN LATERAL (
    SELECT * FROM {table} AS head
    WHERE head.lane = place.lane AND {where} ORDER BY {order} LIMIT :each) AS {table}
"""


class FirstRowsOfLanes:
    """A query for the first rows of each lane.

    In `where` and `order` the table is `head`, the mark of a lane `place.value`; `lists` names parameters that are
    lists, none of them empty.
    """

    def __init__(self, table: str, columns: str, where: str, order: str, lists: Sequence[str] = ()) -> None:
        parts = {"table": table, "columns": columns, "where": where, "order": order}
        expanding: list[Any] = [bindparam(each, expanding=True) for each in lists]
        self._on_sqlite = text(_SQLITE.format_map(parts)).bindparams(*expanding)
        self._on_postgresql = text(_POSTGRESQL.format_map(parts)).bindparams(*expanding)

    def read(
        self, connection: Connection, marks: Mapping[int, int], each: int, **more: Any
    ) -> list[Row[*tuple[Any, ...]]]:
        """Return up to `each` rows of each lane; `marks` holds lanes and their marks."""
        more["each"] = each
        if connection.dialect.name == "sqlite":
            return list(connection.execute(self._on_sqlite, {**more, "places": json.dumps(marks)}))
        more |= {"lanes": list(marks), "afters": list(marks.values())}
        return list(connection.execute(self._on_postgresql, more))
