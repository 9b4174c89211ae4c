"""What an answer of a destination means."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bridge.clint.webhook import classify, retry_after_s
from bridge.model import Outcome

NOW_MS = 1_763_800_000_000  # Sat, 22 Nov 2025 08:26:40 GMT


@pytest.mark.parametrize(
    ("status", "outcome", "code"),
    [
        (200, Outcome.DELIVERED, "clint.ok"),
        (201, Outcome.DELIVERED, "clint.ok"),
        (204, Outcome.DELIVERED, "clint.ok"),
        (299, Outcome.DELIVERED, "clint.ok"),
        (101, Outcome.RETRY, "clint.http_101"),
        (301, Outcome.REJECTED, "clint.redirect"),
        (304, Outcome.REJECTED, "clint.redirect"),
        (308, Outcome.REJECTED, "clint.redirect"),
        (400, Outcome.REJECTED, "clint.http_400"),
        (401, Outcome.REJECTED, "clint.http_401"),
        (403, Outcome.REJECTED, "clint.http_403"),
        (404, Outcome.REMOVED, "clint.removed"),
        (408, Outcome.RETRY, "clint.http_408"),
        (410, Outcome.REMOVED, "clint.removed"),
        (413, Outcome.REJECTED, "clint.http_413"),
        (422, Outcome.REJECTED, "clint.http_422"),
        (425, Outcome.RETRY, "clint.http_425"),
        (429, Outcome.RETRY, "clint.http_429"),
        (500, Outcome.RETRY, "clint.http_500"),
        (503, Outcome.RETRY, "clint.http_503"),
        (599, Outcome.RETRY, "clint.http_599"),
        (999, Outcome.RETRY, "clint.http_999"),
    ],
)
def test_a_status_tells_the_outcome(status: int, outcome: Outcome, code: str) -> None:
    """Delivered, worth another try, refused for good and gone are told apart by a stable code."""
    verdict = classify(status, {}, NOW_MS)

    assert (verdict.outcome, verdict.code, verdict.retry_after_s) == (outcome, code, None)
    assert str(status) in str(verdict.detail)


@pytest.mark.parametrize(
    ("text", "seconds"),
    [
        ("0", 0.0),
        ("30", 30.0),
        (" 30 ", 30.0),
        ("1.5", 1.5),
        ("999999999999", 86_400.0),
        ("Sat, 22 Nov 2025 08:27:40 GMT", 60.0),
        ("Sat, 22 Nov 2025 08:27:40 -0000", 60.0),
        ("Sat, 22 Nov 2025 05:27:40 -0300", 60.0),
        ("Sat, 22 Nov 2025 08:26:00 GMT", None),
        ("Fri, 31 Dec 9999 23:59:59 GMT", 86_400.0),
        ("-5", None),
        ("soon", None),
        ("", None),
        ("٣٠", None),
        ("1" * 5000, None),
        ("Sat, 99 Nov 2025 08:27:40 GMT", None),
        ("Sat, 22 Nov 0000 08:27:40 GMT", None),
    ],
)
def test_the_wait_a_destination_asks_for_is_read(text: str, seconds: float | None) -> None:
    """Seconds and dates are honoured within a day; the past, negatives and garbage are no wait."""
    assert retry_after_s({"Retry-After": text}, NOW_MS) == seconds


@settings(deadline=None)
@given(st.text())
def test_no_text_makes_the_reading_fail(text: str) -> None:
    """Whatever a destination writes, the result is a sane wait or none."""
    found = retry_after_s({"retry-after": text}, NOW_MS)

    assert found is None or 0 <= found <= 86_400


def test_only_a_retry_waits() -> None:
    """A delivered or refused payload has nothing to wait for."""
    headers = {"retry-after": "30"}

    assert classify(503, headers, NOW_MS).retry_after_s == 30
    assert classify(200, headers, NOW_MS).retry_after_s is None
    assert classify(400, headers, NOW_MS).retry_after_s is None
