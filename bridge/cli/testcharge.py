"""`bridge test-charge`: a charge that proves the whole way, from Asaas through the bridge to a deal in Clint.

Exit status 0 is proof, and nothing else is: a deal that the Clint API shows, or that a person says they see. A charge
of production is made only where a person typed that they mean it, and is never paid by the bridge.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from datetime import datetime, timedelta
from decimal import Decimal
from typing import TYPE_CHECKING, Any

import click
from rich.text import Text

from bridge.asaas.charges import BILLING_TYPES, MOST_INSTALLMENTS, ChargeRequest, Charges, Split
from bridge.cli.events import event_data
from bridge.cli.main import NO, Invocation
from bridge.cli.options import asaas_account_option, opened_runtime
from bridge.cli.output import console, is_terminal, json_option, plain, show_json
from bridge.cli.wording import STYLES, delivery_said
from bridge.errors import BridgeError, UsageError
from bridge.journal.queries import Row
from bridge.mapping.values import BRASILIA
from bridge.messages import _
from bridge.model import DeliveryState, EventState
from bridge.operations.testcharge import STEPS, Problem, Seen, TestChargeRun, amount, problem_data
from bridge.settings import variable

if TYPE_CHECKING:
    from bridge.operations.testcharge import TestChargeRun


TIMEOUT_S = 90.0
TIMEOUT_PERSON_S = 900.0
"""A person has to find the page and pay."""
_DUE_IN_DAYS = 3


def _money(_context: click.Context, parameter: click.Parameter, text: str) -> Decimal:
    value = amount(text)
    if value is None:
        raise click.BadParameter(f"must be an amount such as 10.00, got {text!r}", param=parameter)
    return value


def _splits(_context: click.Context, parameter: click.Parameter, texts: tuple[str, ...]) -> tuple[Split, ...]:
    try:
        return tuple(Split.parse(text) for text in texts)
    except ValueError as error:
        raise click.BadParameter(f"{error}, got {', '.join(map(repr, texts))}", param=parameter) from None


@click.command("test-charge", short_help="Prove the whole way with a test charge.")
@asaas_account_option
@click.option(
    "--billing-type",
    type=click.Choice(BILLING_TYPES, case_sensitive=False),
    default="PIX",
    show_default=True,
    help="How it is paid.",
)
@click.option("--value", callback=_money, default="10.00", show_default=True, help="What is charged, in reais.")
@click.option(
    "--installments",
    type=click.IntRange(1, MOST_INSTALLMENTS),
    default=1,
    show_default=True,
    help="Into how many instalments the value is divided; the first one is paid.",
)
@click.option(
    "--split",
    "splits",
    multiple=True,
    callback=_splits,
    metavar="WALLET:PART",
    help="A part for another wallet, such as WALLET:20% or WALLET:10.50; may be given several times.",
)
@click.option("--email", help="E-mail of the test customer; otherwise a new one of example.com.")
@click.option("--phone", default="", help="Mobile phone of the test customer; otherwise none.")
@click.option(
    "--timeout",
    "timeout_s",
    type=click.FloatRange(1, 86_400),
    metavar="SECONDS",
    help=f"How long to wait for the deal; otherwise {TIMEOUT_S:g}, or {TIMEOUT_PERSON_S:g} where a person pays.",
)
@click.option("--cleanup", is_flag=True, help="Remove charge and customer at the end; Asaas keeps what was paid.")
@click.option("--production", is_flag=True, help="Charge in production; asks you to type that you mean it.")
@json_option
@click.pass_context
def test_charge(
    context: click.Context,
    account: str,
    billing_type: str,
    value: Decimal,
    installments: int,
    splits: tuple[Split, ...],
    email: str | None,
    phone: str,
    timeout_s: float | None,
    cleanup: bool,
    production: bool,
    as_json: bool,
) -> None:
    """Make a charge, pay it in the sandbox, and follow it to the deal in Clint.

    Makes a customer that is marked as a test and that Asaas writes nothing to, charges it, and shows live which events
    come, what each mapping says, what is sent and what Clint answers; where no event comes, it finds out why. The
    bridge must be running. Ends with 0 only for proof: a deal that the Clint API shows (CLINT_API_TOKEN), or that you
    say you see in Clint.
    """
    from bridge.operations.accounts import client_of, is_production, public_hook_url
    from bridge.operations.testcharge import TestCharge, TestChargeRun, expected, new_mark

    invocation: Invocation = context.obj
    journal = invocation.journal
    with opened_runtime(invocation.settings) as runtime:
        client = client_of(runtime, account)
        real = is_production(runtime, account)
        wanted = expected([item.mapping for item in runtime.mappings.current()], account, billing_type)
        hook_url = public_hook_url(invocation.settings, account, None)
        _permit(account, value, real=real, production=production)
        mark = new_mark()
        order = ChargeRequest(
            mark=mark,
            billing_type=billing_type,
            value=value,
            due=(datetime.now(BRASILIA) + timedelta(days=_DUE_IN_DAYS)).date().isoformat(),
            installments=installments,
            splits=splits,
            email=email or f"{mark}@example.com",
            phone=phone,
        )
        trial = TestCharge(Charges(client), journal, account, order, runtime.clock_ms())
        run = TestChargeRun(trial, wanted, runtime, client, hook_url, real=real, witness=RunPrinter(quiet=as_json))
        run.begin()
        with _removing(run, cleanup=cleanup):
            run.follow(timeout_s or (TIMEOUT_PERSON_S if real else TIMEOUT_S))
    if as_json:
        show_json(run_data(run, runtime.clock_ms()))
    if not run.proved:
        context.exit(NO)


@contextmanager
def _removing(run: TestChargeRun, *, cleanup: bool) -> Iterator[None]:
    """Remove what was made when the block is left, also by Ctrl-C; where that fails, the proof stays what it is."""
    try:
        yield
    finally:
        if cleanup:
            try:
                run.remove()
            except BridgeError as error:
                click.echo(f"not everything was removed at Asaas: {error}", err=True)


def _permit(account: str, value: Decimal, *, real: bool, production: bool) -> None:
    """Raise UsageError unless the account is a sandbox, or a person types that a real charge is meant."""
    if real != production:
        key = variable("ASAAS_API_KEY", account)
        if real:
            raise UsageError(
                f"{key} belongs to production, where a charge is a real one",
                hint="use a key of the sandbox ($aact_hmlg_), or add --production if you mean it",
            )
        raise UsageError(f"{key} belongs to the sandbox", hint="leave --production out")
    if not real:
        return
    if not sys.stdin.isatty():
        raise UsageError("a charge in production is confirmed by typing, and there is no terminal to type on")
    words = f"charge {value:.2f}"
    typed: str = click.prompt(
        f"this makes a real charge of R$ {value:.2f} in account {account}, which only you can pay; "
        f"type '{words}' to go on",
        default="",
        show_default=False,
        err=True,
    )
    if typed.strip() != words:
        raise click.Abort


_KIND_STYLES = {"asaas": "magenta", "clint": "bold green", "bridge": "yellow"}
_ON_ITS_WAY = frozenset({DeliveryState.PENDING, DeliveryState.SENDING})


class RunPrinter:
    """Prints lines, and remembers what was said already."""

    def __init__(self, *, quiet: bool) -> None:
        self._out = console()
        self._out.quiet = self._quiet = quiet
        self._told: set[tuple[object, ...]] = set()

    def print(self, kind: str, text: str, style: str = "") -> None:
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
                self.print(kind, f"{event['name']} {event['object_id']}", "bold")
            if event["hold_code"] and self._is_new("held", event["id"], event["hold_code"]):
                self.print(kind, f"  held: {event['hold_reason']}", "yellow")
            if event["state"] == EventState.PROCESSED and not deliveries and self._is_new("unheard", event["id"]):
                self.print(kind, "  kept; no active mapping of its account listens to this event", "dim")
            for delivery, attempts in deliveries:
                self._print_delivery(kind, delivery, attempts, now_ms)
        return len(self._told) > before

    def _print_delivery(self, kind: str, delivery: Row, attempts: list[Row], now_ms: int) -> None:
        state = DeliveryState(delivery["state"])
        if delivery["payload"] and self._is_new("payload", delivery["id"]):
            self.print(kind, f"  {delivery['mapping']} sends to {delivery['destination']}:")
            for key, value in json.loads(delivery["payload"]).items():
                self.print(kind, f"    {key}: {value}", "dim")
        told = (delivery["id"], state, delivery["attempts"], delivery["waiting"])
        if state not in _ON_ITS_WAY and self._is_new("delivery", *told):
            said = delivery_said(delivery, attempts, now_ms)
            self.print(kind, f"  {delivery['mapping']}: {said}", STYLES[state])

    def _is_new(self, *what: object) -> bool:
        if what in self._told:
            return False
        self._told.add(what)
        return True

    def step(self, code: str, /, **values: object) -> None:
        """Print one step of the charge."""
        kind, text = STEPS[code]
        more = ", or end with Ctrl-C" if code == "to_be_paid" else ""
        self.print(kind, _(text, **values) + more, {"deal": "green", "conflict": "yellow"}.get(code, ""))

    def sees_deal(self) -> bool:
        """Ask the person at the terminal, where there is one."""
        if self._quiet or not sys.stdin.isatty():
            return False
        return click.confirm("does the deal stand in Clint?", default=False, err=True)

    def problem(self, cause: Problem) -> None:
        """Print why it did not come through and what mends it."""
        self.print("bridge", f"{cause.what.text()}; {cause.mend.text()}", "yellow")

    def verdict(self, *, proved: bool) -> None:
        """Print how it ended."""
        if proved:
            self.print("bridge", "proved: the charge became a deal", "bold green")
        else:
            self.print("bridge", "not proved", "bold red")


def run_data(run: TestChargeRun, now_ms: int) -> dict[str, Any]:
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
        "conflicts": run.conflicts,
        "problems": [problem_data(cause) for cause in run.causes],
        "removed": run.kept is not None,
        "kept": list(run.kept or ()),
    }
