"""Lists as Asaas gives them: `object: list`, ten at a time, at most a hundred, newest first."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

Arguments = Mapping[str, str]
DEFAULT_LIMIT = 10
MOST = 100


def page(items: list[dict[str, Any]], arguments: Arguments) -> dict[str, Any]:
    """Cut the asked page out of all items found."""
    offset = max(0, _number(arguments.get("offset"), 0))
    limit = min(MOST, max(1, _number(arguments.get("limit"), DEFAULT_LIMIT)))
    return {
        "object": "list",
        "hasMore": offset + limit < len(items),
        "totalCount": len(items),
        "limit": limit,
        "offset": offset,
        "data": items[offset : offset + limit],
    }


def matches(body: Mapping[str, Any], arguments: Arguments, equal: frozenset[str], between: frozenset[str]) -> bool:
    """Say whether a body passes the filters: equality by name, and `name[ge]` and `name[le]` for dates."""
    for name in equal:
        if name in arguments and _text(body.get(name)) != arguments[name]:
            return False
    for name in between:
        value = _text(body.get(name))
        if f"{name}[ge]" in arguments and (not value or value < arguments[f"{name}[ge]"]):
            return False
        if f"{name}[le]" in arguments and (not value or value > arguments[f"{name}[le]"]):
            return False
    return True


def _number(text: str | None, default: int) -> int:
    return int(text) if text is not None and text.lstrip("-").isdigit() else default


def _text(value: object) -> str:
    if value is None:
        return ""
    return str(value).lower() if isinstance(value, bool) else str(value)
