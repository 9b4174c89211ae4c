"""Reads what somebody chooses for a new mapping, word by word; each refusal says what is wrong and what to do."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from bridge.errors import UsageError
from bridge.mapping.asaas_events import EVENTS
from bridge.mapping.asaas_labels import BILLING_TYPE_LABELS
from bridge.mapping.entries import NAME
from bridge.mapping.findings import did_you_mean
from bridge.mapping.menu import Offer, entity_of
from bridge.mapping.parts import covers
from bridge.mapping.values import Unreadable, as_decimal
from bridge.mapping_cases.draft import Choices, draft
from bridge.mapping_cases.running import run

FAMILIES = ("PAYMENT", "SUBSCRIPTION")
"""The events that the menu has fields for."""


def as_name(text: str) -> str:
    """Return the name of a file; raise UsageError where it can't be one."""
    if not NAME.fullmatch(text):
        raise UsageError(f"a name has lower case letters, digits, _ and -, got {text!r}")
    return text


def as_events(names: Sequence[str]) -> tuple[str, ...]:
    """Return events or families, each once; raise UsageError where Asaas has none or the menu no field for it."""
    for name in names:
        if not any(covers((name,), known) for known in EVENTS):
            raise UsageError(
                f"the menu knows no event {name!r}{did_you_mean(name, EVENTS)}",
                mend="a new event of Asaas works in a mapping file: copy one of mappings/ and name it there",
            )
    events = tuple(dict.fromkeys(names))
    if not entity_of(events):
        raise UsageError(
            "the menu has fields for charges or for subscriptions, one of them in a file",
            mend="name events of one kind, or copy a file of mappings/",
        )
    return events


def as_amount(text: str) -> str:
    """Return an amount as it stands in a file, empty for none; raise UsageError for anything else."""
    try:
        return format(as_decimal(text), "f") if text else ""
    except Unreadable:
        raise UsageError(f"an amount is a number such as 50 or 129.90, got {text!r}") from None


def as_billing_types(said: str | Sequence[str]) -> tuple[str, ...]:
    """Return billing types; raise UsageError where Asaas has no such type."""
    words = said.replace(",", " ").split() if isinstance(said, str) else said
    for word in words:
        if word not in BILLING_TYPE_LABELS:
            raise UsageError(f"Asaas has no billing type {word!r}{did_you_mean(word, BILLING_TYPE_LABELS)}")
    return tuple(words)


def as_installments(text: str) -> str:
    """Return which instalments are sent; raise UsageError for any other word."""
    if text not in {"each", "first", "once"}:
        raise UsageError(f"instalments are each, first or once, got {text!r}")
    return text


def as_keys(chosen: Sequence[str], keys: Sequence[str]) -> frozenset[str]:
    """Return the keys that were chosen from the menu; raise UsageError where Clint could find no contact by them."""
    for key in chosen:
        if key not in keys:
            raise UsageError(f"the menu has no key {key!r}{did_you_mean(key, keys)}")
    if not {"email", "telefone"} & set(chosen):
        raise UsageError("Clint finds the contact by email or telefone, got neither", mend="take one of them")
    return frozenset(chosen)


def examples(offers: Sequence[Offer], entity: str) -> dict[str, Any]:
    """Return what each field of the menu gives for its example."""
    event = "PAYMENT_RECEIVED" if entity == "payment" else "SUBSCRIPTION_CREATED"
    read = draft(Choices("menu", "menu", (event,), tuple(offers)))
    assert read.mapping is not None, read.findings  # noqa: S101 (as in new)
    (result,) = run(read.mapping, Path())
    return dict(result.payload)
