"""Conditions in words: labels, amounts, dates and answers as the reader writes them."""

from __future__ import annotations

from typing import Any

import pytest

from bridge.conditions import condition_in_words, in_words, value_in_words
from bridge.mapping import Setup, parse_mapping
from bridge.mapping.evaluate import apply_filter
from bridge.messages import Message, in_language, read_message

PAYMENT: dict[str, Any] = {
    "value": 59.9,
    "dueDate": "2026-01-05",
    "billingType": "CREDIT_CARD",
    "deleted": False,
    "installmentNumber": 3,
    "description": "",
}
KEPT = Message("{a} and {b}", {"a": "payment.value", "b": 59.9})


def refusal(condition: str) -> Message:
    """Return why the filter says no, as a row of the journal keeps it."""
    text = f"events: [PAYMENT_RECEIVED]\nfilter: {condition}\ncontact: {{email: customer.email}}\n"
    mapping = parse_mapping(text, "m.yaml", Setup(None, None, active=True)).mapping
    assert mapping is not None
    verdict = apply_filter(mapping, {"event": "PAYMENT_RECEIVED", "today": "2026-01-01", "payment": PAYMENT})
    assert not verdict.passed
    return read_message(verdict.message.to_json())


@pytest.mark.parametrize(
    ("condition", "says"),
    [
        ("{field: payment.value, at_least: 100}", ("Valor", "R$ 59,90", "mínimo R$ 100,00")),
        ("{field: payment.dueDate, before: today}", ("Vencimento", "5 de jan. de 2026", "hoje")),
        ("{field: payment.billingType, one_of: [PIX, BOLETO]}", ("Cartão de crédito", "Pix, Boleto")),
        ("{field: payment.deleted, equals: true}", ("Removida", "é não", "ser sim")),
        ("{field: payment.description, contains: Curso}", ("Descrição não tem valor", "Curso")),
        ("{field: payment.description, exists: true}", ("Descrição não tem valor",)),
        ("{field: payment.value, exists: false}", ("Valor tem valor",)),
        ("{expression: payment.deleted}", ("Removida",)),
        (
            "{not: {field: payment.billingType, equals: CREDIT_CARD}}",
            ("Forma de pagamento é igual a Cartão de crédito",),
        ),
        ("{not: {any: [{field: payment.value, less_than: 60}]}}", ("ao menos uma condição",)),
        ("{any: [{field: payment.value, at_least: 100}]}", ("Valor é R$ 59,90",)),
        (
            "{any: [{field: payment.value, at_least: 100}, {field: payment.installmentNumber, equals: 1}]}",
            ("nenhuma das 2", "ao menos uma", "Número da parcela é 3"),
        ),
    ],
)
def test_a_refusal_is_in_the_words_of_the_reader(condition: str, says: tuple[str, ...]) -> None:
    """Whatever the condition is, its field goes by its label, and what it asks and saw are written as in Brazil."""
    kept = refusal(condition)
    with in_language("pt"):
        told = in_words(kept).replace("\xa0", " ")

    assert [each for each in says if each not in told] == []
    assert "payment." not in told
    assert "R$" not in str(kept), "`--json` has the values as they came"


@pytest.mark.parametrize(
    ("text", "words", "path"),
    [
        ("all", "Todas estas condições valem:", ""),
        ("any", "Pelo menos uma destas condições vale:", ""),
        ("not", "Isto não pode valer:", ""),
        ("payment.value at_least 100", "Valor é no mínimo R$ 100,00", "payment.value"),
        ("payment.dueDate before today", "Vencimento é antes de hoje", "payment.dueDate"),
        ("payment.installment exists false", "Código do parcelamento não tem valor", "payment.installment"),
        ("installments: first", "só a primeira parcela", "payment.installmentNumber"),
        ("!(payment.deleted)", "!(payment.deleted)", ""),
    ],
)
def test_a_condition_has_words_and_a_path(text: str, words: str, path: str) -> None:
    """The path is apart, so that a page can show it small; an expression of its own stays as it is."""
    with in_language("pt"):
        told = condition_in_words(text)

    assert (told.words.replace("\xa0", " "), told.path) == (words, path)


@pytest.mark.parametrize("value", [None, [1], {"a": 1}, 10**400, "a\x00b", "\ud800"])
def test_any_value_of_json_can_be_shown(value: Any) -> None:
    """A page with the value that a condition saw opens whatever Asaas posted."""
    for path in ("", "payment.value", "payment.dueDate", "payment.installmentNumber", "payment.deleted"):
        assert isinstance(value_in_words(path, value), str)


def test_no_value_is_rounded_to_what_it_is_compared_with() -> None:
    assert value_in_words("payment.value", 99.999) == "99.999"


def test_another_message_stays_as_it_is() -> None:
    assert in_words(KEPT) == str(KEPT)
