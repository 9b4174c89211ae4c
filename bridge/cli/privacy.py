"""`bridge forget` and `bridge export`: a person's data in the journal, erased or given out (LGPD)."""

from __future__ import annotations

import re
from collections.abc import Sequence
from contextlib import closing
from dataclasses import asdict
from typing import Any

import click
from sqlalchemy import Connection

from bridge.cli.main import Invocation
from bridge.cli.options import check_can_ask, confirm, stacked
from bridge.cli.output import json_option, show_json
from bridge.errors import NotFound, UsageError
from bridge.journal import customers, deals, privacy, search
from bridge.journal.clock import system_clock_ms
from bridge.journal.privacy import Person, PersonCounts
from bridge.messages import N_, _, ngettext
from bridge.runtime import Runtime

_FORMS = {
    "email": (search.Kind.EMAIL, re.compile(r"[^@\s]+@[^@\s]+"), N_("--{option} must be a whole address with @")),
    "cpf": (search.Kind.DOCUMENT, re.compile(r"\d{11}|[\da-z]{12}\d{2}"), N_("--{option} must be a whole CPF or CNPJ")),
    "phone": (search.Kind.PHONE, re.compile(r"\d{8,13}"), N_("--{option} must be a whole number with its area code")),
}


_who = stacked(
    click.option("--customer", metavar="ID", help="The customer of this Asaas id (cus_...)."),
    click.option("--email", metavar="ADDRESS", help="Whose own e-mail this is, as the Asaas API said."),
    click.option("--cpf", metavar="NUMBER", help="Whose own CPF or CNPJ this is, as the Asaas API said."),
    click.option("--phone", metavar="NUMBER", help="Whose own phone this is, as the Asaas API said."),
    click.option("--account", metavar="NAME", help="The person in this account."),
    click.option("--all-accounts", is_flag=True, help="The person in every account."),
)


@click.command(short_help="Erase a person from the journal.")
@_who
@click.option("--also-open", is_flag=True, help="Discard the person's events and deliveries that wait, too.")
@click.option("--dry-run", is_flag=True, help="Only say what would be erased.")
@click.option("--yes", is_flag=True, help="Do not ask first.")
@json_option
@click.pass_obj
def forget(invocation: Invocation, /, also_open: bool, dry_run: bool, yes: bool, as_json: bool, **who: Any) -> None:
    """Erase a person from events, deliveries, attempts, search and caches; rows without anybody in them stay.

    The console's jobs are erased all at once, whoever is in them: they can be started again.

    It can't be undone. Erase the person at Asaas and Clint first: the bridge keeps what Asaas sends of the person
    afterwards. Backups hold the person until they are deleted.
    """
    if not dry_run:
        check_can_ask(yes=yes)
    journal = invocation.journal
    with journal.database.read() as connection:
        found = _found(connection, who)
        held = privacy.count(connection, found)
    if not as_json:
        click.echo(_summary(found, held))
    if not dry_run:
        confirm(_("erase all of it? this can't be undone"), _("nothing was erased"), yes=yes)
        with closing(Runtime(invocation.settings)) as runtime:
            for account, subject in found:
                runtime.enricher.forget(account, {"customer": subject})
        with journal.database.write() as connection:
            privacy.erase(connection, found, invocation.actor, system_clock_ms(), also_open=also_open)
        if not journal.database.clear_log():
            click.echo(_("a reader uses the write-ahead log, which keeps older versions until it is done"), err=True)
    if as_json:
        show_json({"customers": len(found), "erased": not dry_run, **asdict(held)})
    elif not dry_run:
        click.echo(_("erased"))


def _summary(found: Sequence[Person], held: PersonCounts) -> str:
    parts = (
        ngettext("{n} event", "{n} events", held.events),
        ngettext("{n} delivery", "{n} deliveries", held.deliveries),
        ngettext("{n} attempt", "{n} attempts", held.attempts),
        ngettext("{n} search term", "{n} search terms", held.search_terms),
        ngettext("{n} console job", "{n} console jobs", held.console_jobs),
    )
    customers = ngettext("{n} customer", "{n} customers", len(found))
    events = ngettext("{n} event is not processed", "{n} events are not processed", len(held.waiting))
    deliveries = ngettext("{n} delivery is due", "{n} deliveries are due", len(held.owed))
    return f"{customers} ({_named(found)}): {', '.join(parts)}; {events}, {deliveries}"


@click.command(short_help="Print all that the journal holds of a person.")
@_who
@click.pass_obj
def export(invocation: Invocation, /, **who: Any) -> None:
    """Print all that the journal holds of a person as JSON, for a request under the LGPD."""
    with invocation.journal.database.read() as connection:
        found = _found(connection, who)
        known = customers.load(connection, found)
        data = {
            "customers": [
                {
                    "account": person[0],
                    "customer": person[1],
                    "person": asdict(known[person]) if person in known else None,
                }
                for person in found
            ],
            "events": list(privacy.export(connection, found)),
            "deals": deals.deals_of(connection, found),
            "search_terms": privacy.count(connection, found).search_terms,
            "console_jobs": list(privacy.jobs_of(connection, found)),
        }
    show_json(data)


def _found(connection: Connection, who: dict[str, Any]) -> list[Person]:
    account, all_accounts = who.pop("account"), who.pop("all_accounts")
    given = {name: value.strip() for name, value in who.items() if value and value.strip()}
    if len(given) != 1:
        raise UsageError(N_("name the person in one way: --customer, --email, --cpf or --phone"))
    if account and all_accounts:
        raise UsageError(N_("--account and --all-accounts exclude each other"))
    ((how, value),) = given.items()
    if how == "customer":
        found = privacy.find(connection, value)
    else:
        kind, pattern, rule = _FORMS[how]
        if not pattern.fullmatch(value if how == "email" else search.digits(value)):
            raise UsageError(rule, option=how)
        found = privacy.find_by(connection, kind, value)
    found = [person for person in found if account in {None, person[0]}]
    if not found:
        hint = N_("e-mail, CPF and phone are known where the Asaas API was asked for the customer; try --customer")
        raise NotFound(N_("the journal has no such person"), hint=hint)
    if len(found) > (len({one for one, _subject in found}) if all_accounts else 1):
        what = N_("{number} customers fit: {customers}")
        hint = N_("name one by --customer and --account; --all-accounts is for one person in several accounts")
        raise UsageError(what, number=len(found), customers=_named(found), hint=hint)
    return found


def _named(found: Sequence[Person]) -> str:
    return ", ".join(f"{subject} ({account})" for account, subject in found[:20]) + (", ..." if found[20:] else "")
