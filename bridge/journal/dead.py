"""Deliveries that need a person, in groups that have one cause, and one group piece by piece.

All of it reads the partial index of dead deliveries, which is as long as what there is to mend.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass

from sqlalchemy import ColumnElement, Connection, TextClause, exists, func, select

from bridge.journal import notices
from bridge.journal.notices import Mended
from bridge.journal.schema import DEAD, WAITS, deliveries, events


@dataclass(frozen=True, slots=True)
class Chosen:
    """Dead deliveries with one reason, of one mapping, to one destination; an empty text chooses all."""

    code: str = ""
    mapping: str = ""
    destination: str = ""
    until_ms: int | None = None
    """Only those that were dead then: what dies again while many are retried is not tried for ever."""
    with_payload: bool = False
    """Only those whose payload could be made and is still kept: no other can be retried."""
    with_body: bool = False
    """Only those whose event still has its body: no other can be replayed."""
    of: Collection[str] | None = None
    """Only those of these mappings."""


@dataclass(frozen=True, slots=True)
class Group:
    """Dead deliveries that one thing mends."""

    code: str
    mapping: str
    destination: str
    number: int
    with_payload: int
    with_body: int
    oldest_ms: int
    newest_ms: int


@dataclass(frozen=True, slots=True)
class Dead:
    """One of them."""

    id: int
    event_id: int
    mapping: str


@dataclass(frozen=True, slots=True)
class Held:
    """Events that wait for one reason before any mapping has seen them."""

    code: str
    account: str
    number: int
    oldest_ms: int


NOTICE = "delivery.dead"


def close_notice(connection: Connection, destination: str, now_ms: int) -> None:
    """Close a destination's notice of dead deliveries where it has none any more."""
    left = select(deliveries.c.id).where(deliveries.c.destination == destination, DEAD).limit(1)
    if connection.scalar(left) is None:
        notices.apply(connection, [Mended(NOTICE, destination)], now_ms)


def groups(connection: Connection) -> list[Group]:
    """Return the groups, the largest first."""
    c = deliveries.c
    keys = (func.coalesce(c.reason_code, ""), c.mapping, c.destination)
    ended = func.coalesce(c.finished_ms, c.created_ms)
    bodies = func.count().filter(events.c.emptied_ms.is_(None))
    query = (
        select(*keys, func.count(), func.count(c.payload), bodies, func.min(ended), func.max(ended))
        .join(events, events.c.id == c.event_id)
        .where(DEAD)
        .group_by(*keys)
        .order_by(func.count().desc(), *keys)
    )
    return [Group(*row) for row in connection.execute(query)]


def count(connection: Connection, chosen: Chosen) -> int:
    """Return how many there are."""
    return connection.scalar(select(func.count()).select_from(deliveries).where(*_conditions(chosen))) or 0


def some(connection: Connection, chosen: Chosen, after_id: int, limit: int) -> Sequence[Dead]:
    """Return the next ones after a number, oldest first, so that what is done to them keeps the order."""
    c = deliveries.c
    query = select(c.id, c.event_id, c.mapping).where(*_conditions(chosen), c.id > after_id).order_by(c.id).limit(limit)
    return [Dead(*row) for row in connection.execute(query)]


def of_event(connection: Connection, event_id: int, mapping: str | None) -> list[int]:
    """Return the numbers of an event's dead deliveries, of one mapping where it is named."""
    query = select(deliveries.c.id).where(deliveries.c.event_id == event_id, DEAD)
    if mapping is not None:
        query = query.where(deliveries.c.mapping == mapping)
    return list(connection.scalars(query.order_by(deliveries.c.id)))


def held(connection: Connection) -> list[Held]:
    """Return why events are on hold, those behind another of their customer left out."""
    c = events.c
    query = (
        select(c.hold_code, c.account, func.count(), func.min(c.received_ms))
        .where(WAITS, c.hold_code.is_not(None), c.hold_code != "event.behind")
        .group_by(c.hold_code, c.account)
        .order_by(func.count().desc(), c.hold_code, c.account)
    )
    return [Held(*row) for row in connection.execute(query)]


def _conditions(chosen: Chosen) -> list[ColumnElement[bool] | TextClause]:
    c = deliveries.c
    found: list[ColumnElement[bool] | TextClause] = [DEAD]
    if chosen.code:
        found.append(c.reason_code == chosen.code)
    if chosen.mapping:
        found.append(c.mapping == chosen.mapping)
    if chosen.destination:
        found.append(c.destination == chosen.destination)
    if chosen.with_payload:
        found.append(c.payload.is_not(None))
    if chosen.with_body:
        found.append(exists().where(events.c.id == c.event_id, events.c.emptied_ms.is_(None)))
    if chosen.of is not None:
        found.append(c.mapping.in_(chosen.of))
    if chosen.until_ms is not None:
        found.append(func.coalesce(c.finished_ms, c.created_ms) <= chosen.until_ms)
    return found
