"""The part of a mapping's form about deals by Clint's API: simple values, and blocks of YAML for the rest.

It is read from a text and written into it like the rest of the form: only what differs is changed.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace

from bridge.mapping.edit import Document, NotEditable, Path, written, written_list
from bridge.mapping.model import FUNNEL

VALUES = ("stage", "status", "value", "user")
WORDS = ("origin", "moved_by_person", "removed", "key_field")
"""Parts of the funnel that are one text each."""
LISTS = ("tags", "find_contact_by")


@dataclass(frozen=True, slots=True)
class Value:
    """A value of the funnel: nothing, one for each event, an expression, or a block of YAML."""

    kind: str = "events"
    """events (a fixed text is that of every event), from or block."""
    by_event: Mapping[str, str] = field(default_factory=dict)
    default: str = ""
    """What every other event gives; empty for nothing."""
    source: str = ""
    """The expression, or the block."""

    @property
    def empty(self) -> bool:
        return not (self.by_event or self.default or self.source)


@dataclass(frozen=True, slots=True)
class Deal:
    per: str = ""
    """charge and the like, empty where the text does not say it, or the expression of an own key."""
    own_key: bool = False
    """Whether `per` is an expression."""
    values: Mapping[str, Value] = field(default_factory=lambda: {name: Value() for name in VALUES})
    words: Mapping[str, str] = field(default_factory=lambda: dict.fromkeys(WORDS, ""))
    lists: Mapping[str, tuple[str, ...] | str] = field(default_factory=lambda: dict.fromkeys(LISTS, ()))
    """A list of texts, or a block of YAML."""


def read_deal(document: Document) -> Deal:
    """Return what a text says about deals; raise NotEditable where it is of another shape."""
    if FUNNEL in document.names() and not document.names(FUNNEL):
        raise NotEditable
    names = document.names(FUNNEL)
    per = document.scalar("one_deal_per")
    expression = document.scalar("one_deal_per", "expression")
    if "one_deal_per" in document.names() and per is None and expression is None:
        raise NotEditable
    words = {name: _word(document, name) if name in names else "" for name in WORDS}
    return Deal(
        per or expression or "",
        expression is not None,
        {name: _value(document, name) if name in names else Value() for name in VALUES},
        words,
        {name: _list(document, name) if name in names else () for name in LISTS},
    )


def _word(document: Document, name: str) -> str:
    value = document.scalar(FUNNEL, name)
    if value is None:
        raise NotEditable
    return value


def _value(document: Document, name: str) -> Value:
    path = (FUNNEL, name)
    plain = document.scalar(*path)
    if plain is not None:
        return Value("from", source=plain)
    named, lookup = set(document.names(*path)), document.names(*path, "lookup")
    texts = {key: document.scalar(*path, "lookup", key) for key in lookup}
    default, fixed = document.scalar(*path, "default"), document.scalar(*path, "text")
    if named == {"text"} and fixed:
        return Value(default=fixed)
    known = named <= {"from", "lookup", "default"} and document.scalar(*path, "from") == "event"
    if known and texts and all(texts.values()) and bool(default) == ("default" in named):
        return Value("events", {key: text for key, text in texts.items() if text}, default or "")
    return Value("block", source=document.source(*path))


def _list(document: Document, name: str) -> tuple[str, ...] | str:
    texts = document.scalars(FUNNEL, name)
    return document.source(FUNNEL, name) if texts is None else texts


def write_deal(document: Document, old: Deal, new: Deal) -> None:
    """Change in the text what differs between two forms."""
    if (new.per, new.own_key) != (old.per, old.own_key):
        source = f"{{expression: {written(new.per, flow=True)}}}" if new.own_key else new.per
        if not new.per:
            document.remove(("one_deal_per",))
        elif "one_deal_per" in document.names():
            document.replace(("one_deal_per",), source)
        else:
            document.add_key("one_deal_per", source)
    for name in VALUES:
        if new.values[name] != old.values[name]:
            _write_value(document, name, old.values[name], new.values[name])
    for name in WORDS:
        if new.words[name] != old.words[name]:
            in_flow = document.is_flow(FUNNEL)
            _set_part(document, name, written(new.words[name], flow=in_flow) if new.words[name] else "")
    for name in LISTS:
        listed = new.lists[name]
        if listed != old.lists[name]:
            _set_part(document, name, listed.rstrip() if isinstance(listed, str) else written_list(listed))


def _write_value(document: Document, name: str, old: Value, new: Value) -> None:
    if new.empty:
        _set_part(document, name, "")
    elif new.kind != "events":
        is_flow = document.is_flow(FUNNEL)
        _set_part(document, name, new.source.rstrip() if new.kind == "block" else written(new.source, flow=is_flow))
    elif not (old.kind == "events" and old.by_event and new.by_event):
        _set_part(document, name, _of_events(new, in_flow=document.is_flow(FUNNEL)))
    else:
        _write_events(document, (FUNNEL, name), old, new)


def _write_events(document: Document, path: Path, old: Value, new: Value) -> None:
    lookup = (*path, "lookup")
    for event, text in new.by_event.items():
        if event not in old.by_event:
            document.add_pair(lookup, event, written(text, flow=document.is_flow(*lookup)))
        elif text != old.by_event[event]:
            document.set_scalar((*lookup, event), text)
    for event in old.by_event.keys() - new.by_event.keys():
        document.remove((*lookup, event))
    if new.default == old.default:
        return
    if not new.default:
        document.remove((*path, "default"))
    elif old.default:
        document.set_scalar((*path, "default"), new.default)
    else:
        document.add_pair(path, "default", written(new.default, flow=document.is_flow(*path)))


def _of_events(value: Value, *, in_flow: bool) -> str:
    """Return a value for each event as YAML: in braces inside of braces, else a line for each event."""
    if not value.by_event:
        return f"{{text: {written(value.default, flow=True)}}}"
    pairs = [f"{event}: {written(text, flow=in_flow)}" for event, text in value.by_event.items()]
    default = [f"default: {written(value.default, flow=in_flow)}"] if value.default else []
    if in_flow:
        lookup = f"lookup: {{{', '.join(pairs)}}}"
        return f"{{{', '.join(['from: event', lookup, *default])}}}"
    return "\n".join(["from: event", "lookup:", *(f"  {pair}" for pair in pairs), *default])


def _set_part(document: Document, name: str, source: str) -> None:
    names = document.names(FUNNEL)
    if source in {"", "[]"}:
        if name in names:
            document.remove((FUNNEL,) if names == [name] else (FUNNEL, name))
    elif name in names:
        document.replace((FUNNEL, name), source)
    elif names:
        document.add_pair((FUNNEL,), name, source)
    else:
        lines = "\n".join(f"  {line}" for line in source.split("\n"))
        document.add_key(FUNNEL, f"{name}:\n{lines}" if "\n" in source else f"{name}: {source}")


def same(deal: Deal) -> Deal:
    """Return a form without what the text around a block may change, to compare it with another one."""
    values = {name: replace(one, source=one.source.rstrip()) for name, one in deal.values.items()}
    lists = {name: one.rstrip() if isinstance(one, str) else one for name, one in deal.lists.items()}
    return replace(deal, values=values, lists=lists)
