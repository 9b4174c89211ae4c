"""A whole life by an API destination: each step's deal in the stage and status that the mapping names."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest

from bridge.simulator.clint.account import DEFAULT_TOKEN
from tests import asking
from tests.acceptance.deployment import Deployment
from tests.acceptance.test_charge_trial import Site

pytestmark = pytest.mark.slow

FUNNEL = """
events:
  - PAYMENT_CREATED
  - PAYMENT_OVERDUE
  - PAYMENT_RECEIVED
  - PAYMENT_PARTIALLY_REFUNDED
  - PAYMENT_REFUNDED
  - PAYMENT_DELETED
contact: {nome: customer.name, email: customer.email}
deal:
  valor: money(payment.value)
  situacao: label(event)
  campo_novo: payment.billingType
  codigo_asaas: payment.id
send_to: vendas
funnel:
  stage:
    from: event
    lookup: {PAYMENT_CREATED: Nova cobrança, PAYMENT_OVERDUE: Vencida, PAYMENT_REFUNDED: Estornada}
    default: Paga
  status:
    from: event
    lookup: {PAYMENT_RECEIVED: won, PAYMENT_PARTIALLY_REFUNDED: won, PAYMENT_REFUNDED: lost, PAYMENT_DELETED: lost}
    default: open
tests: []
"""


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory, emptied_redis_url: str) -> Iterator[Site]:
    """Give a bridge that runs and writes deals by Clint's API."""
    scratch = tmp_path_factory.mktemp("life-api")
    mappings = scratch / "funnel"
    mappings.mkdir()
    (mappings / "funil.yaml").write_text(FUNNEL)
    settings = {"CLINT_API_TOKEN": DEFAULT_TOKEN, "CLINT_ORIGIN_VENDAS": "Vendas", "CLINT_API_RATE_LIMIT": "50/second"}
    bridge = Deployment(scratch, f"sqlite:///{scratch}/journal.db", emptied_redis_url, mappings, settings)
    with bridge:
        bridge.env["CLINT_API_URL"] = bridge.clint_url
        bridge.start()
        site = Site(bridge, scratch)
        assert site.commands.run("webhook", "register", "--url", site.url).status == 0
        yield site
        site.close()


def turn(site: Site, **knobs: Any) -> None:
    """Turn knobs of the simulated Clint's API."""
    asking.post(f"{site.bridge.clint_url}/_sim/knobs", json=knobs).raise_for_status()


def deals_in(site: Site) -> set[str]:
    """Return the ids of all deals of the simulated Clint."""
    url, found = f"{site.bridge.clint_url}/v1/deals", set()
    with asking.client(headers={"api-token": DEFAULT_TOKEN}, timeout=10) as clint:
        for status in ("OPEN", "WON", "LOST"):
            answer = clint.get(url, params={"status": status, "limit": 200}).json()
            found |= {str(one["id"]) for one in answer["data"]}
    return found


def test_each_step_is_in_the_stage_and_status_that_the_mapping_names(site: Site) -> None:
    """Both are named in what was expected, and both instalments of the plan have their own deal."""
    before = deals_in(site)
    found = site.try_it("--scenario", "life", status=0)
    goals = {step["step"]: step["lines"][-1] for step in found["steps"] if step["lines"]}

    assert found["proved"]
    assert {one["id"] for one in found["left"] if one["kind"] == "deal"} == deals_in(site) - before
    assert goals["removed"]["expected"] == "a deal, by destination “vendas”, stage Paga, status Lost"
    assert goals["overdue"]["expected"] == "a deal, by destination “vendas”, stage Vencida, status Open"
    assert {line["verdict"] for line in goals.values()} == {"proved"}


def test_a_paid_charge_is_proved_by_the_deal_of_its_key(site: Site) -> None:
    """Both events wrote to it; it is as the last one sent it."""
    found = site.try_it(status=0)

    assert (found["verdict"], found["finding"], found["differences"]) == ("proved", "deal.seen", [])
    assert (found["deal"]["stage"], found["deal"]["status"]) == ("Paga", "WON")


def test_a_field_that_clint_drops_is_named_and_contradicts(site: Site) -> None:
    """The rest of the deal is as it was sent, which proves nothing; plain lines name the field too."""
    turn(site, unknown_fields="drop", deal_extras=["updated_at", "value"])
    found = site.try_it("--timeout", "3", status=1)
    said = site.commands.run("test-charge", "--timeout", "3")
    turn(site, unknown_fields="keep", deal_extras=[])

    assert (found["verdict"], found["finding"], found["proved"]) == ("contradicted", "deal.differs", False)
    assert found["differences"] == [{"what": "field", "wanted": "PIX", "seen": "", "field": "campo_novo"}]
    assert [one["code"] for one in found["problems"]] == ["deal.differs"]
    assert said.status == 1
    assert "campo_novo" in said.out
    assert "contradicted" in said.out
