"""Posts payloads to Clint's webhook integrations, one try each.

Given a payload it leaves an `Answer`, whatever happens on the way: it never raises for the network's sake, never
follows a redirect, never waits longer than its deadline, and never lets the URL into a text.
"""

from __future__ import annotations

import json
import re
import ssl
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import UTC
from email.utils import parsedate_to_datetime
from queue import SimpleQueue
from typing import Any, cast

import httpx

from bridge.http import HttpClient, NameNotResolved, PrivateAddress, check_url, new_request
from bridge.logs import logger
from bridge.messages import Message
from bridge.model import Outcome
from bridge.redaction import redact

WORTH_ANOTHER_TRY = frozenset({408, 425, 429})
"""Answers below 500 that say "not now" rather than "no"."""

RETRY_AFTER_CAP_S = 86_400.0
"""A destination that asks for more than a day is not believed."""


@dataclass(frozen=True, slots=True)
class Verdict:
    """What an answer, or its absence, means."""

    outcome: Outcome
    code: str
    detail: str
    retry_after_s: float | None = None


@dataclass(frozen=True, slots=True)
class Answer:
    """What became of one POST."""

    outcome: Outcome
    status: int | None
    code: str
    detail: str
    retry_after_s: float | None
    duration_ms: int
    excerpt: str
    """The beginning of the answer's body, redacted."""


def classify(status: int, headers: Mapping[str, str], now_ms: int) -> Verdict:
    """Return what the answer means."""
    detail = f"the destination answered {status}"
    if 200 <= status < 300:
        return Verdict(Outcome.DELIVERED, "clint.ok", detail)
    if status in {404, 410}:
        return Verdict(
            Outcome.REMOVED,
            "clint.removed",
            f"{detail}: the integration was removed in Clint; set the destination's new URL and resume it",
        )
    if 300 <= status < 400:
        return Verdict(
            Outcome.REJECTED,
            "clint.redirect",
            f"{detail}: redirects are not followed; copy the integration's URL from Clint again",
        )
    code = f"clint.http_{status}"
    if 400 <= status < 500 and status not in WORTH_ANOTHER_TRY:
        return Verdict(Outcome.REJECTED, code, detail)
    return Verdict(Outcome.RETRY, code, detail, retry_after_s(headers, now_ms))


def retry_after_s(headers: Mapping[str, str], now_ms: int) -> float | None:
    """Return the seconds that `Retry-After` asks to wait, or None where it says nothing that makes sense."""
    text = next((value.strip() for name, value in headers.items() if name.lower() == "retry-after"), "")
    if re.fullmatch(r"[0-9]{1,18}(\.[0-9]{1,9})?", text):
        return min(float(text), RETRY_AFTER_CAP_S)
    try:
        moment = parsedate_to_datetime(text)
        # A date without a zone is UTC: HTTP knows no other.
        seconds = moment.replace(tzinfo=moment.tzinfo or UTC).timestamp() - now_ms / 1000
    except (ValueError, TypeError, IndexError, OverflowError):
        return None
    return min(seconds, RETRY_AFTER_CAP_S) if seconds > 0 else None


log = logger(__name__)

DEADLINE_S = 10.0

MAX_BODY_BYTES = 4096
"""The beginning of an answer that is read."""
MAX_EXCERPT = 500

_NOT_JSON = (b"NaN", b"Infinity")


class ClintClient:
    """Sends deliveries, many at once; threads may share it."""

    def __init__(
        self,
        http: HttpClient,
        *,
        deadline_s: float = DEADLINE_S,
        clock_ms: Callable[[], int] = lambda: round(time.time() * 1000),
    ) -> None:
        self._http = http
        self._deadline_s = deadline_s
        self._clock_ms = clock_ms
        self._targets: dict[str, httpx.URL | Message] = {}

    def send_later(
        self,
        url: str,
        payload: str,
        idempotency_key: str,
        then: Callable[[Answer | None], None],
        *,
        traceparent: str = "",
        may_go: Callable[[], bool] = lambda: True,
    ) -> None:
        """Post a payload, as JSON text, once; `then` is given what became of it, in a thread that must not wait.

        It is given None where `may_go`, asked at the last moment, says no.
        """
        target = self._target(url)
        if isinstance(target, Message):
            # Nothing may be lost for a typing error in a setting: the destination pauses until a person mends it.
            detail = f"the destination's URL {target}; mend it and resume the destination"
            then(_answer(Verdict(Outcome.REMOVED, "clint.url", detail)))
            return
        body = payload.encode(errors="replace")
        if any(word in body for word in _NOT_JSON) and not _is_json(payload):
            then(_not_json("a number that JSON does not know"))
            return
        headers = {"Content-Type": "application/json", "Idempotency-Key": idempotency_key}
        if traceparent:
            headers["traceparent"] = traceparent
        begun_s = 0.0

        def may_begin() -> bool:
            nonlocal begun_s
            begun_s = time.monotonic()
            return may_go()

        def tell(reply: httpx.Response | Exception | None) -> None:
            then(None if reply is None else self._conclude(reply, begun_s))

        self._http.send(
            new_request("POST", target, content=body, headers=headers),
            deadline_s=self._deadline_s,
            max_bytes=MAX_BODY_BYTES,
            may_start=may_begin,
            on_result=tell,
        )

    def _conclude(self, reply: httpx.Response | Exception, begun_s: float) -> Answer:
        duration_ms = round((time.monotonic() - begun_s) * 1000)
        if isinstance(reply, Exception):
            return _answer(_fault(reply, self._deadline_s), duration_ms)
        try:
            verdict = classify(reply.status_code, reply.headers, self._clock_ms())
            return _answer(verdict, duration_ms, reply.status_code, _excerpt(reply.content))
        except Exception as error:
            # A fault of ours must not leave the delivery without an answer: it would be waited for until the end.
            log.exception("delivery.fault", status=reply.status_code)
            detail = f"the bridge failed to read the answer ({type(error).__name__}); the log has the details"
            return _answer(Verdict(Outcome.RETRY, "bridge.fault", detail), duration_ms, reply.status_code)

    def send(self, url: str, payload: Mapping[str, Any], idempotency_key: str, *, traceparent: str = "") -> Answer:
        """Post the payload once, wait, and return what became of it."""
        try:
            text = json.dumps(payload, ensure_ascii=False, allow_nan=False)
        except (TypeError, ValueError) as error:
            return _not_json(type(error).__name__)
        answers: SimpleQueue[Answer | None] = SimpleQueue()
        self.send_later(url, text, idempotency_key, answers.put, traceparent=traceparent)
        return cast("Answer", answers.get())

    def _target(self, url: str) -> httpx.URL | Message:
        """Return where the URL leads, or what is wrong with it; the environment names the URLs, so they are few."""
        if url not in self._targets:
            self._targets[url] = check_url(url, self._http.allow_private) or httpx.URL(url)
        return self._targets[url]


def _answer(verdict: Verdict, duration_ms: int = 0, status: int | None = None, excerpt: str = "") -> Answer:
    return Answer(
        outcome=verdict.outcome,
        status=status,
        code=verdict.code,
        detail=verdict.detail,
        retry_after_s=verdict.retry_after_s,
        duration_ms=duration_ms,
        excerpt=excerpt,
    )


def _is_json(text: str) -> bool:
    """Return whether a strict reader takes it: Python's own writes and reads three numbers that JSON has not."""
    unknown: list[str] = []
    json.loads(text, parse_constant=unknown.append)
    return not unknown


def _not_json(why: str) -> Answer:
    # The same payload would fail again.
    return _answer(Verdict(Outcome.REJECTED, "clint.payload", f"the payload is no JSON: {why}"))


def _excerpt(body: bytes) -> str:
    """Return the beginning of the answer."""
    # Redacted before it is cut, lest half a secret escape the patterns; NUL is what PostgreSQL refuses in a text.
    text = body.decode(errors="replace").replace("\x00", "\ufffd")
    return redact(text)[:MAX_EXCERPT]


def _fault(error: Exception, deadline_s: float) -> Verdict:
    if isinstance(error, httpx.TimeoutException):
        return Verdict(
            Outcome.RETRY, "clint.timeout", f"no answer within {deadline_s:g} s; whether it was received is not known"
        )
    if isinstance(error, PrivateAddress):
        return Verdict(
            Outcome.RETRY,
            "clint.private_address",
            "the destination's name resolves to an address of this machine or network, where nothing is sent",
        )
    if isinstance(error, NameNotResolved):
        return Verdict(Outcome.RETRY, "clint.dns", "the destination's name could not be resolved")
    if isinstance(error.__cause__, ssl.SSLError):
        return Verdict(Outcome.RETRY, "clint.tls", "no secure connection to the destination could be made")
    # The texts of these errors are the client's own; any other may carry an address.
    why = str(error) if isinstance(error, httpx.TransportError) else type(error).__name__
    return Verdict(Outcome.RETRY, "clint.connection", f"the connection failed: {why}")
