"""Decides what to fetch for an event: pure, from what the mappings name and what the event points to.

An anticipation points to a charge and the charge to a customer, so a mapping that names the customer of an
anticipation needs the charge first.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from typing import Any

LEADS_TO: Mapping[str, tuple[str, ...]] = {
    "payment": ("customer", "installment", "subscription"),
    "subscription": ("customer",),
    "installment": ("customer",),
}
"""Which objects carry the ids of which others."""

LATER = ""
"""The id of a name whose id is found in an object that is fetched first."""


def plan(needs: Collection[str], references: Mapping[str, str]) -> dict[str, str]:
    """Return names and ids to fetch: the needed ones, and those that lead to a needed one.

    A name that nothing leads to is left out: the event has no such object.
    """
    wanted = {name: references[name] for name in sorted(needs) if references.get(name)}
    for name in sorted(set(needs) - set(wanted)):
        step = next((first for first, led in LEADS_TO.items() if name in led and references.get(first)), None)
        if step:
            wanted[step] = references[step]
            wanted[name] = LATER
    return wanted


def led_to(name: str, fetched: Mapping[str, Any]) -> str:
    """Return the id of `name` that a fetched object carries, or an empty text."""
    for first, led in LEADS_TO.items():
        holder = fetched.get(first)
        if name in led and isinstance(holder, dict) and isinstance(found := holder.get(name), str) and found:
            return found
    return ""
