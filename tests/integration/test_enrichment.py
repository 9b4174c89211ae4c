"""What events only point to, fetched from a real peer through a real cache."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from redis import Redis

from bridge.asaas.client import AsaasClient
from bridge.asaas.limiter import AccountLimiter
from bridge.errors import AsaasKeyMissing, AsaasKeyRefused, AsaasRejected, AsaasUnavailable, BridgeError
from bridge.http import HttpClient
from bridge.pipeline.enrich import Cache, Enricher, Lifetimes, plan
from bridge.redis_client import OptionalRedis
from bridge.simulator.serve import Served
from tests import asking
from tests.peers import Asked, Peer, Reply
from tests.services import RedisServer
from tests.simulated import AsaasSimulator

Make = Callable[..., Enricher]


@pytest.fixture
def http() -> Iterator[HttpClient]:
    """Give the bridge's own HTTP client."""
    with HttpClient(allow_private=True) as client:
        yield client


@pytest.fixture
def make(http: HttpClient) -> Make:
    """Give a maker of enrichers: as many as there are workers, each with its own cache."""

    def make_one(peer: Peer, link: OptionalRedis, *, lifetimes: Lifetimes | None = None, **more: Any) -> Enricher:
        clients = {
            account: AsaasClient(account, "$aact_hmlg_x", f"{peer.url}/{account}", http, AccountLimiter(account, link))
            for account in ("default", "matriz")
        }
        return Enricher(clients, Cache(link, lifetimes, **more))

    return make_one


def echo(asked: Asked) -> Reply:
    """Answer with an object that says which one it is."""
    return Reply(body=b'{"path": "%s"}' % asked.path.encode())


def ids_asked(peer: Peer) -> list[str]:
    """Return the last parts of the paths that were asked for."""
    return sorted(asked.path.rsplit("/", 1)[1] for asked in peer.asked)


@pytest.mark.parametrize("with_redis", [True, False])
def test_an_object_is_fetched_once_and_remembered(make: Make, redis: Redis, redis_url: str, with_redis: bool) -> None:
    """The second event of a customer costs no request, with Redis or without."""
    link = OptionalRedis(redis_url if with_redis else None)
    with Peer(respond=echo) as peer:
        enricher = make(peer, link)

        first = enricher.fetch("default", {"customer": "cus_1", "installment": "abc-1"})

        assert first == {
            "customer": {"path": "/default/customers/cus_1"},
            "installment": {"path": "/default/installments/abc-1"},
        }
        assert enricher.fetch("default", {"customer": "cus_1", "installment": "abc-1"}) == first
        assert len(peer.asked) == 2
        assert redis.exists("bridge:cache::default:customer:cus_1") == int(with_redis)


def test_another_worker_uses_what_one_has_fetched(make: Make, redis: Redis, redis_url: str) -> None:
    """Redis is what workers share; a missing object is remembered too, and accounts are kept apart."""
    with Peer(respond=lambda asked: Reply(404) if "cus_none" in asked.path else echo(asked)) as peer:
        for _ in range(2):
            enricher = make(peer, OptionalRedis(redis_url))
            assert enricher.fetch("matriz", {"customer": "cus_1"}) == {"customer": {"path": "/matriz/customers/cus_1"}}
            assert enricher.fetch("matriz", {"customer": "cus_none"}) == {"customer": None}
        enricher.fetch("default", {"customer": "cus_1"})

        assert ids_asked(peer) == ["cus_1", "cus_1", "cus_none"]


def test_entries_end(make: Make, redis: Redis, redis_url: str) -> None:
    """After its lifetime an object is fetched again, in Redis and in the process."""
    lifetimes = Lifetimes(customer_s=0.1, other_s=0.1)
    with Peer(respond=echo) as peer:
        enricher = make(peer, OptionalRedis(redis_url), lifetimes=lifetimes)
        enricher.fetch("default", {"customer": "cus_1"})
        time.sleep(0.15)
        enricher.fetch("default", {"customer": "cus_1"})

    assert len(peer.asked) == 2


def test_a_lifetime_of_nothing_remembers_nothing(make: Make, redis: Redis, redis_url: str) -> None:
    """`BRIDGE_CACHE_TTL=0` turns the cache off for every kind of object."""
    with Peer(respond=echo) as peer:
        enricher = make(peer, OptionalRedis(redis_url), lifetimes=Lifetimes(customer_s=0))
        for _ in range(2):
            enricher.fetch("default", {"customer": "cus_1", "payment": "pay_1"})

    assert len(peer.asked) == 4
    assert redis.keys("bridge:cache:*") == []


def test_a_forgotten_object_is_fetched_again(make: Make, redis: Redis, redis_url: str) -> None:
    """A replay after somebody mended the customer in Asaas sees the customer as it is now."""
    with Peer(respond=echo) as peer:
        enricher = make(peer, OptionalRedis(redis_url))
        enricher.fetch("default", {"customer": "cus_1"})
        enricher.forget("default", {"customer": "cus_1", "payment": ""})
        enricher.forget("default", {})
        enricher.fetch("default", {"customer": "cus_1"})

    assert len(peer.asked) == 2


@pytest.mark.parametrize("garbage", [b"{half", b"[]", b'"x"'])
def test_a_damaged_entry_is_fetched_again(make: Make, redis: Redis, redis_url: str, garbage: bytes) -> None:
    """What somebody else wrote into Redis is not taken for a customer."""
    redis.set("bridge:cache::default:customer:cus_1", garbage)
    with Peer(respond=echo) as peer:
        found = make(peer, OptionalRedis(redis_url)).fetch("default", {"customer": "cus_1"})

    assert found == {"customer": {"path": "/default/customers/cus_1"}}


def test_the_process_remembers_a_bounded_number(make: Make) -> None:
    """The oldest entry leaves when there is no more room."""
    with Peer(respond=echo) as peer:
        enricher = make(peer, OptionalRedis(None), near_size=2)
        for number in (1, 2, 3, 3, 2, 1):
            enricher.fetch("default", {"customer": f"cus_{number}"})

    assert ids_asked(peer) == ["cus_1", "cus_1", "cus_2", "cus_3"]


@pytest.mark.alone
def test_a_redis_that_dies_is_not_noticed(make: Make, redis_server: RedisServer) -> None:
    """Objects come all the same, and each batch costs milliseconds more at most."""
    with Peer(respond=echo) as peer:
        enricher = make(peer, OptionalRedis(redis_server.url))
        enricher.fetch("default", {"customer": "cus_1"})
        redis_server.kill()

        started_s = time.monotonic()
        outcomes = enricher.fetch_many([("default", {"customer": f"cus_{number}"}) for number in range(20)])

        assert time.monotonic() - started_s < 1.5
        assert not any(isinstance(outcome, BridgeError) for outcome in outcomes)


def test_a_batch_fetches_each_object_once_and_several_at_a_time(make: Make) -> None:
    """A hundred events of ten customers cost ten requests, at most eight under way."""
    with Peer(respond=lambda asked: Reply(body=echo(asked).body, after_s=0.03)) as peer:
        enricher = make(peer, OptionalRedis(None))
        outcomes = enricher.fetch_many([("default", {"customer": f"cus_{number % 10}"}) for number in range(100)])

        assert len(peer.asked) == 10
        assert 1 < peer.most_at_once <= 8
        assert outcomes[13] == {"customer": {"path": "/default/customers/cus_3"}}


def test_nothing_wanted_is_nothing_asked(make: Make) -> None:
    """An event whose mappings name nothing of Asaas costs nothing."""
    with Peer() as peer:
        assert make(peer, OptionalRedis(None)).fetch_many([("default", {})]) == [{}]
        assert make(peer, OptionalRedis(None)).fetch_many([]) == []

    assert peer.asked == []


def test_an_id_that_is_found_later_follows(make: Make) -> None:
    """The customer of an anticipation is read from its charge."""
    answers = {"payments": b'{"customer": "cus_9", "subscription": null}', "customers": b'{"name": "Ana"}'}
    with Peer(respond=lambda asked: Reply(body=answers[asked.path.split("/")[2]])) as peer:
        wanted = plan({"customer", "subscription"}, {"payment": "pay_1"})
        found = make(peer, OptionalRedis(None)).fetch("default", wanted)

    assert found["customer"] == {"name": "Ana"}
    assert found["subscription"] is None
    assert ids_asked(peer) == ["cus_9", "pay_1"]


def test_an_error_on_the_way_is_the_error_of_the_event(make: Make) -> None:
    """Where the charge can't be read, the customer it leads to is not just left out."""
    with Peer(Reply(500)) as peer, pytest.raises(AsaasUnavailable):
        make(peer, OptionalRedis(None)).fetch("default", {"customer": "", "payment": "pay_1"})


def test_one_bad_id_spoils_one_event(make: Make) -> None:
    """An id that is none concerns the event that brought it, even one that no cache could store."""
    with Peer(respond=echo) as peer:
        outcomes = make(peer, OptionalRedis(None)).fetch_many(
            [("default", {"customer": odd}) for odd in ("../payments/1", "cus_1", "\ud800", "cus_2")]
        )

    assert [type(outcome) for outcome in outcomes] == [AsaasRejected, dict, AsaasRejected, dict]
    assert ids_asked(peer) == ["cus_1", "cus_2"]


def test_an_account_without_key_is_said_with_what_gives_it_one(make: Make) -> None:
    """The error names the command, of an account of the environment its variable; the other accounts go on."""
    with Peer(respond=echo) as peer:
        outcomes = make(peer, OptionalRedis(None)).fetch_many(
            [("filial", {"customer": "cus_1"}), ("default", {"customer": "cus_1"})]
        )

    assert isinstance(outcomes[0], AsaasKeyMissing)
    assert "bridge accounts add filial" in str(outcomes[0])
    assert isinstance(outcomes[1], dict)
    with pytest.raises(AsaasKeyMissing, match=r"set ASAAS_API_KEY$"):
        Enricher({}, Cache(OptionalRedis(None)), fixed=["default"]).fetch("default", {"customer": "cus_1"})


def test_a_refused_key_is_tried_once_in_a_batch(make: Make) -> None:
    """What is the same for every object is not asked for each of them, and other accounts are not touched."""

    def respond(asked: Asked) -> Reply:
        return Reply(401, b'{"errors":[{"code":"invalid_access_token"}]}') if "matriz" in asked.path else echo(asked)

    with Peer(respond=respond) as peer:
        enricher = make(peer, OptionalRedis(None))
        outcomes = enricher.fetch_many(
            [(account, {"customer": f"cus_{number}"}) for number in range(50) for account in ("default", "matriz")]
        )

    assert {type(outcome) for outcome in outcomes[::2]} == {dict}
    assert {type(outcome) for outcome in outcomes[1::2]} == {AsaasKeyRefused}
    assert sum("matriz" in asked.path for asked in peer.asked) <= 8


@pytest.mark.parametrize("with_redis", [True, False])
def test_what_was_read_before_an_erasure_is_not_used_after_it(
    make: Make, redis: Redis, redis_url: str, with_redis: bool
) -> None:
    """By any process: neither what it remembers, nor what is in Redis, nor what was on its way from Asaas meanwhile."""
    now = ["1"]

    def respond(asked: Asked) -> Reply:
        if "cus_late" in asked.path:
            now[0] = "2"
        return echo(asked)

    with Peer(respond=respond) as peer:
        link = OptionalRedis(redis_url if with_redis else None)
        first, second = (make(peer, link, erasure_of=lambda: now[0]) for _ in range(2))
        for enricher in (first, second):
            enricher.fetch("default", {"customer": "cus_1"})
        first.fetch("default", {"customer": "cus_late"})

        wanted = [("default", {"customer": id_}) for id_ in ("cus_1", "cus_late")]
        assert [enricher.from_cache(wanted) for enricher in (first, second)] == [[None, None]] * 2


def test_one_object_that_always_fails_does_not_stop_the_others(make: Make) -> None:
    """A server error may be one object's own."""
    with Peer(respond=lambda asked: Reply(500) if asked.path.endswith("cus_bad") else echo(asked)) as peer:
        ids = [f"cus_{number}" for number in range(20)]
        outcomes = make(peer, OptionalRedis(None)).fetch_many([("default", {"customer": i}) for i in [*ids, "cus_bad"]])

    assert {type(outcome) for outcome in outcomes[:-1]} == {dict}
    assert isinstance(outcomes[-1], AsaasUnavailable)


def test_objects_that_asaas_refuses_do_not_stop_the_others(make: Make) -> None:
    """A request that is wrong says nothing about the next one, however many are wrong."""
    with Peer(respond=lambda asked: Reply(400) if "bad" in asked.path else echo(asked)) as peer:
        ids = [f"bad_{number}" for number in range(5)] + [f"cus_{number}" for number in range(5)]
        outcomes = make(peer, OptionalRedis(None)).fetch_many([("default", {"customer": i}) for i in ids])

    assert [type(outcome) for outcome in outcomes] == [AsaasRejected] * 5 + [dict] * 5


def test_an_asaas_that_is_away_does_not_cost_a_request_for_each_event(make: Make) -> None:
    """After three failures the rest of the batch waits unasked."""
    with Peer(Reply(503, after_s=0.01)) as peer:
        outcomes = make(peer, OptionalRedis(None)).fetch_many(
            [("default", {"customer": f"cus_{number}"}) for number in range(100)]
        )

    assert {type(outcome) for outcome in outcomes} == {AsaasUnavailable}
    assert len(peer.asked) <= 3 + 8


def test_threads_share_an_enricher(make: Make, redis: Redis, redis_url: str) -> None:
    """Several lanes of one worker fetch at the same time and get what they asked for."""
    with Peer(respond=echo) as peer:
        enricher = make(peer, OptionalRedis(redis_url))
        wrong: list[Any] = []

        def lane(number: int) -> None:
            for turn in range(20):
                name = f"cus_{(number + turn) % 15}"
                if enricher.fetch("default", {"customer": name})["customer"]["path"] != f"/default/customers/{name}":
                    wrong.append(name)

        threads = [threading.Thread(target=lane, args=(number,)) for number in range(6)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()

    assert wrong == []


def test_a_charge_of_the_simulated_asaas_is_enriched(http: HttpClient) -> None:
    """The objects that a simulated charge points to come as the simulator has them."""
    simulator = AsaasSimulator()
    with Served(simulator.app) as served:
        url, headers = f"{served.url}/v3", {"access_token": "$aact_hmlg_simulator", "User-Agent": "test"}
        customer = asking.post(
            f"{url}/customers", headers=headers, json={"name": "Cliente Teste", "cpfCnpj": "24971563792"}
        ).json()
        charge = asking.post(
            f"{url}/payments",
            headers=headers,
            json={"customer": customer["id"], "billingType": "PIX", "value": 10, "dueDate": "2030-01-01"},
        ).json()
        client = AsaasClient(
            "default", headers["access_token"], url, http, AccountLimiter("default", OptionalRedis(None))
        )
        enricher = Enricher({"default": client}, Cache(OptionalRedis(None)))

        found = enricher.fetch("default", plan({"customer", "payment"}, {"payment": charge["id"]}))

    assert found["customer"]["name"] == "Cliente Teste"
    assert found["payment"]["id"] == charge["id"]
