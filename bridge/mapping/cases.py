"""The `tests:` block of a mapping, parsed; `testing` runs it.

Values under `set`, `given` and `with` have the types of JSON: an unquoted 10 is a number, "10" in quotes is a text. An
expected value stays text, because the type of the payload's value decides how it is compared.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable
from dataclasses import replace
from pathlib import Path
from typing import Any

from bridge.mapping.document import MappingNode, Node, Scalar, Sequence
from bridge.mapping.findings import Findings, did_you_mean, shown
from bridge.mapping.model import FETCHABLE, Case
from bridge.mapping.spec import CASE, EXPECT, Block, described, is_null, read_block, unique_pairs
from bridge.mapping.values import BadValue, typed
from bridge.messages import N_, Message

SET_PATH = re.compile(r"[A-Za-z_]\w*(\.\w+|\[\d{1,3}\])*")
MAX_SAMPLE_BYTES = 1024 * 1024
"""The most that the intake takes of an event; a sample is one."""


class CannotRun(BadValue):
    """A test can't run as written, or its sample can't be read; the message says why."""


def read_sample(root: Path, name: str) -> Any:
    """Return the JSON of a sample in the directory of the mappings; raise CannotRun where there is none."""
    path = root / name
    if not path.resolve().is_relative_to(root.resolve()):
        raise CannotRun(N_("{file} lies outside of the mappings' directory"), file=name)
    try:
        if path.stat().st_size <= MAX_SAMPLE_BYTES:
            return json.loads(path.read_bytes())
    except OSError:
        raise CannotRun(N_("{file} is not there, or can't be read"), file=name) from None
    except (ValueError, RecursionError):
        raise CannotRun(N_("{file} is not JSON"), file=name) from None
    raise CannotRun(N_("{file} is larger than {limit} bytes"), file=name, limit=MAX_SAMPLE_BYTES)


def build_cases(items: Iterable[Node], findings: Findings) -> tuple[Case, ...]:
    return tuple(case for item in items if (case := _build(item, findings)) is not None)


def _as_json(node: Node, findings: Findings) -> Any:
    if isinstance(node, Scalar):
        return typed(node.text) if node.plain else node.text
    if isinstance(node, Sequence):
        return [_as_json(item, findings) for item in node.items]
    return {key.text: _as_json(value, findings) for key, value in unique_pairs(node, findings)}


def _build(node: Node, findings: Findings) -> Case | None:
    entries = read_block(node, CASE, Message(N_("a test")), findings)
    if entries is None or not entries.whole or "given" not in entries or "expect" not in entries:
        return None
    given: Any = entries.value("given")
    if isinstance(given, MappingNode):
        given = _as_json(given, findings)
    elif not isinstance(given, Scalar) or is_null(given):
        what = N_("given must be a file such as samples/pix.json, or an event, got neither")
        findings.error(entries.node if given is None else given, "tests.given", what)
        given = None
    expect = _expect(entries, findings)
    if given is None or expect is None:
        return None
    set_, fetched = _set(entries.value("set"), findings), _fetched(entries.value("with"), findings)
    return Case(entries.text("name"), node.line, given, set_, fetched, **expect)


def _set(node: Node | None, findings: Findings) -> dict[str, Any]:
    values = {}
    for key, value in unique_pairs(node, findings):
        if SET_PATH.fullmatch(key.text):
            values[key.text] = _as_json(value, findings)
        else:
            what = N_("set needs a path such as payment.value or payment.split[0].status, got {got}")
            findings.error(key, "tests.set", what, got=shown(key.text))
    return values


def _fetched(node: Node | None, findings: Findings) -> dict[str, Any]:
    fetched: dict[str, Any] = {}
    for key, value in unique_pairs(node, findings):
        if key.text not in FETCHABLE:
            what = N_("nothing named {name} is fetched; with knows {known}{hint}")
            facts = {"known": ", ".join(sorted(FETCHABLE)), "hint": did_you_mean(key.text, FETCHABLE)}
            findings.error(key, "tests.with", what, name=shown(key.text), **facts)
        elif isinstance(value, Sequence):
            what = N_("{name} must be a file, an object or null, got a list")
            findings.error(value, "tests.with", what, name=key.text)
        elif isinstance(value, Scalar):
            fetched[key.text] = None if is_null(value) else value
        else:
            fetched[key.text] = _as_json(value, findings)
    return fetched


def _expect(entries: Block, findings: Findings) -> dict[str, Any] | None:
    value = entries.value("expect")
    if isinstance(value, Scalar) and value.text == "filtered":
        return {"filtered": True}
    if not isinstance(value, MappingNode) or not value.pairs:
        what = N_("expect must be filtered, or keys and values such as {{nome: Cliente Teste}}, got {got}")
        got = described(value) if value else Message(N_("nothing"))
        findings.error(value or entries.node, "tests.expect", what, got=got)
        return None
    expect = read_block(value, EXPECT, "expect", findings, others=True)
    if expect is None or not expect.whole:
        return None
    named = [(key, one) for key, one in unique_pairs(value, Findings("")) if key.text not in EXPECT]
    wanted = {}
    for key, one in [*named, *unique_pairs(expect.value("exactly"), findings)]:
        if isinstance(one, Scalar):
            wanted[key.text] = replace(one, line=key.line, column=key.column)
        else:
            what = N_("{key} must be one value, got {got}")
            findings.error(one, "tests.expect", what, key=key.text, got=described(one))
    texts = {"dead": expect.text("dead"), "send_to": expect.text("send_to")}
    return {**texts, "exactly": "exactly" in expect, "expect": wanted}
