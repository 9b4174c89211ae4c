"""A mapping's text as a form, and the text that a changed form gives.

`read_form` returns what a form shows: settings, events, conditions in rows and groups of rows, fields, and as blocks of
YAML what these can't show. `write_form` changes in the text only what differs, and reads it again: a form that the
text does not show afterwards is refused, never half written.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from typing import TypeAlias

from bridge.mapping import spec
from bridge.mapping.deal_form import Deal, read_deal, same, write_deal
from bridge.mapping.document import read_document
from bridge.mapping.edit import Document, NotEditable, Path, Spot, indented, written, written_list
from bridge.mapping.findings import Findings
from bridge.mapping.model import GROUPS, Comparison, Condition
from bridge.mapping.operators import OPERATORS, Operand
from bridge.mapping.parser import build_condition
from bridge.mapping.spec import Shape

SETTINGS = ("description", "enabled", "account", "installments", "line", "stale", "send_to", "verify")
BLOCKS = ("routes", "tests")
"""Keys that the form shows as YAML."""
TOGETHER = ("all", "any")
KINDS = {"all": ("all",), "any": ("any",), "none": ("not", "any"), "not_all": ("not", "all")}
"""The kinds of a group, and the keys above its list; a denied condition alone is a group that has no list."""
DEPTH = 2
"""The depth to which nested groups are rows; a deeper group is a YAML block."""
SOURCES = ("from", "template", "text")
Meaning: TypeAlias = tuple[object, ...]


@dataclass(frozen=True, slots=True)
class Row:
    """A condition: a field, an operator and what it is compared with; a group of rows; or a block of YAML."""

    field: str = ""
    operator: str = ""
    operands: tuple[str, ...] = ()
    block: str = ""
    """A condition that has no other form, such as an expression; the rest is empty then."""
    place: int | None = None
    """Its place in its group as the text has it; None for a new one. A condition alone is in the first place."""
    group: str = ""
    """One of KINDS where it is a group."""
    rows: tuple[Row, ...] = ()
    """The conditions of a group."""

    @property
    def as_group(self) -> tuple[Row, ...]:
        """The rows of a group; of another condition what a group would have that is made of it."""
        return self.rows if self.group else (replace(self, place=0),)


@dataclass(frozen=True, slots=True)
class Sent:
    """A field of the payload: its key and where its value comes from, or a block of YAML."""

    group: str
    key: str
    kind: str = "from"
    """from (an expression), template, text, or empty for a block."""
    source: str = ""
    default: str = ""
    """What is sent where there is no value; empty for nothing."""
    block: str = ""
    place: int | None = None


@dataclass(frozen=True, slots=True)
class Form:
    settings: Mapping[str, str]
    """By key, empty where the text does not have it."""
    events: tuple[str, ...]
    together: str
    """Whether all rows must hold, or any of them."""
    rows: tuple[Row, ...]
    fields: tuple[Sent, ...]
    blocks: Mapping[str, str] = field(default_factory=dict)
    deal: Deal = field(default_factory=Deal)


def read_form(text: str) -> Form:
    """Return the form of a text; raise NotEditable where its YAML has an error or is of another shape."""
    return _read(Document(text))


def _read(document: Document) -> Form:
    settings = {name: _scalar(document, name) for name in SETTINGS}
    events = document.scalars("events") if "events" in document.names() else ()
    if events is None:
        raise NotEditable
    place = _conditions(document)
    rows: tuple[Row, ...] = ()
    together = "all"
    if place:
        rows = _rows(document, place, DEPTH)
        together = str(place[-1])
    elif place is not None:
        rows = (_row(document, ("filter",), 0, DEPTH),)
    fields: list[Sent] = []
    for group in GROUPS:
        if group in document.names() and not document.names(group):
            raise NotEditable
        fields += [_sent(document, group, key, len(fields) + at) for at, key in enumerate(document.names(group))]
    blocks = {name: document.source(name) for name in BLOCKS}
    return Form(settings, events, together, rows, tuple(fields), blocks, read_deal(document))


def _scalar(document: Document, name: str) -> str:
    if name not in document.names():
        return ""
    value = document.scalar(name)
    if value is None:
        raise NotEditable
    return value


def _conditions(document: Document) -> tuple[str, ...] | None:
    """Return the path of the list of conditions; empty where there is a single one, None where there is none."""
    if "filter" not in document.names():
        return None
    kinds = document.names("filter")
    grouped = len(kinds) == 1 and kinds[0] in TOGETHER and document.length("filter", kinds[0])
    return ("filter", kinds[0]) if grouped else ()


def _rows(document: Document, holder: Path, depth: int) -> tuple[Row, ...]:
    return tuple(_row(document, path, at, depth) for at, path in enumerate(_paths(document, holder)))


def _paths(document: Document, holder: Path) -> list[Path]:
    """Return the path of each condition of a list; where there is no list, the path of the condition itself."""
    return [(*holder, at) for at in range(document.length(*holder))] or [holder]


def _opened(document: Document, path: Path) -> tuple[str, Path] | None:
    """Return the kind of a group and the path of its conditions; None where there is no group."""
    denied = document.names(*path) == ["not"]
    inner = (*path, "not") if denied else path
    names = tuple(document.names(*inner))
    for kind, keys in KINDS.items():
        if names == keys[-1:] and denied is (len(keys) > 1) and document.length(*inner, *names):
            return kind, (*inner, *names)
    return ("none", inner) if denied and names else None


def _row(document: Document, path: Path, place: int, depth: int) -> Row:
    if depth and (opened := _opened(document, path)):
        return Row(group=opened[0], rows=_rows(document, opened[1], depth - 1), place=place)
    named = set(document.names(*path)) - {"field"}
    name = next(iter(named), "")
    compared = document.scalar(*path, "field")
    operands = document.scalars(*path, name) if len(named) == 1 and name in OPERATORS else None
    several = operands is not None and (len(operands) == 1 or OPERATORS[name].operand is Operand.TEXTS)
    if compared is None or not operands or not several:
        return Row(block=document.source(*path), place=place)
    return Row(compared, name, operands, place=place)


def _sent(document: Document, group: str, key: str, place: int) -> Sent:
    plain = document.scalar(group, key)
    if plain is not None:
        return Sent(group, key, source=plain, place=place)
    named = document.names(group, key)
    kind = next((one for one in SOURCES if one in named), "")
    source, default = document.scalar(group, key, kind), document.scalar(group, key, "default")
    if source is None or set(named) - {kind, "default"} or ("default" in named and not default):
        return Sent(group, key, kind="", block=document.source(group, key), place=place)
    return Sent(group, key, kind, source, default or "", place=place)


def rows_of(rows: Iterable[Row]) -> Iterator[Row]:
    """Yield rows and those inside of them."""
    for row in rows:
        yield row
        yield from rows_of(row.rows)


def row_places(text: str) -> dict[tuple[int, ...], tuple[Spot, Spot]]:
    """Return where each row of a text's form begins and ends, by its place and those of the groups it is in."""
    document = Document(text)

    def inside(holder: Path, rows: tuple[Row, ...], at: tuple[int, ...]) -> None:
        for place, (path, row) in enumerate(zip(_paths(document, holder), rows, strict=True)):
            found[*at, place] = document.spots(*path)
            if row.group and (opened := _opened(document, path)):
                inside(opened[1], row.rows, (*at, place))

    found: dict[tuple[int, ...], tuple[Spot, Spot]] = {}
    if rows := _read(document).rows:
        inside(_conditions(document) or ("filter",), rows, ())
    return found


# ---------------------------------------------------------------- writing


def write_form(text: str, form: Form) -> str:
    """Return the text with what the form changes; raise NotEditable where the form can't be written into it."""
    document = Document(text)
    old = _read(document)
    for name, value in form.settings.items():
        if value != old.settings[name]:
            _set(document, name, value)
    if form.events != old.events:
        _write_events(document, old.events, form.events)
    if (form.together, form.rows) != (old.together, old.rows):
        _write_rows(document, old, form)
    if form.fields != old.fields:
        _write_fields(document, old.fields, form.fields)
    if form.deal != old.deal:
        write_deal(document, old.deal, form.deal)
    for name, block in form.blocks.items():
        block = block.rstrip()
        if block != old.blocks[name]:
            _set_block(document, name, block)
    if _shown(form) != _shown(_read(document)):
        raise NotEditable
    return document.text


def _shown(form: Form) -> object:
    """Return what two forms with the same content have in common."""
    fields = sorted((replace(one, place=None, block=_bare(one.block)) for one in form.fields), key=_key_of)
    asked = _meant(Row(group=form.together, rows=form.rows)) if form.rows else ()
    blocks = {name: _bare(form.blocks.get(name, "")) for name in BLOCKS}
    settings = {name: value for name, value in form.settings.items() if value}
    return settings, form.events, asked, fields, blocks, same(form.deal)


def _meant(row: Row) -> Meaning:
    """Return what a row asks, whether as rows or as a block; a group of one condition asks what that one does."""
    if row.group:
        *denied, kind = KINDS[row.group]
        meant = _together(kind, [_meant(one) for one in row.rows])
        return ("not", meant) if denied else meant
    if not row.block:
        return (row.field, row.operator, row.operands)
    findings = Findings("")
    node = read_document(row.block, findings)
    condition = build_condition(node, findings) if node else None
    return _asked(condition) if condition else (_bare(row.block),)


def _asked(condition: Condition) -> Meaning:
    if isinstance(condition, Comparison):
        operator = condition.operator
        return (condition.expression.text, operator.name if operator else "", condition.operands)
    inner = [_asked(one) for one in condition.conditions]
    return ("not", inner[0]) if condition.kind == "not" else _together(condition.kind, inner)


def _together(kind: str, inner: list[Meaning]) -> Meaning:
    return inner[0] if len(inner) == 1 else (kind, *inner)


def _bare(block: str) -> str:
    """Return a block without the comment behind its last value, which belongs to the text around it."""
    return re.sub(r"([ \t]+#[^\n]*)?\s*$", "", block)


def _key_of(one: Sent) -> tuple[str, str]:
    return one.group, one.key


def _set(document: Document, name: str, value: str) -> None:
    is_word = spec.MAPPING[name].shape is Shape.BOOLEAN  # in quotes it would be a text
    if not value:
        document.remove((name,))
    elif name not in document.names():
        document.add_key(name, value if is_word else written(value))
    elif is_word:
        document.replace((name,), value)
    else:
        document.set_scalar((name,), value)


def _set_block(document: Document, name: str, block: str) -> None:
    if not block:
        document.remove((name,))
    elif name in document.names():
        document.replace((name,), block)
    else:
        document.add_key(name, block)


def _write_events(document: Document, old: tuple[str, ...], new: tuple[str, ...]) -> None:
    if "events" not in document.names():
        document.add_key("events", written_list(new))
        return
    if not new or not document.length("events"):
        document.replace(("events",), written_list(new))
        return
    for name in new:
        if name not in old:
            document.add_item(("events",), written(name, flow=True))
    for place in reversed(range(len(old))):
        if old[place] not in new:
            document.remove(("events", place))


def _write_rows(document: Document, old: Form, form: Form) -> None:
    if not form.rows:
        if old.rows:
            document.remove(("filter",))
        return
    place = _conditions(document)
    if place is None:
        document.add_key("filter", _listed(form.together, [_written_row(row) for row in form.rows]))
    else:
        _write_group(document, ("filter",), old.together if place else "", form.together, old.rows, form.rows)


def _write_group(
    document: Document, path: Path, was: str, kind: str, old: tuple[Row, ...], rows: tuple[Row, ...]
) -> None:
    """Change a group, or make one of a single condition, which is a group without a kind."""
    opened = _opened(document, path) if was else ("", path)
    if opened is None or not rows:
        raise NotEditable
    holder = opened[1]
    paths = _paths(document, holder)
    for row in rows:
        if row.place is not None:
            _write_row(document, paths[row.place], old[row.place], row)
    if document.length(*holder):
        for row in rows:
            if row.place is None:
                document.add_item(holder, _written_row(row, flow=document.is_flow(*holder)))
        for gone in reversed(range(len(old))):
            if gone not in {row.place for row in rows}:
                document.remove(paths[gone])
    else:
        flow = document.in_flow(*holder)
        items = [_written_row(row, flow=flow) if row.place is None else document.source(*holder) for row in rows]
        if len(rows) > 1:
            listed = KINDS[kind][-1]
            document.replace(holder, _listed(listed, items, flow=flow))
            was = next(one for one, keys in KINDS.items() if keys == (("not", listed) if was else (listed,)))
        elif rows[0].place is None:
            document.replace(holder, items[0])
    _set_kind(document, path, was, kind)


def _set_kind(document: Document, path: Path, was: str, kind: str) -> None:
    was_denied, denied = was in {"none", "not_all"}, kind in {"none", "not_all"}
    listed = KINDS.get(was, ())
    if document.length(*path, *listed) and listed[-1] != KINDS[kind][-1]:
        document.rename((*path, *listed), KINDS[kind][-1])
    if was_denied and not denied:
        comments = document.comments_before(*path, "not")
        document.replace(path, "\n".join([*comments, document.source(*path, "not")]))
    elif denied and not was_denied:
        source = document.source(*path)
        document.replace(path, _denied(source, flow=document.in_flow(*path)))


def _denied(source: str, *, flow: bool) -> str:
    if flow:
        return f"{{not: {source}}}"
    return f"not: {indented(source)}" if source.startswith("{") else f"not:\n  {indented(source)}"


def _listed(kind: str, items: list[str], *, flow: bool = False) -> str:
    if flow:
        return f"{{{kind}: [{', '.join(items)}]}}"
    return "\n".join([f"{kind}:", *(f"  - {indented(indented(one))}" for one in items)])


def _write_row(document: Document, path: Path, old: Row, row: Row) -> None:
    if row == old:
        return
    if row.group:
        _write_group(document, path, old.group, row.group, old.as_group, row.rows)
        return
    if row.block or old.block or old.group:
        document.replace(path, _written_row(row, flow=document.in_flow(*path)))
        return
    if row.field != old.field:
        document.set_scalar((*path, "field"), row.field)
    if (row.operator, row.operands) == (old.operator, old.operands):
        return
    is_scalar = document.scalar(*path, old.operator) is not None
    if row.operator == old.operator and is_scalar and OPERATORS[row.operator].operand is Operand.BOOLEAN:
        document.replace((*path, row.operator), row.operands[0])
    elif row.operator == old.operator and is_scalar and len(row.operands) == 1:
        document.set_scalar((*path, row.operator), row.operands[0])
    else:
        document.replace_pair((*path, old.operator), row.operator, _written_operands(row))


def _written_row(row: Row, *, flow: bool = False) -> str:
    if row.group:
        items = [_written_row(one, flow=flow) for one in row.rows]
        denied = len(KINDS[row.group]) > 1
        if denied and len(items) == 1:
            return _denied(items[0], flow=flow)
        listed = _listed(KINDS[row.group][-1], items, flow=flow)
        return _denied(listed, flow=flow) if denied else listed
    if row.block:
        return row.block.rstrip()
    return f"{{field: {written(row.field, flow=True)}, {row.operator}: {_written_operands(row)}}}"


def _written_operands(row: Row) -> str:
    if OPERATORS[row.operator].operand is Operand.TEXTS:
        return written_list(row.operands)
    if OPERATORS[row.operator].operand is Operand.BOOLEAN:
        return row.operands[0]
    return written(row.operands[0], flow=True)


def _write_fields(document: Document, old: tuple[Sent, ...], fields: tuple[Sent, ...]) -> None:
    kept = {one.place for one in fields if one.place is not None and old[one.place].group == one.group}
    # Renamed last: until then each field has the key by which it is found.
    for one in fields:
        if one.place in kept:
            _write_field(document, old[one.place], one)
    gone = [one for one in old if one.place not in kept]
    added = [one for one in fields if one.place not in kept]
    if {(one.group, one.key) for one in added} & {(one.group, one.key) for one in gone}:
        document, gone = _without(document, gone), []
    for one in added:
        if one.group in document.names():
            in_flow = document.is_flow(one.group)
            document.add_pair((one.group,), one.key, _written_field(one, flow=in_flow))
        else:
            document.add_key(one.group, f"{written(one.key)}: {_written_field(one)}")
    _without(document, gone)
    for one in fields:
        if one.place in kept and one.key != old[one.place].key:
            document.rename((one.group, old[one.place].key), one.key)


def _without(document: Document, gone: list[Sent]) -> Document:
    for one in gone:
        last = len(document.names(one.group)) == 1
        document.remove((one.group,) if last else (one.group, one.key))
    return document


def _write_field(document: Document, old: Sent, one: Sent) -> None:
    path = (old.group, old.key)
    if replace(one, key=old.key) == old:
        return
    in_flow = document.is_flow(one.group)
    if not one.kind or not old.kind:
        document.replace(path, _written_field(one, flow=in_flow))
        return
    whole = document.scalar(*path) is not None
    if whole and one.kind == "from" and not one.default:
        document.set_scalar(path, one.source)
    elif whole:
        document.replace(path, _written_field(one, flow=in_flow))
    else:
        if one.kind != old.kind:
            document.replace_pair((*path, old.kind), one.kind, written(one.source, flow=True, quoted=True))
        elif one.source != old.source:
            document.set_scalar((*path, one.kind), one.source)
        if old.default and one.default:
            if one.default != old.default:
                document.set_scalar((*path, "default"), one.default)
        elif old.default:
            document.remove((*path, "default"))
        elif one.default:
            document.add_pair(path, "default", written(one.default, flow=True))


def _written_field(one: Sent, *, flow: bool = False) -> str:
    if not one.kind:
        return one.block.rstrip()
    if one.kind == "from" and not one.default:
        return written(one.source, flow=flow)
    source = written(one.source, flow=True, quoted=one.kind == "template")
    default = f", default: {written(one.default, flow=True)}" if one.default else ""
    return f"{{{one.kind}: {source}{default}}}"
