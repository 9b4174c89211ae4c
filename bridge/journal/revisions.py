"""Mapping revisions: every text that a mapping ever had. The newest revision of a name is the active one.

People read a revision's number, which counts those of its mapping; its id is unique among all mappings.
"""

from __future__ import annotations

import hashlib
from collections.abc import Collection
from dataclasses import dataclass

from sqlalchemy import Connection, func, insert, select, update

from bridge.journal.schema import meta, revisions


@dataclass(frozen=True, slots=True)
class Revision:
    id: int
    mapping: str
    text: str | None  # None: the mapping was removed
    digest: str
    origin: str
    author: str
    created_ms: int
    number: int
    """1 for the first text of its mapping; revisions are never removed."""


WITH_FILE = "console-file"
"""Origin of a text that the console also wrote into the file: importing that file changes nothing."""
CONSOLE = "console"
FROM_FILE = ("file", WITH_FILE)


_before = revisions.alias()
_NUMBER = (
    select(func.count())
    .where(_before.c.mapping == revisions.c.mapping, _before.c.id <= revisions.c.id)
    .scalar_subquery()
    .label("number")
)
_REVISIONS = select(revisions, _NUMBER)


def digest(text: str | None) -> str:
    """Return the hash by which two texts of a mapping are compared."""
    return hashlib.sha256((text or "").encode()).hexdigest()


def newest_id(connection: Connection) -> int:
    """Return the id of the newest revision of any mapping; it grows with every change."""
    return connection.scalar(select(func.max(revisions.c.id))) or 0


def active(connection: Connection) -> list[Revision]:
    """Return the newest revision of each mapping that was not removed, by name."""
    newest = select(func.max(revisions.c.id)).group_by(revisions.c.mapping)
    query = _REVISIONS.where(revisions.c.id.in_(newest), revisions.c.text.is_not(None))
    return [Revision(*row) for row in connection.execute(query.order_by(revisions.c.mapping))]


def get(connection: Connection, id_: int) -> Revision | None:
    row = connection.execute(_REVISIONS.where(revisions.c.id == id_)).first()
    return Revision(*row) if row else None


def history(connection: Connection, mapping: str, limit: int | None = None) -> list[Revision]:
    query = _REVISIONS.where(revisions.c.mapping == mapping).order_by(revisions.c.id.desc()).limit(limit)
    return [Revision(*row) for row in connection.execute(query)]


def numbers(connection: Connection, ids: Collection[int]) -> dict[int, int]:
    """Return the numbers of revisions by their ids."""
    query = select(revisions.c.id, _NUMBER).where(revisions.c.id.in_(ids))
    return {row.id: row.number for row in connection.execute(query)} if ids else {}


def newest(connection: Connection, mapping: str) -> Revision | None:
    return next(iter(history(connection, mapping, 1)), None)


def last_digest(connection: Connection, mapping: str, origins: Collection[str] = FROM_FILE) -> str | None:
    """Return the digest of the mapping's last text of these origins, by default the file as last read or written."""
    query = select(revisions.c.digest).where(revisions.c.mapping == mapping, revisions.c.origin.in_(origins))
    return connection.scalar(query.order_by(revisions.c.id.desc()).limit(1))


def turn(connection: Connection) -> None:
    """Wait until no other process changes a mapping, and keep others waiting until the transaction ends."""
    # Two processes that start at once would both see the old text; the row lock makes the second wait and read again.
    # It also makes ids grow in the order of the commits, by which every process notices a change.
    connection.execute(update(meta).where(meta.c.key == "lanes").values(value=meta.c.value))


def add(connection: Connection, mapping: str, text: str | None, origin: str, author: str, now_ms: int) -> int:
    """Make a text the active one, after `turn`; return the id of its revision."""
    values = {"text": text, "digest": digest(text), "origin": origin, "author": author, "created_ms": now_ms}
    statement = insert(revisions).values(mapping=mapping, **values).returning(revisions.c.id)
    return int(connection.execute(statement).scalar_one())


def restore(connection: Connection, revision: Revision, author: str, now_ms: int) -> int | None:
    """Make an older text the active one again, as a new revision; return its id, or None where it is active.

    Its origin is `command`, so that the file, which has another text, does not overwrite it.
    """
    turn(connection)
    (newest,) = history(connection, revision.mapping, 1)
    if newest.digest == revision.digest and newest.text == revision.text:
        return None
    return add(connection, revision.mapping, revision.text, "command", author, now_ms)


def import_text(
    connection: Connection, mapping: str, text: str | None, origin: str, author: str, now_ms: int
) -> int | None:
    """Add a revision where the text differs from the last one of the same origin; return its id, or None.

    So an unchanged file never overwrites a change that the console made since.
    """
    turn(connection)
    last = last_digest(connection, mapping, FROM_FILE if origin == "file" else (origin,))
    if last == digest(text) or (last is None and text is None):
        return None
    return add(connection, mapping, text, origin, author, now_ms)
