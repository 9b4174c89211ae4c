"""The page of the simulated Asaas for demos (charges with buttons, webhooks, last attempts), and its controls."""

from __future__ import annotations

import json
import secrets
from collections.abc import Callable
from dataclasses import asdict
from datetime import timedelta
from typing import Any

from flask import Blueprint, redirect, render_template, request
from werkzeug.wrappers import Response

from bridge.simulator.asaas.account import AsaasAccount
from bridge.simulator.asaas.charges import OPEN, PAID
from bridge.simulator.asaas.customers import cpf_of
from bridge.simulator.asaas.rules import Body, Refusal, as_brazilian
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

    def charges() -> str:
        return render_template(
            "asaas.html",
            charges=_rows(asaas),
            webhooks=asaas.webhooks.listed({})["data"],
            waiting=asaas.webhooks.waiting(),
            tries=list(reversed(asaas.webhooks.tries[-SHOWN_TRIES:])),
            problem=request.args.get("problem"),
            keys=sorted(asaas.limits.keys),
        )

    def customer_form(problem: str = "") -> str:
        return render_template("asaas_customer.html", given=request.form, problem=problem)

    def charge_form(problem: str = "") -> str:
        customers = [one for one in reversed(asaas.book.customers.values()) if not one["deleted"]]
        due = (asaas.book.today() + timedelta(days=3)).isoformat()
        values = {"customers": customers, "billing": BILLING_NAMES, "due": due}
        return render_template("asaas_charge.html", given=request.form, problem=problem, **values)

    def make_customer() -> Response | tuple[str, int]:
        given = {name: text.strip() or None for name, text in request.form.items()}
        given["cpfCnpj"] = given.get("cpfCnpj") or cpf_of(100_000_000 + secrets.randbelow(900_000_000))
        try:
            asaas.customers.create({**given, "notificationDisabled": True})
        except Refusal as problem:
            return customer_form(problem.description), 400
        return redirect("/new-charge", code=303)

    def make_charge() -> Response | tuple[str, int]:
        given: Body = {name: text.strip() for name, text in request.form.items() if text.strip()}
        given.pop("installmentCount", None)
        count = request.form.get("installmentCount", 1, type=int)
        try:
            given["value"] = _amount(given.get("value", ""))
            if count > 1:
                given |= {"installmentCount": count, "totalValue": given.pop("value")}
            asaas.payments.create(given)
        except Refusal as problem:
            return charge_form(problem.description), 400
        return redirect("/", code=303)

    def act(payment_id: str, action: str) -> Response:
        actions: dict[str, Callable[[str], Body]] = {
            "pay": asaas.payments.confirm,
            "overdue": asaas.payments.overdue,
            "refund": lambda payment_id: asaas.payments.refund(payment_id, {}),
            "delete": asaas.payments.delete,
        }
        try:
            if action in actions:
                actions[action](payment_id)
        except Refusal as problem:
            return redirect(f"/?problem={problem.description}", code=303)
        return redirect("/", code=303)

    def resume(webhook_id: str) -> Response:
        asaas.webhooks.update(webhook_id, {"interrupted": False})
        return redirect("/", code=303)

    routes: Routes = {
        "GET /": charges,
        "GET /new-customer": customer_form,
        "POST /new-customer": make_customer,
        "GET /new-charge": charge_form,
        "POST /new-charge": make_charge,
        "POST /charges/<payment_id>/<action>": act,
        "POST /webhooks/<webhook_id>/resume": resume,
    }
    add_routes(site, routes, asaas.book.lock)
    return site


def _amount(text: str) -> float:
    """Read an amount as a person writes it: 1.234,50 or 1234.5."""
    try:
        return float(text.replace(".", "").replace(",", ".") if "," in text else text)
    except ValueError:
        raise Refusal("invalid_value", "O valor precisa ser um número, como 129,90.") from None


def _rows(asaas: AsaasAccount) -> list[dict[str, Any]]:
    return [
        {
            "id": payment["id"],
            "customer": asaas.book.customers[payment["customer"]]["name"],
            "text": payment["description"] or f"Fatura {payment['invoiceNumber']}",
            "value": brl(payment["value"]),
            "billing": BILLING_NAMES[payment["billingType"]],
            "due": as_brazilian(payment["dueDate"]),
            "status": "REMOVED" if payment["deleted"] else payment["status"],
            "status_name": "Removida" if payment["deleted"] else STATUS_NAMES[payment["status"]],
            "is_open": payment["status"] in OPEN and not payment["deleted"],
            "is_paid": payment["status"] in PAID and not payment["deleted"],
        }
        for payment in list(reversed(asaas.book.payments.values()))[:SHOWN_CHARGES]
    ]


def control_blueprint(asaas: AsaasAccount) -> Blueprint:
    """Return the routes under `/_sim/` by which tests of other processes control the account."""
    control = Blueprint("control", __name__, url_prefix="/_sim")

    def state() -> dict[str, Any]:
        return {
            "account": asaas.book.account_id,
            "customers": len(asaas.book.customers),
            "payments": len(asaas.book.payments),
            "events": len(asaas.book.events),
            "waiting": asaas.webhooks.waiting(),
            "requests": asaas.limits.requests,
            "faults": asaas.faults.state(),
        }

    def after() -> int:
        return request.args.get("after", 0, type=int)

    def keys() -> dict[str, Any]:
        asaas.limits.keys = set(request_json()["keys"])
        return {"count": len(asaas.limits.keys)}

    def load_customers() -> dict[str, Any]:
        asaas.customers.load(request_json()["customers"])
        return {"customers": len(asaas.book.customers)}

    routes: Routes = {
        "GET /state": state,
        "GET /tries": lambda: {"data": [asdict(attempt) for attempt in asaas.webhooks.tries[after() :]]},
        "GET /events": lambda: {"data": [json.loads(event.body) for event in asaas.book.events[after() :]]},
        "POST /keys": keys,
        "POST /customers": load_customers,
        "POST /payments/<payment_id>/receive": asaas.payments.receive,
        "POST /payments/<payment_id>/disputes": lambda payment_id: asaas.payments.disputes(
            payment_id, **request_json()
        ),
        "POST /payments/<payment_id>/pay": lambda payment_id: asaas.payments.confirm(payment_id, **request_json()),
        "POST /subscriptions/<subscription_id>/bills": asaas.subscriptions.bills,
        "POST /says": lambda: {"id": asaas.book.emit(**request_json()).id},
    }
    add_routes(control, routes, asaas.book.lock)
    return control
