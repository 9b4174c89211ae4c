"""An event that Asaas made after this version, all the way: subscribed to, posted, kept, mapped, delivered."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from bridge.model import lane_of
from bridge.runtime import Runtime
from bridge.settings import Settings
from bridge.web.app import create_app
from bridge.worker.drain import Drainer
from tests.factories import events_of, rows_of
from tests.peers import Peer

TOKEN = "0f3c1d5e-7a28-4b96-8c42-d19e6b7a5c30"
MAPPING = """
description: pontos de fidelidade
events: [LOYALTY_2_POINTS_EARNED]
filter: {field: envelope.account.ownerId, exists: true}
contact: {email: loyaltyPoints.email}
deal: {pontos: loyaltyPoints.points, nivel: label(loyaltyPoints.tier), conta_mae: envelope.account.ownerId, dia: envelope.dateCreated}
"""  # noqa: E501
EVENT = {
    "id": "evt_new&1",
    "event": "LOYALTY_2_POINTS_EARNED",
    "dateCreated": "2026-11-29 01:00:00",
    "account": {"id": "acc_1", "ownerId": "acc_0"},
    "loyaltyPoints": {"id": "loy_1", "email": " ana@example.com ", "points": 7, "tier": "GOLD_OF_2027"},
}


@pytest.mark.parametrize("entity", ["loyaltyPoints", "payment"])
def test_new_event_reaches_clint_on_the_day_it_appears(
    sqlite_url: str, redis_url: str, tmp_path: Path, entity: str
) -> None:
    """Neither its name nor the key of its object is known; what it says arrives."""
    body = {(entity if key == "loyaltyPoints" else key): value for key, value in EVENT.items()}
    (tmp_path / "pontos.yaml").write_text(MAPPING.replace("loyaltyPoints", entity))
    with Peer() as peer:
        environ = {
            "DATABASE_URL": sqlite_url,
            "REDIS_URL": redis_url,
            "BRIDGE_DATA_DIR": str(tmp_path),
            "BRIDGE_MAPPINGS_DIR": str(tmp_path),
            "BRIDGE_ALLOW_PRIVATE_DESTINATIONS": "1",
            "ASAAS_WEBHOOK_TOKEN": TOKEN,
            "CLINT_WEBHOOK_URL": peer.url,
        }
        runtime = Runtime(Settings.from_env(environ))
        try:
            runtime.register()
            door = create_app(runtime).test_client()
            answer = door.post("/webhooks/asaas", json=body, headers={"asaas-access-token": TOKEN})
            (event,) = events_of(runtime.journal)
            clock, wakeups = runtime.clock_ms, runtime.wakeups
            drainer = Drainer(runtime.journal, runtime.decider, runtime.deliverer, wakeups, clock, 1)
            drainer.start(lane_of("default", "loy_1", runtime.journal.lane_count))
            drainer.join()
            (delivery,) = rows_of(runtime.journal)
            assert answer.status_code == 200
            assert (event["entity"], event["object_id"], event["subject"]) == (entity, "loy_1", "loy_1")
            assert delivery["state"] == "delivered", delivery["reason"]
        finally:
            runtime.close()
    assert [json.loads(asked.body) for asked in peer.asked] == [
        {
            "email": "ana@example.com",
            "pontos": "7",
            "nivel": "GOLD_OF_2027",
            "conta_mae": "acc_0",
            "dia": "2026-11-29 01:00:00",
        }
    ]
