"""The state of the simulated Asaas: the objects, the ids given out and the events, under one lock.

An event gets its number and enters the webhooks' queues while the lock is held, so the numbers are in order.
"""

from __future__ import annotations

import base64
import random
import string
import threading
import urllib.parse
import uuid
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import date, datetime
from decimal import Decimal
from itertools import count
from typing import TYPE_CHECKING, Any

from bridge.simulator.asaas.rules import CENT, Arguments, page, stamp, whole_or_float
from bridge.simulator.asaas.sender import Event, envelope

if TYPE_CHECKING:
    from bridge.simulator.asaas.sender import WebhookQueue


FIRST_TRANSACTION = 15_274_321
_WAYS = {"PIX": "Pix", "BOLETO": "boleto", "CREDIT_CARD": "cartão"}


class Ledger:
    """The account's statement; callers hold the book's lock."""

    def __init__(self) -> None:
        self._entries: list[dict[str, Any]] = []
        self._balance = Decimal(0)

    def credit(self, payment: Payment, day: str) -> None:
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
        self._post(kind, -value, day, f"Estorno - fatura nr. {payment.invoice_number}", payment)

    def listed(self, arguments: Arguments) -> dict[str, Any]:
        """Return a page of entries, newest first unless `order=asc`."""
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
                **dict.fromkeys(("transferId", "anticipationId", "billId", "invoiceId")),
                **dict.fromkeys(("paymentDunningId", "creditBureauReportId")),
            }
        )


FIRST_EVENT = 17_877_323


class Ids:
    """Ids in Asaas's forms, the same for the same seed."""

    def __init__(self, seed: int) -> None:
        self._lots = random.Random(seed)
        self._customers, self._invoices, self._boletos = count(8_392_497), count(15_924_715), count(12_745_150)

    def customer(self) -> str:
        return f"cus_{next(self._customers):012d}"

    def invoice(self) -> str:
        return f"{next(self._invoices):08d}"

    def boleto(self) -> str:
        return f"{next(self._boletos):08d}"

    def short(self) -> str:
        """Return the 16 characters of a charge's or subscription's id."""
        return "".join(self._lots.choices(string.ascii_lowercase + string.digits, k=16))

    def uuid(self) -> str:
        """Return an id of an instalment plan, a card token or a Pix transaction."""
        return str(uuid.UUID(int=self._lots.getrandbits(128), version=4))

    def receipt(self) -> str:
        """Return the 16 digits of a card receipt's address."""
        return "".join(self._lots.choices(string.digits, k=16))


class Book:
    def __init__(self, clock: Callable[[], datetime], seed: int) -> None:
        self.lock = threading.RLock()
        self.clock = clock
        self.ids = Ids(seed)
        self.account_id = self.ids.uuid()
        self.customers: dict[str, dict[str, Any]] = {}
        self.payments: dict[str, Payment] = {}
        self.installments: dict[str, dict[str, Any]] = {}
        self.subscriptions: dict[str, dict[str, Any]] = {}
        self.queues: dict[str, WebhookQueue] = {}
        self.events: list[Event] = []
        self.ledger = Ledger()
        self._sequence = FIRST_EVENT

    def today(self) -> date:
        return self.clock().date()

    def emit(self, event: str, entity: str, body: dict[str, Any], **extra: Any) -> Event:
        """Number an event and queue it to every webhook that subscribes to it."""
        with self.lock:
            self._sequence += 1
            made = envelope(event, self._sequence, stamp(self.clock()), self.account_id, entity, body, extra)
            self.events.append(made)
            for queue in self.queues.values():
                queue.offer(made)
            return made


HOST = "https://sandbox.asaas.com"
NO_DISCOUNT = {"value": 0, "limitDate": None, "dueDateLimitDays": 0, "type": "FIXED"}
NO_FINE = {"value": 0, "type": "FIXED"}
NO_INTEREST = {"value": 0, "type": "PERCENTAGE"}


@dataclass
class Payment:
    short_id: str
    date_created: str
    customer: str
    value: float
    net_value: float
    billing_type: str
    due_date: str
    invoice_number: str
    description: str | None = None
    external_reference: str | None = None
    subscription: str | None = None
    installment: str | None = None
    installment_number: int | None = None
    status: str = "PENDING"
    original_due_date: str = ""
    confirmed_date: str | None = None
    payment_date: str | None = None
    client_payment_date: str | None = None
    credit_date: str | None = None
    estimated_credit_date: str | None = None
    receipt_url: str | None = None
    nosso_numero: str | None = None
    pix_transaction: str | None = None
    pix_qr_code_id: str | None = None
    credit_card: dict[str, Any] | None = None
    deleted: bool = False
    postal_service: bool = False
    discount: dict[str, Any] = field(default_factory=lambda: dict(NO_DISCOUNT))
    fine: dict[str, Any] = field(default_factory=lambda: dict(NO_FINE))
    interest: dict[str, Any] = field(default_factory=lambda: dict(NO_INTEREST))
    split: list[dict[str, Any]] = field(default_factory=list)
    refunds: list[dict[str, Any]] = field(default_factory=list)
    chargeback: dict[str, Any] | None = None

    @property
    def id(self) -> str:
        return f"pay_1_{self.short_id}"

    def receipt_of(self, event: str) -> str:
        token = base64.b64encode(f"{event}:{self.id}".encode()).decode()
        return f"{HOST}/comprovantes/h/{urllib.parse.quote(token)}"

    def api_body(self) -> dict[str, Any]:
        body = self._body()
        body["value"] = whole_or_float(self.value)
        body["netValue"] = whole_or_float(self.net_value)
        if self.split:
            body["split"] = [dict(part) for part in self.split]
        return body

    def event_body(self) -> dict[str, Any]:
        """Return the body of an event: amounts are floats, and splits have other keys than in the API."""
        body = self._body()
        body["value"] = float(self.value)
        body["netValue"] = float(self.net_value)
        if self.split:
            body["split"] = [_event_split(part) for part in self.split]
        if self.chargeback is not None:
            body["chargeback"] = {name: self.chargeback.get(name) for name in ("status", "reason")}
        return body

    def _body(self) -> dict[str, Any]:
        is_boleto = self.billing_type == "BOLETO"
        is_card = self.billing_type == "CREDIT_CARD"
        has_slip = self.nosso_numero is not None
        pairs: list[tuple[str, Any, bool]] = [
            ("object", "payment", True),
            ("id", self.id, True),
            ("dateCreated", self.date_created, True),
            ("customer", self.customer, True),
            ("subscription", self.subscription, self.subscription is not None),
            ("installment", self.installment, self.installment is not None),
            ("checkoutSession", None, True),
            ("paymentLink", None, True),
            ("value", self.value, True),
            ("netValue", self.net_value, True),
            ("originalValue", None, True),
            ("interestValue", None, True),
            ("description", self.description, True),
            ("billingType", self.billing_type, True),
            ("canBePaidAfterDueDate", True, is_boleto),
            ("confirmedDate", self.confirmed_date, is_card or self.confirmed_date is not None),
            ("creditCard", dict(self.credit_card) if self.credit_card else None, is_card),
            ("pixTransaction", self.pix_transaction, True),
            ("pixQrCodeId", self.pix_qr_code_id, self.pix_qr_code_id is not None),
            ("status", self.status, True),
            ("dueDate", self.due_date, True),
            ("originalDueDate", self.original_due_date or self.due_date, True),
            ("paymentDate", self.payment_date, True),
            ("clientPaymentDate", self.client_payment_date, True),
            ("installmentNumber", self.installment_number, True),
            ("invoiceUrl", f"{HOST}/i/{self.short_id}", True),
            ("invoiceNumber", self.invoice_number, True),
            ("externalReference", self.external_reference, True),
            ("deleted", self.deleted, True),
            ("anticipated", False, True),
            ("anticipable", False, True),
            ("creditDate", self.credit_date, True),
            ("estimatedCreditDate", self.estimated_credit_date, True),
            ("transactionReceiptUrl", self.receipt_url, True),
            ("nossoNumero", self.nosso_numero, True),
            ("bankSlipUrl", f"{HOST}/b/pdf/{self.short_id}" if has_slip else None, True),
            ("lastInvoiceViewedDate", None, True),
            ("lastBankSlipViewedDate", None, True),
            ("discount", dict(self.discount), True),
            ("fine", dict(self.fine), True),
            ("interest", dict(self.interest), True),
            ("split", None, bool(self.split)),
            ("postalService", self.postal_service, True),
            ("escrow", None, True),
            ("chargeback", dict(self.chargeback or {}), self.chargeback is not None),
            ("refunds", [dict(refund) for refund in self.refunds] or None, True),
        ]
        return {key: value for key, value, applies in pairs if applies}


def _event_split(part: dict[str, Any]) -> dict[str, Any]:
    share = "fixedValue" if part["fixedValue"] is not None else "percentualValue"
    return {
        "id": part["id"],
        "walletId": part["walletId"],
        share: part[share],
        "status": part["status"],
        "refusalReason": part["cancellationReason"],
        "externalReference": part["externalReference"],
        "description": part["description"],
    }
