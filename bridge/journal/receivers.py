"""The receivers of alerts: a person or a group each, with the address and the choice of what is sent there.

Row 0 stands for BRIDGE_ALERT_URLS, which the environment holds; it has no address here, only how its messages fared.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from sqlalchemy import Connection, delete, insert, select, update

from bridge.journal import notices
from bridge.journal.schema import alert_receivers
from bridge.model import NoticeLevel

ENVIRONMENT = 0
ENVIRONMENT_NAME = "BRIDGE_ALERT_URLS"


@dataclass(frozen=True, slots=True)
class Receiver:
    id: int
    name: str
    url: str | None = field(default=None, repr=False)
    areas: tuple[str, ...] = ()
    """Empty: all."""
    accounts: tuple[str, ...] = ()
    """Empty: all."""
    level: str = NoticeLevel.WARNING.value
    """The least one."""
    summary_ms: int | None = None
    """When the next morning summary is due; None: none is wanted."""
    created_ms: int = 0
    changed_ms: int = 0
    sent_ms: int | None = None
    """When the last message arrived."""
    failing_ms: int | None = None
    """Since when no message arrives."""
    problem: str | None = None
    """Why the last one did not, as a message id."""

    @property
    def is_environment(self) -> bool:
        return self.id == ENVIRONMENT

    @property
    def service(self) -> str:
        """The scheme of the address, such as slack; the rest of it is secret."""
        return (self.url or "").split("://", 1)[0]


_CHOICES = ("areas", "accounts")


def load(connection: Connection) -> list[Receiver]:
    """Return the receivers by name; that of the environment only where a message was sent to it."""
    rows = connection.execute(select(alert_receivers).order_by(alert_receivers.c.name)).mappings()
    return [Receiver(**{**row, **{name: tuple(row[name].split()) for name in _CHOICES}}) for row in rows]


def find(connection: Connection, name: str) -> Receiver | None:
    return next((one for one in load(connection) if one.name == name), None)


def put(connection: Connection, id_: int | None, now_ms: int, **values: Any) -> int:
    """Add a receiver, or change that of this id; return the id. `values` are columns."""
    values = {name: " ".join(value) if name in _CHOICES else value for name, value in values.items()}
    if id_ is None:
        row = insert(alert_receivers).values(**values, created_ms=now_ms, changed_ms=now_ms)
        return int(connection.execute(row.returning(alert_receivers.c.id)).scalar_one())
    change = update(alert_receivers).where(alert_receivers.c.id == id_).values(**values, changed_ms=now_ms)
    connection.execute(change)
    return id_


def remove(connection: Connection, id_: int) -> bool:
    notices.forget(connection, [id_])
    return connection.execute(delete(alert_receivers).where(alert_receivers.c.id == id_)).rowcount > 0


def record(connection: Connection, id_: int, now_ms: int, problem: str) -> None:
    """Write how a message to the receiver fared; an empty problem: it arrived."""
    c = alert_receivers.c
    fared: dict[str, Any] = {"sent_ms": now_ms, "failing_ms": None, "problem": None}
    if problem:
        since_ms = connection.scalar(select(c.failing_ms).where(c.id == id_))
        fared = {"failing_ms": now_ms if since_ms is None else since_ms, "problem": problem}
    done = connection.execute(update(alert_receivers).where(c.id == id_).values(**fared)).rowcount
    if not done and id_ == ENVIRONMENT:
        row = {"id": id_, "name": ENVIRONMENT_NAME, "areas": "", "accounts": "", "level": NoticeLevel.WARNING.value}
        connection.execute(insert(alert_receivers).values(**row, created_ms=now_ms, changed_ms=now_ms, **fared))


def move_summary(connection: Connection, receiver: Receiver, due_ms: int) -> bool:
    """Set when the next summary is due; return False where another process or a person changed it first."""
    c = alert_receivers.c
    query = update(alert_receivers).where(c.id == receiver.id, c.summary_ms == receiver.summary_ms)
    return connection.execute(query.values(summary_ms=due_ms)).rowcount == 1
