"""What the journal knows of its keys: enough to tell a wrong one from the right one before anything is written.

The row `sealed` holds a text that only the journal's key opens. The row `search_key`, the key of the hashes by which
people are found, is sealed too; it is the journal's own, so that a new encryption key leaves the hashes alone. The row
`erasure` is another one after each erasure of a person, and part of the names under which caches keep people.
"""

from __future__ import annotations

import secrets
from collections.abc import Mapping

from sqlalchemy import Connection, insert, select, update

from bridge.journal.lanes import lock_all
from bridge.journal.schema import meta
from bridge.journal.sealed import keyring_of
from bridge.journal.upsert import Upsert
from bridge.sealing import Keyring

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
    """Raise SealBroken where the journal was encrypted with a key that is not there; `known` is the journal's meta."""
    if _CHECK in known:
        keyring.open(known[_CHECK], _PLACE + _CHECK)


def settle(connection: Connection) -> None:
    """Note in the journal that it is encrypted from now on, where there is a key; raise SealBroken for a wrong one."""
    keyring = keyring_of(connection)
    lock_all(connection)  # one process at a time, of several that start at once
    known = {row.key: row.value for row in connection.execute(select(meta))}
    check(known, keyring)
    if not keyring:
        return
    if _CHECK not in known:
        connection.execute(insert(meta).values(key=_CHECK, value=keyring.seal(_WORDS, _PLACE + _CHECK)))
        seal_again(connection)


def seal_again(connection: Connection) -> None:
    """Seal what is kept here with the first key."""
    keyring = keyring_of(connection)
    for row in connection.execute(select(meta).where(meta.c.key.in_([_CHECK, _SEARCH]))).all():
        text = keyring.open(row.value, _PLACE + row.key)
        connection.execute(update(meta).where(meta.c.key == row.key).values(value=keyring.seal(text, _PLACE + row.key)))


def search_key(connection: Connection) -> bytes:
    """Return the key of the hashes by which people are found; raises SealBroken."""
    kept = connection.execute(_search_key).scalar_one()
    return keyring_of(connection).open(kept, _PLACE + _SEARCH).encode()


def erasure(connection: Connection) -> str:
    """Return what tells the time after the last erasure of a person from the time before."""
    return connection.scalar(select(meta.c.value).where(meta.c.key == _ERASURE)) or ""


def renew_erasure(connection: Connection) -> None:
    """Let no process use what it remembers of people from before this transaction."""
    connection.execute(_renew.of(connection), {"key": _ERASURE, "value": secrets.token_hex(8)})
