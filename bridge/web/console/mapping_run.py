"""Runs a saved mapping over past events or missing charges; a preview is shown before anything is sent."""

from __future__ import annotations

from datetime import timedelta

from flask import Blueprint, request
from flask.typing import ResponseReturnValue

from bridge.journal import queries
from bridge.mapping import Mapping
from bridge.messages import _
from bridge.web.console import jobs, layout
from bridge.web.console.access import runtime
from bridge.web.console.mapping_editor import read
from bridge.web.console.mappings import revision_of

running = Blueprint("mappings_run", __name__)

NUMBERS = (10, 50, 200)
DAYS = (1, 7, 30)
LOOKED_AT = 20
"""Of so many times the wanted number of events, the newest that the mapping listens to are taken."""


def _mapping(name: str) -> Mapping:
    return layout.found(read(name, revision_of(name).text or "").mapping)


@running.get("/mappings/<name>/run")
def choose(name: str) -> ResponseReturnValue:
    mapping = _mapping(name)
    has_key = mapping.account in runtime.asaas
    return layout.page("mapping_run.html", name=name, mapping=mapping, numbers=NUMBERS, days=DAYS, has_key=has_key)


@running.post("/mappings/<name>/run")
def begin(name: str) -> ResponseReturnValue:
    """Begin to work out what would be sent; nothing is sent."""
    mapping, form = _mapping(name), request.form
    if form.get("over") == "charges":
        days = min(layout.number(form.get("days")) or DAYS[1], 366)
        until = layout.today()
        since = until - timedelta(days=days)
        params = {
            "account": mapping.account,
            "since": since.isoformat(),
            "until": until.isoformat(),
            "by": "created",
        }
        return jobs.begin("backfill_preview", mapping.account, jobs.backfill_preview, params)
    ids = _last(mapping, min(layout.number(form.get("number")) or NUMBERS[0], NUMBERS[-1]))
    if not ids:
        layout.flash_message(_("No recent event that this mapping listens to."), "warning")
        return layout.go("console.mappings_run.choose", name=name)
    return jobs.begin("replay_preview", name, jobs.replay_preview, {"mapping": name, "ids": ids})


def _last(mapping: Mapping, wanted: int) -> list[int]:
    """Return the last events that the mapping listens to, in the order of arrival."""
    with runtime.journal.database.read() as connection:
        rows = queries.list_events(connection, limit=wanted * LOOKED_AT, account=mapping.account, state="processed")
    return sorted([row["id"] for row in rows if row["emptied_ms"] is None and mapping.listens_to(row["name"])][:wanted])


@running.post("/work/<int:number>/replay")
def replay(number: int) -> ResponseReturnValue:
    job = jobs.of_number(number, "replay_preview")
    ids = list(layout.found(job.result)["ids"])
    answer = jobs.begin("replay", job.about, jobs.replay, {"mapping": job.params["mapping"], "ids": ids})
    layout.note("events.replayed", job.about, {"events": len(ids)})
    return answer
