"""Test charge: made and paid at Asaas, followed in the journal, read back from Clint, with the reasons of a failure.

It leaves a customer and a charge that are marked as tests, and their deal in Clint. The caller asks whether an account
may be charged; a charge of production is never paid here. The journal is only read.
"""

from __future__ import annotations

import secrets
import time
from collections.abc import Callable, Collection, Iterable, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from decimal import Decimal
from typing import Any, NamedTuple, Protocol
from urllib.parse import urlsplit

import httpx

from bridge.asaas.charges import MARK, Charge, ChargeRequest, Charges
from bridge.asaas.client import AsaasClient
from bridge.asaas.webhooks import Webhook, Webhooks, find_ours, problems
from bridge.clint.api import Deal
from bridge.errors import BridgeError, ClintApiFailed, JournalError, NotFound
from bridge.http import HttpClient
from bridge.journal import Journal, events, queries
from bridge.journal.queries import Row
from bridge.mapping import Mapping
from bridge.mapping.explain import integrations_of
from bridge.mapping.values import BadValue, as_decimal, two_readings
from bridge.messages import N_, Message, message
from bridge.model import FINISHED, DeliveryState, EventState, NoticeLevel
from bridge.operations.proof import CODES, NONE, SEEN, Finding
from bridge.operations.read_back import Deals, read_back_deal, sent_deliveries
from bridge.pipeline.active_mappings import ActiveMapping
from bridge.reasons import find_reason
from bridge.runtime import Runtime
from bridge.settings import DEFAULT

_MADE = "PAYMENT_CREATED"
_PAID = {
    "PIX": ("PAYMENT_RECEIVED",),
    "BOLETO": ("PAYMENT_CONFIRMED", "PAYMENT_RECEIVED"),
    "CREDIT_CARD": ("PAYMENT_CONFIRMED",),
    # The payer chooses; the sandbox pays it as a boleto.
    "UNDEFINED": ("PAYMENT_CONFIRMED", "PAYMENT_RECEIVED"),
}
"""The events of a payment, by the documented flows; a card's money comes weeks later."""

_MOST_EVENTS = 200


class Seen(NamedTuple):
    """An event of the charge, and its deliveries with their attempts."""

    event: Row
    deliveries: list[tuple[Row, list[Row]]]

    @property
    def settled(self) -> bool:
        """Whether it is processed and every delivery has ended."""
        states = [DeliveryState(delivery["state"]) for delivery, _ in self.deliveries]
        return self.event["state"] == EventState.PROCESSED and all(state in FINISHED for state in states)


@dataclass(frozen=True, slots=True)
class Expected:
    """The events of a proved charge."""

    events: tuple[str, ...]
    """Those to which a mapping listens."""
    last: tuple[str, ...]
    """One of these must come: of the payment, or of the charge where no mapping listens to the payment."""
    mappings: tuple[str, ...]


def expected(mappings: Iterable[Mapping], account: str, billing_type: str) -> Expected:
    """Return the events of a paid charge; raise NotFound where no mapping listens to any of them."""
    own = [mapping for mapping in mappings if mapping.enabled and mapping.account == account]
    wanted = (_MADE, *_PAID[billing_type])
    heard = tuple(name for name in wanted if any(mapping.listens_to(name) for mapping in own))
    if not heard:
        what = N_("no active mapping of account {account} listens to {events}, so a charge makes no deal")
        hint = N_("see: bridge mappings show; mappings become active when the bridge runs")
        raise NotFound(what, hint=hint, account=account, events=", ".join(wanted))
    names = [mapping.name for mapping in own if any(mapping.listens_to(name) for name in heard)]
    return Expected(heard, tuple(name for name in heard if name != _MADE) or heard, tuple(names))


def amount(text: str) -> Decimal | None:
    """Return an amount in reais with two decimals at most; None for another text and for an ambiguous amount.

    >>> amount("1.000,00"), amount("10.50"), amount("1.000"), amount("0")
    (Decimal('1000.00'), Decimal('10.50'), None, None)
    """
    try:
        value = as_decimal(text)
    except BadValue:
        return None
    return value if not two_readings(text) and 0 < value < 1_000_000 and value == round(value, 2) else None


def new_mark() -> str:
    """Return a mark that identifies one test."""
    return f"{MARK}-{secrets.token_hex(4)}"


class TestCharge:
    """A test charge at Asaas and its events in the journal."""

    def __init__(self, charges: Charges, journal: Journal, account: str, order: ChargeRequest, began_ms: int) -> None:
        self._charges = charges
        self._journal = journal
        self.account = account
        self.order = order
        self.began_ms = began_ms
        self.customer_id = ""
        self.charge: Charge | None = None

    def begin(self) -> Charge:
        """Make the customer and the charge; without a charge the customer is removed again."""
        self.customer_id = self._charges.make_customer(self.order)
        try:
            self.charge = self._charges.make_charge(self.customer_id, self.order)
        except BridgeError:
            self._charges.remove_customer(self.customer_id)
            raise
        return self.charge

    def pay(self) -> str:
        """Let the sandbox pay the charge, or its first instalment; return its status."""
        return self._charges.pay(self._made.payment_ids[0])

    def check(self) -> list[Seen]:
        """Return the events of the charge so far, oldest first."""
        ids = self._made.payment_ids
        with self._journal.database.read() as connection:
            rows = [
                row
                for object_id in ids
                for row in queries.list_events(
                    connection, limit=_MOST_EVENTS, account=self.account, object_id=object_id
                )
            ]
            found = []
            for row in sorted(rows, key=lambda row: row["id"]):
                event = queries.find_event(connection, str(row["id"])) or row
                deliveries = queries.deliveries_of(connection, row["id"])
                found.append(Seen(event, [(one, queries.attempts_of(connection, one["id"])) for one in deliveries]))
        return found

    def find_deal(self, clint: Deals, active: Sequence[ActiveMapping]) -> Finding:
        """Return the deal of one of the test's deliveries, else why there is none."""
        with self._journal.database.read() as connection:
            sent = sent_deliveries(connection, self.account, self.customer_id, active)
        found = Finding(NONE)
        for contact, one in sent.values():
            found = max(found, read_back_deal(clint, contact, one), key=lambda finding: CODES.index(finding.code))
            if found.code == SEEN:
                break
        return found

    def remove(self) -> tuple[str, ...]:
        """Remove charge and customer; return the charges that Asaas keeps because they were paid."""
        return self._charges.remove(self._made)

    @property
    def _made(self) -> Charge:
        if self.charge is None:
            raise NotFound(N_("the test has no charge yet"))
        return self.charge


def has_come(seen: Sequence[Seen], expected: Expected) -> bool:
    """Return whether a last event came and every event is settled."""
    names = {one.event["name"] for one in seen}
    return bool(names & set(expected.last)) and all(one.settled for one in seen)


def delivered(seen: Sequence[Seen]) -> bool:
    """Return whether a delivery arrived, none failed and none waits."""
    states = [delivery["state"] for one in seen for delivery, _ in one.deliveries]
    return DeliveryState.DELIVERED in states and DeliveryState.DEAD not in states and all(one.settled for one in seen)


def conflicts(mappings: Iterable[Mapping], seen: Sequence[Seen]) -> list[dict[str, Any]]:
    """Return the destinations of the charge whose mappings ask for several statuses of one integration."""
    sent_to = {delivery["destination"] for one in seen for delivery, _ in one.deliveries}
    rows = integrations_of(mapping for mapping in mappings if mapping.enabled)
    return [
        {"integration": row["integration"], "statuses": row["conflict"]}
        for row in rows
        if row["conflict"] and row["integration"] in sent_to
    ]


_ANSWER_WITHIN_S = 10.0
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


class Problem(NamedTuple):
    """A reason why the test failed."""

    code: str
    what: Message
    mend: Message


def problem_data(problem: Problem, write: Callable[[Message], str] = str) -> dict[str, str]:
    """Return a problem for `--json`, in English, or with its messages written in another form."""
    return {"code": problem.code, "what": write(problem.what), "mend": write(problem.mend)}


def refused_at_door(journal: Journal, account: str, since_ms: int) -> list[Problem]:
    """Return why the door refused posts since then, those for the account first."""
    with journal.database.read() as connection:
        found = events.refusals_since(connection, account, since_ms)
    return [Problem(code, *map(Message, _REFUSED[code])) for code in found]


def why_no_event(
    webhooks: Webhooks, account: str, needed: Collection[str], hook_url: str | None, local_url: str, http: HttpClient
) -> list[Problem]:
    """Return why no event comes from Asaas, as far as the bridge can check."""
    try:
        found = webhooks.all()
    except BridgeError as error:
        what = message(N_("Asaas does not list the webhooks: {error}"), error=error.what)
        return [Problem(error.code, what, error.hint or Message(N_("give the key the permission to read webhooks")))]
    leading = find_ours(found, account, hook_url)
    causes = []
    if not leading and found and hook_url:
        urls = ", ".join(webhook.url for webhook in found)
        what = message(
            N_("no webhook at Asaas posts to {url}; the existing ones post to {urls}"), url=hook_url, urls=urls
        )
        option = "" if account == DEFAULT else f" --account {account}"
        mend = message(N_("run: bridge webhook register{option}"), option=option)
        causes.append(Problem("webhook.other_url", what, mend))
    else:
        rules = problems(leading, needed, account)
        rules.sort(key=lambda one: one.level is not NoticeLevel.ERROR)
        causes += [Problem(one.code, message(one.what), message(one.mend)) for one in rules]
    return causes + _unreachable(leading, local_url, http)


def _unreachable(leading: list[Webhook], local_url: str, http: HttpClient) -> list[Problem]:
    """Return the problems of webhook addresses at which the bridge does not answer."""
    causes = []
    for webhook in leading:
        parts = urlsplit(webhook.url)
        place = f"{parts.scheme}://{parts.netloc}"
        what = _why_not_alive(place, f"{place}{parts.path.partition('/webhooks/asaas')[0]}{_ALIVE}", http)
        if what is None:
            continue
        if _why_not_alive(local_url, f"{local_url}{_ALIVE}", http) is None:
            mend = N_("the bridge answers at {url}: start the tunnel or the proxy that leads there")
            causes.append(Problem("public_url.no_answer", what, message(mend, url=local_url)))
        else:
            mend = N_("start the bridge (nothing answers at {url} either): bridge up, or bridge web")
            causes.append(Problem("bridge.not_running", what, message(mend, url=local_url)))
    return causes


def _why_not_alive(place: str, url: str, http: HttpClient) -> Message | None:
    try:
        answer = http.request("GET", url, deadline_s=_ANSWER_WITHIN_S)
    except (httpx.HTTPError, httpx.InvalidURL) as error:
        what = N_("the public address {address} does not answer, got {error}")
        return message(what, address=place, error=type(error).__name__)
    try:
        if answer.status_code == 200 and answer.json() == {"alive": True}:
            return None
    except ValueError:
        pass
    what = N_("the server at the public address {address} is not the bridge, got {status} at {path}")
    return message(what, address=place, status=answer.status_code, path=_ALIVE)


_LOOK_EVERY_S = 0.25
_QUIET_S = 1.5
"""The events are complete after this long without a new one."""
_DEAL_EVERY_S = 2.0
_DEAL_AT_LEAST_S = 6.0
"""Clint works on a payload for a while, so it is asked for this long even after the timeout."""


class TestChargeListener(Protocol):
    """Shows the course of a test charge."""

    def step(self, code: str, /, **values: object) -> None:
        """Show a step of STEPS with its values."""

    def waiting(self, for_events: Sequence[str]) -> AbstractContextManager[None]:
        """Show the wait for these events."""
        ...

    def news(self, seen: Sequence[Seen], now_ms: int) -> bool:
        """Show the events; return whether any of it was new."""
        ...

    def sees_deal(self) -> bool:
        """Return whether a person sees the deal in Clint, without a token of the Clint API."""
        ...

    def problem(self, cause: Problem) -> None:
        """Show a problem."""

    def verdict(self, *, proved: bool) -> None:
        """Show the end."""


STEPS = {
    "customer_made": ("asaas", N_("customer {customer} made, marked {mark}")),
    "charge_made": ("asaas", N_("charge {charge} made: {billing_type}, R$ {value:.2f}")),
    "plan_made": ("asaas", N_("charge {charge} made: {billing_type}, R$ {value:.2f} in {installments} instalments")),
    "to_be_paid": ("asaas", N_("the bridge pays nothing in production: pay it at {url}")),
    "paid": ("asaas", N_("paid in the sandbox, status {status}")),
    "looking": ("clint", N_("looking for the deal of {email}")),
    "deal": ("clint", N_("deal {deal} found: stage {stage}, status {status}")),
    "cannot_look": ("clint", N_("took it; CLINT_API_TOKEN is not set, so the bridge can't see the deal")),
    "look_yourself": ("clint", N_("look in Clint: the origin, Históricos, then the deal of {email}")),
    "conflict": (
        "bridge",
        N_(
            "integration {integration} gets events that ask for the statuses {statuses} and sets one, so deals keep "
            "that one; see: bridge mappings checklist"
        ),
    ),
    "removed": ("asaas", N_("customer and open part of the charge removed")),
    "kept": ("asaas", N_("Asaas keeps {kept}, which was paid")),
}
"""The subject of each step and its text, a message id."""


class TestChargeRun:
    """A test charge from its start to its verdict."""

    def __init__(
        self,
        trial: TestCharge,
        expected: Expected,
        runtime: Runtime,
        client: AsaasClient,
        hook_url: str | None,
        *,
        real: bool,
        witness: TestChargeListener,
        sleep: Callable[[float], object] = time.sleep,
    ) -> None:
        self._expected = expected
        self._runtime = runtime
        self._client = client
        self._hook_url = hook_url
        self._show = witness
        self._sleep = sleep
        self.trial = trial
        self.real = real
        self.seen: list[Seen] = []
        self.causes: list[Problem] = []
        self.deal: Deal | None = None
        self.stage = ""
        self.paid = ""
        self.conflicts: list[dict[str, Any]] = []
        self.kept: tuple[str, ...] | None = None
        self.proved = False

    def begin(self) -> None:
        charge = self.trial.begin()
        order = self.trial.order
        self._show.step("customer_made", customer=charge.customer_id, mark=order.mark)
        made = {"charge": charge.payment_ids[0], "billing_type": order.billing_type, "value": Decimal(order.value)}
        if order.installments > 1:
            self._show.step("plan_made", **made, installments=order.installments)
        else:
            self._show.step("charge_made", **made)

    def follow(self, timeout_s: float) -> None:
        """Pay in the sandbox, wait for the events and their deliveries, then look for the deal."""
        ends_s = time.monotonic() + timeout_s
        if self.real:
            url = self.trial.charge.invoice_url if self.trial.charge else ""
            self._show.step("to_be_paid", url=url)
        else:
            self.paid = self.trial.pay()
            self._show.step("paid", status=self.paid)
        with self._show.waiting(self._expected.last):
            self._wait(ends_s)
        if not has_come(self.seen, self._expected):
            self._report_why_not_come()
        elif not delivered(self.seen):
            self._blame("trial.not_delivered", N_("nothing was delivered to Clint"), N_("see: bridge events list"))
        else:
            self._find_deal(max(ends_s, time.monotonic() + _DEAL_AT_LEAST_S))
        self.conflicts = conflicts([item.mapping for item in self._runtime.mappings.current()], self.seen)
        for one in self.conflicts:
            self._show.step("conflict", integration=one["integration"], statuses=", ".join(one["statuses"]))
        for cause in self.causes:
            self._show.problem(cause)
        self._show.verdict(proved=self.proved)

    def _wait(self, ends_s: float) -> None:
        """Show new events until all came, the door refuses a post, or the time is over."""
        quiet_since_s = time.monotonic()
        while time.monotonic() < ends_s:
            try:
                self.seen = self.trial.check()
                refused = [] if self.seen else self._refused()
            except JournalError:
                refused = []  # busy for a moment
            now_s = time.monotonic()
            if self._show.news(self.seen, self._runtime.clock_ms()):
                quiet_since_s = now_s
            if has_come(self.seen, self._expected) and now_s - quiet_since_s >= _QUIET_S:
                return
            if refused:
                return
            self._sleep(_LOOK_EVERY_S)

    def _refused(self) -> list[Problem]:
        return refused_at_door(self._runtime.journal, self.trial.account, self.trial.began_ms)

    def _report_why_not_come(self) -> None:
        waiting = [one for one in self.seen if not one.settled]
        if waiting:
            what = N_("events came and were not finished in time: {number}")
            hint = N_("check that a worker runs (bridge up, or bridge worker), and see: bridge events show {event}")
            self._blame("trial.not_finished", what, hint, number=len(waiting), event=waiting[0].event["id"])
            return
        self.causes += self._refused()
        local = self._runtime.settings.local_url
        needed = self._expected.events
        # The bridge's public address may be a private one; the request carries no personal data.
        with HttpClient(allow_private=True) as http:
            self.causes += why_no_event(Webhooks(self._client), self.trial.account, needed, self._hook_url, local, http)
        if not self.causes:
            names = ", ".join(one.event["name"] for one in self.seen)
            only = N_("only {events} came, and webhook, address and token look fine from here")
            nothing = N_("no event came, and webhook, address and token look fine from here")
            hint = N_(
                "the charge may not be paid yet, or Asaas is slow; its log is under Integrações, Logs de Webhooks"
            )
            self._blame("trial.no_event", only if names else nothing, hint, events=names)

    def _find_deal(self, ends_s: float) -> None:
        clint = self._runtime.clint_api
        if clint is None:
            self._ask_person()
            return
        self._show.step("looking", email=self.trial.order.email)
        failed: ClintApiFailed | None = None
        found = Finding(NONE)
        while self.deal is None and time.monotonic() < ends_s:
            try:
                found, failed = self.trial.find_deal(clint, self._runtime.mappings.current()), None
                if found.code == SEEN:
                    self.deal = found.deal
                if self.deal is not None:
                    self.stage = clint.stage(self.deal)
            except ClintApiFailed as error:
                failed = error
                if error.hint:  # another request would not help
                    self._blame(error.code, error.what, error.hint)
                    return
            if self.deal is None:
                self._sleep(_DEAL_EVERY_S)
        if self.deal is not None:
            self.proved = True
            stage = self.stage or Message(N_("unknown"))
            self._show.step("deal", deal=self.deal.id, stage=stage, status=self.deal.status)
        elif failed:
            self._blame(failed.code, failed.what, N_("try again later; whether there is a deal is not known"))
        elif reason := find_reason(found.code):
            self._blame(found.code, reason.means, reason.todo)

    def _ask_person(self) -> None:
        self._show.step("cannot_look")
        self._show.step("look_yourself", email=self.trial.order.email)
        self.proved = self._show.sees_deal()
        if not self.proved:
            self._blame(
                "trial.deal_not_looked_at",
                N_("Clint took the payload, which does not prove a deal"),
                N_("look in Clint's Históricos, or set CLINT_API_TOKEN"),
            )

    def _blame(self, code: str, what: str | Message, mend: str | Message, **facts: object) -> None:
        self.causes.append(Problem(code, message(what, **facts), message(mend, **facts)))

    def remove(self) -> None:
        self.kept = self.trial.remove()
        self._show.step("removed")
        if self.kept:
            self._show.step("kept", kept=", ".join(self.kept))
