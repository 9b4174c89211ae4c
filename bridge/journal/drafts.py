"""The forms that people are filling in, as they last sent them: rows of `console_jobs`, for a day and for one person.

A page that answers a form has an address of its own by this, so that the browser's back and a reload lose nothing.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass

from sqlalchemy import ColumnElement, Connection, delete, insert, select

from bridge.journal.jobs import DRAFT, KEEP_PREVIEW_MS, forget
from bridge.journal.schema import jobs

MOST = 50
"""A person's older drafts are removed."""


@dataclass(frozen=True, slots=True)
class Draft:
    id: int
    fields: Sequence[tuple[str, str]]
    """The names and values of the form's controls, in its order."""
    created_ms: int


def keep(connection: Connection, about: str, owner: str, fields: Sequence[tuple[str, str]], now_ms: int) -> int:
    """Add a draft about a thing, such as a mapping, and return its number."""
    forget(connection, now_ms)
    values = {"kind": DRAFT, "about": about, "author": owner, "params": json.dumps(list(fields))}
    row = insert(jobs).values(**values, state="done", done=0, steps="[]", created_ms=now_ms, beat_ms=now_ms)
    fresh = int(connection.execute(row.returning(jobs.c.id)).scalar_one())
    own = select(jobs.c.id).where(jobs.c.kind == DRAFT, jobs.c.author == owner).order_by(jobs.c.id.desc())
    if old := connection.scalars(own.offset(MOST)).all():
        connection.execute(delete(jobs).where(jobs.c.id.in_(old)))
    return fresh


def find(connection: Connection, id_: int, about: str, owner: str, now_ms: int) -> Draft | None:
    return _newest(connection, jobs.c.id == id_, *_of(about, owner, now_ms))


def newest(connection: Connection, about: str, owner: str, now_ms: int) -> Draft | None:
    """Return what this person last sent about a thing."""
    return _newest(connection, *_of(about, owner, now_ms))


def remove(connection: Connection, about: str, owner: str) -> None:
    """Remove this person's drafts about a thing: they are saved, or not wanted."""
    of = (jobs.c.kind == DRAFT, jobs.c.about == about, jobs.c.author == owner)
    connection.execute(delete(jobs).where(*of))


def _of(about: str, owner: str, now_ms: int) -> tuple[ColumnElement[bool], ...]:
    lasts = jobs.c.created_ms >= now_ms - KEEP_PREVIEW_MS
    return jobs.c.kind == DRAFT, jobs.c.about == about, jobs.c.author == owner, lasts


def _newest(connection: Connection, *of: ColumnElement[bool]) -> Draft | None:
    row = connection.execute(select(jobs).where(*of).order_by(jobs.c.id.desc()).limit(1)).first()
    return Draft(row.id, [(name, value) for name, value in json.loads(row.params)], row.created_ms) if row else None
