"""The page of one piece of long work: how far it is, what was said, what came out; the same after every reload."""

from __future__ import annotations

import csv
import io
import json
from functools import partial

from flask import Blueprint, Response, g, redirect, request, url_for
from flask.typing import ResponseReturnValue

from bridge.delivery.dead_letter import reason
from bridge.journal import jobs as kept
from bridge.journal.jobs import Job
from bridge.recovery.report import as_csv
from bridge.web.console import frame
from bridge.web.console.pictures import bars

jobs = Blueprint("jobs", __name__)

HOME = {
    "reconcile": "console.reconcile.form",
    "backfill_preview": "console.reconcile.form",
    "backfill": "console.reconcile.form",
    "trial": "console.trial.form",
    "replay_preview": "console.mappings.listed",
    "replay": "console.mappings.listed",
    "examination": "console.connections.show",
}
"""The page from which each kind is begun."""


def of_number(number: int, *kinds: str) -> Job:
    """Return a job; the page is not found where there is none of these kinds."""
    with frame.runtime().journal.database.read() as connection:
        job: Job = frame.found(kept.find(connection, number, frame.runtime().clock_ms()))
    return job if not kinds or job.kind in kinds else frame.found(None)


@jobs.get("/work/<int:number>")
def show(number: int) -> ResponseReturnValue:
    """Show a job, or, to htmx, what of it changes."""
    job = of_number(number)
    g.shown_for = HOME[job.kind]
    template = "job_part.html" if frame.partial() else "job.html"
    sentence = partial(reason, language=frame.words().language)
    return frame.page(template, job=job, home=HOME[job.kind], picture=_picture(job), reason=sentence)


def _picture(job: Job) -> str:
    if job.kind != "reconcile" or not job.result:
        return ""
    days: dict[str, dict[str, int]] = {}
    for row in job.result["days"]:
        counted = days.setdefault(row["day"], {})
        for name, number in row.items():
            if name in job.result["totals"] and number:
                counted[name] = counted.get(name, 0) + number
    return bars(days)


@jobs.get("/work/<int:number>/report.<kind>")
def report(number: int, kind: str) -> ResponseReturnValue:
    """Give a reconciliation's report as a file: the numbers of each day as CSV, everything as JSON."""
    job = of_number(number, "reconcile")
    result = frame.found(job.result)
    name = f"reconcile-{result['account']}-{result['since']}-{result['until']}"
    if kind == "json":
        text, mime = json.dumps(result, ensure_ascii=False, indent=2) + "\n", "application/json"
    elif kind == "csv":
        text, mime = as_csv([result]), "text/csv; charset=utf-8"
    elif kind == "charges.csv":
        text, mime, name = _charges(result["behind"]), "text/csv; charset=utf-8", f"{name}-charges"
        kind = "csv"
    else:
        return frame.found(None)  # type: ignore[no-any-return]
    headers = {"Content-Disposition": f'attachment; filename="{name}.{kind}"'}
    return Response(text.encode(errors="replace"), mimetype=mime, headers=headers)


def _charges(behind: list[dict[str, str]]) -> str:
    text = io.StringIO()
    writer = csv.DictWriter(text, ("day", "id", "status", "verdict", "known", "event_id"), lineterminator="\n")
    writer.writeheader()
    writer.writerows(behind)
    return text.getvalue()


@jobs.post("/work/<int:number>/deal")
def deal(number: int) -> ResponseReturnValue:
    """Take a person's word that the deal of a test charge stands in Clint, or does not."""
    job = of_number(number, "trial")
    result = dict(frame.found(job.result))
    sees = request.form.get("sees") == "yes"
    result |= {"proved": sees, "asks_person": False, "person_looked": True}
    if sees:
        result["causes"] = []
    with frame.runtime().journal.database.write() as connection:
        kept.amend(connection, number, result)
    frame.note("trial.deal_seen" if sees else "trial.deal_not_seen", str(number))
    return redirect(url_for("console.jobs.show", number=number), 303)
