"""Tries the whole way with a test charge: made and paid at Asaas, followed in the journal, read back from Clint.

It leaves a customer and a charge that are marked as tests, and what they cause at Clint. Whether an account may be
charged is asked by whoever begins; a charge of production is never paid here. The journal is only read.
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
from bridge.model import FINISHED, DeliveryState, EventState, NoticeLevel
from bridge.operations.proof import CODES, NONE, SEEN, Finding
from bridge.operations.read_back import Deals, read_back_deal, sent_deliveries
from bridge.pipeline.active_mappings import ActiveMapping
from bridge.reasons import explain
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
"""The events that a payment causes, by the documented flows; a card's money comes weeks later."""

_MOST_EVENTS = 200


class Seen(NamedTuple):
    """One event of the charge, with what became of it."""

    event: Row
    deliveries: list[tuple[Row, list[Row]]]

    @property
    def settled(self) -> bool:
        """Whether nothing more will happen to it by itself."""
        states = [DeliveryState(delivery["state"]) for delivery, _ in self.deliveries]
        return self.event["state"] == EventState.PROCESSED and all(state in FINISHED for state in states)


@dataclass(frozen=True, slots=True)
class Expected:
    """What a charge must cause for the way to be proved."""

    events: tuple[str, ...]
    """Every one that a mapping listens to."""
    last: tuple[str, ...]
    """One of these must come: those of the payment, or of the charge where no mapping listens to the payment."""
    mappings: tuple[str, ...]


def expected(mappings: Iterable[Mapping], account: str, billing_type: str) -> Expected:
    """Return what a paid charge must cause; raise NotFound where no mapping listens to any of it."""
    own = [mapping for mapping in mappings if mapping.enabled and mapping.account == account]
    wanted = (_MADE, *_PAID[billing_type])
    heard = tuple(name for name in wanted if any(mapping.listens_to(name) for mapping in own))
    if not heard:
        raise NotFound(
            f"no active mapping of account {account} listens to {', '.join(wanted)}, so no deal can come of a charge",
            hint="see: bridge mappings show; mappings become active when the bridge runs",
        )
    names = [mapping.name for mapping in own if any(mapping.listens_to(name) for name in heard)]
    return Expected(heard, tuple(name for name in heard if name != _MADE) or heard, tuple(names))


def amount(text: str) -> Decimal | None:
    """Return an amount in reais with two decimals at most; None for anything else and for what may mean two amounts.

    >>> amount("1.000,00"), amount("10.50"), amount("1.000"), amount("0")
    (Decimal('1000.00'), Decimal('10.50'), None, None)
    """
    try:
        value = as_decimal(text)
    except BadValue:
        return None
    return value if not two_readings(text) and 0 < value < 1_000_000 and value == round(value, 2) else None


def new_mark() -> str:
    """Return what tells one test from every other."""
    return f"{MARK}-{secrets.token_hex(4)}"


class TestCharge:
    """One test charge and what is seen of it."""

    def __init__(self, charges: Charges, journal: Journal, account: str, order: ChargeRequest, began_ms: int) -> None:
        self._charges = charges
        self._journal = journal
        self.account = account
        self.order = order
        self.began_ms = began_ms
        self.customer_id = ""
        self.charge: Charge | None = None

    def begin(self) -> Charge:
        """Make the customer and the charge; a customer whose charge was refused is removed again."""
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
        """Return every event of the charge that came so far, oldest first."""
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
        """Return the deal that one of the test's deliveries is proved by, the newest first, else why there is none."""
        with self._journal.database.read() as connection:
            sent = sent_deliveries(connection, self.account, self.customer_id, active)
        found = Finding(NONE)
        for contact, one in sent.values():
            found = max(found, read_back_deal(clint, contact, one), key=lambda finding: CODES.index(finding.code))
            if found.code == SEEN:
                break
        return found

    def remove(self) -> tuple[str, ...]:
        """Remove what was made; return the charges that Asaas keeps because they were paid."""
        return self._charges.remove(self._made)

    @property
    def _made(self) -> Charge:
        if self.charge is None:
            raise NotFound("the test has no charge yet")
        return self.charge


def has_come(seen: Sequence[Seen], expected: Expected) -> bool:
    """Return whether the events that were waited for came and nothing more will happen by itself."""
    names = {one.event["name"] for one in seen}
    return bool(names & set(expected.last)) and all(one.settled for one in seen)


def delivered(seen: Sequence[Seen]) -> bool:
    """Return whether Clint took something of it and nothing was given up or still waits."""
    states = [delivery["state"] for one in seen for delivery, _ in one.deliveries]
    return DeliveryState.DELIVERED in states and DeliveryState.DEAD not in states and all(one.settled for one in seen)


def conflicts(mappings: Iterable[Mapping], seen: Sequence[Seen]) -> list[dict[str, Any]]:
    """Return the integrations that got something of it and would have to set several statuses, with these."""
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
        "the door refused it: the token of Asaas's webhook is not the account's ASAAS_WEBHOOK_TOKEN",
        "give both the same token; run: bridge webhook register --new-token, then start the bridge with it",
    ),
    "webhook.unknown_account": (
        "the door refused it: the webhook's URL names an account that the bridge does not know",
        "mend the URL (run: bridge webhook register), or set the account's ASAAS_WEBHOOK_TOKEN",
    ),
    "webhook.address_not_allowed": (
        "the door refused it: BRIDGE_WEBHOOK_ALLOWED_IPS does not have the address from which it came",
        "add the address that the log names; behind a proxy set BRIDGE_TRUSTED_PROXIES, or it is the proxy's",
    ),
    "webhook.body_too_large": ("the door refused a body that is larger than the bridge takes", "report it"),
    "webhook.not_an_event": (
        "the door refused a body that is no event of Asaas",
        "see that nothing between Asaas and the bridge changes what is posted",
    ),
}


class Problem(NamedTuple):
    """One reason why the test did not come through."""

    code: str
    what: str
    mend: str


def refused_at_door(journal: Journal, account: str, since_ms: int) -> list[Problem]:
    """Return why the door refused what was posted since then."""
    with journal.database.read() as connection:
        found = events.refusals_since(connection, account, since_ms)
    # A stranger may try names of accounts at any time: what was posted for ours says more.
    return [Problem(one.code, *_REFUSED[one.code]) for one in sorted(found, key=lambda one: not one.account)]


def why_no_event(
    webhooks: Webhooks, account: str, needed: Collection[str], hook_url: str | None, local_url: str, http: HttpClient
) -> list[Problem]:
    """Return why no event comes from Asaas, as far as can be seen from here."""
    try:
        found = webhooks.all()
    except BridgeError as error:
        mend = str(error.hint or "give the key the permission to read webhooks")
        return [Problem(error.code, f"Asaas does not say what webhooks there are: {error.what}", mend)]
    leading = find_ours(found, account, hook_url)
    register = "run: bridge webhook register" + ("" if account == DEFAULT else f" --account {account}")
    causes = []
    if not leading and found and hook_url:
        urls = ", ".join(webhook.url for webhook in found)
        what = f"no webhook at Asaas posts to {hook_url}; those that are there post to {urls}"
        causes.append(Problem("webhook.other_url", what, register))
    else:
        rules = problems(leading, needed, account)
        rules.sort(key=lambda one: one.level is not NoticeLevel.ERROR)
        causes += [Problem(one.code, one.what, one.mend) for one in rules]
    return causes + _unreachable(leading, local_url, http)


def _unreachable(leading: list[Webhook], local_url: str, http: HttpClient) -> list[Problem]:
    """Return whether the addresses that Asaas posts to answer as the bridge does."""
    causes = []
    for webhook in leading:
        parts = urlsplit(webhook.url)
        place = f"{parts.scheme}://{parts.netloc}"
        answer = _asked(f"{place}{_prefix(parts.path)}{_ALIVE}", http)
        if answer == "alive":
            continue
        what = f"the public address {place} {answer}"
        if _asked(f"{local_url}{_ALIVE}", http) == "alive":
            mend = f"the bridge answers at {local_url}: start the tunnel or the proxy that leads there"
            causes.append(Problem("public_url.no_answer", what, mend))
        else:
            mend = f"start the bridge (nothing answers at {local_url} either): bridge up, or bridge web"
            causes.append(Problem("bridge.not_running", what, mend))
    return causes


def _prefix(path: str) -> str:
    return path.partition("/webhooks/asaas")[0]


def _asked(url: str, http: HttpClient) -> str:
    """Return `alive` where the bridge answers there, else what happened instead, in words."""
    try:
        answer = http.request("GET", url, deadline_s=_ANSWER_WITHIN_S)
    except (httpx.HTTPError, httpx.InvalidURL) as error:
        return f"does not answer, got {type(error).__name__}"
    try:
        alive = answer.status_code == 200 and answer.json() == {"alive": True}
    except ValueError:
        alive = False
    return "alive" if alive else f"answers, but not as the bridge does, got {answer.status_code} at {_ALIVE}"


_LOOK_EVERY_S = 0.25
_QUIET_S = 1.5
"""So long nothing new must come before the events of the charge are taken for complete."""
_DEAL_EVERY_S = 2.0
_DEAL_AT_LEAST_S = 6.0
"""Clint works on what it took for a while; so long it is asked even where the time is over."""


class TestChargeListener(Protocol):
    """Whoever is told what happens to a test charge."""

    def step(self, code: str, /, **values: object) -> None:
        """Hear of one step, such as `charge_made`; STEPS says with which values."""
        ...

    def waiting(self, for_events: Sequence[str]) -> AbstractContextManager[None]:
        """Show that these events are being waited for."""
        ...

    def news(self, seen: Sequence[Seen], now_ms: int) -> bool:
        """Hear what became of the events; return whether any of it was new."""
        ...

    def sees_deal(self) -> bool:
        """Say that a person sees the deal in Clint, where nobody else can look."""
        ...

    def problem(self, cause: Problem) -> None:
        """Hear why it did not come through."""
        ...

    def verdict(self, *, proved: bool) -> None:
        """Hear how it ended."""
        ...


STEPS = {
    "customer_made": ("asaas", "customer {customer} made, marked {mark}"),
    "charge_made": ("asaas", "charge {charge} made: {billing_type}, R$ {value:.2f}"),
    "plan_made": ("asaas", "charge {charge} made: {billing_type}, R$ {value:.2f} in {installments} instalments"),
    "to_be_paid": ("asaas", "the bridge pays nothing in production: pay it at {url}"),
    "paid": ("asaas", "paid in the sandbox, status {status}"),
    "looking": ("clint", "looking for the deal of {email}"),
    "deal": ("clint", "deal {deal} stands: stage {stage}, status {status}"),
    "cannot_look": ("clint", "took it; CLINT_API_TOKEN is not set, so the bridge can't see the deal"),
    "look_yourself": ("clint", "look in Clint: the origin, Históricos, then the deal of {email}"),
    "conflict": (
        "bridge",
        "integration {integration} gets events that ask for the statuses {statuses} and sets one, so deals keep that "
        "one; see: bridge mappings checklist",
    ),
    "removed": ("asaas", "customer and what was open of the charge removed"),
    "kept": ("asaas", "Asaas keeps {kept}, which was paid"),
}
"""Every step with whom it is about and how it is said in English."""


class TestChargeRun:
    """One test charge on its way."""

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
        """Make customer and charge."""
        charge = self.trial.begin()
        order = self.trial.order
        self._show.step("customer_made", customer=charge.customer_id, mark=order.mark)
        made = {"charge": charge.payment_ids[0], "billing_type": order.billing_type, "value": Decimal(order.value)}
        if order.installments > 1:
            self._show.step("plan_made", **made, installments=order.installments)
        else:
            self._show.step("charge_made", **made)

    def follow(self, timeout_s: float) -> None:
        """Pay where that is the bridge's to do, wait for the events and their deliveries, then look for the deal."""
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
            self._blame("trial.not_delivered", "nothing was delivered to Clint", "see: bridge events list")
        else:
            self._find_deal(max(ends_s, time.monotonic() + _DEAL_AT_LEAST_S))
        self.conflicts = conflicts([item.mapping for item in self._runtime.mappings.current()], self.seen)
        for one in self.conflicts:
            self._show.step("conflict", integration=one["integration"], statuses=", ".join(one["statuses"]))
        for cause in self.causes:
            self._show.problem(cause)
        self._show.verdict(proved=self.proved)

    def _wait(self, ends_s: float) -> None:
        """Show what is new until everything came, the door refuses what is posted, or the time is over."""
        quiet_since_s = time.monotonic()
        while time.monotonic() < ends_s:
            try:
                self.seen = self.trial.check()
                refused = [] if self.seen else self._refused()
            except JournalError:
                refused = []  # busy for a moment; the next look tells
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
            self._blame(
                "trial.not_finished",
                f"{len(waiting)} event{'s' if len(waiting) > 1 else ''} came and did not get to the end in time",
                "see that a worker runs (bridge up, or bridge worker), and: bridge events show "
                + str(waiting[0].event["id"]),
            )
            return
        self.causes += self._refused()
        local = self._runtime.settings.local_url
        needed = self._expected.events
        # The bridge's own public address may be a private one, and nothing of a person is sent to it.
        with HttpClient(allow_private=True) as http:
            self.causes += why_no_event(Webhooks(self._client), self.trial.account, needed, self._hook_url, local, http)
        if not self.causes:
            came = f"only {', '.join(one.event['name'] for one in self.seen)} came" if self.seen else "no event came"
            self._blame(
                "trial.no_event",
                f"{came}, and webhook, address and token look fine from here",
                "the charge may not be paid yet, or Asaas is slow; its log is under Integrações, Logs de Webhooks",
            )

    def _find_deal(self, ends_s: float) -> None:
        clint = self._runtime.clint_api
        if clint is None:
            self._ask_person()
            return
        self._show.step("looking", email=self.trial.order.email)
        problem, found = "", Finding(NONE)
        while self.deal is None and time.monotonic() < ends_s:
            try:
                found, problem = self.trial.find_deal(clint, self._runtime.mappings.current()), ""
                if found.code == SEEN:
                    self.deal = found.deal
                if self.deal is not None:
                    self.stage = clint.stage(self.deal)
            except ClintApiFailed as error:
                problem = str(error.what)
                if error.hint:  # asking again would not help
                    self._blame(error.code, problem, str(error.hint))
                    return
            if self.deal is None:
                self._sleep(_DEAL_EVERY_S)
        if self.deal is not None:
            self.proved = True
            self._show.step("deal", deal=self.deal.id, stage=self.stage or "not said", status=self.deal.status)
        elif problem:
            self._blame(ClintApiFailed.code, problem, "try again later; whether the deal stands is not known")
        elif (said := explain(found.code)) is not None:
            self._blame(found.code, said.means, said.todo)

    def _ask_person(self) -> None:
        """Without the Clint API only a person can see the deal."""
        self._show.step("cannot_look")
        self._show.step("look_yourself", email=self.trial.order.email)
        self.proved = self._show.sees_deal()
        if not self.proved:
            self._blame(
                "trial.deal_not_looked_at",
                "Clint answered that it took it, which does not say that a deal stands",
                "look in Clint's Históricos, or set CLINT_API_TOKEN",
            )

    def _blame(self, code: str, what: str, mend: str) -> None:
        self.causes.append(Problem(code, what, mend))

    def remove(self) -> None:
        """Remove what was made at Asaas."""
        self.kept = self.trial.remove()
        self._show.step("removed")
        if self.kept:
            self._show.step("kept", kept=", ".join(self.kept))
