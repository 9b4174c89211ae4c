"""Charges: create, read, list, change, remove and restore. What the payer does with them is `paying`."""

from __future__ import annotations

from typing import Any

from .book import Book
from .charging import Charging, amount, day
from .installments import Installments
from .lists import Arguments, matches, page
from .money import net_value
from .payment import Payment
from .refusal import Missing, Refusal

EQUAL = frozenset(
    {
        "customer", "billingType", "status", "subscription", "installment", "externalReference", "paymentDate",
        "estimatedCreditDate", "pixQrCodeId", "anticipated", "anticipable", "checkoutSession",
    }
)  # fmt: skip
BETWEEN = frozenset({"dateCreated", "paymentDate", "estimatedCreditDate", "dueDate"})
OPEN = frozenset({"PENDING", "OVERDUE"})


class Payments:
    """What the owner of the account does with charges."""

    def __init__(self, book: Book, charging: Charging, installments: Installments) -> None:
        self._book = book
        self._charging = charging
        self._installments = installments

    def create(self, given: dict[str, Any]) -> dict[str, Any]:
        """Open a charge; with `installmentCount`, an instalment plan, of which the first charge is answered."""
        if given.get("installmentCount") is not None:
            plan = self._installments.create(given)
            return self._installments.payments(plan["id"])[0].api_body()
        with self._book.lock:
            due = self._charging.check(given)
            card = self._charging.card(given) if given["billingType"] == "CREDIT_CARD" else None
            payment = self._charging.open(given, amount(given, "value"), due)
            if card is not None:
                self._charging.capture(payment, card, self._book.ids.receipt())
            self._charging.announce([payment])
            return payment.api_body()

    def get(self, payment_id: str) -> dict[str, Any]:
        """Give a charge, also a removed one."""
        with self._book.lock:
            return self.find(payment_id).api_body()

    def find(self, payment_id: str) -> Payment:
        """Find a charge, or say 404."""
        payment = self._book.payments.get(payment_id)
        if payment is None:
            raise Missing(payment_id)
        return payment

    def listed(self, arguments: Arguments) -> dict[str, Any]:
        """List the charges that are not removed, newest first."""
        with self._book.lock:
            bodies = [payment.api_body() for payment in reversed(self._book.payments.values()) if not payment.deleted]
        return page([body for body in bodies if matches(body, arguments, EQUAL, BETWEEN)], arguments)

    def update(self, payment_id: str, given: dict[str, Any]) -> dict[str, Any]:
        """Change value, due day or texts of an open charge."""
        with self._book.lock:
            payment = self._open(payment_id)
            if "value" in given:
                payment.value = amount(given, "value")
                payment.net_value = net_value(payment.billing_type, payment.value)
            if "dueDate" in given:
                due = day(given, "dueDate")
                payment.due_date = due.isoformat()
                if due >= self._book.today():
                    payment.status = "PENDING"
            payment.description = given.get("description", payment.description)
            payment.external_reference = given.get("externalReference", payment.external_reference)
            self._book.emit("PAYMENT_UPDATED", "payment", payment.event_body())
            return payment.api_body()

    def delete(self, payment_id: str) -> dict[str, Any]:
        """Remove an open charge: its status stays what it was."""
        with self._book.lock:
            payment = self._open(payment_id)
            payment.deleted = True
            payment.receipt_url = payment.receipt_of("PAYMENT_DELETED")
            for part in payment.split:
                part.update(status="CANCELLED", cancellationReason="PAYMENT_DELETED")
            self._book.emit("PAYMENT_DELETED", "payment", payment.event_body())
            return {"deleted": True, "id": payment_id}

    def restore(self, payment_id: str) -> dict[str, Any]:
        """Bring a removed charge back."""
        with self._book.lock:
            payment = self.find(payment_id)
            if not payment.deleted:
                raise Refusal("invalid_action", "Somente é possível restaurar cobranças removidas.")
            payment.deleted = False
            payment.receipt_url = None
            for part in payment.split:
                part.update(status="PENDING", cancellationReason=None)
            self._book.emit("PAYMENT_RESTORED", "payment", payment.event_body())
            return payment.api_body()

    def refunds(self, payment_id: str) -> dict[str, Any]:
        """List the refunds of a charge."""
        with self._book.lock:
            return page([dict(refund) for refund in self.find(payment_id).refunds], {"limit": "100"})

    def _open(self, payment_id: str) -> Payment:
        payment = self.find(payment_id)
        if payment.deleted or payment.status not in OPEN:
            raise Refusal("invalid_action", "Não é possível alterar esta cobrança: já foi paga ou removida.")
        return payment
