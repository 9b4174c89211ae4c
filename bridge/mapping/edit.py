"""Changes a mapping's text at single places and leaves every other character as it is.

A YAML library that writes a whole document again keeps comments, but not every indentation and line break. Here the
characters of the changed value alone are replaced, found by the positions that PyYAML's nodes carry.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from textwrap import indent
from typing import TypeAlias

import yaml
from yaml.nodes import CollectionNode, MappingNode, Node, ScalarNode, SequenceNode

from bridge.mapping import spec
from bridge.mapping.document import read_document
from bridge.mapping.findings import Findings
from bridge.mapping.values import typed

Path: TypeAlias = tuple[str | int, ...]
"""Keys and places that lead from the document to a value."""
Spot: TypeAlias = tuple[int, int]
"""A line and a column, both from one."""


_LOADER = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
"""libyaml takes a fiftieth of the time; its positions are those of PyYAML's own parser."""


class NotEditable(Exception):
    """The text is no block of keys and values that could be changed at single places."""


class Document:
    """A text that is changed step by step; paths are those of the text as it is at that step."""

    def __init__(self, text: str) -> None:
        findings = Findings("")
        read_document(text, findings)
        if findings.in_order() or not findings.complete:
            raise NotEditable
        self._mark = "\ufeff" if text.startswith("\ufeff") else ""
        self._break = "\r\n" if "\r\n" in text else "\n"
        self._set(text.removeprefix("\ufeff"))
        if any(_has_twins(node) for node in _walk(self._root)):
            raise NotEditable

    @property
    def text(self) -> str:
        return self._mark + self._text

    def _set(self, text: str) -> None:
        self._text = text
        try:
            root = yaml.compose(text, Loader=_LOADER)
        except yaml.YAMLError:
            raise NotEditable from None
        if not isinstance(root, MappingNode) or root.flow_style:
            raise NotEditable
        self._root = root
        self._in_flow = {id(inner) for node in _walk(root) if _is_flow(node) for inner in _walk(node) if inner != node}

    def _splice(self, start: int, end: int, new: str) -> None:
        self._set(self._text[:start] + new.replace("\n", self._break) + self._text[end:])

    # ------------------------------------------------------------ reading

    def node(self, *path: str | int) -> Node | None:
        node: Node | None = self._root
        for step in path:
            if isinstance(node, SequenceNode) and isinstance(step, int) and step < len(node.value):
                node = node.value[step]
            elif isinstance(node, MappingNode):
                node = next((value for key, value in node.value if key.value == step), None)
            else:
                return None
        return node

    def names(self, *path: str | int) -> list[str]:
        node = self.node(*path)
        return [key.value for key, _ in node.value] if isinstance(node, MappingNode) else []

    def scalar(self, *path: str | int) -> str | None:
        node = self.node(*path)
        return node.value if isinstance(node, ScalarNode) else None

    def scalars(self, *path: str | int) -> tuple[str, ...] | None:
        """Return a text or a list of texts; None for anything else."""
        node = self.node(*path)
        items = node.value if isinstance(node, SequenceNode) else [node]
        found = [one.value for one in items if isinstance(one, ScalarNode)]
        return tuple(found) if len(found) == len(items) else None

    def length(self, *path: str | int) -> int:
        node = self.node(*path)
        return len(node.value) if isinstance(node, SequenceNode) else 0

    def is_flow(self, *path: str | int) -> bool:
        """Say whether a collection is written in braces or brackets."""
        node = self.node(*path)
        return node is not None and _is_flow(node)

    def in_flow(self, *path: str | int) -> bool:
        """Say whether a value stands within braces or brackets."""
        return id(self.node(*path)) in self._in_flow

    def comments_before(self, *path: str | int) -> list[str]:
        """Return the comments between a key and its value."""
        between = self._text[self._key(path).end_mark.index : self._node(path).start_mark.index]
        lines = between.partition(":")[2].splitlines()
        return [line.strip() for line in lines if line.strip()]

    def spots(self, *path: str | int) -> tuple[Spot, Spot]:
        """Return where a value begins and ends."""
        node = self._node(path)
        end = self._end(node)
        line = self._text.count("\n", 0, end)
        start = node.start_mark
        return (start.line + 1, start.column + 1), (line + 1, end - self._line_start(end) + 1)

    def source(self, *path: str | int) -> str:
        """Return the characters of a value as a text of its own; an empty one where there is none."""
        node = self.node(*path)
        if node is None:
            return ""
        first, *rest = self._text[node.start_mark.index : self._end(node)].replace("\r\n", "\n").split("\n")
        if isinstance(node, ScalarNode) and node.style in {"|", ">"}:
            column = self._column(self._line_start(node.start_mark.index))
        else:
            column = node.start_mark.column
        return "\n".join([first, *(line[min(column, self._blank(line)) :] for line in rest)])

    @staticmethod
    def _blank(line: str) -> int:
        return len(line) - len(line.lstrip(" "))

    def _column(self, start: int) -> int:
        return self._blank(self._text[start : self._line_end(start)])

    def _end(self, node: Node) -> int:
        """Return the end of the value's own characters: comments and blank lines behind it are not its own."""
        start, end = node.start_mark.index, node.end_mark.index
        if isinstance(node, CollectionNode) and not node.flow_style:
            return max((self._end(one) for one in _children(node)), default=start)
        return start + len(self._text[start:end].rstrip()) if end > start else end

    def _line_start(self, index: int) -> int:
        return self._text.rfind("\n", 0, index) + 1

    def _line_end(self, index: int) -> int:
        """Return the end of a line without its line break."""
        end = self._text.find("\n", index)
        end = len(self._text) if end < 0 else end
        return end - 1 if end > index and self._text[end - 1] == "\r" else end

    def _next_line(self, index: int) -> int:
        end = self._text.find("\n", index)
        return len(self._text) if end < 0 else end + 1

    # ------------------------------------------------------------ changing

    def set_scalar(self, path: Path, value: str, *, quoted: bool = False) -> None:
        """Replace a scalar, in its own quotes where it has some."""
        node = self._node(path)
        style = node.style if isinstance(node, ScalarNode) else None
        flow = id(node) in self._in_flow
        if style == "'":
            new = "'" + value.replace("'", "''") + "'"
        else:
            new = written(value, flow=flow, quoted=quoted or style == '"')
        self.replace(path, new)

    def replace(self, path: Path, new: str) -> None:
        """Replace a value by a text of its own, as `source` returns it."""
        node = self._node(path)
        start, end = node.start_mark.index, self._end(node)
        block = _is_block(new)
        if block and id(node) in self._in_flow:
            raise NotEditable
        if path and isinstance(path[-1], int):
            self._splice(start, end, _hanging(new, node.start_mark.column))
            return
        key = self._key(path)
        begun = self._text.index(":", key.end_mark.index) + 1
        between, column = self._text[begun:start], key.start_mark.column
        is_below = "\n" in between
        if block and not is_below:
            self._splice(begun, end, "\n" + indent(new, " " * (column + 2)))
        elif start == end or (is_below and not block and "#" not in between):
            self._splice(begun, end, f" {_hanging(new, column + 2)}")
        elif is_below:
            self._splice(start, end, _hanging(new, node.start_mark.column))
        else:
            self._splice(start, end, _hanging(new, column + (0 if new[:1] in "|>" else 2)))

    def replace_pair(self, path: Path, key: str, new: str) -> None:
        """Replace a key and its value."""
        found = self._key(path)
        self._splice(found.start_mark.index, self._end(self._node(path)), f"{key}: {new}")

    def rename(self, path: Path, key: str) -> None:
        found = self._key(path)
        new = written(key, flow=id(found) in self._in_flow, quoted=bool(found.style))
        self._splice(found.start_mark.index, found.end_mark.index, new)

    def remove(self, path: Path) -> None:
        """Remove a pair or an item with its lines and the comment directly above them."""
        parent = self._node(path[:-1])
        spans = self._spans(parent)
        place = path[-1] if isinstance(path[-1], int) else self.names(*path[:-1]).index(path[-1])
        start, end = spans[place]
        if _is_flow(parent):
            if place + 1 < len(spans):
                end = spans[place + 1][0]
            elif place:
                start = spans[place - 1][1]
            self._splice(start, end, "")
            return
        own = line = self._line_start(start)
        column = start - own
        if self._text[own:start].strip():
            raise NotEditable
        above = own
        while line and self._text.startswith(" " * column + "#", line := self._line_start(line - 1)):
            above = line
        # The comment that the file begins with is about the whole of it.
        self._splice(above or own, self._next_line(end), "")

    def add_item(self, path: Path, new: str) -> None:
        """Put an item behind the last one of a list."""
        parent = self._node(path)
        if not isinstance(parent, SequenceNode) or (_is_flow(parent) and _is_block(new)):
            raise NotEditable
        spans = self._spans(parent)
        if _is_flow(parent):
            at = spans[-1][1] if spans else parent.start_mark.index + 1
            self._splice(at, at, f", {new}" if spans else new)
        else:
            start, end = spans[-1]
            column = start - self._line_start(start)
            self._add_lines(end, f"{' ' * column}- {_hanging(new, column + 2)}")

    def add_pair(self, path: Path, key: str, new: str) -> None:
        """Put a key with its value behind the last one of a block."""
        parent = self._node(path)
        spans = self._spans(parent)
        block = _is_block(new)
        if _is_flow(parent):
            if block:
                raise NotEditable
            at = spans[-1][1] if spans else parent.start_mark.index + 1
            pair = f"{written(key, flow=True)}: {new}"
            self._splice(at, at, f", {pair}" if spans else pair)
        else:
            start, end = spans[-1]
            column = start - self._line_start(start)
            value = "\n" + indent(new, " " * (column + 2)) if block else f" {new}"
            self._add_lines(end, f"{' ' * column}{written(key)}:{value}")

    def add_key(self, key: str, new: str) -> None:
        """Put a key of the mapping itself behind those that come before it in the guide."""
        order = list(spec.MAPPING)
        line = f"{key}:\n{indent(new, '  ')}" if _is_block(new) else f"{key}: {new}"
        before = [one for one in self.names() if one in order and order.index(one) < order.index(key)]
        if before:
            after = max(before, key=order.index)
            self._add_lines(self._spans(self._root)[self.names().index(after)][1], line)
        else:
            start = self._line_start(self._root.start_mark.index)
            self._splice(start, start, f"{line}\n")

    def _add_lines(self, after: int, lines: str) -> None:
        """Put lines below the line of a character."""
        at = self._next_line(after)
        before = "" if at and self._text[at - 1] == "\n" else "\n"
        self._splice(at, at, f"{before}{lines}\n")

    def _spans(self, parent: Node) -> list[tuple[int, int]]:
        """Return where each pair or item of a collection begins, at its dash where it has one, and ends."""
        if isinstance(parent, MappingNode):
            # A value of nothing ends where its key's colon does.
            return [
                (key.start_mark.index, max(self._end(value), key.end_mark.index + 1)) for key, value in parent.value
            ]
        spans: list[tuple[int, int]] = []
        for item in _children(parent):
            start = item.start_mark.index
            if not _is_flow(parent):
                since = self._next_line(spans[-1][1]) if spans else parent.start_mark.index
                dash = re.compile(r"^[ ]*-" if spans else r"-", re.MULTILINE).search(self._text, since)
                start = dash.end() - 1 if dash else start
            spans.append((start, max(self._end(item), start + 1)))
        return spans

    def _node(self, path: Path) -> Node:
        found = self.node(*path)
        if found is None:
            raise NotEditable
        return found

    def _key(self, path: Path) -> ScalarNode:
        parent = self._node(path[:-1])
        for key, _ in parent.value if isinstance(parent, MappingNode) else ():
            if isinstance(key, ScalarNode) and key.value == path[-1]:
                return key
        raise NotEditable


def _children(node: Node) -> list[Node]:
    if isinstance(node, MappingNode):
        return [one for pair in node.value for one in pair]
    return list(node.value) if isinstance(node, SequenceNode) else []


def _walk(node: Node) -> Iterator[Node]:
    yield node
    for one in _children(node):
        yield from _walk(one)


def _is_flow(node: Node) -> bool:
    return isinstance(node, CollectionNode) and bool(node.flow_style)


def _has_twins(node: Node) -> bool:
    keys = [key.value for key, _ in node.value] if isinstance(node, MappingNode) else []
    return any(not isinstance(key, str) for key in keys) or len(set(keys)) < len(keys)


def _is_block(text: str) -> bool:
    """Say whether a text of YAML needs lines of its own."""
    try:
        node = yaml.compose(text, Loader=_LOADER)
    except yaml.YAMLError:
        raise NotEditable from None
    return isinstance(node, CollectionNode) and not node.flow_style


def indented(text: str) -> str:
    """Return a text whose lines but the first are moved by one step."""
    return _hanging(text, 2)


def _hanging(text: str, column: int) -> str:
    """Return a text whose lines but the first are moved to a column."""
    first, *rest = text.split("\n")
    return "\n".join([first, *(f"{' ' * column}{line}" if line.strip() else line for line in rest)])


def written(value: str, *, flow: bool = False, quoted: bool = False) -> str:
    """Return a text as YAML, in quotes where it must or should have them.

    >>> written("customer.name"), written("a, b", flow=True), written("null"), written("05/06", quoted=True)
    ('customer.name', '"a, b"', '"null"', '"05/06"')
    """
    return value if not quoted and _may_be_plain(value, flow=flow) else json.dumps(value, ensure_ascii=False)


def _may_be_plain(value: str, *, flow: bool) -> bool:
    read = typed(value)
    if value != value.strip() or read is None or isinstance(read, bool) or "\n" in value or not value:
        return False
    try:
        node = yaml.compose(f"{{k: {value}}}" if flow else f"k: {value}", Loader=_LOADER)
    except yaml.YAMLError:
        return False
    pairs = node.value if isinstance(node, MappingNode) else []
    inner = pairs[0][1] if len(pairs) == 1 else None
    return isinstance(inner, ScalarNode) and not inner.style and inner.value == value


def written_list(values: tuple[str, ...]) -> str:
    return f"[{', '.join(written(one, flow=True) for one in values)}]"
