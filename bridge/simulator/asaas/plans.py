"""Instalment plans and subscriptions: what several charges have in common."""

from __future__ import annotations

from datetime import date

from bridge.simulator.asaas.charges import NO_DISCOUNT, NO_FINE, NO_INTEREST, Payments, amount
from bridge.simulator.asaas.rules import (
    CYCLES,
    Arguments,
    Body,
    Refusal,
    as_brazilian,
    matches,
    next_due,
    page,
    whole_or_float,
)
from bridge.simulator.asaas.state import Book, api_body


class Installments:
    """The instalment plans; callers hold the book's lock."""

    def __init__(self, book: Book, payments: Payments) -> None:
        self._book = book
        self._payments = payments

    def create(self, given: Body) -> Body:
        return self.get(self._payments.create_plan(given)[0]["installment"])

    def get(self, plan_id: str) -> Body:
        plan = self._book.installments[plan_id]
        payments = self.payments(plan_id)
        first = payments[0]
        body = {
            "object": "installment",
            "id": plan_id,
            "value": whole_or_float(round(plan["value"], 2)),
            "netValue": whole_or_float(round(sum(part["netValue"] for part in payments), 2)),
            "paymentValue": whole_or_float(plan["paymentValue"]),
            "installmentCount": len(payments),
            "billingType": plan["billingType"],
            "paymentDate": first["confirmedDate"],
            "description": plan["description"],
            "expirationDay": plan["expirationDay"],
            "deleted": all(part["deleted"] for part in payments),
            "dateCreated": plan["dateCreated"],
            "checkoutSession": None,
            "customer": plan["customer"],
            "paymentLink": None,
            "transactionReceiptUrl": first["transactionReceiptUrl"],
        }
        if first["creditCard"]:
            body["creditCard"] = first["creditCard"]
        refunds = [{**refund, "paymentId": part["id"]} for part in payments for refund in part["refunds"]]
        return {**body, "refunds": refunds or None}

    def payments(self, plan_id: str) -> list[Body]:
        """Return the charges of a plan in the order of instalments."""
        return [part for part in self._book.payments.values() if part["installment"] == plan_id]

    def listed(self, arguments: Arguments) -> Body:
        return page(list(reversed(self._book.installments.values())), arguments, lambda plan: self.get(plan["id"]))

    def list_payments(self, plan_id: str, arguments: Arguments) -> Body:
        """Return a page of at most 100 charges, the last instalment first."""
        self.get(plan_id)
        found = [part for part in reversed(self.payments(plan_id)) if matches(part, arguments, {"status"})]
        return page(found, {"limit": "100", **arguments}, api_body)

    def refund(self, plan_id: str) -> Body:
        self.get(plan_id)
        for payment in self.payments(plan_id):
            self._payments.refund(payment["id"], {})
        return self.get(plan_id)


EQUAL = frozenset({"customer", "billingType", "status", "externalReference"})
SHARED = ("customer", "billingType", "description", "externalReference", "split", "discount", "fine", "interest")


class Subscriptions:
    """The subscriptions; callers hold the book's lock."""

    def __init__(self, book: Book, payments: Payments) -> None:
        self._book = book
        self._payments = payments

    def create(self, given: Body) -> Body:
        if given.get("cycle") not in CYCLES:
            raise Refusal("invalid_cycle", "O campo cycle é inválido.")
        due = self._payments.check(given, "nextDueDate")
        card = self._payments.charge_card(given)
        subscription: Body = {
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

    def bills(self, subscription_id: str) -> Body:
        """Add the next charge, as Asaas does 40 days before it is due."""
        subscription = self._book.subscriptions[subscription_id]
        if subscription["status"] != "ACTIVE":
            raise Refusal("invalid_action", "A assinatura não está ativa.")
        return self._bill(subscription, None)

    def get(self, id_: str) -> Body:
        return dict(self._book.subscriptions[id_])

    def listed(self, arguments: Arguments) -> Body:
        bodies = reversed(self._book.subscriptions.values())
        return page([body for body in bodies if not body["deleted"] and matches(body, arguments, EQUAL)], arguments)

    def list_payments(self, subscription_id: str, arguments: Arguments) -> Body:
        self.get(subscription_id)
        return self._payments.listed({**arguments, "subscription": subscription_id})

    def delete(self, id_: str) -> Body:
        subscription = self._book.subscriptions[id_]
        subscription.update(deleted=True, status="INACTIVE")
        self._payments.delete_open("subscription", id_)
        self._say("SUBSCRIPTION_DELETED", subscription)
        return {"deleted": True, "id": id_}

    def _bill(self, subscription: Body, card: Body | None) -> Body:
        due = date.fromisoformat(subscription["nextDueDate"])
        given = {name: subscription.get(name) for name in SHARED}
        payment = self._payments.add(given, float(subscription["value"]), due, subscription=subscription["id"])
        subscription["nextDueDate"] = next_due(due, subscription["cycle"]).isoformat()
        self._payments.begin([payment], card)
        return api_body(payment)

    def _say(self, event: str, subscription: Body) -> None:
        # As documented, the event has other keys and dates than the API.
        body = {name: value for name, value in subscription.items() if name != "checkoutSession"}
        body["discount"] = subscription.get("discount") or dict(NO_DISCOUNT)
        body["dateCreated"] = as_brazilian(subscription["dateCreated"])
        body["nextDueDate"] = as_brazilian(subscription["nextDueDate"])
        self._book.emit(event, "subscription", body)
