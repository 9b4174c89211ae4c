"""JMESPath expressions: compiled, checked, the paths that they read, and evaluated within a budget.

`jmespath.compile` accepts unknown functions and wrong numbers of arguments; the check finds them when the file is
read. No message of the library leaves this module, because it quotes values, which may be personal.
"""

from __future__ import annotations

import json
import re
import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from itertools import pairwise
from typing import Any

import jmespath
from jmespath import exceptions, lexer, parser, visitor
from jmespath import functions as jmespath_functions

from bridge.mapping import advice, values
from bridge.mapping.document import Scalar
from bridge.mapping.findings import Findings, Position, did_you_mean, shown
from bridge.mapping.functions import FUNCTIONS, EvaluationFailed, Functions, arity, names
from bridge.messages import N_, Message

FieldPath = tuple[str, ...]
Scope = frozenset[FieldPath]

ELEMENT = "[]"
"""The step into any element of a list."""
ANY = "*"
"""The step into any value of an object."""
_ROOT: Scope = frozenset({()})
_NOTHING: Scope = frozenset()
_GIVES_AN_ARGUMENT = frozenset({"default", "not_null"})
_GIVES_THE_LIST = frozenset({"sort", "sort_by", "reverse"})
_GIVES_AN_ELEMENT = frozenset({"max_by", "min_by", "max", "min"})


@dataclass(frozen=True, slots=True)
class Part:
    """A part of an expression and the paths that its value may come from."""

    node: dict[str, Any]
    scope: Scope


class Reading:
    """The paths that an expression reads, its comparisons, and the parts that an index or a slice is taken from."""

    def __init__(self, tree: dict[str, Any]) -> None:
        self._read: set[FieldPath] = set()
        self._whole: set[FieldPath] = set()
        self.compared: list[tuple[str, Part, Part]] = []
        """The operator and the two sides."""
        self.indexed: list[Part] = []
        self.part = Part(tree, self._visit(tree, _ROOT))
        """The whole expression."""
        self._use(self.part.scope)

    @property
    def paths(self) -> frozenset[FieldPath]:
        """Return every path that the expression may read; the empty path stands for the whole context."""
        # A path that leads to another one adds nothing to it; `@` before a name does not read the whole context.
        leading = {path[:end] for path in self._read for end in range(len(path))}
        return frozenset((self._read - leading - {()}) | ({()} & self._whole))

    def _visit(self, node: dict[str, Any], scope: Scope) -> Scope:
        kind, children = node["type"], node["children"]
        match kind:
            case "field":
                return self._step(scope, node["value"])
            case "subexpression" | "index_expression" | "pipe":
                for child in children:
                    scope = self._visit(child, scope)
                    if kind == "index_expression" and child is children[0]:
                        self.indexed.append(Part(child, scope))
                return scope
            case "comparator":
                left, right = (Part(child, self._visit(child, scope)) for child in children)
                self._use(left.scope | right.scope)
                self.compared.append((node["value"], left, right))
                return _NOTHING
            case "current" | "identity" | "slice":
                return scope
            case "index":
                return self._step(scope, ELEMENT)
            case "flatten":
                return self._visit(children[0], scope)
            case "projection" | "filter_projection" | "value_projection":
                return self._project(node, scope)
            case "or_expression" | "and_expression":
                return frozenset().union(*(self._visit(child, scope) for child in children))
            case "function_expression":
                return self._call(node, scope)
            case _:  # not, literals, multi-selects: the children are read, the value is a new one
                for child in children:
                    self._use(self._visit(child, scope))
                return _NOTHING

    def _step(self, scope: Scope, name: str) -> Scope:
        inner = frozenset((*path, name) for path in scope)
        self._read.update(inner)
        return inner

    def _use(self, scope: Scope) -> None:
        self._read.update(scope)
        self._whole.update(scope)

    def _project(self, node: dict[str, Any], scope: Scope) -> Scope:
        children = node["children"]
        base = self._visit(children[0], scope)
        step = ANY if node["type"] == "value_projection" else ELEMENT
        elements = self._step(base, step)
        if node["type"] == "filter_projection":
            self._use(self._visit(children[2], elements))
        # A projection gives a list: a step into it leads to the same elements.
        right = self._visit(children[1], elements)
        return frozenset(path[:-1] if path[-1:] == (ELEMENT,) else path for path in right)

    def _call(self, node: dict[str, Any], scope: Scope) -> Scope:
        children = node["children"]
        given = [self._visit(child, scope) for child in children if child["type"] != "expref"]
        read = _NOTHING.union(*given)
        self._use(read)
        elements = frozenset((*path, ELEMENT) for path in read)
        for child in children:
            if child["type"] == "expref":
                self._use(self._visit(child["children"][0], elements))
        if node["value"] in _GIVES_AN_ARGUMENT:
            return read
        if node["value"] in _GIVES_THE_LIST:
            return given[0] if given else _NOTHING
        return elements if node["value"] in _GIVES_AN_ELEMENT else _NOTHING


WORK = 500_000
"""Ours: the steps of one evaluation; a mapping over an event with a hundred splits takes a few thousand."""
CHARACTERS = 64
"""Characters of a text that cost one step."""

_MAKES = frozenset({
    "flatten", "function_expression", "multi_select_dict", "multi_select_list",
    "filter_projection", "projection", "value_projection", "slice",
})  # fmt: skip


class BoundedInterpreter(visitor.TreeInterpreter):
    """JMESPath's interpreter within the budget of one evaluation, which sets `left`."""

    left = 0

    def visit(self, node: Any, *args: Any, **kwargs: Any) -> Any:
        self.spend(1)
        value = super().visit(node, *args, **kwargs)
        return self.measured(value) if node["type"] in _MAKES else value

    def spend(self, work: int) -> None:
        self.left -= work
        if self.left < 0:
            raise EvaluationFailed(N_("takes too much work or makes too large a value; make it simpler"))

    def measured(self, value: Any) -> Any:
        """Return the value; raise EvaluationFailed where it holds more than the budget has left."""
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
"""Ours, in characters."""
MAX_DEPTH = 60
"""Ours: JMESPath evaluates recursively; this stays far from Python's own limit."""

_CONSTANTS = frozenset({"null", "~", "true", "false"})
_OPTIONS = jmespath.Options(custom_functions=Functions())
_TYPES = {
    "string": N_("a text"),
    "number": N_("a number"),
    "boolean": N_("true or false"),
    "array": N_("a list"),
    "object": N_("an object"),
    "null": N_("nothing"),
    "expref": N_("an expression after &"),
    "array-number": N_("a list of numbers"),
    "array-string": N_("a list of texts"),
}
"""JMESPath's types in words."""
# Texts come first, so that a backtick inside one is no literal's beginning.
_QUOTED = re.compile(r"""'(?:[^'\\]|\\.)*'|"(?:[^"\\]|\\.)*"|`(?P<literal>(?:[^`\\]|\\.)*)`""", re.DOTALL)


@dataclass(frozen=True, slots=True)
class Expression:
    text: str
    parsed: Any = field(repr=False, hash=False, compare=False)
    paths: frozenset[FieldPath] = field(repr=False, hash=False, compare=False)
    """The paths of the context that it reads, such as ("payment", "split", "[]", "walletId")."""
    line: int = field(compare=False)
    column: int = field(compare=False)
    double_quoted: frozenset[str] = field(repr=False, hash=False, compare=False)
    """Names in double quotes that begin a path."""

    @property
    def names(self) -> frozenset[str]:
        return frozenset(path[0] for path in self.paths if path)


class _OfThread(threading.local):
    """A thread's interpreter, which finds its methods once and not for each expression."""

    def __init__(self) -> None:
        self.interpreter = BoundedInterpreter(_OPTIONS)


_of_thread = _OfThread()


def evaluate(expression: Expression, context: dict[str, Any]) -> Any:
    """Return the expression's value in the context; raise EvaluationFailed where it has none."""
    interpreter = _of_thread.interpreter
    interpreter.left = WORK
    try:
        return interpreter.visit(expression.parsed, context)
    except EvaluationFailed:
        raise
    except exceptions.JMESPathTypeError as error:
        raise EvaluationFailed(
            N_("{function}() takes {wanted}, got {kind}"),
            function=error.function_name,
            wanted=values.either(map(_type_words, error.expected_types)),
            kind=_type_words(error.actual_type),
        ) from None
    except (ValueError, TypeError, ArithmeticError, LookupError, AttributeError, RecursionError) as error:
        # JMESPath's own functions raise Python's errors, such as for an average of nothing.
        raise EvaluationFailed(N_("can't be evaluated ({error})"), error=type(error).__name__) from None


def _type_words(kind: Any) -> Message:
    # An error about a list's element has Python's name of the type.
    name = jmespath_functions.TYPES_MAP.get(kind, str(kind))
    return Message(_TYPES.get(name, name))


def compile_expression(node: Scalar, findings: Findings) -> Expression | None:
    """Return the expression of a scalar; None after recording what is wrong with it."""
    if node.plain and node.text.strip() in _CONSTANTS:
        # JMESPath would look for an object of that name, and never find one.
        what = N_("an expression names a value, got {word}; for the text write {{text: '{word}'}}")
        findings.error(node, "expression.constant", what, word=node.text)
        return None
    return compile_text(node.text, node, 0, findings)


def compile_text(text: str, scalar: Scalar, offset: int, findings: Findings) -> Expression | None:
    """Return the expression that begins `offset` characters into a scalar; None after recording what is wrong."""

    def at(position: int) -> Position:
        # In a block scalar or a text over several lines the columns of the value are not those of the file.
        quote = 0 if scalar.plain else 1
        return Position(scalar.line, scalar.column + (quote + offset + position if scalar.inline else 0))

    if not text.strip():
        findings.error(scalar, "expression.empty", N_("an expression is empty; name a value such as payment.value"))
        return None
    if len(text) > MAX_LENGTH:
        what = N_("an expression has at most {limit} characters, got {length}; split it into several fields")
        findings.error(scalar, "expression.too_long", what, limit=MAX_LENGTH, length=len(text))
        return None
    wrong = _wrong_literal(text)
    if wrong is not None:
        literal = str(wrong["literal"]).strip()
        right: values.Text = (
            advice.as_literal(literal) if re.fullmatch(r"-?[\d.]*\d,\d+", literal) else Message(N_("a text as '...'"))
        )
        what = N_("the value between backticks must be JSON, got {got}; write {right}")
        place, caret = at(wrong.start()), _caret(text, wrong.start())
        findings.error(place, "expression.literal", what, caret, got=shown(wrong[0]), right=right)
        return None
    try:
        parsed: Any = parser.Parser().parse(text).parsed
    except exceptions.ParseError as error:
        position = min(error.lex_position or 0, len(text))
        findings.error(at(position), "expression.syntax", _why(error, text, position), _caret(text, position))
        return None
    except RecursionError:
        parsed = None
    if parsed is None or _depth(parsed) > MAX_DEPTH:
        what = N_("an expression is nested deeper than {limit} levels; split it up")
        findings.error(scalar, "expression.depth", what, limit=MAX_DEPTH)
        return None
    if not _check_functions(parsed, text, at, findings):
        return None
    start = at(0)
    if any(one["type"] == "subexpression" and one["children"][0]["type"] == "not_expression" for one in nodes(parsed)):
        what = N_("JMESPath reads !a.b as (!a).b, which never has a value; write !(a.b)")
        findings.warning(start, "expression.not", what)
    return Expression(text, parsed, Reading(parsed).paths, start.line, start.column, _double_quoted(text))


def _caret(text: str, position: int) -> str:
    # Columns are those of the line, for an expression in a block of several.
    line_start = text.rfind("\n", 0, position) + 1
    return f"{text.rstrip()}\n{' ' * (position - line_start)}^"


def _wrong_literal(text: str) -> re.Match[str] | None:
    """Return the first literal that is not JSON, such as `x`, which JMESPath still takes for a text."""
    for match in _QUOTED.finditer(text):
        try:
            if match["literal"] is not None:
                json.loads(match["literal"].replace("\\`", "`"))
        except ValueError:
            return match
    return None


def _why(error: exceptions.ParseError, text: str, position: int) -> Message:
    token = str(error.token_value or "")
    facts: dict[str, Any] = {"expression": shown(text)}
    if not token:
        return Message(N_("expression {expression} ends too early; something is missing after it"), facts)
    if isinstance(error, exceptions.LexerError) and token.startswith("'"):
        return Message(N_("expression {expression} has a text that is never closed; write ' after it too"), facts)
    hint = advice.of_syntax(text, position, token, number=bool(re.match(r"-?\d", token)))
    facts |= {"token": shown(token), "hint": hint}
    if isinstance(error, exceptions.LexerError):
        return Message(N_("expression {expression} has a character it can't have there: {token}; {hint}"), facts)
    return Message(N_("expression {expression} has {token} where it is not allowed; {hint}"), facts)


def _depth(tree: dict[str, Any]) -> int:
    level, depth = [tree], 0
    while level:
        depth += 1
        level = [child for node in level for child in node["children"] if isinstance(child, dict)]
    return depth


def nodes(tree: dict[str, Any]) -> Iterator[dict[str, Any]]:
    stack = [tree]
    while stack:
        node = stack.pop()
        yield node
        stack.extend(child for child in reversed(node["children"]) if isinstance(child, dict))


def _check_functions(tree: dict[str, Any], text: str, at: Callable[[int], Position], findings: Findings) -> bool:
    positions: dict[str, list[int]] = {}
    for token, following in pairwise(lexer.Lexer().tokenize(text)):
        if token["type"] == "unquoted_identifier" and following["type"] == "lparen":
            positions.setdefault(token["value"], []).append(token["start"])
    good = True
    for call in [node for node in nodes(tree) if node["type"] == "function_expression"]:
        name, given = call["value"], len(call["children"])
        spot = at(positions[name].pop(0) if positions.get(name) else 0)
        bounds = arity(name)
        if bounds is None:
            instead = Message(advice.INSTEAD.get(name.lower(), ""))
            hint = Message("; {advice}", {"advice": instead}) if instead else did_you_mean(name, names())
            what = N_("unknown function {function}{hint}")
            findings.error(spot, "expression.unknown_function", what, function=shown(name), hint=hint)
            good = False
        elif given < bounds[0] or (bounds[1] is not None and given > bounds[1]):
            what = N_("{function} takes {wanted} arguments, got {given}")
            if bounds[0] == 1:
                what = N_("{function} takes {wanted} argument, got {given}")
            if bounds[1] is None:
                what = N_("{function} takes one argument or more, got {given}")
            function = FUNCTIONS[name].signature if name in FUNCTIONS else f"{name}()"
            facts = {"function": function, "wanted": bounds[0], "given": given}
            findings.error(spot, "expression.arguments", what, **facts)
            good = False
        elif name == "date" and (wrong := _wrong_directive(call["children"][1])):
            near = next((one for one in values.DIRECTIVES if one.lower() == wrong.lower()), "")
            hint = Message(N_("; did you mean {word}?"), {"word": near}) if near else ""
            facts = {"directive": shown(wrong), "known": " ".join(values.DIRECTIVES), "hint": hint}
            what = N_("date() does not know {directive}; it knows {known}{hint}")
            findings.error(spot, "expression.date_format", what, **facts)
            good = False
    return good


def _wrong_directive(pattern: dict[str, Any]) -> str | None:
    return values.wrong_directive(str(pattern["value"])) if pattern["type"] == "literal" else None


def _double_quoted(text: str) -> frozenset[str]:
    tokens = [{"type": "", "value": ""}, *lexer.Lexer().tokenize(text)] if '"' in text else []
    return frozenset(
        str(token["value"])
        for before, token in pairwise(tokens)
        if token["type"] == "quoted_identifier" and before["type"] != "dot"
    )
