"""The client of the Clint API against the simulated Clint: what it writes, and what it finds again."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import pytest

from bridge.clint.api import MOST_PAGES, PAGE, ClintApi
from bridge.clint.limiter import ApiLimiter
from bridge.errors import ClintApiFailed, ClintFault
from bridge.http import HttpClient
from bridge.redis_client import OptionalRedis
from bridge.simulator.clint.account import DEFAULT_ORIGIN, DEFAULT_TOKEN, DEFAULT_USER
from bridge.simulator.serve import Served
from tests.peers import Asked, Peer, Reply
from tests.simulated import ClintSimulator

KEY_FIELD = "codigo_asaas"
ANA: dict[str, Any] = {"name": "Ana Souza", "email": "ana@example.com", "phone": "+55 (11) 98888-7777"}


@pytest.fixture
def http() -> Iterator[HttpClient]:
    """Give a client that may talk to this machine."""
    with HttpClient(allow_private=True) as client:
        yield client


def client_of(http: HttpClient, url: str) -> ClintApi:
    """Return a client that need not be paced."""
    return ClintApi(DEFAULT_TOKEN, url, http, limiter=ApiLimiter("9999/second", OptionalRedis(None), DEFAULT_TOKEN))


@dataclass
class Clint:
    """The simulated Clint, its API, and the ids of its funnel."""

    simulator: ClintSimulator
    api: ClintApi
    origin_id: str
    stages: dict[str, str]

    def deal(self, contact_id: str, key: str = "pay_1", **more: Any) -> str:
        """Create a deal with a key."""
        return self.api.create_deal(origin_id=self.origin_id, contact_id=contact_id, fields={KEY_FIELD: key}, **more)


@pytest.fixture
def clint(http: HttpClient) -> Iterator[Clint]:
    """Give a simulated Clint without deals."""
    simulator = ClintSimulator()
    with Served(simulator.app) as served:
        api = client_of(http, served.url)
        origin = next(one for one in api.origins() if one.name == DEFAULT_ORIGIN)
        yield Clint(simulator, api, origin.id, {stage.label: stage.id for stage in origin.stages})


def fault_of(ask: Callable[[], object]) -> ClintFault:
    """Return how the request failed."""
    with pytest.raises(ClintApiFailed) as caught:
        ask()
    return caught.value.kind


def in_years(rows: dict[str, dict[str, Any]], ids: list[str]) -> None:
    """Let rows of the simulator have been created in years that follow one another."""
    for number, id_ in enumerate(ids):
        rows[id_]["created_at"] = f"{2020 + number}-01-01T10:00:00.000000+00:00"


# ---------------------------------------------------------------- contacts


def test_a_contact_is_created_with_all_that_is_given(clint: Clint) -> None:
    """The phone goes in two parts, an organization among the fields; empty values do not go."""
    id_ = clint.api.create_contact(
        **ANA, fields={"cpf": "123", "vazio": ""}, organization={"name": "Loja Ltda", "setor": "varejo", "vazio": ""}
    )
    contact = clint.api.contact(id_)

    assert contact is not None
    assert (contact.name, contact.email, contact.phone) == ("Ana Souza", "ana@example.com", "+5511988887777")
    assert contact.organization == "Loja Ltda"
    assert dict(contact.fields) == {"cpf": "123"}
    assert contact.created_ms is not None


def test_an_update_of_a_contact_blanks_nothing(clint: Clint) -> None:
    """What is empty, or not named, stays."""
    id_ = clint.api.create_contact(**ANA, fields={"cpf": "123"})
    clint.api.update_contact(id_, name="Ana S. Lima", email="", phone="", fields={"cpf": "", "cidade": "Santos"})
    contact = clint.api.contact(id_)

    assert contact is not None
    assert (contact.name, contact.email, contact.phone) == ("Ana S. Lima", "ana@example.com", "+5511988887777")
    assert contact.field("cpf") == "123"
    assert contact.field("cidade") == "Santos"


def test_tags_are_added_and_stay(clint: Clint) -> None:
    """Those that the contact has stay, and a repeat does no harm."""
    id_ = clint.api.create_contact(**ANA)
    for names in (["Cliente"], ["Asaas", "Cliente"], ["Asaas"]):
        clint.api.add_tags(id_, names)
    contact = clint.api.contact(id_)

    assert contact is not None
    assert contact.tags == {"Cliente", "Asaas"}


def test_a_contact_is_found_by_email_or_phone(clint: Clint) -> None:
    """However it is written; only the one who has it."""
    ana = clint.api.create_contact(**ANA)
    bia = clint.api.create_contact(name="Bia", email="bia@example.com", phone="1133334444")
    found: Callable[..., list[str]] = lambda **by: [one.id for one in clint.api.contacts(**by)]  # noqa: E731

    assert found(email="ANA@example.com ") == [ana]
    assert [found(phone=phone) for phone in ("11988887777", "5511988887777", "(11) 98888-7777")] == [[ana]] * 3
    assert found(phone="+551133334444") == [bia]
    assert found(email="bia@example.com", phone="11988887777") == []
    assert found(email="nobody@example.com") == found(phone="21988887777") == found() == []


def test_of_two_contacts_the_oldest_comes_first(clint: Clint) -> None:
    """So that each search chooses the same one."""
    made = [clint.api.create_contact(**{**ANA, "name": name}) for name in ("Ana", "Ana 2", "Ana 3")]
    made.reverse()
    in_years(clint.simulator.crm.contacts, made)

    assert [one.id for one in clint.api.contacts(email=ANA["email"])] == made


def test_a_contact_that_a_filter_should_have_left_out_is_left_out(http: HttpClient) -> None:
    """A Clint that finds by a part, or ignores the filter, must not have another one's contact changed."""
    data: list[dict[str, Any]] = [
        {"id": "c1", "email": "mariana@example.com", "fullPhone": "+5521988887777"},
        {"id": "c2", "email": "ana@example.com", "fullPhone": "+5511988887777", "tags": None, "fields": None},
        {"id": "c3", "email": None, "fullPhone": None},
    ]
    with Peer(Reply(body=json.dumps({"data": data}).encode())) as peer:
        api = client_of(http, peer.url)

        assert [one.id for one in api.contacts(email="Ana@example.com")] == ["c2"]
        assert [one.id for one in api.contacts(phone="11988887777")] == ["c2"]


# ---------------------------------------------------------------- deals


def test_a_deal_is_created_where_it_belongs(clint: Clint) -> None:
    """Contact, origin, stage, user, value and fields are those that were given; it is open."""
    clint.simulator.knobs.turn(deal_extras=("value",))
    contact_id = clint.api.create_contact(**ANA)
    user = clint.api.users()[0]
    id_ = clint.deal(contact_id, stage_id=clint.stages["Vencida"], value=129.9, user_id=user.id)
    deal = clint.api.deal(id_)

    assert deal is not None
    assert (deal.id, deal.origin_id, deal.contact_id) == (id_, clint.origin_id, contact_id)
    assert (deal.stage_id, deal.status) == (clint.stages["Vencida"], "OPEN")
    assert (deal.value, deal.user_id, user.email) == (129.9, user.id, DEFAULT_USER)
    assert deal.field(KEY_FIELD) == "pay_1"
    assert clint.api.stage(deal) == "Vencida"


def test_each_create_is_another_deal(clint: Clint) -> None:
    """Clint knows no idempotency key: whoever repeats a create has two."""
    contact_id = clint.api.create_contact(**ANA)

    assert clint.deal(contact_id) != clint.deal(contact_id)


def test_an_update_of_a_deal_is_absolute(clint: Clint) -> None:
    """A repeat does no harm, and what is not named stays."""
    clint.simulator.knobs.turn(deal_extras=("value",))
    id_ = clint.deal(clint.api.create_contact(**ANA), value=129.9)
    for _ in range(2):
        clint.api.update_deal(id_, stage_id=clint.stages["Paga"], status="won", fields={"situacao": "Paga", "link": ""})
    deal = clint.api.deal(id_)

    assert deal is not None
    assert (deal.stage_id, deal.status, deal.value) == (clint.stages["Paga"], "WON", 129.9)
    assert (deal.field("situacao"), deal.field(KEY_FIELD)) == ("Paga", "pay_1")
    assert len(clint.simulator.deals) == 1


def test_a_value_that_clint_does_not_tell_is_not_zero(clint: Clint) -> None:
    """The document has no value in a deal; 0 would be one that differs."""
    id_ = clint.deal(clint.api.create_contact(**ANA), value=129.9)
    deal = clint.api.deal(id_)

    assert deal is not None
    assert deal.value is None


def test_an_update_that_changes_nothing_is_no_request(http: HttpClient) -> None:
    """All values are empty, and empty ones are not sent."""
    with Peer() as peer:
        api = client_of(http, peer.url)
        api.update_deal("d", stage_id="", fields={"situacao": ""})
        api.update_contact("c", phone="", organization={"name": ""})
        api.add_tags("c", [])

        assert peer.asked == []


def test_a_deal_or_contact_that_does_not_exist_is_none(clint: Clint) -> None:
    """Not an error: whoever asks decides what that means."""
    nowhere = "00000000-0000-4000-8000-000000000000"

    assert clint.api.deal(nowhere) is None
    assert clint.api.contact(nowhere) is None
    assert fault_of(lambda: clint.api.update_deal(nowhere, status="WON")) is ClintFault.GONE
    assert fault_of(lambda: clint.api.update_contact(nowhere, name="Ana")) is ClintFault.GONE


def test_an_origin_that_is_removed_is_gone(clint: Clint) -> None:
    """The reason why nothing can be created there."""
    contact_id = clint.api.create_contact(**ANA)
    clint.simulator.removes_origin(DEFAULT_ORIGIN)

    assert fault_of(lambda: clint.deal(contact_id)) is ClintFault.GONE


def test_a_field_of_another_type_is_refused_in_clints_words(clint: Clint) -> None:
    """Where the account is strict; the words name the field."""
    contact_id = clint.api.create_contact(**ANA)
    clint.simulator.knobs.turn(unknown_fields="refuse")

    clint.deal(contact_id)
    with pytest.raises(ClintApiFailed) as caught:
        clint.api.create_deal(origin_id=clint.origin_id, contact_id=contact_id, fields={"sem_campo": "x"})

    assert caught.value.kind is ClintFault.REFUSED
    assert "sem_campo" in caught.value.facts["words"]  # type: ignore[operator]


@pytest.mark.parametrize("how", ["closes", "resets", "truncates", "garbles"])
def test_an_answer_that_is_lost_after_the_write_is_unknown(clint: Clint, how: str) -> None:
    """The deal is there once: the client repeats nothing by itself."""
    contact_id = clint.api.create_contact(**ANA)
    clint.simulator.api_loses_answers(how)

    assert fault_of(lambda: clint.deal(contact_id)) is ClintFault.UNKNOWN
    assert len(clint.simulator.deals) == 1


def test_a_500_after_the_write_is_unknown(clint: Clint) -> None:
    """As an answer that is lost."""
    contact_id = clint.api.create_contact(**ANA)
    clint.simulator.api_answers(500, method="POST", takes_first=True)

    assert fault_of(lambda: clint.deal(contact_id)) is ClintFault.UNKNOWN
    assert len(clint.simulator.deals) == 1


# ---------------------------------------------------------------- searches


def test_the_deals_of_a_contact_in_an_origin(clint: Clint) -> None:
    """Of every status, oldest first; not those of another contact."""
    ana, bia = (clint.api.create_contact(name=name, email=f"{name}@example.com") for name in ("ana", "bia"))
    made = [clint.deal(ana, key) for key in ("pay_1", "pay_2", "pay_3")]
    clint.deal(bia, "pay_4")
    for id_, status in zip(made, ("LOST", "WON", "OPEN"), strict=True):
        clint.api.update_deal(id_, status=status)
    in_years(clint.simulator.crm.deals, made)
    found = clint.api.deals_of(ana, clint.origin_id)

    assert [deal.id for deal in found.deals] == made
    assert [deal.status for deal in found.deals] == ["LOST", "WON", "OPEN"]
    assert (found.missed, found.error) == ((), None)
    assert clint.api.deals_of(ana, "00000000-0000-4000-8000-000000000000").deals == ()


def test_a_status_that_cannot_be_listed_is_said(clint: Clint) -> None:
    """What is found counts, and nobody may conclude that there is nothing else."""
    ana = clint.api.create_contact(**ANA)
    made = [clint.deal(ana, key) for key in ("pay_1", "pay_2")]
    clint.api.update_deal(made[1], status="WON")
    clint.simulator.lists_fail("WON")

    for found in (clint.api.deals_of(ana, clint.origin_id), clint.api.deals_with(KEY_FIELD, "pay_1", clint.origin_id)):
        assert [deal.id for deal in found.deals] == made[:1]
        assert found.missed == ("WON",)
        assert found.error is not None
        assert found.error.status == 500


@pytest.mark.parametrize("status", [401, 403, 429])
def test_a_search_that_clint_does_not_allow_is_an_error(clint: Clint, status: int) -> None:
    """Only what may pass by itself is a gap in what was found."""
    clint.simulator.api_answers(status)

    kinds = {
        fault_of(lambda: clint.api.deals_of("c", "o")),
        fault_of(lambda: clint.api.deals_with(KEY_FIELD, "k", "o")),
    }

    assert kinds <= {ClintFault.TOKEN, ClintFault.PLAN, ClintFault.BUSY}


def test_every_page_of_a_list_is_read(clint: Clint, http: HttpClient) -> None:
    """A contact may have more deals than a page has rows."""
    ana = clint.api.create_contact(**ANA)
    crm = clint.simulator.crm
    with crm.lock:
        for number in range(2 * PAGE + 1):
            crm.add_deal(
                clint.origin_id, crm.contacts[ana], clint.stages["Paga"], "api", fields={KEY_FIELD: f"pay_{number}"}
            )
    found = clint.api.deals_of(ana, clint.origin_id)

    assert {deal.field(KEY_FIELD) for deal in found.deals} == {f"pay_{number}" for number in range(2 * PAGE + 1)}


@pytest.mark.parametrize(("told", "pages"), [({"hasNext": False}, 1), ({"hasNext": "true"}, 2), ({}, 2)])
def test_whether_there_is_another_page(http: HttpClient, told: dict[str, Any], pages: int) -> None:
    """Clint says so; where it does not, a full page may have another one behind it."""
    rows = [{"id": f"o{number}"} for number in range(PAGE)]

    def answer(asked: Asked) -> Reply:
        is_second = "page=2" in asked.path
        return Reply(body=json.dumps({"data": [] if is_second else rows, **told}).encode())

    with Peer(respond=answer) as peer:
        assert len(client_of(http, peer.url).origins()) == PAGE
        assert len(peer.asked) == pages


def test_a_list_without_an_end_is_an_error(http: HttpClient) -> None:
    """Such as one that knows no pages; the statuses of deals are then all missed."""
    row = {"id": "d1", "origin_id": "o", "contact": {"id": "c"}}
    with Peer(Reply(body=json.dumps({"data": [row], "hasNext": True}).encode())) as peer:
        api = client_of(http, peer.url)

        assert fault_of(api.origins) is ClintFault.FAILED
        assert len(peer.asked) == MOST_PAGES
        assert api.deals_of("c", "o").missed == ("OPEN", "WON", "LOST")
        peer.asked.clear()
        assert [deal.id for deal in api.deals_with("k", "", "o").deals] == ["d1"]
        assert len(peer.asked) == 3


def test_a_deal_is_found_by_its_key(clint: Clint) -> None:
    """In every status, whoever its contact is."""
    ana = clint.api.create_contact(**ANA)
    made = [clint.deal(ana, key) for key in ("pay_1", "pay_2", "pay_1")]
    clint.api.update_deal(made[2], status="LOST")

    assert [deal.id for deal in clint.api.deals_with(KEY_FIELD, "pay_1", clint.origin_id).deals] == [made[0], made[2]]
    assert clint.api.deals_with(KEY_FIELD, "pay_10", clint.origin_id).deals == ()


def test_a_deal_that_lists_show_late_is_there_by_its_id(clint: Clint) -> None:
    """An empty list right after a write proves nothing."""
    ana = clint.api.create_contact(**ANA)
    clint.simulator.knobs.turn(late_s=3_600.0)
    id_ = clint.deal(ana)

    assert clint.api.deals_of(ana, clint.origin_id).deals == ()
    assert clint.api.deals_with(KEY_FIELD, "pay_1", clint.origin_id).deals == ()
    assert clint.api.deal(id_) is not None


def test_a_key_that_clint_cuts_is_the_same_one(clint: Clint) -> None:
    """Fields were seen with the first 20 characters of their keys."""
    clint.simulator.knobs.turn(key_length=20)
    ana = clint.api.create_contact(**ANA)
    fields = {"codigo_da_cobranca_do_asaas": "pay_1"}
    id_ = clint.api.create_deal(origin_id=clint.origin_id, contact_id=ana, fields=fields)
    deal = clint.api.deal(id_)

    assert deal is not None
    assert "codigo_da_cobranca_d" in deal.fields
    assert deal.field("codigo_da_cobranca_do_asaas") == "pay_1"
    assert deal.field("codigo_da") == ""


def test_deals_that_filters_should_have_left_out_are_left_out(http: HttpClient) -> None:
    """A Clint that ignores a filter must not have another charge's deal moved."""
    ours = {"id": "d1", "origin_id": "o", "contact": {"id": "c"}, "fields": {KEY_FIELD: "pay_1"}}
    others = [
        {**ours, "id": "d2", "fields": {KEY_FIELD: "pay_11"}},
        {**ours, "id": "d3", "origin_id": "p"},
        {**ours, "id": "d4", "contact": {"id": "x"}},
        {**ours, "id": "d5", "fields": None},
    ]
    answers = {"OPEN": [ours, *others], "WON": [], "LOST": []}

    def answer(asked: Asked) -> Reply:
        status = next(status for status in answers if f"status={status}" in asked.path)
        return Reply(body=json.dumps({"data": answers[status]}).encode())

    with Peer(respond=answer) as peer:
        api = client_of(http, peer.url)

        assert [deal.id for deal in api.deals_with(KEY_FIELD, "pay_1", "o").deals] == ["d1", "d4"]
        assert [deal.id for deal in api.deals_of("c", "o").deals] == ["d1", "d2", "d5"]
        assert "fields%5Bcodigo_asaas%5D=pay_1" in peer.asked[0].path


def test_a_clint_that_refuses_the_filter_finds_nothing(http: HttpClient) -> None:
    """The filter by fields is an addition; without it the deals of the contact are still looked through."""
    with Peer(Reply(status=400, body=b'{"error": "fields is not allowed"}')) as peer:
        api = client_of(http, peer.url)

        assert api.deals_with(KEY_FIELD, "pay_1", "o").deals == ()
        assert fault_of(lambda: api.deals_of("c", "o")) is ClintFault.REFUSED


def test_a_deal_that_moves_while_its_lists_are_read_is_found_once(http: HttpClient) -> None:
    """It is in the list of the status that it had, and of the one that it has."""
    deal = {"id": "d1", "origin_id": "o", "contact": {"id": "c"}, "fields": {}}

    def answer(asked: Asked) -> Reply:
        data = [] if "LOST" in asked.path else [{**deal, "status": "WON" if "WON" in asked.path else "OPEN"}]
        return Reply(body=json.dumps({"data": data}).encode())

    with Peer(respond=answer) as peer:
        found = client_of(http, peer.url).deals_of("c", "o").deals

    assert [(one.id, one.status) for one in found] == [("d1", "WON")]


def test_no_text_of_a_contact_shows_the_person(clint: Clint) -> None:
    """A contact in a traceback or a log must not tell who it is."""
    contact = clint.api.contact(clint.api.create_contact(**ANA, fields={"cpf": "123.456.789-09"}))

    assert all(secret not in repr(contact) for secret in ("Ana", "ana@", "98888", "123.456"))
