"""What the stages call when something is done: counts it, and makes its span where traces are switched on."""

from __future__ import annotations

from datetime import datetime
from typing import Protocol

from bridge.mapping.asaas_events import EVENTS
from bridge.mapping.dates import BRASILIA
from bridge.model import DeliveryState, IncomingEvent
from bridge.observing import families
from bridge.observing.done import Attempted, Processed
from bridge.observing.families import Family

OTHER = "other"
OWED = "owed"
"""The verdict of a mapping that made a delivery to send; the others are the states filtered and dead."""


class Counts(Protocol):
    """Takes numbers."""

    def add(self, family: Family, *labels: str, by: int = 1) -> None:
        """Count."""
        ...

    def observe(self, family: Family, value_s: float, *labels: str) -> None:
        """Note one duration."""
        ...


class Spans(Protocol):
    """Takes what was done as spans of a trace."""

    def received(self, event: IncomingEvent, event_id: int, ended_ms: int) -> None:
        """An event was kept: the root of its trace."""
        ...

    def processed(self, done: Processed) -> None:
        """An event was processed."""
        ...

    def attempted(self, done: Attempted) -> None:
        """A try was made."""
        ...

    def close(self) -> None:
        """Hand on what is left."""
        ...


def spans_to(endpoint: str) -> Spans | None:
    """Return what takes spans where an address of a collector is set; needs the extra otel."""
    if not endpoint:
        return None
    from bridge.observing.spans import otlp

    return otlp()


class _Nowhere:
    """Takes numbers that nobody asks for."""

    def add(self, family: Family, *labels: str, by: int = 1) -> None:
        """Count."""

    def observe(self, family: Family, value_s: float, *labels: str) -> None:
        """Note one duration."""


class Observer:
    """Counts, and traces where it is given something that takes spans."""

    def __init__(self, counts: Counts | None = None, spans: Spans | None = None) -> None:
        self._counts = counts or _Nowhere()
        self._spans = spans

    def close(self) -> None:
        """Hand on what is left of the spans; the counts have an end of their own."""
        if self._spans is not None:
            self._spans.close()

    def received(self, event: IncomingEvent, event_id: int, repeats: int, now_ms: int) -> None:
        """Asaas posted an event, and it is kept."""
        self._counts.add(families.RECEIVED, event.account, "repeat" if repeats else "first")
        if self._spans is not None and not repeats:
            self._spans.received(event, event_id, now_ms)

    def refused(self, account: str, code: str) -> None:
        """The door refused a post; the account is empty where it is none of ours."""
        self._counts.add(families.REFUSED, account, code)

    def held(self, account: str, code: str) -> None:
        """An event was put off."""
        self._counts.add(families.HELD, account, code)

    def task_failed(self, name: str) -> None:
        """A run of a periodic task ended with an error."""
        self._counts.add(families.TASK_FAILURES, name)

    def log_dropped(self, count: int) -> None:
        """Lines of the log could not be written."""
        self._counts.add(families.LOG_DROPPED, by=count)

    def processed(self, done: Processed) -> None:
        """Every mapping has had its say on an event."""
        name = done.name if done.name in EVENTS else OTHER
        self._counts.add(families.PROCESSED, done.account, name)
        for mapping, verdict in done.verdicts.items():
            verdict = OWED if verdict == DeliveryState.PENDING.value else verdict
            self._counts.add(families.VERDICTS, done.account, name, mapping, verdict)
        if self._spans is not None:
            self._spans.processed(done)

    def ended(self, destination: str, state: str) -> None:
        """A delivery ended without a try: it is stale, or its tries are spent."""
        self._counts.add(families.DELIVERIES, destination, state)

    def attempted(self, done: Attempted) -> None:
        """A try's outcome is written down."""
        self._counts.add(families.ATTEMPTS, done.destination, done.outcome)
        self._counts.add(families.DELIVERIES, done.destination, done.state)
        self._counts.observe(families.ATTEMPT_S, done.duration_ms / 1000, done.destination)
        if done.state == DeliveryState.DELIVERED.value and not done.replay:
            self._delivered(done)
        if self._spans is not None:
            self._spans.attempted(done)

    def _delivered(self, done: Attempted) -> None:
        after_ms = max(0, done.ended_ms - done.received_ms)
        self._counts.observe(families.FROM_RECEIPT_S, after_ms / 1000, done.destination)
        created_ms = created_at_ms(done.created)
        if created_ms is not None:
            after_ms = max(0, done.ended_ms - created_ms)
            self._counts.observe(families.FROM_CREATED_S, after_ms / 1000, done.destination)


UNSEEN = Observer()
"""Counts nothing and traces nothing."""


def created_at_ms(created: str) -> int | None:
    """Return Asaas's `dateCreated` (Brasília time) as milliseconds since the epoch; None where it is no time.

    >>> created_at_ms("2026-11-22 10:00:00")
    1795352400000
    >>> created_at_ms("")
    """
    try:
        return int(datetime.fromisoformat(created).replace(tzinfo=BRASILIA).timestamp() * 1000)
    except ValueError:
        return None
