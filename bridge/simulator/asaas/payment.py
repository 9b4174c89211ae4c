"""A charge, and the two bodies it appears in: the API's and the event's.

Which keys a body has depends on what happened to the charge, as recorded on the sandbox: `subscription`,
`installment`, `split`, `chargeback` and `pixQrCodeId` are left out unless they apply, `creditCard` belongs to card
charges, `canBePaidAfterDueDate` to boletos, `confirmedDate` to card charges and to whatever was paid.
"""

from __future__ import annotations

import base64
import urllib.parse
from dataclasses import dataclass, field
from typing import Any

from .money import whole_or_float

HOST = "https://sandbox.asaas.com"
NO_DISCOUNT = {"value": 0, "limitDate": None, "dueDateLimitDays": 0, "type": "FIXED"}
NO_FINE = {"value": 0, "type": "FIXED"}
NO_INTEREST = {"value": 0, "type": "PERCENTAGE"}


@dataclass
class Payment:
    """A charge as the simulator remembers it."""

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
        """The id, as other objects name it."""
        return f"pay_1_{self.short_id}"

    def receipt_of(self, event: str) -> str:
        """Give the address of the receipt of an event."""
        token = base64.b64encode(f"{event}:{self.id}".encode()).decode()
        return f"{HOST}/comprovantes/h/{urllib.parse.quote(token)}"

    def api_body(self) -> dict[str, Any]:
        """Give the body that the API answers with."""
        body = self._body()
        body["value"] = whole_or_float(self.value)
        body["netValue"] = whole_or_float(self.net_value)
        if self.split:
            body["split"] = [dict(part) for part in self.split]
        return body

    def event_body(self) -> dict[str, Any]:
        """Give the body that travels in an event: floats, and the splits with other keys than the API's."""
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
