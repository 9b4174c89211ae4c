"""Deliveries and attempts in the journal.

All functions take the connection of a transaction that holds the lane (`Lanes.hold_all` or `lanes.lock`): the rule that
only the first open delivery of a line has a due time is kept here and nowhere else.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from operator import attrgetter
from typing import Any, NamedTuple

from sqlalchemy import Connection, Row, bindparam, func, select, update

from bridge.errors import IllegalTransition
from bridge.journal.schema import DELIVERED, OPEN, TO_READ_BACK, attempts, deliveries, events
from bridge.journal.statements import BulkStatement, FirstRowsOfLanes
from bridge.model import FINISHED, TRANSITIONS, DeliveryState, Outcome, ReadBack, Waiting

Line = tuple[str, str, str]
"""Account, subject, line: the queue in which a delivery stands."""


@dataclass(frozen=True, slots=True)
class NewDelivery:
    """What a mapping decided about an event: something owed, or the reason why nothing is."""

    event_id: int
    mapping: str
    revision_id: int
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
    once_key: str | None = None
    payload: str | None = None
    read_back: str | None = None
    reason_code: str | None = None
    reason: str | None = None


@dataclass(frozen=True, slots=True)
class DueDelivery:
    """A delivery whose turn it is."""

    id: int
    event_id: int
    event_key: str
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
    payload: str
    state: DeliveryState
    attempts: int
    forgiven: int
    received_ms: int
    """When Asaas posted the event."""


@dataclass(frozen=True, slots=True)
class StateChange:
    """A change of one delivery's state, with why."""

    delivery: DueDelivery
    to: DeliveryState
    now_ms: int
    due_ms: int | None = None
    waiting: Waiting | None = None
    code: str | None = None
    reason: str | None = None


@dataclass(frozen=True, slots=True)
class AttemptResult:
    """What became of one attempt, and the step that follows from it."""

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
    """A delivery that waits without burning an attempt: until when, and why."""

    delivery: DueDelivery
    due_ms: int
    waiting: Waiting
    code: str
    reason: str


OF_EVENT = frozenset({"event_key", "received_ms"})
"""What a delivery that is owed has of its event; the rest is its own row's."""
# Of many lanes more rows are read than can be sent, to find the longest due of all: so no more than their numbers.
_head = "deliveries.due_ms, deliveries.id"
_is_due = "head.due_ms IS NOT NULL AND head.due_ms <= :now"
DUE = FirstRowsOfLanes("deliveries", _head, where=_is_due, order="head.due_ms")
DUE_OF_OTHERS = FirstRowsOfLanes(
    "deliveries",
    _head,
    where=f"{_is_due} AND head.destination NOT IN :not_to AND head.account NOT IN :not_of",
    order="head.due_ms",
    lists=("not_to", "not_of"),
)
OWED = (
    select(*((events if n in OF_EVENT else deliveries).c[n] for n in DueDelivery.__slots__))
    .join_from(deliveries, events, events.c.id == deliveries.c.event_id)
    .where(deliveries.c.id.in_(bindparam("b_ids", expanding=True)))
)
START = BulkStatement(
    "UPDATE deliveries SET state = 'sending', attempts = given.attempts, due_ms = NULL, waiting = NULL FROM {given}"
    " WHERE deliveries.id = given.id AND deliveries.state IN ('pending', 'retrying')",
    deliveries,
    *("id", "attempts"),
)
STEP = BulkStatement(
    "UPDATE deliveries SET state = given.state, due_ms = given.due_ms, waiting = given.waiting,"
    " reason_code = given.reason_code, reason = given.reason, finished_ms = given.finished_ms FROM {given}"
    " WHERE deliveries.id = given.id AND deliveries.state = given.before",
    deliveries,
    *("id", "state", "due_ms", "waiting", "reason_code", "reason", "finished_ms"),
    before=deliveries.c.state,
)
_IN_LINE = (
    "FROM deliveries AS line WHERE line.account = given.account AND line.subject = given.subject"
    " AND line.line = given.line AND " + OPEN.text.replace("deliveries.", "line.")
)
_FIRST = "UPDATE deliveries SET due_ms = given.due_ms FROM {given} WHERE deliveries.id = (SELECT min(line.id) IN_LINE)"
_LINE = ("account", "subject", "line")
PROMOTE = BulkStatement(
    # The first may have no turn while a later one has it: a person opened it again. This reads the line to its end.
    f"{_FIRST} AND (SELECT min(line.id) IN_LINE AND (line.due_ms IS NOT NULL OR line.state = 'sending'))"
    " IS NULL".replace("IN_LINE", _IN_LINE),
    deliveries,
    *(*_LINE, "due_ms"),
)
NEXT = BulkStatement(_FIRST.replace("IN_LINE", _IN_LINE), deliveries, *(*_LINE, "due_ms"))
LINES_OPEN = BulkStatement(
    "SELECT {values} FROM {given} WHERE (SELECT min(line.id) IN_LINE) IS NOT NULL".replace("IN_LINE", _IN_LINE),
    deliveries,
    *_LINE,
)
PUT_OFF = BulkStatement(
    "UPDATE deliveries SET due_ms = given.due_ms, waiting = given.waiting, reason_code = given.reason_code,"
    " reason = given.reason FROM {given} WHERE deliveries.id = given.id AND COALESCE(deliveries.due_ms, -1) >= 0",
    deliveries,
    *("id", "due_ms", "waiting", "reason_code", "reason"),
)
NEWEST = select(*(deliveries.c[n] for n in ("account", "object_id", "line", "order_at", "order_rank"))).where(
    deliveries.c.object_id.in_(bindparam("b_objects", expanding=True)), DELIVERED
)
ADD = BulkStatement(
    # In the order in which they are given: their numbers are their order in a line.
    "INSERT INTO deliveries ({columns}) SELECT {values} FROM {given} ORDER BY given.place",
    deliveries,
    *(*NewDelivery.__slots__, "created_ms", "due_ms", "finished_ms"),
    place=deliveries.c.id,
)
ATTEMPT = BulkStatement(
    "INSERT INTO attempts ({columns}) SELECT {values} FROM {given}",
    attempts,
    *("delivery_id", "number", "fence", "started_ms"),
)
OUTCOME = BulkStatement(
    "UPDATE attempts SET finished_ms = given.finished_ms, outcome = given.outcome, status = given.status,"
    " code = given.code, detail = given.detail, excerpt = given.excerpt, duration_ms = given.duration_ms FROM {given}"
    " WHERE attempts.delivery_id = given.delivery_id AND attempts.number = given.number",
    attempts,
    *("delivery_id", "number", "finished_ms", "outcome", "status", "code", "detail", "excerpt", "duration_ms"),
)


_LEAST_EACH = 4
_STATE_AT = DueDelivery.__slots__.index("state")
_decided = attrgetter(*NewDelivery.__slots__)


def add(connection: Connection, new: Sequence[NewDelivery], now_ms: int) -> None:
    """Insert these deliveries in their order; the first open one of each free line is due now."""
    taken = _lines_taken(connection, {(d.account, d.subject, d.line) for d in new if d.state not in FINISHED})
    rows: list[tuple[Any, ...]] = []
    for place, delivery in enumerate(new):
        due_ms = finished_ms = None
        line = (delivery.account, delivery.subject, delivery.line)
        if delivery.state in FINISHED:
            finished_ms = now_ms
        elif line not in taken:
            taken.add(line)
            due_ms = now_ms
        rows.append((*_decided(delivery), now_ms, due_ms, finished_ms, place))
    ADD.run(connection, rows)


def _lines_taken(connection: Connection, lines: Collection[Line]) -> set[Line]:
    return {(account, subject, line) for account, subject, line in LINES_OPEN.read(connection, sorted(lines))}


def plans_taken(
    connection: Connection, keys: Iterable[tuple[str, str]], event_ids: Collection[int]
) -> set[tuple[str, str]]:
    """Return which (mapping, once_key) have a delivery already, owed or sent, for other events than these."""
    wanted = set(keys)
    if not wanted:
        return set()
    query = select(deliveries.c.mapping, deliveries.c.once_key).where(
        deliveries.c.once_key.is_not(None),
        deliveries.c.mapping.in_({mapping for mapping, _ in wanted}),
        deliveries.c.once_key.in_({key for _, key in wanted}),
        deliveries.c.state.not_in([DeliveryState.FILTERED.value, DeliveryState.DISCARDED.value]),
        deliveries.c.event_id.not_in(event_ids),
    )
    return wanted & {(row.mapping, row.once_key) for row in connection.execute(query)}


def due(
    connection: Connection,
    lanes: Collection[int],
    now_ms: int,
    limit: int,
    not_to: Collection[str] = (),
    not_of: Collection[str] = (),
) -> tuple[list[DueDelivery], bool]:
    """Return up to `limit` deliveries of these lanes whose turn and time it is, longest due first.

    None to the destinations `not_to`, none of the accounts `not_of`.

    Also return whether there may be more. Of many lanes only so many rows of each are read as fill the limit.
    """
    each = limit if len(lanes) == 1 else min(limit, _LEAST_EACH + 2 * limit // max(1, len(lanes)))
    marks = dict.fromkeys(lanes, 0)
    if not_to or not_of:
        others = {"not_to": list(not_to) or [""], "not_of": list(not_of) or [""]}
        rows = DUE_OF_OTHERS.read(connection, marks, each, now=now_ms, **others)
    else:
        rows = DUE.read(connection, marks, each, now=now_ms)
    ids = [id_ for _, id_ in sorted((due_ms, id_) for due_ms, id_ in rows)[:limit]]
    found = {row[0]: _due_delivery(row) for row in connection.execute(OWED, {"b_ids": ids}).all()} if ids else {}
    return [found[id_] for id_ in ids], len(rows) >= min(limit, each)


def _due_delivery(row: Row[*tuple[Any, ...]]) -> DueDelivery:
    values = list(row)  # by position: this runs for each delivery
    values[_STATE_AT] = DeliveryState(values[_STATE_AT])
    return DueDelivery(*values)


def newest_delivered(
    connection: Connection, owed: Sequence[DueDelivery | NewDelivery]
) -> dict[tuple[str, str, str], tuple[str, int]]:
    """Return for (account, object, line) the time and rank of the newest event that was delivered."""
    objects = {d.object_id for d in owed if d.object_id and d.skip_stale}
    if not objects:
        return {}
    newest: dict[tuple[str, str, str], tuple[str, int]] = {}
    rows = connection.execute(NEWEST, {"b_objects": list(objects)}).all()
    for account, object_id, line, order_at, order_rank in rows:
        key = (account, object_id, line)
        newest[key] = max(newest.get(key, ("", 0)), (order_at, order_rank))
    return newest


def start(connection: Connection, owed: Sequence[DueDelivery], fences: Mapping[int, int], now_ms: int) -> None:
    """Commit-to-be: write down that these are about to be sent, one attempt each, under the fence of their lane."""
    changed = START.run(connection, [(d.id, d.attempts + 1) for d in owed])
    if changed != len(owed):
        raise IllegalTransition(f"{len(owed) - changed} of {len(owed)} deliveries were not waiting to be sent")
    ATTEMPT.run(connection, [(d.id, d.attempts + 1, fences[d.lane], now_ms) for d in owed])


def sending(connection: Connection, ids: Collection[int]) -> set[tuple[int, int]]:
    """Return the attempts (delivery, number) of these deliveries that have no outcome yet."""
    query = select(attempts.c.delivery_id, attempts.c.number)
    found = connection.execute(query.where(attempts.c.delivery_id.in_(ids), attempts.c.outcome.is_(None)))
    return {(id_, number) for id_, number in found}


def record(connection: Connection, ended: Sequence[AttemptResult]) -> None:
    """Write down what became of attempts of deliveries that are in state `sending`, and move these on."""
    rows = [
        (e.step.delivery.id, e.number, e.step.now_ms, e.outcome, e.status, e.code, e.detail, e.excerpt, e.duration_ms)
        for e in ended
    ]
    OUTCOME.run(connection, rows)
    move(connection, [(end.step, DeliveryState.SENDING) for end in ended])


def move(connection: Connection, steps: Sequence[tuple[StateChange, DeliveryState]]) -> None:
    """Change the states of deliveries that have their line's turn, each from the one given.

    Where that ends one, the first that is left in its line becomes due. Raises IllegalTransition where
    `model.TRANSITIONS` has no such change or a delivery is in another state.
    """
    rows: list[tuple[Any, ...]] = []
    freed: dict[Line, int] = {}
    for step, source in steps:
        delivery = step.delivery
        if step.to not in TRANSITIONS[source]:
            raise IllegalTransition(f"delivery {delivery.id} can't go from {source} to {step.to}")
        finished_ms = step.now_ms if step.to in FINISHED else None
        why = (step.waiting, step.code, step.reason)
        rows.append((delivery.id, step.to, step.due_ms, *why, finished_ms, source))
        if finished_ms is not None:
            freed[delivery.account, delivery.subject, delivery.line] = finished_ms
    if STEP.run(connection, rows) != len(rows):
        names = ", ".join(f"{step.delivery.id} is not {source} any more" for step, source in steps[:3])
        raise IllegalTransition(f"of {len(rows)} deliveries at least one is in another state: {names}")
    NEXT.run(connection, [(*line, now_ms) for line, now_ms in freed.items()])


def defer(connection: Connection, waits: Sequence[Deferral]) -> None:
    """Let deliveries wait without burning an attempt; their states stay."""
    PUT_OFF.run(connection, [(w.delivery.id, w.due_ms, w.waiting, w.code, w.reason) for w in waits])


def set_first_due(connection: Connection, line: Line, now_ms: int) -> None:
    """Make the first open delivery of a line due, unless one of the line has a due time or is being sent."""
    PROMOTE.run(connection, [(*line, now_ms)])


@dataclass(frozen=True, slots=True)
class ToReadBack:
    """A delivery whose deal is looked for."""

    id: int
    event_id: int
    account: str
    subject: str
    object_id: str
    mapping: str
    destination: str
    payload: str
    finished_ms: int
    read_back_tries: int


def due_read_backs(
    connection: Connection, now_ms: int, *, wait_ms: int, oldest_ms: int, limit: int
) -> list[ToReadBack]:
    """Return deliveries that were delivered so long ago, but not longer than the oldest, and whose look is due."""
    columns = deliveries.c
    query = (
        select(*(columns[name] for name in ToReadBack.__slots__))
        .where(
            TO_READ_BACK,
            DELIVERED,
            columns.finished_ms.between(oldest_ms, now_ms - wait_ms),
            columns.read_back_due_ms.is_(None) | (columns.read_back_due_ms <= now_ms),
        )
        .order_by(columns.finished_ms)
        .limit(limit)
    )
    return [ToReadBack(**row) for row in connection.execute(query).mappings()]


class SentDelivery(NamedTuple):
    """A delivery that was tried at least once."""

    id: int
    object_id: str
    destination: str
    mapping: str
    payload: str | None
    sent_ms: int
    """When the first attempt began."""


def sent_to(connection: Connection, account: str, subject: str, limit: int = 100) -> list[SentDelivery]:
    """Return the deliveries of a customer that were tried, newest first."""
    columns = deliveries.c
    query = (
        select(
            columns.id,
            columns.object_id,
            columns.destination,
            columns.mapping,
            columns.payload,
            select(func.min(attempts.c.started_ms)).where(attempts.c.delivery_id == columns.id).scalar_subquery(),
        )
        .join(events, events.c.id == columns.event_id)
        .where(events.c.subject == subject, events.c.account == account, columns.attempts > 0)
        .order_by(events.c.id.desc(), columns.id.desc())
        .limit(limit)
    )
    return [SentDelivery(*row) for row in connection.execute(query)]


def record_read_back(
    connection: Connection, one: ToReadBack, state: ReadBack, *, due_ms: int | None = None, detail: str | None = None
) -> bool:
    """Write down what a look gave; return whether nobody else had done so meanwhile."""
    changed = connection.execute(
        update(deliveries)
        .where(deliveries.c.id == one.id, TO_READ_BACK, deliveries.c.read_back_tries == one.read_back_tries)
        .values(
            read_back=state.value,
            read_back_tries=one.read_back_tries + 1,
            read_back_due_ms=due_ms,
            read_back_detail=detail,
        )
    )
    return changed.rowcount == 1
