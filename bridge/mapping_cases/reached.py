"""Says which fields, conditions and routes of a mapping its tests reached, and which none did.

A field is reached where a test sends it, a route where a test's event takes it. A condition has two sides: a test must
have seen it hold and another must have seen it say no.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass

from bridge.mapping import Mapping
from bridge.mapping.parts import Condition, Group, covers
from bridge.mapping_cases.running import CaseResult


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
    for field in mapping.fields:
        yield field.line, "field", field.key, field.key in sent


def _routes(mapping: Mapping, results: list[CaseResult]) -> Iterator[_Found]:
    left = {result.event for result in results if result.event}
    last = 0
    for route in mapping.routes:
        taken = {name for name in left if covers(route.events, name)}
        yield route.line, "route", f"{', '.join(route.events)} -> {route.send_to}", bool(taken)
        left, last = left - taken, route.line
    if mapping.routes:
        yield last, "route", f"every other event -> {mapping.send_to}", bool(left)
