"""Finds, creates and changes the contact of one deal by Clint's API.

The e-mail or the phone by which a contact is found is claimed while it is looked for, so that two deals of one customer
make one contact. `deals` says what is marked before each request.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from typing import Any

from bridge.clint.api import Contact, split_phone
from bridge.clint.webhook import Answer
from bridge.errors import ClintApiFailed, ClintFault
from bridge.failpoints import failpoint
from bridge.journal import deals
from bridge.journal.deals import StoredContact
from bridge.messages import N_, Message
from bridge.model import Outcome
from bridge.pipeline.claims import BUSY_S, ClaimedRows, Ended, lost, postponed
from bridge.pipeline.wanted import Wanted

_MAY_APPEAR = N_(
    "the answer to a create was lost, and Clint does not show the contact; the bridge looks for it again in {seconds} s"
)


class DealContact:
    """The contact of one delivery's deal."""

    def __init__(self, rows: ClaimedRows, wanted: Wanted) -> None:
        self.is_new = False
        """Whether this delivery created it."""
        self._rows = rows
        self._parts = rows.parts
        self._wanted = wanted
        self._found: Contact | None = None

    def find_or_create(self) -> str:
        """Return the id of the contact that is found, else of a new one. Raises Ended."""
        wanted, parts, rows = self._wanted, self._parts, self._rows
        if not wanted.identities:
            text = N_("the payload has neither an e-mail nor a phone by which Clint's contact is found")
            raise Ended(Answer(Outcome.REJECTED, None, "transform.no_contact", Message(text)))
        how, value = wanted.identities[0]
        identity = f"{how} {value.casefold() if how == 'email' else ''.join(split_phone(value))}"
        with parts.journal.database.write() as connection:
            row = deals.claim_contact(connection, identity, rows.claim, parts.clock_ms())
        if row is None:
            text = N_("another delivery is creating this contact; this one goes next")
            raise Ended(postponed("clint.key_busy", Message(text), BUSY_S))
        with rows.released(row):
            found = self._find(row)
            if found is not None:
                self._found = found
                rows.save(row, replace(row, contact_id=found.id, creating_ms=None))
                return found.id
            rows.wait_for_mark(row.creating_ms, "clint.contact_may_appear", _MAY_APPEAR)
            return self._create(row)

    def _find(self, row: StoredContact) -> Contact | None:
        api = self._parts.api
        for how, value in self._wanted.identities:
            found = api.contacts(**{how: value})
            if found:
                return next((one for one in found if one.id == row.contact_id), found[0])
        return api.contact(row.contact_id) if row.contact_id else None

    def _create(self, row: StoredContact) -> str:
        wanted, parts, rows = self._wanted, self._parts, self._rows
        marked = row

        def mark() -> None:
            nonlocal marked
            marked = rows.save(row, replace(row, creating_ms=parts.clock_ms()))
            failpoint("deal.contact_marked")

        try:
            contact_id = parts.api.create_contact(
                **wanted.contact,
                fields=self._fields(),
                organization=self._organization(),
                may_start=lambda: rows.may_write(mark),
            )
        except ClintApiFailed as error:
            if error.kind is ClintFault.UNKNOWN:
                raise Ended(lost(error, "clint.create_unknown")) from None
            if marked is not row:
                rows.save(marked, row)
            raise
        failpoint("deal.contact_created")
        rows.save(marked, replace(marked, contact_id=contact_id, creating_ms=None))
        failpoint("deal.contact_noted")
        self.is_new = True
        return contact_id

    def digest(self) -> str:
        """Return a keyed hash of what the payload says about the contact, which is kept once it is written."""
        wanted = self._wanted
        content = [wanted.contact, wanted.contact_fields, wanted.organization, sorted(wanted.tags)]
        with self._parts.journal.database.read() as connection:
            return deals.digest_of(connection, json.dumps(content, sort_keys=True))

    def update(self, contact_id: str, keep_claim: Callable[[], object]) -> bool:
        """Write what differs, blanking nothing, and add the tags that it lacks; return False for a removed contact.

        `keep_claim` lengthens the claim of the deal, and raises Ended where it was lost.
        """
        api, rows = self._parts.api, self._rows
        tags = list(self._wanted.tags)
        if not self.is_new:
            contact = self._found
            if contact is None or contact.id != contact_id:
                contact = api.contact(contact_id)
            if contact is None:
                return False
            changes = self._changes(contact)
            if changes:
                api.update_contact(contact_id, **changes, may_start=lambda: rows.may_write(keep_claim))
                failpoint("deal.contact_updated")
            has = {tag.casefold() for tag in contact.tags}
            tags = [tag for tag in tags if tag.casefold() not in has]
        if tags:
            api.add_tags(contact_id, tags, may_start=lambda: rows.may_write(keep_claim))
            failpoint("deal.tagged")
        return True

    def _changes(self, contact: Contact) -> dict[str, Any]:
        wanted = self._wanted
        now = {"name": contact.name, "email": contact.email.casefold(), "phone": split_phone(contact.phone)}
        changes: dict[str, Any] = {}
        for name, text in wanted.contact.items():
            same = {"email": text.casefold(), "phone": split_phone(text)}.get(name, text)
            if same != now[name]:
                changes[name] = text
        fields = self._fields()
        if any(contact.field(name) != text for name, text in fields.items()):
            changes["fields"] = fields
        own = {name: text for name, text in wanted.organization.items() if name != "name"}
        # Clint does not show an organization's fields, so they are written with each change of what is sent.
        if own or wanted.organization.get("name", contact.organization) != contact.organization:
            changes["organization"] = self._organization()
        return changes

    def _fields(self) -> dict[str, str]:
        return {self._parts.field_key("contact", name): text for name, text in self._wanted.contact_fields.items()}

    def _organization(self) -> dict[str, str]:
        own, key = self._wanted.organization, self._parts.field_key
        return {name if name == "name" else key("organization", name): text for name, text in own.items()}
