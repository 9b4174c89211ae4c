"""Findings that need the whole mapping: contradictions, unreachable parts, unknown paths and missing settings."""

from __future__ import annotations

import re
from collections import abc
from collections.abc import Iterable, Iterator
from pathlib import Path, PurePath
from typing import Any

from bridge.mapping.advice import invisible, synonym
from bridge.mapping.cases import CannotRun, read_sample
from bridge.mapping.catalogue import ENTITY_OF_FAMILY, EVENTS, read_data, spellings
from bridge.mapping.context import DERIVED, ENVELOPE
from bridge.mapping.document import MappingNode, Node, Scalar, Sequence
from bridge.mapping.expressions import ANY, ELEMENT, Expression, FieldPath
from bridge.mapping.findings import Findings, Position, did_you_mean, shown
from bridge.mapping.model import FETCHABLE, FUNNEL, Case, Field, Mapping, Route, all_names, covers, walk
from bridge.mapping.spec import is_null
from bridge.mapping.values import Text, either
from bridge.messages import N_, Message
from bridge.settings import variable

PLAIN_NAMES = ("event", "account", "environment", "fee", "today", *DERIVED)
"""The names of an expression that are one value each, beside those of objects."""
_KINDS = {
    **dict.fromkeys(("event", "account", "environment", "installment_position"), "text"),
    **dict.fromkeys(("fee", *DERIVED.keys() - {"installment_position"}), "number"),
    "today": "date",
}


FIELDS: abc.Mapping[str, Any] = read_data("asaas_fields")
"""The fields by object: a name leads to None, or to the fields of an object or of a list's elements."""
VALUES: abc.Mapping[str, list[str]] = read_data("asaas_values")["values"]
"""The values that Asaas documents, by path."""
_FIELDS_OF_KIND: abc.Mapping[str, list[str]] = read_data("asaas_values")["kinds"]


def kind_of_path(path: FieldPath) -> str | None:
    """Return whether a path leads to a number, a date, a boolean or a text, or None where that is not known."""
    steps = [step for step in _own(path) if step != ELEMENT]
    if len(steps) == 1:
        return _KINDS.get(steps[0])
    fields: Any = FIELDS
    for step in steps:
        if not isinstance(fields, dict) or step not in fields:
            return None
        fields = fields[step]
    return next((kind for kind, names in _FIELDS_OF_KIND.items() if fields is None and steps[-1] in names), None)


def values_of_path(path: FieldPath) -> tuple[str, ...]:
    """Return the values that Asaas documents for a path; empty where it documents none."""
    if path in {("event",), (ENVELOPE, "event")}:
        return tuple(EVENTS)
    return tuple(VALUES.get(".".join(step for step in _own(path) if step != ELEMENT), ()))


def _own(path: FieldPath) -> FieldPath:
    if path[:1] == (ENVELOPE,) and len(path) > 1 and spellings(path[1])[0] in ENTITY_OF_FAMILY.values():
        path = path[1:]
    return (spellings(path[0])[0], *path[1:]) if path else path


def entities_of(events: tuple[str, ...]) -> frozenset[str] | None:
    """Return the keys of the objects that the events (or families) of a mapping carry, or None where one is new."""
    known = [event for event in EVENTS.values() if covers(events, event.name)]
    new = any(not any(covers((name,), event.name) for event in known) for name in events)
    return None if new else frozenset(event.entity for event in known)


def doubt(path: FieldPath, entities: frozenset[str] | None, *, alone: bool = True) -> tuple[str, Message] | None:
    """Return a code and a message about a path that gives nothing in these events, or None where it may give a value.

    `alone` says that the expression is this path and nothing else.
    """
    path = _own(path)
    root = path[0]
    facts: dict[str, Any] = {"name": repr(root)}
    if root in PLAIN_NAMES:
        return _into_a_value(path, 1) if len(path) > 1 else None
    names = {*PLAIN_NAMES, *FETCHABLE, *ENTITY_OF_FAMILY.values(), *FIELDS}
    if root not in names:
        if root in FIELDS[ENVELOPE]:
            own = [f"{one}.{root}" for one in sorted(entities or ()) if root in FIELDS.get(one, ())]
            facts["right"] = either([_written((ENVELOPE, *path)), *own[:1]])
            what = N_("{name} is in the envelope; write {right}")
        elif entities is None and len(path) > 1:
            what = N_("{name} is no object that the bridge knows; it is there if the event carries it")
        else:
            what = N_("{name} is nothing an expression sees{hint}; for a fixed text write {text}")
            what = N_("{name} is nothing an expression sees{hint}") if synonym(root, names) else what
            facts |= {"hint": did_you_mean(root, names), "text": f"{{text: {root}}}" if alone else repr(root)}
        return "path.unknown_name", Message(what, facts)
    if root not in {*FETCHABLE, ENVELOPE} and entities and root not in entities:
        what = N_("{object} is not in these events, which carry {entities}; it will always be missing")
        return "path.not_in_event", Message(what, {"object": root, "entities": either(sorted(entities))})
    fields = FIELDS.get(root)
    for index, step in enumerate(path[1:], 1):
        if not fields or step == ANY:
            return None
        if step == ELEMENT:
            continue
        if step not in fields:
            what = N_("no {object} of Asaas is known to have {field}{hint}")
            facts = {"object": _written(path[:index]), "field": repr(step), "hint": did_you_mean(step, fields)}
            return "path.unknown", Message(what, facts)
        fields = fields[step]
        if fields is None:
            return _into_a_value(path, index + 1)
    return None


def _into_a_value(path: FieldPath, index: int) -> tuple[str, Message] | None:
    rest = [step for step in path[index:] if step != ELEMENT]
    if not rest:
        return None
    name = path[index - 1]
    what, right = N_("{value} is one value and has no {field}"), ""
    if index == 1 and FIELDS[ENVELOPE].get(name):
        what, right = N_("{value} is one value and has no {field}; write {right}"), _written((ENVELOPE, *path))
    elif name in FETCHABLE:
        what = N_("{value} is one value and has no {field}; write {right}, which is fetched from Asaas")
        right = f"{name}.{rest[0]}"
    facts = {"value": _written(path[:index]), "field": repr(rest[0]), "right": right}
    return "path.into_value", Message(what, facts)


def _written(path: FieldPath) -> str:
    return ".".join(path).replace(f".{ELEMENT}", ELEMENT)


EVENT_FORM = re.compile(r"[A-Z][A-Z0-9]*(_[A-Z0-9]+)*(_\*)?")
"""The form of an event or family."""
_IN_CURLY_QUOTES = re.compile("[\u201c\u201d].*[\u201c\u201d]|[\u2018\u2019].*[\u2018\u2019]", re.DOTALL)
# YAML 1.1 (PyYAML, Ruby, many editors) reads these otherwise than they look.
_TRAPS: tuple[tuple[re.Pattern[str], str], ...] = (
    (re.compile(r"[-+]?0[0-9_]+"), N_("a number without its zero")),
    (re.compile(r"yes|Yes|YES|no|No|NO|on|On|ON|off|Off|OFF"), N_("true or false")),
    (re.compile(r"[-+]?[0-9][0-9_]*(:[0-5]?[0-9])+"), N_("a number of seconds")),
    (re.compile(r"0[xob][0-9a-fA-F_]+|[0-9]+_[0-9_]+"), N_("another number")),
)


def check_events(events: Iterable[Scalar], findings: Findings) -> tuple[str, ...]:
    """Return the events and families that may come; names that are unknown or repeated are findings."""
    good: list[str] = []
    for scalar in events:
        name = scalar.text
        is_family = name.endswith("_*")
        if name not in EVENTS and not (is_family and any(covers((name,), event) for event in EVENTS)):
            facts = {"event": shown(name), "hint": _event_hint(name)}
            if not EVENT_FORM.fullmatch(name):
                findings.error(scalar, "events.unknown", N_("Asaas has no event {event}{hint}"), **facts)
                continue
            good += [] if name in good else [name]
            what = N_("the bridge knows no event {event} (a new one works as it is){hint}")
            if is_family:
                what = N_(
                    "the bridge knows no event {event} (name each new event, so that register subscribes to it){hint}"
                )
            findings.warning(scalar, "events.unknown", what, **facts)
        elif covers(good, name.removesuffix("*")) or name in good:
            what = N_("{event} is named already, alone or by its family; delete it")
            findings.warning(scalar, "events.repeated", what, event=name)
        else:
            good.append(name)
    return tuple(good)


def _event_hint(name: str) -> Text:
    words = re.findall(r"[^\s,;]+", name)
    if name == "*":
        return Message(N_("; name each family, such as PAYMENT_*"))
    if re.match(r"(?i)(customer|cliente)", name):
        return Message(N_("; Asaas sends none about customers, so listen to PAYMENT_CREATED"))
    if len(words) > 1 and EVENTS.keys() >= set(words):
        return Message(N_("; write a list: [{words}]"), {"words": ", ".join(words)})
    families = {f"{event.family}_*" for event in EVENTS.values()} if "*" in name else set()
    return did_you_mean(name, families or EVENTS)


_UNSET = {
    "account": (
        "ASAAS_WEBHOOK_TOKEN",
        N_("account {name} is not set up; set {setting}{hint}"),
        N_(
            "account {name} is not set up; write {usable}, since a setting's name has no hyphen, "
            "and set {setting}{hint}"
        ),
    ),
    "destination": (
        "CLINT_WEBHOOK_URL",
        N_("destination {name} is not set up; set {setting}{hint}"),
        N_(
            "destination {name} is not set up; write {usable}, since a setting's name has no hyphen, "
            "and set {setting}{hint}"
        ),
    ),
}


def check_set_up(
    kind: str,
    place: Node,
    value: str,
    known: frozenset[str] | None,
    findings: Findings,
    *,
    harms: bool,
    by_api: bool = False,
) -> None:
    """Report an account or destination that is not set up: an error, or a note where it does no harm.

    `by_api` says that the destination is meant to be an origin of Clint.
    """
    if known is None or value in known:
        return
    setting, what, with_hyphen = _UNSET[kind]
    setting = "CLINT_ORIGIN" if by_api else setting
    usable = value.replace("-", "_")
    facts = {"name": shown(value), "setting": variable(setting, value), "hint": did_you_mean(value, known)}
    report = findings.error if harms else findings.note
    report(place, f"{kind}.unset", what if usable == value else with_hyphen, usable=usable, **facts)


def check_fields(fields: Iterable[Field], contact: Node, findings: Findings, *, whole: bool) -> None:
    """Report a key that two groups share, and that no field identifies the contact."""
    first: dict[str, Field] = {}
    for field in fields:
        if field.key == FUNNEL:
            what = N_("a field can't be called {key}: deals by the API use that name; rename the field")
            findings.error(field, "field.reserved", what, key=FUNNEL)
        before = first.setdefault(field.key, field)
        if before is not field:
            what = N_("key {key} is in {before} on line {line} and in {group} too; the payload is flat, so rename one")
            facts = {"before": before.group, "line": before.line, "group": field.group}
            findings.error(field, "field.in_two_groups", what, key=shown(field.key), **facts)
    if whole and not any(field.identifies for field in first.values()):
        what = N_(
            "contact has neither an e-mail nor a phone, so Clint could match nobody; add email: customer.email, "
            "or is: email to the key that holds it"
        )
        findings.error(contact, "contact.unidentified", what)


def check_routes(routes: Iterable[Route], events: tuple[str, ...], findings: Findings) -> None:
    routes = list(routes)
    # A family stands for itself too: Asaas may add an event to it.
    names = {*all_names(events, *(route.events for route in routes)), *events}
    left = {name for name in names if covers(events, name)}
    for route in routes:
        taken = {name for name in left if covers(route.events, name)}
        if events and not taken:
            heard = any(covers(events, name) and covers(route.events, name) for name in names)
            what = N_("no event takes this route: the mapping does not listen to its events; delete it or change one")
            if heard:
                what = N_("no event takes this route: an earlier route takes its events; delete it or change one")
            findings.error(route, "route.unreachable", what)
        left -= taken


def check_paths(expressions: Iterable[Expression], events: tuple[str, ...], findings: Findings) -> None:
    """Warn of paths that give nothing in these events as far as Asaas documents them."""
    entities = entities_of(events)
    for expression in expressions:
        for path in sorted(path for path in expression.paths if path):
            doubtful = doubt(path, entities, alone=expression.text.strip() == ".".join(path))
            if not doubtful:
                continue
            word = next((step for step in path if step in expression.double_quoted), None)
            if word is not None and doubtful[0] in {"path.unknown", "path.unknown_name"}:
                what = N_("double quotes name a field, and no field is named \"{word}\"; for the text write '{word}'")
                findings.nonsense(expression, "expression.double_quotes", what, word=word)
            else:
                findings.warning(expression, *doubtful)


def check_cases(cases: Iterable[Case], keys: frozenset[str], root: Path | None, findings: Findings) -> None:
    """Warn of samples that can't be read and of expected keys that no field makes."""
    for case in cases:
        for sample in (case.given, *case.fetched.values()):
            if isinstance(sample, Scalar) and root is not None:
                try:
                    read_sample(root, sample.text)
                except CannotRun as error:
                    what = N_("{problem}; paths are relative to the mappings' directory")
                    findings.warning(sample, "tests.sample", what, problem=error.message)
        for key, expected in case.expect.items():
            if key not in keys and not is_null(expected):
                what, hint = N_("no field makes the key {key}{hint}"), did_you_mean(key, keys)
                findings.warning(expected, "tests.unknown_key", what, key=shown(key), hint=hint)


def shared_events(one: Mapping, other: Mapping) -> list[str]:
    """Return the events that both mappings take; none for mappings of two accounts, and for one and itself."""
    if one.account != other.account or one.name == other.name:
        return []
    heard = [name for name in all_names(one.events, other.events) if one.listens_to(name)]
    return [name for name in heard if other.listens_to(name)]


def may_divide(one: Mapping, other: Mapping) -> bool:
    """Return whether both have filters, and different ones, so that an event may pass only one of them."""
    filters = [[(part.text, depth) for part, depth in walk(each.filter)] for each in (one, other)]
    return all(filters) and filters[0] != filters[1]


_OVERLAPS = {
    (False, True): N_("{overlap}, so Clint gets it twice; take it out of one, or divide them by a filter"),
    (False, False): N_("{overlap}; an event that passes both filters reaches Clint twice"),
    (True, True): N_(
        "{overlap}, so both write its deal, or two deals where their one_deal_per differs; take it out of one, or "
        "divide them by a filter"
    ),
    (True, False): N_(
        "{overlap}; where an event passes both filters, both write its deal, or two deals where their one_deal_per "
        "differs"
    ),
}
"""What two mappings do to the same destination, by whether it is by Clint's API and whether it is certain."""


def check_overlap(
    mapping: Mapping, others: Iterable[Mapping], findings: Findings, api: abc.Collection[str] = ()
) -> None:
    """Warn of the mappings that send the same event to the same destination; a note where filters may divide it.

    `api` names the destinations by Clint's API.
    """
    found: dict[tuple[bool, bool], dict[str, list[tuple[str, str]]]] = {kind: {} for kind in _OVERLAPS}
    for other in others:
        is_certain = not may_divide(mapping, other)
        for event in shared_events(mapping, other):
            destination = mapping.destination(event)
            if other.destination(event) == destination:
                of_kind = found[destination in api, is_certain]
                of_kind.setdefault(PurePath(other.path).name, []).append((event, destination))
    for kind, sent in found.items():
        if sent:
            report = findings.warning if kind[1] else findings.note
            report(Position(1, 1), "mapping.overlap", _OVERLAPS[kind], overlap=_sent_twice(mapping, sent))


_MOST_NAMED = 5
"""Other files that one finding names."""


def _sent_twice(mapping: Mapping, others: abc.Mapping[str, list[tuple[str, str]]]) -> Message:
    sent = list(dict.fromkeys(pair for both in others.values() for pair in both))
    names: Text = ", ".join(list(others)[:_MOST_NAMED])
    if len(others) > _MOST_NAMED:
        names = Message(N_("{names} and {count} more"), {"names": names, "count": len(others) - _MOST_NAMED})
    event, destination = sent[0]
    what = N_("{mapping} and {others} send some of the same events, such as {event} to {destination}")
    if all(sent[0] in both for both in others.values()):
        what = N_("{mapping} and {others} send {event} to {destination}")
        if len(sent) > 1:
            what = N_("{mapping} and {others} send {event} and other events ({count}) to {destination}")
    facts = {"mapping": PurePath(mapping.path).name, "others": names, "event": event, "destination": destination}
    return Message(what, {**facts, "count": len(sent) - 1})


def check_traps(root: Node | None, findings: Findings) -> None:
    """Warn of unquoted texts that other readers of YAML take for something else, and of invisible characters."""
    for scalar in _scalars(root):
        text = shown(scalar.text)
        if sign := invisible(scalar.text):
            what = N_("{text} holds {sign}; delete it or write a space")
            findings.warning(scalar, "yaml.invisible", what, text=text, sign=sign)
        if findings.has_one_at(scalar):
            continue
        meaning = next((meaning for pattern, meaning in _TRAPS if pattern.fullmatch(scalar.text)), "")
        if _IN_CURLY_QUOTES.fullmatch(scalar.text):
            what = N_("curly quotes are a part of {text}; write straight quotes, or none")
            findings.warning(scalar, "yaml.quotes", what, text=text)
        elif re.match(r"[\d{]", scalar.comment):
            what = N_("` #` begins a comment, so only {text} is read; put the text in quotes")
            findings.warning(scalar, "yaml.comment", what, text=text)
        elif scalar.plain and meaning:
            what = N_("{word} without quotes is {meaning} to other readers of YAML; write '{word}'")
            findings.warning(scalar, "yaml.ambiguous", what, word=scalar.text, meaning=Message(meaning))


def _scalars(node: Node | None) -> Iterator[Scalar]:
    if isinstance(node, Scalar):
        yield node
    elif isinstance(node, Sequence):
        for item in node.items:
            yield from _scalars(item)
    elif isinstance(node, MappingNode):
        for key, value in node.pairs:
            yield key
            yield from _scalars(value)
