"""Expressions as functions give what JMESPath's own interpreter gives."""

from __future__ import annotations

from typing import Any

import jmespath
import pytest
from hypothesis import given
from hypothesis import strategies as st
from jmespath import exceptions, visitor

from bridge.mapping.budget import CHARACTERS, WORK, BoundedInterpreter, TooMuchWork
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


def test_all_that_a_value_holds_is_measured() -> None:
    """Texts by their length, lists and objects with everything in them, however deep."""
    interpreter = BoundedInterpreter(_OPTIONS)
    left = interpreter.left
    value = {"x": ["a" * 640, {"y": 1}], "z": "b"}

    assert interpreter.measured(value) is value
    # The object and its two values, the list and its two, the long text, the inner object and its one, the short text.
    assert left - interpreter.left == 3 + 3 + 11 + 2 + 1
    with pytest.raises(TooMuchWork):
        interpreter.measured("c" * CHARACTERS * WORK)


@pytest.mark.parametrize(
    ("value", "flat"), [([[1], 2, [3]], [1, 2, 3]), ({"b": [1]}, None), ("text", None), (None, None)]
)
def test_only_a_list_is_flattened(value: Any, flat: list[int] | None) -> None:
    """What is no list has nothing to flatten, as in JMESPath."""
    assert BoundedInterpreter(_OPTIONS).visit(jmespath.compile("a[]").parsed["children"][0], {"a": value}) == flat


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
