"""Deliveries and attempts in the journal.

All functions take the connection of a transaction that holds the lane (`Lanes.hold_all` or `lanes.lock`): the rule that
only the first open delivery of a line has a due time is kept here and nowhere else.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from operator import attrgetter
from typing import Any

from sqlalchemy import Connection, Row, select

from bridge.errors import IllegalTransition
from bridge.journal import delivery_statements as statements
from bridge.journal.owed import Ended, Line, NewDelivery, Owed, PutOff, Step
from bridge.journal.schema import attempts, deliveries
from bridge.model import FINISHED, TRANSITIONS, DeliveryState

_LEAST_EACH = 4
_STATE_AT = Owed.__slots__.index("state")
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
    statements.ADD.run(connection, rows)


def _lines_taken(connection: Connection, lines: Collection[Line]) -> set[Line]:
    return {
        (account, subject, line) for account, subject, line in statements.LINES_OPEN.read(connection, sorted(lines))
    }


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
) -> tuple[list[Owed], bool]:
    """Return up to `limit` deliveries of these lanes whose turn and time it is, longest due first.

    None to the destinations `not_to`, none of the accounts `not_of`.

    Also return whether there may be more. Of many lanes only so many rows of each are read as fill the limit.
    """
    each = limit if len(lanes) == 1 else min(limit, _LEAST_EACH + 2 * limit // max(1, len(lanes)))
    marks = dict.fromkeys(lanes, 0)
    if not_to or not_of:
        others = {"not_to": list(not_to) or [""], "not_of": list(not_of) or [""]}
        rows = statements.DUE_OF_OTHERS.read(connection, marks, each, now=now_ms, **others)
    else:
        rows = statements.DUE.read(connection, marks, each, now=now_ms)
    ids = [id_ for _, id_ in sorted((due_ms, id_) for due_ms, id_ in rows)[:limit]]
    found = {row[0]: _owed(row) for row in connection.execute(statements.OWED, {"b_ids": ids}).all()} if ids else {}
    return [found[id_] for id_ in ids], len(rows) >= min(limit, each)


def _owed(row: Row[*tuple[Any, ...]]) -> Owed:
    values = list(row)  # by position: this runs for each delivery
    values[_STATE_AT] = DeliveryState(values[_STATE_AT])
    return Owed(*values)


def newest_delivered(
    connection: Connection, owed: Sequence[Owed | NewDelivery]
) -> dict[tuple[str, str, str], tuple[str, int]]:
    """Return for (account, object, line) the time and rank of the newest event that was delivered."""
    objects = {d.object_id for d in owed if d.object_id and d.skip_stale}
    if not objects:
        return {}
    newest: dict[tuple[str, str, str], tuple[str, int]] = {}
    rows = connection.execute(statements.NEWEST, {"b_objects": list(objects)}).all()
    for account, object_id, line, order_at, order_rank in rows:
        key = (account, object_id, line)
        newest[key] = max(newest.get(key, ("", 0)), (order_at, order_rank))
    return newest


def start(connection: Connection, owed: Sequence[Owed], fences: Mapping[int, int], now_ms: int) -> None:
    """Commit-to-be: write down that these are about to be sent, one attempt each, under the fence of their lane."""
    changed = statements.START.run(connection, [(d.id, d.attempts + 1) for d in owed])
    if changed != len(owed):
        raise IllegalTransition(f"{len(owed) - changed} of {len(owed)} deliveries were not waiting to be sent")
    statements.ATTEMPT.run(connection, [(d.id, d.attempts + 1, fences[d.lane], now_ms) for d in owed])


def sending(connection: Connection, ids: Collection[int]) -> set[tuple[int, int]]:
    """Return the attempts (delivery, number) of these deliveries that have no outcome yet."""
    query = select(attempts.c.delivery_id, attempts.c.number)
    found = connection.execute(query.where(attempts.c.delivery_id.in_(ids), attempts.c.outcome.is_(None)))
    return {(id_, number) for id_, number in found}


def record(connection: Connection, ended: Sequence[Ended]) -> None:
    """Write down what became of attempts of deliveries that are in state `sending`, and move these on."""
    rows = [
        (e.step.delivery.id, e.number, e.step.now_ms, e.outcome, e.status, e.code, e.detail, e.excerpt, e.duration_ms)
        for e in ended
    ]
    statements.OUTCOME.run(connection, rows)
    move(connection, [(end.step, DeliveryState.SENDING) for end in ended])


def move(connection: Connection, steps: Sequence[tuple[Step, DeliveryState]]) -> None:
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
    if statements.STEP.run(connection, rows) != len(rows):
        names = ", ".join(f"{step.delivery.id} is not {source} any more" for step, source in steps[:3])
        raise IllegalTransition(f"of {len(rows)} deliveries at least one is in another state: {names}")
    statements.NEXT.run(connection, [(*line, now_ms) for line, now_ms in freed.items()])


def put_off(connection: Connection, waits: Sequence[PutOff]) -> None:
    """Let deliveries wait without burning an attempt; their states stay."""
    statements.PUT_OFF.run(connection, [(w.delivery.id, w.due_ms, w.waiting, w.code, w.reason) for w in waits])


def promote(connection: Connection, line: Line, now_ms: int) -> None:
    """Make the first open delivery of a line due, unless one of the line has a due time or is being sent."""
    statements.PROMOTE.run(connection, [(*line, now_ms)])
