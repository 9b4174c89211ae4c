"""When a destination rests, and how it comes back."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace

import pytest

from bridge.journal.destinations import Destination
from bridge.model import Outcome
from bridge.pipeline.policy import LONGEST_WAIT_S, Circuit, CircuitLimits, Gate, circuit_after, circuit_gate

NOW_MS = 1_795_000_000_000
LIMITS = CircuitLimits(failures=3, wait_s=15, probe_s=11)
CLOSED = Destination("default")
OPEN = replace(
    CLOSED, state=Circuit.OPEN.value, failures=3, failed_subject="a", several=True, opens=1, until_ms=NOW_MS + 1_000
)
HALF_OPEN = replace(OPEN, state=Circuit.HALF_OPEN.value, until_ms=NOW_MS + 11_000)


def came(
    destination: Destination,
    outcome: Outcome,
    subject: str = "a",
    *,
    retry_after_s: float | None = None,
    jitter: float = 1.0,
    now_ms: int = NOW_MS,
) -> Destination:
    """Return the state after an answer for a customer; with a jitter of 1 the wait is the whole ceiling."""
    return circuit_after(
        destination,
        LIMITS,
        outcome=outcome,
        subject=subject,
        retry_after_s=retry_after_s,
        now_ms=now_ms,
        rng=lambda: jitter,
    )


def failed(subjects: Iterable[str], destination: Destination = CLOSED) -> Destination:
    """Return the state after failures of these customers in a row."""
    for subject in subjects:
        destination = came(destination, Outcome.RETRY, subject)
    return destination


@pytest.mark.parametrize(
    ("subjects", "state"),
    [
        ("", "closed"),
        ("ab", "closed"),  # not often enough
        ("aaaaaaaaaa", "closed"),  # one customer alone: the payload is the likelier cause
        ("aab", "open"),
        ("abb", "open"),
        ("aaaaaaaaab", "open"),  # the second customer opens it at once
        ("abc", "open"),
    ],
)
def test_failures_of_several_customers_open_the_circuit(subjects: str, state: str) -> None:
    """As many failures in a row as the limit says, and of two customers at least."""
    assert failed(subjects).state == state


def test_a_success_starts_the_count_anew() -> None:
    """Failures count in a row: one delivery in between, and what was before is forgotten."""
    assert came(failed("ab"), Outcome.DELIVERED) == CLOSED
    assert failed("ab", came(failed("ab"), Outcome.DELIVERED)).state == "closed"


def test_an_answer_that_refuses_a_payload_is_a_success() -> None:
    """A destination that says no to one payload works."""
    assert came(failed("ab"), Outcome.REJECTED) == CLOSED
    assert came(HALF_OPEN, Outcome.REJECTED) == CLOSED


def test_a_destination_that_works_is_not_touched() -> None:
    """The usual answer gives the very same state, which nobody writes down."""
    assert came(CLOSED, Outcome.DELIVERED) is CLOSED


def test_a_closed_circuit_lets_everything_through() -> None:
    """No probe, no wait."""
    assert circuit_gate(CLOSED, LIMITS, NOW_MS) == Gate()


def test_an_open_circuit_lets_nothing_through_before_its_time() -> None:
    """The gate says when to look again."""
    assert circuit_gate(OPEN, LIMITS, NOW_MS) == Gate(open_until_ms=NOW_MS + 1_000)
    assert circuit_gate(OPEN, LIMITS, NOW_MS + 999) == Gate(open_until_ms=NOW_MS + 1_000)


def test_an_open_circuit_lets_one_probe_through_at_its_time() -> None:
    """The probe makes it half open for as long as a send can take; the next one has to wait for that."""
    found = circuit_gate(OPEN, LIMITS, NOW_MS + 1_000)
    assert found.open_until_ms is None
    assert found.probe == replace(OPEN, state="half_open", until_ms=NOW_MS + 12_000)

    assert circuit_gate(found.probe, LIMITS, NOW_MS + 11_999) == Gate(open_until_ms=NOW_MS + 12_000)


def test_a_probe_that_never_came_back_is_followed_by_another() -> None:
    """A worker that died with the probe must not leave the circuit half open for ever."""
    assert circuit_gate(HALF_OPEN, LIMITS, NOW_MS + 11_000).probe == replace(HALF_OPEN, until_ms=NOW_MS + 22_000)


def test_a_probe_that_is_delivered_closes_the_circuit() -> None:
    """Everything is as if nothing had ever failed."""
    assert came(HALF_OPEN, Outcome.DELIVERED) == CLOSED


def test_a_probe_that_fails_opens_it_for_longer() -> None:
    """The wait doubles with each time, up to ten minutes."""
    waits = []
    destination = failed("aab")
    for _ in range(10):
        waits.append((destination.until_ms - NOW_MS) / 1000)
        probing = circuit_gate(destination, LIMITS, destination.until_ms).probe
        assert probing is not None
        destination = came(probing, Outcome.RETRY)

    assert waits == [15, 30, 60, 120, 240, 480, 600, 600, 600, 600]
    assert destination.opens == 11


def test_the_wait_is_jittered_by_a_quarter() -> None:
    """Many destinations that failed together are not probed in the same moment."""
    probe = replace(HALF_OPEN, opens=0)

    assert came(probe, Outcome.RETRY, jitter=0.0).until_ms == NOW_MS + 11_250
    assert came(probe, Outcome.RETRY, jitter=1.0).until_ms == NOW_MS + 15_000


def test_the_number_of_openings_does_not_overflow_the_wait() -> None:
    """A destination that was down for a year is still probed every ten minutes."""
    assert came(replace(HALF_OPEN, opens=5_000), Outcome.RETRY).until_ms == NOW_MS + 600_000


def test_a_request_to_slow_down_is_honoured_where_it_opens() -> None:
    """A 429 with Retry-After keeps the circuit open for that long, up to ten minutes, never for less than its own."""
    two = failed("aa")

    assert came(two, Outcome.RETRY, "b", retry_after_s=90).until_ms == NOW_MS + 90_000
    assert came(two, Outcome.RETRY, "b", retry_after_s=1).until_ms == NOW_MS + 15_000
    assert came(two, Outcome.RETRY, "b", retry_after_s=86_400).until_ms == NOW_MS + int(LONGEST_WAIT_S * 1000)


def test_what_was_on_its_way_when_it_opened_does_not_open_it_again() -> None:
    """A late failure is counted and leaves the time of the probe alone; a late success closes it."""
    late = came(OPEN, Outcome.RETRY, "c")
    assert (late.state, late.until_ms, late.opens, late.failures) == ("open", OPEN.until_ms, 1, 4)

    assert came(OPEN, Outcome.DELIVERED) == CLOSED
