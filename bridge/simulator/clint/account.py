"""The simulated account of Clint: one funnel, and a webhook for each of its stages."""

from __future__ import annotations

from collections.abc import Iterable

from bridge.simulator.clint.crm import STATUSES, Body, Crm
from bridge.simulator.clint.receiver import MODES, Integration, Receiver
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
"""The webhooks that stand at the start, by the name a destination may have, one for each stage."""


class ClintAccount:
    def __init__(self, tokens: Iterable[str] = (DEFAULT_TOKEN,), seed: int = 0) -> None:
        self.crm = Crm(seed)
        self.faults = Faults(seed)
        self.receiver = Receiver(self.crm)
        self.tokens = set(tokens)
        self.crm.add_origin(DEFAULT_ORIGIN, STAGES)
        statuses = ("OPEN", "OPEN", "WON", "LOST")
        for name, stage, status in zip(INTEGRATIONS, STAGES, statuses, strict=True):
            self.has_integration(name, stage=stage, status=status, uuid=INTEGRATIONS[name])

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
        stage_id = next(one["id"] for one in funnel["stages"] if one["label"] == stage)
        uuid = uuid or self.crm.new_id()
        integration = Integration(uuid, name, funnel["id"], stage_id, status, mode, mapping)
        self.receiver.integrations[uuid] = integration
        return integration

    @property
    def deals(self) -> list[Body]:
        """Every deal in full, oldest first."""
        with self.crm.lock:
            return [self.crm.full_deal(deal) for deal in self.crm.deals.values()]

    def forget(self) -> None:
        """Remove contacts, deals and history; the numbers of requests go on."""
        self.crm.forget()
        self.receiver.history.clear()

    def close(self) -> None:
        self.faults.comes_back()
