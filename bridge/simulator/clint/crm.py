"""The state of the simulated Clint: origins with stages, contacts, deals and the history, under one lock."""

from __future__ import annotations

import random
import threading
import time
import uuid
from collections import defaultdict
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

BRAZIL = "55"
STATUSES = frozenset({"OPEN", "WON", "LOST"})


@dataclass
class Stage:
    id: str
    label: str
    order: int
    type: str


@dataclass
class Origin:
    id: str
    name: str
    stages: list[Stage]

    def stage(self, label: str) -> Stage:
        return next(stage for stage in self.stages if stage.label == label)


@dataclass
class Contact:
    id: str
    created_at: datetime
    updated_at: datetime
    name: str | None = None
    email: str | None = None
    phone: str | None = None
    """Digits without the country code."""
    fields: dict[str, Any] = field(default_factory=dict)


@dataclass
class Deal:
    id: str
    origin_id: str
    contact_id: str
    stage_id: str
    created_at: datetime
    updated_at: datetime
    updated_stage_at: datetime
    status: str = "OPEN"
    title: str | None = None
    value: float | None = None
    won_at: datetime | None = None
    lost_at: datetime | None = None
    fields: dict[str, Any] = field(default_factory=dict)


def local_phone(text: object) -> str:
    """Return the digits of a phone without the country code.

    >>> local_phone("+55 (11) 98888-7777")
    '11988887777'
    """
    digits = "".join(character for character in str(text or "") if character.isdigit())
    return digits[2:] if len(digits) >= 12 and digits.startswith(BRAZIL) else digits


class Crm:
    def __init__(self, seed: int = 0, clock: Callable[[], datetime] = lambda: datetime.now(UTC)) -> None:
        self.lock = threading.RLock()
        self.clock = clock
        self.origins: dict[str, Origin] = {}
        self.contacts: dict[str, Contact] = {}
        self.deals: dict[str, Deal] = {}
        self._by_email: dict[str, Contact] = {}
        self._by_phone: dict[str, Contact] = {}
        self._deals_of: dict[tuple[str, str], list[Deal]] = defaultdict(list)
        self._lots = random.Random(seed)

    def new_id(self) -> str:
        with self.lock:
            return str(uuid.UUID(int=self._lots.getrandbits(128), version=4))

    def add_origin(self, name: str, stages: Iterable[str]) -> Origin:
        """Add a funnel; its first stage is BASE, its last CLOSING."""
        labels = list(stages)
        types = ["BASE", *["CUSTOM"] * (len(labels) - 2), "CLOSING"]
        with self.lock:
            made = [Stage(self.new_id(), label, order, types[order]) for order, label in enumerate(labels)]
            origin = Origin(self.new_id(), name, made)
            self.origins[origin.id] = origin
            return origin

    def origin(self, name: str) -> Origin:
        return next(origin for origin in self.origins.values() if origin.name == name)

    def find_contact(self, email: str | None, phone: str | None) -> Contact | None:
        found = self._by_email.get(email.lower()) if email else None
        return found or (self._by_phone.get(local_phone(phone)) if phone else None)

    def keep_contact(self, email: str | None, phone: str | None, name: str | None, fields: dict[str, Any]) -> Contact:
        """Find or add a contact; replace its name, fill in a missing e-mail or phone."""
        now = self.clock()
        contact = self.find_contact(email, phone)
        if contact is None:
            contact = Contact(self.new_id(), now, now)
            self.contacts[contact.id] = contact
        contact.updated_at = now
        contact.name = contact.name if name is None else name
        contact.email = contact.email or (email or None)
        contact.phone = contact.phone or (local_phone(phone) or None)
        contact.fields.update(fields)
        if contact.email:
            self._by_email.setdefault(contact.email.lower(), contact)
        if contact.phone:
            self._by_phone.setdefault(contact.phone, contact)
        return contact

    def find_deal(self, origin_id: str, contact_id: str) -> Deal | None:
        """Return the deal that an update changes: the contact's newest open one in the origin, else the newest."""
        deals = self._deals_of.get((origin_id, contact_id), [])
        return next((deal for deal in reversed(deals) if deal.status == "OPEN"), deals[-1] if deals else None)

    def stage_of(self, deal: Deal) -> Stage:
        return next(stage for stage in self.origins[deal.origin_id].stages if stage.id == deal.stage_id)

    def add_deal(self, origin_id: str, contact_id: str, stage_id: str) -> Deal:
        now = self.clock()
        deal = Deal(self.new_id(), origin_id, contact_id, stage_id, now, now, now)
        self.deals[deal.id] = deal
        self._deals_of[origin_id, contact_id].append(deal)
        return deal

    def move_deal(self, deal: Deal, stage_id: str, status: str) -> None:
        now = self.clock()
        deal.updated_at = now
        if deal.stage_id != stage_id:
            deal.stage_id, deal.updated_stage_at = stage_id, now
        if deal.status != status:
            deal.status = status
            deal.won_at = now if status == "WON" else None
            deal.lost_at = now if status == "LOST" else None

    def forget(self) -> None:
        with self.lock:
            for kept in (self.contacts, self.deals, self._by_email, self._by_phone, self._deals_of):
                kept.clear()


@dataclass
class Entry:
    sequence: int
    integration: str
    started_ms: float
    headers: dict[str, str]
    body: dict[str, Any]
    finished_ms: float | None = None
    status: int | None = None
    """None while it is being answered, or when the connection was cut."""
    result: str = "pending"
    """created, updated, failed (why says it), unreadable, unknown (no such integration), fault or dropped."""
    why: str | None = None
    contact_id: str | None = None
    deal_id: str | None = None
    stage_before: str | None = None
    """The label of the stage that the deal left; None for a new deal."""
    stage: str | None = None
    deal_status: str | None = None
    notes: list[str] = field(default_factory=list)

    @property
    def key(self) -> str | None:
        return self.headers.get("idempotency-key")

    @property
    def is_done(self) -> bool:
        return self.result in {"created", "updated"}


class History:
    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._entries: list[Entry] = []
        self._next = 1

    def begin(self, integration: str, headers: dict[str, str], body: dict[str, Any]) -> Entry:
        with self._lock:
            entry = Entry(self._next, integration, time.time() * 1000, headers, body)
            self._next += 1
            self._entries.append(entry)
            return entry

    def end(self, entry: Entry, status: int | None) -> None:
        entry.status = status
        entry.finished_ms = time.time() * 1000

    def entries(self, after: int = 0, limit: int | None = None) -> list[Entry]:
        """Return the entries with a number above `after`."""
        with self._lock:
            found = [entry for entry in self._entries if entry.sequence > after] if after else list(self._entries)
        return found[:limit]

    def forget(self) -> None:
        """Remove all entries; the numbers go on."""
        with self._lock:
            self._entries.clear()
