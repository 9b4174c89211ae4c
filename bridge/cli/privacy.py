"""`bridge forget` and `bridge export`: what a person may ask for (LGPD), answered from the journal."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from dataclasses import asdict
from typing import TYPE_CHECKING, Any, TypeVar

import click

from bridge.cli.main import NO, Invocation
from bridge.cli.options import agreed, check_can_ask
from bridge.cli.output import count, json_option, show_json
from bridge.errors import NotFound, UsageError

if TYPE_CHECKING:
    from sqlalchemy import Connection

    from bridge.journal.privacy import Person


_FORMS = {
    "email": (re.compile(r"[^@\s]+@[^@\s]+"), "a whole address with @"),
    "cpf": (re.compile(r"\d{11}|[\da-z]{12}\d{2}"), "a whole CPF or CNPJ"),
    "phone": (re.compile(r"\d{8,13}"), "a whole number with its area code"),
}
_MOST = 20
"""Customers that are listed where more than one is meant."""

Command = TypeVar("Command", bound=Callable[..., object])


def _who(command: Command) -> Command:
    for option in (
        click.option("--all-accounts", is_flag=True, help="The person in every account that has them."),
        click.option("--account", metavar="NAME", help="The person in this account."),
        click.option("--phone", metavar="NUMBER", help="Whose own phone this is, as the Asaas API said."),
        click.option("--cpf", metavar="NUMBER", help="Whose own CPF or CNPJ this is, as the Asaas API said."),
        click.option("--email", metavar="ADDRESS", help="Whose own e-mail this is, as the Asaas API said."),
        click.option("--customer", metavar="ID", help="The customer of this Asaas id (cus_...)."),
    ):
        command = option(command)
    return command


@click.command(short_help="Erase a person from the journal.")
@_who
@click.option("--also-open", is_flag=True, help="Drop what waits or is still owed for the person, too.")
@click.option("--dry-run", is_flag=True, help="Only say what would be erased.")
@click.option("--yes", is_flag=True, help="Do not ask first.")
@json_option
@click.pass_context
def forget(context: click.Context, /, also_open: bool, dry_run: bool, yes: bool, as_json: bool, **who: Any) -> None:
    """Erase a person from events, deliveries, attempts, search and caches; rows without anybody in them stay.

    The jobs of the console go all at once, whoever is in them: they can be begun again.

    It can't be undone. What Asaas and Clint hold is theirs to erase, and what Asaas sends of the person afterwards is
    kept again: erase there first. Backups hold the person until they are gone.
    """
    from bridge.journal import privacy
    from bridge.journal.clock import system_clock_ms
    from bridge.runtime import Runtime

    invocation: Invocation = context.obj
    if not dry_run:
        check_can_ask(yes=yes)
    journal = invocation.journal
    with journal.database.read() as connection:
        found = _found(connection, who)
        held = privacy.count(connection, found)
    if not as_json:
        click.echo(
            f"{count(len(found), 'customer')} ({_named(found)}): {count(held.events, 'event')}, "
            f"{count(held.deliveries, 'delivery', 'deliveries')}, {count(held.attempts, 'attempt')}, "
            f"{count(held.search_terms, 'search term')}, {count(held.console_jobs, 'console job')}; "
            f"{count(len(held.waiting), 'event')} wait and "
            f"{count(len(held.owed), 'delivery', 'deliveries')} are still owed"
        )
    if not dry_run:
        if not agreed("erase all of it? this can't be undone", yes=yes):
            click.echo("nothing was erased", err=True)
            context.exit(NO)
        runtime = Runtime(invocation.settings)
        for account, subject in found:
            runtime.enricher.forget(account, {"customer": subject})
        runtime.close()
        with journal.database.write() as connection:
            privacy.erase(connection, found, invocation.actor, system_clock_ms(), also_open=also_open)
        if not journal.database.clear_log():
            click.echo("a reader holds the write-ahead log: older versions stand there until it is done", err=True)
    if as_json:
        show_json({"customers": len(found), "erased": not dry_run, **asdict(held)})
    elif not dry_run:
        click.echo("erased")


@click.command(short_help="Print all that the journal holds of a person.")
@_who
@click.pass_obj
def export(invocation: Invocation, /, **who: Any) -> None:
    """Print all that the journal holds of a person as JSON, for a request under the LGPD."""
    from bridge.journal import privacy

    with invocation.journal.database.read() as connection:
        found = _found(connection, who)
        events = list(privacy.export(connection, found))
        terms = privacy.count(connection, found).search_terms
        jobs = list(privacy.jobs_of(connection, found))
    show_json(
        {
            "customers": [{"account": account, "customer": subject} for account, subject in found],
            "events": events,
            "search_terms": terms,
            "console_jobs": jobs,
        }
    )


def _found(connection: Connection, who: dict[str, Any]) -> list[Person]:
    from bridge.journal import privacy, search

    account, all_accounts = who.pop("account"), who.pop("all_accounts")
    given = {name: value.strip() for name, value in who.items() if value and value.strip()}
    if len(given) != 1:
        raise UsageError("name the person in one way: --customer, --email, --cpf or --phone")
    if account and all_accounts:
        raise UsageError("--account and --all-accounts exclude each other")
    ((how, value),) = given.items()
    if how == "customer":
        found = privacy.find(connection, value)
    else:
        pattern, form = _FORMS[how]
        if not pattern.fullmatch(value if how == "email" else search.digits(value)):
            raise UsageError(f"--{how} must be {form}")
        kinds = {"email": search.Kind.EMAIL, "cpf": search.Kind.DOCUMENT, "phone": search.Kind.PHONE}
        found = privacy.find_by(connection, kinds[how], value)
    found = [person for person in found if account in {None, person[0]}]
    if not found:
        raise NotFound(
            "the journal knows nobody by that",
            hint="an e-mail, CPF or phone is known where the Asaas API was asked for the customer; try --customer",
        )
    accounts = {one for one, _ in found}
    if len(found) > (len(accounts) if all_accounts else 1):
        raise UsageError(
            f"{len(found)} customers are meant: {_named(found)}",
            hint="name one by --customer and --account; --all-accounts is for one person who is in several accounts",
        )
    return found


def _named(found: Sequence[Person]) -> str:
    more = f" and {len(found) - _MOST} more" if len(found) > _MOST else ""
    return ", ".join(f"{subject} of {account}" for account, subject in found[:_MOST]) + more
