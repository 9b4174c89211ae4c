"""What became of deliveries lately, by mapping: a range of the newest rows, found without an index on times."""

from __future__ import annotations

from sqlalchemy import Connection, func, select

from bridge.journal.schema import deliveries


def first_since(connection: Connection, since_ms: int) -> int:
    """Return the number of the first delivery that was made since then; one more than the last where there is none.

    Numbers grow with time, so it is found by halving: some twenty looks at the primary key, however many rows.
    """
    low = connection.scalar(select(func.min(deliveries.c.id))) or 1
    high = (connection.scalar(select(func.max(deliveries.c.id))) or 0) + 1
    while low < high:
        middle = (low + high) // 2
        row = connection.execute(
            select(deliveries.c.id, deliveries.c.created_ms)
            .where(deliveries.c.id >= middle)
            .order_by(deliveries.c.id)
            .limit(1)
        ).first()
        if row is None or row.created_ms >= since_ms:
            high = middle
        else:
            low = row.id + 1
    return low


def by_mapping(connection: Connection, since_ms: int) -> dict[str, dict[str, int]]:
    """Return for each mapping how many deliveries that were made since then stand in each state."""
    query = (
        select(deliveries.c.mapping, deliveries.c.state, func.count())
        .where(deliveries.c.id >= first_since(connection, since_ms))
        .group_by(deliveries.c.mapping, deliveries.c.state)
    )
    found: dict[str, dict[str, int]] = {}
    for mapping, state, number in connection.execute(query):
        found.setdefault(mapping, {})[state] = number
    return found
