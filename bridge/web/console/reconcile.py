"""Reconciliation: a period of an account's charges compared with the journal, and what is missing brought in."""

from __future__ import annotations

from datetime import date, timedelta

from flask import Blueprint, request
from flask.typing import ResponseReturnValue

from bridge.messages import N_, Message
from bridge.operations.reconcile import FIELDS
from bridge.web.console import forms, jobs, layout
from bridge.web.console.access import person, runtime
from bridge.web.console.events import period

pages = Blueprint("reconcile", __name__)


@pages.get("/reconcile")
def form() -> ResponseReturnValue:
    sent = forms.sent()
    return layout.page(
        "reconcile.html",
        sent.status,
        accounts=[name for name in sorted(runtime.asaas) if person.sees(name)],
        since=sent.fields.get("since") or (layout.today() - timedelta(days=30)).isoformat(),
        until=sent.fields.get("until") or layout.today().isoformat(),
        ways=tuple(FIELDS),
        last=jobs.last_jobs("reconcile", 10),
        sent=sent,
    )


@pages.post("/reconcile")
def begin() -> ResponseReturnValue:
    """Begin to compare; where a comparison of the same account runs, show that one instead."""
    account, by = request.form.get("account", ""), request.form.get("by", "created")
    _, faults = period(request.form, needed=True)
    if faults:
        return forms.send_back("console.reconcile.form", faults=faults)
    since, until = (date.fromisoformat(request.form[name].strip()) for name in ("since", "until"))
    if account not in runtime.asaas or not person.sees(account) or by not in FIELDS:
        fault = Message(N_("Choose an account with an API key."))
        return forms.send_back("console.reconcile.form", faults={"account": fault})
    params = {"account": account, "since": since.isoformat(), "until": until.isoformat(), "by": by}
    return jobs.running_job("reconcile", account) or jobs.begin("reconcile", account, jobs.reconcile, params)


@pages.post("/work/<int:number>/missing")
def missing(number: int) -> ResponseReturnValue:
    """Begin the preview of bringing in the missing charges; nothing is sent."""
    job = jobs.of_number(number, "reconcile")
    return jobs.begin("backfill_preview", job.about, jobs.backfill_preview, dict(job.params))


@pages.post("/work/<int:number>/bring-in")
def bring_in(number: int) -> ResponseReturnValue:
    job = jobs.of_number(number, "backfill_preview")
    result = layout.found(job.result)
    if "run" in result:
        return jobs.show_job(result["run"])
    keys = list(result["keys"])
    answer = jobs.begin("backfill", job.about, jobs.backfill, {**job.params, "keys": keys}, preview=job)
    layout.note("charges.brought_in", job.about, {"events": len(keys)})
    return answer
