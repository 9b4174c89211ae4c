"""A test charge by a form; its steps are those of `bridge test-charge`, and its page survives every reload."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from decimal import Decimal, InvalidOperation
from typing import Any

from flask import Blueprint, redirect, request, url_for
from flask.typing import ResponseReturnValue

from bridge.asaas.charges import BILLING_TYPES, MOST_INSTALLMENTS
from bridge.journal import jobs
from bridge.mapping.dates import BRASILIA
from bridge.web.console import frame, trial_task
from bridge.web.console.mappings import author
from bridge.web.console.work import work
from bridge.workbench.accounts import is_production

trial = Blueprint("trial", __name__)

DUE_IN_DAYS = 3
SHOWN = 8


@trial.get("/test-charge")
def form() -> ResponseReturnValue:
    """Show the form and the last tests."""
    return _form()


def _form(status: int = 200, problem: str = "", **values: Any) -> ResponseReturnValue:
    runtime = frame.runtime()
    accounts = [(name, is_production(runtime, name)) for name in sorted(runtime.asaas)]
    with runtime.journal.database.read() as connection:
        last = jobs.newest(connection, "trial", runtime.clock_ms(), SHOWN)
    return frame.page(
        "trial.html",
        status,
        accounts=accounts,
        production=any(real for _, real in accounts),
        billing_types=BILLING_TYPES,
        most=MOST_INSTALLMENTS,
        last=last,
        given=request.form,
        problem=problem,
        reads_back=runtime.clint_api is not None,
        **values,
    )


def amount(text: str) -> Decimal | None:
    """Return an amount in reais with two decimals at most, None for anything else.

    >>> amount("10,00"), amount("1e9"), amount("0")
    (Decimal('10.00'), None, None)
    """
    try:
        value = Decimal(text.strip().replace(",", "."))
    except InvalidOperation:
        return None
    return value if value.is_finite() and 0 < value < 1_000_000 and value == round(value, 2) else None


@trial.post("/test-charge")
def begin() -> ResponseReturnValue:
    """Make the charge; a production account asks for typed words first."""
    runtime = frame.runtime()
    account = request.form.get("account", "")
    value = amount(request.form.get("value", ""))
    installments = frame.number(request.form.get("installments")) or 1
    billing_type = request.form.get("billing_type", "")
    if account not in runtime.asaas:
        return _form(422, "trial.problem.account")
    if value is None:
        return _form(422, "trial.problem.value")
    if billing_type not in BILLING_TYPES or not 1 <= installments <= MOST_INSTALLMENTS:
        return _form(422, "trial.problem.installments")
    words = frame.words()("trial.confirm.words", value=f"{value:.2f}")
    if is_production(runtime, account) and request.form.get("confirm", "").strip() != words:
        return _form(422, "trial.problem.confirm", confirm=words)
    with runtime.journal.database.read() as connection:
        last = jobs.newest(connection, "trial", runtime.clock_ms(), about=account)
    if last and last[0].is_running:
        return redirect(url_for("console.jobs.show", number=last[0].id), 303)
    today = datetime.fromtimestamp(frame.now_ms() / 1000, UTC).astimezone(BRASILIA).date()
    params = {
        "account": account,
        "billing_type": billing_type,
        "value": f"{value:.2f}",
        "installments": installments,
        "email": request.form.get("email", "").strip(),
        "phone": request.form.get("phone", "").strip(),
        "cleanup": "cleanup" in request.form,
        "due": (today + timedelta(days=DUE_IN_DAYS)).isoformat(),
    }
    number = work().begin("trial", account, trial_task.trial, params, author())
    frame.note("trial.begun", account, {"value": params["value"], "billing_type": billing_type})
    return redirect(url_for("console.jobs.show", number=number), 303)
