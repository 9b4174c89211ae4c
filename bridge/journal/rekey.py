"""Brings what is kept in the journal under the first key of BRIDGE_ENCRYPTION_KEY, a few rows at a time.

What is under it already is passed over, so that a walk that was broken off goes on where it stopped. A row that
changes meanwhile is left to its writer, which seals with the first key by itself.
"""

from __future__ import annotations

from collections.abc import Generator
from dataclasses import dataclass
from typing import Any

from sqlalchemy import Column, ColumnElement, Connection, Table, Text, func, literal, or_, select, type_coerce, update

from bridge.journal import keys
from bridge.journal.database import Database
from bridge.journal.schema import attempts, deliveries, events
from bridge.journal.schema_console import jobs
from bridge.journal.schema_tenants import tenant_accounts, tenant_destinations
from bridge.journal.sealed import Sealed, keyring_of

PAGE = 200
"""Rows that one transaction changes: some ten milliseconds."""
TABLES: tuple[Table, ...] = (tenant_accounts, tenant_destinations, events, deliveries, attempts, jobs)


@dataclass(frozen=True, slots=True)
class Progress:
    """How far the walk has come."""

    done: int
    total: int


def rekey(database: Database, page: int = PAGE) -> Generator[Progress]:
    """Seal everything with the first key, one transaction for each step; raises SealBroken for a row without a key."""
    with database.write() as connection:
        keys.settle(connection)
        keys.seal_again(connection)
    with database.read() as connection:
        total = sum(_behind(connection, table) for table in TABLES)
    done = 0
    yield Progress(done, total)
    for table in TABLES:
        after: Any = None
        while True:
            with database.write() as connection:
                after, changed = _step(connection, table, after, page)
            done += changed
            if not changed:
                break
            yield Progress(done, max(done, total))
    database.clear_log()


def sealed_columns(table: Table) -> list[Column[Any]]:
    """Return the columns of a table that are kept sealed."""
    return [column for column in table.c if isinstance(column.type, Sealed)]


def _behind(connection: Connection, table: Table) -> int:
    return connection.scalar(select(func.count()).select_from(table).where(_not_current(connection, table))) or 0


def _not_current(connection: Connection, table: Table) -> ColumnElement[bool]:
    prefix = keyring_of(connection).current_prefix
    kept = [type_coerce(column, Text) for column in sealed_columns(table)]
    return or_(*(text.is_not(None) & (func.substr(text, 1, len(prefix)) != prefix) for text in kept))


def _step(connection: Connection, table: Table, after: Any, page: int) -> tuple[Any, int]:
    keyring = keyring_of(connection)
    (key,) = table.primary_key.columns
    columns = sealed_columns(table)
    texts = [type_coerce(column, Text).label(column.name) for column in columns]
    query = select(key, *texts).where(_not_current(connection, table)).order_by(key).limit(page)
    rows = connection.execute(query if after is None else query.where(key > after)).mappings().all()
    for row in rows:
        for column in columns:
            kept, place = row[column.name], f"{table.name}.{column.name}"
            if kept is None or keyring.is_current(kept):
                continue
            fresh = keyring.seal(keyring.open(kept, place), place)
            connection.execute(
                update(table)
                .where(key == row[key.name], type_coerce(column, Text) == kept)
                .values({column: literal(fresh, Text)})
            )
    return (rows[-1][key.name], len(rows)) if rows else (after, 0)
