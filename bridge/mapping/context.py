"""Builds what expressions see: the event's object, what was fetched for it, and what only the bridge knows."""

from __future__ import annotations

from typing import Any

from bridge.mapping.asaas_events import spellings
from bridge.mapping.dates import brasilia_day
from bridge.mapping.derived import DERIVED, amount, derive
from bridge.mapping.parts import FETCHABLE
from bridge.mapping.values import Unreadable, as_decimal

ENVELOPE = "envelope"
FEE = "fee"
WORKED_OUT = frozenset({FEE, *DERIVED})
"""What is in no object, and must be worked out for whoever reads it."""


def build_context(
    event_name: str,
    entity_key: str,
    envelope: dict[str, Any],
    account: str,
    environment: str,
    fetched: dict[str, Any],
    *,
    today: str | None = None,
    derived: frozenset[str] = WORKED_OUT,
) -> dict[str, Any]:
    """Return the context of one event; `today` (yyyy-mm-dd) is the day in Brasília unless a test names another.

    `envelope` is the event as Asaas sent it, `entity_key` the key of its object.
    Of what is worked out it has those named: who knows what will be read spares the others.

    The event's own object wins over a fetched one of the same name, because it is what Asaas said in this event. An
    object that was looked for and does not exist is None in `fetched`, and null to expressions.
    """
    today = today or brasilia_day()
    found = envelope.get(entity_key)
    entity_object: dict[str, Any] = found if isinstance(found, dict) else {}
    context: dict[str, Any] = {
        **fetched,
        **derive(entity_object if entity_key == "payment" else {}, fetched, today, derived & DERIVED.keys()),
        "event": event_name,
        "account": account,
        "environment": environment,
        "today": today,
        ENVELOPE: envelope,
    }
    if FEE in derived:
        context[FEE] = _fee(entity_object)
    # Last, but never over the names above: an envelope whose only object is its `account` block has no entity.
    if entity_key and entity_key not in {"event", "account", "environment", "today", ENVELOPE, *WORKED_OUT}:
        context.update(dict.fromkeys(spellings(entity_key), entity_object))
    return context


def references(context: dict[str, Any]) -> dict[str, str]:
    """Return, for each fetchable name that the context lacks, the id of the object it stands for.

    An id is looked for in the event's object first and then in what was fetched, so that an anticipation leads over
    its payment to a customer when the caller asks again after fetching.
    """
    found: dict[str, str] = {}
    for holder in _holders(context):
        for name in FETCHABLE - context.keys() - found.keys():
            # Checkouts hold a whole `subscription` where others hold its id; Pix Automático says `customerId`.
            for key in (name, f"{name}Id"):
                value = holder.get(key)
                if isinstance(value, str) and value:
                    found.setdefault(name, value)
    return found


def _holders(context: dict[str, Any]) -> list[dict[str, Any]]:
    objects = {name: value for name, value in context.items() if isinstance(value, dict) and name != ENVELOPE}
    own = [value for name, value in reversed(objects.items()) if name not in FETCHABLE]
    # The event's own object was put in last.
    own_fetchable = [value for name, value in reversed(objects.items()) if name in FETCHABLE]
    return [*own, *own_fetchable]


def _fee(entity: dict[str, Any]) -> float | None:
    values = entity.get("value"), entity.get("netValue")
    if any(isinstance(value, (bool, str)) for value in values):
        return None
    try:
        return amount(as_decimal(values[0]) - as_decimal(values[1]))
    except (Unreadable, ArithmeticError):
        return None
