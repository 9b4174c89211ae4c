"""A saved mapping at work at once: over the last events, or over charges that never came; shown before it is sent."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

from flask import Blueprint, redirect, request, url_for
from flask.typing import ResponseReturnValue

from bridge.journal import queries
from bridge.mapping import Mapping
from bridge.mapping.values import BRASILIA
from bridge.web.console import jobs as console_jobs
from bridge.web.console import layout
from bridge.web.console.jobs import of_number, work
from bridge.web.console.mapping_editor import read
from bridge.web.console.mappings import author, revision_of

running = Blueprint("mappings_run", __name__)

NUMBERS = (10, 50, 200)
DAYS = (1, 7, 30)
LOOKED_AT = 20
"""So many times the wanted number of events are looked through, newest first, for those that the mapping listens to."""


def _mapping(name: str) -> Mapping:
    found: Mapping = layout.found(read(name, revision_of(name).text or "").mapping)
    return found


@running.get("/mappings/<name>/run")
def choose(name: str) -> ResponseReturnValue:
    """Ask what the mapping should be run over."""
    mapping = _mapping(name)
    return layout.page(
        "mapping_run.html",
        name=name,
        mapping=mapping,
        numbers=NUMBERS,
        days=DAYS,
        has_key=mapping.account in layout.runtime().asaas,
    )


@running.post("/mappings/<name>/run")
def begin(name: str) -> ResponseReturnValue:
    """Begin to work out what would be sent; nothing is sent."""
    mapping = _mapping(name)
    if request.form.get("over") == "charges":
        days = layout.number(request.form.get("days")) or DAYS[1]
        today = datetime.fromtimestamp(layout.now_ms() / 1000, UTC).astimezone(BRASILIA).date()
        params = {
            "account": mapping.account,
            "since": (today - timedelta(days=min(days, 366))).isoformat(),
            "until": today.isoformat(),
            "by": "created",
        }
        number = work().begin("backfill_preview", mapping.account, console_jobs.backfill_preview, params, author())
    else:
        wanted = min(layout.number(request.form.get("number")) or NUMBERS[0], NUMBERS[-1])
        ids = _last(mapping, wanted)
        if not ids:
            layout.flash_message("mapping_run.nothing", "warning")
            return redirect(url_for("console.mappings_run.choose", name=name), 303)
        work_params = {"mapping": name, "ids": ids}
        number = work().begin("replay_preview", name, console_jobs.replay_preview, work_params, author())
    return redirect(url_for("console.jobs.show", number=number), 303)


def _last(mapping: Mapping, wanted: int) -> list[int]:
    """Return the numbers of the last events that the mapping listens to, in the order of arrival."""
    with layout.runtime().journal.database.read() as connection:
        rows = queries.list_events(connection, limit=wanted * LOOKED_AT, account=mapping.account, state="processed")
    return sorted([row["id"] for row in rows if row["emptied_ms"] is None and mapping.listens_to(row["name"])][:wanted])


@running.post("/work/<int:number>/replay")
def replay(number: int) -> ResponseReturnValue:
    """Send what a preview showed."""
    job = of_number(number, "replay_preview")
    result = layout.found(job.result)
    params = {"mapping": job.params["mapping"], "ids": list(result["ids"])}
    begun = work().begin("replay", job.about, console_jobs.replay, params, author())
    layout.note("events.replayed", job.about, {"events": len(params["ids"])})
    return redirect(url_for("console.jobs.show", number=begun), 303)
