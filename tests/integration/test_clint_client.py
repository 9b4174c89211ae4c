"""The client of destinations against the simulated Clint."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from bridge.clint.webhook import ClintClient
from bridge.model import Outcome
from bridge.simulator.serve import Served
from tests.peers import clint_client
from tests.simulated import ClintSimulator

PAYLOAD = {"nome": "Cliente Teste", "email": "cliente@example.com", "titulo": "Cobrança 1", "valor": "129.90"}


@pytest.fixture
def clint() -> Iterator[ClintClient]:
    """Give a client that may talk to this machine."""
    with clint_client(deadline_s=0.5) as client:
        yield client


def test_a_payload_becomes_a_deal_and_a_repeat_updates_it(clint: ClintClient) -> None:
    """What the client calls delivered stands in the funnel, once, however often it was sent."""
    simulator = ClintSimulator()
    path = simulator.has_integration("teste").path
    with Served(simulator.app) as served:
        answers = [clint.send(served.url + path, PAYLOAD, "chave-1") for _ in range(2)]

    assert [answer.outcome for answer in answers] == [Outcome.DELIVERED] * 2
    assert len(simulator.deals) == 1
    assert simulator.deal_of("cliente@example.com") is not None


def test_each_misbehaviour_is_told_apart(clint: ClintClient) -> None:
    """Slow down, away, silent and gone each have their outcome and code."""
    simulator = ClintSimulator()
    integration = simulator.has_integration("teste")
    with Served(simulator.app) as served:
        url = served.url + integration.path
        seen = []
        simulator.answers(429, times=1, headers={"Retry-After": "7"})
        seen.append(clint.send(url, PAYLOAD, "chave-1"))
        simulator.faults.goes_down()
        seen.append(clint.send(url, PAYLOAD, "chave-1"))
        simulator.faults.comes_back()
        simulator.hangs(5, times=1)
        seen.append(clint.send(url, PAYLOAD, "chave-1"))
        simulator.faults.comes_back()
        simulator.removed(integration.uuid)
        seen.append(clint.send(url, PAYLOAD, "chave-1"))

    assert [(answer.outcome, answer.code) for answer in seen] == [
        (Outcome.RETRY, "clint.http_429"),
        (Outcome.RETRY, "clint.connection"),
        (Outcome.RETRY, "clint.timeout"),
        (Outcome.REMOVED, "clint.removed"),
    ]
    assert seen[0].retry_after_s == 7
