"""The circuit of a destination: when it fails for several customers, stop asking and send one probe now and then.

closed: everything goes. open: nothing goes until a time. half open: one probe is out. A failure of one customer alone
never opens it: then the payload is the likelier cause, and that customer's own backoff is enough.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from enum import StrEnum

from bridge.journal.destinations import Destination
from bridge.model import Outcome

LONGEST_WAIT_S = 600.0
"""However long a destination is down, it is probed at least every ten minutes."""


class Circuit(StrEnum):
    """States of a circuit."""

    CLOSED = "closed"
    OPEN = "open"
    HALF_OPEN = "half_open"


@dataclass(frozen=True, slots=True)
class Limits:
    """When a circuit opens and how long it stays so."""

    failures: int
    wait_s: float
    probe_s: float
    """How long a probe may be out before another may go: longer than a send can take."""


@dataclass(frozen=True, slots=True)
class Gate:
    """Whether a delivery may go to the destination now."""

    open_until_ms: int | None = None
    """When to look again, where it may not go."""
    probe: Destination | None = None
    """The destination's new state, where this delivery may go as the probe."""


def gate(destination: Destination, limits: Limits, now_ms: int) -> Gate:
    """Return whether one delivery may go now, and whether it would be the probe."""
    if destination.state == Circuit.CLOSED:
        return Gate()
    if now_ms < destination.until_ms:
        return Gate(open_until_ms=destination.until_ms)
    until_ms = now_ms + int(limits.probe_s * 1000)
    return Gate(probe=replace(destination, state=Circuit.HALF_OPEN.value, until_ms=until_ms))


def after(
    destination: Destination,
    limits: Limits,
    *,
    outcome: Outcome,
    subject: str,
    retry_after_s: float | None,
    now_ms: int,
    rng: Callable[[], float],
) -> Destination:
    """Return the destination's state after an attempt for a customer (`subject`) ended so."""
    if outcome in {Outcome.DELIVERED, Outcome.REJECTED}:
        # An answer that refuses one payload is still an answer: the destination works.
        if destination.state == Circuit.CLOSED and not destination.failures:
            return destination
        return replace(
            destination,
            state=Circuit.CLOSED.value,
            failures=0,
            failed_subject=None,
            several=False,
            opens=0,
            until_ms=0,
        )
    failures = destination.failures + 1
    first = destination.failed_subject or subject
    failed = replace(
        destination,
        failures=failures,
        failed_subject=first,
        several=destination.several or subject != first,
    )
    if destination.state == Circuit.OPEN:
        return failed  # a send that was already out when it opened
    if destination.state == Circuit.CLOSED and (failures < limits.failures or not failed.several):
        return failed
    wait_s = min(LONGEST_WAIT_S, limits.wait_s * 2 ** min(destination.opens, 20))
    wait_s = max(wait_s * (0.75 + rng() / 4), min(retry_after_s or 0.0, LONGEST_WAIT_S))
    return replace(failed, state=Circuit.OPEN.value, opens=destination.opens + 1, until_ms=now_ms + int(wait_s * 1000))
