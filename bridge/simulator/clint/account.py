"""The simulated account of Clint: one funnel with a webhook for each of its stages, a user, reasons and fields."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from typing import Any

from bridge.simulator.clint.crm import STATUSES, Body, Crm
from bridge.simulator.clint.knobs import Knobs
from bridge.simulator.clint.person import Person
from bridge.simulator.clint.receiver import MODES, Integration, Receiver
from bridge.simulator.faults import Faults

DEFAULT_TOKEN = "clint-simulator-token"  # noqa: S105 - opens nothing but the simulator
DEFAULT_ORIGIN = "Vendas"
DEFAULT_GROUP = "Cobranças"
DEFAULT_USER = "vendas@example.com"
LOST_REASONS = ("Estornada", "Removida")
KEY_FIELD = "codigo_asaas"
"""The field of a deal that the mappings put a charge's id into."""
DEAL_FIELDS = (
    KEY_FIELD,
    "situacao",
    "forma_de_pagamento",
    "vencimento",
    "parcela",
    "pago_em",
    "descricao",
    "link",
)
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
        self.person = Person(self.crm, seed)
        self.crm.add_origin(DEFAULT_ORIGIN, STAGES, DEFAULT_GROUP)
        self.crm.add_user(DEFAULT_USER, "Vera", "Vendas")
        for reason in LOST_REASONS:
            self.crm.add_lost_status(reason)
        for key in DEAL_FIELDS:
            self.crm.add_field("DEAL", key)
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

    @property
    def knobs(self) -> Knobs:
        """How the API behaves; `turn` sets them."""
        return self.crm.knobs

    def removes_origin(self, name: str, is_removed: bool = True) -> None:
        """Remove a funnel, or restore it; the API knows neither it nor its deals meanwhile."""
        with self.crm.lock:
            change = self.crm.removed.add if is_removed else self.crm.removed.discard
            change(self.crm.origin(name)["id"])

    def count(self, field: str) -> dict[str, int]:
        """Return how many deals have each value of a field; those without it count under an empty text."""
        with self.crm.lock:
            return dict(Counter(str(deal["fields"].get(field, "")) for deal in self.crm.deals.values()))

    def judged(self, field: str) -> list[dict[str, Any]]:
        """Return each deal's key in a field, its place, who put it there, and all its places, oldest deal first."""
        with self.crm.lock:
            return [
                {
                    "id": deal["id"],
                    "key": str(deal["fields"].get(field, "")),
                    "stage": self.crm.stage_of(deal),
                    "status": deal["status"],
                    "value": deal["value"],
                    "moved_by": self.crm.writes.moved_by(deal["id"]),
                    "places": self.crm.writes.places(deal["id"]),
                }
                for deal in self.crm.deals.values()
            ]

    def forget(self) -> None:
        """Remove contacts, deals, history and writes; the numbers of requests go on, and knobs stay."""
        self.crm.forget()
        self.receiver.history.clear()

    def close(self) -> None:
        self.faults.comes_back()
