"""Who changed what, and when: a row beside each change, in its transaction. Rows are never changed."""

from __future__ import annotations

import json
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from typing import Any

from sqlalchemy import Connection, insert, or_, select

from bridge.journal.schema import audit

SIGNED_IN, SIGNED_OUT, ALL_ENDED = "console.signed_in", "console.signed_out", "console.sessions_ended"
"""A SIGNED_OUT row is about the id of the SIGNED_IN row of its session. An ALL_ENDED row is about a person, or the
role of a password of the settings, and ends all their sessions of before."""
LIMITED = "console.sign_in_limited"


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
    of = [(audit.c.action == action) & audit.c.about.in_(names) for action, names in things.items() if names]
    if not of:
        return []
    rows = connection.execute(select(audit).where(or_(*of)).order_by(audit.c.id.desc()).limit(limit)).mappings()
    return [{**row, "detail": json.loads(row["detail"])} for row in rows]


def newest(connection: Connection, limit: int, before_id: int | None = None) -> list[dict[str, Any]]:
    query = select(audit).order_by(audit.c.id.desc()).limit(limit)
    if before_id is not None:
        query = query.where(audit.c.id < before_id)
    return [{**row, "detail": json.loads(row["detail"])} for row in connection.execute(query).mappings()]
