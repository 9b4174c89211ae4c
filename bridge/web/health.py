"""What a host asks: is the process alive, is the bridge ready, what are its numbers.

Every number comes from a partial index that holds only unfinished work, so that asking stays cheap however long the
journal is.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

from flask import Blueprint, Response, current_app, jsonify
from flask.typing import ResponseReturnValue
from prometheus_client import CollectorRegistry, generate_latest
from prometheus_client.core import GaugeMetricFamily
from redis.exceptions import RedisError

from bridge.errors import BridgeError
from bridge.journal import notices, reading
from bridge.mapping import Severity
from bridge.runtime import Runtime

health = Blueprint("health", __name__)


@health.get("/healthz")
def alive() -> ResponseReturnValue:
    """Answer that the process is alive."""
    return jsonify(alive=True)


@health.get("/readyz")
def ready() -> ResponseReturnValue:
    """Answer 200 where events can be kept and worked on, else 503, with each part's state."""
    runtime: Runtime = current_app.extensions["bridge"]
    parts = {
        "journal": _part(lambda: _journal(runtime)),
        "redis": _part(lambda: _redis(runtime)),
        "mappings": _part(lambda: _mappings(runtime)),
    }
    fine = all(part["ready"] for part in parts.values())
    return jsonify(ready=fine, **parts), 200 if fine else 503


def _part(look: Callable[[], dict[str, Any]]) -> dict[str, Any]:
    try:
        return look()
    except (BridgeError, RedisError, OSError) as error:
        return {"ready": False, "problem": str(error) if isinstance(error, BridgeError) else type(error).__name__}


def _journal(runtime: Runtime) -> dict[str, Any]:
    runtime.journal.check()
    return {"ready": True}


def _redis(runtime: Runtime) -> dict[str, Any]:
    runtime.redis.ping()
    return {"ready": True}


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
    return {"ready": bool(active) and not problems, "active": active, "problems": problems}


class _Numbers:
    """The journal's unfinished work, as Prometheus reads it."""

    def __init__(self, runtime: Runtime) -> None:
        self._runtime = runtime

    def collect(self) -> Iterator[GaugeMetricFamily]:
        """Yield one gauge for each number."""
        with self._runtime.journal.database.read() as connection:
            work = reading.work(connection, self._runtime.clock_ms())
            unmended = notices.counts(connection)
        yield GaugeMetricFamily("bridge_events_waiting", "events that no mapping has seen yet", work.events_waiting)
        yield GaugeMetricFamily("bridge_oldest_waiting_seconds", "age of the oldest of them", work.oldest_waiting_s)
        owed = GaugeMetricFamily("bridge_deliveries", "deliveries that are open or dead", labels=["state"])
        for state, count in work.deliveries.items():
            owed.add_metric([state], count)
        yield owed
        circuits = GaugeMetricFamily("bridge_destination_up", "1 closed circuit and not paused", labels=["destination"])
        for name, up in work.destinations.items():
            circuits.add_metric([name], float(up))
        yield circuits
        told = GaugeMetricFamily("bridge_notices", "open notices: what a person must mend", labels=["level"])
        for level, count in unmended.items():
            told.add_metric([level], count)
        yield told


@health.get("/metrics")
def metrics() -> ResponseReturnValue:
    """Answer the numbers in Prometheus's text format."""
    registry = CollectorRegistry()
    registry.register(_Numbers(current_app.extensions["bridge"]))
    return Response(generate_latest(registry), mimetype="text/plain")
