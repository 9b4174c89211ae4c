"""Transform: every form of a field, how values become text, and what makes a delivery dead."""

from __future__ import annotations

from typing import Any

import pytest

from bridge.errors import ExpressionFailed, NoContact, RequiredMissing
from bridge.mapping import Mapping, Setup, parse_mapping
from bridge.mapping.context import build_context
from bridge.mapping.evaluate import build_payload, explain


def mapping_with(fields: str) -> Mapping:
    """Return a mapping with an e-mail and these fields of the deal."""
    text = f"events: [PAYMENT_RECEIVED]\ncontact: {{email: customer.email}}\ndeal:\n{fields}"
    read = parse_mapping(text, "m.yaml", Setup(None, None, None))
    assert read.mapping is not None, [str(finding) for finding in read.findings]
    return read.mapping


def context_of(payment: dict[str, Any], customer: Any = ...) -> dict[str, Any]:
    """Return the context of a received payment with its customer."""
    if customer is ...:
        customer = {"name": "Cliente Teste", "email": "cliente@example.com"}
    return build_context(
        "PAYMENT_RECEIVED",
        "payment",
        {"payment": payment},
        "default",
        "sandbox",
        {"customer": customer},
        today="2026-11-22",
    )


def value_of(field: str, payment: dict[str, Any]) -> Any:
    """Return the value of one field of the deal, or a dash where the key is left out."""
    return build_payload(mapping_with(f"  x: {field}\n"), context_of(payment)).get("x", "-")


@pytest.mark.parametrize(
    ("field", "payment", "value"),
    [
        ("payment.id", {"id": "pay_1"}, "pay_1"),
        ("payment.value", {"value": 10}, "10"),
        ("payment.value", {"value": 10.0}, "10"),
        ("payment.value", {"value": 129.90}, "129.9"),
        ("payment.value", {"value": 1234567.891}, "1234567.891"),
        ("payment.value", {"value": 1e21}, "1000000000000000000000"),
        ("payment.value", {"value": 0.0000001}, "0.0000001"),
        ("payment.value", {"value": 0}, "0"),
        ("payment.value", {"value": -0.5}, "-0.5"),
        ("payment.deleted", {"deleted": False}, "false"),
        ("payment.deleted", {"deleted": True}, "true"),
        ("payment.id", {"id": " com espaço "}, " com espaço "),
        ("payment.id", {"id": "a\x00b"}, "ab"),
        ("payment.id", {"id": "a\ud800b"}, "a?b"),
        ("payment.id", {"id": None}, "-"),
        ("payment.id", {}, "-"),
        ("payment.id", {"id": ""}, "-"),
        ("payment.id", {"id": "  "}, "-"),
        ("{text: Asaas}", {}, "Asaas"),
        ("{from: payment.id, default: nenhum}", {}, "nenhum"),
        ("{from: payment.id, default: nenhum}", {"id": "pay_1"}, "pay_1"),
        ("{from: payment.s, lookup: {PIX: Pix, '10': dez, 'true': sim}}", {"s": "PIX"}, "Pix"),
        ("{from: payment.s, lookup: {PIX: Pix, '10': dez, 'true': sim}}", {"s": 10.0}, "dez"),
        ("{from: payment.s, lookup: {PIX: Pix, '10': dez, 'true': sim}}", {"s": True}, "sim"),
        ("{from: payment.s, lookup: {PIX: Pix}}", {"s": "BOLETO"}, "-"),
        ("{from: payment.s, lookup: {PIX: Pix}, default: Outra}", {"s": "BOLETO"}, "Outra"),
        ("{from: payment.s, lookup: {PIX: Pix}, default: Outra}", {}, "Outra"),
        ("{from: payment.v, type: number}", {"v": 10.0}, 10),
        ("{from: payment.v, type: number}", {"v": 129.9}, 129.9),
        ("{from: payment.v, type: number}", {"v": "129.90"}, 129.9),
        ("{from: payment.v, type: number}", {"v": "R$ 1.234,56"}, 1234.56),
        ("{from: payment.v, type: number}", {"v": 0}, 0),
        ("{from: payment.v, type: number}", {"v": None}, "-"),
        ("{from: payment.v, type: number, default: '5'}", {}, 5),
        ("{from: payment.v, type: boolean}", {"v": False}, False),
        ("{from: payment.v, type: boolean}", {"v": "true"}, True),
        ("{from: payment.v, type: boolean}", {"v": "false"}, False),
        ("{from: payment.v, type: boolean}", {}, "-"),
        ('{template: "Cobrança {payment.id} - {customer.name}"}', {"id": "1"}, "Cobrança 1 - Cliente Teste"),
        ('{template: "Cobrança {payment.id} - {customer.name}"}', {}, "Cobrança  - Cliente Teste"),
        ('{template: "Cobrança {payment.id}"}', {}, "-"),
        ('{template: "Cobrança {payment.id}", default: sem número}', {}, "sem número"),
        ('{template: "{payment.value} de {money(payment.value)}"}', {"value": 10.0}, "10 de 10.00"),
        ('{template: "{{x}} {payment.id}}}"}', {"id": "1"}, "{x} 1}"),
        ("{template: \"{ {a: payment.id}.a } {default(payment.x, '}')}\"}", {"id": "1"}, "1 }"),
        ("{template: \"{default(payment.x, '\\\\'}')}\"}", {}, "'}"),
        ('{template: "{payment.split[?v == `1`] | [0].id}"}', {"split": [{"v": 1, "id": "s"}]}, "s"),
        ("{template: fixo}", {}, "fixo"),
        ("fee", {"value": 10.0, "netValue": 8.01}, "1.99"),
        ("today", {}, "2026-11-22"),
        ("event", {}, "PAYMENT_RECEIVED"),
        ("environment", {}, "sandbox"),
        ("account", {}, "default"),
    ],
)
def test_field_gives(field: str, payment: dict[str, Any], value: Any) -> None:
    """Every form of a field gives its value with its type, or leaves its key out."""
    found = value_of(field, payment)

    assert found == value
    assert type(found) is type(value)


@pytest.mark.parametrize(
    ("field", "payment", "message"),
    [
        ("payment.split", {"split": [1]}, "field 'x': takes one value, got a list"),
        ("payment.fine", {"fine": {"value": 1}}, "field 'x': takes one value, got an object"),
        ("payment.value", {"value": float("nan")}, "field 'x': takes a number, got one without a value"),
        ("{from: payment.v, type: number}", {"v": "caro"}, "field 'x': takes a number, got a text of 4 characters"),
        (
            "{from: payment.v, type: boolean}",
            {"v": "sim"},
            "field 'x': takes true or false, got a text of 3 characters",
        ),
        ("{from: payment.v, type: boolean}", {"v": 1}, "field 'x': takes true or false, got a number"),
        ("{from: payment.v, lookup: {a: b}}", {"v": [1]}, "field 'x': takes one value, got a list"),
        ('{template: "{payment.v}"}', {"v": {}}, "field 'x': takes one value, got an object"),
        ("length(payment.v)", {}, "field 'x': length() takes a text or a list or an object, got nothing"),
        (
            "date(payment.v, '%d')",
            {"v": "Ana"},
            "field 'x': date() takes a date such as 2026-11-22 or 22/11/2026, got a text of 3 characters",
        ),
    ],
)
def test_field_that_gives_no_flat_value_is_an_error(field: str, payment: dict[str, Any], message: str) -> None:
    """The error names the field and what it got, never the value; it says where and what to do."""
    with pytest.raises(ExpressionFailed) as caught:
        value_of(field, payment)

    assert str(caught.value) == f"{message}; m.yaml:4; fix the field, then replay"


def test_payload_keeps_the_order_of_the_file() -> None:
    """Operators read the payload beside the file."""
    mapping = mapping_with("  z: payment.id\n  a: payment.value\n")

    assert list(build_payload(mapping, context_of({"id": "1", "value": 2}))) == ["email", "z", "a"]


@pytest.mark.parametrize("payment", [{}, {"link": None}, {"link": ""}])
def test_required_field_without_a_value_is_an_error(payment: dict[str, Any]) -> None:
    """`required: true` makes the delivery dead instead of leaving the key out; a blank text is no value."""
    with pytest.raises(RequiredMissing) as caught:
        value_of("{from: payment.link, required: true}", payment)

    assert str(caught.value) == (
        "field 'x' is required and 'payment.link' gives nothing; m.yaml:4; "
        "complete the data in Asaas, or give the field a default, then replay"
    )


def test_required_field_with_a_default_always_has_a_value() -> None:
    """The default counts."""
    assert value_of("{from: payment.link, required: true, default: nenhum}", {}) == "nenhum"


@pytest.mark.parametrize("customer", [None, {}, {"email": None}, {"email": " "}])
def test_payload_without_contact_is_an_error(customer: Any) -> None:
    """Clint finds a contact by e-mail or phone only."""
    with pytest.raises(NoContact) as caught:
        build_payload(mapping_with("  x: {text: a}\n"), context_of({}, customer))

    assert str(caught.value) == (
        "the payload has neither an e-mail nor a phone (no value for email); m.yaml; "
        "complete the customer in Asaas, then replay the event"
    )


def test_either_identity_is_enough() -> None:
    """A customer without e-mail is sent with the phone."""
    text = (
        "events: [PAYMENT_RECEIVED]\n"
        "contact: {email: customer.email, fone: phone(customer.mobilePhone || customer.phone)}\n"
    )
    mapping = parse_mapping(text, "m.yaml", Setup(None, None, None)).mapping
    assert mapping is not None

    assert build_payload(mapping, context_of({}, {"email": None, "phone": "4738010919"})) == {"fone": "554738010919"}


@pytest.mark.parametrize(
    ("field", "customer", "value"),
    [
        ("email: customer.email", {"email": "ana@example.com "}, "ana@example.com"),
        ("email: customer.email", {"email": "\u00a0ana@example.com\n"}, "ana@example.com"),
        ("email: customer.email", {"email": " ana@example.com ; bia@example.com "}, "ana@example.com"),
        ("email: customer.email", {"email": "ana@example.com,bia@example.com"}, "ana@example.com"),
        ("email: customer.email", {"email": " sem arroba "}, "sem arroba"),
        ('chave: {template: " {customer.email} ", is: email}', {"email": "ana@example.com"}, "ana@example.com"),
        ("telefone: customer.phone", {"phone": " 4733334444 "}, "4733334444"),
        (
            "fone: phone(customer.mobilePhone) || phone(customer.phone)",
            {"mobilePhone": "99", "phone": "1130000000"},
            "551130000000",
        ),
    ],
)
def test_identity_is_one_address_without_blanks(field: str, customer: dict[str, Any], value: str) -> None:
    """Clint compares it as it comes; a list of addresses finds nobody."""
    read = parse_mapping(f"events: [PAYMENT_RECEIVED]\ncontact:\n  {field}\n", "m.yaml", Setup(None, None, None))
    assert read.mapping is not None
    context = context_of({}, customer)

    assert list(build_payload(read.mapping, context).values()) == [value]
    assert [value for _, value, _ in explain(read.mapping, context)] == [value]


def test_explain_never_raises() -> None:
    """Every field is shown: its value, nothing, or its error."""
    mapping = mapping_with(
        "  a: payment.id\n  b: payment.none\n  c: payment.split\n  d: {from: payment.link, required: true}\n"
        '  e: {template: "{payment.id}!"}\n  f: {text: x}\n'
    )
    seen = explain(mapping, context_of({"id": "1", "split": []}, None))

    assert [(one.group, one.key, one.source.text, value, error and error.code) for one, value, error in seen] == [
        ("contact", "email", "customer.email", None, None),
        ("deal", "a", "payment.id", "1", None),
        ("deal", "b", "payment.none", None, None),
        ("deal", "c", "payment.split", None, "transform.expression"),
        ("deal", "d", "payment.link", None, "transform.required_missing"),
        ("deal", "e", "{payment.id}!", "1!", None),
        ("deal", "f", "x", "x", None),
    ]


def test_destination_is_the_mapping_s() -> None:
    """Routes are the mapping's matter."""
    assert mapping_with("  x: payment.id\n").destination("PAYMENT_RECEIVED") == "default"
