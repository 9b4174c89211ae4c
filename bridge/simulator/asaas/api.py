"""The paths of the real API under `/v3`: keys and limits first, then the verb of the right part.

A creation answers 200, an object that does not exist a 404 without body, a GET with a body 403, as the real one.
"""

from __future__ import annotations

from typing import Any

from flask import Blueprint, Response, g, jsonify, request

from bridge.simulator.asaas.account import AsaasAccount
from bridge.simulator.asaas.rules import Missing, Refusal, page

Answer = dict[str, Any]


def _given() -> dict[str, Any]:
    body = request.get_json(silent=True, force=True) if request.content_length else {}
    if not isinstance(body, dict):
        raise Refusal("invalid_object", "O corpo da requisição não é um JSON válido.")
    return body


def api_blueprint(asaas: AsaasAccount) -> Blueprint:
    """Give the routes of the API."""
    api = Blueprint("v3", __name__, url_prefix="/v3")
    _guard(api, asaas)
    _customers(api, asaas)
    _payments(api, asaas)
    _paying(api, asaas)
    _plans(api, asaas)
    _webhooks(api, asaas)
    _account(api, asaas)
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


def _customers(api: Blueprint, asaas: AsaasAccount) -> None:
    @api.post("/customers")
    def create() -> Answer:
        return asaas.customers.create(_given())

    @api.get("/customers")
    def listing() -> Answer:
        return asaas.customers.listed(request.args)

    @api.get("/customers/<customer_id>")
    def get(customer_id: str) -> Answer:
        return asaas.customers.get(customer_id)

    @api.put("/customers/<customer_id>")
    def update(customer_id: str) -> Answer:
        return asaas.customers.update(customer_id, _given())

    @api.delete("/customers/<customer_id>")
    def delete(customer_id: str) -> Answer:
        return asaas.is_removed(customer_id)


def _payments(api: Blueprint, asaas: AsaasAccount) -> None:
    @api.post("/payments", endpoint="create_payment", strict_slashes=False)
    def create() -> Answer:
        return asaas.payments.create(_given())

    @api.get("/payments", endpoint="list_payments")
    def listing() -> Answer:
        return asaas.payments.listed(request.args)

    @api.get("/payments/<payment_id>", endpoint="get_payment")
    def get(payment_id: str) -> Answer:
        return asaas.payments.get(payment_id)

    @api.put("/payments/<payment_id>", endpoint="update_payment")
    def update(payment_id: str) -> Answer:
        return asaas.payments.update(payment_id, _given())

    @api.delete("/payments/<payment_id>", endpoint="delete_payment")
    def delete(payment_id: str) -> Answer:
        return asaas.payments.delete(payment_id)

    @api.post("/payments/<payment_id>/restore", endpoint="restore_payment")
    def restore(payment_id: str) -> Answer:
        return asaas.payments.restore(payment_id)

    @api.get("/payments/<payment_id>/status", endpoint="payment_status")
    def status(payment_id: str) -> Answer:
        return {"status": asaas.payments.get(payment_id)["status"]}

    @api.get("/payments/<payment_id>/refunds", endpoint="payment_refunds")
    def refunds(payment_id: str) -> Answer:
        return asaas.payments.refunds(payment_id)


def _paying(api: Blueprint, asaas: AsaasAccount) -> None:
    @api.post("/payments/<payment_id>/refund")
    def refund(payment_id: str) -> Answer:
        return asaas.paying.refund(payment_id, _given())

    @api.post("/payments/<payment_id>/receiveInCash")
    def receive_in_cash(payment_id: str) -> Answer:
        return asaas.paying.receive_in_cash(payment_id, _given())

    @api.post("/payments/<payment_id>/undoReceivedInCash")
    def undo(payment_id: str) -> Answer:
        return asaas.paying.undo_received_in_cash(payment_id)

    @api.post("/sandbox/payment/<payment_id>/confirm")
    def confirm(payment_id: str) -> Answer:
        return asaas.paying.confirm(payment_id)

    @api.post("/sandbox/payment/<payment_id>/overdue")
    def overdue(payment_id: str) -> Answer:
        return asaas.paying.overdue(payment_id)


def _plans(api: Blueprint, asaas: AsaasAccount) -> None:
    @api.post("/installments", endpoint="create_plan", strict_slashes=False)
    def create_plan() -> Answer:
        return asaas.installments.create(_given())

    @api.get("/installments", endpoint="list_plans")
    def list_plans() -> Answer:
        return asaas.installments.listed(request.args)

    @api.get("/installments/<plan_id>", endpoint="get_plan")
    def get_plan(plan_id: str) -> Answer:
        return asaas.installments.get(plan_id)

    @api.get("/installments/<plan_id>/payments", endpoint="plan_payments")
    def plan_payments(plan_id: str) -> Answer:
        return asaas.installments.list_payments(plan_id, request.args)

    @api.post("/installments/<plan_id>/refund", endpoint="refund_plan")
    def refund_plan(plan_id: str) -> Answer:
        asaas.installments.get(plan_id)
        asaas.paying.refund_plan(asaas.installments.payments(plan_id))
        return asaas.installments.get(plan_id)

    @api.post("/subscriptions", strict_slashes=False)
    def create_subscription() -> Answer:
        return asaas.subscriptions.create(_given())

    @api.get("/subscriptions")
    def list_subscriptions() -> Answer:
        return asaas.subscriptions.listed(request.args)

    @api.get("/subscriptions/<subscription_id>")
    def get_subscription(subscription_id: str) -> Answer:
        return asaas.subscriptions.get(subscription_id)

    @api.delete("/subscriptions/<subscription_id>")
    def delete_subscription(subscription_id: str) -> Answer:
        return asaas.subscriptions.delete(subscription_id)

    @api.get("/subscriptions/<subscription_id>/payments")
    def subscription_payments(subscription_id: str) -> Answer:
        return asaas.subscriptions.list_payments(subscription_id, request.args)


def _webhooks(api: Blueprint, asaas: AsaasAccount) -> None:
    @api.post("/webhooks")
    def create_webhook() -> Answer:
        return asaas.webhooks.create(_given())

    @api.get("/webhooks")
    def list_webhooks() -> Answer:
        return asaas.webhooks.listed(request.args)

    @api.get("/webhooks/<webhook_id>")
    def get_webhook(webhook_id: str) -> Answer:
        return asaas.webhooks.get(webhook_id)

    @api.put("/webhooks/<webhook_id>")
    def update_webhook(webhook_id: str) -> Answer:
        return asaas.webhooks.update(webhook_id, _given())

    @api.delete("/webhooks/<webhook_id>")
    def delete_webhook(webhook_id: str) -> Answer:
        return asaas.webhooks.delete(webhook_id)

    @api.post("/webhooks/<webhook_id>/removeBackoff")
    def remove_backoff(webhook_id: str) -> tuple[str, int]:
        asaas.webhooks.remove_backoff(webhook_id)
        return "", 204


def _account(api: Blueprint, asaas: AsaasAccount) -> None:
    @api.get("/wallets/", strict_slashes=False)
    def wallets() -> Answer:
        return page([{"object": "wallet", "id": asaas.book.account_id}], {})

    @api.get("/financialTransactions")
    def statement() -> Answer:
        with asaas.book.lock:
            return asaas.book.ledger.listed(request.args)

    @api.get("/myAccount/status/", strict_slashes=False)
    def status() -> Answer:
        parts = ("commercialInfo", "bankAccountInfo", "documentation", "general")
        return {"id": asaas.book.account_id, **dict.fromkeys(parts, "APPROVED")}
