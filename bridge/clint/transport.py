"""The connections to the APIs of Asaas and Clint: guarded, and bounded as a whole. Deliveries go by `poster`.

Given a request it leaves the answer, or one of httpx's own errors. Two things httpx does not do by itself: a name that
resolves to an address of this machine or network is not connected to, judged on the very address that is used; and a
request whose extension `deadline_s` says so ends then, however slowly the other side lets its bytes drip. httpx's
read timeout begins anew with every byte, so a dribbling server could hold a worker for hours.
"""

from __future__ import annotations

import ssl
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from http.cookiejar import CookieJar, DefaultCookiePolicy

import httpcore
import httpx

from bridge.certificates import authorities
from bridge.clint.network import KEEPALIVE_S, GuardedBackend, resolve, until

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


def http_client(*, allow_private: bool, ssl_context: ssl.SSLContext | None = None) -> GuardedClient:
    """Return a client whose connections are guarded; threads may share it."""
    return GuardedClient(GuardedTransport(allow_private=allow_private, ssl_context=ssl_context))


class _Pool(httpcore.ConnectionPool):
    """httpcore's pool, on the guarded network."""

    def __init__(self, backend: GuardedBackend, ssl_context: ssl.SSLContext | None) -> None:
        super().__init__(max_connections=None, keepalive_expiry=KEEPALIVE_S)
        self._backend = backend
        self._secure = ssl_context

    def create_connection(self, origin: httpcore.Origin) -> httpcore.ConnectionInterface:
        """Return a connection that is not made yet; the authorities are read for the first one that needs them."""
        secure = (self._secure or authorities()) if origin.scheme == b"https" else None
        return httpcore.HTTPConnection(
            origin, ssl_context=secure, keepalive_expiry=KEEPALIVE_S, network_backend=self._backend
        )


class GuardedTransport(httpx.BaseTransport):
    """A pool of kept connections; how many are open at once is bounded by those who use it."""

    def __init__(
        self,
        *,
        allow_private: bool,
        ssl_context: ssl.SSLContext | None = None,
        resolve: Callable[[str, int, float | None], list[str]] = resolve,
    ) -> None:
        self._pool = _Pool(GuardedBackend(allow_private, resolve), ssl_context)

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
        with until(ends_at_s), _as_httpx():
            answer = self._pool.handle_request(asked)
        return httpx.Response(
            answer.status, headers=answer.headers, stream=_Body(answer, ends_at_s), extensions=answer.extensions
        )

    def close(self) -> None:
        """Close every connection that no request uses."""
        self._pool.close()


class _Body(httpx.SyncByteStream):
    def __init__(self, answer: httpcore.Response, ends_at_s: float | None) -> None:
        self._answer = answer
        self._ends_at_s = ends_at_s

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


@contextmanager
def _as_httpx() -> Iterator[None]:
    try:
        yield
    except tuple(_ERRORS) as error:
        kind = next(there for here, there in _ERRORS.items() if isinstance(error, here))
        raise kind(str(error)) from error
