"""The simulated account of Asaas: its parts put together, and verbs that tests read as prose."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Mapping
from datetime import datetime, timedelta
from typing import Any

from ..faults import Faults
from .book import Book
from .charging import Charging
from .days import brasilia_now
from .events import NAMES, Event
from .installments import Installments
from .limits import QUOTA, Limits
from .paying import Paying
from .payments import OPEN, Payments
from .people import Customers, cpf_of
from .sender import Try
from .subscriptions import Subscriptions
from .webhooks import Webhooks

DEFAULT_KEY = "$aact_hmlg_simulator"


class AsaasAccount:
    """An account of Asaas with customers, charges and webhooks."""

    def __init__(
        self,
        keys: Iterable[str] = (DEFAULT_KEY,),
        webhook_time_scale: float = 1.0,
        quota: int = QUOTA,
        seed: int = 0,
        clock: Callable[[], datetime] = brasilia_now,
    ) -> None:
        self.book = Book(clock, seed)
        self.faults = Faults(seed)
        self.limits = Limits(keys, quota)
        self.customers = Customers(self.book)
        charging = Charging(self.book)
        self.installments = Installments(self.book, charging)
        self.payments = Payments(self.book, charging, self.installments)
        self.paying = Paying(self.book, charging, self.payments)
        self.subscriptions = Subscriptions(self.book, charging, self.payments)
        self.webhooks = Webhooks(self.book, webhook_time_scale)

    # ------------------------------------------------------------ what happens to the account

    def has_customer(self, **fields: Any) -> dict[str, Any]:
        """Keep a customer; name, CPF, e-mail and mobile phone are made up where not given."""
        number = len(self.book.customers) + 1
        defaults = {
            "name": f"Cliente Teste {number}",
            "cpfCnpj": cpf_of(100_000_000 + number),
            "email": f"cliente{number}@example.com",
            "mobilePhone": f"119{60_000_000 + number}",
            "notificationDisabled": True,
        }
        return self.customers.create({**defaults, **fields})

    def has_payment(
        self, customer: Mapping[str, Any] | str, value: float = 100.0, billing_type: str = "PIX", **fields: Any
    ) -> dict[str, Any]:
        """Open a charge, due in five days unless said otherwise."""
        due = (self.book.today() + timedelta(days=5)).isoformat()
        customer_id = customer if isinstance(customer, str) else customer["id"]
        given = {"customer": customer_id, "billingType": billing_type, "value": value, "dueDate": due}
        return self.payments.create({**given, **fields})

    def is_paid(self, payment_id: str, billing_type: str | None = None) -> dict[str, Any]:
        """Let the payer pay a charge."""
        return self.paying.confirm(payment_id, billing_type)

    def is_overdue(self, payment_id: str) -> dict[str, Any]:
        """Let the due day of a charge pass."""
        return self.paying.overdue(payment_id)

    def is_refunded(self, payment_id: str, value: float | None = None) -> dict[str, Any]:
        """Give the payer the money back, or a part of it."""
        return self.paying.refund(payment_id, {"value": value})

    def is_deleted(self, payment_id: str) -> None:
        """Remove a charge."""
        self.payments.delete(payment_id)

    def is_removed(self, customer_id: str) -> dict[str, Any]:
        """Remove a customer, its subscriptions and its open charges."""
        with self.book.lock:
            answer = self.customers.delete(customer_id)
            for subscription in list(self.book.subscriptions.values()):
                if subscription["customer"] == customer_id and not subscription["deleted"]:
                    self.subscriptions.delete(subscription["id"])
            for payment in list(self.book.payments.values()):
                if payment.customer == customer_id and payment.status in OPEN and not payment.deleted:
                    self.payments.delete(payment.id)
            return answer

    def says(self, event: str, entity: str, body: dict[str, Any], **extra: Any) -> Event:
        """Send any event with any body, for flows that the simulator does not play itself."""
        return self.book.emit(event, entity, body, **extra)

    def posts_to(
        self,
        url: str,
        token: str | None = None,
        events: Iterable[str] = NAMES,
        send_type: str = "SEQUENTIALLY",
        **fields: Any,
    ) -> dict[str, Any]:
        """Register a webhook, for all events unless some are named."""
        given = {"name": "bridge", "url": url, "email": "bridge@example.com", "authToken": token, "apiVersion": 3}
        return self.webhooks.create({**given, "sendType": send_type, "events": sorted(events), **fields})

    # ------------------------------------------------------------ how it misbehaves

    def goes_down(self) -> None:
        """Let the API cut every connection; webhooks are still sent."""
        self.faults.goes_down()

    def comes_back(self) -> None:
        """End every misbehaviour of the API."""
        self.faults.comes_back()

    def answers(
        self, status: int, times: int | None = None, headers: Mapping[str, str] | None = None, share: float = 1.0
    ) -> None:
        """Let the API answer this status."""
        self.faults.answers(status, times, headers, share)

    def is_slow(self, seconds: float) -> None:
        """Let the API think for so long before each answer."""
        self.faults.is_slow(seconds)

    def duplicate_every(self, number: int) -> None:
        """Send each n-th event twice."""
        self.webhooks.duplicate_every(number)

    # ------------------------------------------------------------ what can be looked at

    @property
    def tries(self) -> list[Try]:
        """Give every try to deliver an event, oldest first."""
        return self.webhooks.tries()

    @property
    def events(self) -> list[Event]:
        """Give every event that happened, delivered or not, oldest first."""
        with self.book.lock:
            return list(self.book.events)

    def is_settled(self, timeout_s: float = 10.0) -> bool:
        """Wait until every event is delivered; false when that takes longer."""
        deadline = time.monotonic() + timeout_s
        while self.webhooks.waiting():
            if time.monotonic() > deadline:
                return False
            time.sleep(0.01)
        return True

    def close(self) -> None:
        """Stop sending and let go of whatever hangs."""
        self.faults.comes_back()
        self.webhooks.stop()
