"""The state of the simulated Asaas: one lock, the objects, the numbers given out, and the events that came of it.

An event gets its number and enters the webhooks' queues while the lock is held, so the order of the numbers is the
order of what happened.
"""

from __future__ import annotations

import random
import string
import threading
import uuid
from collections.abc import Callable
from datetime import date, datetime
from typing import TYPE_CHECKING, Any

from .days import stamp
from .events import Event, envelope
from .ledger import Ledger

if TYPE_CHECKING:
    from .payment import Payment
    from .sender import WebhookQueue

FIRST_CUSTOMER = 8_392_496
FIRST_INVOICE = 15_924_714
FIRST_BOLETO = 12_745_149
FIRST_EVENT = 17_877_323


class Ids:
    """Identifiers in the shapes of the real ones; the same ones again for the same seed."""

    def __init__(self, seed: int) -> None:
        self._lots = random.Random(seed)
        self._customer = FIRST_CUSTOMER
        self._invoice = FIRST_INVOICE
        self._boleto = FIRST_BOLETO

    def customer(self) -> str:
        """Give the next customer's id."""
        self._customer += 1
        return f"cus_{self._customer:012d}"

    def invoice(self) -> str:
        """Give the next invoice's number."""
        self._invoice += 1
        return f"{self._invoice:08d}"

    def boleto(self) -> str:
        """Give the next nossoNumero."""
        self._boleto += 1
        return f"{self._boleto:08d}"

    def short(self) -> str:
        """Give the sixteen characters of a charge's or subscription's id."""
        return "".join(self._lots.choices(string.ascii_lowercase + string.digits, k=16))

    def uuid(self) -> str:
        """Give the id of an instalment plan, a card token or a Pix transaction."""
        return str(uuid.UUID(int=self._lots.getrandbits(128), version=4))

    def receipt(self) -> str:
        """Give the sixteen digits of a card receipt's address."""
        return "".join(self._lots.choices(string.digits, k=16))


class Book:
    """All that the simulated Asaas remembers."""

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
        """Tell the day in Brasilia."""
        return self.clock().date()

    def emit(self, name: str, entity: str, body: dict[str, Any], **extra: Any) -> Event:
        """Say that something happened: number it and queue it to every webhook that wants it."""
        with self.lock:
            self._sequence += 1
            event = envelope(name, self._sequence, stamp(self.clock()), self.account_id, entity, body, extra)
            self.events.append(event)
            for queue in self.queues.values():
                queue.offer(event)
            return event
