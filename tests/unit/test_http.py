"""The HTTP client: names, addresses, TLS, deadlines, kept connections, and answers that are none."""

from __future__ import annotations

import contextlib
import gc
import json
import socket
import threading
import time
import warnings
from pathlib import Path
from queue import SimpleQueue
from typing import Any

import httpx
import pytest
import trustme

from bridge.clint.webhook import Answer, ClintClient
from bridge.http import HttpClient, NameNotResolved, PrivateAddress, TooLarge, authorities
from bridge.model import Outcome
from tests.factories import until
from tests.peers import Asked, Peer, RawPeer, Reply, clint_client, closed_port, tls_server, tls_trusting

OK = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"


def send(clint: ClintClient, url: str) -> Answer:
    """Post something."""
    return clint.send(f"{url}/x", {"a": "1"}, "k")


def test_a_secure_connection_checks_the_name_and_not_the_address(authority: trustme.CA) -> None:
    """The connection goes to the address that was judged, the certificate is held against the host's name."""
    with (
        Peer(ssl_context=tls_server(authority, "localhost")) as peer,
        clint_client(ssl_context=tls_trusting(authority)) as clint,
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
        clint_client(ssl_context=tls_trusting(authority)) as clint,
    ):
        answer = send(clint, f"https://localhost:{peer.port}")

        assert (answer.outcome, answer.code) == (Outcome.RETRY, "clint.tls")
        assert peer.asked == []


def test_what_speaks_no_tls_gets_no_data() -> None:
    """An https URL that leads to a plain server is a fault of the connection."""
    with Peer() as peer, clint_client() as clint:
        answer = send(clint, f"https://127.0.0.1:{peer.port}")

    assert answer.code == "clint.tls"
    assert peer.asked == []


def test_a_handshake_without_end_is_a_timeout() -> None:
    """Who takes the connection and says nothing holds one request up, and no longer than its time."""
    with RawPeer(lambda connection: time.sleep(2)) as peer, clint_client(deadline_s=0.3) as clint:
        answer = send(clint, peer.url.replace("http:", "https:"))

    assert (answer.outcome, answer.code) == (Outcome.RETRY, "clint.timeout")
    assert 250 < answer.duration_ms < 1500


@pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
def test_a_redirect_is_not_followed(status: int) -> None:
    """Not even to where it could: what was owed to one address is not posted to another."""
    with Peer() as elsewhere, Peer(Reply(status, headers={"Location": elsewhere.url})) as peer:
        with clint_client() as clint:
            answer = send(clint, peer.url)

        assert (answer.outcome, answer.status) == (Outcome.REJECTED, status)
        assert elsewhere.asked == []


# ---------------------------------------------------------------- names and addresses


@pytest.mark.parametrize("addresses", [["127.0.0.1"], ["127.0.0.2", "127.0.0.1"], ["::1", "127.0.0.1"]])
def test_a_host_that_is_half_there_is_reached(addresses: list[str]) -> None:
    """Where a host has several addresses, one on which nobody listens does not stop the request."""
    with Peer() as peer, clint_client(lookup=lambda *host: addresses) as clint:
        assert send(clint, f"http://clint.example:{peer.port}").outcome is Outcome.DELIVERED
        assert peer.asked[0].headers["Host"] == f"clint.example:{peer.port}"


def test_a_certificate_that_is_wrong_gets_no_data_at_any_address(authority: trustme.CA) -> None:
    """Every address of the host has to show the host's certificate."""
    server = tls_server(trustme.CA(), "clint.example")
    with (
        Peer(ssl_context=server) as peer,
        clint_client(ssl_context=tls_trusting(authority), lookup=lambda *host: ["127.0.0.1", "127.0.0.2"]) as clint,
    ):
        assert send(clint, f"https://clint.example:{peer.port}").outcome is Outcome.RETRY
        assert peer.asked == []


@pytest.mark.parametrize("address", ["127.0.0.1", "::1", "::ffff:10.0.0.1", "64:ff9b::7f00:1", "169.254.169.254"])
def test_a_name_that_leads_into_this_network_is_not_connected_to(address: str) -> None:
    """Only the resolver knows what a name is, and may say otherwise the next time: each connection's own is judged."""
    found = [["8.8.8.8"], [address]]
    with Peer() as peer, clint_client(allow_private=False, lookup=lambda *host: found.pop()) as clint:
        answer = send(clint, f"https://clint.example:{peer.port}")

    assert (answer.outcome, answer.code) == (Outcome.RETRY, "clint.private_address")
    assert (peer.asked, len(found)) == ([], 1)


def test_a_resolver_that_says_nothing_is_not_waited_for() -> None:
    """The system's resolver has no timeout of its own; what it says too late is nobody's."""
    says, said = threading.Event(), threading.Event()

    def lookup(host: str, _port: int) -> list[str]:
        if host == "slow.example":
            says.wait(5)
            said.set()
        return ["127.0.0.1"]

    with Peer() as peer, clint_client(deadline_s=0.2, lookup=lookup) as clint:
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
    with clint_client(deadline_s=0.1, lookup=lookup) as clint:
        send(clint, "http://clint.example")
    says.set()
    until(lambda: {thread.ident for thread in threading.enumerate()} <= before)


# ---------------------------------------------------------------- kept connections


def test_a_connection_that_the_server_closes_is_not_used_again() -> None:
    """`Connection: close`, and a close without a word."""
    with Peer(Reply(headers={"Connection": "close"})) as peer, clint_client() as clint:
        assert [send(clint, peer.url).outcome for _ in range(2)] == [Outcome.DELIVERED] * 2
        assert len(peer.asked) == 2

    def speak(connection: socket.socket) -> None:
        connection.sendall(OK)

    with RawPeer(speak) as raw, clint_client() as clint:
        for _ in range(3):
            assert send(clint, raw.url).outcome is Outcome.DELIVERED
            time.sleep(0.05)


def test_an_idle_connection_is_closed_after_a_time() -> None:
    """It is there for the next request for a while, and no longer."""
    ended = threading.Event()

    def speak(connection: socket.socket) -> None:
        connection.sendall(OK)
        with contextlib.suppress(ConnectionResetError):
            connection.recv(1)
        ended.set()

    with RawPeer(speak) as peer, clint_client(keepalive_s=0.1) as clint:
        for _ in range(2):
            send(clint, peer.url)
            assert ended.wait(5)
            ended.clear()


def test_nothing_stays_open_behind_a_closed_client() -> None:
    """Not even an idle TLS connection whose other side never takes leave."""
    authority = trustme.CA()
    server = tls_server(authority, "127.0.0.1")
    over = threading.Event()

    def speak(listener: socket.socket) -> None:
        with server.wrap_socket(listener.accept()[0], server_side=True) as connection:
            connection.recv(65536)
            connection.sendall(OK)
            over.wait(10)

    with socket.create_server(("127.0.0.1", 0)) as listener:
        url = f"https://127.0.0.1:{listener.getsockname()[1]}"
        peer = threading.Thread(target=speak, args=(listener,), daemon=True)
        peer.start()
        with warnings.catch_warnings(record=True) as warned:
            warnings.simplefilter("always")
            with clint_client(ssl_context=tls_trusting(authority), keepalive_s=0.1) as clint:
                assert send(clint, url).outcome is Outcome.DELIVERED
                time.sleep(0.5)
            gc.collect()
        over.set()
        peer.join()
    assert [str(one.message) for one in warned if "asyncio" in str(one.message) or "unclosed" in str(one.message)] == []


def test_a_connection_that_is_used_now_and_then_stays() -> None:
    """The time counts from its last request."""
    with Peer() as peer, clint_client(keepalive_s=2.0) as clint:
        for _ in range(9):
            send(clint, peer.url)
            time.sleep(0.3)
        assert len({asked.connection for asked in peer.asked}) == 1


def test_bytes_that_nobody_asked_for_are_no_answer() -> None:
    """An answer that comes on an idle connection is not taken for the next request's."""
    connections: list[socket.socket] = []
    sent = threading.Event()

    def speak(connection: socket.socket) -> None:
        connections.append(connection)
        connection.sendall(OK)
        time.sleep(0.05)
        connection.sendall(OK)
        sent.set()
        connection.recv(1)

    with RawPeer(speak) as peer, clint_client() as clint:
        assert send(clint, peer.url).outcome is Outcome.DELIVERED
        assert sent.wait(5)
        time.sleep(0.05)
        send(clint, peer.url)

    assert len(connections) == 2


def test_an_answer_too_many_belongs_to_nobody() -> None:
    """The first counts, and no other request goes over that connection."""
    more = b"HTTP/1.1 500 No\r\nContent-Length: 1\r\nRetry-After: 9\r\n\r\nx"
    connections: list[socket.socket] = []

    def speak(connection: socket.socket) -> None:
        connections.append(connection)
        connection.sendall(OK + more)
        connection.recv(65536)

    with RawPeer(speak) as peer, clint_client() as clint:
        for _ in range(2):
            answer = send(clint, peer.url)
            assert (answer.outcome, answer.excerpt, answer.retry_after_s) == (Outcome.DELIVERED, "ok", None)

    assert len(connections) == 2


@pytest.mark.filterwarnings("ignore:Sending a large body:ResourceWarning")
def test_an_answer_before_the_request_was_taken_ends_the_connection() -> None:
    """What is left of the request would be read as the next one."""
    connections: list[socket.socket] = []

    def speak(connection: socket.socket) -> None:
        connections.append(connection)
        connection.sendall(b"HTTP/1.1 413 Too much\r\nContent-Length: 0\r\n\r\n")
        time.sleep(0.3)

    with RawPeer(speak) as peer, clint_client() as clint:
        for _ in range(2):
            assert clint.send(peer.url, {"a": "x" * 20_000_000}, "k").status == 413

    assert len(connections) == 2


@pytest.mark.filterwarnings("ignore:Sending a large body:ResourceWarning")
def test_what_waits_to_be_sent_is_thrown_away_with_its_request() -> None:
    """A peer that reads after the deadline gets a part of the request, never the whole of it."""
    got: list[int] = []
    ended = threading.Event()

    def speak(connection: socket.socket) -> None:
        time.sleep(0.6)
        with contextlib.suppress(ConnectionResetError):
            while data := connection.recv(1 << 20):
                got.append(len(data))
        ended.set()

    with RawPeer(speak) as peer, clint_client(deadline_s=0.2) as clint:
        assert clint.send(peer.url, {"a": "x" * 50_000_000}, "k").code == "clint.timeout"
        assert ended.wait(10)

    assert sum(got) < 50_000_000


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
    with RawPeer(lambda connection: connection.sendall(said)) as peer, clint_client() as clint:
        answer = send(clint, peer.url)

    assert (answer.outcome, answer.status, answer.excerpt) == (Outcome.DELIVERED, status, excerpt)


@pytest.mark.parametrize(
    "said",
    [
        b"HTTP/1.1 100 Continue\r\n\r\n" * 5000,
        b"HTTP/1.1 200 OK\r\nX: " + b"y" * 100_000,
    ],
)
def test_what_never_becomes_an_answer_is_none(said: bytes) -> None:
    """Interim answers without end, a head without end."""

    def speak(connection: socket.socket) -> None:
        connection.sendall(said)
        connection.recv(1)

    with RawPeer(speak) as peer, clint_client(deadline_s=0.5) as clint:
        answer = send(clint, peer.url)

    assert (answer.outcome, answer.status) == (Outcome.RETRY, None)
    assert answer.code in {"clint.connection", "clint.timeout"}
    assert answer.duration_ms < 4000


def test_many_requests_are_out_at_once() -> None:
    """One that hangs holds up no other, and each is told its own answer."""

    def respond(asked: Asked) -> Reply:
        return Reply(after_s=2.0) if asked.path == "/slow/x" else Reply(201)

    with Peer(respond=respond) as peer, clint_client() as clint:
        slow = threading.Thread(target=send, args=(clint, f"{peer.url}/slow"))
        slow.start()
        until(lambda: peer.most_at_once == 1)
        begun_s = time.monotonic()
        assert {send(clint, peer.url).status for _ in range(20)} == {201}
        assert time.monotonic() - begun_s < 2.0
        slow.join()


def test_a_refused_connection_leaves_nothing_open() -> None:
    """It is told, and the next one tries anew."""
    with closed_port() as port, clint_client() as clint:
        for _ in range(3):
            answer = send(clint, f"http://127.0.0.1:{port}")
            assert str(answer.detail) == "the connection failed: ConnectionRefusedError"


# ---------------------------------------------------------------- whole answers, for the APIs


def get(http: HttpClient, url: str, **more: Any) -> httpx.Response:
    """Ask for something."""
    return http.request("GET", url, **{"deadline_s": 5.0, **more})


def test_a_whole_answer_has_status_headers_and_body() -> None:
    """Parameters and JSON go out; a body that says it is packed is handed on as it came."""
    reply = Reply(202, b"not gzip", {"Content-Encoding": "gzip", "X-A": "1"})
    with Peer(reply) as peer, HttpClient(allow_private=True) as http:
        answer = http.request("PUT", peer.url, params={"a": "ã b"}, json={"b": 1}, headers={"K": "v"}, deadline_s=5)

    assert (answer.status_code, answer.content, answer.headers["X-A"]) == (202, b"not gzip", "1")
    asked = peer.asked[0]
    assert (asked.method, asked.path, json.loads(asked.body)) == ("PUT", "/?a=%C3%A3+b", {"b": 1})
    assert (asked.headers["K"], asked.headers["Accept-Encoding"]) == ("v", "identity")


def test_nothing_was_sent_where_no_connection_came_about() -> None:
    """Callers tell by the class whether the other side may have acted."""
    with closed_port() as port, HttpClient(allow_private=True) as http:
        with pytest.raises(httpx.ConnectError):
            get(http, f"http://127.0.0.1:{port}/")
        with pytest.raises(NameNotResolved):
            get(http, "http://asaas.invalid/")

    def lookup(*host: object) -> list[str]:
        time.sleep(1)
        return []

    slow = HttpClient(allow_private=True, lookup=lookup)
    with slow as http, pytest.raises(httpx.ConnectTimeout):
        get(http, "http://slow.example/", connect_timeout_s=0.1)


@pytest.mark.parametrize(
    ("said", "error"),
    [
        (b"", httpx.ReadError),
        (b"HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nhalf", httpx.TransportError),
        (b"rubbish\r\n\r\n", httpx.RemoteProtocolError),
    ],
)
def test_a_broken_answer_is_no_connect_error(said: bytes, error: type[Exception]) -> None:
    """The request went out, so the other side may have acted on it."""
    peer = RawPeer(lambda connection: connection.sendall(said) if said else None)
    with peer, HttpClient(allow_private=True) as http, pytest.raises(error) as raised:
        get(http, peer.url)

    assert not isinstance(raised.value, (httpx.ConnectError, httpx.ConnectTimeout))


def test_a_whole_answer_is_bounded_in_size_and_time() -> None:
    """Too many bytes, and bytes that drip for ever."""

    def drip(connection: socket.socket) -> None:
        connection.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 100000\r\n\r\n")
        for _ in range(40):
            connection.sendall(b".")
            time.sleep(0.05)

    with Peer(Reply(body=b"x" * 2000)) as peer, HttpClient(allow_private=True) as http, pytest.raises(TooLarge):
        get(http, peer.url, max_bytes=1000)
    with RawPeer(drip) as raw, HttpClient(allow_private=True) as http, pytest.raises(httpx.ReadTimeout):
        get(http, raw.url, deadline_s=0.3)


@pytest.mark.parametrize("method", ["GET", "POST", "PUT", "DELETE"])
def test_a_post_that_a_dying_kept_connection_took_is_sent_once(method: str) -> None:
    """Its outcome is unknown, which the caller must decide on; other methods may be sent again."""
    got: list[bytes] = []

    def speak(connection: socket.socket) -> None:
        connection.sendall(OK)
        got.append(connection.recv(65536))

    with RawPeer(speak) as peer, HttpClient(allow_private=True) as http:
        assert http.request(method, peer.url, deadline_s=5).status_code == 200
        if method == "POST":
            with pytest.raises(httpx.ReadError):
                http.request(method, peer.url, deadline_s=5)
            assert [one.split()[0] for one in got] == [b"POST"]


@pytest.mark.parametrize("host", ["2130706433", "0x7f.1", "127.1", "127.0.0.1", "[::1]", "[::ffff:127.0.0.1]"])
def test_an_address_of_this_machine_is_not_connected_to(host: str) -> None:
    """An address in the URL never reaches a resolver, and a resolver may read a number as an address."""
    with Peer() as peer, HttpClient(allow_private=False) as http:
        with pytest.raises((PrivateAddress, NameNotResolved, httpx.UnsupportedProtocol)):
            get(http, f"http://{host}:{peer.port}/")

        assert peer.asked == []


@pytest.mark.parametrize("url", ["ftp://127.0.0.1/", "http:///x", "http://[::1/"])
def test_a_url_that_is_none_is_an_error_of_httpx(url: str) -> None:
    """Callers know one family of errors."""
    with HttpClient(allow_private=True) as http, pytest.raises((httpx.TransportError, httpx.InvalidURL)):
        get(http, url)


def test_a_caller_of_a_closed_client_is_told() -> None:
    """The client ends while another thread waits for an answer."""
    errors: list[Exception] = []
    asked = threading.Event()

    def respond(_asked: Asked) -> Reply:
        asked.set()
        return Reply(after_s=0.5)

    def ask() -> None:
        try:
            get(http, peer.url)
        except httpx.ReadError as error:
            errors.append(error)

    with Peer(respond=respond) as peer, HttpClient(allow_private=True) as http:
        caller = threading.Thread(target=ask)
        caller.start()
        assert asked.wait(5)
        http.close()
        caller.join(5)

    assert len(errors) == 1


def test_authorities_that_cannot_be_read_are_an_error_and_no_wait(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """Nothing was sent; once the file is there, the same client sends."""
    results: SimpleQueue[httpx.Response | Exception | None] = SimpleQueue()
    authorities.cache_clear()
    try:
        with Peer() as peer, HttpClient(allow_private=True) as http:
            monkeypatch.setenv("SSL_CERT_FILE", str(tmp_path / "missing.pem"))
            with pytest.raises(httpx.ConnectError):
                get(http, peer.url)
            http.send(
                httpx.URL(peer.url),
                b"{}",
                {},
                deadline_s=5,
                max_bytes=10,
                may_start=lambda: True,
                on_result=results.put,
            )
            assert isinstance(results.get(timeout=5), httpx.ConnectError)
            assert peer.asked == []
            monkeypatch.delenv("SSL_CERT_FILE")
            assert get(http, peer.url).status_code == 200
    finally:
        authorities.cache_clear()
