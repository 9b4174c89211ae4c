"""Retries, replays or discards many deliveries as one job, which another process takes over where its own one ends.

An item is changed at most once: each change looks, in its own transaction, whether the item is still as it was when
the job began. So the process that takes a job over may repeat items whose change was committed before the kill.
"""

from __future__ import annotations

import threading
import time
from collections import Counter
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any
from uuid import uuid4

from sqlalchemy import Connection, select

from bridge.errors import BridgeError, ChangedMeanwhile, JournalError
from bridge.journal import Journal, audit, jobs, queries
from bridge.journal.audit import Actor
from bridge.journal.jobs import Job
from bridge.journal.queries import DeadFilter
from bridge.journal.schema import deliveries, events
from bridge.logs import logger
from bridge.model import DeliveryState
from bridge.operations import actions

log = logger(__name__)

KIND, REPLAY_KIND = "bulk", "replay"
"""The kinds of its jobs: failed deliveries, and events that need not have failed."""
MOST_ITEMS = 20_000
"""Of one job; its row holds their numbers."""
STEP_S = 1.0
STEP_ITEMS = 100
SILENT_MS = 10_000
"""A runner is lost after this: it writes each second."""
MOST_REFUSED = 500
MOST_LOOKED_THROUGH = 50
"""Jobs of a kind that are looked through for an event or a delivery."""
_PAGE = 500


class BulkAction(StrEnum):
    RETRY = "retry"
    REPLAY = "replay"
    DISCARD = "discard"


def of_deliveries(
    connection: Connection, action: BulkAction, chosen: DeadFilter, by: Actor, now_ms: int, **told: str
) -> dict[str, Any]:
    """Return the parameters of a job about the failed deliveries of a filter, oldest first, `MOST_ITEMS` at most.

    Those of a job that runs are left out.
    """
    taken = {id_ for job in jobs.running(connection, [KIND], now_ms) for id_ in job.params["ids"]}
    ids = [id_ for id_, _, _ in queries.dead_page(connection, chosen, limit=MOST_ITEMS) if id_ not in taken]
    facts: dict[str, Any] = {"code": chosen.code, "destination": chosen.destination, "mapping": chosen.mapping, **told}
    if chosen.accounts is not None:
        facts["accounts"] = sorted(chosen.accounts)  # whoever sees these may see the job
    return {"action": action.value, "ids": ids, "until_ms": chosen.until_ms or now_ms, **_actor(by), **facts}


def of_events(
    connection: Connection, ids: Sequence[int], mapping: str | None, by: Actor, seen: Sequence[int | None] | None = None
) -> dict[str, Any]:
    """Return the parameters of a job that replays these events through a mapping, or all.

    `seen` has how often each was replayed when a person saw what would be sent: those that were replayed since, or are
    gone, are left out.
    """
    now = replays_of(connection, ids)
    wanted = now if seen is None else seen
    there = [
        (id_, replay) for id_, replay, was in zip(ids, now, wanted, strict=True) if replay is not None and replay == was
    ]
    numbers = {"ids": [id_ for id_, _ in there], "replays": [replay for _, replay in there]}
    return {**numbers, "mapping": mapping, **_actor(by)}


def replays_of(connection: Connection, ids: Sequence[int]) -> list[int | None]:
    """Return how often each of these events was replayed; None for one that is gone."""
    found: dict[int, int] = {}
    for part in _parts(ids):
        rows = connection.execute(select(events.c.id, events.c.replay).where(events.c.id.in_(part)))
        found.update({row.id: row.replay for row in rows})
    return [found.get(id_) for id_ in ids]


def _actor(by: Actor) -> dict[str, str]:
    return {"actor": by.name, "address": by.address}


def _parts(ids: Sequence[int]) -> Iterator[Sequence[int]]:
    return (ids[start : start + _PAGE] for start in range(0, len(ids), _PAGE))


# ---------------------------------------------------------------- the work


def run(
    journal: Journal,
    id_: int,
    runner: str,
    clock_ms: Callable[[], int],
    wake: Callable[[Iterable[int]], None],
    stopping: threading.Event | None = None,
) -> bool:
    """Do the rest of a job; return whether it ended here: not where another runner has it or this process stops."""
    with journal.database.read() as connection:
        job = jobs.find(connection, id_, clock_ms())
    if job is None:
        return False
    ids: list[int] = job.params["ids"]
    refused = list(job.steps)
    lanes: set[int] = set()
    due_s = 0.0
    for place in range(job.done, len(ids)):
        if stopping is not None and stopping.is_set():
            with journal.database.write() as connection:
                jobs.step(connection, id_, runner, clock_ms(), place, refused)
                jobs.give_back(connection, id_, runner)
            return False
        if time.monotonic() >= due_s or place % STEP_ITEMS == 0:
            with journal.database.write() as connection:
                goes_on = jobs.step(connection, id_, runner, clock_ms(), place, refused)
            wake(lanes)
            lanes.clear()
            if goes_on is None:
                return False
            if not goes_on:
                return _end(journal, job, runner, place, refused, clock_ms())
            due_s = time.monotonic() + STEP_S
        try:
            lanes |= _change(journal, job, place, clock_ms())
        except ChangedMeanwhile:
            pass  # this job (before a kill) or somebody else changed it: nothing is left to do
        except JournalError:
            raise
        except BridgeError as error:
            if len(refused) < MOST_REFUSED:
                refused.append({"id": ids[place], "code": error.code})
    wake(lanes)
    return _end(journal, job, runner, len(ids), refused, clock_ms())


def _change(journal: Journal, job: Job, place: int, now_ms: int) -> set[int]:
    """Change one item, where it is as it was; return the lane that has work now."""
    id_, params = job.params["ids"][place], job.params
    if job.kind == REPLAY_KIND:
        actions.replay(journal, id_, params["mapping"], now_ms, after=params["replays"][place])
        return _lane(journal, select(events.c.lane).where(events.c.id == id_))
    until_ms = params["until_ms"]
    if params["action"] == BulkAction.RETRY:
        actions.retry(journal, id_, now_ms, dead_by_ms=until_ms)
    elif params["action"] == BulkAction.DISCARD:
        actions.discard(journal, id_, now_ms, dead_by_ms=until_ms)
        return set()
    else:
        with journal.database.read() as connection:
            one = select(deliveries.c.event_id, deliveries.c.mapping).where(deliveries.c.id == id_)
            event_id, mapping = connection.execute(one).one()
        actions.replay(journal, event_id, mapping, now_ms, instead_of=id_, dead_by_ms=until_ms)
    return _lane(journal, select(deliveries.c.lane).where(deliveries.c.id == id_))


def _lane(journal: Journal, query: Any) -> set[int]:
    with journal.database.read() as connection:
        return set(connection.scalars(query))


def _end(journal: Journal, job: Job, runner: str, done: int, refused: Sequence[Mapping[str, Any]], now_ms: int) -> bool:
    """Finish the job and note it in the audit trail, in one commit."""
    params = job.params
    with journal.database.write() as connection:
        if jobs.step(connection, job.id, runner, now_ms, done, refused) is None:
            return False
        jobs.finish(connection, job.id, now_ms, {"done": done, "refused": list(refused)})
        actor = Actor(params.get("actor", ""), params.get("address", ""))
        detail: dict[str, Any] = {"done": done - len(refused), "refused": len(refused)}
        if job.kind == REPLAY_KIND:
            detail |= {"mapping": job.about} if job.about else {}
            audit.note(connection, actor, "events.replayed", job.about, now_ms, detail)
        else:
            about = " ".join(part for part in (params["mapping"], params["code"]) if part)
            detail |= {name: params[name] for name in ("mapping", "code", "destination", "cause") if params.get(name)}
            audit.note(connection, actor, f"bulk.{params['action']}", about, now_ms, detail)
    log.info("bulk.done", job=job.id, kind=job.kind, done=done, refused=len(refused))
    return True


def take_over(
    journal: Journal,
    clock_ms: Callable[[], int],
    wake: Callable[[Iterable[int]], None],
    stopping: threading.Event,
) -> int:
    """Continue the jobs whose process has ended; return how many ended here."""
    ended, runner = 0, uuid4().hex
    while not stopping.is_set():
        with journal.database.read() as connection:
            lost = jobs.lost(connection, SILENT_MS, clock_ms())
        if lost is None:
            break
        with journal.database.write() as connection:
            is_mine = jobs.take_over(connection, lost, runner, clock_ms())
        if is_mine:
            log.warning("bulk.taken_over", job=lost.id, kind=lost.kind)
            ended += run(journal, lost.id, runner, clock_ms, wake, stopping)
    return ended


def jobs_about(
    connection: Connection, event_ids: Collection[int], delivery_ids: Collection[int], now_ms: int
) -> list[Job]:
    """Return the last jobs that changed one of these events or deliveries; jobs are kept for 30 days."""
    events_, deliveries_ = frozenset(event_ids), frozenset(delivery_ids)
    found = []
    for kind, wanted in ((KIND, deliveries_), (REPLAY_KIND, events_)):
        for job in jobs.newest(connection, kind, now_ms, MOST_LOOKED_THROUGH):
            refused = {one.get("id") for one in job.steps}
            if job.runner and not wanted.isdisjoint(set(job.params["ids"][: job.done]) - refused):
                found.append(job)
    return found


# ---------------------------------------------------------------- the outcome


@dataclass(slots=True)
class Outcome:
    """The outcome of a job's items until now."""

    delivered: int = 0
    under_way: int = 0
    stale: int = 0
    filtered: int = 0
    discarded: int = 0
    left: int = 0
    """Unchanged: the job has not reached them, was stopped before, or could not change them."""
    dead: Counter[str] = field(default_factory=Counter)
    """Failed again, by reason code."""
    not_sent: list[int] = field(default_factory=list)
    """Events of items that failed again or are left, oldest first."""

    @property
    def is_open(self) -> bool:
        return self.under_way > 0


def outcome(connection: Connection, job: Job) -> Outcome:
    """Return what the journal says of the items of a job."""
    ids: Sequence[int] = job.params["ids"]
    found = Outcome()
    for start in range(0, len(ids), _PAGE):
        part = ids[start : start + _PAGE]
        if job.kind == REPLAY_KIND:
            _of_events(connection, job, part, job.params["replays"][start : start + _PAGE], found)
        else:
            _of_deliveries(connection, job, part, found)
    return found


_COLUMNS = (
    *(deliveries.c.id, deliveries.c.event_id, deliveries.c.mapping, deliveries.c.replay),
    *(deliveries.c.state, deliveries.c.reason_code, deliveries.c.finished_ms),
)


def _of_deliveries(connection: Connection, job: Job, ids: Sequence[int], found: Outcome) -> None:
    rows = connection.execute(select(*_COLUMNS).where(deliveries.c.id.in_(ids)).order_by(deliveries.c.id)).all()
    newest: dict[tuple[int, str], Any] = {}
    if job.params["action"] == BulkAction.REPLAY:
        of_events = select(*_COLUMNS).where(deliveries.c.event_id.in_({row.event_id for row in rows}))
        newest = {(row.event_id, row.mapping): row for row in connection.execute(of_events.order_by(deliveries.c.id))}
    for row in rows:
        last = newest.get((row.event_id, row.mapping), row)
        if row.state == DeliveryState.DEAD and (row.finished_ms or 0) <= job.params["until_ms"]:
            found.left += 1
            found.not_sent.append(row.event_id)
        elif last.id == row.id and row.reason_code == "delivery.replaced":
            found.under_way += 1  # the worker has not decided the replay yet
        else:
            _count(last, found)


def _of_events(connection: Connection, job: Job, ids: Sequence[int], replays: Sequence[int], found: Outcome) -> None:
    now = {
        row.id: row
        for row in connection.execute(select(events.c.id, events.c.replay, events.c.state).where(events.c.id.in_(ids)))
    }
    made: dict[int, list[Any]] = {}
    for row in connection.execute(select(*_COLUMNS).where(deliveries.c.event_id.in_(ids)).order_by(deliveries.c.id)):
        made.setdefault(row.event_id, []).append(row)
    for id_, replay in zip(ids, replays, strict=True):
        event = now.get(id_)
        if event is None or event.replay == replay:
            found.left += 1
            found.not_sent.append(id_)
            continue
        rows = [row for row in made.get(id_, ()) if row.replay > replay]
        if not rows:
            found.under_way += event.state != "processed"
        for row in rows:
            _count(row, found)


def _count(row: Any, found: Outcome) -> None:
    state = DeliveryState(row.state)
    if state is DeliveryState.DEAD:
        found.dead[row.reason_code or ""] += 1
        found.not_sent.append(row.event_id)
    elif state in queries.OPEN_STATES:
        found.under_way += 1
    else:
        setattr(found, state.value, getattr(found, state.value) + 1)
