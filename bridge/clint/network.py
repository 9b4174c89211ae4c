"""The sockets under the connections: which addresses are connected to, and how long each step may take at most.

A name that resolves to an address of this machine or network is not connected to, judged on the very address that is
used; within `until` every step has no more time than the whole has left. That holds for the kernel as well: what a
network that was down did not take is not repeated when it is back, long after the request was given up, when a delivery
that another worker has overtaken meanwhile would reach the destination last (`tests/acceptance/test_hosts.py`).
"""

from __future__ import annotations

import socket
import ssl
import struct
import threading
import time
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future
from contextlib import contextmanager, suppress
from contextvars import ContextVar
from typing import Any

import httpcore

from bridge.clint.url import public_only

KEEPALIVE_S = 4.0
"""How long an idle connection is kept: shorter than the 5 s after which common servers close one. To be closed in the
moment in which it is used again is a failed attempt."""

_AT_ONCE = struct.pack("ii", 1, 0)
"""SO_LINGER: a close that waits for nothing and leaves nothing to be sent."""

_ends_at_s: ContextVar[float | None] = ContextVar("ends_at_s", default=None)


class PrivateAddress(httpcore.ConnectError):
    """The host's name resolves to addresses of this machine or network only."""


class NameNotResolved(httpcore.ConnectError):
    """The host's name resolves to nothing."""


def lookup(host: str, port: int) -> list[str]:
    """Return the host's addresses, however long that takes; raise NameNotResolved where it has none."""
    try:
        found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)
    except (OSError, UnicodeError) as error:
        raise NameNotResolved(str(error)) from error
    return list(dict.fromkeys(str(info[4][0]) for info in found))


def asked(host: str, port: int, lookup: Callable[[str, int], list[str]] = lookup) -> Future[list[str]]:
    """Begin to look up a host's addresses, in a thread of its own: the system's resolver has no timeout."""
    found: Future[list[str]] = Future()
    found.set_running_or_notify_cancel()  # so that whoever gives up waiting leaves the thread in peace

    def ask() -> None:
        try:
            found.set_result(lookup(host, port))
        except Exception as error:  # noqa: BLE001 (raised again where it is waited for)
            found.set_exception(error)

    threading.Thread(target=ask, name="resolver", daemon=True).start()
    return found


def resolve(
    host: str, port: int, timeout_s: float | None, lookup: Callable[[str, int], list[str]] = lookup
) -> list[str]:
    """Return the host's addresses; raise NameNotResolved, or httpcore's ConnectTimeout."""
    try:
        return asked(host, port, lookup).result(timeout_s)
    except TimeoutError:
        raise httpcore.ConnectTimeout("the host's name was not resolved in time") from None


def allowed(addresses: list[str], allow_private: bool) -> list[str]:
    """Return those of a host's addresses that may be connected to; raise PrivateAddress where none may."""
    if allow_private:
        return addresses
    public = public_only(addresses)
    if not public:
        raise PrivateAddress("the host's name resolves to no public address")
    return public


class GuardedBackend(httpcore.SyncBackend):
    """Connects to addresses of the open internet only, but where private ones are allowed."""

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
        addresses = allowed(self._resolve(host, port, _left_s(timeout)), self._allow_private)
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
        left_s = _left_s(timeout)
        options = [*(socket_options or ()), *repeats_for(left_s)]
        return _Stream(super().connect_tcp(address, port, left_s, local_address, options))


class _Stream(httpcore.NetworkStream):
    def __init__(self, inner: httpcore.NetworkStream) -> None:
        self._inner = inner

    def read(self, max_bytes: int, timeout: float | None = None) -> bytes:
        with self._forgets():
            return self._inner.read(max_bytes, _left_s(timeout, httpcore.ReadTimeout))

    def write(self, buffer: bytes, timeout: float | None = None) -> None:
        with self._forgets():
            self._inner.write(buffer, _left_s(timeout, httpcore.WriteTimeout))

    @contextmanager
    def _forgets(self) -> Iterator[None]:
        """Where the block fails, let the close that follows throw away what was not taken, instead of repeating it."""
        try:
            yield
        except BaseException:
            forget(self.get_extra_info("socket"))
            raise

    def close(self) -> None:
        self._inner.close()

    def start_tls(
        self, ssl_context: ssl.SSLContext, server_hostname: str | None = None, timeout: float | None = None
    ) -> httpcore.NetworkStream:
        return _Stream(self._inner.start_tls(ssl_context, server_hostname, _left_s(timeout)))

    def get_extra_info(self, info: str) -> Any:
        return self._inner.get_extra_info(info)


def forget(sock: socket.socket) -> None:
    """Let the close that follows throw away what was not taken, instead of having the kernel repeat it."""
    with suppress(OSError):
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _AT_ONCE)


def repeats_for(seconds: float | None) -> Iterator[tuple[int, int, int]]:
    """Give the option by which the kernel repeats nothing that nobody acknowledged for half the time; Linux has it.

    Half: a packet may wait three seconds more for its neighbour's address, and the kernel looks seldom. It holds also
    for a process that is killed in the middle of a send.
    """
    if seconds is not None and hasattr(socket, "TCP_USER_TIMEOUT"):
        yield socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT, max(1, int(seconds * 500))


def _left_s(timeout_s: float | None, error: type[Exception] = httpcore.ConnectTimeout) -> float | None:
    ends_at_s = _ends_at_s.get()
    if ends_at_s is None:
        return timeout_s
    left_s = ends_at_s - time.monotonic()
    if left_s <= 0:
        raise error("the request's time is over")
    return left_s if timeout_s is None else min(timeout_s, left_s)


@contextmanager
def until(ends_at_s: float | None) -> Iterator[None]:
    """Let what is done on connections in the block end at that moment, by the monotonic clock."""
    token = _ends_at_s.set(ends_at_s)
    try:
        yield
    finally:
        _ends_at_s.reset(token)
