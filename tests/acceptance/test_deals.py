"""Event in, deal out, by real processes: workers are killed at every step of a deal, and each charge is one deal."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from bridge.failpoints import FAILPOINTS
from bridge.simulator.clint.account import DEFAULT_TOKEN
from tests import asking
from tests.acceptance.deployment import until
from tests.databases import on_both
from tests.trial.site import DealDeployment, write_mapping

DEAL_POINTS = tuple(name for name in FAILPOINTS if name.startswith("deal."))


@pytest.fixture
def site(tmp_path: Path, database_url: str, redis_url: str, redis: object) -> Iterator[DealDeployment]:
    """Give a deployment on each database, with a web process and no worker yet."""
    with DealDeployment(tmp_path, database_url, redis_url, write_mapping(tmp_path)) as site:
        site.start(webs=1, workers=0)
        yield site


@on_both
def test_each_charge_is_one_deal_where_workers_are_killed_at_every_step(site: DealDeployment) -> None:
    """A worker dies at each failpoint of a deal; the next ones go on from what was noted, and nothing is doubled."""
    customers = site.has_customers(len(DEAL_POINTS))
    for customer, point in zip(customers, DEAL_POINTS, strict=True):
        if point == "deal.contact_updated":
            known = {"email": f"{customer}@example.com", "name": "Outro nome"}
            headers = {"api-token": DEFAULT_TOKEN}
            with asking.client(headers=headers, timeout=10) as clint:
                clint.post(f"{site.clint_url}/v1/contacts", json=known).raise_for_status()
        site.tells(customer, "PAYMENT_CREATED", "PAYMENT_OVERDUE", "PAYMENT_RECEIVED")
        site.worker_dies(point)
    site.works()
    site.settles()

    deals = site.judged()
    assert sorted(deal["key"] for deal in deals) == sorted(f"pay_{customer}" for customer in customers)
    assert {(deal["stage"], deal["status"], deal["moved_by"]) for deal in deals} == {("Paga", "WON", "api")}
    assert site.contacts() == len(customers)


def test_the_second_event_moves_the_deal_of_the_first(site: DealDeployment) -> None:
    """The whole way with one worker: created, overdue, paid, each seen in Clint."""
    (customer,) = site.has_customers(1)
    site.works()
    site.tells(customer, "PAYMENT_CREATED")
    until(lambda: [one["stage"] for one in site.judged()] == ["Nova cobrança"], 60)
    site.tells(customer, "PAYMENT_OVERDUE")
    until(lambda: [one["stage"] for one in site.judged()] == ["Vencida"], 60)
    site.tells(customer, "PAYMENT_RECEIVED")
    site.settles()

    (deal,) = site.judged()
    assert (deal["key"], deal["stage"], deal["status"], deal["value"]) == (f"pay_{customer}", "Paga", "WON", 129.9)
