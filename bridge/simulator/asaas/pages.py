"""The page of the simulated Asaas: its charges with buttons, its webhooks and the last tries to deliver.

For a person at a demo. Buttons are plain forms that come back to the page.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from flask import Blueprint, redirect, render_template, request
from werkzeug.wrappers import Response

from bridge.simulator.asaas.account import AsaasAccount
from bridge.simulator.asaas.charges import OPEN
from bridge.simulator.asaas.paying import PAID
from bridge.simulator.asaas.rules import Missing, Refusal, whole_or_float

TEMPLATES = Path(__file__).parent.parent / "templates"
SHOWN_CHARGES = 100
SHOWN_TRIES = 12
STATUS_NAMES = {
    "PENDING": "Aguardando",
    "OVERDUE": "Vencida",
    "CONFIRMED": "Confirmada",
    "RECEIVED": "Recebida",
    "RECEIVED_IN_CASH": "Em dinheiro",
    "REFUNDED": "Estornada",
    "CHARGEBACK_REQUESTED": "Chargeback",
}
BILLING_NAMES = {"PIX": "Pix", "BOLETO": "Boleto", "CREDIT_CARD": "Cartão", "UNDEFINED": "A escolher"}


def brl(value: float) -> str:
    """Write an amount as people read it.

    >>> brl(1234.5)
    'R$ 1.234,50'
    """
    return "R$ " + f"{value:,.2f}".replace(",", " ").replace(".", ",").replace(" ", ".")


def page_blueprint(asaas: AsaasAccount) -> Blueprint:
    """Give the page and its buttons."""
    site = Blueprint("page", __name__, template_folder=str(TEMPLATES))

    @site.get("/")
    def charges() -> str:
        return render_template(
            "asaas.html",
            charges=_rows(asaas),
            webhooks=asaas.webhooks.listed({})["data"],
            waiting=asaas.webhooks.waiting(),
            tries=list(reversed(asaas.tries[-SHOWN_TRIES:])),
            problem=request.args.get("problem"),
        )

    @site.post("/charges/<payment_id>/<action>")
    def act(payment_id: str, action: str) -> Response:
        actions = {
            "pay": asaas.is_paid,
            "overdue": asaas.is_overdue,
            "refund": asaas.is_refunded,
            "delete": asaas.is_deleted,
        }
        try:
            if action in actions:
                actions[action](payment_id)
        except (Refusal, Missing) as problem:
            return redirect(f"/?problem={getattr(problem, 'description', 'não encontrada')}", code=303)
        return redirect("/", code=303)

    @site.post("/webhooks/<webhook_id>/resume")
    def resume(webhook_id: str) -> Response:
        asaas.webhooks.update(webhook_id, {"interrupted": False})
        return redirect("/", code=303)

    return site


def _rows(asaas: AsaasAccount) -> list[dict[str, Any]]:
    with asaas.book.lock:
        payments = list(reversed(asaas.book.payments.values()))[:SHOWN_CHARGES]
        return [
            {
                "id": payment.id,
                "customer": asaas.book.customers[payment.customer]["name"],
                "text": payment.description or f"Fatura {payment.invoice_number}",
                "value": brl(float(whole_or_float(payment.value))),
                "billing": BILLING_NAMES.get(payment.billing_type, payment.billing_type),
                "due": "/".join(reversed(payment.due_date.split("-"))),
                "status": "REMOVED" if payment.deleted else payment.status,
                "status_name": "Removida" if payment.deleted else STATUS_NAMES.get(payment.status, payment.status),
                "is_open": payment.status in OPEN and not payment.deleted,
                "is_paid": payment.status in PAID and not payment.deleted,
            }
            for payment in payments
        ]


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
