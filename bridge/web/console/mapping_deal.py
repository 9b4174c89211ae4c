"""The part of a mapping's form about deals by Clint's API: what its page shows, and what a person sends back."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from werkzeug.datastructures import MultiDict

from bridge.mapping import Setup
from bridge.mapping.catalogue import EVENTS, event_label
from bridge.mapping.deal_form import LISTS, VALUES, WORDS, Deal, Value
from bridge.mapping.evaluate import STATUSES
from bridge.mapping.form import Form
from bridge.mapping.model import covers
from bridge.mapping.spec import FUNNEL
from bridge.messages import N_, _
from bridge.reasons import deal_status

OWN = "own"
PER_WORDS = {
    "charge": N_("charge"),
    "installment": N_("instalment plan"),
    "subscription": N_("subscription"),
    "customer": N_("customer"),
    OWN: N_("code that you choose"),
}
STATUS_WORDS = {"open": N_("Deal open"), "won": N_("Deal won"), "lost": N_("Deal lost")}
MOVED_WORDS = {"keep": N_("the person's choice stays"), "override": N_("the mapping's stage and status are written")}
REMOVED_WORDS = {"leave": N_("nothing is sent"), "make_again": N_("another one is made")}
CONTACT_WORDS = {
    "email, phone": N_("e-mail, then phone"),
    "phone, email": N_("phone, then e-mail"),
    "email": N_("e-mail"),
    "phone": N_("phone"),
}
PART_WORDS = {
    f"funnel.{name}": word
    for name, word in {
        "key": N_("Deal key"),
        "key_field": N_("Field that keeps the code"),
        "origin": N_("Origin"),
        "stage": N_("Stage"),
        "status": N_("Status"),
        "value": N_("Value"),
        "user": N_("Responsible"),
        "tags": N_("Tags of the contact"),
        "moved_by_person": N_("Where a person moved the deal"),
        "removed": N_("Where the deal was removed in Clint"),
        "find_contact_by": N_("Find the contact by"),
    }.items()
}
"""The parts of a payload that make the deal (`evaluate.spread`), in the words of the form."""
_PART_VALUES = {
    "funnel.moved_by_person": MOVED_WORDS,
    "funnel.removed": REMOVED_WORDS,
    "funnel.find_contact_by": CONTACT_WORDS,
}
BY_EVENT = ("stage", "status")
"""The values that have a row for each event."""
OTHERS = "default"
"""The row of every other event."""


@dataclass(frozen=True, slots=True)
class Row:
    """What an event does to the deal."""

    event: str
    """OTHERS for every event that has no row of its own."""
    label: str
    stage: str
    status: str

    @property
    def statuses(self) -> list[str]:
        """The statuses to choose from, and what the text has where that is none."""
        return [*STATUSES, *([self.status] if self.status and self.status not in STATUSES else [])]


def part_name(key: str) -> str:
    """Return the key of a payload as its receiver has it, or what a part of the deal is called in the form."""
    return _(PART_WORDS[key]) if key in PART_WORDS else key


def part_value(value: Any, key: str) -> Any:
    """Return the value of a key of a payload; that of a part of the deal in words, where the form has some."""
    if key == "funnel.status":
        return deal_status(str(value)).text()
    word = _PART_VALUES.get(key, {}).get(str(value))
    return _(word) if word else value


def shown_deal(form: Form, setup: Setup) -> dict[str, Any]:
    """Return what the page of a form shows about deals, with the names that Clint has, where they are known."""
    deal, sends_to = form.deal, form.settings["send_to"] or "default"
    values = deal.values
    names = [name for name in EVENTS if covers(form.events, name)]
    names += [name for name in form.events if name not in EVENTS and not name.endswith("*")]
    names += [name for one in BY_EVENT for name in values[one].by_event]
    rows = [
        Row(name, event_label(name), values["stage"].by_event.get(name, ""), values["status"].by_event.get(name, ""))
        for name in dict.fromkeys(names)
    ]
    rows.append(Row(OTHERS, "", values["stage"].default, values["status"].default))
    origin = deal.words["origin"] or setup.api.get(sends_to, "")
    clint = setup.clint
    stages = [label for id_ in clint.named_origins(origin) for _, label in clint.origins[id_][1]] if clint else []
    return {
        "rows": rows,
        "parts": values,
        "columns": [name for name in BY_EVENT if values[name].kind == "events"],
        "per": OWN if deal.own_key else deal.per or "charge",
        "key": deal.per if deal.own_key else "",
        "words": {name: deal.words[name] or FUNNEL[name].default for name in WORDS},
        "lists": {name: one if isinstance(one, str) else ", ".join(one) for name, one in deal.lists.items()},
        "tags_block": isinstance(deal.lists["tags"], str),
        "contact": ", ".join(_listed(deal.lists["find_contact_by"])) or "email, phone",
        "by_api": sends_to in setup.api,
        "told": deal != Deal(),
        "stages": stages,
        "origins": [name for name, _ in clint.origins.values()] if clint else [],
        "users": sorted(clint.users) if clint else [],
    }


def _listed(value: tuple[str, ...] | str) -> tuple[str, ...]:
    return (value,) if isinstance(value, str) else value


def sent_deal(given: MultiDict[str, str], old: Deal) -> Deal:
    """Return the deals of a page's form; values that the page does not show stay."""
    if "deal-shown" not in given:
        return old
    per, own = given.get("one_deal_per", ""), " ".join(given.get("deal-key", "").split())
    own_key = per == OWN and bool(own)
    if own_key:
        key = old.per if own == " ".join(old.per.split()) else own
    else:
        key = old.per if per == OWN or (not old.own_key and per == (old.per or "charge")) else per
        own_key = old.own_key and per == OWN
    words = {name: _word(given, name, old.words[name]) for name in WORDS}
    lists = {name: _texts(given, name, old.lists[name]) for name in LISTS}
    return Deal(key, own_key, {name: _value(given, name, old.values[name]) for name in VALUES}, words, lists)


def _word(given: MultiDict[str, str], name: str, old: str) -> str:
    value = " ".join(given.get(f"deal-{name}", old).split())
    return old if value == (old or FUNNEL[name].default) else value


def _texts(given: MultiDict[str, str], name: str, old: tuple[str, ...] | str) -> tuple[str, ...] | str:
    text = given.get(f"deal-{name}")
    if text is None:
        return old
    if isinstance(old, str):
        block = text.replace("\r\n", "\n").rstrip()
        return block or ()
    listed = tuple(one.strip() for one in text.split(",") if one.strip())
    usual = tuple(FUNNEL[name].default.strip("[]").split(", ")) if FUNNEL[name].default else ()
    return old if listed in {old, old or usual} else listed


def _value(given: MultiDict[str, str], name: str, old: Value) -> Value:
    if old.kind != "events":
        source = given.get(f"deal-{name}-source", old.source).replace("\r\n", "\n").rstrip()
        return old if source == old.source.rstrip() else Value(old.kind, source=source) if source else Value()
    if name == "value":
        source = " ".join(given.get("deal-value", "").split())
        return Value("from", source=source) if source else old
    if name == "user":
        return old if old.by_event else Value(default=given.get("deal-user", old.default).strip())
    begins = f"deal-{name}-"
    sent = {key.removeprefix(begins): text.strip() for key, text in given.items() if key.startswith(begins)}
    default = sent.pop(OTHERS, old.default)
    by_event = {**old.by_event, **sent}
    return Value(by_event={event: text for event, text in by_event.items() if text}, default=default)


WORDS_OF: Mapping[str, Mapping[str, str]] = {
    "per": PER_WORDS,
    "status": STATUS_WORDS,
    "moved_by_person": MOVED_WORDS,
    "removed": REMOVED_WORDS,
    "find_contact_by": CONTACT_WORDS,
}
"""The words of each choice on the page."""
