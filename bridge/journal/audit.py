"""Who changed what, and when: written beside the change, read by people, never changed."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from sqlalchemy import Connection, insert, select

from bridge.journal.schema import audit

SIGNED_IN, SIGNED_OUT = "console.signed_in", "console.signed_out"
"""A SIGNED_OUT row is about the id of the SIGNED_IN row with which its session began."""


@dataclass(frozen=True, slots=True)
class Actor:
    """Who makes a change."""

    name: str
    """A role and the name that somebody gave (`operator Ana`), or a command's user (`command root`)."""
    address: str = ""
    """The network address that it came from; empty for a command."""


@dataclass(frozen=True, slots=True)
class AuditEntry:
    """One change that somebody made."""

    id: int
    at_ms: int
    actor: str
    address: str
    action: str
    about: str
    detail: Mapping[str, Any] = field(default_factory=dict)


def note(
    connection: Connection, actor: Actor, action: str, about: str, now_ms: int, detail: Mapping[str, Any] | None = None
) -> int:
    """Note a change and return its id.

    The action is a stable dotted name, `about` the number or name of what was changed; the detail holds numbers.
    """
    made = connection.execute(
        insert(audit)
        .values(
            at_ms=now_ms,
            actor=actor.name,
            address=actor.address,
            action=action,
            about=about,
            detail=json.dumps(dict(detail or {}), ensure_ascii=False),
        )
        .returning(audit.c.id)
    )
    return int(made.scalar_one())


def is_signed_out(connection: Connection, entry: int) -> bool:
    """Return whether the session that began with this SIGNED_IN row was ended; reads only the rows after it."""
    ended = (audit.c.id > entry) & (audit.c.action == SIGNED_OUT) & (audit.c.about == str(entry))
    return connection.execute(select(audit.c.id).where(ended).limit(1)).first() is not None


def newest(connection: Connection, limit: int, before_id: int | None = None) -> list[AuditEntry]:
    """Return what was noted, newest first."""
    query = select(audit).order_by(audit.c.id.desc()).limit(limit)
    if before_id is not None:
        query = query.where(audit.c.id < before_id)
    return [AuditEntry(**{**row, "detail": json.loads(row["detail"])}) for row in connection.execute(query).mappings()]
