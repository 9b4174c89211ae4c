"""Compiles JMESPath expressions, finds in the parsed tree what can't work, and evaluates them.

`jmespath.compile` accepts unknown functions and wrong numbers of arguments, which would only show when an event comes:
they are looked for here, when the file is read. Evaluation never lets a library's message out, because those quote the
value, and values are people's names and documents.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from itertools import pairwise
from typing import Any

import jmespath
from jmespath import exceptions, lexer, parser
from jmespath import functions as jmespath_functions

from bridge.mapping import advice, dates
from bridge.mapping.budget import BoundedInterpreter, TooMuchWork
from bridge.mapping.document import Node, Scalar
from bridge.mapping.findings import Findings, Spot, did_you_mean, shown
from bridge.mapping.functions import FUNCTIONS, FunctionFailed, Functions, arity, names
from bridge.mapping.paths import Path, paths_read

MAX_LENGTH = 2000
"""Ours: more than this belongs into several fields."""
MAX_DEPTH = 60
"""Ours: JMESPath evaluates recursively; this stays far from Python's own limit."""

_CONSTANTS = frozenset({"null", "~", "true", "false"})
_OPTIONS = jmespath.Options(custom_functions=Functions())
_JMESPATH_NAMES = jmespath_functions.TYPES_MAP
"""Python's name of a type to JMESPath's: an error about a list's element names the former."""
# Texts come first, so that a backtick inside one is no literal's beginning.
_QUOTED = re.compile(r"""'(?:[^'\\]|\\.)*'|"(?:[^"\\]|\\.)*"|`(?P<literal>(?:[^`\\]|\\.)*)`""", re.DOTALL)


@dataclass(frozen=True, slots=True)
class Expression:
    """A compiled expression that can run."""

    text: str
    parsed: Any = field(repr=False, hash=False, compare=False)
    paths: frozenset[Path] = field(repr=False, hash=False, compare=False)
    """Every path of the context that it reads, such as ("payment", "split", "[]", "walletId")."""
    line: int = field(compare=False)
    column: int = field(compare=False)
    double_quoted: frozenset[str] = field(repr=False, hash=False, compare=False)
    """Names in double quotes that begin a path."""

    @property
    def names(self) -> frozenset[str]:
        """Return the names of the context that it reads, such as payment and customer."""
        return frozenset(path[0] for path in self.paths if path)


class EvaluationFailed(Exception):
    """The expression could not be evaluated; the text says why without quoting a value."""


def evaluate(expression: Expression, context: dict[str, Any]) -> Any:
    """Return the expression's value in the context."""
    try:
        return BoundedInterpreter(_OPTIONS).visit(expression.parsed, context)
    except TooMuchWork:
        raise EvaluationFailed("takes too much work or makes too large a value; make it simpler") from None
    except FunctionFailed as error:
        raise EvaluationFailed(str(error)) from None
    except exceptions.JMESPathTypeError as error:
        wanted = " or ".join(str(kind) for kind in error.expected_types)
        got = _JMESPATH_NAMES.get(error.actual_type, error.actual_type)
        raise EvaluationFailed(f"{error.function_name}() takes {wanted}, got {got}") from None
    except (ValueError, TypeError, ArithmeticError, LookupError, AttributeError, RecursionError) as error:
        # JMESPath's own functions raise whatever Python does (an average of nothing, a sum of texts).
        raise EvaluationFailed(f"can't be evaluated ({type(error).__name__})") from None


def compile_expression(node: Scalar, findings: Findings) -> Expression | None:
    """Return the expression a scalar holds, or None after saying what is wrong with it."""
    if node.plain and node.text.strip() in _CONSTANTS:
        # JMESPath would look for an object of that name, and never find one.
        message = f"an expression names a value, got {node.text}; for the text write {{text: '{node.text}'}}"
        findings.error(node, "expression.constant", message)
        return None
    return compile_text(node.text, node, 0, node, findings)


def compile_text(text: str, node: Node, offset: int, scalar: Scalar, findings: Findings) -> Expression | None:
    """Return the expression that stands `offset` characters into a scalar, or None after saying what is wrong."""
    place = _Place(text, scalar, offset)
    if not text.strip():
        findings.error(node, "expression.empty", "an expression is empty; name a value such as payment.value")
        return None
    if len(text) > MAX_LENGTH:
        findings.error(
            node, "expression.too_long", f"an expression has at most {MAX_LENGTH} characters, got {len(text)}"
        )
        return None
    wrong = _wrong_literal(text)
    if wrong is not None:
        message = f"the value between backticks must be JSON, got {shown(wrong.group())}; write texts as '...'"
        caret = _caret(text, wrong.start())
        findings.error(place.at(wrong.start()), "expression.literal", message, caret=caret)
        return None
    try:
        parsed: Any = parser.Parser().parse(text).parsed
    except exceptions.ParseError as error:
        position = min(error.lex_position or 0, len(text))
        findings.error(place.at(position), "expression.syntax", _why(error, text), caret=_caret(text, position))
        return None
    except RecursionError:
        parsed = None
    if parsed is None or _depth(parsed) > MAX_DEPTH:
        findings.error(node, "expression.depth", f"an expression is nested deeper than {MAX_DEPTH} levels; split it up")
        return None
    if not _check_functions(parsed, text, place, findings):
        return None
    start = place.at(0)
    if any(_is_loose_not(branch) for branch in _branches(parsed)):
        findings.warning(
            start, "expression.not", "JMESPath reads !a.b as (!a).b, which never has a value; write !(a.b)"
        )
    return Expression(text, parsed, paths_read(parsed), start.line, start.column, _double_quoted(text))


@dataclass(frozen=True, slots=True)
class _Place:
    text: str
    scalar: Scalar
    offset: int

    def at(self, position: int) -> Spot:
        # Inside a block scalar or a text over several lines the columns of the file are not those of the value.
        if not self.scalar.inline:
            return Spot(self.scalar.line, self.scalar.column)
        quote = 0 if self.scalar.plain else 1
        return Spot(self.scalar.line, self.scalar.column + quote + self.offset + position)


def _caret(text: str, position: int) -> str:
    # Counted in the last line, should the expression stand in a block of several.
    line_start = text.rfind("\n", 0, position) + 1
    return f"{text.rstrip()}\n{' ' * (position - line_start)}^"


def _wrong_literal(text: str) -> re.Match[str] | None:
    """Return the first literal that is not JSON; JMESPath takes `x` for a text with a warning, for now."""
    for match in _QUOTED.finditer(text):
        literal = match.group("literal")
        if literal is not None:
            try:
                json.loads(literal.replace("\\`", "`"))
            except ValueError:
                return match
    return None


def _why(error: exceptions.ParseError, text: str) -> str:
    token = str(error.token_value or "")
    position = min(error.lex_position or 0, len(text))
    hint = advice.of_syntax(text, position, token, number=bool(re.match(r"-?\d", token)))
    if not token:
        return f"expression {shown(text)} ends too early; something is missing after its last character"
    if isinstance(error, exceptions.LexerError) and token.startswith("'"):
        return f"expression {shown(text)} has a text that is never closed; write ' behind it too"
    what = "a character it can't have there: " if isinstance(error, exceptions.LexerError) else ""
    where = "" if what else " where it can't stand"
    return f"expression {shown(text)} has {what}{shown(token)}{where}; {hint}"


def _depth(tree: dict[str, Any]) -> int:
    deepest, stack = 0, [(tree, 1)]
    while stack:
        node, depth = stack.pop()
        deepest = max(deepest, depth)
        stack.extend((child, depth + 1) for child in node["children"] if isinstance(child, dict))
    return deepest


def _is_loose_not(node: dict[str, Any]) -> bool:
    return bool(node["type"] == "subexpression" and node["children"][0]["type"] == "not_expression")


def _branches(tree: dict[str, Any]) -> Iterator[dict[str, Any]]:
    stack = [tree]
    while stack:
        node = stack.pop()
        yield node
        stack.extend(child for child in reversed(node["children"]) if isinstance(child, dict))


def _check_functions(tree: dict[str, Any], text: str, place: _Place, findings: Findings) -> bool:
    positions = _name_positions(text)
    good = True
    for call in [node for node in _branches(tree) if node["type"] == "function_expression"]:
        name, given = call["value"], len(call["children"])
        spot = place.at(positions[name].pop(0)) if positions.get(name) else place.at(0)
        bounds = arity(name)
        if bounds is None:
            hint = f"; {instead}" if (instead := advice.instead_of(name)) else did_you_mean(name, names())
            findings.error(spot, "expression.unknown_function", f"unknown function {shown(name)}{hint}")
            good = False
        elif given < bounds[0] or (bounds[1] is not None and given > bounds[1]):
            findings.error(
                spot,
                "expression.arguments",
                f"{_signature(name)} takes {'at least ' if bounds[1] is None else ''}{bounds[0]} "
                f"{'argument' if bounds[0] == 1 else 'arguments'}, got {given}",
            )
            good = False
        elif name == "date":
            good &= _check_date_format(call, spot, findings)
    return good


def _signature(name: str) -> str:
    return FUNCTIONS[name].signature if name in FUNCTIONS else f"{name}()"


def _check_date_format(call: dict[str, Any], spot: Spot, findings: Findings) -> bool:
    pattern = call["children"][1]
    wrong = dates.wrong_directive(str(pattern["value"])) if pattern["type"] == "literal" else None
    if wrong is None:
        return True
    near = next((one for one in dates.DIRECTIVES if one.lower() == wrong.lower()), "")
    hint = f"; did you mean {near}?" if near else ""
    known = " ".join(dates.DIRECTIVES)
    findings.error(spot, "expression.date_format", f"date() does not know {shown(wrong)}; it knows {known}{hint}")
    return False


def _double_quoted(text: str) -> frozenset[str]:
    tokens = [{"type": "", "value": ""}, *lexer.Lexer().tokenize(text)] if '"' in text else []
    return frozenset(
        str(token["value"])
        for before, token in pairwise(tokens)
        if token["type"] == "quoted_identifier" and before["type"] != "dot"
    )


def _name_positions(text: str) -> dict[str, list[int]]:
    """Return where each name that is called stands, since the tree has names but no positions."""
    tokens = list(lexer.Lexer().tokenize(text))
    positions: dict[str, list[int]] = {}
    for token, following in pairwise(tokens):
        if token["type"] == "unquoted_identifier" and following["type"] == "lparen":
            positions.setdefault(token["value"], []).append(token["start"])
    return positions
