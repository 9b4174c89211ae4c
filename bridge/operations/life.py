"""A whole life of charges in the sandbox: each step on its own charge, followed event by event to its deal.

The mappings say what to expect of each event: a delivery, or the condition that filters it. The journal and the Clint
API say what came. Each step has its own customer, because Clint's webhook finds a deal by its contact. What was made at
Asaas is removed at the end, also after an error; what Asaas keeps and the deals in Clint are listed in `left`.
"""

from __future__ import annotations

import json
import time
from collections import Counter
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass, field, replace
from enum import StrEnum
from typing import Protocol

from bridge.asaas.charges import Charge, ChargeRequest, Charges
from bridge.asaas.webhooks import Problem
from bridge.clint.api import Deal
from bridge.clint.directory import Directory
from bridge.errors import (
    AsaasRejected,
    BridgeError,
    ClintApiFailed,
    EnrichmentWaits,
    JournalError,
    NotFound,
    UsageError,
)
from bridge.journal import deals, destinations, events
from bridge.journal.deliveries import NewDelivery
from bridge.journal.queries import Row
from bridge.mapping.explain import statuses
from bridge.messages import N_, Message, message, read_message
from bridge.model import DeliveryState
from bridge.operations.accounts import SET_TOKEN, client_of, is_production, public_hook_url
from bridge.operations.proof import Finding, Verdict
from bridge.operations.read_back import facts_of, read_back_deal, read_origins, sent_deliveries
from bridge.operations.testcharge import (
    PAID_EVENTS,
    Seen,
    check_destinations,
    events_of,
    held_back,
    refused_at_door,
    why_no_event,
)
from bridge.pipeline.active_mappings import ActiveMapping
from bridge.pipeline.decide import plan_event
from bridge.pipeline.wanted import read_payload
from bridge.reasons import deal_message, deal_status
from bridge.runtime import Runtime
from bridge.settings import variable

DEAL_AT_LEAST_S = 6.0
"""Clint works on a payload for a while, so it is asked for this long even after the timeout."""
LOOK_EVERY_S = 0.25
DEAL_EVERY_S = 2.0


class Action(StrEnum):
    MAKE = "make"
    OVERDUE = "overdue"
    PAY = "pay"
    SPLIT = "split"  # Asaas settles it when the charge is received
    REFUND_PART = "refund_part"
    REFUND = "refund"
    REMOVE = "remove"


@dataclass(frozen=True, slots=True)
class Step:
    name: str
    title: str
    """A message id."""
    actions: tuple[Action, ...] = ()
    """What happens to the charge; nothing where the sandbox can't do it for any billing type."""


_PAID = (Action.MAKE, Action.PAY)
STEPS = (
    Step("created", N_("Charge created"), (Action.MAKE,)),
    Step("overdue", N_("Charge overdue"), (Action.MAKE, Action.OVERDUE)),
    Step("paid", N_("Charge paid"), _PAID),
    Step("partly_refunded", N_("Charge partly refunded"), (*_PAID, Action.REFUND_PART)),
    Step("refunded", N_("Charge refunded"), (*_PAID, Action.REFUND)),
    Step("removed", N_("Charge removed"), (Action.MAKE, Action.REMOVE)),
    Step("plan", N_("Instalment plan, first instalment paid"), _PAID),
    Step("split", N_("Charge split"), (*_PAID, Action.SPLIT)),
    Step("card_money", N_("Money of a card received")),
    Step("chargeback", N_("Chargeback")),
)
_CANT = {
    "card_money": N_("it comes 32 days after the payment; only a button in Asaas's panel brings it sooner"),
    "chargeback": N_("the sandbox has no action for it"),
}
_EVENTS = {
    Action.MAKE: ("PAYMENT_CREATED",),
    Action.OVERDUE: ("PAYMENT_OVERDUE",),
    Action.SPLIT: ("PAYMENT_SPLIT_DONE",),
    Action.REFUND_PART: ("PAYMENT_PARTIALLY_REFUNDED",),
    Action.REFUND: ("PAYMENT_REFUNDED",),
    Action.REMOVE: ("PAYMENT_DELETED",),
}


@dataclass(frozen=True, slots=True)
class Line:
    """The outcome of an event in a mapping, with the expected one."""

    event: str
    event_id: int | None
    """None where the event did not come."""
    mapping: str
    destination: str
    expected: Message
    seen: Message
    verdict: Verdict | None
    """None where a later delivery of the step changed the same deal, which the line of that one judges."""
    code: str = ""
    deal_id: str = ""


@dataclass(frozen=True, slots=True)
class StepResult:
    step: Step
    verdict: Verdict
    payment_ids: tuple[str, ...] = ()
    lines: Sequence[Line] = ()
    reasons: Sequence[Problem] = ()
    """Why the step was skipped or did not end."""
    stops: str = ""
    """Why the other steps can't succeed, as a message id with {step}."""


@dataclass(frozen=True, slots=True)
class Leftover:
    kind: str
    """charge, customer or deal."""
    id: str
    why: Message


class LifeListener(Protocol):
    """Shows the course of a life."""

    def begins(self, step: Step) -> None:
        """Show that a step begins."""

    def waiting(self, for_events: Sequence[str]) -> AbstractContextManager[None]:
        """Show the wait for these events."""

    def news(self, seen: Sequence[Seen], now_ms: int) -> bool:
        """Show the events; return whether any of it was new."""

    def ends(self, result: StepResult) -> None:
        """Show the result of a step."""


@dataclass(slots=True)
class _Made:
    mark: str
    customer_id: str = ""
    """Empty where the answer did not arrive: the customer is looked for by its mark."""


@dataclass(slots=True)
class _Course:
    """One step under way."""

    step: Step
    charge: Charge
    ends_s: float
    goal: str
    """The last event that a mapping listens to."""
    awaited: Counter[str] = field(default_factory=Counter)
    """The events that must come before the next action: name -> number."""
    seen: list[Seen] = field(default_factory=list)

    @property
    def missing(self) -> list[str]:
        came = Counter(one.event["name"] for one in self.seen)
        return [name for name, number in self.awaited.items() if came[name] < number]

    @property
    def unfinished(self) -> list[Seen]:
        return [one for one in self.seen if not one.settled]


class Life:
    """The steps of one account from the first charge to the removal of all."""

    def __init__(
        self,
        runtime: Runtime,
        account: str,
        order: ChargeRequest,
        listener: LifeListener,
        timeout_s: float,
        sleep: Callable[[float], object] = time.sleep,
    ) -> None:
        """Each charge gets billing type, value and due day of `order`; `timeout_s` is for each step.

        Raise UsageError for a production key, SettingsError without a key, and NotFound where no step can be done.
        """
        check_destinations(runtime, account)
        self._charges = Charges(client_of(runtime, account))
        if is_production(runtime, account):
            what = N_("{key} belongs to production, where charges can't be paid, refunded and removed as a test")
            hint = N_("use a key of the sandbox ($aact_hmlg_)")
            raise UsageError(what, hint=hint, key=variable("ASAAS_API_KEY", account))
        self.account = account
        self.order = order
        self.steps = [one for one in STEPS if one.name != "card_money" or order.billing_type == "CREDIT_CARD"]
        self.results: list[StepResult] = []
        self.left: list[Leftover] = []
        self._runtime = runtime
        self._show = listener
        self._timeout_s = timeout_s
        self._sleep = sleep
        self._hook_url = public_hook_url(runtime.settings, account, None)
        self._made: list[_Made] = []
        if all(self._why_skipped(step) for step in self.steps):
            what = N_("no active mapping of account {account} listens to what happens to charges")
            hint = N_("switch one on under Mappings; it becomes active while the bridge runs")
            raise NotFound(what, hint=hint, account=account)

    @property
    def proved(self) -> bool:
        """Whether every step that can be done came as expected, and a deal was seen in one at least."""
        verdicts = {one.verdict for one in self.results}
        is_whole = len(self.results) == len(self.steps) and Verdict.PROVED in verdicts
        return is_whole and verdicts <= {Verdict.SKIPPED, Verdict.FILTERED, Verdict.PROVED}

    @property
    def person_must_look(self) -> bool:
        """Whether all came as expected, except that the bridge can't see the deals without a token of Clint's API."""
        good, not_seen = {Verdict.SKIPPED, Verdict.FILTERED, Verdict.PROVED}, "trial.deal_not_looked_at"
        left = [one for one in self.results if one.verdict not in good]
        lines = [line for one in left for line in one.lines if line.verdict not in {*good, None}]
        whys = [reason.code for one in left for reason in one.reasons]
        is_whole = len(self.results) == len(self.steps) and bool(lines)
        return is_whole and all(one.reasons for one in left) and {not_seen} == {*whys, *(line.code for line in lines)}

    def run(self) -> None:
        """Do every step, then remove what was made. Raises BridgeError where not even the first charge is made."""
        stopped: StepResult | None = None
        try:
            for step in self.steps:
                if why := self._why_skipped(step):
                    result = StepResult(step, Verdict.SKIPPED, reasons=[Problem("life.skipped", why, Message(""))])
                elif stopped:
                    why = message(stopped.stops, step=Message(stopped.step.title))
                    result = StepResult(
                        step, Verdict.NOT_CONFIRMED, reasons=[Problem("life.not_begun", why, Message(""))]
                    )
                else:
                    self._show.begins(step)
                    result = self._do(step)
                    if result.stops:
                        stopped = result
                self.results.append(result)
                self._show.ends(result)
        finally:
            self.remove()

    def remove(self) -> None:
        """Remove customers and charges at Asaas; note in `left` what is not removed."""
        for made in self._made[::-1]:
            whose = made.customer_id or made.mark
            self._note_deals(made.customer_id)
            try:
                for whose in [made.customer_id] if made.customer_id else self._charges.customers_marked(made.mark):
                    self._remove(whose)
            except BridgeError as error:
                self.left.append(Leftover("customer", whose, error.message()))
            self._made.remove(made)

    def not_removed(self) -> list[Leftover]:
        """Return what is left at Asaas and in Clint; after an interrupted removal also what it did not come to."""
        why = Message(N_("the removal was interrupted"))
        return self.left + [Leftover("customer", one.customer_id or one.mark, why) for one in self._made]

    def _note_deals(self, customer_id: str) -> None:
        """Note each deal that the bridge wrote by Clint's API for a customer, also where no step confirmed it."""
        try:
            with self._runtime.journal.database.read() as connection:
                rows = deals.deals_of(connection, [(self.account, customer_id)])
        except JournalError:
            return
        known = {one.id for one in self.left} | {None}
        why = Message(N_("deals stay in Clint"))
        self.left += [Leftover("deal", row["deal_id"], why) for row in rows if row["deal_id"] not in known]

    def _remove(self, customer_id: str) -> None:
        for payment_id in self._charges.charges_of(customer_id):
            try:
                self._charges.remove_charge(payment_id)
            except AsaasRejected:
                self.left.append(Leftover("charge", payment_id, Message(N_("Asaas keeps what was paid"))))
        self._charges.remove_customer(customer_id)

    # ------------------------------------------------------------ one step

    def _why_skipped(self, step: Step) -> Message | None:
        billing_type, actions = self.order.billing_type, step.actions
        if not actions:
            return Message(_CANT[step.name])
        if Action.REFUND_PART in actions and billing_type in {"BOLETO", "UNDEFINED"}:
            return Message(N_("Asaas refunds a part of a Pix or card payment only, not of a boleto"))
        if step.name == "split" and not self.order.splits:
            return Message(N_("it needs the wallet of another account, as a split such as WALLET:20%"))
        last = actions[-2] if actions[-1] is Action.SPLIT else actions[-1]
        if not self._heard(last):
            names = ", ".join(self._events(last))
            return message(N_("no active mapping of the account listens to {events}"), events=names)
        return None

    def _events(self, action: Action) -> tuple[str, ...]:
        """Return the events that follow an action, in the order of Asaas's documented flows."""
        if action is Action.SPLIT and self.order.billing_type == "CREDIT_CARD":
            return ()  # settled with the card's money
        return PAID_EVENTS[self.order.billing_type] if action is Action.PAY else _EVENTS[action]

    def _heard(self, action: Action) -> str:
        """Return the last event of an action that an active mapping of the account listens to."""
        own = [one.mapping for one in self._active() if one.mapping.enabled and one.mapping.account == self.account]
        heard = [name for name in self._events(action) if any(mapping.listens_to(name) for mapping in own)]
        return heard[-1] if heard else ""

    def _active(self) -> Sequence[ActiveMapping]:
        return self._runtime.mappings.current()

    def _do(self, step: Step) -> StepResult:
        began_ms, ends_s = self._runtime.clock_ms(), time.monotonic() + self._timeout_s
        try:
            charge = self._make(step)
        except BridgeError as error:
            if not self.results or all(one.verdict is Verdict.SKIPPED for one in self.results):
                raise  # it would be the same in every step
            return StepResult(step, Verdict.NOT_CONFIRMED, reasons=[_problem(error)])
        goal = next(filter(None, (self._heard(action) for action in reversed(step.actions))))
        course = _Course(step, charge, ends_s, goal)
        try:
            for action in step.actions:
                self._act(action, charge)
                if name := self._heard(action):
                    course.awaited[name] += len(charge.payment_ids) if action is Action.MAKE else 1
                    if not self._wait(course, name, began_ms):
                        return self._not_come(course, began_ms)
        except BridgeError as error:
            lines = self._lines(course, {})
            return StepResult(step, Verdict.NOT_CONFIRMED, charge.payment_ids, lines, [_problem(error)])
        findings, problem = self._find_deals(course)
        lines = self._lines(course, findings)
        self.left += (
            Leftover("deal", line.deal_id, Message(N_("deals stay in Clint"))) for line in lines if line.deal_id
        )
        judged = [line.verdict for line in lines if line.verdict is not None]
        came = {Verdict.FILTERED, Verdict.PROVED}
        goal_came = any(line.verdict in came and line.event == goal for line in lines)
        worst = max(judged, key=list(Verdict).index, default=Verdict.NOT_CONFIRMED)
        verdict = worst if goal_came or worst not in came else Verdict.NOT_CONFIRMED
        return StepResult(step, verdict, charge.payment_ids, lines, [problem] if problem else [])

    def _make(self, step: Step) -> Charge:
        wanted = self.order
        order = ChargeRequest(
            wanted.billing_type,
            wanted.value,
            wanted.due,
            installments=max(2, wanted.installments) if step.name == "plan" else 1,
            splits=wanted.splits if step.name == "split" else (),
        )
        made = _Made(order.mark)
        self._made.append(made)
        made.customer_id = self._charges.make_customer(order)
        return self._charges.make_charge(made.customer_id, order)

    def _act(self, action: Action, charge: Charge) -> None:
        first = charge.payment_ids[0]
        if action is Action.OVERDUE:
            self._charges.make_overdue(first)
        elif action is Action.PAY:
            self._charges.pay(first)
        elif action is Action.REFUND_PART:
            self._charges.refund(first, round(self.order.value / 2, 2))
        elif action is Action.REFUND:
            self._charges.refund(first)
        elif action is Action.REMOVE:
            self._charges.remove_charge(first)

    def _wait(self, course: _Course, name: str, began_ms: int) -> bool:
        """Show new events until the awaited ones came and are finished; return whether that was in time."""
        with self._show.waiting([name]):
            while True:
                try:
                    course.seen = events_of(self._runtime.journal, self.account, course.charge.payment_ids)
                    refused = not course.seen and self._refused(began_ms)
                except JournalError:
                    refused = False  # busy for a moment
                self._show.news(course.seen, self._runtime.clock_ms())
                if not course.missing and not course.unfinished:
                    return True
                if refused or held_back(course.seen) or time.monotonic() >= course.ends_s:
                    return False
                self._sleep(LOOK_EVERY_S)

    def _refused(self, began_ms: int) -> list[Problem]:
        return refused_at_door(self._runtime.journal, self.account, began_ms)

    def _not_come(self, course: _Course, began_ms: int) -> StepResult:
        """Return the result of a step whose events did not come, or were not finished, in time."""
        lines = list(self._lines(course, {}))
        seen = Message(N_("the event did not come"))
        for name in course.missing:
            for active in self._active():
                mapping = active.mapping
                if mapping.enabled and mapping.account == self.account and mapping.listens_to(name):
                    expected = Message(N_("the event"))
                    destination = mapping.destination(name)
                    lines.append(Line(name, None, mapping.name, destination, expected, seen, Verdict.NOT_CONFIRMED))
        stops = "" if course.seen else N_("not started, because no event of the step “{step}” came")
        if held := held_back(course.seen):
            stops = N_("not started, because a destination of the step “{step}” is paused")
            reasons = [held]
        elif course.unfinished:
            hint = N_("check that a worker runs (bridge up, or bridge worker), and see: bridge events show {event}")
            number, event = len(course.unfinished), course.unfinished[0].event["id"]
            late = message(N_("events came and were not finished in time: {number}"), number=number)
            reasons = [Problem("trial.not_finished", late, message(hint, event=event))]
        else:
            needed = list(course.awaited)
            reasons = self._refused(began_ms) + why_no_event(self._runtime, self.account, needed, self._hook_url)
        if not reasons:
            what = N_("{events} did not come, and webhook, address and token look fine from here")
            hint = N_("Asaas may be slow; its log is under Integrações, Logs de Webhooks")
            missing = message(what, events=", ".join(course.missing))
            reasons = [Problem("trial.no_event", missing, Message(hint))]
        worst = max((line.verdict for line in lines if line.verdict), key=list(Verdict).index, default=None)
        verdict = Verdict.CONTRADICTED if worst is Verdict.CONTRADICTED else Verdict.NOT_CONFIRMED
        return StepResult(course.step, verdict, course.charge.payment_ids, lines, reasons, stops)

    # ------------------------------------------------------------ what was expected, and what was seen

    def _expected(self, course: _Course) -> dict[int, list[NewDelivery] | Message]:
        """Return what the mappings make of each event; a message where Asaas can't give what they need."""
        active = self._active()
        with self._runtime.journal.database.read() as connection:
            stored = events.load(connection, [one.event["id"] for one in course.seen])
        plans = [
            plan_event(event, active, self._runtime.environment(event.account), self._runtime.is_api)
            for event in stored
        ]
        fetched = self._runtime.enricher.fetch_many([(self.account, plan.wanted) for plan in plans])
        found: dict[int, list[NewDelivery] | Message] = {}
        taken: set[tuple[str, str]] = set()
        for plan, objects in zip(plans, fetched, strict=True):
            if isinstance(objects, EnrichmentWaits):
                found[plan.event.id] = objects.message()
                continue
            made = plan.reject(objects) if isinstance(objects, BridgeError) else plan.decide(objects)
            found[plan.event.id] = [_once(one, taken) for one in made]
        return found

    def _lines(self, course: _Course, findings: dict[int, Finding]) -> list[Line]:
        """Return a line for each event and mapping; `findings` are of deliveries, by their number."""
        expected, status = self._expected(course), statuses(one.mapping for one in self._active())
        judged = self._judged(course)
        lines = []
        for event, deliveries in course.seen:
            wanted = expected.get(event["id"], [])
            rows = {row["mapping"]: row for row, _ in deliveries}
            if isinstance(wanted, Message):
                for row in rows.values():
                    seen = _state(row)
                    lines.append(_line(event, row["mapping"], row["destination"], wanted, seen, Verdict.NOT_CONFIRMED))
                continue
            for new in wanted:
                came = rows.pop(new.mapping, None)
                lines.append(self._compare(course, event, new, came, status.get(new.destination, ""), findings, judged))
            nothing = Message(N_("nothing"))
            for row in rows.values():  # of a mapping that is no longer active
                lines.append(
                    _line(event, row["mapping"], row["destination"], nothing, _state(row), Verdict.CONTRADICTED)
                )
        return lines

    def _compare(
        self,
        course: _Course,
        event: Row,
        new: NewDelivery,
        row: Row | None,
        status: str,
        findings: dict[int, Finding],
        judged: frozenset[int],
    ) -> Line:
        wants_sent = new.state is not DeliveryState.FILTERED
        expected = _expectation(new, status)
        if row is None:
            seen = Message(N_("no delivery"))
            unfinished = event in [one.event for one in course.unfinished]
            verdict = Verdict.NOT_CONFIRMED if unfinished else Verdict.CONTRADICTED
            return _line(event, new.mapping, new.destination, expected, seen, verdict)
        state, line = DeliveryState(row["state"]), _line(event, new.mapping, row["destination"], expected, _state(row))
        line = replace(line, code=row["reason_code"] or "")
        if not wants_sent:
            is_same = state is DeliveryState.FILTERED and row["reason_code"] == new.reason_code
            return replace(line, verdict=Verdict.FILTERED if is_same else Verdict.CONTRADICTED)
        if state in {DeliveryState.FILTERED, DeliveryState.DEAD, DeliveryState.DISCARDED}:
            return replace(line, verdict=Verdict.CONTRADICTED)
        if state is DeliveryState.STALE:  # Asaas may deliver out of order
            return replace(line, verdict=Verdict.NOT_CONFIRMED if event["name"] == course.goal else None)
        if state is not DeliveryState.DELIVERED:
            return replace(line, verdict=Verdict.NOT_CONFIRMED)
        if row["id"] not in judged:
            return replace(line, verdict=None)
        found = findings.get(row["id"])
        if found is None:
            seen = Message(N_("delivered; the deal was not looked at"))
            return replace(line, seen=seen, verdict=Verdict.NOT_CONFIRMED, code="trial.deal_not_looked_at")
        verdict = found.code.verdict
        is_its_own = found.deal is not None and verdict is not Verdict.NOT_CONFIRMED
        return replace(
            line,
            seen=self._finding(found, status),
            verdict=verdict,
            code=found.code.value,
            deal_id=found.deal.id if found.deal and is_its_own else "",
        )

    def _finding(self, found: Finding, status: str) -> Message:
        return deal_message(json.dumps(facts_of(found, self._stage(found.deal) if found.deal else "", status)))

    def _stage(self, deal: Deal) -> str:
        try:
            api = self._runtime.clint_api
            return api.stage(deal) if api else deal.stage_id
        except ClintApiFailed:
            return deal.stage or deal.stage_id

    def _judged(self, course: _Course) -> frozenset[int]:
        """Return the numbers of the deliveries whose deal must be seen: the last for each deal of the step.

        By the API a deal has a key; by a webhook it is that of a destination, or of several of one origin. Where an
        origin is not known, destinations may lead to one deal, so the last event that sent something is judged alone.
        """
        with self._runtime.journal.database.read() as connection:
            origins = {name: place.origin_id or "" for name, place in destinations.load(connection).items()}
        sent = [(int(row["id"]), row, one.event["name"]) for one in course.seen for row, _ in one.deliveries]
        last: dict[tuple[str, str], tuple[int, str]] = {}
        for id_, row, name in sorted(sent, key=lambda one: one[0]):
            if row["state"] == DeliveryState.DELIVERED:
                told = read_payload(row["payload"]) if row["payload"] else None
                last[origins.get(row["destination"]) or row["destination"], told.key if told else ""] = id_, name
        names = [name for _, name in sorted(last.values())]
        newest = course.goal if course.goal in names else names[-1] if names else ""
        are_known = {place for place, key in last if not key} <= set(origins.values())
        return frozenset(id_ for (_, key), (id_, name) in last.items() if key or are_known or name == newest)

    def _find_deals(self, course: _Course) -> tuple[dict[int, Finding], Problem | None]:
        """Look for each deal of the step; return the finding of its last delivery, and why Clint could not be asked."""
        clint, judged = self._runtime.clint_api, self._judged(course)
        rows = [row for one in course.seen for row, _ in one.deliveries if row["id"] in judged]
        wanted = {int(row["id"]) for row in rows}
        findings: dict[int, Finding] = {}
        if not wanted:
            return {}, None
        if clint is None:
            what = N_("Clint accepted the payload, which does not prove a deal")
            return {}, Problem("trial.deal_not_looked_at", Message(what), Message(SET_TOKEN))
        directory = self._runtime.clint_directory or Directory(clint)

        def is_proved(id_: int) -> bool:
            return id_ in findings and findings[id_].code.verdict is Verdict.PROVED

        failed: ClintApiFailed | None = None
        ends_s = max(course.ends_s, time.monotonic() + DEAL_AT_LEAST_S)
        while True:
            try:
                origins = read_origins(self._runtime.destinations, directory)
                with self._runtime.journal.database.read() as connection:
                    customer_id = course.charge.customer_id
                    sent = sent_deliveries(connection, self.account, customer_id, self._active(), origins)
                for id_ in sorted(wanted):
                    if id_ in sent and not is_proved(id_):
                        findings[id_] = read_back_deal(clint, directory, sent[id_], self._runtime.clock_ms())
                failed = None
            except ClintApiFailed as error:
                failed = error
            is_lasting = failed is not None and bool(failed.hint)  # another request would not help
            if is_lasting or all(map(is_proved, wanted)) or time.monotonic() >= ends_s:
                return findings, _problem(failed) if failed else None
            self._sleep(DEAL_EVERY_S)


def _problem(error: BridgeError) -> Problem:
    return Problem(error.code, error.what, error.hint or Message(""))


def _once(new: NewDelivery, taken: set[tuple[str, str]]) -> NewDelivery:
    """Return a decision as it is after the worker's look at the plan's earlier deliveries."""
    if new.once_key is None:
        return new
    key = (new.mapping, new.once_key)
    if key in taken:
        reason = Message(N_("this instalment plan already has a delivery")).to_json()
        return replace(new, state=DeliveryState.FILTERED, reason_code="filter.once", reason=reason)
    taken.add(key)
    return new


def _expectation(new: NewDelivery, status: str) -> Message:
    if new.state is DeliveryState.FILTERED:
        return message(N_("filtered: {reason}"), reason=read_message(new.reason))
    told = read_payload(new.payload) if new.payload else None
    parts = {"destination": message(N_("a deal, by destination “{destination}”"), destination=new.destination)}
    if told and told.stage:
        parts["stage"] = message(N_("stage {value}"), value=told.stage)
    if wanted_status := told.status if told else status:
        parts["status"] = message(N_("status {value}"), value=deal_status(wanted_status))
    return Message(", ".join(f"{{{name}}}" for name in parts), parts)


_SEEN = {
    DeliveryState.FILTERED: N_("filtered: {reason}"),
    DeliveryState.DEAD: N_("not delivered: {reason}"),
    DeliveryState.DISCARDED: N_("discarded: {reason}"),
    DeliveryState.STALE: N_("superseded: {reason}"),
    DeliveryState.DELIVERED: N_("delivered"),
    DeliveryState.RETRYING: N_("not delivered yet: {reason}"),
}


def _state(row: Row) -> Message:
    """Return what the journal says of a delivery."""
    text = _SEEN.get(DeliveryState(row["state"]), N_("not delivered yet"))
    return message(text, reason=read_message(row["reason"])) if "{reason}" in text else Message(text)


def _line(
    event: Row, mapping: str, destination: str, expected: Message, seen: Message, verdict: Verdict | None = None
) -> Line:
    return Line(event["name"], event["id"], mapping, destination, expected, seen, verdict)
