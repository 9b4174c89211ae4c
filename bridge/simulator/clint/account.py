"""The simulated account of Clint, with the verbs of tests."""

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
        self.goes_down, self.comes_back = self.faults.goes_down, self.faults.comes_back
        self.is_slow = self.faults.is_slow
        self.has_origin(DEFAULT_ORIGIN, STAGES)
        stages = {"default": ("Nova cobrança", "OPEN"), "vencidas": ("Vencida", "OPEN")}
        stages |= {"pagas": ("Paga", "WON"), "estornadas": ("Estornada", "LOST")}
        for name, (stage, status) in stages.items():
            self.has_integration(name, stage=stage, status=status, uuid=INTEGRATIONS[name])

    def has_origin(self, name: str, stages: Iterable[str]) -> Origin:
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
        """Add a webhook whose deals get this stage and status."""
        if mode not in MODES or status not in STATUSES:
            raise ValueError(f"mode must be one of {sorted(MODES)}, status one of {sorted(STATUSES)}")
        funnel = self.crm.origin(origin)
        uuid = uuid or self.crm.new_id()
        integration = Integration(uuid, name, funnel.id, funnel.stage(stage).id, status, mode, mapping)
        self.receiver.integrations[uuid] = integration
        return integration

    def removed(self, uuid: str) -> None:
        """Remove an integration; its URL then answers 404."""
        self.receiver.integrations[uuid].removed = True

    def restored(self, uuid: str) -> None:
        self.receiver.integrations[uuid].removed = False

    def answers(
        self, status: int, times: int | None = None, headers: Mapping[str, str] | None = None, share: float = 1.0
    ) -> None:
        """Let the webhooks answer this status and ignore the body."""
        self.faults.answers(status, times, headers, share, PATH)

    def hangs(self, seconds: float, share: float = 1.0, times: int | None = None, takes_first: bool = True) -> None:
        """Delay the webhooks' answers, by default after the deal is written."""
        self.faults.hangs(seconds, share, times, takes_first, PATH)

    @property
    def deals(self) -> list[dict[str, Any]]:
        """Every deal in full, oldest first."""
        with self.crm.lock:
            return [deal_body(self.crm, deal) for deal in self.crm.deals.values()]

    def deal_of(self, email: str, origin: str = DEFAULT_ORIGIN) -> Deal | None:
        with self.crm.lock:
            contact = self.crm.find_contact(email, None)
            return self.crm.find_deal(self.crm.origin(origin).id, contact.id) if contact else None

    @property
    def requests(self) -> list[Entry]:
        """Every request to the webhooks, oldest first."""
        return self.history.entries()

    def forget(self) -> None:
        self.crm.forget()
        self.history.forget()

    def close(self) -> None:
        self.faults.comes_back()
