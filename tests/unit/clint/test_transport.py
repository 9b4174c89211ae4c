"""The guarded transport: names, several addresses, times."""

from __future__ import annotations

import threading
import time

import httpx
import pytest
import trustme

from bridge.clint import http_client
from bridge.clint.network import resolve
from bridge.clint.transport import GuardedTransport
from tests.peers import Peer, Reply, tls_server, tls_trusting


def test_a_secure_connection_is_made_with_what_is_trusted(authority: trustme.CA) -> None:
    """A certificate that nobody vouches for gets no request."""
    with Peer(ssl_context=tls_server(authority, "localhost")) as peer:
        url = f"https://localhost:{peer.port}/"
        with http_client(allow_private=True, ssl_context=tls_trusting(authority)) as http:
            assert http.get(url).status_code == 200
        with http_client(allow_private=True) as http, pytest.raises(httpx.ConnectError, match="certificate"):
            http.get(url)
        assert len(peer.asked) == 1


def test_a_name_that_does_not_exist_is_a_failed_connection() -> None:
    """As httpx's own transport has it."""
    with http_client(allow_private=True) as http, pytest.raises(httpx.ConnectError):
        http.get("http://asaas.invalid/")


def test_an_address_of_the_open_internet_is_connected_to() -> None:
    """It is one of those of RFC 7723, at which nobody should answer: all that can be seen is that it was tried."""
    transport = GuardedTransport(allow_private=False, resolve=lambda *host: ["127.0.0.1", "192.0.0.9"])
    with httpx.Client(transport=transport) as http, pytest.raises(httpx.TransportError) as raised:
        http.get("https://asaas.example/", extensions={"deadline_s": 0.2})

    assert "no public address" not in str(raised.value)


@pytest.mark.parametrize("addresses", [["127.0.0.1"], ["127.0.0.2", "127.0.0.1"], ["127.0.0.1", "127.0.0.2"]])
def test_a_host_that_is_half_there_is_reached(addresses: list[str]) -> None:
    """Where a host has several addresses, one on which nobody listens does not stop the request."""
    transport = GuardedTransport(allow_private=True, resolve=lambda *host: addresses)
    with Peer() as peer, httpx.Client(transport=transport) as http:
        assert http.get(f"http://clint.example:{peer.port}/").status_code == 200
        assert peer.asked[0].headers["Host"] == f"clint.example:{peer.port}"


def test_a_request_without_deadline_keeps_httpx_s_own_timeouts() -> None:
    """The transport bounds a request only where it is told to."""
    with Peer(Reply(after_s=0.3)) as peer, http_client(allow_private=True) as http:
        assert http.get(peer.url, timeout=None).status_code == 200
        with pytest.raises(httpx.ReadTimeout):
            http.get(peer.url, timeout=0.1)


def test_a_request_whose_time_is_over_is_not_made() -> None:
    """A deadline in the past connects to nothing."""
    with Peer() as peer, http_client(allow_private=True) as http, pytest.raises(httpx.ConnectTimeout):
        http.get(peer.url, extensions={"deadline_s": -1.0})


def test_a_scheme_it_does_not_speak_is_httpx_s_error() -> None:
    """Errors of the pool arrive as httpx's, so that callers know one family only."""
    with http_client(allow_private=True) as http, pytest.raises(httpx.UnsupportedProtocol):
        http.get("ftp://127.0.0.1/")


@pytest.mark.parametrize("address", ["127.0.0.1", "::1", "::ffff:10.0.0.1", "64:ff9b::7f00:1", "169.254.169.254"])
def test_a_name_that_is_rebound_to_this_network_is_not_connected_to(address: str) -> None:
    """A name is judged again by each connection's own addresses, and nothing is connected to but what was judged."""
    found = [["8.8.8.8"], [address]]
    transport = GuardedTransport(allow_private=False, resolve=lambda *host: found.pop())
    with Peer() as peer, httpx.Client(transport=transport) as http:
        with pytest.raises(httpx.ConnectError, match="no public address"):
            http.get(f"https://clint.example:{peer.port}/")

        assert (peer.asked, len(found)) == ([], 1)


@pytest.mark.parametrize("host", ["2130706433", "0x7f.1", "127.1"])
def test_an_odd_spelling_of_this_machine_is_not_connected_to(host: str) -> None:
    """What the system's resolver makes of a number is judged as the address that it is."""
    with Peer() as peer, http_client(allow_private=False) as http:
        with pytest.raises(httpx.ConnectError):
            http.get(f"http://{host}:{peer.port}/")

        assert peer.asked == []


def test_a_resolver_that_says_nothing_is_not_waited_for() -> None:
    """The system's resolver has no timeout of its own."""
    says = threading.Event()

    def lookup(_host: str, _port: int) -> list[str]:
        says.wait(20)
        return []

    started_s = time.monotonic()
    with pytest.raises(Exception, match="not resolved in time"):
        resolve("asaas.example", 443, 0.1, lookup)
    says.set()

    assert time.monotonic() - started_s < 10
