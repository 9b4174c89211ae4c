"""Test charge: made and paid at Asaas, followed in the journal, read back from Clint, with the reasons of a failure.

It leaves a customer and a charge that are marked as tests, and their deal in Clint. The caller asks whether an account
may be charged; a charge of production is never paid here. The journal is only read.
"""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Collection, Iterable, Sequence
from contextlib import AbstractContextManager
from decimal import Decimal
from typing import Any, NamedTuple, Protocol
from urllib.parse import urlsplit

import httpx

from bridge.asaas.charges import Charge, ChargeRequest, Charges
from bridge.asaas.webhooks import Problem, Webhooks, find_ours, option_of, problems
from bridge.clint.api import ClintApi, Deal
from bridge.clint.directory import Directory
from bridge.errors import BridgeError, ClintApiFailed, JournalError, NotFound, UsageError
from bridge.http import HttpClient, why_unreached
from bridge.journal import Journal, events, queries
from bridge.journal.queries import Row
from bridge.mapping import Mapping
from bridge.mapping.explain import integrations_of
from bridge.mapping.values import first_email, number_fault, typed_number
from bridge.mapping.values import phone as as_phone
from bridge.messages import N_, Message, message, read_message
from bridge.model import FINISHED, DeliveryState, EventState, NoticeLevel, Waiting
from bridge.operations.accounts import client_of, is_production, public_hook_url
from bridge.operations.causes import stops_for_account
from bridge.operations.mappings import unplaced
from bridge.operations.proof import Code, Finding, Verdict, Written, strongest
from bridge.operations.read_back import facts_of, read_back_deal, read_origins, sent_deliveries
from bridge.reasons import deal_message, find_reason
from bridge.runtime import Runtime

_MADE = "PAYMENT_CREATED"
PAID_EVENTS = {
    "PIX": ("PAYMENT_RECEIVED",),
    "BOLETO": ("PAYMENT_CONFIRMED", "PAYMENT_RECEIVED"),
    "CREDIT_CARD": ("PAYMENT_CONFIRMED",),
    # The payer chooses; the sandbox pays it as a boleto.
    "UNDEFINED": ("PAYMENT_CONFIRMED", "PAYMENT_RECEIVED"),
}
"""The events of a payment, by the documented flows; a card's money comes weeks later."""


class Seen(NamedTuple):
    """An event of the charge, and its deliveries with their attempts."""

    event: Row
    deliveries: list[tuple[Row, list[Row]]]

    @property
    def settled(self) -> bool:
        """Whether it is processed and every delivery has ended."""
        states = [DeliveryState(delivery["state"]) for delivery, _ in self.deliveries]
        return self.event["state"] == EventState.PROCESSED and all(state in FINISHED for state in states)


def held_back(seen: Iterable[Seen]) -> Problem | None:
    """Return which delivery waits until a person resumes its destination, the first of several."""
    for one in (delivery for each in seen for delivery, _ in each.deliveries):
        if one["waiting"] == Waiting.PAUSED:
            what = N_("delivery {delivery} waits for the destination {destination}: {reason}")
            hint = N_("see: bridge destinations list; it goes on by itself once the destination is resumed")
            facts = {"delivery": one["id"], "destination": one["destination"]}
            reason = read_message(one["reason"])
            return Problem("trial.destination_waits", message(what, **facts, reason=reason), Message(hint))
    return None


def _heard(mappings: Iterable[Mapping], account: str, billing_type: str) -> list[str]:
    own = [mapping for mapping in mappings if mapping.enabled and mapping.account == account]
    wanted = (_MADE, *PAID_EVENTS[billing_type])
    heard = [name for name in wanted if any(mapping.listens_to(name) for mapping in own)]
    if not heard:
        what = N_("no active mapping of account {account} listens to {events}, so a charge makes no deal")
        hint = N_("switch one on under Mappings; it becomes active while the bridge runs")
        raise NotFound(what, hint=hint, account=account, events=", ".join(wanted))
    return heard


def check_destinations(runtime: Runtime, account: str) -> None:
    """Raise UsageError where no destination of the account's active mappings takes a delivery before a person acts."""
    with runtime.journal.database.read() as connection:
        stops, are_all = stops_for_account(runtime, connection, account)
    if are_all:
        known = find_reason(stops[0].code)
        what = N_("nothing would reach Clint by the destination {destination}: {reason}")
        hint = N_("see: bridge destinations list")
        reason = Message(known.means if known else stops[0].code)
        raise UsageError(what, hint=hint, destination=stops[0].destination, reason=reason)


def amount(text: str) -> Decimal | Message:
    """Return an amount in reais with two decimals at most, or what is wrong with the text.

    >>> amount("1.000,00"), amount("10.50"), str(amount("1.000"))
    (Decimal('1000.00'), Decimal('10.50'), '“1.000” can be read in two ways; write 1000 or 1.00')
    """
    if fault := number_fault(text, is_amount=True):
        return fault
    value = typed_number(text)
    if 0 < value < 1_000_000 and value == round(value, 2):
        return value
    what = N_("“{got}” can't be charged; write more than zero and less than a million, with two decimals at most")
    return message(what, got=text)


def contact_faults(email: str, phone: str) -> dict[str, Message]:
    """Return what is wrong with e-mail and phone of a test customer; empty ones are right."""
    faults = {}
    if email and first_email(email) != email:
        faults["email"] = message(N_("must be an e-mail address such as {example}"), example="ana@example.com")
    number = as_phone(phone) if phone else "55"
    # The Asaas sandbox refuses a number of one digit repeated.
    if number is None or (phone and len(set(number[4:])) < 2):
        what = N_("must be a phone with area code such as {example}, and not a made-up one")
        faults["phone"] = message(what, example="47 99632-1478")
    return faults


def conflicts(mappings: Iterable[Mapping], seen: Sequence[Seen]) -> list[dict[str, Any]]:
    """Return the destinations of the charge whose mappings ask for several statuses of one integration."""
    sent_to = {delivery["destination"] for one in seen for delivery, _ in one.deliveries}
    rows = integrations_of(mapping for mapping in mappings if mapping.enabled)
    return [
        {"integration": row["integration"], "statuses": row["statuses"]}
        for row in rows
        if len(row["statuses"]) > 1 and row["integration"] in sent_to
    ]


_ALIVE = "/healthz"

_REFUSED = {
    "webhook.wrong_token": (
        N_("the door refused it: the token of Asaas's webhook is not the account's ASAAS_WEBHOOK_TOKEN"),
        N_("give both the same token; run: bridge webhook register --new-token, then start the bridge with it"),
    ),
    "webhook.unknown_account": (
        N_("the door refused it: the webhook's URL names an account that the bridge does not know"),
        N_("fix the URL (run: bridge webhook register), or set the account's ASAAS_WEBHOOK_TOKEN"),
    ),
    "webhook.address_not_allowed": (
        N_("the door refused it: BRIDGE_WEBHOOK_ALLOWED_IPS does not have the address from which it came"),
        N_("add the address that the log names; behind a proxy set BRIDGE_TRUSTED_PROXIES, or it is the proxy's"),
    ),
    "webhook.body_too_large": (
        N_("the door refused a body that is larger than the bridge takes"),
        N_("report it: Asaas sends no events of that size"),
    ),
    "webhook.not_an_event": (
        N_("the door refused a body that is no event of Asaas"),
        N_("check that nothing between Asaas and the bridge changes the posts"),
    ),
}


def refused_at_door(journal: Journal, account: str, since_ms: int) -> list[Problem]:
    """Return why the door refused posts since then, those for the account first."""
    with journal.database.read() as connection:
        found = events.refusals_since(connection, account, since_ms)
    causes = []
    for code in found:
        what, mend = _REFUSED[code]
        causes.append(Problem(code, Message(what), Message(mend)))
    return causes


_QUIET_S = 1.5
"""The events are complete after this long without a new one."""
_DEAL_AT_LEAST_S = 6.0
"""Clint works on a payload for a while, so it is asked for this long even after the timeout."""


class TestChargeListener(Protocol):
    """Shows the course of a test charge."""

    def step(self, code: str, /, **values: object) -> None:
        """Show a step by its code, with its values."""

    def waiting(self, for_events: Sequence[str]) -> AbstractContextManager[None]:
        """Show the wait for these events."""

    def news(self, seen: Sequence[Seen], now_ms: int) -> bool:
        """Show the events; return whether any of it was new."""

    def sees_deal(self) -> bool:
        """Return whether a person sees the deal in Clint, without a token of the Clint API."""


class TestCharge:
    """A test charge from its start to its verdict, with the `causes` of one that is not proved."""

    charge: Charge

    def __init__(
        self,
        runtime: Runtime,
        account: str,
        order: ChargeRequest,
        listener: TestChargeListener,
        sleep: Callable[[float], object] = time.sleep,
    ) -> None:
        """Raise SettingsError without a key, NotFound where no mapping listens to an event of a paid charge, and
        UsageError where all destinations wait for a person."""
        client = client_of(runtime, account)
        self.account = account
        self.order = order
        self.real = is_production(runtime, account)
        self.seen: list[Seen] = []
        self.causes: list[Problem] = []
        self.deal: Deal | None = None
        self.stage = ""
        self.paid = ""
        self.conflicts: list[dict[str, Any]] = []
        self.unplaced: tuple[str, ...] = ()
        """The mappings of its deliveries that write into an origin where none sets a stage or a status."""
        self.kept: tuple[str, ...] | None = None
        self.verdict = Verdict.NOT_CONFIRMED
        self.finding: Finding | None = None
        self.detail = ""
        """The finding as the journal keeps one of a delivery."""
        self.failed: list[tuple[Row, Row]] = []
        """The deliveries that Clint did not get, each with its event."""
        self.delivered = 0
        check_destinations(runtime, account)
        self._needed = _heard([one.mapping for one in runtime.mappings.current()], account, order.billing_type)
        # One of these must come: of the payment, or of the charge where no mapping listens to the payment.
        self._last = [name for name in self._needed if name != _MADE] or self._needed
        self._hook_url = public_hook_url(runtime.settings, account, None)
        self._charges = Charges(client)
        self._runtime = runtime
        self._show = listener
        self._sleep = sleep
        self._began_ms = 0

    @property
    def proved(self) -> bool:
        """Whether the deal is proved, and nothing of the charge is missing in it."""
        return self.verdict is Verdict.PROVED and not self.failed

    def begin(self) -> None:
        """Make the customer and the charge; without a charge the customer is removed again."""
        order = self.order
        self._began_ms = self._runtime.clock_ms()
        customer_id = self._charges.make_customer(order)
        try:
            self.charge = self._charges.make_charge(customer_id, order)
        except BridgeError:
            self._charges.remove_customer(customer_id)
            raise
        self._show.step("customer_made", customer=customer_id, mark=order.mark)
        made = {"charge": self.charge.payment_ids[0], "billing_type": order.billing_type, "value": order.value}
        if order.installments > 1:
            self._show.step("plan_made", **made, installments=order.installments)
        else:
            self._show.step("charge_made", **made)

    def follow(self, timeout_s: float) -> None:
        """Pay in the sandbox, wait for the events and their deliveries, then look for the deal."""
        ends_s = time.monotonic() + timeout_s
        if self.real:
            self._show.step("to_be_paid", url=self.charge.invoice_url)
        else:
            self.paid = self._charges.pay(self.charge.payment_ids[0])  # of a plan the first instalment
            self._show.step("paid", status=self.paid)
        with self._show.waiting(self._last):
            self._wait(ends_s)
        came = [(one.event, delivery) for one in self.seen for delivery, _ in one.deliveries]
        self.failed = [(event, delivery) for event, delivery in came if delivery["state"] == DeliveryState.DEAD]
        self.delivered = sum(delivery["state"] == DeliveryState.DELIVERED for _, delivery in came)
        for event, delivery in self.failed:
            self._blame_failed(event, delivery)
        if not self._have_come():
            self._report_why_not_come()
        elif not self.delivered:
            self._blame("trial.not_delivered", N_("nothing was delivered to Clint"), N_("see: bridge events list"))
        elif (clint := self._runtime.clint_api) is None:
            self._show.step("cannot_look")
            self._show.step("look_yourself", email=self.order.email)
            if self._show.sees_deal():
                self.verdict = Verdict.PROVED
            else:
                what = N_("Clint accepted the payload, which does not prove a deal")
                hint = N_(
                    "look in Clint's Históricos, or give the bridge a token of Clint's API: bridge clint set-token"
                )
                self._blame("trial.deal_not_looked_at", what, hint)
        else:
            self._find_deal(clint, max(ends_s, time.monotonic() + _DEAL_AT_LEAST_S))
        found = conflicts([item.mapping for item in self._runtime.mappings.current()], self.seen)
        # By the API the mapping says the status of each event.
        self.conflicts = [one for one in found if not self._runtime.is_api(one["integration"])]
        for one in self.conflicts:
            # With one integration for all the operator has chosen no stages, so that nothing contradicts.
            values = {"integration": one["integration"], "statuses": ", ".join(one["statuses"])}
            self._show.step("conflict" if self._has_several_integrations() else "one_integration", **values)

        used = {delivery["mapping"] for _, delivery in came}
        active = [item.mapping for item in self._runtime.mappings.current()]
        self.unplaced = tuple(one.name for one in unplaced(active, self._runtime.setup) if one.name in used)
        if self.unplaced:
            self._show.step("unplaced", mappings=", ".join(self.unplaced))

    def _has_several_integrations(self) -> bool:
        active = [item.mapping for item in self._runtime.mappings.current()]
        return len({name for one in active if one.enabled for name in one.destinations}) > 1

    def _wait(self, ends_s: float) -> None:
        """Show new events until all came, the door refuses a post, a destination is paused, or the time is over."""
        quiet_since_s = time.monotonic()
        while time.monotonic() < ends_s:
            try:
                self.seen = self._look()
                refused = [] if self.seen else self._refused()
            except JournalError:
                refused = []  # busy for a moment
            now_s = time.monotonic()
            if self._show.news(self.seen, self._runtime.clock_ms()):
                quiet_since_s = now_s
            if refused or held_back(self.seen) or (self._have_come() and now_s - quiet_since_s >= _QUIET_S):
                return
            self._sleep(0.25)

    def _look(self) -> list[Seen]:
        return events_of(self._runtime.journal, self.account, self.charge.payment_ids)

    def _have_come(self) -> bool:
        return any(one.event["name"] in self._last for one in self.seen) and all(one.settled for one in self.seen)

    def _refused(self) -> list[Problem]:
        return refused_at_door(self._runtime.journal, self.account, self._began_ms)

    def _blame_failed(self, event: Row, delivery: Row) -> None:
        what = N_("{event}: the mapping {mapping} did not reach {destination}: {reason}")
        facts = {"mapping": delivery["mapping"], "destination": delivery["destination"]}
        self._blame(
            "trial.delivery_failed",
            what,
            N_("see: bridge events show {number}"),
            **facts,
            event=event["name"],
            number=event["id"],
            reason=read_message(delivery["reason"]),
        )

    def _report_why_not_come(self) -> None:
        waiting = [one for one in self.seen if not one.settled]
        if held := held_back(waiting):
            self.causes.append(held)
            return
        if waiting:
            what = N_("events came and were not finished in time: {number}")
            hint = N_("check that a worker runs (bridge up, or bridge worker), and see: bridge events show {event}")
            self._blame("trial.not_finished", what, hint, number=len(waiting), event=waiting[0].event["id"])
            return
        self.causes += self._refused() + why_no_event(self._runtime, self.account, self._needed, self._hook_url)
        if not self.causes:
            names = ", ".join(one.event["name"] for one in self.seen)
            only = N_("only {events} came, and webhook, address and token look fine from here")
            nothing = N_("no event came, and webhook, address and token look fine from here")
            hint = N_(
                "the charge may not be paid yet, or Asaas is slow; its log is under Integrações, Logs de Webhooks"
            )
            self._blame("trial.no_event", only if names else nothing, hint, events=names)

    def _find_deal(self, clint: ClintApi, ends_s: float) -> None:
        self._show.step("looking", email=self.order.email)
        failed: ClintApiFailed | None = None
        found = Finding(Code.NONE)
        while time.monotonic() < ends_s:
            try:
                found, failed = self._read_back(clint), None
                self.verdict, self.finding = found.code.verdict, found
                self.deal = found.deal if self.verdict is not Verdict.NOT_CONFIRMED else None
                self.stage = clint.stage(found.deal) if found.deal else ""
                self.detail = json.dumps(facts_of(found, self.stage))
            except ClintApiFailed as error:
                failed = error
                if error.hint:  # another request would not help
                    self._blame(error.code, error.what, error.hint)
                    return
            if self.verdict is Verdict.PROVED and self.deal:
                stage = self.stage or Message(N_("unknown"))
                self._show.step("deal", deal=self.deal.id, stage=stage, status=self.deal.status)
                return
            self._sleep(2.0)
        if failed:
            self._blame(failed.code, failed.what, N_("try again later; whether there is a deal is not known"))
        elif reason := find_reason(found.code):
            self._blame(found.code, deal_message(self.detail), reason.todo)

    def _read_back(self, clint: ClintApi) -> Finding:
        """Return the finding about the deals of the test's deliveries."""
        runtime = self._runtime
        active, now_ms = runtime.mappings.current(), runtime.clock_ms()
        directory = runtime.clint_directory or Directory(clint)
        origins = read_origins(runtime.destinations, directory)
        with runtime.journal.database.read() as connection:
            sent = sent_deliveries(connection, self.account, self.charge.customer_id, active, origins).values()
        # By the API each deal is judged by the last delivery that wrote it.
        written = [one for one in sent if isinstance(one, Written) and not one.has_later]
        findings = [read_back_deal(clint, directory, one, now_ms) for one in written]
        by_webhook: list[Finding] = []
        for one in sent:
            is_proved = any(found.code is Code.SEEN for found in by_webhook)
            # One proof is enough for deals that a later delivery may have changed.
            if not isinstance(one, Written) and not (is_proved and one.until_ms):
                by_webhook.append(read_back_deal(clint, directory, one, now_ms))
        findings += [strongest(by_webhook)] if by_webhook else []
        # The charge is proved only if each of its deals is.
        return max(findings, key=lambda found: list(Verdict).index(found.code.verdict), default=Finding(Code.NONE))

    def _blame(self, code: str, what: str | Message, mend: str | Message, **facts: object) -> None:
        self.causes.append(Problem(code, message(what, **facts), message(mend, **facts)))

    def remove(self) -> None:
        """Remove customer and charge; Asaas keeps what was paid."""
        self.kept = self._charges.remove(self.charge)
        self._show.step("removed")
        if self.kept:
            self._show.step("kept", kept=", ".join(self.kept))


def events_of(journal: Journal, account: str, payment_ids: Iterable[str]) -> list[Seen]:
    """Return the events of these charges so far, oldest first."""
    with journal.database.read() as connection:
        ids = sorted(
            row["id"]
            for payment_id in payment_ids
            for row in queries.list_events(connection, limit=200, account=account, object_id=payment_id)
        )
        seen = []
        for event in filter(None, (queries.find_event(connection, str(id_)) for id_ in ids)):
            deliveries = queries.deliveries_of(connection, event["id"])
            seen.append(Seen(event, [(one, queries.attempts_of(connection, one["id"])) for one in deliveries]))
    return seen


def why_no_event(runtime: Runtime, account: str, needed: Collection[str], url: str | None) -> list[Problem]:
    """Return what keeps the events of these names away, as far as it shows at Asaas and at the webhook's address."""
    try:
        found = Webhooks(client_of(runtime, account)).all()
    except BridgeError as error:
        what = message(N_("Asaas does not list the webhooks: {error}"), error=error.what)
        hint = error.hint or Message(N_("give the key the permission to read webhooks"))
        return [Problem(error.code, what, hint)]
    leading = find_ours(found, account, url)
    if not leading and found and url:
        urls = ", ".join(webhook.url for webhook in found)
        what = message(N_("no webhook at Asaas posts to {url}; the existing ones post to {urls}"), url=url, urls=urls)
        mend = message(N_("run: bridge webhook register{account}"), account=option_of(account))
        return [Problem("webhook.other_url", what, mend)]
    causes = sorted(problems(leading, needed, account), key=lambda one: one.level is not NoticeLevel.ERROR)
    # The bridge's public address may be a private one; the request carries no personal data.
    with HttpClient(allow_private=True) as http:
        away = [_unreachable(webhook.url, runtime.settings.local_url, http) for webhook in leading]
    return causes + [one for one in away if one is not None]


def _unreachable(webhook_url: str, local_url: str, http: HttpClient) -> Problem | None:
    """Return the problem where the bridge does not answer at the address of a webhook."""
    parts = urlsplit(webhook_url)
    place = f"{parts.scheme}://{parts.netloc}"
    what = _why_not_alive(place, f"{place}{parts.path.partition('/webhooks/asaas')[0]}{_ALIVE}", http)
    if what is None:
        return None
    if _why_not_alive(local_url, f"{local_url}{_ALIVE}", http) is None:
        mend = N_("the bridge answers at {url}: start the tunnel or the proxy that leads there")
        return Problem("public_url.no_answer", what, message(mend, url=local_url))
    mend = N_("start the bridge (nothing answers at {url} either): bridge up, or bridge web")
    return Problem("bridge.not_running", what, message(mend, url=local_url))


def _why_not_alive(place: str, url: str, http: HttpClient) -> Message | None:
    try:
        answer = http.request("GET", url, deadline_s=10.0)
    except (httpx.HTTPError, httpx.InvalidURL) as error:
        what = N_("the public address {address} does not answer: {why}")
        return message(what, address=place, why=why_unreached(error))
    try:
        if answer.status_code == 200 and answer.json() == {"alive": True}:
            return None
    except ValueError:
        pass
    what = N_("the server at the public address {address} is not the bridge, got {status} at {path}")
    return message(what, address=place, status=answer.status_code, path=_ALIVE)
