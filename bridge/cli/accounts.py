"""`bridge accounts`: the Asaas accounts, and those that are kept in the journal instead of in the environment."""

from __future__ import annotations

import sys
from typing import Any

import click

from bridge.cli.choice import agreed, check_can_ask
from bridge.cli.output import count, json_option, moment, show_json, show_table
from bridge.cli.root import NO, Invocation


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
    from bridge.journal import tenants as kept

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


@accounts.command()
@click.argument("name")
@click.option("--no-key", is_flag=True, help="The account has no API key: what only the API knows can't be sent.")
@json_option
@click.pass_obj
def add(invocation: Invocation, name: str, no_key: bool, as_json: bool) -> None:
    """Keep an account in the journal, or give the one of that name another key or token.

    Asks for the API key and the webhook token without showing them; where there is no terminal, the first line of
    standard input is the key and the second the token. Without a token one is made and shown once.
    """
    from bridge.runtime import clock_ms
    from bridge.tenants.changes import add_account

    api_key = "" if no_key else read_secret("API key (Asaas: Integrações, Chaves de API)")
    token = read_secret("webhook token (empty: keep the one that is there, or make one)")
    made = add_account(
        invocation.journal, invocation.settings, invocation.actor, clock_ms(), name, api_key=api_key, token=token
    )
    if as_json:
        show_json({"name": name, "path": made.path, "fresh": made.fresh, "token": made.token})
        return
    click.echo(f"account {name} is {'added' if made.fresh else 'changed'}; its webhook is {made.path}")
    if made.token:
        click.echo(f"its webhook token is shown only now; enter it in Asaas: Integrações, Webhooks\n\n{made.token}\n")
    click.echo(f"next: bridge webhook register --account {name}")


@accounts.command()
@click.argument("name")
@click.option("--yes", is_flag=True, help="Do not ask first.")
@click.pass_context
def remove(context: click.Context, name: str, yes: bool) -> None:
    """Remove an account from the journal; its events and deliveries stay."""
    from bridge.runtime import clock_ms
    from bridge.tenants.changes import remove_account, waiting_events

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
    remove_account(invocation.journal, invocation.actor, clock_ms(), name)
    click.echo(f"account {name} is removed")


def read_secret(what: str) -> str:
    """Return a secret that a person types unseen, or the next line of standard input."""
    if sys.stdin.isatty():
        return str(click.prompt(what, default="", show_default=False, hide_input=True, err=True)).strip()
    return sys.stdin.readline().strip()
