"""What the journal knows of charges: every kept event of each, and what became of its deliveries. Changes nothing."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass

from sqlalchemy import Connection, select

from bridge.journal.schema import deliveries, events
from bridge.model import DeliveryState, EventState


@dataclass(frozen=True, slots=True)
class KeptCharge:
    """One event about a charge."""

    event_id: int
    name: str
    created: str
    body: str
    received_ms: int
    waits: bool
    """Whether the mappings have not had their say yet."""
    states: tuple[DeliveryState, ...]
    """How far its deliveries have come: the newest one of each mapping."""


def kept_of(connection: Connection, account: str, charge_ids: Collection[str]) -> dict[str, list[KeptCharge]]:
    """Return the account's events about each of these charges, in the order of arrival."""
    about = (events.c.object_id.in_(charge_ids), events.c.account == account, events.c.entity == "payment")
    newest: dict[int, dict[str, DeliveryState]] = {}
    made = (
        select(deliveries.c.event_id, deliveries.c.mapping, deliveries.c.state)
        .join(events, events.c.id == deliveries.c.event_id)
        .where(*about)
        .order_by(deliveries.c.replay)
    )
    for row in connection.execute(made):
        newest.setdefault(row.event_id, {})[row.mapping] = DeliveryState(row.state)
    found: dict[str, list[KeptCharge]] = {}
    for row in connection.execute(select(events).where(*about).order_by(events.c.id)):
        found.setdefault(row.object_id, []).append(
            KeptCharge(
                row.id,
                row.name,
                row.created,
                row.body,
                row.received_ms,
                row.state == EventState.RECEIVED,
                tuple(newest.get(row.id, {}).values()),
            )
        )
    return found
