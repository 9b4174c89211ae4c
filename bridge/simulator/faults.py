"""Misbehaviour on demand, the same for both simulators: down, slow, hanging, or answering what it is told.

It is given requests before the simulator sees them and says what is to be done to each. Paths under `/_sim/` and the
page are never touched: whoever plays with the knobs must still reach them.
"""

from __future__ import annotations

import random
import threading
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from flask import Blueprint, Flask, Response, g, request

from bridge.simulator.serve import drop_connection

BREAKS: Mapping[str, bytes | None] = {
    "resets": b"",
    "truncates": b'HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: 1000\r\n\r\n{"succ',
    "garbles": b"\x16\x03\x01 this is no HTTP\r\n\r\n",
    "floods": None,
}
"""What is sent instead of the answer; a flood is a proper answer of ten million bytes."""
FLOOD_BYTES = 10_000_000


@dataclass(frozen=True)
class Fault:
    """What happens to one request."""

    status: int | None = None
    """Answer this without doing anything."""
    headers: Mapping[str, str] = field(default_factory=dict)
    wait_s: float = 0.0
    drop: bool = False
    """Cut the connection without an answer."""
    breaks: str = ""
    """How the answer is spoilt after the work was done: a name of BREAKS."""
    takes_first: bool = False
    """Do the work before waiting: the sender runs into its timeout and cannot know that it was done."""


@dataclass
class _Rule:
    fault: Fault
    share: float
    times: int | None
    path: str


class Faults:
    """The knobs of a simulator; thread-safe, and the same lots are drawn again for the same seed."""

    def __init__(self, seed: int = 0) -> None:
        self._lock = threading.Lock()
        self._lots = random.Random(seed)
        self._rules: list[_Rule] = []
        self._slow_s = 0.0
        self._down = False
        self._released = threading.Event()

    def goes_down(self) -> None:
        """Cut every connection without an answer until `comes_back`."""
        self._down = True

    def comes_back(self) -> None:
        """Behave again: forget every fault and let go of whatever hangs."""
        with self._lock:
            self._down = False
            self._slow_s = 0.0
            self._rules.clear()
            self._released.set()
            self._released = threading.Event()

    def answers(
        self,
        status: int,
        times: int | None = None,
        headers: Mapping[str, str] | None = None,
        share: float = 1.0,
        path: str = "",
    ) -> None:
        """Answer this status to the next `times` requests (to all when none), or to a random `share` of them.

        `path` keeps a fault to the paths that begin with it.
        """
        self._add(_Rule(Fault(status=status, headers=dict(headers or {})), share, times, path))

    def hangs(
        self,
        seconds: float,
        share: float = 1.0,
        times: int | None = None,
        takes_first: bool = True,
        path: str = "",
    ) -> None:
        """Hold a share of the requests for so long, as a rule after having taken them."""
        self._add(_Rule(Fault(wait_s=seconds, takes_first=takes_first), share, times, path))

    def drops(self, share: float = 1.0, times: int | None = None, path: str = "") -> None:
        """Cut the connection of a share of the requests before taking them."""
        self._add(_Rule(Fault(drop=True), share, times, path))

    def breaks(self, how: str, share: float = 1.0, times: int | None = None, path: str = "") -> None:
        """Spoil the answers to a share of the requests after having taken them: how is a name of BREAKS."""
        self._add(_Rule(Fault(breaks=how), share, times, path))

    def is_slow(self, seconds: float) -> None:
        """Let every request wait so long before it is looked at."""
        self._slow_s = seconds

    def state(self) -> dict[str, Any]:
        """Say which faults are set."""
        with self._lock:
            return {"down": self._down, "slow_s": self._slow_s, "rules": len(self._rules)}

    def draw(self, path: str) -> Fault | None:
        """Decide what happens to a request of this path."""
        with self._lock:
            if self._down:
                return Fault(drop=True)
            for rule in self._rules:
                if not path.startswith(rule.path) or (rule.share < 1.0 and self._lots.random() >= rule.share):
                    continue
                if rule.times is not None:
                    rule.times -= 1
                    if rule.times <= 0:
                        self._rules.remove(rule)
                return rule.fault
            return Fault(wait_s=self._slow_s) if self._slow_s else None

    def wait(self, seconds: float) -> None:
        """Hold the request that long, or until the simulator comes back."""
        self._released.wait(seconds)

    def _add(self, rule: _Rule) -> None:
        with self._lock:
            self._rules.append(rule)


def install(app: Flask, faults: Faults, prefixes: tuple[str, ...]) -> None:
    """Put the faults in front of every path that begins with one of the prefixes, and their knobs under `/_sim/`."""

    @app.before_request
    def misbehave() -> Response | None:
        g.fault = faults.draw(request.path) if request.path.startswith(prefixes) else None
        fault: Fault | None = g.fault
        if fault is None:
            return None
        if fault.wait_s and not fault.takes_first:
            faults.wait(fault.wait_s)
        if fault.drop:
            drop_connection(request.environ)
            # Nobody reads this where there was a connection to cut; a test client without one sees a 503.
            return Response(status=503)
        if fault.status is not None:
            return Response("", status=fault.status, headers=dict(fault.headers), content_type="application/json")
        return None

    @app.after_request
    def linger(response: Response) -> Response:
        fault: Fault | None = g.get("fault")
        if fault is not None and fault.takes_first:
            faults.wait(fault.wait_s)
        if fault is not None and fault.breaks:
            words = BREAKS[fault.breaks]
            if words is None:
                response.set_data(b"x" * FLOOD_BYTES)
            else:
                drop_connection(request.environ, words, reset=not words)
        return response

    app.register_blueprint(_knobs(faults))


def _knobs(faults: Faults) -> Blueprint:
    knobs = Blueprint("faults", __name__, url_prefix="/_sim")

    def told() -> dict[str, Any]:
        body = request.get_json(silent=True)
        return body if isinstance(body, dict) else {}

    @knobs.post("/goes_down")
    def goes_down() -> dict[str, Any]:
        faults.goes_down()
        return faults.state()

    @knobs.post("/comes_back")
    def comes_back() -> dict[str, Any]:
        faults.comes_back()
        return faults.state()

    @knobs.post("/answers")
    def answers() -> dict[str, Any]:
        faults.answers(**told())
        return faults.state()

    @knobs.post("/hangs")
    def hangs() -> dict[str, Any]:
        faults.hangs(**told())
        return faults.state()

    @knobs.post("/drops")
    def drops() -> dict[str, Any]:
        faults.drops(**told())
        return faults.state()

    @knobs.post("/breaks")
    def breaks() -> dict[str, Any]:
        faults.breaks(**told())
        return faults.state()

    @knobs.post("/is_slow")
    def is_slow() -> dict[str, Any]:
        faults.is_slow(**told())
        return faults.state()

    @knobs.get("/faults")
    def state() -> dict[str, Any]:
        return faults.state()

    return knobs
