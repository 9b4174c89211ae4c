"""What the payload of a delivery to an API destination says about one deal, its contact and its organization."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Wanted:
    """What a payload says about one deal; a value that is empty or None stays as it is in Clint."""

    key: str
    key_field: str
    origin: str
    """Empty: the destination's."""
    stage: str
    status: str
    """OPEN, WON or LOST."""
    value: float | None
    user: str
    tags: tuple[str, ...]
    override: bool
    """Whether stage and status are written also where a person moved the deal."""
    own_stages: tuple[str, ...]
    """Every stage that the mapping may say; none: it says nothing about stages."""
    own_statuses: frozenset[str]
    """Every status that the mapping may say, and OPEN, which a new deal has."""
    make_again: bool
    """Whether a deal that was removed in Clint is made again."""
    find_contact_by: tuple[str, ...]
    name: str
    """Of the deal."""
    fields: Mapping[str, str]
    contact: Mapping[str, str]
    """Its email, phone and name, as far as the mapping gives them."""
    contact_fields: Mapping[str, str]
    organization: Mapping[str, str]
    """The organization's name and its fields."""

    @property
    def identities(self) -> list[tuple[str, str]]:
        """The e-mail and the phone by which the contact is found, in the mapping's order."""
        return [(how, self.contact[how]) for how in self.find_contact_by if self.contact.get(how)]


def read_payload(text: str) -> Wanted | None:
    """Return what a delivery's payload wants; None for one that was made for a webhook."""
    payload = json.loads(text)
    funnel = payload.pop("funnel", None)
    if not isinstance(funnel, dict):
        return None
    groups: dict[str, dict[str, str]] = {"contact": {}, "organization": {}, "deal": {}}
    fields: dict[str, dict[str, str]] = {"contact": {}, "organization": {}, "deal": {}}
    for key, place in funnel["places"].items():
        group, _, name = place.partition(".")
        given = _text(payload.get(key))
        if given and name == "fields":
            fields[group][key] = given
        elif given:
            groups[group][name] = given
    value = funnel.get("value")
    return Wanted(
        key=funnel["key"],
        key_field=funnel["key_field"],
        origin=funnel.get("origin") or "",
        stage=_text(funnel.get("stage")),
        status=_text(funnel.get("status")).upper(),
        value=None if value is None else float(value),
        user=_text(funnel.get("user")),
        tags=tuple(funnel.get("tags") or ()),
        override=funnel.get("moved_by_person") == "override",
        own_stages=tuple(funnel.get("own_stages") or ()),
        own_statuses=frozenset({"OPEN", *(_text(one).upper() for one in funnel.get("own_statuses") or ())}),
        make_again=funnel.get("removed") == "make_again",
        find_contact_by=tuple(funnel.get("find_contact_by") or ("email", "phone")),
        name=groups["deal"].get("name", ""),
        fields=fields["deal"],
        contact=groups["contact"],
        contact_fields=fields["contact"],
        organization={**fields["organization"], **groups["organization"]},
    )


def _text(value: object) -> str:
    if isinstance(value, bool):
        return "true" if value else "false"
    return "" if value is None else str(value).strip()
