"""Runs a test charge from the charge to the proof, and says each step as it happens.

It waits in the foreground and only looks: at the journal, at Asaas and at Clint. Whatever stops it, what was found
until then is in `data`.
"""

from __future__ import annotations

import sys
import time
from typing import Any

import click
import httpx

from bridge.asaas.client import AsaasClient
from bridge.asaas.webhooks import Webhooks
from bridge.cli.event_views import event_data
from bridge.cli.local import LOOPBACK
from bridge.cli.output import count
from bridge.cli.trial_show import Show
from bridge.clint.api import Deal
from bridge.errors import ClintApiFailed, JournalError
from bridge.recovery.diagnosis import Cause, refused_at_door, why_no_event
from bridge.recovery.read_back import CAUSES
from bridge.recovery.trial import Expected, Seen, Trial, delivered, has_come
from bridge.runtime import Runtime

_LOOK_EVERY_S = 0.25
_QUIET_S = 1.5
"""So long nothing new must come before the events of the charge are taken for complete."""
_DEAL_EVERY_S = 2.0
_DEAL_AT_LEAST_S = 6.0
"""Clint works on what it took for a while; so long it is asked even where the time is over."""


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
        quiet: bool,
    ) -> None:
        self._trial = trial
        self._expected = expected
        self._runtime = runtime
        self._client = client
        self._hook_url = hook_url
        self._real = real
        self._quiet = quiet
        self._show = Show(quiet=quiet)
        self._seen: list[Seen] = []
        self._causes: list[Cause] = []
        self._deal: Deal | None = None
        self._stage = ""
        self._paid = ""
        self._kept: tuple[str, ...] | None = None
        self.proved = False

    def begin(self) -> None:
        """Make customer and charge."""
        charge = self._trial.begin()
        order = self._trial.order
        parts = f" in {count(order.installments, 'instalment')}" if order.installments > 1 else ""
        self._show.say("asaas", f"customer {charge.customer_id} made, marked {order.mark}")
        self._show.say(
            "asaas", f"charge {charge.payment_ids[0]} made: {order.billing_type}, R$ {order.value:.2f}{parts}"
        )

    def follow(self, timeout_s: float) -> None:
        """Pay where that is the bridge's to do, wait for the events and their deliveries, then look for the deal."""
        ends_s = time.monotonic() + timeout_s
        if self._real:
            url = self._trial.charge.invoice_url if self._trial.charge else ""
            self._show.say("asaas", f"the bridge pays nothing in production: pay it at {url}, or end with Ctrl-C")
        else:
            self._paid = self._trial.pay()
            self._show.say("asaas", f"paid in the sandbox, status {self._paid}")
        with self._show.waiting(f"waiting for {' or '.join(self._expected.last)}"):
            self._wait(ends_s)
        if not has_come(self._seen, self._expected):
            self._say_why_not_come()
        elif not delivered(self._seen):
            self._blame("trial.not_delivered", "nothing was delivered to Clint", "see: bridge events list")
        else:
            self._find_deal(max(ends_s, time.monotonic() + _DEAL_AT_LEAST_S))
        for cause in self._causes:
            self._show.problem(cause)
        self._show.verdict(proved=self.proved)

    def _wait(self, ends_s: float) -> None:
        """Show what is new until everything came, the door refuses what is posted, or the time is over."""
        quiet_since_s = time.monotonic()
        while time.monotonic() < ends_s:
            try:
                self._seen = self._trial.look()
                refused = [] if self._seen else self._refused()
            except JournalError:
                refused = []  # busy for a moment; the next look tells
            now_s = time.monotonic()
            if self._show.news(self._seen, self._runtime.clock_ms()):
                quiet_since_s = now_s
            if has_come(self._seen, self._expected) and now_s - quiet_since_s >= _QUIET_S:
                return
            if refused:
                return
            time.sleep(_LOOK_EVERY_S)

    def _refused(self) -> list[Cause]:
        return refused_at_door(self._runtime.journal, self._trial.account, self._trial.began_ms)

    def _say_why_not_come(self) -> None:
        waiting = [one for one in self._seen if not one.settled]
        if waiting:
            self._blame(
                "trial.not_finished",
                f"{count(len(waiting), 'event')} came and did not get to the end in time",
                "see that a worker runs (bridge up, or bridge worker), and: bridge events show "
                + str(waiting[0].event["id"]),
            )
            return
        self._causes += self._refused()
        with httpx.Client(trust_env=False) as http:
            host = self._runtime.settings.bridge_host
            local = f"http://{LOOPBACK if host in {'0.0.0.0', '::'} else host}:{self._runtime.settings.port}"  # noqa: S104
            webhooks = Webhooks(self._client)
            needed = self._expected.events
            self._causes += why_no_event(webhooks, self._trial.account, needed, self._hook_url, local, http)
        if not self._causes:
            came = f"only {', '.join(one.event['name'] for one in self._seen)} came" if self._seen else "no event came"
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
        self._show.say("clint", f"looking for the deal of {self._trial.order.email}")
        problem = ""
        while self._deal is None and time.monotonic() < ends_s:
            try:
                self._deal, problem = self._trial.deal(clint), ""
                if self._deal is not None:
                    self._stage = clint.stage(self._deal)
            except ClintApiFailed as error:
                problem = str(error.what)
                if error.mend:  # asking again would not help
                    self._blame(error.code, problem, error.mend)
                    return
            if self._deal is None:
                time.sleep(_DEAL_EVERY_S)
        if self._deal is not None:
            self.proved = True
            self._show.deal(self._deal, self._stage)
        elif problem:
            self._blame(ClintApiFailed.code, problem, "try again later; whether the deal stands is not known")
        else:
            self._blame(
                "trial.deal_not_seen",
                "Clint took it, and shows no deal of the test customer",
                CAUSES,
            )

    def _ask_person(self) -> None:
        """Without the Clint API only a person can see the deal."""
        self._show.say("clint", "took it; CLINT_API_TOKEN is not set, so the bridge can't see the deal")
        self._show.say("clint", f"look in Clint: the origin, Históricos, then the deal of {self._trial.order.email}")
        if not self._quiet and sys.stdin.isatty():
            self.proved = click.confirm("does the deal stand in Clint?", default=False, err=True)
        if not self.proved:
            self._blame(
                "trial.deal_not_looked_at",
                "Clint answered that it took it, which does not say that a deal stands",
                "look in Clint's Históricos, or set CLINT_API_TOKEN",
            )

    def _blame(self, code: str, what: str, mend: str) -> None:
        self._causes.append(Cause(code, what, mend))

    def remove(self) -> None:
        """Remove what was made at Asaas."""
        self._kept = self._trial.remove()
        self._show.say("asaas", "customer and what was open of the charge removed")
        if self._kept:
            self._show.say("asaas", f"Asaas keeps {', '.join(self._kept)}, which was paid")

    def data(self) -> dict[str, Any]:
        """Return all that was found."""
        charge, order = self._trial.charge, self._trial.order
        return {
            "proved": self.proved,
            "account": self._trial.account,
            "environment": "production" if self._real else "sandbox",
            "mark": order.mark,
            "email": order.email,
            "customer": self._trial.customer_id,
            "payments": list(charge.payment_ids) if charge else [],
            "installment": (charge.installment_id if charge else "") or None,
            "paid": self._paid or None,
            "events": [event_data(one.event, one.deliveries, self._runtime.clock_ms()) for one in self._seen],
            "deal": (
                {"id": self._deal.id, "stage": self._stage, "status": self._deal.status, "origin": self._deal.origin_id}
                if self._deal
                else None
            ),
            "problems": [cause._asdict() for cause in self._causes],
            "removed": self._kept is not None,
            "kept": list(self._kept or ()),
        }
