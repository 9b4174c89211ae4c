"""A mapping explained on an event, condition by condition and field by field, and its checklist for Clint's screen."""

from __future__ import annotations

import re
from collections.abc import Iterable
from collections.abc import Mapping as AnyMapping
from dataclasses import asdict
from pathlib import Path
from typing import Any

from bridge.errors import StageError
from bridge.mapping import evaluate
from bridge.mapping.catalogue import event_label
from bridge.mapping.model import Field, Mapping, walk
from bridge.mapping.testing import run
from bridge.mapping.values import as_text, either, facts_data
from bridge.messages import N_, Message, in_language
from bridge.settings import variable


def explained(mapping: Mapping, context: dict[str, Any]) -> dict[str, Any]:
    """Return what a mapping makes of an event and why.

    `message` is the reason as a Message, for a person; `explained_data` leaves it out, for JSON.
    """
    told: dict[str, Any] = {"mapping": mapping.name, "enabled": mapping.enabled, "listens": False}
    if not mapping.listens_to(context["event"]):
        return {**told, "why": "other_event"}
    if mapping.account != context["account"]:
        return {**told, "why": "other_account"}
    told["listens"] = True
    try:
        verdict = evaluate.apply_filter(mapping, context)
        told["conditions"] = _all_conditions(mapping, verdict.conditions)
        if not verdict.passed:
            return told | _reason("filtered", verdict.code, verdict.message, verdict.facts)
        told["fields"] = []
        for one, value, error in evaluate.explain(mapping, context):
            row = {"group": one.group, "key": one.key, "source": one.source.text, "value": value}
            told["fields"].append({**row, "error": error and str(error), "message": error and error.message()})
        payload = evaluate.build_payload(mapping, context)
    except StageError as error:
        return told | _reason("dead", error.code, error.message(), error.facts)
    return {**told, "outcome": "sent", "payload": payload, "send_to": mapping.destination(context["event"])}


def _reason(outcome: str, code: str, message: Message, facts: AnyMapping[str, Any]) -> dict[str, Any]:
    reason = {"reason": str(message), "facts": facts_data(facts), "message": message}
    return {"outcome": outcome, "code": code, **reason}


def explained_data(told: dict[str, Any]) -> dict[str, Any]:
    data = {name: value for name, value in told.items() if name != "message"}
    if "fields" in data:
        data["fields"] = [{name: one[name] for name in one if name != "message"} for one in data["fields"]]
    return data


def _all_conditions(mapping: Mapping, seen: Iterable[evaluate.ConditionResult]) -> list[dict[str, Any]]:
    """Return every condition in the order of the file; `passed` is None where the verdict did not need it."""
    said = {(one.line, one.text, one.depth): asdict(one) for one in seen}
    in_file = [(one.line, one.text, depth) for one, depth in walk(mapping.filter)]
    whole = [key for key in said if key not in set(in_file)] + in_file
    return [
        said.get(key) or {"line": key[0], "text": key[1], "value": None, "passed": None, "depth": key[2]}
        for key in whole
    ]


_PAID = ("PAYMENT_CONFIRMED", "PAYMENT_RECEIVED", "PAYMENT_DUNNING_RECEIVED", "CHECKOUT_PAID")
_STAYS_PAID = ("PAYMENT_PARTIALLY_REFUNDED", "PAYMENT_REFUND_DENIED")
_WON = frozenset({*_PAID, *_STAYS_PAID})
_LOST = re.compile(
    r"(DELETED|REFUNDED|REFUND_IN_PROGRESS|REPROVED_BY_RISK_ANALYSIS|INACTIVATED|CHARGEBACK_\w+|CHARGEBACK_REVERSAL"
    r"|CANCELED|CANCELLED|EXPIRED)$"
)
_DATE = re.compile(r"\d{2}/\d{2}/\d{4}|\d{4}-\d{2}-\d{2}")
_LABELS_SHOWN = 3


def checklist(mappings: Iterable[Mapping], only: Mapping | None = None, root: Path | None = None) -> dict[str, Any]:
    """Return the integrations of the enabled mappings, or only those of one mapping, and each key that they get.

    `root` is the directory of the tests' samples, where that is not the one of the file.
    """
    used = [only] if only else []
    used += [one for one in mappings if one.enabled and (only is None or one.name != only.name)]
    integrations = [row for row in integrations_of(used) if only is None or only.name in row["mappings"]]
    return {
        "keys": _checklist_keys(used, [row["integration"] for row in integrations], root),
        "integrations": integrations,
    }


def _checklist_keys(mappings: Iterable[Mapping], destinations: list[str], root: Path | None) -> list[dict[str, Any]]:
    """Return each key with its tab, its kind, an example from the tests and the integrations that get it."""
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
    """Return each destination of these mappings with its events, and the stage and status that it should set.

    An integration sets one status: where its events ask for several, `status` is None and `conflict` has the events of
    each. An event that only mappings with a filter send there, and another one elsewhere, asks for none: the operator
    has told apart what its name does not say.
    """
    found: dict[str, dict[str, list[str]]] = {}
    places: dict[str, set[str]] = {}
    unfiltered = set[tuple[str, str]]()
    for mapping in mappings:
        for name in mapping.event_names:
            destination = mapping.destination(name)
            found.setdefault(destination, {}).setdefault(name, []).append(mapping.name)
            places.setdefault(name, set()).add(destination)
            if mapping.filter is None:
                unfiltered.add((destination, name))
    rows = []
    for destination, senders in found.items():
        by_status: dict[str, list[str]] = {}
        telling = [name for name in senders if len(places[name]) == 1 or (destination, name) in unfiltered]
        for name in telling or senders:
            by_status.setdefault("WON" if name in _WON else "LOST" if _LOST.search(name) else "OPEN", []).append(name)
        with in_language("en"):
            stage = stage_of(list(senders))
        rows.append({
            "integration": destination,
            "setting": variable("CLINT_WEBHOOK_URL", destination),
            "mappings": sorted({mapping for names in senders.values() for mapping in names}),
            "events": list(senders),
            "stage": stage,
            "status": next(iter(by_status)) if len(by_status) == 1 else None,
            "conflict": by_status if len(by_status) > 1 else {},
        })  # fmt: skip
    return rows


def statuses(mappings: Iterable[Mapping]) -> dict[str, str]:
    """Return the status that each destination's integration should set; empty where its events ask for several."""
    return {row["integration"]: row["status"] or "" for row in integrations_of(m for m in mappings if m.enabled)}


def stage_of(names: list[str]) -> str:
    """Return which stage an integration with these events should set, in the current language."""
    events = either([event_label(name) for name in names[:_LABELS_SHOWN]])
    more = len(names) - _LABELS_SHOWN
    what = N_("the one for: {events} or {count} more") if more > 0 else N_("the one for: {events}")
    return Message(what, {"events": events, "count": more}).text()
