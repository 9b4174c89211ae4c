"""Prints the tables of the operator's guide from the tables that the bridge itself runs on (called by cog)."""

from __future__ import annotations

import json
from collections.abc import Iterable
from pathlib import Path

from bridge.mapping.asaas_events import EVENTS
from bridge.mapping.asaas_fields import known_fields
from bridge.mapping.document import Scalar
from bridge.mapping.expressions import compile_expression, evaluate
from bridge.mapping.findings import Findings
from bridge.mapping.functions import FUNCTIONS
from bridge.mapping.lessons import CONTEXT, MISTAKES, RECIPES
from bridge.mapping.operators import OPERATORS
from bridge.mapping.parts import Known
from bridge.mapping.read import read_directory, read_mapping
from bridge.mapping.spec import CONDITION_KINDS, TABLES


def keys(table: str) -> str:
    """Return the keys of one block of a mapping file as a Markdown table."""
    rows = [
        (
            f"`{key.name}`",
            key.help,
            "sim" if key.required else f"`{key.default}`" if key.default else "",
            _code(key.example),
        )
        for key in TABLES[table].values()
        if table != "condition" or key.name in CONDITION_KINDS
    ]
    return _table(("chave", "o que é", "obrigatória, ou valor sem ela", "exemplo"), rows)


def operators() -> str:
    """Return the operators of conditions as a Markdown table."""
    rows = [(f"`{one.name}`", one.help, _code(one.example)) for one in OPERATORS.values()]
    return _table(("operador", "quando vale", "exemplo"), rows)


def functions() -> str:
    """Return the functions of expressions as a Markdown table."""
    rows = [(f"`{one.signature}`", one.help, _code(one.example), one.gives) for one in FUNCTIONS.values()]
    return _table(("função", "o que faz", "exemplo", "resultado"), rows)


def events() -> str:
    """Return the events of Asaas as a Markdown table."""
    return _table(
        ("evento", "o que aconteceu", "objeto"), [(f"`{e.name}`", e.label, e.entity) for e in EVENTS.values()]
    )


def recipes() -> str:
    """Return expressions with what they teach and what they give, as a Markdown table."""
    rows = [(_code(text), what, _code(_given(text))) for text, what in RECIPES]
    return _table(("expressão", "o que ensina", "dá"), rows)


def recipe_context() -> str:
    """Return what the recipes see, as JSON."""
    return json.dumps(dict(CONTEXT), ensure_ascii=False, indent=2)


def _given(text: str) -> str:
    expression = compile_expression(Scalar(1, 1, text, plain=True, inline=True), Findings("guide"))
    value = evaluate(expression, dict(CONTEXT)) if expression else None
    return "vazio" if value is None else value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)


def mistakes() -> str:
    """Return common mistakes with what lint says of each, as a Markdown table."""
    rows = []
    for sound, wrong, what in MISTAKES:
        found = read_mapping(f"{sound}{wrong}\n", "x.yaml", Known(None, None)).findings
        first = next(one for one in found if one.code != "tests.none" and one.line > sound.count("\n"))
        rows.append((_code(wrong.replace("\n", " ⏎ ").replace("\t", "⇥")), what, f"`{first.code}`"))
    return _table(("o que está escrito", "o que é", "código do lint"), rows)


def fields(name: str) -> str:
    """Return the fields that an object of Asaas is known to have, in one line; those with fields of their own last."""
    known = known_fields()[name]
    plain = [f"`{field}`" for field, inner in known.items() if not inner]
    deep = [f"`{field}.{one}`" for field, inner in known.items() if inner for one in inner]
    return ", ".join([*plain, *deep])


def starters(directory: Path) -> str:
    """Return the mapping files of a directory as a Markdown table."""
    rows = [
        (
            f"`{one.mapping.name}.yaml`",
            one.mapping.description,
            ", ".join(sorted(one.mapping.destinations)),
            "ligado" if one.mapping.enabled else "desligado",
        )
        for one in read_directory(directory, Known(None, None))
        if one.mapping
    ]
    return _table(("arquivo", "o que faz", "destinos", "vem"), rows)


def _code(text: str) -> str:
    # A backtick inside needs a longer fence around it.
    return f"`` {text} ``" if "`" in text else f"`{text}`"


def _table(headers: Iterable[str], rows: Iterable[Iterable[str]]) -> str:
    head = tuple(headers)
    lines = [head, tuple("---" for _ in head), *(tuple(cell.replace("|", "\\|") for cell in row) for row in rows)]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)
