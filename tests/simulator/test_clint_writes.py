"""What the simulated Clint's API writes, what it refuses, and the log of it."""

from __future__ import annotations

from typing import Any

import httpx
import pytest

from bridge.simulator.clint.account import DEFAULT_TOKEN, DEFAULT_USER, INTEGRATIONS, STAGES
from tests.simulated import ClintSimulator

NOWHERE = "00000000-0000-4000-8000-000000000000"


@pytest.fixture
def api(crm: httpx.Client) -> httpx.Client:
    """Give a client with the token."""
    crm.headers["api-token"] = DEFAULT_TOKEN
    return crm


@pytest.fixture
def origin(clint: ClintSimulator) -> dict[str, Any]:
    """Give the account's funnel."""
    return clint.crm.origin("Vendas")


def made(api: httpx.Client, path: str, body: Any) -> str:
    """Post what must be taken, and give the id."""
    return str(api.post(f"/v1/{path}", json=body).raise_for_status().json()["id"])


def refusal(api: httpx.Client, path: str, body: Any) -> int:
    """Post what must be refused with an error, and give the status."""
    answer = api.post(f"/v1/{path}", json=body)
    assert isinstance(answer.json()["error"], str)
    return answer.status_code


def one(api: httpx.Client, path: str) -> Any:
    """Give an object."""
    return api.get(f"/v1/{path}").raise_for_status().json()["data"]


def test_a_deal_is_made_open_in_its_stage(clint: ClintSimulator, api: httpx.Client, origin: dict[str, Any]) -> None:
    """A new deal has contact, stage, value, user and fields; a status in its body means nothing."""
    contact = made(api, "contacts", {"name": "Ana", "phone": "11988887777"})
    user = next(iter(clint.crm.users))
    body = {"contact_id": contact, "stage_id": origin["stages"][1]["id"], "user_id": user, "name": "C 1", "value": 9.5}
    id_ = made(api, "deals", {**body, "origin_id": origin["id"], "status": "WON", "fields": {"codigo_asaas": "pay_1"}})
    deal = clint.deals[0]

    assert (deal["id"], deal["stage"], deal["status"], deal["value"]) == (id_, STAGES[1], "OPEN", 9.5)
    assert deal["contact"] == {"id": contact, "name": "Ana", "email": None, "phone": "+5511988887777"}
    assert deal["user"] == {"id": user, "full_name": "Vera Vendas"}
    assert deal["fields"] == {"titulo": "C 1", "codigo_asaas": "pay_1"}
    first = made(api, "deals", {"origin_id": origin["id"], "email": "bia@example.com", "name": "Bia"})
    assert one(api, f"deals/{first}")["stage_id"] == origin["stages"][0]["id"]
    assert [one["name"] for one in clint.crm.contacts.values()] == ["Ana", "Bia"]


def test_a_deal_without_a_named_contact_takes_the_one_it_finds(
    clint: ClintSimulator, api: httpx.Client, origin: dict[str, Any]
) -> None:
    """By e-mail or phone; what it lacks is filled, what it has stays."""
    contact = made(api, "contacts", {"name": "Ana", "email": "ana@example.com"})
    body = {"origin_id": origin["id"], "email": "ANA@example.com", "phone": "11988887777", "name": "Outra"}
    made(
        api, "deals", {**body, "fields": {"contact": {"cidade": "Recife"}, "organization": {"name": "Loja", "x": "1"}}}
    )
    kept = one(api, f"contacts/{contact}")

    assert len(clint.crm.contacts) == 1
    assert (kept["name"], kept["fullPhone"]) == ("Ana", "+5511988887777")
    assert (kept["fields"], kept["organization"]) == ({"cidade": "Recife"}, "Loja")
    assert clint.crm.organizations == {"Loja": {"x": "1"}}


def test_an_update_is_by_id_and_absolute(clint: ClintSimulator, api: httpx.Client, origin: dict[str, Any]) -> None:
    """Only what is named changes; the same again changes nothing; a status sets and clears its time."""
    id_ = made(api, "deals", {"origin_id": origin["id"], "email": "ana@example.com", "value": 5, "fields": {"a": "1"}})
    won = {"stage_id": origin["stages"][2]["id"], "status": "WON", "fields": {"b": "2"}}
    for _ in range(2):
        assert made(api, f"deals/{id_}", won) == id_
    deal = one(api, f"deals/{id_}")

    assert (deal["stage_id"], deal["status"], deal["fields"]) == (won["stage_id"], "WON", {"a": "1", "b": "2"})
    assert deal["won_at"] is not None
    assert clint.deals[0]["value"] == 5
    made(api, f"deals/{id_}", {"status": "LOST"})
    assert one(api, f"deals/{id_}")["won_at"] is None
    other = clint.crm.add_origin("Outra", ["A", "B"])
    made(api, f"deals/{id_}", {"origin_id": other["id"], "email": "nova@example.com"})
    assert (clint.deals[0]["stage"], clint.deals[0]["contact"]["email"]) == ("A", "nova@example.com")


def test_a_removed_deal_is_gone(clint: ClintSimulator, api: httpx.Client, origin: dict[str, Any]) -> None:
    """It answers 204 once, then 404, and no list has it."""
    id_ = made(api, "deals", {"origin_id": origin["id"]})
    answers = [api.delete(f"/v1/deals/{id_}") for _ in range(2)]

    assert [answer.status_code for answer in answers] == [204, 404]
    assert api.get(f"/v1/deals/{id_}").status_code == refusal(api, f"deals/{id_}", {}) == 404
    assert one(api, "deals") == clint.deals == []


def test_a_contact_is_made_each_time_and_updated_by_id(clint: ClintSimulator, api: httpx.Client) -> None:
    """Two with one e-mail are two; an update replaces what it names, and an empty text empties."""
    body = {"name": "Ana", "email": "ana@example.com", "phone": "48999999998", "ddi": "+351", "username": "ana"}
    first, second = (made(api, "contacts", body) for _ in range(2))
    found = [one["id"] for one in one(api, "contacts?email=ana@example.com")]

    assert sorted(found) == sorted([first, second])
    assert clint.crm.find_contact("ana@example.com", None) == clint.crm.contacts[first]
    made(api, f"contacts/{first}", {"email": "nova@example.com", "name": "", "fields": {"cpf": "1"}})
    changed = one(api, f"contacts/{first}")
    assert (changed["name"], changed["email"], changed["instagram"]) == (None, "nova@example.com", "ana")
    assert (changed["fullPhone"], changed["fields"]) == ("+35148999999998", {"cpf": "1"})
    assert [one["id"] for one in one(api, "contacts?email=ana@example.com")] == [second]


def test_tags_of_a_contact(api: httpx.Client, origin: dict[str, Any]) -> None:
    """They are added by name and once, found by lists, and removed by name or id."""
    contact = made(api, "contacts", {"name": "Ana"})
    made(api, "deals", {"origin_id": origin["id"], "contact_id": contact})
    tags = f"contacts/{contact}/tags"
    for _ in range(2):
        assert api.post(f"/v1/{tags}", json=["Asaas", "Cliente"]).status_code == 204
    ids = {tag["name"]: tag["id"] for tag in one(api, f"contacts/{contact}")["tags"]}

    assert list(ids) == [tag["name"] for tag in one(api, "tags")] == ["Asaas", "Cliente"]
    assert one(api, "tags?name=Asaas") == [one(api, f"tags/{ids['Asaas']}")]
    for found in ("tag_names=Asaas,x", f"tag_ids={ids['Cliente']}"):
        assert len(one(api, f"contacts?{found}")) == len(one(api, f"deals?{found}")) == 1
    assert one(api, "deals?tag_names=x") == []
    api.request("DELETE", f"/v1/{tags}", json={"tag_name": "Asaas"})
    api.request("DELETE", f"/v1/{tags}", json={"tag_id": ids["Cliente"]})
    assert one(api, f"contacts/{contact}")["tags"] == []
    assert refusal(api, tags, "Asaas") == refusal(api, tags, {"tag_ids": [ids["Asaas"]]}) == 400
    assert api.request("DELETE", f"/v1/{tags}", json={}).status_code == 400


def test_what_is_refused_changes_nothing(clint: ClintSimulator, api: httpx.Client, origin: dict[str, Any]) -> None:
    """Missing, unknown and wrong values each have a status, and leave no contact and no deal."""
    good = {"origin_id": origin["id"]}
    assert refusal(api, "deals", [1]) == refusal(api, "deals", {"name": "x"}) == 400
    assert refusal(api, "deals", {"origin_id": NOWHERE}) == 404
    for wrong in (
        {"stage_id": NOWHERE},
        {"user_id": NOWHERE},
        {"contact_id": NOWHERE},
        {"value": "129.90"},
        {"value": True},
        {"email": 7},
        {"fields": ["a"]},
        {"email": "a@example.com", "fields": {"organization": {"setor": "x"}}},
    ):
        assert refusal(api, "deals", {**good, **wrong}) == 422, wrong
    assert refusal(api, "contacts", {"name": ["Ana"]}) == 422

    assert clint.deals == []
    assert clint.crm.contacts == {}
    id_ = made(api, "deals", good)
    assert refusal(api, f"deals/{id_}", {"status": "won"}) == 422
    assert refusal(api, f"deals/{NOWHERE}", {}) == refusal(api, f"contacts/{NOWHERE}", {}) == 404


def test_an_account_has_users_groups_reasons_and_fields(
    clint: ClintSimulator, api: httpx.Client, origin: dict[str, Any]
) -> None:
    """What names in a mapping are looked up in."""
    clint.crm.add_field("CONTACT", "cpf", label="CPF")
    deal = made(api, "deals", {"origin_id": origin["id"], "user_id": next(iter(clint.crm.users))})

    assert [user["email"] for user in one(api, "users")] == [DEFAULT_USER]
    assert [found["id"] for found in one(api, f"deals?user_email={DEFAULT_USER}")] == [deal]
    assert one(api, "deals?user_email=x") == one(api, f"deals?user_id={NOWHERE}") == []
    group = one(api, "groups")[0]
    assert one(api, f"origins?group_id={group['id']}")[0]["group"] == {"id": group["id"], "name": group["name"]}
    assert one(api, f"origins?group_id={NOWHERE}") == []
    assert len(one(api, "lost-status")) == 2
    fields = one(api, "account/fields")[0]["fields"]
    assert fields["CONTACT"] == {"cpf": {"type": "TEXT", "group": "default", "label": "CPF"}}
    assert "codigo_asaas" in fields["DEAL"]


def test_the_log_says_who_put_a_deal_where(clint: ClintSimulator, api: httpx.Client, origin: dict[str, Any]) -> None:
    """Each write with its author; writes that move nothing are no place; a removed deal keeps its log."""
    key = {"fields": {"codigo_asaas": "pay_1"}}
    id_ = made(api, "deals", {"origin_id": origin["id"], **key})
    made(api, f"deals/{id_}", {"value": 3, **key})
    made(api, f"deals/{id_}", {"stage_id": origin["stages"][2]["id"], "status": "WON"})
    clint.person.moves(id_, "Vencida", "OPEN")
    hook = clint.receiver.integrations[INTEGRATIONS["pagas"]].path
    api.post(hook, json={"email": "bia@example.com", "codigo_asaas": "pay_2"})
    api.post(hook, json={"email": "caio@example.com", "codigo_asaas": "pay_2"})

    assert clint.count("codigo_asaas") == {"pay_1": 1, "pay_2": 2}
    assert [(one["key"], one["stage"], one["status"], one["moved_by"]) for one in clint.judged("codigo_asaas")] == [
        ("pay_1", "Vencida", "OPEN", "person"),
        *[("pay_2", "Paga", "WON", "webhook")] * 2,
    ]
    places = [("api", STAGES[0], "OPEN"), ("api", "Paga", "WON"), ("person", "Vencida", "OPEN")]
    assert clint.crm.writes.places(id_) == places
    assert [write.what for write in clint.crm.writes.of(id_)] == ["created", *["changed"] * 3]
    clint.person.deletes(id_)
    assert clint.crm.writes.of(id_)[-1].what == "removed"
    assert clint.crm.writes.of(id_)[-1].by == "person"
    clint.forget()
    assert clint.crm.writes.all == clint.crm.writes.of(id_) == []
