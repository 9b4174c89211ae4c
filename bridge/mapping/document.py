"""Reads YAML text into nodes that know their line and column; no value is ever converted.

YAML 1.1 turns an unquoted 01310 into 712 and `on` into true, and drops the first of two equal keys without a word.
Here every scalar stays the text that was typed, and a duplicate stays a pair. Memory and work are bounded whatever the
text: size and depth are limited, and anchors, aliases, merge keys and tags are refused, so nothing can multiply.
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

MAX_CHARACTERS = 64 * 1024
"""Ours: ten times a long mapping; PyYAML's parser needs two or three seconds for the worst of it."""
MAX_DEPTH = 24
"""Ours: a filter nested deeper than anybody can read."""


@dataclass(slots=True)
class Node:
    """A scalar, a list or a mapping of the file, where it begins."""

    line: int
    column: int


@dataclass(slots=True)
class Scalar(Node):
    """A text as typed."""

    text: str
    plain: bool
    """Not quoted and no block: `null`, `true` and numbers may be meant."""
    inline: bool
    """Its characters stand in the file as they are, so a position inside it can be told exactly."""
    comment: str = ""
    """What stands behind a `#` on the same line, where the text has no quotes."""


@dataclass(slots=True)
class Sequence(Node):
    """A list."""

    items: list[Node] = field(default_factory=list)


@dataclass(slots=True)
class MappingNode(Node):
    """A mapping, with its pairs in the order of the file, duplicates included."""

    pairs: list[tuple[Scalar, Node]] = field(default_factory=list)
    flow: bool = False
    """Written in braces, where a comma ends a value."""


@dataclass(frozen=True, slots=True)
class Document:
    """What could be read of a file."""

    root: Node | None
    complete: bool
    """False after a syntax error: what seems to be missing may stand behind it."""


def read_document(text: str, findings: Findings) -> Document:
    """Return the nodes of the text, as many as stand before the first syntax error."""
    text = text.removeprefix("\ufeff")
    if len(text) > MAX_CHARACTERS:
        findings.error(
            Position(1, 1),
            "file.too_large",
            f"a mapping has at most {MAX_CHARACTERS} characters, got {len(text)}; split it into several files",
        )
        return Document(None, False)
    text = _with_plain_spaces(text, findings)
    builder = _Builder(text, findings)
    try:
        complete = builder.build(yaml.parse(text, Loader=yaml.SafeLoader))
    except ReaderError as error:
        line = text.count("\n", 0, error.position) + 1
        column = error.position - (text.rfind("\n", 0, error.position) + 1) + 1
        findings.error(Position(line, column), "yaml.character", "a character that YAML does not allow; delete it")
        return Document(None, False)
    except yaml.MarkedYAMLError as error:
        _report_syntax(error, text, findings)
        last = builder.last
        if last is not None and not last.inline:
            findings.refuse(last)  # its lines were taken together, which the syntax error explains
        complete = False
    root = builder.root
    if isinstance(root, Scalar) and root.plain and not root.text:
        root = None  # `---` and nothing behind it
    if complete and root is None:
        findings.error(
            Position(1, 1), "file.empty", "the file is empty; begin with events: and contact:, as in mappings/README.md"
        )
    return Document(root, complete)


def _report_syntax(error: yaml.MarkedYAMLError, text: str, findings: Findings) -> None:
    mark = error.problem_mark or error.context_mark
    spot = Position(mark.line + 1, mark.column + 1) if mark else Position(1, 1)
    lines = text.splitlines()
    at = lines[spot.line - 1][spot.column - 1 : spot.column] if spot.line <= len(lines) else ""
    if at == "\t":
        findings.error(spot, "yaml.tab", "a tab; YAML is indented with spaces")
        return
    began = error.context_mark
    hash_spot = _cut_in_braces(error, lines, spot)
    if hash_spot:
        what = "a # behind a space begins a comment, so the braces are never closed; "
        what += "close them before it, or put the text in quotes"
        findings.error(hash_spot, "yaml.syntax", what)
        findings.end_at(hash_spot)
        return
    since = f" (in what begins on line {began.line + 1})" if began and began.line + 1 != spot.line else ""
    problem = str(error.problem)
    hint = _colon(problem, lines, spot) or _unclosed(error, lines, spot) or _indentation(lines, spot)
    hint = hint or _hint(problem, lines, spot) or "check indentation and quotes"
    findings.error(spot, "yaml.syntax", f"not YAML: {problem}{since}; {hint}")


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


def _indentation(lines: list[str], spot: Position) -> str:
    """Return what to do where a line begins between two columns; empty where that is not what is wrong."""
    if not 1 < spot.line <= len(lines) or not (line := lines[spot.line - 1]).strip():
        return ""
    above = next(
        (one for one in reversed(lines[: spot.line - 1]) if one.strip() and not one.lstrip().startswith("#")), ""
    )
    indents = [len(one) - len(one.lstrip(" ")) for one in (above, line)]
    opens = above.split(" #")[0].rstrip().endswith(":")
    if indents[0] == indents[1] or opens or not _KEY.match(above) or not _KEY.match(line):
        return ""
    return (
        f"line {spot.line} is indented by {indents[1]} and the line above by {indents[0]}; "
        "begin the lines of a block in the same column"
    )


_KEY = re.compile(r" *(- +)?[^\s:#{\[-][^:#]*:( |$)")


def _colon(problem: str, lines: list[str], spot: Position) -> str:
    before = lines[spot.line - 1][: spot.column - 1] if spot.line <= len(lines) else ""
    found = problem.startswith("mapping values are not allowed") and ": " in before
    return "put a text with a colon in quotes" if found else ""


def _unclosed(error: yaml.MarkedYAMLError, lines: list[str], spot: Position) -> str:
    began = error.context_mark
    if began is None or "flow" not in str(error.context) or not began.line + 1 < spot.line <= len(lines):
        return ""
    first = re.fullmatch(r" *\w*", lines[spot.line - 1][: spot.column - 1])
    return f"close what is open since line {began.line + 1}, or write a comma before this line" if first else ""


def _hint(problem: str, lines: list[str], spot: Position) -> str:
    line = lines[spot.line - 1] if spot.line <= len(lines) else ""
    if re.search(r"(^|[\s{,])[<>=!]=?:", line):
        return "name the operator: equals, not_equals, greater_than, at_least, less_than or at_most"
    if problem.startswith("expected alphabetic or numeric") and line[spot.column - 2 : spot.column - 1] == "*":
        if "events:" in line:
            return "name a family, such as PAYMENT_*"
        return "put a text that begins with * in quotes"
    if problem.startswith("could not find expected ':'"):
        return "write a colon and a space behind the key"
    if re.search(r"'<scalar>'|cannot start any token|but found '\||but got '[\[{]'", problem):
        return "put the whole value in quotes"
    return ""


_STRUCTURE = re.compile(rf"^ *[{SPACES}][{SPACES} ]*(?=(- +)?[\w\"']+:( |$)|- )|(?<=:)[{SPACES}]", re.MULTILINE)


def _with_plain_spaces(text: str, findings: Findings) -> str:
    """Return the text with ordinary spaces where others stand before a key or behind its colon; say where."""

    def plain(match: re.Match[str]) -> str:
        start = match.start() + next(index for index, sign in enumerate(match[0]) if sign in SPACES)
        line_start = text.rfind("\n", 0, start) + 1
        quoted = any(text.count(quote, line_start, start) % 2 for quote in "\"'")
        if quoted or "#" in text[line_start:start]:
            return match[0]
        spot = Position(text.count("\n", 0, start) + 1, start - line_start + 1)
        findings.nonsense(spot, "yaml.invisible", f"{invisible(match[0])}; write an ordinary space")
        return " " * len(match[0])

    return _STRUCTURE.sub(plain, text)


def _is_inline(event: yaml.ScalarEvent) -> bool:
    # Escapes in quotes and texts over several lines make the value shorter than what stands in the file.
    quotes = 0 if event.style is None else 2
    start, end = cast(yaml.Mark, event.start_mark), cast(yaml.Mark, event.end_mark)
    typed_length = end.index - start.index
    return event.style not in {"|", ">"} and start.line == end.line and typed_length == len(event.value) + quotes


class _Builder:
    """Builds nodes from parser events with a stack of its own, so that deep nesting meets a limit, not recursion."""

    def __init__(self, text: str, findings: Findings) -> None:
        self._text = text
        self._findings = findings
        self._stack: list[Sequence | MappingNode] = []
        self._keys: list[Scalar | None] = []
        self.root: Node | None = None
        self.last: Scalar | None = None
        """The scalar that was read last."""

    def build(self, events: Iterator[yaml.Event]) -> bool:
        """Take the events; return False where the rest of the file was not looked at."""
        for event in events:
            mark = cast(yaml.Mark, event.start_mark)  # PyYAML's own parser marks every event
            spot = Position(mark.line + 1, mark.column + 1)
            if isinstance(event, yaml.DocumentStartEvent) and self.root is not None:
                self._findings.error(
                    spot, "yaml.documents", "a second document; one file is one mapping, so put it into its own file"
                )
                return False
            if isinstance(event, yaml.AliasEvent):
                self._refuse_alias(spot, str(event.anchor))
                self._add(Scalar(spot.line, spot.column, "", plain=False, inline=False))
            elif isinstance(event, yaml.NodeEvent) and not self._start(event, spot):
                return False
            elif isinstance(event, yaml.CollectionEndEvent):
                self._stack.pop()
                self._keys.pop()
        return True

    def _refuse_alias(self, spot: Position, name: str) -> None:
        self._findings.error(
            spot, "yaml.alias", f"an alias (*{name}); write the value out, or quote the text if it begins with *"
        )

    def _start(self, event: yaml.NodeEvent, spot: Position) -> bool:
        if isinstance(event, yaml.ScalarEvent):
            self._refuse_tag(event, spot)
            plain = event.style is None
            comment = self._comment_behind(cast(yaml.Mark, event.end_mark).index) if plain else ""
            self.last = Scalar(spot.line, spot.column, event.value, plain, _is_inline(event), comment)
            self._add(self.last)
            return True
        self._refuse_tag(cast(yaml.CollectionStartEvent, event), spot)
        if len(self._stack) >= MAX_DEPTH:
            self._findings.error(spot, "yaml.depth", f"nested deeper than {MAX_DEPTH} levels; make it flatter")
            return False
        node: Sequence | MappingNode = (
            Sequence(spot.line, spot.column)
            if isinstance(event, yaml.SequenceStartEvent)
            else MappingNode(spot.line, spot.column, flow=bool(cast(yaml.MappingStartEvent, event).flow_style))
        )
        self._add(node)
        self._stack.append(node)
        self._keys.append(None)
        return True

    def _comment_behind(self, index: int) -> str:
        found = re.compile(r"[ \t]+#([^\n]*)").match(self._text, index)
        return found[1] if found else ""

    def _refuse_tag(self, event: yaml.ScalarEvent | yaml.CollectionStartEvent, spot: Position) -> None:
        # "!" is how YAML writes "this is text" and is harmless, but nobody needs it here either.
        if event.tag is not None:
            self._findings.error(spot, "yaml.tag", f"a tag ({event.tag}); values have no tags here, delete it")

    def _add(self, node: Node) -> None:
        if not self._stack:
            self.root = node
            return
        parent = self._stack[-1]
        if isinstance(parent, Sequence):
            parent.items.append(node)
            return
        key = self._keys[-1]
        if key is None:
            self._keys[-1] = self._as_key(node)
        else:
            if not (key.plain and key.text == "<<"):
                parent.pairs.append((key, node))
            self._keys[-1] = None

    def _as_key(self, node: Node) -> Scalar:
        if not isinstance(node, Scalar):
            self._findings.error(
                node, "yaml.key", "a key must be a text; quote it if it holds braces, and write an expression without"
            )
            return Scalar(node.line, node.column, "", plain=False, inline=False)
        if node.plain and node.text == "<<":
            self._findings.error(node, "yaml.merge", "a merge key (<<); write the keys out here")
        return node
