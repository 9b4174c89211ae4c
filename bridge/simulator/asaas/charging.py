"""Opens charges: checks what is asked for, works out fee, number, slip and card, and says PAYMENT_CREATED.

The only place where a charge begins, whether it stands alone, is an instalment or comes of a subscription.
"""

from __future__ import annotations

from datetime import date, datetime
from typing import Any

from .book import Book
from .days import card_credit
from .money import net_value
from .payment import HOST, NO_DISCOUNT, NO_FINE, NO_INTEREST, Payment
from .people import digits
from .refusal import Refusal

BILLING_TYPES = frozenset({"UNDEFINED", "BOLETO", "CREDIT_CARD", "PIX"})
DECLINED_CARDS = frozenset({"5184019740373151", "4916561358240741"})
"""The numbers that the sandbox declines."""
BRANDS = {"3": "AMEX", "4": "VISA", "5": "MASTERCARD", "6": "ELO"}


class Charging:
    """Opens charges in a book."""

    def __init__(self, book: Book) -> None:
        self._book = book

    def check(self, given: dict[str, Any], due_name: str = "dueDate", *, needs_value: bool = True) -> date:
        """Refuse what the real one refuses, one problem at a time, and give the first due day."""
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
        """Charge the card that comes with the request; none when the payer is to give it later."""
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
        """Make a charge and keep it; `plan` names its instalment plan or subscription."""
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
        """Mark a card charge as confirmed; its money comes 32 days later for each instalment."""
        today = self._book.today()
        payment.status = "CONFIRMED"
        payment.credit_card = card
        payment.confirmed_date = payment.client_payment_date = today.isoformat()
        credit = card_credit(today, payment.installment_number or 1).isoformat()
        payment.credit_date = payment.estimated_credit_date = credit
        payment.receipt_url = f"{HOST}/comprovantes/{receipt}"

    def announce(self, payments: list[Payment]) -> None:
        """Say PAYMENT_CREATED for all, then PAYMENT_CONFIRMED for those whose card was captured at once."""
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
    """Read an amount of money that must be there."""
    try:
        value = round(float(given[name]), 2)
    except (KeyError, TypeError, ValueError):
        value = 0.0
    if value <= 0:
        raise Refusal(f"invalid_{name}", f"O campo {name} deve ser informado.")
    return value


def day(given: dict[str, Any], name: str) -> date:
    """Read a day that must be there."""
    try:
        return datetime.strptime(str(given[name])[:10], "%Y-%m-%d").date()  # noqa: DTZ007 - a day has no time zone
    except (KeyError, ValueError) as problem:
        raise Refusal(f"invalid_{name}", f"O campo {name} deve ser informado.") from problem


def _terms(given: dict[str, Any] | None, default: dict[str, Any]) -> dict[str, Any]:
    if not given or not given.get("value"):
        return dict(default)
    kept = {name: value for name, value in given.items() if name in default}
    return {**default, "type": "PERCENTAGE", **kept}
