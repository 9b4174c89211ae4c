"""What follows from an attempt's answer."""

from __future__ import annotations

import doctest
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bridge.messages import Message
from bridge.model import DeliveryState, Outcome, Waiting
from bridge.pipeline import policy as retry
from bridge.pipeline.policy import PAUSE_LOOK_MS, Decision, RetryPolicy, ceiling_s, next_state

NOW_MS = 1_795_000_000_000
POLICY = RetryPolicy(base_s=5, cap_s=60, attempts=4)
DETAIL = Message("the destination answered {status}", {"status": 503})
DELIVERED, RETRYING, DEAD = DeliveryState.DELIVERED, DeliveryState.RETRYING, DeliveryState.DEAD


def decided(outcome: Outcome, attempt: int = 1, retry_after_s: float | None = None, jitter: float = 0.5) -> Decision:
    """Decide on an attempt that ended so, with a jitter that is not drawn."""
    return next_state(
        POLICY,
        outcome=outcome,
        attempt=attempt,
        code="clint.http_503",
        detail=DETAIL,
        retry_after_s=retry_after_s,
        now_ms=NOW_MS,
        rng=lambda: jitter,
    )


@pytest.mark.parametrize(
    ("outcome", "attempt", "retry_after_s", "expected"),
    [
        # The destination took it.
        (Outcome.DELIVERED, 1, None, Decision(DELIVERED)),
        (Outcome.DELIVERED, 99, None, Decision(DELIVERED)),
        # It will never take it, however many tries are left.
        (Outcome.REJECTED, 1, None, Decision(DEAD, None, None, "clint.http_503", DETAIL)),
        # The integration is gone: not the payload's fault, so it waits for a person, also at the last try.
        (Outcome.REMOVED, 1, None, "paused"),
        (Outcome.REMOVED, 4, None, "paused"),
        # Worth another try: half of the ceilings 5, 10, 20.
        (Outcome.RETRY, 1, None, 2_500),
        (Outcome.RETRY, 2, None, 5_000),
        (Outcome.RETRY, 3, None, 10_000),
        # Retry-After: never earlier, never over the cap, and no reason to come earlier than the backoff.
        (Outcome.RETRY, 1, 30, 30_000),
        (Outcome.RETRY, 1, 3_600, 60_000),
        (Outcome.RETRY, 3, 1, 10_000),
        (Outcome.RETRY, 1, 0, 2_500),
        # The last try failed; Retry-After does not add one.
        (Outcome.RETRY, 4, None, "spent"),
        (Outcome.RETRY, 4, 30, "spent"),
        (Outcome.RETRY, 5, None, "spent"),
        # An outcome that was never known counts as a try like any other.
        (Outcome.UNKNOWN, 2, None, 5_000),
    ],
)
def test_each_outcome_has_its_decision(
    outcome: Outcome, attempt: int, retry_after_s: float | None, expected: Decision | int | str
) -> None:
    """Delivered, another try at a time, dead with a reason, or waiting for a person."""
    code, detail = "clint.http_503", DETAIL
    if expected == "paused":
        expected = Decision(RETRYING, NOW_MS + PAUSE_LOOK_MS, Waiting.PAUSED, code, detail)
    elif expected == "spent":
        reason = Message("{detail} (try {number}, the last)", {"detail": detail, "number": attempt})
        expected = Decision(DEAD, None, None, "delivery.attempts_spent", reason)
    elif isinstance(expected, int):
        expected = Decision(RETRYING, NOW_MS + expected, Waiting.BACKOFF, code, detail)

    assert decided(outcome, attempt, retry_after_s) == expected


@given(attempt=st.integers(1, 10**6), jitter=st.floats(0, 1, exclude_max=True))
def test_a_wait_is_drawn_between_now_and_the_ceiling(attempt: int, jitter: float) -> None:
    """Full jitter: any moment from now to the ceiling, which doubles with each try and stops at the cap."""
    policy = RetryPolicy(base_s=5, cap_s=60, attempts=10**9)
    decision = next_state(
        policy,
        outcome=Outcome.RETRY,
        attempt=attempt,
        code="",
        detail=DETAIL,
        retry_after_s=None,
        now_ms=NOW_MS,
        rng=lambda: jitter,
    )

    assert decision.due_ms is not None
    assert 0 <= decision.due_ms - NOW_MS <= ceiling_s(policy, attempt) * 1000 <= 60_000


@given(base_s=st.floats(0.01, 3_600), cap_s=st.floats(0.01, 86_400), attempt=st.integers(1, 1_000))
def test_the_ceiling_never_falls_and_never_passes_the_cap(base_s: float, cap_s: float, attempt: int) -> None:
    """Whatever the settings and however many tries: no overflow, no wait above the cap."""
    policy = RetryPolicy(base_s, cap_s, attempts=1_000)

    assert 0 < ceiling_s(policy, attempt) <= ceiling_s(policy, attempt + 1) <= cap_s


def test_jitter_spreads_what_failed_together() -> None:
    """Many customers that failed in the same second come back all over the ceiling."""
    due = {decided(Outcome.RETRY, 3, jitter=draw / 100).due_ms for draw in range(100)}

    assert len(due) == 100
    assert min(filter(None, due)) == NOW_MS


def test_examples_in_docstrings_are_true() -> None:
    """What the docstring of the formula shows is what it gives."""
    results: Any = doctest.testmod(retry)

    assert results.attempted > 0
    assert results.failed == 0
