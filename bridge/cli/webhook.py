"""`bridge webhook`: the webhook at Asaas that brings the events, made, looked at, started again and removed."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Any

import click

from bridge.cli.asaas_account import account_option, client_of, mappings_in_use, opened_runtime, public_hook_url
from bridge.cli.choice import agreed, check_can_ask
from bridge.cli.output import count, json_option, show_json
from bridge.cli.root import NO, Invocation
from bridge.errors import NotFound

if TYPE_CHECKING:
    from bridge.asaas.webhooks import Webhook

_url = click.option(
    "--url", metavar="PUBLIC_URL", help="Address under which Asaas reaches the bridge, instead of BRIDGE_PUBLIC_URL."
)


@click.group()
def webhook() -> None:
    """Set up the webhook at Asaas that brings the events.

    Needs the account's ASAAS_API_KEY, with the permission for webhooks.
    """


@webhook.command()
@account_option
@_url
@click.option("--all", "every", is_flag=True, help="Subscribe to every event, not only to those that mappings name.")
@click.option("--account-events", is_flag=True, help="Subscribe also to events about the account itself and its keys.")
@click.option(
    "--send-type",
    type=click.Choice(["SEQUENTIALLY", "NON_SEQUENTIALLY"], case_sensitive=False),
    help="In order, one at a time, or many at once; a new webhook is SEQUENTIALLY.",
)
@click.option("--email", help="Where Asaas writes to before it interrupts the queue; only for a new webhook.")
@click.option("--new-token", is_flag=True, help="Make a new token although the webhook has one.")
@click.option("--yes", is_flag=True, help="Do not ask before a webhook loses events.")
@json_option
@click.pass_context
def register(context: click.Context, /, account: str, url: str | None, yes: bool, as_json: bool, **wanted: Any) -> None:
    """Make the webhook, or bring it to what the mappings need; running it again changes nothing.

    Subscribes to exactly the events that the account's enabled mappings name. Where the account's ASAAS_WEBHOOK_TOKEN
    is not set, a token is made and shown once: put it into the bridge's environment and start the bridge again.
    """
    from bridge.asaas.webhooks import Webhooks
    from bridge.cli.webhook_register import Wanted, apply, events_wanted, plan, show_done

    invocation: Invocation = context.obj
    settings = invocation.settings
    hook_url = public_hook_url(settings, account, url)
    mappings, source = mappings_in_use(invocation)
    events = events_wanted(
        mappings, source, account, every=wanted.pop("every"), account_events=wanted.pop("account_events")
    )
    token = settings.accounts[account].webhook_token if account in settings.accounts else ""
    with opened_runtime(settings) as runtime:
        webhooks = Webhooks(client_of(runtime, account))
        planned = plan(webhooks.all(), Wanted(account, hook_url, events, token, **wanted))
        if planned.loses and not yes and sys.stdin.isatty():
            lost = f"the webhook loses {count(len(planned.loses), 'event')} ({', '.join(planned.loses)}); go on?"
            if not agreed(lost, yes=False):
                click.echo("nothing was changed", err=True)
                context.exit(NO)
        done = apply(webhooks, planned)
    show_done(done, source, as_json=as_json)


@webhook.command()
@click.option("--account", metavar="NAME", help="Only this Asaas account; otherwise every account with a key.")
@_url
@json_option
@click.pass_context
def status(context: click.Context, account: str | None, url: str | None, as_json: bool) -> None:
    """Show the webhook as Asaas has it, and what is wrong with it; ends with 1 where something is."""
    from bridge.cli.webhook_views import account_status, show_statuses

    invocation: Invocation = context.obj
    mappings, _ = mappings_in_use(invocation)
    with opened_runtime(invocation.settings) as runtime:
        names = [account] if account else sorted(runtime.asaas) or ["default"]
        statuses = [
            account_status(client_of(runtime, name), mappings, public_hook_url(invocation.settings, name, url), name)
            for name in names
        ]
    if as_json:
        show_json([one.data() for one in statuses])
    else:
        show_statuses(statuses)
    if any(one.problems for one in statuses):
        context.exit(NO)


@webhook.command()
@account_option
@_url
@json_option
@click.pass_obj
def resume(invocation: Invocation, account: str, url: str | None, as_json: bool) -> None:
    """Let Asaas send again: start an interrupted queue, and take the penalties off."""
    from bridge.asaas.webhook_rules import ours
    from bridge.asaas.webhooks import Webhooks

    hook_url = public_hook_url(invocation.settings, account, url)
    results = []
    with opened_runtime(invocation.settings) as runtime:
        webhooks = Webhooks(client_of(runtime, account))
        for one in _found(ours(webhooks.all(), account, hook_url), account):
            done = []
            if one.interrupted:
                webhooks.update(one, {"interrupted": False})
                done.append("the queue was started again")
            if one.penalised:
                webhooks.remove_backoff(one)
                done.append(f"the penalties of {count(one.penalised, 'failure')} were taken off")
            results.append({"id": one.id, "url": one.url, "done": done})
    if as_json:
        show_json(results)
        return
    for result in results:
        click.echo(f"{result['url']}: {'; '.join(result['done']) or 'neither interrupted nor penalised'}")


@webhook.command()
@account_option
@_url
@click.option("--yes", is_flag=True, help="Do not ask first.")
@json_option
@click.pass_context
def remove(context: click.Context, account: str, url: str | None, yes: bool, as_json: bool) -> None:
    """Remove the webhook from Asaas; what waits in its queue there is lost."""
    from bridge.asaas.webhook_rules import ours
    from bridge.asaas.webhooks import Webhooks

    invocation: Invocation = context.obj
    check_can_ask(yes=yes)
    hook_url = public_hook_url(invocation.settings, account, url)
    removed = []
    with opened_runtime(invocation.settings) as runtime:
        webhooks = Webhooks(client_of(runtime, account))
        for one in _found(ours(webhooks.all(), account, hook_url), account):
            if agreed(f"remove the webhook that posts to {one.url}? what waits in its queue is lost", yes=yes):
                webhooks.remove(one)
                removed.append({"id": one.id, "url": one.url})
    if as_json:
        show_json(removed)
    for result in removed if not as_json else []:
        click.echo(f"{result['url']}: removed")
    if not removed:
        click.echo("nothing was removed", err=True)
        context.exit(NO)


def _found(webhooks: list[Webhook], account: str) -> list[Webhook]:
    if not webhooks:
        raise NotFound(
            f"account {account} has no webhook at Asaas that leads to the bridge", mend="see: bridge webhook status"
        )
    return webhooks
