"""Changes of charges (paid, credited, overdue, received in cash, refunded, disputed) and subscriptions.

Flows as documented: Pix RECEIVED at once; boleto CONFIRMED, then RECEIVED; card CONFIRMED, and RECEIVED only when its
money comes. "Received in cash" is PAYMENT_RECEIVED with status RECEIVED_IN_CASH, as in a recorded body.
"""

from __future__ import annotations

from datetime import date, timedelta
from typing import Any

from bridge.simulator.asaas.charges import OPEN, Charging, Payments, amount
from bridge.simulator.asaas.rules import (
    CYCLES,
    Arguments,
    Missing,
    Refusal,
    as_brazilian,
    matches,
    net_value,
    next_due,
    page,
    stamp,
    whole_or_float,
)
from bridge.simulator.asaas.state import NO_DISCOUNT, NO_FINE, NO_INTEREST, Book, Payment

PAID = frozenset({"CONFIRMED", "RECEIVED"})
A_CARD = {"creditCard": {"number": "5162306219378829"}}


class Paying:
    """Changes of a charge by payers, banks and the calendar."""

    def __init__(self, book: Book, charging: Charging, payments: Payments) -> None:
        self._book = book
        self._charging = charging
        self._payments = payments

    def confirm(self, payment_id: str, billing_type: str | None = None) -> dict[str, Any]:
        """Pay an open charge; one of type UNDEFINED becomes a boleto unless `billing_type` is given."""
        with self._book.lock:
            payment = self._of(payment_id, OPEN)
            if payment.billing_type == "UNDEFINED":
                payment.billing_type = billing_type or "BOLETO"
                payment.net_value = net_value(payment.billing_type, payment.value)
            if payment.billing_type == "CREDIT_CARD":
                self._charging.capture(payment, self._charging.card(A_CARD) or {}, self._book.ids.receipt())
                self._say("PAYMENT_CONFIRMED", payment)
                return payment.api_body()
            today = self._book.today().isoformat()
            payment.confirmed_date = payment.client_payment_date = today
            payment.credit_date = payment.estimated_credit_date = today
            if payment.billing_type == "PIX":
                payment.pix_transaction = self._book.ids.uuid()
                payment.pix_qr_code_id = self._book.ids.uuid()
            else:
                payment.status = "CONFIRMED"
                payment.receipt_url = payment.receipt_of("PAYMENT_CONFIRMED")
                self._say("PAYMENT_CONFIRMED", payment)
            return self._credit(payment)

    def receive(self, payment_id: str) -> dict[str, Any]:
        with self._book.lock:
            return self._credit(self._of(payment_id, frozenset({"CONFIRMED"})))

    def overdue(self, payment_id: str) -> dict[str, Any]:
        """Make a pending charge overdue."""
        with self._book.lock:
            payment = self._of(payment_id, frozenset({"PENDING"}))
            payment.status = "OVERDUE"
            yesterday = (self._book.today() - timedelta(days=1)).isoformat()
            payment.due_date = payment.original_due_date = min(payment.due_date, yesterday)
            return self._say("PAYMENT_OVERDUE", payment)

    def receive_in_cash(self, payment_id: str, given: dict[str, Any]) -> dict[str, Any]:
        """Mark an open charge as paid outside of Asaas, without fee and credit."""
        with self._book.lock:
            payment = self._of(payment_id, OPEN)
            payment.status = "RECEIVED_IN_CASH"
            payment.value = float(given.get("value") or payment.value)
            payment.net_value = payment.value
            payment.payment_date = str(given.get("paymentDate") or self._book.today().isoformat())
            payment.client_payment_date = payment.payment_date
            for part in payment.split:
                part.update(status="CANCELLED", cancellationReason="PAYMENT_RECEIVED_IN_CASH")
            return self._say("PAYMENT_RECEIVED", payment)

    def undo_received_in_cash(self, payment_id: str) -> dict[str, Any]:
        with self._book.lock:
            payment = self._of(payment_id, frozenset({"RECEIVED_IN_CASH"}))
            payment.status = "PENDING" if payment.due_date >= self._book.today().isoformat() else "OVERDUE"
            payment.payment_date = payment.client_payment_date = None
            payment.net_value = net_value(payment.billing_type, payment.value)
            return self._say("PAYMENT_RECEIVED_IN_CASH_UNDONE", payment)

    def refund(self, payment_id: str, given: dict[str, Any]) -> dict[str, Any]:
        """Refund `value`, or the rest."""
        with self._book.lock:
            payment = self._of(payment_id, PAID)
            before = sum(float(refund["value"]) for refund in payment.refunds)
            value = float(given.get("value") or payment.value - before)
            if value <= 0 or round(before + value, 2) > payment.value:
                raise Refusal("invalid_value", "O valor do estorno excede o valor da cobrança.")
            now = stamp(self._book.clock())
            if payment.status == "RECEIVED":  # the money of a confirmed card has not come yet
                self._book.ledger.give_back(payment, value, self._book.today().isoformat())
            payment.refunds.append(
                {
                    "dateCreated": now,
                    "status": "DONE",
                    "value": value,
                    "endToEndIdentifier": None,
                    "description": given.get("description"),
                    "effectiveDate": now if payment.billing_type == "PIX" else None,
                    "transactionReceiptUrl": payment.receipt_of("PAYMENT_REFUNDED"),
                    "refundedSplits": [],
                }
            )
            if round(before + value, 2) < payment.value:
                return self._say("PAYMENT_PARTIALLY_REFUNDED", payment)
            payment.status = "REFUNDED"
            payment.receipt_url = payment.receipt_of("PAYMENT_REFUNDED")
            for part in payment.split:
                part.update(status="REFUNDED", cancellationReason="PAYMENT_REFUNDED")
            return self._say("PAYMENT_REFUNDED", payment)

    def disputes(self, payment_id: str, reason: str = "PROCESS_ERROR") -> dict[str, Any]:
        """Request a chargeback."""
        with self._book.lock:
            payment = self._of(payment_id, PAID)
            if payment.status == "RECEIVED":
                today = self._book.today().isoformat()
                self._book.ledger.give_back(payment, payment.value, today, "CHARGEBACK")
            payment.status = "CHARGEBACK_REQUESTED"
            payment.chargeback = {
                "id": self._book.ids.uuid(),
                "payment": payment.id,
                "installment": payment.installment,
                "customerAccount": payment.customer,
                "status": "REQUESTED",
                "reason": reason,
                "disputeStartDate": self._book.today().isoformat(),
                "value": payment.value,
            }
            return self._say("PAYMENT_CHARGEBACK_REQUESTED", payment)

    def _credit(self, payment: Payment) -> dict[str, Any]:
        payment.status = "RECEIVED"
        payment.payment_date = self._book.today().isoformat()
        if payment.billing_type != "CREDIT_CARD":
            payment.receipt_url = payment.receipt_of("PAYMENT_RECEIVED")
        for part in payment.split:
            part["status"] = "DONE"
        self._book.ledger.credit(payment, payment.payment_date)
        body = self._say("PAYMENT_RECEIVED", payment)
        for part in payment.split:
            self._say("PAYMENT_SPLIT_DONE", payment, additionalInfo={"splitId": part["id"]})
        return body

    def _of(self, payment_id: str, statuses: frozenset[str]) -> Payment:
        payment = self._payments.find(payment_id)
        if payment.deleted or payment.status not in statuses:
            raise Refusal("invalid_action", "A situação da cobrança não permite esta ação.")
        return payment

    def _say(self, event: str, payment: Payment, **extra: Any) -> dict[str, Any]:
        self._book.emit(event, "payment", payment.event_body(), **extra)
        return payment.api_body()


EQUAL = frozenset({"customer", "billingType", "status", "externalReference"})
SHARED = ("customer", "billingType", "description", "externalReference", "split", "discount", "fine", "interest")


class Subscriptions:
    def __init__(self, book: Book, charging: Charging, payments: Payments) -> None:
        self._book = book
        self._charging = charging
        self._payments = payments

    def create(self, given: dict[str, Any]) -> dict[str, Any]:
        if given.get("cycle") not in CYCLES:
            raise Refusal("invalid_cycle", "O campo cycle é inválido.")
        with self._book.lock:
            due = self._charging.check(given, "nextDueDate")
            card = self._charging.card(given) if given["billingType"] == "CREDIT_CARD" else None
            subscription: dict[str, Any] = {
                "object": "subscription",
                "id": f"sub_{self._book.ids.short()}",
                "dateCreated": self._book.today().isoformat(),
                "customer": given["customer"],
                "paymentLink": None,
                "value": whole_or_float(amount(given, "value")),
                "nextDueDate": due.isoformat(),
                "cycle": given["cycle"],
                "description": given.get("description"),
                "billingType": given["billingType"],
                "deleted": False,
                "status": "ACTIVE",
                "externalReference": given.get("externalReference"),
                "checkoutSession": None,
                "sendPaymentByPostalService": False,
                "fine": {**NO_FINE, **(given.get("fine") or {})},
                "interest": {**NO_INTEREST, **(given.get("interest") or {})},
                "split": given.get("split"),
            }
            subscription.update({name: given[name] for name in ("endDate", "maxPayments", "discount") if name in given})
            self._book.subscriptions[subscription["id"]] = subscription
            self._say("SUBSCRIPTION_CREATED", subscription)
            self._bill(subscription, card)
            return dict(subscription)

    def bills(self, subscription_id: str) -> dict[str, Any]:
        """Add the next charge, as Asaas does 40 days before it is due."""
        with self._book.lock:
            subscription = self._find(subscription_id)
            if subscription["status"] != "ACTIVE":
                raise Refusal("invalid_action", "A assinatura não está ativa.")
            return self._bill(subscription, None)

    def get(self, subscription_id: str) -> dict[str, Any]:
        with self._book.lock:
            return dict(self._find(subscription_id))

    def listed(self, arguments: Arguments) -> dict[str, Any]:
        with self._book.lock:
            bodies = [dict(body) for body in reversed(self._book.subscriptions.values()) if not body["deleted"]]
        return page([body for body in bodies if matches(body, arguments, EQUAL, frozenset())], arguments)

    def list_payments(self, subscription_id: str, arguments: Arguments) -> dict[str, Any]:
        self.get(subscription_id)
        return self._payments.listed({**arguments, "subscription": subscription_id})

    def delete(self, subscription_id: str) -> dict[str, Any]:
        with self._book.lock:
            subscription = self._find(subscription_id)
            subscription.update(deleted=True, status="INACTIVE")
            for payment in list(self._book.payments.values()):
                if payment.subscription == subscription_id and payment.status in OPEN and not payment.deleted:
                    self._payments.delete(payment.id)
            self._say("SUBSCRIPTION_DELETED", subscription)
            return {"deleted": True, "id": subscription_id}

    def _find(self, subscription_id: str) -> dict[str, Any]:
        subscription = self._book.subscriptions.get(subscription_id)
        if subscription is None:
            raise Missing(subscription_id)
        return subscription

    def _bill(self, subscription: dict[str, Any], card: dict[str, Any] | None) -> dict[str, Any]:
        due = date.fromisoformat(subscription["nextDueDate"])
        given = {name: subscription.get(name) for name in SHARED}
        payment = self._charging.open(given, float(subscription["value"]), due, subscription=subscription["id"])
        if card is not None:
            self._charging.capture(payment, card, self._book.ids.receipt())
        subscription["nextDueDate"] = next_due(due, subscription["cycle"]).isoformat()
        self._charging.announce([payment])
        return payment.api_body()

    def _say(self, event: str, subscription: dict[str, Any]) -> None:
        # As documented, the event has other keys and dates than the API.
        body = {name: value for name, value in subscription.items() if name != "checkoutSession"}
        body["discount"] = subscription.get("discount") or dict(NO_DISCOUNT)
        body["dateCreated"] = as_brazilian(subscription["dateCreated"])
        body["nextDueDate"] = as_brazilian(subscription["nextDueDate"])
        self._book.emit(event, "subscription", body)
