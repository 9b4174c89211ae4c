"""Mapping files: text in, a mapping that can run or the findings that keep it from running out.

The parser never raises on bad text and does not stop at the first finding. It returns a mapping only where no finding
is an error.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterable, Iterator
from contextlib import suppress
from dataclasses import replace
from pathlib import Path, PurePath
from typing import Any, Literal, cast

from bridge.mapping import deals, lint, model, operators, sense, spec, values
from bridge.mapping.advice import synonym
from bridge.mapping.cases import build_cases
from bridge.mapping.context import WORKED_OUT, needs_of
from bridge.mapping.document import MAX_CHARACTERS, MappingNode, Node, Scalar, Sequence, read_document
from bridge.mapping.expressions import Expression, compile_expression, compile_text
from bridge.mapping.findings import Finding, Findings, Severity, TooManyFindings, did_you_mean, shown
from bridge.mapping.model import (
    Comparison,
    Condition,
    Field,
    Funnel,
    Group,
    Mapping,
    ParseResult,
    Route,
    Setup,
    Template,
)
from bridge.mapping.operators import OPERATORS, Operand, Operator
from bridge.mapping.spec import Block, comma_hint, described, is_null, read_block, unique_pairs
from bridge.mapping.values import BadValue, Text, as_decimal, folded
from bridge.messages import N_, Message

_EMAIL_KEY = re.compile(r"e[-_ ]?mail|mail", re.IGNORECASE)
_PHONE_KEY = re.compile(r"fone|phone|celular|whats|mobile", re.IGNORECASE)
_OWN_KEYS = {
    ("contact", "name"): "nome name contact_name nome_completo nome_contato nome_do_contato",
    ("organization", "name"): "empresa nome name company organization_name organizacao razao_social nome_da_empresa",
    ("deal", "value"): "valor value deal_value valor_do_negocio",
}
"""Keys that name a property of Clint's own, by group and property; case and accents don't count.

Not a deal's name: Clint's document calls it "Contact name", so a title might rename the contact.
"""
_NATIVES = {"contact": ("email", "phone", "name"), "organization": ("name",), "deal": ("name", "value")}


def _native(group: str, key: str) -> str:
    """Return the property of Clint's own that a key names; empty where it names none."""
    if group == "contact" and _EMAIL_KEY.search(key):
        return "email"
    if group == "contact" and _PHONE_KEY.search(key):
        return "phone"
    word = re.sub(r"\W+", "_", folded(key))
    return next((name for (where, name), keys in _OWN_KEYS.items() if where == group and word in keys.split()), "")


def _fields(group: str, block: MappingNode, findings: Findings) -> list[Field]:
    fields = []
    for key, value in unique_pairs(block, findings):
        if _belongs_outside(key, value):
            what = N_("{key} is no field of {group}; begin it in the first column, outside of {group}")
            findings.error(key, "key.unknown", what, key=key.text, group=group)
        elif hint := comma_hint(block, key, value):
            findings.error(key, "value.empty", N_("{key} has no value{hint}"), key=shown(key.text), hint=hint)
        elif not key.text.strip():
            findings.error(key, "field.key", N_("a field has no key; write the key that Clint's screen shows"))
        elif field := _field(group, key, value, findings):
            fields.append(field)
    return fields


def _belongs_outside(key: Scalar, value: Node) -> bool:
    """Say whether a key of the mapping itself stands in a group by a wrong indentation."""
    if key.text not in spec.MAPPING:
        return False
    if isinstance(value, MappingNode):
        return bool(value.pairs) and not any(inner.text in spec.FIELD for inner, _ in value.pairs)
    return isinstance(value, Sequence)


def _field(group: str, key: Scalar, value: Node, findings: Findings) -> Field | None:
    native, stated = _native(group, key.text), False
    if isinstance(value, Scalar):
        if value.plain and not value.text:
            what = N_("{key} has no value; give it an expression such as customer.name")
            findings.error(key, "value.empty", what, key=key.text)
            return None
        expression = compile_expression(value, findings)
        field = Field(group, key.text, expression, key.line, key.column) if expression else None
    elif isinstance(value, MappingNode):
        table = spec.VALUE if group == model.FUNNEL else spec.FIELD
        entries = read_block(value, table, Message(N_("field {key}"), {"key": key.text}), findings)
        field = _from_entries(group, key, entries, findings) if entries else None
        is_ = entries.text("is") if entries else ""
        stated = is_ in _NATIVES.get(group, ())
        native = is_ if stated else native
    else:
        what = N_("{key} must be an expression or a block such as {{text: Asaas}}, got a list")
        findings.error(value, "value.shape", what, key=key.text)
        return None
    return field and replace(field, native=native, stated=stated)


def _from_entries(group: str, key: Scalar, entries: Block, findings: Findings) -> Field | None:
    sources = [name for name in spec.FIELD_SOURCES if name in entries]
    if len(sources) != 1:
        facts = {"key": key.text, "sources": ", ".join(spec.FIELD_SOURCES), "got": ", ".join(sources)}
        if sources:
            what = N_("field {key} needs one of {sources}, got {got}; keep one")
            findings.error(entries.key(sources[1]), "field.sources", what, **facts)
        elif entries.whole:
            what = N_("field {key} needs one of {sources}, got none")
            findings.error(entries.node, "field.sources", what, **facts)
        return None
    if "lookup" in entries and sources[0] != "from":
        what = N_("lookup goes with from, not with {source}")
        findings.error(entries.key("lookup"), "field.lookup", what, source=sources[0])
        return None
    if "is" in entries and entries.text("is") not in _NATIVES[group]:
        what = N_("is: {kind} has no effect in {group}, which takes {known}")
        if group != "contact" and entries.text("is") in _NATIVES["contact"][:2]:
            what = N_("is: has no effect in {group}; Clint matches a contact, so move the field there")
        facts = {"group": group, "kind": entries.text("is"), "known": ", ".join(_NATIVES[group])}
        findings.warning(entries.key("is"), "field.is", what, **facts)
    scalar = cast(Scalar, entries.value(sources[0]))  # the table takes no other node
    source: Expression | Template | None = Template(scalar.text, (scalar.text,))
    if sources[0] == "from":
        source = compile_expression(scalar, findings)
    elif sources[0] == "template":
        source = build_template(scalar, findings)
    lookup = _lookup(entries.value("lookup"), findings)
    if source is None or ("lookup" in entries and lookup is None):
        return None
    _check_sense(source, entries, findings)
    return Field(
        group,
        key.text,
        source,
        key.line,
        key.column,
        type=cast(Any, entries.text("type", "text")),
        required=entries.text("required") == "true",
        lookup=lookup,
        default=entries.text("default") or None,
    )


def _check_sense(source: Expression | Template, entries: Block, findings: Findings) -> None:
    texts = [(key, scalar) for key in ("text", "default") if (scalar := entries.scalar(key))]
    if isinstance(source, Expression):
        lookup = entries.value("lookup")
        pairs = lookup.pairs if isinstance(lookup, MappingNode) else []
        sense.check_lookup(source, (key for key, _ in pairs), findings)
        texts += [("lookup", value) for _, value in pairs if isinstance(value, Scalar)]
    elif template := entries.scalar("template"):
        sense.check_template(source, template, findings)
    for key, scalar in texts:
        sense.check_text(key, scalar, source.text if isinstance(source, Expression) else "", findings)


def _lookup(node: Node | None, findings: Findings) -> dict[str, str] | None:
    if node is None:
        return None
    texts, pairs = {}, unique_pairs(node, findings)
    for key, value in pairs:
        if isinstance(value, Scalar) and not is_null(value):
            texts[key.text] = value.text
            continue
        what = N_("lookup gives texts, got {got}")
        if isinstance(value, Scalar):
            what = N_("lookup gives texts, got {got}; leave the pair out, or write '' for no value")
        findings.error(value, "value.shape", what, got=described(value))
    if not pairs:
        findings.error(node, "field.lookup", N_("lookup has no pairs; give it some, such as {PIX: Pix}"))
    return texts if pairs and len(texts) == len(pairs) else None


def build_template(scalar: Scalar, findings: Findings) -> Template | None:
    """Return the texts and expressions of a template; None after recording what is wrong with it."""
    pieces: list[str | Expression] = []
    text, position, literal, good = scalar.text, 0, "", True
    while position < len(text):
        character = text[position]
        if text[position : position + 2] in {"{{", "}}"}:
            literal += character
            position += 2
        elif character == "}":
            what = N_("a }} without its {{ in {text}; write }}}} for a brace")
            findings.error(scalar, "template.brace", what, text=shown(text))
            return None
        elif character == "{":
            end = _closing(text, position + 1)
            if end is None:
                what = N_("a {{ without its }} in {text}; write {{{{ for a brace")
                findings.error(scalar, "template.brace", what, text=shown(text))
                return None
            expression = compile_text(text[position + 1 : end], scalar, position + 1, findings)
            good = good and expression is not None
            pieces += [*([literal] if literal else []), *([expression] if expression else [])]
            literal, position = "", end + 1
        else:
            literal += character
            position += 1
    return Template(text, (*pieces, *([literal] if literal else []))) if good else None


_QUOTED_OR_BRACE = re.compile(r"""(['"`])(?:\\.|(?!\1).)*\1?|[{}]""", re.DOTALL)


def _closing(text: str, start: int) -> int | None:
    """Return the end of the expression that begins at `start`; its own braces and quoted texts don't end it."""
    depth = 0
    for found in _QUOTED_OR_BRACE.finditer(text, start):
        depth += {"{": 1, "}": -1}.get(found[0], 0)
        if depth < 0:
            return found.start()
    return None


def _funnel(entries: Block, findings: Findings) -> Funnel:
    """Return the deal settings of a file without its refused parts."""
    node = entries.value("funnel")
    block = read_block(node, spec.FUNNEL, "funnel", findings) if node else None
    per = _deal_key(entries.value("one_deal_per"), findings)
    plain = Funnel(per)
    if block is None:
        return plain
    values = {name: _funnel_value(block, name, findings) for name in ("stage", "status", "value", "user")}
    order: list[str] = []
    left = list(spec.FUNNEL["find_contact_by"].choices)
    for scalar in block.texts("find_contact_by"):
        order.append(scalar.text)
        if scalar.text in left:
            left.remove(scalar.text)
            continue
        what = N_("{key} lists some of {choices}, each once, got {got}{hint}")
        facts = {"choices": ", ".join(spec.FUNNEL["find_contact_by"].choices), "got": shown(scalar.text)}
        findings.error(
            scalar, "value.choice", what, key="find_contact_by", hint=did_you_mean(scalar.text, left), **facts
        )
    return Funnel(
        per,
        block.text("origin"),
        **values,
        tags=tuple(_tags(block.value("tags"), findings)),
        moved_by_person=cast(Any, block.text("moved_by_person", "keep")),
        removed=cast(Any, block.text("removed", "leave")),
        find_contact_by=tuple(order) or plain.find_contact_by,
        key_field=block.text("key_field", plain.key_field).strip(),
    )


def _funnel_value(block: Block, name: str, findings: Findings) -> Field | None:
    node = block.value(name)
    if node is None:
        return None
    key = replace(block.key(name), text=f"{model.FUNNEL}.{name}")
    field = _field(model.FUNNEL, key, node, findings)
    return field and replace(field, type="number" if name == "value" else "text")


def _tags(node: Node | None, findings: Findings) -> Iterator[Field]:
    """Yield each tag of a list or the only one; a plain text is a fixed tag."""
    for item in node.items if isinstance(node, Sequence) else [node] if node else []:
        key = Scalar(item.line, item.column, f"{model.FUNNEL}.tags", plain=True, inline=False)
        if isinstance(item, MappingNode):
            if field := _field(model.FUNNEL, key, item, findings):
                yield field
        elif isinstance(item, Scalar) and item.text.strip() and not is_null(item):
            yield Field(model.FUNNEL, key.text, Template(item.text, (item.text,)), item.line, item.column)
        else:
            what = N_("a tag is a text, or a block such as {{from: payment.billingType}}, got {got}")
            findings.error(item, "value.shape", what, got=described(item))


def _deal_key(node: Node | None, findings: Findings) -> Field | str:
    choices = spec.MAPPING["one_deal_per"].choices
    if isinstance(node, MappingNode):
        block = read_block(node, spec.DEAL_KEY, "one_deal_per", findings)
        scalar = block.scalar("expression") if block else None
        expression = compile_expression(scalar, findings) if scalar else None
        if expression:
            return Field(model.FUNNEL, "one_deal_per", expression, node.line, node.column)
    elif isinstance(node, Scalar) and node.text in choices:
        return node.text
    elif node is not None:
        got = node.text if isinstance(node, Scalar) else ""
        what = N_("{key} must be one of {choices}, or {{expression: ...}}, got {got}{hint}")
        facts = {"choices": ", ".join(choices), "got": described(node), "hint": did_you_mean(got, choices)}
        findings.error(node, "value.choice", what, key="one_deal_per", **facts)
    return choices[0]


_COMPARISON = re.compile(r"([\w.]+) *(>=|<=|==|!=|<>|>|<|=) *['\"`]?([^'\"`]+)['\"`]?")
MAX_PATTERN = 500
"""Ours: a longer pattern is a list for one_of."""


def build_condition(node: Node, findings: Findings) -> Condition | None:
    """Return the condition of a node; None after recording what is wrong with it."""
    entries = read_block(node, spec.CONDITION, Message(N_("a condition")), findings)
    if entries is None:
        return None
    kinds = [name for name in spec.CONDITION_KINDS if name in entries]
    operators = [name for name in OPERATORS if name in entries]
    kind = kinds[0] if kinds else ""
    if len(kinds) > 1:
        what = N_("a condition is either {first} or {second}, not both; put both under all:")
        findings.error(entries.key(kinds[1]), "condition.ambiguous", what, first=kind, second=kinds[1])
    elif kind == "field":
        return _compare(entries, operators, findings)
    elif operators:
        what, code = N_("{operator} compares a field and can't be used with {kind}"), "condition.operator"
        facts = {"operator": operators[0], "kind": kind}
        if not kind:
            what, code = N_("{operator} needs field: beside it, the value to compare"), "condition.field_missing"
            facts = {"operator": operators[0]}
        findings.error(entries.key(operators[0]), code, what, **facts)
    elif kind == "expression":
        scalar = cast(Scalar, entries.value(kind))
        expression = compile_expression(scalar, findings)
        return Comparison(scalar.line, expression) if expression else None
    elif kind:
        return _group(cast(Any, kind), entries, findings)
    elif entries.whole:
        what = N_("a condition needs field with an operator, or one of all, any, not, expression")
        findings.error(entries.node, "condition.empty", what)
    return None


def _group(kind: Literal["all", "any", "not"], entries: Block, findings: Findings) -> Group | None:
    key, value = entries.key(kind), entries.value(kind)
    nodes = value.items if isinstance(value, Sequence) else [value] if value else []
    if not nodes:
        findings.error(key, "condition.empty", N_("{kind} has no conditions; give it one or leave it out"), kind=kind)
        return None
    built = [build_condition(one, findings) for one in nodes]
    return None if None in built else Group(key.line, kind, tuple(one for one in built if one))


def _compare(entries: Block, operators: list[str], findings: Findings) -> Comparison | None:
    scalar = cast(Scalar, entries.value("field"))
    inside = _COMPARISON.fullmatch(scalar.text.strip())
    if inside and not operators and (name := synonym(inside[2], OPERATORS)):
        what = N_("an operator is a key beside field; write {{field: {field}, {operator}: {operand}}}")
        facts = {"field": inside[1], "operator": name, "operand": inside[3]}
        findings.error(scalar, "condition.operator_missing", what, **facts)
        return None
    expression = compile_expression(scalar, findings)
    if len(operators) != 1:
        if operators:
            what = N_("a condition has one operator, got {first} and {second}; use all: for both")
            facts = {"first": operators[0], "second": operators[1]}
            findings.error(entries.key(operators[1]), "condition.operators", what, **facts)
        elif entries.whole:
            what = N_("a condition with field needs one of {operators}")
            findings.error(entries.node, "condition.operator_missing", what, operators=", ".join(OPERATORS))
        return None
    operator = OPERATORS[operators[0]]
    operands = entries.texts(operator.name)
    fits = [_operand_fits(operator, operand, findings) for operand in operands]
    if expression is None or not all(fits):
        return None
    if entries.whole:  # a refused key beside it may be the rest of an operand, such as ,00
        sense.check_compare(expression, operator, operands, findings)
    return Comparison(entries.key("field").line, expression, operator, tuple(operand.text for operand in operands))


def _operand_fits(operator: Operator, operand: Scalar, findings: Findings) -> bool:
    text, code, what = operand.text, f"operand.{operator.operand}", ""
    facts: dict[str, object] = {"operator": operator.name, "got": shown(text)}
    try:
        if operator.operand is not Operand.BOOLEAN and (is_null(operand) or not text):
            code, what = "operand.null", N_("{operator} can't compare with nothing; use exists: false")
        elif operator.operand is Operand.NUMBER:
            as_decimal(text)
        elif operator.operand is Operand.DATE and text != "today":
            values.as_moment(text)
        elif operator.operand is Operand.PATTERN:
            what, more = _pattern_fault(text)
            facts |= more
    except BadValue:
        what = N_("{operator} needs a date such as 2026-11-22 or 22/11/2026, or today, got {got}{hint}")
        facts["hint"] = did_you_mean(text, ["today"])
        if operator.operand is Operand.NUMBER:
            what = N_("{operator} needs a number such as 50 or 129.90, got {got}{hint}")
            facts["hint"] = _if_other(text)
    if what:
        findings.error(operand, code, what, **facts)
    return not what


def _if_other(text: str) -> Text:
    if re.fullmatch(r"\d{1,3}(\.\d{3})+", text):
        return Message(N_("; write {right}"), {"right": text.replace(".", "")})
    if text != "today" and values.or_none(values.as_day, text) is None:
        return ""
    return Message(N_("; for dates write after or before"))


def _pattern_fault(text: str) -> tuple[str, dict[str, object]]:
    """Return why the text can't be a pattern, with its facts; empty where it can."""
    import regex  # 1 MB, so only mappings with a pattern load it

    if len(text) > MAX_PATTERN:
        what = N_("{operator} needs a regular expression of at most {limit} characters, got {length}")
        return what, {"limit": MAX_PATTERN, "length": len(text)}
    if problem := operators.problem(text):
        what = N_("{operator} needs a simple regular expression, got one that {problem}")
        return what, {"problem": Message(problem)}
    try:
        regex.compile(text)
    except (regex.error, RecursionError) as error:
        position = getattr(error, "pos", None)
        what = N_("{operator} needs a regular expression, got {got}, which is wrong at character {position}")
        what = N_("{operator} needs a regular expression, got {got}") if position is None else what
        return what, {"position": (position or 0) + 1}
    return "", {}


_MAX_BYTES = 4 * MAX_CHARACTERS
_SUFFIXES = (".yaml", ".yml")
_MISNAMED = re.compile(r"\.ya?ml(\.te?xt)?$|\.yam$|\.ymal$", re.IGNORECASE)
"""Endings that an editor or a slip makes of .yaml; a copy such as x.yaml.bak is no such slip."""


def parse_mapping(text: str, path: str, known: Setup) -> ParseResult:
    """Return the mapping that a text describes, or None where it can't run, with every finding."""
    findings = Findings(path, active=known.active)
    mapping = None
    with suppress(TooManyFindings):
        root = read_document(text, findings)
        entries = read_block(root, spec.MAPPING, Message(N_("a mapping")), findings) if root else None
        mapping = _mapping(entries, text, known, findings) if entries else None
        lint.check_traps(root, findings)
    return ParseResult(path, None if findings.has_error else mapping, findings.in_order(), text)


def read_directory(directory: Path, known: Setup) -> list[ParseResult]:
    """Return each mapping file of a directory, parsed, in the order of the names; not those of directories below it."""
    try:
        files = sorted(path for path in directory.iterdir() if path.is_file())
    except FileNotFoundError:
        what = N_("the directory is not there; run: bridge mappings init, or set BRIDGE_MAPPINGS_DIR")
        return [_unread(directory, what, "directory.missing")]
    except OSError:
        what = N_("the directory can't be read; set BRIDGE_MAPPINGS_DIR, or check its permissions")
        return [_unread(directory, what)]
    paths = [path for path in files if path.suffix in _SUFFIXES]
    read = [read_file(path, known) for path in paths]
    unread = [ParseResult(str(path), None, found) for path in files if (found := _misnamed(path))]
    first: dict[str, Path] = {}
    twice = [path for path in paths if first.setdefault(path.stem, path) is not path]
    what = N_("{file} has the same name {name}; rename one")
    same = [_unread(path, what, file=first[path.stem].name, name=path.stem) for path in twice]
    return [*with_overlaps(read, known=known), *same, *unread]


def read_file(path: Path, known: Setup) -> ParseResult:
    try:
        with path.open("rb") as file:
            # A character has one byte at least: the bound spares reading gigabytes of a file that is too large.
            data = file.read(_MAX_BYTES + 1)
        text = data.decode(errors="strict" if len(data) <= _MAX_BYTES else "ignore")
    except OSError:
        return _unread(path, N_("the file can't be read; check that it is there, and its permissions"))
    except UnicodeDecodeError:
        return _unread(path, N_("the file is not UTF-8; save it as UTF-8"))
    read = parse_mapping(text, str(path), known)
    return replace(read, findings=(*_misnamed(path), *read.findings))


def _unread(path: Path, what: str, code: str = "file.unreadable", **facts: object) -> ParseResult:
    return ParseResult(str(path), None, (Finding(str(path), 1, 1, code, Severity.ERROR, Message(what, facts)),))


def _misnamed(path: Path) -> tuple[Finding, ...]:
    right = _MISNAMED.sub(".yaml", path.name)
    if right == path.name or path.suffix in _SUFFIXES:
        return ()
    what = N_("{file} is not read: a mapping's name ends in .yaml; rename it to {right}")
    facts = {"file": path.name, "right": right}
    return (Finding(str(path), 1, 1, "file.name", Severity.WARNING, Message(what, facts)),)


def with_overlaps(
    read: Iterable[ParseResult], others: Iterable[Mapping] = (), known: Setup | None = None
) -> list[ParseResult]:
    """Return the parsed files, with a finding where two enabled mappings send the same event to the same destination,
    or write the same deals in different lines.

    `others` are mappings that are active beside these files, and `known` says which destinations are by Clint's API.
    """
    before = [other for other in others if other.enabled]
    result = []
    for one in read:
        mapping = one.mapping
        if mapping is not None and mapping.enabled:
            findings = Findings(one.path)
            lint.check_overlap(mapping, before, findings, known.api if known else ())
            deals.check_same_origin(mapping, before, known.api if known else {}, findings)
            deals.check_lines(mapping, before, known.api if known else {}, findings)
            one = replace(one, findings=(*one.findings, *findings.in_order()))
            before.append(mapping)
        result.append(one)
    return result


def _mapping(entries: Block, text: str, known: Setup, findings: Findings) -> Mapping:
    """Return the mapping of a file; where findings have an error it lacks what was refused."""
    events = lint.check_events(entries.texts("events"), findings)
    condition, tests = entries.value("filter"), entries.value("tests")
    filter_ = build_condition(condition, findings) if condition else None
    groups = {name: cast(MappingNode, entries.value(name)) for name in model.GROUPS if name in entries}
    fields = [one for name, block in groups.items() for one in _fields(name, block, findings)]
    routes = _routes(entries.value("routes"), findings)
    test_nodes = tests.items if isinstance(tests, Sequence) else []
    cases = build_cases(test_nodes, findings)
    enabled = entries.text("enabled") != "false"
    tells_funnel = "funnel" in entries or "one_deal_per" in entries
    # A file without `account` listens to the default one, and waits without harm where there is none.
    for key, kind, names, harms in (
        ("account", "account", known.accounts, enabled and "account" in entries),
        ("send_to", "destination", known.destinations, enabled),
    ):
        if key in entries or entries.whole:
            place, value = entries.scalar(key) or entries.node, entries.text(key, "default")
            by_api = tells_funnel and kind == "destination"
            lint.check_set_up(kind, place, value, names, findings, harms=harms, by_api=by_api)
    for route, place in routes:
        lint.check_set_up(
            "destination", place, route.send_to, known.destinations, findings, harms=enabled, by_api=tells_funnel
        )
    if contact := groups.get("contact"):
        # A field that was refused may have been the e-mail: then no finding says that there is none.
        built = {field.key for field in fields if field.group == "contact"}
        whole = findings.complete and all(key.text in built for key, _ in contact.pairs)
        lint.check_fields(fields, contact, findings, whole=whole)
    lint.check_routes([route for route, _ in routes if route.events], events, findings)
    conditions = model.comparisons_of(filter_)
    of_filter = [condition.expression for condition in conditions]
    funnel = _funnel(entries, findings)
    of_fields = [expression for field in fields for expression in field.expressions]
    of_fields += funnel.expressions
    lint.check_paths([*of_filter, *of_fields], events, findings)
    for expression in (*of_filter, *of_fields):
        sense.check_expression(expression, findings)
    sense.check_conditions(conditions, events, findings)
    sense.check_splits([*of_filter, *of_fields], findings)
    if entries.whole and not test_nodes:
        what = N_("the file has no tests; add one, so that a later change can't break it unnoticed")
        findings.warning(entries.node, "tests.none", what)
    if entries.text("verify") == "true" and not known.reads_back:
        what = N_("verify does nothing without a token of Clint's API (Elite plan); set one or delete verify")
        findings.warning(entries.value("verify") or entries.node, "verify.no_token", what)
    # Keys of fields that were refused too: the tests that expect them are right.
    keys = {key.text for block in groups.values() for key, _ in block.pairs}
    keys |= {f"{model.FUNNEL}.{name}" for name in ("key", *spec.FUNNEL)}
    lint.check_cases(cases, frozenset(keys), known.root, findings)
    filter_names, field_names = _names(of_filter), _names(of_fields)
    mapping = Mapping(
        name=PurePath(findings.path).stem,
        path=findings.path,
        digest=hashlib.sha256(text.encode()).hexdigest(),
        description=entries.text("description"),
        enabled=enabled,
        account=entries.text("account", "default"),
        events=events,
        installments=cast(Any, entries.text("installments", "each")),
        filter=filter_,
        fields=tuple(fields),
        line=entries.text("line", "default"),
        stale=cast(Any, entries.text("stale", "skip")),
        send_to=entries.text("send_to", "default"),
        routes=tuple(route for route, _ in routes),
        verify=entries.text("verify") == "true",
        tests=cases,
        filter_needs=filter_names & model.FETCHABLE | needs_of(filter_names),
        field_needs=field_names & model.FETCHABLE | needs_of(field_names),
        derived=(filter_names | field_names) & WORKED_OUT,
        funnel=funnel,
        tells_funnel=tells_funnel,
    )
    deals.check_deals(mapping, entries, known, findings)
    return mapping


def _routes(node: Node | None, findings: Findings) -> list[tuple[Route, Scalar]]:
    """Return the routes, each with the place of its destination."""
    routes = []
    for item in node.items if isinstance(node, Sequence) else ():
        entries = read_block(item, spec.ROUTE, Message(N_("a route")), findings)
        if entries and entries.whole and "events" in entries and (send_to := entries.scalar("send_to")):
            events = lint.check_events(entries.texts("events"), findings)
            routes.append((Route(events, send_to.text, item.line, item.column), send_to))
    return routes


def _names(expressions: Iterable[Expression]) -> frozenset[str]:
    """Return the names of the context that the expressions read; `@` reads all of them."""
    anything = model.FETCHABLE | WORKED_OUT
    return frozenset[str]().union(*(anything if () in one.paths else one.names for one in expressions))
