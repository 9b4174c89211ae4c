"""What a host asks: `/healthz`, `/readyz`, and `/openapi.json`, which describes the routes for programs."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from flask import Blueprint, Response, current_app, jsonify
from flask.typing import ResponseReturnValue
from redis.exceptions import RedisError

from bridge.errors import BridgeError
from bridge.journal import jobs
from bridge.mapping import Severity
from bridge.messages import Message, message, system_reason
from bridge.operations.causes import UNCONNECTED
from bridge.runtime import Runtime
from bridge.wakeups import redis_problem

READY_FOR_S = 1.0
"""`/readyz` repeats an answer for this long: it writes into the journal, and anybody may ask."""
OPENAPI = Path(__file__).with_name("openapi.json").read_bytes()

health = Blueprint("health", __name__)


@health.get("/healthz")
def alive() -> ResponseReturnValue:
    return jsonify(alive=True)


@health.get("/readyz")
def ready() -> ResponseReturnValue:
    """Answer 200 where an event can be kept and a delivery sent, else 503, with the state of each part."""
    readiness: Readiness = current_app.extensions["bridge.readiness"]
    parts = readiness.parts()
    fine = all(part["ready"] for part in parts.values())
    return jsonify(ready=fine, **parts), 200 if fine else 503


@health.get("/openapi.json")
def openapi() -> Response:
    return Response(OPENAPI, mimetype="application/json")


class Readiness:
    """The state of each part of the bridge; `write` makes a text of a problem."""

    def __init__(self, runtime: Runtime, write: Callable[[Message], str] = str) -> None:
        self._runtime = runtime
        self._write = write
        self._lock = threading.Lock()
        self._parts: dict[str, dict[str, Any]] = {}
        self._until_s = 0.0

    def parts(self) -> dict[str, dict[str, Any]]:
        checks = {"journal": self._journal, "redis": self._redis, "mappings": self._mappings, "tasks": self._tasks}
        with self._lock:
            if time.monotonic() >= self._until_s:
                self._parts = {name: self._part(check) for name, check in checks.items()}
                self._until_s = time.monotonic() + READY_FOR_S
            return self._parts

    def _journal(self) -> dict[str, Any]:
        self._runtime.journal.try_append()
        return {"ready": True}

    def _redis(self) -> dict[str, Any]:
        try:
            self._runtime.wakeups.check()
        except (RedisError, OSError) as error:
            return {"ready": False, "problem": self._write(redis_problem(error))}
        return {"ready": True}

    def _tasks(self) -> dict[str, Any]:
        # The door works without the tasks: late tasks do not make the bridge unready.
        with self._runtime.journal.database.read() as connection:
            return {"ready": True, "late": jobs.late_tasks(connection, self._runtime.clock_ms())}

    def _mappings(self) -> dict[str, Any]:
        runtime = self._runtime
        files = runtime.mapping_files.read()
        found = [one for file in files for one in file.findings if one.severity is Severity.ERROR]
        # One of the whole directory has no line and column.
        problems = [
            message("{path}: {what}", path=one.path, what=one.what)
            if one.path == str(runtime.settings.bridge_mappings_dir)
            else one.report
            for one in found
            if runtime.destinations or one.code not in UNCONNECTED
        ]
        active = [item.mapping.name for item in runtime.mappings.current() if item.mapping.enabled]
        if refused := runtime.mappings.refused():
            problems.append(refused.message())
        # A file that can't be imported does not make the bridge unready: the revision before it stays active.
        ready = bool(active) and refused is None
        return {"ready": ready, "active": active, "problems": [self._write(one) for one in problems]}

    def _part(self, check: Callable[[], dict[str, Any]]) -> dict[str, Any]:
        try:
            return check()
        except BridgeError as error:
            return {"ready": False, "problem": self._write(error.message())}
        except OSError as error:
            return {"ready": False, "problem": self._write(system_reason(error))}
