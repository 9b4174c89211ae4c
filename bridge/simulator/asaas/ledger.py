"""The account's statement: what came in and went out, with the balance after each."""

from __future__ import annotations

from decimal import Decimal
from typing import TYPE_CHECKING, Any

from .lists import Arguments, page
from .money import CENT

if TYPE_CHECKING:
    from .payment import Payment

FIRST_TRANSACTION = 15_274_321
_WAYS = {"PIX": "Pix", "BOLETO": "boleto", "CREDIT_CARD": "cartão"}


class Ledger:
    """Entries in the order they were posted; whoever writes holds the book's lock."""

    def __init__(self) -> None:
        self._entries: list[dict[str, Any]] = []
        self._balance = Decimal(0)

    def credit(self, payment: Payment, day: str) -> None:
        """Post a received charge, its fee, and the shares that go to other wallets."""
        fee = Decimal(str(payment.net_value)) - Decimal(str(payment.value))
        way = _WAYS.get(payment.billing_type, "cobrança")
        self._post(
            "PAYMENT_RECEIVED", payment.value, day, f"Cobrança recebida - fatura nr. {payment.invoice_number}", payment
        )
        self._post("PAYMENT_FEE", fee, day, f"Taxa do {way} - fatura nr. {payment.invoice_number}", payment)
        for part in payment.split:
            text = f"Comissão para a carteira {part['walletId']} - fatura nr. {payment.invoice_number}"
            self._post("INTERNAL_TRANSFER_DEBIT", -part["totalValue"], day, text, payment, part["id"])

    def give_back(self, payment: Payment, value: float, day: str, kind: str = "PAYMENT_REVERSAL") -> None:
        """Post what the payer gets back."""
        self._post(kind, -value, day, f"Estorno - fatura nr. {payment.invoice_number}", payment)

    def listed(self, arguments: Arguments) -> dict[str, Any]:
        """List the entries of the asked days, newest first unless `order=asc`."""
        since, until = arguments.get("startDate", ""), arguments.get("finishDate", "9999")
        found = [dict(entry) for entry in self._entries if since <= entry["date"] <= until]
        return page(found if arguments.get("order") == "asc" else found[::-1], arguments)

    def _post(
        self, kind: str, value: float | Decimal, day: str, text: str, payment: Payment, split: str | None = None
    ) -> None:
        amount = Decimal(str(value)).quantize(CENT)
        self._balance += amount
        self._entries.append(
            {
                "object": "financialTransaction",
                "id": f"ftn_{FIRST_TRANSACTION + len(self._entries) + 1:012d}",
                "value": float(amount),
                "balance": float(self._balance),
                "type": kind,
                "date": day,
                "description": text,
                "paymentId": payment.id,
                "splitId": split,
                "transferId": None,
                "anticipationId": None,
                "billId": None,
                "invoiceId": None,
                "paymentDunningId": None,
                "creditBureauReportId": None,
            }
        )
