"""Kept connections: each belongs to one request at a time, and one that no longer stands is not used again."""

from __future__ import annotations

import time
from collections.abc import Iterator

import httpcore
import pytest

from bridge.clint.connections import MAX_IDLE, Connections
from tests.peers import Peer, Reply


@pytest.fixture
def peer() -> Iterator[Peer]:
    """Give a server that answers everything."""
    with Peer(Reply()) as peer:
        yield peer


def origin_of(peer: Peer) -> httpcore.Origin:
    """Return where the peer is."""
    return httpcore.URL(peer.url).origin


def used(connections: Connections, peer: Peer) -> httpcore.HTTPConnection:
    """Make one request and give its connection back."""
    connection = connections.take(origin_of(peer))
    with connection.stream("GET", peer.url) as answer:
        answer.read()
    connections.give(origin_of(peer), connection)
    return connection


def test_a_connection_is_used_again(peer: Peer) -> None:
    """The last used one comes first; one of another origin is not taken."""
    connections = Connections(httpcore.HTTPConnection)
    first = used(connections, peer)

    assert used(connections, peer) is first
    assert connections.take(httpcore.URL("http://elsewhere.example").origin) is not first
    assert connections.take(origin_of(peer)) is first
    assert connections.take(origin_of(peer)) is not first, "it belongs to the request before"
    first.close()


def test_a_connection_whose_request_failed_is_closed(peer: Peer) -> None:
    """One that was never made, or broke off, is not kept."""
    connections = Connections(httpcore.HTTPConnection)
    connection = connections.take(origin_of(peer))
    connections.give(origin_of(peer), connection)

    assert connections.take(origin_of(peer)) is not connection


def test_an_expired_connection_is_closed(peer: Peer) -> None:
    """The server may close it in the very moment in which it would be used."""
    connections = Connections(lambda origin: httpcore.HTTPConnection(origin, keepalive_expiry=0.01))
    first = used(connections, peer)
    time.sleep(0.02)

    assert connections.take(origin_of(peer)) is not first
    assert first.is_closed()


def test_the_oldest_idle_connections_are_closed(peer: Peer) -> None:
    """A destination that is sent to no more does not keep its connections for ever."""
    connections = Connections(httpcore.HTTPConnection)
    taken = [connections.take(origin_of(peer)) for _ in range(MAX_IDLE + 2)]
    for connection in taken:
        with connection.stream("GET", peer.url) as answer:
            answer.read()
    for connection in taken:
        connections.give(origin_of(peer), connection)

    assert [connection.is_closed() for connection in taken] == [True] * 2 + [False] * MAX_IDLE
    connections.close()
    assert all(connection.is_closed() for connection in taken)
