"""What an answer of the Asaas API stands for."""

from __future__ import annotations

import json

import httpx
import pytest

from bridge.asaas.client import refusal, retry_after_s, spent
from bridge.errors import AsaasKeyRefused, AsaasRateLimited, AsaasRejected, AsaasUnavailable, BridgeError
from bridge.model import of_account

WHERE = of_account("default", "GET /customers/cus_1")


def body(code: str) -> bytes:
    """Return an error body of Asaas with this code."""
    return json.dumps({"errors": [{"code": code, "description": "ana@example.com não pode"}]}).encode()


@pytest.mark.parametrize("status", [200, 201, 404])
def test_success_and_absence_are_no_errors(status: int) -> None:
    """An object that does not exist is an answer, not a fault."""
    assert refusal(status, {}, b"", WHERE) is None


@pytest.mark.parametrize(
    ("status", "kind"),
    [
        (429, AsaasRateLimited),
        (500, AsaasUnavailable),
        (503, AsaasUnavailable),
        (401, AsaasKeyRefused),
        (403, AsaasKeyRefused),
        (400, AsaasRejected),
        (302, AsaasRejected),
    ],
)
def test_a_status_tells_the_kind_of_error(status: int, kind: type[BridgeError]) -> None:
    """Slow down, away, key refused and request refused are told apart, and the place is named."""
    error = refusal(status, {}, body("invalid_object"), WHERE)

    assert type(error) is kind
    assert str(WHERE) in str(error)
    assert str(status) in str(error)


@pytest.mark.parametrize(
    ("code", "said"),
    [
        ("invalid_environment", "other environment"),
        ("access_token_not_found", "single quotes"),
        ("invalid_access_token_format", "not whole"),
        ("invalid_access_token", "revoked"),
        ("something_new", "not valid"),
    ],
)
def test_a_refused_key_is_said_with_what_to_do(code: str, said: str) -> None:
    """Each documented code has its own sentence and remedy."""
    error = refusal(401, {}, body(code), WHERE)

    assert said in str(error)
    assert code in str(error)
    assert error is not None
    assert error.hint


@pytest.mark.parametrize(
    "odd",
    [
        b"",
        b"<html>",
        b"[]",
        b'{"errors": []}',
        b'{"errors": 3}',
        b'{"errors": [{"code": "a@b.com <x>"}]}',
        b"[" * 99999,
    ],
)
def test_a_body_never_gets_into_the_error(odd: bytes) -> None:
    """What is not a plain code is left out or reduced to its letters."""
    text = str(refusal(400, {}, odd, WHERE))

    assert "@" not in text
    assert "<" not in text


@pytest.mark.parametrize(
    ("headers", "seconds"),
    [
        ({"RateLimit-Reset": "30"}, 30.0),
        ({"Retry-After": "7"}, 7.0),
        ({"RateLimit-Reset": "30", "Retry-After": "7"}, 30.0),
        ({"RateLimit-Reset": "soon", "Retry-After": "7"}, 7.0),
        ({"RateLimit-Reset": "-3"}, None),
        ({"RateLimit-Reset": "999999"}, 300.0),
        ({"RateLimit-Reset": "1" * 400}, None),
        ({}, None),
    ],
)
def test_the_wait_that_is_asked_for_is_read_and_capped(headers: dict[str, str], seconds: float | None) -> None:
    """Seconds are honoured up to five minutes; anything else is no wait."""
    assert retry_after_s(httpx.Headers(headers)) == seconds


def test_a_429_without_headers_waits_a_little() -> None:
    """Too many GETs at once come without headers, and a short pause is enough."""
    error = refusal(429, {}, b"", WHERE)

    assert isinstance(error, AsaasRateLimited)
    assert error.retry_after_s == 10.0


@pytest.mark.parametrize(("remaining", "last"), [("0", True), ("1", False), ("", False)])
def test_the_last_allowed_answer_is_seen(remaining: str, last: bool) -> None:
    """A rate limit that is used up is known before the first 429."""
    assert spent(httpx.Headers({"ratelimit-remaining": remaining})) is last
