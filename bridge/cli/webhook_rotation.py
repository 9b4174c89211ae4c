"""`bridge webhook register --rotate`: another token without an event that is refused.

The order makes it safe: first the bridge knows both tokens, then Asaas gets the new one, then the old one is taken out.
Each step is seen to before the next: the door is asked whether it knows the new token, and notes which one comes.
"""

from __future__ import annotations

import time

import click

from bridge.asaas import webhook_token
from bridge.cli.output import show_json
from bridge.cli.root import Invocation
from bridge.errors import JournalError, TokenNotKnown, UsageError
from bridge.journal import door
from bridge.settings import Account, variable

KNOWN = 400
"""What the door answers to the right token with a body that is no event."""


def show_new(account: Account, *, as_json: bool) -> None:
    """Make a token and show it, once; nothing is changed yet, here or at Asaas."""
    name = variable("ASAAS_WEBHOOK_TOKEN", account.name)
    if not account.webhook_token:
        raise UsageError(f"{name} is not set, so there is no token to replace", mend="run: bridge webhook register")
    token = webhook_token.generate()
    if as_json:
        show_json({"token_variable": name, "token": token})
        return
    click.echo("a new token, shown only now; nothing is changed yet")
    click.echo(f"\n{token}\n")
    click.echo(f"  1. put it before the old one, with a blank between them: {name}='NEW OLD'")
    click.echo("  2. start the bridge again: it lets both in")
    click.echo("  3. run this command again with that environment: it gives Asaas the new one")
    click.echo("  4. when `bridge doctor` says that Asaas has the new one, take the old one out")


def check_known(status: int | None, address: str) -> None:
    """Raise TokenNotKnown where the door did not answer as it does to a token that it knows."""
    if status != KNOWN:
        got = "nobody answers" if status is None else f"got {status}"
        raise TokenNotKnown(
            f"the new token must open the door before Asaas gets it, {got}",
            where=address,
            mend="start the bridge again with both tokens in its environment, then run this again",
        )


def token_use(invocation: Invocation, account: str) -> tuple[str, str] | None:
    """Return how far the change of the account's token has come and what to do next; None where it has but one."""
    known = invocation.settings.accounts.get(account)
    if known is None or not known.old_webhook_token:
        return None
    try:
        with invocation.journal.database.read() as connection:
            used = door.tokens_used(connection, account)
    except JournalError:
        used = (None, None)
    return webhook_token.rotation(*used, time.time_ns() // 1_000_000, account)
