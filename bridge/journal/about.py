"""What the body of an event says: the object it is about, its value and description, and the customer."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any, TypeAlias

Row: TypeAlias = dict[str, Any]

_MOST_CENTS = 10**15


def object_of(row: Row) -> Mapping[str, Any]:
    """Return the object that an event is about, as its body has it; empty where the body was erased."""
    body = json.loads(row["body"])
    kept = body.get(row["entity"]) if isinstance(body, dict) else None
    return kept if isinstance(kept, dict) else {}


def amount_of(about: Mapping[str, Any]) -> Any:
    """Return the value of an event's object, None where it has none."""
    value = about.get("value")
    return value if isinstance(value, int | float | str) and not isinstance(value, bool) else None


def cents_of(value: Any) -> int:
    """Return an amount of reais in cents; 0 for what is none.

    >>> cents_of(129.9), cents_of("129.9"), cents_of(-1)
    (12990, 0, 0)
    """
    is_amount = isinstance(value, int | float) and not isinstance(value, bool) and 0 <= value * 100 < _MOST_CENTS
    return round(value * 100) if is_amount else 0


def description_of(about: Mapping[str, Any]) -> str:
    found = about.get("description")
    return " ".join(found.split())[:120] if isinstance(found, str) else ""


def customer_of(row: Row) -> str:
    """Return the id of an event's customer; empty for an event without one."""
    subject = str(row["subject"])
    return subject if subject != row["object_id"] and subject != row["entity"] else ""
