"""The directory of a Clint account: what is read when, and how names are found in it."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest

from bridge.clint.api import ClintApi
from bridge.clint.directory import CACHE_S, FAILED_EVERY_S, MISS_EVERY_S, Directory
from bridge.clint.limiter import ApiLimiter
from bridge.errors import ClintApiFailed, ClintFault, ClintNameUnknown
from bridge.http import HttpClient
from bridge.redis_client import OptionalRedis
from bridge.simulator.clint.account import (
    DEAL_FIELDS,
    DEFAULT_ORIGIN,
    DEFAULT_TOKEN,
    DEFAULT_USER,
    LOST_REASONS,
    STAGES,
)
from bridge.simulator.serve import Served
from tests.peers import Asked, Peer, Reply
from tests.simulated import ClintSimulator

VENDAS: dict[str, Any] = {
    "id": "o1",
    "name": "Vendas",
    "stages": [
        {"id": "s3", "label": "Paga", "order": 3, "type": "CLOSING"},
        {"id": "s1", "label": "Cobrança criada", "order": 1, "type": "BASE"},
        {"id": "s2", "label": "Vencida", "order": 2},
    ],
}
SUPORTE: dict[str, Any] = {"id": "o2", "name": "Suporte", "stages": [{"id": "s9", "label": "Nova", "order": 1}]}
OLD: dict[str, Any] = {"id": "o3", "name": "Antiga", "archived_at": "2025-01-01T00:00:00Z", "stages": []}
FIELDS = {
    "DEAL": {"codigo_asaas": {"type": "TEXT"}, "quantas_horas_por_di": {"type": "TEXT", "label": "Quantas horas"}},
    "CONTACT": {"cpf": {"type": "TEXT"}},
}


class Account:
    """What the peer answers, and what it was asked."""

    def __init__(self) -> None:
        self.lists: dict[str, Any] = {
            "/v1/origins": [VENDAS, SUPORTE, OLD],
            "/v1/users": [{"id": "u1", "email": "Ana@Loja.com.br", "first_name": "Ana", "last_name": "Souza"}],
            "/v1/lost-status": [{"id": "l1", "name": "Sem dinheiro"}],
            "/v1/account/fields": [{"groups": {}, "fields": FIELDS}],
        }
        self.status = 200
        self.now_s = 1_000.0
        self.asked: list[str] = []

    def answer(self, asked: Asked) -> Reply:
        path = asked.path.split("?")[0]
        self.asked.append(path)
        return Reply(status=self.status, body=json.dumps({"data": self.lists[path], "hasNext": False}).encode())


@pytest.fixture
def account() -> Account:
    """Give an account with two origins and an archived one."""
    return Account()


@pytest.fixture
def directory(account: Account) -> Iterator[Directory]:
    """Give the directory of the account."""
    with HttpClient(allow_private=True) as http, Peer(respond=account.answer) as peer:
        limiter = ApiLimiter("9999/second", OptionalRedis(None), "t")
        yield Directory(ClintApi("t", peer.url, http, limiter=limiter), lambda: account.now_s)


def unknown(ask: Callable[[], object], kind: str) -> ClintNameUnknown:
    """Return the error with which the question ends."""
    with pytest.raises(ClintNameUnknown) as caught:
        ask()
    assert caught.value.kind == kind
    return caught.value


@pytest.mark.parametrize("origin", ["o1", "Vendas", "vendas", " VENDAS "])
@pytest.mark.parametrize("stage", ["s1", "Cobrança criada", "cobranca  CRIADA", "Cobranc\u0327a criada"])
def test_a_stage_is_found_by_id_or_name(directory: Directory, origin: str, stage: str) -> None:
    """Case, accents and spaces make no difference."""
    assert directory.stage_id(origin, stage) == "s1"
    assert directory.origin(origin).id == "o1"


def test_stages_come_in_the_order_of_the_funnel(directory: Directory) -> None:
    """Clint numbers them; its list may have any order."""
    assert [stage.id for stage in directory.origin("Vendas").stages] == ["s1", "s2", "s3"]


def test_an_unknown_name_says_which_is_near(directory: Directory) -> None:
    """An origin and a stage each have their kind, and the names of the account to choose from."""
    stage = unknown(lambda: directory.stage_id("Vendas", "Pagas"), "stage")
    origin = unknown(lambda: directory.stage_id("Venda", "Paga"), "origin")
    far = unknown(lambda: directory.origin("Zzzz"), "origin")

    assert all(word in str(stage) for word in ("'Pagas'", "'Vendas'", "Paga?"))
    assert "Vendas?" in str(origin)
    assert "?" not in str(far)
    assert stage.facts["name"] == "'Pagas'"


def test_a_stage_of_another_origin_is_unknown(directory: Directory) -> None:
    """Also by its id, which Clint would take for a stage of the other funnel."""
    unknown(lambda: directory.stage_id("Vendas", "s9"), "stage")
    unknown(lambda: directory.stage_id("Vendas", "Nova"), "stage")


def test_an_archived_origin_is_left_out(directory: Directory) -> None:
    """Nobody looks at it, so nothing is sent there."""
    unknown(lambda: directory.origin("Antiga"), "origin")
    unknown(lambda: directory.origin("o3"), "origin")
    assert set(directory.names().origins) == {"o1", "o2"}


def test_two_of_one_name_are_never_guessed(directory: Directory, account: Account) -> None:
    """The very spelling decides, else the id must."""
    twice = [{"id": "a", "name": "Vendas"}, {"id": "b", "name": "vendas"}, {"id": "c", "name": "vendas"}]
    stages = [{"id": "x", "label": "Paga"}, {"id": "y", "label": "Paga"}]
    account.lists["/v1/origins"] = [*twice, {"id": "d", "name": "Outra", "stages": stages}]

    assert directory.origin("Vendas").id == "a"
    assert directory.origin("c").id == "c"
    assert unknown(lambda: directory.origin("vendas"), "origin").facts["number"] == 2
    assert unknown(lambda: directory.origin("VENDAS"), "origin").facts["number"] == 3
    assert unknown(lambda: directory.stage_id("Outra", "Paga"), "stage").facts["number"] == 2
    assert directory.stage_id("Outra", "y") == "y"


def test_a_user_is_found_by_email(directory: Directory) -> None:
    """In any case; the error does not repeat the e-mail."""
    assert directory.user_id("ana@loja.com.br") == "u1"
    error = unknown(lambda: directory.user_id("bia@loja.com.br"), "user")
    assert "bia" not in str(error) + repr(error.facts)


def test_a_field_has_the_key_that_the_account_has(directory: Directory) -> None:
    """Clint may have cut it; one that it lacks stays as it is."""
    assert directory.field_key("deal", "quantas_horas_por_dia") == "quantas_horas_por_di"
    assert directory.field_key("deal", "codigo_asaas") == "codigo_asaas"
    assert directory.field_key("deal", "cpf") == "cpf"
    assert directory.field_key("organization", "setor") == "setor"


@pytest.mark.parametrize(
    "data",
    [
        [{"groups": {}, "fields": FIELDS}],
        {"groups": {}, "fields": FIELDS},
        [{"fields": {"DEAL": {"type": "TEXT", "label": "codigo_asaas"}, "CONTACT": {"type": "TEXT", "label": "cpf"}}}],
    ],
)
def test_fields_are_read_in_each_shape_that_was_seen(directory: Directory, account: Account, data: object) -> None:
    """The document shows one field of each group by its label, public code fields by their keys."""
    account.lists["/v1/account/fields"] = data
    fields = directory.names().fields

    assert fields["deal"]["codigo_asaas"] == "TEXT"
    assert fields["contact"] == {"cpf": "TEXT"}
    assert fields["organization"] == {}


def test_all_names_are_plain_data(directory: Directory) -> None:
    """Lint and completion take them."""
    names = directory.names()

    assert names.origins["o2"] == ("Suporte", (("s9", "Nova"),))
    assert names.users == {"Ana@Loja.com.br": "u1"}
    assert names.lost_reasons == {"l1": "Sem dinheiro"}


@pytest.mark.parametrize("shape", ["keyed", "single"])
def test_the_simulated_account_is_read_whole(shape: str) -> None:
    """Its answers are those of Clint's document."""
    simulator = ClintSimulator()
    simulator.knobs.turn(fields_shape=shape)
    with HttpClient(allow_private=True) as http, Served(simulator.app) as served:
        limiter = ApiLimiter("9999/second", OptionalRedis(None), DEFAULT_TOKEN)
        names = Directory(ClintApi(DEFAULT_TOKEN, served.url, http, limiter=limiter)).names()

    assert [(name, tuple(label for _, label in stages)) for name, stages in names.origins.values()] == [
        (DEFAULT_ORIGIN, STAGES)
    ]
    assert list(names.users) == [DEFAULT_USER]
    assert set(names.fields["deal"]) == set(DEAL_FIELDS)
    assert set(names.lost_reasons.values()) == set(LOST_REASONS)


def test_a_list_is_read_once_in_ten_minutes(directory: Directory, account: Account) -> None:
    """However often and by however many threads it is asked, and only the list that is needed."""
    with ThreadPoolExecutor(8) as pool:
        assert set(pool.map(lambda _: directory.stage_id("Vendas", "Paga"), range(50))) == {"s3"}
    assert account.asked == ["/v1/origins"]

    account.now_s += CACHE_S - 1
    directory.stage_id("Vendas", "Paga")
    assert len(account.asked) == 1

    account.now_s += 2
    directory.stage_id("Vendas", "Paga")
    assert len(account.asked) == 2


def test_a_name_that_is_missing_is_looked_for_in_a_new_list(directory: Directory, account: Account) -> None:
    """A stage that a person has just made is known at once, and a wrong name does not ask again and again."""
    directory.origin("Vendas")
    account.lists["/v1/origins"] = [{**VENDAS, "stages": [*VENDAS["stages"], {"id": "s4", "label": "Estornada"}]}]
    account.now_s += MISS_EVERY_S + 1

    assert directory.stage_id("Vendas", "Estornada") == "s4"
    assert len(account.asked) == 2

    for _ in range(20):
        unknown(lambda: directory.stage_id("Vendas", "Cancelada"), "stage")
    assert len(account.asked) == 2


def test_an_origin_that_is_removed_is_unknown_once_it_is_forgotten(directory: Directory, account: Account) -> None:
    """Clint's 404 is the reason to read anew before the ten minutes are over."""
    directory.origin("Vendas")
    account.lists["/v1/origins"] = [SUPORTE]

    assert directory.origin("Vendas").id == "o1"
    directory.forget()
    unknown(lambda: directory.origin("Vendas"), "origin")


def test_while_clint_is_away_the_last_list_counts(directory: Directory, account: Account) -> None:
    """Names rarely change; a name that is missing then is an error that may pass, not an unknown name."""
    directory.stage_id("Vendas", "Paga")
    account.now_s += CACHE_S + 1
    account.status = 500

    assert directory.stage_id("Vendas", "Paga") == "s3"
    assert directory.stage_id("Vendas", "Paga") == "s3"
    assert len(account.asked) == 2
    account.now_s += FAILED_EVERY_S + 1
    with pytest.raises(ClintApiFailed):
        directory.stage_id("Vendas", "Estornada")

    account.status = 200
    account.now_s += FAILED_EVERY_S + 1
    unknown(lambda: directory.stage_id("Vendas", "Estornada"), "stage")


def test_a_refused_token_is_said_where_a_list_is_due(directory: Directory, account: Account) -> None:
    """It does not pass by itself, so the last list does not hide it."""
    directory.origin("Vendas")
    account.now_s += CACHE_S + 1
    account.status = 401

    with pytest.raises(ClintApiFailed) as caught:
        directory.origin("Vendas")
    assert caught.value.kind is ClintFault.TOKEN


def test_a_clint_that_is_away_from_the_start_is_asked_now_and_then(directory: Directory, account: Account) -> None:
    """Threads that need the same list do not wait for one failure after the other."""
    account.status = 500
    for _ in range(10):
        with pytest.raises(ClintApiFailed):
            directory.origin("Vendas")
    assert len(account.asked) == 1

    account.status = 200
    account.now_s += FAILED_EVERY_S + 1
    assert directory.origin("Vendas").id == "o1"
