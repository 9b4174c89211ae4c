"""Faults on demand for both simulators: down, slow, hanging, or answering a given status.

They apply before the simulator sees a request, and never to the page or to paths under `/_sim/`, which control them.
"""

from __future__ import annotations

import random
import threading
from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from types import MappingProxyType
from typing import Any

from flask import Flask, Response, g, request

from bridge.simulator.pages import add_routes, request_json
from bridge.simulator.serve import drop_connection

BREAKS: Mapping[str, bytes | None] = {
    "resets": b"",
    "closes": b"",
    "truncates": b'HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: 1000\r\n\r\n{"succ',
    "garbles": b"\x16\x03\x01 this is no HTTP\r\n\r\n",
    "floods": None,
}
"""The bytes sent instead of the answer; a flood is a proper answer of ten million bytes."""
FLOOD_BYTES = 10_000_000


@dataclass
class Fault:
    """A fault, and the requests that it applies to."""

    status: int | None = None
    """Answer this, without doing anything unless `takes_first`."""
    headers: Mapping[str, str] | None = None
    wait_s: float = 0.0
    drop: bool = False
    """Cut the connection without an answer."""
    breaks: str = ""
    """How the answer is spoilt after the work was done: a name of BREAKS."""
    takes_first: bool = False
    """Do the work before waiting or failing: the sender cannot know that it was done."""
    share: float = 1.0
    times: int | None = None
    path: str = ""
    method: str = ""
    query: Mapping[str, str] = field(default_factory=dict)

    def is_for(self, path: str, method: str, query: Mapping[str, str]) -> bool:
        """Return whether the fault applies to such a request."""
        asked = all(query.get(name) == value for name, value in self.query.items())
        return path.startswith(self.path) and self.method in ("", method) and asked

    @property
    def kind(self) -> str:
        """What it does: a name of BREAKS, a status, `drops` or `waits`."""
        return self.breaks or str(self.status or ("drops" if self.drop else "waits"))


class Faults:
    """The faults of a simulator; thread-safe, and the same for the same seed."""

    def __init__(self, seed: int = 0) -> None:
        self._lock = threading.Lock()
        self._lots = random.Random(seed)
        self._rules: list[Fault] = []
        self._struck: Counter[str] = Counter()
        self._slow_s = 0.0
        self._down = False
        self._released = threading.Event()

    def goes_down(self) -> None:
        """Cut every connection until `comes_back`."""
        self._down = True

    def comes_back(self) -> None:
        """Remove all faults and release requests that hang."""
        with self._lock:
            self._down = False
            self._slow_s = 0.0
            self._rules.clear()
            self._released.set()
            self._released = threading.Event()

    def answers(self, status: int, headers: Mapping[str, str] | None = None, **limits: Any) -> None:
        """Answer this status to the next `times` requests (None: all), or to a random `share` of them.

        `path` keeps a fault to the paths that begin with it, `method` and `query` to such requests; the other faults
        take these limits too. With `takes_first` the work is done all the same.
        """
        self._add(Fault(status=status, headers=headers, **limits))

    def hangs(self, seconds: float, takes_first: bool = True, **limits: Any) -> None:
        """Delay the answers, by default after the work is done."""
        self._add(Fault(wait_s=seconds, takes_first=takes_first, **limits))

    def drops(self, **limits: Any) -> None:
        """Cut the connections before the work is done."""
        self._add(Fault(drop=True, **limits))

    def breaks(self, how: str, **limits: Any) -> None:
        """Spoil the answers after the work is done; `how` is a name of BREAKS."""
        self._add(Fault(breaks=how, **limits))

    def is_slow(self, seconds: float) -> None:
        """Delay every request."""
        self._slow_s = seconds

    def state(self) -> dict[str, Any]:
        with self._lock:
            return {"down": self._down, "slow_s": self._slow_s, "rules": len(self._rules)}

    def rules(self) -> list[Fault]:
        """Return the faults that wait for a request, the next one first."""
        with self._lock:
            return [replace(rule) for rule in self._rules]

    def struck(self) -> dict[str, int]:
        """Return how many requests each kind of fault was drawn for."""
        with self._lock:
            return dict(self._struck)

    def draw(self, path: str, method: str = "", query: Mapping[str, str] = MappingProxyType({})) -> Fault | None:
        with self._lock:
            if self._down:
                return Fault(drop=True)
            for rule in self._rules:
                if not rule.is_for(path, method, query) or (rule.share < 1.0 and self._lots.random() >= rule.share):
                    continue
                if rule.times is not None:
                    rule.times -= 1
                    if rule.times <= 0:
                        self._rules.remove(rule)
                self._struck[rule.kind] += 1
                return rule
            return Fault(wait_s=self._slow_s) if self._slow_s else None

    def wait(self, seconds: float) -> None:
        """Wait so long, or until `comes_back`."""
        self._released.wait(seconds)

    def _add(self, rule: Fault) -> None:
        with self._lock:
            self._rules.append(rule)


def new_app(
    name: str, faults: Faults, prefixes: tuple[str, ...], first: Callable[[Flask], None] = lambda app: None
) -> Flask:
    """Return an application with faults on paths with these prefixes, and their controls under `/_sim/`.

    What `first` adds comes before the faults. JSON keeps the order of keys, and letters as they are.
    """
    app = Flask(name, template_folder=None)
    app.json.sort_keys = False  # type: ignore[attr-defined]  # of flask's default provider
    app.json.ensure_ascii = False  # type: ignore[attr-defined]
    first(app)

    @app.before_request
    def misbehave() -> Response | None:
        is_prone = request.path.startswith(prefixes)
        g.fault = faults.draw(request.path, request.method, request.args) if is_prone else None
        fault: Fault | None = g.fault
        if fault is None:
            return None
        if fault.wait_s and not fault.takes_first:
            faults.wait(fault.wait_s)
        if fault.drop:
            drop_connection(request.environ)
            # Only a test client, which has no connection to cut, sees this answer.
            return Response(status=503)
        if fault.status is not None and not fault.takes_first:
            return Response("", status=fault.status, headers=dict(fault.headers or {}), content_type="application/json")
        return None

    @app.after_request
    def linger(response: Response) -> Response:
        fault: Fault | None = g.get("fault")
        if fault is not None and fault.takes_first:
            faults.wait(fault.wait_s)
            if fault.status is not None:
                response.status_code = fault.status
                response.set_data("")
                response.headers.update(fault.headers or {})
        if fault is not None and fault.breaks:
            words = BREAKS[fault.breaks]
            if words is None:
                response.set_data(b"x" * FLOOD_BYTES)
            else:
                drop_connection(request.environ, words, reset=fault.breaks == "resets")
        return response

    def control(change: Callable[..., None]) -> Callable[[], dict[str, Any]]:
        def view() -> dict[str, Any]:
            change(**request_json())
            return faults.state()

        return view

    changes = (faults.goes_down, faults.comes_back, faults.is_slow)
    kinds = (faults.answers, faults.hangs, faults.drops, faults.breaks)
    add_routes(app, {f"POST /_sim/{change.__name__}": control(change) for change in (*changes, *kinds)})
    add_routes(app, {"GET /_sim/faults": faults.state, "GET /_sim/struck": faults.struck})
    return app
