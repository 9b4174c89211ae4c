"""Runs the `tests:` of a mapping with the very functions that the worker uses, and reports what differs.

Nothing is fetched: what a case needs from Asaas stands under its `with`. A case that reads more than that fails and
says so, because at run time the bridge would have fetched it.
"""

from __future__ import annotations

import copy
import re
from collections.abc import Mapping as AnyMapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from bridge import filtering, transform
from bridge.errors import BridgeError, StageError
from bridge.mapping import Mapping
from bridge.mapping.asaas_events import EVENTS
from bridge.mapping.cases import SampleUnreadable, read_sample
from bridge.mapping.context import build_context, references
from bridge.mapping.parts import Case, Expected, Sample
from bridge.mapping.values import Unreadable, as_decimal, as_text, typed

_STEP = re.compile(r"\w+")
_ENVELOPE = frozenset({"account", "additionalInfo"})
_OVERRIDES = frozenset({"event", "account", "environment", "today", "fee"})


@dataclass(frozen=True, slots=True)
class Difference:
    """One thing that came out otherwise than expected."""

    what: str
    expected: str
    actual: str
    line: int


@dataclass(frozen=True, slots=True)
class CaseResult:
    """What became of one test."""

    mapping: str
    path: str
    name: str
    line: int
    differences: tuple[Difference, ...] = ()
    problem: str = ""
    """Why the test could not run at all; empty where it ran."""
    payload: AnyMapping[str, transform.Value] = field(default_factory=dict)

    @property
    def passed(self) -> bool:
        """Say whether all came out as expected."""
        return not self.differences and not self.problem


class _CannotRun(Exception):
    """The test can't be run as written."""


@dataclass(frozen=True, slots=True)
class _Outcome:
    payload: AnyMapping[str, transform.Value] = field(default_factory=dict)
    filtered: str = ""
    dead: BridgeError | None = None
    send_to: str = ""

    @property
    def kind(self) -> str:
        if self.filtered:
            return f"filtered: {self.filtered}"
        return f"dead: {self.dead.code} ({self.dead})" if self.dead else "sent"


def run(mapping: Mapping, root: Path) -> list[CaseResult]:
    """Return the result of each test of the mapping, in the order of the file; never raises for what a test says."""
    return [_run(mapping, case, root) for case in mapping.tests]


def _run(mapping: Mapping, case: Case, root: Path) -> CaseResult:
    try:
        outcome = _outcome(mapping, case, _context(case, root))
    except (_CannotRun, SampleUnreadable) as error:
        return CaseResult(mapping.name, mapping.path, case.name, case.line, problem=str(error))
    differences = tuple(_differences(case, outcome))
    return CaseResult(mapping.name, mapping.path, case.name, case.line, differences, payload=outcome.payload)


def _outcome(mapping: Mapping, case: Case, context: dict[str, Any]) -> _Outcome:
    event_name = context["event"]
    if not mapping.listens_to(event_name):
        raise _CannotRun(f"the mapping does not listen to {event_name}, so the test shows nothing")
    try:
        _require(mapping.filter_needs, case, context)
        verdict = filtering.decide(mapping, context)
        if not verdict.passed:
            return _Outcome(filtered=verdict.reason)
        _require(mapping.field_needs, case, context)
        return _Outcome(transform.build(mapping, context), send_to=transform.destination(mapping, event_name))
    except StageError as error:
        return _Outcome(dead=error)


def _require(needs: frozenset[str], case: Case, context: dict[str, Any]) -> None:
    missing = sorted(name for name in needs & references(context).keys() if name not in case.fetched)
    if missing:
        name = missing[0]
        raise _CannotRun(
            f"the mapping reads {name}, which would be fetched from Asaas; give one: with: {{{name}: samples/...}}"
        )


def _context(case: Case, root: Path) -> dict[str, Any]:
    envelope = read_sample(root, case.given.path) if isinstance(case.given, Sample) else case.given
    if not isinstance(envelope, dict) or not isinstance(envelope.get("event"), str):
        raise _CannotRun("given must be an event as Asaas sends it, an object with `event`, got something else")
    key, entity = entity_of(envelope)
    fetched = {
        name: read_sample(root, one.path) if isinstance(one, Sample) else one for name, one in case.fetched.items()
    }
    objects: dict[str, Any] = copy.deepcopy({**fetched, key: entity})
    overrides: dict[str, Any] = {}
    for path, value in case.set.items():
        _set(objects, overrides, path, value)
    own = objects.pop(key)
    context = build_context(
        str(overrides.pop("event", envelope["event"])),
        key,
        own,
        str(overrides.pop("account", "default")),
        str(overrides.pop("environment", "sandbox")),
        objects,
        today=str(overrides.pop("today", "")) or None,
    )
    return {**context, **overrides}


def entity_of(envelope: AnyMapping[str, Any]) -> tuple[str, dict[str, Any]]:
    """Return the key and the object that an event as Asaas sends it is about."""
    known = EVENTS.get(envelope["event"])
    names = [known.entity] if known else []
    for name in [*names, *(name for name in envelope if name not in _ENVELOPE)]:
        value = envelope.get(name)
        if isinstance(value, dict):
            return name, value
    return "payment", {}


def _set(objects: dict[str, Any], overrides: dict[str, Any], path: str, value: Any) -> None:
    steps = _STEP.findall(path)
    if len(steps) == 1 and steps[0] in _OVERRIDES:
        overrides[steps[0]] = value
        return
    holder: Any = objects
    for step in steps[:-1]:
        if isinstance(holder, dict) and not isinstance(holder.get(step), (dict, list)):
            holder[step] = {}
        holder = _inside(holder, step, path)
    if isinstance(holder, list):
        _inside(holder, steps[-1], path)
        holder[int(steps[-1])] = value
    else:
        holder[steps[-1]] = value


def _inside(holder: Any, step: str, path: str) -> Any:
    if isinstance(holder, dict):
        return holder[step]
    if not step.isdigit() or int(step) >= len(holder):
        raise _CannotRun(f"set {path}: the list has {len(holder)} elements and no {step!r}")
    return holder[int(step)]


def _differences(case: Case, outcome: _Outcome) -> list[Difference]:
    wanted = "filtered" if case.filtered else f"dead: {case.dead}" if case.dead else "sent"
    actual = outcome.kind
    matches = {
        "filtered": bool(outcome.filtered),
        "sent": not outcome.filtered and outcome.dead is None,
    }.get(wanted, outcome.dead is not None and outcome.dead.code == case.dead)
    if not matches:
        return [Difference("outcome", wanted, actual, case.line)]
    if wanted != "sent":
        return []
    different = [
        Difference(key, _wanted(expected), _came(outcome.payload.get(key)), expected.line)
        for key, expected in case.expect.items()
        if not _same(expected, outcome.payload.get(key))
    ]
    if case.exactly:
        surplus = [key for key in outcome.payload if key not in case.expect]
        different += [Difference(key, "no such key", _came(outcome.payload[key]), case.line) for key in surplus]
    if case.send_to and case.send_to != outcome.send_to:
        different.append(Difference("send_to", case.send_to, outcome.send_to, case.line))
    return different


def _same(expected: Expected, value: transform.Value | None) -> bool:
    if expected.plain and typed(expected.text) is None:
        return value is None
    if value is None:
        return False
    if isinstance(value, str):
        return value == expected.text
    # A number or a boolean in the payload is never the same as a quoted text.
    if not expected.plain or isinstance(value, bool):
        return expected.plain and as_text(value) == expected.text
    try:
        return as_decimal(expected.text) == as_decimal(value)
    except Unreadable:
        return False


def _wanted(expected: Expected) -> str:
    if expected.plain and typed(expected.text) is None:
        return "no such key"
    return expected.text if expected.plain else repr(expected.text)


def _came(value: transform.Value | None) -> str:
    return "no such key" if value is None else repr(value) if isinstance(value, str) else as_text(value)
