"""`GET /metrics` for Prometheus: the counters of all processes, from Redis, and gauges of the journal's state.

Every web process gives the same answer. `bridge_journal_up` and `bridge_redis_up` say whether one of both is away.
"""

from __future__ import annotations

import platform
import time
from collections import Counter
from collections.abc import Iterator, Mapping
from itertools import accumulate
from typing import Any

from flask import Blueprint, Response, current_app
from flask.typing import ResponseReturnValue
from prometheus_client import CollectorRegistry, generate_latest
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, HistogramMetricFamily, Metric

from bridge import __version__
from bridge.errors import JournalError
from bridge.journal import jobs, statistics
from bridge.logs import logger
from bridge.model import NoticeLevel
from bridge.runtime import Runtime
from bridge.telemetry import FAMILIES, SUM, Family, Series

log = logger(__name__)

SLOW_S = 0.05
REUSED_S = 5.0
"""Slow gauges (longer than SLOW_S) are reused for this long, so that a scraper can't slow the bridge."""

metrics = Blueprint("metrics", __name__)


@metrics.get("/metrics")
def numbers() -> ResponseReturnValue:
    registry = CollectorRegistry()
    registry.register(current_app.extensions["bridge.numbers"])
    return Response(generate_latest(registry), mimetype="text/plain")


class Numbers:
    """A collector of Prometheus's client."""

    def __init__(self, runtime: Runtime, slow_s: float = SLOW_S) -> None:
        self._runtime = runtime
        self._slow_s = slow_s
        self._seen: list[Metric] = []
        self._seen_until_s = 0.0

    def describe(self) -> list[Metric]:
        return []  # else the registry would collect everything twice

    def collect(self) -> Iterator[Metric]:
        runtime = self._runtime
        build = {(__version__, platform.python_version()): 1}
        yield _gauge("bridge_build_info", "always 1; its labels say what runs", build, "version", "python")
        counted = runtime.shared_counts.totals()
        yield _gauge("bridge_redis_up", "1 where Redis answers", counted is not None)
        for family in FAMILIES:
            yield _family(family, counted or {})
        left = {name: max(0, governor.limits.quota - governor.used()) for name, governor in runtime.limiters.items()}
        yield _gauge("bridge_asaas_quota_left", "requests left of the account's 12 hours", left, "account")
        yield from self._journal()

    def _journal(self) -> list[Metric]:
        began_s = time.monotonic()
        if began_s < self._seen_until_s:
            return self._seen
        up = "1 where the journal answers"
        try:
            found = [_gauge("bridge_journal_up", up, 1), *_gauges(self._runtime)]
        except JournalError as error:
            log.warning("metrics.journal_away", error=str(error))
            return [_gauge("bridge_journal_up", up, 0)]
        took_s = time.monotonic() - began_s
        self._seen, self._seen_until_s = found, began_s + (REUSED_S if took_s > self._slow_s else 0)
        return found


def _gauges(runtime: Runtime) -> Iterator[Metric]:
    with runtime.journal.database.read() as connection:
        state = statistics.gauges(connection, runtime.clock_ms())
        reconciled = jobs.results(connection, [f"reconcile:{account}" for account in runtime.accounts])
    yield _gauge("bridge_events_waiting", "events that no mapping has seen yet", state.events_waiting)
    yield _gauge("bridge_oldest_waiting_seconds", "age of the oldest of them", state.oldest_waiting_s)
    yield _gauge("bridge_deliveries", "deliveries that are open or dead", state.deliveries, "state")
    known = state.destinations
    up = {name: one.state == "closed" and one.paused_ms is None for name, one in known.items()}
    yield _gauge("bridge_destination_up", "1 closed circuit and not paused", up, "destination")
    yield _gauge("bridge_oldest_owed_seconds", "age of the oldest delivery that is open", state.oldest_due_s)
    yield _gauge("bridge_lanes", "lanes of the journal", state.lanes)
    yield _gauge("bridge_lanes_leased", "lanes that a worker works on right now", state.lanes_leased)
    yield _gauge("bridge_lane_events", "events that wait in a lane", state.lane_events, "lane")
    yield _gauge("bridge_lane_due", "customers in a lane whose next delivery is due", state.lane_due, "lane")
    circuits = {
        (name, each): each == one.state for name, one in known.items() for each in ("closed", "open", "half_open")
    }
    yield _gauge("bridge_destination_circuit", "1 for the state of the circuit", circuits, "destination", "state")
    paused = {name: one.paused_ms is not None for name, one in known.items()}
    yield _gauge("bridge_destination_paused", "1 until a person resumes it", paused, "destination")
    levels = {level.value: sum(one.level == level for one in state.notices) for level in NoticeLevel}
    codes = Counter(one.code for one in state.notices)
    yield _gauge("bridge_notices_open", "open notices by code", codes, "code")
    for problem in ("interrupted", "penalised"):
        concerned = {one.about for one in state.notices if one.code == f"webhook.{problem}"}
        said = {name: name in concerned for name in runtime.accounts}
        yield _gauge(f"bridge_asaas_queue_{problem}", f"1 while Asaas has the queue {problem}", said, "account")
    yield _gauge("bridge_notices", "open notices: what a person must fix", levels, "level")
    yield _gauge(
        "bridge_reconcile_missing",
        "charges at Asaas that the journal did not know or knows in an older state, by the last scheduled round",
        {name.split(":", 1)[1]: result["behind"] for name, result in reconciled.items()},
        "account",
    )


def _gauge(name: str, words: str, values: float | Mapping[Any, float], *labels: str) -> Metric:
    """Return a gauge without labels, or with values by one label or by several."""
    family = GaugeMetricFamily(name, words, labels=labels)
    for key, value in values.items() if isinstance(values, Mapping) else [((), values)]:
        family.add_metric(key if isinstance(key, tuple) else [str(key)], value)
    return family


def _family(family: Family, counted: dict[Series, float]) -> Metric:
    parts: dict[tuple[str, ...], dict[str, float]] = {}
    for (of, labels, part), value in counted.items():
        if of is family:
            parts.setdefault(labels, {})[part] = value
    if not family.bounds:
        counter = CounterMetricFamily(family.name, family.help, labels=family.labels)
        for labels, found in sorted(parts.items()):
            counter.add_metric(labels, found[""])
        return counter
    histogram = HistogramMetricFamily(family.name, family.help, labels=family.labels)
    for labels, found in sorted(parts.items()):
        upward = accumulate(found.get(str(index), 0) for index in range(len(family.bounds) + 1))
        bounds = [*(f"{bound:g}" for bound in family.bounds), "+Inf"]
        histogram.add_metric(labels, list(zip(bounds, upward, strict=True)), found.get(SUM, 0.0))
    return histogram
