"""Inserts that may meet a row of the same key: the same statement, which each dialect spells by itself.

Only the dialect of the database in use is imported: PostgreSQL's takes a tenth of a process's start, and 2 MB.
"""

from __future__ import annotations

from collections.abc import Callable
from importlib import import_module
from typing import TYPE_CHECKING, TypeAlias

from sqlalchemy import Connection, Executable, Table

if TYPE_CHECKING:
    from sqlalchemy.dialects import postgresql, sqlite

    Insert: TypeAlias = sqlite.Insert | postgresql.Insert


class Upsert:
    """One such statement, made for each dialect when it is first asked for."""

    def __init__(self, table: Table, on_conflict: Callable[[Insert], Executable]) -> None:
        self._table = table
        self._on_conflict = on_conflict
        self._made: dict[str, Executable] = {}

    def of(self, connection: Connection) -> Executable:
        """Return the statement as this connection's database takes it."""
        name = connection.dialect.name
        if name not in self._made:
            dialect = import_module(f"sqlalchemy.dialects.{name}")
            self._made[name] = self._on_conflict(dialect.insert(self._table))
        return self._made[name]


def unless_there(table: Table) -> Upsert:
    """Return the insert that leaves a row alone which is there already."""
    return Upsert(table, lambda insert: insert.on_conflict_do_nothing())
