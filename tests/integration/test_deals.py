"""One deal per key: real journals, the real client, and a simulated Clint that loses, hides and refuses."""

from __future__ import annotations

import json
import sqlite3
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, closing
from dataclasses import replace
from pathlib import Path
from queue import SimpleQueue
from typing import Any

import pytest

from bridge.clint.api import ClintApi
from bridge.clint.directory import ClintAccount, Directory
from bridge.clint.limiter import ApiLimiter
from bridge.http import HttpClient
from bridge.journal import Journal, Lease, deals, destinations, notices
from bridge.journal.deals import Claim, StoredDeal
from bridge.messages import read_message
from bridge.model import lane_of
from bridge.pipeline.deals import DOUBLED, DealSender
from bridge.pipeline.deliver import Deliverer, DeliveryRules
from bridge.pipeline.policy import CircuitLimits, RetryPolicy
from bridge.reasons import pause_code
from bridge.redis_client import OptionalRedis
from bridge.settings import origin_url
from bridge.simulator.clint.account import DEFAULT_TOKEN, KEY_FIELD
from bridge.simulator.serve import Served
from tests.commands import Commands
from tests.databases import on_both
from tests.factories import Clock, acquire, opened_journal, owe, owed, register, row_of, rows_of, tries_of
from tests.peers import clint_client, closed_port
from tests.simulated import ClintSimulator

APPEARS_S = 60
MADE_TO_HAPPEN = frozenset(
    {
        *(
            f"clint.deal_{name}"
            for name in ("created", "updated", "unchanged", "kept", "removed", "gone", "may_appear")
        ),
        *(f"clint.{name}" for name in ("create_unknown", "update_unknown", "contact_may_appear", "not_everywhere")),
        *(f"clint.{name}" for name in ("key_busy", "key_not_kept", "not_recorded", "api_turn", "other_kind")),
        *(f"clint.{name}" for name in ("token", "token_changed", "plan", "origin_gone", "name_unknown", "refused")),
        "destination.no_token",
    }
)
"""The reason codes that tests of this file wait for."""
NEW, OVERDUE, PAID, REFUNDED = "Nova cobrança", "Vencida", "Paga", "Estornada"
ANA = {"nome": "Ana", "email": "ana@example.com", "telefone": "5511987654321"}
PLACES = {
    "nome": "contact.name",
    "email": "contact.email",
    "telefone": "contact.phone",
    "cidade": "contact.fields",
    "empresa": "organization.name",
    "titulo": "deal.name",
    "valor": "deal.value",
    "vencimento": "deal.fields",
}


def payload(
    key: str = "pay_1", person: dict[str, str] = ANA, *, funnel: dict[str, Any] | None = None, **own: Any
) -> str:
    """Return the payload of an API delivery; `funnel` adds to how it places the deal."""
    flat = {**person, "titulo": f"Cobrança {key}", "vencimento": "10/12/2026", **own}
    told = {
        "key": key,
        "key_field": KEY_FIELD,
        "origin": "",
        "stage": NEW,
        "value": 129.9,
        "tags": [],
        "moved_by_person": "keep",
        "removed": "leave",
        "find_contact_by": ["email", "phone"],
        "own_stages": [NEW, PAID, REFUNDED],
        "own_statuses": ["open", "won", "lost"],
        "places": {name: PLACES[name] for name in flat},
    }
    return json.dumps({**flat, "funnel": {**told, **(funnel or {})}})


class World:
    """A journal, a simulated Clint, and deliverers that write deals there."""

    def __init__(self, journal: Journal, clock: Clock | None = None) -> None:
        self.journal = journal
        self.clock = clock or Clock()
        self.failures = 50
        """So many in a row open the circuit."""
        self.clint = ClintSimulator()
        self.urls = {"vendas": origin_url("Vendas")}
        register(journal, **self.urls)
        self.new_account: ClintAccount | None = None
        """The account of a token that was stored meanwhile."""
        self._opened = ExitStack()
        self._opened.callback(self.clint.close)
        self.url = self._opened.enter_context(Served(self.clint.app)).url
        self.http = self._opened.enter_context(HttpClient(allow_private=True))
        self.webhooks = self._opened.enter_context(clint_client())

    def close(self) -> None:
        """Close every client and the simulator."""
        self._opened.close()

    def account(self, url: str = "", rate: str = "9999/second") -> ClintAccount:
        """Return the account of Clint as a process that has just started knows it."""
        limiter = ApiLimiter(rate, OptionalRedis(None), DEFAULT_TOKEN)
        api = ClintApi(DEFAULT_TOKEN, url or self.url, self.http, limiter=limiter, deadline_s=2, patience_s=0.2)
        return ClintAccount(api, Directory(api))

    def sender(self, url: str = "", rate: str = "9999/second") -> DealSender:
        """Return a sender of a process that has just started."""
        account = self.account(url, rate)

        def find(*, anew: bool = False) -> ClintAccount | None:
            return (self.new_account if anew else None) or account

        sender = DealSender(self.journal, find, self.clock, appears_s=APPEARS_S)
        self._opened.callback(sender.close)
        return sender

    def deliverer(self, sender: DealSender | None, attempts: int = 5) -> Deliverer:
        """Return the sending half of a worker."""
        rules = DeliveryRules(RetryPolicy(10, 60, attempts), CircuitLimits(self.failures, 20, 4), 8, 3_000)
        return Deliverer(self.journal, self.webhooks, self.urls, rules, self.clock, lambda: 0.5, deals=sender)

    def owe(self, text: str = "", **more: Any) -> int:
        """Owe a delivery to the API destination, or another one."""
        told = {"destination": "vendas", "skip_stale": False, **more}
        return owe(self.journal, payload=text or payload(), **told)

    def lease(self, customer: str = "cus_1") -> Lease:
        """Lease a customer's lane."""
        lane = lane_of("default", customer, self.journal.lane_count)
        lease = acquire(self.journal.lanes, lane, "worker", self.clock())
        assert lease is not None
        return lease

    def work(self, *, customer: str = "cus_1", sender: DealSender | None = None, attempts: int = 5) -> None:
        """Send what is due in a customer's lane, by a worker that has just started."""
        lease = self.lease(customer)
        deliverer = self.deliverer(sender or self.sender(), attempts)
        while True:
            turn = deliverer.turn([lease], [lease], lambda: False)
            assert not turn.lost
            if deliverer.in_flight:
                deliverer.wait(5)
            elif not turn.more:
                break
        self.journal.lanes.release_all([lease])

    def sends(self, text: str = "", **more: Any) -> str:
        """Owe a delivery, send it, and return the code of its last attempt."""
        id_ = self.owe(text, **more)
        self.work()
        return self.code(id_)

    def resume(self) -> None:
        """Resume the destination, as a person does."""
        with self.journal.database.write() as connection:
            destinations.resume(connection, "vendas", self.clock())

    def code(self, id_: int) -> str:
        """Return the code of a delivery's last attempt."""
        return str(tries_of(self.journal, id_)[-1]["code"])

    def state(self, id_: int) -> str:
        """Return a delivery's state."""
        return str(row_of(self.journal, id_)["state"])

    def deal(self) -> dict[str, Any]:
        """Return the only deal."""
        (deal,) = self.clint.judged(KEY_FIELD)
        return deal

    def place(self) -> tuple[str, str]:
        """Return stage and status of the only deal."""
        deal = self.deal()
        return deal["stage"], deal["status"]

    def requests(self, work: Callable[[], object]) -> list[str]:
        """Return the writes, as method and path's kind, that the simulator was sent meanwhile."""
        before = len(self.clint.crm.writes.all)
        work()
        return [f"{write.by} {write.what}" for write in self.clint.crm.writes.all[before:]]


@pytest.fixture
def world(database_url: str) -> Iterator[World]:
    """Give an empty world on each database."""
    with opened_journal(database_url) as journal, closing(World(journal)) as world:
        yield world


# ---------------------------------------------------------------- one deal, from event to event


@on_both
def test_events_of_one_charge_make_and_move_one_deal(world: World) -> None:
    """Created with its contact, value, fields and key; moved and won by the next event; written no third time."""
    assert world.sends() == "clint.deal_created"
    (deal,) = world.clint.deals
    assert (deal["stage"], deal["status"], deal["value"]) == (NEW, "OPEN", 129.9)
    assert (deal["fields"][KEY_FIELD], deal["fields"]["vencimento"]) == ("pay_1", "10/12/2026")
    assert (deal["contact"]["name"], deal["contact"]["email"]) == ("Ana", "ana@example.com")

    paid = payload(funnel={"stage": PAID, "status": "won", "value": 130})
    assert world.sends(paid) == "clint.deal_updated"
    assert world.place() == (PAID, "WON")
    assert world.deal()["value"] == 130

    world.clint.knobs.turn(deal_extras=("value",))
    assert world.requests(lambda: world.sends(paid)) == []
    assert world.clint.count(KEY_FIELD) == {"pay_1": 1}
    assert len(world.clint.crm.contacts) == 1


def test_two_charges_of_one_customer_are_two_deals(world: World) -> None:
    """A webhook would put both onto one; here the contact is the same and the deals are two."""
    assert world.sends(payload("pay_1")) == "clint.deal_created"
    assert world.sends(payload("pay_2")) == "clint.deal_created"
    assert world.sends(payload("pay_1", funnel={"stage": PAID, "status": "won"})) == "clint.deal_updated"

    assert {(one["key"], one["stage"]) for one in world.clint.judged(KEY_FIELD)} == {("pay_1", PAID), ("pay_2", NEW)}
    assert len(world.clint.crm.contacts) == 1


def test_a_deal_that_begins_as_won_is_created_and_then_won(world: World) -> None:
    """Clint takes no status for a new deal."""
    assert world.sends(payload(funnel={"stage": PAID, "status": "won"})) == "clint.deal_created"
    assert world.deal()["places"] == [("api", PAID, "OPEN"), ("api", PAID, "WON")]


def test_without_a_stage_clint_chooses_one_and_it_stays(world: World) -> None:
    """A mapping that names neither stage nor status moves nothing, then or later."""
    bare = json.loads(payload())
    del bare["funnel"]["stage"]
    assert world.sends(json.dumps(bare)) == "clint.deal_created"
    assert world.place() == (NEW, "OPEN")

    world.clint.person.moves(world.deal()["id"], OVERDUE, "LOST")
    bare["vencimento"] = "11/12/2026"
    assert world.sends(json.dumps(bare)) == "clint.deal_updated"
    assert world.place() == (OVERDUE, "LOST")
    assert world.clint.deals[0]["fields"]["vencimento"] == "11/12/2026"


def test_user_tags_and_organization(world: World) -> None:
    """The user by e-mail; tags are added once and those of others stay."""
    more = {"tags": ["Asaas", "Cliente Ana"], "user": "vendas@example.com"}
    assert world.sends(payload(funnel=more, empresa="Loja da Ana", cidade="Recife")) == "clint.deal_created"
    (contact,) = world.clint.crm.contacts.values()
    (deal,) = world.clint.deals
    assert deal["user"]["full_name"] == "Vera Vendas"
    assert {tag["name"] for tag in contact["tags"]} == {"Asaas", "Cliente Ana"}

    assert world.sends(payload("pay_2", funnel={"tags": ["VIP", "asaas"]})) == "clint.deal_created"
    assert {tag["name"] for tag in contact["tags"]} == {"Asaas", "Cliente Ana", "VIP"}


# ---------------------------------------------------------------- contacts


def test_a_contact_is_found_by_phone_and_never_blanked(world: World) -> None:
    """An unknown e-mail and a known phone: the same contact, which keeps what the payload does not have."""
    old = world.clint.crm.keep_contact(None, "11987654321", "Ana Maria", {"cidade": "Olinda"})
    person = {"email": "nova@example.com", "telefone": ANA["telefone"], "nome": ""}

    assert world.sends(payload(person=person, cidade="")) == "clint.deal_created"

    assert list(world.clint.crm.contacts) == [old["id"]]
    assert (old["name"], old["email"]) == ("Ana Maria", "nova@example.com")
    assert old["fields"]["cidade"] == "Olinda"
    assert world.clint.deals[0]["contact"]["id"] == old["id"]


@pytest.mark.parametrize("order", [["email", "phone"], ["phone", "email"], ["phone"]])
def test_the_order_of_finding_is_the_mappings(world: World, order: list[str]) -> None:
    """E-mail of one contact and phone of another: the first of the order has the deal."""
    by_email = world.clint.crm.keep_contact("ana@example.com", None, "A", {})
    by_phone = world.clint.crm.keep_contact(None, "11987654321", "B", {})
    world.sends(payload(funnel={"find_contact_by": order}))

    (deal,) = world.clint.deals
    assert deal["contact"]["id"] == (by_email if order[0] == "email" else by_phone)["id"]


def test_a_contact_that_lists_do_not_show_yet_is_not_made_again(world: World) -> None:
    """The second charge of a new customer comes before Clint lists the contact."""
    world.clint.knobs.turn(contacts_late_s=3600.0, late_s=3600.0)
    assert world.sends(payload("pay_1")) == "clint.deal_created"
    assert world.sends(payload("pay_2")) == "clint.deal_created"

    assert len(world.clint.crm.contacts) == 1
    assert world.clint.count(KEY_FIELD) == {"pay_1": 1, "pay_2": 1}


def test_no_contact_can_be_found_without_email_and_phone(world: World) -> None:
    """Nothing is written, and the reason is that of the webhook's payloads."""
    assert world.sends(payload(person={"nome": "Ana"})) == "transform.no_contact"
    assert world.clint.deals == []


# ---------------------------------------------------------------- lost answers and late lists


@on_both
@pytest.mark.parametrize("lost", [1, 2, 3, 4])
@pytest.mark.parametrize("late", [False, True])
def test_a_lost_answer_to_any_write_makes_nothing_twice(world: World, lost: int, late: bool) -> None:
    """The contact, the deal, its status, its tags: each is done and its answer lost; lists may show it late."""
    if late:
        world.clint.knobs.turn(contacts_late_s=3600.0, late_s=3600.0)
    text = payload(funnel={"stage": PAID, "status": "won", "tags": ["Asaas"]})
    id_ = world.owe(text)
    limits: dict[str, Any] = {"path": "/v1", "method": "POST", "times": 1}
    for _ in range(lost - 1):
        world.clint.faults.hangs(0, **limits)  # the writes before are let through
    world.clint.faults.breaks("closes", **limits)

    world.work()
    assert world.state(id_) == "retrying"
    for _ in range(3):
        world.clock.go(20)
        world.work()
    world.clint.knobs.turn(contacts_late_s=0.0, late_s=0.0)
    for _ in range(3):
        world.clock.go(APPEARS_S)
        world.work()

    assert world.state(id_) == "delivered"
    assert world.clint.count(KEY_FIELD) == {"pay_1": 1}
    assert world.place() == (PAID, "WON")
    (contact,) = world.clint.crm.contacts.values()
    assert [tag["name"] for tag in contact["tags"]] == ["Asaas"]


def test_nothing_is_created_again_while_the_first_one_may_appear(world: World) -> None:
    """A create that was not done is made again after the wait, and the waiting burns no attempt."""
    world.sends(payload("pay_0"))
    world.clint.faults.answers(500, path="/v1/deals", method="POST", times=1)
    id_ = world.owe()
    world.work()
    assert world.code(id_) == "clint.create_unknown"
    for _ in range(4):
        world.clock.go(10)
        world.work()
        assert world.clint.count(KEY_FIELD) == {"pay_0": 1}
    assert world.code(id_) == "clint.deal_may_appear"
    row = row_of(world.journal, id_)
    assert row["attempts"] - row["forgiven"] == 1

    world.clock.go(APPEARS_S)
    world.work()
    assert world.code(id_) == "clint.deal_created"
    assert world.clint.count(KEY_FIELD) == {"pay_0": 1, "pay_1": 1}


def test_a_contact_is_not_created_again_while_the_first_one_may_appear(world: World) -> None:
    """As for deals: an unknown create is waited for, looked for, and only then made again."""
    world.clint.faults.answers(500, path="/v1/contacts", method="POST", times=1)
    id_ = world.owe()
    world.work()
    assert world.code(id_) == "clint.create_unknown"
    world.clock.go(20)
    world.work()
    assert world.code(id_) == "clint.contact_may_appear"
    assert world.clint.crm.contacts == {}

    world.clock.go(APPEARS_S)
    world.work()
    assert world.code(id_) == "clint.deal_created"
    assert len(world.clint.crm.contacts) == 1


def test_a_deal_that_is_removed_while_it_is_changed_is_read_again(world: World) -> None:
    """The next try finds it removed, and does what the mapping says."""
    world.sends()
    id_ = world.owe(payload(funnel={"stage": PAID}))

    def may_start() -> bool:
        for deal_id in list(world.clint.crm.deals):
            world.clint.person.deletes(deal_id)
        return True

    answer = world.sender().send(owed(world.journal, id_), world.lease(), "Vendas", may_start)
    assert answer is not None
    assert answer.code == "clint.deal_gone"
    world.clock.go(60)
    world.work()
    assert world.code(id_) == "clint.deal_removed"


def test_a_journal_that_is_away_in_the_middle_leaves_a_mark(world: World) -> None:
    """The deal is created and its id can't be noted: the next try finds it by its key."""
    world.clint.knobs.turn(deal_extras=("value",))
    world.sends(payload("pay_0"))
    world.owe()
    (id_,) = [row["id"] for row in rows_of(world.journal) if row["state"] == "pending"]
    path = str(world.journal.database.url.database)
    answers: SimpleQueue[Any] = SimpleQueue()
    with closing(sqlite3.connect(path, isolation_level=None, check_same_thread=False)) as other:
        asked: list[int] = []

        def may_start() -> bool:
            asked.append(1)
            if len(asked) == 2:  # the mark is committed
                other.execute("BEGIN IMMEDIATE")
            return True

        world.sender().send_later(owed(world.journal, id_), world.lease(), "Vendas", answers.put, may_start=may_start)
        answer = answers.get(timeout=30)
        other.execute("ROLLBACK")

    assert answer.code == "clint.not_recorded"
    assert world.clint.count(KEY_FIELD) == {"pay_0": 1, "pay_1": 1}
    world.clock.go(APPEARS_S)
    world.work()
    assert world.code(id_) == "clint.deal_unchanged"
    assert world.clint.count(KEY_FIELD) == {"pay_0": 1, "pay_1": 1}


def test_a_request_whose_turn_is_far_away_burns_no_attempt(world: World) -> None:
    """The rate of the token is used up: the delivery waits and counts no try."""
    id_ = world.owe()
    world.work(sender=world.sender(rate="2/minute"))

    row = row_of(world.journal, id_)
    assert (row["reason_code"], row["attempts"] - row["forgiven"]) == ("clint.api_turn", 0)
    assert world.clint.deals == []


def test_a_status_that_can_not_be_listed_keeps_the_deal_from_being_made(world: World) -> None:
    """Could not look everywhere is not the same as: there is none."""
    world.clint.crm.keep_contact("ana@example.com", None, "Ana", {})
    world.clint.lists_fail("WON", times=1)
    id_ = world.owe()
    world.work()
    assert world.code(id_) == "clint.not_everywhere"
    assert world.clint.deals == []

    world.clock.go(60)
    world.work()
    assert world.clint.count(KEY_FIELD) == {"pay_1": 1}


@pytest.mark.parametrize("status", ["OPEN", "WON", "LOST"])
def test_a_deal_that_the_journal_does_not_know_is_found_by_its_key(world: World, status: str) -> None:
    """After a restore from a backup the deal is adopted, whichever status it has."""
    world.sends(payload(funnel={"stage": PAID, "status": status.lower()}))
    with world.journal.database.write() as connection:
        connection.exec_driver_sql("DELETE FROM deals")
        connection.exec_driver_sql("DELETE FROM deal_contacts")

    assert world.sends(payload(funnel={"stage": REFUNDED, "status": "lost"})) == "clint.deal_updated"
    assert world.clint.count(KEY_FIELD) == {"pay_1": 1}
    assert world.place() == (REFUNDED, "LOST")


@pytest.mark.parametrize(
    ("how", "stage", "status", "own"),
    [
        ("keep", OVERDUE, "OPEN", ["open", "won", "lost"]),
        ("keep", NEW, "LOST", ["won"]),
        ("override", OVERDUE, "LOST", ["won"]),
    ],
)
def test_an_adopted_deal_where_no_event_puts_it_is_a_persons(
    world: World, how: str, stage: str, status: str, own: list[str]
) -> None:
    """The journal was restored and knows nothing of the deal; it stays so over all later events."""
    told = {"moved_by_person": how, "own_statuses": own}
    world.sends(payload(funnel=told))
    world.clint.person.moves(world.deal()["id"], stage, status)
    with world.journal.database.write() as connection:
        connection.exec_driver_sql("DELETE FROM deals")

    for value in (1, 2):
        world.sends(payload(funnel={**told, "stage": PAID, "status": "won", "value": value}))
    assert world.place() == ((stage, status) if how == "keep" else (PAID, "WON"))
    assert world.deal()["value"] == 2


def test_two_deals_with_one_key_are_a_notice_and_never_a_third(world: World) -> None:
    """The bridge goes on with the oldest one and says which they are."""
    contact = world.clint.crm.keep_contact("ana@example.com", None, "Ana", {})
    origin = world.clint.crm.origin("Vendas")
    stage = world.clint.crm.stage_id(origin["id"], NEW)
    first, second = (
        world.clint.crm.add_deal(origin["id"], contact, stage, fields={KEY_FIELD: "pay_1"}) for _ in range(2)
    )
    assert world.sends(payload(funnel={"stage": PAID})) == "clint.deal_updated"

    assert world.clint.count(KEY_FIELD) == {"pay_1": 2}
    assert [one["stage"] for one in world.clint.judged(KEY_FIELD)] == [PAID, NEW]
    with world.journal.database.read() as connection:
        (notice,) = notices.open_notices(connection, [DOUBLED])
    assert first["id"] in notice.detail
    assert second["id"] in notice.detail


def test_a_key_that_clint_does_not_keep_stops_the_destination(world: World) -> None:
    """Without it a deal could not be found again; the one that was made is known, and no second is made."""
    world.clint.knobs.turn(unknown_fields="drop")
    text = payload(funnel={"key_field": "chave_nossa"})
    id_ = world.owe(text)
    world.work()
    assert world.code(id_) == "clint.key_not_kept"
    assert row_of(world.journal, id_)["waiting"] == "paused"

    world.clint.crm.add_field("DEAL", "chave_nossa")
    world.resume()
    world.work()
    assert world.state(id_) == "delivered"
    assert world.clint.count("chave_nossa") == {"pay_1": 1}


def test_without_its_field_no_deal_is_made_and_none_twice(world: World) -> None:
    """The field goes after the account was read, and the answer to the create is lost: no second deal is made.

    The deal without a key is named; with its key it goes on.
    """
    world.clock.now_ms = round(time.time() * 1000)
    sender = world.sender()
    world.owe(payload("pay_0"))
    world.work(sender=sender)
    world.clint.knobs.turn(unknown_fields="drop")
    del world.clint.crm.fields["DEAL"][KEY_FIELD]
    world.clint.faults.breaks("closes", path="/v1/deals", method="POST", times=1)
    id_ = world.owe()
    world.work(sender=sender)
    assert world.code(id_) == "clint.create_unknown"
    for _ in range(2):
        world.clock.go(80)
        world.resume()
        world.work(sender=sender)
        assert world.code(id_) == "clint.key_not_kept"
        assert row_of(world.journal, id_)["waiting"] == "paused"
    assert len(world.clint.deals) == 2

    world.clint.crm.add_field("DEAL", KEY_FIELD)
    world.resume()
    world.work(sender=sender)
    lost = next(deal for deal in world.clint.crm.deals.values() if KEY_FIELD not in deal["fields"])
    assert (row_of(world.journal, id_)["reason_code"], len(world.clint.deals)) == ("clint.key_not_kept", 2)
    assert lost["id"] in read_message(row_of(world.journal, id_)["reason"]).text()

    world.clint.crm.change_deal(lost, "person", {KEY_FIELD: "pay_1"})
    world.resume()
    world.work(sender=sender)
    assert world.state(id_) == "delivered"
    assert world.clint.count(KEY_FIELD) == {"pay_0": 1, "pay_1": 1}


def test_where_the_list_of_fields_says_nothing_a_deal_without_a_key_is_not_made_twice(world: World) -> None:
    """The document's shape has no keys; the contact's new deal, with nothing else than this one's, is named."""
    world.clock.now_ms = round(time.time() * 1000)
    world.clint.knobs.turn(unknown_fields="drop", fields_shape="single", deal_extras=("value",))
    contact = world.clint.crm.keep_contact("ana@example.com", None, "Ana", {})
    origin = world.clint.crm.origin("Vendas")
    stage = world.clint.crm.stage_id(origin["id"], NEW)
    world.clint.crm.add_deal(origin["id"], contact, stage, value=5.0)  # a person's, of another value
    del world.clint.crm.fields["DEAL"][KEY_FIELD]
    world.clint.faults.breaks("closes", path="/v1/deals", method="POST", times=1)
    id_ = world.owe()
    world.work()
    world.clock.go(80)
    world.work()

    assert row_of(world.journal, id_)["reason_code"] == "clint.key_not_kept"
    assert len(world.clint.deals) == 2


def test_a_field_that_goes_while_the_worker_runs_is_noticed_at_the_next_deal(world: World) -> None:
    """The deal that was made says so; a resume without the field pauses again; with it the deal gets its key."""
    sender = world.sender()
    world.owe(payload("pay_0"))
    world.work(sender=sender)
    world.clint.knobs.turn(unknown_fields="drop")
    del world.clint.crm.fields["DEAL"][KEY_FIELD]
    id_ = world.owe()
    world.work(sender=sender)
    assert world.code(id_) == "clint.key_not_kept"

    world.resume()
    world.work(sender=sender)
    assert world.code(id_) == "clint.key_not_kept"
    assert row_of(world.journal, id_)["waiting"] == "paused"

    world.clint.crm.add_field("DEAL", KEY_FIELD)
    world.resume()
    world.work(sender=sender)
    assert world.state(id_) == "delivered"
    assert world.clint.count(KEY_FIELD) == {"pay_0": 1, "pay_1": 1}


def test_a_key_that_is_lost_later_is_written_again_or_pauses(world: World) -> None:
    """The next event of the deal writes it; where Clint does not keep it the destination pauses."""
    world.sends()
    (deal,) = world.clint.crm.deals.values()
    del deal["fields"][KEY_FIELD]
    assert world.sends() == "clint.deal_updated"
    assert world.clint.count(KEY_FIELD) == {"pay_1": 1}

    world.clint.knobs.turn(unknown_fields="drop")
    del deal["fields"][KEY_FIELD]
    del world.clint.crm.fields["DEAL"][KEY_FIELD]
    world.clint.knobs.turn(fields_shape="single")  # only the deal itself shows it
    assert world.sends(payload(funnel={"stage": PAID})) == "clint.key_not_kept"
    assert world.place() == (PAID, "OPEN")


def test_keys_that_clint_cuts_are_the_same_keys(world: World) -> None:
    """A field of 25 letters, of which the account keeps 20, is found and not written each time."""
    world.clint.crm.add_field("DEAL", "codigo_da_cobranca_asaas")
    world.clint.knobs.turn(key_length=20, deal_extras=("value",))
    text = payload(funnel={"key_field": "codigo_da_cobranca_asaas"})
    assert world.sends(text) == "clint.deal_created"
    assert world.sends(text) == "clint.deal_unchanged"
    with world.journal.database.write() as connection:
        connection.exec_driver_sql("DELETE FROM deals")
    assert world.sends(text) == "clint.deal_unchanged"
    assert len(world.clint.deals) == 1


# ---------------------------------------------------------------- people in Clint


@pytest.mark.parametrize("how", ["keep", "override"])
def test_a_deal_that_a_person_moved(world: World, how: str) -> None:
    """It stays where the person put it, with its values up to date, or goes where the mapping says."""
    told = {"moved_by_person": how}
    world.sends(payload(funnel=told))
    world.clint.person.moves(world.deal()["id"], OVERDUE, "LOST")

    code = world.sends(payload(funnel={**told, "stage": PAID, "status": "won", "value": 140}))

    assert code == ("clint.deal_kept" if how == "keep" else "clint.deal_updated")
    assert world.place() == ((OVERDUE, "LOST") if how == "keep" else (PAID, "WON"))
    assert world.deal()["value"] == 140
    world.sends(payload(funnel={**told, "stage": REFUNDED, "status": "lost"}))
    assert world.place() == ((OVERDUE, "LOST") if how == "keep" else (REFUNDED, "LOST"))


def test_a_deal_that_a_person_moved_back_is_the_bridges_again(world: World) -> None:
    """Where it stands as the bridge wrote it last, the next event moves it."""
    world.sends()
    world.clint.person.moves(world.deal()["id"], OVERDUE)
    world.sends(payload(funnel={"stage": PAID}))
    world.clint.person.moves(world.deal()["id"], NEW)
    world.sends(payload(funnel={"stage": PAID}))

    assert world.place() == (PAID, "OPEN")


def test_a_deal_that_a_person_moved_before_the_bridge_knew_of_it(world: World) -> None:
    """The answer to the create was lost and a person moved the deal: it stays there, over all later events."""
    world.sends(payload("pay_0"))
    world.clint.person.follows(1.0, OVERDUE, "LOST")
    world.clint.faults.breaks("closes", path="/v1/deals", method="POST", times=1)
    id_ = world.owe(payload("pay_1", funnel={"value": 1}))
    world.work()
    assert world.code(id_) == "clint.create_unknown"
    world.clock.go(60)
    world.work()
    for number in range(3):
        world.sends(payload("pay_1", funnel={"stage": PAID, "status": "won", "value": number}))

    (deal,) = [one for one in world.clint.judged(KEY_FIELD) if one["key"] == "pay_1"]
    assert (deal["stage"], deal["status"], deal["value"]) == (OVERDUE, "LOST", 2)


def test_a_list_that_shows_a_deal_as_it_was_is_not_believed(world: World) -> None:
    """The deal is found by its key where lists are late, and read by its id before anything is written."""
    world.sends(payload("pay_0"))
    world.clint.faults.breaks("closes", path="/v1/deals", method="POST", times=1)
    world.owe()
    world.work()
    world.clint.knobs.turn(late_s=1.0)
    time.sleep(1.1)  # lists show the deal from now on
    (deal,) = [one for one in world.clint.judged(KEY_FIELD) if one["key"] == "pay_1"]
    world.clint.person.moves(deal["id"], OVERDUE, "LOST")
    world.clock.go(60)
    world.work()
    world.sends(payload(funnel={"stage": PAID, "status": "won"}))

    assert world.clint.crm.writes.places(deal["id"])[-1] == ("person", OVERDUE, "LOST")


def test_an_update_whose_answer_was_lost_is_not_taken_for_a_persons(world: World) -> None:
    """The deal stands where the bridge wanted it: the next event moves it on."""
    world.sends()
    world.clint.faults.breaks("closes", path="/v1/deals/", method="POST", times=1)
    id_ = world.owe(payload(funnel={"stage": OVERDUE}))
    world.work()
    assert world.code(id_) == "clint.update_unknown"
    world.clock.go(60)
    world.work()
    assert world.state(id_) == "delivered"

    assert world.sends(payload(funnel={"stage": PAID, "status": "won"})) == "clint.deal_updated"
    assert world.place() == (PAID, "WON")


@on_both
@pytest.mark.parametrize("how", ["leave", "make_again"])
def test_a_deal_that_was_removed_in_clint(world: World, how: str) -> None:
    """It is made again only if the mapping says so; otherwise the delivery ends as discarded, with that reason."""
    told = {"removed": how}
    world.sends(payload(funnel=told))
    world.clint.person.deletes(world.deal()["id"])
    id_ = world.owe(payload(funnel={**told, "stage": PAID}))
    world.work()

    row = row_of(world.journal, id_)
    if how == "leave":
        assert (row["state"], row["reason_code"]) == ("discarded", "clint.deal_removed")
        assert world.clint.deals == []
    else:
        assert row["state"] == "delivered"
        assert world.place() == (PAID, "OPEN")
        assert world.sends(payload(funnel={**told, "status": "won"})) == "clint.deal_updated"
        assert world.clint.count(KEY_FIELD) == {"pay_1": 1}


def test_a_merged_contact_keeps_the_deal(world: World) -> None:
    """The deal is known by its id, whoever its contact is by now."""
    world.sends()
    other = world.clint.crm.keep_contact("outra@example.com", None, "Outra", {})
    world.clint.person.merges(next(iter(world.clint.crm.contacts)), other["id"])

    assert world.sends(payload(funnel={"stage": PAID})) == "clint.deal_updated"
    assert world.clint.count(KEY_FIELD) == {"pay_1": 1}


# ---------------------------------------------------------------- answers


@pytest.mark.parametrize(
    ("status", "code", "waiting"),
    [
        (401, "clint.token", "paused"),
        (403, "clint.plan", "paused"),
        (429, "clint.http_429", "backoff"),
        (503, "clint.http_503", "backoff"),
    ],
)
def test_what_clint_answers_is_a_reason_of_its_own(world: World, status: int, code: str, waiting: str) -> None:
    """Token and plan pause the destination, for every delivery alike; what passes is tried again."""
    world.clint.faults.answers(status, {"Retry-After": "30"}, path="/v1", times=1)
    id_ = world.owe()
    world.work()
    row = row_of(world.journal, id_)

    assert (row["reason_code"], row["waiting"]) == (code, waiting)
    assert world.clint.deals == []
    with world.journal.database.read() as connection:
        (kept,) = destinations.load(connection).values()
    assert pause_code(kept.paused_reason) == (code if waiting == "paused" else "")


@pytest.mark.parametrize("status", [401, 403])
def test_a_token_that_was_changed_meanwhile_pauses_nothing(world: World, status: int) -> None:
    """What Clint says of the one before says nothing of the new one; the delivery goes on, and no try is counted."""
    world.clint.faults.answers(status, path="/v1", times=1)
    world.new_account = world.account()
    id_ = world.owe()
    world.work()
    row = row_of(world.journal, id_)

    assert (row["reason_code"], row["attempts"] - row["forgiven"]) == ("clint.token_changed", 0)
    with world.journal.database.read() as connection:
        assert destinations.load(connection)["vendas"].paused_ms is None
    world.clock.go(2)
    world.work()
    assert row_of(world.journal, id_)["state"] == "delivered"


def test_retry_after_is_kept_to(world: World) -> None:
    """The delivery is due no sooner than Clint says."""
    world.clint.faults.answers(429, {"Retry-After": "45"}, path="/v1/deals", method="POST", times=1)
    id_ = world.owe()
    world.work()

    assert row_of(world.journal, id_)["due_ms"] >= world.clock() + 45_000


@pytest.mark.parametrize("down", [True, False])
def test_only_a_clint_that_does_nothing_opens_the_circuit(world: World, down: bool) -> None:
    """Lost answers and 429 beside requests that are done are the delivery's own; a Clint that is down is let alone."""
    world.failures = 2
    if down:
        world.clint.faults.goes_down()
    else:
        world.clint.faults.breaks("closes", path="/v1/deals", method="POST", times=4)
        world.clint.faults.answers(429, path="/v1/contacts", method="POST", times=4)
    customers = [f"cus_{number}" for number in range(4)]
    ids = [
        world.owe(payload(f"pay_{name}", {"nome": name, "email": f"{name}@example.com"}), customer=name)
        for name in customers
    ]
    for name in customers:
        world.work(customer=name)
    with world.journal.database.read() as connection:
        state = destinations.load(connection)["vendas"].state
    assert state == ("open" if down else "closed")
    if down:
        late = world.owe(payload("pay_late"), customer="cus_late")
        world.work(customer="cus_late")
        assert tries_of(world.journal, late) == []
    if not down:
        for _ in range(5):
            world.clock.go(80)
            for name in customers:
                world.work(customer=name)
        assert world.clint.count(KEY_FIELD) == {f"pay_{name}": 1 for name in customers}
        assert {world.state(id_) for id_ in ids} == {"delivered"}


def test_a_clint_that_can_not_be_reached_is_tried_again(world: World) -> None:
    """Nothing was sent for certain, so nothing has to be waited for."""
    id_ = world.owe()
    with closed_port() as port:
        world.work(sender=world.sender(f"http://127.0.0.1:{port}"))
    assert world.code(id_) == "clint.connection"

    world.clock.go(60)
    world.work()
    assert world.code(id_) == "clint.deal_created"


def test_a_refused_field_is_dead_with_clints_words(world: World) -> None:
    """What was done so far stays noted: the fixed payload goes on with the same contact."""
    world.clint.knobs.turn(unknown_fields="refuse")
    places = {**{name: PLACES[name] for name in (*ANA, "titulo", "vencimento")}, "cor": "deal.fields"}
    id_ = world.owe(payload(funnel={"places": places}, **{}).replace('"titulo"', '"cor": "azul", "titulo"', 1))
    world.work()
    row = row_of(world.journal, id_)
    assert (row["state"], row["reason_code"]) == ("dead", "clint.refused")
    assert "cor" in read_message(row["reason"]).text()
    assert len(world.clint.crm.contacts) == 1

    assert world.sends() == "clint.deal_created"
    assert len(world.clint.crm.contacts) == 1


def test_an_unknown_stage_is_dead_and_an_unknown_origin_pauses(world: World) -> None:
    """The stage is the mapping's fault; the origin concerns every delivery of the destination."""
    id_ = world.owe(payload(funnel={"stage": "Pagas"}))
    world.work()
    row = row_of(world.journal, id_)
    assert (row["state"], row["reason_code"]) == ("dead", "clint.name_unknown")
    assert "Paga" in read_message(row["reason"]).text()

    world.clint.removes_origin("Vendas")
    id_ = world.owe()
    world.work()
    row = row_of(world.journal, id_)
    assert (row["reason_code"], row["waiting"]) == ("clint.origin_gone", "paused")
    assert world.clint.crm.deals == {}


def test_an_origin_that_is_removed_while_it_is_cached_pauses_too(world: World) -> None:
    """Clint's refusal of the create is followed by a look at the origins."""
    sender = world.sender()
    id_ = world.owe()
    world.work(sender=sender)
    world.clint.removes_origin("Vendas")
    id_ = world.owe(payload("pay_2"))
    world.work(sender=sender)

    assert row_of(world.journal, id_)["reason_code"] == "clint.origin_gone"


def test_after_a_resume_the_origin_is_looked_for_anew(world: World) -> None:
    """The same process has just read that it is gone; it is there again, and the delivery goes."""
    sender = world.sender()
    id_ = world.owe(payload(funnel={"origin": "Pós-venda"}))
    world.work(sender=sender)
    assert row_of(world.journal, id_)["reason_code"] == "clint.origin_gone"
    world.clint.crm.origin("Vendas")["name"] = "Pós-venda"
    world.resume()
    world.work(sender=sender)
    assert world.state(id_) == "delivered"


def test_a_payload_of_a_webhook_is_dead_and_says_to_replay(world: World) -> None:
    """It was decided before the destination became an origin, so nothing says which deal it is about."""
    id_ = world.owe(json.dumps(ANA))
    world.work()

    assert row_of(world.journal, id_)["reason_code"] == "clint.other_kind"


def test_without_a_token_deliveries_wait(world: World) -> None:
    """Nothing is sent to the text of an origin, and nothing is lost."""
    id_ = world.owe()
    lease = world.lease()
    world.deliverer(None).turn([lease], [lease], lambda: False)

    row = row_of(world.journal, id_)
    assert (row["reason_code"], row["attempts"]) == ("destination.no_token", 0)


# ---------------------------------------------------------------- who works on a key


def claimed(world: World, claim: Claim, key: str = "pay_1") -> StoredDeal:
    """Let another worker have the key."""
    with world.journal.database.write() as connection:
        origin_id = world.clint.crm.origin("Vendas")["id"]
        row = deals.claim_deal(connection, origin_id, key, ("default", "cus_9"), claim, world.clock())
    assert row is not None
    return row


@on_both
def test_a_key_that_another_delivery_has_is_waited_for(world: World) -> None:
    """No request is made meanwhile and no attempt burnt; when the other's lease is over, the key is free."""
    claimed(world, Claim(99, 1, 99, world.clock() + 30_000))
    id_ = world.owe()
    for _ in range(7):
        world.work()
        assert world.code(id_) == "clint.key_busy"
        world.clock.go(2)
    assert world.clint.deals == []

    world.clock.go(30)
    world.work()
    assert world.code(id_) == "clint.deal_created"


@on_both
@pytest.mark.parametrize("same_person", [True, False])
def test_two_workers_with_one_key_make_one_deal(world: World, same_person: bool) -> None:
    """Lanes of two customers, the same key or the same e-mail: whichever comes first, the other goes on from there."""
    lanes = {lane_of("default", f"cus_{n}", world.journal.lane_count): f"cus_{n}" for n in range(2, 200)}
    lanes.pop(lane_of("default", "cus_1", world.journal.lane_count), None)
    other = next(iter(lanes.values()))
    keys = ("pay_1", "pay_2") if same_person else ("pay_1", "pay_1")
    ids = [world.owe(payload(keys[0])), world.owe(payload(keys[1], funnel={"stage": PAID}), customer=other)]
    world.clint.faults.is_slow(0.02)

    for _ in range(6):
        workers = [threading.Thread(target=world.work, kwargs={"customer": name}) for name in ("cus_1", other)]
        for worker in workers:
            worker.start()
        for worker in workers:
            worker.join()
        if {world.state(id_) for id_ in ids} == {"delivered"}:
            break
        world.clock.go(2)

    assert {world.state(id_) for id_ in ids} == {"delivered"}
    assert world.clint.count(KEY_FIELD) == dict.fromkeys(keys, 1)
    assert len(world.clint.crm.contacts) == 1


def test_two_destinations_of_one_origin_have_one_deal(world: World) -> None:
    """One names the origin, the other has its id; no list shows the deal of the first, so only the journal knows it."""
    world.clint.knobs.turn(late_s=3600.0)
    world.urls["cobrancas"] = origin_url(world.clint.crm.origin("Vendas")["id"])
    register(world.journal, **world.urls)

    assert world.sends() == "clint.deal_created"
    assert world.sends(payload(funnel={"stage": PAID}), destination="cobrancas") == "clint.deal_updated"
    assert world.place() == (PAID, "OPEN")


@pytest.mark.parametrize("how", ["keep", "override"])
def test_another_destination_of_the_origin_keeps_a_persons_place(world: World, how: str) -> None:
    """`send_to` is changed to a destination that is the same origin: what a person did stays so."""
    world.urls["cobrancas"] = origin_url("Vendas")
    register(world.journal, **world.urls)
    world.sends(payload(funnel={"moved_by_person": how}))
    world.clint.person.moves(world.deal()["id"], OVERDUE, "LOST")
    world.sends(payload(funnel={"moved_by_person": how, "stage": PAID, "status": "won"}), destination="cobrancas")

    assert world.place() == ((OVERDUE, "LOST") if how == "keep" else (PAID, "WON"))


@on_both
def test_a_claim_that_is_lost_in_the_middle_ends_the_work(world: World) -> None:
    """The lane's next owner takes the key over while a request is under way: nothing more is written by the first."""
    sender, lease = world.sender(), world.lease()
    id_ = world.owe(payload(funnel={"stage": PAID, "status": "won"}))
    delivery = owed(world.journal, id_)
    taken: list[StoredDeal] = []

    def may_start() -> bool:
        deal_is_next = bool(world.clint.crm.contacts) and not taken
        if deal_is_next:
            taken.append(claimed(world, Claim(lease.lane, lease.fence + 1, id_, lease.until_ms + 30_000)))
        return True

    assert sender.send(delivery, lease, "Vendas", may_start) is None
    assert taken
    assert world.clint.deals == []
    again = replace(lease, fence=lease.fence + 1, until_ms=lease.until_ms + 30_000)
    answer = sender.send(delivery, again, "Vendas", lambda: True)
    assert answer is not None
    assert answer.code == "clint.deal_created"
    assert world.clint.count(KEY_FIELD) == {"pay_1": 1}


@pytest.mark.parametrize("last", range(5))
def test_nothing_is_written_that_could_outlast_the_lease(world: World, last: int) -> None:
    """Before every write the lease is looked at; the next owner goes on from the step that was noted."""
    sender, lease = world.sender(), world.lease()
    text = payload(funnel={"stage": PAID, "status": "won", "tags": ["Asaas"]})
    id_ = world.owe(text)
    delivery = owed(world.journal, id_)
    asked = 0

    def may_start() -> bool:
        nonlocal asked
        asked += 1
        return asked <= last

    assert sender.send(delivery, lease, "Vendas", may_start) is None
    world.clock.go(APPEARS_S + 10)
    later = replace(lease, fence=lease.fence + 1, until_ms=world.clock() + 30_000)
    answer = sender.send(delivery, later, "Vendas", lambda: True)
    assert answer is not None
    assert world.clint.count(KEY_FIELD) == {"pay_1": 1}
    assert world.place() == (PAID, "WON")
    assert len(world.clint.crm.contacts) == 1


def test_lint_knows_the_names_of_clint(tmp_path: Path) -> None:
    """The command asks Clint for the stages of the destination's origin, and says which one may be meant."""
    clint = ClintSimulator()
    with Served(clint.app) as served:
        commands = Commands(tmp_path)
        commands.environ |= {
            "CLINT_ORIGIN_VENDAS": "Vendas",
            "CLINT_API_TOKEN": DEFAULT_TOKEN,
            "CLINT_API_URL": served.url,
            "BRIDGE_ALLOW_PRIVATE_DESTINATIONS": "1",
        }
        place = tmp_path / "vendas.yaml"
        place.write_text(
            "events: [PAYMENT_RECEIVED]\ncontact: {email: customer.email}\nfunnel: {stage: {text: Pagas}}\n"
            "send_to: vendas\n"
        )
        said = commands.run("mappings", "lint", str(place), "--json")

    (found,) = [one for one in said.json if "Pagas" in str(one)]
    assert "Paga?" in str(found)
