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
from jmespath import exceptions, lexer, parser, visitor
from jmespath import functions as jmespath_functions

from bridge.mapping import advice, values
from bridge.mapping.document import Node, Scalar
from bridge.mapping.findings import Findings, Position, did_you_mean, shown
from bridge.mapping.functions import FUNCTIONS, FunctionFailed, Functions, arity, names

FieldPath = tuple[str, ...]
Scope = frozenset[FieldPath]

ELEMENT = "[]"
"""The step into a list's elements, whichever of them."""
ANY = "*"
"""The step into an object's values, whichever of them."""
_ROOT: Scope = frozenset({()})
_NOTHING: Scope = frozenset()
_GIVES_AN_ARGUMENT = frozenset({"default", "not_null"})
_GIVES_THE_LIST = frozenset({"sort", "sort_by", "reverse"})
_GIVES_AN_ELEMENT = frozenset({"max_by", "min_by", "max", "min"})


def paths_read(tree: dict[str, Any]) -> frozenset[FieldPath]:
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


def _leads_to(path: FieldPath, other: FieldPath) -> bool:
    return len(other) > len(path) and other[: len(path)] == path


class _Reader:
    def __init__(self) -> None:
        self.read: set[FieldPath] = set()
        self.whole: set[FieldPath] = set()
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
    paths: frozenset[FieldPath] = field(repr=False, hash=False, compare=False)
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
    place = _TextPosition(text, scalar, offset)
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
        hint = "write texts as '...'"
        if re.fullmatch(r"-?[\d.]*\d,\d+", literal := str(wrong["literal"]).strip()):
            hint = f"write `{advice.as_literal(literal)}`"
        message = f"the value between backticks must be JSON, got {shown(wrong.group())}; {hint}"
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
class _TextPosition:
    text: str
    scalar: Scalar
    offset: int

    def at(self, position: int) -> Position:
        # Inside a block scalar or a text over several lines the columns of the file are not those of the value.
        if not self.scalar.inline:
            return Position(self.scalar.line, self.scalar.column)
        quote = 0 if self.scalar.plain else 1
        return Position(self.scalar.line, self.scalar.column + quote + self.offset + position)


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


def _check_functions(tree: dict[str, Any], text: str, place: _TextPosition, findings: Findings) -> bool:
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


def _check_date_format(call: dict[str, Any], spot: Position, findings: Findings) -> bool:
    pattern = call["children"][1]
    wrong = values.wrong_directive(str(pattern["value"])) if pattern["type"] == "literal" else None
    if wrong is None:
        return True
    near = next((one for one in values.DIRECTIVES if one.lower() == wrong.lower()), "")
    hint = f"; did you mean {near}?" if near else ""
    known = " ".join(values.DIRECTIVES)
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
