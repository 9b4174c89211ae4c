"""gunicorn's worker as the bridge changes it, at the limits that a whole server would need thousands of senders for."""

from __future__ import annotations

import contextlib
import http.client
import logging
import socket
import threading
from collections.abc import Callable, Iterator
from selectors import DefaultSelector
from typing import Any

import pytest
from gunicorn.config import Config
from gunicorn.http import wsgi
from gunicorn.http.parser import RequestParser

from bridge.web.patient_worker import PatientWorker
from bridge.web.wire import Response, Socket
from tests.factories import until

PARTIAL = b"POST /webhooks/asaas HTTP/1.1\r\nHost: bridge\r\n"
AWAITED = PARTIAL + b"Expect: 100-continue\r\nContent-Length: 2\r\n\r\n"


class Room:
    """A worker with room for three connections, and the door that they come through."""

    def __init__(self, listener: socket.socket) -> None:
        config = Config()
        config.set("worker_connections", 3)
        config.set("threads", 1)
        self.worker = PatientWorker(0, 0, [listener], None, 30, config, logging.getLogger("gunicorn"))
        self.worker.poller = DefaultSelector()
        self.listener = listener

    def takes(self, words: bytes) -> socket.socket:
        """Let a client come that has sent these words; return its end."""
        client = socket.create_connection(self.listener.getsockname())
        client.settimeout(5)
        client.sendall(words)
        before = self.worker.nr_conns, len(self.worker.poller.get_map())
        until(lambda: self._came(before))
        return client

    def _came(self, before: tuple[int, int]) -> bool:
        self.worker.accept(self.listener)
        return (self.worker.nr_conns, len(self.worker.poller.get_map())) != before or self.worker.nr_conns >= 2

    def turn(self) -> None:
        """Do what the loop would: look at every connection from which something came."""
        for key, _ in self.worker.poller.select(0.05):
            key.data(key.fileobj)

    def turns_until(self, done: Callable[[], bool]) -> None:
        """Go on like the loop until this is so."""

        def turned() -> bool:
            self.turn()
            return done()

        until(turned)


@pytest.fixture
def room() -> Iterator[Room]:
    """Give a worker that was never forked."""
    with contextlib.closing(socket.create_server(("127.0.0.1", 0))) as listener:
        listener.setblocking(False)
        made = Room(listener)
        yield made
        made.worker.alive = False
        for _ in range(10):
            made.worker._drop_one()
        made.worker.poller.close()
        made.worker.tmp.close()


def is_closed(client: socket.socket) -> bool:
    """Say whether the worker has hung up."""
    try:
        return client.recv(10) == b""
    except ConnectionResetError:
        return True


def test_nobody_at_the_door_is_no_fault(room: Room) -> None:
    """Another worker may have taken the connection first."""
    room.worker.accept(room.listener)

    assert room.worker.nr_conns == 0


def test_where_room_is_short_the_one_that_began_first_goes(room: Room) -> None:
    """Those who come later are read."""
    clients = [room.takes(PARTIAL) for _ in range(3)]
    with contextlib.ExitStack() as stack:
        for client in clients:
            stack.enter_context(client)

        assert is_closed(clients[0])
        assert room.worker.nr_conns == 2


def test_who_asks_before_sending_is_told_to_go_on(room: Room) -> None:
    """RFC 9110 section 10.1.1; the rest is then waited for as of everybody."""
    with room.takes(AWAITED) as client:
        assert client.recv(100) == b"HTTP/1.1 100 Continue\r\n\r\n"
        assert room.worker.nr_conns == 1


def test_an_endless_head_is_refused_and_its_rest_thrown_away(room: Room) -> None:
    """The client can read why before the connection ends."""
    with room.takes(PARTIAL) as client:
        client.sendall(b"A: " + b"a" * 200_000)
        room.turns_until(lambda: bool(room.worker._lingering))
        assert client.recv(12) == b"HTTP/1.1 431"
        client.sendall(b"more")
        room.turn()
        client.shutdown(socket.SHUT_RDWR)
        room.turns_until(lambda: not room.worker._lingering)

    assert room.worker.nr_conns == 0


def test_a_client_that_leaves_is_forgotten(room: Room) -> None:
    """Nothing of it is kept."""
    room.takes(PARTIAL).close()
    room.turns_until(lambda: not room.worker.nr_conns)

    assert room.worker._gathered_bytes == 0


@pytest.mark.parametrize(
    ("pieces", "length", "pace"),
    [
        ([b"ok"], "2", 1),
        ([b"o", b"k"], "2", 2),
        ([], "0", 1),
        ([b"o", b"k"], None, 4),
        ([], None, 2),
    ],
)
def test_an_answers_head_leaves_with_its_body(pieces: list[bytes], length: str | None, pace: int) -> None:
    """A small answer is one piece on the wire; chunks and answers without a body are as HTTP wants them."""

    class Wire(socket.socket):
        sends = 0

        def sendall(self, *arguments: Any) -> None:
            self.sends += 1
            super().sendall(*arguments)

    ours, theirs = socket.socketpair()
    config = Config()
    with Wire(fileno=ours.detach()) as wire, theirs:
        parser = RequestParser(config, wire, ("127.0.0.1", 1))
        parser.unreader.unread(b"GET / HTTP/1.1\r\nHost: bridge\r\n\r\n")
        response, _ = wsgi.create(
            next(parser), wire, ("127.0.0.1", 1), ("127.0.0.1", 80), config, response_class=Response
        )
        response.start_response("200 OK", [("Content-Length", length)] if length else [])
        for piece in pieces:
            response.write(piece)
        response.close()
        answer = http.client.HTTPResponse(theirs)
        answer.begin()

        assert (answer.status, answer.read(), answer.getheader("Server")) == (200, b"".join(pieces), None)
        assert wire.sends == pace


@pytest.mark.parametrize("full", [False, True])
def test_a_client_that_is_slow_to_take_its_answer_gets_it_whole(full: bool) -> None:
    """A socket that only answers never blocks for its mode, but waits where there is no room."""
    ours, theirs = socket.socketpair()
    answer = bytes(range(256)) * 20_000
    before = b""
    with Socket(fileno=ours.detach()) as sock, theirs:
        sock.only_answers = True
        sock.setblocking(False)
        sock.setblocking(True)
        assert sock.gettimeout() == 0.0
        while full:
            try:
                before += b"." * sock.send(b"." * 65536)
            except BlockingIOError:
                break
        sending = threading.Thread(target=sock.sendall, args=(answer,))
        sending.start()
        taken = b""
        while len(taken) < len(before) + len(answer):
            taken += theirs.recv(100_000)
        sending.join()

    assert taken == before + answer
