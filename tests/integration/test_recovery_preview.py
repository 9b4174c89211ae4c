"""What a replay would make of an event, said beforehand and without a trace."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import pytest

from bridge.errors import AsaasRejected, AsaasUnavailable, BridgeError, NotFound
from bridge.journal import Journal, revisions
from bridge.mapping import evaluate
from bridge.messages import read_message
from bridge.model import DeliveryState
from bridge.operations.explain import BATCH, Preview, Unheard, preview
from bridge.pipeline.active_mappings import ActiveMappings
from bridge.pipeline.enrich import Cache, Enricher
from bridge.redis_client import OptionalRedis
from tests.factories import NOW_MS, Clock, envelope, events_of, incoming, keep, opened_journal, owe, payment, rows_of

PAID = """
events: [PAYMENT_RECEIVED]
contact: {email: customer.email}
deal: {valor: money(payment.value), descricao: payment.description}
"""
FREE = """
events: [PAYMENT_RECEIVED]
contact: {email: "'ana@example.com'"}
"""


class World:
    """A journal, an Asaas that says what a test wants, and previews between them."""

    def __init__(self, journal: Journal) -> None:
        self.journal = journal
        self.says: dict[str, Any] | BridgeError = {"id": "cus_1", "email": "ana@example.com"}
        self.asked = 0
        self.enricher = Enricher({"default": self}, Cache(OptionalRedis(None)))

    def is_api(self, _destination: str) -> bool:
        """Say that every destination is a webhook."""
        return False

    def get_object(self, _name: str, _object_id: str) -> dict[str, Any]:
        """Answer for Asaas."""
        self.asked += 1
        if isinstance(self.says, BridgeError):
            raise self.says
        return self.says

    def maps(self, **texts: str) -> None:
        """Make these texts the newest revisions of their mappings."""
        with self.journal.database.write() as connection:
            for name, text in texts.items():
                revisions.import_text(connection, name, text, "file", "test", NOW_MS)

    def preview(self, *ids: int, mapping: str | None = None) -> list[Preview]:
        """Preview the replay of these events."""
        active = ActiveMappings(self.journal, Clock()).current()
        return list(preview(self, ids, mapping, active))  # type: ignore[arg-type]

    def environment(self, _account: str) -> str:
        """Return the environment of every account."""
        return "sandbox"


@pytest.fixture
def world(database_url: str) -> Iterator[World]:
    """Give an empty world on each database."""
    with opened_journal(database_url) as journal:
        yield World(journal)


def test_a_preview_shows_what_would_change(world: World) -> None:
    """Key by key against the newest delivery of the same mapping; and it writes nothing."""
    (event_id,) = keep(world.journal, incoming())
    owe(
        world.journal,
        event_id=event_id,
        payload=json.dumps({"email": "old@example.com", "valor": "129.90", "telefone": "11"}),
        state=DeliveryState.DELIVERED,
    )
    world.maps(paga=PAID)
    before = rows_of(world.journal), events_of(world.journal)
    ((outcome,),) = [found.outcomes for found in world.preview(event_id)]

    assert (outcome.mapping, outcome.before, outcome.after) == ("paga", DeliveryState.DELIVERED, DeliveryState.PENDING)
    assert outcome.destination == "default"
    assert outcome.changes == (
        {"key": "email", "before": "old@example.com", "after": "ana@example.com"},
        {"key": "descricao", "before": None, "after": "Mensalidade"},
        {"key": "telefone", "before": "11", "after": None},
    )
    assert (rows_of(world.journal), events_of(world.journal)) == before


def test_a_preview_asks_asaas_anew(world: World) -> None:
    """As the replay itself does: somebody may have mended the customer a second ago."""
    world.maps(paga=PAID)
    (event_id,) = keep(world.journal, incoming())
    world.preview(event_id)
    world.preview(event_id)

    assert world.asked == 2


def test_a_preview_may_look_at_one_mapping(world: World) -> None:
    """Others are left out; an event that it does not take has no outcome, and it is said why."""
    world.maps(paga=PAID, livre=FREE)
    one, other = keep(world.journal, incoming(), incoming(name="PAYMENT_CREATED"))
    first, second = world.preview(one, other, mapping="livre")

    assert [outcome.mapping for outcome in first.outcomes] == ["livre"]
    assert (first.outcomes[0].before, first.problem) == (None, "")
    assert second == Preview(other, "PAYMENT_CREATED", unheard=Unheard.OTHER_EVENT)


def test_a_preview_says_what_would_not_be_sent(world: World) -> None:
    """Filtered, dead, stale, or one too many for an instalment plan, each with the reason."""
    world.maps(
        filtrada=f"filter: {{field: payment.value, at_least: 1000}}{FREE}",
        velha=FREE,
        uma=f"line: outra\ninstallments: once{FREE}",
        morta=PAID,
    )
    world.says = {"id": "cus_1"}
    body = envelope(payment=payment(installment="ins_1"))
    (event_id,) = keep(world.journal, incoming(body=json.dumps(body)))
    owe(world.journal, order_at="2026-11-23 10:00:00", state=DeliveryState.DELIVERED)
    once = world.preview(event_id, mapping="uma")[0].outcomes[0]
    assert once.after is DeliveryState.PENDING
    mapping = next(
        item.mapping for item in ActiveMappings(world.journal, Clock()).current() if item.mapping.name == "uma"
    )
    key = evaluate.once_key(mapping, {"event": "PAYMENT_RECEIVED", **body})
    owe(world.journal, customer="cus_2", mapping="uma", once_key=key)
    outcomes = {outcome.mapping: outcome for outcome in world.preview(event_id)[0].outcomes}

    assert {name: outcome.after.value for name, outcome in outcomes.items()} == {
        "filtrada": "filtered",
        "velha": "stale",
        "uma": "filtered",
        "morta": "dead",
    }
    assert str(read_message(outcomes["uma"].reason)) == "this instalment plan already has a delivery"
    assert "already delivered" in str(read_message(outcomes["velha"].reason))
    assert outcomes["morta"].payload is None
    assert outcomes["velha"].payload == {"email": "ana@example.com"}


def test_a_preview_says_that_the_event_would_wait(world: World) -> None:
    """Asaas is away: nothing can be said now."""
    world.maps(paga=PAID)
    (event_id,) = keep(world.journal, incoming())
    world.says = AsaasUnavailable()

    (found,) = world.preview(event_id)
    assert found.outcomes == ()
    assert read_message(found.problem) == AsaasUnavailable().message()
    assert found.code == AsaasUnavailable.code


def test_a_preview_of_what_asaas_rejects_is_dead(world: World) -> None:
    """As the worker would have it: only for the mappings that need the answer."""
    world.maps(paga=PAID, livre=FREE)
    (event_id,) = keep(world.journal, incoming())
    world.says = AsaasRejected("the Asaas API answered 400")

    (found,) = world.preview(event_id)
    assert [(outcome.mapping, outcome.after.value) for outcome in found.outcomes] == [
        ("livre", "pending"),
        ("paga", "dead"),
    ]


def test_many_events_are_looked_at_in_batches(world: World) -> None:
    """In the order in which they were asked for."""
    world.maps(livre=FREE)
    ids = keep(world.journal, *(incoming() for _ in range(BATCH + 3)))[::-1]

    assert [found.event_id for found in world.preview(*ids)] == ids


def test_an_event_that_is_not_there_is_not_found(world: World) -> None:
    """The error names the number and where to look."""
    with pytest.raises(NotFound, match=r"no event has the number 7; see: bridge events list"):
        world.preview(7)
