"""The page of the simulated Asaas: its charges with buttons, its webhooks and the last tries to deliver.

For a person at a demo. Buttons are plain forms that come back to the page.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

from flask import Blueprint, redirect, render_template, request
from werkzeug.wrappers import Response

from .account import AsaasAccount
from .money import whole_or_float
from .paying import PAID
from .payments import OPEN
from .refusal import Missing, Refusal

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
