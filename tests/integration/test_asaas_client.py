"""The client of the Asaas API over real HTTP, against peers that behave and peers that don't."""

from __future__ import annotations

import json
import socket
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from bridge import __version__
from bridge.asaas.client import MAX_ANSWER_BYTES, AsaasClient
from bridge.asaas.limiter import AccountLimiter
from bridge.asaas.webhooks import Webhook, Webhooks
from bridge.errors import (
    AsaasKeyRefused,
    AsaasOutcomeUnknown,
    AsaasRateLimited,
    AsaasRejected,
    AsaasUnavailable,
    BridgeError,
    NotFound,
    SettingsError,
)
from bridge.http import HttpClient
from bridge.redis_client import OptionalRedis
from bridge.simulator.serve import Served
from tests import asking
from tests.peers import Peer, RawPeer, Reply, closed_port
from tests.simulated import AsaasSimulator

CUSTOMER = (Path(__file__).parents[1] / "data" / "asaas" / "api_customer.json").read_bytes()
KEY = "$aact_hmlg_simulator"
GONE = Webhook("1", "x", "https://b.example", "", True, False, "SEQUENTIALLY", True, 0, ())


@pytest.fixture
def http() -> Iterator[HttpClient]:
    """Give the bridge's own HTTP client."""
    with HttpClient(allow_private=True) as client:
        yield client


def client_of(url: str, http: HttpClient, key: str = KEY, deadline_s: float = 5.0) -> AsaasClient:
    """Return a client of the account `matriz` for the API at the URL."""
    governor = AccountLimiter("matriz", OptionalRedis(None))
    return AsaasClient("matriz", key, url, http, governor, deadline_s=deadline_s)


def test_a_customer_is_read_with_the_key_and_the_name_of_the_bridge(http: HttpClient) -> None:
    """The request carries what Asaas asks for and no body, and the object comes as it is."""
    with Peer(Reply(body=CUSTOMER)) as peer:
        found = client_of(f"{peer.url}/v3/", http).get_object("customer", "cus_000008392496")

    assert found == json.loads(CUSTOMER)
    asked = peer.asked[0]
    assert (asked.method, asked.path, asked.body) == ("GET", "/v3/customers/cus_000008392496", b"")
    assert asked.headers["access_token"] == KEY
    assert asked.headers["User-Agent"] == f"asaas-clint-bridge/{__version__}"


@pytest.mark.parametrize("name", ["customer", "installment", "subscription", "payment"])
def test_each_object_has_its_path(http: HttpClient, name: str) -> None:
    """What a mapping may name is read from its own resource."""
    with Peer() as peer:
        assert client_of(peer.url, http).get_object(name, "9b4ee057-ddc5") == {}

    assert peer.asked[0].path == f"/{name}s/9b4ee057-ddc5"


def test_parameters_go_into_the_query(http: HttpClient) -> None:
    """Lists are asked for with their filters."""
    with Peer() as peer:
        client_of(peer.url, http).get("/payments", {"limit": 100, "dateCreated[ge]": "2026-11-01"})

    assert peer.asked[0].path == "/payments?limit=100&dateCreated%5Bge%5D=2026-11-01"


def test_an_object_that_does_not_exist_is_none(http: HttpClient) -> None:
    """404 is an answer."""
    with Peer(Reply(404, b"")) as peer:
        assert client_of(peer.url, http).get_object("payment", "pay_1") is None


@pytest.mark.parametrize("odd", ["", "../payments", "a/b", "a?b", "a%2e", "cus_1\n", "x" * 101, "é", "\ud800"])
def test_an_odd_id_never_gets_into_a_path(http: HttpClient, odd: str) -> None:
    """An id comes out of a posted body, so one that could reach another resource is refused unasked."""
    with Peer() as peer, pytest.raises(AsaasRejected, match="must be 1 to 100"):
        client_of(peer.url, http).get_object("customer", odd)

    assert peer.asked == []


def test_a_429_pauses_the_account(http: HttpClient) -> None:
    """After Asaas asked to slow down, the next request is not even made."""
    with Peer(Reply(429, b"", {"RateLimit-Reset": "30"})) as peer:
        client = client_of(peer.url, http)
        for _ in range(2):
            with pytest.raises(AsaasRateLimited) as told:
                client.get_object("customer", "cus_1")
            assert told.value.retry_after_s == pytest.approx(30, abs=1)

    assert len(peer.asked) == 1


def test_a_429_without_headers_pauses_too(http: HttpClient) -> None:
    """Asaas does not say which limit it was, so a short pause has to do."""
    with Peer(Reply(429, b"")) as peer:
        client = client_of(peer.url, http)
        for _ in range(2):
            with pytest.raises(AsaasRateLimited):
                client.get_object("customer", "cus_1")

    assert len(peer.asked) == 1


def test_the_last_allowed_answer_is_used_and_then_the_account_pauses(http: HttpClient) -> None:
    """`RateLimit-Remaining: 0` spares the 429 that would follow."""
    with Peer(Reply(200, CUSTOMER, {"RateLimit-Remaining": "0", "RateLimit-Reset": "20"})) as peer:
        client = client_of(peer.url, http)
        assert client.get_object("customer", "cus_1")
        with pytest.raises(AsaasRateLimited):
            client.get_object("customer", "cus_1")

    assert len(peer.asked) == 1


def test_a_refused_key_is_said_and_never_shown(http: HttpClient) -> None:
    """The error names the cause, the account and the remedy, not the key."""
    refused = Reply(401, b'{"errors":[{"code":"invalid_environment","description":"x"}]}')
    with Peer(refused) as peer, pytest.raises(AsaasKeyRefused) as error:
        client_of(peer.url, http).get_object("customer", "cus_1")

    assert "other environment" in str(error.value)
    assert "account matriz" in str(error.value)
    assert KEY not in str(error.value)


@pytest.mark.parametrize("body", [b"<html>manuten\xc3\xa7\xc3\xa3o</html>", b"[]", b"", b"\xff", b"[" * 99999])
def test_a_success_that_is_no_object_is_tried_again_later(http: HttpClient, body: bytes) -> None:
    """A maintenance page with status 200 is not a customer."""
    with Peer(Reply(200, body)) as peer, pytest.raises(AsaasUnavailable, match="JSON object"):
        client_of(peer.url, http).get_object("customer", "cus_1")


def test_an_answer_without_end_is_not_read(http: HttpClient) -> None:
    """More than the limit is not kept in memory."""
    with Peer(Reply(200, b" " * (MAX_ANSWER_BYTES + 1))) as peer, pytest.raises(AsaasUnavailable, match="at most"):
        client_of(peer.url, http).get_object("customer", "cus_1")


def test_a_redirect_is_not_followed(http: HttpClient) -> None:
    """The key must not be carried to another host."""
    with Peer(Reply(302, b"", {"Location": "http://example.com/"})) as peer, pytest.raises(AsaasRejected, match="302"):
        client_of(peer.url, http).get_object("customer", "cus_1")


def test_an_asaas_that_is_away_makes_the_event_wait(http: HttpClient) -> None:
    """A refused connection is worth another try."""
    with closed_port() as port, pytest.raises(AsaasUnavailable, match="could not be reached"):
        client_of(f"http://127.0.0.1:{port}", http).get_object("customer", "cus_1")


def test_a_connection_that_breaks_makes_the_event_wait(http: HttpClient) -> None:
    """Half an answer is no answer."""

    def speak(connection: socket.socket) -> None:
        connection.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\nhalf")

    with RawPeer(speak) as peer, pytest.raises(AsaasUnavailable, match="could not be reached"):
        client_of(peer.url, http).get_object("customer", "cus_1")


def test_an_asaas_that_hangs_is_given_up(http: HttpClient) -> None:
    """The read timeout ends the wait."""
    with Peer(Reply(after_s=0.5)) as peer, pytest.raises(AsaasUnavailable, match="in time"):
        client_of(peer.url, http, deadline_s=0.2).get_object("customer", "cus_1")


@pytest.mark.alone
def test_an_answer_that_drips_is_given_up(http: HttpClient) -> None:
    """A byte now and then does not keep the request alive."""

    def speak(connection: socket.socket) -> None:
        connection.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 1000\r\n\r\n")
        for _ in range(100):
            connection.sendall(b" ")
            time.sleep(0.05)

    started_s = time.monotonic()
    with RawPeer(speak) as peer, pytest.raises(AsaasUnavailable, match="in time"):
        client_of(peer.url, http, deadline_s=0.2).get_object("customer", "cus_1")

    assert time.monotonic() - started_s < 1.5


def test_a_key_that_no_header_can_carry_is_said_at_the_start(http: HttpClient) -> None:
    """A key with odd characters is a setting to mend, not a crash with the first event."""
    with pytest.raises(SettingsError, match="plain text") as refused:
        client_of("http://127.0.0.1", http, "$aact_hmlg_ção")

    assert "ção" not in str(refused.value)


def change(client: AsaasClient, method: str) -> object:
    """Change something by that method."""
    if method == "DELETE":
        return client.delete("/webhooks/1")
    return client.post("/webhooks/1", {"name": "x"}) if method == "POST" else client.put("/webhooks/1", {"name": "x"})


CHANGES = pytest.mark.parametrize("method", ["POST", "PUT", "DELETE"])


@CHANGES
def test_a_change_goes_out_once_with_its_body(http: HttpClient, method: str) -> None:
    """The method, the path and the body are what was asked for, and the answer comes back."""
    with Peer(Reply(body=b'{"id": "1"}')) as peer:
        assert change(client_of(peer.url, http), method) == {"id": "1"}

    (asked,) = peer.asked
    assert (asked.method, asked.path) == (method, "/webhooks/1")
    assert (json.loads(asked.body) if asked.body else None) == (None if method == "DELETE" else {"name": "x"})
    assert asked.headers["access_token"] == KEY


def test_a_change_may_be_answered_with_nothing(http: HttpClient) -> None:
    """204 is a success without words, and a POST without a body carries an empty object."""
    with Peer(Reply(204, b"")) as peer:
        assert client_of(peer.url, http).post("/webhooks/1/removeBackoff") == {}

    assert peer.asked[0].body == b"{}"


@CHANGES
def test_a_change_of_what_is_not_there_is_none(http: HttpClient, method: str) -> None:
    """404 is an answer, as it is to a read."""
    with Peer(Reply(404, b"")) as peer:
        assert change(client_of(peer.url, http), method) is None


@CHANGES
@pytest.mark.parametrize("reply", [Reply(503, b""), Reply(200, b"<html>"), Reply(200, b" " * (MAX_ANSWER_BYTES + 1))])
def test_a_change_with_a_useless_answer_may_have_been_made(http: HttpClient, method: str, reply: Reply) -> None:
    """Nobody knows what a server did before it failed: that is said, and the change is not sent again."""
    with Peer(reply) as peer, pytest.raises(AsaasOutcomeUnknown, match="may or may not have done it") as told:
        change(client_of(peer.url, http), method)

    assert len(peer.asked) == 1
    assert f"{method} /webhooks/1, account matriz" in str(told.value)


def test_a_change_without_an_answer_may_have_been_made(http: HttpClient) -> None:
    """A server that hangs, or cuts the connection, may have done what was asked."""
    with Peer(Reply(after_s=0.5)) as peer, pytest.raises(AsaasOutcomeUnknown, match="in time"):
        client_of(peer.url, http, deadline_s=0.2).post("/payments")
    with RawPeer(lambda connection: None) as raw, pytest.raises(AsaasOutcomeUnknown, match="could not be reached"):
        client_of(raw.url, http).post("/payments")


@pytest.mark.parametrize(
    ("reply", "error"),
    [(Reply(400, b""), AsaasRejected), (Reply(401, b""), AsaasKeyRefused), (Reply(429, b""), AsaasRateLimited)],
)
def test_a_change_that_was_refused_was_not_made(http: HttpClient, reply: Reply, error: type[BridgeError]) -> None:
    """A refusal says the same of a change as of a read."""
    with Peer(reply) as peer, pytest.raises(error):
        client_of(peer.url, http).post("/payments")


def test_a_change_that_was_never_sent_was_not_made(http: HttpClient) -> None:
    """Where no connection came about, trying again harms nobody."""
    with closed_port() as port, pytest.raises(AsaasUnavailable, match="could not be reached"):
        client_of(f"http://127.0.0.1:{port}", http).post("/payments")


def test_the_simulated_asaas_answers_as_the_client_expects(http: HttpClient) -> None:
    """A customer made in the simulator is read, one that is not there is None, a wrong key is refused."""
    simulator = AsaasSimulator()
    with Served(simulator.app) as served:
        url = f"{served.url}/v3"
        made = asking.post(
            f"{url}/customers",
            headers={"access_token": KEY, "User-Agent": "test"},
            json={"name": "Cliente Teste", "cpfCnpj": "24971563792", "email": "cliente@example.com"},
        ).json()

        found = client_of(url, http).get_object("customer", made["id"])

        assert found is not None
        assert found["email"] == "cliente@example.com"
        assert client_of(url, http).get_object("customer", "cus_000000000000") is None
        with pytest.raises(AsaasKeyRefused):
            client_of(url, http, "$aact_hmlg_other").get_object("customer", made["id"])


def test_a_webhook_that_went_meanwhile_is_said(http: HttpClient) -> None:
    """Somebody removed it in Asaas between the look and the change."""
    with Peer(Reply(404, b"")) as peer, pytest.raises(NotFound, match="does not exist any more"):
        Webhooks(client_of(peer.url, http)).remove(GONE)


@pytest.mark.parametrize("body", [b"{}", b'{"data": 1}'])
def test_a_list_of_webhooks_without_data_is_no_answer(http: HttpClient, body: bytes) -> None:
    """An answer that can't be read must not look like an account without webhooks."""
    with Peer(Reply(200, body)) as peer, pytest.raises(AsaasUnavailable, match="must have data"):
        Webhooks(client_of(peer.url, http)).all()


def test_a_webhook_of_an_older_document_is_taken_for_fine(http: HttpClient) -> None:
    """Keys that are not there make no problem, and a list of something else is nothing."""
    with Peer(Reply(200, b'{"data": [{"id": "1", "url": "https://b.example", "events": null}, 7]}')) as peer:
        (found,) = Webhooks(client_of(peer.url, http)).all()

    assert (found.enabled, found.interrupted, found.has_token, found.penalised) == (True, False, True, 0)
    assert (found.events, found.send_type) == ((), "SEQUENTIALLY")
