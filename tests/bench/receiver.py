"""The receiver: answers every POST with 200 and notes when it came; a process of its own.

It must cost next to nothing, or the bench would measure it. So it is an asyncio protocol that knows just as much of
HTTP/1.1 as httpx's requests need: a request line, headers, a body of a stated length, kept connections. It does not do
chunked bodies, `Expect`, HTTP/1.0, TLS, limits of size or time, nor refuse what is malformed; it must never stand on an
open network. Run as `python -m tests.bench.receiver ADDRESS`; it prints its port.
"""

from __future__ import annotations

import asyncio
import http.client
import json
import re
import subprocess
import sys
import time
from pathlib import Path
from types import TracebackType
from typing import Any, NamedTuple, Self

HOST = "127.0.0.1"
PATH = "/endpoints/integration/webhook/00000000-0000-4000-8000-000000000001"
COUNT = b"GET /count HTTP/1.1\r\nHost: receiver\r\n\r\n"

_LENGTH = re.compile(rb"\r\ncontent-length: *(\d+)", re.IGNORECASE)
_KEY = re.compile(rb"\r\nidempotency-key: *([^\r]+)", re.IGNORECASE)
_END = b"\r\n\r\n"


class _Book:
    def __init__(self) -> None:
        self.arrivals: list[tuple[int, str]] = []
        self.hangs = False


class _Connection(asyncio.Protocol):
    def __init__(self, book: _Book) -> None:
        self._book = book
        self._gathered = b""
        self._transport: asyncio.WriteTransport | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.WriteTransport)
        self._transport = transport

    def data_received(self, data: bytes) -> None:
        self._gathered += data
        while (head_length := self._gathered.find(_END)) >= 0:
            head = self._gathered[:head_length]
            stated = _LENGTH.search(head)
            ends = head_length + len(_END) + (int(stated[1]) if stated else 0)
            if len(self._gathered) < ends:
                return
            self._gathered = self._gathered[ends:]
            self._take(head)

    def _take(self, head: bytes) -> None:
        if head.startswith(b"POST /endpoints/"):
            key = _KEY.search(head)
            self._book.arrivals.append((time.time_ns(), key[1].decode() if key else ""))
            if not self._book.hangs:
                self._answer(b'{"ok":true}')
            return
        path = head.split(b" ", 2)[1]
        self._answer(json.dumps(_told(self._book, path.decode())).encode())

    def _answer(self, body: bytes) -> None:
        assert self._transport is not None
        head = b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: %d\r\n\r\n" % len(body)
        self._transport.write(head + body)


def _told(book: _Book, path: str) -> Any:
    if path == "/arrivals":
        return book.arrivals
    if path == "/forget":
        book.arrivals = []
    if path in {"/hang", "/answer"}:
        book.hangs = path == "/hang"
    return len(book.arrivals)


async def _serve(host: str) -> None:
    book = _Book()
    server = await asyncio.get_running_loop().create_server(lambda: _Connection(book), host, 0, backlog=512)
    sys.stdout.write(f"{server.sockets[0].getsockname()[1]}\n")
    sys.stdout.flush()
    await server.serve_forever()


class Arrival(NamedTuple):
    """One POST: when it came, by the clock of the wall, and its Idempotency-Key."""

    at_ns: int
    key: str


class Receiver:
    """The receiver's process, from entering the `with` block to leaving it."""

    def __init__(self, host: str = HOST) -> None:
        self._host = host

    def __enter__(self) -> Self:
        command = [sys.executable, "-m", "tests.bench.receiver", self._host]
        self._process = subprocess.Popen(command, cwd=Path(__file__).parents[2], stdout=subprocess.PIPE)
        assert self._process.stdout is not None
        self.port = int(self._process.stdout.readline())
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self._process.terminate()
        self._process.wait()
        assert self._process.stdout is not None
        self._process.stdout.close()

    @property
    def url(self) -> str:
        """The address that deliveries go to."""
        return f"http://{self._host}:{self.port}{PATH}"

    def count(self) -> int:
        """Return how many POSTs came since the last `forget`."""
        return int(self._ask("/count"))

    def arrivals(self) -> list[Arrival]:
        """Return every POST since the last `forget`."""
        return [Arrival(*pair) for pair in self._ask("/arrivals")]

    def forget(self) -> None:
        """Begin to count anew."""
        self._ask("/forget")

    def hang(self) -> None:
        """Answer no POST from now on."""
        self._ask("/hang")

    def answer(self) -> None:
        """Answer the POSTs that come from now on."""
        self._ask("/answer")

    def _ask(self, path: str) -> Any:
        connection = http.client.HTTPConnection(self._host, self.port, timeout=30)
        try:
            connection.request("GET", path)
            return json.loads(connection.getresponse().read())
        finally:
            connection.close()


if __name__ == "__main__":
    try:
        asyncio.run(_serve(*sys.argv[1:]))
    except KeyboardInterrupt:
        sys.exit(0)
