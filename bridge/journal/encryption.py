"""What the journal knows of its keys: enough to tell a wrong one from the right one before anything is written.

The row `sealed` holds a text that only the journal's key opens. The row `search_key`, the key of the hashes by which
people are found, is sealed too; it is the journal's own, so that a new encryption key leaves the hashes alone. The row
`erasure` is another one after each erasure of a person, and part of the names under which caches keep people.
"""

from __future__ import annotations

import secrets
from collections.abc import Generator, Mapping
from dataclasses import dataclass
from typing import Any

from sqlalchemy import (
    Column,
    ColumnElement,
    Connection,
    Table,
    Text,
    func,
    insert,
    literal,
    or_,
    select,
    type_coerce,
    update,
)

from bridge.crypto import Keyring
from bridge.journal.database import Database
from bridge.journal.lanes import lock_all
from bridge.journal.schema import (
    EncryptedText,
    attempts,
    deliveries,
    events,
    jobs,
    keyring_of,
    meta,
    tenant_accounts,
    tenant_destinations,
)
from bridge.journal.statements import Upsert

_CHECK = "sealed"
_SEARCH = "search_key"
_ERASURE = "erasure"
_PLACE = "journal_meta."
_renew = Upsert(
    meta, lambda insert: insert.on_conflict_do_update(index_elements=["key"], set_={"value": insert.excluded.value})
)
_search_key = select(meta.c.value).where(meta.c.key == _SEARCH)
_WORDS = "opened with the right key"


def check(known: Mapping[str, str], keyring: Keyring) -> None:
    """Raise DecryptionFailed where the journal's key is missing; `known` holds the rows of journal_meta."""
    if _CHECK in known:
        keyring.decrypt(known[_CHECK], _PLACE + _CHECK)


def prepare(connection: Connection) -> None:
    """Mark the journal as encrypted where there is a key; raise DecryptionFailed for a wrong one."""
    keyring = keyring_of(connection)
    lock_all(connection)  # one process at a time, of several that start at once
    known = {row.key: row.value for row in connection.execute(select(meta))}
    check(known, keyring)
    if not keyring:
        return
    if _CHECK not in known:
        connection.execute(insert(meta).values(key=_CHECK, value=keyring.encrypt(_WORDS, _PLACE + _CHECK)))
        encrypt_again(connection)


def encrypt_again(connection: Connection) -> None:
    """Seal what is kept here with the first key."""
    keyring = keyring_of(connection)
    for row in connection.execute(select(meta).where(meta.c.key.in_([_CHECK, _SEARCH]))).all():
        text = keyring.decrypt(row.value, _PLACE + row.key)
        connection.execute(
            update(meta).where(meta.c.key == row.key).values(value=keyring.encrypt(text, _PLACE + row.key))
        )


def search_key(connection: Connection) -> bytes:
    """Return the key of the hashes by which people are found; raises DecryptionFailed."""
    kept = connection.execute(_search_key).scalar_one()
    return keyring_of(connection).decrypt(kept, _PLACE + _SEARCH).encode()


def erasure(connection: Connection) -> str:
    """Return what tells the time after the last erasure of a person from the time before."""
    return connection.scalar(select(meta.c.value).where(meta.c.key == _ERASURE)) or ""


def renew_erasure(connection: Connection) -> None:
    """Let no process use what it remembers of people from before this transaction."""
    connection.execute(_renew.rows(connection), {"key": _ERASURE, "value": secrets.token_hex(8)})


PAGE = 200
"""Rows that one transaction changes: some ten milliseconds."""
TABLES: tuple[Table, ...] = (tenant_accounts, tenant_destinations, events, deliveries, attempts, jobs)


@dataclass(frozen=True, slots=True)
class Progress:
    """How far the walk has come."""

    done: int
    total: int


def rekey(database: Database, page: int = PAGE) -> Generator[Progress]:
    """Encrypt everything with the first key, in steps; raises DecryptionFailed for a row whose key is missing."""
    with database.write() as connection:
        prepare(connection)
        encrypt_again(connection)
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
    return [column for column in table.c if isinstance(column.type, EncryptedText)]


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
            fresh = keyring.encrypt(keyring.decrypt(kept, place), place)
            connection.execute(
                update(table)
                .where(key == row[key.name], type_coerce(column, Text) == kept)
                .values({column: literal(fresh, Text)})
            )
    return (rows[-1][key.name], len(rows)) if rows else (after, 0)
