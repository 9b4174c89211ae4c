"""Every recorded and documented event of Asaas, posted to a running bridge with the mappings that are shipped."""

from __future__ import annotations

import json
import time
from collections import Counter
from pathlib import Path
from typing import Any

import pytest

from tests.acceptance.deployment import ROOT, Deployment, until
from tests.services import RedisServer

DATA = ROOT / "tests" / "data" / "asaas"


def _bodies() -> dict[str, bytes]:
    """Return every body that is an event, by file.

    The documentation uses one and the same event id in the samples of different events, which Asaas never does: there
    the id is made the file's own.
    """
    bodies: dict[str, bytes] = {}
    seen: set[str] = set()
    for path in sorted(DATA.glob("*.json")):
        body = json.loads(path.read_text())
        if "event" not in body:
            continue
        raw = path.read_bytes()
        if body.get("id") in seen:
            raw = raw.replace(body["id"].encode(), f"{body['id']}{len(bodies)}".encode())
        elif "id" in body:
            seen.add(body["id"])
        bodies[path.name] = raw
    return bodies


BODIES = _bodies()

pytestmark = pytest.mark.slow


def _customers() -> list[dict[str, Any]]:
    """Return the customers that the bodies point to, as the simulated Asaas takes them."""
    ids = set()
    for body in BODIES.values():
        for entity in json.loads(body).values():
            if isinstance(entity, dict) and isinstance(entity.get("customer"), str):
                ids.add(entity["customer"])
    return [
        {"id": id_, "name": f"Cliente {number}", "email": f"cliente{number}@example.com", "mobilePhone": "47991234567"}
        for number, id_ in enumerate(sorted(ids))
    ]


def test_every_sample_is_kept_explained_and_delivered_once(
    tmp_path: Path, sqlite_url: str, redis_server: RedisServer
) -> None:
    """Each body is answered 200 twice, kept once, explained, and what a mapping wants reaches Clint flat, once."""
    with Deployment(tmp_path, sqlite_url, redis_server.url, ROOT / "mappings") as bridge:
        bridge.asaas("customers", customers=_customers())
        bridge.start()
        posted = [bridge.post(body) for body in BODIES.values() for _ in range(2)]
        until(lambda: _settled(bridge), 60, every_s=0.5)
        time.sleep(1)  # whatever would be sent a second time has had its chance
        events = bridge.bridge("events", "list", "--limit", "500")
        explained = {event["id"]: bridge.bridge("events", "show", str(event["id"])) for event in events}
        history = bridge.history()

    assert len(BODIES) == 27
    assert set(posted) == {200}
    assert len(events) == len(BODIES)
    assert {event["event_key"] for event in events} >= {json.loads(body).get("id") for body in BODIES.values()} - {None}
    sent = 0
    for event in events:
        told = explained[event["id"]]
        assert told["state"] == "processed"
        assert told["repeats"] >= 1
        assert told["explanation"]
        for delivery in told["deliveries"]:
            assert delivery["state"] in {"delivered", "filtered", "stale"}
            assert delivery["state"] == "delivered" or delivery["reason"]
            sent += delivery["state"] == "delivered"
    assert sent >= 10
    assert set(Counter(entry["headers"]["idempotency-key"] for entry in history).values()) == {1}
    assert len(history) == sent
    for entry in history:
        assert entry["status"] == 200
        assert entry["body"]["email"] or entry["body"]["telefone"]
        assert all(isinstance(value, str) for value in entry["body"].values())


def _settled(bridge: Deployment) -> bool:
    events = bridge.bridge("events", "list", "--limit", "500")
    waiting = bridge.bridge("deliveries", "list", "--state", "pending", "--state", "sending", "--state", "retrying")
    return bool(events) and all(event["state"] == "processed" for event in events) and not waiting
