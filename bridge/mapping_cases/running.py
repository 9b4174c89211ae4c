"""Runs the tests of a mapping and says what came out otherwise than expected."""

from __future__ import annotations

from collections.abc import Mapping as AnyMapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from bridge import filtering, transform
from bridge.errors import BridgeError, StageError
from bridge.mapping import Mapping
from bridge.mapping.cases import SampleUnreadable
from bridge.mapping.context import references
from bridge.mapping.parts import Case, Expected
from bridge.mapping.values import Unreadable, as_decimal, as_text, typed
from bridge.mapping_cases.given import CannotRun, context_of


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
    conditions: tuple[filtering.Seen, ...] = ()
    """The conditions that were looked at, and what they said."""
    event: str = ""
    """The name of the event where a payload came out."""

    @property
    def passed(self) -> bool:
        """Say whether all came out as expected."""
        return not self.differences and not self.problem


@dataclass(frozen=True, slots=True)
class _Outcome:
    payload: AnyMapping[str, transform.Value] = field(default_factory=dict)
    filtered: str = ""
    dead: BridgeError | None = None
    send_to: str = ""
    conditions: tuple[filtering.Seen, ...] = ()

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
    seen: tuple[filtering.Seen, ...] = ()
    try:
        _require(mapping.filter_needs, case, context)
        verdict = filtering.decide(mapping, context)
        seen = verdict.conditions
        if not verdict.passed:
            return _Outcome(filtered=verdict.reason, conditions=seen)
        _require(mapping.field_needs, case, context)
        payload = transform.build(mapping, context)
    except StageError as error:
        return _Outcome(dead=error, conditions=seen)
    return _Outcome(payload, send_to=transform.destination(mapping, event_name), conditions=seen)


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
