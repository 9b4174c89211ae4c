"""A test charge by a form, with the steps of `bridge test-charge`; it runs as a job."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from datetime import timedelta
from decimal import Decimal
from typing import Any

from flask import Blueprint, request
from flask.typing import ResponseReturnValue

from bridge.asaas.charges import BILLING_TYPES, MOST_INSTALLMENTS, ChargeRequest
from bridge.errors import BridgeError
from bridge.formats import Formats
from bridge.mapping.evaluate import spread
from bridge.messages import N_, Message, _
from bridge.model import FINISHED, DeliveryState, EventState
from bridge.operations import actions
from bridge.operations.accounts import is_production
from bridge.operations.causes import Stop, stops_for_account
from bridge.operations.testcharge import Seen, TestCharge, amount, contact_faults
from bridge.web.console import forms, jobs, layout
from bridge.web.console.access import person, runtime
from bridge.web.console.jobs import JobContext, Result

TRIAL_S, TRIAL_PERSON_S = 90.0, 900.0
"""A job waits this long for the deal: where the bridge pays the charge, and where a person pays it."""


def run_test_charge(task: JobContext) -> Result:
    params = task.params
    order = ChargeRequest(
        billing_type=params["billing_type"],
        value=Decimal(params["value"]),
        due=params["due"],
        installments=params["installments"],
        email=params["email"],
        phone=params["phone"],
    )
    listener = PageListener(task)
    run = TestCharge(task.runtime, params["account"], order, listener, task.sleep)
    run.begin()
    try:
        run.follow(params.get("timeout_s") or (TRIAL_PERSON_S if run.real else TRIAL_S))
    finally:
        if params["cleanup"]:
            try:
                run.remove()
            except BridgeError as error:
                task.step(code="not_removed", error=error.message().to_json())
    return {
        "proved": run.proved,
        "verdict": run.verdict.value,
        "finding": run.detail,
        "asks_person": listener.asked,
        "email": order.email,
        "causes": [{"code": one.code, "what": one.what.to_json(), "mend": one.mend.to_json()} for one in run.causes],
        "failed": [
            {"event": event["id"], "name": event["name"], **{key: delivery[key] or "" for key in _TOLD_OF_FAILED}}
            for event, delivery in run.failed
        ],
        "delivered": run.delivered,
        "unplaced": list(run.unplaced),
        "deal": {"id": run.deal.id, "stage": run.stage, "status": run.deal.status} if run.deal else None,
    }


_TOLD_OF_FAILED = ("mapping", "destination", "reason_code", "reason")


class PageListener:
    """Notes each step of a test charge for its page."""

    def __init__(self, task: JobContext) -> None:
        self._task = task
        self._told: set[tuple[object, ...]] = set()
        self.asked = False

    def step(self, code: str, /, **values: object) -> None:
        texts = {name: value.to_json() if isinstance(value, Message) else str(value) for name, value in values.items()}
        self._task.step(code=code, values=texts)

    @contextmanager
    def waiting(self, for_events: Sequence[str]) -> Iterator[None]:
        self._task.step(code="waiting", values={"events": ", ".join(for_events)})
        yield

    def news(self, seen: Sequence[Seen], now_ms: int) -> bool:
        before = len(self._told)
        for event, deliveries in seen:
            number = event["id"]
            self._once(("event", number), code="event", event=number, values={"name": event["name"]})
            if event["state"] == EventState.PROCESSED and not deliveries:
                self._once(("unheard", number), code="unheard", event=number)
            for delivery, attempts in deliveries:
                told = {name: delivery[name] or "" for name in ("mapping", "destination", "state", "reason")}
                if delivery["payload"]:
                    payload = spread(json.loads(delivery["payload"]))
                    self._once(("payload", delivery["id"]), code="payload", event=number, payload=payload, values=told)
                state = DeliveryState(delivery["state"])
                if state in FINISHED or state is DeliveryState.RETRYING:
                    tried = attempts[-1] if attempts else None
                    answer = {"status": tried["status"], "ms": tried["duration_ms"]} if tried else {}
                    key = ("delivery", delivery["id"], state, delivery["attempts"])
                    self._once(key, code="delivery", event=number, state=state.value, answer=answer, values=told)
        return len(self._told) > before

    def _once(self, key: tuple[object, ...], **said: Any) -> None:
        if key not in self._told:
            self._told.add(key)
            self._task.step(**said)

    def sees_deal(self) -> bool:
        self.asked = True
        return False


pages = Blueprint("trial", __name__)


@pages.get("/test-charge")
def form() -> ResponseReturnValue:
    sent = forms.sent()
    accounts = [(name, is_production(runtime, name)) for name in sorted(runtime.asaas) if person.sees(name)]
    return layout.page(
        "trial.html",
        sent.status,
        accounts=accounts,
        production=any(real for _, real in accounts),
        all_production=all(real for _, real in accounts),
        billing_types=BILLING_TYPES,
        most=MOST_INSTALLMENTS,
        last=sorted(jobs.last_jobs("trial", 8) + jobs.last_jobs("life", 8), key=lambda job: -job.id)[:8],
        given=sent.fields,
        sent=sent,
        reads_back=runtime.clint_api is not None,
        confirm=sent.more.get("confirm", ""),
        stops=stops_of(*(name for name, _ in accounts))[0],
    )


def stops_of(*accounts: str) -> tuple[list[Stop], bool]:
    """Return the destinations of these accounts' mappings that wait for a person, and whether nothing else is left."""
    with runtime.journal.database.read() as connection:
        found = [stops_for_account(runtime, connection, name) for name in accounts]
    return sorted({stop for stops, _ in found for stop in stops}), all(are_all for _, are_all in found)


NOTHING_REACHED = N_("Not started: no destination of this account's mappings takes deliveries now.")


@pages.post("/test-charge/destinations/<name>/resume")
def resume(name: str) -> ResponseReturnValue:
    """Resume a destination that a test waits for, and go back to the test."""
    resumed = actions.resume(runtime.journal, name, runtime.clock_ms(), by=person.actor)
    layout.flash_message(layout.resumed_words(name, resumed))
    number = layout.number(request.form.get("work"))
    return layout.go("console.jobs.show", number=number) if number else layout.go("console.trial.form")


def send_back(faults: Mapping[str, Message], **more: str) -> ResponseReturnValue:
    return forms.send_back("console.trial.form", faults=faults, more=more)


@pages.post("/test-charge")
def begin() -> ResponseReturnValue:
    """Make the charge; a production account asks for typed words first."""
    account = request.form.get("account", "")
    value = amount(request.form.get("value", ""))
    installments = layout.number(request.form.get("installments")) or 1
    billing_type = request.form.get("billing_type", "")
    if account not in runtime.asaas or not person.sees(account):
        return send_back({"account": Message(N_("Choose an account with an API key."))})
    email, phone = (request.form.get(name, "").strip() for name in ("email", "phone"))
    faults = contact_faults(email, phone)
    if isinstance(value, Message):
        return send_back({**faults, "value": value})
    if faults:
        return send_back(faults)
    if billing_type not in BILLING_TYPES or not 1 <= installments <= MOST_INSTALLMENTS:
        wrong = "installments" if billing_type in BILLING_TYPES else "billing_type"
        return send_back({wrong: Message(N_("There is no such billing type or number of instalments."))})
    if stops_of(account)[1]:
        return send_back({"account": Message(NOTHING_REACHED)})
    words = _("charge {value}", value=Formats(layout.now_ms()).amount(value))
    if is_production(runtime, account) and request.form.get("confirm", "").strip() != words:
        fault = Message(N_("To charge in production, type exactly the words shown."))
        return send_back({"confirm": fault}, confirm=words)
    if running := jobs.running_job("trial", account):
        return running
    params = {
        "account": account,
        "billing_type": billing_type,
        "value": f"{value:.2f}",
        "installments": installments,
        "email": email,
        "phone": phone,
        "cleanup": "cleanup" in request.form,
        "due": (layout.today() + timedelta(days=3)).isoformat(),
    }
    answer = jobs.begin("trial", account, run_test_charge, params)
    layout.note("trial.begun", account, {"value": params["value"], "billing_type": billing_type})
    return answer
