"""Serves a simulator on a real socket from threads of this process, with waitress."""

from __future__ import annotations

import ctypes
import logging
import re
import socket
import threading
from typing import TYPE_CHECKING, Any, Self

from waitress import wasyncore
from waitress.channel import HTTPChannel
from waitress.parser import HTTPRequestParser
from waitress.server import create_server

if TYPE_CHECKING:
    from _typeshed.wsgi import WSGIApplication


THREADS = 64
"""A request that hangs on purpose holds its thread; the others must still be answered meanwhile."""
LOOP_TIMEOUT_S = 0.5

ACCESS_TOKEN = re.compile(rb"^access_token:[ \t]*([^\r\n]*)", re.IGNORECASE | re.MULTILINE)

# A queue for a moment, or a client still connected at the end, is no news in a simulator.
logging.getLogger("waitress").setLevel(logging.ERROR)


class _Parser(HTTPRequestParser):
    """Keeps the header access_token, which waitress drops for the underscore in its name."""

    def parse_header(self, header_plus: bytes) -> None:
        super().parse_header(header_plus)
        # Asaas does not accept `access-token`, which waitress would give the same name.
        headers = {name: value for name, value in self.headers.items() if name != "ACCESS_TOKEN"}
        found = ACCESS_TOKEN.search(header_plus)
        if found is not None:
            headers["ACCESS_TOKEN"] = found[1].strip().decode("latin-1")
        self.headers = headers


class _Channel(HTTPChannel):
    parser_class = _Parser


class Served:
    """Serves an application at `.url` inside a `with` block."""

    def __init__(self, app: WSGIApplication, port: int = 0, host: str = "127.0.0.1", threads: int = THREADS) -> None:
        self._sockets: dict[int, Any] = {}
        server: Any = create_server(
            app,
            map=self._sockets,
            host=host,
            port=port,
            threads=threads,
            connection_limit=1000,
            channel_timeout=300,
            # Tests close connections on purpose.
            log_socket_errors=False,
            clear_untrusted_proxy_headers=True,
            ident="simulator",
        )
        server.channel_class = _Channel
        self._server = server
        self.host = host
        self.port = int(server.effective_port)
        self._stopping = threading.Event()
        self._closing = threading.Lock()
        self._thread = threading.Thread(target=self._loop, name=f"simulator-{self.port}", daemon=True)

    @property
    def url(self) -> str:
        return f"http://{self.host}:{self.port}"

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        """Stop and close every connection."""
        with self._closing:  # a loop that wakes in between must not close what is about to be pulled
            self._stopping.set()
            self._server.pull_trigger()
        self._thread.join(timeout=10)

    def _loop(self) -> None:
        while not self._stopping.is_set():
            wasyncore.loop(timeout=LOOP_TIMEOUT_S, use_poll=True, map=self._sockets, count=1)
        # The polling thread closes the sockets, so that it never polls a closed one.
        self._server.task_dispatcher.shutdown(timeout=1)
        with self._closing:
            for channel in list(self._server.active_channels.values()):
                channel.handle_close()  # its buffers with it: a long answer's is a file
            for dispatcher in list(self._sockets.values()):
                dispatcher.close()


def drop_connection(environ: dict[str, Any], last_words: bytes = b"", *, reset: bool = False) -> bool:
    """Cut the connection without an answer; return False where there is no socket, as in a test client.

    `last_words` are sent before; with `reset` the connection is reset instead of closed.
    """
    # Waitress gives access to the connection only by this bound method.
    channel = getattr(environ.get("waitress.client_disconnected"), "__self__", None)
    if channel is None:
        return False
    try:
        if last_words:
            channel.socket.setblocking(True)
            channel.socket.sendall(last_words)
        if reset:
            # A connect with AF_UNSPEC resets the connection at once (connect(2)).
            ctypes.CDLL(None).connect(channel.socket.fileno(), bytes(16), 16)
        channel.socket.shutdown(socket.SHUT_RDWR)
    except OSError:  # the client was faster
        return True
    return True
