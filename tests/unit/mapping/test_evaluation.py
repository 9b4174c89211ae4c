"""Expressions as functions give what JMESPath's own interpreter gives."""

from __future__ import annotations

from typing import Any

import jmespath
import pytest
from hypothesis import given
from hypothesis import strategies as st
from jmespath import exceptions, visitor

from bridge.mapping.budget import BoundedInterpreter
from bridge.mapping.evaluation import runner
from bridge.mapping.functions import FunctionFailed, Functions

EXPRESSIONS = [
    "a",
    "a.b",
    "a.b.c",
    "a || b",
    "a.b || 'text'",
    "a && b",
    "!a",
    "'text'",
    '`{"b": 1}`.b',
    "a[0].b",
    "a[].b",
    "a[?b == `1`].c",
    "a[:2]",
    "@",
    "keys(a)",
    "sort_by(a, &b)",
    "length(a || b)",
    "upper(a)",
    "default(a.b, c)",
    "{x: a, y: b}",
    "[a, b]",
    "a == b",
    "a | b",
]
_FUNCTIONS = Functions()
_OPTIONS = jmespath.Options(custom_functions=_FUNCTIONS)
_INTERPRETER = visitor.TreeInterpreter(_OPTIONS)
_LEAF: st.SearchStrategy[Any] = (
    st.none() | st.booleans() | st.integers(0, 2) | st.sampled_from(["", "x"]) | st.sampled_from([[], {}])
)
_KEYS = st.sampled_from("abc")
_CONTEXT = st.dictionaries(
    _KEYS, st.recursive(_LEAF, lambda inner: st.lists(inner, max_size=2) | st.dictionaries(_KEYS, inner, max_size=2))
)


def outcome(value: Any) -> Any:
    """Return what a call gives, or the kind of its error."""
    try:
        return value()
    except (exceptions.JMESPathError, FunctionFailed, TypeError, AttributeError) as error:
        return type(error)


@pytest.mark.parametrize("text", EXPRESSIONS)
@given(context=_CONTEXT)
def test_both_give_the_same(text: str, context: dict[str, Any]) -> None:
    """The same value, or the same kind of error, for whatever the context holds."""
    tree = jmespath.compile(text).parsed
    run = runner(tree, _FUNCTIONS.call_function)
    bounded = BoundedInterpreter(_OPTIONS)

    assert outcome(lambda: run(context, bounded)) == outcome(lambda: _INTERPRETER.visit(tree, context))
