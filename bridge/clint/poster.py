"""Posts many requests at once from one thread: an event loop with kept connections, the last used first.

A thread for each request cost more than the request: sixty-four of them took turns at the interpreter's lock
(docs/performance.md). Callers of any thread leave a request, and are told in the loop's thread what came of it. Two
things are judged here and nowhere else: the very address that is connected to, for a name that resolves to an address
of this machine or network gets nothing; and the time, which is that of the whole request, however slowly it drips.
"""

from __future__ import annotations

import asyncio
import ipaddress
import socket
import ssl
import threading
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass

from bridge.certificates import authorities
from bridge.clint.connection import Connection, NoAnswer, Origin, Reply
from bridge.clint.network import KEEPALIVE_S, allowed, asked, lookup, repeats_for
from bridge.clint.pausing import PausingSelector

BUSY = 8
"""Answers that are waited for; with fewer each is handled as it comes."""
CONNECT_TIMEOUT_S = 5.0
"""How long one address of a host is tried."""
_LOOKS = 8
"""So often in the time that an idle connection is kept, those whose time is over are looked for."""


@dataclass(frozen=True, slots=True)
class Post:
    """One request, and who is told what came of it, in the loop's thread and once."""

    origin: Origin
    message: bytes
    """The whole request as it goes over the wire."""
    deadline_s: float
    """From when it is begun to the last byte of the answer."""
    may_go: Callable[[], bool]
    """Asked at the last moment before it is begun; where it says no, nothing is sent."""
    then: Callable[[Reply | Exception | None], None]
    """Given the answer, why there is none (TimeoutError, NoAnswer, OSError, ssl.SSLError, PrivateAddress,
    NameNotResolved), or None where it was not sent."""


class Poster:
    """The loop, in a thread that begins with the first request; any thread may call it."""

    def __init__(
        self,
        *,
        allow_private: bool,
        ssl_context: ssl.SSLContext | None = None,
        lookup: Callable[[str, int], list[str]] = lookup,
        keepalive_s: float = KEEPALIVE_S,
    ) -> None:
        self._allow_private = allow_private
        self._ssl_context = ssl_context
        self._lookup = lookup
        self._keepalive_s = keepalive_s
        self._waiting: deque[Post] = deque()
        self._called = False
        self._lock = threading.Lock()
        self._thread: threading.Thread | None = None
        self._loop: asyncio.AbstractEventLoop | None = None
        self._idle: dict[Origin, list[Connection]] = {}
        self._tidying = False
        self._open: set[Connection] = set()
        self._connecting: set[asyncio.Task[None]] = set()

    def post(self, post: Post) -> None:
        """Let a request be made."""
        with self._lock:
            if self._loop is None:
                self._loop = asyncio.SelectorEventLoop(PausingSelector(self._is_busy))
                self._thread = threading.Thread(target=self._run, args=(self._loop,), name="post", daemon=True)
                self._thread.start()
            self._waiting.append(post)
            if not self._called:  # one call carries all that is left until the loop comes to it
                self._called = True
                self._loop.call_soon_threadsafe(self._take_all)

    def close(self) -> None:
        """Close every connection; who still waits for an answer is told that the connection was closed."""
        with self._lock:
            loop, thread = self._loop, self._thread
            self._loop = self._thread = None
        if loop is not None and thread is not None:
            asyncio.run_coroutine_threadsafe(self._end(), loop)
            thread.join()

    # ------------------------------------------------------------ the loop's thread

    def _run(self, loop: asyncio.AbstractEventLoop) -> None:
        asyncio.set_event_loop(loop)
        loop.run_forever()
        loop.close()

    async def _end(self) -> None:
        await asyncio.sleep(0)  # a task that is cancelled before its first step would tell nobody
        for task in self._connecting:
            task.cancel()
        for connection in list(self._open):
            connection.abort(NoAnswer("the bridge closed it, for it ends"))
        await asyncio.gather(*self._connecting, return_exceptions=True)
        while self._open:  # a transport ends some steps after it was told to
            await asyncio.sleep(0)
        asyncio.get_running_loop().stop()

    def _take_all(self) -> None:
        with self._lock:
            posts, self._waiting, self._called = self._waiting, deque(), False
        for post in posts:
            self._begin(post)

    def _begin(self, post: Post) -> None:
        try:
            if not post.may_go():
                post.then(None)
                return
        except Exception as error:  # noqa: BLE001 (whatever it is, who waits must be told)
            post.then(error)
            return
        loop = asyncio.get_running_loop()
        ends_at_s = loop.time() + post.deadline_s
        if idle := self._idle.get(post.origin):
            idle.pop().send(post.message, ends_at_s, post.then)
            return
        task = loop.create_task(self._connect_and_send(post, ends_at_s))
        self._connecting.add(task)
        task.add_done_callback(self._connecting.discard)

    def _is_busy(self) -> bool:
        return len(self._open) - sum(len(idle) for idle in self._idle.values()) >= BUSY

    # ------------------------------------------------------------ kept connections

    def made(self, connection: Connection) -> None:
        """Note a connection, for the end."""
        self._open.add(connection)

    def free(self, connection: Connection) -> None:
        """Keep a connection for the next request."""
        self._idle.setdefault(connection.origin, []).append(connection)
        if not self._tidying:
            self._tidying = True
            asyncio.get_running_loop().call_later(self._keepalive_s / _LOOKS, self._tidy)

    def gone(self, connection: Connection) -> None:
        """Forget a connection."""
        self._open.discard(connection)
        idle = self._idle.get(connection.origin, [])
        if connection in idle:
            idle.remove(connection)

    def _tidy(self) -> None:
        loop = asyncio.get_running_loop()
        oldest_s = loop.time() - self._keepalive_s
        for origin, idle in list(self._idle.items()):
            while idle and idle[0].free_since_s <= oldest_s:  # the last freed is the last of the list
                idle.pop(0).close()
            if not idle:
                del self._idle[origin]
        self._tidying = bool(self._idle)
        if self._tidying:
            loop.call_later(self._keepalive_s / _LOOKS, self._tidy)

    # ------------------------------------------------------------ connecting

    async def _connect_and_send(self, post: Post, ends_at_s: float) -> None:
        try:
            async with asyncio.timeout_at(ends_at_s):
                connection = await self._connect(post.origin, post.deadline_s)
        except asyncio.CancelledError:
            post.then(NoAnswer("the bridge closed it, for it ends"))
            raise
        except Exception as error:  # noqa: BLE001 (whatever it is, who waits must be told)
            post.then(error)
        else:
            connection.send(post.message, ends_at_s, post.then)

    async def _connect(self, origin: Origin, deadline_s: float) -> Connection:
        found = await asyncio.wrap_future(asked(origin.host, origin.port, self._lookup))
        addresses = allowed(found, self._allow_private)
        for address in addresses[:-1]:
            try:
                return await self._connect_to(address, origin, deadline_s)
            except (OSError, TimeoutError) as error:
                if isinstance(error, ssl.SSLError):
                    raise
                # A host that is half there, such as one with an IPv6 address that leads nowhere.
        return await self._connect_to(addresses[-1], origin, deadline_s)

    async def _connect_to(self, address: str, origin: Origin, deadline_s: float) -> Connection:
        loop = asyncio.get_running_loop()
        family = socket.AF_INET6 if ipaddress.ip_address(address).version == 6 else socket.AF_INET
        sock = socket.socket(family, socket.SOCK_STREAM)
        try:
            sock.setblocking(False)
            for option in repeats_for(deadline_s):
                sock.setsockopt(*option)
            secure = (self._ssl_context or authorities()) if origin.secure else None
            async with asyncio.timeout(CONNECT_TIMEOUT_S):
                await loop.sock_connect(sock, (address, origin.port))
                _, connection = await loop.create_connection(
                    lambda: Connection(origin, self),
                    sock=sock,
                    ssl=secure,
                    server_hostname=origin.host if secure else None,
                )
        except BaseException:
            sock.close()
            raise
        return connection
