"""The first page: whether everything flows, and what needs a person."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from flask import Blueprint, url_for
from flask.typing import ResponseReturnValue
from redis.exceptions import RedisError
from sqlalchemy import Connection

from bridge.alerts import plan as alert_plan
from bridge.errors import SettingsError
from bridge.journal import destinations, queries, statistics
from bridge.journal.notices import StoredNotice
from bridge.journal.queries import Work
from bridge.journal.statistics import Gauges
from bridge.messages import _, ngettext
from bridge.runtime import Runtime
from bridge.telemetry import ATTEMPT_S, FROM_RECEIPT_S, Family
from bridge.wakeups import SeenWorker, workers
from bridge.web.console import charts, layout
from bridge.web.console.charts import Chart

overview = Blueprint("overview", __name__)

LATE_S = 120.0
"""An event that waits longer, although nothing holds it, is a concern."""


@dataclass(frozen=True, slots=True)
class Concern:
    """A problem: `bad` needs a person, `warning` may pass."""

    kind: str
    text: str
    url: str


@overview.get("/")
def index() -> ResponseReturnValue:
    runtime, now_ms = layout.runtime(), layout.now_ms()
    with runtime.journal.database.read() as connection:
        work, state = queries.work(connection, now_ms), statistics.gauges(connection, now_ms)
        told = layout.open_notices(connection)
        numbers = _numbers(connection, now_ms)
        known = destinations.load(connection)
        waits_ms = statistics.waiting_since_ms(connection)
    seen = _workers(runtime)
    late_s = max(0.0, (now_ms - waits_ms) / 1000) if waits_ms is not None else 0.0
    concerns = _concerns(work, state, told, seen, late_s)
    return layout.page(
        "overview_state.html" if layout.partial() else "overview.html",
        concerns=concerns,
        kind=_loudest(concerns),
        work=work,
        state=state,
        late_s=late_s,
        workers=seen,
        known={name: known.get(name) for name in sorted({*known, *runtime.destinations})},
        urls=runtime.destinations,
        accounts={name: _about(name, told) for name in runtime.accounts},
        mappings=sorted(
            (item.mapping for item in runtime.mappings.current()), key=lambda one: (not one.enabled, one.name)
        ),
        latency={"send": _latency(runtime, ATTEMPT_S), "way": _latency(runtime, FROM_RECEIPT_S)},
        **numbers,
    )


def _numbers(connection: Connection, now_ms: int) -> dict[str, Any]:
    hours = statistics.last_24_hours(connection, now_ms)
    first_hour = now_ms // statistics.HOUR_MS * statistics.HOUR_MS - 23 * statistics.HOUR_MS
    today = (now_ms + statistics.BRASILIA_MS) // statistics.DAY_MS * statistics.DAY_MS - statistics.BRASILIA_MS
    day = charts.stacked(charts.starts(first_hour, statistics.HOUR_MS, 24), hours)
    month = charts.stacked(
        charts.starts(today - 29 * statistics.DAY_MS, statistics.DAY_MS, 30),
        statistics.last_30_days(connection, now_ms),
    )
    split = statistics.last_24_hours(connection, now_ms, ("account", "mapping", "destination", "verdict"))
    return {
        "day": day,
        "month": month,
        "share": _share(day),
        "of_mapping": charts.by(split, lambda one: (one.key[1], one.key[3])),
        "of_destination": charts.by(split, lambda one: (one.key[2], one.key[3])),
        "of_account": charts.by(split, lambda one: (one.key[0], one.key[3])),
    }


def _share(chart: Chart) -> float | None:
    """Return the share of due deliveries that was delivered, None where none was due."""
    due = chart.totals["delivered"] + chart.totals["dead"]
    return chart.totals["delivered"] / due if due else None


def _workers(runtime: Runtime) -> list[SeenWorker] | None:
    try:
        return workers(runtime.redis)
    except (RedisError, SettingsError):
        return None


def _latency(runtime: Runtime, family: Family) -> dict[str, float] | None:
    """Return median and 95th percentile over all processes, None where nothing was counted."""
    counted = runtime.shared_counts.totals() or {}
    bounds = (*family.bounds, float("inf"))
    numbers = [0.0] * len(bounds)
    for (of, _labels, part), number in counted.items():
        if of is family and part.isdigit() and int(part) < len(numbers):
            numbers[int(part)] += number
    buckets = list(zip(bounds, numbers, strict=True))
    middle, most = charts.quantile(0.5, buckets), charts.quantile(0.95, buckets)
    return {"p50": middle, "p95": most} if middle is not None and most is not None else None


def _about(account: str, told: list[StoredNotice]) -> list[StoredNotice]:
    return [one for one in told if one.about == account or one.about.startswith(f"{account} ")]


def _loudest(concerns: list[Concern]) -> str:
    kinds = {concern.kind for concern in concerns}
    return "bad" if "bad" in kinds else "warning" if kinds else "good"


def _concerns(
    work: Work, state: Gauges, told: list[StoredNotice], seen: list[SeenWorker] | None, late_s: float
) -> list[Concern]:
    attention, notices_at = url_for("console.attention.index"), url_for("console.connections.show")
    found: list[Concern] = []
    if number := work.deliveries["dead"]:
        found.append(Concern("bad", ngettext("{n} delivery failed", "{n} deliveries failed", number), attention))
    found += [
        Concern("bad", _("Destination {name} is paused", name=name), attention)
        for name, paused in state.paused.items()
        if paused
    ]
    mappings_at = url_for("console.mappings.listed")
    found += [
        Concern("bad", _("The file of mapping {name} has an error and is not used", name=name), mappings_at)
        for name in layout.broken_files()
    ]
    if layout.runtime().mappings.refused():
        found.append(Concern("bad", _("An active mapping can't run in this version"), mappings_at))
    found += [
        Concern("bad" if one.level == "error" else "warning", f"{one.about}: {layout.notice_texts(one)[0]}", notices_at)
        for one in told
        if one.code != alert_plan.CIRCUIT  # the destination itself says so below
    ]
    if seen is None:
        text = _("Redis does not answer; events are kept, and processed when it is back")
        found.append(Concern("warning", text, "#workers"))
    elif not seen and (work.events_waiting or late_s):
        found.append(Concern("bad", _("No worker is running, and events wait"), "#workers"))
    if late_s > LATE_S:
        waits = url_for("console.events.index", state="waiting")
        found.append(
            Concern(
                "warning", _("The oldest event has been waiting for {age}", age=layout.formats().lasting(late_s)), waits
            )
        )
    open_at = url_for("console.events.index", state="open")
    for name, circuit in state.circuits.items():
        if circuit != "closed" and not state.paused.get(name):
            text = _("Destination {name} fails for several customers; it is probed now and then", name=name)
            found.append(Concern("warning", text, open_at))
    return sorted(found, key=lambda concern: concern.kind != "bad")
