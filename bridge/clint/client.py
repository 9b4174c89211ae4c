"""Posts payloads to Clint's webhook integrations, one try each.

Given a payload it leaves an `Answer`, whatever happens on the way: it never raises for the network's sake, never
follows a redirect, never waits longer than its deadline, and never lets the URL into a text.
"""

from __future__ import annotations

import json
import ssl
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from queue import SimpleQueue
from types import TracebackType
from typing import Any, Self, cast

import httpx

from bridge import __version__
from bridge.clint.answer import Answer, Verdict, classify
from bridge.clint.connection import NoAnswer, Origin, Reply
from bridge.clint.network import KEEPALIVE_S, NameNotResolved, PrivateAddress, lookup
from bridge.clint.poster import Post, Poster
from bridge.clint.url import check_url
from bridge.logs import logger
from bridge.model import Outcome
from bridge.redaction import redact

log = logger(__name__)

DEADLINE_S = 10.0

MAX_EXCERPT = 500

_NOT_JSON = (b"NaN", b"Infinity")
_STANDING = (
    "Accept: */*\r\n"
    # So that what is read of the answer is text, and a small answer can't unfold into a large one.
    "Accept-Encoding: identity\r\n"
    "Connection: keep-alive\r\n"
    f"User-Agent: asaas-clint-bridge/{__version__}\r\n"
    "Content-Type: application/json\r\n"
)

_HTTPS = 443
_HTTP = 80


@dataclass(frozen=True, slots=True)
class _Target:
    """A destination's URL as a request needs it."""

    origin: Origin
    head: str


class ClintClient:
    """What sends deliveries, many at once; threads may share it. Closed at the end of a `with` block."""

    def __init__(
        self,
        *,
        deadline_s: float = DEADLINE_S,
        allow_private: bool = False,
        ssl_context: ssl.SSLContext | None = None,
        lookup: Callable[[str, int], list[str]] = lookup,
        keepalive_s: float = KEEPALIVE_S,
        clock_ms: Callable[[], int] = lambda: round(time.time() * 1000),
    ) -> None:
        self._poster = Poster(
            allow_private=allow_private, ssl_context=ssl_context, lookup=lookup, keepalive_s=keepalive_s
        )
        self._deadline_s = deadline_s
        self._allow_private = allow_private
        self._clock_ms = clock_ms
        self._targets: dict[str, _Target | str] = {}

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """Close every connection; what is not answered yet ends as a failed connection."""
        self._poster.close()

    def begin(
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
        if isinstance(target, str):
            # Nothing may be lost for a typing error in a setting: the destination pauses until a person mends it.
            detail = f"the destination's URL {target}; mend it and resume the destination"
            then(_answer(Verdict(Outcome.REMOVED, "clint.url", detail)))
            return
        body = payload.encode(errors="replace")
        if any(word in body for word in _NOT_JSON) and not _is_json(payload):
            then(_not_json("a number that JSON does not know"))
            return
        trace = f"traceparent: {traceparent}\r\n" if traceparent else ""
        head = (
            f"{target.head}{_STANDING}Idempotency-Key: {idempotency_key}\r\n{trace}Content-Length: {len(body)}\r\n\r\n"
        )
        begun_s = 0.0

        def may_begin() -> bool:
            nonlocal begun_s
            begun_s = time.monotonic()
            return may_go()

        def tell(reply: Reply | Exception | None) -> None:
            then(None if reply is None else self._concluded(reply, begun_s))

        self._poster.post(Post(target.origin, head.encode() + body, self._deadline_s, may_begin, tell))

    def _concluded(self, reply: Reply | Exception, begun_s: float) -> Answer:
        duration_ms = round((time.monotonic() - begun_s) * 1000)
        if isinstance(reply, Exception):
            return _answer(_fault(reply, self._deadline_s), duration_ms)
        said = {name.decode("latin-1"): value.decode("latin-1") for name, value in reply.headers}
        try:
            verdict = classify(reply.status, said, self._clock_ms())
            return _answer(verdict, duration_ms, reply.status, _excerpt(reply.body))
        except Exception as error:
            # A fault of ours must not leave the delivery without an answer: it would be waited for until the end.
            log.exception("delivery.fault", status=reply.status)
            detail = f"the bridge failed to read the answer ({type(error).__name__}); the log has the details"
            return _answer(Verdict(Outcome.RETRY, "bridge.fault", detail), duration_ms, reply.status)

    def send(self, url: str, payload: Mapping[str, Any], idempotency_key: str, *, traceparent: str = "") -> Answer:
        """Post the payload once, wait, and return what became of it."""
        try:
            text = json.dumps(payload, ensure_ascii=False, allow_nan=False)
        except (TypeError, ValueError) as error:
            return _not_json(type(error).__name__)
        answers: SimpleQueue[Answer | None] = SimpleQueue()
        self.begin(url, text, idempotency_key, answers.put, traceparent=traceparent)
        return cast("Answer", answers.get())

    def _target(self, url: str) -> _Target | str:
        """Return where the URL leads, or what is wrong with it; the environment names the URLs, so they are few."""
        if url not in self._targets:
            self._targets[url] = check_url(url, self._allow_private) or _target_of(httpx.URL(url))
        return self._targets[url]


def _target_of(url: httpx.URL) -> _Target:
    secure = url.scheme == "https"
    origin = Origin(secure, url.raw_host.decode("ascii"), url.port or (_HTTPS if secure else _HTTP))
    head = f"POST {url.raw_path.decode('ascii')} HTTP/1.1\r\nHost: {url.netloc.decode('ascii')}\r\n"
    return _Target(origin, head)


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


def _excerpt(body: bytearray) -> str:
    """Return the beginning of the answer."""
    # Redacted before it is cut, lest half a secret escape the patterns; NUL is what PostgreSQL refuses in a text.
    text = body.decode(errors="replace").replace("\x00", "\ufffd")
    return redact(text)[:MAX_EXCERPT]


def _fault(error: Exception, deadline_s: float) -> Verdict:
    if isinstance(error, TimeoutError):
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
    if isinstance(error, ssl.SSLError):
        return Verdict(Outcome.RETRY, "clint.tls", "no secure connection to the destination could be made")
    why = str(error) if isinstance(error, NoAnswer) else type(error).__name__
    return Verdict(Outcome.RETRY, "clint.connection", f"the connection failed: {why}")
