"""The paths of the Asaas API under `/v3`: keys and limits first, then the method of the right part.

As Asaas does, it answers a creation with 200, an object that does not exist with 404 without a body, and a GET with a
body with 403.
"""

from __future__ import annotations

from flask import Blueprint, g, request

from bridge.simulator.asaas.account import AsaasAccount
from bridge.simulator.asaas.rules import Body, Refusal, page
from bridge.simulator.pages import Routes, add_routes


def api_blueprint(asaas: AsaasAccount) -> Blueprint:
    api = Blueprint("v3", __name__, url_prefix="/v3")

    @api.before_request
    def enter() -> tuple[str, int] | None:
        asaas.limits.check_key(request.headers.get("access_token"), request.headers.get("User-Agent"))
        g.entered = True
        asaas.limits.enter(request.method)
        if request.method == "GET" and request.content_length:
            return "", 403
        return None

    @api.teardown_request
    def leave(_: BaseException | None) -> None:
        if g.get("entered"):
            asaas.limits.leave(request.method)

    add_routes(api, _routes(asaas), asaas.book.lock)
    # The book stays free while the removal of a webhook waits for its threads.
    add_routes(api, {"DELETE /webhooks/<webhook_id>": asaas.webhooks.delete})
    return api


def _given() -> Body:
    body = request.get_json(silent=True, force=True) if request.content_length else {}
    if not isinstance(body, dict):
        raise Refusal("invalid_object", "O corpo da requisição não é um JSON válido.")
    return body


def _routes(asaas: AsaasAccount) -> Routes:
    customers, payments, plans = asaas.customers, asaas.payments, asaas.installments
    subscriptions, webhooks = asaas.subscriptions, asaas.webhooks

    def remove_customer(customer_id: str) -> Body:
        answer = customers.delete(customer_id)
        for subscription in list(asaas.book.subscriptions.values()):
            if subscription["customer"] == customer_id and not subscription["deleted"]:
                subscriptions.delete(subscription["id"])
        payments.delete_open("customer", customer_id)
        return answer

    def remove_backoff(webhook_id: str) -> tuple[str, int]:
        webhooks.remove_backoff(webhook_id)
        return "", 204

    def account_status() -> Body:
        parts = ("commercialInfo", "bankAccountInfo", "documentation", "general")
        return {"id": asaas.book.account_id, **dict.fromkeys(parts, "APPROVED")}

    return {
        "POST /customers": lambda: customers.create(_given()),
        "GET /customers": lambda: customers.listed(request.args),
        "GET /customers/<customer_id>": customers.get,
        "PUT /customers/<customer_id>": lambda customer_id: customers.update(customer_id, _given()),
        "DELETE /customers/<customer_id>": remove_customer,
        "POST /payments": lambda: payments.create(_given()),
        "GET /payments": lambda: payments.listed(request.args),
        "GET /payments/<payment_id>": payments.get,
        "PUT /payments/<payment_id>": lambda payment_id: payments.update(payment_id, _given()),
        "DELETE /payments/<payment_id>": payments.delete,
        "POST /payments/<payment_id>/restore": payments.restore,
        "GET /payments/<payment_id>/status": lambda payment_id: {"status": payments.get(payment_id)["status"]},
        "GET /payments/<payment_id>/refunds": payments.refunds,
        "POST /payments/<payment_id>/refund": lambda payment_id: payments.refund(payment_id, _given()),
        "POST /payments/<payment_id>/receiveInCash": lambda payment_id: payments.receive_in_cash(payment_id, _given()),
        "POST /payments/<payment_id>/undoReceivedInCash": payments.undo_received_in_cash,
        "POST /sandbox/payment/<payment_id>/confirm": payments.confirm,
        "POST /sandbox/payment/<payment_id>/overdue": payments.overdue,
        "POST /sandbox/payment/<payment_id>/refund/confirm": payments.confirm_refund,
        "POST /installments": lambda: plans.create(_given()),
        "GET /installments": lambda: plans.listed(request.args),
        "GET /installments/<plan_id>": plans.get,
        "GET /installments/<plan_id>/payments": lambda plan_id: plans.list_payments(plan_id, request.args),
        "POST /installments/<plan_id>/refund": plans.refund,
        "POST /subscriptions": lambda: subscriptions.create(_given()),
        "GET /subscriptions": lambda: subscriptions.listed(request.args),
        "GET /subscriptions/<id_>": subscriptions.get,
        "DELETE /subscriptions/<id_>": subscriptions.delete,
        "GET /subscriptions/<id_>/payments": lambda id_: subscriptions.list_payments(id_, request.args),
        "POST /webhooks": lambda: webhooks.create(_given()),
        "GET /webhooks": lambda: webhooks.listed(request.args),
        "GET /webhooks/<webhook_id>": webhooks.get,
        "PUT /webhooks/<webhook_id>": lambda webhook_id: webhooks.update(webhook_id, _given()),
        "POST /webhooks/<webhook_id>/removeBackoff": remove_backoff,
        "GET /wallets": lambda: page([{"object": "wallet", "id": asaas.book.account_id}], {}),
        "GET /financialTransactions": lambda: asaas.book.ledger.listed(request.args),
        "GET /myAccount/status": account_status,
        "GET /myAccount/commercialInfo": lambda: asaas.company,
    }
