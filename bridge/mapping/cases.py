"""Builds the `tests:` of a mapping from their nodes; whether they pass is decided elsewhere.

Values under `set`, and whole objects under `given` and `with`, are typed as JSON would be: an unquoted 10 is a number,
"10" in quotes is a text. A value that is expected stays as typed, because the payload decides what it is compared as.
"""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

from bridge.mapping.document import MappingNode, Node, Scalar, Sequence
from bridge.mapping.findings import Findings, did_you_mean, shown
from bridge.mapping.model import FETCHABLE, Case, Expected, Sample
from bridge.mapping.spec import CASE, EXPECT, Block, described, is_null, read_block, unique_pairs
from bridge.mapping.values import typed

SET_PATH = re.compile(r"[A-Za-z_]\w*(\.\w+|\[\d{1,3}\])*")
MAX_SAMPLE_BYTES = 1024 * 1024
"""What ingress takes of an event; a sample is one."""


class SampleUnreadable(Exception):
    """A sample can't be used; the text says why."""


def read_sample(root: Path, name: str) -> Any:
    """Return the JSON of a sample, which must lie inside the directory of the mappings."""
    path = root / name
    if not path.resolve().is_relative_to(root.resolve()):
        raise SampleUnreadable(f"{name} lies outside of the mappings' directory")
    try:
        if path.stat().st_size > MAX_SAMPLE_BYTES:
            raise SampleUnreadable(f"{name} is larger than {MAX_SAMPLE_BYTES} bytes")
        return json.loads(path.read_bytes())
    except OSError:
        raise SampleUnreadable(f"{name} is not there, or can't be read") from None
    except (ValueError, RecursionError):
        raise SampleUnreadable(f"{name} is not JSON") from None


def build_cases(node: Node, findings: Findings, *, complete: bool) -> list[Case]:
    """Return the tests that can run."""
    items = node.items if isinstance(node, Sequence) else []
    cases = [_build(item, findings, complete=complete) for item in items]
    return [case for case in cases if case is not None]


def as_json(node: Node, findings: Findings) -> Any:
    """Return a node as the JSON value it looks like."""
    if isinstance(node, Scalar):
        return typed(node.text) if node.plain else node.text
    if isinstance(node, Sequence):
        return [as_json(item, findings) for item in node.items]
    pairs = unique_pairs(node, findings) if isinstance(node, MappingNode) else []
    return {key.text: as_json(value, findings) for key, value in pairs}


def _build(node: Node, findings: Findings, *, complete: bool) -> Case | None:
    entries = read_block(node, CASE, "a test", findings, complete=complete)
    if entries is None or not entries.whole or "given" not in entries or "expect" not in entries:
        return None
    given = _given(entries, findings)
    expect = _expect(entries, findings)
    if given is None or expect is None:
        return None
    return Case(
        name=entries.text("name"),
        line=node.line,
        given=given,
        set=_set(entries.value("set"), findings),
        fetched=_fetched(entries.value("with"), findings),
        **expect,
    )


def _given(entries: Block, findings: Findings) -> Sample | dict[str, Any] | None:
    value = entries.value("given")
    if isinstance(value, MappingNode):
        event: dict[str, Any] = as_json(value, findings)
        return event
    if isinstance(value, Scalar) and not is_null(value):
        return Sample(value.text, value.line, value.column)
    findings.error(
        value or entries.node, "tests.given", "given must be a file such as samples/pix.json, or an event, got neither"
    )
    return None


def _set(node: Node | None, findings: Findings) -> dict[str, Any]:
    values = {}
    for key, value in unique_pairs(node, findings) if isinstance(node, MappingNode) else []:
        if SET_PATH.fullmatch(key.text):
            values[key.text] = as_json(value, findings)
        else:
            findings.error(
                key,
                "tests.set",
                f"set needs a path such as payment.value or payment.split[0].status, got {shown(key.text)}",
            )
    return values


def _fetched(node: Node | None, findings: Findings) -> dict[str, Any]:
    fetched: dict[str, Any] = {}
    for key, value in unique_pairs(node, findings) if isinstance(node, MappingNode) else []:
        if key.text not in FETCHABLE:
            names = ", ".join(sorted(FETCHABLE))
            findings.error(
                key,
                "tests.with",
                f"nothing named {shown(key.text)} is fetched; with knows {names}{did_you_mean(key.text, FETCHABLE)}",
            )
        elif isinstance(value, Sequence):
            findings.error(value, "tests.with", f"{key.text} must be a file, an object or null, got a list")
        elif isinstance(value, Scalar):
            fetched[key.text] = None if is_null(value) else Sample(value.text, value.line, value.column)
        else:
            fetched[key.text] = as_json(value, findings)
    return fetched


def _expect(entries: Block, findings: Findings) -> dict[str, Any] | None:
    value = entries.value("expect")
    if isinstance(value, Scalar) and value.text == "filtered":
        return {"filtered": True}
    if not isinstance(value, MappingNode) or not value.pairs:
        findings.error(
            value or entries.node,
            "tests.expect",
            f"expect must be filtered, or keys and values such as {{nome: Cliente Teste}}, "
            f"got {described(value) if value else 'nothing'}",
        )
        return None
    expect = read_block(value, EXPECT, "expect", findings, complete=True, others=True)
    if expect is None or not expect.whole:
        return None
    exactly = expect.value("exactly")
    pairs = [
        *((key, one) for key, one in unique_pairs(value, Findings("")) if key.text not in EXPECT),
        *(unique_pairs(exactly, findings) if isinstance(exactly, MappingNode) else []),
    ]
    for key, one in pairs:
        if not isinstance(one, Scalar):
            findings.error(one, "tests.expect", f"{key.text} must be one value, got {described(one)}")
    return {
        "dead": expect.text("dead") or None,
        "send_to": expect.text("send_to") or None,
        "exactly": exactly is not None,
        "expect": {
            key.text: Expected(one.text, one.plain, key.line, key.column)
            for key, one in pairs
            if isinstance(one, Scalar)
        },
    }
