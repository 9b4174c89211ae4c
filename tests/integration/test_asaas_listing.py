"""Walking through a list of the API: pages, waits, and lists that change meanwhile, over real HTTP."""

from __future__ import annotations

import contextlib
import json
import time
from collections.abc import Callable, Iterator
from typing import Any
from urllib.parse import parse_qs, urlsplit

import pytest

from bridge.asaas.client import PAGE_TRIES, AsaasClient, pages
from bridge.asaas.limiter import AccountLimiter
from bridge.errors import AsaasUnavailable
from bridge.http import HttpClient
from bridge.redis_client import OptionalRedis
from tests.peers import Asked, Peer, Reply


def numbered(ids: list[int], asked: Asked) -> Reply:
    """Answer a page of these objects, as Asaas does."""
    query = parse_qs(urlsplit(asked.path).query)
    offset, limit = int(query["offset"][0]), int(query["limit"][0])
    page = [{"id": id_} for id_ in ids[offset : offset + limit]]
    body = {"totalCount": len(ids), "hasMore": offset + limit < len(ids), "data": page}
    return Reply(body=json.dumps(body).encode())


@contextlib.contextmanager
def asking(peer: Peer) -> Iterator[AsaasClient]:
    """Give a client of the peer."""
    with peer, HttpClient(allow_private=True) as http:
        yield AsaasClient("default", "$key", peer.url, http, AccountLimiter("default", OptionalRedis(None)))


def ids_of(client: AsaasClient, after: Callable[[], Any] = lambda: None, **more: Any) -> list[int]:
    """Return the ids of all pages; between two of them something may happen."""
    found = []
    for page in pages(client, "/payments", {"dueDate[ge]": "2026-11-01"}, **more):
        found += [item["id"] for item in page.items]
        after()
    return found


def test_every_object_is_found_with_the_filter_on_each_page() -> None:
    """A hundred at a time, from any place in the list."""
    peer = Peer(respond=lambda asked: numbered(list(range(250)), asked))
    with asking(peer) as client:
        assert ids_of(client) == list(range(250))
        assert ids_of(client, offset=240) == list(range(240, 250))

    queries = [parse_qs(urlsplit(asked.path).query) for asked in peer.asked]
    assert [query["offset"] for query in queries] == [["0"], ["100"], ["200"], ["240"]]
    assert {query["dueDate[ge]"][0] for query in queries} == {"2026-11-01"}


def test_nothing_is_missed_when_an_object_goes_away_meanwhile() -> None:
    """The others move up by one: the walk steps back rather than jump over one."""
    ids = list(range(250))
    gone = iter([0])

    def remove() -> None:
        for id_ in gone:
            ids.remove(id_)

    with asking(Peer(respond=lambda asked: numbered(ids, asked))) as client:
        found = ids_of(client, remove)

    assert set(found) == set(range(250))


def test_the_walk_waits_as_long_as_it_is_asked_to() -> None:
    """A 429 and a 503 cost a wait, and no page."""
    waits: list[float] = []
    replies = iter([Reply(status=429, headers={"Retry-After": "0.1"}), Reply(status=503), Reply(status=503)])
    peer = Peer(respond=lambda asked: next(replies, None) or numbered([1, 2], asked))
    with asking(peer) as client:

        def sleep(wait_s: float) -> None:
            waits.append(wait_s)
            time.sleep(min(wait_s, 0.2))

        assert ids_of(client, sleep=sleep) == [1, 2]

    assert waits[0] == pytest.approx(0.1)
    assert len(waits) == 3


def test_the_walk_gives_up_in_the_end() -> None:
    """What is raised says that waiting helps."""
    waits: list[float] = []
    with asking(Peer(Reply(status=503))) as client, pytest.raises(AsaasUnavailable):
        ids_of(client, sleep=waits.append)

    assert waits == [1.0, 2.0, 4.0, 8.0, 16.0]
    assert len(waits) == PAGE_TRIES - 1


@pytest.mark.parametrize("body", [b"{}", b'{"data": {}}', b'{"data": [1]}'])
def test_another_answer_than_a_list_is_refused(body: bytes) -> None:
    """A page of a proxy must not look like an account without charges."""
    with asking(Peer(Reply(body=body))) as client, pytest.raises(AsaasUnavailable, match="answer with a list"):
        ids_of(client)


def test_a_list_without_a_count_ends_too() -> None:
    """What came is what there is; an empty page ends the walk whatever it says."""
    with asking(Peer(Reply(body=b'{"data": [{"id": 1}]}'))) as client:
        assert ids_of(client) == [1]
    with asking(Peer(Reply(body=b'{"data": [], "hasMore": true, "totalCount": 5}'))) as client:
        assert ids_of(client) == []
