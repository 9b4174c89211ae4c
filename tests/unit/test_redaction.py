"""What logs may not hold is masked, what operators search for is not."""

from __future__ import annotations

import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bridge.redaction import redact, redact_all


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        pytest.param("key $aact_hmlg_000MzkwOD== no", "key [asaas key] no", id="asaas key"),
        pytest.param("key $aact_prod_a::$b:x, no", "key [asaas key], no", id="asaas key with colons"),
        pytest.param("asaas-access-token: abc123", "asaas-access-token: [secret]", id="webhook token header"),
        pytest.param('{"access_token": "abc"}', '{"access_token": "[secret]"}', id="token in JSON"),
        pytest.param("Authorization: Bearer abc.def", "Authorization: [secret]", id="bearer"),
        pytest.param("CLINT_API_TOKEN=abc", "CLINT_API_TOKEN=[secret]", id="setting"),
        pytest.param("BRIDGE_PASSWORD='abc'", "BRIDGE_PASSWORD='[secret]'", id="quoted setting"),
        pytest.param(
            "POST https://functions-api.clint.digital/endpoints/integration/webhook/01234567-89ab-4cde-8f01-23456789abcd",
            "POST https://functions-api.clint.digital/endpoints/integration/webhook/[secret]",
            id="clint webhook",
        ),
        pytest.param(
            "https://clint.example/endpoints/integration/dmg/0123abcd-89ab-4cde-8f01-23456789abcd failed",
            "https://clint.example/endpoints/integration/dmg/[secret] failed",
            id="clint native path",
        ),
        pytest.param("https://www.asaas.com/i/h1w4q3pdk9v2m0xy", "https://www.asaas.com/i/[secret]", id="invoice link"),
        pytest.param("https://x.example/a?token=1&b=2 end", "https://x.example/a?[query] end", id="query"),
        pytest.param(
            "postgresql+psycopg://ana:pw@db/bridge", "postgresql+psycopg://[credentials]@db/bridge", id="database"
        ),
        pytest.param("redis://:pw@127.0.0.1:6379/0", "redis://[credentials]@127.0.0.1:6379/0", id="redis"),
        pytest.param("to Joao.Silva+x@mail.example.com.br!", "to [e-mail]!", id="e-mail"),
        pytest.param("joão@exemplo.com", "[e-mail]", id="e-mail with accents"),
        pytest.param("cpf 123.456.789-09", "cpf [cpf/cnpj]", id="cpf"),
        pytest.param("cnpj 12.345.678/0001-95", "cnpj [cpf/cnpj]", id="cnpj"),
        pytest.param("cnpj 12.ABC.345/01DE-35", "cnpj [cpf/cnpj]", id="cnpj with letters"),
        pytest.param("cnpj 12ABC34501DE35", "cnpj [cpf/cnpj]", id="bare cnpj with letters"),
        pytest.param("cpf 12345678909,", "cpf [number],", id="bare cpf"),
        pytest.param("phone 5547996321478", "phone [number]", id="bare phone"),
        pytest.param("phone +5547996321478", "phone [number]", id="phone with plus"),
        pytest.param("phone (47) 99632-1478", "phone [number]", id="phone with area code"),
        pytest.param("phone +55 47 99632 1478", "phone [number]", id="phone with spaces"),
        pytest.param("phone (47)996321478", "phone [number]", id="phone without spaces"),
        pytest.param("fixo 47 3232-1478", "fixo [number]", id="landline"),
        pytest.param("card 4111 1111 1111 1111", "card [number]", id="card"),
    ],
)
def test_masks(text: str, expected: str) -> None:
    """Secrets and personal data are replaced by what they were."""
    assert redact(text) == expected


@pytest.mark.parametrize(
    "text",
    [
        "pay_080225913252",
        "cus_000005113026",
        "evt_05b708f961d739ea7eba7e4db318f621&368604920",
        "evt_05b708f961d739ea7eba7e4db318f621&36860492012",
        "777eb7c8-b1a2-4356-8fd8-a1b0644b5282",
        "PAYMENT_RECEIVED",
        "2026-11-22T03:04:05.678901Z",
        "2026-11-22 03:04:05",
        "clint.http_503",
        "https://docs.asaas.com/docs/how-to-reactivate-an-interrupted-queue",
        "https://ajuda.clint.digital/pt-BR/articles/8174683",
        "http://127.0.0.1:8000/healthz",
        "mappings/cobranca_paga.yaml:12:11: mapping.unknown_function: unknown function 'to_nubmer'",
        "R$ 1.234,56",
        "the asaas-access-token header is missing or wrong",
        "ABCDEFGHIJKL12",
    ],
)
def test_leaves_what_operators_search_for(text: str) -> None:
    """Ids, names of events, times, codes and links to documentation stay readable."""
    assert redact(text) == text


def test_reaches_into_lists_and_dicts() -> None:
    """Texts are redacted however deep they lie, also as keys; numbers stay; other things become their text."""
    value = {
        "to": ["a@b.example", {"12345678909": 1.5}],
        "tries": 3,
        "pair": ("c@d.example", None),
        "error": ValueError("no phone 5547996321478"),
    }

    assert redact_all(value) == {
        "to": ["[e-mail]", {"[number]": 1.5}],
        "tries": 3,
        "pair": ["[e-mail]", None],
        "error": "no phone [number]",
    }


@given(st.text(alphabet="a1@.:/-$=& ()+Z\n", max_size=60))
def test_redacting_twice_changes_nothing(text: str) -> None:
    """A text that was redacted once is left alone by the next redaction."""
    once = redact(text)

    assert redact(once) == once


@pytest.mark.parametrize("piece", ["a", "a.", "1", "1-", "a@", "https://", "https://a/1", "=:", "12 "])
def test_long_texts_take_no_long_time(piece: str) -> None:
    """The time grows with the length of the text, not with its square."""
    text = piece * (200_000 // len(piece))
    started_s = time.thread_time()  # of this thread alone: other tests may be at work
    redact(text)

    assert time.thread_time() - started_s < 2
