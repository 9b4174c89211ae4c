"""The loop that posts: names, addresses, TLS, kept connections, and answers that are none."""

from __future__ import annotations

import asyncio
import socket
import threading
import time

import pytest
import trustme

from bridge.clint import Answer, ClintClient
from bridge.clint.connection import Connection, NoAnswer, Origin
from bridge.clint.poster import Poster
from bridge.model import Outcome
from tests.factories import until
from tests.peers import Asked, Peer, RawPeer, Reply, closed_port, tls_server, tls_trusting

OK = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"


def send(clint: ClintClient, url: str) -> Answer:
    """Post something."""
    return clint.send(f"{url}/x", {"a": "1"}, "k")


def test_a_secure_connection_checks_the_name_and_not_the_address(authority: trustme.CA) -> None:
    """The connection goes to the address that was judged, the certificate is held against the host's name."""
    with (
        Peer(ssl_context=tls_server(authority, "localhost")) as peer,
        ClintClient(allow_private=True, ssl_context=tls_trusting(authority)) as clint,
    ):
        for _ in range(2):
            assert send(clint, f"https://localhost:{peer.port}").outcome is Outcome.DELIVERED

        assert len({asked.connection for asked in peer.asked}) == 1


@pytest.mark.parametrize("name", ["other.example", None])
def test_a_certificate_that_is_wrong_gets_no_data(authority: trustme.CA, name: str | None) -> None:
    """Another name's certificate, and one of an unknown authority, end the connection before anything is sent."""
    server = tls_server(authority if name else trustme.CA(), name or "localhost")
    with (
        Peer(ssl_context=server) as peer,
        ClintClient(allow_private=True, ssl_context=tls_trusting(authority)) as clint,
    ):
        answer = send(clint, f"https://localhost:{peer.port}")

        assert (answer.outcome, answer.code) == (Outcome.RETRY, "clint.tls")
        assert peer.asked == []


def test_what_speaks_no_tls_gets_no_data() -> None:
    """An https URL that leads to a plain server is a fault of the connection."""
    with Peer() as peer, ClintClient(allow_private=True) as clint:
        answer = send(clint, f"https://127.0.0.1:{peer.port}")

    assert answer.code == "clint.tls"
    assert peer.asked == []


def test_a_handshake_without_end_is_a_timeout() -> None:
    """Who takes the connection and says nothing holds one request up, and no longer than its time."""
    with RawPeer(lambda connection: time.sleep(2)) as peer, ClintClient(deadline_s=0.3, allow_private=True) as clint:
        answer = send(clint, peer.url.replace("http:", "https:"))

    assert (answer.outcome, answer.code) == (Outcome.RETRY, "clint.timeout")
    assert 250 < answer.duration_ms < 1500


@pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
def test_a_redirect_is_not_followed(status: int) -> None:
    """Not even to where it could: what was owed to one address is not posted to another."""
    with Peer() as elsewhere, Peer(Reply(status, headers={"Location": elsewhere.url})) as peer:
        with ClintClient(allow_private=True) as clint:
            answer = send(clint, peer.url)

        assert (answer.outcome, answer.status) == (Outcome.REJECTED, status)
        assert elsewhere.asked == []


# ---------------------------------------------------------------- names and addresses


@pytest.mark.parametrize("addresses", [["127.0.0.1"], ["127.0.0.2", "127.0.0.1"], ["::1", "127.0.0.1"]])
def test_a_host_that_is_half_there_is_reached(addresses: list[str]) -> None:
    """Where a host has several addresses, one on which nobody listens does not stop the request."""
    with Peer() as peer, ClintClient(allow_private=True, lookup=lambda *host: addresses) as clint:
        assert send(clint, f"http://clint.example:{peer.port}").outcome is Outcome.DELIVERED
        assert peer.asked[0].headers["Host"] == f"clint.example:{peer.port}"


def test_a_certificate_that_is_wrong_on_one_address_is_the_end(authority: trustme.CA) -> None:
    """Another address of the host is no cure for somebody who pretends to be it."""
    server = tls_server(trustme.CA(), "clint.example")
    with (
        Peer(ssl_context=server) as peer,
        ClintClient(
            allow_private=True, ssl_context=tls_trusting(authority), lookup=lambda *host: ["127.0.0.1", "127.0.0.2"]
        ) as clint,
    ):
        assert send(clint, f"https://clint.example:{peer.port}").code == "clint.tls"


@pytest.mark.parametrize("address", ["127.0.0.1", "::1", "::ffff:10.0.0.1", "64:ff9b::7f00:1", "169.254.169.254"])
def test_a_name_that_leads_into_this_network_is_not_connected_to(address: str) -> None:
    """Only the resolver knows what a name is, and may say otherwise the next time: each connection's own is judged."""
    found = [["8.8.8.8"], [address]]
    with Peer() as peer, ClintClient(lookup=lambda *host: found.pop()) as clint:
        answer = send(clint, f"https://clint.example:{peer.port}")

    assert (answer.outcome, answer.code) == (Outcome.RETRY, "clint.private_address")
    assert (peer.asked, len(found)) == ([], 1)


def test_an_address_of_the_open_internet_is_connected_to() -> None:
    """It is one of those of RFC 7723, at which nobody should answer: all that can be seen is that it was tried."""
    with ClintClient(deadline_s=0.2, lookup=lambda *host: ["127.0.0.1", "192.0.0.9"]) as clint:
        answer = send(clint, "https://clint.example")

    assert answer.outcome is Outcome.RETRY
    assert answer.code in {"clint.timeout", "clint.connection", "clint.tls"}


def test_a_resolver_that_says_nothing_is_not_waited_for() -> None:
    """The system's resolver has no timeout of its own; what it says too late is nobody's."""
    says, said = threading.Event(), threading.Event()

    def lookup(host: str, _port: int) -> list[str]:
        if host == "slow.example":
            says.wait(5)
            said.set()
        return ["127.0.0.1"]

    with Peer() as peer, ClintClient(deadline_s=0.2, allow_private=True, lookup=lookup) as clint:
        slow = send(clint, f"http://slow.example:{peer.port}")
        says.set()
        assert said.wait(5)
        assert send(clint, f"http://clint.example:{peer.port}").outcome is Outcome.DELIVERED

    assert (slow.outcome, slow.code) == (Outcome.RETRY, "clint.timeout")
    assert len(peer.asked) == 1


def test_a_resolver_that_outlives_the_client_harms_nobody() -> None:
    """Its thread ends by itself."""
    says = threading.Event()

    def lookup(_host: str, _port: int) -> list[str]:
        says.wait(5)
        return ["127.0.0.1"]

    before = {thread.ident for thread in threading.enumerate()}
    with ClintClient(deadline_s=0.1, allow_private=True, lookup=lookup) as clint:
        send(clint, "http://clint.example")
    says.set()
    until(lambda: {thread.ident for thread in threading.enumerate()} <= before)


# ---------------------------------------------------------------- kept connections


def test_a_connection_that_the_server_closes_is_not_used_again() -> None:
    """`Connection: close`, and a close without a word."""
    with Peer(Reply(headers={"Connection": "close"})) as peer, ClintClient(allow_private=True) as clint:
        assert [send(clint, peer.url).outcome for _ in range(2)] == [Outcome.DELIVERED] * 2
        assert len(peer.asked) == 2

    def speak(connection: socket.socket) -> None:
        connection.sendall(OK)

    with RawPeer(speak) as raw, ClintClient(allow_private=True) as clint:
        for _ in range(3):
            assert send(clint, raw.url).outcome is Outcome.DELIVERED
            time.sleep(0.05)


def test_an_idle_connection_is_closed_after_a_time() -> None:
    """It is there for the next request for a while, and no longer."""
    ended = threading.Event()

    def speak(connection: socket.socket) -> None:
        connection.sendall(OK)
        if not connection.recv(1):
            ended.set()

    with RawPeer(speak) as peer, ClintClient(allow_private=True, keepalive_s=0.1) as clint:
        for _ in range(2):
            send(clint, peer.url)
            assert ended.wait(5)
            ended.clear()


def test_a_connection_that_is_used_now_and_then_stays() -> None:
    """The time counts from its last request."""
    with Peer() as peer, ClintClient(allow_private=True, keepalive_s=2.0) as clint:
        for _ in range(9):
            send(clint, peer.url)
            time.sleep(0.3)
        assert len({asked.connection for asked in peer.asked}) == 1


def test_what_nobody_asked_for_ends_the_connection() -> None:
    """Bytes on an idle connection would be taken for the next request's answer."""
    ended = threading.Event()

    def speak(connection: socket.socket) -> None:
        connection.sendall(OK)
        time.sleep(0.05)
        connection.sendall(OK)
        with_nothing = connection.recv(1)
        if not with_nothing:
            ended.set()

    with RawPeer(speak) as peer, ClintClient(allow_private=True) as clint:
        assert send(clint, peer.url).outcome is Outcome.DELIVERED
        assert ended.wait(5)


@pytest.mark.parametrize("more", [b"HTTP/1.1 500 No\r\nContent-Length: 1\r\nRetry-After: 9\r\n\r\nx", b"rubbish"])
def test_an_answer_too_many_belongs_to_nobody(more: bytes) -> None:
    """The first counts, and no other request goes over that connection."""
    connections: list[socket.socket] = []

    def speak(connection: socket.socket) -> None:
        connections.append(connection)
        connection.sendall(OK + more)
        connection.recv(65536)

    with RawPeer(speak) as peer, ClintClient(allow_private=True) as clint:
        for _ in range(2):
            answer = send(clint, peer.url)
            assert (answer.outcome, answer.excerpt, answer.retry_after_s) == (Outcome.DELIVERED, "ok", None)

    assert len(connections) == 2


def test_an_answer_before_the_request_was_taken_ends_the_connection() -> None:
    """What is left of the request would be read as the next one."""
    connections: list[socket.socket] = []

    def speak(connection: socket.socket) -> None:
        connections.append(connection)
        connection.sendall(b"HTTP/1.1 413 Too much\r\nContent-Length: 0\r\n\r\n")
        time.sleep(0.3)

    with RawPeer(speak) as peer, ClintClient(allow_private=True) as clint:
        for _ in range(2):
            assert clint.send(peer.url, {"a": "x" * 20_000_000}, "k").status == 413

    assert len(connections) == 2


def test_a_connection_that_is_closed_before_its_first_request_carries_none() -> None:
    """Who asked is told, and nothing is written into it."""

    async def told() -> list[object]:
        here, there = socket.socketpair()
        poster = Poster(allow_private=True)
        _, connection = await asyncio.get_running_loop().create_connection(
            lambda: Connection(Origin(False, "clint.example", 80), poster), sock=here
        )
        connection.close()
        answers: list[object] = []
        connection.send(b"POST", asyncio.get_running_loop().time() + 1, answers.append)
        await asyncio.sleep(0)
        with there:
            assert there.recv(1) == b""
        return answers

    (answer,) = asyncio.run(told())
    assert isinstance(answer, NoAnswer)


# ---------------------------------------------------------------- odd answers


@pytest.mark.parametrize(
    ("said", "status", "excerpt"),
    [
        (
            b"HTTP/1.1 100 Continue\r\nX: 1\r\n\r\nHTTP/1.1 103 Early Hints\r\n\r\n" + b"HTTP/1.1 204 No\r\n\r\n",
            204,
            "",
        ),
        (b"HTTP/1.0 200 OK\r\n\r\nuntil the end", 200, "until the end"),
        (b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nok\r\n0\r\nRetry-After: 9\r\n\r\n", 200, "ok"),
    ],
)
def test_what_http_allows_is_understood(said: bytes, status: int, excerpt: str) -> None:
    """Interim answers, a body that ends with the connection, chunks and what follows them."""
    with RawPeer(lambda connection: connection.sendall(said)) as peer, ClintClient(allow_private=True) as clint:
        answer = send(clint, peer.url)

    assert (answer.outcome, answer.status, answer.excerpt) == (Outcome.DELIVERED, status, excerpt)


@pytest.mark.parametrize(
    "said",
    [
        b"HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\n",
        b"HTTP/1.1 100 Continue\r\n\r\n" * 5000,
        b"HTTP/1.1 200 OK\r\nX: " + b"y" * 100_000,
    ],
)
def test_what_never_becomes_an_answer_is_none(said: bytes) -> None:
    """Another protocol, interim answers without end, a head without end."""

    def speak(connection: socket.socket) -> None:
        connection.sendall(said)
        connection.recv(1)

    with RawPeer(speak) as peer, ClintClient(deadline_s=5, allow_private=True) as clint:
        answer = send(clint, peer.url)

    assert (answer.outcome, answer.code, answer.status) == (Outcome.RETRY, "clint.connection", None)
    assert answer.duration_ms < 4000


def test_many_requests_are_out_at_once() -> None:
    """One that hangs holds up no other, and each is told its own answer."""

    def respond(asked: Asked) -> Reply:
        return Reply(after_s=2.0) if asked.path == "/slow/x" else Reply(201)

    with Peer(respond=respond) as peer, ClintClient(allow_private=True) as clint:
        slow = threading.Thread(target=send, args=(clint, f"{peer.url}/slow"))
        slow.start()
        until(lambda: peer.most_at_once == 1)
        begun_s = time.monotonic()
        assert {send(clint, peer.url).status for _ in range(20)} == {201}
        assert time.monotonic() - begun_s < 2.0
        slow.join()


def test_a_refused_connection_leaves_nothing_open() -> None:
    """It is told, and the next one tries anew."""
    with closed_port() as port, ClintClient(allow_private=True) as clint:
        for _ in range(3):
            assert send(clint, f"http://127.0.0.1:{port}").detail == "the connection failed: ConnectionRefusedError"
