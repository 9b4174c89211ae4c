"""The state of the simulated Asaas: the objects, the ids given out and the events, under one lock.

An event gets its number and enters the webhooks' queues while the lock is held, so the numbers are in order.
"""

from __future__ import annotations

import base64
import hashlib
import json
import random
import string
import threading
import urllib.parse
import uuid
from collections.abc import Callable
from datetime import date, datetime
from decimal import Decimal
from itertools import count
from typing import TypeVar

from bridge.simulator.asaas.rules import CENT, Arguments, Body, Missing, page, stamp, whole_or_float
from bridge.simulator.asaas.sender import Event, WebhookQueue

T = TypeVar("T")
HOST = "https://sandbox.asaas.com"
FIRST_TRANSACTION = 15_274_321
FIRST_EVENT = 17_877_323
_WAYS = {"PIX": "Pix", "BOLETO": "boleto", "CREDIT_CARD": "cartão"}


class Ledger:
    """The account's statement; callers hold the book's lock."""

    def __init__(self) -> None:
        self._entries: list[Body] = []
        self._balance = Decimal(0)

    def credit(self, payment: Body, day: str) -> None:
        fee = Decimal(str(payment["netValue"])) - Decimal(str(payment["value"]))
        way = _WAYS.get(payment["billingType"], "cobrança")
        self._post("PAYMENT_RECEIVED", payment["value"], day, "Cobrança recebida", payment)
        self._post("PAYMENT_FEE", fee, day, f"Taxa do {way}", payment)
        for part in payment["split"]:
            text = f"Comissão para a carteira {part['walletId']}"
            self._post("INTERNAL_TRANSFER_DEBIT", -part["totalValue"], day, text, payment, part["id"])

    def give_back(self, payment: Body, value: float, day: str, kind: str = "PAYMENT_REVERSAL") -> None:
        self._post(kind, -value, day, "Estorno", payment)

    def listed(self, arguments: Arguments) -> Body:
        """Return a page of entries, newest first unless `order=asc`."""
        since, until = arguments.get("startDate", ""), arguments.get("finishDate", "9999")
        found = [entry for entry in self._entries if since <= entry["date"] <= until]
        return page(found if arguments.get("order") == "asc" else found[::-1], arguments)

    def _post(
        self, kind: str, value: float | Decimal, day: str, text: str, payment: Body, split: str | None = None
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
                "description": f"{text} - fatura nr. {payment['invoiceNumber']}",
                "paymentId": payment["id"],
                "splitId": split,
                **dict.fromkeys(("transferId", "anticipationId", "billId", "invoiceId")),
                **dict.fromkeys(("paymentDunningId", "creditBureauReportId")),
            }
        )


class Ids:
    """Ids in Asaas's forms, the same for the same seed."""

    def __init__(self, seed: int) -> None:
        self._lots = random.Random(seed)
        self.customers = map("cus_{:012d}".format, count(8_392_497))
        self.invoices = map("{:08d}".format, count(15_924_715))
        self.boletos = map("{:08d}".format, count(12_745_150))

    def short(self) -> str:
        """Return the 16 characters of a charge's or subscription's id."""
        return "".join(self._lots.choices(string.ascii_lowercase + string.digits, k=16))

    def uuid(self) -> str:
        """Return an id of an instalment plan, a card token or a Pix transaction."""
        return str(uuid.UUID(int=self._lots.getrandbits(128), version=4))

    def receipt(self) -> str:
        """Return the 16 digits of a card receipt's address."""
        return "".join(self._lots.choices(string.digits, k=16))


class Objects(dict[str, T]):
    """Objects by id, oldest first; an unknown id raises `Missing`."""

    def __missing__(self, object_id: str) -> T:
        raise Missing(object_id)


class Book:
    def __init__(self, clock: Callable[[], datetime], seed: int) -> None:
        self.lock = threading.RLock()
        self.clock = clock
        self.ids = Ids(seed)
        self.account_id = self.ids.uuid()
        self.customers: Objects[Body] = Objects()
        self.payments: Objects[Body] = Objects()
        self.installments: Objects[Body] = Objects()
        self.subscriptions: Objects[Body] = Objects()
        self.queues: Objects[WebhookQueue] = Objects()
        self.events: list[Event] = []
        self.ledger = Ledger()
        self._numbers = count(FIRST_EVENT + 1)

    def today(self) -> date:
        return self.clock().date()

    def emit(self, event: str, entity: str, body: Body, **extra: object) -> Event:
        """Number an event and queue it to every webhook that subscribes to it."""
        with self.lock:
            # The first part of an id is the same for all events of a name.
            digest = hashlib.md5(event.encode(), usedforsecurity=False).hexdigest()
            envelope = {
                "id": f"evt_{digest}&{next(self._numbers)}",
                "event": event,
                "dateCreated": stamp(self.clock()),
                "account": {"id": self.account_id, "ownerId": None},
                entity: body,
                **extra,
            }
            made = Event(str(envelope["id"]), event, json.dumps(envelope, ensure_ascii=False).encode())
            self.events.append(made)
            for queue in self.queues.values():
                queue.offer(made)
            return made


LEFT_OUT = frozenset(
    {"subscription", "installment", "confirmedDate", "creditCard", "pixQrCodeId", "split", "chargeback"}
)
"""A charge has these keys only where they have a value."""
OF_CARDS = frozenset({"confirmedDate", "creditCard"})
"""The charge of a card has these always."""


def api_body(payment: Body) -> Body:
    body = _body(payment)
    return {**body, "value": whole_or_float(body["value"]), "netValue": whole_or_float(body["netValue"])}


def event_body(payment: Body) -> Body:
    """Return the body of an event: amounts are floats, and splits and chargeback have other keys than in the API."""
    body = _body(payment)
    if "split" in body:
        body["split"] = [_event_split(part) for part in payment["split"]]
    if "chargeback" in body:
        body["chargeback"] = {name: payment["chargeback"][name] for name in ("status", "reason")}
    return body


def _body(payment: Body) -> Body:
    left_out = {name for name in LEFT_OUT if not payment[name]}
    if payment["billingType"] == "CREDIT_CARD":
        left_out -= OF_CARDS
    if payment["billingType"] != "BOLETO":
        left_out.add("canBePaidAfterDueDate")
    body = {name: value for name, value in payment.items() if name not in left_out}
    body["refunds"] = [dict(refund) for refund in payment["refunds"]] or None
    if "split" in body:
        body["split"] = [dict(part) for part in payment["split"]]
    return body


def _event_split(part: Body) -> Body:
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


def receipt_url(event: str, payment: Body) -> str:
    token = base64.b64encode(f"{event}:{payment['id']}".encode()).decode()
    return f"{HOST}/comprovantes/h/{urllib.parse.quote(token)}"
