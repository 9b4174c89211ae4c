"""How the web process writes its answers: with as few system calls as can be.

At each of them a thread lets the others have the interpreter and must wait until it gets it back. gunicorn changes the
socket's mode twice for a request and writes the head and the body of an answer apart.
"""

from __future__ import annotations

import socket
import time
from email.utils import formatdate
from functools import lru_cache
from typing import Any

from gunicorn import util
from gunicorn.http import wsgi

READ_WITHIN_S = 10.0
"""How long a client is waited for, which sends its request or takes its answer."""


class Socket(socket.socket):
    """A socket whose waits end: should a request be handed over too early, its thread is not lost.

    Each change of mode is a system call, and with it another thread's turn. So one on which nothing is to be read stays
    as it is, and waits only where the client is slow to take the answer.
    """

    only_answers = False

    def setblocking(self, flag: bool) -> None:
        """Let a thread wait, for a while, or not."""
        timeout_s = READ_WITHIN_S if flag and not self.only_answers else 0.0
        if self.gettimeout() != timeout_s:
            self.settimeout(timeout_s)

    def sendall(self, data: Any, flags: int = 0) -> None:
        """Send all of it; raise TimeoutError where it is not taken in time."""
        try:
            sent = self.send(data, flags)
        except BlockingIOError:
            sent = 0
        if sent < len(data):
            self.settimeout(READ_WITHIN_S)
            super().sendall(data[sent:], flags)


class Response(wsgi.Response):  # type: ignore[misc]  # gunicorn has no types
    """An answer that does not say what made it, and whose head leaves with the beginning of its body."""

    headers_sent: bool
    _head = b""

    def default_headers(self) -> list[str]:
        """Return the lines that every answer begins with."""
        lines = [
            f"HTTP/{self.req.version[0]}.{self.req.version[1]} {self.status}\r\n",
            f"Date: {_date(int(time.time()))}\r\n",
            f"Connection: {'close' if self.should_close() else 'keep-alive'}\r\n",
        ]
        return [*lines, "Transfer-Encoding: chunked\r\n"] if self.chunked else lines

    def send_headers(self) -> None:
        """Make the head ready to leave."""
        if not self.headers_sent:
            lines = [*self.default_headers(), *(f"{name}: {value}\r\n" for name, value in self.headers)]
            self._head = "".join([*lines, "\r\n"]).encode("latin-1")
            self.headers_sent = True

    def _emit_body(self, data: bytes) -> None:
        if self._head and not self.chunked:
            data, self._head = self._head + data, b""
        self._send_head()
        super()._emit_body(data)

    def close(self) -> None:
        """End the answer."""
        self.send_headers()
        self._send_head()
        super().close()

    def _send_head(self) -> None:
        if self._head:
            head, self._head = self._head, b""
            util.write(self.sock, head)


@lru_cache(1)
def _date(now_s: int) -> str:
    return formatdate(now_s, usegmt=True)
