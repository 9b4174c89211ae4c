"""Mapping revisions in the journal: every text that a mapping ever had. The newest of a name is the active one."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass

from sqlalchemy import Connection, func, insert, select, update

from bridge.journal.schema import meta, revisions


@dataclass(frozen=True, slots=True)
class Revision:
    """One text of one mapping."""

    id: int
    mapping: str
    text: str | None
    """Null where the mapping was removed."""
    digest: str
    origin: str
    author: str
    created_ms: int


WITH_FILE = "console-file"
"""The origin of a text that the console wrote into the file as well: an import of that file is nothing new."""
CONSOLE = "console"

_columns = [revisions.c[name] for name in Revision.__slots__]


def digest(text: str | None) -> str:
    """Return the hash by which two texts of a mapping are compared."""
    return hashlib.sha256((text or "").encode()).hexdigest()


def newest_id(connection: Connection) -> int:
    """Return the number of the newest revision of any mapping; it grows with every change."""
    return connection.scalar(select(func.max(revisions.c.id))) or 0


def active(connection: Connection) -> list[Revision]:
    """Return the newest revision of each mapping that was not removed, by name."""
    newest = select(func.max(revisions.c.id)).group_by(revisions.c.mapping)
    query = select(*_columns).where(revisions.c.id.in_(newest), revisions.c.text.is_not(None))
    return [Revision(*row) for row in connection.execute(query.order_by(revisions.c.mapping))]


def get(connection: Connection, id_: int) -> Revision | None:
    """Return one revision."""
    row = connection.execute(select(*_columns).where(revisions.c.id == id_)).first()
    return Revision(*row) if row else None


def history(connection: Connection, mapping: str) -> list[Revision]:
    """Return every revision of a mapping, newest first."""
    query = select(*_columns).where(revisions.c.mapping == mapping).order_by(revisions.c.id.desc())
    return [Revision(*row) for row in connection.execute(query)]


def newest(connection: Connection, mapping: str) -> Revision | None:
    """Return the newest revision of a mapping, None where it never had one."""
    query = select(*_columns).where(revisions.c.mapping == mapping).order_by(revisions.c.id.desc()).limit(1)
    row = connection.execute(query).first()
    return Revision(*row) if row else None


def last_from_file(connection: Connection, mapping: str) -> str | None:
    """Return the digest of the last text that was in the mapping's file, as far as the journal knows."""
    return connection.scalar(
        select(revisions.c.digest)
        .where(revisions.c.mapping == mapping, revisions.c.origin.in_(("file", WITH_FILE)))
        .order_by(revisions.c.id.desc())
        .limit(1)
    )


def turn(connection: Connection) -> None:
    """Wait until no other process changes a mapping, until the end of this transaction."""
    _wait_for_turn(connection)


def add(connection: Connection, mapping: str, text: str, origin: str, author: str, now_ms: int) -> int:
    """Make a text the active one; return its revision's number. The caller has its turn."""
    return _insert(connection, mapping, text, origin, author, now_ms)


def restore(connection: Connection, revision: Revision, author: str, now_ms: int) -> int | None:
    """Make an older text the active one again, as a new revision; return its number, or None where it is active.

    It counts as made by a command, so that the file, which still has the other text, does not overwrite it.
    """
    _wait_for_turn(connection)
    newest = history(connection, revision.mapping)[0]
    if newest.digest == revision.digest and newest.text == revision.text:
        return None
    return _insert(connection, revision.mapping, revision.text, "command", author, now_ms)


def import_text(
    connection: Connection, mapping: str, text: str | None, origin: str, author: str, now_ms: int
) -> int | None:
    """Make a new revision where the text differs from the last one that came from the same origin.

    So an unchanged file never overwrites what was changed in the console since. Returns the new number, or None.
    """
    _wait_for_turn(connection)
    origins = ("file", WITH_FILE) if origin == "file" else (origin,)
    last = connection.scalar(
        select(revisions.c.digest)
        .where(revisions.c.mapping == mapping, revisions.c.origin.in_(origins))
        .order_by(revisions.c.id.desc())
        .limit(1)
    )
    if last == digest(text) or (last is None and text is None):
        return None
    return _insert(connection, mapping, text, origin, author, now_ms)


def _wait_for_turn(connection: Connection) -> None:
    # Two processes that start at once would both see the old text: the row lock makes the second one wait and look.
    # It also makes the numbers grow in the order of the commits, by which every process notices a change.
    connection.execute(update(meta).where(meta.c.key == "lanes").values(value=meta.c.value))


def _insert(connection: Connection, mapping: str, text: str | None, origin: str, author: str, now_ms: int) -> int:
    values = {"text": text, "digest": digest(text), "origin": origin, "author": author, "created_ms": now_ms}
    statement = insert(revisions).values(mapping=mapping, **values).returning(revisions.c.id)
    fresh: int = connection.execute(statement).scalar_one()
    return fresh
