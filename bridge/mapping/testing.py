"""Runs the `tests:` of a mapping with the functions of the worker, and reports the differences.

Nothing is fetched: a test names the objects of Asaas under `with`, and fails where the mapping reads another one.
"""

from __future__ import annotations

import copy
import re
from collections.abc import Mapping as AnyMapping
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from bridge.errors import StageError
from bridge.mapping import evaluate
from bridge.mapping.cases import CannotRun, read_sample
from bridge.mapping.catalogue import entity_key
from bridge.mapping.context import ENVELOPE, build_context, references
from bridge.mapping.document import Scalar
from bridge.mapping.model import FUNNEL, Case, Mapping, comparisons_of, covers
from bridge.mapping.spec import is_null
from bridge.mapping.values import as_decimal, as_text, or_none
from bridge.messages import N_, Message, verbatim

_STEP = re.compile(r"\w+")
_OVERRIDES = frozenset({"event", "account", "environment", "today", "fee"})


def context_of(case: Case, root: Path) -> dict[str, Any]:
    """Return the context of expressions in a test; raise CannotRun where the test is wrong."""
    envelope = read_sample(root, case.given.text) if isinstance(case.given, Scalar) else case.given
    if not isinstance(envelope, dict) or not isinstance(envelope.get("event"), str):
        raise CannotRun(N_("given must be an event as Asaas sends it, an object with `event`, got something else"))
    key = entity_key(envelope) or "payment"
    fetched = {
        name: read_sample(root, one.text) if isinstance(one, Scalar) else one for name, one in case.fetched.items()
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
        what = N_("set {path}: the list has {count} elements and no {step!r}")
        raise CannotRun(what, path=path, count=len(holder), step=step)
    return holder[int(step)]


@dataclass(frozen=True, slots=True)
class Difference:
    """One key, or the whole outcome, that is not as expected."""

    what: str
    expected: Message
    actual: Message
    line: int


@dataclass(frozen=True, slots=True)
class CaseResult:
    mapping: str
    path: str
    name: str
    line: int
    differences: tuple[Difference, ...] = ()
    problem: Message | None = None
    """Why the test could not run; None where it ran."""
    payload: AnyMapping[str, evaluate.Value] = field(default_factory=dict)
    funnel: AnyMapping[str, evaluate.Value] = field(default_factory=dict)
    """What makes the deal, by `funnel.stage` and so on; empty where the mapping does not speak of deals."""
    conditions: tuple[evaluate.ConditionResult, ...] = ()
    """The conditions that were evaluated."""
    event: str = ""
    """The name of the event that was sent; empty where none was."""
    code: str = ""
    """filtered, or the code of the reason for which nothing was sent; empty where it was sent."""
    send_to: str = ""
    """The destination it was sent to."""

    @property
    def passed(self) -> bool:
        return not self.differences and not self.problem


def run(mapping: Mapping, root: Path) -> list[CaseResult]:
    """Return the result of each test of the mapping, in the order of the file; never raises for what a test says."""
    return [_run(mapping, case, root) for case in mapping.tests]


def _run(mapping: Mapping, case: Case, root: Path) -> CaseResult:
    about = (mapping.name, mapping.path, case.name, case.line)
    payload: dict[str, evaluate.Value] = {}
    funnel: dict[str, evaluate.Value] = {}
    seen: tuple[evaluate.ConditionResult, ...] = ()
    event, code, outcome = "", "", Message(N_("sent"))
    try:
        context = context_of(case, root)
        event = context["event"]
        if not mapping.listens_to(event):
            raise CannotRun(N_("the mapping does not listen to {event}, so the test shows nothing"), event=event)
        _require(mapping.filter_needs, case, context)
        verdict = evaluate.apply_filter(mapping, context)
        seen = verdict.conditions
        if verdict.passed:
            _require(mapping.field_needs, case, context)
            of_deal = mapping.tells_funnel or any(key.startswith(f"{FUNNEL}.") for key in case.expect)
            made = (evaluate.build_deal if of_deal else evaluate.build_payload)(mapping, context)
            payload = evaluate.flat(made)
            funnel = {key: value for key, value in evaluate.spread(made).items() if key not in payload}
        else:
            code, outcome = "filtered", Message(N_("filtered: {reason}"), {"reason": verdict.message})
    except CannotRun as error:
        return CaseResult(*about, problem=error.message)
    except StageError as error:
        code = error.code
        outcome = Message(N_("dead: {code} ({reason})"), {"code": code, "reason": error.message()})
    wanted = "filtered" if case.filtered else case.dead
    if wanted != code:
        words = Message(N_("dead: {code}"), {"code": wanted}) if wanted else Message(N_("sent"))
        words = Message(N_("filtered")) if case.filtered else words
        differences = [Difference("outcome", words, outcome, case.line)]
    else:
        differences = [] if code else _differences(case, payload, funnel, mapping.destination(event))
    event = "" if code else event
    send_to = mapping.destination(event) if event else ""
    return CaseResult(*about, tuple(differences), None, payload, funnel, seen, event, code, send_to)


def _require(needs: frozenset[str], case: Case, context: dict[str, Any]) -> None:
    missing = sorted(name for name in needs & references(context).keys() if name not in case.fetched)
    if missing:
        what = N_(
            "the mapping reads {name}, which would be fetched from Asaas; give one: with: {{{name}: samples/...}}"
        )
        raise CannotRun(what, name=missing[0])


def _differences(
    case: Case,
    payload: AnyMapping[str, evaluate.Value],
    funnel: AnyMapping[str, evaluate.Value],
    send_to: str,
) -> list[Difference]:
    made = {**payload, **funnel}
    different = [
        Difference(key, _wanted(expected), _shown(made.get(key)), expected.line)
        for key, expected in case.expect.items()
        if not _same(expected, made.get(key))
    ]
    if case.exactly:
        surplus = [key for key in payload if key not in case.expect]
        different += [Difference(key, _NO_KEY, _shown(payload[key]), case.line) for key in surplus]
    if case.send_to and case.send_to != send_to:
        different.append(Difference("send_to", verbatim(case.send_to), verbatim(send_to), case.line))
    return different


_NO_KEY = Message(N_("no such key"))


def _same(expected: Scalar, value: evaluate.Value | None) -> bool:
    if is_null(expected):
        return value is None
    if value is None:
        return False
    if isinstance(value, str):
        return value == expected.text
    # A number or a boolean in the payload is never the same as a quoted text.
    if not expected.plain or isinstance(value, bool):
        return expected.plain and as_text(value) == expected.text
    return or_none(as_decimal, expected.text) == as_decimal(value)


def _wanted(expected: Scalar) -> Message:
    if is_null(expected):
        return _NO_KEY
    return verbatim(expected.text if expected.plain else repr(expected.text))


def _shown(value: evaluate.Value | None) -> Message:
    return _NO_KEY if value is None else verbatim(repr(value) if isinstance(value, str) else as_text(value))


@dataclass(frozen=True, slots=True)
class Part:
    """A field, a side of a condition or a route, which a test should reach."""

    mapping: str
    path: str
    line: int
    kind: str
    """condition, field or route."""
    what: Message
    reached: bool


def parts_of(mapping: Mapping, results: Sequence[CaseResult]) -> list[Part]:
    """Return every part of the mapping in the order of the file, and whether its tests reached it."""
    found: list[tuple[int, str, Message, bool]] = []
    seen = {(one.line, one.text, one.passed) for result in results for one in result.conditions}
    leaves = [(1, "installments: first")] if mapping.installments == "first" else []
    leaves += [(one.line, one.text) for one in comparisons_of(mapping.filter)]
    for line, text in leaves:
        for side, what in ((True, N_("{condition} (holds)")), (False, N_("{condition} (does not hold)"))):
            found.append((line, "condition", Message(what, {"condition": text}), (line, text, side) in seen))
    sent = {key for result in results for key in (*result.payload, *result.funnel)}
    fields = (*mapping.fields, *mapping.funnel.fields)
    found += [(one.line, "field", verbatim(one.key), one.key in sent) for one in fields]
    left = {result.event for result in results if result.event}
    for route in mapping.routes:
        taken = {name for name in left if covers(route.events, name)}
        way = verbatim(f"{', '.join(route.events)} -> {route.send_to}")
        found.append((route.line, "route", way, bool(taken)))
        left -= taken
    if mapping.routes:
        rest = Message(N_("every other event -> {destination}"), {"destination": mapping.send_to})
        found.append((mapping.routes[-1].line, "route", rest, bool(left)))
    return sorted((Part(mapping.name, mapping.path, *one) for one in found), key=lambda part: part.line)
