"""Evaluates a JMESPath tree within a budget of work, so that no expression takes long or fills the memory.

A short expression can double its value sixty times: `[@, @][] | [@, @][] | ...`. So every visit of a node costs one,
and every list, object or text that an expression makes costs what it holds, also what it holds many times by reference:
whoever compares, prints or copies it later would pay for each of them.
"""

from __future__ import annotations

from typing import Any

from jmespath import visitor

WORK = 500_000
"""Ours: some tenths of a second; a mapping over an event with a hundred splits takes a few thousand."""
CHARACTERS = 64
"""Characters of a text that cost one."""

_MAKES = frozenset({
    "flatten", "function_expression", "multi_select_dict", "multi_select_list",
    "filter_projection", "projection", "value_projection", "slice",
})  # fmt: skip


class TooMuchWork(ValueError):
    """The expression would take longer, or hold more, than any mapping needs."""


class BoundedInterpreter(visitor.TreeInterpreter):
    """JMESPath's interpreter for one evaluation, within the budget."""

    def __init__(self, options: Any) -> None:
        super().__init__(options)
        self.left = WORK
        """What is left of the budget."""

    def visit(self, node: Any, *args: Any, **kwargs: Any) -> Any:
        """Return the value of a node; raise TooMuchWork where the budget is spent."""
        self.spend(1)
        value = super().visit(node, *args, **kwargs)
        return self.measured(value) if node["type"] in _MAKES else value

    def spend(self, work: int) -> None:
        """Take work from the budget, before it is done."""
        self.left -= work
        if self.left < 0:
            raise TooMuchWork

    def measured(self, value: Any) -> Any:
        """Return the value; raise TooMuchWork where it holds more than the budget has left."""
        stack = [value]
        while stack:
            one = stack.pop()
            if isinstance(one, str):
                self.spend(1 + len(one) // CHARACTERS)
            elif isinstance(one, dict):
                self.spend(1 + len(one))
                stack.extend(one.values())
            elif isinstance(one, list):
                self.spend(1 + len(one))
                stack.extend(one)
        return value
