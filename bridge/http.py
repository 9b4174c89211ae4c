"""The client of every outgoing request: a session of aiohttp with httpx's answers and errors, in a thread of its own.

It returns an `httpx.Response` with a bounded body within a deadline, or raises one of httpx's errors. It never connects
to an address of this machine or network unless private ones are allowed, never follows a redirect, keeps no cookie,
reads no proxy from the environment and decompresses no body.
"""

from __future__ import annotations

import asyncio
import ipaddress
import re
import socket
import ssl
import struct
import threading
from collections.abc import Callable, Coroutine, Iterable
from concurrent.futures import CancelledError, Future
from contextlib import suppress
from contextvars import ContextVar
from functools import cache
from json import dumps
from types import TracebackType
from typing import Any, NamedTuple, Self, TypeVar
from weakref import WeakSet

import aiohttp
import httpx
from aiohttp.abc import AbstractResolver, ResolveResult
from aiohttp.connector import Connection
from yarl import URL

from bridge import __version__
from bridge.messages import N_, Message, message, system_reason

T = TypeVar("T")
R = TypeVar("R")

CONNECT_TIMEOUT_S = 5.0
"""The time for name, connection and TLS handshake."""
KEEPALIVE_S = 4.0
"""An idle connection is closed before the server closes it, commonly after 5 s, and a request on it fails."""
MAX_BODY_BYTES = 4 * 1024 * 1024
UNACKNOWLEDGED_S = 5.0
"""The kernel repeats unacknowledged data for this long (TCP_USER_TIMEOUT)."""

_CLOSED = "the bridge closed the connection because it stops"
_transport: ContextVar[asyncio.Transport | None] = ContextVar("_transport", default=None)
"""The connection of the current task's request."""
_DISCARD_ON_CLOSE = struct.pack("ii", 1, 0)

IpAddress = ipaddress.IPv4Address | ipaddress.IPv6Address

_TRANSLATED = (ipaddress.IPv6Network("64:ff9b::/96"), ipaddress.IPv6Network("::/96"))
"""RFC 6052 and RFC 4291: the last 32 bits are an IPv4 address."""

_GLOBAL_UNICAST = ipaddress.IPv6Network("2000::/3")
"""All that IANA assigns; outside of it are translators, site-local and reserved addresses."""

_SPECIAL = (
    ipaddress.ip_network("192.0.0.0/24"),  # RFC 6890: protocol assignments
    ipaddress.ip_network("192.88.99.0/24"),  # RFC 7526: relays of 6to4
    ipaddress.ip_network("2001::/23"),  # RFC 2928: protocol assignments, such as Teredo, ORCHID and drones
    ipaddress.ip_network("3fff::/20"),  # RFC 9637: documentation
)
"""Special-purpose addresses (IANA) that `is_global` of Python 3.11 takes for global ones."""

_HOST_NAME = re.compile(r"(?=.{1,253}\.?$)[a-z0-9_-]{1,63}(\.[a-z0-9_-]{1,63})*\.?")

_LOCAL_NAMES = ("localhost", "local", "internal", "lan", "home.arpa")


class PrivateAddress(httpx.ConnectError):
    """The host has addresses of this machine or network only."""


class NameNotResolved(httpx.ConnectError):
    """The host's name has no address."""


class TooLarge(httpx.TransportError):
    """The body of the answer is larger than allowed."""


def why_unreached(error: Exception) -> Message:
    """Return why a request got no answer: in words, since an error's text may hold an address or part of an answer."""
    words = next((words for kind, words in _WHY if isinstance(error, kind)), None)
    return Message(words) if words else Message(type(error).__name__)


_WHY: tuple[tuple[type[Exception], str], ...] = (
    (NameNotResolved, N_("no server of that name was found")),
    (PrivateAddress, N_("its name leads to this machine or network, where nothing is sent")),
    (httpx.TimeoutException, N_("no answer in time")),
    (httpx.ConnectError, N_("no connection could be made")),
    (httpx.NetworkError, N_("the connection broke off")),
    (httpx.ProtocolError, N_("what answered does not speak HTTP, or broke off")),
)


@cache
def authorities() -> ssl.SSLContext:
    """Return a context that trusts httpx's authorities; a process reads them once, since that is slow."""
    return httpx.create_ssl_context()


@cache
def nobody() -> ssl.SSLContext:
    """Return a context that trusts nobody, for clients of plain http on this machine."""
    return ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)


def lookup(host: str, port: int) -> list[str]:
    """Return the host's addresses; raise NameNotResolved where it has none."""
    try:
        found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)
    except (OSError, UnicodeError) as error:
        raise NameNotResolved(str(error)) from error
    return list(dict.fromkeys(str(info[4][0]) for info in found))


class _Request(NamedTuple):
    method: str
    url: httpx.URL
    body: bytes | None
    headers: dict[str, str]
    connect_s: float = CONNECT_TIMEOUT_S
    """The time within which its connection must be there; the deadline bounds the rest."""


class HttpClient:
    """Sends requests; threads may share it. The first request starts its thread, `close` ends it."""

    def __init__(
        self,
        *,
        allow_private: bool,
        ssl_context: ssl.SSLContext | None = None,
        lookup: Callable[[str, int], list[str]] = lookup,
        keepalive_s: float = KEEPALIVE_S,
    ) -> None:
        self.allow_private = allow_private
        self._ssl_context = ssl_context
        self._lookup = lookup
        self._keepalive_s = keepalive_s
        self._lock = threading.Lock()
        self._thread: threading.Thread | None = None
        self._loop: asyncio.AbstractEventLoop | None = None
        self._deliveries: set[asyncio.Task[None]] = set()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.close()

    def request(
        self,
        method: str,
        url: str,
        *,
        deadline_s: float,
        connect_timeout_s: float = CONNECT_TIMEOUT_S,
        max_bytes: int = MAX_BODY_BYTES,
        params: dict[str, str | int] | None = None,
        json: Any = None,
        form: str | None = None,
        headers: dict[str, str] | None = None,
    ) -> httpx.Response:
        """Send a request, wait, and return the whole answer.

        Raises httpx.ConnectError and httpx.ConnectTimeout where nothing was sent, httpx.InvalidURL, and another
        httpx.TransportError (TooLarge among them) where the other side may have acted on the request.
        """
        target = httpx.URL(url) if params is None else httpx.URL(url, params=params)
        body = None
        if json is not None:
            body = dumps(json, ensure_ascii=False, allow_nan=False).encode(errors="replace")
            headers = {"Content-Type": "application/json", **(headers or {})}
        if form is not None:
            body = form.encode()
            headers = {"Content-Type": "application/x-www-form-urlencoded", **(headers or {})}
        request = _Request(method, target, body, headers or {}, connect_timeout_s)
        exchange = self._exchange(request, deadline_s, max_bytes, whole=True)
        answer = self._in_loop(exchange, asyncio.run_coroutine_threadsafe)
        try:
            return answer.result()
        except CancelledError:
            raise httpx.ReadError(_CLOSED) from None
        except BaseException:
            answer.cancel()
            raise

    def send(
        self,
        url: httpx.URL,
        body: bytes,
        headers: dict[str, str],
        *,
        deadline_s: float,
        max_bytes: int,
        may_start: Callable[[], bool],
        on_result: Callable[[httpx.Response | Exception | None], None],
    ) -> None:
        """Post a body once; call `on_result` in the client's thread with the answer, or with the error.

        An answer with a status counts: a body that breaks off, drips or is too long is cut. `may_start` is called
        immediately before the request; where it returns False nothing is sent and the result is None.
        """
        request = _Request("POST", url, body, headers)
        delivery = self._deliver(request, deadline_s, max_bytes, may_start, on_result)
        try:
            self._in_loop(delivery, lambda delivery, loop: loop.call_soon_threadsafe(self._start, delivery))
        except httpx.ConnectError as error:
            on_result(error)

    def close(self) -> None:
        """Close every connection; each request without an answer ends with httpx.ReadError."""
        with self._lock:
            loop, thread = self._loop, self._thread
            self._loop = self._thread = None
        if loop is not None and thread is not None:
            loop.call_soon_threadsafe(self._stop.set)
            thread.join()

    # ------------------------------------------------------------ the client's thread

    def _in_loop(
        self, coroutine: Coroutine[Any, Any, T], start: Callable[[Coroutine[Any, Any, T], asyncio.AbstractEventLoop], R]
    ) -> R:
        with self._lock:
            if self._loop is None:
                ready: Future[asyncio.AbstractEventLoop] = Future()
                thread = threading.Thread(target=self._run, args=(ready,), name="http", daemon=True)
                thread.start()
                try:
                    self._loop = ready.result()
                except Exception as error:
                    coroutine.close()
                    raise httpx.ConnectError(f"the HTTP client can't begin: {type(error).__name__}") from error
                self._thread = thread
            return start(coroutine, self._loop)

    def _start(self, delivery: Coroutine[Any, Any, None]) -> None:
        task = asyncio.create_task(delivery)
        self._deliveries.add(task)  # the loop itself holds its tasks weakly
        task.add_done_callback(self._deliveries.discard)

    def _run(self, ready: Future[asyncio.AbstractEventLoop]) -> None:
        try:
            asyncio.run(self._serve(ready))
        except Exception as error:
            if ready.done():
                raise
            ready.set_exception(error)  # such as certificates that can't be read: the caller waits for it

    async def _serve(self, ready: Future[asyncio.AbstractEventLoop]) -> None:
        connector = _Connector(
            limit=0,  # the callers bound how many requests are under way
            ssl=self._ssl_context or authorities(),
            resolver=_Resolver(self.allow_private, self._lookup),
            use_dns_cache=False,
            keepalive_timeout=self._keepalive_s,
            socket_factory=_new_socket,
        )
        self._stop = asyncio.Event()
        async with aiohttp.ClientSession(
            connector=connector,
            cookie_jar=aiohttp.DummyCookieJar(),  # a cookie of one destination has no business in the next request
            auto_decompress=False,
            headers={
                "Accept": "*/*",
                "Accept-Encoding": "identity",
                "User-Agent": f"asaas-clint-bridge/{__version__}",
            },
        ) as self._session:
            ready.set_result(asyncio.get_running_loop())
            await self._stop.wait()
            await asyncio.sleep(0)  # a task that is cancelled before its first step would report nothing
            tasks = asyncio.all_tasks() - {asyncio.current_task()}
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)
        for transport in connector.opened:
            transport.abort()  # such as one that waits for the other side to take leave (TLS)
        await asyncio.sleep(0)  # asyncio closes the sockets in its next step

    async def _deliver(
        self,
        request: _Request,
        deadline_s: float,
        max_bytes: int,
        may_start: Callable[[], bool],
        on_result: Callable[[httpx.Response | Exception | None], None],
    ) -> None:
        result: httpx.Response | Exception | None = None
        try:
            if may_start():
                result = await self._exchange(request, deadline_s, max_bytes, whole=False)
        except asyncio.CancelledError:
            on_result(httpx.ReadError(_CLOSED))
            raise
        except Exception as error:  # noqa: BLE001 (every request has a result)
            result = error
        on_result(result)

    async def _exchange(self, request: _Request, deadline_s: float, max_bytes: int, *, whole: bool) -> httpx.Response:
        answer: aiohttp.ClientResponse | None = None
        is_finished = False
        body = bytearray()
        try:
            async with asyncio.timeout(deadline_s):
                _judge_literal(request.url.host, self.allow_private)
                answer = await self._session.request(
                    request.method,
                    URL(str(request.url), encoded=True),
                    headers=request.headers,
                    data=request.body,
                    allow_redirects=False,
                    timeout=aiohttp.ClientTimeout(connect=request.connect_s, sock_connect=request.connect_s),
                )
                async for chunk in answer.content.iter_any():
                    body += chunk
                    if len(body) > max_bytes:
                        raise TooLarge(f"the body must have at most {max_bytes} bytes")
                await answer.wait_for_close()  # an answer may come before the request was sent as a whole
                is_finished = True
        except Exception as error:
            if answer is None or whole:
                known = _in_httpx_words(error)
                if known is error:
                    raise
                raise known from error.__cause__ or error
        finally:
            if answer is not None and not is_finished:
                answer.close()
            transport = _transport.get()
            if transport is not None and (not is_finished or transport.is_closing()):
                # Bytes that still wait to be sent would reach the other side after the request was abandoned.
                transport.abort()
        # Without its encoding a body is never unpacked: a small one could unfold into a large one.
        headers = [(name, value) for name, value in answer.raw_headers if name.lower() != b"content-encoding"]
        return httpx.Response(answer.status, headers=headers, content=bytes(body[:max_bytes]))


class _Connector(aiohttp.TCPConnector):
    """Never reuses a connection with unread bytes, which aiohttp takes for the next answer."""

    def __init__(self, **options: Any) -> None:
        super().__init__(**options)
        self.opened: WeakSet[asyncio.Transport] = WeakSet()

    async def connect(
        self, req: aiohttp.ClientRequest, traces: list[Any], timeout: aiohttp.ClientTimeout
    ) -> Connection:
        while True:
            connection = await super().connect(req, traces, timeout)
            if connection.transport is not None:
                self.opened.add(connection.transport)
            if connection.protocol is None or not connection.protocol.should_close:
                _transport.set(connection.transport)
                return connection
            connection.close()


class _Resolver(AbstractResolver):
    """Looks up each name in a thread, since the system's resolver has no timeout, and checks every address."""

    def __init__(self, allow_private: bool, lookup: Callable[[str, int], list[str]]) -> None:
        self._allow_private = allow_private
        self._lookup = lookup

    async def resolve(
        self, host: str, port: int = 0, family: socket.AddressFamily = socket.AF_UNSPEC
    ) -> list[ResolveResult]:
        """Return the allowed addresses; raise NameNotResolved or PrivateAddress."""
        found: Future[list[str]] = Future()
        found.set_running_or_notify_cancel()  # a caller that stops waiting leaves the thread alone

        def ask() -> None:
            try:
                found.set_result(self._lookup(host, port))
            except Exception as error:  # noqa: BLE001 (raised again where the addresses are awaited)
                found.set_exception(error)

        threading.Thread(target=ask, name="resolver", daemon=True).start()
        return [
            ResolveResult(
                hostname=host,
                host=address,
                port=port,
                family=socket.AF_INET6 if ":" in address else socket.AF_INET,
                proto=socket.IPPROTO_TCP,
                flags=socket.AI_NUMERICHOST,
            )
            for address in _allowed(await asyncio.wrap_future(found), self._allow_private)
        ]

    async def close(self) -> None:
        """Leave the threads, which end by themselves."""


def _allowed(addresses: list[str], allow_private: bool) -> list[str]:
    if allow_private:
        return addresses
    public = public_only(addresses)
    if not public:
        raise PrivateAddress("the host's name resolves to no public address")
    return public


def _judge_literal(host: str, allow_private: bool) -> None:
    """Raise PrivateAddress for an address in the URL itself, which reaches no resolver."""
    with suppress(ValueError):
        _allowed([str(ipaddress.ip_address(host))], allow_private)


def _new_socket(info: aiohttp.AddrInfoType) -> socket.socket:
    """Return a socket whose data the kernel does not repeat after the request was abandoned or its process killed.

    Otherwise a delivery could arrive after a newer one of another worker (`tests/acceptance/test_hosts.py`).
    """
    family, kind, protocol, *_ = info
    sock = socket.socket(family, kind, protocol)
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _DISCARD_ON_CLOSE)
    if hasattr(socket, "TCP_USER_TIMEOUT"):
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT, int(UNACKNOWLEDGED_S * 1000))
    return sock


def _in_httpx_words(error: Exception) -> Exception:
    """Return httpx's error for one of aiohttp's, another error as it is."""
    if isinstance(error, aiohttp.ConnectionTimeoutError):
        return httpx.ConnectTimeout(N_("no connection in time"))
    if isinstance(error, TimeoutError):
        return httpx.ReadTimeout(N_("no answer in time"))
    if isinstance(error, aiohttp.ClientConnectorError):
        return httpx.ConnectError(system_reason(error.os_error).id)
    if isinstance(error, aiohttp.ClientConnectionError):
        return httpx.ReadError(N_("the connection was closed without an answer"))
    if isinstance(error, aiohttp.InvalidURL):
        return httpx.UnsupportedProtocol(N_("the URL leads nowhere"))
    if isinstance(error, aiohttp.ClientError):
        return httpx.RemoteProtocolError(N_("the answer is no HTTP/1.1"))
    return error


# ---------------------------------------------------------------- public addresses


def check_url(url: str, allow_private: bool) -> Message | None:
    """Return the rule that a destination URL breaks, None where it may be used."""
    try:
        parts = httpx.URL(url)
        host = parts.host  # decoded here: IDNA finds fault with `xn--`
    except (httpx.InvalidURL, ValueError):
        return Message(N_("must be a URL such as https://host/path, got something else"))
    if parts.scheme not in {"http", "https"} or not host:
        return Message(N_("must be a URL such as https://host/path, got one without https:// or host"))
    if not _is_host(parts.raw_host.decode("ascii")):
        return Message(
            N_("must be a URL such as https://host/path, got one whose host is neither a name nor an address")
        )
    if parts.port is not None and not 0 < parts.port < 65536:
        return message(N_("must have a port from 1 to 65535, got {port}"), port=parts.port)
    if parts.userinfo:
        return Message(N_("must not carry a user name or password before the host"))
    if allow_private:
        return None
    if parts.scheme != "https":
        return Message(
            N_("must begin with https://, got http://, which shows the customers' data to anybody on the way")
        )
    return Message(N_("must be a public address, got one of this machine or network")) if _is_local(host) else None


def is_private_url(url: str) -> bool:
    """Return whether the URL leads to this machine or network; a name without a dot is one of the network."""
    try:
        host = httpx.URL(url).host
    except (httpx.InvalidURL, ValueError):
        return False
    return _is_local(host) or not re.search("[.:]", host)


def is_public(address: IpAddress) -> bool:
    """Return whether the address belongs to the open internet, in any notation."""
    inner = address
    if isinstance(address, ipaddress.IPv6Address):
        inner = address.ipv4_mapped or address.sixtofour or _embedded(address) or address
        if inner is address and address not in _GLOBAL_UNICAST:
            return False
    return inner.is_global and not inner.is_multicast and not any(inner in network for network in _SPECIAL)


def _embedded(address: ipaddress.IPv6Address) -> ipaddress.IPv4Address | None:
    """Return the IPv4 address to which a translator (NAT64, or the old ::1.2.3.4) would lead."""
    if any(address in network for network in _TRANSLATED):
        return ipaddress.IPv4Address(int(address) & 0xFFFFFFFF)
    return None


def public_only(addresses: Iterable[str]) -> list[str]:
    """Return the addresses that belong to the open internet, in their order."""
    return [address for address in addresses if is_public(ipaddress.ip_address(address))]


def _is_host(host: str) -> bool:
    try:
        ipaddress.ip_address(host)
    except ValueError:
        return _HOST_NAME.fullmatch(host.lower()) is not None
    return True


def _is_local(host: str) -> bool:
    try:
        return not is_public(ipaddress.ip_address(host))
    except ValueError:
        name = host.lower().rstrip(".")
        if _is_number(name):
            return True
        return name in _LOCAL_NAMES or name.endswith(tuple(f".{local}" for local in _LOCAL_NAMES))


def _is_number(name: str) -> bool:
    """Return whether resolvers take the name for an IPv4 address in decimal, octal or short form."""
    return all(re.fullmatch(r"0x[0-9a-f]*|[0-9]+", part) for part in name.split("."))
