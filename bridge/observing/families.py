"""The table of what is counted: names, labels and bounds, as Prometheus shows them.

Labels hold names that the operator gave or that this code has, never what a stranger could choose: an event name that
Asaas does not document counts as `other`.
"""

from __future__ import annotations

from dataclasses import dataclass

SEND_S = (0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0)
"""Bounds for one try."""
WAY_S = (0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0, 300.0, 900.0, 3600.0, 14400.0, 86400.0)
"""Bounds for a whole way: from a bridge that is idle to a Clint that is away for a day."""


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
VERDICTS = Family("bridge_verdicts", "what mappings said of events", ("account", "event", "mapping", "verdict"))
PROCESSED = Family("bridge_events_processed", "events that every mapping has had its say on", ("account", "event"))
HELD = Family("bridge_events_held", "times that an event was put off, by error code", ("account", "reason"))
ATTEMPTS = Family("bridge_attempts", "tries to send, by outcome", ("destination", "outcome"))
DELIVERIES = Family(
    "bridge_deliveries_settled", "states into which deliveries came, by a try or without one", ("destination", "state")
)
TASK_FAILURES = Family("bridge_task_failures", "runs of periodic tasks that ended with an error", ("task",))
LOG_DROPPED = Family("bridge_log_lines_dropped", "lines of logs that could not be written", ())
ATTEMPT_S = Family("bridge_attempt_seconds", "duration of each try", ("destination",), SEND_S)
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
    RECEIVED,
    REFUSED,
    PROCESSED,
    VERDICTS,
    HELD,
    ATTEMPTS,
    DELIVERIES,
    TASK_FAILURES,
    LOG_DROPPED,
    ATTEMPT_S,
    FROM_RECEIPT_S,
    FROM_CREATED_S,
)
