"""Read-backs of deliveries by Clint's API: real journals, the real client, and a simulated Clint."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator
from contextlib import closing
from typing import Any

import pytest

from bridge.clint.api import ClintApi
from bridge.clint.directory import ClintAccount, Directory
from bridge.clint.limiter import ApiLimiter
from bridge.journal import notices
from bridge.journal.schema import attempts, deliveries
from bridge.model import DeliveryState, ReadBack
from bridge.operations.proof import Verdict, recorded_verdict
from bridge.operations.read_back import LOOKS, ReadBacks
from bridge.redis_client import OptionalRedis
from bridge.simulator.clint.account import DEFAULT_TOKEN
from tests.databases import on_both
from tests.factories import Clock, opened_journal, owe, put_in_state, row_of
from tests.integration.test_deals import NEW, OVERDUE, PAID, World, payload

WON = payload(funnel={"stage": PAID, "status": "won"})
TELLS = ("value", "updated_at")


class RealClock(Clock):
    """The time that the simulated Clint has too."""

    def __call__(self) -> int:
        """Return the time of this machine."""
        return round(time.time() * 1000)

    def ticks(self) -> None:
        """Wait until what happens next is later than all before."""
        before_ms = self()
        while self() <= before_ms + 2:
            time.sleep(0.001)


@pytest.fixture
def world(database_url: str) -> Iterator[World]:
    """Give an empty world on each database, in which time passes."""
    with opened_journal(database_url) as journal, closing(World(journal, RealClock())) as world:
        yield world


def asked(world: World, text: str) -> int:
    """Owe a delivery whose deal is to be read back, and send it."""
    id_ = world.owe(text, read_back=ReadBack.ASKED.value)
    world.work()
    return id_


def looks(world: World, *, is_last: bool = True) -> None:
    """Read every deal back, for the last time unless told otherwise."""
    assert isinstance(world.clock, RealClock)
    world.clock.ticks()
    if is_last:
        with world.journal.database.write() as connection:
            connection.execute(deliveries.update().values(read_back_tries=LOOKS - 1))
    limiter = ApiLimiter("9999/second", OptionalRedis(None), DEFAULT_TOKEN)
    api = ClintApi(DEFAULT_TOKEN, world.url, world.http, limiter=limiter)
    account = ClintAccount(api, Directory(api))
    ReadBacks(world.journal, lambda: account, lambda: (), 0.0, lambda: world.urls).step(world.clock())


def found(world: World, id_: int) -> tuple[Verdict | None, dict[str, Any], set[str]]:
    """Return the verdict of a delivery, its facts and the names of what differs."""
    row = row_of(world.journal, id_)
    facts = json.loads(row["read_back_detail"])
    names = {one.get("field", one["what"]) for one in facts.get("differences", ())}
    return recorded_verdict(row["read_back"], row["read_back_detail"]), facts, names


def raised(world: World) -> list[str]:
    """Return what the open notices say."""
    with world.journal.database.read() as connection:
        return [one.detail for one in notices.open_notices(connection)]


def person_moves(world: World, stage: str, status: str = "") -> None:
    """Let a person move the only deal, later than all before."""
    assert isinstance(world.clock, RealClock)
    world.clock.ticks()
    world.clint.person.moves(world.deal()["id"], stage, status)


@on_both
@pytest.mark.parametrize("extras", [(), TELLS, (*TELLS, "stage")])
@pytest.mark.parametrize("key_length", [0, 20])
def test_the_deal_of_the_key_is_proved(world: World, extras: tuple[str, ...], key_length: int) -> None:
    """Read by its id, whatever lists show; what the documented answer lacks is said."""
    world.clint.knobs.turn(deal_extras=extras, key_length=key_length, late_s=3600.0)
    id_ = asked(world, payload(funnel={"stage": PAID, "status": "won"}, cidade="Recife"))
    looks(world, is_last=False)
    verdict, facts, names = found(world, id_)

    assert (verdict, facts["code"], names) == (Verdict.PROVED, "deal.seen", set())
    assert (facts["stage"], facts["status"]) == (PAID, "WON")
    assert facts.get("unseen", []) == ([] if extras else ["value"])


def test_what_clint_did_not_keep_contradicts(world: World, capsys: pytest.CaptureFixture[str]) -> None:
    """A field that the account drops is named with what was sent; neither log nor notice has the text."""
    world.clint.knobs.turn(deal_extras=TELLS, unknown_fields="drop")
    world.clint.crm.fields["DEAL"].pop("vencimento")
    id_ = asked(world, WON)
    looks(world, is_last=False)
    first = row_of(world.journal, id_)["read_back"]
    looks(world)
    verdict, facts, names = found(world, id_)
    (notice,) = raised(world)

    assert first == "asked"
    assert (verdict, facts["code"], names) == (Verdict.CONTRADICTED, "deal.differs", {"vencimento"})
    assert facts["differences"] == [{"what": "field", "wanted": "10/12/2026", "field": "vencimento"}]
    assert "vencimento" in notice
    assert "10/12/2026" not in notice + capsys.readouterr().out


@pytest.mark.parametrize("extras", [(), TELLS])
def test_a_person_who_moves_the_deal_later_is_no_contradiction(world: World, extras: tuple[str, ...]) -> None:
    """It says what differs and that somebody changed it since; nobody is alarmed."""
    world.clint.knobs.turn(deal_extras=extras)
    id_ = asked(world, WON)
    person_moves(world, OVERDUE)
    looks(world)
    verdict, facts, names = found(world, id_)

    assert (verdict, facts["code"], names) == (Verdict.NOT_CONFIRMED, "deal.changed", {"stage"})
    assert facts["differences"] == [{"what": "stage", "wanted": PAID, "seen": OVERDUE}]
    assert raised(world) == []


def test_a_deal_that_a_person_moved_before_is_as_the_mapping_says(world: World) -> None:
    """Kept in their stage, and all else as it was sent: proved, and it says so."""
    world.sends()
    person_moves(world, OVERDUE, "LOST")
    id_ = asked(world, WON)
    looks(world)
    verdict, facts, names = found(world, id_)

    assert (verdict, facts["code"], names) == (Verdict.PROVED, "deal.kept", {"stage", "status"})


def test_only_the_last_delivery_of_a_deal_is_compared_with_it(world: World) -> None:
    """The one before says that a later one wrote to the deal, and is not looked for again."""
    first, last = asked(world, payload(funnel={"stage": NEW})), asked(world, WON)
    looks(world, is_last=False)
    verdict, facts, _ = found(world, first)

    assert (verdict, facts["code"]) == (Verdict.NOT_CONFIRMED, "deal.later")
    assert found(world, last)[0] is Verdict.PROVED
    assert raised(world) == []


def test_a_deal_that_is_gone_is_not_confirmed(world: World) -> None:
    """Nothing contradicts, and nothing is there."""
    id_ = asked(world, WON)
    world.clint.person.deletes(world.deal()["id"])
    looks(world)

    assert found(world, id_)[:2] == (Verdict.NOT_CONFIRMED, {"code": "deal.gone"})
    assert len(raised(world)) == 1


def test_a_stage_that_was_renamed_since_can_not_be_compared(world: World) -> None:
    """The name that was sent stands for no stage any more."""
    id_ = asked(world, WON)
    for origin in world.clint.crm.origins.values():
        for stage in origin["stages"]:
            stage["label"] = f"{stage['label']} (antiga)"
    looks(world)

    assert found(world, id_)[:2] == (Verdict.NOT_CONFIRMED, {"code": "clint.name_unknown"})


def test_a_deal_by_the_api_proves_nothing_of_a_webhooks_delivery(world: World) -> None:
    """The webhook took the payload and made nothing; the contact's only deal is that of another charge, by the API."""
    more: dict[str, Any] = {"destination": "default", "object_id": "pay_9", "read_back": ReadBack.ASKED.value}
    lost = owe(world.journal, payload='{"email": "ana@example.com", "valor": "129.90"}', **more)
    sent_ms = world.clock()
    put_in_state(world.journal, lost, DeliveryState.DELIVERED, finished_ms=sent_ms, due_ms=None, attempts=1)
    with world.journal.database.write() as connection:
        values = {"delivery_id": lost, "number": 1, "fence": 1, "started_ms": sent_ms}
        connection.execute(attempts.insert().values(values))
    by_api = asked(world, WON)
    looks(world)

    assert found(world, by_api)[0] is Verdict.PROVED
    assert found(world, lost)[:2] == (Verdict.NOT_CONFIRMED, {"code": "deal.ambiguous", "stage": PAID, "status": "WON"})


def test_a_deal_in_another_origin_is_told_by_its_name(world: World) -> None:
    """A person moved it there; Clint does not tell when, so it is no contradiction."""
    id_ = asked(world, WON)
    (deal,) = world.clint.crm.deals.values()
    other = world.clint.crm.add_origin("Pós-venda", ["Novo"])
    world.clint.crm.change_deal(deal, "person", origin_id=other["id"], stage_id=other["stages"][0]["id"])
    looks(world)
    verdict, facts, _ = found(world, id_)

    assert verdict is Verdict.NOT_CONFIRMED
    assert facts["differences"] == [{"what": "origin", "wanted": "Vendas", "seen": other["name"]}]
