"""A test that writes a contact and a deal into Clint, observes how the account behaves, and removes both.

Questions: does Clint keep the field with the key, how soon do lists and filters show a deal, does the name of a deal
rename its contact, does an update keep the fields that it does not name, are tags taken.
"""

from __future__ import annotations

import secrets
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import dataclass, field

from bridge.clint.api import ClintApi, Found, same_key
from bridge.errors import BridgeError, ClintApiFailed, ClintFault
from bridge.messages import N_, Message, message
from bridge.operations.clint import failed
from bridge.operations.doctor import Check, State, check

_PERSON = "Teste da ponte"
_TITLE = "Negócio de teste da ponte"


def try_writes(
    api: ClintApi,
    origin_id: str,
    key_field: str,
    appears_s: float,
    sleep: Callable[[float], None] = time.sleep,
) -> Iterator[Check]:
    """Make a contact and a deal, yield the checks of what Clint did with them, and remove both.

    Both are removed too where it stops in between; a check says what could not be removed.
    """
    trial = _Trial(api, origin_id, key_field, appears_s, sleep)
    try:
        yield from trial.run()
    except ClintApiFailed as error:
        trial.is_unsure = error.kind is ClintFault.UNKNOWN and not trial.deal_id
        yield failed(N_("the test"), error)
    finally:
        left = trial.remove()
    if left:
        mend = N_("look in Clint for the contact {email} and remove it with its deal")
        yield check(N_("removal"), left, State.WRONG, mend, "api.left", email=trial.email)
    else:
        yield check(N_("removal"), N_("the contact and the deal of the test are removed"))


@dataclass
class _Trial:
    """One test of writes, with what it made."""

    api: ClintApi
    origin_id: str
    key_field: str
    appears_s: float
    sleep: Callable[[float], None]
    code: str = field(default_factory=lambda: secrets.token_hex(6))
    contact_id: str = ""
    deal_id: str = ""
    is_unsure: bool = False
    """Whether an answer was lost, so that Clint may have made what it does not show yet."""

    @property
    def email(self) -> str:
        return f"ponte-teste-{self.code}@example.com"

    def run(self) -> Iterator[Check]:
        api, key = self.api, f"ponte_{self.code}"
        known = api.fields()["deal"]
        own = next((one for one in known if same_key(one, self.key_field)), self.key_field)
        other = next((one for one, kind in known.items() if kind == "TEXT" and one != own), None)
        self.contact_id = api.create_contact(name=_PERSON, email=self.email)
        written = {own: key, **({other: "antes"} if other else {})}
        self.deal_id = api.create_deal(
            origin_id=self.origin_id, contact_id=self.contact_id, value=1.0, name=_TITLE, fields=written
        )
        began_s = time.monotonic()
        deal = api.deal(self.deal_id)
        if deal is None or deal.field(own) != key:
            what = N_("Clint did not keep the field {field}, by which the bridge finds a deal again")
            mend = N_("make the field {field} for deals in Clint, of the type text")
            yield check(N_("key of a deal"), what, State.WRONG, mend, "api.field", field=own)
            return
        yield check(N_("key of a deal"), N_("Clint keeps it in the field {field}"), field=own)
        yield from self._found_by_lists(own, key, began_s)
        contact = api.contact(self.contact_id)
        if contact is not None and contact.name == _TITLE:
            what = N_("the name of a deal renames its contact")
            mend = N_("write `is: name` on no deal field of a mapping")
            yield check(N_("name of a deal"), what, State.WARNING, mend, "api.deal_name")
        else:
            what = N_("it does not rename the contact: a deal field of a mapping may have `is: name`")
            yield check(N_("name of a deal"), what)
        label = N_("fields that an update does not name")
        if other:
            api.update_deal(self.deal_id, fields={other: "depois"})
            deal = api.deal(self.deal_id)
            kept = deal is not None and deal.field(own) == key
            if kept:
                yield check(label, N_("kept"))
            else:
                what = N_("lost: each update of a deal empties the fields that its mapping does not write")
                mend = N_("let the mapping write every field that the deals need; people's own fields are lost")
                yield check(label, what, State.WARNING, mend, "api.fields_lost")
        else:
            yield check(label, N_("not tried: Clint has no second text field of deals"))
        yield self._tags()

    def _found_by_lists(self, own: str, key: str, began_s: float) -> Iterator[Check]:
        """Look when the list of the contact's deals, and the filter by a field, show the new deal."""
        searches: tuple[tuple[str, Callable[[], Found], str], ...] = (
            (
                N_("list of a contact's deals"),
                lambda: self.api.deals_of(self.contact_id, self.origin_id),
                N_("set CLINT_DEAL_APPEARS_S higher, such as 300, for all processes and start them again"),
            ),
            # Whether this filter works is not relied on.
            (N_("filter of deals by a field"), lambda: self.api.deals_with(own, key, self.origin_id), ""),
        )
        for label, search, mend in searches:
            found, waited_s = False, 0.0
            while not found and waited_s <= self.appears_s:
                if waited_s:
                    self.sleep(1.0)
                found = self.deal_id in {deal.id for deal in search().deals}
                waited_s = time.monotonic() - began_s
            if found:
                what = N_("shows a new deal after {seconds:.1f} s; CLINT_DEAL_APPEARS_S is {most:g}")
                yield check(label, what, seconds=waited_s, most=self.appears_s)
            else:
                what = N_("shows no new deal within {seconds:.0f} s")
                state, code = (State.WARNING, "api.late") if mend else (State.FINE, "")
                yield check(label, what, state, mend, code, seconds=waited_s)

    def _tags(self) -> Check:
        label = N_("tags of a contact")
        tag = next(iter(self.api.tags()), None)
        if tag is None:
            return check(label, N_("not tried: Clint has no tag yet, and the test leaves none behind"))
        try:
            self.api.add_tags(self.contact_id, [tag])
        except ClintApiFailed as error:
            if error.kind is not ClintFault.REFUSED:
                raise
            return check(label, error.what, State.WARNING, error.hint or "", "api.tags")
        contact = self.api.contact(self.contact_id)
        if contact is None or tag not in contact.tags:
            return check(
                label,
                N_("Clint accepts a tag, but the contact does not show it"),
                State.WARNING,
                N_("take the tags out of the mappings"),
                "api.tags",
            )
        return check(label, N_("Clint accepts them"))

    def remove(self) -> Message | None:
        """Remove the deal and the contact; return why something may be left."""
        try:
            if not self.contact_id:  # an answer that was lost
                self.contact_id = next((one.id for one in self.api.contacts(email=self.email)), "")
            ids = {self.deal_id} - {""}
            if self.contact_id:
                with suppress(ClintApiFailed):
                    ids |= {one.id for one in self.api.deals_of(self.contact_id, self.origin_id).deals}
            for id_ in sorted(ids):
                self.api.remove_deal(id_)
            if self.contact_id:
                self.api.remove_contact(self.contact_id)
        except BridgeError as error:
            return message(N_("it is not known whether all of the test was removed: {why}"), why=error.what)
        lost = N_("an answer of Clint was lost: it may have made a contact or a deal that it does not show yet")
        return Message(lost) if self.is_unsure else None
