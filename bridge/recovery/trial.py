"""Tries the whole way with a test charge: made and paid at Asaas, followed in the journal, read back from Clint.

It leaves a customer and a charge that are marked as tests, and what they cause at Clint. Whether an account may be
charged is asked by whoever begins; a charge of production is never paid here. The journal is only read.
"""

from __future__ import annotations

import secrets
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import NamedTuple

from bridge.asaas.charges import MARK, Charge, Charges, Order
from bridge.errors import BridgeError, NotFound
from bridge.journal import Journal, reading
from bridge.journal.reading import Row
from bridge.mapping import Mapping
from bridge.model import FINISHED, DeliveryState, EventState
from bridge.process import ActiveMapping
from bridge.recovery.proof import CODES, NONE, SEEN, Finding
from bridge.recovery.read_back import Deals, look, sent_deliveries

_MADE = "PAYMENT_CREATED"
_PAID = {
    "PIX": ("PAYMENT_RECEIVED",),
    "BOLETO": ("PAYMENT_CONFIRMED", "PAYMENT_RECEIVED"),
    "CREDIT_CARD": ("PAYMENT_CONFIRMED",),
    # The payer chooses; the sandbox pays it as a boleto.
    "UNDEFINED": ("PAYMENT_CONFIRMED", "PAYMENT_RECEIVED"),
}
"""The events that a payment causes, by the documented flows; a card's money comes weeks later."""

_MOST_EVENTS = 200


class Seen(NamedTuple):
    """One event of the charge, with what became of it."""

    event: Row
    deliveries: list[tuple[Row, list[Row]]]

    @property
    def settled(self) -> bool:
        """Whether nothing more will happen to it by itself."""
        states = [DeliveryState(delivery["state"]) for delivery, _ in self.deliveries]
        return self.event["state"] == EventState.PROCESSED and all(state in FINISHED for state in states)


@dataclass(frozen=True, slots=True)
class Expected:
    """What a charge must cause for the way to be proved."""

    events: tuple[str, ...]
    """Every one that a mapping listens to."""
    last: tuple[str, ...]
    """One of these must come: those of the payment, or of the charge where no mapping listens to the payment."""
    mappings: tuple[str, ...]


def expected(mappings: Iterable[Mapping], account: str, billing_type: str) -> Expected:
    """Return what a paid charge must cause; raise NotFound where no mapping listens to any of it."""
    own = [mapping for mapping in mappings if mapping.enabled and mapping.account == account]
    wanted = (_MADE, *_PAID[billing_type])
    heard = tuple(name for name in wanted if any(mapping.listens_to(name) for mapping in own))
    if not heard:
        raise NotFound(
            f"no active mapping of account {account} listens to {', '.join(wanted)}, so no deal can come of a charge",
            mend="see: bridge mappings show; mappings become active when the bridge runs",
        )
    names = [mapping.name for mapping in own if any(mapping.listens_to(name) for name in heard)]
    return Expected(heard, tuple(name for name in heard if name != _MADE) or heard, tuple(names))


def new_mark() -> str:
    """Return what tells one test from every other."""
    return f"{MARK}-{secrets.token_hex(4)}"


class Trial:
    """One test charge and what is seen of it."""

    def __init__(self, charges: Charges, journal: Journal, account: str, order: Order, began_ms: int) -> None:
        self._charges = charges
        self._journal = journal
        self.account = account
        self.order = order
        self.began_ms = began_ms
        self.customer_id = ""
        self.charge: Charge | None = None

    def begin(self) -> Charge:
        """Make the customer and the charge; a customer whose charge was refused is removed again."""
        self.customer_id = self._charges.make_customer(self.order)
        try:
            self.charge = self._charges.make_charge(self.customer_id, self.order)
        except BridgeError:
            self._charges.remove_customer(self.customer_id)
            raise
        return self.charge

    def pay(self) -> str:
        """Let the sandbox pay the charge, or its first instalment; return its status."""
        return self._charges.pay(self._made.payment_ids[0])

    def look(self) -> list[Seen]:
        """Return every event of the charge that came so far, oldest first."""
        ids = self._made.payment_ids
        with self._journal.database.read() as connection:
            rows = [
                row
                for object_id in ids
                for row in reading.list_events(
                    connection, limit=_MOST_EVENTS, account=self.account, object_id=object_id
                )
            ]
            found = []
            for row in sorted(rows, key=lambda row: row["id"]):
                event = reading.find_event(connection, str(row["id"])) or row
                deliveries = reading.deliveries_of(connection, row["id"])
                found.append(Seen(event, [(one, reading.attempts_of(connection, one["id"])) for one in deliveries]))
        return found

    def find_deal(self, clint: Deals, active: Sequence[ActiveMapping]) -> Finding:
        """Return the deal that one of the test's deliveries is proved by, the newest first, else why there is none."""
        with self._journal.database.read() as connection:
            sent = sent_deliveries(connection, self.account, self.customer_id, active)
        found = Finding(NONE)
        for contact, one in sent.values():
            found = max(found, look(clint, contact, one), key=lambda finding: CODES.index(finding.code))
            if found.code == SEEN:
                break
        return found

    def remove(self) -> tuple[str, ...]:
        """Remove what was made; return the charges that Asaas keeps because they were paid."""
        return self._charges.remove(self._made)

    @property
    def _made(self) -> Charge:
        if self.charge is None:
            raise NotFound("the test has no charge yet")
        return self.charge


def has_come(seen: Sequence[Seen], expected: Expected) -> bool:
    """Return whether the events that were waited for came and nothing more will happen by itself."""
    names = {one.event["name"] for one in seen}
    return bool(names & set(expected.last)) and all(one.settled for one in seen)


def delivered(seen: Sequence[Seen]) -> bool:
    """Return whether Clint took something of it and nothing was given up or still waits."""
    states = [delivery["state"] for one in seen for delivery, _ in one.deliveries]
    return DeliveryState.DELIVERED in states and DeliveryState.DEAD not in states and all(one.settled for one in seen)
