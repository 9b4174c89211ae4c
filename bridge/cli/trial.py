"""`bridge test-charge`: a charge that proves the whole way, from Asaas through the bridge to a deal in Clint.

Exit status 0 is proof, and nothing else is: a deal that the Clint API shows, or that a person says they see. A charge
of production is made only where a person typed that they mean it, and is never paid by the bridge.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import datetime, timedelta
from decimal import Decimal, InvalidOperation
from typing import TYPE_CHECKING

import click

from bridge.asaas.charges import BILLING_TYPES, MOST_INSTALLMENTS, Charges, Order, Split
from bridge.cli.asaas_account import account_option, opened_runtime
from bridge.cli.output import json_option, show_json
from bridge.cli.root import NO, Invocation
from bridge.errors import BridgeError, UsageError
from bridge.mapping.dates import BRASILIA
from bridge.settings import variable

if TYPE_CHECKING:
    from bridge.workbench.trial_run import Run

TIMEOUT_S = 90.0
TIMEOUT_PERSON_S = 900.0
"""A person has to find the page and pay."""
_DUE_IN_DAYS = 3


def _money(_context: click.Context, parameter: click.Parameter, text: str) -> Decimal:
    try:
        value = Decimal(text.replace(",", "."))
    except InvalidOperation:
        value = Decimal(0)
    if not value.is_finite() or not 0 < value < 1_000_000 or value != round(value, 2):
        raise click.BadParameter(f"must be an amount such as 10.00, got {text!r}", param=parameter)
    return value


def _splits(_context: click.Context, parameter: click.Parameter, texts: tuple[str, ...]) -> tuple[Split, ...]:
    try:
        return tuple(Split.parse(text) for text in texts)
    except ValueError as error:
        raise click.BadParameter(f"{error}, got {', '.join(map(repr, texts))}", param=parameter) from None


@click.command("test-charge", short_help="Prove the whole way with a test charge.")
@account_option
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
    from bridge.cli.trial_show import Show, run_data
    from bridge.recovery.trial import Trial, expected, new_mark
    from bridge.workbench.accounts import client_of, is_production, public_hook_url
    from bridge.workbench.trial_run import Run

    invocation: Invocation = context.obj
    journal = invocation.journal
    with opened_runtime(invocation.settings) as runtime:
        client = client_of(runtime, account)
        real = is_production(runtime, account)
        wanted = expected([item.mapping for item in runtime.mappings.current()], account, billing_type)
        hook_url = public_hook_url(invocation.settings, account, None)
        _permit(account, value, real=real, production=production)
        mark = new_mark()
        order = Order(
            mark=mark,
            billing_type=billing_type,
            value=value,
            due=(datetime.now(BRASILIA) + timedelta(days=_DUE_IN_DAYS)).date().isoformat(),
            installments=installments,
            splits=splits,
            email=email or f"{mark}@example.com",
            phone=phone,
        )
        trial = Trial(Charges(client), journal, account, order, runtime.clock_ms())
        run = Run(trial, wanted, runtime, client, hook_url, real=real, witness=Show(quiet=as_json))
        run.begin()
        with _removing(run, cleanup=cleanup):
            run.follow(timeout_s or (TIMEOUT_PERSON_S if real else TIMEOUT_S))
    if as_json:
        show_json(run_data(run, runtime.clock_ms()))
    if not run.proved:
        context.exit(NO)


@contextmanager
def _removing(run: Run, *, cleanup: bool) -> Iterator[None]:
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
                mend="use a key of the sandbox ($aact_hmlg_), or add --production if you mean it",
            )
        raise UsageError(f"{key} belongs to the sandbox", mend="leave --production out")
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
