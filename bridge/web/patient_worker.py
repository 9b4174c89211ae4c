"""gunicorn's threaded worker, but a thread is given to whole requests only, so that slow senders cost none.

As it comes from gunicorn, a connection occupies a thread from its first byte to its last: as many dribbling connections
as there are threads, and nobody else is answered. Here the worker's loop gathers what comes, without waiting for
anybody; a request must be there within READ_WITHIN_S, and where room is short the one that has begun first is dropped.
Asaas gives up after ten seconds itself (docs erro-read-timed-out).
"""

from __future__ import annotations

import errno
import selectors
import socket
import time
from typing import Any

from gunicorn import util
from gunicorn.http import errors, wsgi
from gunicorn.workers import gthread

from bridge.web.whole_request import MAX_BODY_BYTES, Gathered, Progress
from bridge.web.wire import READ_WITHIN_S, Response, Socket

LINGER_S = 2.0
"""Time that a client has to read the answer before the connection is closed for good (RFC 9112 section 9.6)."""
MAX_GATHERED_BYTES = 64 * 1024 * 1024
"""Of all requests that are not whole yet, in one process."""

_PIECE = 64 * 1024
_TOO_MANY_HEADERS = b"HTTP/1.1 431 Request Header Fields Too Large\r\nConnection: close\r\nContent-Length: 0\r\n\r\n"
_STATUS = {
    errors.LimitRequestLine: (414, "URI Too Long"),
    errors.LimitRequestHeaders: (431, "Request Header Fields Too Large"),
    errors.ExpectationFailed: (417, "Expectation Failed"),
    errors.UnsupportedTransferCoding: (501, "Not Implemented"),
}


class _Connection(gthread.TConn):  # type: ignore[misc]  # gunicorn has no types
    """A connection with what has come of its next request."""

    def __init__(self, cfg: Any, client: socket.socket, address: Any, server: Any) -> None:
        super().__init__(cfg, Socket(fileno=client.detach()), address, server)
        self.data_ready = True  # gunicorn would wait for it in a thread
        self.polled = False
        self.whole = False
        self.gathered = Gathered()

    def init(self) -> None:
        super().init()
        self.parser.unreader.unread(bytes(self.gathered.data))
        self.gathered = Gathered()


class PatientWorker(gthread.ThreadWorker):  # type: ignore[misc]
    """A worker whose threads never wait for a client's bytes."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        # In the order of their beginning, and thus of their end, since all have the same time.
        self._reading: dict[_Connection, None] = {}
        self._lingering: dict[_Connection, None] = {}
        self._gathered_bytes = 0

    def init_process(self) -> None:
        """Prepare the process."""
        wsgi.Response = Response  # gunicorn has no setting for it
        super().init_process()

    def accept(self, listener: socket.socket) -> None:
        """Take a connection, and what it has sent already."""
        try:
            client, address = listener.accept()
        except OSError as error:
            if error.errno not in (errno.EAGAIN, errno.ECONNABORTED, errno.EWOULDBLOCK):
                raise
            return
        self.nr_conns += 1
        if self.nr_conns >= self.worker_connections:
            self._drop_one()
        self._begin(_Connection(self.cfg, client, address, listener.getsockname()))

    def on_client_socket_readable(self, conn: _Connection, client: socket.socket) -> None:
        """Begin the next request of a connection that was kept open."""
        self.poller.unregister(client)
        self.keepalived_conns.remove(conn)
        self._begin(conn)

    def _begin(self, conn: _Connection, rest: bytes = b"") -> None:
        conn.timeout = time.monotonic() + READ_WITHIN_S
        conn.gathered = Gathered(rest, MAX_BODY_BYTES + 1)
        conn.sock.setblocking(False)
        self._reading[conn] = None
        self._gathered_bytes += len(rest)
        if not rest or not self._go_on(conn):
            self._read(conn)

    def _read(self, conn: _Connection) -> None:
        try:
            piece = conn.sock.recv(_PIECE)
        except (BlockingIOError, InterruptedError):
            self._poll(conn)
            return
        except OSError:
            piece = b""
        if not piece:
            self._forget(conn)
            self._close(conn)
            return
        conn.gathered.data += piece
        self._gathered_bytes += len(piece)
        if not self._go_on(conn):
            self._poll(conn)
            while self._gathered_bytes > MAX_GATHERED_BYTES:
                self._drop_one()

    def _poll(self, conn: _Connection) -> None:
        if not conn.polled:
            conn.polled = True
            self.poller.register(conn.sock, selectors.EVENT_READ, lambda _client: self._read(conn))

    def _go_on(self, conn: _Connection) -> bool:
        """Do what is to be done with what has come; return whether it was the whole request."""
        progress = conn.gathered.progress()
        if progress is Progress.PARTIAL:
            return False
        if progress is Progress.AWAITED:
            self._send(conn, b"HTTP/1.1 100 Continue\r\n\r\n")
            return False
        self._forget(conn)
        if progress is Progress.ENDLESS:
            self._send(conn, _TOO_MANY_HEADERS)
            self._linger(conn)
        else:
            conn.whole = conn.sock.only_answers = progress is Progress.WHOLE
            self.enqueue_req(conn)
        return True

    def _forget(self, conn: _Connection) -> None:
        self._reading.pop(conn, None)
        self._lingering.pop(conn, None)
        self._gathered_bytes -= len(conn.gathered.data)
        if conn.polled:
            conn.polled = False
            self.poller.unregister(conn.sock)

    def _send(self, conn: _Connection, words: bytes) -> None:
        try:
            conn.sock.send(words)
        except OSError:
            return  # who does not take even that is heard of when it is read from

    def finish_request(self, conn: _Connection, fs: Any) -> None:
        """Keep the connection for the next request, or end it without waiting for the client."""
        again = not fs.cancelled() and fs.exception() is None and bool(fs.result())
        if not again:
            self._linger(conn)
        elif rest := conn.parser.unreader.take_buffered():
            self._begin(conn, rest)
        else:
            super().finish_request(conn, fs)

    def _keepalive_after(self, conn: _Connection, keepalive: bool) -> bool:
        # Who sends more than is read must not have a thread wait for the rest.
        return conn.whole and super()._keepalive_after(conn, keepalive)

    def _linger(self, conn: _Connection) -> None:
        """Say that nothing more comes, and let the client read what there is; what it still sends is thrown away."""
        try:
            conn.sock.setblocking(False)
            conn.sock.shutdown(socket.SHUT_WR)
        except OSError:
            self._close(conn)
            return
        conn.timeout = time.monotonic() + LINGER_S
        conn.gathered = Gathered()
        conn.polled = True
        self._lingering[conn] = None
        self.poller.register(conn.sock, selectors.EVENT_READ, lambda _client: self._throw_away(conn))

    def _throw_away(self, conn: _Connection) -> None:
        try:
            if conn.sock.recv(_PIECE):
                return
        except (BlockingIOError, InterruptedError):
            return
        except OSError:
            pass
        self._forget(conn)
        self._close(conn)

    def _close(self, conn: _Connection) -> None:
        self.nr_conns -= 1
        conn.close()

    def _drop_one(self) -> None:
        """Close the connection that matters least: one that is done, one that begun long ago, one that is idle."""
        for line in (self._lingering, self._reading):
            if line:
                conn = next(iter(line))
                self._forget(conn)
                self._close(conn)
                return
        if self.keepalived_conns:
            conn = self.keepalived_conns.popleft()
            self.poller.unregister(conn.sock)
            self._close(conn)

    def murder_pending(self) -> None:
        """Close the connections whose time is over; a process that ends waits for no sender."""
        now_s = time.monotonic() + (0.0 if self.alive else READ_WITHIN_S - LINGER_S)
        for line in (self._lingering, self._reading):
            while line and (conn := next(iter(line))).timeout <= now_s:
                self._forget(conn)
                self._close(conn)

    def handle_error(self, req: Any, client: socket.socket, addr: Any, exc: Exception) -> None:
        """Refuse what is no HTTP in the shape of every error; nothing of it is said back or logged."""
        ours = errors.InvalidResponseHeader | errors.InvalidResponseHeaderName
        if isinstance(exc, ours) or not isinstance(exc, errors.ParseException):
            super().handle_error(req, client, addr, exc)
            return
        status, reason = _STATUS.get(type(exc), (400, "Bad Request"))
        self.log.info("refused what is no HTTP request: %s", type(exc).__name__)
        body = f'{{"error":{{"code":"http.{status}","message":"{reason.lower()}"}}}}'
        util.write_nonblock(
            client,
            f"HTTP/1.1 {status} {reason}\r\nConnection: close\r\nContent-Type: application/json\r\n"
            f"Content-Length: {len(body)}\r\n\r\n{body}".encode(),
        )
