"""What a host asks: is the process alive, is the bridge ready."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from typing import Any

from flask import Blueprint, current_app, jsonify
from flask.typing import ResponseReturnValue
from redis.exceptions import RedisError

from bridge.errors import BridgeError
from bridge.journal import jobs
from bridge.mapping import Severity
from bridge.runtime import Runtime
from bridge.wakeups import why_away

REUSED_S = 1.0

health = Blueprint("health", __name__)


@health.get("/healthz")
def alive() -> ResponseReturnValue:
    """Answer that the process is alive."""
    return jsonify(alive=True)


@health.get("/readyz")
def ready() -> ResponseReturnValue:
    """Answer 200 where an event can be kept and a delivery sent, else 503, with each part's state."""
    readiness: Readiness = current_app.extensions["bridge.readiness"]
    parts = readiness.parts()
    fine = all(part["ready"] for part in parts.values())
    return jsonify(ready=fine, **parts), 200 if fine else 503


class Readiness:
    """The state of each part, tried by writing, at most once in REUSED_S: anybody may ask."""

    def __init__(self, runtime: Runtime) -> None:
        self._runtime = runtime
        self._lock = threading.Lock()
        self._parts: dict[str, dict[str, Any]] = {}
        self._until_s = 0.0

    def parts(self) -> dict[str, dict[str, Any]]:
        """Return the state of each part by its name."""
        runtime = self._runtime
        with self._lock:
            if time.monotonic() >= self._until_s:
                self._parts = {
                    "journal": _part(lambda: _journal(runtime)),
                    "redis": _part(lambda: _redis(runtime)),
                    "mappings": _part(lambda: _mappings(runtime)),
                    "tasks": _part(lambda: _tasks(runtime)),
                }
                self._until_s = time.monotonic() + REUSED_S
            return self._parts


def _part(look: Callable[[], dict[str, Any]]) -> dict[str, Any]:
    try:
        return look()
    except (BridgeError, RedisError, OSError) as error:
        return {"ready": False, "problem": str(error) if isinstance(error, BridgeError) else why_away(error)}


def _journal(runtime: Runtime) -> dict[str, Any]:
    runtime.journal.try_append()
    return {"ready": True}


def _redis(runtime: Runtime) -> dict[str, Any]:
    runtime.wakeups.check()
    return {"ready": True}


def _tasks(runtime: Runtime) -> dict[str, Any]:
    """Name the periodic tasks that are late; the door works without them, so that they do not take it away."""
    with runtime.journal.database.read() as connection:
        return {"ready": True, "late": jobs.late_tasks(connection, runtime.clock_ms())}


def _mappings(runtime: Runtime) -> dict[str, Any]:
    problems = [
        str(finding)
        for read in runtime.mapping_files.read()
        for finding in read.findings
        if finding.severity is Severity.ERROR
    ]
    active = [item.mapping.name for item in runtime.mappings.current() if item.mapping.enabled]
    if refused := runtime.mappings.refused():
        problems.append(str(refused))
    # A file that can't be imported stops nothing: the revision before it goes on.
    return {"ready": bool(active) and refused is None, "active": active, "problems": problems}
