"""Reads mapping files: text in, a mapping that can run or the reasons why not out.

Reading never raises on bad text and never stops at the first finding. A mapping comes out only where nothing found is
an error, so whatever runs was whole when it was read.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterable
from dataclasses import replace
from pathlib import Path, PurePath
from typing import Literal, cast

from bridge.mapping import lint, sense
from bridge.mapping.cases import build_cases
from bridge.mapping.conditions import build_condition
from bridge.mapping.context import WORKED_OUT
from bridge.mapping.derived import needs_of
from bridge.mapping.document import MAX_CHARACTERS, Block, Sequence, read_document
from bridge.mapping.entries import Entries, read_entries
from bridge.mapping.expressions import Expression
from bridge.mapping.fields import build_fields
from bridge.mapping.findings import Finding, Findings, Spot, TooManyFindings
from bridge.mapping.parts import (
    FETCHABLE,
    GROUPS,
    Case,
    Condition,
    Field,
    Known,
    Mapping,
    ReadMapping,
    Route,
)
from bridge.mapping.spec import MAPPING, ROUTE

_MAX_BYTES = 4 * MAX_CHARACTERS
_SUFFIXES = (".yaml", ".yml")
_MISNAMED = re.compile(r"\.ya?ml(\.te?xt)?$|\.yam$|\.ymal$", re.IGNORECASE)
"""Endings that an editor or a slip makes of .yaml; a copy such as x.yaml.bak is meant."""


def read_mapping(text: str, path: str, known: Known) -> ReadMapping:
    """Return the mapping that a text describes, or None where it can't run, and everything found in it."""
    findings = Findings(path, active=known.active)
    mapping = None
    try:
        mapping = _read(text, path, known, findings)
    except TooManyFindings:
        findings.close()
    return ReadMapping(path, mapping, findings.in_order(), text)


def _read(text: str, path: str, known: Known, findings: Findings) -> Mapping | None:
    document = read_document(text, findings)
    entries = None
    if document.root is not None:
        entries = read_entries(document.root, MAPPING, "a mapping", findings, complete=document.complete)
    reader = _Reader(entries, findings, known, complete=document.complete) if entries else None
    if reader:
        reader.check()
    lint.check_traps(document.root, findings)
    return reader.mapping(text, path) if reader and not findings.has_error else None


def read_directory(directory: Path, known: Known) -> list[ReadMapping]:
    """Return what became of each mapping file of a directory (not of those below it), in the order of the names."""
    try:
        files = sorted(path for path in directory.iterdir() if path.is_file())
    except OSError as error:
        why = f"the directory can't be read ({error.strerror}); set BRIDGE_MAPPINGS_DIR, or run: bridge mappings init"
        return [_unreadable(str(directory), why)]
    paths = [path for path in files if path.suffix in _SUFFIXES]
    read = [read_file(path, known) for path in paths]
    unread = [ReadMapping(str(path), None, found) for path in files if (found := _misnamed(path))]
    return [*with_overlaps(read), *_same_names(paths), *unread]


def read_file(path: Path, known: Known) -> ReadMapping:
    """Return what became of one mapping file."""
    try:
        with path.open("rb") as file:
            # One byte a character at least: a file of gigabytes is not read to learn that it is too large.
            data = file.read(_MAX_BYTES + 1)
        text = data.decode(errors="strict" if len(data) <= _MAX_BYTES else "ignore")
    except OSError as error:
        return _unreadable(str(path), f"the file can't be read ({error.strerror}); check its permissions")
    except UnicodeDecodeError:
        return _unreadable(str(path), "the file is not UTF-8; save it as UTF-8")
    read = read_mapping(text, str(path), known)
    return replace(read, findings=(*_misnamed(path), *read.findings))


def _unreadable(path: str, message: str) -> ReadMapping:
    findings = Findings(path)
    findings.error(Spot(1, 1), "file.unreadable", message)
    return ReadMapping(path, None, findings.in_order())


def _same_names(paths: Iterable[Path]) -> list[ReadMapping]:
    first: dict[str, Path] = {}
    twice = [path for path in paths if first.setdefault(path.stem, path) is not path]
    return [
        _unreadable(str(path), f"{first[path.stem].name} has the same name {path.stem}; rename one") for path in twice
    ]


def _misnamed(path: Path) -> tuple[Finding, ...]:
    right = _MISNAMED.sub(".yaml", path.name)
    if right == path.name or path.suffix in _SUFFIXES:
        return ()
    findings = Findings(str(path))
    message = f"{path.name} is not read: a mapping's name ends in .yaml; rename it to {right}"
    findings.warning(Spot(1, 1), "file.name", message)
    return findings.in_order()


def with_overlaps(read: Iterable[ReadMapping], others: Iterable[Mapping] = ()) -> list[ReadMapping]:
    """Return what was read, with a warning where an enabled mapping sends an event that another one sends there too.

    `others` are mappings that are active beside them.
    """
    before = [other for other in others if other.enabled]
    result = []
    for one in read:
        mapping = one.mapping
        if mapping is not None and mapping.enabled:
            findings = Findings(one.path)
            for other in before:
                lint.check_overlap(mapping, other, findings)
            one = replace(one, findings=(*one.findings, *findings.in_order()))
            before.append(mapping)
        result.append(one)
    return result


class _Reader:
    """Builds and checks the parts of one mapping."""

    def __init__(self, entries: Entries, findings: Findings, known: Known, *, complete: bool) -> None:
        self._entries = entries
        self._findings = findings
        self._known = known
        self._complete = complete
        self._events = lint.check_events(entries.texts("events"), findings)
        self._filter = self._build_filter()
        self._fields = self._build_fields()
        self._routes = self._build_routes()
        self._cases = self._build_cases()

    def _build_filter(self) -> Condition | None:
        node = self._entries.value("filter")
        return build_condition(node, self._findings, complete=self._complete) if node else None

    def _build_fields(self) -> list[Field]:
        return [
            field
            for group in GROUPS
            if group in self._entries
            for field in build_fields(
                group, cast(Block, self._entries.value(group)), self._findings, complete=self._complete
            )
        ]

    def _build_routes(self) -> list[tuple[Route, Entries]]:
        node = self._entries.value("routes")
        routes = []
        for item in cast(Sequence, node).items if node else []:
            entries = read_entries(item, ROUTE, "a route", self._findings, complete=self._complete)
            if entries and entries.whole and "events" in entries and "send_to" in entries:
                events = lint.check_events(entries.texts("events"), self._findings)
                routes.append((Route(events, entries.text("send_to"), item.line, item.column), entries))
        return routes

    def _build_cases(self) -> list[Case]:
        node = self._entries.value("tests")
        return build_cases(node, self._findings, complete=self._complete) if node else []

    def check(self) -> None:
        """Find what needs the whole mapping to be seen."""
        entries, findings, known = self._entries, self._findings, self._known
        enabled = entries.text("enabled") != "false"
        if "account" in entries or entries.whole:
            # A file that names no account hears the default one, and waits without harm where there is none.
            lint.check_place(
                entries.scalar("account"),
                entries.node,
                entries.text("account", "default"),
                known.accounts,
                "account",
                findings,
                harms=enabled and "account" in entries,
            )
        if "send_to" in entries or entries.whole:
            lint.check_place(
                entries.scalar("send_to"),
                entries.node,
                entries.text("send_to", "default"),
                known.destinations,
                "destination",
                findings,
                harms=enabled,
            )
        for route, parts in self._routes:
            lint.check_place(
                parts.scalar("send_to"),
                parts.node,
                route.send_to,
                known.destinations,
                "destination",
                findings,
                harms=enabled,
            )
        contact = entries.value("contact")
        if contact:
            lint.check_fields(self._fields, contact, findings, whole=self._complete and self._contact_is_whole(contact))
        lint.check_routes((route for route, _ in self._routes if route.events), self._events, findings)
        lint.check_paths(self._expressions(), self._events, findings)
        conditions = list(lint.comparisons_of(self._filter))
        for expression in self._expressions():
            sense.check_expression(expression, findings)
        for condition in conditions:
            sense.check_condition(condition, findings)
        sense.check_events(conditions, self._events, findings)
        sense.check_splits(self._expressions(), findings)
        tests = entries.value("tests")
        if entries.whole and not (isinstance(tests, Sequence) and tests.items):
            findings.warning(entries.node, "tests.none", "no tests; add one, so that a change can't break it unseen")
        if entries.text("verify") == "true" and not known.reads_back:
            what = "verify does nothing without CLINT_API_TOKEN; set it (the Clint API needs Elite) or delete verify"
            findings.warning(entries.value("verify") or entries.node, "verify.no_token", what)
        lint.check_cases(self._cases, self._payload_keys(), known.root, findings)

    def _contact_is_whole(self, contact: object) -> bool:
        # A contact field that was refused may have been the e-mail; to say that there is none would mislead.
        built = {field.key for field in self._fields if field.group == "contact"}
        return all(key.text in built for key, _ in cast(Block, contact).pairs)

    def _payload_keys(self) -> frozenset[str]:
        # Those of fields that were refused too: the tests that expect them are not what is wrong.
        blocks = [cast(Block, self._entries.value(group)) for group in GROUPS if group in self._entries]
        return frozenset(key.text for block in blocks for key, _ in block.pairs)

    def _expressions(self) -> Iterable[Expression]:
        yield from lint.expressions_of_condition(self._filter)
        yield from lint.expressions_of_fields(self._fields)

    def mapping(self, text: str, path: str) -> Mapping:
        """Return the mapping; only called where nothing found is an error."""
        entries = self._entries
        filter_names = _names(lint.expressions_of_condition(self._filter))
        field_names = _names(lint.expressions_of_fields(self._fields))
        return Mapping(
            name=PurePath(path).stem,
            path=path,
            digest=hashlib.sha256(text.encode()).hexdigest(),
            description=entries.text("description"),
            enabled=entries.text("enabled") != "false",
            account=entries.text("account", "default"),
            events=self._events,
            installments=cast(Literal["each", "first", "once"], entries.text("installments", "each")),
            filter=self._filter,
            fields=tuple(self._fields),
            line=entries.text("line", "default"),
            stale=cast(Literal["skip", "send"], entries.text("stale", "skip")),
            send_to=entries.text("send_to", "default"),
            routes=tuple(route for route, _ in self._routes),
            verify=entries.text("verify") == "true",
            tests=tuple(self._cases),
            filter_needs=filter_names & FETCHABLE | needs_of(filter_names),
            field_needs=field_names & FETCHABLE | needs_of(field_names),
            derived=(filter_names | field_names) & WORKED_OUT,
        )


def _names(expressions: Iterable[Expression]) -> frozenset[str]:
    """Return what the expressions read of the context; the whole of it (`@`) may hold anything."""
    anything = FETCHABLE | WORKED_OUT
    return frozenset[str]().union(*(anything if () in one.paths else one.names for one in expressions))
