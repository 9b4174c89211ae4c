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

from bridge.mapping import lint, operators, sense, values
from bridge.mapping.advice import synonym
from bridge.mapping.cases import build_cases
from bridge.mapping.context import WORKED_OUT, needs_of
from bridge.mapping.document import MAX_CHARACTERS, MappingNode, Node, Scalar, Sequence, read_document
from bridge.mapping.expressions import Expression, compile_expression, compile_text
from bridge.mapping.findings import Finding, Findings, Position, TooManyFindings, did_you_mean, shown
from bridge.mapping.model import (
    FETCHABLE,
    GROUPS,
    Case,
    Comparison,
    Condition,
    Constant,
    ExpressionCondition,
    Field,
    Group,
    Mapping,
    ParseResult,
    Route,
    Setup,
    Source,
    Template,
)
from bridge.mapping.operators import OPERATORS, Operand, Operator
from bridge.mapping.spec import (
    CONDITION,
    CONDITION_KINDS,
    FIELD,
    FIELD_SOURCES,
    MAPPING,
    ROUTE,
    Block,
    comma_hint,
    described,
    is_null,
    read_block,
    unique_pairs,
)
from bridge.mapping.values import BadValue, as_decimal

# "e-mail" and "e_mail" are said as often as "email".
_EMAIL_KEY = re.compile(r"e[-_ ]?mail|mail", re.IGNORECASE)
_PHONE_KEY = re.compile(r"fone|phone|celular|whats|mobile", re.IGNORECASE)


def build_fields(group: str, block: MappingNode, findings: Findings, *, complete: bool) -> list[Field]:
    """Return the fields of one group that can run."""
    fields = []
    for key, value in unique_pairs(block, findings):
        if _belongs_outside(key, value):
            message = f"{key.text} is no field of {group}; begin it in the first column, outside of {group}"
            findings.error(key, "key.unknown", message)
            continue
        comma = comma_hint(block, key, value)
        if comma:
            findings.error(key, "value.empty", f"{shown(key.text)} has no value{comma}")
            continue
        field = _build(group, key, value, findings, complete=complete)
        if field is not None:
            fields.append(field)
    return fields


def _belongs_outside(key: Scalar, value: Node) -> bool:
    """Say whether a key of the mapping itself stands in a group, to which no field of that name belongs."""
    if key.text not in MAPPING:
        return False
    if isinstance(value, MappingNode):
        return bool(value.pairs) and not any(inner.text in FIELD for inner, _ in value.pairs)
    return isinstance(value, Sequence)


def identity_of(key: str) -> Literal["email", "phone"] | None:
    """Return which identity of a contact a key's name says it is, if any."""
    if _EMAIL_KEY.search(key):
        return "email"
    return "phone" if _PHONE_KEY.search(key) else None


def _build(group: str, key: Scalar, value: Node, findings: Findings, *, complete: bool) -> Field | None:
    if not key.text.strip():
        findings.error(key, "field.key", "a field has no key; write the key that Clint's screen shows")
        return None
    named = identity_of(key.text) if group == "contact" else None
    if isinstance(value, Scalar):
        if value.plain and not value.text:
            findings.error(key, "value.empty", f"{key.text} has no value; give it an expression such as customer.name")
            return None
        expression = compile_expression(value, findings)
        return Field(group, key.text, expression, key.line, key.column, identifies=named) if expression else None
    if not isinstance(value, MappingNode):
        findings.error(
            value, "value.shape", f"{key.text} must be an expression or a block such as {{text: Asaas}}, got a list"
        )
        return None
    entries = read_block(value, FIELD, f"field {key.text}", findings, complete=complete)
    return _from_entries(group, key, entries, named, findings) if entries else None


def _from_entries(
    group: str, key: Scalar, entries: Block, named: Literal["email", "phone"] | None, findings: Findings
) -> Field | None:
    sources = [name for name in FIELD_SOURCES if name in entries]
    if len(sources) != 1:
        if sources:
            place, got = entries.key(sources[1]), " and ".join(sources)
            findings.error(place, "field.sources", f"field {key.text} needs one of {_sources()}, got {got}; keep one")
        elif entries.whole:
            findings.error(entries.node, "field.sources", f"field {key.text} needs one of {_sources()}, got none")
        return None
    if "lookup" in entries and sources[0] != "from":
        findings.error(entries.key("lookup"), "field.lookup", f"lookup goes with from, not with {sources[0]}")
        return None
    if group != "contact" and "is" in entries:
        findings.warning(
            entries.key("is"),
            "field.is",
            f"is: has no effect in {group}; Clint matches a contact, so move the field there",
        )
    source = _source(sources[0], entries, findings)
    lookup = _lookup(entries.value("lookup"), findings)
    if source is None or ("lookup" in entries and lookup is None):
        return None
    _check_sense(source, entries, findings)
    kind, said = entries.text("type", "text"), entries.text("is")
    return Field(
        group,
        key.text,
        source,
        key.line,
        key.column,
        type="number" if kind == "number" else "boolean" if kind == "boolean" else "text",
        required=entries.text("required") == "true",
        identifies=("email" if said == "email" else "phone" if said == "phone" else named)
        if group == "contact"
        else None,
        lookup=lookup,
        default=entries.text("default") or None,
    )


def _check_sense(source: Source, entries: Block, findings: Findings) -> None:
    expression = source.text if isinstance(source, Expression) else ""
    pairs = entries.value("lookup")
    texts = [(key, scalar) for key in ("text", "default") if (scalar := entries.scalar(key))]
    if isinstance(pairs, MappingNode) and isinstance(source, Expression):
        sense.check_lookup(source, (key for key, _ in pairs.pairs), findings)
        texts += [("lookup", value) for _, value in pairs.pairs if isinstance(value, Scalar)]
    for key, scalar in texts:
        sense.check_text(key, scalar, expression, findings)
    template = entries.scalar("template")
    if template and isinstance(source, Template):
        sense.check_template(source, template, findings)


def _sources() -> str:
    return ", ".join(FIELD_SOURCES)


def _source(kind: str, entries: Block, findings: Findings) -> Source | None:
    scalar = cast(Scalar, entries.value(kind))  # the table lets nothing else through
    if kind == "text":
        return Constant(scalar.text)
    return compile_expression(scalar, findings) if kind == "from" else build_template(scalar, findings)


def _lookup(node: Node | None, findings: Findings) -> dict[str, str] | None:
    if not isinstance(node, MappingNode):
        return None
    pairs = unique_pairs(node, findings)
    wrong = [value for _, value in pairs if not isinstance(value, Scalar) or is_null(value)]
    for value in wrong:
        findings.error(value, "value.shape", f"lookup gives texts, got {described(value)}{_hint(value)}")
    if not pairs:
        findings.error(node, "field.lookup", "lookup has no pairs; give it some, such as {PIX: Pix}")
    texts = {key.text: value.text for key, value in pairs if isinstance(value, Scalar)}
    return texts if pairs and not wrong else None


def _hint(value: Node) -> str:
    return "; leave the pair out, or write '' for no value" if isinstance(value, Scalar) else ""


def build_template(scalar: Scalar, findings: Findings) -> Template | None:
    """Return the texts and expressions of a template, or None after saying what is wrong with it."""
    pieces: list[str | Expression] = []
    text, position, literal, good = scalar.text, 0, "", True
    while position < len(text):
        character = text[position]
        if text[position : position + 2] in {"{{", "}}"}:
            literal += character
            position += 2
        elif character == "}":
            findings.error(scalar, "template.brace", f"a }} without its {{ in {shown(text)}; write }}}} for a brace")
            return None
        elif character == "{":
            end = _closing(text, position + 1)
            if end is None:
                findings.error(
                    scalar, "template.brace", f"a {{ without its }} in {shown(text)}; write {{{{ for a brace"
                )
                return None
            expression = compile_text(text[position + 1 : end], scalar, position + 1, scalar, findings)
            good = good and expression is not None
            pieces += [*([literal] if literal else []), *([expression] if expression else [])]
            literal, position = "", end + 1
        else:
            literal += character
            position += 1
    return Template(text, (*pieces, *([literal] if literal else []))) if good else None


def _closing(text: str, start: int) -> int | None:
    """Return where the expression that begins at `start` ends: its own braces and quoted texts don't end it."""
    depth, quote, position = 0, "", start
    while position < len(text):
        character = text[position]
        if quote:
            position += character == "\\"
            quote = "" if character == quote else quote
        elif character in "'\"`":
            quote = character
        elif character == "{":
            depth += 1
        elif character == "}":
            if depth == 0:
                return position
            depth -= 1
        position += 1
    return None


_COMPARISON = re.compile(r"([\w.]+) *(>=|<=|==|!=|<>|>|<|=) *['\"`]?([^'\"`]+)['\"`]?")
MAX_PATTERN = 500
"""Ours: a longer pattern is a list that belongs into one_of."""


def build_condition(node: Node, findings: Findings, *, complete: bool) -> Condition | None:
    """Return the condition a node describes, or None after saying what is wrong with it."""
    entries = read_block(node, CONDITION, "a condition", findings, complete=complete)
    if entries is None:
        return None
    kinds = [name for name in CONDITION_KINDS if name in entries]
    if len(kinds) > 1:
        findings.error(
            entries.key(kinds[1]),
            "condition.ambiguous",
            f"a condition is either {kinds[0]} or {kinds[1]}, not both; put both under all:",
        )
        return None
    operators = [name for name in OPERATORS if name in entries]
    if not kinds:
        _say_no_kind(entries, operators, findings)
        return None
    kind = kinds[0]
    if kind != "field" and operators:
        findings.error(
            entries.key(operators[0]),
            "condition.operator",
            f"{operators[0]} compares a field and can't stand with {kind}",
        )
        return None
    if kind == "field":
        return _compare(entries, operators, findings)
    value = entries.value(kind)
    if kind == "expression" and isinstance(value, Scalar):
        expression = compile_expression(value, findings)
        return ExpressionCondition(value.line, expression) if expression else None
    return _group(kind, value, entries, findings, complete=complete)


def _say_no_kind(entries: Block, operators: list[str], findings: Findings) -> None:
    if operators:
        key = entries.key(operators[0])
        findings.error(key, "condition.field_missing", f"{operators[0]} needs field: beside it, the value to compare")
    elif entries.whole:
        findings.error(
            entries.node,
            "condition.empty",
            "a condition needs field with an operator, or one of all, any, not, expression",
        )


def _group(kind: str, value: Node | None, entries: Block, findings: Findings, *, complete: bool) -> Group | None:
    word: Literal["all", "any", "not"] = "all" if kind == "all" else "any" if kind == "any" else "not"
    nodes = value.items if isinstance(value, Sequence) else [value] if value else []
    if not nodes:
        findings.error(entries.key(kind), "condition.empty", f"{kind} has no conditions; give it one or leave it out")
        return None
    built = [build_condition(node, findings, complete=complete) for node in nodes]
    conditions = tuple(one for one in built if one is not None)
    return Group(entries.key(kind).line, word, conditions) if len(conditions) == len(nodes) else None


def _compare(entries: Block, operators: list[str], findings: Findings) -> Comparison | None:
    scalar = entries.scalar("field")
    inside = _COMPARISON.fullmatch(scalar.text.strip()) if scalar else None
    if scalar and inside and not operators and (name := synonym(inside[2], OPERATORS)):
        message = f"an operator is a key beside field; write {{field: {inside[1]}, {name}: {inside[3]}}}"
        findings.error(scalar, "condition.operator_missing", message)
        return None
    expression = compile_expression(scalar, findings) if scalar else None
    if len(operators) != 1:
        if operators:
            place, got = entries.key(operators[1]), f"{operators[0]} and {operators[1]}"
            findings.error(place, "condition.operators", f"a condition has one operator, got {got}; use all: for both")
        elif entries.whole:
            names = ", ".join(OPERATORS)
            findings.error(entries.node, "condition.operator_missing", f"a condition with field needs one of {names}")
        return None
    operator = OPERATORS[operators[0]]
    operands = entries.texts(operator.name)
    wrong = [operand for operand in operands if not _operand_fits(operator, operand, findings)]
    if expression is None or wrong:
        return None
    if entries.whole:  # what is wrong beside it may be the rest of an operand, such as ,00
        sense.check_compare(expression, operator, operands, findings)
    return Comparison(entries.key("field").line, expression, operator, tuple(operand.text for operand in operands))


def _operand_fits(operator: Operator, operand: Scalar, findings: Findings) -> bool:
    text, name = operand.text, operator.name
    if operator.operand is not Operand.BOOLEAN and (is_null(operand) or not text):
        findings.error(operand, "operand.null", f"{name} can't compare with nothing; use exists: false")
        return False
    wrong = ""
    try:
        if operator.operand is Operand.NUMBER:
            wrong = f"{name} needs a number such as 50 or 129.90, got {shown(text)}{_if_other(text)}"
            as_decimal(text)
        elif operator.operand is Operand.DATE:
            wrong = f"{name} needs a date such as 2026-11-22 or 22/11/2026, or today, got {shown(text)}"
            wrong += did_you_mean(text, ["today"])
            if text != "today":
                values.as_moment(text)
        elif operator.operand is Operand.PATTERN:
            wrong = _pattern_fault(name, text)
            if wrong:
                raise BadValue
    except BadValue:
        findings.error(operand, f"operand.{operator.operand}", wrong)
        return False
    return True


def _if_other(text: str) -> str:
    if re.fullmatch(r"\d{1,3}(\.\d{3})+", text):
        return f"; write {text.replace('.', '')}"
    try:
        if text != "today":
            values.as_day(text)
    except BadValue:
        return ""
    return "; for dates write after or before"


def _pattern_fault(name: str, text: str) -> str:
    """Return why the text can't be the operator's pattern, empty where it can."""
    import regex  # 1 MB, for those that have such a condition

    if len(text) > MAX_PATTERN:
        return f"{name} needs a regular expression of at most {MAX_PATTERN} characters, got {len(text)}"
    if problem := operators.problem(text):
        return f"{name} needs a simple regular expression, got one that {problem}"
    try:
        regex.compile(text)
    except (regex.error, RecursionError) as error:
        why = f": {error}" if isinstance(error, regex.error) else ""
        return f"{name} needs a regular expression, got {shown(text)}{why}"
    return ""


_MAX_BYTES = 4 * MAX_CHARACTERS
_SUFFIXES = (".yaml", ".yml")
_MISNAMED = re.compile(r"\.ya?ml(\.te?xt)?$|\.yam$|\.ymal$", re.IGNORECASE)
"""Endings that an editor or a slip makes of .yaml; a copy such as x.yaml.bak is meant."""


def parse_mapping(text: str, path: str, known: Setup) -> ParseResult:
    """Return the mapping that a text describes, or None where it can't run, and everything found in it."""
    findings = Findings(path, active=known.active)
    mapping = None
    try:
        mapping = _read(text, path, known, findings)
    except TooManyFindings:
        findings.close()
    return ParseResult(path, mapping, findings.in_order(), text)


def _read(text: str, path: str, known: Setup, findings: Findings) -> Mapping | None:
    document = read_document(text, findings)
    entries = None
    if document.root is not None:
        entries = read_block(document.root, MAPPING, "a mapping", findings, complete=document.complete)
    reader = _Reader(entries, findings, known, complete=document.complete) if entries else None
    if reader:
        reader.check()
    lint.check_traps(document.root, findings)
    return reader.mapping(text, path) if reader and not findings.has_error else None


def read_directory(directory: Path, known: Setup) -> list[ParseResult]:
    """Return what became of each mapping file of a directory (not of those below it), in the order of the names."""
    try:
        files = sorted(path for path in directory.iterdir() if path.is_file())
    except FileNotFoundError:
        findings = Findings(str(directory))
        what = "the directory is not there; run: bridge mappings init, or set BRIDGE_MAPPINGS_DIR"
        findings.error(Position(1, 1), "directory.missing", what)
        return [ParseResult(str(directory), None, findings.in_order())]
    except OSError as error:
        why = f"the directory can't be read ({error.strerror}); set BRIDGE_MAPPINGS_DIR, or check its permissions"
        return [_unreadable(str(directory), why)]
    paths = [path for path in files if path.suffix in _SUFFIXES]
    read = [read_file(path, known) for path in paths]
    unread = [ParseResult(str(path), None, found) for path in files if (found := _misnamed(path))]
    return [*with_overlaps(read), *_same_names(paths), *unread]


def read_file(path: Path, known: Setup) -> ParseResult:
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
    read = parse_mapping(text, str(path), known)
    return replace(read, findings=(*_misnamed(path), *read.findings))


def _unreadable(path: str, message: str) -> ParseResult:
    findings = Findings(path)
    findings.error(Position(1, 1), "file.unreadable", message)
    return ParseResult(path, None, findings.in_order())


def _same_names(paths: Iterable[Path]) -> list[ParseResult]:
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
    findings.warning(Position(1, 1), "file.name", message)
    return findings.in_order()


def with_overlaps(read: Iterable[ParseResult], others: Iterable[Mapping] = ()) -> list[ParseResult]:
    """Return what was read, with a warning where an enabled mapping sends an event that another one sends there too.

    `others` are mappings that are active beside them.
    """
    before = [other for other in others if other.enabled]
    result = []
    for one in read:
        mapping = one.mapping
        if mapping is not None and mapping.enabled:
            findings = Findings(one.path)
            lint.check_overlap(mapping, before, findings)
            one = replace(one, findings=(*one.findings, *findings.in_order()))
            before.append(mapping)
        result.append(one)
    return result


class _Reader:
    """Builds and checks the parts of one mapping."""

    def __init__(self, entries: Block, findings: Findings, known: Setup, *, complete: bool) -> None:
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
                group, cast(MappingNode, self._entries.value(group)), self._findings, complete=self._complete
            )
        ]

    def _build_routes(self) -> list[tuple[Route, Block]]:
        node = self._entries.value("routes")
        routes = []
        for item in cast(Sequence, node).items if node else []:
            entries = read_block(item, ROUTE, "a route", self._findings, complete=self._complete)
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
        return all(key.text in built for key, _ in cast(MappingNode, contact).pairs)

    def _payload_keys(self) -> frozenset[str]:
        # Those of fields that were refused too: the tests that expect them are not what is wrong.
        blocks = [cast(MappingNode, self._entries.value(group)) for group in GROUPS if group in self._entries]
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
