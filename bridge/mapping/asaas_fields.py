"""Which fields the objects of Asaas have, as far as is known, so that lint can tell a mistyped path.

The lists in data/asaas_fields.json were built from the published field tables, the API's schemas and recorded bodies.
They say what to warn about, never what is allowed: Asaas adds fields without notice. An object that is not listed, or
is listed without fields, is one nobody has seen; nothing is said about its paths. data/asaas_values.json says of which
kind a field is, wherever it stands, and which values Asaas documents for it.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from functools import cache
from importlib.resources import files
from typing import Any

from bridge.mapping.asaas_events import ENTITY_OF_FAMILY, EVENTS, spellings
from bridge.mapping.context import ENVELOPE
from bridge.mapping.derived import DERIVED
from bridge.mapping.findings import did_you_mean
from bridge.mapping.parts import FETCHABLE, covers
from bridge.mapping.paths import ANY, ELEMENT, Path

PLAIN_NAMES = ("event", "account", "environment", "fee", "today", *DERIVED)
"""What an expression sees beside objects: each is one value."""
_KINDS = {
    **dict.fromkeys(("event", "account", "environment", "installment_position"), "text"),
    **dict.fromkeys(("fee", *DERIVED.keys() - {"installment_position"}), "number"),
    "today": "date",
}


@cache
def known_fields() -> Mapping[str, Any]:
    """Return the fields by object: a name leads to None, or to the fields of an object or of a list's elements."""
    text = files("bridge.mapping").joinpath("data/asaas_fields.json").read_text(encoding="utf-8")
    fields: dict[str, Any] = json.loads(text)
    return fields


@cache
def _known_values() -> dict[str, Any]:
    text = files("bridge.mapping").joinpath("data/asaas_values.json").read_text(encoding="utf-8")
    known: dict[str, Any] = json.loads(text)
    return known


def documented_values() -> Mapping[str, list[str]]:
    """Return the values that Asaas documents, by the path of their field."""
    values: dict[str, list[str]] = _known_values()["values"]
    return values


def kind_of_path(path: Path) -> str | None:
    """Return whether a path leads to a number, a date, a boolean or a text, or None where that is not known."""
    steps = [step for step in _own(path) if step != ELEMENT]
    if len(steps) == 1:
        return _KINDS.get(steps[0])
    fields: Any = known_fields()
    for step in steps:
        if not isinstance(fields, dict) or step not in fields:
            return None
        fields = fields[step]
    kinds = _known_values()["kinds"]
    return next((kind for kind in kinds if fields is None and steps[-1] in kinds[kind]), None)


def values_of_path(path: Path) -> tuple[str, ...]:
    """Return the values that Asaas documents for a path; empty where it documents none."""
    if path in {("event",), (ENVELOPE, "event")}:
        return tuple(EVENTS)
    return tuple(documented_values().get(".".join(step for step in _own(path) if step != ELEMENT), ()))


def _own(path: Path) -> Path:
    """Return a path with the bridge's name of its object, which the envelope holds too."""
    if path[:1] == (ENVELOPE,) and len(path) > 1 and spellings(path[1])[0] in ENTITY_OF_FAMILY.values():
        path = path[1:]
    return (spellings(path[0])[0], *path[1:]) if path else path


def entities_of(events: tuple[str, ...]) -> frozenset[str] | None:
    """Return the keys of the objects that the events (or families) of a mapping carry, or None where one is new."""
    if any(not any(covers((event,), known) for known in EVENTS) for event in events):
        return None
    return frozenset(known.entity for known in EVENTS.values() if covers(events, known.name))


def doubt(path: Path, entities: frozenset[str] | None, *, alone: bool = True) -> tuple[str, str] | None:
    """Return a code and a message about a path that gives nothing in these events, or None where it may give some.

    `alone` says that the expression has nothing but the path.
    """
    path = _own(path)
    root = path[0]
    if root in PLAIN_NAMES:
        return _into_a_value(path, 1) if len(path) > 1 else None
    names = {*PLAIN_NAMES, *FETCHABLE, *ENTITY_OF_FAMILY.values(), *known_fields()}
    if root not in names and root in known_fields()[ENVELOPE]:
        own = next((f", or {one}.{root}" for one in sorted(entities or ()) if root in known_fields().get(one, ())), "")
        return "path.unknown_name", f"{root!r} stands in the envelope; write {_written((ENVELOPE, *path))}{own}"
    if root not in names and entities is None and len(path) > 1:
        return "path.unknown_name", f"{root!r} is no object that the bridge knows; it is there if the event carries it"
    if root not in names:
        return "path.unknown_name", (
            f"{root!r} is nothing an expression sees{did_you_mean(root, names)}; "
            f"for a fixed text write {f'{{text: {root}}}' if alone else repr(root)}"
        )
    if root not in {*FETCHABLE, ENVELOPE} and entities and root not in entities:
        return "path.not_in_event", (
            f"{root} is not in these events, which carry {' or '.join(sorted(entities))}; it will always be missing"
        )
    return _doubt_in_object(path)


def _doubt_in_object(path: Path) -> tuple[str, str] | None:
    fields = known_fields().get(path[0])
    for index, step in enumerate(path[1:], 1):
        if not fields or step == ANY:
            return None
        if step == ELEMENT:
            continue
        if step not in fields:
            return (
                "path.unknown",
                f"no {_written(path[:index])} of Asaas is known to have {step!r}{did_you_mean(step, fields)}",
            )
        fields = fields[step]
        if fields is None:
            return _into_a_value(path, index + 1)
    return None


def _into_a_value(path: Path, index: int) -> tuple[str, str] | None:
    rest = [step for step in path[index:] if step != ELEMENT]
    if not rest:
        return None
    name = path[index - 1]
    hint = f"; write {name}.{rest[0]}, which is fetched from Asaas" if name in FETCHABLE else ""
    if index == 1 and known_fields()[ENVELOPE].get(name):
        hint = f"; write {_written((ENVELOPE, *path))}"
    return "path.into_value", f"{_written(path[:index])} is one value and has no {rest[0]!r}{hint}"


def _written(path: Path) -> str:
    return ".".join(path).replace(f".{ELEMENT}", ELEMENT)
