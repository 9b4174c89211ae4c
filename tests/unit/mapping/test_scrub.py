"""Scrubbed samples hold nobody's data, and everything that a test needs."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from stdnum.br import cnpj, cpf

from bridge.mapping.scrub import Scrubber
from bridge.redaction import redact

RECORDED = sorted((Path(__file__).parents[2] / "data" / "asaas").glob("*.json"))
PERSON = {
    "name": "MARIA DA SILVA",
    "cpfCnpj": "24971563792",
    "email": "maria@loja.com.br",
    "additionalEmails": "maria@loja.com.br, outra@loja.com.br",
    "mobilePhone": "47996321478",
    "phone": "(11) 3003-1234",
    "address": "Av. Paulista",
    "addressNumber": "1000",
    "complement": "ap 12",
    "province": "Bela Vista",
    "postalCode": "01310-100",
    "cityName": "São Paulo",
    "state": "SP",
    "observations": "Irmã do João, fone 47 99632-1478",
    "groups": [{"name": "Amigos da Maria"}],
    "birthDate": "1980-05-06",
}
EVENT = {
    "id": "evt_d26e303b238e509335ac9ba210e51b0f&1001",
    "event": "PAYMENT_RECEIVED",
    "dateCreated": "2026-08-08 20:54:57",
    "payment": {
        "id": "pay_080225913252",
        "customer": "cus_000005113026",
        "value": 129.9,
        "installmentNumber": 2,
        "description": "Mensalidade da Maria",
        "externalReference": "loja-17 maria da silva 249.715.637-92 maria@loja.com.br (47) 99632-1478",
        "invoiceUrl": "https://www.asaas.com/i/080225913252?x=1",
        "dueDate": "2026-08-08",
        "deleted": False,
        "split": [{"walletId": "7bafd95a-e783-4a62-9be1-23999af742c6", "fixedValue": 20.32}],
        "creditCard": {"creditCardNumber": "8829", "creditCardToken": "secreto"},
        "refunds": None,
    },
}


def test_everything_personal_is_replaced_nested_and_in_the_customer() -> None:
    """No word of the person is left, whatever key or text it stood in."""
    text = json.dumps(Scrubber().scrub([EVENT, PERSON]), ensure_ascii=False).lower()

    for secret in (
        *("maria", "249", "loja.com", "99632", "3003", "paulista", "1000", "ap 12", "bela vista", "01310", "joão"),
        *("080225913252?", "/i/080225913252", "secreto", "1980", "amigos"),
    ):
        assert secret not in text


def test_fakes_are_valid_and_keep_the_form() -> None:
    """Check digits, country and area codes, punctuation and capitals are as a mapping expects them."""
    told = Scrubber().scrub(PERSON)

    assert cpf.is_valid(told["cpfCnpj"])
    assert told["name"] == "ANA EXEMPLO DA SILVA"
    assert told["mobilePhone"] == "47990000001"
    assert told["phone"] == "(11) 3000-0002"
    assert told["postalCode"] == "01001-001"
    assert told["additionalEmails"] == "exemplo1@example.com,exemplo2@example.com"
    assert (told["cityName"], told["state"], told["birthDate"]) == ("São Paulo", "SP", "1990-01-01")


def test_amounts_dates_statuses_and_ids_stay() -> None:
    """What tests are about is what came."""
    told, _ = Scrubber().scrub([EVENT, PERSON])

    for key in ("id", "event", "dateCreated"):
        assert told[key] == EVENT[key]
    payment: dict[str, Any] = told["payment"]
    for key in ("id", "customer", "value", "installmentNumber", "dueDate", "deleted", "split", "refunds"):
        assert payment[key] == EVENT["payment"][key]  # type: ignore[index]
    assert payment["creditCard"]["creditCardNumber"] == "8829"
    assert payment["externalReference"].startswith("loja-17 ANA EXEMPLO DA SILVA 999.880.001-38 exemplo1@example.com")


def test_the_same_value_gets_the_same_fake_however_it_is_written() -> None:
    """A CPF with dots and without are one person's, in the event and in the customer."""
    scrubber = Scrubber()
    first = scrubber.scrub({"cpf": "249.715.637-92", "name": "Ana Lima", "email": "a@b.com"})
    again = scrubber.scrub({"cpfCnpj": "24971563792", "ownerName": "ANA LIMA", "email": "A@B.COM"})

    assert again["cpfCnpj"] == first["cpf"].replace(".", "").replace("-", "")
    assert again["ownerName"] == first["name"].upper()
    assert again["email"] == first["email"]
    assert Scrubber().scrub(EVENT) == Scrubber().scrub(EVENT)


@pytest.mark.parametrize(
    ("value", "fake"),
    [
        ({"cnpj": "11.222.333/0001-81"}, {"cnpj": "99.988.001/0001-53"}),
        ({"cpfCnpj": "12ABC34501DE35"}, {"cpfCnpj": "EXEMP001000101"}),
        ({"cpfCnpj": 24971563792}, {"cpfCnpj": 99988000138}),
        ({"phone": ""}, {"phone": ""}),
        ({"phone": "ramal"}, {"phone": "00000"}),
        ({"mobilePhone": "99632"}, {"mobilePhone": "00001"}),
        ({"company": "padaria"}, {"company": "empresa exemplo 1 ltda"}),
        (
            {"items": [{"name": "Curso"}], "bank": {"name": "Banco"}},
            {"items": [{"name": "Curso"}], "bank": {"name": "Banco"}},
        ),
        (
            {"bankAccount": {"account": "12345", "agency": "0001"}},
            {"bankAccount": {"account": "00001", "agency": "0002"}},
        ),
        ({"account": "matriz", "x": "11122233344"}, {"account": "matriz", "x": "11122233344"}),
        ({"link": "https://example.com"}, {"link": "https://example.com"}),
        ({"remoteIp": "200.1.2.3"}, {"remoteIp": "203.0.113.2"}),
        ("ana@b.com", "exemplo1@example.com"),
        ([1, None, True, 1.5], [1, None, True, 1.5]),
    ],
)
def test_value_becomes(value: Any, fake: Any) -> None:
    """One row for each form."""
    assert Scrubber().scrub(value) == fake


def test_documents_of_fakes_have_check_digits() -> None:
    """A thousand companies and people later they still do."""
    scrubber = Scrubber()

    for number in range(50):
        assert cnpj.is_valid(scrubber.scrub({"cnpj": f"11.222.333/{number:04}-81"})["cnpj"])
        assert cpf.is_valid(scrubber.scrub({"cpf": f"249.715.{number:03}-92"})["cpf"])


def test_names_go_round() -> None:
    """The seventh person is another one than the first."""
    scrubber = Scrubber()

    assert scrubber.scrub({"name": "Pessoa 0"})["name"] == "Ana Exemplo da Silva"
    assert len({scrubber.scrub({"name": f"Pessoa {number}"})["name"] for number in range(20)}) == 20


def test_ids_go_too_when_asked() -> None:
    """References between objects hold still."""
    told = Scrubber(ids=True).scrub(EVENT)

    assert told["id"] == "evt_000000000001&1"
    assert told["payment"]["id"] == "pay_000000000002"
    assert told["payment"]["split"][0]["walletId"] == "00000000-0000-4000-8000-000000000004"


@pytest.mark.parametrize("path", RECORDED, ids=lambda path: path.stem)
def test_recorded_body_has_no_number_of_anybody_left(path: Path) -> None:
    """What redaction would mask in the body is a fake."""
    body = json.loads(path.read_bytes())
    told = Scrubber(ids=True).scrub(body)
    text = json.dumps(told, ensure_ascii=False)

    assert told.keys() == body.keys()
    for mask in ("[cpf/cnpj]", "[e-mail]"):
        assert redact(text).count(mask) <= text.count("exemplo") + text.count("99988") + text.count("EXEMP")
