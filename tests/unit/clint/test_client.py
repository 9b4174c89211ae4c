"""One POST to a destination, over real connections, to peers that behave and peers that don't."""

from __future__ import annotations

import json
import socket
import threading
import time
from collections.abc import Iterator
from queue import SimpleQueue
from typing import Any

import pytest

from bridge import __version__
from bridge.clint.webhook import Answer, ClintClient
from bridge.http import HttpClient
from bridge.model import Outcome
from tests.peers import Asked, Peer, RawPeer, Reply, clint_client, closed_port

PAYLOAD = {"nome": "Ana Água", "valor": "129.90"}
SECRET = "0f0e0d0c-aaaa-bbbb-cccc-0123456789ab"


@pytest.fixture
def clint() -> Iterator[ClintClient]:
    """Give a client of destinations with a short deadline, that may talk to this machine and lives in 1970."""
    with clint_client(deadline_s=0.4, clock_ms=lambda: 0) as client:
        yield client


def send(clint: ClintClient, url: str, payload: dict[str, Any] | None = None) -> Answer:
    """Post a payload to a URL that is a secret."""
    answer = clint.send(f"{url}/endpoints/integration/webhook/{SECRET}", payload or PAYLOAD, "chave-1")
    assert SECRET not in repr(answer)
    return answer


def test_a_payload_is_posted_as_flat_utf8_json(clint: ClintClient) -> None:
    """The request carries the payload in its order, the key of the delivery and the name of the bridge."""
    with Peer(Reply(200, b'{"ok":true}')) as peer:
        answer = send(clint, peer.url)

    assert (answer.outcome, answer.status, answer.code) == (Outcome.DELIVERED, 200, "clint.ok")
    assert (answer.excerpt, answer.retry_after_s) == ('{"ok":true}', None)
    assert 0 <= answer.duration_ms < 400
    asked = peer.asked[0]
    assert (asked.method, asked.path) == ("POST", f"/endpoints/integration/webhook/{SECRET}")
    assert asked.body == '{"nome": "Ana Água", "valor": "129.90"}'.encode()
    assert asked.headers["Content-Type"] == "application/json"
    assert asked.headers["Idempotency-Key"] == "chave-1"
    assert asked.headers["User-Agent"] == f"asaas-clint-bridge/{__version__}"


def test_a_redirect_is_not_followed(clint: ClintClient) -> None:
    """Personal data goes where the operator said and nowhere else."""
    with Peer() as elsewhere, Peer(Reply(308, b"", {"Location": elsewhere.url})) as peer:
        answer = send(clint, peer.url)

    assert (answer.outcome, answer.code) == (Outcome.REJECTED, "clint.redirect")
    assert elsewhere.asked == []


def test_a_wait_that_is_asked_for_is_kept(clint: ClintClient) -> None:
    """`Retry-After` comes back with the answer, a date held against the given time."""
    date = "Thu, 01 Jan 1970 00:01:00 GMT"
    with Peer(Reply(429, b"", {"Retry-After": "7"}), Reply(503, b"", {"Retry-After": date})) as peer:
        assert send(clint, peer.url).retry_after_s == 7
        assert send(clint, peer.url).retry_after_s == 60


def test_a_date_is_held_against_the_clock() -> None:
    """Without a clock of its own the client goes by the wall's."""
    past = Reply(503, b"", {"Retry-After": "Thu, 01 Jan 1970 00:01:00 GMT"})
    with Peer(past) as peer, clint_client() as clint:
        assert clint.send(peer.url, PAYLOAD, "chave-1").retry_after_s is None


def test_the_excerpt_is_short_and_carries_no_personal_data(clint: ClintClient) -> None:
    """What a destination echoes is masked before it is cut, and made fit for any database."""
    body = ("ana@example.com 529.982.247-25 \x00 " + "x" * 480 + " bruno@example.com").encode()
    with Peer(Reply(400, body)) as peer:
        excerpt = send(clint, peer.url).excerpt

    assert len(excerpt) == 500
    assert excerpt.startswith("[e-mail] [cpf/cnpj] \ufffd x")
    assert "@" not in excerpt


def test_an_answer_that_is_no_text_is_no_problem(clint: ClintClient) -> None:
    """Odd bytes become replacement characters."""
    with Peer(Reply(200, b"\xff\xfe\x00")) as peer:
        assert send(clint, peer.url).excerpt == "\ufffd\ufffd\ufffd"


def test_an_answer_without_end_is_cut(clint: ClintClient) -> None:
    """A huge answer costs neither memory nor time."""

    def speak(connection: socket.socket) -> None:
        connection.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 999999999\r\n\r\n")
        while True:
            connection.sendall(b"y" * 65536)

    with RawPeer(speak) as peer:
        answer = send(clint, peer.url)

    assert (answer.outcome, answer.excerpt) == (Outcome.DELIVERED, "y" * 500)
    assert answer.duration_ms < 400


def test_a_status_counts_although_the_body_breaks_off(clint: ClintClient) -> None:
    """The destination said yes before its answer broke."""
    said = b"HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\nrecebido"
    with RawPeer(lambda connection: connection.sendall(said)) as peer:
        assert send(clint, peer.url).outcome is Outcome.DELIVERED


def test_a_body_that_drips_ends_with_the_deadline(clint: ClintClient) -> None:
    """A yes whose body never ends is still a yes, and the worker goes on."""

    def speak(connection: socket.socket) -> None:
        connection.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 100000\r\n\r\n")
        for _ in range(100):
            connection.sendall(b".")
            time.sleep(0.05)

    with RawPeer(speak) as peer:
        answer = send(clint, peer.url)

    assert answer.outcome is Outcome.DELIVERED
    assert 350 < answer.duration_ms < 800


def test_headers_that_drip_end_with_the_deadline(clint: ClintClient) -> None:
    """Every byte comes in time, the answer never does: httpx's own timeouts would wait for hours."""

    def speak(connection: socket.socket) -> None:
        connection.sendall(b"HTTP/1.1 200 OK\r\nX: ")
        for _ in range(100):
            connection.sendall(b"H")
            time.sleep(0.05)

    with RawPeer(speak) as peer:
        answer = send(clint, peer.url)

    assert (answer.outcome, answer.code, answer.status) == (Outcome.RETRY, "clint.timeout", None)
    assert 350 < answer.duration_ms < 800


def test_a_destination_that_hangs_is_a_timeout(clint: ClintClient) -> None:
    """Whether the payload was received is not known, and said so."""
    with Peer(Reply(after_s=1.0)) as peer:
        answer = send(clint, peer.url)

    assert (answer.outcome, answer.code, answer.status) == (Outcome.RETRY, "clint.timeout", None)
    assert "not known" in str(answer.detail)
    assert answer.duration_ms < 800


@pytest.mark.filterwarnings("ignore:Sending a large body:ResourceWarning")
def test_a_destination_that_takes_no_bytes_is_a_timeout(clint: ClintClient) -> None:
    """A payload that nobody reads does not hold the worker either."""
    with RawPeer(lambda connection: time.sleep(1)) as peer:
        answer = send(clint, peer.url, {"nome": "x" * 50_000_000})

    assert (answer.outcome, answer.code) == (Outcome.RETRY, "clint.timeout")


def test_a_refused_connection_is_tried_again(clint: ClintClient) -> None:
    """Nobody listens: worth another try."""
    with closed_port() as port:
        answer = send(clint, f"http://127.0.0.1:{port}")

    assert (answer.outcome, answer.code) == (Outcome.RETRY, "clint.connection")


@pytest.mark.parametrize(
    ("said", "why"),
    [
        (b"", "the connection was closed without an answer"),
        (b"SSH-2.0-OpenSSH\r\n", "the answer is no HTTP/1.1"),
        (b"HTTP/1.1 ab OK\r\n\r\n", "the answer is no HTTP/1.1"),
    ],
)
def test_what_is_no_http_is_tried_again(clint: ClintClient, said: bytes, why: str) -> None:
    """A connection that closes or answers something else is a fault of the moment."""
    with RawPeer(lambda connection: connection.sendall(said) if said else None) as peer:
        answer = send(clint, peer.url)

    assert (answer.outcome, answer.code) == (Outcome.RETRY, "clint.connection")
    assert str(answer.detail) == f"the connection failed: {why}"


def test_a_name_that_does_not_exist_is_tried_again(clint: ClintClient) -> None:
    """DNS comes back; the delivery must still be there then."""
    answer = send(clint, "http://clint.invalid")

    assert (answer.outcome, answer.code) == (Outcome.RETRY, "clint.dns")


def test_a_url_that_must_not_be_used_pauses_the_destination() -> None:
    """Nothing is sent and nothing is lost: the destination waits until the setting is mended."""
    with clint_client(allow_private=False) as clint, Peer() as peer:
        answer = send(clint, peer.url)

    assert (answer.outcome, answer.code) == (Outcome.REMOVED, "clint.url")
    assert peer.asked == []


@pytest.mark.parametrize("odd", [float("nan"), float("inf"), object()])
def test_a_payload_that_is_no_json_is_refused_unsent(clint: ClintClient, odd: object) -> None:
    """The same payload would fail each time."""
    with Peer() as peer:
        answer = send(clint, peer.url, {"valor": odd})

    assert (answer.outcome, answer.code) == (Outcome.REJECTED, "clint.payload")
    assert peer.asked == []


@pytest.mark.parametrize("text", ['{"valor": NaN}', '{"valor": -Infinity}', '{"a": [Infinity]}'])
def test_a_number_that_json_does_not_know_is_refused_unsent(clint: ClintClient, text: str) -> None:
    """Python writes and reads it, nobody else does."""
    answers: list[Answer | None] = []
    with Peer() as peer:
        clint.send_later(peer.url, text, "chave-1", answers.append)

    assert answers[0] is not None
    assert (answers[0].outcome, answers[0].code) == (Outcome.REJECTED, "clint.payload")
    assert peer.asked == []


def test_a_word_that_looks_like_such_a_number_is_sent(clint: ClintClient) -> None:
    """A customer may be called so."""
    with Peer() as peer:
        assert send(clint, peer.url, {"nome": "NaN Infinity"}).outcome is Outcome.DELIVERED


def test_half_a_character_is_replaced(clint: ClintClient) -> None:
    """A text with a lone surrogate is still sent, with a question mark in its place."""
    with Peer() as peer:
        assert send(clint, peer.url, {"nome": "Ana \ud83d"}).outcome is Outcome.DELIVERED

    assert json.loads(peer.asked[0].body) == {"nome": "Ana ?"}


def test_a_connection_is_used_again_and_cookies_are_not(clint: ClintClient) -> None:
    """Keep-alive spares the handshakes; what a destination sets is not carried to the next request."""
    with Peer(Reply(200, b"{}", {"Set-Cookie": "a=1; Path=/"})) as peer:
        for _ in range(3):
            send(clint, peer.url)

    assert len({asked.connection for asked in peer.asked}) == 1
    assert not any("Cookie" in asked.headers for asked in peer.asked)


def test_nothing_is_sent_where_the_last_look_says_no(clint: ClintClient) -> None:
    """Who asked is told that nothing was sent; a look that fails is a fault of that request alone."""
    told: SimpleQueue[Answer | None] = SimpleQueue()
    with Peer() as peer:
        clint.send_later(peer.url, "{}", "chave-1", told.put, may_start=lambda: False)
        assert told.get(timeout=5) is None
        clint.send_later(peer.url, "{}", "chave-1", told.put, may_start=lambda: bool(1 / 0))
        failed = told.get(timeout=5)
        assert failed is not None
        assert (failed.outcome, str(failed.detail)) == (Outcome.RETRY, "the connection failed: ZeroDivisionError")
        assert send(clint, peer.url).outcome is Outcome.DELIVERED
        assert len(peer.asked) == 1


def test_a_fault_of_ours_in_reading_is_an_answer_that_is_tried_again() -> None:
    """What is never told would be waited for until the worker ends."""
    with Peer() as peer, clint_client(clock_ms=lambda: 1 // 0) as clint:
        answer = send(clint, peer.url)

    assert (answer.outcome, answer.code, answer.status) == (Outcome.RETRY, "bridge.fault", 200)
    assert str(answer.detail) == "the bridge failed to read the answer (ZeroDivisionError); the log has the details"


def test_who_waits_is_told_when_the_client_is_closed() -> None:
    """The end of a process waits for nobody who does not answer, with or without a connection."""
    told: SimpleQueue[Answer | None] = SimpleQueue()
    asked, resolving = threading.Event(), threading.Event()

    def respond(_asked: Asked) -> Reply:
        asked.set()
        return Reply(after_s=0.5)

    def resolve(_host: str, _port: int) -> list[str]:
        resolving.wait(5)
        return ["127.0.0.1"]

    with Peer(respond=respond) as peer, HttpClient(allow_private=True) as http:
        ClintClient(http).send_later(peer.url, "{}", "chave-1", told.put)
        assert asked.wait(5)
        http.close()
        for pause_s in (0.05, 0.0):
            with clint_client(lookup=resolve) as slow:
                slow.send_later("http://clint.example", "{}", "chave-2", told.put)
                time.sleep(pause_s)
        resolving.set()

    for _ in range(3):
        answer = told.get(timeout=5)
        assert answer is not None
        assert (answer.outcome, answer.code) == (Outcome.RETRY, "clint.connection")


@pytest.mark.alone
def test_threads_share_a_client(clint: ClintClient) -> None:
    """Deliveries in flight at once don't wait for each other."""
    with Peer(Reply(after_s=0.1)) as peer:
        threads = [threading.Thread(target=send, args=(clint, peer.url)) for _ in range(20)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()

        assert peer.most_at_once > 5
