"""Builds the fields of a mapping (the keys of the payload) from the nodes of its three groups."""

from __future__ import annotations

import re
from typing import Literal, cast

from bridge.mapping import sense
from bridge.mapping.document import Block, Node, Scalar
from bridge.mapping.entries import Entries, comma_hint, described, is_null, read_entries, unique_pairs
from bridge.mapping.expressions import Expression, compile_expression, compile_text
from bridge.mapping.findings import Findings, shown
from bridge.mapping.parts import Field, Fixed, Source, Template
from bridge.mapping.spec import FIELD, FIELD_SOURCES

# "e-mail" and "e_mail" are said as often as "email".
_EMAIL_KEY = re.compile(r"e[-_ ]?mail|mail", re.IGNORECASE)
_PHONE_KEY = re.compile(r"fone|phone|celular|whats|mobile", re.IGNORECASE)


def build_fields(group: str, block: Block, findings: Findings, *, complete: bool) -> list[Field]:
    """Return the fields of one group that can run."""
    fields = []
    for key, value in unique_pairs(block, findings):
        comma = comma_hint(block, key, value)
        if comma:
            findings.error(key, "value.empty", f"{shown(key.text)} has no value{comma}")
            continue
        field = _build(group, key, value, findings, complete=complete)
        if field is not None:
            fields.append(field)
    return fields


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
    if not isinstance(value, Block):
        findings.error(
            value, "value.shape", f"{key.text} must be an expression or a block such as {{text: Asaas}}, got a list"
        )
        return None
    entries = read_entries(value, FIELD, f"field {key.text}", findings, complete=complete)
    return _from_entries(group, key, entries, named, findings) if entries else None


def _from_entries(
    group: str, key: Scalar, entries: Entries, named: Literal["email", "phone"] | None, findings: Findings
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


def _check_sense(source: Source, entries: Entries, findings: Findings) -> None:
    expression = source.text if isinstance(source, Expression) else ""
    pairs = entries.value("lookup")
    texts = [(key, scalar) for key in ("text", "default") if (scalar := entries.scalar(key))]
    if isinstance(pairs, Block) and isinstance(source, Expression):
        sense.check_lookup(source, (key for key, _ in pairs.pairs), findings)
        texts += [("lookup", value) for _, value in pairs.pairs if isinstance(value, Scalar)]
    for key, scalar in texts:
        sense.check_text(key, scalar, expression, findings)
    template = entries.scalar("template")
    if template and isinstance(source, Template):
        sense.check_template(source, template, findings)


def _sources() -> str:
    return ", ".join(FIELD_SOURCES)


def _source(kind: str, entries: Entries, findings: Findings) -> Source | None:
    scalar = cast(Scalar, entries.value(kind))  # the table lets nothing else through
    if kind == "text":
        return Fixed(scalar.text)
    return compile_expression(scalar, findings) if kind == "from" else build_template(scalar, findings)


def _lookup(node: Node | None, findings: Findings) -> dict[str, str] | None:
    if not isinstance(node, Block):
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
