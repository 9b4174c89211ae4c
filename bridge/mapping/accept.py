"""Writes what a test of a mapping gave as what it expects from now on, and leaves the rest of the text as it is."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from bridge.mapping.edit import Document, NotEditable, Path, written
from bridge.mapping.evaluate import Value
from bridge.mapping.testing import CaseResult
from bridge.mapping.values import as_text, typed


def accept(text: str, results: Iterable[tuple[int, CaseResult]]) -> str:
    """Return the text in which these tests pass, each given with its place; a test that could not run stays."""
    document = Document(text)
    for place, result in results:
        if not result.passed and result.problem is None:
            _accept(document, ("tests", place, "expect"), result)
    return document.text


def _accept(document: Document, path: Path, result: CaseResult) -> None:
    if result.code:
        document.replace(path, "filtered" if result.code == "filtered" else f"{{dead: {result.code}}}")
    elif document.scalar(*path) is not None or "dead" in document.names(*path):
        document.replace(path, _whole(result.payload))
    else:
        for one in result.differences:
            _accept_key(document, path, one.what, result)


def _accept_key(document: Document, path: Path, key: str, result: CaseResult) -> None:
    exactly, made = (*path, "exactly"), {**result.payload, **result.funnel}
    block = path if key in document.names(*path) or "exactly" not in document.names(*path) else exactly
    if key == "send_to" and block == path:
        document.set_scalar((*path, key), result.send_to)
    elif key not in made and block == exactly:
        if document.names(*exactly) == [key]:
            raise NotEditable
        document.remove((*exactly, key))
    elif key in document.names(*block):
        flow = document.is_flow(*block)
        document.replace((*block, key), _written(made.get(key), flow=flow))
    else:
        document.add_pair(block, key, _written(made.get(key), flow=document.is_flow(*block)))


def _whole(payload: Mapping[str, Value]) -> str:
    pairs = [f"  {written(key)}: {_written(value)}" for key, value in payload.items()]
    return "\n".join(["exactly:", *pairs])


def _written(value: Value | None, *, flow: bool = False) -> str:
    if value is None:
        return "null"
    if not isinstance(value, str):
        return as_text(value)
    return written(value, flow=flow, quoted=typed(value) != value)
