"""What the morning summary says of a day: the charges that were delivered, what waits now, and mappings without use."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass, field
from decimal import Decimal, InvalidOperation

from sqlalchemy import Connection, func, select

from bridge.journal import statistics
from bridge.journal.schema import OPEN, WAITS, attempts, deliveries, events
from bridge.journal.statistics import BRASILIA_MS, DAY_MS, RECEIVED
from bridge.model import DeliveryState, Outcome

PAGE = 500
USED_DAYS, IDLE_DAYS = 28, 7
"""A mapping that delivered in the days of the first number, and in those of the second no more, is idle."""


@dataclass(slots=True)
class Day:
    """The numbers of an account's day, and of what waits at the moment."""

    received: int = 0
    delivered: int = 0
    dead: int = 0
    charges: dict[str, Decimal] = field(default_factory=dict)
    """The value of each charge of which something was delivered."""
    waiting: int = 0
    oldest_ms: int | None = None


def day_before(now_ms: int) -> int:
    """Return the beginning of yesterday in Brasília."""
    return (now_ms + BRASILIA_MS) // DAY_MS * DAY_MS - BRASILIA_MS - DAY_MS


def numbers(connection: Connection, now_ms: int) -> dict[str, Day]:
    """Return by account the counts of yesterday and what waits now; without the charges."""
    found: dict[str, Day] = {}
    for one in statistics.last_30_days(connection, now_ms, ("account", "verdict")):
        account, verdict = one.key
        if one.start_ms == day_before(now_ms):
            day = found.setdefault(account, Day())
            if verdict == RECEIVED:
                day.received = one.number
            elif verdict == DeliveryState.DELIVERED:
                day.delivered = one.number
            elif verdict == DeliveryState.DEAD:
                day.dead = one.number
    for account, number, oldest_ms in _waiting(connection):
        day = found.setdefault(account, Day())
        day.waiting += number
        day.oldest_ms = oldest_ms if day.oldest_ms is None else min(day.oldest_ms, oldest_ms)
    return found


def _waiting(connection: Connection) -> Iterator[tuple[str, int, int]]:
    # + "": grouped by the column itself, SQLite reads all events in the order of the accounts.
    of_events = (events.c.account + "").label("of")
    of_deliveries = (deliveries.c.account + "").label("of")
    for query in (
        select(of_events, func.count(), func.min(events.c.received_ms)).where(WAITS).group_by(of_events),
        select(of_deliveries, func.count(), func.min(deliveries.c.created_ms)).where(OPEN).group_by(of_deliveries),
    ):
        yield from (tuple(row) for row in connection.execute(query))


def idle_mappings(connection: Connection, now_ms: int) -> set[str]:
    """Return the mappings that delivered nothing for a week, and something in the weeks before."""
    idle_since_ms = day_before(now_ms) - (IDLE_DAYS - 1) * DAY_MS
    used: dict[bool, set[str]] = {True: set(), False: set()}
    for one in statistics.last_30_days(connection, now_ms, ("mapping", "verdict")):
        if one.key[1] == DeliveryState.DELIVERED and one.start_ms >= idle_since_ms - USED_DAYS * DAY_MS:
            used[one.start_ms >= idle_since_ms].add(one.key[0])
    return used[False] - used[True]


def delivered_page(
    connection: Connection, start_ms: int, end_ms: int, before_id: int | None
) -> tuple[list[tuple[str, str, Decimal]], int | None]:
    """Return account, charge and value of what was delivered in that time, and the attempt before the next page.

    It goes backwards over the attempts, whose ids grow with time; a charge may come more than once, its newest first.
    """
    c = attempts.c
    query = select(c.id, c.started_ms, c.finished_ms, c.outcome, c.delivery_id).order_by(c.id.desc()).limit(PAGE)
    rows = connection.execute(query if before_id is None else query.where(c.id < before_id)).all()
    done = [
        row.delivery_id
        for row in rows
        if row.outcome == Outcome.DELIVERED.value and start_ms <= (row.finished_ms or 0) < end_ms
    ]
    about = select(events.c.id, events.c.account, events.c.object_id, events.c.body)
    about = about.join(deliveries, deliveries.c.event_id == events.c.id).where(deliveries.c.id.in_(done))
    about = about.where(events.c.entity == "payment", events.c.emptied_ms.is_(None)).order_by(events.c.id.desc())
    charges = [
        (row.account, row.object_id, value)
        for row in (connection.execute(about) if done else ())
        if (value := _value(row.body)) is not None
    ]
    is_last = len(rows) < PAGE or max(row.finished_ms or row.started_ms for row in rows) < start_ms
    return charges, None if is_last else rows[-1].id


def _value(body: str) -> Decimal | None:
    try:
        value = Decimal(str(json.loads(body)["payment"]["value"]))
    except (ValueError, TypeError, KeyError, InvalidOperation, RecursionError):
        return None
    return value if value.is_finite() else None
