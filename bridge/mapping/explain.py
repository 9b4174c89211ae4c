"""A mapping explained on an event, condition by condition and field by field, and its checklist for Clint's screen."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from collections.abc import Mapping as AnyMapping
from dataclasses import asdict
from pathlib import Path
from typing import Any

from bridge.errors import StageError
from bridge.mapping import evaluate
from bridge.mapping.catalogue import event_label
from bridge.mapping.deals import missing_fields
from bridge.mapping.findings import did_you_mean
from bridge.mapping.model import FUNNEL, ClintDirectory, Field, Mapping, Setup, walk
from bridge.mapping.testing import run
from bridge.mapping.values import as_text, either, facts_data
from bridge.messages import N_, Message, in_language
from bridge.settings import variable

_ANYTHING = Setup(None, None)


def explained(mapping: Mapping, context: dict[str, Any], known: Setup = _ANYTHING) -> dict[str, Any]:
    """Return what a mapping makes of an event and why.

    For a destination by Clint's API, as far as `known` says which are, `funnel` is what makes the deal, and its values
    are among the fields. `message` is the reason as a Message, for a person;
    `explained_data` leaves it out, for JSON.
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
        of_deal = known.makes_deal(mapping, context["event"])
        for one, value, error in evaluate.explain(mapping, context, deal=of_deal):
            told["fields"].append(_field_row(one.group, one.key, one.source.text, value, error))
        if of_deal:
            told["fields"].append(_key_row(mapping, context))
        payload = (evaluate.build_deal if of_deal else evaluate.build_payload)(mapping, context)
    except StageError as error:
        return told | _reason("dead", error.code, error.message(), error.facts)
    told |= {"outcome": "sent", "payload": evaluate.flat(payload), "send_to": mapping.destination(context["event"])}
    return {**told, FUNNEL: payload[FUNNEL]} if of_deal else told


def _field_row(group: str, key: str, source: str, value: Any, error: StageError | None) -> dict[str, Any]:
    row = {"group": group, "key": key, "source": source, "value": value}
    return {**row, "error": error and str(error), "message": error and error.message()}


def _key_row(mapping: Mapping, context: dict[str, Any]) -> dict[str, Any]:
    per = mapping.funnel.one_deal_per
    value, failed = None, None
    try:
        value = evaluate.deal_key(mapping, context)
    except StageError as error:
        failed = error
    return _field_row(FUNNEL, f"{FUNNEL}.key", per.source.text if isinstance(per, Field) else per, value, failed)


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


def checklist(
    mappings: Iterable[Mapping],
    only: Mapping | None = None,
    root: Path | None = None,
    known: Setup = _ANYTHING,
) -> dict[str, Any]:
    """Return what Clint needs for the enabled mappings, or only what the destinations of one mapping need.

    Destinations by a webhook are `integrations`, each of which gets some of `keys`; those by the API are `funnels`.
    `root` is the directory of the tests' samples, where that is not the one of the file; `known` what is set up.
    """
    used = [only] if only else []
    used += [one for one in mappings if one.enabled and (only is None or one.name != only.name)]
    integrations = [row for row in integrations_of(used, known) if only is None or only.name in row["mappings"]]
    funnels = [row for row in funnels_of(used, root, known) if only is None or only.name in row["mappings"]]
    return {
        "keys": _checklist_keys(used, [row["integration"] for row in integrations], root),
        "integrations": integrations,
        "funnels": funnels,
    }


def funnels_of(mappings: Sequence[Mapping], root: Path | None = None, known: Setup = _ANYTHING) -> list[dict[str, Any]]:
    """Return each destination by the API with the origin, stages, statuses and fields that Clint must have.

    `there` says of origin, stage and field whether Clint has it; None where it was not asked.
    """
    rows: dict[str, dict[str, Any]] = {}
    for mapping in mappings:
        for name in mapping.event_names:
            if not known.makes_deal(mapping, name):
                continue
            destination = mapping.destination(name)
            fresh: dict[str, Any] = {"destination": destination, "origins": [], "mappings": [], "events": []}
            row = rows.setdefault(destination, fresh)
            for key, value in (("mappings", mapping.name), ("events", name)):
                row[key] += [] if value in row[key] else [value]
            _add_deal(row, mapping, known.api.get(destination, ""), known.clint)
    for row in rows.values():
        row["fields"] = _fields_of([one for one in mappings if one.name in row["mappings"]], root, known.clint)
    return list(rows.values())


def _add_deal(row: dict[str, Any], mapping: Mapping, own: str, clint: ClintDirectory | None) -> None:
    """Add the origin of a mapping's deals, with its stages and statuses, to the row of a destination."""
    name = mapping.funnel.origin or own
    ids = clint.named_origins(name) if clint else []
    there = len(ids) == 1 if clint else None
    origin = next((one for one in row["origins"] if one["origin"] == name), None)
    if origin is None:
        origin = {"origin": name, "there": there, "stages": [], "statuses": []}
        row["origins"].append(origin)
    for stage in mapping.funnel.stage.outputs if mapping.funnel.stage else ():
        seen = clint.has_stage(ids[0], stage) if clint and there else None
        if stage not in [one["stage"] for one in origin["stages"]]:
            labels = [label for _, label in clint.origins[ids[0]][1]] if clint and seen is False else []
            hint = did_you_mean(stage, labels)
            origin["stages"].append({"stage": stage, "there": seen, **({"hint": hint} if hint else {})})
    statuses = [one.strip().lower() for one in mapping.funnel.status.outputs] if mapping.funnel.status else []
    origin["statuses"] += [one for one in dict.fromkeys(statuses) if one not in origin["statuses"]]


def _fields_of(mappings: Iterable[Mapping], root: Path | None, clint: ClintDirectory | None) -> list[dict[str, Any]]:
    """Return each field that deals by the API write, with its place, its kind, an example and whether it is there."""
    rows: dict[tuple[str, str], dict[str, Any]] = {}
    for mapping in mappings:
        places = evaluate.places(mapping.fields)
        lacking = set(missing_fields(mapping, clint)) if clint else set()
        sent = [result.payload for result in run(mapping, root or Path(mapping.path).parent)]
        code = {"key": mapping.funnel.key_field, "tab": "deal", "kind": "text", "example": "", "place": "fields"}
        wanted = [code]
        for field in mapping.fields:
            example, place = _example(field, sent), places[field.key].rpartition(".")[2]
            wanted.append({
                "key": field.key, "tab": field.group, "kind": _kind(field, example), "example": example, "place": place
            })  # fmt: skip
        for row in wanted:
            there = None if clint is None else row["place"] != "fields" or (row["tab"], row["key"]) not in lacking
            found = rows.setdefault((row["tab"], row["key"]), {**row, "there": there})
            found.update({} if found["example"] else row)
    return list(rows.values())


def _checklist_keys(mappings: Iterable[Mapping], destinations: list[str], root: Path | None) -> list[dict[str, Any]]:
    """Return each key with its tab, its kind, an example from the tests and the integrations that get it."""
    rows: dict[tuple[str, str], dict[str, Any]] = {}
    for mapping in mappings:
        gets = [name for name in destinations if name in mapping.destinations]
        sent = [result.payload for result in run(mapping, root or Path(mapping.path).parent)] if gets else []
        for field in mapping.fields if gets else ():
            example = _example(field, sent)
            fresh = {"key": field.key, "tab": field.group, "kind": _kind(field, example), "example": example}
            row = rows.setdefault((field.key, field.group), {**fresh, "integrations": []})
            row.update({} if row["example"] else fresh)
            row["integrations"] += [name for name in gets if name not in row["integrations"]]
    return list(rows.values())


def _example(field: Field, sent: Iterable[AnyMapping[str, Any]]) -> str:
    """Return the first value that the tests give a field; empty where they give none."""
    value = next((payload[field.key] for payload in sent if field.key in payload), "")
    return value if isinstance(value, str) else as_text(value)


def _kind(field: Field, example: str) -> str:
    if field.identifies:
        return {"email": "e-mail", "phone": "phone"}[field.identifies]
    if field.type != "text":
        return field.type
    if _DATE.fullmatch(example):
        return "date"
    return "link" if example.startswith(("https://", "http://")) else "text"


def integrations_of(mappings: Iterable[Mapping], known: Setup = _ANYTHING) -> list[dict[str, Any]]:
    """Return each destination of these mappings by a webhook: its events, and the stage and status that it should set.

    `known` says which destinations are by the API: these are none of them.
    An integration sets one status: where its events ask for several, `status` is None. `statuses` has the events of
    each. With several integrations that is a `conflict`; a single one for everything keeps to the status it sets. An
    event that only mappings with a filter send there, and another one elsewhere, asks for none: the operator has told
    apart what its name does not say.
    """
    found: dict[str, dict[str, list[str]]] = {}
    places: dict[str, set[str]] = {}
    unfiltered = set[tuple[str, str]]()
    for mapping in mappings:
        for name in mapping.event_names:
            if known.makes_deal(mapping, name):
                continue
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
            "statuses": by_status,
            "conflict": by_status if len(by_status) > 1 and len(found) > 1 else {},
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
