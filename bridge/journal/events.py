"""Events in the journal: kept as they come, handed out per lane in the order of arrival."""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache

from sqlalchemy import Connection, bindparam, delete, insert, select, update

from bridge.crypto import Keyring
from bridge.failpoints import failpoint
from bridge.journal.database import Database
from bridge.journal.schema import events, metadata, refusals
from bridge.journal.statements import BulkStatement, FirstRowsOfLanes
from bridge.model import EventState, IncomingEvent

_RECEIVED = EventState.RECEIVED.value
_LEAST_PAGE = 4
_TRIED_ID = 2**62
"""Beyond every event: SQLite puts it where the next event comes, and PostgreSQL's numbers stay without a gap."""
_TRIED_BYTES = 8_192


@dataclass(frozen=True, slots=True)
class StoredEvent:
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
class AppendResult:
    """What became of a posted event: its number, and how often it had come before."""

    id: int
    repeats: int


_INSERTED = (
    "account",
    "event_key",
    "name",
    "entity",
    "object_id",
    "subject",
    "lane",
    "created",
    "body",
    "received_ms",
    "origin",
    "state",
    "due_ms",
    "repeats",
)

_columns = [events.c[name] for name in StoredEvent.__slots__]
_waiting = FirstRowsOfLanes(
    "events",
    "events.lane, events.id, events.account, events.subject, events.due_ms",
    where="head.state = 'received' AND head.id > place.value",
    order="head.id",
)
_load = select(*_columns).where(events.c.id.in_(bindparam("b_ids", expanding=True))).order_by(events.c.id)
_hold = BulkStatement(
    "UPDATE events SET due_ms = given.due_ms, hold_code = given.hold_code, hold_reason = given.hold_reason"
    " FROM {given} WHERE events.id = given.id AND events.state || '' = 'received'",  # see delivery_statements
    events,
    *("id", "due_ms", "hold_code", "hold_reason"),
)
_processed = BulkStatement(
    "UPDATE events SET state = 'processed', processed_ms = given.processed_ms, hold_code = NULL, hold_reason = NULL"
    " FROM {given} WHERE events.id = given.id AND events.state || '' = 'received'",
    events,
    *("id", "processed_ms"),
)


def append(database: Database, batch: Sequence[tuple[IncomingEvent, int]]) -> list[AppendResult]:
    """Keep these events, each in its lane, or count one more arrival of an event that is kept already.

    PostgreSQL refuses to count two arrivals of a row one by one in a statement.
    """
    keys = [(event.account, event.key) for event, _ in batch]
    left = Counter(keys)
    first: dict[tuple[str, str], tuple[IncomingEvent, int]] = {}
    for key, item in zip(keys, batch, strict=True):
        first.setdefault(key, item)
    values = tuple(_values([(*item, left[key]) for key, item in first.items()], database.keyring))
    statement = _insert("?" if database.is_sqlite else "%s", len(first))
    failpoint("append.before_commit")
    with database.write() as connection:
        rows = connection.exec_driver_sql(statement, values).all()
    found = {(account, key): (id_, repeats) for account, key, id_, repeats in rows}
    kept = []
    for key in keys:
        left[key] -= 1
        id_, repeats = found[key]
        kept.append(AppendResult(id_, repeats - left[key]))
    return kept


def try_append(database: Database) -> None:
    """Keep an event and remove it again, in one durable transaction; raise JournalError where that can't be.

    Each table is named with its columns too: a delivery needs more than the event's.
    """
    values = dict.fromkeys(("account", "event_key", "name", "entity", "object_id", "subject", "created"), "")
    with database.write() as connection:
        connection.execute(
            insert(events).values(
                **values, id=_TRIED_ID, lane=0, body=" " * _TRIED_BYTES, received_ms=0, state=_RECEIVED, due_ms=0
            )
        )
        connection.execute(delete(events).where(events.c.id == _TRIED_ID))
        for table in metadata.sorted_tables:
            connection.execute(select(table).limit(0))


@lru_cache(maxsize=256)
def _insert(mark: str, rows: int) -> str:
    marks = ", ".join([mark] * len(_INSERTED))
    return (
        f"INSERT INTO events ({', '.join(_INSERTED)}) VALUES {', '.join([f'({marks})'] * rows)}"  # noqa: S608 (names and marks)
        " ON CONFLICT (account, event_key) DO UPDATE SET repeats = events.repeats + 1 + excluded.repeats"
        " RETURNING account, event_key, id, repeats"
    )


def _values(items: Iterable[tuple[IncomingEvent, int, int]], keyring: Keyring) -> Iterator[str | int]:
    for event, lane, arrivals in items:
        yield event.account
        yield event.key
        yield event.name
        yield event.entity
        yield event.object_id
        yield event.subject
        yield lane
        yield event.created
        yield keyring.encrypt(event.body, "events.body")
        yield event.received_ms
        yield event.origin.value
        yield _RECEIVED
        yield event.received_ms
        yield arrivals - 1


@dataclass(frozen=True, slots=True)
class Waiting:
    """The events of lanes that may be processed now, and those that stand behind a held one of their subject."""

    ready: list[int]
    behind: dict[int, int]
    """Event number -> when the event before it is due."""


def waiting(connection: Connection, lanes: Collection[int], now_ms: int, limit: int, page: int = 500) -> Waiting:
    """Return up to `limit` events of these lanes that are due, in the order of arrival.

    An event waits with the earlier one of its subject, so that a customer's events stay in order while Asaas can't
    be asked about that customer; events of other customers go past. Those that wait behind count to the limit too:
    thousands of them behind one held event must not make one transaction of thousands of updates. Of each lane up to
    `page` rows are read at once, fewer where there are many lanes.
    """
    ready: list[int] = []
    behind: dict[int, int] = {}
    held: dict[tuple[str, str], int] = {}
    after = dict.fromkeys(lanes, 0)
    page = min(page, _LEAST_PAGE + 2 * limit // max(1, len(after)))
    while after and len(ready) + len(behind) < limit:
        rows = _waiting.read(connection, after, page)
        for lane, id_, account, subject_, due_ms in sorted(rows, key=lambda row: row.id):
            after[lane] = id_
            subject = (account, subject_)
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
    return Waiting(ready, behind)


def load(connection: Connection, ids: Collection[int]) -> list[StoredEvent]:
    """Return these events in the order of arrival."""
    return [StoredEvent(*row) for row in connection.execute(_load, {"b_ids": list(ids)}).all()]


def mark_processed(connection: Connection, ids: Sequence[int], now_ms: int) -> int:
    """Note that every mapping has had its say on these events; return how many of them were waiting for it."""
    return _processed.run(connection, [(id_, now_ms) for id_ in ids])


def hold(connection: Connection, holds: Mapping[int, tuple[int, str, str]]) -> None:
    """Put these events off until a time each, with a code and the reason in words."""
    _hold.run(connection, [(id_, *until_and_why) for id_, until_and_why in holds.items()])


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


@dataclass(frozen=True, slots=True)
class Refusal:
    """One reason for which the door refused what was posted for an account."""

    account: str
    """Empty where the URL named no account of ours."""
    code: str
    last_ms: int
    times: int
    """How often it was noted; the door notes the same reason once in a few seconds at most."""


NEW_TOKEN, OLD_TOKEN = "door.new_token", "door.old_token"
"""Noted beside the refusals while two tokens are valid: which of them an event came with."""


def record_refusal(connection: Connection, account: str, code: str, now_ms: int) -> None:
    """Note that the door refused something for this reason."""
    columns = refusals.c
    changed = connection.execute(
        update(refusals)
        .where(columns.account == account, columns.code == code)
        .values(last_ms=now_ms, times=columns.times + 1)
    ).rowcount
    if not changed:
        connection.execute(insert(refusals).values(account=account, code=code, last_ms=now_ms, times=1))


def refusals_since(connection: Connection, account: str, since_ms: int) -> list[Refusal]:
    """Return why the door refused something for the account, or for none of ours, since then; newest first."""
    columns = refusals.c
    query = (
        select(columns.account, columns.code, columns.last_ms, columns.times)
        .where(columns.account.in_([account, ""]), columns.last_ms >= since_ms)
        .where(columns.code.not_in([NEW_TOKEN, OLD_TOKEN]))
        .order_by(columns.last_ms.desc())
    )
    return [Refusal(**row) for row in connection.execute(query).mappings()]


def tokens_used(connection: Connection, account: str) -> tuple[int | None, int | None]:
    """Return when an event last came with the new token and with the old one, as far as it was noted."""
    columns = refusals.c
    query = select(columns.code, columns.last_ms).where(
        columns.account == account, columns.code.in_([NEW_TOKEN, OLD_TOKEN])
    )
    found = {row.code: int(row.last_ms) for row in connection.execute(query)}
    return found.get(NEW_TOKEN), found.get(OLD_TOKEN)
