"""The page of the simulated Asaas for demos (charges with buttons, webhooks, last attempts), and its controls."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import asdict
from typing import Any

from flask import Blueprint, redirect, render_template, request
from werkzeug.wrappers import Response

from bridge.simulator.asaas.account import AsaasAccount
from bridge.simulator.asaas.charges import OPEN
from bridge.simulator.asaas.paying import PAID
from bridge.simulator.asaas.rules import Missing, Refusal, whole_or_float
from bridge.simulator.pages import TEMPLATES, Routes, add_routes, brl, request_json

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


def page_blueprint(asaas: AsaasAccount) -> Blueprint:
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
        actions: dict[str, Callable[[str], object]] = {
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


def control_blueprint(asaas: AsaasAccount) -> Blueprint:
    """Return the routes under `/_sim/` by which tests of other processes control the account."""
    control = Blueprint("control", __name__, url_prefix="/_sim")

    @control.errorhandler(Refusal)
    def refused(refusal: Refusal) -> tuple[dict[str, Any], int]:
        return refusal.body(), refusal.status

    @control.errorhandler(Missing)
    def missing(_: Missing) -> tuple[str, int]:
        return "", 404

    add_routes(control, _controls(asaas))
    return control


def _controls(asaas: AsaasAccount) -> Routes:
    def state() -> dict[str, Any]:
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

    def after() -> int:
        return request.args.get("after", 0, type=int)

    def duplicate_every() -> dict[str, Any]:
        asaas.duplicate_every(int(request_json()["n"]))
        return {"n": request_json()["n"]}

    def rate_limit() -> dict[str, Any]:
        asaas.limits.rate_limit(**request_json())
        return request_json()

    def keys() -> dict[str, Any]:
        asaas.limits.keys = set(request_json()["keys"])
        return {"count": len(asaas.limits.keys)}

    def load_customers() -> dict[str, Any]:
        asaas.customers.load(request_json()["customers"])
        return {"customers": len(asaas.book.customers)}

    return {
        "GET /state": state,
        "GET /tries": lambda: {"data": [asdict(attempt) for attempt in asaas.webhooks.tries(after())]},
        "GET /events": lambda: {"data": [json.loads(event.body) for event in asaas.events[after() :]]},
        "POST /duplicate_every": duplicate_every,
        "POST /rate_limit": rate_limit,
        "POST /keys": keys,
        "POST /customers": load_customers,
        "POST /payments/<payment_id>/receive": asaas.paying.receive,
        "POST /payments/<payment_id>/disputes": lambda payment_id: asaas.paying.disputes(payment_id, **request_json()),
        "POST /payments/<payment_id>/pay": lambda payment_id: asaas.is_paid(payment_id, **request_json()),
        "POST /subscriptions/<subscription_id>/bills": asaas.subscriptions.bills,
        "POST /says": lambda: {"id": asaas.says(**request_json()).id},
    }
