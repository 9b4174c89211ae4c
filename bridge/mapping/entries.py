"""Holds a block of the file against its table of keys: duplicates, unknown and missing keys, values of a wrong shape.

What comes out is only what fits, so the builders of the parts never ask again; everything else has been said.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from itertools import pairwise
from typing import cast

from bridge.mapping.document import Block, Node, Scalar, Sequence
from bridge.mapping.findings import Findings, did_you_mean, shown
from bridge.mapping.spec import Key, Shape, Table
from bridge.mapping.values import typed

NAME = re.compile(r"[a-z0-9][a-z0-9_-]{0,39}")
"""How accounts, destinations and lines are named."""

_SCALARS = frozenset(
    {Shape.TEXT, Shape.NAME, Shape.BOOLEAN, Shape.CHOICE, Shape.EXPRESSION, Shape.TEMPLATE, Shape.OPERAND}
)
_BLOCKS = frozenset({Shape.FIELDS, Shape.LOOKUP, Shape.PATHS, Shape.FETCHED, Shape.VALUES})
_TEXTS = frozenset({Shape.TEXTS, Shape.EVENTS})
_OTHERWISE = frozenset({Shape.GIVEN, Shape.EXPECT})
"""What the tests' own reader judges."""
_LISTS = frozenset({Shape.CONDITIONS, Shape.ROUTES, Shape.TESTS})
_WANTED = {
    Shape.BOOLEAN: "true or false",
    Shape.CONDITION: "a condition such as {field: payment.value, at_least: 50}",
    Shape.CONDITIONS: "a list of conditions, one behind each dash",
    Shape.FIELDS: "lines such as nome: customer.name",
    Shape.LOOKUP: "pairs such as {PIX: Pix}",
    Shape.PATHS: "pairs such as {payment.value: 10}",
    Shape.FETCHED: "pairs such as {customer: samples/customer_pf.json}",
    Shape.VALUES: "pairs such as {nome: Cliente Teste}",
    Shape.ROUTES: "a list of routes, one behind each dash",
    Shape.TESTS: "a list of tests, one behind each dash",
    Shape.EXPRESSION: "an expression such as payment.value",
}


@dataclass(frozen=True, slots=True)
class Entry:
    """One pair of a block that fits the table."""

    key: Scalar
    value: Node


class Entries:
    """The pairs of a block that fit its table, by key."""

    def __init__(self, node: Node, entries: dict[str, Entry], *, whole: bool) -> None:
        self.node = node
        self.whole = whole
        """False where something in the block was refused: what seems to be missing may be that."""
        self._entries = entries

    def __contains__(self, name: str) -> bool:
        return name in self._entries

    def key(self, name: str) -> Scalar:
        """Return where the key stands."""
        return self._entries[name].key

    def value(self, name: str) -> Node | None:
        """Return the key's value, or None where the block has no such key."""
        entry = self._entries.get(name)
        return entry.value if entry else None

    def scalar(self, name: str) -> Scalar | None:
        """Return the key's value if it is a scalar."""
        value = self.value(name)
        return value if isinstance(value, Scalar) else None

    def text(self, name: str, default: str = "") -> str:
        """Return the key's text, or the default."""
        scalar = self.scalar(name)
        return scalar.text if scalar else default

    def texts(self, name: str) -> list[Scalar]:
        """Return the key's list of texts; one text is a list of one."""
        return texts_of(self.value(name))


def texts_of(node: Node | None) -> list[Scalar]:
    """Return the scalars of a list, or a scalar as a list of one."""
    if isinstance(node, Sequence):
        return [item for item in node.items if isinstance(item, Scalar)]
    return [node] if isinstance(node, Scalar) else []


def unique_pairs(block: Block, findings: Findings) -> list[tuple[Scalar, Node]]:
    """Return the pairs of a block, refusing a key that stands there twice."""
    first: dict[str, Scalar] = {}
    pairs = []
    for key, value in block.pairs:
        before = first.setdefault(key.text, key)
        if before is not key:
            where = f"on line {before.line} and again on line {key.line}"
            where = f"twice on line {key.line}" if before.line == key.line else where
            findings.error(key, "key.duplicate", f"key {shown(key.text)} stands {where}; keep one")
            continue
        pairs.append((key, value))
    return pairs


def read_entries(
    node: Node, table: Table, what: str, findings: Findings, *, complete: bool, others: bool = False
) -> Entries | None:
    """Return what fits the table, or None where the node is no block; `others` lets unknown keys pass unread."""
    if not isinstance(node, Block):
        findings.error(node, "value.shape", f"{what} must be a block of keys and values, got {described(node)}")
        return None
    entries: dict[str, Entry] = {}
    refused = set()
    unindented: str | None = None
    for key, value in unique_pairs(node, findings):
        row = table.get(key.text)
        if row is not None and fits(row, value, findings):
            entries[key.text] = Entry(key, value)
        elif row is not None or not others:
            refused.add(key.text)
        if row is not None:
            unindented = key.text if row.shape in _BLOCKS and _is_empty(value) and not node.flow else None
        elif not others and key.text:
            hint = f"; indent it below {unindented}" if unindented else ""
            hint = hint or comma_hint(node, key, value) or did_you_mean(key.text, table)
            if not hint and _is_empty(value) and node.flow and len(node.pairs) == 1:
                hint = f"; an expression has no braces: write {key.text}"
            findings.error(key, "key.unknown", f"{what} has no key {shown(key.text)}{hint}")
    if complete:
        for row in table.values():
            if row.required and row.name not in entries and row.name not in refused:
                findings.error(node, "key.missing", f"{what} needs {row.name}, such as {row.name}: {row.example}")
    return Entries(node, entries, whole=complete and not refused)


def _is_empty(value: Node) -> bool:
    return isinstance(value, Scalar) and value.plain and not value.text


def comma_hint(block: Block, key: Scalar, value: Node) -> str:
    """Return what to do where a key is what stands behind a comma of the value before it; empty where it is none."""
    before = next((one for (_, one), (other, _) in pairwise(block.pairs) if other is key), None)
    if not block.flow or not _is_empty(value) or not isinstance(before, Scalar) or not before.plain:
        return ""
    number = f"{before.text},{key.text}"
    what = f'"{number}"' if re.fullmatch(r"\d+,\d+", number) else "the whole value in quotes"
    return f"; in braces a comma ends a value, so write {what}"


def fits(row: Key, value: Node, findings: Findings) -> bool:
    """Say whether a value has its key's shape; say what is wrong where it has not."""
    if isinstance(value, Scalar) and value.plain and value.text == "" and row.shape not in _OTHERWISE:
        findings.error(value, "value.empty", f"{row.name} has no value; give it one, such as {row.example}")
        return False
    shape = row.shape
    right = (
        (shape in _SCALARS and isinstance(value, Scalar))
        or (shape in _BLOCKS and isinstance(value, Block))
        or (shape in _LISTS and isinstance(value, Sequence))
        or (shape is Shape.CONDITION and isinstance(value, Block))
        or (shape in _TEXTS and _is_texts(value))
        or shape in _OTHERWISE
    )
    if not right:
        wanted = f"a list of texts such as {row.example}" if shape in _TEXTS else _WANTED.get(shape, "a text")
        hint = "; write all: above the list" if shape is Shape.CONDITION and isinstance(value, Sequence) else ""
        findings.error(value, "value.shape", f"{row.name} must be {wanted}, got {described(value)}{hint}")
        return False
    return not isinstance(value, Scalar) or _scalar_fits(row, value, findings)


def _is_texts(value: Node) -> bool:
    return isinstance(value, Scalar) or (
        isinstance(value, Sequence) and bool(value.items) and all(isinstance(item, Scalar) for item in value.items)
    )


def _scalar_fits(row: Key, value: Scalar, findings: Findings) -> bool:
    text = value.text
    match row.shape:
        case Shape.BOOLEAN if not (value.plain and text in {"true", "false"}):
            quotes = "" if value.plain else " without quotes"
            findings.error(value, "value.boolean", f"{row.name} must be true or false{quotes}, got {shown(text)}")
        case Shape.CHOICE if text not in row.choices:
            choices = ", ".join(row.choices)
            findings.error(
                value,
                "value.choice",
                f"{row.name} must be one of {choices}, got {shown(text)}{did_you_mean(text, row.choices)}",
            )
        case Shape.TEXT | Shape.TEMPLATE | Shape.NAME if is_null(value):
            findings.error(
                value, "value.null", f"{row.name} must be a text, got {text}; leave the key out, or quote the word"
            )
        case Shape.NAME if not NAME.fullmatch(text):
            findings.error(
                value,
                "value.name",
                f"{row.name} must be a name of lower case letters, digits, _ and -, got {shown(text)}",
            )
        case Shape.TEXT | Shape.TEMPLATE if not text.strip():
            findings.error(value, "value.empty", f"{row.name} is an empty text; leave the key out")
        case _:
            return True
    return False


def is_null(value: Scalar) -> bool:
    """Say whether a scalar is YAML's null: not quoted, and null, ~ or nothing."""
    return value.plain and typed(value.text) is None


def described(node: Node) -> str:
    """Return what a node is, in a person's words."""
    if isinstance(node, Scalar):
        return shown(node.text) if node.text else "nothing"
    if isinstance(node, Sequence):
        return "a list" if node.items else "an empty list"
    return "a block of keys and values" if cast(Block, node).pairs else "an empty block"
