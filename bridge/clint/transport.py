"""The connections to destinations and to the Asaas API: guarded, and bounded as a whole.

Given a request it leaves the answer, or one of httpx's own errors. Two things httpx does not do by itself: a name that
resolves to an address of this machine or network is not connected to, judged on the very address that is used; and a
request whose extension `deadline_s` says so ends then, however slowly the other side lets its bytes drip. httpx's
read timeout begins anew with every byte, so a dribbling server could hold a worker for hours.
"""

from __future__ import annotations

import socket
import ssl
import threading
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from http.cookiejar import CookieJar, DefaultCookiePolicy
from typing import Any

import httpcore
import httpx

from bridge.clint.url import public_only

KEEPALIVE_S = 4.0
"""Shorter than the 5 s after which common servers close an idle connection: one closed in the same moment in which it
is used again is a failed attempt."""

MAX_IDLE_CONNECTIONS = 100

_ends_at_s: ContextVar[float | None] = ContextVar("ends_at_s", default=None)

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


class PrivateAddress(httpcore.ConnectError):
    """The host's name resolves to addresses of this machine or network only."""


class NameNotResolved(httpcore.ConnectError):
    """The host's name resolves to nothing."""


def http_client(*, allow_private: bool, ssl_context: ssl.SSLContext | None = None) -> httpx.Client:
    """Return a client whose connections are guarded; threads may share it."""
    return httpx.Client(
        transport=GuardedTransport(allow_private=allow_private, ssl_context=ssl_context),
        # A cookie of one destination has no business in the next request.
        cookies=CookieJar(DefaultCookiePolicy(allowed_domains=[])),
        trust_env=False,
    )


def resolve(host: str, port: int, timeout_s: float | None) -> list[str]:
    """Return the host's addresses; the system's own resolver has no timeout, so a thread asks it."""
    found: list[str] = []
    problem: list[OSError | UnicodeError] = []

    def ask() -> None:
        try:
            found.extend(str(info[4][0]) for info in socket.getaddrinfo(host, port, type=socket.SOCK_STREAM))
        except (OSError, UnicodeError) as error:
            problem.append(error)

    resolver = threading.Thread(target=ask, name="resolver", daemon=True)
    resolver.start()
    resolver.join(timeout_s)
    if problem:
        raise NameNotResolved(str(problem[0])) from problem[0]
    if not found:
        raise httpcore.ConnectTimeout("the host's name was not resolved in time")
    return list(dict.fromkeys(found))


class GuardedTransport(httpx.BaseTransport):
    """A pool of kept connections; how many are open at once is bounded by the workers that use it."""

    def __init__(
        self,
        *,
        allow_private: bool,
        ssl_context: ssl.SSLContext | None = None,
        resolve: Callable[[str, int, float | None], list[str]] = resolve,
    ) -> None:
        self._pool = httpcore.ConnectionPool(
            ssl_context=ssl_context or httpx.create_ssl_context(),
            max_connections=None,
            max_keepalive_connections=MAX_IDLE_CONNECTIONS,
            keepalive_expiry=KEEPALIVE_S,
            network_backend=_Backend(allow_private, resolve),
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
        with _until(ends_at_s), _as_httpx():
            answer = self._pool.handle_request(asked)
        return httpx.Response(
            answer.status, headers=answer.headers, stream=_Body(answer, ends_at_s), extensions=answer.extensions
        )

    def close(self) -> None:
        """Close every connection."""
        self._pool.close()


class _Body(httpx.SyncByteStream):
    def __init__(self, answer: httpcore.Response, ends_at_s: float | None) -> None:
        self._answer = answer
        self._ends_at_s = ends_at_s

    def __iter__(self) -> Iterator[bytes]:
        chunks = self._answer.iter_stream()
        while True:
            # Set for each chunk anew: between two of them the caller's own code runs.
            with _until(self._ends_at_s), _as_httpx():
                chunk = next(chunks, None)
            if chunk is None:
                return
            yield chunk

    def close(self) -> None:
        self._answer.close()


class _Backend(httpcore.SyncBackend):
    def __init__(self, allow_private: bool, resolve: Callable[[str, int, float | None], list[str]]) -> None:
        self._allow_private = allow_private
        self._resolve = resolve

    def connect_tcp(
        self,
        host: str,
        port: int,
        timeout: float | None = None,
        local_address: str | None = None,
        socket_options: Iterable[Any] | None = None,
    ) -> httpcore.NetworkStream:
        addresses = self._resolve(host, port, _left_s(timeout))
        if not self._allow_private:
            addresses = public_only(addresses)
            if not addresses:
                raise PrivateAddress("the host's name resolves to no public address")
        for address in addresses[:-1]:
            try:
                return self._connect(address, port, timeout, local_address, socket_options)
            except (httpcore.ConnectError, httpcore.ConnectTimeout):
                continue  # a host that is half there, such as one with an IPv6 address that leads nowhere
        return self._connect(addresses[-1], port, timeout, local_address, socket_options)

    def _connect(
        self,
        address: str,
        port: int,
        timeout: float | None,
        local_address: str | None,
        socket_options: Iterable[Any] | None,
    ) -> httpcore.NetworkStream:
        return _Stream(super().connect_tcp(address, port, _left_s(timeout), local_address, socket_options))


class _Stream(httpcore.NetworkStream):
    def __init__(self, inner: httpcore.NetworkStream) -> None:
        self._inner = inner

    def read(self, max_bytes: int, timeout: float | None = None) -> bytes:
        return self._inner.read(max_bytes, _left_s(timeout, httpcore.ReadTimeout))

    def write(self, buffer: bytes, timeout: float | None = None) -> None:
        self._inner.write(buffer, _left_s(timeout, httpcore.WriteTimeout))

    def close(self) -> None:
        self._inner.close()

    def start_tls(
        self, ssl_context: ssl.SSLContext, server_hostname: str | None = None, timeout: float | None = None
    ) -> httpcore.NetworkStream:
        return _Stream(self._inner.start_tls(ssl_context, server_hostname, _left_s(timeout)))

    def get_extra_info(self, info: str) -> Any:
        return self._inner.get_extra_info(info)


def _left_s(timeout_s: float | None, error: type[Exception] = httpcore.ConnectTimeout) -> float | None:
    ends_at_s = _ends_at_s.get()
    if ends_at_s is None:
        return timeout_s
    left_s = ends_at_s - time.monotonic()
    if left_s <= 0:
        raise error("the request's time is over")
    return left_s if timeout_s is None else min(timeout_s, left_s)


@contextmanager
def _until(ends_at_s: float | None) -> Iterator[None]:
    token = _ends_at_s.set(ends_at_s)
    try:
        yield
    finally:
        _ends_at_s.reset(token)


@contextmanager
def _as_httpx() -> Iterator[None]:
    try:
        yield
    except tuple(_ERRORS) as error:
        kind = next(there for here, there in _ERRORS.items() if isinstance(error, here))
        raise kind(str(error)) from error
