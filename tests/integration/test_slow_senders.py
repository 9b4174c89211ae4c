"""A real web process and strangers who take their time: nobody else waits for them."""

from __future__ import annotations

import json
import re
import socket
import statistics
import threading
import time
from collections.abc import Iterator
from contextlib import ExitStack, closing, suppress

import pytest

from bridge.web.door import MAX_BODY_BYTES
from tests.factories import envelope, opened_journal
from tests.integration.test_web import TOKEN, Site, environment, running

pytestmark = pytest.mark.slow

HEAD = f"POST /webhooks/asaas HTTP/1.1\r\nHost: a\r\nasaas-access-token: {TOKEN}\r\nConnection: close\r\n"
BEGUN = (
    b"",
    b"PO",
    HEAD.encode(),
    f"{HEAD}Content-Length: 500\r\n\r\n{{".encode(),
    f"{HEAD}Content-Length: 900000\r\nExpect: 100-continue\r\n\r\n".encode(),
    f"{HEAD}Transfer-Encoding: chunked\r\n\r\n5\r\n{{".encode(),
    f"{HEAD}Content-Length: {MAX_BODY_BYTES * 3}\r\n\r\n{{".encode(),
    b"GET /healthz HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n",
)
"""What a stranger sends before falling silent; the last two are answered, and the stranger does not hang up."""
DRIPPING = f"{HEAD}Content-Length: 500000\r\n\r\n{{".encode()


@pytest.fixture(scope="module")
def site(redis_url: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    """Give a web process with two threads, so that three slow senders would be enough."""
    scratch = tmp_path_factory.mktemp("slow")
    url = f"sqlite:///{scratch}/journal.db"
    with opened_journal(url), running(environment(url, redis_url, scratch, BRIDGE_WEB_THREADS="2"), scratch) as site:
        yield site


def connect(site: Site) -> socket.socket:
    """Return a connection to the site."""
    return socket.create_connection(("127.0.0.1", site.port), timeout=30)


def answers(site: Site, *pieces: bytes) -> bytes:
    """Send the pieces over one connection and return all that comes back until the site closes it."""
    with closing(connect(site)) as client:
        with suppress(OSError):
            for piece in pieces:
                client.sendall(piece)
        said = b""
        with suppress(ConnectionResetError):
            while piece := client.recv(65_536):
                said += piece
        return said


@pytest.mark.alone
@pytest.mark.parametrize("kind", ["reads nothing", "drips a body", "stops"])
def test_slow_senders_keep_nobody_waiting(site: Site, kind: str) -> None:
    """Two hundred of one kind are connected; events are still kept, and answered at once."""
    with ExitStack() as stack:
        clients = [stack.enter_context(closing(connect(site))) for _ in range(200)]
        done = threading.Event()
        stack.callback(done.set)
        for number, client in enumerate(clients):
            if kind == "reads nothing":
                client.sendall(b"GET /assets/codemirror/codemirror.min.js HTTP/1.1\r\nHost: a\r\n\r\n" * 100)
            else:
                client.sendall(BEGUN[number % len(BEGUN)] if kind == "stops" else DRIPPING)
        if kind == "drips a body":
            threading.Thread(target=drip, args=(clients, done), daemon=True).start()
        took_s = []
        for _ in range(10):
            began_s = time.monotonic()
            assert site.post(envelope()) == 200
            took_s.append(time.monotonic() - began_s)

    assert statistics.median(took_s) < 1


def drip(clients: list[socket.socket], done: threading.Event) -> None:
    """Send a byte over each of them now and then."""
    with suppress(OSError):
        while not done.wait(0.2):
            for client in clients:
                client.send(b" ")


def test_a_sender_who_drips_is_heard_out_while_there_is_time(site: Site) -> None:
    """A slow line is no crime: the pieces make one request."""
    body = json.dumps(envelope()).encode()
    request = f"{HEAD}Content-Length: {len(body)}\r\n\r\n".encode() + body

    assert answers(site, *(request[at : at + 16] for at in range(0, len(request), 16))).startswith(b"HTTP/1.1 200 ")


def test_requests_in_a_row_on_one_connection_are_all_answered(site: Site) -> None:
    """Also those that were sent before the answer to the first, and half of one."""
    one = b"GET /healthz HTTP/1.1\r\nHost: a\r\n\r\n"
    last = b"GET /healthz HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n"

    assert answers(site, one + one + last[:20], last[20:]).count(b"HTTP/1.1 200 ") == 3


@pytest.mark.parametrize(
    ("request_", "status"),
    [
        (b"GET / HTTP/1.1\r\nHost: a\r\nX: " + b"y" * 70_000, 431),
        (b"\x16\x03\x01\x02\x00\x01\r\n\r\n", 400),
        (b"GET / HTTP/1.1\r\nHost: a\r\nX y: z\r\n\r\n", 400),
        (HEAD.encode() + b"Content-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n", 400),
        (HEAD.encode() + b"Content-Length: 1\r\nContent-Length: 2\r\n\r\n{}", 400),
        (HEAD.encode() + b"Content-Length: -1\r\n\r\n", 400),
        (HEAD.encode() + b"Transfer-Encoding: gzip, chunked\r\n\r\n0\r\n\r\n", 501),
        (HEAD.encode() + b"Transfer-Encoding: chunked\r\n\r\nzz" + b"z" * 100 + b"\r\n\r\n", 400),
        (HEAD.encode() + b"Content-Length: %d\r\n\r\n{" % (MAX_BODY_BYTES * 3), 413),
    ],
)
def test_what_is_no_request_is_refused_and_nothing_of_it_is_said(site: Site, request_: bytes, status: int) -> None:
    """Nothing is kept, and no token is in the answer or in the log."""
    said = answers(site, request_)

    assert re.match(b"HTTP/1\\.[01] %d " % status, said)
    assert TOKEN.encode() not in said
    assert TOKEN not in site.log.read_text()
    assert "Traceback" not in site.log.read_text()
    assert site.post(envelope()) == 200


def test_the_door_itself_says_that_a_body_is_too_long(site: Site) -> None:
    """A body that is a little over the limit is answered in the shape of every error."""
    body = b" " * (MAX_BODY_BYTES + 1)

    assert b"webhook.body_too_large" in answers(site, HEAD.encode() + b"Content-Length: %d\r\n\r\n" % len(body), body)


def test_no_answer_says_what_made_it(site: Site) -> None:
    """No name and no version of a server."""
    said = answers(site, b"GET /healthz HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n")

    assert b"server:" not in said.lower()
    assert b"waitress" not in said.lower()
