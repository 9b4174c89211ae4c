"""Who changed what, and when: a row beside each change, in its transaction. Rows are never changed."""

from __future__ import annotations

import json
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from typing import Any

from sqlalchemy import Connection, insert, or_, select

from bridge.journal.schema import audit
from bridge.journal.statements import distinct

SIGNED_IN, SIGNED_OUT, ALL_ENDED = "console.signed_in", "console.signed_out", "console.sessions_ended"
"""A SIGNED_OUT row is about the id of the SIGNED_IN row of its session. An ALL_ENDED row is about a person, or the
role of a password of the settings, and ends all their sessions of before."""
LIMITED = "console.sign_in_limited"
_AFTER_ALL = 2**63 - 1


@dataclass(frozen=True, slots=True)
class Actor:
    """The author of a change."""

    name: str  # a role with the name that a person gave (`operator Ana`), or the user of a command (`command root`)
    address: str = ""  # the network address of the person; empty for a command


def note(
    connection: Connection, actor: Actor, action: str, about: str, now_ms: int, detail: Mapping[str, Any] | None = None
) -> int:
    """Add a change and return its id.

    The action is a stable dotted name, `about` the number or name of the changed thing; the detail holds numbers.
    """
    values = {"at_ms": now_ms, "actor": actor.name, "address": actor.address, "action": action, "about": about}
    row = insert(audit).values(**values, detail=json.dumps(dict(detail or {}), ensure_ascii=False))
    return int(connection.execute(row.returning(audit.c.id)).scalar_one())


def is_signed_out(connection: Connection, entry: int, whose: str) -> bool:
    """Return whether the session of this SIGNED_IN row, or all of its person, ended; reads only newer rows."""
    c = audit.c
    own = (c.action == SIGNED_OUT) & (c.about == str(entry))
    ended = (c.id > entry) & (own | ((c.action == ALL_ENDED) & (c.about == whose)))
    return connection.execute(select(audit.c.id).where(ended).limit(1)).first() is not None


def about(connection: Connection, things: Mapping[str, Collection[str]], limit: int = 50) -> list[dict[str, Any]]:
    """Return the newest changes of these things by action, newest first."""
    # + "": by the action itself SQLite reads all changes of that kind.
    of = [(audit.c.action + "" == action) & audit.c.about.in_(names) for action, names in things.items() if names]
    if not of:
        return []
    every = sorted({name for names in things.values() for name in names})
    query = select(audit).where(audit.c.about.in_(every), or_(*of)).order_by(audit.c.id.desc()).limit(limit)
    rows = connection.execute(query).mappings()
    return [{**row, "detail": json.loads(row["detail"])} for row in rows]


def newest(connection: Connection, limit: int, before_id: int | None = None) -> list[dict[str, Any]]:
    query = select(audit).order_by(audit.c.id.desc()).limit(limit)
    if before_id is not None:
        query = query.where(audit.c.id < before_id)
    return [{**row, "detail": json.loads(row["detail"])} for row in connection.execute(query).mappings()]


@dataclass(frozen=True, slots=True)
class AuditFilter:
    """What the list of changes is narrowed to; an empty one matches all."""

    actor: str = ""
    actions: Collection[str] = ()
    since_ms: int | None = None
    until_ms: int | None = None  # exclusive


def page(connection: Connection, wanted: AuditFilter, limit: int, before_id: int | None = None) -> list[dict[str, Any]]:
    """Return the newest `limit` changes of the filter, before the change `before_id`; each part of it has an index."""
    c = audit.c
    of = [c.actor == wanted.actor] if wanted.actor else []
    if before_id is not None:
        of.append(c.id < before_id)
    if wanted.since_ms is not None:
        # As ids, so that the index of a person or an action begins and ends there: times rise with the ids.
        first = select(c.id).where(c.at_ms >= wanted.since_ms).order_by(c.at_ms, c.id).limit(1)
        of += [c.id >= (connection.scalar(first) or _AFTER_ALL), c.at_ms >= wanted.since_ms]
    if wanted.until_ms is not None:
        last = select(c.id).where(c.at_ms < wanted.until_ms).order_by(c.at_ms.desc(), c.id.desc()).limit(1)
        of += [c.id <= (connection.scalar(last) or 0), c.at_ms < wanted.until_ms]
    newest_ids = select(c.id).where(*of).order_by(c.id.desc()).limit(limit)
    each = [newest_ids.where(c.action == action) for action in wanted.actions] or [newest_ids]
    ids = sorted((id_ for query in each for id_ in connection.scalars(query)), reverse=True)[:limit]
    rows = connection.execute(select(audit).where(c.id.in_(ids)).order_by(c.id.desc())).mappings()
    return [{**row, "detail": json.loads(row["detail"])} for row in rows]


def actors(connection: Connection, limit: int) -> list[str]:
    """Return who made changes, in the order of the alphabet."""
    return distinct(connection, audit.c.actor, after="", limit=limit)  # entries of nobody have no name
