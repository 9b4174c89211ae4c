"""Destinations in the journal: the state of each circuit, shared by all workers, and whether a person must act."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from sqlalchemy import Connection, insert, select, update

from bridge.journal import notices
from bridge.journal.lanes import lock_all
from bridge.journal.notices import Resolved
from bridge.journal.schema import HELD, deliveries, destinations


@dataclass(frozen=True, slots=True)
class Destination:
    """What is known of one destination; the circuit's rules are in `delivery.circuit`."""

    name: str
    url_digest: str = ""
    state: str = "closed"
    failures: int = 0
    failed_subject: str | None = None
    several: bool = False
    opens: int = 0
    until_ms: int = 0
    paused_ms: int | None = None
    paused_reason: str | None = None
    origin_id: str | None = None
    """The origin in Clint whose deals it writes; learned from the first delivery whose deal was seen, or set."""
    stage_id: str | None = None


_all = select(*(destinations.c[name] for name in Destination.__slots__)).order_by(destinations.c.name)


def url_digest(url: str) -> str:
    """Return what the journal keeps of a webhook URL: enough to see a change, not enough to use it."""
    return hashlib.sha256(url.encode()).hexdigest()[:16]


def load(connection: Connection) -> dict[str, Destination]:
    """Return all destinations by name; the environment names them, so they are few."""
    return {row.name: Destination(*row) for row in connection.execute(_all)}


def save(connection: Connection, before: Destination, after: Destination) -> bool:
    """Write a circuit's new state; return False where another worker changed it first."""
    c = destinations.c
    changed = {
        name: getattr(after, name)
        for name in Destination.__slots__
        if name != "name" and getattr(after, name) != getattr(before, name)
    }
    if not changed:
        return True
    unchanged = [c.state == before.state, c.until_ms == before.until_ms, c.opens == before.opens]
    return (
        connection.execute(update(destinations).where(c.name == after.name, *unchanged).values(**changed)).rowcount == 1
    )


def register(connection: Connection, urls: Mapping[str, str], now_ms: int) -> list[str]:
    """Make a row for each destination of the environment; return those that a new URL resumed.

    A destination is paused when Clint says that its integration is gone. A new URL is the mend, so that resumes it.
    """
    lock_all(connection)  # also lets one process at a time look, of several that start at once
    known = load(connection)
    resumed = []
    for name, url in sorted(urls.items()):
        digest = url_digest(url)
        before = known.get(name)
        if before is None:
            fresh: dict[str, Any] = {field: getattr(Destination(name), field) for field in Destination.__slots__}
            connection.execute(insert(destinations), {**fresh, "url_digest": digest})
        elif before.url_digest != digest:
            # Another integration may write into another origin.
            fresh_place = {"url_digest": digest, "origin_id": None, "stage_id": None}
            connection.execute(update(destinations).where(destinations.c.name == name).values(**fresh_place))
            if before.paused_ms is not None:
                resume(connection, name, now_ms)
                resumed.append(name)
    return resumed


def set_place(connection: Connection, name: str, origin_id: str | None, stage_id: str | None = None) -> bool:
    """Write down where in Clint a destination's deals stand; return whether there is such a destination."""
    query = update(destinations).where(destinations.c.name == name).values(origin_id=origin_id, stage_id=stage_id)
    return connection.execute(query).rowcount == 1


def pause(connection: Connection, name: str, reason: str, now_ms: int) -> None:
    """Stop sending to a destination until it is resumed; its work waits."""
    connection.execute(
        update(destinations)
        .where(destinations.c.name == name, destinations.c.paused_ms.is_(None))
        .values(paused_ms=now_ms, paused_reason=reason)
    )


NOTICES = ("destination.paused", "destination.circuit_open")
"""What is said of a destination that takes nothing."""


def resume(connection: Connection, name: str, now_ms: int) -> int:
    """Send to a destination again, with a closed circuit; return how many lines were waiting for it.

    What waited has all its tries again: those that a removed integration refused were not the payload's fault.
    """
    lock_all(connection)
    connection.execute(
        update(destinations)
        .where(destinations.c.name == name)
        .values(
            paused_ms=None,
            paused_reason=None,
            state="closed",
            failures=0,
            failed_subject=None,
            several=False,
            opens=0,
            until_ms=0,
        )
    )
    notices.apply(connection, [Resolved(code, name) for code in NOTICES], now_ms)
    return connection.execute(
        update(deliveries)
        .where(
            deliveries.c.destination == name,
            HELD,
            deliveries.c.due_ms.is_not(None),
        )
        .values(due_ms=now_ms, waiting=None, forgiven=deliveries.c.attempts)
    ).rowcount
