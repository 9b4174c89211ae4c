"""How long pages of the console take to be made and sent, and the CPU time of the web process and the database."""

from __future__ import annotations

import re
import time
from collections.abc import Callable, Collection
from datetime import UTC, datetime
from functools import partial
from typing import NamedTuple

import httpx

from bridge.mapping.values import BRASILIA
from tests import asking
from tests.bench import usage
from tests.bench.numbers import percentile
from tests.console import PASSWORD

PAGES = {
    "overview": "/",
    "events": "/events",
    "events, the last page": "/events?before=40",
    "events of a state": "/events?state=dead",
    "events of a day": "/events?since={day}&until={day}",
    "search by a name that all have": "/events?q=carg",
    "search by name and number": "/events?q=carga+17",
    "search by e-mail": "/events?q=carga1@example.com",
    "search by charge": "/events?q=pay_that_is_not_there",
    "one event": "/events/1",
    "one customer": "/customers/default/{customer}",
    "one charge": "/charges/default/{charge}",
    "needs attention": "/attention",
    "mappings": "/mappings",
    "reconciliation": "/reconcile",
    "what a reconciliation found": "/work/1",
    "people": "/people",
    "audit": "/who",
}
PREVIEW = "preview in the editor"
_TRIES = 15


class Took(NamedTuple):
    wall_ms: float
    """The median."""
    cpu_ms: float
    """The mean."""


def took(port: int, pids: Collection[int], mapping: str, customer: str, charge: str) -> dict[str, Took]:
    """Return what each page takes after its first request; `pids` are the processes whose CPU time counts."""
    places = {"customer": customer, "charge": charge, "day": f"{datetime.now(UTC).astimezone(BRASILIA):%Y-%m-%d}"}
    with asking.client(base_url=f"http://127.0.0.1:{port}", timeout=120) as person:
        person.post("/login", data={"csrf_token": _token(person, "/login"), "password": PASSWORD})
        draft = {"csrf_token": _token(person, "/reconcile"), "name": "cobranca", "text": mapping, "against": "event:1"}
        found = {name: _took(partial(person.get, path.format(**places)), pids) for name, path in PAGES.items()}
        return found | {PREVIEW: _took(partial(person.post, "/mappings/live/preview", data=draft), pids)}


def _took(ask: Callable[[], httpx.Response], pids: Collection[int]) -> Took:
    ask().raise_for_status()
    walls, cpu_before_s = [], usage.cpu_s(pids)
    for _ in range(_TRIES):
        begun_s = time.perf_counter()
        ask()
        walls.append((time.perf_counter() - begun_s) * 1000)
    return Took(percentile(walls, 50), (usage.cpu_s(pids) - cpu_before_s) / _TRIES * 1000)


def _token(person: httpx.Client, path: str) -> str:
    found = re.search(r'name="csrf_token" value="([^"]+)"', person.get(path).raise_for_status().text)
    assert found is not None
    return found[1]
