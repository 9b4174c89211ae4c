"""The state of the simulated Clint: origins with stages, contacts and deals, under one lock.

Objects are kept as the API answers them; a deal also has `title`, `value` and `updated_at`, which its body lacks.
"""

from __future__ import annotations

import random
import threading
import time
import uuid
from collections import defaultdict
from collections.abc import Iterable, Mapping
from datetime import UTC, datetime
from typing import Any

from bridge.simulator.clint.knobs import Knobs
from bridge.simulator.clint.writes import WriteLog

BRAZIL = "55"
STATUSES = frozenset({"OPEN", "WON", "LOST"})
GROUPS = ("DEAL", "CONTACT", "ORGANIZATION")
"""What fields belong to."""
TAG_COLOR = "#f44336"
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


def fixed_id(kind: str, name: str) -> str:
    """Return the id of what an account has from the start: the same for each seed."""
    return str(uuid.uuid5(uuid.NAMESPACE_URL, f"{kind}:{name}"))


class Crm:
    def __init__(self, seed: int = 0) -> None:
        self.lock = threading.RLock()
        self.knobs = Knobs()
        self.writes = WriteLog()
        self.origins: dict[str, Body] = {}
        self.removed: set[str] = set()
        """The ids of origins that were removed: the API knows neither them nor their deals."""
        self.groups: dict[str, Body] = {}
        self.users: dict[str, Body] = {}
        self.lost_statuses: dict[str, Body] = {}
        self.tags: dict[str, Body] = {}
        self.fields: dict[str, dict[str, Body]] = {group: {} for group in GROUPS}
        """The account's fields: type, group and label by key, for deals, contacts and organizations."""
        self.contacts: dict[str, Body] = {}
        self.deals: dict[str, Body] = {}
        self.organizations: dict[str, Body] = {}
        """The fields of organizations, by name."""
        self._by_email: dict[str, list[Body]] = defaultdict(list)
        self._by_phone: dict[str, list[Body]] = defaultdict(list)
        self._deals_of: dict[str, list[Body]] = defaultdict(list)
        self._before: dict[str, list[tuple[float, Body | None]]] = {}
        self._made_s: dict[str, float] = {}
        self._lots = random.Random(seed)

    def new_id(self) -> str:
        with self.lock:
            return str(uuid.UUID(int=self._lots.getrandbits(128), version=4))

    def add_group(self, name: str) -> Body:
        """Add a folder of funnels."""
        group: Body = {"id": fixed_id("group", name), "name": name, "archived_at": None, "archived_by": None}
        return self.groups.setdefault(group["id"], group)

    def add_user(self, email: str, first_name: str, last_name: str = "") -> Body:
        """Add a user of the account."""
        user = {"id": fixed_id("user", email), "email": email, "first_name": first_name, "last_name": last_name}
        return self.users.setdefault(user["id"], user)

    def add_lost_status(self, name: str) -> Body:
        """Add a reason for which deals are lost."""
        reason = {"id": fixed_id("lost", name), "name": name}
        return self.lost_statuses.setdefault(reason["id"], reason)

    def add_tag(self, name: str) -> Body:
        """Add a tag, or return the one of this name."""
        tag = {"id": fixed_id("tag", name), "name": name, "color": TAG_COLOR}
        return self.tags.setdefault(tag["id"], tag)

    def add_field(self, group: str, key: str, type_: str = "TEXT", label: str = "") -> None:
        """Add a field of deals, contacts or organizations to the account."""
        self.fields[group][key] = {"type": type_, "group": "default", "label": label or key}

    def add_origin(self, name: str, stages: Iterable[str], group: str = "") -> Body:
        """Add a funnel; its first stage is BASE, its last CLOSING."""
        labels = list(stages)
        types = ["BASE", *["CUSTOM"] * (len(labels) - 2), "CLOSING"]
        with self.lock:
            made = [
                {"id": self.new_id(), "label": label, "order": order, "type": types[order]}
                for order, label in enumerate(labels)
            ]
            folder = self.add_group(group) if group else None
            origin: Body = {
                "id": self.new_id(),
                "name": name,
                "group": folder and {"id": folder["id"], "name": folder["name"]},
                "stages": made,
                "archived_at": None,
                "archived_by": None,
            }
            self.origins[origin["id"]] = origin
            return origin

    def origin(self, name: str) -> Body:
        return next(origin for origin in self.origins.values() if origin["name"] == name)

    def known_origins(self) -> dict[str, Body]:
        """Return the origins that were not removed."""
        return {id_: origin for id_, origin in self.origins.items() if id_ not in self.removed}

    def stage_id(self, origin_id: str, label: str) -> str:
        """Return the id of a stage; raises ValueError where the origin has none of this label."""
        for stage in self.origins[origin_id]["stages"]:
            if stage["label"] == label:
                return str(stage["id"])
        raise ValueError(f"no stage {label!r}")

    def find_contact(self, email: str | None, phone: str | None) -> Body | None:
        found = self._by_email.get(email.lower(), []) if email else []
        found = found or (self._by_phone.get(local_phone(phone), []) if phone else [])
        return found[0] if found else None

    def add_contact(self) -> Body:
        """Add a contact of whom nothing is known."""
        now = moment(datetime.now(UTC))
        contact: Body = {
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
        self._made_s[contact["id"]] = time.monotonic()
        return contact

    def change_contact(self, contact: Body, fields: Mapping[str, Any] | None = None, **changes: Any) -> None:
        """Replace what a contact has; its fields are added to."""
        is_found_otherwise = any(contact[name] != changes.get(name, contact[name]) for name in ("email", "fullPhone"))
        if is_found_otherwise:
            self._leave_index(contact)
        contact.update(changes, updated_at=moment(datetime.now(UTC)))
        contact["fields"].update(fields or {})
        if is_found_otherwise and contact["email"]:
            self._by_email[contact["email"].lower()].append(contact)
        if is_found_otherwise and contact["fullPhone"]:
            self._by_phone[local_phone(contact["fullPhone"])].append(contact)

    def keep_contact(self, email: str | None, phone: str | None, name: str | None, fields: Body) -> Body:
        """Find or add a contact; replace its name, fill in a missing e-mail or phone."""
        contact = self.find_contact(email, phone) or self.add_contact()
        full_phone = f"+{BRAZIL}{local_phone(phone)}" if local_phone(phone) else None
        self.change_contact(
            contact,
            fields,
            name=contact["name"] if name is None else name,
            email=contact["email"] or email or None,
            fullPhone=contact["fullPhone"] or full_phone,
        )
        return contact

    def merge_contacts(self, contact: Body, into: Body) -> None:
        """Give a contact's deals, tags and what the other lacks to the other; the contact is gone."""
        self._leave_index(contact)
        del self.contacts[contact["id"]]
        own = ("name", "email", "fullPhone", "organization", "instagram")
        lacking = {name: contact[name] for name in own if not into[name]}
        tags = [*into["tags"], *(tag for tag in contact["tags"] if tag not in into["tags"])]
        self.change_contact(into, {**contact["fields"], **into["fields"]}, tags=tags, **lacking)
        for deal in self._deals_of.pop(contact["id"], []):
            deal["contact"] = into
            self._deals_of[into["id"]].append(deal)

    def is_listed(self, contact: Body) -> bool:
        """Return whether lists show a contact already."""
        return self._made_s[contact["id"]] <= time.monotonic() - self.knobs.contacts_late_s

    def deals_of(self, contact_id: str) -> list[Body]:
        """Return a contact's deals, oldest first."""
        return list(self._deals_of.get(contact_id, []))

    def find_deal(self, origin_id: str, contact_id: str) -> Body | None:
        """Return the deal that an update changes: the contact's newest open one in the origin, else the newest."""
        deals = [deal for deal in self._deals_of.get(contact_id, []) if deal["origin_id"] == origin_id]
        return next((deal for deal in reversed(deals) if deal["status"] == "OPEN"), deals[-1] if deals else None)

    def stage_of(self, deal: Body) -> str:
        """Return the label of a deal's stage."""
        stages = self.origins[deal["origin_id"]]["stages"]
        return next(str(stage["label"]) for stage in stages if stage["id"] == deal["stage_id"])

    def add_deal(self, origin_id: str, contact: Body, stage_id: str, by: str = "webhook", **values: Any) -> Body:
        """Add an open deal; `values` are title, value, user and fields."""
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
            **values,
        }
        self._remember(deal["id"], None)
        self.deals[deal["id"]] = deal
        self._deals_of[contact["id"]].append(deal)
        self._log(deal, by, "created", None, deal["fields"])
        return deal

    def move_deal(self, deal: Body, stage_id: str, status: str) -> None:
        """Put a deal where a webhook says."""
        self.change_deal(deal, "webhook", stage_id=stage_id, status=status)

    def change_deal(self, deal: Body, by: str, fields: Mapping[str, Any] | None = None, **changes: Any) -> None:
        """Replace origin, stage, status, title, value or user of a deal; its fields are added to."""
        self._remember(deal["id"], {**deal, "fields": dict(deal["fields"])})
        before = (self.stage_of(deal), deal["status"])
        now = moment(datetime.now(UTC))
        if changes.get("stage_id", deal["stage_id"]) != deal["stage_id"]:
            deal["updated_stage_at"] = now
        status = changes.get("status", deal["status"])
        if status != deal["status"]:
            deal["won_at"], deal["lost_at"] = now if status == "WON" else None, now if status == "LOST" else None
        deal.update(changes, updated_at=now)
        deal["fields"].update(fields or {})
        self._log(deal, by, "changed", before, fields or {})

    def remove_deal(self, deal: Body, by: str) -> None:
        """Remove a deal; its writes stay in the log."""
        del self.deals[deal["id"]]
        self._deals_of[deal["contact"]["id"]].remove(deal)
        self._log(deal, by, "removed", (self.stage_of(deal), deal["status"]), {})

    def as_listed(self, deal: Body) -> Body | None:
        """Return a deal as lists show it, which may lag behind; None while they do not show it."""
        shown_until = time.monotonic() - self.knobs.late_s
        late = (before for at, before in self._before.get(deal["id"], ()) if at > shown_until)
        return next(late, deal) if self.knobs.late_s else deal

    def deal_body(self, deal: Body) -> Body:
        """Return a deal as documented, and the keys that only real answers have where the knob asks for them."""
        contact = deal["contact"]
        title = {} if deal["title"] is None else {"titulo": deal["title"]}
        fields = {**title, **deal["fields"]}
        extras = {"updated_at": deal["updated_at"], "value": deal["value"], "currency": "BRL"}
        extras["stage"] = self.stage_of(deal) if "stage" in self.knobs.deal_extras else None
        return {
            **{name: value for name, value in deal.items() if name not in DEAL_ONLY},
            "contact": {
                "id": contact["id"],
                "name": contact["name"],
                "email": contact["email"],
                "phone": contact["fullPhone"],
            },
            "fields": {self.knobs.cut(name): value for name, value in fields.items()},
            **{name: extras[name] for name in self.knobs.deal_extras},
        }

    def full_deal(self, deal: Body) -> Body:
        more = {"updated_at": deal["updated_at"], "stage": self.stage_of(deal), "value": deal["value"]}
        return {**self.deal_body(deal), **more, "currency": "BRL"}

    def forget(self) -> None:
        with self.lock:
            kept: Iterable[dict[str, Any]] = (
                self.contacts,
                self.deals,
                self.organizations,
                self._by_email,
                self._by_phone,
                self._deals_of,
                self._before,
                self._made_s,
            )
            for one in kept:
                one.clear()
            self.writes.forget()

    def _leave_index(self, contact: Body) -> None:
        for found in (
            self._by_email.get((contact["email"] or "").lower(), []),
            self._by_phone.get(local_phone(contact["fullPhone"]), []),
        ):
            found[:] = [one for one in found if one is not contact]

    def _remember(self, deal_id: str, before: Body | None) -> None:
        if self.knobs.late_s:
            self._before.setdefault(deal_id, []).append((time.monotonic(), before))

    def _log(self, deal: Body, by: str, what: str, before: tuple[str, str] | None, fields: Mapping[str, Any]) -> None:
        now = {"stage": self.stage_of(deal), "status": deal["status"], "value": deal["value"]}
        self.writes.add(deal["id"], by, what, before, **now, fields=dict(fields))
