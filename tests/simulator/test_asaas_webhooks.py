"""The webhooks of the simulated Asaas as a register: create, read, change, remove, and the rules of the token."""

from __future__ import annotations

from typing import Any

import httpx
import pytest

from bridge.simulator.asaas.rules import Missing, Refusal
from bridge.simulator.asaas.webhooks import token_problem
from tests.simulated import AsaasSimulator
from tests.simulator.conftest import Inbox

TOKEN = "5a4f0c1e-7b3d-4e8f-9a6c-b2d1f0e3c7a8"


def test_webhook_over_http(asaas: AsaasSimulator, api: httpx.Client, inbox: Inbox) -> None:
    """Create, read, change and remove: the token is never read back, and the new URL and token are used."""
    given = {"name": "x", "url": "http://127.0.0.1:9/", "sendType": "NON_SEQUENTIALLY", "events": ["PAYMENT_CREATED"]}
    made = api.post("/webhooks", json={**given, "email": "a@example.com", "authToken": TOKEN}).json()
    changed = api.put(f"/webhooks/{made['id']}", json={"url": inbox.url, "authToken": TOKEN.upper()}).json()
    asaas.has_payment(asaas.has_customer())
    assert asaas.is_settled()
    gone = api.delete(f"/webhooks/{made['id']}").json()

    assert "authToken" not in made
    assert (made["hasAuthToken"], made["interrupted"], made["penalizedRequestsCount"]) == (True, False, 0)
    assert changed["url"] == inbox.url
    assert inbox.headers[0]["Asaas-Access-Token"] == TOKEN.upper()
    assert gone == {"deleted": True, "id": made["id"]}
    assert api.get("/webhooks").json()["totalCount"] == 0


def test_eleventh_webhook_is_refused(asaas: AsaasSimulator) -> None:
    """An account has ten webhooks at most."""
    for _ in range(10):
        asaas.posts_to("http://127.0.0.1:9/")
    with pytest.raises(Refusal, match="invalid_action"):
        asaas.posts_to("http://127.0.0.1:9/")
    with pytest.raises(Missing):
        asaas.webhooks.remove_backoff("w")


@pytest.mark.parametrize(
    ("fields", "code"),
    [
        ({"name": ""}, "invalid_name"),
        ({"url": "ftp://x"}, "invalid_url"),
        ({"send_type": "RANDOM"}, "invalid_sendType"),
        ({"events": ["PAYMENT_PAID"]}, "invalid_events"),
        ({"events": []}, "invalid_events"),
        ({"token": "short"}, "invalid_authToken"),
    ],
)
def test_wrong_webhook_is_refused(asaas: AsaasSimulator, fields: dict[str, Any], code: str) -> None:
    """Each fault of a webhook has its code."""
    with pytest.raises(Refusal) as refusal:
        asaas.posts_to(**{"url": "http://127.0.0.1:9/", **fields})

    assert refusal.value.code == code


@pytest.mark.parametrize(
    ("token", "is_good"),
    [
        (TOKEN, True),
        ("a" * 31, False),
        ("ab" * 128, False),
        ("ab" * 10 + " " + "ab" * 10, False),
        ("ab" * 16 + "cccc", False),
        ("ab" * 16 + "12345", False),
        ("ab" * 16 + "7890", True),
        ("$aact_hmlg_" + "ab" * 16, False),
    ],
)
def test_token_rules(token: str, is_good: bool) -> None:
    """A token has 32 to 255 characters, no space, no four equal letters, no 12345, and is no API key."""
    assert (token_problem(token) is None) is is_good
