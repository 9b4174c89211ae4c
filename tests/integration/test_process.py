"""The deciding half of a drain, with real mappings in a real journal; only Asaas is played."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping
from dataclasses import replace
from typing import Any

import pytest

from bridge.asaas.incoming import parse_event
from bridge.errors import (
    AsaasKeyRefused,
    AsaasRateLimited,
    AsaasRejected,
    AsaasUnavailable,
    BridgeError,
    JournalError,
)
from bridge.journal import Journal, Lease, encryption, notices, privacy, revisions
from bridge.journal.audit import Actor
from bridge.journal.search import Kind
from bridge.mapping import Setup, parse_mapping
from bridge.messages import read_message
from bridge.model import IncomingEvent, lane_of
from bridge.operations import actions
from bridge.pipeline.active_mappings import ActiveMappings
from bridge.pipeline.decide import Decider
from bridge.pipeline.enrich import Cache, Enricher, Lifetimes
from bridge.redis_client import OptionalRedis
from tests.databases import on_both
from tests.factories import (
    Clock,
    LeaseLost,
    acquire,
    envelope,
    events_of,
    incoming,
    keep,
    opened_journal,
    payment,
    rows_of,
)

PAID = """
events: [PAYMENT_RECEIVED]
contact: {email: customer.email}
deal: {valor: money(payment.value), descricao: payment.description}
"""
CREATED = """
events: [PAYMENT_CREATED]
contact: {email: "'ana@example.com'"}
deal: {codigo: payment.id}
"""
STRICT = """
events: [PAYMENT_CREATED]
contact: {email: "'ana@example.com'"}
deal: {pedido: {from: payment.externalReference, required: true}}
"""

Says = Callable[[str, str], dict[str, Any] | None]


class Asaas:
    """The API of an account, which answers or fails as it is told."""

    def __init__(self) -> None:
        self.asked: list[str] = []
        self.says: Says = lambda name, id_: {"id": id_, "name": id_, "email": f"{id_}@example.com"}

    def get_object(self, name: str, object_id: str) -> dict[str, Any] | None:
        """Note what was asked and answer."""
        self.asked.append(f"{name} {object_id}")
        return self.says(name, object_id)

    def fails(self, error: BridgeError, *ids: str) -> None:
        """Fail for these ids, or for all."""

        def says(_name: str, id_: str) -> dict[str, Any]:
            if not ids or id_ in ids:
                raise error
            return {"id": id_, "email": f"{id_}@example.com"}

        self.says = says


class World:
    """One journal, one Asaas, one clock, and the processor between them."""

    def __init__(self, journal: Journal) -> None:
        self.journal = journal
        self.clock = Clock()
        self.asaas = Asaas()
        self.enricher = Enricher(
            {"default": self.asaas}, Cache(OptionalRedis(None), Lifetimes(customer_s=0, nothing_s=0)), at_once=4
        )
        self.mappings = ActiveMappings(journal, self.clock)
        self.environments: list[str] = []

    def processor(self, batch: int = 50) -> Decider:
        """Return a processor with batches of that size."""
        return Decider(self.journal, self.mappings, self.enricher, self.environment, self.clock, batch)

    def environment(self, account: str) -> str:
        """Return the account's environment."""
        self.environments.append(account)
        return "sandbox"

    def maps(self, **texts: str | None) -> None:
        """Make these texts the newest revisions of their mappings; they must be able to run."""
        for name, text in texts.items():
            read = parse_mapping(text, name, Setup(None, None)) if text else None
            assert read is None or read.mapping is not None, read.findings
        self.stores(**texts)

    def stores(self, **texts: str | None) -> None:
        """Make these texts the newest revisions of their mappings, whether they can run or not."""
        with self.journal.database.write() as connection:
            for name, text in texts.items():
                revisions.import_text(connection, name, text, "file", "test", self.clock())
        self.clock.go(1.001)  # a process looks once a second

    def lease(self, customer: str = "cus_1") -> Lease:
        """Lease that customer's lane."""
        lane = lane_of("default", customer, self.journal.lane_count)
        lease = acquire(self.journal.lanes, lane, "worker", self.clock())
        assert lease is not None
        return lease

    def run(self, customer: str = "cus_1", batch: int = 50) -> bool:
        """Process one batch of that customer's lane."""
        lease = self.lease(customer)
        try:
            return self.process(lease, batch)
        finally:
            self.journal.lanes.release_all([lease])

    def process(self, lease: Lease, batch: int = 50) -> bool:
        """Process one batch under that lease; return whether any event was processed."""
        processor = self.processor(batch)
        processed = False
        for found in processor.next_batches([lease.lane]):
            done, lost = processor.commit([lease], processor.fetch(found) if found.must_fetch else found)
            if lost:
                raise LeaseLost
            processed = processed or done
        return processed

    def verdicts(self) -> list[tuple[Any, ...]]:
        """Return mapping, state and reason code of each delivery."""
        return [(row["mapping"], row["state"], row["reason_code"]) for row in rows_of(self.journal)]

    def same_lane(self, number: int) -> list[str]:
        """Return customers of one lane."""
        wanted = lane_of("default", "cus_1", self.journal.lane_count)
        names = (f"cus_{n}" for n in range(1, 10_000))
        found = [name for name in names if lane_of("default", name, self.journal.lane_count) == wanted]
        return found[:number]


@pytest.fixture
def world(database_url: str) -> Iterator[World]:
    """Give an empty world on each database."""
    with opened_journal(database_url) as journal:
        yield World(journal)


def about(body: Mapping[str, Any], **changes: Any) -> IncomingEvent:
    """Return the event of an envelope about a charge."""
    event = incoming(body["payment"]["customer"])
    return replace(
        event,
        key=body["id"],
        name=body["event"],
        object_id=body["payment"]["id"],
        created=body["dateCreated"],
        body=json.dumps(body),
        **changes,
    )


@on_both
def test_an_event_becomes_a_delivery(world: World) -> None:
    """The payload is the mapping's, with what Asaas said of the customer; the event is processed."""
    world.maps(paga=PAID)
    keep(world.journal, incoming())

    assert world.run()
    (row,) = rows_of(world.journal)
    assert json.loads(row["payload"]) == {
        "email": "cus_1@example.com",
        "valor": "129.90",
        "descricao": "Mensalidade",
    }
    expected = {
        "mapping": "paga",
        "state": "pending",
        "subject": "cus_1",
        "line": "default",
        "destination": "default",
        "object_id": "pay_1",
        "order_at": "2026-11-22 10:00:00",
        "skip_stale": True,
        "replay": 0,
        "due_ms": world.clock(),
    }
    assert expected.items() <= row.items()
    (event,) = events_of(world.journal)
    assert (event["state"], event["processed_ms"]) == ("processed", world.clock())
    assert not world.run(), "nothing is left"


def test_an_event_that_nobody_listens_to_is_processed(world: World) -> None:
    """No mapping, no delivery, and nothing is asked of Asaas."""
    world.maps(criada=CREATED, outra_conta=f"account: matriz{PAID}", desligada=f"enabled: false{PAID}")
    keep(world.journal, incoming())

    assert world.run()
    assert world.verdicts() == []
    assert world.asaas.asked == []
    assert events_of(world.journal)[0]["state"] == "processed"


def test_a_filtered_event_costs_no_request(world: World) -> None:
    """A filter that needs nothing from Asaas is asked before anything is fetched."""
    world.maps(paga=f"filter: {{field: payment.value, greater_than: 1000}}{PAID}")
    keep(world.journal, incoming())
    world.run()

    assert world.verdicts() == [("paga", "filtered", "filter.compare")]
    assert world.asaas.asked == []
    assert read_message(rows_of(world.journal)[0]["reason"]).facts["operand"] == "1000"


def test_a_filter_may_need_what_asaas_knows(world: World) -> None:
    """Then it is fetched first, once for all mappings of the batch."""
    world.maps(
        paga=f"filter: {{field: customer.name, equals: cus_1}}{PAID}",
        outra=f"filter: {{field: customer.name, equals: cus_9}}{PAID}",
    )
    keep(world.journal, incoming(), incoming())
    world.run()

    assert world.verdicts() == [("outra", "filtered", "filter.compare"), ("paga", "pending", None)] * 2
    assert world.asaas.asked == ["customer cus_1"]


def test_which_instalment_it_is_asaas_may_have_to_say(world: World) -> None:
    """An anticipation names its charge only by id; with the charge fetched, the third instalment is not the first."""
    world.maps(adiantada=f"installments: first{PAID.replace('PAYMENT_RECEIVED', 'RECEIVABLE_ANTICIPATION_CREDITED')}")
    world.asaas.says = lambda name, id_: {
        "id": id_,
        "customer": "cus_1",
        "email": "ana@example.com",
        "value": 10,
        "installmentNumber": int(id_[-1]),
    }
    for number in (1, 3):
        anticipation = {"id": f"ant_{number}", "payment": f"pay_{number}"}
        body = {"id": f"evt_{number}", "event": "RECEIVABLE_ANTICIPATION_CREDITED", "anticipation": anticipation}
        event = parse_event("default", json.dumps(body).encode(), world.clock())
        keep(world.journal, replace(event, subject="cus_1"))
    world.run()

    assert world.verdicts() == [("adiantada", "pending", None), ("adiantada", "filtered", "filter.installment")]


@on_both
def test_the_events_of_a_customer_become_due_one_after_another(world: World) -> None:
    """In the order of arrival, over all mappings of a line; another line of the customer goes beside it."""
    world.maps(criada=CREATED, paga=PAID, erp=f"line: erp{PAID}")
    keep(world.journal, incoming(name="PAYMENT_CREATED"), incoming())
    world.run()

    rows = rows_of(world.journal)
    assert [(row["mapping"], row["due_ms"] is not None) for row in rows] == [
        ("criada", True),
        ("erp", True),
        ("paga", False),
    ]


def test_a_mapping_that_fails_on_an_event_makes_a_dead_delivery(world: World) -> None:
    """The reason stands in the journal; the other mappings and events go on."""
    world.asaas.says = lambda _name, _id: {"name": "sem e-mail"}
    world.maps(criada=CREATED, paga=PAID, exigente=STRICT)
    keep(world.journal, incoming(), incoming(name="PAYMENT_CREATED"))
    world.run()

    assert world.verdicts() == [
        ("paga", "dead", "transform.no_contact"),
        ("criada", "pending", None),
        ("exigente", "dead", "transform.required_missing"),
    ]
    assert all(row["payload"] is None for row in rows_of(world.journal) if row["state"] == "dead")
    assert {row["state"] for row in events_of(world.journal)} == {"processed"}


def test_a_filter_that_fails_makes_a_dead_delivery(world: World) -> None:
    """A condition that can't be told is not a no."""
    world.maps(paga=f"filter: {{field: payment.description, greater_than: 3}}{PAID}")
    keep(world.journal, incoming())
    world.run()

    assert world.verdicts() == [("paga", "dead", "filter.failed")]


@on_both
def test_texts_that_no_database_takes_do_not_stop_the_lane(world: World) -> None:
    """Half a character or a NUL in what a customer wrote is replaced, in the payload and in reasons."""
    world.maps(
        paga=PAID,
        filtrada=f"filter: {{field: payment.description, equals: x}}{PAID}",
        uma=f"installments: once{PAID}",
    )
    wild = "nul \x00 half \ud800 end"
    keep(world.journal, about(envelope(payment=payment(description=wild, installment=wild))))

    assert world.run()
    rows = {row["mapping"]: row for row in rows_of(world.journal)}
    assert json.loads(rows["paga"]["payload"])["descricao"].endswith("end")
    assert str(read_message(rows["filtrada"]["reason"])).count("nul") == 1
    assert rows["uma"]["state"] == "pending"


def test_an_event_waits_where_asaas_is_away(world: World) -> None:
    """It is not processed; the reason and the time of the next look stand beside it; then it goes on by itself."""
    world.maps(paga=PAID)
    world.asaas.fails(AsaasUnavailable())
    keep(world.journal, incoming())

    assert not world.run()
    (row,) = events_of(world.journal)
    assert (row["state"], row["due_ms"], row["hold_code"]) == ("received", world.clock() + 5_000, "asaas.unavailable")
    assert str(read_message(row["hold_reason"])) == "the Asaas API did not answer, or answered with a server error"
    assert not world.run(), "not before its time"
    world.asaas.says = Asaas().says
    world.clock.go(5)
    assert world.run()
    assert world.verdicts() == [("paga", "pending", None)]
    assert events_of(world.journal)[0]["hold_code"] is None


@pytest.mark.parametrize(
    ("error", "wait_ms"),
    [
        (AsaasUnavailable(retry_after_s=7.5), 7_500),
        (AsaasRateLimited(retry_after_s=42), 42_000),
        # Without a floor the lane's worker would ask again and again without a pause.
        (AsaasRateLimited(retry_after_s=0), 1_000),
        (AsaasKeyRefused(), 60_000),
    ],
)
def test_how_long_an_event_waits(world: World, error: BridgeError, wait_ms: int) -> None:
    """As long as Asaas says, a second at least; a minute where a person must act."""
    world.maps(paga=PAID)
    world.asaas.fails(error)
    keep(world.journal, incoming())
    world.run()

    assert events_of(world.journal)[0]["due_ms"] == world.clock() + wait_ms


@on_both
def test_a_held_event_keeps_a_customers_order_while_others_pass(world: World) -> None:
    """Later events of the customer wait too, in this batch and in the next, also those that need nothing."""
    one, two = world.same_lane(2)
    world.maps(criada=CREATED, paga=PAID)
    world.asaas.fails(AsaasUnavailable(), one)
    keep(
        world.journal,
        incoming(one, name="PAYMENT_CREATED"),
        incoming(one),
        incoming(one, name="PAYMENT_CREATED"),
        incoming(two),
    )

    assert world.run()
    assert [row["state"] for row in events_of(world.journal)] == ["processed", "received", "received", "processed"]
    keep(world.journal, incoming(one, name="PAYMENT_CREATED"), incoming(two))
    assert world.run()
    rows = events_of(world.journal)
    assert [row["state"] for row in rows[4:]] == ["received", "processed"]
    assert (rows[4]["hold_code"], rows[4]["due_ms"]) == ("event.behind", rows[1]["due_ms"])

    world.asaas.says = Asaas().says
    world.clock.go(5)
    while world.run():
        pass
    ofone = [row["event_id"] for row in rows_of(world.journal) if row["subject"] == one]
    assert ofone == sorted(ofone)
    assert {row["state"] for row in events_of(world.journal)} == {"processed"}


def test_what_stands_behind_is_held_even_where_nothing_is_ready(world: World) -> None:
    """Else the lane would be due all the time, and its worker busy with nothing."""
    world.maps(paga=PAID)
    world.asaas.fails(AsaasUnavailable())
    keep(world.journal, incoming())
    world.run()
    keep(world.journal, incoming())

    assert not world.run()
    lane = lane_of("default", "cus_1", world.journal.lane_count)
    assert not world.journal.lanes.due(world.clock(), [lane])


def test_what_asaas_rejects_makes_dead_deliveries_of_those_that_need_it(world: World) -> None:
    """To ask again would not help; a mapping that needs nothing from Asaas, or says no without it, is as ever."""
    world.maps(
        precisa=PAID,
        livre=CREATED.replace("PAYMENT_CREATED", "PAYMENT_RECEIVED"),
        recusa=f"filter: {{field: payment.value, less_than: 1}}{PAID}",
        pergunta=f"filter: {{field: customer.name, equals: outro}}{PAID}",
    )
    world.asaas.fails(AsaasRejected("the Asaas API answered 400"))
    keep(world.journal, incoming())
    world.run()

    assert sorted(world.verdicts()) == [
        ("livre", "pending", None),
        ("pergunta", "dead", "asaas.rejected"),
        ("precisa", "dead", "asaas.rejected"),
        ("recusa", "filtered", "filter.compare"),
    ]
    dead = next(row for row in rows_of(world.journal) if row["mapping"] == "precisa")
    assert (str(read_message(dead["reason"])), dead["payload"]) == ("the Asaas API answered 400", None)


@on_both
def test_one_delivery_for_each_instalment_plan(world: World) -> None:
    """In one batch and over batches; the others say why they were not made."""
    world.maps(uma=f"installments: once{PAID}")

    def charge(number: int, plan: str | None) -> IncomingEvent:
        return about(envelope(payment=payment(id=f"pay_{number}", installment=plan, installmentNumber=number)))

    keep(world.journal, charge(1, "ins_1"), charge(2, "ins_1"), charge(3, None), charge(4, "ins_2"))
    world.run()
    keep(world.journal, charge(5, "ins_1"), charge(6, None))
    world.run()

    assert [row["state"] for row in rows_of(world.journal)] == [
        "pending",
        "filtered",
        "pending",
        "pending",
        "filtered",
        "pending",
    ]
    second = rows_of(world.journal)[1]
    assert (second["reason_code"], second["payload"], second["once_key"]) == ("filter.once", None, None)


def test_a_replay_of_the_instalment_that_counted_counts_again(world: World) -> None:
    """Its own earlier delivery is no reason to filter it; another instalment's is."""
    world.maps(uma=f"installments: once{PAID}")
    first, second = keep(
        world.journal,
        about(envelope(payment=payment(id="pay_1", installment="ins_1"))),
        about(envelope(payment=payment(id="pay_2", installment="ins_1"))),
    )
    world.run()
    actions.replay(world.journal, first, None, world.clock())
    actions.replay(world.journal, second, None, world.clock())
    world.run()

    assert [row["state"] for row in rows_of(world.journal)] == ["pending", "filtered", "pending", "filtered"]


def test_a_replay_goes_through_todays_mappings(world: World) -> None:
    """Or through the one that was asked for; what was made before stays."""
    world.maps(paga=PAID, outra=PAID)
    (event_id,) = keep(world.journal, incoming())
    world.run()
    world.maps(paga=PAID.replace("valor", "preco"))
    actions.replay(world.journal, event_id, "paga", world.clock())
    world.run()

    rows = rows_of(world.journal)
    assert [(row["mapping"], row["replay"]) for row in rows] == [("outra", 0), ("paga", 0), ("paga", 1)]
    assert "preco" in json.loads(rows[2]["payload"])
    assert rows[2]["revision_id"] > rows[1]["revision_id"]


def test_a_replay_asks_asaas_again(world: World) -> None:
    """Somebody mended the customer in Asaas: what is in the cache is no good."""
    world.enricher = Enricher({"default": world.asaas}, Cache(OptionalRedis(None), Lifetimes()))
    world.maps(paga=PAID)
    (event_id,) = keep(world.journal, incoming())
    world.run()
    keep(world.journal, incoming())
    world.run()
    assert len(world.asaas.asked) == 1

    actions.replay(world.journal, event_id, None, world.clock())
    world.run()
    assert len(world.asaas.asked) == 2


def forget(world: World, customer: str = "cus_1") -> None:
    """Erase a customer, as another process does, with all that is open."""
    with world.journal.database.write() as connection:
        privacy.erase(connection, [("default", customer)], Actor("test"), world.clock(), also_open=True)


def found(world: World, email: str) -> list[privacy.Person]:
    """Return whom the journal knows by that address."""
    with world.journal.database.read() as connection:
        return privacy.find_by(connection, Kind.EMAIL, email)


def test_who_was_forgotten_is_found_again_once_they_come_again(world: World) -> None:
    """A worker that goes on remembers neither that it wrote the person's terms nor what Asaas said of the person."""

    def erasure() -> str:
        with world.journal.database.read() as connection:
            return encryption.erasure(connection)

    world.enricher = Enricher({"default": world.asaas}, Cache(OptionalRedis(None), Lifetimes(), erasure_of=erasure))
    world.maps(paga=PAID)
    processor, lease = world.processor(), world.lease()
    for asked in (1, 2):
        keep(world.journal, incoming())
        for batch in processor.next_batches([lease.lane]):
            processor.commit([lease], processor.fetch(batch))
        assert found(world, "cus_1@example.com") == [("default", "cus_1")]
        forget(world)
        assert found(world, "cus_1@example.com") == []
        assert len(world.asaas.asked) == asked


@on_both
def test_what_was_decided_before_an_erasure_is_not_written_after_it(world: World) -> None:
    """Neither deliveries nor terms of an event that was given up; the others of the batch are decided again."""
    world.maps(paga=PAID)
    mine, others = world.same_lane(2)
    keep(world.journal, incoming(mine), incoming(others))
    lease = world.lease(mine)

    def says(_name: str, id_: str) -> dict[str, Any]:
        world.asaas.says = lambda _name, id_: {"id": id_, "email": f"{id_}@example.com"}
        forget(world, mine)
        return {"id": id_, "email": f"{id_}@example.com"}

    world.asaas.says = says
    world.process(lease)
    assert rows_of(world.journal) == []
    world.process(lease)

    assert [row["subject"] for row in rows_of(world.journal)] == [others]
    assert (found(world, f"{mine}@example.com"), len(found(world, f"{others}@example.com"))) == ([], 1)


@on_both
def test_batches_are_bounded_and_commit_one_by_one(world: World) -> None:
    """Each run takes so many events and no more."""
    world.maps(paga=PAID)
    keep(world.journal, *(incoming() for _ in range(5)))

    assert [world.run(batch=2) for _ in range(4)] == [True, True, True, False]
    assert len(rows_of(world.journal)) == 5


@on_both
def test_an_owner_that_lost_its_lane_writes_nothing(world: World) -> None:
    """Not one delivery, not one processed event."""
    world.maps(paga=PAID)
    keep(world.journal, incoming())
    lease = world.lease()

    def says(_name: str, id_: str) -> dict[str, Any]:
        world.clock.go(31)
        world.lease()
        return {"email": f"{id_}@example.com"}

    world.asaas.says = says
    with pytest.raises(LeaseLost):
        world.process(lease)
    assert rows_of(world.journal) == []
    assert events_of(world.journal)[0]["state"] == "received"


def test_a_fault_of_ours_makes_a_dead_delivery_and_not_a_stuck_lane(world: World) -> None:
    """An event that our own code fails on must not hold up every customer of its lane for ever."""
    world.maps(paga=PAID, criada=CREATED)
    broken = about(envelope(payment=payment()), entity="payment")
    keep(world.journal, replace(broken, body="[]", key="broken"), incoming(name="PAYMENT_CREATED"))

    assert world.run()
    assert world.verdicts() == [("paga", "dead", "bridge.fault"), ("criada", "pending", None)]
    reason = str(read_message(rows_of(world.journal)[0]["reason"]))
    assert reason == "the bridge failed on this event (AttributeError); the log has the details"


def test_a_mapping_that_can_not_be_read_any_more_holds_the_events(world: World) -> None:
    """It ran when it was imported: to go on without it would lose what it would have sent."""
    world.stores(paga=PAID, antiga="events: [PAYMENT_RECEIVED]\nword_of_another_version: 1\n")
    keep(world.journal, incoming())

    assert not world.run()
    (row,) = events_of(world.journal)
    assert (row["state"], row["hold_code"], row["due_ms"]) == ("received", "mapping.refused", world.clock() + 60_000)
    assert "antiga" in row["hold_reason"]
    world.maps(antiga=None)
    world.clock.go(60)
    assert world.run()
    assert world.verdicts() == [("paga", "pending", None)]


def test_a_destination_that_the_environment_lost_does_not_switch_a_mapping_off(world: World) -> None:
    """The delivery is made and waits for the destination; a mapping that is just left out would lose it."""
    world.maps(paga=f"send_to: erp{PAID}")
    keep(world.journal, incoming())
    world.run()

    assert [(row["destination"], row["state"]) for row in rows_of(world.journal)] == [("erp", "pending")]


def test_a_database_that_is_away_is_said(world: World) -> None:
    """Nothing is decided without the journal."""
    world.maps(paga=PAID)
    keep(world.journal, incoming())
    lease = world.lease()
    with world.journal.database.write() as connection:
        connection.exec_driver_sql("ALTER TABLE deliveries RENAME TO gone")

    with pytest.raises(JournalError):
        world.process(lease)
    assert events_of(world.journal)[0]["state"] == "received"


def test_an_event_about_the_account_becomes_a_notice_whatever_the_mappings_say(world: World) -> None:
    """Without any mapping the operator is told once the event is processed, and told when it is over."""
    body = envelope("ACCOUNT_STATUS_DOCUMENT_REJECTED", accountStatus={"id": "a1", "documentation": "REJECTED"})
    event = replace(incoming(), name=body["event"], entity="accountStatus", body=json.dumps(body))
    keep(world.journal, event)
    world.run()
    with world.journal.database.read() as connection:
        (told,) = notices.open_notices(connection)
    keep(world.journal, replace(event, key="evt_2", name="ACCOUNT_STATUS_DOCUMENT_APPROVED"))
    world.run()

    assert (told.code, told.about, told.level) == ("account.document", "default", "error")
    assert [row["state"] for row in events_of(world.journal)] == ["processed", "processed"]
    with world.journal.database.read() as connection:
        assert notices.open_notices(connection) == []
