"""Running the `tests:` of a mapping: what a case may say, what counts as the same, and how it fails."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from bridge.mapping import Setup, parse_mapping
from bridge.mapping.testing import CaseResult, run

SAMPLE = {
    "id": "evt_x&1",
    "event": "PAYMENT_RECEIVED",
    "account": {"id": "1", "ownerId": None},
    "payment": {
        "id": "pay_1",
        "customer": "cus_1",
        "value": 10.0,
        "netValue": 8.0,
        "deleted": False,
        "split": [{"walletId": "a"}],
    },
}
CUSTOMER = {"id": "cus_1", "name": "Cliente Teste", "email": "cliente@example.com"}
MAPPING = """\
events: [PAYMENT_RECEIVED]
filter: {field: payment.value, at_least: 5}
contact: {email: customer.email}
deal:
  valor: money(payment.value)
  numero: {from: payment.value, type: number}
  apagada: {from: payment.deleted, type: boolean}
  carteira: "payment.split[0].walletId"
  taxa: fee
  ambiente: environment
routes: [{events: [PAYMENT_RECEIVED], send_to: pagas}]
"""


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """Return a directory of mappings with its samples."""
    (tmp_path / "samples").mkdir()
    (tmp_path / "samples" / "event.json").write_text(json.dumps(SAMPLE))
    (tmp_path / "samples" / "customer.json").write_text(json.dumps(CUSTOMER))
    return tmp_path


def results(root: Path, cases: str, mapping: str = MAPPING) -> list[CaseResult]:
    """Run the cases of a mapping."""
    read = parse_mapping(f"{mapping}tests:\n{cases}", str(root / "m.yaml"), Setup(None, None, root))
    assert read.mapping is not None, [str(finding) for finding in read.findings]
    return run(read.mapping, root)


def result(root: Path, rest: str, mapping: str = MAPPING) -> CaseResult:
    """Run one case on the sample with its customer."""
    text = f"  - name: a\n    given: samples/event.json\n    with: {{customer: samples/customer.json}}\n    {rest}\n"
    (only,) = results(root, text, mapping)
    return only


@pytest.mark.parametrize(
    "rest",
    [
        'expect: {valor: "10.00"}',
        "expect: {valor: 10.00}",
        "expect: {numero: 10}",
        "expect: {numero: 10.00}",
        "expect: {apagada: false}",
        "expect: {outra: null, valor: '10.00'}",
        "expect: {send_to: pagas}",
        "expect: {exactly: {email: cliente@example.com, valor: '10.00', numero: 10, apagada: false, "
        "carteira: a, taxa: '2', ambiente: sandbox}}",
        "set: {payment.value: 4.99}\n    expect: filtered",
        "set: {payment.value: 129.9}\n    expect: {valor: '129.90', numero: 129.9, taxa: '121.9'}",
        "set: {'payment.split[0].walletId': b}\n    expect: {carteira: b}",
        "set: {'payment.split[0]': {walletId: c}}\n    expect: {carteira: c}",
        "set: {payment.split: null}\n    expect: {carteira: null}",
        "set: {payment.extra.deep: x}\n    expect: {carteira: a}",
        "set: {customer.email: null}\n    expect: {dead: transform.no_contact}",
        "set: {payment.value: caro}\n    expect: {dead: filter.failed}",
        "set: {environment: production, fee: 7}\n    expect: {ambiente: production, taxa: '7'}",
        "set: {account: matriz}\n    expect: {ambiente: sandbox}",
    ],
)
def test_case_passes(root: Path, rest: str) -> None:
    """What comes out as expected passes."""
    one = result(root, rest)

    assert one.passed, (one.problem, one.differences)


@pytest.mark.parametrize(
    ("rest", "differences"),
    [
        ("expect: {valor: '11.00'}", [("valor", "'11.00'", "'10.00'", 16)]),
        ("expect: {valor: 11}", [("valor", "11", "'10.00'", 16)]),
        ("expect: {numero: '10'}", [("numero", "'10'", "10", 16)]),
        ("expect: {numero: dez}", [("numero", "dez", "10", 16)]),
        ("expect: {apagada: 'false'}", [("apagada", "'false'", "false", 16)]),
        ("expect: {apagada: true}", [("apagada", "true", "false", 16)]),
        ("expect: {valor: null}", [("valor", "no such key", "'10.00'", 16)]),
        ("set: {payment.split: []}\n    expect: {carteira: a}", [("carteira", "a", "no such key", 17)]),
        ("expect: {send_to: default}", [("send_to", "default", "pagas", 13)]),
        (
            "expect: {exactly: {email: cliente@example.com, valor: '10.00', numero: 10, apagada: false, carteira: a}}",
            [("taxa", "no such key", "'2'", 13), ("ambiente", "no such key", "'sandbox'", 13)],
        ),
        ("expect: filtered", [("outcome", "filtered", "sent", 13)]),
        ("expect: {dead: transform.no_contact}", [("outcome", "dead: transform.no_contact", "sent", 13)]),
        (
            "set: {payment.value: 1}\n    expect: {valor: x}",
            [("outcome", "sent", "filtered: payment.value is 1, must be at least 5", 13)],
        ),
    ],
)
def test_case_fails_with_expected_beside_actual(
    root: Path, rest: str, differences: list[tuple[str, str, str, int]]
) -> None:
    """Each difference has its key, both sides and the line in the file."""
    one = result(root, rest)

    assert not one.passed
    assert [(d.what, str(d.expected), str(d.actual), d.line) for d in one.differences] == differences


def test_dead_case_says_why(root: Path) -> None:
    """A delivery that would be dead shows code and reason where something else was expected."""
    one = result(root, "set: {customer.email: ''}\n    expect: {dead: transform.required_missing}")

    (difference,) = one.differences
    assert str(difference.actual).startswith("dead: transform.no_contact (the payload has neither")


@pytest.mark.parametrize(
    ("case", "problem"),
    [
        ("{name: a, given: samples/nope.json, expect: filtered}", "samples/nope.json is not there, or can't be read"),
        (
            "{name: a, given: samples/customer.json, expect: filtered}",
            "given must be an event as Asaas sends it, an object with `event`, got something else",
        ),
        (
            "{name: a, given: samples/event.json, set: {event: PAYMENT_OVERDUE}, expect: filtered}",
            "the mapping does not listen to PAYMENT_OVERDUE, so the test shows nothing",
        ),
        (
            "{name: a, given: samples/event.json, expect: {valor: '10.00'}}",
            "the mapping reads customer, which would be fetched from Asaas; give one: with: {customer: samples/...}",
        ),
        (
            "{name: a, given: samples/event.json, set: {'payment.split[3].walletId': x}, expect: filtered}",
            "set payment.split[3].walletId: the list has 1 elements and no '3'",
        ),
        (
            "{name: a, given: samples/event.json, set: {'payment.split[3]': x}, expect: filtered}",
            "set payment.split[3]: the list has 1 elements and no '3'",
        ),
        (
            "{name: a, given: samples/event.json, set: {payment.split.id: x}, expect: filtered}",
            "set payment.split.id: the list has 1 elements and no 'id'",
        ),
    ],
)
def test_case_that_cannot_run_says_why(root: Path, case: str, problem: str) -> None:
    """A case that would show nothing fails with a sentence."""
    (one,) = results(root, f"  - {case}\n")

    assert (one.passed, str(one.problem)) == (False, problem)


def test_filtered_case_needs_no_customer(root: Path) -> None:
    """At run time too, nothing is fetched for the fields of an event that is filtered."""
    (one,) = results(root, "  - {name: a, given: samples/event.json, set: {payment.value: 1}, expect: filtered}\n")

    assert one.passed


def test_given_and_with_may_stand_in_the_file(root: Path) -> None:
    """An event of a few lines needs no sample; an object that does not exist is null."""
    given = "{event: PAYMENT_RECEIVED, payment: {value: 20, customer: cus_1}}"
    first, second, third = results(
        root,
        f"  - {{name: a, given: {given}, with: {{customer: {{email: a@example.com}}}}, expect: {{valor: '20.00'}}}}\n"
        f"  - {{name: b, given: {given}, with: {{customer: null}}, expect: {{dead: transform.no_contact}}}}\n"
        f"  - {{name: c, given: {given}, set: {{customer.email: b@example.com}}, expect: {{email: b@example.com}}}}\n",
    )

    assert first.passed
    assert first.payload["valor"] == "20.00"
    assert second.passed
    assert third.passed


def test_event_of_another_family_brings_its_own_object(root: Path) -> None:
    """The object's key is taken from the envelope where the name is not known, and may be missing."""
    mapping = (
        "events: [TRANSFER_*, BALANCE_VALUE_BLOCKED]\ncontact: {email: {text: a@example.com}}\ndeal: {x: transfer.id}\n"
    )
    one, other, none = results(
        root,
        "  - {name: a, given: {event: TRANSFER_DONE, transfer: {id: t1}}, expect: {x: t1}}\n"
        "  - {name: b, given: {event: TRANSFER_OF_2027, account: {id: z}, transfer: {id: t2}}, expect: {x: t2}}\n"
        "  - {name: c, given: {event: BALANCE_VALUE_BLOCKED}, expect: {x: null}}\n",
        mapping,
    )

    assert one.passed
    assert other.passed
    assert none.passed


def test_today_can_be_set(root: Path) -> None:
    """A test about days must not fail tomorrow."""
    mapping = "events: [PAYMENT_RECEIVED]\ncontact: {email: {text: a@example.com}}\ndeal: {hoje: today}\n"
    (one,) = results(
        root,
        "  - {name: a, given: samples/event.json, set: {today: 2026-11-22}, expect: {hoje: 2026-11-22}}\n",
        mapping,
    )

    assert one.passed
