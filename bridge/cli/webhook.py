"""`bridge webhook`: the webhook at Asaas that brings the events, made, looked at, started again and removed."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Iterable, Sequence
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any

import click

from bridge.asaas import webhooks as asaas_webhooks
from bridge.asaas.client import AsaasClient
from bridge.asaas.webhooks import Problem, Webhook, Webhooks, find_ours, needed_events, problems
from bridge.cli.main import NO, Invocation
from bridge.cli.options import agreed, asaas_account_option, check_can_ask, mappings_in_use, opened_runtime
from bridge.cli.output import count, json_option, plain, show_json
from bridge.errors import JournalError, TokenNotKnown, UsageError
from bridge.journal import events
from bridge.mapping import Mapping
from bridge.messages import Message
from bridge.operations.webhooks import WebhookPlan, WebhookResult
from bridge.settings import Account, variable

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
@asaas_account_option
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

    Subscribes to exactly the events that the account's enabled mappings name; ends with 1, naming them, where Asaas
    does not take some of them. Where the account's ASAAS_WEBHOOK_TOKEN is not set, a token is made and shown once: put
    it into the bridge's environment and start the bridge again.

    --rotate makes a new token and shows it once; with both in the environment and the bridge started again, it gives
    Asaas the new one. `bridge doctor` says when the old one is not used any more.
    """
    from bridge.asaas.webhooks import Webhooks
    from bridge.operations.accounts import client_of, public_hook_url
    from bridge.operations.doctor import post_to_door
    from bridge.operations.webhooks import WantedWebhook, apply, events_wanted, judge_change, plan
    from bridge.settings import Account

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
        planned = plan(webhooks.all(), WantedWebhook(account, hook_url, events, known.webhook_token, **wanted))
        if planned.loses and not yes and sys.stdin.isatty():
            lost = f"the webhook loses {count(len(planned.loses), 'event')} ({', '.join(planned.loses)}); go on?"
            if not agreed(lost, yes=False):
                click.echo("nothing was changed", err=True)
                context.exit(NO)
        if known.old_webhook_token and planned.before:
            check_known(post_to_door(runtime, planned.before.url, planned.token), planned.before.url)
        done = apply(webhooks, planned)
        public_url = url or settings.bridge_public_url
        judge_change(runtime.journal, account, [done.webhook], mappings, public_url, runtime.clock_ms())
    show_done(done, source, as_json=as_json)
    if done.refused:
        click.echo(f"not subscribed to: {plain(done.what_refused)}", err=True)
        context.exit(NO)


@webhook.command()
@click.option("--account", metavar="NAME", help="Only this Asaas account; otherwise every account with a key.")
@_url
@json_option
@click.pass_context
def status(context: click.Context, account: str | None, url: str | None, as_json: bool) -> None:
    """Show the webhook as Asaas has it, and what is wrong with it; ends with 1 where something is."""
    from bridge.operations.accounts import client_of, public_hook_url

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
@asaas_account_option
@_url
@json_option
@click.pass_obj
def resume(invocation: Invocation, account: str, url: str | None, as_json: bool) -> None:
    """Let Asaas send again: start an interrupted queue, and take the penalties off."""
    from bridge.asaas.webhooks import Webhooks
    from bridge.operations.accounts import client_of, public_hook_url
    from bridge.operations.webhooks import judge_change, resumed, sending

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
@asaas_account_option
@_url
@click.option("--yes", is_flag=True, help="Do not ask first.")
@json_option
@click.pass_context
def remove(context: click.Context, account: str, url: str | None, yes: bool, as_json: bool) -> None:
    """Remove the webhook from Asaas; what waits in its queue there is lost."""
    from bridge.asaas.webhooks import Webhooks
    from bridge.operations.accounts import client_of, public_hook_url
    from bridge.operations.webhooks import found_ours

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


def show_done(done: WebhookResult, source: str, *, as_json: bool) -> None:
    """Print what was done; the token only where it was made here."""
    planned, webhook = done.plan, done.webhook
    name = variable("ASAAS_WEBHOOK_TOKEN", planned.wanted.account)
    if as_json:
        data = {
            "id": webhook.id,
            "url": webhook.url,
            "send_type": webhook.send_type,
            "events": sorted(webhook.events),
            "changed": list(done.changed),
            "refused": list(done.refused),
            "interrupted": webhook.interrupted,
        }
        show_json({**data, "token_variable": name, "token": planned.token} if planned.made_token else data)
        return
    click.echo(f"webhook {plain(webhook.url)}")
    click.echo(f"  {'; '.join(plain(text) for text in done.changed) or 'is as it should be; nothing was changed'}")
    click.echo(f"  {count(len(webhook.events), 'event')} by {source}, sent {webhook.send_type}")
    if planned.made_token:
        click.echo("  its token is shown only now; put it into the bridge's environment and start the bridge again:")
        click.echo(f"\n{name}='{planned.token}'\n")
    for hint in _hints(planned, webhook, name):
        click.echo(f"  {hint}")


def _hints(planned: WebhookPlan, webhook: Webhook, name: str) -> list[str]:
    hints = []
    if not planned.token:
        hints.append(f"{name} is not set here, so the webhook keeps its token; for a new one: --new-token")
    if webhook.interrupted or webhook.penalised:
        hints.append("Asaas holds its queue back; when the bridge answers: bridge webhook resume")
    if planned.wanted.email and planned.before and planned.wanted.email != planned.before.email:
        hints.append("Asaas changes the e-mail of a webhook only on its own screen: Integrações, Webhooks")
    for url in planned.others:
        hints.append(f"another webhook leads to {plain(url)}; if that is an old address: bridge webhook remove --url")
    return hints


KNOWN = 400
"""What the door answers to the right token with a body that is no event."""


def show_new(account: Account, *, as_json: bool) -> None:
    """Make a token and show it, once; nothing is changed yet, here or at Asaas."""
    name = variable("ASAAS_WEBHOOK_TOKEN", account.name)
    if not account.webhook_token:
        raise UsageError(f"{name} is not set, so there is no token to replace", hint="run: bridge webhook register")
    token = asaas_webhooks.generate()
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
            hint="start the bridge again with both tokens in its environment, then run this again",
        )


def token_use(invocation: Invocation, account: str) -> tuple[Message, Message] | None:
    """Return how far the change of the account's token has come and what to do next; None where it has but one."""
    known = invocation.settings.accounts.get(account)
    if known is None or not known.old_webhook_token:
        return None
    try:
        with invocation.journal.database.read() as connection:
            used = events.tokens_used(connection, account)
    except JournalError:
        used = (None, None)
    return asaas_webhooks.rotation(*used, time.time_ns() // 1_000_000, account)


@dataclass(frozen=True, slots=True)
class Status:
    """An account's webhooks that lead to the bridge, and what is wrong with them."""

    account: str
    webhooks: Sequence[Webhook]
    needed: frozenset[str]
    problems: Sequence[Problem]
    rotation: tuple[Message, Message] | None = None
    """While two tokens are valid: how far the change has come, and what to do next."""

    def data(self) -> dict[str, Any]:
        """Return it as data for JSON."""
        return {
            "account": self.account,
            "webhooks": [asdict(webhook) for webhook in self.webhooks],
            "needed": sorted(self.needed),
            "problems": [problem.data() for problem in self.problems],
            "rotation": dict(zip(("what", "mend"), map(str, self.rotation), strict=True)) if self.rotation else None,
        }


def account_status(
    client: AsaasClient,
    mappings: Iterable[Mapping],
    url: str | None,
    account: str,
    rotation: tuple[Message, Message] | None = None,
) -> Status:
    """Ask Asaas for the account's webhooks and judge the bridge's own."""
    found = find_ours(Webhooks(client).all(), account, url)
    wants = needed_events(mappings, account)
    return Status(account, found, wants, problems(found, wants, account), rotation)


def show_statuses(statuses: Iterable[Status]) -> None:
    """Print each account's webhooks and what is wrong with them."""
    for status in statuses:
        click.echo(f"account {status.account}")
        for webhook in status.webhooks:
            _show(webhook, status)
        if status.rotation:
            click.echo(f"  tokens     {'; '.join(part.text() for part in status.rotation)}")
        for problem in status.problems:
            click.echo(f"  {problem.level}: {plain(problem.what.text())}; {plain(problem.mend.text())}")
        if not status.problems:
            click.echo("  fine")


def _show(webhook: Webhook, status: Status) -> None:
    state = "interrupted" if webhook.interrupted else "sends" if webhook.enabled else "switched off"
    click.echo(f"  url        {plain(webhook.url)}")
    click.echo(f"  id         {plain(webhook.id)}")
    click.echo(f"  state      {state}, {plain(webhook.send_type)}, {count(webhook.penalised, 'penalised failure')}")
    click.echo(f"  token      {'set at Asaas' if webhook.has_token else 'not set at Asaas'}")
    more = len(set(webhook.events) - status.needed)
    click.echo(f"  events     {len(webhook.events)}, of which {more} no mapping needs")
