"""Charges and instalment plans: checks, fees, numbers, slips, cards, and their events."""

from __future__ import annotations

from datetime import date, datetime
from typing import Any

from bridge.simulator.asaas.customers import digits
from bridge.simulator.asaas.rules import (
    Arguments,
    Missing,
    Refusal,
    add_months,
    card_credit,
    instalment_values,
    matches,
    net_value,
    page,
    whole_or_float,
)
from bridge.simulator.asaas.state import HOST, NO_DISCOUNT, NO_FINE, NO_INTEREST, Book, Payment

BILLING_TYPES = frozenset({"UNDEFINED", "BOLETO", "CREDIT_CARD", "PIX"})
DECLINED_CARDS = frozenset({"5184019740373151", "4916561358240741"})
"""The numbers that the sandbox declines."""
BRANDS = {"3": "AMEX", "4": "VISA", "5": "MASTERCARD", "6": "ELO"}


class Charging:
    def __init__(self, book: Book) -> None:
        self._book = book

    def check(self, given: dict[str, Any], due_name: str = "dueDate", *, needs_value: bool = True) -> date:
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
        for part in given.get("split") or given.get("splits") or []:
            if not part.get("walletId"):
                raise Refusal("invalid_split", "O campo walletId deve ser informado.")
        due = day(given, due_name)
        if due < self._book.today():
            raise Refusal(f"invalid_{due_name}", "Não é permitido data de vencimento inferior a hoje.")
        return due

    def card(self, given: dict[str, Any]) -> dict[str, Any] | None:
        """Charge the request's card; None when the payer gives it later."""
        card = given.get("creditCard")
        if card is None and not given.get("creditCardToken"):
            return None
        number = digits((card or {}).get("number")) or "0000000000008829"
        if number in DECLINED_CARDS:
            raise Refusal(
                "invalid_action",
                "Transação não autorizada. Verifique os dados do cartão de crédito e tente novamente.",
            )
        return {
            "creditCardNumber": number[-4:],
            "creditCardBrand": BRANDS.get(number[0], "MASTERCARD"),
            "creditCardToken": given.get("creditCardToken") or self._book.ids.uuid(),
        }

    def open(self, given: dict[str, Any], value: float, due: date, **plan: Any) -> Payment:
        """Add a charge; `plan` holds its fields of an instalment plan or subscription."""
        billing_type = str(given["billingType"])
        instalments = int(plan.pop("instalments", 1))
        ids = self._book.ids
        payment = Payment(
            short_id=ids.short(),
            date_created=self._book.today().isoformat(),
            customer=str(given["customer"]),
            value=value,
            net_value=net_value(billing_type, value, instalments),
            billing_type=billing_type,
            due_date=due.isoformat(),
            original_due_date=due.isoformat(),
            invoice_number=ids.invoice(),
            description=plan.pop("description", given.get("description")),
            external_reference=given.get("externalReference") or given.get("paymentExternalReference"),
            nosso_numero=ids.boleto() if billing_type in {"BOLETO", "UNDEFINED"} else None,
            postal_service=bool(given.get("postalService", False)),
            discount=_terms(given.get("discount"), NO_DISCOUNT),
            fine=_terms(given.get("fine"), NO_FINE),
            interest=_terms(given.get("interest"), NO_INTEREST),
            **plan,
        )
        payment.split = [
            self._split(part, payment.net_value) for part in given.get("split") or given.get("splits") or []
        ]
        self._book.payments[payment.id] = payment
        return payment

    def capture(self, payment: Payment, card: dict[str, Any], receipt: str) -> None:
        """Confirm a card charge; its money comes 32 days later for each instalment."""
        today = self._book.today()
        payment.status = "CONFIRMED"
        payment.credit_card = card
        payment.confirmed_date = payment.client_payment_date = today.isoformat()
        credit = card_credit(today, payment.installment_number or 1).isoformat()
        payment.credit_date = payment.estimated_credit_date = credit
        payment.receipt_url = f"{HOST}/comprovantes/{receipt}"

    def announce(self, payments: list[Payment]) -> None:
        """Emit PAYMENT_CREATED for all, then PAYMENT_CONFIRMED for the captured ones."""
        for payment in payments:
            self._book.emit("PAYMENT_CREATED", "payment", payment.event_body())
        for payment in payments:
            if payment.status == "CONFIRMED":
                self._book.emit("PAYMENT_CONFIRMED", "payment", payment.event_body())

    def _split(self, part: dict[str, Any], net: float) -> dict[str, Any]:
        fixed, percent = part.get("fixedValue"), part.get("percentualValue")
        total = fixed if fixed is not None else round(net * float(percent or 0) / 100, 2)
        return {
            "id": self._book.ids.uuid(),
            "walletId": part["walletId"],
            "fixedValue": fixed,
            "percentualValue": percent,
            "totalValue": total,
            "cancellationReason": None,
            "status": "PENDING",
            "externalReference": part.get("externalReference"),
            "description": part.get("description"),
        }


def amount(given: dict[str, Any], name: str) -> float:
    try:
        value = round(float(given[name]), 2)
    except (KeyError, TypeError, ValueError):
        value = 0.0
    if value <= 0:
        raise Refusal(f"invalid_{name}", f"O campo {name} deve ser informado.")
    return value


def day(given: dict[str, Any], name: str) -> date:
    try:
        return datetime.strptime(str(given[name])[:10], "%Y-%m-%d").date()  # noqa: DTZ007 - a day has no time zone
    except (KeyError, ValueError) as problem:
        raise Refusal(f"invalid_{name}", f"O campo {name} deve ser informado.") from problem


def _terms(given: dict[str, Any] | None, default: dict[str, Any]) -> dict[str, Any]:
    if not given or not given.get("value"):
        return dict(default)
    kept = {name: value for name, value in given.items() if name in default}
    return {**default, "type": "PERCENTAGE", **kept}


MOST_INSTALMENTS = 21


class Installments:
    def __init__(self, book: Book, charging: Charging) -> None:
        self._book = book
        self._charging = charging

    def create(self, given: dict[str, Any]) -> dict[str, Any]:
        """Add a plan; its card is captured for all instalments at once."""
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
        """Return the charges of a plan in the order of instalments."""
        with self._book.lock:
            return [part for part in self._book.payments.values() if part.installment == plan_id]

    def listed(self, arguments: Arguments) -> dict[str, Any]:
        with self._book.lock:
            return page([self.get(plan_id) for plan_id in reversed(self._book.installments)], arguments)

    def list_payments(self, plan_id: str, arguments: Arguments) -> dict[str, Any]:
        """Return a page of at most 100 charges, the last instalment first."""
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


EQUAL = frozenset(
    {
        "customer", "billingType", "status", "subscription", "installment", "externalReference", "paymentDate",
        "estimatedCreditDate", "pixQrCodeId", "anticipated", "anticipable", "checkoutSession",
    }
)  # fmt: skip
BETWEEN = frozenset({"dateCreated", "paymentDate", "estimatedCreditDate", "dueDate"})
OPEN = frozenset({"PENDING", "OVERDUE"})


class Payments:
    def __init__(self, book: Book, charging: Charging, installments: Installments) -> None:
        self._book = book
        self._charging = charging
        self._installments = installments

    def create(self, given: dict[str, Any]) -> dict[str, Any]:
        """Add a charge; with `installmentCount` a plan, and return its first charge."""
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
        with self._book.lock:
            return self.find(payment_id).api_body()

    def find(self, payment_id: str) -> Payment:
        payment = self._book.payments.get(payment_id)
        if payment is None:
            raise Missing(payment_id)
        return payment

    def listed(self, arguments: Arguments) -> dict[str, Any]:
        with self._book.lock:
            bodies = [payment.api_body() for payment in reversed(self._book.payments.values()) if not payment.deleted]
        return page([body for body in bodies if matches(body, arguments, EQUAL, BETWEEN)], arguments)

    def update(self, payment_id: str, given: dict[str, Any]) -> dict[str, Any]:
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
        """Remove an open charge; its status stays."""
        with self._book.lock:
            payment = self._open(payment_id)
            payment.deleted = True
            payment.receipt_url = payment.receipt_of("PAYMENT_DELETED")
            for part in payment.split:
                part.update(status="CANCELLED", cancellationReason="PAYMENT_DELETED")
            self._book.emit("PAYMENT_DELETED", "payment", payment.event_body())
            return {"deleted": True, "id": payment_id}

    def restore(self, payment_id: str) -> dict[str, Any]:
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
        with self._book.lock:
            return page([dict(refund) for refund in self.find(payment_id).refunds], {"limit": "100"})

    def _open(self, payment_id: str) -> Payment:
        payment = self.find(payment_id)
        if payment.deleted or payment.status not in OPEN:
            raise Refusal("invalid_action", "Não é possível alterar esta cobrança: já foi paga ou removida.")
        return payment
