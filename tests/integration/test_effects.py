"""What a changed mapping would make of the last events, from the journal and the cache alone."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from bridge.mapping import Mapping, Setup, parse_mapping
from bridge.operations.effects import UNKNOWN, effect_of
from bridge.pipeline.enrich import Cache, Enricher
from bridge.redis_client import OptionalRedis
from tests.console import Console, opened_console
from tests.factories import envelope, incoming, keep, payment

TEXT = """events: [PAYMENT_RECEIVED]
filter: {field: payment.value, at_least: 50}
contact: {nome: customer.name, email: customer.email}
deal: {valor: money(payment.value)}
"""


class People:
    """An Asaas that counts how often it is asked."""

    asked = known = 0

    def get_object(self, name: str, object_id: str) -> dict[str, Any]:
        """Return a customer."""
        self.asked += 1
        return {"name": f"Nome {object_id}", "email": f"{object_id}@example.com"}

    def meet(self, enricher: Enricher, *customers: str) -> None:
        """Let the cache have these customers."""
        for one in customers:
            enricher.fetch("default", {"customer": one})
        self.known += len(customers)


@pytest.fixture
def people() -> People:
    """Give the customers of the account."""
    return People()


@pytest.fixture
def console(sqlite_url: str, tmp_path: Path, people: People) -> Iterator[Console]:
    """Give a bridge; that Asaas is not asked for a customer is held at the end of each test."""
    with opened_console(sqlite_url, tmp_path) as opened:
        opened.runtime.enricher = Enricher({"default": people}, Cache(OptionalRedis(None)))
        yield opened
        assert people.asked == people.known


def mapping(text: str, name: str = "cobranca") -> Mapping:
    """Return the mapping of a text."""
    found = parse_mapping(text, f"{name}.yaml", Setup(None, None)).mapping
    assert found is not None
    return found


def arrive(console: Console, *values: float, **more: object) -> list[int]:
    """Let charges of these amounts be received."""
    bodies = [envelope(payment=payment(f"cus_{n}", value=value, **more)) for n, value in enumerate(values)]
    events = [
        incoming(f"cus_{n}", key=body["id"], body=json.dumps(body), object_id=f"pay_{n}")
        for n, body in enumerate(bodies)
    ]
    return keep(console.journal, *events)


def test_another_amount_says_which_go_and_which_no_longer(console: Console, people: People) -> None:
    """By the amounts of the bodies; the customer's name where the cache has it, else what Asaas calls the charge."""
    ids = arrive(console, 40, 60, 80, 120)
    people.meet(console.runtime.enricher, "cus_1")
    more = effect_of(console.runtime, mapping(TEXT), mapping(TEXT.replace("50", "100")))
    less = effect_of(console.runtime, mapping(TEXT), mapping(TEXT.replace("50", "10")))

    assert more.events == 4
    assert [(one.event_id, one.about, one.amount) for one in more.stops] == [
        (ids[2], "Mensalidade", 80),
        (ids[1], "Nome cus_1", 60),
    ]
    assert "100" in more.stops[0].reason.text()
    assert [one.event_id for one in less.starts] == [ids[0]]
    assert (more.starts, less.stops, more.unknown, less.unknown) == ((), (), 0, 0)


def test_a_new_key_is_told_for_each_event_that_goes(console: Console) -> None:
    """Also where the cache has no customer: the due date stands in the body."""
    ids = arrive(console, 60, 10, 80, dueDate="2026-11-22")
    after = mapping(TEXT.replace("{valor:", "{vencimento: \"date(payment.dueDate, '%d/%m/%Y')\", valor:"))
    effect = effect_of(console.runtime, mapping(TEXT), after)

    assert {key: [one.event_id for one in found] for key, found in effect.keys.items()} == {
        "vencimento": [ids[2], ids[0]]
    }
    assert effect.differs[0].changes == (("vencimento", None, "22/11/2026"),)
    assert (effect.stops, effect.starts, effect.unknown) == ((), (), 0)


def test_another_stage_and_another_deal_are_told(console: Console) -> None:
    """The parts of the deal are compared like keys; what only Asaas knows stays unknown."""
    arrive(console, 60)
    before = mapping(TEXT + "funnel: {stage: {text: Nova}, tags: [Asaas, {from: payment.billingType}]}\n")
    after = mapping(
        TEXT + "one_deal_per: {expression: customer.externalReference}\n"
        "funnel: {stage: {text: Paga}, user: customer.observations, tags: [Asaas]}\n"
    )

    changes = {key: (old, new) for key, old, new in effect_of(console.runtime, before, after).differs[0].changes}

    assert changes["funnel.stage"] == ("Nova", "Paga")
    assert changes["funnel.key"][1] == UNKNOWN
    assert changes["funnel.user"] == (None, UNKNOWN)
    assert changes["funnel.tags"][1] == "Asaas"
    assert changes.keys() == {"funnel.stage", "funnel.key", "funnel.user", "funnel.tags"}


def test_what_only_asaas_knows_is_never_guessed(console: Console, people: People) -> None:
    """A condition on the customer can't be told without it, and a value of the customer is a sign for it."""
    arrive(console, 60, 80)
    people.meet(console.runtime.enricher, "cus_0")
    of_name = mapping(TEXT.replace("field: payment.value, at_least: 50", "field: customer.name, equals: Nome cus_0"))
    effect = effect_of(console.runtime, mapping(TEXT), of_name)
    named = effect_of(
        console.runtime, mapping(TEXT), mapping(TEXT.replace("nome: customer.name", "nome: upper(customer.name)"))
    )

    assert (effect.unknown, effect.stops, effect.starts) == (1, (), ())
    assert {change[1:] for one in named.keys["nome"] for change in one.changes} == {
        (UNKNOWN, UNKNOWN),
        ("Nome cus_0", "NOME CUS_0"),
    }


def test_a_new_mapping_starts_and_one_that_is_switched_off_stops(console: Console) -> None:
    """Two that are off are compared as if they were on."""
    arrive(console, 60)
    on, off = mapping(TEXT), mapping(f"enabled: false\n{TEXT}")
    stricter = mapping(f"enabled: false\n{TEXT}".replace("50", "100"))

    assert len(effect_of(console.runtime, None, on).starts) == 1
    assert len(effect_of(console.runtime, on, off).stops) == 1
    assert len(effect_of(console.runtime, off, on).starts) == 1
    assert len(effect_of(console.runtime, off, stricter).stops) == 1
    assert effect_of(console.runtime, on, on).is_none


def test_other_destinations_other_accounts_and_plans(console: Console) -> None:
    """A move is told as one; events of other accounts and a plan's later instalments do not count."""
    arrive(console, 60, 60, installment="ins_1")
    arrive(console, 60)
    moved = effect_of(console.runtime, mapping(TEXT), mapping(f"{TEXT}send_to: vencidas\n"))
    once = effect_of(console.runtime, mapping(TEXT), mapping(f"{TEXT}installments: once\n"))
    elsewhere = effect_of(console.runtime, None, mapping(f"account: matriz\n{TEXT}"))

    assert (len(moved.moves), moved.differs) == (3, ())
    assert len(once.stops) == 1
    assert elsewhere.events == 0


def test_only_the_last_fifty_are_looked_at(console: Console) -> None:
    """The newest ones that either text listens to, also behind many others."""
    keep(console.journal, *(incoming(f"cus_x{n}", name="PAYMENT_CREATED") for n in range(300)))
    arrive(console, *([60] * 3))
    keep(console.journal, *(incoming(f"cus_y{n}", name="PAYMENT_CREATED") for n in range(300)))

    assert effect_of(console.runtime, None, mapping(TEXT)).events == 3
    assert effect_of(console.runtime, None, mapping(TEXT.replace("RECEIVED", "CREATED"))).events == 50
    both = effect_of(console.runtime, mapping(TEXT), mapping(TEXT.replace("RECEIVED", "CREATED")))
    assert both.events == 50
