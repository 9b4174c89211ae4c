"""`bridge webhook`: the webhook at Asaas that brings the events, made, looked at, started again and removed."""

from __future__ import annotations

import sys
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import click

from bridge.cli.asaas_account import account_option, mappings_in_use, opened_runtime
from bridge.cli.choice import agreed, check_can_ask
from bridge.cli.output import count, json_option, show_json
from bridge.cli.root import NO, Invocation

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
@click.option("--rotate", is_flag=True, help="Change the token without a gap: run it twice, as it says.")
@click.option("--yes", is_flag=True, help="Do not ask before a webhook loses events.")
@json_option
@click.pass_context
def register(
    context: click.Context, /, account: str, url: str | None, rotate: bool, yes: bool, as_json: bool, **wanted: Any
) -> None:
    """Make the webhook, or bring it to what the mappings need; running it again changes nothing.

    Subscribes to exactly the events that the account's enabled mappings name. Where the account's ASAAS_WEBHOOK_TOKEN
    is not set, a token is made and shown once: put it into the bridge's environment and start the bridge again.

    --rotate makes a new token and shows it once; with both in the environment and the bridge started again, it gives
    Asaas the new one. `bridge doctor` says when the old one is not used any more.
    """
    from bridge.asaas.webhooks import Webhooks
    from bridge.cli.webhook_register import show_done
    from bridge.cli.webhook_rotation import check_known, show_new
    from bridge.settings import Account
    from bridge.workbench.accounts import client_of, public_hook_url
    from bridge.workbench.probes import knock
    from bridge.workbench.webhook_notices import judge_change
    from bridge.workbench.webhook_plan import Wanted, apply, events_wanted, plan

    invocation: Invocation = context.obj
    settings = invocation.settings
    with opened_runtime(settings) as runtime:
        known = runtime.accounts.get(account) or Account(account)
    if rotate and not known.old_webhook_token:
        show_new(known, as_json=as_json)
        return
    hook_url = public_hook_url(settings, account, url)
    mappings, source = mappings_in_use(invocation)
    events = events_wanted(
        mappings, source, account, every=wanted.pop("every"), account_events=wanted.pop("account_events")
    )
    with opened_runtime(settings) as runtime:
        webhooks = Webhooks(client_of(runtime, account))
        planned = plan(webhooks.all(), Wanted(account, hook_url, events, known.webhook_token, **wanted))
        if planned.loses and not yes and sys.stdin.isatty():
            lost = f"the webhook loses {count(len(planned.loses), 'event')} ({', '.join(planned.loses)}); go on?"
            if not agreed(lost, yes=False):
                click.echo("nothing was changed", err=True)
                context.exit(NO)
        if known.old_webhook_token and planned.before:
            check_known(knock(runtime, planned.before.url, planned.token), planned.before.url)
        done = apply(webhooks, planned)
        public_url = url or settings.bridge_public_url
        judge_change(runtime.journal, account, [done.webhook], mappings, public_url, runtime.clock_ms())
    show_done(done, source, as_json=as_json)


@webhook.command()
@click.option("--account", metavar="NAME", help="Only this Asaas account; otherwise every account with a key.")
@_url
@json_option
@click.pass_context
def status(context: click.Context, account: str | None, url: str | None, as_json: bool) -> None:
    """Show the webhook as Asaas has it, and what is wrong with it; ends with 1 where something is."""
    from bridge.cli.webhook_rotation import token_use
    from bridge.cli.webhook_views import account_status, show_statuses
    from bridge.workbench.accounts import client_of, public_hook_url

    invocation: Invocation = context.obj
    mappings, _ = mappings_in_use(invocation)
    with opened_runtime(invocation.settings) as runtime:
        names = [account] if account else sorted(runtime.asaas) or ["default"]
        statuses = [
            account_status(
                client_of(runtime, name),
                mappings,
                public_hook_url(invocation.settings, name, url),
                name,
                token_use(invocation, name),
            )
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
    from bridge.asaas.webhooks import Webhooks
    from bridge.workbench.accounts import client_of, public_hook_url
    from bridge.workbench.webhook_notices import judge_change, sending
    from bridge.workbench.webhook_plan import resumed

    hook_url = public_hook_url(invocation.settings, account, url)
    mappings, _ = mappings_in_use(invocation)
    with opened_runtime(invocation.settings) as runtime:
        done = resumed(Webhooks(client_of(runtime, account)), account, hook_url)
        public_url = url or invocation.settings.bridge_public_url
        webhooks = [sending(one) for one, _ in done]
        judge_change(runtime.journal, account, webhooks, mappings, public_url, runtime.clock_ms())
    results = [{"id": one.id, "url": one.url, "done": [_RESUMED[what](one) for what in whats]} for one, whats in done]
    if as_json:
        show_json(results)
        return
    for result in results:
        click.echo(f"{result['url']}: {'; '.join(result['done']) or 'neither interrupted nor penalised'}")


_RESUMED: dict[str, Callable[[Webhook], str]] = {
    "started": lambda _one: "the queue was started again",
    "forgiven": lambda one: f"the penalties of {count(one.penalised, 'failure')} were taken off",
}


@webhook.command()
@account_option
@_url
@click.option("--yes", is_flag=True, help="Do not ask first.")
@json_option
@click.pass_context
def remove(context: click.Context, account: str, url: str | None, yes: bool, as_json: bool) -> None:
    """Remove the webhook from Asaas; what waits in its queue there is lost."""
    from bridge.asaas.webhooks import Webhooks
    from bridge.workbench.accounts import client_of, public_hook_url
    from bridge.workbench.webhook_plan import found_ours

    invocation: Invocation = context.obj
    check_can_ask(yes=yes)
    hook_url = public_hook_url(invocation.settings, account, url)
    removed = []
    with opened_runtime(invocation.settings) as runtime:
        webhooks = Webhooks(client_of(runtime, account))
        for one in found_ours(webhooks, account, hook_url):
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
