"""Prints the tables of the operator's guide from the tables that the bridge itself runs on (called by cog)."""

from __future__ import annotations

from collections.abc import Iterable

from bridge.mapping.asaas_events import EVENTS
from bridge.mapping.derived import DERIVED
from bridge.mapping.functions import FUNCTIONS
from bridge.mapping.operators import OPERATORS
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


def derived() -> str:
    """Return the values that the bridge works out itself as a Markdown table."""
    return _table(("nome", "o que é"), [(f"`{one.name}`", one.help) for one in DERIVED.values()])


def events() -> str:
    """Return the events of Asaas as a Markdown table."""
    return _table(
        ("evento", "o que aconteceu", "objeto"), [(f"`{e.name}`", e.label, e.entity) for e in EVENTS.values()]
    )


def _code(text: str) -> str:
    # A backtick inside needs a longer fence around it.
    return f"`` {text} ``" if "`" in text else f"`{text}`"


def _table(headers: Iterable[str], rows: Iterable[Iterable[str]]) -> str:
    head = tuple(headers)
    lines = [head, tuple("---" for _ in head), *(tuple(cell.replace("|", "\\|") for cell in row) for row in rows)]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)
