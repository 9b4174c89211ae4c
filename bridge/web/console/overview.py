"""The first page: whether everything flows, and what needs a person."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, NamedTuple

from flask import Blueprint, url_for
from flask.typing import ResponseReturnValue
from redis.exceptions import RedisError
from sqlalchemy import Connection

from bridge.errors import SettingsError
from bridge.formats import Formats
from bridge.journal import causes, statistics
from bridge.journal.causes import Cause, Kind, Noted
from bridge.messages import _
from bridge.model import NoticeLevel
from bridge.telemetry import ATTEMPT_S, FROM_RECEIPT_S, Family
from bridge.wakeups import SeenWorker, workers
from bridge.web.console import attention, charts, guide, layout
from bridge.web.console.access import person, runtime

pages = Blueprint("overview", __name__)

LATE_S = 120.0
"""An event that waits longer, although nothing holds it, is a concern."""


class Concern(NamedTuple):
    """A problem: `bad` needs a person, `warning` may pass."""

    kind: str
    text: str
    url: str
    seen_by: str | None = None


@pages.get("/")
def index() -> ResponseReturnValue:
    now_ms = layout.now_ms()
    accounts, names = person.accounts, layout.seen_destinations()
    with runtime.journal.database.read() as connection:
        state = statistics.gauges(connection, now_ms, accounts)
        notices = layout.open_notices(connection)
        numbers = _numbers(connection, now_ms)
        standing, noted = layout.standing(connection), causes.noted(connection)
        guided = guide.current(connection)
        answering = layout.answering(connection, runtime.destinations)
    set_up = runtime.destinations if names is None else names
    mappings = sorted(layout.seen_mappings(), key=lambda one: (not one.enabled, one.name))
    shown = [one for one in mappings if one.enabled or one.name in numbers["of_mapping"]]
    places = {name: one for name, one in state.destinations.items() if names is None or name in names}
    known = {name: places.get(name) for name in sorted({*places, *set_up})}
    used = {name for one in shown for name in one.destinations} | set(numbers["of_destination"])
    in_use = {
        name: one
        for name, one in known.items()
        if name in used or (one and (one.state != "closed" or one.paused_ms is not None))
    }
    try:
        seen = workers(runtime.redis)
    except (RedisError, SettingsError):
        seen = None
    late_s = max(0.0, (now_ms - state.waiting_since_ms) / 1000) if state.waiting_since_ms is not None else 0.0
    # Those that need a person come first.
    concerns = sorted(_concerns(standing, noted, seen, late_s), key=lambda one: one.kind != "bad")
    kinds = {concern.kind for concern in concerns}
    return layout.page(
        "overview_state.html" if layout.partial() else "overview.html",
        concerns=concerns,
        kind="bad" if "bad" in kinds else "warning" if kinds else "good",
        state=state,
        guide=guided,
        workers=seen,
        known=in_use,
        unused=len(known) - len(in_use),
        urls=runtime.destinations,
        answering=answering,
        accounts={
            name: [one for one in notices if one.about == name or one.about.startswith(f"{name} ")]
            for name in runtime.accounts
            if person.sees(name)
        },
        unheard={one.about for one in standing if one.kind is Kind.UNHEARD},
        mappings=shown,
        mappings_off=len(mappings) - len(shown),
        latency={"send": _latency(ATTEMPT_S), "way": _latency(FROM_RECEIPT_S)},
        **numbers,
    )


def _numbers(connection: Connection, now_ms: int) -> dict[str, Any]:
    this_hour = now_ms // statistics.HOUR_MS * statistics.HOUR_MS
    today = (now_ms + statistics.BRASILIA_MS) // statistics.DAY_MS * statistics.DAY_MS - statistics.BRASILIA_MS
    hours = range(this_hour - 23 * statistics.HOUR_MS, this_hour + 1, statistics.HOUR_MS)
    days = range(today - 29 * statistics.DAY_MS, today + 1, statistics.DAY_MS)
    accounts = person.accounts
    day = charts.chart(charts.by_start(hours, statistics.last_24_hours(connection, now_ms, accounts=accounts)))
    due = day.totals["delivered"] + day.totals["dead"]
    split = statistics.last_24_hours(connection, now_ms, ("account", "mapping", "destination", "verdict"), accounts)
    return {
        "day": day,
        "month": charts.chart(charts.by_start(days, statistics.last_30_days(connection, now_ms, accounts=accounts))),
        "share": day.totals["delivered"] / due if due else None,
        "of_mapping": charts.by(split, 1),
        "of_destination": charts.by(split, 2),
        "of_account": charts.by(split, 0),
    }


def _latency(family: Family) -> dict[str, float] | None:
    """Return median and 95th percentile over all processes, None where nothing was counted."""
    bounds = (*family.bounds, float("inf"))
    numbers = [0.0] * len(bounds)
    for (of, _labels, part), number in (runtime.shared_counts.totals() or {}).items():
        if of is family and part.isdigit() and int(part) < len(numbers):
            numbers[int(part)] += number
    buckets = list(zip(bounds, numbers, strict=True))
    middle, most = charts.quantile(0.5, buckets), charts.quantile(0.95, buckets)
    return {"p50": middle, "p95": most} if middle is not None and most is not None else None


def _concerns(
    standing: list[Cause], noted: dict[str, Noted], seen: list[SeenWorker] | None, late_s: float
) -> Iterator[Concern]:
    """Yield the causes that need a person, and the problems of the processes."""
    for cause in standing:
        kind = "bad" if cause.level is NoticeLevel.ERROR else "warning"
        url = url_for("console.attention.index", _anchor=cause.anchor)
        known = noted.get(cause.key)
        if cause.kind is Kind.OVERLAP and known and known.seen_by:
            continue  # a person marked it as seen: they go to different funnels
        yield Concern(kind, attention.concern_of(cause), url, known.seen_by if known else None)
    if seen is None:
        yield Concern("warning", _("Redis does not answer; events are kept, and processed when it is back"), "#workers")
    if late_s > LATE_S:
        text = _("The oldest event has been waiting for {age}", age=Formats(layout.now_ms()).lasting(late_s))
        yield Concern("warning", text, url_for("console.events.index", state="waiting"))
