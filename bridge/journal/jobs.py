"""Long work of the console in the journal: what it is, how far it came, what was said, what came out.

A job belongs to the process that began it. One whose process gives no sign of life for two minutes is lost: it is shown
as failed, and begun again by a person; nothing that jobs do is harmed by being done again.
"""

from __future__ import annotations

import json
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from sqlalchemy import Connection, delete, insert, or_, select, update

from bridge.journal.schema import jobs, meta
from bridge.journal.statements import insert_missing

LOST_AFTER_MS = 120_000
KEPT_MS = 30 * 24 * 3_600_000
PREVIEWS_KEPT_MS = 24 * 3_600_000
"""A preview holds what would be sent, so it is not kept longer than somebody may look at it."""
LOST = "console.job_lost"


@dataclass(frozen=True, slots=True)
class Job:
    """One piece of long work."""

    id: int
    kind: str
    about: str
    params: Mapping[str, Any]
    state: str
    done: int
    total: int | None
    steps: Sequence[Mapping[str, Any]]
    result: Mapping[str, Any] | None
    code: str | None
    error: str | None
    author: str
    created_ms: int
    beat_ms: int
    finished_ms: int | None

    @property
    def is_running(self) -> bool:
        """Whether it goes on."""
        return self.state == "running"


def begin(connection: Connection, kind: str, about: str, params: Mapping[str, Any], author: str, now_ms: int) -> int:
    """Note that work began; return its number. What ended long ago is forgotten."""
    forget(connection, now_ms)
    values = {"kind": kind, "about": about, "params": json.dumps(dict(params)), "author": author}
    row = insert(jobs).values(**values, state="running", done=0, steps="[]", created_ms=now_ms, beat_ms=now_ms)
    fresh: int = connection.execute(row.returning(jobs.c.id)).scalar_one()
    return fresh


def forget(connection: Connection, now_ms: int) -> None:
    """Remove what ended long ago, or was lost then; a preview after a day."""
    ended = jobs.c.beat_ms
    connection.execute(
        delete(jobs).where(
            or_(
                ended < now_ms - KEPT_MS,
                (ended < now_ms - PREVIEWS_KEPT_MS) & jobs.c.kind.in_(("replay_preview", "backfill_preview")),
            )
        )
    )


def beat(
    connection: Connection, id_: int, now_ms: int, *, done: int, total: int | None, steps: Sequence[Mapping[str, Any]]
) -> None:
    """Note how far it came."""
    values = {"done": done, "total": total, "steps": json.dumps(list(steps)), "beat_ms": now_ms}
    connection.execute(update(jobs).where(jobs.c.id == id_, jobs.c.state == "running").values(**values))


def finish(connection: Connection, id_: int, now_ms: int, result: Mapping[str, Any]) -> None:
    """Note what came out."""
    _end(connection, id_, now_ms, state="done", result=json.dumps(dict(result)))


def fail(connection: Connection, id_: int, now_ms: int, code: str, error: str) -> None:
    """Note why it ended before it was done."""
    _end(connection, id_, now_ms, state="failed", code=code, error=error)


def _end(connection: Connection, id_: int, now_ms: int, **values: Any) -> None:
    connection.execute(update(jobs).where(jobs.c.id == id_).values(finished_ms=now_ms, beat_ms=now_ms, **values))


def amend(connection: Connection, id_: int, result: Mapping[str, Any]) -> None:
    """Replace what came out: somebody said more about it."""
    connection.execute(update(jobs).where(jobs.c.id == id_).values(result=json.dumps(dict(result))))


def find(connection: Connection, id_: int, now_ms: int) -> Job | None:
    """Return one job."""
    row = connection.execute(select(jobs).where(jobs.c.id == id_)).mappings().first()
    return _job(row, now_ms) if row else None


def newest(connection: Connection, kind: str, now_ms: int, limit: int = 1, about: str | None = None) -> list[Job]:
    """Return the last jobs of a kind (about one thing, where it is named), newest first."""
    query = select(jobs).where(jobs.c.kind == kind).order_by(jobs.c.id.desc()).limit(limit)
    if about is not None:
        query = query.where(jobs.c.about == about)
    return [_job(row, now_ms) for row in connection.execute(query).mappings()]


def _job(row: Mapping[Any, Any], now_ms: int) -> Job:
    read = {**row, "params": json.loads(row["params"]), "steps": json.loads(row["steps"])}
    read["result"] = json.loads(row["result"]) if row["result"] else None
    if row["state"] == "running" and row["beat_ms"] < now_ms - LOST_AFTER_MS:
        read |= {"state": "failed", "code": LOST, "error": "the process that did it ended"}
    return Job(**read)


_FIRST = insert_missing(meta)
_NO_LEASE = "0 "
TASKS = "tasks"
"""The result under this name says for each periodic task until when it is in time."""


def leased_to(connection: Connection, name: str, for_ms: int, now_ms: int) -> str:
    """Return the owner of the lease, empty where nobody has it; it lasts `for_ms` from its last renewal."""
    value = connection.execute(select(meta.c.value).where(meta.c.key == _lease_key(name))).scalar_one_or_none()
    return _live_owner(value or _NO_LEASE, for_ms, now_ms)


def lease(connection: Connection, name: str, owner: str, for_ms: int, now_ms: int) -> bool:
    """Take the lease or renew it; return whether this owner has it."""
    key = _lease_key(name)
    connection.execute(_FIRST.rows(connection), {"key": key, "value": _NO_LEASE})
    value = connection.execute(select(meta.c.value).where(meta.c.key == key)).scalar_one()
    if _live_owner(value, for_ms, now_ms) not in {"", owner}:
        return False
    taken = update(meta).where(meta.c.key == key, meta.c.value == value).values(value=f"{now_ms + for_ms} {owner}")
    return connection.execute(taken).rowcount == 1


def end_lease(connection: Connection, name: str, owner: str) -> None:
    """Give the lease back, where this owner has it."""
    of_owner = meta.c.value.endswith(f" {owner}", autoescape=True)
    connection.execute(update(meta).where(meta.c.key == _lease_key(name), of_owner).values(value=_NO_LEASE))


def _live_owner(value: str, for_ms: int, now_ms: int) -> str:
    until_ms, _, owner = value.partition(" ")
    # A lease that ends later than one that begins now was taken while the clock was ahead.
    return owner if now_ms < int(until_ms) <= now_ms + for_ms else ""


def claim_run(connection: Connection, name: str, every_ms: int, now_ms: int) -> bool:
    """Return whether a round is due and this caller is the one to do it; the next is due after `every_ms`."""
    key = _key(name)
    connection.execute(_FIRST.rows(connection), {"key": key, "value": "0"})
    next_ms = connection.execute(select(meta.c.value).where(meta.c.key == key)).scalar_one()
    # One that is further away than a whole round was set when rounds were longer.
    if now_ms < int(next_ms) <= now_ms + every_ms:
        return False
    taken = update(meta).where(meta.c.key == key, meta.c.value == next_ms).values(value=str(now_ms + every_ms))
    return connection.execute(taken).rowcount == 1


def reschedule(connection: Connection, name: str, at_ms: int) -> None:
    """Let the next round be due then: this one was broken off."""
    connection.execute(update(meta).where(meta.c.key == _key(name)).values(value=str(at_ms)))


def note_result(connection: Connection, name: str, result: Mapping[str, int]) -> None:
    """Keep the numbers that the last round found, such as the charges that are missing."""
    row = {"key": _result_key(name), "value": json.dumps(dict(result))}
    connection.execute(_FIRST.rows(connection), row)
    connection.execute(update(meta).where(meta.c.key == row["key"]).values(value=row["value"]))


def results(connection: Connection, names: Collection[str]) -> dict[str, dict[str, int]]:
    """Return by name what the last round found, for those that had one."""
    keys = {_result_key(name): name for name in names}
    rows = connection.execute(select(meta.c.key, meta.c.value).where(meta.c.key.in_(list(keys))))
    return {keys[row.key]: json.loads(row.value) for row in rows}


def late_tasks(connection: Connection, now_ms: int) -> list[str]:
    """Return the names of the periodic tasks that no process has done in time; none where none ever ran."""
    known = results(connection, [TASKS]).get(TASKS, {})
    return sorted(name for name, until_ms in known.items() if until_ms < now_ms)


def _lease_key(name: str) -> str:
    return f"lease:{name}"


def _result_key(name: str) -> str:
    return f"result:{name}"


def _key(name: str) -> str:
    return f"next_ms:{name}"
