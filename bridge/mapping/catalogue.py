"""The events of Asaas, the object that each carries and its Portuguese label, from data/asaas_events.json.

The list holds the names that the bridge knows; it accepts every name, since Asaas adds names without notice.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from importlib.resources import files
from typing import Any

from bridge.messages import current_language


@dataclass(frozen=True, slots=True)
class KnownEvent:
    name: str
    family: str
    """The part of the name before what happened, such as PAYMENT; `PAYMENT_*` in a mapping means the family."""
    entity: str
    """The key of the envelope that holds the object."""
    label: str
    flow_rank: int
    """Its place in the documented flows of a charge (see `flow_rank`)."""


@cache
def read_data(name: str) -> Any:
    return json.loads(files("bridge.mapping").joinpath(f"data/{name}.json").read_text(encoding="utf-8"))


TABLES: Mapping[str, Any] = read_data("asaas_events")
"""Events by family, flow ranks, and labels by kind of word."""
ENTITY_OF_FAMILY: Mapping[str, str] = {name: family["entity"] for name, family in TABLES["families"].items()}
"""No real body of PIX_AUTOMATIC_RECURRING_* was seen; the envelope's own keys decide when an event arrives."""

_SPELLINGS = (("paymentInstruction", "instruction"), ("balance", "balanceData"))
"""Keys for which Asaas's own documents have two names; the first is the bridge's."""
_NOT_ENTITIES = frozenset({"account", "additionalInfo"})

EVENTS: Mapping[str, KnownEvent] = {
    f"{family}_{what}": KnownEvent(
        f"{family}_{what}", family, about["entity"], label, TABLES["flow_ranks"].get(f"{family}_{what}", 0)
    )
    for family, about in TABLES["families"].items()
    for what, label in about["events"].items()
}


def spellings(entity: str) -> tuple[str, ...]:
    return next((names for names in _SPELLINGS if entity in names), (entity,))


def entity_key(envelope: Mapping[str, Any]) -> str:
    """Return the key of the object that an event is about; empty where it carries none."""
    objects = [key for key, value in envelope.items() if isinstance(value, dict) and key not in _NOT_ENTITIES]
    name = envelope.get("event")
    known = EVENTS.get(name) if isinstance(name, str) else None
    # The event's own entity first: some events carry a second object, such as the charge beside the instruction.
    for entity in (known.entity if known else "", *ENTITY_OF_FAMILY.values()):
        for key in spellings(entity):
            if key in objects:
                return key
    return objects[0] if objects else ""


def flow_rank(event_name: str) -> int:
    """Return the place of the event in the documented flows of a charge, or 0 where no flow names it.

    It orders two events of one charge with the same `dateCreated`; 0 says nothing about the order. Confirmed and
    received come after overdue, because a late charge is paid after it was overdue; chargebacks come before refunded,
    because losing one ends in a refund.
    """
    known = EVENTS.get(event_name)
    return known.flow_rank if known else 0


BILLING_TYPE_LABELS: Mapping[str, str] = TABLES["labels"]["billing_type"]
LABELS: tuple[Mapping[str, str], ...] = tuple(TABLES["labels"].values())
"""A reason of a cancelled split that is named like an event (PAYMENT_DELETED) is not here: it has the event's label."""


def label_of(word: str) -> str | None:
    """Return the Portuguese name of a status, reason, billing type or event name, or None where there is none."""
    known = EVENTS.get(word)
    return known.label if known else next((labels[word] for labels in LABELS if word in labels), None)


def event_label(name: str) -> str:
    """Return an event's name as people say it, in the current language.

    >>> event_label("PAYMENT_RECEIVED")
    'Payment received'
    """
    known = EVENTS.get(name)
    return known.label if known and current_language() == "pt" else name.replace("_", " ").capitalize()


def status_words(code: str) -> str:
    """Return a status of Asaas as people say it, in the current language.

    >>> status_words("RECEIVED_IN_CASH")
    'Received in cash'
    """
    name = label_of(code) if current_language() == "pt" else None
    return name or code.replace("_", " ").capitalize()


_FIELD_LABELS: Mapping[str, tuple[str, str]] = read_data("field_labels")


_ENGLISH = {
    f"{one}.id": f"Code of the {one} at Asaas" for one in ("payment", "customer", "subscription", "installment")
}


def named_paths(root: str) -> tuple[str, ...]:
    """Return the paths into an object, or the one value of that name, that people have a name for."""
    return tuple(path for path in _FIELD_LABELS if path == root or path.startswith(f"{root}."))


def path_label(path: str) -> str:
    """Return what people call the value at a path, in the current language.

    >>> path_label("payment.dueDate"), path_label("payment.creditCard.creditCardBrand")
    ('Due date', 'Credit card brand')
    """
    if path in _FIELD_LABELS and current_language() == "pt":
        return _FIELD_LABELS[path][0]
    if path in _ENGLISH:
        return _ENGLISH[path]
    words = re.sub(r"(?<=[a-z])(?=[A-Z])", " ", path.rpartition(".")[2]).replace("_", " ")
    return words.capitalize().replace(" url", " URL").replace("Cpf cnpj", "CPF or CNPJ")


def path_meaning(path: str) -> str:
    """Return a Portuguese sentence about the value at a path; empty where there is none."""
    return _FIELD_LABELS[path][1] if path in _FIELD_LABELS else ""
