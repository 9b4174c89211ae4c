"""The webhook of the simulated Clint: bodies, keys, contacts, deals and the history."""

from __future__ import annotations

import itertools
from typing import Any

import httpx
import pytest

from bridge.simulator.clint.account import INTEGRATIONS
from bridge.simulator.clint.crm import local_phone
from bridge.simulator.clint.receiver import Integration, guess
from tests.simulated import ClintSimulator

ANA = {"nome": "Ana", "email": "Ana@Example.com", "telefone": "5511988887777", "valor": "129.90", "titulo": "C 1"}


def post(crm: httpx.Client, name: str = "default", **body: Any) -> httpx.Response:
    """Post a body to one of the webhooks that stand at the start."""
    return crm.post(f"/endpoints/integration/webhook/{INTEGRATIONS[name]}", json=body)


def test_first_body_makes_contact_and_deal(clint: ClintSimulator, crm: httpx.Client) -> None:
    """A flat body makes a contact and a deal in the stage of the integration; other keys become fields."""
    answer = post(crm, **ANA, forma="Pix")
    deal = clint.deals[0]

    assert (answer.status_code, answer.json()) == (200, {"success": True})
    assert deal["contact"]["name"] == "Ana"
    assert deal["contact"]["phone"] == "+5511988887777"
    assert (deal["stage"], deal["status"], deal["value"]) == ("Nova cobrança", "OPEN", 129.9)
    assert deal["fields"] == {"titulo": "C 1", "forma": "Pix"}
    assert clint.receiver.history[0].result == "created"


def test_next_stage_is_another_integration(clint: ClintSimulator, crm: httpx.Client) -> None:
    """The same contact's deal moves when another integration is posted to, and keeps what is not sent."""
    post(crm, **ANA)
    post(crm, "vencidas", email="ana@example.com")
    overdue = clint.deals[0]
    post(crm, "pagas", telefone="+55 (11) 98888-7777", valor="130")
    won = clint.deals[0]
    post(crm, "estornadas", email="ana@example.com")
    lost = clint.deals[0]

    assert len(clint.deals) == 1
    assert (overdue["stage"], overdue["status"], overdue["value"]) == ("Vencida", "OPEN", 129.9)
    assert (won["stage"], won["status"], won["value"], won["lost_at"]) == ("Paga", "WON", 130.0, None)
    assert won["won_at"]
    assert (lost["stage"], lost["status"], lost["won_at"]) == ("Estornada", "LOST", None)
    assert lost["lost_at"]
    assert [entry.result for entry in clint.receiver.history] == ["created", "updated", "updated", "updated"]


@pytest.mark.parametrize(
    ("content", "content_type"),
    [
        (b'{"nome": "Ana", "email": "ana@example.com"}', "application/json"),
        (b'{"nome": "Ana", "email": "ana@example.com"}', "text/plain"),
        (b"nome=Ana&email=ana%40example.com", "application/x-www-form-urlencoded"),
        (
            b'--x\r\nContent-Disposition: form-data; name="nome"\r\n\r\nAna\r\n'
            b'--x\r\nContent-Disposition: form-data; name="email"\r\n\r\nana@example.com\r\n--x--\r\n',
            "multipart/form-data; boundary=x",
        ),
    ],
)
def test_bodies_it_reads(clint: ClintSimulator, crm: httpx.Client, content: bytes, content_type: str) -> None:
    """JSON, JSON as text, and both kinds of form are read alike."""
    path = f"/endpoints/integration/webhook/{INTEGRATIONS['default']}"
    crm.post(path, content=content, headers={"Content-Type": content_type})

    assert clint.deals[0]["contact"]["name"] == "Ana"
    assert clint.receiver.history[0].body == {"nome": "Ana", "email": "ana@example.com"}


def test_what_it_cannot_take(clint: ClintSimulator, crm: httpx.Client) -> None:
    """No e-mail and no phone is a 200 and a failure in the history; a broken body a 400; an unknown URL a 404."""
    path = f"/endpoints/integration/webhook/{INTEGRATIONS['default']}"
    statuses = [
        post(crm, nome="Ana").status_code,
        crm.post(path, content=b"{").status_code,
        crm.post(path, json=["x"]).status_code,
        crm.post("/endpoints/integration/webhook/nobody", json=ANA).status_code,
    ]

    assert statuses == [200, 400, 400, 404]
    assert [entry.result for entry in clint.receiver.history] == ["failed", "unreadable", "unreadable", "unknown"]
    assert clint.receiver.history[0].why == "sem e-mail e sem telefone"
    assert clint.deals == []


def test_removed_integration_is_404_until_restored(clint: ClintSimulator, crm: httpx.Client) -> None:
    """An integration that was removed answers 404, and takes bodies again when it is back."""
    clint.removed(INTEGRATIONS["default"])
    gone = post(crm, **ANA).status_code
    clint.removed(INTEGRATIONS["default"], False)

    assert (gone, post(crm, **ANA).status_code) == (404, 200)


def test_only_flat_values_count(clint: ClintSimulator, crm: httpx.Client) -> None:
    """Nested and null values are ignored with a note, a value that is no number too; an empty text empties."""
    post(crm, **ANA, forma="Pix")
    post(crm, email="ana@example.com", nome=None, itens=[1], valor="caro", forma="")

    assert clint.deals[0]["contact"]["name"] == "Ana"
    assert (clint.deals[0]["value"], clint.deals[0]["fields"]["forma"]) == (129.9, "")
    assert len(clint.receiver.history[1].notes) == 3


def test_modes_of_an_integration(clint: ClintSimulator, crm: httpx.Client) -> None:
    """Update needs a deal in the same origin; create makes a new one each time; the newest open one is updated."""
    update = clint.has_integration("só atualiza", mode="update", stage="Vencida")
    create = clint.has_integration("só cria", mode="create")
    assert crm.post(update.path, json=ANA).status_code == 200
    assert clint.receiver.history[0].why == "não há negócio deste contato nesta origem"

    for _ in range(2):
        crm.post(create.path, json=ANA)
    first, second = (entry.deal_id for entry in clint.receiver.history[-2:])
    crm.post(update.path, json=ANA)
    assert clint.receiver.history[-1].deal_id == second
    for _ in range(2):
        post(crm, "pagas", **ANA)
    assert [clint.receiver.history[-2].deal_id, clint.receiver.history[-1].deal_id] == [second, first]
    post(crm, "pagas", **ANA)
    assert clint.receiver.history[-1].deal_id == second
    with pytest.raises(ValueError, match="mode must be"):
        clint.has_integration("x", mode="upsert")


def test_deals_belong_to_an_origin(clint: ClintSimulator, crm: httpx.Client) -> None:
    """The same contact has a deal of its own in another origin."""
    clint.crm.add_origin("Cobrança", ["Entrada", "Fim"])
    other = clint.has_integration("outra", origin="Cobrança", stage="Fim")
    post(crm, **ANA)
    crm.post(other.path, json=ANA)

    assert [deal["stage"] for deal in clint.deals] == ["Nova cobrança", "Fim"]
    assert len({deal["contact"]["id"] for deal in clint.deals}) == 1
    found = clint.deal_of("ana@example.com", "Cobrança")
    assert found is not None
    assert found["id"] == clint.deals[1]["id"]
    assert clint.deal_of("bia@example.com") is None


def test_contact_is_found_by_email_before_phone(clint: ClintSimulator, crm: httpx.Client) -> None:
    """E-mail goes before phone when they name two contacts; a missing part is filled in, none is replaced."""
    post(crm, email="ana@example.com")
    post(crm, telefone="11988887777")
    post(crm, email="ana@example.com", telefone="11988887777", nome="Ana")
    post(crm, telefone="11988887777", email="bia@example.com", nome="Bia")

    by_name = {deal["contact"]["name"]: deal["contact"] for deal in clint.deals}
    assert by_name["Ana"]["email"] == "ana@example.com"
    assert by_name["Ana"]["phone"] == "+5511988887777"
    assert by_name["Bia"]["email"] == "bia@example.com"
    assert len(clint.deals) == 2


def test_mapping_of_an_integration_is_exact(clint: ClintSimulator, crm: httpx.Client) -> None:
    """With a mapping of its own an integration takes exactly its keys, and unmapped ones are dropped."""
    mapping = {"e": "contact.email", "cpf": "contact.cpf", "n": "contact.name", "v": "deal.value", "f": "deal.forma"}
    integration = clint.has_integration("mapeada", mapping=mapping)
    crm.post(integration.path, json={"e": "ana@example.com", "n": "Ana", "v": 10, "f": "Pix", "cpf": "1", "E": "x"})

    assert clint.deals[0]["fields"] == {"forma": "Pix"}
    assert clint.deals[0]["value"] == 10.0
    assert next(iter(clint.crm.contacts.values()))["fields"] == {"cpf": "1"}


def test_second_key_of_the_same_meaning_is_a_field(clint: ClintSimulator, crm: httpx.Client) -> None:
    """Of two phones the first is the contact's, the other a field of the deal."""
    post(crm, telefone="11988887777", telefone_formatado="(11) 98888-7777")

    assert clint.deals[0]["contact"]["phone"] == "+5511988887777"
    assert clint.deals[0]["fields"] == {"telefone_formatado": "(11) 98888-7777"}


@pytest.mark.parametrize(
    ("key", "target"),
    [
        ("nome", "contact.name"),
        ("contact_name", "contact.name"),
        ("E-mail", "contact.email"),
        ("contact_phone", "contact.phone"),
        ("WhatsApp", "contact.phone"),
        ("título", "deal.title"),
        ("valor", "deal.value"),
        ("username", "deal.username"),
        ("valor_liquido", "deal.value"),
        ("sobrenome", "deal.sobrenome"),
    ],
)
def test_guesses(key: str, target: str) -> None:
    """Without a mapping a key is taken for what its words say."""
    assert guess(key) == target


@pytest.mark.parametrize("text", ["5511988887777", "+55 11 98888-7777", "11988887777", "(11) 98888-7777"])
def test_phones_are_the_same_with_and_without_country(text: str) -> None:
    """A phone is compared by its digits without the country code."""
    assert local_phone(text) == "11988887777"


def test_history_tells_order_and_overlap(clint: ClintSimulator, crm: httpx.Client) -> None:
    """The history numbers requests as they come and has when each began and ended, and its idempotency key."""
    path = clint.receiver.integrations[INTEGRATIONS["default"]].path
    for number in range(3):
        crm.post(path, json=ANA, headers={"Idempotency-Key": f"k{number}"})
    entries = clint.receiver.history

    assert [entry.sequence for entry in entries] == [1, 2, 3]
    assert [entry.headers["idempotency-key"] for entry in entries] == ["k0", "k1", "k2"]
    for earlier, later in itertools.pairwise(entries):
        assert earlier.finished_ms is not None
        assert earlier.started_ms <= earlier.finished_ms <= later.started_ms
    assert [one["sequence"] for one in crm.get("/_sim/history?after=1&limit=1").json()["data"]] == [2]
    clint.forget()
    assert (clint.receiver.history, clint.deals) == ([], [])


def test_integration_says_where_it_is() -> None:
    """The path of an integration ends in its UUID."""
    assert Integration("u", "n", "o", "s").path == "/endpoints/integration/webhook/u"
