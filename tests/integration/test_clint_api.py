"""The reader of deals against the simulated Clint, and against one that misbehaves."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from bridge.clint.api import ClintApi, Deal
from bridge.clint.limiter import ApiLimiter
from bridge.errors import ClintApiFailed, SettingsError
from bridge.http import HttpClient
from bridge.redis_client import OptionalRedis
from bridge.simulator.clint.account import DEFAULT_TOKEN, INTEGRATIONS
from bridge.simulator.clint.receiver import PATH
from bridge.simulator.serve import Served
from tests.peers import Asked, Peer, Reply, clint_client
from tests.simulated import ClintSimulator


@pytest.fixture
def http() -> Iterator[HttpClient]:
    """Give a client that may talk to this machine."""
    with HttpClient(allow_private=True) as client:
        yield client


def api(http: HttpClient, url: str, token: str = DEFAULT_TOKEN, **more: Any) -> ClintApi:
    """Return a reader that need not be paced."""
    return ClintApi(token, url, http, **{"limiter": ApiLimiter("9999/second", OptionalRedis(None), token), **more})


def answering(answer: Callable[[Asked], object]) -> Callable[[Asked], Reply]:
    """Return what a peer needs to answer with a list of deals or origins."""
    return lambda asked: Reply(body=json.dumps({"data": answer(asked)}).encode())


def test_deals_of_every_status_are_found(http: HttpClient) -> None:
    """Open ones are what Clint lists by itself; won and lost ones are asked for too."""
    with Served(ClintSimulator().app) as served, clint_client() as client:
        for name in ("default", "pagas", "estornadas"):
            payload = {"nome": name, "email": f"{name}@example.com"}
            client.send(f"{served.url}{PATH}{INTEGRATIONS[name]}", payload, name)
        reader = api(http, served.url)
        found = [reader.deals(f"{name}@example.com")[0] for name in ("default", "pagas", "estornadas")]

        stages = [reader.stage(deal) for deal in found]

    assert [(stage, deal.status) for stage, deal in zip(stages, found, strict=True)] == [
        ("Nova cobrança", "OPEN"),
        ("Paga", "WON"),
        ("Estornada", "LOST"),
    ]
    assert all(abs(deal.times_ms["created_at"] - time.time() * 1000) < 60_000 for deal in found)
    assert [set(deal.times_ms) - {"created_at", "updated_stage_at"} for deal in found] == [
        set(),
        {"won_at"},
        {"lost_at"},
    ]


def test_a_phone_finds_what_the_email_does_not(http: HttpClient) -> None:
    """The e-mail is asked for first; the phone goes without the country code."""
    with Served(ClintSimulator().app) as served, clint_client() as client:
        payload = {"nome": "Ana", "telefone": "5511987654321"}
        client.send(f"{served.url}{PATH}{INTEGRATIONS['default']}", payload, "k")
        reader = api(http, served.url)

        assert len(reader.deals("ana@example.com", "+55 (11) 98765-4321")) == 1
        assert reader.deals("ana@example.com") == []
        assert reader.deals() == []


def test_a_stage_without_a_label_is_looked_up_once(http: HttpClient) -> None:
    """The origins say what the stages are called; an unknown one keeps its id."""
    origins = [{"id": "o", "stages": [{"id": "s1", "label": "Ganho"}]}, {"id": "p", "stages": None}, "x"]
    with Peer(respond=answering(lambda asked: origins)) as peer:
        reader = api(http, peer.url)
        named = [reader.stage(Deal("d", "o", stage, "", "OPEN")) for stage in ("s1", "s1", "s2")]

        assert named == ["Ganho", "Ganho", "s2"]
        assert len(peer.asked) == 2
        assert reader.stage(Deal("d", "o", "s1", "Paga", "OPEN")) == "Paga"


def test_a_deal_has_the_times_and_fields_that_clint_says(http: HttpClient) -> None:
    """A nonsense time is none; a time without a zone is UTC."""
    deals: list[dict[str, Any]] = [{"id": "1", "created_at": "2026-11-22T10:00:00Z", "fields": {"codigo": "pay_1"}}]
    deals += [
        {"id": "2", "updated_at": "x", "fields": None},
        {"id": "3", "updated_at": "2026-11-22T10:00:00", "value": 7},
    ]
    with Peer(respond=answering(lambda asked: deals if "OPEN" in asked.path else [])) as peer:
        found = {deal.id: deal for deal in api(http, peer.url).deals("a@example.com")}

    assert {id_: deal.times_ms for id_, deal in found.items()} == {
        "1": {"created_at": 1795341600000},
        "2": {},
        "3": {"updated_at": 1795341600000},
    }
    assert [found[id_].fields for id_ in ("1", "3")] == [{"value": None, "codigo": "pay_1"}, {"value": 7}]


def test_what_was_changed_since_is_what_clint_filters(http: HttpClient) -> None:
    """The documented answer does not say when a deal was changed; the filter does."""
    with Served(ClintSimulator().app) as served, clint_client() as client:
        payload = {"nome": "Ana", "email": "ana@example.com"}
        client.send(f"{served.url}{PATH}{INTEGRATIONS['default']}", payload, "k")
        reader, now_ms = api(http, served.url), round(time.time() * 1000)

        assert len(reader.deals("ana@example.com", changed_since_ms=now_ms - 60_000)) == 1
        assert reader.deals("ana@example.com", changed_since_ms=now_ms + 60_000) == []


def test_a_clock_that_is_wrong_is_put_right_by_clints(http: HttpClient) -> None:
    """Times are by this machine's clock, however far Clint's is away, also those that are asked for."""
    deal = {"id": "1", "created_at": "2020-01-01T10:00:00Z"}
    asked_for: list[str] = []

    def answer(asked: Asked) -> Reply:
        asked_for.append(asked.path)
        return Reply(body=json.dumps({"data": [deal]}).encode(), headers={"Date": "Wed, 01 Jan 2020 10:00:00 GMT"})

    with Peer(respond=answer) as peer:
        reader = api(http, peer.url)
        found = reader.deals("a@example.com")[0]
        reader.deals("a@example.com", changed_since_ms=round(time.time() * 1000))

    assert abs(found.times_ms["created_at"] - time.time() * 1000) < 60_000
    assert "updated_at_start=2020-01-01T" in asked_for[-1]


def test_a_refused_token_says_what_mends_it(http: HttpClient) -> None:
    """A 401 is no reason to ask again."""
    with Served(ClintSimulator().app) as served, pytest.raises(ClintApiFailed) as caught:
        api(http, served.url, token="wrong").deals("a@example.com")

    assert "CLINT_API_TOKEN" in str(caught.value)
    assert "a@example.com" not in str(caught.value)


@pytest.mark.parametrize(
    ("reply", "text"),
    [
        (Reply(status=500), "got 500"),
        (Reply(body=b"<html>"), "must answer with a list"),
        (Reply(body=b'{"data": {}}'), "must answer with a list"),
        (Reply(status=302, headers={"Location": "https://elsewhere.example"}), "got 302"),
        (Reply(body=b'"' + b"x" * 5_000_000 + b'"'), "at most"),
    ],
)
def test_what_is_no_list_is_an_error_that_may_pass(http: HttpClient, reply: Reply, text: str) -> None:
    """Nothing is taken for an empty list that is none."""
    with Peer(reply) as peer, pytest.raises(ClintApiFailed) as caught:
        api(http, peer.url).deals("a@example.com")

    assert text in str(caught.value)
    assert caught.value.hint is None


def test_a_status_that_fails_does_not_hide_another(http: HttpClient) -> None:
    """Lists of won deals were seen to fail; the open one is found all the same."""

    def answer(asked: Asked) -> Reply:
        if "WON" in asked.path:
            return Reply(status=500)
        return answering(lambda asked: [{"id": "1"}] if "OPEN" in asked.path else [])(asked)

    with Peer(respond=answer) as peer:
        assert [deal.id for deal in api(http, peer.url).deals("a@example.com")] == ["1"]


def test_a_token_must_fit_into_a_header(http: HttpClient) -> None:
    """What no header can carry is said at the start."""
    with pytest.raises(SettingsError, match="token"):
        api(http, "https://api.clint.digital", token="é")
