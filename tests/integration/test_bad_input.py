"""Whatever a body holds: kept exactly and worked on to an end that is explained, or refused with a clear 4xx."""

from __future__ import annotations

import gzip
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from redis import Redis

from bridge.mapping.functions import FUNCTIONS
from bridge.mapping.operators import OPERATORS, Operand
from bridge.runtime import Runtime
from bridge.settings import Settings
from tests.databases import on_both
from tests.factories import acquire, events_of, opened_journal, rows_of
from tests.integration.test_web import TOKEN, World, environment

OPERANDS = {
    Operand.TEXT: "PIX",
    Operand.TEXTS: "[PIX]",
    Operand.NUMBER: "50",
    Operand.DATE: "2026-01-01",
    Operand.PATTERN: "'^(a|aa)+$'",
    Operand.BOOLEAN: "true",
}
EMAIL = "contact: {email: \"'ana@example.com'\"}\n"


def mappings() -> Iterator[tuple[str, str]]:
    """Return a mapping for each function and each operator, all about every event of a charge."""
    for name, function in FUNCTIONS.items():
        arguments = ", ".join(("payment.a", "payment.b", "payment.c")[: len(function.parameters)])
        yield f"f_{name}", f'events: [PAYMENT_*]\n{EMAIL}deal: {{x: "{name}({arguments})", y: payment.a}}\n'
    for name, operator in OPERATORS.items():
        condition = f"{{field: payment.a, {name}: {OPERANDS[operator.operand]}}}"
        yield f"o_{name}", f"events: [PAYMENT_*]\n{EMAIL}filter: {{all: [{condition}]}}\n"


@pytest.fixture(scope="module")
def scratch(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Give a directory with the mappings."""
    made = tmp_path_factory.mktemp("bad")
    (made / "mappings").mkdir()
    for name, text in mappings():
        (made / "mappings" / f"{name}.yaml").write_text(text)
    return made


@pytest.fixture
def world(database_url: str, redis_url: str, redis: Redis, scratch: Path) -> Iterator[World]:
    """Give a door and a worker's deciding half on each database."""
    with opened_journal(database_url) as journal:
        runtime = Runtime(Settings.from_env(environment(database_url, redis_url, scratch)))
        (scratch / "mappings" / "paga.yaml").unlink()
        runtime.register()
        yield World(journal, runtime)
        runtime.close()


def kept_or_refused(world: World, body: bytes, **headers: str) -> int:
    """Post a body, see that it is kept as it came or clearly refused, and return the status."""
    before = len(events_of(world.journal))
    answer = world.client.post(
        "/webhooks/asaas",
        data=body,
        headers={"asaas-access-token": TOKEN, **{name.replace("_", "-"): value for name, value in headers.items()}},
    )
    rows = events_of(world.journal)

    assert answer.status_code in {200, 400, 413}, answer.text
    if answer.status_code != 200:
        assert len(rows) == before
    elif len(rows) > before:
        assert rows[-1]["body"].encode() == body
    return answer.status_code


def work_off(world: World) -> None:
    """Process everything; no lane may hold an event back."""
    runtime = world.runtime
    for lane in {row["lane"] for row in events_of(world.journal) if row["state"] == "received"}:
        lease = acquire(world.journal.lanes, lane, "worker", runtime.clock_ms())
        assert lease is not None
        while found := runtime.decider.next_batches([lane]):
            for batch in found:
                runtime.decider.commit([lease], runtime.decider.fetch(batch) if batch.must_fetch else batch)
        world.journal.lanes.release_all([lease])

    assert {row["state"] for row in events_of(world.journal)} <= {"processed"}
    for row in rows_of(world.journal):
        assert row["reason_code"] != "bridge.fault", row
        assert row["reason_code"] or row["state"] not in {"dead", "filtered"}, row


HEAD = b'{"event": "PAYMENT_RECEIVED", "id": "%s", "payment": {"id": "p", "customer": "c", "a": '
NASTY = {
    "duplicate keys": (b'{"event": "X", "event": "PAYMENT_CREATED", "id": "1", "id": "2", "payment": {}}', 200),
    "a number without value": (HEAD % b"nan" + b"NaN}}", 400),
    "infinity": (HEAD % b"inf" + b"-Infinity}}", 400),
    "a float beyond floats": (HEAD % b"1e400" + b'1e400, "b": -1e400}}', 200),
    "a number of 4,000 digits": (HEAD % b"digits" + b"9" * 4_000 + b"}}", 200),
    "a number of 5,000 digits": (HEAD % b"more" + b"9" * 5_000 + b"}}", 400),
    "tiny numbers": (HEAD % b"tiny" + b'1e-400, "b": 5e-324, "c": -0.0}}', 200),
    "half a character": (HEAD % b"half" + b'"\\ud83d", "b": "\\udc00", "c": "\\ud83d"}}', 200),
    "half a character as key": (b'{"event": "PAYMENT_CREATED", "payment": {"\\ud800": "\\ud800"}}', 200),
    "NUL": (HEAD % b"a\\u0000b" + b'"\\u0000", "b": "x\\u0000y"}}', 200),
    "a bare NUL": (HEAD % b"nul" + b'"\x00"}}', 400),
    "NUL as id": (b'{"event": "PAYMENT_CREATED\\u0000", "id": "\\u0000", "payment": {"customer": "\\u0000"}}', 200),
    "deep": (HEAD % b"deep" + b"[" * 100_000 + b"]" * 100_000 + b"}}", 400),
    "deep objects": (HEAD % b"deep" + b'{"a":' * 100_000 + b"1" + b"}" * 100_002, 400),
    "not UTF-8": (HEAD % b"latin" + "ação".encode("latin-1") + b"}}", 400),
    "overlong UTF-8": (HEAD % b"long" + b'"\xc0\x80"}}', 400),
    "a surrogate in UTF-8": (HEAD % b"cesu" + b'"\xed\xa0\x80"}}', 400),
    "UTF-16": (json.dumps({"event": "X"}).encode("utf-16"), 400),
    "a byte order mark": (b'\xef\xbb\xbf{"event": "X"}', 400),
    "a second document": (b'{"event": "X"}{"event": "Y"}', 400),
    "white space": (b" " * 900_000 + b'{"event": "PAYMENT_CREATED", "id": "ws"}', 200),
    "many keys": (HEAD % b"keys" + json.dumps({str(n): n for n in range(50_000)}).encode() + b"}}", 200),
    "a long text": (HEAD % b"text" + b'"' + b"a" * 900_000 + b'"}}', 200),
    "a form": (b"event=PAYMENT_RECEIVED", 400),
    "nothing": (b"", 400),
    "no payment": (b'{"event": "PAYMENT_RECEIVED", "payment": "pay_1"}', 200),
    "lists for objects": (b'{"event": "PAYMENT_RECEIVED", "id": [], "payment": [[]], "dateCreated": {}}', 200),
}


@on_both
@pytest.mark.slow
def test_a_nasty_body_is_kept_exactly_or_refused(world: World) -> None:
    """Each of them as the table says; what was kept gets through every function and every condition."""
    said = {name: kept_or_refused(world, body) for name, (body, _) in NASTY.items()}

    assert said == {name: status for name, (_, status) in NASTY.items()}
    work_off(world)


@on_both
@pytest.mark.slow
def test_any_body_is_kept_exactly_or_refused(world: World) -> None:
    """Drawn by hypothesis: any JSON in any place, and the same with bytes broken."""
    texts = st.text(max_size=20) | st.sampled_from(["\x00", "\ud800", "2026-02-30", "R$ 1,00", "9" * 400])
    scalars = st.none() | st.booleans() | st.integers() | st.floats() | texts | st.just(10**400)
    values = st.recursive(scalars, lambda one: st.lists(one, max_size=3) | st.dictionaries(texts, one, max_size=3))

    @settings(deadline=None, max_examples=60, suppress_health_check=list(HealthCheck), database=None)
    @given(values, values, values, values, st.binary(max_size=3), st.integers(0, 300))
    def post(a: Any, b: Any, customer: Any, id_: Any, noise: bytes, at: int) -> None:
        payment = {"id": id_, "customer": customer, "a": a, "b": b, "c": a}
        envelope = {"event": "PAYMENT_RECEIVED", "id": id_, "dateCreated": b, "payment": payment}
        body = json.dumps(envelope).encode()
        kept_or_refused(world, body)
        kept_or_refused(world, body[:at] + noise + body[at:])

    post()

    assert events_of(world.journal)
    work_off(world)


def test_a_packed_body_is_not_unpacked(world: World) -> None:
    """A gigabyte of zeros is a megabyte of gzip: it is refused as what it is; the header alone changes nothing."""
    packed = gzip.compress(b'{"event": "X", "fill": "' + b"0" * 10_000_000 + b'"}')

    assert kept_or_refused(world, packed, Content_Encoding="gzip") == 400
    assert kept_or_refused(world, b'{"event": "X", "id": "1"}', Content_Encoding="gzip") == 200


CONTENT_TYPES = (
    *("text/plain", "application/x-www-form-urlencoded", "multipart/form-data", "application/json; charset=utf-16"),
    "x",
)


def test_the_content_type_is_not_looked_at(world: World) -> None:
    """What is JSON is an event, whatever it calls itself."""
    for number, content_type in enumerate(CONTENT_TYPES, 1):
        body = b'{"event": "X", "id": "%d"}' % number
        assert kept_or_refused(world, body, Content_Type=content_type) == 200, content_type
        assert len(events_of(world.journal)) == number, content_type


NO_DOORS = (
    "/webhooks/asaas//",
    "/webhooks/asaas/default/more",
    "/webhooks/asaas/../asaas",
    "/webhooks/./asaas",
    "/webhooks/asaas;x",
    "/WEBHOOKS/asaas",
    "//webhooks/asaas",
    "/webhooks/asaas/%2e%2e",
    "/webhooks/asaas/a%00b",
    "/webhooks/asaas/" + "a" * 3_000,
)


def test_a_path_that_is_not_the_door_is_no_door(world: World) -> None:
    """No redirect, no guess, no fault."""
    for path in NO_DOORS:
        assert world.post({"event": "X", "id": "1"}, path).status_code in {404, 405}, path

    assert events_of(world.journal) == []
