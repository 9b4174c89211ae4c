"""One connection to a destination: a request goes out, its answer comes in, and perhaps another request follows.

The answer is read by llhttp (httptools), the parser of Node.js, which does so for a tenth of what one in Python costs.
What is added here is what a client owes its caller: one answer for one request, within a time, of a bounded size. An
answer counts from its status on: what breaks off, drips or never ends after it is cut there.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import NamedTuple, Protocol, cast

import httptools

from bridge.clint.network import forget

MAX_ANSWER_BYTES = 64 * 1024
"""More than this of an answer is not read; what has no status by then is none."""
MAX_BODY_KEPT = 4096
"""The beginning of a body that is kept, in bytes."""

_INTERIM = range(100, 200)


class NoAnswer(Exception):
    """What came is no HTTP, or nothing came before the other side closed the connection."""


class Origin(NamedTuple):
    """Where connections lead: those to one origin may take each other's place."""

    secure: bool
    host: str
    port: int


@dataclass(slots=True)
class Reply:
    """An answer, as far as it was read."""

    status: int = 0
    headers: list[tuple[bytes, bytes]] = field(default_factory=list)
    body: bytearray = field(default_factory=bytearray)


Then = Callable[[Reply | Exception], None]
"""Told once what came of a request: TimeoutError, NoAnswer or OSError where no status came."""


class Keeper(Protocol):
    """Who keeps connections, and hears of each what becomes of it."""

    def made(self, connection: Connection) -> None:
        """It is there."""
        ...

    def free(self, connection: Connection) -> None:
        """Another request may be sent."""
        ...

    def gone(self, connection: Connection) -> None:
        """No request may be sent any more; this may be said twice."""
        ...


class Connection(asyncio.Protocol):
    """A connection that carries one request at a time; for the loop's thread only."""

    def __init__(self, origin: Origin, keeper: Keeper) -> None:
        self.origin = origin
        self.free_since_s = 0.0
        self._keeper = keeper
        self._loop = asyncio.get_running_loop()
        self._parser = httptools.HttpResponseParser(self)
        self._then: Then | None = None
        self._reply = Reply()
        self._fed = 0
        self._sound = True
        self._complete = False

    def send(self, message: bytes, ends_at_s: float, then: Then) -> None:
        """Send a request whose answer's time is over at that moment of the loop's clock."""
        self._then = then
        self._reply, self._fed, self._complete = Reply(), 0, False
        self._timer = self._loop.call_at(ends_at_s, self._end, TimeoutError())
        if self._transport.is_closing():
            self._end(NoAnswer("it was closed before the request"))
        else:
            self._transport.write(message)

    def close(self) -> None:
        """Close a connection that waits for nothing."""
        self._transport.close()

    def abort(self, error: Exception) -> None:
        """Close it now; who waits for an answer is told."""
        if self._then is None:
            self._transport.abort()
        else:
            self._end(error)

    # ------------------------------------------------------------ called by asyncio

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Keep the way out."""
        self._transport = cast("asyncio.Transport", transport)
        self._keeper.made(self)

    def data_received(self, data: bytes) -> None:
        """Read on; nothing may come that was not asked for."""
        if self._then is None:
            self._keeper.gone(self)
            self._transport.abort()
            return
        self._fed += len(data)
        try:
            self._parser.feed_data(data)
        except (httptools.HttpParserError, httptools.HttpParserUpgrade):
            self._sound = False
            self._end(NoAnswer("what came is no HTTP/1.1"))
            return
        if self._complete:
            self._end(None)
        elif self._fed > MAX_ANSWER_BYTES:
            self._end(NoAnswer("the answer's head has no end"))

    def eof_received(self) -> None:
        """Let asyncio close it; until it has, nobody else may send."""
        self._keeper.gone(self)

    def connection_lost(self, exc: Exception | None) -> None:
        """Tell who waits, and that this connection is no more."""
        if self._then is not None:
            self._end(exc or NoAnswer("it was closed without an answer"))
        self._keeper.gone(self)

    # ------------------------------------------------------------ called by llhttp

    def on_message_begin(self) -> None:
        """Take note of an answer too many: whose it is nobody knows, so no other request may follow."""
        if self._complete:
            self._sound = False

    def on_header(self, name: bytes, value: bytes) -> None:
        """Keep a header of the answer, and none of what follows its body."""
        if not self._reply.status:
            self._reply.headers.append((name, value))

    def on_headers_complete(self) -> None:
        """Keep the status, from which on the answer counts; "100 Continue" and the like announce it only."""
        status = self._parser.get_status_code()
        if status in _INTERIM:
            self._reply.headers.clear()
        elif not self._complete:
            self._reply.status = status
            self._sound = self._parser.should_keep_alive()

    def on_body(self, body: bytes) -> None:
        """Keep the beginning of the body."""
        if not self._complete and len(self._reply.body) < MAX_BODY_KEPT:
            self._reply.body += body[: MAX_BODY_KEPT - len(self._reply.body)]

    def on_message_complete(self) -> None:
        """Note that the answer is whole."""
        self._complete = bool(self._reply.status)

    # ------------------------------------------------------------ the end of a request

    def _end(self, error: Exception | None) -> None:
        self._timer.cancel()
        then, self._then = cast("Then", self._then), None
        whole = error is None and self._complete and self._sound and not self._transport.is_closing()
        if whole and not self._transport.get_write_buffer_size():
            self.free_since_s = self._loop.time()
            self._keeper.free(self)
        else:
            forget(self._transport.get_extra_info("socket"))
            self._transport.abort()
        then(self._reply if error is None or self._reply.status else error)
