"""The token's check and the parse of envelopes."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bridge.asaas.incoming import MAX_DEPTH, check_token, parse_event
from bridge.errors import NotAnEvent
from bridge.model import IncomingEvent

DATA = Path(__file__).parents[2] / "data" / "asaas"
BODIES = sorted([*DATA.glob("webhook_*.json"), *DATA.glob("docs_*.json")])


def parse(envelope: object) -> IncomingEvent:
    """Return the event that the envelope becomes."""
    return parse_event("default", json.dumps(envelope).encode(), 1)


def reason(body: bytes) -> str:
    """Return why the body is not an event."""
    with pytest.raises(NotAnEvent) as refused:
        parse_event("default", body, 1)
    return str(refused.value)


@pytest.mark.parametrize(
    ("expected", "given_token", "right"),
    [
        ("um-token", "um-token", True),
        ("um-token", "um-tokem", False),
        ("um-token", "um-token ", False),
        ("um-token", "", False),
        ("um-token", None, False),
        ("", "", False),
        ("", None, False),
        ("segredo-é-este", "segredo-é-este", True),
        ("segredo-é-este", "segredo-é-este".encode().decode("latin-1"), True),
        ("token-🔑", "token-🔑", True),
        ("token-🔑", "token-🗝", False),
    ],
)
def test_a_token_is_right_only_when_it_is_the_same(expected: str, given_token: str | None, right: bool) -> None:
    """The whole token must be the same, in any alphabet, and an account without one accepts nobody."""
    assert check_token(expected, given_token) is right


@settings(deadline=None, max_examples=50)
@given(st.text(), st.text())
def test_any_two_texts_can_be_compared_as_tokens(expected: str, given_token: str) -> None:
    """No text, however odd, makes the comparison fail."""
    assert check_token(expected, given_token) in {True, False}


@pytest.mark.parametrize("path", BODIES, ids=lambda path: path.name)
def test_every_known_body_is_an_event(path: Path) -> None:
    """Real bodies and documented ones are kept as they came, with a subject to order them by."""
    body = path.read_bytes()

    event = parse_event("matriz", body, 7)

    assert (event.account, event.received_ms, event.body) == ("matriz", 7, body.decode())
    assert all((event.key, event.name, event.entity, event.subject))


def test_a_real_charge_is_read_as_a_whole() -> None:
    """The key is the whole id with its `&`, and the customer is whose order counts."""
    event = parse_event("default", (DATA / "webhook_payment_received.pix.sandbox.2026-08.json").read_bytes(), 7)

    assert event.key == "evt_d26e303b238e509335ac9ba210e51b0f&17877802"
    assert (event.name, event.entity, event.object_id) == ("PAYMENT_RECEIVED", "payment", "pay_3h08j28ezvwv7s4h")
    assert (event.subject, event.created) == ("cus_000008622308", "2026-08-08 20:54:57")


@pytest.mark.parametrize("missing", [{}, {"id": None}, {"id": ""}, {"id": "  "}, {"id": True}, {"id": {"a": 1}}])
def test_an_envelope_without_id_is_known_by_its_canonical_body(missing: dict[str, Any]) -> None:
    """The hash does not depend on blanks or on the order of keys, so a repeat of the body is a repeat of the event."""
    envelope = {"event": "TRANSFER_DONE", "transfer": {"value": 10.5, "id": "t1"}, **missing}
    turned = dict(reversed(envelope.items()))

    key = parse(envelope).key

    canonical = json.dumps(envelope, sort_keys=True, separators=(",", ":")).encode()
    assert key == "sha256:" + hashlib.sha256(canonical).hexdigest()
    assert key == parse_event("default", json.dumps(turned, indent=4).encode(), 2).key


def test_a_number_as_id_is_a_text_in_the_journal() -> None:
    """Ids that come as whole numbers are kept as their digits."""
    event = parse({"id": 42, "event": "BILL_PAID", "bill": {"id": 7}})

    assert (event.key, event.object_id, event.subject) == ("42", "7", "7")


@pytest.mark.parametrize(
    ("envelope", "entity", "object_id", "subject"),
    [
        ({"payment": {"id": "p", "customer": "c"}}, "payment", "p", "c"),
        ({"payment": {"id": "p", "customer": {"id": "c", "name": "X"}}}, "payment", "p", "c"),
        ({"payment": {"id": "p", "customer": None}}, "payment", "p", "p"),
        ({"payment": {"id": "p", "customerId": "c"}}, "payment", "p", "c"),
        ({"paymentInstruction": {"id": "i", "authorization": {"customerId": "c"}}}, "paymentInstruction", "i", "c"),
        ({"transfer": {"id": "t", "account": {"name": "X"}}}, "transfer", "t", "t"),
        ({"balance": {"value": 1}}, "balance", "", "balance"),
        ({"account": {"id": "a"}, "additionalInfo": {"splitId": "s"}}, "", "", "account"),
        ({}, "", "", "account"),
        ({"payment": "pay_1", "novidade": {"id": "n"}}, "novidade", "n", "n"),
        ({"novidade": {"id": "n"}, "payment": {"id": "p"}}, "payment", "p", "p"),
    ],
)
def test_the_entity_is_the_object_of_the_envelope(
    envelope: dict[str, Any], entity: str, object_id: str, subject: str
) -> None:
    """A known entity comes first, then any other object; the customer is whose order counts, else the object."""
    event = parse({"id": "e", "event": "COISA_NOVA", **envelope})

    assert (event.entity, event.object_id, event.subject) == (entity, object_id, subject)


@pytest.mark.parametrize(
    ("name", "entity"),
    [
        ("PIX_AUTOMATIC_RECURRING_PAYMENT_INSTRUCTION_REFUSED", "paymentInstruction"),
        ("PIX_AUTOMATIC_RECURRING_PAYMENT_INSTRUCTION_REFUSED", "instruction"),
        ("BALANCE_VALUE_BLOCKED", "balance"),
        ("BALANCE_VALUE_BLOCKED", "balanceData"),
    ],
)
def test_the_event_name_decides_between_two_known_objects(name: str, entity: str) -> None:
    """An instruction that comes with its charge is about the instruction, whichever of its two names Asaas writes."""
    event = parse({"event": name, "payment": {"id": "pay_1"}, entity: {"id": "ins_1"}})

    assert (event.entity, event.object_id) == (entity, "ins_1")


@pytest.mark.parametrize(
    ("body", "said"),
    [
        (b"\xff\xfe", "UTF-8"),
        (b"", "JSON"),
        (b"nome=Ana", "JSON"),
        (b"\xef\xbb\xbf{}", "JSON"),
        (b'{"event": NaN}', "NaN"),
        (b'{"event": "X", "v": -Infinity}', "-Infinity"),
        (b'{"event": "X", "v": ' + b"9" * 5000 + b"}", "sane size"),
        (b"[" * 100_000, "deeper"),
        (b'{"event":"X","a":' + b"[" * 150 + b"1" + b"]" * 150 + b"}", "deeper"),
        (b"[]", "object, got a list"),
        (b'"PAYMENT_CREATED"', "object, got a single value"),
        (b"{}", "got no name"),
        (b'{"event": null}', "got no name"),
        (b'{"event": ""}', "got an empty text"),
        (b'{"event": "  "}', "got an empty text"),
        (b'{"event": 3}', "got no text"),
        (b'{"event": {"name": "X"}}', "got no text"),
    ],
)
def test_what_is_no_event_is_refused_with_the_reason(body: bytes, said: str) -> None:
    """Each way of not being an event is said as such."""
    assert said in reason(body)


def test_many_shallow_brackets_are_no_depth() -> None:
    """A long list is fine, however many brackets it has; only levels count."""
    assert parse({"event": "X", "split": [{"a": [1]}] * 500}).name == "X"


def test_the_deepest_allowed_body_is_kept() -> None:
    """An event of exactly the allowed depth is an event."""
    inside = MAX_DEPTH - 1
    body = '{"event":"X","a":' + "[" * inside + "1,{}" + "]" * inside + "}"

    assert parse_event("default", body.encode(), 1).name == "X"


@pytest.mark.parametrize("odd", ["a\x00b", "meio \ud83d", "x" * 201])
def test_texts_no_database_would_take_become_their_hash(odd: str) -> None:
    """NUL, half a character and overlong texts stay out of the columns; the body keeps them escaped."""
    envelope = {"id": odd, "event": odd, "dateCreated": odd, "payment": {"id": odd, "customer": odd}}

    event = parse(envelope)

    expected = "sha256:" + hashlib.sha256(odd.encode(errors="surrogatepass")).hexdigest()
    assert [event.key, event.name, event.created, event.object_id, event.subject] == [expected] * 5
    assert json.loads(event.body) == envelope
    assert event.body.isascii()


def test_an_entity_with_an_odd_name_is_kept() -> None:
    """Even the key that holds the object is made fit for a column."""
    assert parse({"event": "X", "a\x00": {"id": "1"}}).entity.startswith("sha256:")


@settings(deadline=None, max_examples=50)
@given(st.none() | st.booleans() | st.integers() | st.text() | st.dictionaries(st.text(), st.text() | st.integers()))
def test_any_object_is_an_event_or_refused(value: object) -> None:
    """Nothing but NotAnEvent ever comes out of a body, and every column is storable."""
    body = json.dumps({"event": "X", "payment": value, "id": value, "dateCreated": value}).encode()

    event = parse_event("default", body, 1)

    for text in (event.key, event.name, event.entity, event.object_id, event.subject, event.created):
        assert "\x00" not in text
        assert len(text.encode()) <= 4 * 200
