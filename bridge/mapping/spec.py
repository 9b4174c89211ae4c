"""The keys of a mapping file as tables, which reading, lint, the guide and the JSON schema follow.

A new key is a row of data/language.json and its use where the part is built.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from itertools import pairwise

from bridge.mapping.advice import formatted, two_conditions
from bridge.mapping.catalogue import read_data
from bridge.mapping.document import MappingNode, Node, Scalar, Sequence
from bridge.mapping.findings import Findings, did_you_mean, shown
from bridge.mapping.operators import OPERATORS, Operand
from bridge.mapping.values import Text, either, two_readings, typed
from bridge.messages import N_, Message


class Shape(StrEnum):
    TEXT = "text"
    NAME = "name"  # lower case letters, digits, _ and -
    BOOLEAN = "boolean"
    CHOICE = "choice"
    TEXTS = "texts"  # a list of texts, or one text
    EVENTS = "events"  # names of events or families: a list, or one
    EXPRESSION = "expression"
    OPERAND = "operand"  # the value that an operator compares with
    TEMPLATE = "template"
    CONDITION = "condition"
    CONDITIONS = "conditions"  # a list of conditions
    FIELDS = "fields"  # key of the payload: field
    LOOKUP = "lookup"  # text: text
    ROUTES = "routes"
    TESTS = "tests"
    PATHS = "paths"  # path into the event: any value
    FETCHED = "fetched"  # name of a fetched object: a file, the object or null
    VALUES = "values"  # key of the payload: the value it must have
    GIVEN = "given"  # a file or an event
    EXPECT = "expect"  # filtered, or a block of the table EXPECT
    VALUE = "value"  # an expression, or a block of the table VALUE
    TAGS = "tags"  # a list of fixed texts and of blocks of the table VALUE
    FUNNEL = "funnel"
    DEAL_KEY = "deal_key"  # a choice, or a block of the table DEAL_KEY


@dataclass(frozen=True, slots=True)
class Key:
    name: str
    shape: Shape
    help: str
    """One Portuguese sentence for the operator's guide."""
    example: str
    required: bool = False
    default: str = ""
    choices: tuple[str, ...] = ()


Table = Mapping[str, Key]


_OPERAND_SHAPES = {Operand.TEXTS: Shape.TEXTS, Operand.BOOLEAN: Shape.BOOLEAN}
_OPERATOR_ROWS = {
    one.name: {
        "shape": _OPERAND_SHAPES.get(one.operand, Shape.OPERAND),
        "help": one.help,
        "example": one.example.split(": ", 1)[1],
    }
    for one in OPERATORS.values()
}
TABLES: Mapping[str, Table] = {
    table: {
        name: Key(name, **{**row, "shape": Shape(row["shape"]), "choices": tuple(row.get("choices", ()))})
        for name, row in {**rows, **(_OPERATOR_ROWS if table == "condition" else {})}.items()
    }
    for table, rows in read_data("language")["keys"].items()
}
MAPPING, CONDITION, FIELD, ROUTE, CASE, EXPECT, FUNNEL, DEAL_KEY = TABLES.values()
VALUE: Table = {name: key for name, key in FIELD.items() if name not in {"is", "type"}}
"""The keys of a value of the funnel: its kind follows from its place."""

FIELD_SOURCES = ("from", "template", "text")
"""A field has exactly one of these."""
CONDITION_KINDS = ("all", "any", "not", "field", "expression")
"""A condition has exactly one of these."""

NAME = re.compile(r"[a-z0-9][a-z0-9_-]{0,39}")
"""A name of an account, destination or line."""

_NODE_OF: Mapping[Shape, type[Node]] = {
    **dict.fromkeys((Shape.FIELDS, Shape.LOOKUP, Shape.PATHS, Shape.FETCHED, Shape.VALUES, Shape.FUNNEL), MappingNode),
    Shape.CONDITION: MappingNode,
    **dict.fromkeys((Shape.CONDITIONS, Shape.ROUTES, Shape.TESTS), Sequence),
    **dict.fromkeys((Shape.GIVEN, Shape.EXPECT, Shape.VALUE, Shape.TAGS, Shape.DEAL_KEY), Node),  # checked elsewhere
}
"""What the value of a shape is; a scalar for the others."""
_TEXTS = frozenset({Shape.TEXTS, Shape.EVENTS})
"""Shapes of a text or a list of texts."""
_WANTED = {
    Shape.BOOLEAN: N_("true or false"),
    Shape.CONDITION: N_("a condition such as {field: payment.value, at_least: 50}"),
    Shape.CONDITIONS: N_("a list of conditions, one after each dash"),
    Shape.FIELDS: N_("lines such as nome: customer.name"),
    Shape.LOOKUP: N_("pairs such as {PIX: Pix}"),
    Shape.PATHS: N_("pairs such as {payment.value: 10}"),
    Shape.FETCHED: N_("pairs such as {customer: samples/customer_pf.json}"),
    Shape.VALUES: N_("pairs such as {nome: Cliente Teste}"),
    Shape.FUNNEL: N_("lines such as stage: {text: Nova}"),
    Shape.ROUTES: N_("a list of routes, one after each dash"),
    Shape.TESTS: N_("a list of tests, one after each dash"),
    Shape.EXPRESSION: N_("an expression such as payment.value"),
}


@dataclass(frozen=True, slots=True)
class Block:
    """The pairs of a block that fit its table, by key."""

    node: Node
    pairs: dict[str, tuple[Scalar, Node]]
    whole: bool
    """False where something in the block was refused: a key that seems to be missing may be that."""

    def __contains__(self, name: str) -> bool:
        return name in self.pairs

    def key(self, name: str) -> Scalar:
        return self.pairs[name][0]

    def value(self, name: str) -> Node | None:
        return self.pairs[name][1] if name in self.pairs else None

    def scalar(self, name: str) -> Scalar | None:
        value = self.value(name)
        return value if isinstance(value, Scalar) else None

    def text(self, name: str, default: str = "") -> str:
        scalar = self.scalar(name)
        return scalar.text if scalar else default

    def texts(self, name: str) -> list[Scalar]:
        """Return the key's list of texts; one text is a list of one."""
        node = self.value(name)
        if isinstance(node, Sequence):
            return [item for item in node.items if isinstance(item, Scalar)]
        return [node] if isinstance(node, Scalar) else []


def unique_pairs(block: Node | None, findings: Findings) -> list[tuple[Scalar, Node]]:
    """Return the pairs of a block, none of anything else; a key that is there twice is a finding."""
    first: dict[str, Scalar] = {}
    pairs = []
    for key, value in block.pairs if isinstance(block, MappingNode) else ():
        before = first.setdefault(key.text, key)
        if before is key:
            pairs.append((key, value))
            continue
        what = N_("key {key} is on line {before} and again on line {line}; keep one")
        what = N_("key {key} is on line {line} twice; keep one") if before.line == key.line else what
        findings.error(key, "key.duplicate", what, key=shown(key.text), before=before.line, line=key.line)
    return pairs


def read_block(node: Node, table: Table, what: Text, findings: Findings, *, others: bool = False) -> Block | None:
    """Return the pairs that fit the table, or None where the node is no block; `others` lets unknown keys pass."""
    if not isinstance(node, MappingNode):
        wrong = N_("{what} must be a block of keys and values, got {got}")
        findings.error(node, "value.shape", wrong, what=what, got=described(node))
        return None
    pairs: dict[str, tuple[Scalar, Node]] = {}
    refused = set()
    unindented: str | None = None
    for key, value in unique_pairs(node, findings):
        row = table.get(key.text)
        if row is not None and fits(row, value, findings):
            pairs[key.text] = key, value
        elif row is not None or not others:
            refused.add(key.text)
        if row is not None:
            is_block = _NODE_OF.get(row.shape) is MappingNode and row.shape is not Shape.CONDITION
            unindented = key.text if is_block and _is_empty(value) and not node.flow else None
        elif not others and key.text:
            hint: Text = Message(N_("; indent it below {key}"), {"key": unindented}) if unindented else ""
            hint = hint or comma_hint(node, key, value) or two_conditions(key.text, table)
            hint = hint or did_you_mean(key.text, table)
            if not hint and _is_empty(value) and node.flow and len(node.pairs) == 1:
                hint = Message(N_("; an expression has no braces: write {right}"), {"right": formatted(key.text)})
            unknown = N_("{what} has no key {key}{hint}")
            findings.error(key, "key.unknown", unknown, what=what, key=shown(key.text), hint=hint)
    for row in table.values() if findings.complete else ():
        if row.required and row.name not in pairs and row.name not in refused:
            missing = N_("{what} needs {key}, such as {key}: {example}")
            findings.error(node, "key.missing", missing, what=what, key=row.name, example=row.example)
    return Block(node, pairs, findings.complete and not refused)


def _is_empty(value: Node) -> bool:
    return isinstance(value, Scalar) and value.plain and not value.text


def comma_hint(block: MappingNode, key: Scalar, value: Node) -> Text:
    """Return what to do where a comma cut a value and the rest of it became this key; empty where none did."""
    before = next((one for (_, one), (other, _) in pairwise(block.pairs) if other is key), None)
    if not block.flow or not _is_empty(value) or not isinstance(before, Scalar) or not before.plain:
        return ""
    number = f"{before.text},{key.text}"
    right: Text = Message(N_("the whole value in quotes"))
    if re.fullmatch(r"[\d.]+,\d+", number):
        right = either(two_readings(number) or (f'"{number}"',))
    return Message(N_("; in braces a comma ends a value, so write {right}"), {"right": right})


def fits(row: Key, value: Node, findings: Findings) -> bool:
    """Say whether a value has its key's shape; where it has not, that is a finding."""
    shape = row.shape
    kind = _NODE_OF.get(shape, Scalar)
    if _is_empty(value) and kind is not Node:
        what = N_("{key} has no value; give it one, such as {example}")
        findings.error(value, "value.empty", what, key=row.name, example=row.example)
        return False
    texts = value.items if shape in _TEXTS and isinstance(value, Sequence) else []
    right = isinstance(value, kind) or (bool(texts) and all(isinstance(one, Scalar) for one in texts))
    if not right:
        wanted = Message(_WANTED.get(shape, N_("a text")))
        if shape in _TEXTS:
            wanted = Message(N_("a list of texts such as {example}"), {"example": row.example})
        what = N_("{key} must be {wanted}, got {got}")
        if shape is Shape.CONDITION and isinstance(value, Sequence):
            what = N_("{key} must be {wanted}, got {got}; write all: above the list")
        findings.error(value, "value.shape", what, key=row.name, wanted=wanted, got=described(value))
        return False
    return not isinstance(value, Scalar) or _scalar_fits(row, value, findings)


def _scalar_fits(row: Key, value: Scalar, findings: Findings) -> bool:
    text, hint = value.text, did_you_mean(value.text, row.choices)
    match row.shape:
        case Shape.BOOLEAN if not (value.plain and text in {"true", "false"}):
            code, what = "value.boolean", N_("{key} must be true or false, got {got}")
            what = what if value.plain else N_("{key} must be true or false without quotes, got {got}")
        case Shape.CHOICE if text not in row.choices:
            code, what = "value.choice", N_("{key} must be one of {choices}, got {got}{hint}")
        case Shape.TEXT | Shape.TEMPLATE | Shape.NAME if is_null(value):
            code, what = "value.null", N_("{key} must be a text, got {word}; leave the key out, or quote the word")
        case Shape.NAME if not NAME.fullmatch(text):
            code, what = "value.name", N_("{key} must be a name of lower case letters, digits, _ and -, got {got}")
        case Shape.TEXT | Shape.TEMPLATE if not text.strip():
            code, what = "value.empty", N_("{key} is an empty text; leave the key out")
        case _:
            return True
    choices = ", ".join(row.choices)
    findings.error(value, code, what, key=row.name, got=shown(text), word=text, choices=choices, hint=hint)
    return False


def is_null(value: Scalar) -> bool:
    """Say whether a scalar is YAML's null: not quoted, and null, ~ or nothing."""
    return value.plain and typed(value.text) is None


def described(node: Node) -> Text:
    if isinstance(node, Scalar) and node.text:
        return shown(node.text)
    if isinstance(node, Scalar):
        return Message(N_("nothing"))
    if isinstance(node, Sequence):
        return Message(N_("a list") if node.items else N_("an empty list"))
    filled = isinstance(node, MappingNode) and node.pairs
    return Message(N_("a block of keys and values") if filled else N_("an empty block"))
