"""YAML text to nodes that know their line and column.

No value is converted: YAML 1.1 would turn an unquoted 01310 into 712 and `on` into true, and drop the first of two
equal keys. Size and depth are limited, and anchors, aliases, merge keys and tags are refused.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import cast

import yaml
from yaml.reader import ReaderError

from bridge.mapping.advice import SPACES, invisible
from bridge.mapping.findings import Findings, Position
from bridge.mapping.values import Text
from bridge.messages import N_, Message

MAX_CHARACTERS = 64 * 1024
"""Ours: ten times a long mapping; PyYAML's parser takes seconds for the worst of it."""
MAX_DEPTH = 24
"""Ours: a person reads no filter that is nested deeper."""


@dataclass(slots=True)
class Node:
    line: int
    column: int


@dataclass(slots=True)
class Scalar(Node):
    text: str
    plain: bool
    """Neither quoted nor a block: `null`, `true` and numbers may be meant."""
    inline: bool
    """Its characters stand in the file as they are, so a position inside it is one of the file."""
    comment: str = ""
    """The text behind a `#` on the same line, where the scalar has no quotes."""


@dataclass(slots=True)
class _Collection(Node):
    items: list[Node] = field(default_factory=list)


class Sequence(_Collection):
    pass


@dataclass(slots=True)
class MappingNode(_Collection):
    """A YAML mapping; `items` alternates keys and values."""

    flow: bool = False
    """Written in braces, where a comma ends a value."""

    @property
    def pairs(self) -> list[tuple[Scalar, Node]]:
        """Return the pairs in the order of the file, duplicates included, merge keys left out."""
        pairs = zip(cast(list[Scalar], self.items[::2]), self.items[1::2], strict=False)
        return [(key, value) for key, value in pairs if not _is_merge(key)]


def _is_merge(key: Scalar) -> bool:
    return key.plain and key.text == "<<"


def read_document(text: str, findings: Findings) -> Node | None:
    """Return the nodes before the first syntax error, all where there is none; None where there is nothing."""
    text = text.removeprefix("\ufeff")
    if len(text) > MAX_CHARACTERS:
        what = N_("a mapping has at most {limit} characters, got {length}; split it into several files")
        findings.error(Position(1, 1), "file.too_large", what, limit=MAX_CHARACTERS, length=len(text))
        return None
    text = _with_plain_spaces(text, findings)
    builder = _Builder(text, findings)
    try:
        findings.complete = builder.build(yaml.parse(text, Loader=yaml.SafeLoader))
    except ReaderError as error:
        what = N_("YAML does not allow this character; delete it")
        findings.error(_position_of(text, error.position), "yaml.character", what)
        return None
    except yaml.MarkedYAMLError as error:
        _report_syntax(error, text, findings)
        if builder.last is not None and not builder.last.inline:
            findings.refuse(builder.last)  # its lines were read as one text because of the syntax error
        findings.complete = False
    root = builder.root
    if isinstance(root, Scalar) and root.plain and not root.text:
        root = None  # `---` and nothing behind it
    if findings.complete and root is None:
        what = N_("the file is empty; begin with events: and contact:, as in mappings/README.md")
        findings.error(Position(1, 1), "file.empty", what)
    return root


def _position_of(text: str, index: int) -> Position:
    return Position(text.count("\n", 0, index) + 1, index - text.rfind("\n", 0, index))


_PROBLEMS = (
    ("mapping values are not allowed", N_("a colon is where none is allowed")),
    ("found unexpected end of stream", N_("a quote is never closed")),
    ("could not find expected ':'", N_("a key has no colon after it")),
    ("expected ',' or ']'", N_("a [ is never closed, or a comma is missing")),
    ("expected ',' or '}'", N_("a { is never closed, or a comma is missing")),
    ("expected <block end>", N_("this line does not fit the block above it")),
    ("found unknown escape", N_("a \\ in double quotes stands before a character that has no such form")),
    ("expected chomping", N_("| and > begin a block of text, which can't be read")),
    ("found character", N_("no value can begin with this character")),
    ("expected alphabetic or numeric", N_("* and & begin an alias, which is not allowed here")),
)
"""How PyYAML's own words for a syntax error begin, with the bridge's."""


def _report_syntax(error: yaml.MarkedYAMLError, text: str, findings: Findings) -> None:
    mark = error.problem_mark or error.context_mark
    spot = Position(mark.line + 1, mark.column + 1) if mark else Position(1, 1)
    lines = text.splitlines()
    line = lines[spot.line - 1] if spot.line <= len(lines) else ""
    if line[spot.column - 1 : spot.column] == "\t":
        findings.error(spot, "yaml.tab", N_("there is a tab here; indent YAML with spaces"))
        return
    if hash_spot := _cut_in_braces(error, lines, spot):
        what = N_(
            "a # after a space begins a comment, so the braces are never closed; close them before it, or put the "
            "text in quotes"
        )
        findings.error(hash_spot, "yaml.syntax", what)
        findings.end_at(hash_spot)
        return
    problem, began = str(error.problem), error.context_mark
    since: Text = ""
    if began and began.line + 1 != spot.line:
        since = Message(N_(" (the part begins on line {line})"), {"line": began.line + 1})
    colon = problem.startswith("mapping values are not allowed") and ": " in line[: spot.column - 1]
    hint = Message(N_("put a text with a colon in quotes")) if colon else _unclosed(error, line, spot)
    hint = hint or _indentation(lines, spot) or _hint(problem, line, spot)
    said = Message(next((ours for start, ours in _PROBLEMS if problem.startswith(start)), N_("it can't be read")))
    what = N_("this is not YAML: {problem}{since}; {hint}")
    findings.error(spot, "yaml.syntax", what, problem=said, since=since, hint=hint)


def _cut_in_braces(error: yaml.MarkedYAMLError, lines: list[str], spot: Position) -> Position | None:
    """Return where a comment begins inside of braces that are not closed, if it looks like a text."""
    if error.context_mark is None or "flow" not in str(error.context):
        return None
    for number in range(error.context_mark.line, min(spot.line, len(lines))):
        line = re.sub(r"\"[^\"]*\"|'[^']*'", lambda quoted: "." * len(quoted[0]), lines[number])
        found = re.search(r"\S[ \t]+(#)([^\s#]|.*[}\]])", line)
        if found:
            return Position(number + 1, found.start(1) + 1)
    return None


_KEY = re.compile(r" *(- +)?[^\s:#{\[-][^:#]*:( |$)")


def _indentation(lines: list[str], spot: Position) -> Text:
    if not 1 < spot.line <= len(lines) or not (line := lines[spot.line - 1]).strip():
        return ""
    before = reversed(lines[: spot.line - 1])
    above = next((one for one in before if one.strip() and not one.lstrip().startswith("#")), "")
    indents = [len(one) - len(one.lstrip(" ")) for one in (above, line)]
    opens = above.split(" #")[0].rstrip().endswith(":")
    if indents[0] == indents[1] or opens or not _KEY.match(above) or not _KEY.match(line):
        return ""
    what = N_(
        "line {line} is indented by {indent} and the line above by {above}; "
        "begin the lines of a block in the same column"
    )
    return Message(what, {"line": spot.line, "indent": indents[1], "above": indents[0]})


def _unclosed(error: yaml.MarkedYAMLError, line: str, spot: Position) -> Text:
    began = error.context_mark
    if began is None or "flow" not in str(error.context) or not line or began.line + 1 >= spot.line:
        return ""
    first = re.fullmatch(r" *\w*", line[: spot.column - 1])
    advice = N_("close what is open since line {line}, or write a comma before this line")
    return Message(advice, {"line": began.line + 1}) if first else ""


def _hint(problem: str, line: str, spot: Position) -> Message:
    hint = N_("check indentation and quotes")
    star = line[spot.column - 2 : spot.column - 1] == "*"
    if re.search(r"(^|[\s{,])[<>=!]=?:", line):
        hint = N_("name the operator: equals, not_equals, greater_than, at_least, less_than or at_most")
    elif problem.startswith("expected alphabetic or numeric") and star:
        hint = N_("name a family, such as PAYMENT_*")
        hint = hint if "events:" in line else N_("put a text that begins with * in quotes")
    elif problem.startswith("could not find expected ':'"):
        hint = N_("write a colon and a space after the key")
    elif re.search(r"'<scalar>'|cannot start any token|but found '\||but got '[\[{]'", problem):
        hint = N_("put the whole value in quotes")
    return Message(hint)


_STRUCTURE = re.compile(rf"^ *[{SPACES}][{SPACES} ]*(?=(- +)?[\w\"']+:( |$)|- )|(?<=:)[{SPACES}]", re.MULTILINE)


def _with_plain_spaces(text: str, findings: Findings) -> str:
    def plain(match: re.Match[str]) -> str:
        start = match.start() + next(index for index, sign in enumerate(match[0]) if sign in SPACES)
        line_start = text.rfind("\n", 0, start) + 1
        quoted = any(text.count(quote, line_start, start) % 2 for quote in "\"'")
        if quoted or "#" in text[line_start:start]:
            return match[0]
        what = N_("this is {sign}; write an ordinary space")
        findings.nonsense(_position_of(text, start), "yaml.invisible", what, sign=invisible(match[0]))
        return " " * len(match[0])

    return _STRUCTURE.sub(plain, text)


_COMMENT = re.compile(r"[ \t]+#([^\n]*)")


class _Builder:
    """Builds nodes from parser events with its own stack: deep nesting meets a limit, not Python's recursion."""

    def __init__(self, text: str, findings: Findings) -> None:
        self._text = text
        self._findings = findings
        self._stack: list[Sequence | MappingNode] = []
        self.root: Node | None = None
        self.last: Scalar | None = None

    def build(self, events: Iterator[yaml.Event]) -> bool:
        """Take the events; return False where the rest of the file was not read."""
        for event in events:
            mark = cast(yaml.Mark, event.start_mark)  # PyYAML's own parser marks every event
            spot = Position(mark.line + 1, mark.column + 1)
            if isinstance(event, yaml.DocumentStartEvent) and self.root is not None:
                what = N_("a second document begins here; one file is one mapping, so put it into its own file")
                self._findings.error(spot, "yaml.documents", what)
                return False
            if isinstance(event, yaml.AliasEvent):
                what = N_("an alias (*{name}) is not allowed; write the value out, or quote the text")
                self._findings.error(spot, "yaml.alias", what, name=str(event.anchor))
                self._add(Scalar(spot.line, spot.column, "", plain=False, inline=False))
            elif isinstance(event, yaml.ScalarEvent | yaml.CollectionStartEvent):
                if event.tag is not None:
                    what = N_("values have no tags here; delete {tag}")
                    self._findings.error(spot, "yaml.tag", what, tag=event.tag)
                if isinstance(event, yaml.ScalarEvent):
                    self.last = self._scalar(event, spot)
                    self._add(self.last)
                elif len(self._stack) >= MAX_DEPTH:
                    what = N_("this is nested deeper than {limit} levels; make it flatter")
                    self._findings.error(spot, "yaml.depth", what, limit=MAX_DEPTH)
                    return False
                else:
                    node: Sequence | MappingNode = Sequence(spot.line, spot.column)
                    if isinstance(event, yaml.MappingStartEvent):
                        node = MappingNode(spot.line, spot.column, flow=bool(event.flow_style))
                    self._add(node)
                    self._stack.append(node)
            elif isinstance(event, yaml.CollectionEndEvent):
                self._stack.pop()
        return True

    def _scalar(self, event: yaml.ScalarEvent, spot: Position) -> Scalar:
        plain, start, end = event.style is None, cast(yaml.Mark, event.start_mark), cast(yaml.Mark, event.end_mark)
        # Escapes in quotes and texts over several lines make the value shorter than the text of the file.
        as_typed = end.index - start.index == len(event.value) + (0 if plain else 2)
        inline = event.style not in {"|", ">"} and start.line == end.line and as_typed
        comment = _COMMENT.match(self._text, end.index) if plain else None
        return Scalar(spot.line, spot.column, event.value, plain, inline, comment[1] if comment else "")

    def _add(self, node: Node) -> None:
        if not self._stack:
            self.root = node
            return
        parent = self._stack[-1]
        is_key = isinstance(parent, MappingNode) and len(parent.items) % 2 == 0
        if is_key and not isinstance(node, Scalar):
            what = N_("a key must be a text; quote it if it holds braces, and write an expression without")
            self._findings.error(node, "yaml.key", what)
            node = Scalar(node.line, node.column, "", plain=False, inline=False)
        elif is_key and _is_merge(cast(Scalar, node)):
            self._findings.error(node, "yaml.merge", N_("a merge key (<<) is not allowed; write the keys out here"))
        parent.items.append(node)
