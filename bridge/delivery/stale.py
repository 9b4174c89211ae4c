"""Decides whether an event is older than what was already delivered for its charge: then it must not be sent.

Asaas may deliver without order. Where an overdue notice came after the payment, sending it would move the deal back.
"""

from __future__ import annotations

from bridge.journal.owed import NewDelivery, Owed


def is_stale(owed: Owed | NewDelivery, newest: tuple[str, int] | None) -> bool:
    """Return whether a newer event of the same charge was already delivered in this line.

    Asaas stamps events in steps of one second; within a second only the order of its documented flows tells (rank 0 is
    in no flow, and never stale in a tie).
    """
    if newest is None or not owed.skip_stale or not owed.order_at:
        return False
    at, rank = newest
    return at > owed.order_at or (at == owed.order_at and 0 < owed.order_rank < rank)
