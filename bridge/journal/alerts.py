"""What people were told: a row for each problem that lasts, until its end was told."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import asdict, dataclass

from sqlalchemy import Connection, delete, insert, select

from bridge.journal.schema_alerts import alerts


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


_columns = [alerts.c[name] for name in Alert.__slots__]


def load(connection: Connection) -> dict[tuple[str, str], Alert]:
    """Return every problem by its code and what it is about."""
    rows = [Alert(*row) for row in connection.execute(select(*_columns))]
    return {(alert.code, alert.about): alert for alert in rows}


def save(connection: Connection, keep: Iterable[Alert], drop: Iterable[Alert] = ()) -> None:
    """Remember these and forget those."""
    kept = list(keep)
    for alert in (*kept, *drop):
        connection.execute(delete(alerts).where(alerts.c.code == alert.code, alerts.c.about == alert.about))
    if kept:
        connection.execute(insert(alerts), [asdict(alert) for alert in kept])
