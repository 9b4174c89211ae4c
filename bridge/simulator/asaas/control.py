"""The knobs of the simulated Asaas under `/_sim/`, in JSON, for tests whose simulator is another process.

What the real API has no path for, because only time or a card's holder does it, is here too.
"""

from __future__ import annotations

import json
from typing import Any

from flask import Blueprint, request

from .account import AsaasAccount
from .refusal import Missing, Refusal

Answer = dict[str, Any]


def _told() -> Answer:
    body = request.get_json(silent=True)
    return body if isinstance(body, dict) else {}


def control_blueprint(asaas: AsaasAccount) -> Blueprint:
    """Give the routes of the knobs."""
    control = Blueprint("control", __name__, url_prefix="/_sim")

    @control.errorhandler(Refusal)
    def refused(refusal: Refusal) -> tuple[Answer, int]:
        return refusal.body(), refusal.status

    @control.errorhandler(Missing)
    def missing(_: Missing) -> tuple[str, int]:
        return "", 404

    @control.get("/state")
    def state() -> Answer:
        return {
            "account": asaas.book.account_id,
            "customers": len(asaas.book.customers),
            "payments": len(asaas.book.payments),
            "events": len(asaas.book.events),
            "waiting": asaas.webhooks.waiting(),
            "requests": asaas.limits.requests,
            "most_gets_at_once": asaas.limits.most_gets_at_once,
            "faults": asaas.faults.state(),
        }

    @control.get("/tries")
    def tries() -> Answer:
        after = request.args.get("after", 0, type=int)
        return {"data": [attempt.body() for attempt in asaas.webhooks.tries(after)]}

    @control.get("/events")
    def events() -> Answer:
        after = request.args.get("after", 0, type=int)
        return {"data": [json.loads(event.body) for event in asaas.events[after:]]}

    @control.post("/duplicate_every")
    def duplicate_every() -> Answer:
        asaas.duplicate_every(int(_told()["n"]))
        return {"n": _told()["n"]}

    @control.post("/rate_limit")
    def rate_limit() -> Answer:
        asaas.limits.rate_limit(**_told())
        return _told()

    @control.post("/keys")
    def keys() -> Answer:
        asaas.limits.keys = set(_told()["keys"])
        return {"count": len(asaas.limits.keys)}

    @control.post("/customers")
    def load_customers() -> Answer:
        asaas.customers.load(_told()["customers"])
        return {"customers": len(asaas.book.customers)}

    @control.post("/payments/<payment_id>/receive")
    def receive(payment_id: str) -> Answer:
        return asaas.paying.receive(payment_id)

    @control.post("/payments/<payment_id>/disputes")
    def disputes(payment_id: str) -> Answer:
        return asaas.paying.disputes(payment_id, **_told())

    @control.post("/payments/<payment_id>/pay")
    def pay(payment_id: str) -> Answer:
        return asaas.is_paid(payment_id, **_told())

    @control.post("/subscriptions/<subscription_id>/bills")
    def bills(subscription_id: str) -> Answer:
        return asaas.subscriptions.bills(subscription_id)

    @control.post("/says")
    def says() -> Answer:
        event = asaas.says(**_told())
        return {"id": event.id}

    return control
