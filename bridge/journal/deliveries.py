"""Deliveries, attempts and read-backs in the journal.

Only the first open delivery of a line has a due time; this module alone keeps that rule. All functions that change rows
take a transaction that has the lane locked (`Lanes.transaction` or `lanes.lock`).
"""

from __future__ import annotations

import hmac
import re
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, fields, replace
from operator import attrgetter
from typing import Any

from sqlalchemy import Connection, Row, bindparam, func, select, update

from bridge.errors import IllegalTransition
from bridge.journal.encryption import search_key
from bridge.journal.schema import DELIVERED, OPEN, TO_READ_BACK, attempts, deliveries, events
from bridge.journal.statements import BulkStatement, FirstRowsOfLanes
from bridge.messages import N_
from bridge.model import FINISHED, TRANSITIONS, DeliveryState, Outcome, ReadBack, Waiting

Line = tuple[str, str, str]  # account, subject, line: the queue of a delivery


@dataclass(frozen=True, slots=True)
class _Delivery:
    event_id: int
    mapping: str
    replay: int
    account: str
    subject: str
    line: str
    lane: int
    destination: str
    object_id: str
    order_at: str
    order_rank: int
    skip_stale: bool
    state: DeliveryState


@dataclass(frozen=True, slots=True)
class NewDelivery(_Delivery):
    """The decision of a mapping about an event: a payload to send, or the reason why there is none."""

    revision_id: int
    once_key: str | None = None
    payload: str | None = None
    read_back: str | None = None
    reason_code: str | None = None
    reason: str | None = None
    amount: int | None = None  # cents of the event's charge; 0 where it has none


@dataclass(frozen=True, slots=True)
class DueDelivery(_Delivery):
    """A delivery that is first in its line and due."""

    id: int
    event_key: str
    payload: str
    attempts: int
    forgiven: int
    received_ms: int  # arrival of the event


@dataclass(frozen=True, slots=True)
class StateChange:
    """A change of one delivery's state; `reason` is a `Message.to_json()`."""

    delivery: DueDelivery
    to: DeliveryState
    now_ms: int
    due_ms: int | None = None
    waiting: Waiting | None = None
    code: str | None = None
    reason: str | None = None
    answer: str | None = None  # see `answer_hash`


@dataclass(frozen=True, slots=True)
class AttemptResult:
    """The result of one attempt, and the change of state that follows; `detail` is a `Message.to_json()`."""

    step: StateChange
    number: int
    outcome: Outcome
    status: int | None
    code: str
    detail: str
    excerpt: str
    duration_ms: int


@dataclass(frozen=True, slots=True)
class Deferral:
    """A delivery that waits until its due time without an attempt; `reason` is a `Message.to_json()`."""

    delivery: DueDelivery
    due_ms: int
    waiting: Waiting
    code: str
    reason: str


_NEW = [field.name for field in fields(NewDelivery)]
_DUE = [field.name for field in fields(DueDelivery)]
# PostgreSQL's statistics may be of a quiet hour, when the partial indexes of open and due rows were empty; given the
# choice it then reads a whole index for each row. So the statements below leave it none: a row is found by a subquery
# with one result, not by EXISTS, which becomes a join; conditions beside an id are written so that no partial index
# matches them (|| '', COALESCE).
_head = "deliveries.due_ms, deliveries.id"  # of many lanes more rows are read than are sent: read only what sorts them
_is_due = "head.due_ms IS NOT NULL AND head.due_ms <= :now"
_due = FirstRowsOfLanes("deliveries", _head, where=_is_due, order="head.due_ms")
_due_elsewhere = FirstRowsOfLanes(
    "deliveries",
    _head,
    where=f"{_is_due} AND head.destination NOT IN :not_to AND head.account NOT IN :not_of",
    order="head.due_ms",
    lists=("not_to", "not_of"),
)
_load = (
    select(*((events if name in {"event_key", "received_ms"} else deliveries).c[name] for name in _DUE))
    .join_from(deliveries, events, events.c.id == deliveries.c.event_id)
    .where(deliveries.c.id.in_(bindparam("b_ids", expanding=True)))
)
_start = BulkStatement(
    "UPDATE deliveries SET state = 'sending', attempts = given.attempts, due_ms = NULL, waiting = NULL FROM {given}"
    " WHERE deliveries.id = given.id AND deliveries.state IN ('pending', 'retrying')",
    deliveries,
    *("id", "attempts"),
)
_change = BulkStatement(
    "UPDATE deliveries SET {changes} FROM {given} WHERE deliveries.id = given.id AND deliveries.state = given.before",
    deliveries,
    *("state", "due_ms", "waiting", "reason_code", "reason", "answer", "finished_ms"),
    id=deliveries.c.id,
    before=deliveries.c.state,
)
_IN_LINE = (
    "FROM deliveries AS line WHERE line.account = given.account AND line.subject = given.subject"
    " AND line.line = given.line AND " + OPEN.text.replace("deliveries.", "line.")
)
_FIRST = "UPDATE deliveries SET due_ms = given.due_ms FROM {given} WHERE deliveries.id = (SELECT min(line.id) IN_LINE)"
_LINE = ("account", "subject", "line")
_set_first_due = BulkStatement(
    # A later delivery may have the due time: a person opened an earlier one again. This reads the line to its end.
    f"{_FIRST} AND (SELECT min(line.id) IN_LINE AND (line.due_ms IS NOT NULL OR line.state = 'sending'))"
    " IS NULL".replace("IN_LINE", _IN_LINE),
    deliveries,
    *(*_LINE, "due_ms"),
)
_set_next_due = BulkStatement(_FIRST.replace("IN_LINE", _IN_LINE), deliveries, *(*_LINE, "due_ms"))
_lines_open = BulkStatement(
    "SELECT {values} FROM {given} WHERE (SELECT min(line.id) IN_LINE) IS NOT NULL".replace("IN_LINE", _IN_LINE),
    deliveries,
    *_LINE,
)
_defer = BulkStatement(
    "UPDATE deliveries SET {changes} FROM {given}"
    " WHERE deliveries.id = given.id AND COALESCE(deliveries.due_ms, -1) >= 0",
    deliveries,
    *("due_ms", "waiting", "reason_code", "reason"),
    id=deliveries.c.id,
)
_newest_delivered = select(
    *(deliveries.c[n] for n in ("account", "object_id", "line", "order_at", "order_rank"))
).where(deliveries.c.object_id.in_(bindparam("b_objects", expanding=True)), DELIVERED)
_add = BulkStatement(
    # In the given order, since their ids are their order in a line.
    "INSERT INTO deliveries ({columns}) SELECT {values} FROM {given} ORDER BY given.place",
    deliveries,
    *(*_NEW, "created_ms", "due_ms", "finished_ms"),
    place=deliveries.c.id,
)
_add_attempt = BulkStatement(
    "INSERT INTO attempts ({columns}) SELECT {values} FROM {given}",
    attempts,
    *("delivery_id", "number", "fence", "started_ms"),
)
_finish_attempt = BulkStatement(
    "UPDATE attempts SET {changes} FROM {given}"
    " WHERE attempts.delivery_id = given.delivery_id AND attempts.number = given.number",
    attempts,
    *("finished_ms", "outcome", "status", "code", "detail", "excerpt", "duration_ms"),
    delivery_id=attempts.c.delivery_id,
    number=attempts.c.number,
)


_forgive = BulkStatement(
    "UPDATE deliveries SET forgiven = deliveries.forgiven + 1 FROM {given} WHERE deliveries.id = given.id",
    deliveries,
    "id",
)


_LEAST_EACH = 4
_STATE_AT = _DUE.index("state")
_values_of = attrgetter(*_NEW)


def add(connection: Connection, new: Sequence[NewDelivery], now_ms: int) -> None:
    """Insert these deliveries in their order; the first open one of each empty line is due now."""
    lines = sorted({(d.account, d.subject, d.line) for d in new if d.state not in FINISHED})
    taken = {tuple(row) for row in _lines_open.read(connection, lines)}
    rows: list[tuple[Any, ...]] = []
    for place, delivery in enumerate(new):
        due_ms = finished_ms = None
        line = (delivery.account, delivery.subject, delivery.line)
        if delivery.state in FINISHED:
            finished_ms = now_ms
        elif line not in taken:
            taken.add(line)
            due_ms = now_ms
        rows.append((*_values_of(delivery), now_ms, due_ms, finished_ms, place))
    _add.run(connection, rows)


def plans_taken(
    connection: Connection, keys: Iterable[tuple[str, str]], event_ids: Collection[int]
) -> set[tuple[str, str]]:
    """Return which (mapping, once_key) have a delivery already, open or sent, for other events than these."""
    wanted = set(keys)
    if not wanted:
        return set()
    c = deliveries.c
    mappings, once_keys = zip(*wanted, strict=True)
    query = select(c.mapping, c.once_key).where(c.mapping.in_(mappings), c.once_key.in_(once_keys))
    not_sent = [DeliveryState.FILTERED.value, DeliveryState.DISCARDED.value]
    query = query.where(c.once_key.is_not(None), c.state.not_in(not_sent), c.event_id.not_in(event_ids))
    return wanted & {(row.mapping, row.once_key) for row in connection.execute(query)}


def due(
    connection: Connection,
    lanes: Collection[int],
    now_ms: int,
    limit: int,
    not_to: Collection[str] = (),
    not_of: Collection[str] = (),
) -> tuple[list[DueDelivery], bool]:
    """Return up to `limit` due deliveries of these lanes, longest due first, and whether there may be more.

    Those to the destinations `not_to` and of the accounts `not_of` are left out.
    """
    each = limit if len(lanes) == 1 else min(limit, _LEAST_EACH + 2 * limit // max(1, len(lanes)))
    marks = dict.fromkeys(lanes, 0)
    if not_to or not_of:
        others = {"not_to": list(not_to) or [""], "not_of": list(not_of) or [""]}
        rows = _due_elsewhere.read(connection, marks, each, now=now_ms, **others)
    else:
        rows = _due.read(connection, marks, each, now=now_ms)
    ids = [id_ for _, id_ in sorted((due_ms, id_) for due_ms, id_ in rows)[:limit]]
    found = {row.id: _due_delivery(row) for row in connection.execute(_load, {"b_ids": ids}).all()} if ids else {}
    return [found[id_] for id_ in ids], len(rows) >= min(limit, each)


def _due_delivery(row: Row[*tuple[Any, ...]]) -> DueDelivery:
    values = list(row)  # by position: this runs for each delivery
    values[_STATE_AT] = DeliveryState(values[_STATE_AT])
    return DueDelivery(*values)


def newest_delivered(
    connection: Connection, candidates: Sequence[DueDelivery | NewDelivery]
) -> dict[tuple[str, str, str], tuple[str, int]]:
    """Return for (account, object, line) the time and rank of the newest delivered event, for the stale rule."""
    objects = {d.object_id for d in candidates if d.object_id and d.skip_stale}
    if not objects:
        return {}
    newest: dict[tuple[str, str, str], tuple[str, int]] = {}
    rows = connection.execute(_newest_delivered, {"b_objects": list(objects)}).all()
    for account, object_id, line, order_at, order_rank in rows:
        key = (account, object_id, line)
        newest[key] = max(newest.get(key, ("", 0)), (order_at, order_rank))
    return newest


def start(connection: Connection, chosen: Sequence[DueDelivery], fences: Mapping[int, int], now_ms: int) -> None:
    """Write the intent to send these: an attempt each, under the fence of its lane. Raises IllegalTransition."""
    changed = _start.run(connection, [(d.id, d.attempts + 1) for d in chosen])
    if changed != len(chosen):
        what = N_("{number} of {all} deliveries were not waiting to be sent")
        raise IllegalTransition(what, number=len(chosen) - changed, all=len(chosen))
    _add_attempt.run(connection, [(d.id, d.attempts + 1, fences[d.lane], now_ms) for d in chosen])


def sending(connection: Connection, ids: Collection[int]) -> set[tuple[int, int]]:
    """Return the attempts (delivery, number) of these deliveries that have no outcome yet."""
    query = select(attempts.c.delivery_id, attempts.c.number)
    found = connection.execute(query.where(attempts.c.delivery_id.in_(ids), attempts.c.outcome.is_(None)))
    return {(id_, number) for id_, number in found}


def record(connection: Connection, results: Sequence[AttemptResult]) -> None:
    """Write the results of attempts, whose deliveries are in state `sending`, and change these states.

    A postponed attempt does not count as one.
    """
    rows = [
        (r.step.now_ms, r.outcome, r.status, r.code, r.detail, r.excerpt, r.duration_ms, r.step.delivery.id, r.number)
        for r in results
    ]
    _finish_attempt.run(connection, rows)
    _forgive.run(connection, [(r.step.delivery.id,) for r in results if r.outcome is Outcome.POSTPONED])
    key = search_key(connection) if any(r.step.to is DeliveryState.DEAD for r in results) else b""
    steps = [
        replace(r.step, answer=answer_hash(key, r.status, r.excerpt)) if r.step.to is DeliveryState.DEAD else r.step
        for r in results
    ]
    move(connection, [(step, DeliveryState.SENDING) for step in steps])


_VARIES = re.compile(r"\[[\w /-]+\]|[\w-]*\d[\w-]*|\W+")
"""What differs between two answers about one fault: masked data, ids, numbers; and what stands between words."""


def answer_hash(key: bytes, status: int | None, excerpt: str) -> str:
    """Return a keyed hash of what a destination answered, the same for answers that only differ in ids and numbers."""
    words = _VARIES.sub(" ", excerpt.casefold()).strip()
    return hmac.digest(key, f"answer {status} {words}".encode(errors="replace"), "sha256").hex()[:16]


def move(connection: Connection, steps: Sequence[tuple[StateChange, DeliveryState]]) -> None:
    """Change the states of deliveries that are first in their lines, each from the given state.

    After a finished one the next delivery of its line becomes due. Raises IllegalTransition where `model.TRANSITIONS`
    has no such change, or a delivery is in another state.
    """
    rows: list[tuple[Any, ...]] = []
    freed: dict[Line, int] = {}
    for step, source in steps:
        delivery = step.delivery
        if step.to not in TRANSITIONS[source]:
            what = N_("delivery {id} can't go from {source} to {target}")
            raise IllegalTransition(what, id=delivery.id, source=source, target=step.to)
        finished_ms = step.now_ms if step.to in FINISHED else None
        values = (step.to, step.due_ms, step.waiting, step.code, step.reason, step.answer, finished_ms)
        rows.append((*values, delivery.id, source))
        if finished_ms is not None:
            freed[delivery.account, delivery.subject, delivery.line] = finished_ms
    if _change.run(connection, rows) != len(rows):
        what = N_("of {number} deliveries ({ids}, ...) at least one changed its state meanwhile")
        ids = ", ".join(str(step.delivery.id) for step, _ in steps[:3])
        raise IllegalTransition(what, number=len(rows), ids=ids)
    _set_next_due.run(connection, [(*line, now_ms) for line, now_ms in freed.items()])


def defer(connection: Connection, waits: Sequence[Deferral]) -> None:
    _defer.run(connection, [(w.due_ms, w.waiting, w.code, w.reason, w.delivery.id) for w in waits])


def set_first_due(connection: Connection, line: Line, now_ms: int) -> None:
    """Make the first open delivery of a line due, unless one of the line has a due time or is being sent."""
    _set_first_due.run(connection, [(*line, now_ms)])


def due_read_backs(
    connection: Connection, now_ms: int, *, wait_ms: int, oldest_ms: int, limit: int
) -> Sequence[Row[*tuple[Any, ...]]]:
    """Return deliveries that were delivered between `oldest_ms` and `wait_ms` ago and whose read-back is due."""
    c = deliveries.c
    is_due = c.read_back_due_ms.is_(None) | (c.read_back_due_ms <= now_ms)
    in_time = c.finished_ms.between(oldest_ms, now_ms - wait_ms)
    query = select(c.id, c.event_id, c.account, c.subject, c.mapping, c.destination, c.read_back_tries)
    query = query.where(TO_READ_BACK, DELIVERED, in_time, is_due).order_by(c.finished_ms).limit(limit)
    return connection.execute(query).all()


def sent_to(connection: Connection, account: str, subject: str, limit: int = 100) -> Sequence[Row[*tuple[Any, ...]]]:
    """Return the deliveries of a customer that have an attempt, newest first.

    `sent_ms` is the start of the first attempt, `code` that of the last one.
    """
    c, own = deliveries.c, attempts.c.delivery_id == deliveries.c.id
    first_ms = select(func.min(attempts.c.started_ms)).where(own).scalar_subquery()
    last = select(attempts.c.code).where(own).order_by(attempts.c.number.desc()).limit(1).scalar_subquery()
    columns = (c.id, c.object_id, c.destination, c.mapping, c.payload, c.finished_ms)
    query = select(*columns, first_ms.label("sent_ms"), last.label("code"))
    query = query.join(events, events.c.id == c.event_id).order_by(events.c.id.desc(), c.id.desc()).limit(limit)
    whose = (events.c.subject == subject, events.c.account == account)
    return connection.execute(query.where(*whose, c.attempts > 0)).all()


def record_read_back(
    connection: Connection, id_: int, tries: int, state: ReadBack, *, due_ms: int | None, detail: str | None
) -> bool:
    """Write the result of a read-back; return False where another process has written one since these `tries`."""
    c = deliveries.c
    query = update(deliveries).where(c.id == id_, TO_READ_BACK, c.read_back_tries == tries)
    values = {"read_back": state.value, "read_back_due_ms": due_ms, "read_back_detail": detail}
    return connection.execute(query.values(**values, read_back_tries=tries + 1)).rowcount == 1
