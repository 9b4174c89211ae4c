"""Says what a mapping makes of an event and why: each condition with the value it saw, each field, the payload."""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import asdict
from pathlib import Path
from typing import Any

from bridge.errors import FilterFailed, StageError
from bridge.mapping import evaluate
from bridge.mapping.catalogue import label_of
from bridge.mapping.model import Condition, Field, Group, Mapping
from bridge.mapping.testing import run
from bridge.mapping.values import as_text
from bridge.settings import variable


def explained(mapping: Mapping, context: dict[str, Any]) -> dict[str, Any]:
    """Return what a mapping makes of an event and why, for JSON."""
    told: dict[str, Any] = {"mapping": mapping.name, "enabled": mapping.enabled, "listens": False}
    if not mapping.listens_to(context["event"]):
        return {**told, "why": "other_event"}
    if mapping.account != context["account"]:
        return {**told, "why": "other_account"}
    told["listens"] = True
    try:
        verdict = evaluate.apply_filter(mapping, context)
    except FilterFailed as error:
        return {**told, "outcome": "dead", "code": error.code, "reason": str(error)}
    told["conditions"] = _all_conditions(mapping, verdict.conditions)
    if not verdict.passed:
        return {**told, "outcome": "filtered", "code": verdict.code, "reason": verdict.reason}
    told["fields"] = [
        {**asdict(seen), "error": str(seen.error) if seen.error else None}
        for seen in evaluate.explain(mapping, context)
    ]
    try:
        payload = evaluate.build_payload(mapping, context)
    except StageError as error:
        return {**told, "outcome": "dead", "code": error.code, "reason": str(error)}
    return {
        **told,
        "outcome": "sent",
        "payload": payload,
        "send_to": evaluate.destination(mapping, context["event"]),
    }


def _all_conditions(mapping: Mapping, seen: Iterable[evaluate.ConditionResult]) -> list[dict[str, Any]]:
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


def checklist(mappings: Iterable[Mapping], only: Mapping | None = None, root: Path | None = None) -> dict[str, Any]:
    """Return the integrations of the enabled mappings, or only those of one mapping, and each key that they get.

    `root` is where the tests' samples lie, where that is not beside the file.
    """
    used = [only] if only else []
    used += [one for one in mappings if one.enabled and (only is None or one.name != only.name)]
    integrations = [row for row in integrations_of(used) if only is None or only.name in row["mappings"]]
    return {
        "keys": _checklist_keys(used, [row["integration"] for row in integrations], root),
        "integrations": integrations,
    }


def _checklist_keys(mappings: Iterable[Mapping], destinations: list[str], root: Path | None) -> list[dict[str, Any]]:
    """Return each key exactly as it is sent, with its tab, its kind, an example from the tests, and who gets it."""
    rows: dict[tuple[str, str], dict[str, Any]] = {}
    for mapping in mappings:
        gets = [name for name in destinations if name in mapping.destinations]
        sent = [result.payload for result in run(mapping, root or Path(mapping.path).parent)] if gets else []
        for field in mapping.fields if gets else ():
            values = [payload[field.key] for payload in sent if field.key in payload]
            example = "" if not values else values[0] if isinstance(values[0], str) else as_text(values[0])
            fresh = {"key": field.key, "tab": field.group, "kind": _kind(field, example), "example": example}
            row = rows.setdefault((field.key, field.group), {**fresh, "integrations": []})
            row.update({} if row["example"] else fresh)
            row["integrations"] += [name for name in gets if name not in row["integrations"]]
    return list(rows.values())


def _kind(field: Field, example: str) -> str:
    if field.identifies:
        return {"email": "e-mail", "phone": "phone"}[field.identifies]
    if field.type != "text":
        return field.type
    if _DATE.fullmatch(example):
        return "date"
    return "link" if example.startswith(("https://", "http://")) else "text"


def integrations_of(mappings: Iterable[Mapping]) -> list[dict[str, Any]]:
    """Return each destination of these mappings with all that it gets, and the stage and status that it should set.

    An integration sets one status: where its events ask for several, `status` is None and `conflict` has the events of
    each.
    """
    found: dict[str, dict[str, list[str]]] = {}
    for mapping in mappings:
        for name in mapping.event_names:
            found.setdefault(mapping.destination(name), {}).setdefault(name, []).append(mapping.name)
    return [_integration(destination, senders) for destination, senders in found.items()]


def _integration(destination: str, senders: dict[str, list[str]]) -> dict[str, Any]:
    by_status: dict[str, list[str]] = {}
    for name in senders:
        by_status.setdefault(_status(name), []).append(name)
    return {
        "integration": destination,
        "setting": variable("CLINT_WEBHOOK_URL", destination),
        "mappings": sorted({mapping for names in senders.values() for mapping in names}),
        "events": list(senders),
        "stage": _stage(list(senders)),
        "status": next(iter(by_status)) if len(by_status) == 1 else None,
        "conflict": by_status if len(by_status) > 1 else {},
    }


def statuses(mappings: Iterable[Mapping]) -> dict[str, str]:
    """Return the status of each destination's integration, by the active mappings; empty where they conflict."""
    return {row["integration"]: row["status"] or "" for row in integrations_of(m for m in mappings if m.enabled)}


def _stage(names: list[str]) -> str:
    labels = [label_of(name) or name for name in names]
    more = f" or {len(labels) - _LABELS_SHOWN} more" if len(labels) > _LABELS_SHOWN else ""
    return f"the one for: {' or '.join(labels[:_LABELS_SHOWN])}{more}"


def _status(name: str) -> str:
    return "WON" if name in _WON else "LOST" if _LOST.search(name) else "OPEN"
