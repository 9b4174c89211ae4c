"""Turns a parsed JMESPath expression into a function, once for each mapping revision.

JMESPath's own interpreter looks up how to visit each node whenever an event comes. What nearly all expressions are made
of (names, paths, texts, calls, `||`) becomes plain functions here that do the same; everything else is left to it. Each
evaluation has a budget of work (`budget`), which calls and whatever the interpreter visits are taken from.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from bridge.mapping.budget import BoundedInterpreter

Run = Callable[[Any, BoundedInterpreter], Any]
"""Gives the value in a context, within the budget of this interpreter."""


def runner(tree: Any, call: Callable[[str, list[Any]], Any]) -> Run:
    """Return the function that gives the expression's value in a context; `call` calls a function by its name."""
    kind, children = tree["type"], tree["children"]
    if kind == "field":
        return _fields([tree["value"]])
    if kind == "literal":
        value = tree["value"]
        return lambda _context, _budget: value
    if kind not in {"subexpression", "function_expression", "or_expression"}:
        return lambda context, budget: budget.visit(tree, context)
    if kind == "subexpression" and all(child["type"] == "field" for child in children):
        return _fields([child["value"] for child in children])
    parts = [runner(child, call) for child in children]
    if kind == "subexpression":
        return _path(parts)
    if kind == "function_expression":
        name = tree["value"]
        return lambda context, budget: budget.measured(call(name, [part(context, budget) for part in parts]))
    return _either(*parts)


def _fields(names: list[str]) -> Run:
    def fields(context: Any, _budget: BoundedInterpreter) -> Any:
        for name in names:
            if not isinstance(context, dict):
                return None
            context = context.get(name)
        return context

    return fields


def _path(parts: list[Run]) -> Run:
    def path(context: Any, budget: BoundedInterpreter) -> Any:
        for part in parts:
            context = part(context, budget)
        return context

    return path


def _either(left: Run, right: Run) -> Run:
    def either(context: Any, budget: BoundedInterpreter) -> Any:
        value = left(context, budget)
        # JMESPath's idea of false: 0 is a value.
        return right(context, budget) if value is None or value is False or value in ("", [], {}) else value

    return either
