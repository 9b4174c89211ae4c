"""Notices, and the alerts that are sent about them.

At most one notice of a code about one thing is open; raising it again counts and updates its text.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable
from dataclasses import asdict, dataclass
from typing import TypeAlias

from sqlalchemy import Connection, delete, exists, insert, select, text, update

from bridge.journal.schema import NOTICE_OPEN, alerts, events, notices
from bridge.messages import Message
from bridge.model import NoticeLevel


@dataclass(frozen=True, slots=True)
class Notice:
    """A problem for the operator: `detail` describes it, `mend` says how to fix it."""

    code: str
    about: str
    level: NoticeLevel
    detail: Message
    mend: Message


@dataclass(frozen=True, slots=True)
class StoredNotice:
    """A row of `notices`. `detail` and `mend` hold `Message.to_json()`, or a sentence of an older version."""

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
    """The end of a problem; it closes the notice."""

    code: str
    about: str


_raise = text(
    "INSERT INTO notices (code, about, level, detail, mend, raised_ms, last_ms, times)"
    " VALUES (:code, :about, :level, :detail, :mend, :now_ms, :now_ms, 1)"
    " ON CONFLICT (code, about) WHERE closed_ms IS NULL DO UPDATE SET level = excluded.level, detail = excluded.detail,"
    " mend = excluded.mend, last_ms = excluded.last_ms, times = notices.times + 1 RETURNING times"
)


def apply(connection: Connection, changes: Iterable[Notice | Resolved], now_ms: int) -> list[Notice | Resolved]:
    """Raise and close notices; return those that are new or were closed now. Changes of one notice are applied in the
    given order."""
    # In one order of rows, which prevents deadlocks of two batches.
    ordered = sorted(changes, key=lambda one: (one.code, one.about))
    return [one for one in ordered if _apply(connection, one, now_ms)]


def _apply(connection: Connection, change: Notice | Resolved, now_ms: int) -> bool:
    if isinstance(change, Resolved):
        query = update(notices).where(notices.c.code == change.code, notices.c.about == change.about, NOTICE_OPEN)
        return connection.execute(query.values(closed_ms=now_ms)).rowcount > 0
    values: dict[str, object] = {"code": change.code, "about": change.about, "level": change.level.value}
    values |= {"detail": change.detail.to_json(), "mend": change.mend.to_json(), "now_ms": now_ms}
    return bool(connection.execute(_raise, values).scalar_one() == 1)


def close(connection: Connection, id_: int, now_ms: int) -> bool:
    query = update(notices).where(notices.c.id == id_, NOTICE_OPEN).values(closed_ms=now_ms)
    return connection.execute(query).rowcount > 0


_CLOSED_BY_EVENTS = (
    *("webhook.missing", "webhook.disabled", "webhook.interrupted", "webhook.retention", "webhook.token"),
    "account.silent",
)


def close_heard(connection: Connection, event_ids: Collection[int], now_ms: int) -> list[Resolved]:
    """Close the notices of silence that these events disprove: one was posted after the notice was last raised."""
    c = events.c
    is_later = (c.account == notices.c.about) & (c.received_ms > notices.c.last_ms)
    posted = exists().where(c.id.in_(list(event_ids)), is_later, c.origin == "webhook", c.replay == 0)
    query = update(notices).where(NOTICE_OPEN, notices.c.code.in_(_CLOSED_BY_EVENTS), posted).values(closed_ms=now_ms)
    return [Resolved(*row) for row in connection.execute(query.returning(notices.c.code, notices.c.about))]


def open_notices(connection: Connection, codes: Collection[str] = (), about: str | None = None) -> list[StoredNotice]:
    """Return the open notices (of these codes, about this thing), oldest first."""
    query = select(notices).where(NOTICE_OPEN).order_by(notices.c.id)
    if codes:
        query = query.where(notices.c.code.in_(list(codes)))
    if about is not None:
        query = query.where(notices.c.about == about)
    return [StoredNotice(*row) for row in connection.execute(query)]


def newest(connection: Connection, limit: int) -> list[StoredNotice]:
    query = select(notices).order_by(notices.c.id.desc()).limit(limit)
    return [StoredNotice(*row) for row in connection.execute(query)]


@dataclass(frozen=True, slots=True)
class Alert:
    """A problem and the alerts sent about it to one receiver; `detail` is a `Message.to_json()`."""

    code: str
    about: str
    level: str
    detail: str
    mend: str
    since_ms: int
    due_ms: int  # time of the next alert; while one is being sent, time from which another process may send it
    times: int = 0  # alerts sent
    told_ms: int | None = None
    over_ms: int | None = None  # end of the problem, where no alert has said so yet
    failures: int = 0  # alerts in a row that could not be sent
    told_size: int = 0  # how many things, such as dead deliveries, the last alert spoke of
    receiver: int = 0


Key: TypeAlias = tuple[str, str]
"""Code and thing of a notice or an alert."""


def load(connection: Connection) -> dict[int, dict[Key, Alert]]:
    """Return the alerts by receiver."""
    found: dict[int, dict[Key, Alert]] = {}
    for row in connection.execute(select(alerts)).mappings():
        alert = Alert(**row)
        found.setdefault(alert.receiver, {})[alert.code, alert.about] = alert
    return found


def save(connection: Connection, keep: Iterable[Alert], drop: Iterable[Alert] = ()) -> None:
    rows = list(keep)
    c = alerts.c
    for alert in (*rows, *drop):
        same = (c.receiver == alert.receiver, c.code == alert.code, c.about == alert.about)
        connection.execute(delete(alerts).where(*same))
    if rows:
        connection.execute(insert(alerts), [asdict(alert) for alert in rows])


def forget(connection: Connection, receivers: Collection[int]) -> None:
    """Remove the alerts of these receivers."""
    connection.execute(delete(alerts).where(alerts.c.receiver.in_(list(receivers))))
