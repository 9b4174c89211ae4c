"""What the bodies of the API's writes change: deals, contacts and their tags."""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import suppress
from datetime import datetime
from typing import Any

from bridge.simulator.clint.crm import BRAZIL, STATUSES, Body, Crm, local_phone
from bridge.simulator.clint.person import Person

OF_CONTACT = ("name", "email", "phone", "username")


class Refused(Exception):
    """The API refuses a request: its status and its words."""

    def __init__(self, status: int, error: str) -> None:
        super().__init__(error)
        self.status = status
        self.error = error


class Changes:
    """Writes to the CRM as the API; a body that it refuses changes nothing."""

    def __init__(self, crm: Crm, person: Person) -> None:
        self._crm = crm
        self._person = person

    def create_deal(self, body: Body) -> Body:
        """Add an open deal, whose contact is the one named, the one found by e-mail or phone, or a new one."""
        crm, texts = self._crm, _texts(body)
        origin = self._origin(body.get("origin_id"))
        stage_id = self._stage(origin, body.get("stage_id")) or origin["stages"][0]["id"]
        values = self._values(body)
        known = self._contact(body, texts)
        fields = self._fields("DEAL", body, ("contact", "organization"))
        contact_fields, organization = self._parts_of_contact(body, known)
        contact = known or crm.add_contact()
        if body.get("contact_id") is None:
            self._fill(contact, body, texts)
        self._write_contact(contact, contact_fields, organization)
        if "name" in texts and crm.knobs.deal_name == "contact":
            crm.change_contact(contact, name=texts["name"])
        deal = crm.add_deal(origin["id"], contact, stage_id, "api", fields=fields, **values)
        self._person.sees(deal)
        return deal

    def update_deal(self, deal: Body, body: Body) -> None:
        """Replace what the body names; e-mail and phone are the contact's."""
        crm, texts = self._crm, _texts(body)
        changes = self._values(body)
        origin = crm.origins[deal["origin_id"]]
        if body.get("origin_id") not in (None, deal["origin_id"]):
            origin = self._origin(body["origin_id"])
            changes |= {"origin_id": origin["id"], "stage_id": origin["stages"][0]["id"]}
        stage_id = self._stage(origin, body.get("stage_id"))
        if stage_id is not None:
            changes["stage_id"] = stage_id
        if body.get("status") is not None:
            if body["status"] not in STATUSES:
                raise Refused(422, "status must be one of OPEN, WON, LOST")
            changes["status"] = body["status"]
        fields = self._fields("DEAL", body, ("contact", "organization"))
        contact_fields, organization = self._parts_of_contact(body, deal["contact"])
        own = {name: text for name, text in texts.items() if name in {"email", "phone"}}
        if "name" in texts and crm.knobs.deal_name == "contact":
            own["name"] = texts["name"]
        self._write_contact(deal["contact"], contact_fields, organization, **_native(own, body))
        crm.change_deal(deal, "api", fields, **changes)
        self._person.sees(deal)

    def create_contact(self, body: Body) -> Body:
        """Add a contact, even where one with this e-mail or phone exists."""
        native = _native(_texts(body), body)
        fields = self._fields("CONTACT", body, ("organization",))
        organization = self._organization(body, None)
        contact = self._crm.add_contact()
        self._write_contact(contact, fields, organization, **native)
        return contact

    def update_contact(self, contact: Body, body: Body) -> None:
        """Replace what the body names; an empty text empties."""
        native = _native(_texts(body), body)
        fields = self._fields("CONTACT", body, ("organization",))
        organization = self._organization(body, contact)
        self._write_contact(contact, fields, organization, **native)

    def add_tags(self, contact: Body, names: object) -> None:
        """Add tags by their names; those that the account lacks are made."""
        if not isinstance(names, list) or not all(isinstance(name, str) and name for name in names):
            raise Refused(400, "The body must be an array of tag names")
        tags = [self._crm.add_tag(name) for name in names]
        new = [tag for tag in tags if tag not in contact["tags"]]
        self._crm.change_contact(contact, tags=[*contact["tags"], *new])

    def remove_tag(self, contact: Body, body: Body) -> None:
        """Remove the tag with this id or this name from a contact."""
        wanted = {name.removeprefix("tag_"): body[name] for name in ("tag_id", "tag_name") if body.get(name)}
        if len(wanted) != 1:
            raise Refused(400, "You must provide either a tag id or a tag name")
        kept = [tag for tag in contact["tags"] if not wanted.items() <= tag.items()]
        self._crm.change_contact(contact, tags=kept)

    def _origin(self, origin_id: object) -> Body:
        if origin_id is None:
            raise Refused(400, "origin_id is required")
        origin = self._crm.known_origins().get(str(origin_id))
        if origin is None:
            raise Refused(404, "Origin not found")
        return origin

    def _contact(self, body: Body, texts: Mapping[str, str]) -> Body | None:
        """Return the contact of a new deal: the one that is named, else the one with its e-mail or phone."""
        if body.get("contact_id") is None:
            return self._crm.find_contact(texts.get("email"), texts.get("phone"))
        if body["contact_id"] not in self._crm.contacts:
            raise Refused(422, "Contact not found")
        return self._crm.contacts[body["contact_id"]]

    def _stage(self, origin: Body, stage_id: object) -> str | None:
        if stage_id is None:
            return None
        if stage_id not in [stage["id"] for stage in origin["stages"]]:
            raise Refused(422, "Stage not found in this origin")
        return str(stage_id)

    def _values(self, body: Body) -> Body:
        """Return value, user and title of a deal's body."""
        found: Body = {}
        value, user_id = body.get("value"), body.get("user_id")
        if value is not None:
            if isinstance(value, bool) or not isinstance(value, int | float):
                raise Refused(422, "value must be a number")
            found["value"] = float(value)
        if user_id is not None:
            user = self._crm.users.get(str(user_id))
            if user is None:
                raise Refused(422, "User not found")
            name = f"{user['first_name']} {user['last_name']}".strip()
            found["user"] = {"id": user["id"], "full_name": name}
        if body.get("name") is not None and self._crm.knobs.deal_name == "deal":
            found["title"] = body["name"]
        return found

    def _parts_of_contact(self, body: Body, contact: Body | None) -> tuple[Body, Body]:
        """Return the fields of contact and organization in the body of a deal of this contact; None: a new one."""
        return self._fields("CONTACT", body.get("fields"), (), "contact"), self._organization(body, contact)

    def _organization(self, body: Body, contact: Body | None) -> Body:
        """Return the fields of a body's organization with its name, which may be that of the contact's."""
        organization = self._fields("ORGANIZATION", body.get("fields"), (), "organization")
        if not organization:
            return {}
        name = organization.get("name") or (contact or {}).get("organization")
        if not isinstance(name, str):
            raise Refused(422, "An organization needs a name")
        return {**organization, "name": name}

    def _fields(self, group: str, body: object, parts: tuple[str, ...], name: str = "fields") -> Body:
        """Return the fields that a body has under a name, without its parts, as the account takes them."""
        given = body.get(name) if isinstance(body, dict) else None
        if given is None:
            return {}
        if not isinstance(given, dict):
            raise Refused(422, f"{name} must be an object")
        known = {self._crm.knobs.cut(key): one["type"] for key, one in self._crm.fields[group].items()}
        if group == "ORGANIZATION":
            known["name"] = "TEXT"
        mode = self._crm.knobs.unknown_fields
        taken = {}
        for long_key, value in given.items():
            key = self._crm.knobs.cut(long_key)
            if long_key in parts:
                continue
            if mode == "refuse" and key not in known:
                raise Refused(422, f"Field {long_key} does not exist")
            if mode == "refuse" and not _is_of_type(value, known[key]):
                raise Refused(422, f"Field {long_key} must be {known[key]}")
            if mode == "keep" or key in known:
                taken[key] = value
        return taken

    def _fill(self, contact: Body, body: Body, texts: Mapping[str, str]) -> None:
        """Give a contact what it lacks."""
        native = _native(texts, body)
        self._crm.change_contact(contact, **{name: value for name, value in native.items() if not contact[name]})

    def _write_contact(self, contact: Body, fields: Body, organization: Body, **native: Any) -> None:
        if organization:
            own = {key: value for key, value in organization.items() if key != "name"}
            self._crm.organizations.setdefault(organization["name"], {}).update(own)
            native["organization"] = organization["name"]
        if fields or native:
            self._crm.change_contact(contact, fields, **native)


def _texts(body: Body) -> dict[str, str]:
    texts = {name: body[name] for name in OF_CONTACT if body.get(name) is not None}
    for name, text in texts.items():
        if not isinstance(text, str):
            raise Refused(422, f"{name} must be a text")
    return texts


def _native(texts: Mapping[str, str], body: Body) -> Body:
    """Return texts of a body under the names that a contact has for them; an empty text is none."""
    native: Body = {name: texts[name] or None for name in ("name", "email") if name in texts}
    if "username" in texts:
        native["instagram"] = texts["username"] or None
    if "phone" in texts:
        country = str(body.get("ddi") or BRAZIL).strip("+ ")
        digits = local_phone(texts["phone"])
        native["fullPhone"] = f"+{country}{digits}" if digits else None
    return native


def _is_of_type(value: object, type_: str) -> bool:
    if not isinstance(value, str):
        return False
    with suppress(ValueError):
        if type_ == "NUMBER":
            float(value)
        elif type_ == "DATE":
            datetime.fromisoformat(value)
        return True
    return False
