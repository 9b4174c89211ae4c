"""Serves the door and the console by waitress, which reads a whole request before a thread gets it."""

from __future__ import annotations

import logging
import resource
import signal
import socket
import time
from collections.abc import Iterable, Iterator
from contextlib import closing
from types import FrameType
from typing import TYPE_CHECKING, Any

from flask import Flask
from waitress import wasyncore
from waitress.server import create_server

from bridge.errors import DecryptionFailed, JournalError, JournalNotMigrated
from bridge.logs import logger
from bridge.runtime import Runtime
from bridge.settings import Settings
from bridge.web.app import BUSY, create_app
from bridge.web.door import MAX_BODY_BYTES

if TYPE_CHECKING:
    from _typeshed.wsgi import StartResponse, WSGIApplication, WSGIEnvironment

log = logger(__name__)

CONNECTIONS = 4_000
OTHER_FILES = 256
SILENT_S = 30
"""The server closes a connection that is idle for this long."""
STOP_WITHIN_S = 15.0
ROOM_BYTES = MAX_BODY_BYTES + 64 * 1024
"""A little more than a body may have, so that the door gives the answer 413."""


def serve(settings: Settings, listener: socket.socket) -> None:
    """Serve at this socket until SIGTERM or SIGINT, then answer the requests under way.

    Raises JournalNotMigrated or DecryptionFailed where this version or key can't use the journal.
    """
    # Load and clients that hang up would fill the log.
    logging.getLogger("waitress.queue").setLevel(logging.ERROR)
    logging.getLogger("waitress").setLevel(logging.WARNING)
    with listener, closing(Runtime(settings)) as runtime:
        try:
            runtime.register()
        except (JournalNotMigrated, DecryptionFailed):
            raise
        except JournalError as error:
            # The door answers 503 until the journal is back, and Asaas posts again. The worker registers the settings.
            log.warning("journal.away", error=str(error))
        _run(runtime, create_app(runtime), listener)


def _run(runtime: Runtime, app: Flask, listener: socket.socket) -> None:
    # The kernel closes a connection whose client does not read; waitress does not. macOS has no such option.
    if hasattr(socket, "TCP_USER_TIMEOUT"):
        listener.setsockopt(socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT, SILENT_S * 1000)
    sockets: dict[int, Any] = {}
    server: Any = create_server(
        _close_refused(app),
        map=sockets,
        sockets=[listener],
        threads=runtime.settings.bridge_web_threads,
        connection_limit=_connections(),
        channel_timeout=SILENT_S,
        cleanup_interval=5,
        max_request_header_size=16_384,
        max_request_body_size=ROOM_BYTES,
        inbuf_overflow=ROOM_BYTES,
        outbuf_high_watermark=512 * 1024,
        # AddressPolicy reads X-Forwarded-For.
        clear_untrusted_proxy_headers=False,
        log_socket_errors=False,
        ident=None,
    )
    stopping = False

    def stop(_signum: int, _frame: FrameType | None) -> None:
        nonlocal stopping
        stopping = True
        server.pull_trigger()

    signal.signal(signal.SIGTERM, stop)
    signal.signal(signal.SIGINT, stop)
    while not stopping:
        wasyncore.loop(timeout=1, use_poll=True, map=sockets, count=1)
    _finish(server, sockets)


def _close_refused(app: WSGIApplication) -> WSGIApplication:
    """Close the connection of a busy request: its pipelined requests would wait before those for the door."""

    def answer(environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
        body = app(environ, start_response)
        return _then_close(body) if environ.get(BUSY) else body

    return answer


def _then_close(body: Iterable[bytes]) -> Iterator[bytes]:
    yield from body
    # waitress closes the connection at an OSError.
    raise ConnectionAbortedError


def _finish(server: Any, sockets: dict[int, Any]) -> None:
    """Stop accepting, answer the requests under way, and close every connection."""
    until_s = time.monotonic() + STOP_WITHIN_S
    wasyncore.dispatcher.close(server)  # only the listener: threads still wake the loop through the server
    while time.monotonic() < until_s and any(
        channel.requests or channel.total_outbufs_len for channel in server.active_channels.values()
    ):
        wasyncore.loop(timeout=0.1, use_poll=True, map=sockets, count=1)
    server.task_dispatcher.shutdown(timeout=max(0.0, until_s - time.monotonic()))
    wasyncore.close_all(sockets)


def _connections() -> int:
    """Return how many connections the process may hold; some files are left for the journal, Redis and logs."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = CONNECTIONS + OTHER_FILES
    if soft != resource.RLIM_INFINITY and soft < wanted:
        soft = wanted if hard == resource.RLIM_INFINITY else min(wanted, hard)
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
    return CONNECTIONS if soft == resource.RLIM_INFINITY else max(16, min(CONNECTIONS, soft - OTHER_FILES))
