"""Console jobs; and leases, due times and results of periodic tasks.

A job belongs to the process that began it. A job whose process has been silent for half a minute is lost: it is
shown as failed, and a person begins it again. Only bulk work (`operations.bulk`) has a runner and is taken over by
another one.
"""

from __future__ import annotations

import json
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from sqlalchemy import Connection, delete, insert, select, text, update

from bridge.errors import JobLost, default_text
from bridge.journal.schema import jobs, meta
from bridge.messages import Message

LOST_AFTER_MS = 30_000
KEEP_MS = 30 * 24 * 3_600_000
KEEP_PREVIEW_MS = 24 * 3_600_000  # a preview holds payloads, so it is kept for a short time only
DRAFT = "draft"
"""The kind of the rows of `journal.drafts`, which are no jobs."""


@dataclass(frozen=True, slots=True)
class Job:
    """One job of the console; `error` is a `Message.to_json()`."""

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
    runner: str | None = None
    stopped_by: str | None = None

    @property
    def is_running(self) -> bool:
        return self.state == "running"


_all = select(*(column for column in jobs.c if column is not jobs.c.details))


def begin(
    connection: Connection,
    kind: str,
    about: str,
    params: Mapping[str, Any],
    author: str,
    now_ms: int,
    runner: str | None = None,
) -> int:
    """Add a running job and return its number; old jobs are removed."""
    forget(connection, now_ms)
    values = {"kind": kind, "about": about, "params": json.dumps(dict(params)), "author": author, "runner": runner}
    row = insert(jobs).values(**values, state="running", done=0, steps="[]", created_ms=now_ms, beat_ms=now_ms)
    return int(connection.execute(row.returning(jobs.c.id)).scalar_one())


def forget(connection: Connection, now_ms: int) -> None:
    """Remove jobs that ended or were lost 30 days ago; previews and drafts after a day."""
    is_preview = jobs.c.kind.in_(("replay_preview", "backfill_preview", DRAFT))
    old = (jobs.c.beat_ms < now_ms - KEEP_MS) | (jobs.c.beat_ms < now_ms - KEEP_PREVIEW_MS) & is_preview
    connection.execute(delete(jobs).where(old))


def beat(
    connection: Connection, id_: int, now_ms: int, *, done: int, total: int | None, steps: Sequence[Mapping[str, Any]]
) -> None:
    """Write the progress of a running job, which also shows that its process lives."""
    values = {"done": done, "total": total, "steps": json.dumps(list(steps)), "beat_ms": now_ms}
    connection.execute(update(jobs).where(jobs.c.id == id_, jobs.c.state == "running").values(**values))


def step(
    connection: Connection, id_: int, runner: str, now_ms: int, done: int, steps: Sequence[Mapping[str, Any]]
) -> bool | None:
    """Write the progress of a job with a runner; return whether it goes on, None where another runner has it."""
    of_runner = update(jobs).where(jobs.c.id == id_, jobs.c.state == "running", jobs.c.runner == runner)
    values = {"done": done, "steps": json.dumps(list(steps)), "beat_ms": now_ms}
    row = connection.execute(of_runner.values(**values).returning(jobs.c.stopped_by)).first()
    return None if row is None else row.stopped_by is None


def stop(connection: Connection, id_: int, by: str) -> bool:
    """Ask a running job with a runner to stop; return whether it was asked now."""
    is_asked = (jobs.c.id == id_, jobs.c.state == "running", jobs.c.runner.is_not(None), jobs.c.stopped_by.is_(None))
    return connection.execute(update(jobs).where(*is_asked).values(stopped_by=by)).rowcount == 1


def lost(connection: Connection, silent_ms: int, now_ms: int) -> Job | None:
    """Return a running job whose runner has been silent for so long."""
    silent = (jobs.c.state == "running", jobs.c.runner.is_not(None), jobs.c.beat_ms < now_ms - silent_ms)
    row = connection.execute(_all.where(*silent).order_by(jobs.c.id).limit(1)).mappings().first()
    return _job(row, now_ms) if row else None


def take_over(connection: Connection, job: Job, runner: str, now_ms: int) -> bool:
    """Make a lost job this runner's; return False where another one was faster."""
    same = (jobs.c.id == job.id, jobs.c.state == "running", jobs.c.runner == job.runner, jobs.c.beat_ms == job.beat_ms)
    return connection.execute(update(jobs).where(*same).values(runner=runner, beat_ms=now_ms)).rowcount == 1


def give_back(connection: Connection, id_: int, runner: str) -> None:
    """Let another runner take the job over at once."""
    connection.execute(update(jobs).where(jobs.c.id == id_, jobs.c.runner == runner).values(beat_ms=0))


def finish(
    connection: Connection,
    id_: int,
    now_ms: int,
    result: Mapping[str, Any],
    details: Mapping[str, Any] | None = None,
) -> None:
    """End a job; its pages read the result, and only its files the details."""
    kept = json.dumps(dict(details)) if details else None
    _end(connection, id_, now_ms, state="done", result=json.dumps(dict(result)), details=kept)


def details(connection: Connection, id_: int) -> dict[str, Any]:
    text = connection.scalar(select(jobs.c.details).where(jobs.c.id == id_))
    return dict(json.loads(text)) if text else {}


def fail(connection: Connection, id_: int, now_ms: int, code: str, error: str) -> None:
    _end(connection, id_, now_ms, state="failed", code=code, error=error)


def _end(connection: Connection, id_: int, now_ms: int, **values: Any) -> None:
    connection.execute(update(jobs).where(jobs.c.id == id_).values(finished_ms=now_ms, beat_ms=now_ms, **values))


def amend(connection: Connection, id_: int, result: Mapping[str, Any]) -> None:
    connection.execute(update(jobs).where(jobs.c.id == id_).values(result=json.dumps(dict(result))))


def find(connection: Connection, id_: int, now_ms: int) -> Job | None:
    row = connection.execute(_all.where(jobs.c.id == id_, jobs.c.kind != DRAFT)).mappings().first()
    return _job(row, now_ms) if row else None


def newest(connection: Connection, kind: str, now_ms: int, limit: int = 1, about: str | None = None) -> list[Job]:
    """Return the last jobs of a kind (and about one thing), newest first."""
    query = _all.where(jobs.c.kind == kind).order_by(jobs.c.id.desc()).limit(limit)
    if about is not None:
        query = query.where(jobs.c.about == about)
    return [_job(row, now_ms) for row in connection.execute(query).mappings()]


def running(connection: Connection, kinds: Collection[str], now_ms: int) -> list[Job]:
    """Return the running jobs of these kinds that have a runner, oldest first."""
    query = _all.where(jobs.c.state == "running", jobs.c.kind.in_(kinds), jobs.c.runner.is_not(None))
    return [_job(row, now_ms) for row in connection.execute(query.order_by(jobs.c.id)).mappings()]


def _job(row: Mapping[Any, Any], now_ms: int) -> Job:
    values = {**row, "params": json.loads(row["params"]), "steps": json.loads(row["steps"])}
    values["result"] = json.loads(row["result"]) if row["result"] else None
    if row["state"] == "running" and row["runner"] is None and row["beat_ms"] < now_ms - LOST_AFTER_MS:
        error = Message(default_text(JobLost)).to_json()
        values |= {"state": "failed", "code": JobLost.code, "error": error}
    return Job(**values)


_swap = text(
    "INSERT INTO journal_meta (key, value) VALUES (:key, :new)"
    " ON CONFLICT (key) DO UPDATE SET value = excluded.value WHERE journal_meta.value = :old"
)
_NO_LEASE = "0 "
TASKS = "tasks"  # the result under this name holds for each periodic task the time from which it is late


def leased_to(connection: Connection, name: str, for_ms: int, now_ms: int) -> str:
    """Return the owner of the lease, or an empty text; it lasts `for_ms` from its last renewal."""
    return _live_owner(_value(connection, f"lease:{name}", _NO_LEASE), for_ms, now_ms)


def lease(connection: Connection, name: str, owner: str, for_ms: int, now_ms: int) -> bool:
    """Take or renew the lease; return False where another owner has it."""
    value = _value(connection, f"lease:{name}", _NO_LEASE)
    if _live_owner(value, for_ms, now_ms) not in {"", owner}:
        return False
    return _change(connection, f"lease:{name}", value, f"{now_ms + for_ms} {owner}")


def end_lease(connection: Connection, name: str, owner: str) -> None:
    of_owner = meta.c.value.endswith(f" {owner}", autoescape=True)
    connection.execute(update(meta).where(meta.c.key == f"lease:{name}", of_owner).values(value=_NO_LEASE))


def _live_owner(value: str, for_ms: int, now_ms: int) -> str:
    until_ms, _, owner = value.partition(" ")
    # A lease that ends later than one that begins now was taken while the clock was ahead.
    return owner if now_ms < int(until_ms) <= now_ms + for_ms else ""


def claim_run(connection: Connection, name: str, every_ms: int, now_ms: int, first_in_ms: int = 0) -> bool:
    """Return whether the task is due and this caller runs it; the next run is due after `every_ms`.

    The first run of a journal is due `first_in_ms` after the first call.
    """
    next_ms = _value(connection, f"next_ms:{name}", "")
    if not next_ms and first_in_ms:
        _change(connection, f"next_ms:{name}", "", str(now_ms + first_in_ms))
        return False
    next_ms = next_ms or "0"
    # A later time was set when the interval was longer.
    if now_ms < int(next_ms) <= now_ms + every_ms:
        return False
    return _change(connection, f"next_ms:{name}", next_ms, str(now_ms + every_ms))


def reschedule(connection: Connection, name: str, at_ms: int) -> None:
    connection.execute(update(meta).where(meta.c.key == f"next_ms:{name}").values(value=str(at_ms)))


def note_result(connection: Connection, name: str, result: Mapping[str, int]) -> None:
    """Store the numbers of the last run, such as the charges that are missing."""
    key = f"result:{name}"
    _change(connection, key, _value(connection, key, ""), json.dumps(dict(result)))


def results(connection: Connection, names: Collection[str]) -> dict[str, dict[str, int]]:
    """Return by name the numbers of the last run, of tasks that have run."""
    keys = {f"result:{name}": name for name in names}
    rows = connection.execute(select(meta.c.key, meta.c.value).where(meta.c.key.in_(list(keys))))
    return {keys[row.key]: json.loads(row.value) for row in rows}


def late_tasks(connection: Connection, now_ms: int) -> list[str]:
    """Return the names of the periodic tasks that no process has run in time."""
    known = results(connection, [TASKS]).get(TASKS, {})
    return sorted(name for name, until_ms in known.items() if until_ms < now_ms)


def _value(connection: Connection, key: str, default: str) -> str:
    return connection.scalar(select(meta.c.value).where(meta.c.key == key)) or default


def _change(connection: Connection, key: str, old: str, new: str) -> bool:
    """Write a new value; return False where another process changed the old one."""
    return connection.execute(_swap, {"key": key, "old": old, "new": new}).rowcount == 1
