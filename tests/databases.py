"""Which tests run on both databases, and a PostgreSQL database for one test after another.

Each test finds the database as it was when it was made: putting it back costs less than making one.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from typing import Any

import psycopg
import pytest
from psycopg import sql

from tests.services import PostgresServer

on_both = pytest.mark.parametrize("database_url", ["sqlite", "postgresql"], indirect=True)
"""Runs a test on SQLite and on PostgreSQL: where locks, statements of many rows, plans or encodings are at stake."""

_GROWN_BYTES = 4 * 1024 * 1024
"""A database that has grown by more is dropped: what is deleted in it would slow the next test down."""
_TABLES = "select tablename from pg_tables where schemaname = 'public' order by tablename"
_SHAPE = """
select md5(string_agg(line, '|' order by line)) from (
    select format('%s %s %s %s', c.relname, a.attname, a.atttypid, a.attnotnull) from pg_class c
        join pg_attribute a on a.attrelid = c.oid where c.relnamespace = 'public'::regnamespace and a.attnum > 0
    union all select pg_get_constraintdef(oid) from pg_constraint where connamespace = 'public'::regnamespace
    union all select indexdef from pg_indexes where schemaname = 'public'
    union all select tgname::text from pg_trigger where not tgisinternal
    union all select setconfig::text from pg_db_role_setting
) as shape(line)
"""
_OTHERS = """
select pg_terminate_backend(pid) from pg_stat_activity where datname = current_database() and pid <> pg_backend_pid()
"""


class SpareDatabase:
    """One database that is lent, put back, and made anew where it can't be put back."""

    def __init__(self, server: PostgresServer, template: str) -> None:
        self._server = server
        self._template = template
        self._made = contextlib.ExitStack()
        self._url = ""
        self._rows: dict[str, list[tuple[Any, ...]]] = {}
        self._shape: tuple[Any, ...] = ()
        self._bytes = 0

    @contextlib.contextmanager
    def lent(self) -> Iterator[str]:
        """Give its SQLAlchemy URL."""
        if not self._url:
            self._make()
        try:
            yield self._url
        finally:
            try:
                kept = self._put_back()
            except psycopg.Error:
                kept = False
            if not kept:
                self.close()

    def close(self) -> None:
        """Drop it."""
        self._url = ""
        self._made.close()

    def _make(self) -> None:
        self._url = self._made.enter_context(self._server.database(self._template))
        with self._connect() as connection:
            for (table,) in connection.execute(_TABLES).fetchall():
                self._rows[table] = connection.execute(_about("select * from {}", table)).fetchall()
            self._shape = self._shape_of(connection)
            self._bytes = self._size_of(connection)

    def _put_back(self) -> bool:
        with self._connect() as connection:
            connection.execute(_OTHERS)
            if self._shape_of(connection) != self._shape or self._size_of(connection) > self._bytes + _GROWN_BYTES:
                return False
            connection.execute("set session_replication_role = replica")  # in any order, whatever refers to what
            for table, rows in self._rows.items():
                connection.execute(_about("delete from {}", table))
                if rows:
                    places = sql.SQL(", ").join([sql.Placeholder()] * len(rows[0]))
                    insert = sql.SQL("insert into {} values ({})").format(sql.Identifier(table), places)
                    connection.cursor().executemany(insert, rows)
            connection.execute("select setval(oid::regclass, 1, false) from pg_class where relkind = 'S'")
        return True

    def _connect(self) -> psycopg.Connection[tuple[Any, ...]]:
        return psycopg.connect(self._url.replace("+psycopg", ""))

    @staticmethod
    def _shape_of(connection: psycopg.Connection[tuple[Any, ...]]) -> tuple[Any, ...]:
        return (connection.execute(_TABLES).fetchall(), connection.execute(_SHAPE).fetchone())

    @staticmethod
    def _size_of(connection: psycopg.Connection[tuple[Any, ...]]) -> int:
        row = connection.execute("select pg_database_size(current_database())").fetchone()
        assert row is not None
        return int(row[0])


def _about(words: str, table: str) -> sql.Composed:
    return sql.SQL(words).format(sql.Identifier(table))
