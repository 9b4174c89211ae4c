"""What the journal stores about its keys; with it a wrong key is found before anything is written.

The row `sealed` holds a text that only the journal's key decrypts. The row `search_key` is the key of the hashed search
terms; it is encrypted, and stays when the encryption key changes. The row `erasure` changes with each erasure of a
person and is part of the keys under which caches keep people.
"""

from __future__ import annotations

import secrets
from collections.abc import Generator
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
    text,
    tuple_,
    update,
)
from sqlalchemy.sql.expression import type_coerce

from bridge.journal.database import Database
from bridge.journal.lanes import lock_all
from bridge.journal.schema import EncryptedText, keyring_of, meta, metadata

_CHECK = "sealed"
_SEARCH = "search_key"
_ERASURE = "erasure"
_PLACE = "journal_meta."
_replace = text(
    "INSERT INTO journal_meta (key, value) VALUES (:key, :value) ON CONFLICT (key) DO UPDATE SET value = excluded.value"
)


def check(connection: Connection) -> dict[str, str]:
    """Return the rows of journal_meta; raise DecryptionFailed where the journal's key is missing."""
    rows = {row.key: row.value for row in connection.execute(select(meta))}
    if _CHECK in rows:
        keyring_of(connection).decrypt(rows[_CHECK], _PLACE + _CHECK)
    return rows


def prepare(connection: Connection) -> None:
    """Mark the journal as encrypted where there is a key; raise DecryptionFailed for a wrong one."""
    keyring = keyring_of(connection)
    lock_all(connection)  # puts processes that start at once in order
    if _CHECK not in check(connection) and keyring:
        sealed = keyring.encrypt("opened with the right key", _PLACE + _CHECK)
        connection.execute(insert(meta).values(key=_CHECK, value=sealed))
        _encrypt_again(connection)


def _encrypt_again(connection: Connection) -> None:
    keyring = keyring_of(connection)
    for row in connection.execute(select(meta).where(meta.c.key.in_([_CHECK, _SEARCH]))).all():
        fresh = keyring.encrypt(keyring.decrypt(row.value, _PLACE + row.key), _PLACE + row.key)
        connection.execute(update(meta).where(meta.c.key == row.key).values(value=fresh))


def search_key(connection: Connection) -> bytes:
    value = connection.execute(select(meta.c.value).where(meta.c.key == _SEARCH)).scalar_one()
    return keyring_of(connection).decrypt(value, _PLACE + _SEARCH).encode()


def erasure(connection: Connection) -> str:
    """Return a text that is another one after each erasure of a person."""
    return connection.scalar(select(meta.c.value).where(meta.c.key == _ERASURE)) or ""


def renew_erasure(connection: Connection) -> None:
    """Make all caches of people from before this transaction invalid."""
    connection.execute(_replace, {"key": _ERASURE, "value": secrets.token_hex(8)})


def rekey(database: Database, page: int = 200) -> Generator[tuple[int, int]]:
    """Encrypt all rows with the first key, page by page; yield the number of rows done and their total.

    Raises DecryptionFailed for a row whose key is missing.
    """
    tables = [table for table in metadata.sorted_tables if sealed_columns(table)]  # parents first
    with database.write() as connection:
        prepare(connection)
        _encrypt_again(connection)
    with database.read() as connection:
        counts = (select(func.count()).select_from(table).where(_is_old(connection, table)) for table in tables)
        total = sum(connection.scalar(query) or 0 for query in counts)
    done = 0
    yield done, total
    for table in tables:
        after: Any = None
        while True:
            with database.write() as connection:
                after, changed = _step(connection, table, after, page)
            done += changed
            if not changed:
                break
            yield done, max(done, total)
    database.clear_log()


def sealed_columns(table: Table) -> list[Column[Any]]:
    return [column for column in table.c if isinstance(column.type, EncryptedText)]


def _is_old(connection: Connection, table: Table) -> ColumnElement[bool]:
    prefix = keyring_of(connection).prefix
    values = [type_coerce(column, Text) for column in sealed_columns(table)]
    return or_(*(value.is_not(None) & (func.substr(value, 1, len(prefix)) != prefix) for value in values))


def _step(connection: Connection, table: Table, after: Any, page: int) -> tuple[Any, int]:
    keyring = keyring_of(connection)
    keys = [*table.primary_key.columns]
    columns = sealed_columns(table)
    texts = [type_coerce(column, Text).label(column.name) for column in columns]
    query = select(*keys, *texts).where(_is_old(connection, table)).order_by(*keys).limit(page)
    rows = connection.execute(query if after is None else query.where(tuple_(*keys) > after)).mappings().all()
    for row in rows:
        for column in columns:
            old, place = row[column.name], f"{table.name}.{column.name}"
            if old is None or old.startswith(keyring.prefix):
                continue
            fresh = keyring.encrypt(keyring.decrypt(old, place), place)
            own = [key == row[key.name] for key in keys]
            unchanged = update(table).where(*own, type_coerce(column, Text) == old)
            connection.execute(unchanged.values({column: literal(fresh, Text)}))
    return (tuple(rows[-1][key.name] for key in keys), len(rows)) if rows else (after, 0)
