"""The guarded transport: names, several addresses, TLS."""

from __future__ import annotations

import ssl
import time

import httpx
import pytest
import trustme

from bridge.clint import ClintClient, http_client
from bridge.clint.network import resolve
from bridge.clint.transport import GuardedTransport
from bridge.model import Outcome
from tests.peers import Peer, Reply


@pytest.fixture(scope="module")
def authority() -> trustme.CA:
    """Give an authority that only these tests trust."""
    return trustme.CA()


def server_of(authority: trustme.CA, name: str) -> ssl.SSLContext:
    """Return the server side of TLS with a certificate for the name."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    authority.issue_cert(name).configure_cert(context)
    return context


def trusting(authority: trustme.CA) -> ssl.SSLContext:
    """Return the client side of TLS that trusts the authority."""
    context = ssl.create_default_context()
    authority.configure_trust(context)
    return context


def test_a_secure_connection_checks_the_name_and_not_the_address(authority: trustme.CA) -> None:
    """The connection goes to the address that was judged, the certificate is held against the host's name."""
    with (
        Peer(ssl_context=server_of(authority, "localhost")) as peer,
        http_client(allow_private=True, ssl_context=trusting(authority)) as http,
    ):
        answer = ClintClient(http, allow_private=True).send(f"https://localhost:{peer.port}/x", {"a": "1"}, "k", 0)

        assert (answer.outcome, len(peer.asked)) == (Outcome.DELIVERED, 1)


@pytest.mark.parametrize("name", ["other.example", None])
def test_a_certificate_that_is_wrong_gets_no_data(authority: trustme.CA, name: str | None) -> None:
    """Another name's certificate, and one of an unknown authority, end the connection before anything is sent."""
    server = server_of(authority if name else trustme.CA(), name or "localhost")
    with (
        Peer(ssl_context=server) as peer,
        http_client(allow_private=True, ssl_context=trusting(authority)) as http,
    ):
        answer = ClintClient(http, allow_private=True).send(f"https://localhost:{peer.port}/x", {"a": "1"}, "k", 0)

        assert (answer.outcome, answer.code) == (Outcome.RETRY, "clint.tls")
        assert peer.asked == []


def test_what_speaks_no_tls_gets_no_data() -> None:
    """An https URL that leads to a plain server is a fault of the connection."""
    with Peer() as peer, http_client(allow_private=True) as http:
        answer = ClintClient(http, allow_private=True).send(f"https://127.0.0.1:{peer.port}/x", {"a": "1"}, "k", 0)

    assert answer.code == "clint.tls"
    assert peer.asked == []


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


@pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
def test_a_redirect_is_not_followed(status: int) -> None:
    """Not even to where it could: what was owed to one address is not posted to another."""
    with Peer() as elsewhere, Peer(Reply(status, headers={"Location": elsewhere.url})) as peer:
        with http_client(allow_private=True) as http:
            answer = ClintClient(http, allow_private=True).send(f"{peer.url}/x", {"a": "1"}, "k", 0)

        assert (answer.outcome, answer.status) == (Outcome.REJECTED, status)
        assert elsewhere.asked == []


@pytest.mark.alone
def test_a_resolver_that_says_nothing_is_not_waited_for() -> None:
    """The system's resolver has no timeout of its own."""
    started_s = time.monotonic()
    with pytest.raises(Exception, match="not resolved in time"):
        resolve("clint.invalid", 443, 0.0)

    assert time.monotonic() - started_s < 0.5
