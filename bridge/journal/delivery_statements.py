"""The statements that run for each delivery, made once.

SQLAlchemy keeps what it compiled of a statement that does not change; one that is put together anew costs more than the
database takes to carry it out. Lists are bound (`expanding`), and rows go in and out many at a time.

PostgreSQL plans by statistics that may be of a quiet hour, in which partial indexes of what is open or due are empty:
where it has the choice it then reads such an index as a whole for each row. So it is given none. What is looked for row
by row is a subquery with one result, not EXISTS, of which it would make a join or a table. What is found by its number
has its other conditions in words that no partial index answers to.
"""

from __future__ import annotations

from sqlalchemy import bindparam, select

from bridge.journal.bulk import Bulk
from bridge.journal.lane_heads import Heads
from bridge.journal.owed import NewDelivery, Owed
from bridge.journal.schema import DELIVERED, OPEN, attempts, deliveries, events

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
START = Bulk(
    "UPDATE deliveries SET state = 'sending', attempts = given.attempts, due_ms = NULL, waiting = NULL FROM {given}"
    " WHERE deliveries.id = given.id AND deliveries.state IN ('pending', 'retrying')",
    deliveries,
    *("id", "attempts"),
)
STEP = Bulk(
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
PROMOTE = Bulk(
    # The first may have no turn while a later one has it: a person opened it again. This reads the line to its end.
    f"{_FIRST} AND (SELECT min(line.id) IN_LINE AND (line.due_ms IS NOT NULL OR line.state = 'sending'))"
    " IS NULL".replace("IN_LINE", _IN_LINE),
    deliveries,
    *(*_LINE, "due_ms"),
)
NEXT = Bulk(_FIRST.replace("IN_LINE", _IN_LINE), deliveries, *(*_LINE, "due_ms"))
LINES_OPEN = Bulk(
    "SELECT {values} FROM {given} WHERE (SELECT min(line.id) IN_LINE) IS NOT NULL".replace("IN_LINE", _IN_LINE),
    deliveries,
    *_LINE,
)
PUT_OFF = Bulk(
    "UPDATE deliveries SET due_ms = given.due_ms, waiting = given.waiting, reason_code = given.reason_code,"
    " reason = given.reason FROM {given} WHERE deliveries.id = given.id AND COALESCE(deliveries.due_ms, -1) >= 0",
    deliveries,
    *("id", "due_ms", "waiting", "reason_code", "reason"),
)
NEWEST = select(*(deliveries.c[n] for n in ("account", "object_id", "line", "order_at", "order_rank"))).where(
    deliveries.c.object_id.in_(bindparam("b_objects", expanding=True)), DELIVERED
)
ADD = Bulk(
    # In the order in which they are given: their numbers are their order in a line.
    "INSERT INTO deliveries ({columns}) SELECT {values} FROM {given} ORDER BY given.place",
    deliveries,
    *(*NewDelivery.__slots__, "created_ms", "due_ms", "finished_ms"),
    place=deliveries.c.id,
)
ATTEMPT = Bulk(
    "INSERT INTO attempts ({columns}) SELECT {values} FROM {given}",
    attempts,
    *("delivery_id", "number", "fence", "started_ms"),
)
OUTCOME = Bulk(
    "UPDATE attempts SET finished_ms = given.finished_ms, outcome = given.outcome, status = given.status,"
    " code = given.code, detail = given.detail, excerpt = given.excerpt, duration_ms = given.duration_ms FROM {given}"
    " WHERE attempts.delivery_id = given.delivery_id AND attempts.number = given.number",
    attempts,
    *("delivery_id", "number", "finished_ms", "outcome", "status", "code", "detail", "excerpt", "duration_ms"),
)
