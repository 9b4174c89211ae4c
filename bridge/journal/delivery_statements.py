"""The statements that run for each delivery, made once.

SQLAlchemy keeps what it compiled of a statement that does not change; one that is put together anew costs more than the
database takes to carry it out. Lists are bound (`expanding`), and rows go in and out many at a time.
"""

from __future__ import annotations

from sqlalchemy import bindparam, exists, func, insert, select, text, update

from bridge.journal.lane_heads import Heads
from bridge.journal.owed import Owed
from bridge.journal.schema import DELIVERED, OPEN, attempts, deliveries, events
from bridge.model import DeliveryState

OF_EVENT = frozenset({"event_key", "received_ms"})
"""What a delivery that is owed has of its event; the rest is its own row's."""
# Of many lanes more rows are read than can be sent, to find the longest due of all: so no more than their numbers.
_head = "deliveries.due_ms, deliveries.id"
_is_due = "head.due_ms IS NOT NULL AND head.due_ms <= :now"
DUE = Heads("deliveries", _head, where=_is_due, order="head.due_ms")
DUE_OF_OTHERS = Heads(
    "deliveries",
    _head,
    where=f"{_is_due} AND head.destination NOT IN :not_to AND head.account NOT IN :not_of",
    order="head.due_ms",
    lists=("not_to", "not_of"),
)
OWED = (
    select(*((events if n in OF_EVENT else deliveries).c[n] for n in Owed.__slots__))
    .join_from(deliveries, events, events.c.id == deliveries.c.event_id)
    .where(deliveries.c.id.in_(bindparam("b_ids", expanding=True)))
)
START = (
    update(deliveries)
    .where(
        deliveries.c.id == bindparam("b_id"),
        # Not in_(): a list can't be bound when one statement is run for many rows.
        (deliveries.c.state == DeliveryState.PENDING.value) | (deliveries.c.state == DeliveryState.RETRYING.value),
    )
    .values(state=DeliveryState.SENDING.value, attempts=bindparam("b_number"), due_ms=None, waiting=None)
)
STEP = (
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
PROMOTE = (
    update(deliveries).where(deliveries.c.id == _first_in_line, ~_line_has_its_turn).values(due_ms=bindparam("b_due"))
)
PUT_OFF = (
    update(deliveries)
    .where(deliveries.c.id == bindparam("b_id"), deliveries.c.due_ms.is_not(None))
    .values(
        due_ms=bindparam("b_due"),
        waiting=bindparam("b_waiting"),
        reason_code=bindparam("b_code"),
        reason=bindparam("b_reason"),
    )
)
LINES_OPEN = (
    select(deliveries.c.account, deliveries.c.subject, deliveries.c.line)
    # Column by column, which finds more than is asked: with rows of values SQLite would read the whole index.
    .where(
        deliveries.c.account.in_(bindparam("b_accounts", expanding=True)),
        deliveries.c.subject.in_(bindparam("b_subjects", expanding=True)),
        deliveries.c.line.in_(bindparam("b_lines", expanding=True)),
        OPEN,
    )
    .distinct()
)
NEWEST = select(*(deliveries.c[n] for n in ("account", "object_id", "line", "order_at", "order_rank"))).where(
    deliveries.c.object_id.in_(bindparam("b_objects", expanding=True)), DELIVERED
)
ADD = insert(deliveries)
ATTEMPT = insert(attempts)
OUTCOME = (
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
