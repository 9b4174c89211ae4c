"""The paths of the Asaas API under `/v3`: keys and limits first, then the method of the right part.

As Asaas does, it answers a creation with 200, an object that does not exist with 404 without a body, and a GET with a
body with 403.
"""

from __future__ import annotations

from typing import Any

from flask import Blueprint, Response, g, jsonify, request

from bridge.simulator.asaas.account import AsaasAccount
from bridge.simulator.asaas.rules import Missing, Refusal, page
from bridge.simulator.pages import Routes, add_routes


def _given() -> dict[str, Any]:
    body = request.get_json(silent=True, force=True) if request.content_length else {}
    if not isinstance(body, dict):
        raise Refusal("invalid_object", "O corpo da requisição não é um JSON válido.")
    return body


def api_blueprint(asaas: AsaasAccount) -> Blueprint:
    api = Blueprint("v3", __name__, url_prefix="/v3")
    _guard(api, asaas)
    add_routes(api, _routes(asaas))
    return api


def _guard(api: Blueprint, asaas: AsaasAccount) -> None:
    @api.before_request
    def enter() -> tuple[str, int] | None:
        asaas.limits.check_key(request.headers.get("access_token"), request.headers.get("User-Agent"))
        g.entered = True
        g.limit_headers = asaas.limits.enter(request.method)
        if request.method == "GET" and request.content_length:
            return "", 403
        return None

    @api.after_request
    def leave(response: Response) -> Response:
        response.headers.update(g.get("limit_headers", {}))
        return response

    @api.teardown_request
    def count_out(_: BaseException | None) -> None:
        if g.get("entered"):
            asaas.limits.leave(request.method)

    @api.errorhandler(Refusal)
    def refused(refusal: Refusal) -> tuple[Response, int]:
        response = jsonify(refusal.body())
        response.headers.update(getattr(refusal, "headers", {}))
        return response, refusal.status

    @api.errorhandler(Missing)
    def missing(_: Missing) -> tuple[str, int]:
        return "", 404


def _routes(asaas: AsaasAccount) -> Routes:
    customers, payments, paying = asaas.customers, asaas.payments, asaas.paying
    plans, subscriptions, webhooks = asaas.installments, asaas.subscriptions, asaas.webhooks

    def refund_plan(plan_id: str) -> dict[str, Any]:
        plans.get(plan_id)
        for payment in plans.payments(plan_id):
            paying.refund(payment.id, {})
        return plans.get(plan_id)

    def remove_backoff(webhook_id: str) -> tuple[str, int]:
        webhooks.remove_backoff(webhook_id)
        return "", 204

    def statement() -> dict[str, Any]:
        with asaas.book.lock:
            return asaas.book.ledger.listed(request.args)

    def account_status() -> dict[str, Any]:
        parts = ("commercialInfo", "bankAccountInfo", "documentation", "general")
        return {"id": asaas.book.account_id, **dict.fromkeys(parts, "APPROVED")}

    return {
        "POST /customers": lambda: customers.create(_given()),
        "GET /customers": lambda: customers.listed(request.args),
        "GET /customers/<customer_id>": customers.get,
        "PUT /customers/<customer_id>": lambda customer_id: customers.update(customer_id, _given()),
        "DELETE /customers/<customer_id>": asaas.is_removed,
        "POST /payments": lambda: payments.create(_given()),
        "GET /payments": lambda: payments.listed(request.args),
        "GET /payments/<payment_id>": payments.get,
        "PUT /payments/<payment_id>": lambda payment_id: payments.update(payment_id, _given()),
        "DELETE /payments/<payment_id>": payments.delete,
        "POST /payments/<payment_id>/restore": payments.restore,
        "GET /payments/<payment_id>/status": lambda payment_id: {"status": payments.get(payment_id)["status"]},
        "GET /payments/<payment_id>/refunds": payments.refunds,
        "POST /payments/<payment_id>/refund": lambda payment_id: paying.refund(payment_id, _given()),
        "POST /payments/<payment_id>/receiveInCash": lambda payment_id: paying.receive_in_cash(payment_id, _given()),
        "POST /payments/<payment_id>/undoReceivedInCash": paying.undo_received_in_cash,
        "POST /sandbox/payment/<payment_id>/confirm": paying.confirm,
        "POST /sandbox/payment/<payment_id>/overdue": paying.overdue,
        "POST /installments": lambda: plans.create(_given()),
        "GET /installments": lambda: plans.listed(request.args),
        "GET /installments/<plan_id>": plans.get,
        "GET /installments/<plan_id>/payments": lambda plan_id: plans.list_payments(plan_id, request.args),
        "POST /installments/<plan_id>/refund": refund_plan,
        "POST /subscriptions": lambda: subscriptions.create(_given()),
        "GET /subscriptions": lambda: subscriptions.listed(request.args),
        "GET /subscriptions/<subscription_id>": subscriptions.get,
        "DELETE /subscriptions/<subscription_id>": subscriptions.delete,
        "GET /subscriptions/<subscription_id>/payments": lambda subscription_id: subscriptions.list_payments(
            subscription_id, request.args
        ),
        "POST /webhooks": lambda: webhooks.create(_given()),
        "GET /webhooks": lambda: webhooks.listed(request.args),
        "GET /webhooks/<webhook_id>": webhooks.get,
        "PUT /webhooks/<webhook_id>": lambda webhook_id: webhooks.update(webhook_id, _given()),
        "DELETE /webhooks/<webhook_id>": webhooks.delete,
        "POST /webhooks/<webhook_id>/removeBackoff": remove_backoff,
        "GET /wallets": lambda: page([{"object": "wallet", "id": asaas.book.account_id}], {}),
        "GET /financialTransactions": statement,
        "GET /myAccount/status": account_status,
    }
