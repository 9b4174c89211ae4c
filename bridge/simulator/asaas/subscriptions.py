"""Subscriptions: the first charge is born with them and `nextDueDate` is a cycle ahead, as seen on the sandbox."""

from __future__ import annotations

from datetime import date
from typing import Any

from .book import Book
from .charging import Charging, amount
from .days import CYCLES, as_brazilian, next_due
from .lists import Arguments, matches, page
from .money import whole_or_float
from .payment import NO_DISCOUNT, NO_FINE, NO_INTEREST
from .payments import OPEN, Payments
from .refusal import Missing, Refusal

EQUAL = frozenset({"customer", "billingType", "status", "externalReference"})
SHARED = ("customer", "billingType", "description", "externalReference", "split", "discount", "fine", "interest")


class Subscriptions:
    """What can be done with subscriptions."""

    def __init__(self, book: Book, charging: Charging, payments: Payments) -> None:
        self._book = book
        self._charging = charging
        self._payments = payments

    def create(self, given: dict[str, Any]) -> dict[str, Any]:
        """Open a subscription and its first charge."""
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
        """Open the next charge, as the real one does forty days before it is due."""
        with self._book.lock:
            subscription = self._find(subscription_id)
            if subscription["status"] != "ACTIVE":
                raise Refusal("invalid_action", "A assinatura não está ativa.")
            return self._bill(subscription, None)

    def get(self, subscription_id: str) -> dict[str, Any]:
        """Give a subscription, also a removed one."""
        with self._book.lock:
            return dict(self._find(subscription_id))

    def listed(self, arguments: Arguments) -> dict[str, Any]:
        """List the subscriptions that are not removed, newest first."""
        with self._book.lock:
            bodies = [dict(body) for body in reversed(self._book.subscriptions.values()) if not body["deleted"]]
        return page([body for body in bodies if matches(body, arguments, EQUAL, frozenset())], arguments)

    def list_payments(self, subscription_id: str, arguments: Arguments) -> dict[str, Any]:
        """List the charges of a subscription, newest first."""
        self.get(subscription_id)
        return self._payments.listed({**arguments, "subscription": subscription_id})

    def delete(self, subscription_id: str) -> dict[str, Any]:
        """Remove a subscription and its open charges."""
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
        # The documented event has other keys and other dates than the API; no real one has been seen.
        body = {name: value for name, value in subscription.items() if name != "checkoutSession"}
        body["discount"] = subscription.get("discount") or dict(NO_DISCOUNT)
        body["dateCreated"] = as_brazilian(subscription["dateCreated"])
        body["nextDueDate"] = as_brazilian(subscription["nextDueDate"])
        self._book.emit(event, "subscription", body)
