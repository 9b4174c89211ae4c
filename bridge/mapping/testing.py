"""Runs the `tests:` of a mapping with the very functions that the worker uses, and reports what differs.

Nothing is fetched: what a case needs from Asaas stands under its `with`. A case that reads more than that fails and
says so, because at run time the bridge would have fetched it.
"""

from __future__ import annotations

import copy
import re
from collections.abc import Iterable, Iterator
from collections.abc import Mapping as AnyMapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from bridge.errors import BridgeError, StageError
from bridge.mapping import evaluate
from bridge.mapping.cases import SampleUnreadable, read_sample
from bridge.mapping.catalogue import entity_key
from bridge.mapping.context import ENVELOPE, build_context, references
from bridge.mapping.model import Case, Condition, Expected, Group, Mapping, Sample, covers
from bridge.mapping.values import BadValue, as_decimal, as_text, typed

_STEP = re.compile(r"\w+")
_OVERRIDES = frozenset({"event", "account", "environment", "today", "fee"})


class CannotRun(Exception):
    """The test can't be run as written."""


def context_of(case: Case, root: Path) -> dict[str, Any]:
    """Return what expressions see in a test; raise CannotRun or SampleUnreadable."""
    envelope = read_sample(root, case.given.path) if isinstance(case.given, Sample) else case.given
    if not isinstance(envelope, dict) or not isinstance(envelope.get("event"), str):
        raise CannotRun("given must be an event as Asaas sends it, an object with `event`, got something else")
    key = entity_key(envelope) or "payment"
    fetched = {
        name: read_sample(root, one.path) if isinstance(one, Sample) else one for name, one in case.fetched.items()
    }
    objects: dict[str, Any] = copy.deepcopy({**fetched, key: envelope.get(key) or {}, ENVELOPE: envelope})
    overrides: dict[str, Any] = {}
    for path, value in case.set.items():
        _set(objects, overrides, path, value)
    name = str(overrides.pop("event", envelope["event"]))
    envelope = {**objects.pop(ENVELOPE), "event": name, key: objects.pop(key)}
    context = build_context(
        name,
        key,
        envelope,
        str(overrides.pop("account", "default")),
        str(overrides.pop("environment", "sandbox")),
        objects,
        today=str(overrides.pop("today", "")) or None,
    )
    return {**context, **overrides}


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
        raise CannotRun(f"set {path}: the list has {len(holder)} elements and no {step!r}")
    return holder[int(step)]


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
    payload: AnyMapping[str, evaluate.Value] = field(default_factory=dict)
    conditions: tuple[evaluate.ConditionResult, ...] = ()
    """The conditions that were looked at, and what they said."""
    event: str = ""
    """The name of the event where a payload came out."""

    @property
    def passed(self) -> bool:
        """Say whether all came out as expected."""
        return not self.differences and not self.problem


@dataclass(frozen=True, slots=True)
class _Outcome:
    payload: AnyMapping[str, evaluate.Value] = field(default_factory=dict)
    filtered: str = ""
    dead: BridgeError | None = None
    send_to: str = ""
    conditions: tuple[evaluate.ConditionResult, ...] = ()

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
        context = context_of(case, root)
        outcome = _outcome(mapping, case, context)
    except (CannotRun, SampleUnreadable) as error:
        return CaseResult(mapping.name, mapping.path, case.name, case.line, problem=str(error))
    return CaseResult(
        mapping.name,
        mapping.path,
        case.name,
        case.line,
        tuple(_differences(case, outcome)),
        payload=outcome.payload,
        conditions=outcome.conditions,
        event=context["event"] if outcome.kind == "sent" else "",
    )


def _outcome(mapping: Mapping, case: Case, context: dict[str, Any]) -> _Outcome:
    event_name = context["event"]
    if not mapping.listens_to(event_name):
        raise CannotRun(f"the mapping does not listen to {event_name}, so the test shows nothing")
    seen: tuple[evaluate.ConditionResult, ...] = ()
    try:
        _require(mapping.filter_needs, case, context)
        verdict = evaluate.apply_filter(mapping, context)
        seen = verdict.conditions
        if not verdict.passed:
            return _Outcome(filtered=verdict.reason, conditions=seen)
        _require(mapping.field_needs, case, context)
        payload = evaluate.build_payload(mapping, context)
    except StageError as error:
        return _Outcome(dead=error, conditions=seen)
    return _Outcome(payload, send_to=evaluate.destination(mapping, event_name), conditions=seen)


def _require(needs: frozenset[str], case: Case, context: dict[str, Any]) -> None:
    missing = sorted(name for name in needs & references(context).keys() if name not in case.fetched)
    if missing:
        name = missing[0]
        raise CannotRun(
            f"the mapping reads {name}, which would be fetched from Asaas; give one: with: {{{name}: samples/...}}"
        )


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


def _same(expected: Expected, value: evaluate.Value | None) -> bool:
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
    except BadValue:
        return False


def _wanted(expected: Expected) -> str:
    if expected.plain and typed(expected.text) is None:
        return "no such key"
    return expected.text if expected.plain else repr(expected.text)


def _came(value: evaluate.Value | None) -> str:
    return "no such key" if value is None else repr(value) if isinstance(value, str) else as_text(value)


@dataclass(frozen=True, slots=True)
class Part:
    """One thing of a mapping that a test should reach."""

    mapping: str
    path: str
    line: int
    kind: str
    what: str
    reached: bool


def parts_of(mapping: Mapping, results: Iterable[CaseResult]) -> list[Part]:
    """Return every part of the mapping in the order of the file, and whether its tests reached it."""
    told = list(results)
    found = [*_conditions(mapping, told), *_fields(mapping, told), *_routes(mapping, told)]
    return sorted((Part(mapping.name, mapping.path, *one) for one in found), key=lambda part: part.line)


_Found = tuple[int, str, str, bool]


def _conditions(mapping: Mapping, results: list[CaseResult]) -> Iterator[_Found]:
    seen = {(one.line, one.text, one.passed) for result in results for one in result.conditions}
    leaves = list(_leaves(mapping.filter))
    if mapping.installments == "first":
        leaves.insert(0, (1, "installments: first"))
    for line, text in leaves:
        yield line, "condition", f"{text} (holds)", (line, text, True) in seen
        yield line, "condition", f"{text} (says no)", (line, text, False) in seen


def _leaves(condition: Condition | None) -> Iterator[tuple[int, str]]:
    if isinstance(condition, Group):
        for inner in condition.conditions:
            yield from _leaves(inner)
    elif condition is not None:
        yield condition.line, condition.text


def _fields(mapping: Mapping, results: list[CaseResult]) -> Iterator[_Found]:
    sent = {key for result in results for key in result.payload}
    for one in mapping.fields:
        yield one.line, "field", one.key, one.key in sent


def _routes(mapping: Mapping, results: list[CaseResult]) -> Iterator[_Found]:
    left = {result.event for result in results if result.event}
    last = 0
    for route in mapping.routes:
        taken = {name for name in left if covers(route.events, name)}
        yield route.line, "route", f"{', '.join(route.events)} -> {route.send_to}", bool(taken)
        left, last = left - taken, route.line
    if mapping.routes:
        yield last, "route", f"every other event -> {mapping.send_to}", bool(left)
