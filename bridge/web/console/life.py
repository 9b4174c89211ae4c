"""A whole life of charges in the sandbox: a job that the page of test charges starts, with a live table."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from datetime import timedelta
from decimal import Decimal
from typing import Any

from flask import Blueprint, request
from flask.typing import ResponseReturnValue

from bridge.asaas.charges import BILLING_TYPES, ChargeRequest, Split
from bridge.messages import N_, Message
from bridge.operations.accounts import is_production
from bridge.operations.life import Life, Step, StepResult
from bridge.operations.testcharge import Seen, amount
from bridge.web.console import jobs, layout, testcharge
from bridge.web.console.access import person, runtime
from bridge.web.console.jobs import JobContext, Result

STEP_S = 90.0
"""How long a step waits for its events and its deal."""


def run_life(task: JobContext) -> Result:
    params = task.params
    order = ChargeRequest(
        params["billing_type"],
        Decimal(params["value"]),
        params["due"],
        splits=[Split.parse(params["split"])] if params["split"] else [],
    )
    page = LifePage(task)
    timeout_s = params.get("timeout_s") or STEP_S
    life = Life(task.runtime, params["account"], order, page, timeout_s, task.sleep)
    page.plan(life.steps)
    life.run()
    left = [{"kind": one.kind, "id": one.id, "why": one.why.to_json()} for one in life.not_removed()]
    return {"proved": life.proved, "person_must_look": life.person_must_look, "left": left}


class LifePage:
    """Notes the result of each step for the job's page."""

    def __init__(self, task: JobContext) -> None:
        self._task = task
        self._total = 0
        self._ended = 0

    def plan(self, steps: Sequence[Step]) -> None:
        """Note which steps there are, so that the table has them from the start."""
        self._total = len(steps)
        self._task.step(code="planned", steps=[one.name for one in steps])

    def begins(self, step: Step) -> None:
        self._task.step(code="begins", step=step.name)

    @contextmanager
    def waiting(self, for_events: Sequence[str]) -> Iterator[None]:
        """Nothing: the table shows which step is under way."""
        yield

    def news(self, seen: Sequence[Seen], now_ms: int) -> bool:
        """Nothing: a step's events are shown at its end."""
        return False

    def ends(self, result: StepResult) -> None:
        self._ended += 1
        self._task.update(self._ended, self._total)
        self._task.step(code="ended", step=result.step.name, **result_data(result))


def result_data(result: StepResult) -> dict[str, Any]:
    """Return what the page shows of a step, with its messages as a row keeps them."""
    return {
        "verdict": result.verdict.value,
        "payments": list(result.payment_ids),
        "reasons": [
            {"code": one.code, "what": one.what.to_json(), "mend": one.mend.to_json() if one.mend else ""}
            for one in result.reasons
        ],
        "lines": [
            {
                "event": line.event,
                "event_id": line.event_id,
                "mapping": line.mapping,
                "expected": line.expected.to_json(),
                "seen": line.seen.to_json(),
                "verdict": line.verdict.value if line.verdict else "",
            }
            for line in result.lines
        ],
    }


pages = Blueprint("life", __name__)


@pages.post("/test-charge/life")
def begin() -> ResponseReturnValue:
    """Begin the steps; an account of production is refused."""
    account, billing_type = request.form.get("account", ""), request.form.get("billing_type", "")
    value, split = amount(request.form.get("value", "")), request.form.get("split", "").strip()
    if account not in runtime.asaas or not person.sees(account) or is_production(runtime, account):
        return testcharge.send_back({"life-account": Message(N_("Choose an account of the sandbox with an API key."))})
    if isinstance(value, Message):
        return testcharge.send_back({"life-value": value})
    if billing_type not in BILLING_TYPES:
        return testcharge.send_back({"life-billing-type": Message(N_("There is no such billing type."))})
    try:
        Split.parse(split or "wallet-of-another:1")
    except ValueError:
        return testcharge.send_back({"life-split": Message(N_("A split must be like WALLET:20% or WALLET:10.50."))})
    if testcharge.stops_of(account)[1]:
        return testcharge.send_back({"life-account": Message(testcharge.NOTHING_REACHED)})
    if running := jobs.running_job("life", account):
        return running
    params = {
        "account": account,
        "billing_type": billing_type,
        "value": f"{value:.2f}",
        "split": split,
        "due": (layout.today() + timedelta(days=3)).isoformat(),
    }
    answer = jobs.begin("life", account, run_life, params)
    layout.note("life.begun", account, {"value": params["value"], "billing_type": billing_type})
    return answer
