"""Events in the journal: kept as they come, handed out per lane in the order of arrival."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass

from sqlalchemy import Connection, RowMapping, bindparam, select, update
from sqlalchemy.dialects import postgresql, sqlite

from bridge.journal.schema import WAITS, events
from bridge.model import EventState, IncomingEvent

_RECEIVED = EventState.RECEIVED.value


@dataclass(frozen=True, slots=True)
class KeptEvent:
    """An event as a lane's worker gets it."""

    id: int
    account: str
    event_key: str
    name: str
    entity: str
    object_id: str
    subject: str
    lane: int
    created: str
    body: str
    received_ms: int
    replay: int
    replay_mapping: str | None


@dataclass(frozen=True, slots=True)
class Kept:
    """What became of a posted event: its number, and how often it had come before."""

    id: int
    repeats: int


_ONCE = [events.c.account, events.c.event_key]
_AGAIN = {"repeats": events.c.repeats + 1}
_RESULT = (events.c.id, events.c.repeats)
_INSERTS = {  # the same statement, which each dialect spells by itself
    "sqlite": sqlite.insert(events).on_conflict_do_update(index_elements=_ONCE, set_=_AGAIN).returning(*_RESULT),
    "postgresql": postgresql.insert(events)
    .on_conflict_do_update(index_elements=_ONCE, set_=_AGAIN)
    .returning(*_RESULT),
}

_columns = [events.c[name] for name in KeptEvent.__slots__]
_waiting = (
    select(events.c.id, events.c.account, events.c.subject, events.c.due_ms)
    .where(events.c.lane == bindparam("b_lane"), WAITS, events.c.id > bindparam("b_after"))
    .order_by(events.c.id)
    .limit(bindparam("b_limit"))
)
_processed = (
    update(events)
    .where(events.c.id == bindparam("b_id"))
    .values(state=EventState.PROCESSED.value, processed_ms=bindparam("b_now"), hold_code=None, hold_reason=None)
)


def append(connection: Connection, event: IncomingEvent, lane: int) -> Kept:
    """Keep one event, or count one more arrival of an event that is kept already."""
    row = connection.execute(
        _INSERTS[connection.dialect.name],
        {
            "account": event.account,
            "event_key": event.key,
            "name": event.name,
            "entity": event.entity,
            "object_id": event.object_id,
            "subject": event.subject,
            "lane": lane,
            "created": event.created,
            "body": event.body,
            "received_ms": event.received_ms,
            "origin": event.origin.value,
            "state": _RECEIVED,
            "due_ms": event.received_ms,
        },
    ).one()
    return Kept(row.id, row.repeats)


@dataclass(frozen=True, slots=True)
class Waiting:
    """The events of a lane that may be processed now, and those that stand behind a held one of their subject."""

    ready: list[int]
    behind: dict[int, int]
    """Event number -> when the event before it is due."""


def waiting(connection: Connection, lane: int, now_ms: int, limit: int, page: int = 500) -> Waiting:
    """Return up to `limit` events of the lane that are due, in the order of arrival.

    An event waits with the earlier one of its subject, so that a customer's events stay in order while Asaas can't
    be asked about that customer; events of other customers go past. Those that wait behind count to the limit too:
    thousands of them behind one held event must not make one transaction of thousands of updates.
    """
    ready: list[int] = []
    behind: dict[int, int] = {}
    held: dict[tuple[str, str], int] = {}
    after = 0
    while len(ready) + len(behind) < limit:
        rows = connection.execute(_waiting, {"b_lane": lane, "b_after": after, "b_limit": page}).all()
        for row in rows:
            after = row.id
            subject = (row.account, row.subject)
            if row.due_ms > now_ms:
                held.setdefault(subject, row.due_ms)
            elif subject in held:
                behind[row.id] = held[subject]
            else:
                ready.append(row.id)
            if len(ready) + len(behind) == limit:
                break
        if len(rows) < page:
            break
    return Waiting(ready, behind)


def load(connection: Connection, ids: Collection[int]) -> list[KeptEvent]:
    """Return these events in the order of arrival."""
    rows = connection.execute(select(*_columns).where(events.c.id.in_(ids)).order_by(events.c.id)).mappings()
    return [_kept(row) for row in rows]


def _kept(row: RowMapping) -> KeptEvent:
    return KeptEvent(**{name: row[name] for name in KeptEvent.__slots__})


def mark_processed(connection: Connection, ids: Sequence[int], now_ms: int) -> None:
    """Note that every mapping has had its say on these events."""
    if ids:
        connection.execute(_processed, [{"b_id": id_, "b_now": now_ms} for id_ in ids])


def hold(connection: Connection, id_: int, due_ms: int, code: str, reason: str) -> None:
    """Put one event off until a time, with the reason in words."""
    connection.execute(
        update(events)
        .where(events.c.id == id_, events.c.state == _RECEIVED)
        .values(due_ms=due_ms, hold_code=code, hold_reason=reason)
    )


def ask_replay(connection: Connection, id_: int, mapping: str | None, now_ms: int) -> int:
    """Send an event through today's mappings once more; return the replay's number.

    The event goes back to `received`, so that the worker of its lane replays it in order, under the same lease.
    """
    replay: int = connection.execute(
        update(events)
        .where(events.c.id == id_)
        .values(
            state=_RECEIVED,
            due_ms=now_ms,
            replay=events.c.replay + 1,
            replay_mapping=mapping,
            hold_code=None,
            hold_reason=None,
        )
        .returning(events.c.replay)
    ).scalar_one()
    return replay


def last_received_ms(connection: Connection, account: str) -> int | None:
    """Return when the account's newest event came in, None where none ever did."""
    query = select(events.c.received_ms).where(events.c.account == account).order_by(events.c.id.desc()).limit(1)
    return connection.scalar(query)
