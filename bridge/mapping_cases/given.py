"""Builds what expressions see in a test: its event with `set` applied, and its `with` as what was fetched."""

from __future__ import annotations

import copy
import re
from pathlib import Path
from typing import Any

from bridge.mapping.asaas_events import entity_key
from bridge.mapping.cases import read_sample
from bridge.mapping.context import ENVELOPE, build_context
from bridge.mapping.parts import Case, Sample

_STEP = re.compile(r"\w+")
_OVERRIDES = frozenset({"event", "account", "environment", "today", "fee"})


class CannotRun(Exception):
    """The test can't be run as written."""


def context_of(case: Case, root: Path) -> dict[str, Any]:
    """Return what expressions see in a test; raise CannotRun or SampleUnreadable."""
    envelope = read_sample(root, case.given.path) if isinstance(case.given, Sample) else case.given
    if not isinstance(envelope, dict) or not isinstance(envelope.get("event"), str):
        raise CannotRun("given must be an event as Asaas sends it, an object with `event`, got something else")
    key = entity_key(envelope) or "payment"
    fetched = {
        name: read_sample(root, one.path) if isinstance(one, Sample) else one for name, one in case.fetched.items()
    }
    objects: dict[str, Any] = copy.deepcopy({**fetched, key: envelope.get(key) or {}, ENVELOPE: envelope})
    overrides: dict[str, Any] = {}
    for path, value in case.set.items():
        _set(objects, overrides, path, value)
    name = str(overrides.pop("event", envelope["event"]))
    envelope = {**objects.pop(ENVELOPE), "event": name, key: objects.pop(key)}
    context = build_context(
        name,
        key,
        envelope,
        str(overrides.pop("account", "default")),
        str(overrides.pop("environment", "sandbox")),
        objects,
        today=str(overrides.pop("today", "")) or None,
    )
    return {**context, **overrides}


def _set(objects: dict[str, Any], overrides: dict[str, Any], path: str, value: Any) -> None:
    steps = _STEP.findall(path)
    if len(steps) == 1 and steps[0] in _OVERRIDES:
        overrides[steps[0]] = value
        return
    holder: Any = objects
    for step in steps[:-1]:
        if isinstance(holder, dict) and not isinstance(holder.get(step), (dict, list)):
            holder[step] = {}
        holder = _inside(holder, step, path)
    if isinstance(holder, list):
        _inside(holder, steps[-1], path)
        holder[int(steps[-1])] = value
    else:
        holder[steps[-1]] = value


def _inside(holder: Any, step: str, path: str) -> Any:
    if isinstance(holder, dict):
        return holder[step]
    if not step.isdigit() or int(step) >= len(holder):
        raise CannotRun(f"set {path}: the list has {len(holder)} elements and no {step!r}")
    return holder[int(step)]
