"""Reconciliation: a period of an account's charges compared with the journal, and what is missing brought in."""

from __future__ import annotations

from datetime import UTC, date, datetime, timedelta

from flask import Blueprint, redirect, request, url_for
from flask.typing import ResponseReturnValue

from bridge.journal import jobs
from bridge.mapping.values import BRASILIA
from bridge.operations.reconcile import FIELDS
from bridge.web.console import jobs as console_jobs
from bridge.web.console import layout
from bridge.web.console.jobs import of_number, work
from bridge.web.console.mappings import author

reconcile = Blueprint("reconcile", __name__)

SHOWN = 10
USUAL_DAYS = 30


def _today() -> date:
    return datetime.fromtimestamp(layout.now_ms() / 1000, UTC).astimezone(BRASILIA).date()


@reconcile.get("/reconcile")
def form() -> ResponseReturnValue:
    """Ask which days of which account, and show the last reports."""
    return _form()


def _form(status: int = 200, problem: str = "") -> ResponseReturnValue:
    runtime = layout.runtime()
    with runtime.journal.database.read() as connection:
        last = jobs.newest(connection, "reconcile", runtime.clock_ms(), SHOWN)
    return layout.page(
        "reconcile.html",
        status,
        accounts=sorted(runtime.asaas),
        since=request.form.get("since") or (_today() - timedelta(days=USUAL_DAYS)).isoformat(),
        until=request.form.get("until") or _today().isoformat(),
        ways=tuple(FIELDS),
        last=last,
        problem=problem,
    )


@reconcile.post("/reconcile")
def begin() -> ResponseReturnValue:
    """Begin to compare; one that goes on with the same account is shown instead of a second one."""
    runtime = layout.runtime()
    account, by = request.form.get("account", ""), request.form.get("by", "created")
    try:
        since, until = (date.fromisoformat(request.form.get(name, "")) for name in ("since", "until"))
    except ValueError:
        return _form(422, "reconcile.problem.days")
    if until < since:
        return _form(422, "reconcile.problem.order")
    if account not in runtime.asaas or by not in FIELDS:
        return _form(422, "reconcile.problem.account")
    params = {"account": account, "since": since.isoformat(), "until": until.isoformat(), "by": by}
    with runtime.journal.database.read() as connection:
        last = jobs.newest(connection, "reconcile", runtime.clock_ms(), about=account)
    if last and last[0].is_running:
        return redirect(url_for("console.jobs.show", number=last[0].id), 303)
    number = work().begin("reconcile", account, console_jobs.reconcile, params, author())
    return redirect(url_for("console.jobs.show", number=number), 303)


@reconcile.post("/work/<int:number>/missing")
def missing(number: int) -> ResponseReturnValue:
    """Begin to work out what bringing the missing charges in would send; nothing is sent."""
    job = of_number(number, "reconcile")
    begun = work().begin("backfill_preview", job.about, console_jobs.backfill_preview, dict(job.params), author())
    return redirect(url_for("console.jobs.show", number=begun), 303)


@reconcile.post("/work/<int:number>/bring-in")
def bring_in(number: int) -> ResponseReturnValue:
    """Bring in what a preview showed."""
    job = of_number(number, "backfill_preview")
    result = layout.found(job.result)
    params = {**job.params, "keys": list(result["keys"])}
    begun = work().begin("backfill", job.about, console_jobs.backfill, params, author())
    layout.note("charges.brought_in", job.about, {"events": len(params["keys"])})
    return redirect(url_for("console.jobs.show", number=begun), 303)
