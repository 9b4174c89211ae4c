"""`bridge accounts`: the Asaas accounts, and those that are kept in the journal instead of in the environment."""

from __future__ import annotations

import sys
from dataclasses import asdict
from typing import Any

import click

from bridge.cli.main import NO, Invocation
from bridge.cli.options import agreed, check_can_ask
from bridge.cli.output import count, json_option, moment, show_json, show_table
from bridge.errors import NotFound


@click.group()
def accounts() -> None:
    """List, add and remove Asaas accounts.

    Those of the environment are only listed; what is added here is kept in the journal, encrypted with
    BRIDGE_ENCRYPTION_KEY, and taken up by the running processes within seconds.
    """


@accounts.command("list")
@json_option
@click.pass_obj
def list_accounts(invocation: Invocation, as_json: bool) -> None:
    """List accounts with the path of their webhook; of a secret, only whether it is set."""
    from bridge.journal import accounts as kept

    with invocation.journal.database.read() as connection:
        found = kept.accounts(connection)
    environment = invocation.settings.accounts
    rows: list[dict[str, Any]] = []
    for name in sorted({*found, *environment}):
        one = environment[name] if name in environment else found[name]
        rows.append(
            {
                "name": name,
                "kept_in": "environment" if name in environment else "journal",
                "hidden": name in environment and name in found,
                "api_key": "set" if one.api_key else "unset",
                "webhook_token": "set" if one.webhook_token else "unset",
                "path": "/webhooks/asaas" if name == "default" else f"/webhooks/asaas/{name}",
                "changed_ms": None if name in environment else found[name].changed_ms,
            }
        )
    if as_json:
        show_json(rows)
        return
    show_table(
        ("name", "kept in", "API key", "token", "path of its webhook", "changed"),
        [(r["name"], r["kept_in"], r["api_key"], r["webhook_token"], r["path"], moment(r["changed_ms"])) for r in rows],
        empty="no account yet; see: bridge accounts add --help",
    )


@accounts.command("add")
@click.argument("name")
@click.option("--no-key", is_flag=True, help="The account has no API key: what only the API knows can't be sent.")
@json_option
@click.pass_obj
def add_account(invocation: Invocation, name: str, no_key: bool, as_json: bool) -> None:
    """Keep an account in the journal, or give the one of that name another key or token.

    Asks for the API key and the webhook token without showing them; where there is no terminal, the first line of
    standard input is the key and the second the token. Without a token one is made and shown once.
    """
    from bridge.journal.clock import system_clock_ms
    from bridge.operations.accounts import add_account

    api_key = "" if no_key else read_secret("API key (Asaas: Integrações, Chaves de API)")
    token = read_secret("webhook token (empty: keep the one that is there, or make one)")
    made = add_account(
        invocation.journal, invocation.settings, invocation.actor, system_clock_ms(), name, api_key=api_key, token=token
    )
    if as_json:
        show_json({"name": name, "path": made.path, "fresh": made.fresh, "token": made.token})
        return
    click.echo(f"account {name} is {'added' if made.fresh else 'changed'}; its webhook is {made.path}")
    if made.token:
        click.echo(f"its webhook token is shown only now; enter it in Asaas: Integrações, Webhooks\n\n{made.token}\n")
    click.echo(f"next: bridge webhook register --account {name}")


@accounts.command("remove")
@click.argument("name")
@click.option("--yes", is_flag=True, help="Do not ask first.")
@click.pass_context
def remove_account(context: click.Context, name: str, yes: bool) -> None:
    """Remove an account from the journal; its events and deliveries stay."""
    from bridge.journal.clock import system_clock_ms
    from bridge.operations.accounts import remove_account, waiting_events

    invocation: Invocation = context.obj
    check_can_ask(yes=yes)
    with invocation.journal.database.read() as connection:
        waiting = waiting_events(connection, name)
    question = (
        f"remove account {name}? what Asaas posts for it is refused from then on, so remove its webhook first: "
        f"bridge webhook remove --account {name}; {count(waiting, 'event')} of it wait to be processed"
    )
    if not agreed(question, yes=yes):
        click.echo("nothing was removed", err=True)
        context.exit(NO)
    remove_account(invocation.journal, invocation.actor, system_clock_ms(), name)
    click.echo(f"account {name} is removed")


def read_secret(what: str) -> str:
    """Return a secret that a person types unseen, or the next line of standard input."""
    if sys.stdin.isatty():
        return str(click.prompt(what, default="", show_default=False, hide_input=True, err=True)).strip()
    return sys.stdin.readline().strip()


@click.group()
def destinations() -> None:
    """List, add, remove, pause and resume the places deliveries go to."""


@destinations.command("list")
@json_option
@click.pass_obj
def list_destinations(invocation: Invocation, as_json: bool) -> None:
    """List destinations with the state of each circuit, and whether and why they are paused."""
    from bridge.journal import accounts as kept
    from bridge.journal import destinations as journal

    with invocation.journal.database.read() as connection:
        found = journal.load(connection)
        urls = {
            **dict.fromkeys(kept.destinations(connection), "journal"),
            **dict.fromkeys(invocation.settings.destinations, "environment"),
        }
    rows = [
        {
            **{name: value for name, value in asdict(one).items() if name not in {"url_digest", "failed_subject"}},
            "url": "set" if one.name in urls else "unset",
            "kept_in": urls.get(one.name),
            "paused": one.paused_ms is not None,
        }
        for one in found.values()
    ]
    if as_json:
        show_json(rows)
        return
    show_table(
        ("name", "url", "kept in", "circuit", "failures in a row", "paused since", "why"),
        [
            (r["name"], r["url"], r["kept_in"], r["state"], r["failures"], moment(r["paused_ms"]), r["paused_reason"])
            for r in rows
        ],
        empty="no destination yet; see: bridge destinations add --help",
    )


@destinations.command("add")
@click.argument("name")
@click.pass_obj
def add_destination(invocation: Invocation, name: str) -> None:
    """Keep a destination in the journal, or give the one of that name another URL.

    Asks for the URL of the Clint integration without showing it; where there is no terminal, the first line of standard
    input is the URL. It is encrypted with BRIDGE_ENCRYPTION_KEY, and taken up by the running processes within seconds.
    """
    from bridge.journal.clock import system_clock_ms
    from bridge.operations.accounts import add_destination

    url = read_secret("URL (Clint: the origin's integrations, Receber Webhook)")
    fresh, freed = add_destination(
        invocation.journal, invocation.settings, invocation.actor, system_clock_ms(), name, url
    )
    waited = f"; {count(freed, 'line')} waited for it" if freed else ""
    click.echo(f"destination {name} is {'added' if fresh else 'changed'}{waited}")


@destinations.command("remove")
@click.argument("name")
@click.option("--yes", is_flag=True, help="Do not ask first.")
@click.pass_context
def remove_destination(context: click.Context, name: str, yes: bool) -> None:
    """Remove a destination's URL from the journal; what is owed to it waits until there is one again."""
    from bridge.journal.clock import system_clock_ms
    from bridge.operations.accounts import open_deliveries, remove_destination

    invocation: Invocation = context.obj
    check_can_ask(yes=yes)
    with invocation.journal.database.read() as connection:
        owed = open_deliveries(connection, name)
    question = f"remove the URL of {name}? {count(owed, 'delivery', 'deliveries')} to it will wait"
    if not agreed(question, yes=yes):
        click.echo("nothing was removed", err=True)
        context.exit(NO)
    remove_destination(invocation.journal, invocation.actor, system_clock_ms(), name)
    click.echo(f"destination {name} is removed")


@destinations.command()
@click.argument("name")
@click.option("--reason", default="paused by a person", show_default=True, help="Shown wherever its work waits.")
@click.pass_obj
def pause(invocation: Invocation, name: str, reason: str) -> None:
    """Stop sending to a destination; its work waits, nothing is lost."""
    from bridge.journal.clock import system_clock_ms
    from bridge.operations import actions

    actions.pause(invocation.journal, name, reason, system_clock_ms(), by=invocation.actor)
    click.echo(f"{name} is paused; its work waits until: bridge destinations resume {name}")


@destinations.command()
@click.argument("name")
@click.pass_obj
def resume(invocation: Invocation, name: str) -> None:
    """Send to a destination again, and forget its failures."""
    from bridge.journal.clock import system_clock_ms
    from bridge.operations import actions

    freed = actions.resume(invocation.journal, name, system_clock_ms(), by=invocation.actor)
    click.echo(f"{name} takes deliveries again; {count(freed, 'line')} waited for it")


@destinations.command()
@click.argument("name")
@click.argument("origin_id", metavar="[ORIGIN_ID]", required=False)
@click.pass_context
def origin(context: click.Context, name: str, origin_id: str | None) -> None:
    """Say in which origin of Clint a destination's deals stand; without an id it is learned anew.

    A read-back takes a deal of another origin for no proof. The origin is learned from the first delivery whose deal
    is seen, and forgotten with the destination's URL.
    """
    from bridge.journal import audit
    from bridge.journal import destinations as journal
    from bridge.journal.clock import system_clock_ms

    invocation: Invocation = context.obj
    with invocation.journal.database.write() as connection:
        found = journal.set_place(connection, name, origin_id)
        if found:
            audit.note(
                connection, invocation.actor, "destination.origin", name, system_clock_ms(), {"origin": origin_id}
            )
    if not found:
        raise NotFound(f"no destination is named {name!r}", hint="see: bridge destinations list")
    click.echo(f"the deals of {name} stand in origin {origin_id}" if origin_id else f"the origin of {name} is learned")
