"""Findings that need the whole mapping: what contradicts itself, can't be reached, or names what nobody has set up."""

from __future__ import annotations

import json
import re
from collections import abc
from collections.abc import Iterable, Iterator
from functools import cache
from importlib.resources import files
from pathlib import Path, PurePath
from typing import Any

from bridge.mapping.advice import invisible, synonym
from bridge.mapping.cases import SampleUnreadable, read_sample
from bridge.mapping.catalogue import ENTITY_OF_FAMILY, EVENTS, spellings
from bridge.mapping.context import DERIVED, ENVELOPE
from bridge.mapping.document import MappingNode, Node, Scalar, Sequence
from bridge.mapping.expressions import ANY, ELEMENT, Expression, FieldPath
from bridge.mapping.findings import Findings, Position, did_you_mean, shown
from bridge.mapping.model import (
    FETCHABLE,
    Case,
    Comparison,
    Condition,
    ExpressionCondition,
    Field,
    Group,
    Mapping,
    Route,
    Sample,
    Template,
    all_names,
    covers,
)
from bridge.mapping.values import typed

PLAIN_NAMES = ("event", "account", "environment", "fee", "today", *DERIVED)
"""What an expression sees beside objects: each is one value."""
_KINDS = {
    **dict.fromkeys(("event", "account", "environment", "installment_position"), "text"),
    **dict.fromkeys(("fee", *DERIVED.keys() - {"installment_position"}), "number"),
    "today": "date",
}


@cache
def known_fields() -> abc.Mapping[str, Any]:
    """Return the fields by object: a name leads to None, or to the fields of an object or of a list's elements."""
    text = files("bridge.mapping").joinpath("data/asaas_fields.json").read_text(encoding="utf-8")
    fields: dict[str, Any] = json.loads(text)
    return fields


@cache
def _known_values() -> dict[str, Any]:
    text = files("bridge.mapping").joinpath("data/asaas_values.json").read_text(encoding="utf-8")
    known: dict[str, Any] = json.loads(text)
    return known


def documented_values() -> abc.Mapping[str, list[str]]:
    """Return the values that Asaas documents, by the path of their field."""
    values: dict[str, list[str]] = _known_values()["values"]
    return values


def kind_of_path(path: FieldPath) -> str | None:
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


def values_of_path(path: FieldPath) -> tuple[str, ...]:
    """Return the values that Asaas documents for a path; empty where it documents none."""
    if path in {("event",), (ENVELOPE, "event")}:
        return tuple(EVENTS)
    return tuple(documented_values().get(".".join(step for step in _own(path) if step != ELEMENT), ()))


def _own(path: FieldPath) -> FieldPath:
    """Return a path with the bridge's name of its object, which the envelope holds too."""
    if path[:1] == (ENVELOPE,) and len(path) > 1 and spellings(path[1])[0] in ENTITY_OF_FAMILY.values():
        path = path[1:]
    return (spellings(path[0])[0], *path[1:]) if path else path


def entities_of(events: tuple[str, ...]) -> frozenset[str] | None:
    """Return the keys of the objects that the events (or families) of a mapping carry, or None where one is new."""
    if any(not any(covers((event,), known) for known in EVENTS) for event in events):
        return None
    return frozenset(known.entity for known in EVENTS.values() if covers(events, known.name))


def doubt(path: FieldPath, entities: frozenset[str] | None, *, alone: bool = True) -> tuple[str, str] | None:
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
        as_text = f"; for a fixed text write {f'{{text: {root}}}' if alone else repr(root)}"
        meant = did_you_mean(root, names)
        return "path.unknown_name", (
            f"{root!r} is nothing an expression sees{meant}{'' if synonym(root, names) else as_text}"
        )
    if root not in {*FETCHABLE, ENVELOPE} and entities and root not in entities:
        return "path.not_in_event", (
            f"{root} is not in these events, which carry {' or '.join(sorted(entities))}; it will always be missing"
        )
    return _doubt_in_object(path)


def _doubt_in_object(path: FieldPath) -> tuple[str, str] | None:
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


def _into_a_value(path: FieldPath, index: int) -> tuple[str, str] | None:
    rest = [step for step in path[index:] if step != ELEMENT]
    if not rest:
        return None
    name = path[index - 1]
    hint = f"; write {name}.{rest[0]}, which is fetched from Asaas" if name in FETCHABLE else ""
    if index == 1 and known_fields()[ENVELOPE].get(name):
        hint = f"; write {_written((ENVELOPE, *path))}"
    return "path.into_value", f"{_written(path[:index])} is one value and has no {rest[0]!r}{hint}"


def _written(path: FieldPath) -> str:
    return ".".join(path).replace(f".{ELEMENT}", ELEMENT)


EVENT_FORM = re.compile(r"[A-Z][A-Z0-9]*(_[A-Z0-9]+)*(_\*)?")
"""An event or a family by its form."""
_IN_CURLY_QUOTES = re.compile("[\u201c\u201d].*[\u201c\u201d]|[\u2018\u2019].*[\u2018\u2019]", re.DOTALL)
# What YAML 1.1 (PyYAML, Ruby, many editors) reads otherwise than it looks.
_TRAPS: tuple[tuple[re.Pattern[str], str], ...] = (
    (re.compile(r"[-+]?0[0-9_]+"), "a number without its zero"),
    (re.compile(r"yes|Yes|YES|no|No|NO|on|On|ON|off|Off|OFF"), "true or false"),
    (re.compile(r"[-+]?[0-9][0-9_]*(:[0-5]?[0-9])+"), "a number of seconds"),
    (re.compile(r"0[xob][0-9a-fA-F_]+|[0-9]+_[0-9_]+"), "another number"),
)


def check_events(events: Iterable[Scalar], findings: Findings) -> tuple[str, ...]:
    """Return the events and families that may come; say which are not known, and which stand there twice."""
    good: list[str] = []
    for scalar in events:
        name = scalar.text
        is_family = name.endswith("_*")
        if name not in EVENTS and not (is_family and any(covers((name,), event) for event in EVENTS)):
            families = {f"{event.family}_*" for event in EVENTS.values()} if "*" in name else set()
            hint = did_you_mean(name, families or EVENTS)
            words = re.findall(r"[^\s,;]+", name)
            if name == "*":
                hint = "; name each family, such as PAYMENT_*"
            elif re.match(r"(?i)(customer|cliente)", name):
                hint = "; Asaas sends none about customers, so listen to PAYMENT_CREATED"
            elif len(words) > 1 and EVENTS.keys() >= set(words):
                hint = f"; write a list: [{', '.join(words)}]"
            if not EVENT_FORM.fullmatch(name):
                findings.error(scalar, "events.unknown", f"Asaas has no event {shown(name)}{hint}")
                continue
            good += [] if name in good else [name]
            new = "name each new event, so that register subscribes to it" if is_family else "a new one works as it is"
            findings.warning(scalar, "events.unknown", f"the bridge knows no event {shown(name)} ({new}){hint}")
        elif covers(good, name.removesuffix("*")) or name in good:
            findings.warning(scalar, "events.repeated", f"{name} is named already, alone or by its family; delete it")
        else:
            good.append(name)
    return tuple(good)


def check_place(
    scalar: Scalar | None,
    block: Node,
    value: str,
    known: frozenset[str] | None,
    what: str,
    findings: Findings,
    *,
    harms: bool,
) -> None:
    """Say that an account or destination is not set up: an error, or a note where it does no harm."""
    if known is None or value in known:
        return
    variable = {"account": "ASAAS_WEBHOOK_TOKEN", "destination": "CLINT_WEBHOOK_URL"}[what]
    usable = value.replace("-", "_")  # no setting's name has a hyphen
    suffix = "" if value == "default" else f"_{usable.upper()}"
    first = "" if usable == value else f"write {usable}, since no setting's name has a hyphen, and "
    message = f"{what} {shown(value)} is not set up; {first}set {variable}{suffix}{did_you_mean(value, known)}"
    if harms:
        findings.error(scalar or block, f"{what}.unset", message)
    else:
        findings.note(scalar or block, f"{what}.unset", message)


def check_fields(fields: Iterable[Field], contact: Node, findings: Findings, *, whole: bool) -> None:
    """Say which key two groups share, and that no field identifies the contact."""
    first: dict[str, Field] = {}
    for field in fields:
        before = first.setdefault(field.key, field)
        if before is not field:
            findings.error(
                field,
                "field.in_two_groups",
                f"key {shown(field.key)} is in {before.group} on line {before.line} and in {field.group} too; "
                "the payload is flat, so rename one",
            )
    if whole and not any(field.identifies for field in first.values()):
        findings.error(
            contact,
            "contact.unidentified",
            "contact has neither an e-mail nor a phone, so Clint could match nobody; add email: customer.email, "
            "or is: email to the key that holds it",
        )


def check_routes(routes: Iterable[Route], events: tuple[str, ...], findings: Findings) -> None:
    """Say which route no event of the mapping ever takes."""
    routes = list(routes)
    # A family stands for itself too: its next event may come.
    names = {*all_names(events, *(route.events for route in routes)), *events}
    left = {name for name in names if covers(events, name)}
    for route in routes:
        taken = {name for name in left if covers(route.events, name)}
        if events and not taken:
            heard = any(covers(events, name) and covers(route.events, name) for name in names)
            why = "an earlier route takes its events" if heard else "the mapping does not listen to its events"
            findings.error(route, "route.unreachable", f"no event takes this route: {why}; delete it or change one")
        left -= taken


def check_paths(expressions: Iterable[Expression], events: tuple[str, ...], findings: Findings) -> None:
    """Warn of paths that give nothing in these events as far as anybody knows."""
    entities = entities_of(events)
    for expression in expressions:
        for path in sorted(path for path in expression.paths if path):
            doubtful = doubt(path, entities, alone=expression.text.strip() == ".".join(path))
            if not doubtful:
                continue
            word = next((step for step in path if step in expression.double_quoted), None)
            if word is not None and doubtful[0] in {"path.unknown", "path.unknown_name"}:
                message = f"double quotes name a field, and no field is named \"{word}\"; for the text write '{word}'"
                findings.nonsense(expression, "expression.double_quotes", message)
            else:
                findings.warning(expression, *doubtful)


def check_cases(cases: Iterable[Case], keys: frozenset[str], root: Path | None, findings: Findings) -> None:
    """Warn of samples that can't be read and of expected keys that no field makes."""
    for case in cases:
        for sample in (case.given, *case.fetched.values()):
            if isinstance(sample, Sample) and root is not None:
                try:
                    read_sample(root, sample.path)
                except SampleUnreadable as error:
                    findings.warning(sample, "tests.sample", f"{error}; paths are relative to the mappings' directory")
        for key, expected in case.expect.items():
            if key not in keys and not (expected.plain and typed(expected.text) is None):
                findings.warning(
                    expected, "tests.unknown_key", f"no field makes the key {shown(key)}{did_you_mean(key, keys)}"
                )


def check_overlap(mapping: Mapping, others: Iterable[Mapping], findings: Findings) -> None:
    """Warn of the mappings that send the same event to the same destination; a note where filters may divide it."""
    certain: dict[str, list[tuple[str, str]]] = {}
    possible: dict[str, list[tuple[str, str]]] = {}
    for other in others:
        both = [
            (name, mapping.destination(name))
            for name in all_names(mapping.events, other.events)
            if mapping.listens_to(name)
            and other.listens_to(name)
            and mapping.destination(name) == other.destination(name)
        ]
        if mapping.account != other.account or mapping.name == other.name or not both:
            continue
        divided = mapping.filter and other.filter and _said(mapping.filter) != _said(other.filter)
        (possible if divided else certain)[PurePath(other.path).name] = both
    if certain:
        advice = ", so Clint gets it twice; take it out of one, or divide them by a filter"
        findings.warning(Position(1, 1), "mapping.overlap", f"{_sent_twice(mapping, certain)}{advice}")
    if possible:
        advice = "; what passes both filters reaches Clint twice"
        findings.note(Position(1, 1), "mapping.overlap", f"{_sent_twice(mapping, possible)}{advice}")


_MOST_NAMED = 5
"""Other files that one finding names."""


def _sent_twice(mapping: Mapping, others: abc.Mapping[str, list[tuple[str, str]]]) -> str:
    sent = list(dict.fromkeys(pair for both in others.values() for pair in both))
    names = [*list(others)[:_MOST_NAMED], *([f"{len(others) - _MOST_NAMED} more"] if len(others) > _MOST_NAMED else [])]
    who = " and ".join([", ".join(names[:-1]), names[-1]] if len(names) > 1 else names)
    event, where = sent[0]
    more = f", and so with {len(sent) - 1} more" if len(sent) > 1 else ""
    me, verb = PurePath(mapping.path).name, "sends" if len(others) == 1 else "send"
    if all((event, where) in both for both in others.values()):
        return f"{who} {verb} {event} to {where} too, as {me} does{more}"
    return f"{who} send some of what {me} sends, such as {event} to {where}{more}"


def _said(condition: Condition) -> tuple[Any, ...]:
    """Return what a filter says, wherever it stands in its file."""
    return (condition.text, *map(_said, condition.conditions)) if isinstance(condition, Group) else (condition.text,)


def check_traps(root: Node | None, findings: Findings) -> None:
    """Warn of unquoted texts that other readers of YAML take for something else, and of invisible characters."""
    for scalar in _scalars(root):
        if what := invisible(scalar.text):
            findings.warning(scalar, "yaml.invisible", f"{shown(scalar.text)} holds {what}; delete it or write a space")
        if _IN_CURLY_QUOTES.fullmatch(scalar.text) and not findings.speaks_of(scalar):
            message = f"curly quotes are a part of {shown(scalar.text)}; write straight quotes, or none"
            findings.warning(scalar, "yaml.quotes", message)
        if re.match(r"[\d{]", scalar.comment) and not findings.speaks_of(scalar):
            message = f"` #` begins a comment, so only {shown(scalar.text)} is read; put the text in quotes"
            findings.warning(scalar, "yaml.comment", message)
        for pattern, meaning in _TRAPS:
            if scalar.plain and pattern.fullmatch(scalar.text) and not findings.speaks_of(scalar):
                findings.warning(
                    scalar,
                    "yaml.ambiguous",
                    f"{scalar.text} without quotes is {meaning} to other readers of YAML; write '{scalar.text}'",
                )
                break


def _scalars(root: Node | None) -> Iterator[Scalar]:
    stack = [root]
    while stack:
        node = stack.pop()
        if isinstance(node, Scalar):
            yield node
        elif isinstance(node, Sequence):
            stack.extend(node.items)
        elif isinstance(node, MappingNode):
            stack.extend(part for pair in node.pairs for part in pair)


def comparisons_of(condition: Condition | None) -> Iterator[Comparison | ExpressionCondition]:
    """Return every condition of a filter that is no group."""
    if isinstance(condition, Group):
        for inner in condition.conditions:
            yield from comparisons_of(inner)
    elif condition is not None:
        yield condition


def expressions_of_condition(condition: Condition | None) -> Iterator[Expression]:
    """Return every expression of a filter."""
    for one in comparisons_of(condition):
        yield one.field if isinstance(one, Comparison) else one.expression


def expressions_of_fields(fields: Iterable[Field]) -> Iterator[Expression]:
    """Return every expression of the payload's fields."""
    for field in fields:
        if isinstance(field.source, Expression):
            yield field.source
        elif isinstance(field.source, Template):
            yield from (piece for piece in field.source.pieces if isinstance(piece, Expression))
