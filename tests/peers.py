"""The other end of a connection, for tests: real sockets that answer what a test says, or break the way it says.

`Peer` speaks HTTP and keeps what it was asked; `RawPeer` hands the bare connection to the test, for what no proper
server would do: dribble, cut off, say nothing.
"""

from __future__ import annotations

import contextlib
import socket
import ssl
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import httpx
import trustme

from bridge.clint.webhook import ClintClient
from bridge.http import HttpClient


@dataclass(frozen=True)
class Asked:
    """One request as it arrived."""

    method: str
    path: str
    headers: Mapping[str, str]
    body: bytes
    connection: int


@dataclass(frozen=True)
class Reply:
    """What a peer answers."""

    status: int = 200
    body: bytes = b"{}"
    headers: Mapping[str, str] = field(default_factory=dict)
    after_s: float = 0.0


class Peer:
    """An HTTP server on loopback with keep-alive; `respond` decides, else the last of `replies` is repeated."""

    def __init__(
        self,
        *replies: Reply,
        respond: Callable[[Asked], Reply] | None = None,
        ssl_context: ssl.SSLContext | None = None,
    ) -> None:
        self.asked: list[Asked] = []
        self.most_at_once = 0
        self._replies = list(replies) or [Reply()]
        self._respond = respond
        self._at_once = 0
        self._lock = threading.Lock()
        peer = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"
            disable_nagle_algorithm = True

            def _answer(self) -> None:
                body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
                asked = Asked(self.command, self.path, httpx.Headers(dict(self.headers)), body, id(self.connection))
                reply = peer._take(asked)
                time.sleep(reply.after_s)
                with contextlib.suppress(OSError):
                    # The plain one sends a Date of its own.
                    (self.send_response_only if "Date" in reply.headers else self.send_response)(reply.status)
                    for name, value in {"Content-Length": str(len(reply.body)), **reply.headers}.items():
                        self.send_header(name, value)
                    self.end_headers()
                    self.wfile.write(reply.body)
                with peer._lock:
                    peer._at_once -= 1

            do_GET = do_POST = do_PUT = do_DELETE = _answer

            def log_message(self, *arguments: Any) -> None:
                return

        class Server(ThreadingHTTPServer):
            daemon_threads = True
            block_on_close = False
            request_queue_size = 128

            def handle_error(self, *arguments: Any) -> None:
                return  # a client that went away is what the tests do on purpose

        self._server = Server(("127.0.0.1", 0), Handler)
        if ssl_context:
            self._server.socket = ssl_context.wrap_socket(
                self._server.socket, server_side=True, do_handshake_on_connect=False
            )
        self.port = self._server.server_port
        self.url = f"http{'s' if ssl_context else ''}://127.0.0.1:{self.port}"

    def __enter__(self) -> Peer:
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.02,), daemon=True)
        self._thread.start()
        return self

    def __exit__(self, *problem: object) -> None:
        self._server.shutdown()
        self._thread.join()
        self._server.server_close()

    def _take(self, asked: Asked) -> Reply:
        with self._lock:
            self._at_once += 1
            self.most_at_once = max(self.most_at_once, self._at_once)
            self.asked.append(asked)
            if self._respond is None:
                return self._replies.pop(0) if len(self._replies) > 1 else self._replies[0]
        return self._respond(asked)


class RawPeer:
    """A server on loopback that reads a request and then lets the test do as it likes with the connection."""

    def __init__(self, speak: Callable[[socket.socket], None]) -> None:
        self._speak = speak
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.url = f"http://127.0.0.1:{self._listener.getsockname()[1]}"

    def __enter__(self) -> RawPeer:
        threading.Thread(target=self._listen, daemon=True).start()
        return self

    def __exit__(self, *problem: object) -> None:
        # Only a shutdown wakes a thread that waits in accept.
        self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()

    def _listen(self) -> None:
        while True:
            try:
                connection, _ = self._listener.accept()
            except OSError:
                return
            threading.Thread(target=self._serve, args=(connection,), daemon=True).start()

    def _serve(self, connection: socket.socket) -> None:
        with connection, contextlib.suppress(OSError):
            connection.recv(65536)
            self._speak(connection)


@contextlib.contextmanager
def closed_port() -> Iterator[int]:
    """Give a port on loopback on which nobody listens."""
    with socket.socket() as held:
        held.bind(("127.0.0.1", 0))
        yield int(held.getsockname()[1])


def tls_server(authority: trustme.CA, name: str) -> ssl.SSLContext:
    """Return the server side of TLS with a certificate for the name."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    authority.issue_cert(name).configure_cert(context)
    return context


def tls_trusting(authority: trustme.CA) -> ssl.SSLContext:
    """Return the client side of TLS that trusts the authority."""
    context = ssl.create_default_context()
    authority.configure_trust(context)
    return context


@contextlib.contextmanager
def clint_client(
    *,
    deadline_s: float = 10.0,
    clock_ms: Callable[[], int] = lambda: round(time.time() * 1000),
    allow_private: bool = True,
    **http: Any,
) -> Iterator[ClintClient]:
    """Give a client of destinations that may connect to this machine, and close its connections at the end."""
    with HttpClient(allow_private=allow_private, **http) as client:
        yield ClintClient(client, deadline_s=deadline_s, clock_ms=clock_ms)
