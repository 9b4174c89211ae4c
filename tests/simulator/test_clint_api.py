"""The read-only API of the simulated Clint: token, filters and pages."""

from __future__ import annotations

from typing import Any

import httpx
import pytest

from bridge.simulator.clint.account import DEFAULT_TOKEN, INTEGRATIONS
from tests.simulated import ClintSimulator


@pytest.fixture
def deals(clint: ClintSimulator, crm: httpx.Client) -> httpx.Client:
    """Give a client with the token, and three deals: Ana's open, Bia's won, Caio's lost."""
    people = {"default": ("Ana", "11988880001"), "pagas": ("Bia", "11988880002"), "estornadas": ("Caio", "11988880003")}
    for name, (person, phone) in people.items():
        body = {"nome": person, "email": f"{person.lower()}@example.com", "telefone": phone, "forma": "Pix"}
        crm.post(clint.receiver.integrations[INTEGRATIONS[name]].path, json=body)
    crm.headers["api-token"] = DEFAULT_TOKEN
    return crm


def names(client: httpx.Client, path: str = "/v1/deals", **filters: Any) -> list[str]:
    """Give the people whose deals or contacts are listed."""
    data = client.get(path, params=filters).raise_for_status().json()["data"]
    return [one["contact"]["name"] if "contact" in one else one["name"] for one in data]


def test_token_is_needed(crm: httpx.Client) -> None:
    """Without the token, or with another, everything is a 401."""
    assert crm.get("/v1/deals").status_code == 401
    assert crm.get("/v1/origins", headers={"api-token": "x"}).status_code == 401


def test_list_without_status_gives_the_open_ones(deals: httpx.Client) -> None:
    """A list of deals has the open ones unless a status is asked for."""
    assert names(deals) == ["Ana"]
    assert names(deals, status="WON") == ["Bia"]
    assert names(deals, status="LOST") == ["Caio"]


def test_filters_of_deals(clint: ClintSimulator, deals: httpx.Client) -> None:
    """Deals are found by person, origin, stage, time and field."""
    deal = clint.deals[0]

    assert names(deals, email="ANA@example.com") == names(deals, phone="988880001") == ["Ana"]
    assert names(deals, email="bia@example.com") == names(deals, phone="+5511988880002") == []
    assert names(deals, origin_id=deal["origin_id"], stage_id=deal["stage_id"]) == ["Ana"]
    assert names(deals, origin_id="x") == names(deals, contact_id="x") == names(deals, phone="x") == []
    assert names(deals, contact_id=deal["contact"]["id"]) == ["Ana"]
    assert names(deals, created_at_start="2020-01-01T00:00:00+00:00") == ["Ana"]
    assert names(deals, created_at_start="2099-01-01T00:00:00Z") == []
    assert names(deals, updated_at_end="2020-01-01T00:00:00") == []
    assert names(deals, status="WON", won_at_start="2020-01-01T00:00:00Z") == ["Bia"]
    assert names(deals, status="LOST", won_at_end="2099-01-01T00:00:00Z") == []
    assert names(deals, **{"fields[forma]": "Pix"}) == ["Ana"]
    assert names(deals, **{"fields[forma]": "Boleto"}) == []


def test_filters_of_contacts(clint: ClintSimulator, deals: httpx.Client) -> None:
    """Contacts are found by person, country code, origin and field, newest first."""
    contacts = "/v1/contacts"
    other = clint.crm.add_origin("Outra", ["A", "B"])["id"]

    assert names(deals, contacts) == ["Caio", "Bia", "Ana"]
    assert names(deals, contacts, email="bia@example.com") == names(deals, contacts, name="bi") == ["Bia"]
    assert names(deals, contacts, ddi="55", phone="988880003") == ["Caio"]
    assert names(deals, contacts, ddi="+1") == names(deals, contacts, origin_id=other) == []
    assert len(names(deals, contacts, origin_id=clint.crm.origin("Vendas")["id"])) == 3
    assert names(deals, contacts, **{"fields[cpf]": "1"}) == []


def test_pages(deals: httpx.Client) -> None:
    """A page says how many there are and whether more follow; an offset goes before a page."""
    first = deals.get("/v1/contacts", params={"limit": 2}).json()
    second = deals.get("/v1/contacts", params={"limit": 2, "page": 2}).json()
    by_offset = deals.get("/v1/contacts", params={"limit": 2, "offset": 2}).json()

    assert (first["totalCount"], first["page"], first["totalPages"], first["hasNext"]) == (3, 1, 2, True)
    assert first["hasPrevious"] is False
    assert (second["page"], second["hasNext"], second["hasPrevious"]) == (2, False, True)
    assert second == by_offset


def test_unknown_objects_are_404(deals: httpx.Client) -> None:
    """What does not exist is a 404 with an error."""
    for path in ("/v1/deals/x", "/v1/contacts/x", "/v1/origins/x"):
        answer = deals.get(path)
        assert (answer.status_code, answer.json()) == (404, {"error": "Not found"})
