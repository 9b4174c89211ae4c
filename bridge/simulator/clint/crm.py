"""The state of the simulated Clint: origins with stages, contacts and deals, under one lock.

Objects are kept as the API answers them; a deal also has `title`, `value` and `updated_at`, which its body lacks.
"""

from __future__ import annotations

import random
import threading
import uuid
from collections import defaultdict
from collections.abc import Iterable
from datetime import UTC, datetime
from typing import Any

BRAZIL = "55"
STATUSES = frozenset({"OPEN", "WON", "LOST"})
Body = dict[str, Any]
DEAL_ONLY = ("updated_at", "title", "value")
"""The keys of a deal that the documentation of the API does not have."""


def moment(value: datetime) -> str:
    """Format a time so that texts are in the order of time."""
    return value.astimezone(UTC).isoformat(timespec="microseconds")


def local_phone(text: object) -> str:
    """Return the digits of a phone without the country code.

    >>> local_phone("+55 (11) 98888-7777")
    '11988887777'
    """
    digits = "".join(character for character in str(text or "") if character.isdigit())
    return digits[2:] if len(digits) >= 12 and digits.startswith(BRAZIL) else digits


class Crm:
    def __init__(self, seed: int = 0) -> None:
        self.lock = threading.RLock()
        self.origins: dict[str, Body] = {}
        self.contacts: dict[str, Body] = {}
        self.deals: dict[str, Body] = {}
        self._by_email: dict[str, Body] = {}
        self._by_phone: dict[str, Body] = {}
        self._deals_of: dict[tuple[str, str], list[Body]] = defaultdict(list)
        self._lots = random.Random(seed)

    def new_id(self) -> str:
        with self.lock:
            return str(uuid.UUID(int=self._lots.getrandbits(128), version=4))

    def add_origin(self, name: str, stages: Iterable[str]) -> Body:
        """Add a funnel; its first stage is BASE, its last CLOSING."""
        labels = list(stages)
        types = ["BASE", *["CUSTOM"] * (len(labels) - 2), "CLOSING"]
        with self.lock:
            made = [
                {"id": self.new_id(), "label": label, "order": order, "type": types[order]}
                for order, label in enumerate(labels)
            ]
            origin: Body = {
                "id": self.new_id(),
                "name": name,
                "group": None,
                "stages": made,
                "archived_at": None,
                "archived_by": None,
            }
            self.origins[origin["id"]] = origin
            return origin

    def origin(self, name: str) -> Body:
        return next(origin for origin in self.origins.values() if origin["name"] == name)

    def find_contact(self, email: str | None, phone: str | None) -> Body | None:
        found = self._by_email.get(email.lower()) if email else None
        return found or (self._by_phone.get(local_phone(phone)) if phone else None)

    def keep_contact(self, email: str | None, phone: str | None, name: str | None, fields: Body) -> Body:
        """Find or add a contact; replace its name, fill in a missing e-mail or phone."""
        now = moment(datetime.now(UTC))
        contact = self.find_contact(email, phone)
        if contact is None:
            contact = {
                "id": self.new_id(),
                "created_at": now,
                "updated_at": now,
                "name": None,
                "email": None,
                "organization": None,
                "instagram": None,
                "tags": [],
                "fields": {},
                "fullPhone": None,
            }
            self.contacts[contact["id"]] = contact
        contact["updated_at"] = now
        contact["name"] = contact["name"] if name is None else name
        contact["email"] = contact["email"] or email or None
        if local_phone(phone):
            contact["fullPhone"] = contact["fullPhone"] or f"+{BRAZIL}{local_phone(phone)}"
        contact["fields"].update(fields)
        if contact["email"]:
            self._by_email.setdefault(contact["email"].lower(), contact)
        if contact["fullPhone"]:
            self._by_phone.setdefault(local_phone(contact["fullPhone"]), contact)
        return contact

    def find_deal(self, origin_id: str, contact_id: str) -> Body | None:
        """Return the deal that an update changes: the contact's newest open one in the origin, else the newest."""
        deals = self._deals_of.get((origin_id, contact_id), [])
        return next((deal for deal in reversed(deals) if deal["status"] == "OPEN"), deals[-1] if deals else None)

    def stage_of(self, deal: Body) -> str:
        """Return the label of a deal's stage."""
        stages = self.origins[deal["origin_id"]]["stages"]
        return next(str(stage["label"]) for stage in stages if stage["id"] == deal["stage_id"])

    def add_deal(self, origin_id: str, contact: Body, stage_id: str) -> Body:
        now = moment(datetime.now(UTC))
        deal: Body = {
            "id": self.new_id(),
            "origin_id": origin_id,
            "user": None,
            "contact": contact,
            "created_at": now,
            "stage_id": stage_id,
            "updated_stage_at": now,
            "status": "OPEN",
            "won_at": None,
            "won_by": None,
            "lost_status_id": None,
            "lost_at": None,
            "lost_by": None,
            "fields": {},
            "updated_at": now,
            "title": None,
            "value": None,
        }
        self.deals[deal["id"]] = deal
        self._deals_of[origin_id, contact["id"]].append(deal)
        return deal

    def move_deal(self, deal: Body, stage_id: str, status: str) -> None:
        now = moment(datetime.now(UTC))
        deal["updated_at"] = now
        if deal["stage_id"] != stage_id:
            deal.update(stage_id=stage_id, updated_stage_at=now)
        if deal["status"] != status:
            won, lost = now if status == "WON" else None, now if status == "LOST" else None
            deal.update(status=status, won_at=won, lost_at=lost)

    def deal_body(self, deal: Body) -> Body:
        """Return a deal as documented: without value, currency, stage and updated_at, which only real answers have."""
        contact = deal["contact"]
        title = {} if deal["title"] is None else {"titulo": deal["title"]}
        return {
            **{name: value for name, value in deal.items() if name not in DEAL_ONLY},
            "contact": {
                "id": contact["id"],
                "name": contact["name"],
                "email": contact["email"],
                "phone": contact["fullPhone"],
            },
            "fields": {**title, **deal["fields"]},
        }

    def full_deal(self, deal: Body) -> Body:
        more = {"updated_at": deal["updated_at"], "stage": self.stage_of(deal), "value": deal["value"]}
        return {**self.deal_body(deal), **more, "currency": "BRL"}

    def forget(self) -> None:
        with self.lock:
            for kept in (self.contacts, self.deals, self._by_email, self._by_phone, self._deals_of):
                kept.clear()
