"""Posts payloads to Clint's webhook integrations, one try each.

Given a payload it leaves an `Answer`, whatever happens on the way: it never raises for the network's sake, never
follows a redirect, never waits longer than its deadline, and never lets the URL into a text.
"""

from __future__ import annotations

import json
import ssl
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import httpcore
import httpx

from bridge import __version__
from bridge.clint.answer import Answer, Verdict, classify
from bridge.clint.network import NameNotResolved, PrivateAddress
from bridge.clint.transport import GuardedClient
from bridge.clint.url import check_url
from bridge.model import Outcome
from bridge.redaction import redact

DEADLINE_S = 10.0
CONNECT_TIMEOUT_S = 5.0

MAX_ANSWER_BYTES = 64 * 1024
MAX_EXCERPT = 500

_HEADERS = (
    (b"Accept", b"*/*"),
    # So that what is read of the answer is text, and a small answer can't unfold into a large one.
    (b"Accept-Encoding", b"identity"),
    (b"Connection", b"keep-alive"),
    (b"User-Agent", f"asaas-clint-bridge/{__version__}".encode()),
    (b"Content-Type", b"application/json"),
)


@dataclass(frozen=True, slots=True)
class _Target:
    """A destination's URL as a request needs it, or what is wrong with it."""

    url: httpcore.URL | None
    host: bytes
    problem: str | None


class ClintClient:
    """What sends deliveries; threads may share it."""

    def __init__(self, http: GuardedClient, *, deadline_s: float = DEADLINE_S, allow_private: bool = False) -> None:
        self._http = http
        self._deadline_s = deadline_s
        self._connect_s = min(CONNECT_TIMEOUT_S, deadline_s)
        self._allow_private = allow_private
        self._targets: dict[str, _Target] = {}

    def send(
        self,
        url: str,
        payload: Mapping[str, Any],
        idempotency_key: str,
        now_ms: int | None = None,
        *,
        traceparent: str = "",
    ) -> Answer:
        """Post the payload once and return what became of it; `now_ms` is what a `Retry-After` date is held against."""
        started_s = time.monotonic()
        status: int | None = None
        excerpt = ""
        target = self._target(url)
        if target.url is None:
            # Nothing may be lost for a typing error in a setting: the destination pauses until a person mends it.
            detail = f"the destination's URL {target.problem}; mend it and resume the destination"
            verdict = Verdict(Outcome.REMOVED, "clint.url", detail)
        else:
            try:
                body = json.dumps(payload, ensure_ascii=False, allow_nan=False).encode(errors="replace")
                headers = (
                    (b"Host", target.host),
                    *_HEADERS,
                    (b"Idempotency-Key", idempotency_key.encode()),
                    *([(b"traceparent", traceparent.encode())] if traceparent else []),
                    (b"Content-Length", b"%d" % len(body)),
                )
                with self._http.guarded.post(
                    target.url, headers, body, deadline_s=self._deadline_s, connect_s=self._connect_s
                ) as (answer, pieces):
                    status = answer.status
                    excerpt = _excerpt(pieces, started_s + self._deadline_s)
                said = {name.decode("latin-1"): value.decode("latin-1") for name, value in answer.headers}
                verdict = classify(status, said, round(time.time() * 1000) if now_ms is None else now_ms)
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

    def _target(self, url: str) -> _Target:
        target = self._targets.get(url)
        if target is None:
            problem = check_url(url, self._allow_private)
            target = _Target(None, b"", problem)
            if problem is None:
                parts = httpx.URL(url)
                bare = httpcore.URL(
                    scheme=parts.raw_scheme, host=parts.raw_host, port=parts.port, target=parts.raw_path
                )
                target = _Target(bare, parts.netloc, None)
            self._targets[url] = target  # the environment names the URLs, so they are few
        return target


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
    if any(isinstance(cause, NameNotResolved) for cause in causes):
        return Verdict(Outcome.RETRY, "clint.dns", "the destination's name could not be resolved")
    if any(isinstance(cause, ssl.SSLError) for cause in causes):
        return Verdict(Outcome.RETRY, "clint.tls", "no secure connection to the destination could be made")
    return Verdict(Outcome.RETRY, "clint.connection", f"the connection failed: {type(error).__name__}")


def _causes(error: BaseException | None) -> Iterator[BaseException]:
    while error is not None:
        yield error
        error = error.__cause__ or error.__context__
