"""Destinations in the journal: the state of each circuit, shared by all workers, and pauses."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import NamedTuple

from sqlalchemy import Connection, insert, select, update

from bridge.journal import notices
from bridge.journal.lanes import lock_all
from bridge.journal.notices import Resolved
from bridge.journal.schema import HELD, deliveries, destinations


@dataclass(frozen=True, slots=True)
class Destination:
    """The row of one destination; the rules of the circuit are in `pipeline.policy`."""

    name: str
    url_digest: str = ""
    state: str = "closed"
    failures: int = 0
    failed_subject: str | None = None
    several: bool = False
    opens: int = 0
    until_ms: int = 0
    paused_ms: int | None = None
    paused_reason: str | None = None  # a `Message.to_json()`
    origin_id: str | None = None
    """The origin in Clint of its deals; set by a person, or from the first delivery whose deal was read back."""
    stage_id: str | None = None


_all = select(destinations).order_by(destinations.c.name)


def url_digest(url: str) -> str:
    """Return a hash that shows a change of a webhook URL and does not reveal the URL."""
    return hashlib.sha256(url.encode()).hexdigest()[:16]


def load(connection: Connection) -> dict[str, Destination]:
    return {row.name: Destination(*row) for row in connection.execute(_all)}


def save(connection: Connection, before: Destination, after: Destination) -> bool:
    """Write the new state of a circuit; return False where another worker changed it first."""
    c = destinations.c
    changes = {name: value for name, value in asdict(after).items() if value != getattr(before, name)}
    if not changes:
        return True
    unchanged = [c.state == before.state, c.until_ms == before.until_ms, c.opens == before.opens]
    query = update(destinations).where(c.name == after.name, *unchanged).values(**changes)
    return connection.execute(query).rowcount == 1


def register(connection: Connection, urls: Mapping[str, str], now_ms: int) -> list[str]:
    """Make a row for each destination of the settings; return those that a new URL resumed.

    A destination is paused when Clint says that its integration is gone; a new URL fixes that.
    """
    lock_all(connection)  # also puts processes that start at once in order
    known = load(connection)
    resumed = []
    for name, url in sorted(urls.items()):
        digest = url_digest(url)
        before = known.get(name)
        if before is None:
            connection.execute(insert(destinations).values(**asdict(Destination(name, digest))))
        elif before.url_digest != digest:
            # Another integration may write into another origin.
            query = update(destinations).where(destinations.c.name == name)
            connection.execute(query.values(url_digest=digest, origin_id=None, stage_id=None))
            if before.paused_ms is not None:
                resume(connection, name, now_ms)
                resumed.append(name)
    return resumed


def set_place(connection: Connection, name: str, origin_id: str | None, stage_id: str | None = None) -> bool:
    """Set the origin and stage in Clint of a destination's deals; return whether there is such a destination."""
    query = update(destinations).where(destinations.c.name == name).values(origin_id=origin_id, stage_id=stage_id)
    return connection.execute(query).rowcount == 1


def pause(connection: Connection, name: str, reason: str, now_ms: int) -> None:
    """Send nothing to a destination until it is resumed; `reason` is a `Message.to_json()`."""
    query = update(destinations).where(destinations.c.name == name, destinations.c.paused_ms.is_(None))
    connection.execute(query.values(paused_ms=now_ms, paused_reason=reason))


NOTICES = ("destination.paused", "destination.circuit_open")  # the notices that resuming a destination closes


class Resumed(NamedTuple):
    lines: int
    """How many lines waited for the destination."""
    is_probed: bool = False
    """Whether the first delivery goes alone: its answer closes the circuit, and the others follow."""


def resume(connection: Connection, name: str, now_ms: int, *, with_probe: bool = False) -> Resumed:
    """Send to a destination again: all that waits for it is due at `now_ms`.

    With `with_probe` an open circuit is closed by an answer, else at once. Deliveries that waited for a pause get all
    their attempts again: a removed integration was not the fault of their payloads.
    """
    lock_all(connection)
    before = load(connection).get(name, Destination(name))
    c = deliveries.c
    held = update(deliveries).where(c.destination == name, HELD, c.due_ms.is_not(None))
    connection.execute(held.values(forgiven=c.attempts))
    waiting = update(deliveries).where(c.destination == name, c.due_ms.is_not(None), c.waiting.is_not(None))
    lines = connection.execute(waiting.values(due_ms=now_ms, waiting=None)).rowcount
    is_probed = with_probe and lines > 0 and before.paused_ms is None and before.state != "closed"
    closed = {"state": "closed", "failures": 0, "failed_subject": None, "several": False, "opens": 0, "until_ms": 0}
    circuit = {"state": "open", "until_ms": now_ms} if is_probed else closed
    query = update(destinations).where(destinations.c.name == name)
    connection.execute(query.values(**circuit, paused_ms=None, paused_reason=None))
    over = NOTICES[:1] if is_probed else NOTICES
    notices.apply(connection, [Resolved(code, name) for code in over], now_ms)
    return Resumed(lines, is_probed)
