"""`bridge clint check` compares a Clint account with destinations and mappings, and can try writes."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING

import click

from bridge.cli.doctor import show_check
from bridge.cli.main import NO, Invocation
from bridge.cli.options import check_can_ask, confirm, opened_runtime
from bridge.cli.output import json_option, show_json
from bridge.errors import UsageError
from bridge.mapping.values import facts_data
from bridge.messages import N_, _, current_language, in_language

if TYPE_CHECKING:
    from bridge.operations.doctor import Check


@click.group()
def clint() -> None:
    """Look at what a Clint account has, by its API."""


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
        if try_writes and runtime.clint_api and runtime.clint_directory and made[0].state is State.FINE:
            origin_id, key_field = place_of_test(runtime, lambda: invocation.journal, origin or "")
            question = _(
                "make a contact and a deal in the origin {origin} of Clint and remove both? automations of that "
                "origin may act on them",
                origin=runtime.clint_directory.origin(origin_id).name,
            )
            confirm(question, _("nothing was written"), yes=yes)
            appears_s = invocation.settings.clint_deal_appears_s
            show(tried(runtime.clint_api, origin_id, key_field, appears_s))
    if as_json:
        show_json([{**check_data(one), "facts": facts_data(one.value.facts)} for one in made])
    if any(one.state is not State.FINE for one in made):
        context.exit(NO)
