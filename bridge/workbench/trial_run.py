"""Runs a test charge from the charge to the proof, and tells a witness each step as it happens.

It only looks: at the journal, at Asaas and at Clint. Whatever stops it, what was found until then is in its attributes.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager
from decimal import Decimal
from typing import Protocol

from bridge.asaas.client import AsaasClient
from bridge.asaas.webhooks import Webhooks
from bridge.clint.api import Deal
from bridge.delivery.dead_letter import explain
from bridge.errors import ClintApiFailed, JournalError
from bridge.http import HttpClient
from bridge.recovery.diagnosis import Cause, refused_at_door, why_no_event
from bridge.recovery.proof import NONE, SEEN, Finding
from bridge.recovery.trial import Expected, Seen, Trial, delivered, has_come
from bridge.runtime import Runtime

_LOOK_EVERY_S = 0.25
_QUIET_S = 1.5
"""So long nothing new must come before the events of the charge are taken for complete."""
_DEAL_EVERY_S = 2.0
_DEAL_AT_LEAST_S = 6.0
"""Clint works on what it took for a while; so long it is asked even where the time is over."""


class Witness(Protocol):
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

    def problem(self, cause: Cause) -> None:
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
    "removed": ("asaas", "customer and what was open of the charge removed"),
    "kept": ("asaas", "Asaas keeps {kept}, which was paid"),
}
"""Every step with whom it is about and how it is said in English."""


class Run:
    """One test charge on its way."""

    def __init__(
        self,
        trial: Trial,
        expected: Expected,
        runtime: Runtime,
        client: AsaasClient,
        hook_url: str | None,
        *,
        real: bool,
        witness: Witness,
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
        self.causes: list[Cause] = []
        self.deal: Deal | None = None
        self.stage = ""
        self.paid = ""
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
            self._say_why_not_come()
        elif not delivered(self.seen):
            self._blame("trial.not_delivered", "nothing was delivered to Clint", "see: bridge events list")
        else:
            self._find_deal(max(ends_s, time.monotonic() + _DEAL_AT_LEAST_S))
        for cause in self.causes:
            self._show.problem(cause)
        self._show.verdict(proved=self.proved)

    def _wait(self, ends_s: float) -> None:
        """Show what is new until everything came, the door refuses what is posted, or the time is over."""
        quiet_since_s = time.monotonic()
        while time.monotonic() < ends_s:
            try:
                self.seen = self.trial.look()
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

    def _refused(self) -> list[Cause]:
        return refused_at_door(self._runtime.journal, self.trial.account, self.trial.began_ms)

    def _say_why_not_come(self) -> None:
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
                if error.mend:  # asking again would not help
                    self._blame(error.code, problem, error.mend)
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
        self.causes.append(Cause(code, what, mend))

    def remove(self) -> None:
        """Remove what was made at Asaas."""
        self.kept = self.trial.remove()
        self._show.step("removed")
        if self.kept:
            self._show.step("kept", kept=", ".join(self.kept))
