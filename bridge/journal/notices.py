"""Notices in the journal: what the operator must know, raised once and closed when it is mended.

Of one code about one thing at most one notice is open; saying it again counts and brings its words up to date.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING

from sqlalchemy import Connection, Executable, delete, func, insert, select, text, update

from bridge.journal.schema import UNMENDED, alerts, events, notices
from bridge.journal.statements import Upsert
from bridge.model import NoticeLevel

if TYPE_CHECKING:
    from bridge.journal.statements import Insert


@dataclass(frozen=True, slots=True)
class Notice:
    """One thing to say."""

    code: str
    about: str
    level: NoticeLevel
    detail: str
    mend: str


@dataclass(frozen=True, slots=True)
class StoredNotice:
    """One thing that was said, as the journal has it."""

    id: int
    code: str
    about: str
    level: str
    detail: str
    mend: str
    raised_ms: int
    last_ms: int
    times: int
    closed_ms: int | None


@dataclass(frozen=True, slots=True)
class Resolved:
    """Says that what was noticed is over."""

    code: str
    about: str


def _again(insert: Insert) -> Executable:
    fresh = insert.excluded
    return insert.on_conflict_do_update(
        index_elements=[notices.c.code, notices.c.about],
        index_where=text("closed_ms IS NULL"),
        set_={
            "level": fresh.level,
            "detail": fresh.detail,
            "mend": fresh.mend,
            "last_ms": fresh.last_ms,
            "times": notices.c.times + 1,
        },
    ).returning(notices.c.times)


_RAISE = Upsert(notices, _again)
_columns = [notices.c[name] for name in StoredNotice.__slots__]


def apply(connection: Connection, said: Iterable[Notice | Resolved], now_ms: int) -> list[Notice | Resolved]:
    """Raise and close notices, those about one thing in the order given; return which were new, and which are over."""
    # Always in one order of rows, or two batches could wait for each other's.
    ordered = sorted(said, key=lambda one: (one.code, one.about))
    return [one for one in ordered if _changes(connection, one, now_ms)]


def _changes(connection: Connection, said: Notice | Resolved, now_ms: int) -> bool:
    if isinstance(said, Resolved):
        query = update(notices).where(notices.c.code == said.code, notices.c.about == said.about, UNMENDED)
        return connection.execute(query.values(closed_ms=now_ms)).rowcount > 0
    times = connection.execute(
        _RAISE.rows(connection),
        {**asdict(said), "level": said.level.value, "raised_ms": now_ms, "last_ms": now_ms, "times": 1},
    ).scalar_one()
    return bool(times == 1)


def close(connection: Connection, id_: int, now_ms: int) -> bool:
    """Close one notice by its number; return whether it was open."""
    return (
        connection.execute(update(notices).where(notices.c.id == id_, UNMENDED).values(closed_ms=now_ms)).rowcount > 0
    )


HEARD = (
    "webhook.missing",
    "webhook.disabled",
    "webhook.interrupted",
    "webhook.retention",
    "webhook.token",
    "account.silent",
)
"""What is disproved by an event that Asaas posts later."""


def close_heard(connection: Connection, event_ids: Collection[int], now_ms: int) -> list[Resolved]:
    """Close what these events disprove, posted after it was last said; a replay or a backfill disproves nothing."""
    posted = (
        select(events.c.id)
        .where(
            events.c.id.in_(list(event_ids)),
            events.c.account == notices.c.about,
            events.c.origin == "webhook",
            events.c.replay == 0,
            events.c.received_ms > notices.c.last_ms,
        )
        .exists()
    )
    query = update(notices).where(UNMENDED, notices.c.code.in_(HEARD), posted).values(closed_ms=now_ms)
    return [Resolved(*row) for row in connection.execute(query.returning(notices.c.code, notices.c.about))]


def open_notices(connection: Connection, codes: Collection[str] = (), about: str | None = None) -> list[StoredNotice]:
    """Return the open notices, of these codes and about this where they are given, oldest first."""
    query = select(*_columns).where(UNMENDED).order_by(notices.c.id)
    if codes:
        query = query.where(notices.c.code.in_(list(codes)))
    if about is not None:
        query = query.where(notices.c.about == about)
    return [StoredNotice(*row) for row in connection.execute(query)]


def newest(connection: Connection, limit: int) -> list[StoredNotice]:
    """Return open and closed notices, newest first."""
    return [
        StoredNotice(*row) for row in connection.execute(select(*_columns).order_by(notices.c.id.desc()).limit(limit))
    ]


def counts(connection: Connection) -> dict[str, int]:
    """Return how many notices of each level are open."""
    found = {level.value: 0 for level in NoticeLevel}
    query = select(notices.c.level, func.count().label("number")).where(UNMENDED).group_by(notices.c.level)
    return {**found, **{row.level: row.number for row in connection.execute(query)}}


@dataclass(frozen=True, slots=True)
class Alert:
    """One problem, and how often people were told of it."""

    code: str
    about: str
    level: str
    detail: str
    mend: str
    since_ms: int
    due_ms: int
    """When to tell it, again or for the first time; while it is being sent, when another may try."""
    times: int = 0
    """How often it was told."""
    told_ms: int | None = None
    over_ms: int | None = None
    """Since when it is over, where that was not told yet."""
    failures: int = 0
    """How often in a row it could not be told."""


_alert_columns = [alerts.c[name] for name in Alert.__slots__]


def load(connection: Connection) -> dict[tuple[str, str], Alert]:
    """Return every problem by its code and what it is about."""
    rows = [Alert(*row) for row in connection.execute(select(*_alert_columns))]
    return {(alert.code, alert.about): alert for alert in rows}


def save(connection: Connection, keep: Iterable[Alert], drop: Iterable[Alert] = ()) -> None:
    """Remember these and forget those."""
    kept = list(keep)
    for alert in (*kept, *drop):
        connection.execute(delete(alerts).where(alerts.c.code == alert.code, alerts.c.about == alert.about))
    if kept:
        connection.execute(insert(alerts), [asdict(alert) for alert in kept])
