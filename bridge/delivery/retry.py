"""Decides what follows from an attempt's answer: delivered, another try at a time, or given up.

The wait is exponential with full jitter (a random part of a ceiling that doubles), so that many customers who failed in
the same second do not come back in the same second. The destination's Retry-After is honoured up to the cap.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from bridge.model import DeliveryState, Outcome, Waiting

PAUSE_LOOK_MS = 3_600_000
"""A delivery of a paused destination is looked at again after an hour; a resume frees it at once."""


@dataclass(frozen=True, slots=True)
class Policy:
    """How long and how often to try."""

    base_s: float
    cap_s: float
    attempts: int


@dataclass(frozen=True, slots=True)
class Decision:
    """What becomes of a delivery after an attempt."""

    state: DeliveryState
    due_ms: int | None = None
    waiting: Waiting | None = None
    code: str | None = None
    reason: str | None = None


def ceiling_s(policy: Policy, attempt: int) -> float:
    """Return the longest wait after this attempt (counted from 1): base * 2 ** (attempt - 1), never over the cap.

    >>> [ceiling_s(Policy(base_s=5, cap_s=60, attempts=9), n) for n in (1, 2, 3, 4, 5, 6)]
    [5.0, 10.0, 20.0, 40.0, 60, 60]
    """
    # The exponent is bounded: 2 ** 1000 of a configured base would be no float any more.
    return min(policy.cap_s, policy.base_s * 2.0 ** min(attempt - 1, 40))


def decide(
    policy: Policy,
    *,
    outcome: Outcome,
    attempt: int,
    code: str,
    detail: str,
    retry_after_s: float | None,
    now_ms: int,
    rng: Callable[[], float],
) -> Decision:
    """Return what becomes of a delivery whose attempt number `attempt` ended so; `rng` gives 0 <= x < 1."""
    if outcome is Outcome.DELIVERED:
        return Decision(DeliveryState.DELIVERED)
    if outcome is Outcome.REJECTED:
        return Decision(DeliveryState.DEAD, code=code, reason=detail)
    if outcome is Outcome.REMOVED:
        # Not dead: the integration is gone for every delivery alike, and a person can put a new URL in its place.
        return Decision(DeliveryState.RETRYING, now_ms + PAUSE_LOOK_MS, Waiting.PAUSED, code, detail)
    if attempt >= policy.attempts:
        return Decision(
            DeliveryState.DEAD, code="delivery.attempts_spent", reason=f"{detail} (try {attempt}, the last)"
        )
    wait_s = rng() * ceiling_s(policy, attempt)
    if retry_after_s is not None:
        wait_s = min(max(wait_s, retry_after_s), policy.cap_s)
    return Decision(DeliveryState.RETRYING, now_ms + int(wait_s * 1000), Waiting.BACKOFF, code, detail)
