"""Instalment plans: one charge a month, the fee of a plan, and the plan's own body."""

from __future__ import annotations

from typing import Any

from .book import Book
from .charging import Charging, amount
from .days import add_months
from .lists import Arguments, page
from .money import instalment_values, whole_or_float
from .payment import Payment
from .refusal import Missing, Refusal

MOST_INSTALMENTS = 21


class Installments:
    """What can be done with instalment plans."""

    def __init__(self, book: Book, charging: Charging) -> None:
        self._book = book
        self._charging = charging

    def create(self, given: dict[str, Any]) -> dict[str, Any]:
        """Open a plan; a card that comes with it is captured for all instalments at once."""
        count = int(given.get("installmentCount") or 0)
        if not 2 <= count <= MOST_INSTALMENTS:
            raise Refusal("invalid_installmentCount", "O número de parcelas deve estar entre 2 e 21.")
        values = self._values(given, count)
        with self._book.lock:
            due = self._charging.check(given, needs_value=False)
            card = self._charging.card(given) if given["billingType"] == "CREDIT_CARD" else None
            plan_id = self._book.ids.uuid()
            payments = []
            for number, value in enumerate(values, start=1):
                text = f"Parcela {number} de {count}."
                payment = self._charging.open(
                    given,
                    value,
                    add_months(due, number - 1),
                    instalments=count,
                    installment=plan_id,
                    installment_number=number,
                    description=f"{text} {given['description']}" if given.get("description") else text,
                )
                payments.append(payment)
            if card is not None:
                receipt = self._book.ids.receipt()
                for payment in payments:
                    self._charging.capture(payment, card, receipt)
            self._book.installments[plan_id] = {
                "id": plan_id,
                "value": sum(values),
                "paymentValue": values[0],
                "description": given.get("description"),
                "expirationDay": due.day,
                "dateCreated": self._book.today().isoformat(),
                "customer": given["customer"],
                "billingType": given["billingType"],
            }
            self._charging.announce(payments)
            return self.get(plan_id)

    def get(self, plan_id: str) -> dict[str, Any]:
        """Give a plan's body, worked out of its charges."""
        with self._book.lock:
            if plan_id not in self._book.installments:
                raise Missing(plan_id)
            plan = self._book.installments[plan_id]
            payments = self.payments(plan_id)
            first = payments[0]
            refunds = [{**refund, "paymentId": part.id} for part in payments for refund in part.refunds]
            body = {
                "object": "installment",
                "id": plan_id,
                "value": whole_or_float(round(plan["value"], 2)),
                "netValue": whole_or_float(round(sum(part.net_value for part in payments), 2)),
                "paymentValue": whole_or_float(plan["paymentValue"]),
                "installmentCount": len(payments),
                "billingType": plan["billingType"],
                "paymentDate": first.confirmed_date,
                "description": plan["description"],
                "expirationDay": plan["expirationDay"],
                "deleted": all(part.deleted for part in payments),
                "dateCreated": plan["dateCreated"],
                "checkoutSession": None,
                "customer": plan["customer"],
                "paymentLink": None,
                "transactionReceiptUrl": first.receipt_url,
            }
            if first.credit_card:
                body["creditCard"] = dict(first.credit_card)
            body["refunds"] = refunds or None
            return body

    def payments(self, plan_id: str) -> list[Payment]:
        """Give the charges of a plan, the first instalment first."""
        with self._book.lock:
            return [part for part in self._book.payments.values() if part.installment == plan_id]

    def listed(self, arguments: Arguments) -> dict[str, Any]:
        """List the plans, newest first."""
        with self._book.lock:
            return page([self.get(plan_id) for plan_id in reversed(self._book.installments)], arguments)

    def list_payments(self, plan_id: str, arguments: Arguments) -> dict[str, Any]:
        """List the charges of a plan, the last instalment first, a hundred at a time."""
        self.get(plan_id)
        wanted = arguments.get("status")
        bodies = [part.api_body() for part in reversed(self.payments(plan_id)) if wanted in (None, part.status)]
        return page(bodies, {"limit": "100", **arguments})

    @staticmethod
    def _values(given: dict[str, Any], count: int) -> list[float]:
        if given.get("totalValue") is not None:
            return instalment_values(amount(given, "totalValue"), count)
        name = "installmentValue" if given.get("installmentValue") is not None else "value"
        return [amount(given, name)] * count
