"""Deliveries and attempts in the journal.

All functions take the connection of a transaction that holds the lane (`Lanes.hold` or `lanes.lock`): the rule that
only the first open delivery of a line has a due time is kept here and nowhere else.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Sequence
from typing import Any

from sqlalchemy import Connection, bindparam, exists, func, insert, select, text, update

from bridge.errors import IllegalTransition
from bridge.journal.owed import Line, NewDelivery, Owed, Step
from bridge.journal.schema import DELIVERED, OPEN, attempts, deliveries, events
from bridge.model import FINISHED, TRANSITIONS, DeliveryState, Outcome, Waiting

_owed_columns = [events.c.event_key if n == "event_key" else deliveries.c[n] for n in Owed.__slots__]
_due = (
    select(*_owed_columns)
    .join(events, events.c.id == deliveries.c.event_id)
    .where(
        deliveries.c.lane == bindparam("b_lane"),
        deliveries.c.due_ms.is_not(None),
        deliveries.c.due_ms <= bindparam("b_now"),
    )
    .order_by(deliveries.c.due_ms, deliveries.c.id)
    .limit(bindparam("b_limit"))
)
_start = (
    update(deliveries)
    .where(
        deliveries.c.id == bindparam("b_id"),
        # Not in_(): a list can't be bound when one statement is run for many rows.
        (deliveries.c.state == DeliveryState.PENDING.value) | (deliveries.c.state == DeliveryState.RETRYING.value),
    )
    .values(state=DeliveryState.SENDING.value, attempts=bindparam("b_number"), due_ms=None, waiting=None)
)
_step = (
    update(deliveries)
    .where(deliveries.c.id == bindparam("b_id"), deliveries.c.state == bindparam("b_from"))
    .values(
        state=bindparam("b_to"),
        due_ms=bindparam("b_due"),
        waiting=bindparam("b_waiting"),
        reason_code=bindparam("b_code"),
        reason=bindparam("b_reason"),
        finished_ms=bindparam("b_finished"),
    )
)
_line = deliveries.alias("line")
_in_line = (
    _line.c.account == bindparam("b_account"),
    _line.c.subject == bindparam("b_subject"),
    _line.c.line == bindparam("b_line"),
    text(OPEN.text.replace("deliveries.", "line.")),
)
_first_in_line = select(func.min(_line.c.id)).where(*_in_line).scalar_subquery()
_line_has_its_turn = exists(
    select(1).where(*_in_line, _line.c.due_ms.is_not(None) | (_line.c.state == DeliveryState.SENDING.value))
)
_promote = (
    update(deliveries).where(deliveries.c.id == _first_in_line, ~_line_has_its_turn).values(due_ms=bindparam("b_due"))
)
_outcome = (
    update(attempts)
    .where(attempts.c.delivery_id == bindparam("b_delivery"), attempts.c.number == bindparam("b_number"))
    .values(
        finished_ms=bindparam("b_finished"),
        outcome=bindparam("b_outcome"),
        status=bindparam("b_status"),
        code=bindparam("b_code"),
        detail=bindparam("b_detail"),
        excerpt=bindparam("b_excerpt"),
        duration_ms=bindparam("b_duration"),
    )
)


def add(connection: Connection, new: Sequence[NewDelivery], now_ms: int) -> None:
    """Insert these deliveries in their order; the first open one of each free line is due now."""
    if not new:
        return
    taken = _lines_taken(connection, {(d.account, d.subject, d.line) for d in new if d.state not in FINISHED})
    rows: list[dict[str, Any]] = []
    for delivery in new:
        row = {name: getattr(delivery, name) for name in NewDelivery.__slots__}
        row |= {"state": delivery.state.value, "created_ms": now_ms, "due_ms": None, "finished_ms": None}
        line = (delivery.account, delivery.subject, delivery.line)
        if delivery.state in FINISHED:
            row["finished_ms"] = now_ms
        elif line not in taken:
            taken.add(line)
            row["due_ms"] = now_ms
        rows.append(row)
    connection.execute(insert(deliveries), rows)


def _lines_taken(connection: Connection, lines: Collection[Line]) -> set[Line]:
    if not lines:
        return set()
    columns = (deliveries.c.account, deliveries.c.subject, deliveries.c.line)
    # Column by column, which finds more than was asked: with rows of values SQLite would read the whole index.
    wanted = [column.in_(set(values)) for column, values in zip(columns, zip(*lines, strict=True), strict=True)]
    query = select(*columns).where(*wanted, OPEN).distinct()
    return {(row.account, row.subject, row.line) for row in connection.execute(query)}


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


def due(connection: Connection, lane: int, now_ms: int, limit: int) -> list[Owed]:
    """Return up to `limit` deliveries of the lane whose turn and time it is, longest due first."""
    rows = connection.execute(_due, {"b_lane": lane, "b_now": now_ms, "b_limit": limit}).mappings()
    return [Owed(**{**row, "state": DeliveryState(row["state"])}) for row in rows]


def newest_delivered(
    connection: Connection, owed: Sequence[Owed | NewDelivery]
) -> dict[tuple[str, str, str], tuple[str, int]]:
    """Return for (account, object, line) the time and rank of the newest event that was delivered."""
    objects = {d.object_id for d in owed if d.object_id and d.skip_stale}
    if not objects:
        return {}
    c = deliveries.c
    query = select(c.account, c.object_id, c.line, c.order_at, c.order_rank).where(
        c.object_id.in_(list(objects)), DELIVERED
    )
    newest: dict[tuple[str, str, str], tuple[str, int]] = {}
    for row in connection.execute(query):
        key = (row.account, row.object_id, row.line)
        newest[key] = max(newest.get(key, ("", 0)), (row.order_at, row.order_rank))
    return newest


def start(connection: Connection, owed: Sequence[Owed], fence: int, now_ms: int) -> None:
    """Commit-to-be: write down that these are about to be sent, one attempt each."""
    if not owed:
        return
    changed = connection.execute(_start, [{"b_id": d.id, "b_number": d.attempts + 1} for d in owed]).rowcount
    if changed != len(owed):
        raise IllegalTransition(f"{len(owed) - changed} of {len(owed)} deliveries were not waiting to be sent")
    connection.execute(
        insert(attempts),
        [{"delivery_id": d.id, "number": d.attempts + 1, "fence": fence, "started_ms": now_ms} for d in owed],
    )


def record(
    connection: Connection,
    step: Step,
    number: int,
    outcome: Outcome,
    *,
    status: int | None,
    code: str,
    detail: str,
    excerpt: str,
    duration_ms: int,
) -> None:
    """Write down what became of attempt `number` of a delivery that is in state `sending`, and move it on."""
    connection.execute(
        _outcome,
        {
            "b_delivery": step.delivery.id,
            "b_number": number,
            "b_finished": step.now_ms,
            "b_outcome": outcome.value,
            "b_status": status,
            "b_code": code,
            "b_detail": detail,
            "b_excerpt": excerpt,
            "b_duration": duration_ms,
        },
    )
    move(connection, step, DeliveryState.SENDING)


def move(connection: Connection, step: Step, source: DeliveryState) -> None:
    """Change a delivery's state; where that frees the line, the next delivery becomes due.

    Raises IllegalTransition where `model.TRANSITIONS` has no such change or the delivery is in another state.
    """
    delivery = step.delivery
    if step.to not in TRANSITIONS[source]:
        raise IllegalTransition(f"delivery {delivery.id} can't go from {source} to {step.to}")
    finished = step.to in FINISHED
    changed = connection.execute(
        _step,
        {
            "b_id": delivery.id,
            "b_from": source.value,
            "b_to": step.to.value,
            "b_due": step.due_ms,
            "b_waiting": step.waiting.value if step.waiting else None,
            "b_code": step.code,
            "b_reason": step.reason,
            "b_finished": step.now_ms if finished else None,
        },
    ).rowcount
    if changed != 1:
        raise IllegalTransition(f"delivery {delivery.id} is not {source} any more")
    if finished:
        promote(connection, (delivery.account, delivery.subject, delivery.line), step.now_ms)


def put_off(connection: Connection, delivery: Owed, due_ms: int, waiting: Waiting, code: str, reason: str) -> None:
    """Let a delivery wait without burning an attempt; its state stays."""
    connection.execute(
        update(deliveries)
        .where(deliveries.c.id == delivery.id, deliveries.c.due_ms.is_not(None))
        .values(due_ms=due_ms, waiting=waiting.value, reason_code=code, reason=reason)
    )


def promote(connection: Connection, line: Line, now_ms: int) -> None:
    """Make the first open delivery of a line due, unless one of the line has a due time or is being sent."""
    account, subject, name = line
    connection.execute(_promote, {"b_account": account, "b_subject": subject, "b_line": name, "b_due": now_ms})
