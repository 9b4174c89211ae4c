"""The simulated account of Clint: its parts put together, and verbs that tests read as prose."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from bridge.simulator.clint.api import deal_body
from bridge.simulator.clint.crm import STATUSES, Crm, Deal, Entry, History, Origin
from bridge.simulator.clint.receiver import MODES, PATH, Integration, Receiver
from bridge.simulator.faults import Faults

DEFAULT_TOKEN = "clint-simulator-token"  # noqa: S105 - opens nothing but the simulator
DEFAULT_ORIGIN = "Vendas"
STAGES = ("Nova cobrança", "Vencida", "Paga", "Estornada")
INTEGRATIONS = {
    "default": "11111111-1111-4111-8111-111111111111",
    "vencidas": "22222222-2222-4222-8222-222222222222",
    "pagas": "33333333-3333-4333-8333-333333333333",
    "estornadas": "44444444-4444-4444-8444-444444444444",
}
"""The webhooks that stand at the start, by the name a destination may have."""


class ClintAccount:
    """An account of Clint with one funnel and a webhook for each of its stages."""

    def __init__(self, tokens: Iterable[str] = (DEFAULT_TOKEN,), seed: int = 0) -> None:
        self.crm = Crm(seed)
        self.history = History()
        self.faults = Faults(seed)
        self.receiver = Receiver(self.crm, self.history)
        self.tokens = set(tokens)
        self.has_origin(DEFAULT_ORIGIN, STAGES)
        stages = {"default": ("Nova cobrança", "OPEN"), "vencidas": ("Vencida", "OPEN")}
        stages |= {"pagas": ("Paga", "WON"), "estornadas": ("Estornada", "LOST")}
        for name, (stage, status) in stages.items():
            self.has_integration(name, stage=stage, status=status, uuid=INTEGRATIONS[name])

    # ------------------------------------------------------------ what stands in the account

    def has_origin(self, name: str, stages: Iterable[str]) -> Origin:
        """Make a funnel."""
        return self.crm.add_origin(name, stages)

    def has_integration(
        self,
        name: str,
        origin: str = DEFAULT_ORIGIN,
        stage: str = STAGES[0],
        status: str = "OPEN",
        mode: str = "create_or_update",
        mapping: dict[str, str] | None = None,
        uuid: str | None = None,
    ) -> Integration:
        """Make a webhook whose deals land in a stage with a status; its `.path` goes behind the host."""
        if mode not in MODES or status not in STATUSES:
            raise ValueError(f"mode must be one of {sorted(MODES)}, status one of {sorted(STATUSES)}")
        funnel = self.crm.origin(origin)
        uuid = uuid or self.crm.new_id()
        integration = Integration(uuid, name, funnel.id, funnel.stage(stage).id, status, mode, mapping)
        self.receiver.integrations[uuid] = integration
        return integration

    def removed(self, uuid: str) -> None:
        """Remove an integration: its URL answers 404."""
        self.receiver.integrations[uuid].removed = True

    def restored(self, uuid: str) -> None:
        """Bring a removed integration back."""
        self.receiver.integrations[uuid].removed = False

    # ------------------------------------------------------------ how it misbehaves

    def goes_down(self) -> None:
        """Cut every connection without an answer."""
        self.faults.goes_down()

    def comes_back(self) -> None:
        """End every misbehaviour, and let go of what hangs."""
        self.faults.comes_back()

    def answers(
        self, status: int, times: int | None = None, headers: Mapping[str, str] | None = None, share: float = 1.0
    ) -> None:
        """Let the webhooks answer this status, without taking what was sent."""
        self.faults.answers(status, times, headers, share, PATH)

    def hangs(self, seconds: float, share: float = 1.0, times: int | None = None, takes_first: bool = True) -> None:
        """Let the webhooks hold their answer; as a rule they have already written the deal."""
        self.faults.hangs(seconds, share, times, takes_first, PATH)

    def is_slow(self, seconds: float) -> None:
        """Let every request wait so long."""
        self.faults.is_slow(seconds)

    # ------------------------------------------------------------ what can be looked at

    @property
    def deals(self) -> list[dict[str, Any]]:
        """Give every deal with all that there is of it, oldest first."""
        with self.crm.lock:
            return [deal_body(self.crm, deal) for deal in self.crm.deals.values()]

    def deal_of(self, email: str, origin: str = DEFAULT_ORIGIN) -> Deal | None:
        """Give the deal of a person in a funnel."""
        with self.crm.lock:
            contact = self.crm.find_contact(email, None)
            return self.crm.find_deal(self.crm.origin(origin).id, contact.id) if contact else None

    @property
    def requests(self) -> list[Entry]:
        """Give everything that was posted to webhooks, oldest first."""
        return self.history.entries()

    def forget(self) -> None:
        """Drop contacts, deals and history."""
        self.crm.forget()
        self.history.forget()

    def close(self) -> None:
        """Let go of whatever hangs."""
        self.faults.comes_back()
