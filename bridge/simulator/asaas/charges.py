"""Charges: checks, fees, numbers, slips and cards, and what payers, banks and the calendar do to them.

Flows as documented: Pix RECEIVED at once; boleto CONFIRMED, then RECEIVED; card CONFIRMED, and RECEIVED only when its
money comes. "Received in cash" is PAYMENT_RECEIVED with status RECEIVED_IN_CASH, as in a recorded body.
"""

from __future__ import annotations

from collections.abc import Collection
from datetime import date, datetime, timedelta
from typing import Any

from bridge.simulator.asaas.customers import digits
from bridge.simulator.asaas.rules import (
    Arguments,
    Body,
    Refusal,
    add_months,
    card_credit,
    instalment_values,
    matches,
    net_value,
    page,
    stamp,
)
from bridge.simulator.asaas.state import HOST, Book, api_body, event_body, receipt_url

BILLING_TYPES = frozenset({"UNDEFINED", "BOLETO", "CREDIT_CARD", "PIX"})
DECLINED_CARDS = frozenset({"5184019740373151", "4916561358240741"})
"""The numbers that the sandbox declines."""
BRANDS = {"3": "AMEX", "4": "VISA", "5": "MASTERCARD", "6": "ELO"}
A_CARD = {"billingType": "CREDIT_CARD", "creditCard": {"number": "5162306219378829"}}
NO_DISCOUNT = {"value": 0, "limitDate": None, "dueDateLimitDays": 0, "type": "FIXED"}
NO_FINE = {"value": 0, "type": "FIXED"}
NO_INTEREST = {"value": 0, "type": "PERCENTAGE"}
MOST_INSTALMENTS = 21
OPEN = frozenset({"PENDING", "OVERDUE"})
PAID = frozenset({"CONFIRMED", "RECEIVED"})
EQUAL = frozenset(
    {
        "customer", "billingType", "status", "subscription", "installment", "externalReference", "paymentDate",
        "estimatedCreditDate", "pixQrCodeId", "anticipated", "anticipable", "checkoutSession",
    }
)  # fmt: skip
BETWEEN = frozenset({"dateCreated", "paymentDate", "estimatedCreditDate", "dueDate"})


class Payments:
    """The charges; callers hold the book's lock."""

    def __init__(self, book: Book) -> None:
        self._book = book

    def create(self, given: Body) -> Body:
        """Add a charge; with `installmentCount` a plan, and return its first charge."""
        if given.get("installmentCount") is not None:
            return api_body(self.create_plan(given)[0])
        due = self.check(given)
        card = self.charge_card(given)
        payment = self.add(given, amount(given, "value"), due)
        self.begin([payment], card)
        return api_body(payment)

    def create_plan(self, given: Body) -> list[Body]:
        """Add an instalment plan; its card is captured for all instalments at once."""
        count = int(given.get("installmentCount") or 0)
        if not 2 <= count <= MOST_INSTALMENTS:
            raise Refusal("invalid_installmentCount", "O número de parcelas deve estar entre 2 e 21.")
        if given.get("totalValue") is not None:
            values = instalment_values(amount(given, "totalValue"), count)
        else:
            values = [amount(given, "value" if given.get("installmentValue") is None else "installmentValue")] * count
        due = self.check(given, needs_value=False)
        card = self.charge_card(given)
        plan_id = self._book.ids.uuid()
        payments = []
        for number, value in enumerate(values, start=1):
            text = f"Parcela {number} de {count}."
            plan = {
                "installment": plan_id,
                "installmentNumber": number,
                "description": f"{text} {given['description']}" if given.get("description") else text,
            }
            payments.append(self.add(given, value, add_months(due, number - 1), count, **plan))
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
        self.begin(payments, card)
        return payments

    def check(self, given: Body, due_name: str = "dueDate", *, needs_value: bool = True) -> date:
        """Refuse a request as Asaas does, one problem at a time; return the first due day."""
        customer = self._book.customers.get(str(given.get("customer") or ""))
        if customer is None or customer["deleted"]:
            raise Refusal("invalid_customer", "Customer inválido ou não informado.")
        if given.get("billingType") not in BILLING_TYPES:
            raise Refusal("invalid_billingType", "O campo billingType é inválido.")
        if needs_value:
            amount(given, "value")
        if len(str(given.get("description") or "")) > 500:
            raise Refusal("invalid_description", "A descrição deve ter no máximo 500 caracteres.")
        if not all(part.get("walletId") for part in _splits(given)):
            raise Refusal("invalid_split", "O campo walletId deve ser informado.")
        due = day(given, due_name)
        if due < self._book.today():
            raise Refusal(f"invalid_{due_name}", "Não é permitido data de vencimento inferior a hoje.")
        return due

    def charge_card(self, given: Body) -> Body | None:
        """Charge the request's card and return its keys; None for another way of paying, or a card that comes later."""
        card = given.get("creditCard")
        if given["billingType"] != "CREDIT_CARD" or (card is None and not given.get("creditCardToken")):
            return None
        number = digits((card or {}).get("number")) or "0000000000008829"
        if number in DECLINED_CARDS:
            text = "Transação não autorizada. Verifique os dados do cartão de crédito e tente novamente."
            raise Refusal("invalid_action", text)
        return {
            "creditCardNumber": number[-4:],
            "creditCardBrand": BRANDS.get(number[0], "MASTERCARD"),
            "creditCardToken": given.get("creditCardToken") or self._book.ids.uuid(),
        }

    def add(self, given: Body, value: float, due: date, instalments: int = 1, **plan: Any) -> Body:
        """Add a charge; `plan` holds its fields of an instalment plan or subscription."""
        billing_type = str(given["billingType"])
        ids, short_id = self._book.ids, self._book.ids.short()
        has_slip = billing_type in {"BOLETO", "UNDEFINED"}
        payment = {
            "object": "payment",
            "id": f"pay_1_{short_id}",
            "dateCreated": self._book.today().isoformat(),
            "customer": str(given["customer"]),
            "subscription": None,
            "installment": None,
            "checkoutSession": None,
            "paymentLink": None,
            "value": value,
            "netValue": net_value(billing_type, value, instalments),
            "originalValue": None,
            "interestValue": None,
            "description": given.get("description"),
            "billingType": billing_type,
            "canBePaidAfterDueDate": True,
            "confirmedDate": None,
            "creditCard": None,
            "pixTransaction": None,
            "pixQrCodeId": None,
            "status": "PENDING",
            "dueDate": due.isoformat(),
            "originalDueDate": due.isoformat(),
            "paymentDate": None,
            "clientPaymentDate": None,
            "installmentNumber": None,
            "invoiceUrl": f"{HOST}/i/{short_id}",
            "invoiceNumber": next(ids.invoices),
            "externalReference": given.get("externalReference") or given.get("paymentExternalReference"),
            "deleted": False,
            "anticipated": False,
            "anticipable": False,
            "creditDate": None,
            "estimatedCreditDate": None,
            "transactionReceiptUrl": None,
            "nossoNumero": next(ids.boletos) if has_slip else None,
            "bankSlipUrl": f"{HOST}/b/pdf/{short_id}" if has_slip else None,
            "lastInvoiceViewedDate": None,
            "lastBankSlipViewedDate": None,
            "discount": _terms(given.get("discount"), NO_DISCOUNT),
            "fine": _terms(given.get("fine"), NO_FINE),
            "interest": _terms(given.get("interest"), NO_INTEREST),
            "split": [],
            "postalService": bool(given.get("postalService", False)),
            "escrow": None,
            "chargeback": None,
            "refunds": [],
            **plan,
        }
        payment["split"] = [self._split(part, payment["netValue"]) for part in _splits(given)]
        self._book.payments[payment["id"]] = payment
        return payment

    def begin(self, payments: list[Body], card: Body | None) -> None:
        """Emit PAYMENT_CREATED for all; with a card, capture them before, and emit PAYMENT_CONFIRMED after."""
        events = ["PAYMENT_CREATED"]
        if card is not None:
            self._capture(payments, card)
            events.append("PAYMENT_CONFIRMED")
        for event in events:
            for payment in payments:
                self._say(event, payment)

    def get(self, payment_id: str) -> Body:
        return api_body(self._book.payments[payment_id])

    def listed(self, arguments: Arguments) -> Body:
        payments = reversed(list(self._book.payments.values()))
        found = [one for one in payments if not one["deleted"] and matches(one, arguments, EQUAL, BETWEEN)]
        return page(found, arguments, api_body)

    def update(self, payment_id: str, given: Body) -> Body:
        payment = self._of(payment_id, OPEN)
        if "value" in given:
            value = amount(given, "value")
            payment.update(value=value, netValue=net_value(payment["billingType"], value))
        if "dueDate" in given:
            due = day(given, "dueDate")
            payment["dueDate"] = due.isoformat()
            if due >= self._book.today():
                payment["status"] = "PENDING"
        payment.update({name: given[name] for name in ("description", "externalReference") if name in given})
        return self._say("PAYMENT_UPDATED", payment)

    def delete(self, payment_id: str) -> Body:
        """Remove an open charge; its status stays."""
        payment = self._of(payment_id, OPEN)
        payment.update(deleted=True, transactionReceiptUrl=receipt_url("PAYMENT_DELETED", payment))
        _change_splits(payment, "CANCELLED", "PAYMENT_DELETED")
        self._say("PAYMENT_DELETED", payment)
        return {"deleted": True, "id": payment_id}

    def delete_open(self, name: str, value: str) -> None:
        """Remove the open charges of a customer or subscription."""
        for payment in list(self._book.payments.values()):
            if payment[name] == value and payment["status"] in OPEN and not payment["deleted"]:
                self.delete(payment["id"])

    def restore(self, payment_id: str) -> Body:
        payment = self._book.payments[payment_id]
        if not payment["deleted"]:
            raise Refusal("invalid_action", "Somente é possível restaurar cobranças removidas.")
        payment.update(deleted=False, transactionReceiptUrl=None)
        _change_splits(payment, "PENDING")
        return self._say("PAYMENT_RESTORED", payment)

    def refunds(self, payment_id: str) -> Body:
        return page(self._book.payments[payment_id]["refunds"], {"limit": "100"})

    def confirm(self, payment_id: str, billing_type: str | None = None) -> Body:
        """Pay an open charge; one of type UNDEFINED becomes a boleto unless `billing_type` is given."""
        payment = self._of(payment_id, OPEN)
        if payment["billingType"] == "UNDEFINED":
            chosen = billing_type or "BOLETO"
            payment.update(billingType=chosen, netValue=net_value(chosen, payment["value"]))
        if payment["billingType"] == "CREDIT_CARD":
            self._capture([payment], self.charge_card(A_CARD) or {})
            return self._say("PAYMENT_CONFIRMED", payment)
        today = self._book.today().isoformat()
        payment.update(confirmedDate=today, clientPaymentDate=today, creditDate=today, estimatedCreditDate=today)
        if payment["billingType"] == "PIX":
            payment.update(pixTransaction=self._book.ids.uuid(), pixQrCodeId=self._book.ids.uuid())
        else:
            payment.update(status="CONFIRMED", transactionReceiptUrl=receipt_url("PAYMENT_CONFIRMED", payment))
            self._say("PAYMENT_CONFIRMED", payment)
        return self._credit(payment)

    def receive(self, payment_id: str) -> Body:
        return self._credit(self._of(payment_id, {"CONFIRMED"}))

    def overdue(self, payment_id: str) -> Body:
        """Make a pending charge overdue."""
        payment = self._of(payment_id, {"PENDING"})
        due = min(payment["dueDate"], (self._book.today() - timedelta(days=1)).isoformat())
        payment.update(status="OVERDUE", dueDate=due, originalDueDate=due)
        return self._say("PAYMENT_OVERDUE", payment)

    def receive_in_cash(self, payment_id: str, given: Body) -> Body:
        """Mark an open charge as paid outside of Asaas, without fee and credit."""
        payment = self._of(payment_id, OPEN)
        value = float(given.get("value") or payment["value"])
        paid = str(given.get("paymentDate") or self._book.today().isoformat())
        payment.update(status="RECEIVED_IN_CASH", value=value, netValue=value, paymentDate=paid, clientPaymentDate=paid)
        _change_splits(payment, "CANCELLED", "PAYMENT_RECEIVED_IN_CASH")
        return self._say("PAYMENT_RECEIVED", payment)

    def undo_received_in_cash(self, payment_id: str) -> Body:
        payment = self._of(payment_id, {"RECEIVED_IN_CASH"})
        status = "PENDING" if payment["dueDate"] >= self._book.today().isoformat() else "OVERDUE"
        payment.update(status=status, paymentDate=None, clientPaymentDate=None)
        payment["netValue"] = net_value(payment["billingType"], payment["value"])
        return self._say("PAYMENT_RECEIVED_IN_CASH_UNDONE", payment)

    def refund(self, payment_id: str, given: Body) -> Body:
        """Refund `value`, or the rest; the refund of a boleto is pending until `confirm_refund`."""
        payment = self._of(payment_id, PAID)
        before = sum(float(refund["value"]) for refund in payment["refunds"])
        value = float(given.get("value") or payment["value"] - before)
        if value <= 0 or round(before + value, 2) > payment["value"]:
            raise Refusal("invalid_value", "O valor do estorno excede o valor da cobrança.")
        now = stamp(self._book.clock())
        payment["refunds"].append(
            {
                "dateCreated": now,
                "status": "PENDING",
                "value": value,
                "endToEndIdentifier": None,
                "description": given.get("description"),
                "effectiveDate": now if payment["billingType"] == "PIX" else None,
                "transactionReceiptUrl": receipt_url("PAYMENT_REFUNDED", payment),
                "refundedSplits": [],
            }
        )
        if payment["billingType"] == "BOLETO":
            payment["status"] = "REFUND_REQUESTED"
            return api_body(payment)
        return self._complete_refund(payment)

    def confirm_refund(self, payment_id: str) -> Body:
        """Complete the pending refund of a boleto."""
        payment = self._of(payment_id, {"REFUND_REQUESTED"})
        payment["status"] = "RECEIVED"
        return self._complete_refund(payment)

    def _complete_refund(self, payment: Body) -> Body:
        last = payment["refunds"][-1]
        last["status"] = "DONE"
        if payment["status"] == "RECEIVED":  # the money of a confirmed card has not come yet
            self._book.ledger.give_back(payment, last["value"], self._book.today().isoformat())
        if round(sum(float(refund["value"]) for refund in payment["refunds"]), 2) < payment["value"]:
            return self._say("PAYMENT_PARTIALLY_REFUNDED", payment)
        payment.update(status="REFUNDED", transactionReceiptUrl=last["transactionReceiptUrl"])
        _change_splits(payment, "REFUNDED", "PAYMENT_REFUNDED")
        return self._say("PAYMENT_REFUNDED", payment)

    def disputes(self, payment_id: str, reason: str = "PROCESS_ERROR") -> Body:
        """Request a chargeback."""
        payment = self._of(payment_id, PAID)
        today = self._book.today().isoformat()
        if payment["status"] == "RECEIVED":
            self._book.ledger.give_back(payment, payment["value"], today, "CHARGEBACK")
        payment["status"] = "CHARGEBACK_REQUESTED"
        payment["chargeback"] = {
            "id": self._book.ids.uuid(),
            "payment": payment["id"],
            "installment": payment["installment"],
            "customerAccount": payment["customer"],
            "status": "REQUESTED",
            "reason": reason,
            "disputeStartDate": today,
            "value": payment["value"],
        }
        return self._say("PAYMENT_CHARGEBACK_REQUESTED", payment)

    def _capture(self, payments: list[Body], card: Body) -> None:
        """Confirm card charges; their money comes 32 days later for each instalment."""
        today, receipt = self._book.today(), f"{HOST}/comprovantes/{self._book.ids.receipt()}"
        for payment in payments:
            credit = card_credit(today, payment["installmentNumber"] or 1).isoformat()
            payment.update(status="CONFIRMED", creditCard=card, transactionReceiptUrl=receipt)
            payment.update(confirmedDate=today.isoformat(), clientPaymentDate=today.isoformat())
            payment.update(creditDate=credit, estimatedCreditDate=credit)

    def _credit(self, payment: Body) -> Body:
        today = self._book.today().isoformat()
        payment.update(status="RECEIVED", paymentDate=today)
        if payment["billingType"] != "CREDIT_CARD":
            payment["transactionReceiptUrl"] = receipt_url("PAYMENT_RECEIVED", payment)
        for part in payment["split"]:
            part["status"] = "DONE"
        self._book.ledger.credit(payment, today)
        body = self._say("PAYMENT_RECEIVED", payment)
        for part in payment["split"]:
            self._say("PAYMENT_SPLIT_DONE", payment, additionalInfo={"splitId": part["id"]})
        return body

    def _of(self, payment_id: str, statuses: Collection[str]) -> Body:
        payment = self._book.payments[payment_id]
        if payment["deleted"] or payment["status"] not in statuses:
            raise Refusal("invalid_action", "A situação da cobrança não permite esta ação.")
        return payment

    def _say(self, event: str, payment: Body, **extra: object) -> Body:
        self._book.emit(event, "payment", event_body(payment), **extra)
        return api_body(payment)

    def _split(self, part: Body, net: float) -> Body:
        fixed, percent = part.get("fixedValue"), part.get("percentualValue")
        return {
            "id": self._book.ids.uuid(),
            "walletId": part["walletId"],
            "fixedValue": fixed,
            "percentualValue": percent,
            "totalValue": fixed if fixed is not None else round(net * float(percent or 0) / 100, 2),
            "cancellationReason": None,
            "status": "PENDING",
            "externalReference": part.get("externalReference"),
            "description": part.get("description"),
        }


def amount(given: Body, name: str) -> float:
    try:
        value = round(float(given[name]), 2)
    except (KeyError, TypeError, ValueError):
        value = 0.0
    if value <= 0:
        raise Refusal(f"invalid_{name}", f"O campo {name} deve ser informado.")
    return value


def day(given: Body, name: str) -> date:
    try:
        return datetime.strptime(str(given[name])[:10], "%Y-%m-%d").date()  # noqa: DTZ007 - a day has no time zone
    except (KeyError, ValueError) as problem:
        raise Refusal(f"invalid_{name}", f"O campo {name} deve ser informado.") from problem


def _splits(given: Body) -> list[Body]:
    return given.get("split") or given.get("splits") or []


def _change_splits(payment: Body, status: str, reason: str | None = None) -> None:
    for part in payment["split"]:
        part.update(status=status, cancellationReason=reason)


def _terms(given: Body | None, default: Body) -> Body:
    if not given or not given.get("value"):
        return dict(default)
    kept = {name: value for name, value in given.items() if name in default}
    return {**default, "type": "PERCENTAGE", **kept}
