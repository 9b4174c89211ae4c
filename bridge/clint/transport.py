"""The connections to destinations and to the Asaas API: guarded, and bounded as a whole.

Given a request it leaves the answer, or one of httpx's own errors. Two things httpx does not do by itself: a name that
resolves to an address of this machine or network is not connected to, judged on the very address that is used; and a
request whose extension `deadline_s` says so ends then, however slowly the other side lets its bytes drip. httpx's
read timeout begins anew with every byte, so a dribbling server could hold a worker for hours.
"""

from __future__ import annotations

import ssl
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from http.cookiejar import CookieJar, DefaultCookiePolicy

import httpcore
import httpx

from bridge.certificates import authorities
from bridge.clint.connections import Connections
from bridge.clint.network import GuardedBackend, resolve, until

KEEPALIVE_S = 4.0
"""Shorter than the 5 s after which common servers close an idle connection: one closed in the same moment in which it
is used again is a failed attempt."""

_ERRORS: dict[type[Exception], type[httpx.TransportError]] = {
    httpcore.ConnectTimeout: httpx.ConnectTimeout,
    httpcore.ReadTimeout: httpx.ReadTimeout,
    httpcore.WriteTimeout: httpx.WriteTimeout,
    httpcore.ConnectError: httpx.ConnectError,
    httpcore.ReadError: httpx.ReadError,
    httpcore.WriteError: httpx.WriteError,
    httpcore.RemoteProtocolError: httpx.RemoteProtocolError,
    httpcore.LocalProtocolError: httpx.LocalProtocolError,
    httpcore.UnsupportedProtocol: httpx.UnsupportedProtocol,
}


class GuardedClient(httpx.Client):
    """A client whose connections are guarded; threads may share it."""

    def __init__(self, transport: GuardedTransport) -> None:
        super().__init__(
            transport=transport,
            # A cookie of one destination has no business in the next request.
            cookies=CookieJar(DefaultCookiePolicy(allowed_domains=[])),
            trust_env=False,
        )
        self.guarded = transport


def http_client(*, allow_private: bool, ssl_context: ssl.SSLContext | None = None) -> GuardedClient:
    """Return a client whose connections are guarded; threads may share it."""
    return GuardedClient(GuardedTransport(allow_private=allow_private, ssl_context=ssl_context))


class GuardedTransport(httpx.BaseTransport):
    """A pool of kept connections; how many are open at once is bounded by the workers that use it."""

    def __init__(
        self,
        *,
        allow_private: bool,
        ssl_context: ssl.SSLContext | None = None,
        resolve: Callable[[str, int, float | None], list[str]] = resolve,
    ) -> None:
        def secure(origin: httpcore.Origin) -> ssl.SSLContext | None:
            return (ssl_context or authorities()) if origin.scheme == b"https" else None

        backend = GuardedBackend(allow_private, resolve)
        self._connections = Connections(
            lambda origin: httpcore.HTTPConnection(
                origin, ssl_context=secure(origin), keepalive_expiry=KEEPALIVE_S, network_backend=backend
            )
        )

    def handle_request(self, request: httpx.Request) -> httpx.Response:
        """Send the request and return the answer, its body still unread."""
        deadline_s = request.extensions.get("deadline_s")
        ends_at_s = None if deadline_s is None else time.monotonic() + deadline_s
        asked = httpcore.Request(
            method=request.method,
            url=httpcore.URL(
                scheme=request.url.raw_scheme,
                host=request.url.raw_host,
                port=request.url.port,
                target=request.url.raw_path,
            ),
            headers=request.headers.raw,
            content=request.stream,
            extensions=request.extensions,
        )
        answer, give_back = self._begin(asked, ends_at_s)
        body = _Body(answer, ends_at_s, give_back)
        return httpx.Response(answer.status, headers=answer.headers, stream=body, extensions=answer.extensions)

    @contextmanager
    def post(
        self,
        url: httpcore.URL,
        headers: Sequence[tuple[bytes, bytes]],
        body: bytes,
        *,
        deadline_s: float,
        connect_s: float,
    ) -> Iterator[tuple[httpcore.Response, Iterator[bytes]]]:
        """Post a body as it is and give the answer with the pieces of its own body, all within the deadline.

        The same as a request of httpx, without what a webhook needs none of: cookies, redirects, authentication,
        encodings and hooks, which take more time than the rest of the request.
        """
        ends_at_s = time.monotonic() + deadline_s
        timeout = {"connect": connect_s, "read": deadline_s, "write": deadline_s}
        asked = httpcore.Request(b"POST", url, headers=headers, content=body, extensions={"timeout": timeout})
        answer, give_back = self._begin(asked, ends_at_s)
        pieces = _Body(answer, ends_at_s, give_back)
        try:
            yield answer, iter(pieces)
        finally:
            pieces.close()

    def _begin(self, asked: httpcore.Request, ends_at_s: float | None) -> tuple[httpcore.Response, Callable[[], None]]:
        with until(ends_at_s), _as_httpx():
            if asked.url.scheme not in {b"http", b"https"}:
                raise httpcore.UnsupportedProtocol("only http and https are spoken")
            origin = asked.url.origin
            connection = self._connections.take(origin)
            try:
                answer = connection.handle_request(asked)
            except BaseException:
                connection.close()
                raise
        return answer, lambda: self._connections.give(origin, connection)

    def close(self) -> None:
        """Close every connection that no request uses."""
        self._connections.close()


class _Body(httpx.SyncByteStream):
    def __init__(self, answer: httpcore.Response, ends_at_s: float | None, give_back: Callable[[], None]) -> None:
        self._answer = answer
        self._ends_at_s = ends_at_s
        self._give_back: Callable[[], None] | None = give_back

    def __iter__(self) -> Iterator[bytes]:
        chunks = self._answer.iter_stream()
        while True:
            # Set for each chunk anew: between two of them the caller's own code runs.
            with until(self._ends_at_s), _as_httpx():
                chunk = next(chunks, None)
            if chunk is None:
                return
            yield chunk

    def close(self) -> None:
        self._answer.close()
        if self._give_back is not None:
            self._give_back()
        self._give_back = None  # once: else two requests would share the connection


@contextmanager
def _as_httpx() -> Iterator[None]:
    try:
        yield
    except tuple(_ERRORS) as error:
        kind = next(there for here, there in _ERRORS.items() if isinstance(error, here))
        raise kind(str(error)) from error
