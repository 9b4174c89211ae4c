"""Posts payloads to Clint's webhook integrations, one try each.

Given a payload it leaves an `Answer`, whatever happens on the way: it never raises for the network's sake, never
follows a redirect, never waits longer than its deadline, and never lets the URL into a text.
"""

from __future__ import annotations

import json
import socket
import ssl
import time
from collections.abc import Iterator, Mapping
from typing import Any

import httpx

from bridge import __version__
from bridge.clint.answer import Answer, Verdict, classify
from bridge.clint.transport import NameNotResolved, PrivateAddress
from bridge.clint.url import check_url
from bridge.model import Outcome
from bridge.redaction import redact

DEADLINE_S = 10.0
CONNECT_TIMEOUT_S = 5.0

MAX_ANSWER_BYTES = 64 * 1024
MAX_EXCERPT = 500


class ClintClient:
    """What sends deliveries; threads may share it."""

    def __init__(self, http: httpx.Client, *, deadline_s: float = DEADLINE_S, allow_private: bool = False) -> None:
        self._http = http
        self._deadline_s = deadline_s
        self._allow_private = allow_private

    def send(self, url: str, payload: Mapping[str, Any], idempotency_key: str, now_ms: int | None = None) -> Answer:
        """Post the payload once and return what became of it; `now_ms` is what a `Retry-After` date is held against."""
        started_s = time.monotonic()
        status: int | None = None
        excerpt = ""
        verdict = self._problem_with(url)
        if verdict is None:
            try:
                body = json.dumps(payload, ensure_ascii=False, allow_nan=False).encode(errors="replace")
                status, headers, excerpt = self._post(url, body, idempotency_key, started_s)
                verdict = classify(status, headers, round(time.time() * 1000) if now_ms is None else now_ms)
            except httpx.TransportError as error:
                verdict = _fault(error, self._deadline_s)
            except (TypeError, ValueError) as error:
                # The same payload would fail again: a value that JSON does not know.
                verdict = Verdict(Outcome.REJECTED, "clint.payload", f"the payload is no JSON: {type(error).__name__}")
        return Answer(
            outcome=verdict.outcome,
            status=status,
            code=verdict.code,
            detail=verdict.detail,
            retry_after_s=verdict.retry_after_s,
            duration_ms=round((time.monotonic() - started_s) * 1000),
            excerpt=excerpt,
        )

    def _problem_with(self, url: str) -> Verdict | None:
        problem = check_url(url, self._allow_private)
        if problem is None:
            return None
        # Nothing may be lost for a typing error in a setting: the destination pauses until a person mends it.
        return Verdict(
            Outcome.REMOVED, "clint.url", f"the destination's URL {problem}; mend it and resume the destination"
        )

    def _post(self, url: str, body: bytes, idempotency_key: str, started_s: float) -> tuple[int, httpx.Headers, str]:
        with self._http.stream(
            "POST",
            url,
            content=body,
            headers={
                "Content-Type": "application/json",
                "Idempotency-Key": idempotency_key,
                "User-Agent": f"asaas-clint-bridge/{__version__}",
                # So that what is read of the answer is text, and a small answer can't unfold into a large one.
                "Accept-Encoding": "identity",
            },
            timeout=httpx.Timeout(self._deadline_s, connect=min(CONNECT_TIMEOUT_S, self._deadline_s)),
            follow_redirects=False,
            extensions={"deadline_s": self._deadline_s},
        ) as answer:
            return answer.status_code, answer.headers, _excerpt(answer.iter_raw(), started_s + self._deadline_s)


def _excerpt(chunks: Iterator[bytes], ends_at_s: float) -> str:
    """Return the beginning of the answer; the status already tells the outcome, so a broken body is just cut short."""
    found = bytearray()
    try:
        for chunk in chunks:
            found += chunk
            if len(found) >= MAX_ANSWER_BYTES or time.monotonic() > ends_at_s:
                break
    except httpx.TransportError:
        pass
    # Redacted before it is cut, lest half a secret escape the patterns; NUL is what PostgreSQL refuses in a text.
    text = found[: MAX_EXCERPT * 8].decode(errors="replace").replace("\x00", "\ufffd")
    return redact(text)[:MAX_EXCERPT]


def _fault(error: httpx.TransportError, deadline_s: float) -> Verdict:
    if isinstance(error, httpx.TimeoutException):
        return Verdict(
            Outcome.RETRY, "clint.timeout", f"no answer within {deadline_s:g} s; whether it was received is not known"
        )
    causes = list(_causes(error))
    if any(isinstance(cause, PrivateAddress) for cause in causes):
        return Verdict(
            Outcome.RETRY,
            "clint.private_address",
            "the destination's name resolves to an address of this machine or network, where nothing is sent",
        )
    if any(isinstance(cause, NameNotResolved | socket.gaierror) for cause in causes):
        return Verdict(Outcome.RETRY, "clint.dns", "the destination's name could not be resolved")
    if any(isinstance(cause, ssl.SSLError) for cause in causes):
        return Verdict(Outcome.RETRY, "clint.tls", "no secure connection to the destination could be made")
    return Verdict(Outcome.RETRY, "clint.connection", f"the connection failed: {type(error).__name__}")


def _causes(error: BaseException | None) -> Iterator[BaseException]:
    while error is not None:
        yield error
        error = error.__cause__ or error.__context__
