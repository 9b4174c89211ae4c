"""`bridge forget` and `bridge export`: what a person may ask for (LGPD), answered from the journal."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import asdict
from typing import TYPE_CHECKING, Any, TypeVar

import click

from bridge.cli.choice import agreed, check_can_ask
from bridge.cli.output import count, json_option, show_json
from bridge.cli.root import NO, Invocation
from bridge.errors import NotFound, UsageError

if TYPE_CHECKING:
    from sqlalchemy import Connection

    from bridge.journal.people import Person

Command = TypeVar("Command", bound=Callable[..., object])


def _who(command: Command) -> Command:
    for option in (
        click.option("--phone", metavar="NUMBER", help="Whoever has this phone, as the Asaas API said."),
        click.option("--cpf", metavar="NUMBER", help="Whoever has this CPF or CNPJ, as the Asaas API said."),
        click.option("--email", metavar="ADDRESS", help="Whoever has this e-mail, as the Asaas API said."),
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
def forget(
    context: click.Context, /, also_open: bool, dry_run: bool, yes: bool, as_json: bool, **who: str | None
) -> None:
    """Erase a person from events, deliveries, attempts, search and caches; rows without anybody in them stay.

    It can't be undone. What Asaas and Clint hold is theirs to erase, and what Asaas sends of the person afterwards is
    kept again: erase there first. Backups hold the person until they are gone.
    """
    from bridge.journal import people
    from bridge.journal.rekey import clear_log
    from bridge.runtime import Runtime, clock_ms

    invocation: Invocation = context.obj
    if not dry_run:
        check_can_ask(yes=yes)
    journal = invocation.journal
    with journal.database.read() as connection:
        found = _found(connection, who)
        held = people.held(connection, found)
    if not as_json:
        click.echo(
            f"{count(len(found), 'customer')}: {count(held.events, 'event')}, "
            f"{count(held.deliveries, 'delivery', 'deliveries')}, {count(held.attempts, 'attempt')}, "
            f"{count(held.search_terms, 'search term')}; {count(len(held.waiting), 'event')} wait and "
            f"{count(len(held.owed), 'delivery', 'deliveries')} are still owed"
        )
    if not dry_run:
        if not agreed("erase all of it? this can't be undone", yes=yes):
            click.echo("nothing was erased", err=True)
            context.exit(NO)
        with journal.database.write() as connection:
            people.forget(connection, found, invocation.actor, clock_ms(), also_open=also_open)
        clear_log(journal.database)
        runtime = Runtime(invocation.settings)
        for account, subject in found:
            runtime.enricher.forget(account, {"customer": subject})
        runtime.close()
    if as_json:
        show_json({"customers": len(found), "erased": not dry_run, **asdict(held)})
    elif not dry_run:
        click.echo("erased")


@click.command(short_help="Print all that the journal holds of a person.")
@_who
@click.pass_obj
def export(invocation: Invocation, /, **who: str | None) -> None:
    """Print all that the journal holds of a person as JSON, for a request under the LGPD."""
    from bridge.journal import people

    with invocation.journal.database.read() as connection:
        found = _found(connection, who)
        events = list(people.everything_of(connection, found))
        terms = people.held(connection, found).search_terms
    show_json(
        {
            "customers": [{"account": account, "customer": subject} for account, subject in found],
            "events": events,
            "search_terms": terms,
        }
    )


def _found(connection: Connection, who: dict[str, Any]) -> list[Person]:
    from bridge.journal import people

    given = {name: value for name, value in who.items() if value}
    if len(given) != 1:
        raise UsageError("name the person in one way: --customer, --email, --cpf or --phone")
    customer = given.pop("customer", None)
    found = people.find(connection, customer=customer, text=next(iter(given.values()), None))
    if not found:
        raise NotFound(
            "the journal knows nobody by that",
            mend="an e-mail, CPF or phone is known where the Asaas API was asked for the customer; try --customer",
        )
    return found
