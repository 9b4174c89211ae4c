"""Says what a mapping makes of an event and why: each condition with the value it saw, each field, the payload."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import asdict
from typing import Any

from bridge import filtering, transform
from bridge.errors import FilterFailed, StageError
from bridge.mapping import Mapping
from bridge.mapping.parts import Condition, Group


def explained(mapping: Mapping, context: dict[str, Any]) -> dict[str, Any]:
    """Return what a mapping makes of an event and why, for JSON."""
    told: dict[str, Any] = {"mapping": mapping.name, "enabled": mapping.enabled, "listens": False}
    if not mapping.listens_to(context["event"]) or mapping.account != context["account"]:
        return told
    told["listens"] = True
    try:
        verdict = filtering.decide(mapping, context)
    except FilterFailed as error:
        return {**told, "outcome": "dead", "code": error.code, "reason": str(error)}
    told["conditions"] = _all_conditions(mapping, verdict.conditions)
    if not verdict.passed:
        return {**told, "outcome": "filtered", "code": verdict.code, "reason": verdict.reason}
    told["fields"] = [
        {**asdict(seen), "error": str(seen.error) if seen.error else None}
        for seen in transform.explain(mapping, context)
    ]
    try:
        payload = transform.build(mapping, context)
    except StageError as error:
        return {**told, "outcome": "dead", "code": error.code, "reason": str(error)}
    return {
        **told,
        "outcome": "sent",
        "payload": payload,
        "send_to": transform.destination(mapping, context["event"]),
    }


def _all_conditions(mapping: Mapping, seen: Iterable[filtering.Seen]) -> list[dict[str, Any]]:
    """Return every condition in the order of the file; `passed` is null where the verdict stood before its turn."""
    said = {(one.line, one.text, one.depth): asdict(one) for one in seen}
    whole = [key for key in said if key not in set(_keys(mapping.filter))] + _keys(mapping.filter)
    return [
        said.get(key) or {"line": key[0], "text": key[1], "value": None, "passed": None, "depth": key[2]}
        for key in whole
    ]


def _keys(condition: Condition | None, depth: int = 0) -> list[tuple[int, str, int]]:
    if condition is None:
        return []
    inner = condition.conditions if isinstance(condition, Group) else ()
    return [(condition.line, condition.text, depth), *(key for one in inner for key in _keys(one, depth + 1))]
