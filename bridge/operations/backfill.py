"""Makes events for charges that the journal does not know, which then go the way of Asaas's own events.

`collect` returns the events of a range of days, `append_events` writes them. The event's key prevents a second event
for the same change, so an interrupted run is simply run again.
"""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from typing import Any

from bridge.asaas.client import AsaasClient
from bridge.asaas.incoming import parse_event
from bridge.failpoints import failpoint
from bridge.journal import Journal, jobs
from bridge.journal.events import AppendResult, StoredEvent
from bridge.mapping.catalogue import flow_rank
from bridge.mapping.values import BRASILIA, BadValue, as_moment
from bridge.model import IncomingEvent, Origin, lane_of
from bridge.operations.reconcile import BEHIND, Compared, Verdict, Window, compare_pages

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
"""The event that leads a charge into each status, by Asaas's documented flows."""

_BACK_TO_OPEN = {"RECEIVED_IN_CASH": "PAYMENT_RECEIVED_IN_CASH_UNDONE", "DELETED": "PAYMENT_RESTORED"}
_PAID = ("paymentDate", "clientPaymentDate", "confirmedDate")
_DAYS: Mapping[str, tuple[str, ...]] = {
    "CONFIRMED": ("confirmedDate", "clientPaymentDate"),
    "RECEIVED": _PAID,
    "RECEIVED_IN_CASH": _PAID,
}
"""The fields with the day on which a charge came into a status; without them it is today."""


def events_for_charge(compared: Compared, account: str, asked_ms: int) -> list[IncomingEvent]:
    """Return the events that Asaas would have posted, in order; none where no flow leads to the charge's status."""
    main = _name(compared)
    if main is None:
        return []
    status, refunded = compared.charge_status.status, compared.charge_status.refunded
    names = {}
    # The payment of a partly refunded charge comes first, unless the journal knows it.
    if compared.known is None or compared.known.status != status or not refunded:
        names[status] = main
    if refunded:
        names[f"PARTIALLY_REFUNDED-{refunded:.2f}"] = "PAYMENT_PARTIALLY_REFUNDED"
    after = f":after-{compared.newest.event_id}" if compared.newest else ""
    created = _created(compared, asked_ms)
    events = []
    for what, name in names.items():
        key = f"backfill:{compared.charge['id']}:{what}{after}"
        envelope = {"id": key, "event": name, "dateCreated": created, "payment": compared.charge}
        event = parse_event(account, json.dumps(envelope).encode(), asked_ms)
        events.append(replace(event, origin=Origin.BACKFILL))
    return events


def _name(compared: Compared) -> str | None:
    status = compared.charge_status.status
    if compared.known is not None and compared.known.status != status:
        if status in {"PENDING", "OVERDUE"} and compared.known.status in _BACK_TO_OPEN:
            return _BACK_TO_OPEN[compared.known.status]
        if status == "PENDING":
            return "PAYMENT_UPDATED"  # such as a new due day of an overdue charge
    return NAMES.get(status)


def _created(compared: Compared, asked_ms: int) -> str:
    asked = datetime.fromtimestamp(asked_ms / 1000, UTC).astimezone(BRASILIA)
    moment = min(_day(compared, asked).replace(hour=23, minute=59, second=59), asked)
    if compared.newest is not None:
        with suppress(BadValue):  # the last event has no time
            moment = max(moment, as_moment(compared.newest.created) + timedelta(seconds=1))
    return moment.strftime("%Y-%m-%d %H:%M:%S")


def _day(compared: Compared, asked: datetime) -> datetime:
    charge, status = compared.charge, compared.charge_status.status
    found: list[Any] = [charge.get(field) for field in _DAYS.get(status, ())]
    if status == "PENDING" and compared.known is None:
        found = [charge.get("dateCreated")]
    elif compared.charge_status.refunded or status == "REFUNDED":
        refunds = [refund for refund in charge.get("refunds") or () if isinstance(refund, dict)]
        found = sorted((str(refund.get("dateCreated") or "") for refund in refunds), reverse=True)
    elif status == "OVERDUE":
        try:
            return as_moment(charge.get("dueDate")) + timedelta(days=1)
        except BadValue:
            return asked
    for value in found:
        try:
            return as_moment(value)
        except BadValue:
            continue
    return asked


BATCH = 100
"""Events in one commit."""


@dataclass(slots=True)
class Collected:
    charges: int = 0
    """The number of compared charges."""
    events: list[IncomingEvent] = field(default_factory=list)
    """Oldest first."""
    unknown: list[Compared] = field(default_factory=list)
    """Charges in a status to which no documented flow leads."""


def collect(
    client: AsaasClient,
    journal: Journal,
    window: Window,
    clock_ms: Callable[[], int],
    *,
    only: Collection[Verdict] = BEHIND,
    sleep: Callable[[float], object] = time.sleep,
    on_progress: Callable[[int, int], object] = lambda _done, _total: None,
) -> Collected:
    """Return the missing events of the charges of these days; changes nothing. Raises EnrichmentWaits."""
    collected, seen = Collected(), set[str]()
    for page, charges, asked_ms in compare_pages(client, journal, window, clock_ms, sleep=sleep):
        for compared in charges:
            id_ = str(compared.charge.get("id"))
            if compared.verdict in only and id_ not in seen:
                made = events_for_charge(compared, client.account, asked_ms)
                collected.events += made
                collected.unknown += [] if made else [compared]
            seen.add(id_)
        collected.charges = len(seen)
        on_progress(len(seen), page.total)
    # Deliveries keep the order of the events. Pages come newest first: of two events of the same time that of the older
    # charge goes first.
    collected.events.reverse()
    collected.events.sort(key=lambda event: (event.created, flow_rank(event.name)))
    return collected


def append_events(
    journal: Journal, events: Sequence[IncomingEvent], clock_ms: Callable[[], int]
) -> Iterator[tuple[IncomingEvent, int, AppendResult]]:
    """Write these events; yield each with its lane and the result after its commit."""
    for start in range(0, len(events), BATCH):
        batch = [replace(event, received_ms=clock_ms()) for event in events[start : start + BATCH]]
        failpoint("backfill.before_append")
        appended = journal.append(batch)
        failpoint("backfill.after_append")
        for event, (lane, kept) in zip(batch, appended, strict=True):
            yield event, lane, kept
    # The next reconciliation, due at once, checks whether anything is still missing.
    with journal.database.write() as connection:
        for account in sorted({event.account for event in events}):
            jobs.reschedule(connection, f"reconcile:{account}", clock_ms())


def as_stored(journal: Journal, event: IncomingEvent) -> StoredEvent:
    """Return an event that is not in the journal in the form of a stored one."""
    return StoredEvent(
        id=0,
        account=event.account,
        event_key=event.key,
        name=event.name,
        entity=event.entity,
        object_id=event.object_id,
        subject=event.subject,
        lane=lane_of(event.account, event.subject, journal.lane_count),
        created=event.created,
        body=event.body,
        received_ms=event.received_ms,
        replay=0,
        replay_mapping=None,
    )
