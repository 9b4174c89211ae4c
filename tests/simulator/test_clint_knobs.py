"""What may be different at a real Clint, and what goes wrong there: knobs, faults and a person who works beside us."""

from __future__ import annotations

import time
from typing import Any

import httpx
import pytest

from bridge.simulator.clint.account import DEFAULT_TOKEN
from tests.simulated import ClintSimulator
from tests.simulator.test_clint_writes import made, one, refusal


@pytest.fixture
def api(crm: httpx.Client) -> httpx.Client:
    """Give a client with the token."""
    crm.headers["api-token"] = DEFAULT_TOKEN
    return crm


@pytest.fixture
def new(clint: ClintSimulator) -> dict[str, Any]:
    """Give the body of a new deal."""
    return {"origin_id": clint.crm.origin("Vendas")["id"], "email": "ana@example.com"}


def many(api: httpx.Client, new: dict[str, Any], count: int) -> list[str]:
    """Make deals with keys."""
    return [made(api, "deals", {**new, "fields": {"codigo_asaas": f"pay_{number}"}}) for number in range(count)]


def test_lists_may_show_a_write_late(clint: ClintSimulator, api: httpx.Client, new: dict[str, Any]) -> None:
    """A new deal is not listed yet, a moved one still where it was; by id each is as it is."""
    old = made(api, "deals", new)
    clint.knobs.turn(late_s=600)
    made(api, f"deals/{old}", {"status": "WON"})
    young = made(api, "deals", new)

    assert [deal["id"] for deal in one(api, "deals")] == [old]
    assert one(api, "deals?status=WON") == []
    assert (one(api, f"deals/{old}")["status"], one(api, f"deals/{young}")["status"]) == ("WON", "OPEN")
    clint.knobs.turn(late_s=0.01)
    deadline = time.monotonic() + 10
    while not (one(api, "deals?status=WON") and one(api, "deals")) and time.monotonic() < deadline:
        pass
    assert [deal["id"] for deal in one(api, "deals?status=WON")] == [old]
    assert [deal["id"] for deal in one(api, "deals")] == [young]


def test_lists_may_show_a_new_contact_late(clint: ClintSimulator, api: httpx.Client) -> None:
    """Who made one and lost the answer does not find it yet."""
    clint.knobs.turn(contacts_late_s=600)
    id_ = made(api, "contacts", {"email": "ana@example.com"})

    assert one(api, "contacts?email=ana@example.com") == []
    assert one(api, f"contacts/{id_}")["id"] == id_
    clint.knobs.turn(contacts_late_s=0)
    assert [contact["id"] for contact in one(api, "contacts?email=ana@example.com")] == [id_]


def test_answers_may_have_more_than_documented(clint: ClintSimulator, api: httpx.Client, new: dict[str, Any]) -> None:
    """Value, currency, stage and time of change are there or not."""
    id_ = made(api, "deals", {**new, "value": 7})
    assert not {"value", "updated_at", "stage", "currency"} & set(one(api, f"deals/{id_}"))
    clint.knobs.turn(deal_extras=["value", "updated_at"])
    deal = one(api, f"deals/{id_}")

    assert deal["value"] == 7
    assert "updated_at" in deal
    assert "stage" not in deal


def test_unknown_fields_are_kept_dropped_or_refused(
    clint: ClintSimulator, api: httpx.Client, new: dict[str, Any]
) -> None:
    """The account's fields decide; where they are refused, so is another type."""
    clint.crm.add_field("DEAL", "parcela", "NUMBER")
    clint.crm.add_field("DEAL", "vencimento", "DATE")
    body = {**new, "fields": {"codigo_asaas": "pay_1", "cor": "azul"}}
    assert one(api, f"deals/{made(api, 'deals', body)}")["fields"] == body["fields"]
    clint.knobs.turn(unknown_fields="drop")
    assert one(api, f"deals/{made(api, 'deals', body)}")["fields"] == {"codigo_asaas": "pay_1"}
    clint.knobs.turn(unknown_fields="refuse")

    for wrong in ({"cor": "azul"}, {"codigo_asaas": 7}, {"parcela": "duas"}, {"vencimento": "amanhã"}):
        assert refusal(api, "deals", {**new, "fields": wrong}) == 422, wrong
    good = {"codigo_asaas": "pay_1", "parcela": "2", "vencimento": "2026-12-10", "organization": {"name": "Loja"}}
    made(api, "deals", {**new, "fields": good})
    assert refusal(api, "contacts", {"name": "Ana", "fields": {"cor": "azul"}}) == 422
    assert len(clint.deals) == 3


def test_keys_of_fields_may_be_cut(clint: ClintSimulator, api: httpx.Client, new: dict[str, Any]) -> None:
    """Answers and the list of fields have 20 characters of them; what is written by the whole key is found by both."""
    key = "codigo_da_cobranca_no_asaas"
    clint.crm.add_field("DEAL", key)
    clint.knobs.turn(key_length=20, unknown_fields="refuse")
    id_ = made(api, "deals", {**new, "fields": {key: "pay_1"}})

    assert one(api, f"deals/{id_}")["fields"] == {key[:20]: "pay_1"}
    assert key[:20] in one(api, "account/fields")[0]["fields"]["DEAL"]
    assert one(api, "account/fields")[0]["fields"]["DEAL"][key[:20]]["label"] == key
    assert len(one(api, f"deals?fields[{key}]=pay_1")) == len(one(api, f"deals?fields[{key[:20]}]=pay_1")) == 1


def test_fields_may_come_one_by_one(clint: ClintSimulator, api: httpx.Client) -> None:
    """As the document reads: a part of the answer has one field of each group, named by its label."""
    clint.knobs.turn(fields_shape="single")
    clint.crm.add_field("CONTACT", "cpf")
    parts = one(api, "account/fields")

    assert [part["fields"]["DEAL"]["label"] for part in parts] == list(clint.crm.fields["DEAL"])
    assert [part["fields"].get("CONTACT", {}).get("label") for part in parts[:2]] == ["cpf", None]


def test_the_name_in_a_deal_may_be_the_contacts(clint: ClintSimulator, api: httpx.Client, new: dict[str, Any]) -> None:
    """The document's example of a deal's name is "Contact name"; then a title sent as name renames the customer."""
    contact = made(api, "contacts", {"name": "Ana"})
    clint.knobs.turn(deal_name="contact")
    id_ = made(api, "deals", {**new, "contact_id": contact, "name": "Cobrança 7"})
    assert one(api, f"contacts/{contact}")["name"] == "Cobrança 7"
    made(api, f"deals/{id_}", {"name": "Cobrança 8"})

    assert one(api, f"contacts/{contact}")["name"] == "Cobrança 8"
    assert "titulo" not in one(api, f"deals/{id_}")["fields"]


def test_token_and_plan(clint: ClintSimulator, api: httpx.Client) -> None:
    """A token that is not taken any more is a 401, an account without the plan a 403."""
    clint.knobs.turn(has_plan=False)
    assert api.get("/v1/deals").status_code == 403
    clint.tokens.clear()

    assert api.get("/v1/deals").status_code == 401


def test_a_removed_origin(clint: ClintSimulator, api: httpx.Client, new: dict[str, Any]) -> None:
    """Neither it nor its deals are known, until it is restored."""
    id_ = made(api, "deals", new)
    clint.removes_origin("Vendas")

    assert one(api, "origins") == one(api, "deals") == []
    assert api.get(f"/v1/origins/{new['origin_id']}").status_code == 404
    assert refusal(api, "deals", new) == refusal(api, f"deals/{id_}", {"value": 1}) == 404
    clint.removes_origin("Vendas", False)
    assert [deal["id"] for deal in one(api, "deals")] == [id_]


def test_lists_of_won_deals_fail(clint: ClintSimulator, api: httpx.Client) -> None:
    """The other lists work meanwhile."""
    clint.lists_fail("WON")
    statuses = [api.get("/v1/deals", params={"status": status}).status_code for status in ("OPEN", "WON", "LOST")]

    assert statuses == [200, 500, 200]


def test_too_many_requests(clint: ClintSimulator, api: httpx.Client, new: dict[str, Any]) -> None:
    """A 429 says when to come again, and nothing is written."""
    clint.api_answers(429, headers={"Retry-After": "3"}, times=1)
    answer = api.post("/v1/deals", json=new)

    assert (answer.status_code, answer.headers["Retry-After"]) == (429, "3")
    assert clint.deals == []
    made(api, "deals", new)


@pytest.mark.parametrize(
    ("how", "error"),
    [("closes", httpx.RemoteProtocolError), ("resets", httpx.ReadError), ("truncates", httpx.RemoteProtocolError)],
)
def test_an_answer_is_lost_after_the_write(
    how: str, error: type[Exception], clint: ClintSimulator, api: httpx.Client, new: dict[str, Any]
) -> None:
    """The deal is there, and its maker does not know; what is only read is answered."""
    clint.api_loses_answers(how, times=1)
    assert one(api, "deals") == []
    with pytest.raises(error):
        api.post("/v1/deals", json=new)

    assert len(one(api, "deals")) == 1


def test_a_write_may_be_done_and_fail(clint: ClintSimulator, api: httpx.Client, new: dict[str, Any]) -> None:
    """A 502 after the write, as of a proxy that gave up."""
    clint.api_answers(502, takes_first=True, method="POST", times=1, headers={"Retry-After": "1"})
    answer = api.post("/v1/deals", json=new)

    assert (answer.status_code, answer.content, answer.headers["Retry-After"]) == (502, b"", "1")
    assert len(clint.deals) == 1


def test_lost_answers_repeat_with_their_seed(new: dict[str, Any]) -> None:
    """The same seed loses the same answers of the same requests."""

    def lost(seed: int) -> list[int]:
        clint = ClintSimulator(seed=seed)
        clint.api_loses_answers(share=0.3)
        draws = [clint.faults.draw("/v1/deals", method) for _ in range(30) for method in ("GET", "POST")]
        return [number for number, fault in enumerate(draws) if fault is not None]

    assert lost(1) == lost(1) != lost(2)
    assert all(number % 2 for number in lost(1))


def test_a_person_moves_a_share_of_the_deals(clint: ClintSimulator, api: httpx.Client, new: dict[str, Any]) -> None:
    """Drawn by the deal's key, so that the same ones are moved whichever order they were made in."""
    many(api, new, 40)
    moved = clint.person.moves(stage="Vencida", status="LOST", share=0.25, field="codigo_asaas")
    keys = {one["key"] for one in clint.judged("codigo_asaas") if one["moved_by"] == "person"}
    again = ClintSimulator()
    for number in reversed(range(40)):
        contact = again.crm.add_contact()
        origin = again.crm.origin("Vendas")
        fields = {"codigo_asaas": f"pay_{number}"}
        again.crm.add_deal(origin["id"], contact, origin["stages"][0]["id"], "api", fields=fields)
    again.person.moves(status="LOST", share=0.25, field="codigo_asaas")

    assert 2 < moved == len(keys) < 20
    assert {one["key"] for one in again.judged("codigo_asaas") if one["moved_by"] == "person"} == keys
    assert {deal["status"] for deal in clint.deals} == {"OPEN", "LOST"}


def test_a_person_follows_the_api(clint: ClintSimulator, api: httpx.Client, new: dict[str, Any]) -> None:
    """Moves a deal right after its second write; the API may write on, and only that write is followed."""
    clint.person.follows(1.0, "Vencida", after=2)
    id_ = made(api, "deals", new)
    for _ in range(2):
        made(api, f"deals/{id_}", {"status": "WON"})
    elsewhere = clint.crm.add_origin("Outra", ["A", "B"])["id"]
    other = made(api, "deals", {**new, "origin_id": elsewhere})
    made(api, f"deals/{other}", {"status": "WON"})
    clint.person.rests()
    calm = made(api, "deals", new)
    made(api, f"deals/{calm}", {"value": 1})

    assert [write.by for write in clint.crm.writes.of(id_)] == ["api", "api", "person", "api"]
    assert [clint.crm.writes.moved_by(one) for one in (id_, other, calm)] == ["person", "api", "api"]


def test_a_person_merges_contacts(clint: ClintSimulator, api: httpx.Client, new: dict[str, Any]) -> None:
    """The one that stays gets deals, tags and what it lacked; the other is gone."""
    id_ = made(api, "deals", new)
    gone = one(api, f"deals/{id_}")["contact"]["id"]
    api.post(f"/v1/contacts/{gone}/tags", json=["Asaas"])
    kept = made(api, "contacts", {"name": "Ana", "phone": "11988887777"})
    clint.person.merges(gone, kept)

    assert one(api, f"deals/{id_}")["contact"]["id"] == kept
    assert [deal["id"] for deal in one(api, f"deals?contact_id={kept}")] == [id_]
    assert api.get(f"/v1/contacts/{gone}").status_code == 404
    contact = one(api, f"contacts/{kept}")
    assert (contact["name"], contact["email"], len(contact["tags"])) == ("Ana", "ana@example.com", 1)


def test_a_person_is_told_what_does_not_exist(clint: ClintSimulator, api: httpx.Client, new: dict[str, Any]) -> None:
    """An unknown deal or stage is an error, not silence."""
    id_ = made(api, "deals", new)
    with pytest.raises(KeyError):
        clint.person.deletes("x")
    with pytest.raises(ValueError, match="Pagas"):
        clint.person.moves(id_, "Pagas")
    with pytest.raises(ValueError, match="sometimes"):
        clint.knobs.turn(unknown_fields="sometimes")
    with pytest.raises(ValueError, match="colour"):
        clint.knobs.turn(late_s=1, deal_extras=["colour"])

    assert clint.knobs.late_s == 0


def test_all_of_it_from_another_process(clint: ClintSimulator, api: httpx.Client, new: dict[str, Any]) -> None:
    """Knobs, fields, tokens, origins, the person and the log have paths."""

    def sim(path: str, **body: Any) -> Any:
        return api.post(f"/_sim/{path}", json=body).raise_for_status().json()

    assert sim("knobs", key_length=20, deal_extras=["stage"])["key_length"] == 20
    assert api.get("/_sim/knobs").json()["deal_extras"] == ["stage"]
    assert api.post("/_sim/knobs", json={"colour": "red"}).status_code == 400
    assert api.post("/_sim/person/deletes", json={"deal_id": "x"}).status_code == 400
    assert api.post("/_sim/person/deletes", json={}).status_code == 400
    sim("fields", group="CONTACT", key="cpf", type="TEXT", label="CPF")
    left = api.request("DELETE", "/_sim/fields", json={"group": "CONTACT", "key": "cpf"}).json()["fields"]
    assert left["CONTACT"] == {}
    assert sim("users", email="ana@loja.com.br", first_name="Ana")["id"] in clint.crm.users
    first, second = many(api, new, 2)
    assert sim("person/moves", deal_id=first, stage="Paga", status="WON") == {"moved": 1}
    sim("person/follows", share=1.0, stage="Vencida")
    many(api, new, 1)
    sim("person/rests")
    contact = made(api, "contacts", {"name": "Ana"})
    sim("person/merges", contact_id=one(api, f"deals/{second}")["contact"]["id"], into=contact)
    sim("person/deletes", deal_id=second)

    assert api.get("/_sim/count", params={"field": "codigo_asaas"}).json() == {"pay_0": 2}
    judged = api.get("/_sim/judged", params={"field": "codigo_asaas"}).json()["data"]
    assert [(one["stage"], one["status"], one["moved_by"]) for one in judged] == [
        ("Paga", "WON", "person"),
        ("Vencida", "OPEN", "person"),
    ]
    log = api.get("/_sim/writes", params={"deal_id": second}).json()["data"]
    assert [(write["by"], write["what"]) for write in log] == [("api", "created"), ("person", "removed")]
    last = api.get("/_sim/writes", params={"after": log[-1]["sequence"] - 1}).json()["data"]
    assert last == log[-1:]
    assert sim("removed-origins", name="Vendas")["removed"] == [new["origin_id"]]
    assert one(api, "origins") == []
    assert sim("tokens", tokens=["other"]) == {"count": 1}
    assert api.get("/v1/deals").status_code == 401
