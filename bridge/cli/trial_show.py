"""Says what happens to a test charge, a line each; on a terminal with colours and a sign that it still waits."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from datetime import datetime
from typing import Any

import click
from rich.text import Text

from bridge.cli.event_views import event_data
from bridge.cli.output import console, is_terminal, plain
from bridge.cli.wording import STYLES, delivery_said
from bridge.journal.reading import Row
from bridge.mapping.dates import BRASILIA
from bridge.model import DeliveryState, EventState
from bridge.recovery.diagnosis import Cause
from bridge.recovery.trial import Seen
from bridge.workbench.trial_run import STEPS, Run

_KIND_STYLES = {"asaas": "magenta", "clint": "bold green", "bridge": "yellow"}
_ON_ITS_WAY = frozenset({DeliveryState.PENDING, DeliveryState.SENDING})


class Show:
    """Prints lines, and remembers what was said already."""

    def __init__(self, *, quiet: bool) -> None:
        self._out = console()
        self._out.quiet = self._quiet = quiet
        self._told: set[tuple[object, ...]] = set()

    def say(self, kind: str, text: str, style: str = "") -> None:
        """Print one line of a kind: asaas, clint, bridge or an event's number."""
        time = datetime.now(BRASILIA).strftime("%H:%M:%S")
        head = ((time, "dim"), "  ", (f"{kind:<7}", _KIND_STYLES.get(kind, "cyan")), " ")
        self._out.print(Text.assemble(*head, (plain(text), style)), soft_wrap=True)

    @contextmanager
    def waiting(self, for_events: Sequence[str]) -> Iterator[None]:
        """Show on a terminal that these events are being waited for."""
        if not is_terminal() or self._out.quiet:
            yield
            return
        with self._out.status(f"waiting for {' or '.join(for_events)}"):
            yield

    def news(self, seen: Sequence[Seen], now_ms: int) -> bool:
        """Print what was not said yet of these events; return whether there was anything."""
        before = len(self._told)
        for event, deliveries in seen:
            kind = f"#{event['id']}"
            if self._is_new("event", event["id"]):
                self.say(kind, f"{event['name']} {event['object_id']}", "bold")
            if event["hold_code"] and self._is_new("held", event["id"], event["hold_code"]):
                self.say(kind, f"  held: {event['hold_reason']}", "yellow")
            if event["state"] == EventState.PROCESSED and not deliveries and self._is_new("unheard", event["id"]):
                self.say(kind, "  kept; no active mapping listens to this event", "dim")
            for delivery, attempts in deliveries:
                self._tell(kind, delivery, attempts, now_ms)
        return len(self._told) > before

    def _tell(self, kind: str, delivery: Row, attempts: list[Row], now_ms: int) -> None:
        state = DeliveryState(delivery["state"])
        if delivery["payload"] and self._is_new("payload", delivery["id"]):
            self.say(kind, f"  {delivery['mapping']} sends to {delivery['destination']}:")
            for key, value in json.loads(delivery["payload"]).items():
                self.say(kind, f"    {key}: {value}", "dim")
        told = (delivery["id"], state, delivery["attempts"], delivery["waiting"])
        if state not in _ON_ITS_WAY and self._is_new("delivery", *told):
            said = delivery_said(delivery, attempts, now_ms)
            self.say(kind, f"  {delivery['mapping']}: {said}", STYLES[state])

    def _is_new(self, *what: object) -> bool:
        if what in self._told:
            return False
        self._told.add(what)
        return True

    def step(self, code: str, /, **values: object) -> None:
        """Print one step of the charge."""
        kind, text = STEPS[code]
        more = ", or end with Ctrl-C" if code == "to_be_paid" else ""
        self.say(kind, text.format(**values) + more, "green" if code == "deal" else "")

    def sees_deal(self) -> bool:
        """Ask the person at the terminal, where there is one."""
        if self._quiet or not sys.stdin.isatty():
            return False
        return click.confirm("does the deal stand in Clint?", default=False, err=True)

    def problem(self, cause: Cause) -> None:
        """Print why it did not come through and what mends it."""
        self.say("bridge", f"{cause.what}; {cause.mend}", "yellow")

    def verdict(self, *, proved: bool) -> None:
        """Print how it ended."""
        if proved:
            self.say("bridge", "proved: the charge became a deal", "bold green")
        else:
            self.say("bridge", "not proved", "bold red")


def run_data(run: Run, now_ms: int) -> dict[str, Any]:
    """Return all that was found of a test charge, for JSON."""
    charge, order = run.trial.charge, run.trial.order
    return {
        "proved": run.proved,
        "account": run.trial.account,
        "environment": "production" if run.real else "sandbox",
        "mark": order.mark,
        "email": order.email,
        "customer": run.trial.customer_id,
        "payments": list(charge.payment_ids) if charge else [],
        "installment": (charge.installment_id if charge else "") or None,
        "paid": run.paid or None,
        "events": [event_data(one.event, one.deliveries, now_ms) for one in run.seen],
        "deal": (
            {"id": run.deal.id, "stage": run.stage, "status": run.deal.status, "origin": run.deal.origin_id}
            if run.deal
            else None
        ),
        "problems": [cause._asdict() for cause in run.causes],
        "removed": run.kept is not None,
        "kept": list(run.kept or ()),
    }
