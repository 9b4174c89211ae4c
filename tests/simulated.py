"""The simulated Asaas and the simulated Clint with the verbs of tests."""

from __future__ import annotations

import time
from collections.abc import Iterable, Mapping
from datetime import timedelta
from typing import Any

from bridge.simulator import asaas, clint
from bridge.simulator.asaas.customers import cpf_of
from bridge.simulator.asaas.sender import NAMES, Event
from bridge.simulator.clint.account import DEFAULT_ORIGIN
from bridge.simulator.clint.receiver import PATH


class AsaasSimulator(asaas.AsaasSimulator):
    """A simulated Asaas in this process; its verbs hold the book's lock, as requests do."""

    def has_customer(self, **fields: Any) -> dict[str, Any]:
        """Add a customer; missing fields get values."""
        number = len(self.book.customers) + 1
        defaults = {
            "name": f"Cliente Teste {number}",
            "cpfCnpj": cpf_of(100_000_000 + number),
            "email": f"cliente{number}@example.com",
            "mobilePhone": f"119{60_000_000 + number}",
            "notificationDisabled": True,
        }
        with self.book.lock:
            return self.customers.create({**defaults, **fields})

    def has_payment(
        self, customer: Mapping[str, Any] | str, value: float = 100.0, billing_type: str = "PIX", **fields: Any
    ) -> dict[str, Any]:
        """Add a charge, due in five days unless `dueDate` is given."""
        due = (self.book.today() + timedelta(days=5)).isoformat()
        customer_id = customer if isinstance(customer, str) else customer["id"]
        given = {"customer": customer_id, "billingType": billing_type, "value": value, "dueDate": due}
        with self.book.lock:
            return self.payments.create({**given, **fields})

    def is_paid(self, payment_id: str, billing_type: str | None = None) -> dict[str, Any]:
        """Let a charge be paid."""
        with self.book.lock:
            return self.payments.confirm(payment_id, billing_type)

    def is_overdue(self, payment_id: str) -> dict[str, Any]:
        """Let a charge become overdue."""
        with self.book.lock:
            return self.payments.overdue(payment_id)

    def is_deleted(self, payment_id: str) -> dict[str, Any]:
        """Remove a charge."""
        with self.book.lock:
            return self.payments.delete(payment_id)

    def is_refunded(self, payment_id: str, value: float | None = None) -> dict[str, Any]:
        """Refund a charge, or a part of it."""
        with self.book.lock:
            return self.payments.refund(payment_id, {"value": value})

    def says(self, event: str, entity: str, body: dict[str, Any]) -> Event:
        """Emit any event."""
        return self.book.emit(event, entity, body)

    def posts_to(
        self,
        url: str,
        token: str | None = None,
        events: Iterable[str] = NAMES,
        send_type: str = "SEQUENTIALLY",
        **fields: Any,
    ) -> dict[str, Any]:
        """Register a webhook, for all events by default."""
        given = {"name": "bridge", "url": url, "email": "bridge@example.com", "authToken": token, "apiVersion": 3}
        return self.webhooks.create({**given, "sendType": send_type, "events": sorted(events), **fields})

    def is_settled(self, timeout_s: float = 10.0) -> bool:
        """Wait until every event is posted; False when the time is over."""
        deadline = time.monotonic() + timeout_s
        while self.webhooks.waiting():
            if time.monotonic() > deadline:
                return False
            time.sleep(0.01)
        return True


class ClintSimulator(clint.ClintSimulator):
    """A simulated Clint in this process."""

    def answers(self, status: int, **limits: Any) -> None:
        """Let the webhooks answer this status and ignore the body."""
        self.faults.answers(status, path=PATH, **limits)

    def hangs(self, seconds: float, **limits: Any) -> None:
        """Delay the webhooks' answers, by default after the deal is written."""
        self.faults.hangs(seconds, path=PATH, **limits)

    def api_answers(self, status: int, **limits: Any) -> None:
        """Let the API answer this status and do nothing; a write is done all the same with `takes_first`."""
        self.faults.answers(status, path="/v1", **limits)

    def api_loses_answers(self, how: str = "closes", **limits: Any) -> None:
        """Let the API do what it is asked to write and then close the connection, or `how` else of BREAKS."""
        self.faults.breaks(how, path="/v1", method="POST", **limits)

    def lists_fail(self, status: str = "WON", **limits: Any) -> None:
        """Let lists of the deals of a status be a 500, as people report of WON."""
        self.faults.answers(500, path="/v1/deals", method="GET", query={"status": status}, **limits)

    def removed(self, uuid: str, is_removed: bool = True) -> None:
        """Remove an integration, or restore it; its URL answers 404 meanwhile."""
        self.receiver.integrations[uuid].removed = is_removed

    def deal_of(self, email: str, origin: str = DEFAULT_ORIGIN) -> dict[str, Any] | None:
        """Return the deal that an update of this contact would change."""
        with self.crm.lock:
            contact = self.crm.find_contact(email, None)
            return self.crm.find_deal(self.crm.origin(origin)["id"], contact["id"]) if contact else None
