"""`bridge clint`: the token of Clint's API, and what a Clint account has against destinations and mappings."""

from __future__ import annotations

from collections.abc import Iterable
from functools import partial
from typing import TYPE_CHECKING

import click

from bridge.cli.accounts import read_secret
from bridge.cli.doctor import show_check
from bridge.cli.main import NO, Invocation
from bridge.cli.options import check_can_ask, confirm, opened_runtime, remove_after_question
from bridge.cli.output import json_option, show_json
from bridge.errors import ClintApiFailed, ClintFault, UsageError
from bridge.journal.clock import system_clock_ms
from bridge.mapping.values import facts_data
from bridge.messages import N_, _, current_language, in_language, ngettext
from bridge.operations import accounts as operations

if TYPE_CHECKING:
    from bridge.operations.doctor import Check


@click.group()
def clint() -> None:
    """Give the bridge a token of Clint's API, and look at what the account has."""


@clint.command()
@click.option("--try-writes", is_flag=True, help="Also make a contact and a deal, see what Clint does, remove both.")
@click.option("--origin", help="Name or id of the origin of that deal; without it, that of the only API destination.")
@click.option("--yes", is_flag=True, help="Do not ask before the writes.")
@json_option
@click.pass_context
def check(context: click.Context, try_writes: bool, origin: str | None, yes: bool, as_json: bool) -> None:
    """Compare token, origins, stages, users, fields and deals of Clint with the destinations and mappings.

    Ends with 0 where nothing is to be done, with 1 where something is. It only reads, except with --try-writes: this
    finds out what only a real account can show, which is how soon Clint lists a new deal, whether an update keeps other
    fields, whether a deal's name renames its contact, and whether tags are taken.
    """
    from bridge.operations.clint import place_of_test, run_checks
    from bridge.operations.clint_writes import try_writes as tried
    from bridge.operations.doctor import State, check_data

    invocation: Invocation = context.obj
    if origin and not try_writes:
        raise UsageError(N_("--origin goes with --try-writes"))
    if try_writes:
        check_can_ask(yes=yes)
    made: list[Check] = []

    def show(found: Iterable[Check]) -> None:
        for one in found:
            made.append(one)
            if not as_json:
                show_check(one)

    with opened_runtime(invocation.settings) as runtime, in_language("en" if as_json else current_language()):
        show(run_checks(runtime, lambda: invocation.journal))
        account = runtime.clint_account()
        if try_writes and account and made[0].state is State.FINE:
            origin_id, key_field = place_of_test(runtime, lambda: invocation.journal, origin or "")
            question = _(
                "make a contact and a deal in the origin {origin} of Clint and remove both? automations of that "
                "origin may act on them",
                origin=account.directory.origin(origin_id).name,
            )
            confirm(question, _("nothing was written"), yes=yes)
            appears_s = invocation.settings.clint_deal_appears_s
            show(tried(account.api, origin_id, key_field, appears_s))
    if as_json:
        show_json([{**check_data(one), "facts": facts_data(one.value.facts)} for one in made])
    if any(one.state is not State.FINE for one in made):
        context.exit(NO)


@clint.command("set-token")
@click.pass_obj
def set_token(invocation: Invocation) -> None:
    """Keep a token of Clint's API in the journal, or another one.

    Asks for the token without showing it; where there is no terminal, the first line of standard input is the token. It
    is tried at Clint first and kept where Clint accepts it, encrypted with BRIDGE_ENCRYPTION_KEY; the running processes
    use it within seconds. Where CLINT_API_TOKEN is set, that one wins, and this command refuses.
    """
    from bridge.operations.clint import try_token

    token = read_secret(_("token of Clint's API (Elite plan)")).strip("'\"")
    operations.check_token(invocation.journal, invocation.settings, token)
    with opened_runtime(invocation.settings) as runtime:
        try:
            number = try_token(runtime, token)
            click.echo(ngettext("Clint accepts it; it has {n} origin", "Clint accepts it; it has {n} origins", number))
        except ClintApiFailed as error:
            if error.kind not in {ClintFault.BUSY, ClintFault.FAILED}:
                raise
            click.echo(_("the token is not tried: {error}", error=error.text()), err=True)
    is_first, freed = operations.put_token(
        invocation.journal, invocation.settings, invocation.actor, system_clock_ms(), token
    )
    done = _("the token is kept") if is_first else _("the token is changed")
    waited = ngettext("; {n} line waited for it", "; {n} lines waited for it", freed) if freed else ""
    click.echo(f"{done}{waited}")


@clint.command("remove-token")
@click.option("--yes", is_flag=True, help="Do not ask first.")
@click.pass_obj
def remove_token(invocation: Invocation, yes: bool) -> None:
    """Remove the token of Clint's API from the journal; deliveries to origins wait for another one."""
    check_can_ask(yes=yes)
    with invocation.journal.database.read() as connection:
        number = operations.waiting_for_token(connection, invocation.settings)
    question = _("remove the token of Clint's API? deliveries that will wait: {number}", number=number)
    remove = partial(operations.remove_token, invocation.journal, invocation.actor, system_clock_ms())
    remove_after_question(question, remove, _("the token is removed"), yes=yes)
