"""Events in the journal: appended as they arrive, given to lanes in the order of arrival; and refusals of the door."""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, fields
from typing import Any

from sqlalchemy import Connection, bindparam, delete, insert, select, text, update

from bridge.failpoints import failpoint
from bridge.journal.database import Database
from bridge.journal.schema import events, metadata, refusals
from bridge.journal.statements import BulkStatement, FirstRowsOfLanes
from bridge.model import EventState, IncomingEvent, Origin, lane_of

_RECEIVED = EventState.RECEIVED.value
_LEAST_PAGE = 4
_TRIAL_ID = 2**62  # above every event: SQLite appends it to the same page, and PostgreSQL's sequence gets no gap
_TRIAL_BYTES = 8_192


@dataclass(frozen=True, slots=True, kw_only=True)
class StoredEvent(IncomingEvent):
    """An event as the worker of its lane gets it."""

    id: int
    lane: int
    replay: int
    replay_mapping: str | None


@dataclass(frozen=True, slots=True)
class AppendResult:
    id: int
    repeats: int  # how often the same event had arrived before


_append = BulkStatement(
    # In the given order, since ids are the order of arrival. Without WHERE SQLite parses ON as that of a join.
    "INSERT INTO events ({columns}) SELECT {values} FROM {given} WHERE true ORDER BY given.place"
    " ON CONFLICT (account, event_key) DO UPDATE SET repeats = events.repeats + 1 + excluded.repeats"
    " RETURNING account, event_key, id, repeats, lane",
    events,
    *("account", "event_key", "name", "entity", "object_id", "subject", "lane", "created", "body"),
    *("received_ms", "due_ms", "origin", "state", "repeats"),
    place=events.c.id,
)
_columns = [events.c["event_key" if f.name == "key" else f.name].label(f.name) for f in fields(StoredEvent)]
_waiting = FirstRowsOfLanes(
    "events",
    "events.lane, events.id, events.account, events.subject, events.due_ms",
    where="head.state = 'received' AND head.id > place.value",
    order="head.id",
)
_load = select(*_columns).where(events.c.id.in_(bindparam("b_ids", expanding=True))).order_by(events.c.id)
_hold = BulkStatement(
    # || '': see the statements of `deliveries`.
    "UPDATE events SET {changes} FROM {given} WHERE events.id = given.id AND events.state || '' = 'received'",
    events,
    *("due_ms", "hold_code", "hold_reason"),
    id=events.c.id,
)
_processed = BulkStatement(
    "UPDATE events SET state = 'processed', processed_ms = given.processed_ms, hold_code = NULL, hold_reason = NULL"
    " FROM {given} WHERE events.id = given.id AND events.state || '' = 'received'",
    events,
    *("id", "processed_ms"),
)


def append(database: Database, batch: Sequence[IncomingEvent], lanes: int) -> list[tuple[int, AppendResult]]:
    """Commit these events and return the lane and result of each; one that is stored counts one more arrival."""
    keys = [(event.account, event.key) for event in batch]
    left = Counter(keys)
    # A statement can't update one row twice on PostgreSQL, so each event goes in once, with its number of arrivals.
    rows: dict[tuple[str, str], tuple[Any, ...]] = {}
    for place, (key, event) in enumerate(zip(keys, batch, strict=True)):
        lane = lane_of(event.account, event.subject, lanes)
        values = (*key, event.name, event.entity, event.object_id, event.subject, lane, event.created, event.body)
        times = (event.received_ms, event.received_ms)
        rows.setdefault(key, (*values, *times, event.origin.value, _RECEIVED, left[key] - 1, place))
    failpoint("append.before_commit")
    with database.write(one_statement=True) as connection:
        stored = {(row.account, row.event_key): row for row in _append.read(connection, [*rows.values()])}
    results = []
    for key in keys:
        left[key] -= 1
        results.append((stored[key].lane, AppendResult(stored[key].id, stored[key].repeats - left[key])))
    return results


def try_append(database: Database) -> None:
    """Insert an event and delete it again, in one durable transaction; raise JournalError where that fails.

    Every table is read too, since the way of an event needs them all.
    """
    texts = dict.fromkeys(("account", "event_key", "name", "entity", "object_id", "subject", "created"), "")
    numbers = {"id": _TRIAL_ID, "lane": 0, "received_ms": 0, "due_ms": 0}
    with database.write() as connection:
        connection.execute(insert(events).values(**texts, **numbers, body=" " * _TRIAL_BYTES, state=_RECEIVED))
        connection.execute(delete(events).where(events.c.id == _TRIAL_ID))
        for table in metadata.sorted_tables:
            connection.execute(select(table).limit(0))


def waiting(
    connection: Connection, lanes: Collection[int], now_ms: int, limit: int, page: int = 500
) -> tuple[list[int], dict[int, int]]:
    """Return up to `limit` due events of these lanes: the ready ones, and those behind held ones with their due times.

    An event waits behind an earlier held event of its subject, so that a customer's events stay in order; events of
    other customers pass. Events behind count to the limit, which bounds the updates of the caller's transaction. One
    query reads up to `page` rows of each lane, fewer of many lanes. Both are in the order of arrival.
    """
    ready: list[int] = []
    behind: dict[int, int] = {}
    held: dict[tuple[str, str], int] = {}
    after = dict.fromkeys(lanes, 0)
    page = min(page, _LEAST_PAGE + 2 * limit // max(1, len(after)))
    while after and len(ready) + len(behind) < limit:
        rows = _waiting.read(connection, after, page)
        for lane, id_, account, customer, due_ms in sorted(rows, key=lambda row: row.id):
            after[lane] = id_
            subject = (account, customer)
            if due_ms > now_ms:
                held.setdefault(subject, due_ms)
            elif subject in held:
                behind[id_] = held[subject]
            else:
                ready.append(id_)
            if len(ready) + len(behind) == limit:
                break
        read = Counter(row.lane for row in rows)
        after = {lane: after[lane] for lane in after if read[lane] == page}
    return ready, behind


def load(connection: Connection, ids: Collection[int]) -> list[StoredEvent]:
    """Return these events in the order of arrival."""
    rows = connection.execute(_load, {"b_ids": list(ids)}).mappings()
    return [StoredEvent(**{**row, "origin": Origin(row["origin"])}) for row in rows]


def mark_processed(connection: Connection, ids: Sequence[int], now_ms: int) -> int:
    """Mark these events as processed; return how many of them were waiting."""
    return _processed.run(connection, [(id_, now_ms) for id_ in ids])


def hold(connection: Connection, holds: Mapping[int, tuple[int, str, str]]) -> None:
    """Hold these events, each until its due time, with a code and a reason."""
    _hold.run(connection, [(*values, id_) for id_, values in holds.items()])


def ask_replay(connection: Connection, id_: int, mapping: str | None, now_ms: int) -> int:
    """Set an event back to `received`, for the worker of its lane; return the number of the replay.

    `mapping` names the only mapping to replay, None stands for all.
    """
    again = {"state": _RECEIVED, "due_ms": now_ms, "replay": events.c.replay + 1, "replay_mapping": mapping}
    query = update(events).where(events.c.id == id_).values(**again, hold_code=None, hold_reason=None)
    return int(connection.execute(query.returning(events.c.replay)).scalar_one())


def last_received_ms(connection: Connection, account: str) -> int | None:
    query = select(events.c.received_ms).where(events.c.account == account).order_by(events.c.id.desc()).limit(1)
    return connection.scalar(query)


NEW_TOKEN, OLD_TOKEN = "door.new_token", "door.old_token"
"""Codes among the refusals: the token of accepted events while two tokens are valid."""


_refuse = text(
    "INSERT INTO door_refusals (account, code, last_ms, times) VALUES (:account, :code, :now_ms, 1)"
    " ON CONFLICT (account, code) DO UPDATE SET last_ms = excluded.last_ms, times = door_refusals.times + 1"
)


def record_refusal(connection: Connection, account: str, code: str, now_ms: int) -> None:
    """Count a refusal; the account is empty where the URL named an unknown one."""
    connection.execute(_refuse, {"account": account, "code": code, "now_ms": now_ms})


def refusals_since(connection: Connection, account: str, since_ms: int) -> list[str]:
    """Return the codes of refusals for the account, then for unknown accounts, newest first each."""
    c = refusals.c
    query = select(c.code).where(c.account.in_([account, ""]), c.last_ms >= since_ms)
    query = query.where(c.code.not_in([NEW_TOKEN, OLD_TOKEN])).order_by(c.account.desc(), c.last_ms.desc())
    return list(connection.scalars(query))


def tokens_used(connection: Connection, account: str) -> tuple[int | None, int | None]:
    """Return when an event last came with the new token, and when with the old one."""
    c = refusals.c
    query = select(c.code, c.last_ms).where(c.account == account, c.code.in_([NEW_TOKEN, OLD_TOKEN]))
    found = {row.code: row.last_ms for row in connection.execute(query)}
    return found.get(NEW_TOKEN), found.get(OLD_TOKEN)
