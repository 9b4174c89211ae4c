"""What can go wrong with a request to the Clint API: every kind, and that no text of an error tells a secret."""

from __future__ import annotations

import json
import logging
import socket
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from bridge.clint.api import ClintApi
from bridge.clint.limiter import ApiLimiter
from bridge.errors import ClintApiFailed, ClintFault
from bridge.http import HttpClient
from bridge.redis_client import OptionalRedis
from tests.peers import Asked, Peer, RawPeer, Reply, closed_port

TOKEN = "t0ken-of-the-test"
KEPT: dict[str, Any] = {
    "name": "Ana Souza",
    "email": "ana@example.com",
    "phone": "+5511988887777",
    "fields": {"apelido": "Aninha"},
}

Request = Callable[[ClintApi], object]

READS: tuple[Request, ...] = (
    lambda api: api.deal("d"),
    lambda api: api.contacts(email="ana@example.com"),
    lambda api: api.origins(),
    lambda api: api.fields(),
)
WRITES: tuple[Request, ...] = (
    lambda api: api.create_deal(origin_id="o", contact_id="c", name="Ana Souza", fields={"apelido": "Aninha"}),
    lambda api: api.update_deal("d", stage_id="s", fields={"apelido": "Aninha"}),
    lambda api: api.create_contact(**KEPT),
    lambda api: api.update_contact("c", **KEPT),
    lambda api: api.add_tags("c", ["Ana Souza"]),
)


@pytest.fixture
def http() -> Iterator[HttpClient]:
    """Give a client that may talk to this machine."""
    with HttpClient(allow_private=True) as client:
        yield client


def api(http: HttpClient, url: str, **more: Any) -> ClintApi:
    """Return a client that need not be paced."""
    limiter = ApiLimiter("9999/second", OptionalRedis(None), TOKEN)
    return ClintApi(TOKEN, url, http, **{"limiter": limiter, "patience_s": 0.0, **more})


def failure(request: Request, client: ClintApi) -> ClintApiFailed:
    """Return the error with which the request ends; no text of it holds what must not be told."""
    with pytest.raises(ClintApiFailed) as caught:
        request(client)
    error = caught.value
    texts = (str(error), error.text(), repr(error), repr(error.facts), error.message().to_json())
    for secret in (TOKEN, "Ana", "ana@example.com", "ana%40", "988887777", "Aninha"):
        assert all(secret not in text for text in texts)
    return error


@pytest.mark.parametrize("request_", [*READS, *WRITES])
@pytest.mark.parametrize(
    ("status", "kind", "is_lasting"),
    [
        (401, ClintFault.TOKEN, True),
        (403, ClintFault.PLAN, True),
        (400, ClintFault.REFUSED, True),
        (413, ClintFault.REFUSED, True),
        (422, ClintFault.REFUSED, True),
        (429, ClintFault.BUSY, False),
    ],
)
def test_a_status_has_its_kind(
    http: HttpClient, request_: Request, status: int, kind: ClintFault, is_lasting: bool
) -> None:
    """The same for reads and writes: Clint has said no before it did anything."""
    with Peer(Reply(status=status, body=b'{"error": "no"}')) as peer:
        error = failure(request_, api(http, peer.url))

    assert (error.kind, error.status) == (kind, status)
    assert (error.hint is not None) is is_lasting


@pytest.mark.parametrize("status", [302, 408, 425, 500, 502, 503])
def test_a_status_that_says_nothing_leaves_a_write_unknown(http: HttpClient, status: int) -> None:
    """A read has failed; of a write nobody knows whether it is done."""
    with Peer(Reply(status=status)) as peer:
        client = api(http, peer.url)
        kinds = [[failure(request, client).kind for request in some] for some in (READS, WRITES)]

    assert kinds == [[ClintFault.FAILED] * len(READS), [ClintFault.UNKNOWN] * len(WRITES)]


def test_an_object_that_is_gone(http: HttpClient) -> None:
    """For who asks for it, it is none; for who changes it, an error of its own kind."""
    for status in (404, 410):
        with Peer(Reply(status=status, body=b'{"error": "Not found"}')) as peer:
            client = api(http, peer.url)

            assert client.deal("d") is None
            assert client.contact("c") is None
            assert {failure(request, client).kind for request in WRITES} == {ClintFault.GONE}


def cut_off(connection: socket.socket) -> None:
    """Close the connection when the request has arrived."""


def begin_only(connection: socket.socket) -> None:
    """Answer the half of an answer."""
    connection.sendall(b'HTTP/1.1 201 Created\r\nContent-Length: 100\r\n\r\n{"id": ')


def no_http(connection: socket.socket) -> None:
    """Answer in another language."""
    connection.sendall(b"220 mail.example ESMTP\r\n\r\n")


@pytest.mark.parametrize("speak", [cut_off, begin_only, no_http])
def test_an_answer_that_is_lost_leaves_a_write_unknown(
    http: HttpClient, speak: Callable[[socket.socket], None]
) -> None:
    """The request was sent, so Clint may have done it."""
    with RawPeer(speak) as peer:
        client = api(http, peer.url)
        kinds = [[failure(request, client).kind for request in some] for some in (READS, WRITES)]

    assert kinds == [[ClintFault.FAILED] * len(READS), [ClintFault.UNKNOWN] * len(WRITES)]


def test_an_answer_that_is_late_leaves_a_write_unknown(http: HttpClient) -> None:
    """The deadline ends the wait; what is late may still be done."""
    with Peer(Reply(after_s=5.0)) as peer:
        client = api(http, peer.url, deadline_s=0.2)

        assert failure(READS[0], client).kind is ClintFault.FAILED
        assert failure(WRITES[0], client).kind is ClintFault.UNKNOWN


def test_where_nothing_was_sent_nothing_is_unknown(http: HttpClient) -> None:
    """No connection, no name, no public address: the write may be tried again at once."""

    def nobody(host: str, port: int) -> list[str]:
        return ["127.0.0.1"]

    with closed_port() as port, HttpClient(allow_private=False, lookup=nobody) as guarded:
        for client in (
            api(http, f"http://127.0.0.1:{port}"),
            api(http, "http://no-such-name.invalid"),
            api(guarded, "http://api.clint.example"),
        ):
            errors = [failure(request, client) for request in (*READS, *WRITES)]

            assert {error.kind for error in errors} == {ClintFault.FAILED}
            assert {error.status for error in errors} == {None}


@pytest.mark.parametrize("body", [b"", b"<html>", b"[]", b'{"data": null}', b'{"data": {}}', b"[" * 100_000])
def test_a_success_that_cannot_be_read(http: HttpClient, body: bytes) -> None:
    """A deal without an id is not "no deal", and one that was created without telling its id may be there."""
    with Peer(Reply(status=200, body=body)) as peer:
        client = api(http, peer.url)

        assert {failure(request, client).kind for request in READS if body != b'{"data": {}}'} <= {ClintFault.FAILED}
        assert failure(READS[0], client).kind is ClintFault.FAILED
        assert failure(WRITES[0], client).kind is ClintFault.UNKNOWN
        assert failure(WRITES[2], client).kind is ClintFault.UNKNOWN
        client.update_deal("d", status="WON")  # the status is enough


def test_clints_own_words_come_without_what_was_sent(http: HttpClient) -> None:
    """They say which field is wrong; the values in them are masked, whole and in part."""

    def repeat(asked: Asked) -> Reply:
        body = asked.body.decode()
        first_name = "Ana" if "Ana Souza" in body else "somebody"
        text = f"field valor_total must be number; got {body} {asked.path} of {first_name}"
        return Reply(status=422, body=json.dumps({"error": text}).encode())

    with Peer(respond=repeat) as peer:
        client = api(http, peer.url)
        errors = [failure(request, client) for request in (*READS, *WRITES)]

    assert all("field valor_total must be number" in str(error.facts["words"]) for error in errors)


def test_no_log_tells_a_secret(http: HttpClient, caplog: pytest.LogCaptureFixture) -> None:
    """Whatever the requests end with, and however much is logged."""
    caplog.set_level(logging.DEBUG)
    with Peer(Reply(status=422, body=b'{"error": "Ana Souza"}')) as peer, closed_port() as port:
        for client in (api(http, peer.url), api(http, f"http://127.0.0.1:{port}")):
            for request in (*READS, *WRITES):
                with pytest.raises(ClintApiFailed):
                    request(client)

    assert all(secret not in caplog.text for secret in (TOKEN, "Ana", "ana@", "ana%40", "988887777", "Aninha"))


@pytest.mark.parametrize(
    ("body", "words"),
    [
        (b'{"message": "stage of another origin"}', "stage of another origin"),
        (b'{"errors": [{"field": "valor"}]}', "valor"),
        (b"<html>no</html>", ""),
        (b"", ""),
        (b'{"error": "' + b"xyz " * 5000 + b'"}', "xyz xyz"),
        (b'{"error": "cpf 123.456.789-09"}', "[cpf/cnpj]"),
    ],
)
def test_clints_words_are_taken_from_where_they_are(http: HttpClient, body: bytes, words: str) -> None:
    """Short, redacted, and none where there are none."""
    with Peer(Reply(status=400, body=body)) as peer:
        error = failure(WRITES[1], api(http, peer.url))

    assert words in str(error.facts["words"])
    assert bool(error.facts["words"]) is bool(words)
    assert len(str(error)) < 600


def test_tags_that_are_refused_are_an_error_of_their_own(http: HttpClient) -> None:
    """Two forms are known, one of them from Clint's document; the other is not guessed."""
    with Peer(Reply(status=400, body=b'{"error": "tag_ids is required"}')) as peer:
        refused = failure(WRITES[4], api(http, peer.url))
        other = failure(WRITES[3], api(http, peer.url))

        assert len(peer.asked) == 2

    assert refused.kind is other.kind is ClintFault.REFUSED
    assert refused.hint is not None
    assert str(refused.hint) != str(other.hint)
    assert refused.facts["words"] == "tag_ids is required"


@pytest.mark.parametrize(
    ("status", "headers", "least_s", "most_s"),
    [
        (429, {"Retry-After": "40"}, 39, 40),
        (429, {"Retry-After": "Wed, 01 Jan 2020 10:00:00 GMT"}, 0, 1),
        (429, {}, 0, 1),
        (503, {"Retry-After": "40"}, 39, 40),
    ],
)
def test_a_retry_after_pauses_the_requests_that_follow(
    http: HttpClient, status: int, headers: dict[str, str], least_s: float, most_s: float
) -> None:
    """They do not reach Clint before that time, and say how long it takes."""
    with Peer(Reply(status=status, headers=headers)) as peer:
        client = api(http, peer.url)
        first, second = failure(READS[0], client), failure(WRITES[0], client)

        assert len(peer.asked) == 1

    assert first.status == status
    assert first.retry_after_s == (40 if least_s else None)
    assert (second.kind, second.status) == (ClintFault.BUSY, None)
    assert least_s <= (second.retry_after_s or 0) <= most_s


def test_a_500_without_a_time_pauses_nothing(http: HttpClient) -> None:
    """Lists of won deals fail at times, and the other requests go on."""
    with Peer(Reply(status=500)) as peer:
        client = api(http, peer.url)
        for request in READS:
            failure(request, client)

        assert len(peer.asked) == len(READS)


def test_a_write_that_may_not_start_is_not_sent(http: HttpClient) -> None:
    """The lease may have run out while the request waited for its turn."""
    asked: list[str] = []

    def may_start() -> bool:
        asked.append("asked")
        return False

    with Peer() as peer:
        client = api(http, peer.url)
        writes: tuple[Request, ...] = (
            lambda api: api.create_deal(origin_id="o", may_start=may_start),
            lambda api: api.update_deal("d", status="WON", may_start=may_start),
            lambda api: api.create_contact(name="Ana", may_start=may_start),
            lambda api: api.update_contact("c", name="Ana", may_start=may_start),
            lambda api: api.add_tags("c", ["Asaas"], may_start=may_start),
        )
        kinds = {failure(write, client).kind for write in writes}

        assert peer.asked == []

    assert kinds == {ClintFault.NOT_STARTED}
    assert len(asked) == len(writes)


def test_an_update_without_an_id_is_never_sent(http: HttpClient) -> None:
    """`POST /v1/deals/` would create one."""
    with Peer() as peer:
        client = api(http, peer.url)
        for request in (
            lambda: client.deal(""),
            lambda: client.update_deal("", status="WON"),
            lambda: client.update_contact("", name="Ana"),
            lambda: client.add_tags("", ["Asaas"]),
        ):
            with pytest.raises(ValueError, match="no id"):
                request()  # type: ignore[no-untyped-call]

        assert peer.asked == []


def test_an_id_cannot_leave_its_place_in_the_path(http: HttpClient) -> None:
    """Whatever Clint gave as an id stays one part of the path."""
    with Peer(Reply(status=404)) as peer:
        api(http, peer.url).deal("a/../../v1/contacts?x=1#y")

        assert peer.asked[0].path.startswith("/v1/deals/a%2F")
        assert "?" not in peer.asked[0].path


def test_a_text_with_half_a_character_is_sent(http: HttpClient) -> None:
    """Asaas sends such texts; they cost a sign, not the deal."""
    with Peer(Reply(status=201, body=b'{"id": "d1"}')) as peer:
        assert api(http, peer.url).create_deal(origin_id="o", name="Ana \ud83d") == "d1"
        assert json.loads(peer.asked[0].body)["name"] == "Ana ?"


def test_a_request_carries_the_token_as_clint_wants_it(http: HttpClient) -> None:
    """In its own header, and nowhere in the address."""
    with Peer(Reply(status=404)) as peer:
        api(http, peer.url).deal("d")

        assert peer.asked[0].headers["api-token"] == TOKEN
        assert TOKEN not in peer.asked[0].path
