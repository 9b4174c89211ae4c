"""A whole life by an API destination: each step's deal in the stage and status that the mapping names."""

from __future__ import annotations

from pathlib import Path

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
deal: {titulo: payment.id, valor: money(payment.value), situacao: label(event), codigo_asaas: payment.id}
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


def test_each_step_is_in_the_stage_and_status_that_the_mapping_names(tmp_path: Path, emptied_redis_url: str) -> None:
    """Both are named in what was expected, and both instalments of the plan have their own deal."""
    mappings = tmp_path / "funnel"
    mappings.mkdir()
    (mappings / "funil.yaml").write_text(FUNNEL)
    settings = {"CLINT_API_TOKEN": DEFAULT_TOKEN, "CLINT_ORIGIN_VENDAS": "Vendas", "CLINT_API_RATE_LIMIT": "50/second"}
    bridge = Deployment(tmp_path, f"sqlite:///{tmp_path}/journal.db", emptied_redis_url, mappings, settings)
    with bridge:
        bridge.env["CLINT_API_URL"] = bridge.clint_url
        bridge.start()
        site = Site(bridge, tmp_path)
        assert site.commands.run("webhook", "register", "--url", site.url).status == 0
        found = site.try_it("--scenario", "life", status=0)
        site.close()
        headers = {"api-token": DEFAULT_TOKEN}
        with asking.client(headers=headers, timeout=10) as clint:
            made = {
                one["id"]
                for status in ("OPEN", "WON", "LOST")
                for one in clint.get(f"{bridge.clint_url}/v1/deals", params={"status": status, "limit": 200}).json()[
                    "data"
                ]
            }
    goals = {step["step"]: step["lines"][-1] for step in found["steps"] if step["lines"]}

    assert found["proved"]
    assert {one["id"] for one in found["left"] if one["kind"] == "deal"} == made
    assert goals["removed"]["expected"] == "a deal by vendas, stage Paga, status LOST"
    assert goals["overdue"]["expected"] == "a deal by vendas, stage Vencida, status OPEN"
    assert {line["verdict"] for line in goals.values()} == {"proved"}
