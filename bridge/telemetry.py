"""Counters and histograms of all processes of the bridge, and traces where a collector is set.

The stages report each event and attempt once, after its commit. Nothing here may fail or delay them; a lost number is
harmless.
"""

from __future__ import annotations

import threading
from bisect import bisect_left
from collections import defaultdict
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import TYPE_CHECKING, cast

from redis import Redis

from bridge.mapping.catalogue import EVENTS
from bridge.mapping.values import BRASILIA
from bridge.model import AttemptFinished, DeliveryState, EventProcessed, IncomingEvent
from bridge.redis_client import OptionalRedis

if TYPE_CHECKING:
    from bridge.traces import OtelSpans

SEND_S = (0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0)
"""Bounds for one attempt."""
WAY_S = (0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0, 300.0, 900.0, 3600.0, 14400.0, 86400.0)
"""Bounds for the whole way of an event: up to a Clint that is away for a day."""


@dataclass(frozen=True, slots=True, eq=False)
class Family:
    """One counter, or one histogram where it has bounds."""

    name: str
    help: str
    labels: tuple[str, ...]
    bounds: tuple[float, ...] = ()
    """Upper bounds of the histogram's buckets, in seconds."""


RECEIVED = Family(
    "bridge_events_received", "events that Asaas posted; first: not seen before, repeat: again", ("account", "arrival")
)
REFUSED = Family("bridge_webhook_refusals", "posts that the door refused, by error code", ("account", "reason"))
VERDICTS = Family("bridge_verdicts", "verdicts of mappings on events", ("account", "event", "mapping", "verdict"))
PROCESSED = Family("bridge_events_processed", "events that every mapping has judged", ("account", "event"))
HELD = Family("bridge_events_held", "times that an event was deferred, by error code", ("account", "reason"))
ATTEMPTS = Family("bridge_attempts", "attempts to send, by outcome", ("destination", "outcome"))
DELIVERIES = Family(
    "bridge_deliveries_settled",
    "states that deliveries reached, by an attempt or without one",
    ("destination", "state"),
)
TASK_FAILURES = Family("bridge_task_failures", "runs of periodic tasks that ended with an error", ("task",))
LOG_DROPPED = Family("bridge_log_lines_dropped", "lines of logs that could not be written", ())
ATTEMPT_S = Family("bridge_attempt_seconds", "duration of each attempt", ("destination",), SEND_S)
FROM_RECEIPT_S = Family(
    "bridge_delivered_after_receipt_seconds",
    "from Asaas's post to the 2xx of the destination; replays are left out",
    ("destination",),
    WAY_S,
)
FROM_CREATED_S = Family(
    "bridge_delivered_after_created_seconds",
    "from Asaas's dateCreated, which has whole seconds, to the 2xx of the destination; replays are left out",
    ("destination",),
    WAY_S,
)

FAMILIES = (
    *(RECEIVED, REFUSED, PROCESSED, VERDICTS, HELD, ATTEMPTS, DELIVERIES, TASK_FAILURES, LOG_DROPPED),
    *(ATTEMPT_S, FROM_RECEIPT_S, FROM_CREATED_S),
)


DUE = "owed"
"""The verdict of a mapping that made a delivery to send; the others are the states filtered and dead."""


class NoCounters:
    def add(self, family: Family, *labels: str, by: int = 1) -> None: ...

    def observe(self, family: Family, value_s: float, *labels: str) -> None: ...


class Telemetry:
    """Takes the reports of the stages."""

    def __init__(self, counts: SharedCounters | NoCounters | None = None, spans: OtelSpans | None = None) -> None:
        self._counts = counts or NoCounters()
        self._spans = spans

    def close(self) -> None:
        """Export the pending spans; the counters are closed apart."""
        if self._spans is not None:
            self._spans.close()

    def received(self, event: IncomingEvent, event_id: int, repeats: int, now_ms: int) -> None:
        self._counts.add(RECEIVED, event.account, "repeat" if repeats else "first")
        if self._spans is not None and not repeats:
            self._spans.received(event, event_id, now_ms)

    def refused(self, account: str, code: str) -> None:
        """The door refused a post; the account is empty where it is not known."""
        self._counts.add(REFUSED, account, code)

    def held(self, account: str, code: str) -> None:
        self._counts.add(HELD, account, code)

    def task_failed(self, name: str) -> None:
        self._counts.add(TASK_FAILURES, name)

    def log_dropped(self, count: int) -> None:
        self._counts.add(LOG_DROPPED, by=count)

    def processed(self, done: EventProcessed) -> None:
        name = done.name if done.name in EVENTS else "other"
        self._counts.add(PROCESSED, done.account, name)
        for mapping, verdict in done.verdicts.items():
            verdict = DUE if verdict == DeliveryState.PENDING.value else verdict
            self._counts.add(VERDICTS, done.account, name, mapping, verdict)
        if self._spans is not None:
            self._spans.processed(done)

    def ended(self, destination: str, state: str) -> None:
        """A delivery ended without an attempt: it is stale, or its attempts are spent."""
        self._counts.add(DELIVERIES, destination, state)

    def attempted(self, done: AttemptFinished) -> None:
        self._counts.add(ATTEMPTS, done.destination, done.outcome)
        self._counts.add(DELIVERIES, done.destination, done.state)
        self._counts.observe(ATTEMPT_S, done.duration_ms / 1000, done.destination)
        if done.state == DeliveryState.DELIVERED.value and not done.replay:
            for family, since_ms in ((FROM_RECEIPT_S, done.received_ms), (FROM_CREATED_S, created_at_ms(done.created))):
                if since_ms is not None:
                    self._counts.observe(family, max(0, done.ended_ms - since_ms) / 1000, done.destination)
        if self._spans is not None:
            self._spans.attempted(done)


NO_TELEMETRY = Telemetry()
"""Counts nothing and traces nothing."""


def created_at_ms(created: str) -> int | None:
    """Return Asaas's `dateCreated` (Brasília time) in milliseconds since the epoch; None where it is no time.

    >>> created_at_ms("2026-11-22 10:00:00")
    1795352400000
    >>> created_at_ms("")
    """
    try:
        return int(datetime.fromisoformat(created).replace(tzinfo=BRASILIA).timestamp() * 1000)
    except ValueError:
        return None


KEY = "bridge:metrics:1"
"""The number grows when a family's labels or bounds change, since older counts would not fit."""
FLUSH_S = 2.0
KEPT_S = 90 * 86_400
_BETWEEN = "\x1f"
SUM = "sum"

Series = tuple[Family, tuple[str, ...], str]
"""A family, its labels' values, and of a histogram the number of the bucket or `sum`."""


class SharedCounters:
    """Adds the counters and histograms of one process to those of all, which Redis holds."""

    def __init__(self, link: OptionalRedis, flush_s: float = FLUSH_S) -> None:
        self._link = link
        self._flush_s = flush_s
        self._pending = defaultdict[Series, float](int)
        self._lock = threading.Lock()
        self._flushing = threading.Lock()
        self._timer: threading.Timer | None = None

    def add(self, family: Family, *labels: str, by: int = 1) -> None:
        with self._lock:
            self._pending[family, labels, ""] += by
            self._flush_soon()

    def observe(self, family: Family, value_s: float, *labels: str) -> None:
        bucket = str(bisect_left(family.bounds, value_s))
        with self._lock:
            self._pending[family, labels, bucket] += 1
            self._pending[family, labels, SUM] += value_s
            self._flush_soon()

    def _flush_soon(self) -> None:
        if self._timer is None:
            # Not at construction: threads do not survive a web server's fork.
            self._timer = threading.Timer(self._flush_s, self._flush_in_time)
            self._timer.daemon = True
            self._timer.start()

    def _flush_in_time(self) -> None:
        try:
            self.flush()
        finally:  # the next flush comes also after a failed one
            with self._lock:
                self._timer = None
                if self._pending:
                    self._flush_soon()  # counted meanwhile, or Redis is away

    def flush(self) -> bool:
        """Add the pending numbers in Redis; return False where Redis did not take them."""
        with self._flushing:
            with self._lock:
                pending, self._pending = self._pending, defaultdict[Series, float](int)
            if not pending or self._link.call(lambda redis: _add(redis, pending)):
                return True
            with self._lock:
                for series, by in pending.items():
                    self._pending[series] += by
            return False

    def totals(self) -> dict[Series, float] | None:
        """Return the numbers of all processes with the latest of this one; None while Redis is away."""
        self.flush()
        stored = self._link.call(lambda redis: cast("dict[bytes, bytes]", redis.hgetall(KEY)))
        if stored is None:
            return None
        by_name = {family.name: family for family in FAMILIES}
        found: dict[Series, float] = {}
        for key, value in stored.items():
            name, *labels, part = key.decode().split(_BETWEEN)
            family = by_name.get(name)
            if family is not None and len(labels) == len(family.labels):
                found[family, tuple(labels), part] = float(value)
        return found

    def close(self) -> None:
        """Flush and end the timer."""
        with self._lock:
            if self._timer is not None:
                self._timer.cancel()
        self.flush()


def _add(redis: Redis, pending: Mapping[Series, float]) -> bool:
    with redis.pipeline(transaction=True) as pipe:
        for (family, labels, part), by in pending.items():
            field = _BETWEEN.join((family.name, *labels, part))
            if isinstance(by, int):
                pipe.hincrby(KEY, field, by)
            else:
                pipe.hincrbyfloat(KEY, field, by)
        pipe.expire(KEY, KEPT_S)
        pipe.execute()
    return True
