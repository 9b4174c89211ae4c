"""What to choose on Clint's mapping screen for a mapping, key by key and integration by integration.

The keys are those of the file, the examples what its own tests send. Stage and status are not in any payload: Clint's
integration sets them, so each destination has a line that says which events it gets and what to choose for them.
"""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

from bridge.mapping import Field, Mapping
from bridge.mapping.asaas_events import EVENTS
from bridge.mapping.asaas_labels import label_of
from bridge.mapping.parts import covers
from bridge.mapping.values import as_text
from bridge.mapping_cases.running import run
from bridge.settings import variable

_WON = frozenset(
    {
        *("PAYMENT_CONFIRMED", "PAYMENT_RECEIVED", "PAYMENT_DUNNING_RECEIVED", "CHECKOUT_PAID"),
        # The charge stays paid.
        *("PAYMENT_PARTIALLY_REFUNDED", "PAYMENT_REFUND_DENIED"),
    }
)
_LOST = re.compile(
    r"(DELETED|REFUNDED|REFUND_IN_PROGRESS|REPROVED_BY_RISK_ANALYSIS|INACTIVATED|CHARGEBACK_\w+|CHARGEBACK_REVERSAL"
    r"|CANCELED|CANCELLED|EXPIRED)$"
)
_DATE = re.compile(r"\d{2}/\d{2}/\d{4}|\d{4}-\d{2}-\d{2}")
_LABELS_SHOWN = 3


def keys_of(mapping: Mapping, root: Path | None = None) -> list[dict[str, str]]:
    """Return each key exactly as it is sent, with its tab, its kind and an example from the mapping's tests.

    `root` is where the tests' samples lie, where that is not beside the file.
    """
    sent = [result.payload for result in run(mapping, root or Path(mapping.path).parent)]
    rows = []
    for field in mapping.fields:
        values = [payload[field.key] for payload in sent if field.key in payload]
        example = "" if not values else values[0] if isinstance(values[0], str) else as_text(values[0])
        rows.append({"key": field.key, "tab": field.group, "kind": _kind(field, example), "example": example})
    return rows


def _kind(field: Field, example: str) -> str:
    if field.identifies:
        return {"email": "e-mail", "phone": "phone"}[field.identifies]
    if field.type != "text":
        return field.type
    if _DATE.fullmatch(example):
        return "date"
    return "link" if example.startswith(("https://", "http://")) else "text"


def integrations_of(mapping: Mapping) -> list[dict[str, Any]]:
    """Return each destination with the events it gets and the stage and status that its integration should set."""
    left = [name for name in EVENTS if mapping.listens_to(name)]
    events: dict[str, list[str]] = {}
    for route in mapping.routes:
        events.setdefault(route.send_to, []).extend(name for name in left if covers(route.events, name))
        left = [name for name in left if not covers(route.events, name)]
    if left:
        events.setdefault(mapping.send_to, []).extend(left)
    return [
        {
            "integration": destination,
            "setting": variable("CLINT_WEBHOOK_URL", destination),
            "events": names,
            "stage": _stage(names),
            "status": _status(names),
        }
        for destination, names in events.items()
    ]


def _stage(names: list[str]) -> str:
    labels = [label_of(name) or name for name in names]
    more = f" or {len(labels) - _LABELS_SHOWN} more" if len(labels) > _LABELS_SHOWN else ""
    return f"the one for: {' or '.join(labels[:_LABELS_SHOWN])}{more}"


def _status(names: list[str]) -> str:
    if all(name in _WON for name in names):
        return "WON"
    return "LOST" if all(_LOST.search(name) for name in names) else "OPEN"
