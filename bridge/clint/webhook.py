"""Posts payloads to Clint's webhook integrations, once each, and classifies the answers.

A POST always has an `Answer`: network errors are answers too. The client follows no redirect, keeps to its deadline and
never writes the URL, which is a secret, into a text.
"""

from __future__ import annotations

import json
import re
import ssl
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from datetime import UTC
from email.utils import parsedate_to_datetime
from queue import SimpleQueue
from typing import Any, cast

import httpx

from bridge.http import HttpClient, NameNotResolved, PrivateAddress, check_url
from bridge.logs import logger
from bridge.messages import N_, Message
from bridge.model import Outcome
from bridge.redaction import redact

log = logger(__name__)

TEMPORARY = frozenset({408, 425, 429})
"""Statuses below 500 after which a retry may succeed."""
RETRY_AFTER_CAP_S = 86_400.0
"""A longer `Retry-After` counts as a day."""
DEADLINE_S = 10.0
MAX_BODY_BYTES = 4096
"""The client reads no more of an answer."""
MAX_EXCERPT = 500
_NOT_JSON = (b"NaN", b"Infinity")


@dataclass(frozen=True, slots=True)
class Answer:
    outcome: Outcome
    status: int | None
    """None where no answer came."""
    code: str
    detail: Message
    retry_after_s: float | None = None
    duration_ms: int = 0
    excerpt: str = ""
    """The beginning of the answer's body, redacted."""
    opens_circuit: bool = True
    """Whether a failure may open the destination's circuit; not where it answers other requests meanwhile."""


_REMOVED = N_("{answer}: the integration was removed in Clint; set the destination's new URL and resume it")
_BAD_URL = N_("the destination's URL {problem}; fix it and resume the destination")


def asks_for_url(reason: str | None) -> bool:
    """Return whether a stored reason of a pause, or of a delivery that waits for it, asks for another URL."""
    return any(text in (reason or "") for text in (_REMOVED, _BAD_URL))


def classify(status: int, headers: Mapping[str, str], now_ms: int) -> Answer:
    """Return the outcome that a status stands for."""
    detail = Message(N_("the destination answered {status}"), {"status": status})
    if 200 <= status < 300:
        return Answer(Outcome.DELIVERED, status, "clint.ok", detail)
    if status in {404, 410}:
        return Answer(Outcome.REMOVED, status, "clint.removed", Message(_REMOVED, {"answer": detail}))
    if 300 <= status < 400:
        redirect = N_("{answer}: redirects are not followed; copy the integration's URL from Clint again")
        return Answer(Outcome.REJECTED, status, "clint.redirect", Message(redirect, {"answer": detail}))
    code = f"clint.http_{status}"
    if 400 <= status < 500 and status not in TEMPORARY:
        return Answer(Outcome.REJECTED, status, code, detail)
    return Answer(Outcome.RETRY, status, code, detail, retry_after_s(headers, now_ms))


def retry_after_s(headers: Mapping[str, str], now_ms: int) -> float | None:
    """Return the seconds of `Retry-After` (a number or a date); None where the header is missing, past or garbage."""
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


class ClintClient:
    """Posts deliveries, many at once; threads may share it."""

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
        on_result: Callable[[Answer | None], None],
        *,
        traceparent: str = "",
        may_start: Callable[[], bool] = lambda: True,
    ) -> None:
        """Post a payload, as JSON text, once; call `on_result` with the answer, in a thread that must not block.

        `may_start` is called immediately before the request; where it returns False nothing is sent and the result is
        None.
        """
        target = self._target(url)
        if isinstance(target, Message):
            # A typing error in a setting must lose no delivery: the destination pauses until the URL is right.
            on_result(Answer(Outcome.REMOVED, None, "clint.url", Message(_BAD_URL, {"problem": target})))
            return
        body = payload.encode(errors="replace")
        if any(word in body for word in _NOT_JSON) and not _is_json(payload):
            on_result(_not_json("NaN, Infinity"))
            return
        headers = {"Content-Type": "application/json", "Idempotency-Key": idempotency_key}
        if traceparent:
            headers["traceparent"] = traceparent
        started_s = 0.0

        def start() -> bool:
            nonlocal started_s
            started_s = time.monotonic()
            return may_start()

        def finish(reply: httpx.Response | Exception | None) -> None:
            duration_ms = round((time.monotonic() - started_s) * 1000)
            on_result(None if reply is None else replace(self._answer(reply), duration_ms=duration_ms))

        self._http.send(
            target,
            body,
            headers,
            deadline_s=self._deadline_s,
            max_bytes=MAX_BODY_BYTES,
            may_start=start,
            on_result=finish,
        )

    def send(self, url: str, payload: Mapping[str, Any], idempotency_key: str) -> Answer:
        """Post a payload once, wait and return the answer."""
        try:
            text = json.dumps(payload, ensure_ascii=False, allow_nan=False)
        except (TypeError, ValueError) as error:
            return _not_json(type(error).__name__)
        answers: SimpleQueue[Answer | None] = SimpleQueue()
        self.send_later(url, text, idempotency_key, answers.put)
        return cast("Answer", answers.get())

    def _target(self, url: str) -> httpx.URL | Message:
        """Return the parsed URL, or the rule that it breaks; destinations are few, so each is parsed once."""
        if url not in self._targets:
            self._targets[url] = check_url(url, self._http.allow_private) or httpx.URL(url)
        return self._targets[url]

    def _answer(self, reply: httpx.Response | Exception) -> Answer:
        if isinstance(reply, Exception):
            return _unanswered(reply, self._deadline_s)
        try:
            answer = classify(reply.status_code, reply.headers, self._clock_ms())
            return replace(answer, excerpt=_excerpt(reply.content))
        except Exception as error:
            # Without an answer the delivery would count as in flight until the process ends.
            log.exception("delivery.fault", status=reply.status_code)
            failed = N_("the bridge failed to read the answer ({error}); the log has the details")
            detail = Message(failed, {"error": type(error).__name__})
            return Answer(Outcome.RETRY, reply.status_code, "bridge.fault", detail)


def _is_json(text: str) -> bool:
    """Return whether JSON has every number of the text: Python's own reader and writer know three more."""
    unknown: list[str] = []
    json.loads(text, parse_constant=unknown.append)
    return not unknown


def _not_json(problem: str) -> Answer:
    detail = Message(N_("the payload is not JSON: {problem}"), {"problem": problem})
    return Answer(Outcome.REJECTED, None, "clint.payload", detail)  # the same payload would fail again


def _excerpt(body: bytes) -> str:
    # Redacted before it is cut, or half a secret could escape the patterns; PostgreSQL refuses NUL in a text.
    text = body.decode(errors="replace").replace("\x00", "\ufffd")
    return redact(text)[:MAX_EXCERPT]


def _unanswered(error: Exception, deadline_s: float) -> Answer:
    if isinstance(error, httpx.TimeoutException):
        timeout = N_("no answer within {seconds:g} s; whether it was received is not known")
        return _retry("clint.timeout", Message(timeout, {"seconds": deadline_s}))
    if isinstance(error, PrivateAddress):
        private = N_("the destination's name resolves to an address of this machine or network, where nothing is sent")
        return _retry("clint.private_address", Message(private))
    if isinstance(error, NameNotResolved):
        return _retry("clint.dns", Message(N_("the destination's name could not be resolved")))
    if isinstance(error.__cause__, ssl.SSLError):
        return _retry("clint.tls", Message(N_("no secure connection to the destination could be made")))
    # Transport errors have texts of the client's own, message ids; the text of any other error may hold an address.
    problem = Message(str(error)) if isinstance(error, httpx.TransportError) else type(error).__name__
    return _retry("clint.connection", Message(N_("the connection failed: {problem}"), {"problem": problem}))


def _retry(code: str, detail: Message) -> Answer:
    return Answer(Outcome.RETRY, None, code, detail)
