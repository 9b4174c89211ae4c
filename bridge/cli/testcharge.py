"""`bridge test-charge`: a charge that proves the whole way, from Asaas through the bridge to a deal in Clint.

Exit status 0 means proof: a deal that the Clint API shows, or that a person says they see. A charge in production is
made only after a person typed a confirmation, and the bridge never pays it.
"""

from __future__ import annotations

import sys
from datetime import datetime, timedelta
from decimal import Decimal
from typing import Any

import click

from bridge.asaas.charges import BILLING_TYPES, BILLING_WORDS, MOST_INSTALLMENTS, ChargeRequest, Split
from bridge.cli.events import event_data
from bridge.cli.life import run_life
from bridge.cli.main import NO, Invocation
from bridge.cli.options import asaas_account_option, opened_runtime
from bridge.cli.output import LiveLog, json_option, plain, show_json
from bridge.errors import BridgeError, UsageError
from bridge.formats import Formats
from bridge.mapping.catalogue import status_words
from bridge.mapping.values import BRASILIA
from bridge.messages import N_, Message, _
from bridge.operations.accounts import key_called
from bridge.operations.proof import Verdict
from bridge.operations.testcharge import TestCharge, amount, contact_faults
from bridge.reasons import deal_status

TIMEOUT_S = 90.0
TIMEOUT_PERSON_S = 900.0
"""In production, where a person finds the page and pays."""


def _money(_context: click.Context, parameter: click.Parameter, text: str) -> Decimal:
    value = amount(text)
    if isinstance(value, Message):
        raise click.BadParameter(value.text(), param=parameter)
    return value


def _splits(_context: click.Context, parameter: click.Parameter, texts: tuple[str, ...]) -> tuple[Split, ...]:
    try:
        return tuple(Split.parse(text) for text in texts)
    except ValueError as error:
        text = _("{problem}, got {texts}", problem=error, texts=", ".join(map(repr, texts)))
        raise click.BadParameter(text, param=parameter) from None


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
@click.option(
    "--scenario",
    type=click.Choice(["payment", "life"]),
    default="payment",
    show_default=True,
    help="One payment, or a whole life in the sandbox: each step on a charge of its own, all removed at the end.",
)
@click.option("--email", help="E-mail of the test customer; otherwise a new one of example.com.")
@click.option("--phone", default="", help="Mobile phone of the test customer; otherwise none.")
@click.option(
    "--timeout",
    "timeout_s",
    type=click.FloatRange(1, 86_400),
    metavar="SECONDS",
    help=f"How long to wait for a deal; otherwise {TIMEOUT_S:g}, or {TIMEOUT_PERSON_S:g} where a person pays.",
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
    scenario: str,
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

    With --scenario life charges are created, become overdue, are paid, refunded in part and in whole, removed, made in
    instalments and, with --split, split. A table shows what each mapping was expected to do and what was seen. Ends
    with 0 only if every step that the sandbox can do is proved.
    """
    invocation: Invocation = context.obj
    for name, fault in contact_faults(email or "", phone).items():
        raise UsageError("--{option} {fault}", option=name, fault=fault)
    invocation.journal.check()
    order = ChargeRequest(
        billing_type=billing_type,
        value=value,
        due=(datetime.now(BRASILIA) + timedelta(days=3)).date().isoformat(),
        installments=installments,
        splits=splits,
        email=email or "",
        phone=phone,
    )
    if scenario == "life":
        if email or phone or production:
            raise UsageError(N_("--email, --phone and --production are not for --scenario life"))
        with opened_runtime(invocation.settings) as runtime:
            if not run_life(runtime, account, order, timeout_s or TIMEOUT_S, as_json=as_json):
                context.exit(NO)
        return
    with opened_runtime(invocation.settings) as runtime:
        printer = RunPrinter(payloads=True, quiet=as_json)
        run = TestCharge(runtime, account, order, printer)
        _permit(account, key_called(runtime, account), value, real=run.real, production=production)
        run.begin()
        try:
            run.follow(timeout_s or (TIMEOUT_PERSON_S if run.real else TIMEOUT_S))
            printer.verdict(run)
        finally:
            if cleanup:
                try:
                    run.remove()
                except BridgeError as error:  # the proof stays as it is
                    click.echo(_("not everything was removed at Asaas: {problem}", problem=error.message()), err=True)
        if as_json:
            show_json(run_data(run, runtime.clock_ms()))
    if not run.proved:
        context.exit(NO)


def _permit(account: str, key: str | Message, value: Decimal, *, real: bool, production: bool) -> None:
    """Raise UsageError unless the account is a sandbox, or a person confirms a charge in production."""
    if real and not production:
        raise UsageError(
            N_("{key} belongs to production, where a charge is a real one"),
            key=key,
            hint=N_("use a key of the sandbox ($aact_hmlg_), or add --production if you mean it"),
        )
    if production and not real:
        raise UsageError(N_("{key} belongs to the sandbox"), key=key, hint=N_("leave --production out"))
    if not real:
        return
    if not sys.stdin.isatty():
        raise UsageError(N_("a charge in production is confirmed by typing, and there is no terminal to type on"))
    shown = Formats(0).amount(value)
    words = _("charge {value}", value=shown)
    question = _(
        "this makes a real charge of R$ {value} in account {account}, which only you can pay; type '{words}' to go on",
        value=shown,
        account=account,
        words=words,
    )
    typed: str = click.prompt(question, default="", show_default=False, err=True)
    if typed.strip() != words:
        raise click.Abort


ONE_INTEGRATION = N_(
    "all goes to one integration of Clint, so deals keep its stage and status; for deals that move through the funnel "
    "make an integration for each stage (see: bridge mappings checklist)"
)
_STEPS = {
    "customer_made": ("asaas", N_("test customer made: {mark} ({customer})")),
    "charge_made": ("asaas", N_("charge made: {billing_type}, R$ {value} ({charge})")),
    "plan_made": ("asaas", N_("charge made: {billing_type}, R$ {value} in {installments} instalments ({charge})")),
    "to_be_paid": ("asaas", N_("the bridge pays nothing in production: pay it at {url}")),
    "paid": ("asaas", N_("paid in the sandbox, status {status}")),
    "looking": ("clint", N_("looking for the deal of {email}")),
    "deal": ("clint", N_("deal {deal} found: stage {stage}, status {status}")),
    "cannot_look": ("clint", N_("accepted it; no token of Clint's API is set, so the bridge can't see the deal")),
    "look_yourself": ("clint", N_("look in Clint: the origin, Históricos, then the deal of {email}")),
    "conflict": (
        "bridge",
        N_(
            "integration {integration} gets events that ask for the statuses {statuses} and sets one, so deals keep "
            "that one; see: bridge mappings checklist"
        ),
    ),
    "one_integration": ("bridge", ONE_INTEGRATION),
    "unplaced": (
        "bridge",
        N_(
            "no mapping sets a stage or status ({mappings}), so a paid charge's deal is not moved; "
            "see: bridge mappings explain"
        ),
    ),
    "removed": ("asaas", N_("customer and open part of the charge removed")),
    "kept": ("asaas", N_("Asaas keeps {kept}, which was paid")),
}
"""The subject of each step and its text, a message id."""


_VERDICTS = {
    Verdict.PROVED: N_("proved: the charge became a deal"),
    Verdict.NOT_CONFIRMED: N_("not confirmed: whether the charge became a deal is not known"),
    Verdict.CONTRADICTED: N_("contradicted: the deal is not as it was sent"),
}


class RunPrinter(LiveLog):
    """Prints the steps of a test charge and what becomes of its events."""

    def step(self, code: str, /, **values: object) -> None:
        kind, text = _STEPS[code]
        if "value" in values:
            values["value"] = Formats(0).amount(values["value"])
        if "billing_type" in values:
            values["billing_type"] = Message(BILLING_WORDS[str(values["billing_type"])])
        if "status" in values:
            status = str(values["status"])
            values["status"] = deal_status(status) if code == "deal" else status_words(status)
        more = _(", or end with Ctrl-C") if code == "to_be_paid" else ""
        self.print(
            kind, _(text, **values) + more, {"deal": "green", "conflict": "yellow", "unplaced": "yellow"}.get(code, "")
        )

    def sees_deal(self) -> bool:
        """Ask the person at the terminal, where there is one."""
        if self.out.quiet or not sys.stdin.isatty():
            return False
        return click.confirm(_("is the deal in Clint?"), default=False, err=True)

    def verdict(self, run: TestCharge) -> None:
        """Print the verdict, with the reason of one that is not proved and what fixes it."""
        for problem in run.causes:
            self.print("bridge", f"{plain(problem.what)}; {plain(problem.mend)}", "yellow")
        text = _(_VERDICTS[run.verdict])
        if run.failed and run.delivered:
            failed, total = len(run.failed), len(run.failed) + run.delivered
            text = _("not proved: {failed} of {total} deliveries did not reach Clint", failed=failed, total=total)
        self.print("bridge", text, "bold green" if run.proved else "bold red")


def run_data(run: TestCharge, now_ms: int) -> dict[str, Any]:
    """Return a test charge for `--json`."""
    charge, order = run.charge, run.order
    return {
        "proved": run.proved,
        "verdict": run.verdict,
        "finding": run.finding.code if run.finding else None,
        "differences": [one._asdict() for one in run.finding.differences] if run.finding else [],
        "account": run.account,
        "environment": "production" if run.real else "sandbox",
        "mark": order.mark,
        "email": order.email,
        "customer": charge.customer_id,
        "payments": list(charge.payment_ids),
        "installment": charge.installment_id or None,
        "paid": run.paid or None,
        "events": [event_data(one.event, one.deliveries, now_ms) for one in run.seen],
        "deal": (
            {"id": run.deal.id, "stage": run.stage, "status": run.deal.status, "origin": run.deal.origin_id}
            if run.deal
            else None
        ),
        "conflicts": run.conflicts,
        "unplaced": list(run.unplaced),
        "problems": [{"code": one.code, "what": str(one.what), "mend": str(one.mend)} for one in run.causes],
        "removed": run.kept is not None,
        "kept": list(run.kept or ()),
    }
