"""Makes the event that Asaas would have posted about a charge that the journal does not know as the API has it; pure.

Its key follows from the charge, its standing and the last event that was kept, so that the same gap always makes the
same event and it is kept once. Its time is the latest moment at which the API's standing can have come about: what
Asaas may still post about the time before is then older, and does not move a deal back.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

from bridge.asaas.webhook import parse_event
from bridge.mapping.dates import BRASILIA, as_moment
from bridge.mapping.values import Unreadable
from bridge.model import IncomingEvent, Origin
from bridge.recovery.comparison import Compared

NAMES: Mapping[str, str] = {
    "PENDING": "PAYMENT_CREATED",
    "AWAITING_RISK_ANALYSIS": "PAYMENT_AWAITING_RISK_ANALYSIS",
    "AUTHORIZED": "PAYMENT_AUTHORIZED",
    "CONFIRMED": "PAYMENT_CONFIRMED",
    "RECEIVED": "PAYMENT_RECEIVED",
    "RECEIVED_IN_CASH": "PAYMENT_RECEIVED",  # as a recorded body has it
    "OVERDUE": "PAYMENT_OVERDUE",
    "DUNNING_REQUESTED": "PAYMENT_DUNNING_REQUESTED",
    "DUNNING_RECEIVED": "PAYMENT_DUNNING_RECEIVED",
    "REFUND_IN_PROGRESS": "PAYMENT_REFUND_IN_PROGRESS",
    "REFUNDED": "PAYMENT_REFUNDED",
    "CHARGEBACK_REQUESTED": "PAYMENT_CHARGEBACK_REQUESTED",
    "CHARGEBACK_DISPUTE": "PAYMENT_CHARGEBACK_DISPUTE",
    "AWAITING_CHARGEBACK_REVERSAL": "PAYMENT_AWAITING_CHARGEBACK_REVERSAL",
    "DELETED": "PAYMENT_DELETED",
}
"""The event by which a charge comes into each status, by Asaas's documented flows."""

_BACK_TO_OPEN = {"RECEIVED_IN_CASH": "PAYMENT_RECEIVED_IN_CASH_UNDONE", "DELETED": "PAYMENT_RESTORED"}
_PAID = ("paymentDate", "clientPaymentDate", "confirmedDate")
_DAYS: Mapping[str, tuple[str, ...]] = {
    "CONFIRMED": ("confirmedDate", "clientPaymentDate"),
    "RECEIVED": _PAID,
    "RECEIVED_IN_CASH": _PAID,
}
"""The fields that hold the day on which a charge came into a status. Where none does, it is the day of the asking."""


def made_events(compared: Compared, account: str, asked_ms: int) -> list[IncomingEvent]:
    """Return what Asaas would have posted, in order; nothing where no flow names the charge's status."""
    main = _name(compared)
    if main is None:
        return []
    status, refunded = compared.standing.status, compared.standing.refunded
    names = {}
    # The paid part of a partly refunded charge is told first, unless the journal knows it.
    if compared.known is None or compared.known.status != status or not refunded:
        names[status] = main
    if refunded:
        names[f"PARTIALLY_REFUNDED-{refunded:.2f}"] = "PAYMENT_PARTIALLY_REFUNDED"
    after = f":after-{compared.newest.event_id}" if compared.newest else ""
    created = _created(compared, asked_ms)
    return [
        _event(account, name, f"backfill:{compared.charge['id']}:{what}{after}", created, compared.charge, asked_ms)
        for what, name in names.items()
    ]


def _event(account: str, name: str, key: str, created: str, charge: Mapping[str, Any], asked_ms: int) -> IncomingEvent:
    envelope = {"id": key, "event": name, "dateCreated": created, "payment": charge}
    body = json.dumps(envelope).encode()
    return replace(parse_event(account, body, asked_ms), origin=Origin.BACKFILL)


def _name(compared: Compared) -> str | None:
    status = compared.standing.status
    if compared.known is not None and compared.known.status != status:
        if status in {"PENDING", "OVERDUE"} and compared.known.status in _BACK_TO_OPEN:
            return _BACK_TO_OPEN[compared.known.status]
        if status == "PENDING":
            return "PAYMENT_UPDATED"  # such as a new due day for an overdue charge
    return NAMES.get(status)


def _created(compared: Compared, asked_ms: int) -> str:
    asked = datetime.fromtimestamp(asked_ms / 1000, UTC).astimezone(BRASILIA)
    moment = min(_day(compared, asked).replace(hour=23, minute=59, second=59), asked)
    if compared.newest is not None:
        with suppress(Unreadable):  # the last event did not say when
            moment = max(moment, as_moment(compared.newest.created) + timedelta(seconds=1))
    return moment.strftime("%Y-%m-%d %H:%M:%S")


def _day(compared: Compared, asked: datetime) -> datetime:
    charge, status = compared.charge, compared.standing.status
    found: list[Any] = [charge.get(field) for field in _DAYS.get(status, ())]
    if status == "PENDING" and compared.known is None:
        found = [charge.get("dateCreated")]
    elif compared.standing.refunded or status == "REFUNDED":
        refunds = [refund for refund in charge.get("refunds") or () if isinstance(refund, dict)]
        found = sorted((str(refund.get("dateCreated") or "") for refund in refunds), reverse=True)
    elif status == "OVERDUE":
        try:
            return as_moment(charge.get("dueDate")) + timedelta(days=1)
        except Unreadable:
            return asked
    for value in found:
        try:
            return as_moment(value)
        except Unreadable:
            continue
    return asked
