"""Reads from a parsed expression which paths of the context it looks at.

This is how the bridge knows what to fetch from Asaas without anybody listing it, and how lint finds a path that no
Asaas object has. The tree is followed the way the interpreter walks it: every node is looked at in a scope, the set of
paths that its current value may come from.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

Path = tuple[str, ...]
Scope = frozenset[Path]

ELEMENT = "[]"
"""The step into a list's elements, whichever of them."""
ANY = "*"
"""The step into an object's values, whichever of them."""
_ROOT: Scope = frozenset({()})
_NOTHING: Scope = frozenset()
_GIVES_AN_ARGUMENT = frozenset({"default", "not_null"})
_GIVES_THE_LIST = frozenset({"sort", "sort_by", "reverse"})
_GIVES_AN_ELEMENT = frozenset({"max_by", "min_by", "max", "min"})


def paths_read(tree: dict[str, Any]) -> frozenset[Path]:
    """Return every path that the expression may read; the empty path stands for the whole context."""
    reader = _Reader()
    reader.use(reader.visit(tree, _ROOT))
    # `@` on the way to a name is no wish for the whole context, and the steps on the way to a path add nothing to it.
    longest = {path for path in reader.read if path and not any(_leads_to(path, other) for other in reader.read)}
    return frozenset(longest | ({()} & reader.whole))


@dataclass(frozen=True, slots=True)
class Part:
    """One part of an expression and where its value may come from."""

    node: dict[str, Any]
    scope: Scope


def compared(tree: dict[str, Any]) -> list[tuple[str, Part, Part]]:
    """Return the operator and the two sides of every comparison of the expression."""
    reader = _Reader()
    reader.visit(tree, _ROOT)
    return reader.compared


def indexed(tree: dict[str, Any]) -> list[Part]:
    """Return what an index or a slice of the expression is taken from."""
    reader = _Reader()
    reader.visit(tree, _ROOT)
    return reader.indexed


def whole(tree: dict[str, Any]) -> Part:
    """Return the expression itself as a part."""
    return Part(tree, _Reader().visit(tree, _ROOT))


def _leads_to(path: Path, other: Path) -> bool:
    return len(other) > len(path) and other[: len(path)] == path


class _Reader:
    def __init__(self) -> None:
        self.read: set[Path] = set()
        self.whole: set[Path] = set()
        self.compared: list[tuple[str, Part, Part]] = []
        self.indexed: list[Part] = []

    def visit(self, node: dict[str, Any], scope: Scope) -> Scope:
        """Record what the node reads in the scope, and return where its value may come from."""
        kind, children = node["type"], node["children"]
        match kind:
            case "field":
                return self._step(scope, node["value"])
            case "subexpression" | "index_expression" | "pipe":
                for child in children:
                    scope = self.visit(child, scope)
                    if kind == "index_expression" and child is children[0]:
                        self.indexed.append(Part(child, scope))
                return scope
            case "comparator":
                left, right = (Part(child, self.visit(child, scope)) for child in children)
                self.use(left.scope | right.scope)
                self.compared.append((node["value"], left, right))
                return _NOTHING
            case "current" | "identity":
                return scope
            case "index" | "slice":
                return self._step(scope, ELEMENT) if kind == "index" else scope
            case "flatten":
                return self.visit(children[0], scope)
            case "projection" | "filter_projection" | "value_projection":
                return self._project(node, scope)
            case "or_expression" | "and_expression":
                return frozenset().union(*(self.visit(child, scope) for child in children))
            case "function_expression":
                return self._call(node, scope)
            case _:  # not, literals, multi-selects: their children are read, their value is new
                for child in children:
                    self.use(self.visit(child, scope))
                return _NOTHING

    def _step(self, scope: Scope, name: str) -> Scope:
        inner = frozenset((*path, name) for path in scope)
        self.read.update(inner)
        return inner

    def use(self, scope: Scope) -> None:
        """Record that the value itself is looked at, not only a step on the way to another."""
        self.read.update(scope)
        self.whole.update(scope)

    def _project(self, node: dict[str, Any], scope: Scope) -> Scope:
        children = node["children"]
        base = self.visit(children[0], scope)
        step = ANY if node["type"] == "value_projection" else ELEMENT
        elements = self._step(base, step)
        if node["type"] == "filter_projection":
            self.use(self.visit(children[2], elements))
        # What the projection yields is again a list: a step into it leads to the same elements.
        right = self.visit(children[1], elements)
        return frozenset(path[:-1] if path[-1:] == (ELEMENT,) else path for path in right)

    def _call(self, node: dict[str, Any], scope: Scope) -> Scope:
        plain = [child for child in node["children"] if child["type"] != "expref"]
        given = [self.visit(child, scope) for child in plain]
        for one in given:
            self.use(one)
        elements = frozenset((*path, ELEMENT) for one in given for path in one)
        for child in node["children"]:
            if child["type"] == "expref":
                self.use(self.visit(child["children"][0], elements))
        if node["value"] in _GIVES_AN_ARGUMENT:
            return frozenset().union(*given)
        if node["value"] in _GIVES_THE_LIST:
            return given[0] if given else _NOTHING
        return elements if node["value"] in _GIVES_AN_ELEMENT else _NOTHING
