"""`bridge webhook`: registers, shows, resumes and removes the webhook at Asaas that posts the events."""

from __future__ import annotations

import sys
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import replace
from typing import Any

import click
from click.exceptions import Exit

from bridge.asaas import webhooks as asaas_webhooks
from bridge.asaas.webhooks import Problem, Webhook, Webhooks, find_ours, needed_events, problems
from bridge.cli.main import NO, Invocation
from bridge.cli.notices import LEVELS
from bridge.cli.options import agreed, asaas_account_option, check_can_ask, confirm, opened_runtime
from bridge.cli.output import json_option, plain, row_data, show_json, show_line
from bridge.errors import JournalError, TokenNotKnown, UsageError
from bridge.journal import audit
from bridge.journal.clock import system_clock_ms
from bridge.messages import N_, Message, _, in_language, message, ngettext
from bridge.operations import webhooks as operations
from bridge.operations.accounts import client_of, mappings_in_use, public_hook_url
from bridge.settings import DEFAULT, Account, variable

_url = click.option(
    "--url", metavar="PUBLIC_URL", help="Address under which Asaas reaches the bridge, instead of BRIDGE_PUBLIC_URL."
)


@click.group()
def webhook() -> None:
    """Set up the webhook at Asaas that posts the events.

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
@click.pass_obj
def register(
    invocation: Invocation, /, account: str, url: str | None, rotate: bool, yes: bool, as_json: bool, **wanted: Any
) -> None:
    """Make the webhook, or bring it to what the mappings need; running it again changes nothing.

    Subscribes to exactly the events that the account's enabled mappings name; ends with 1, naming them, where Asaas
    does not take some of them. Where the account's ASAAS_WEBHOOK_TOKEN is not set, a token is made and shown once: put
    it into the bridge's environment and start the bridge again.

    --rotate makes a new token and shows it once; with both in the environment and the bridge started again, it gives
    Asaas the new one. `bridge doctor` says when the old one is not used any more.
    """
    from bridge.operations.doctor import post_to_door

    settings = invocation.settings
    with opened_runtime(settings) as runtime:
        known = runtime.accounts.get(account) or Account(account)
        if rotate and not known.old_webhook_token:
            _show_new_token(known, as_json=as_json)
            return
        hook_url = public_hook_url(settings, account, url)
        mappings, source = mappings_in_use(lambda: invocation.journal, settings.bridge_mappings_dir)
        of_account = {name: wanted.pop(name) for name in ("every", "account_events")}
        webhooks = Webhooks(client_of(runtime, account))  # the first thing that it needs
        events = operations.events_wanted(mappings, account, **of_account)
        wish = operations.WantedWebhook(account, hook_url, events, known.webhook_token, **wanted)
        planned = operations.plan(webhooks.all(), wish)
        if planned.loses and not yes and sys.stdin.isatty():
            question = ngettext(
                "the webhook loses {n} event ({names}); go on?",
                "the webhook loses {n} events ({names}); go on?",
                len(planned.loses),
                names=", ".join(planned.loses),
            )
            confirm(question, _("nothing was changed"), yes=False)
        if known.old_webhook_token and planned.before:
            _check_known(post_to_door(runtime, planned.before.url, planned.token), planned.before.url)
        done = operations.apply(webhooks, planned)
        public_url = url or settings.bridge_public_url
        # A journal that is away must not hide the result; one that is not there yet is left to `bridge up`.
        with suppress(JournalError):
            operations.note_registered(
                invocation.journal, account, done.webhook, mappings, public_url, runtime.clock_ms()
            )
        if done.changed:
            detail = {"events": len(done.webhook.events), "new_token": planned.made_token}
            _note(invocation, "webhook.registered", account, detail)
    _show_done(done, source, as_json=as_json)
    if done.refused:
        click.echo(_("not subscribed to: {reason}", reason=plain(operations.not_taken(done.refused))), err=True)
        raise Exit(NO)


@webhook.command()
@click.option("--account", metavar="NAME", help="Only this Asaas account; otherwise every account with a key.")
@_url
@json_option
@click.pass_obj
def status(invocation: Invocation, account: str | None, url: str | None, as_json: bool) -> None:
    """Show the webhook as Asaas has it, and what is wrong with it; ends with 1 where something is."""
    mappings, _source = mappings_in_use(lambda: invocation.journal, invocation.settings.bridge_mappings_dir)
    data = []
    with opened_runtime(invocation.settings) as runtime:
        for name in [account] if account else sorted(runtime.asaas) or [DEFAULT]:
            webhooks = Webhooks(client_of(runtime, name)).all()
            found = find_ours(webhooks, name, public_hook_url(invocation.settings, name, url))
            wants, rotation = needed_events(mappings, name), _rotation(invocation, name)
            wrong = problems(found, wants, name)
            if not as_json:
                _show_status(name, found, wants, wrong, rotation)
            one = {"account": name, "webhooks": found, "needed": sorted(wants), "problems": list(map(row_data, wrong))}
            data.append({**one, "rotation": dict(zip(("what", "mend"), rotation, strict=False)) or None})
    if as_json:
        show_json(data)
    if any(one["problems"] for one in data):
        raise Exit(NO)


@webhook.command()
@asaas_account_option
@_url
@json_option
@click.pass_obj
def resume(invocation: Invocation, account: str, url: str | None, as_json: bool) -> None:
    """Let Asaas send again: start an interrupted queue, and take the penalties off."""
    hook_url = public_hook_url(invocation.settings, account, url)
    mappings, _source = mappings_in_use(lambda: invocation.journal, invocation.settings.bridge_mappings_dir)
    with opened_runtime(invocation.settings) as runtime:
        done = operations.resumed(Webhooks(client_of(runtime, account)), account, hook_url)
        public_url = url or invocation.settings.bridge_public_url
        webhooks = [replace(one, interrupted=False, penalised=0) for one, _done in done]
        with suppress(JournalError):
            operations.judge(invocation.journal, account, webhooks, mappings, public_url, runtime.clock_ms())
    if any(codes for _one, codes in done):
        _note(invocation, "webhook.resumed", account)
    if as_json:
        with in_language("en"):
            show_json(
                [{"id": one.id, "url": one.url, "done": [_resumed(one, code) for code in codes]} for one, codes in done]
            )
        return
    for one, codes in done:
        said = "; ".join(_resumed(one, code) for code in codes) or _("neither interrupted nor penalised")
        click.echo(f"{one.url}: {said}")


def _resumed(webhook: Webhook, code: str) -> str:
    if code == "started":
        return _("the queue was started again")
    return ngettext(
        "the penalties of {n} failure were taken off", "the penalties of {n} failures were taken off", webhook.penalised
    )


@webhook.command()
@asaas_account_option
@_url
@click.option("--yes", is_flag=True, help="Do not ask first.")
@json_option
@click.pass_obj
def remove(invocation: Invocation, account: str, url: str | None, yes: bool, as_json: bool) -> None:
    """Remove the webhook from Asaas; the events in its queue there are lost."""
    check_can_ask(yes=yes)
    hook_url = public_hook_url(invocation.settings, account, url)
    removed = []
    with opened_runtime(invocation.settings) as runtime:
        webhooks = Webhooks(client_of(runtime, account))
        for one in operations.found_ours(webhooks, account, hook_url):
            question = _("remove the webhook that posts to {url}? the events in its queue are lost", url=one.url)
            if agreed(question, yes=yes):
                webhooks.remove(one)
                _note(invocation, "webhook.removed", account)
                removed.append({"id": one.id, "url": one.url})
                if not as_json:
                    click.echo(_("{url}: removed", url=one.url))
    if as_json:
        show_json(removed)
    if not removed:
        click.echo(_("nothing was removed"), err=True)
        raise Exit(NO)


def _note(invocation: Invocation, action: str, account: str, detail: Mapping[str, Any] | None = None) -> None:
    """Add a change at Asaas to the audit trail; a journal that is away must not hide the result."""
    with suppress(JournalError), invocation.journal.database.write() as connection:
        audit.note(connection, invocation.actor, action, account, system_clock_ms(), detail)


def _show_done(done: operations.WebhookResult, source: Message, *, as_json: bool) -> None:
    planned, webhook = done.plan, done.webhook
    name = variable("ASAAS_WEBHOOK_TOKEN", planned.wanted.account)
    if as_json:
        names = ("id", "url", "send_type", "interrupted")
        data: dict[str, Any] = {name: getattr(webhook, name) for name in names}
        data |= {"events": sorted(webhook.events), "changed": done.changed, "refused": done.refused}
        show_json({**data, "token_variable": name, "token": planned.token} if planned.made_token else data)
        return
    click.echo(f"webhook {plain(webhook.url)}")
    changes = "; ".join(map(plain, done.changed))
    click.echo("  " + (changes or _("is as it should be; nothing was changed")))
    text = ngettext(
        "{n} event by {source}, sent {how}",
        "{n} events by {source}, sent {how}",
        len(webhook.events),
        source=source,
        how=webhook.send_type,
    )
    click.echo(f"  {text}")
    if planned.made_token:
        once = _("its token is shown only now; put it into the bridge's environment and start the bridge again:")
        click.echo(f"  {once}\n\n{name}='{planned.token}'\n")
    hints = []
    if not planned.token:
        hints.append(_("{name} is not set here, so the webhook keeps its token; for a new one: --new-token", name=name))
    if webhook.interrupted or webhook.penalised:
        hints.append(_("Asaas holds its queue back; when the bridge answers: bridge webhook resume"))
    if planned.wanted.email and planned.before and planned.wanted.email != planned.before.email:
        hints.append(_("Asaas changes the e-mail of a webhook only on its own screen: Integrações, Webhooks"))
    for url in planned.others:
        text = N_("another webhook leads to {url}; if that is an old address: bridge webhook remove --url")
        hints.append(_(text, url=plain(url)))
    for hint in hints:
        click.echo(f"  {hint}")


def _show_new_token(account: Account, *, as_json: bool) -> None:
    """Make a token and show it once; nothing changes yet, here or at Asaas."""
    name = variable("ASAAS_WEBHOOK_TOKEN", account.name)
    if not account.webhook_token:
        what, hint = N_("{name} is not set, so there is no token to replace"), N_("run: bridge webhook register")
        raise UsageError(what, name=name, hint=hint)
    token = asaas_webhooks.generate()
    if as_json:
        show_json({"token_variable": name, "token": token})
        return
    steps = _(
        "  1. put it before the old one, with a blank between them: {name}='NEW OLD'\n"
        "  2. start the bridge again: it lets both in\n"
        "  3. run this command again with that environment: it gives Asaas the new one\n"
        "  4. when `bridge doctor` says that Asaas has the new one, take the old one out",
        name=name,
    )
    click.echo(_("a new token, shown only now; nothing is changed yet") + f"\n\n{token}\n\n{steps}")


def _check_known(status: int | None, address: str) -> None:
    if status != 400:  # the door's answer to the right token with a body that is no event
        got = message(N_("nobody answers")) if status is None else message(N_("got {status}"), status=status)
        what = N_("the new token must open the door before Asaas gets it, {got}")
        hint = N_("start the bridge again with both tokens in its environment, then run this again")
        raise TokenNotKnown(what, got=got, where=address, hint=hint)


def _rotation(invocation: Invocation, account: str) -> Sequence[Message]:
    """Return how far the change of the account's token has come and what to do next; nothing where it has one token."""
    from bridge.operations.doctor import tokens_used

    known = invocation.settings.accounts.get(account)
    if known is None or not known.old_webhook_token:
        return ()
    return asaas_webhooks.rotation(*tokens_used(lambda: invocation.journal, known), system_clock_ms(), account)


def _show_status(
    account: str,
    webhooks: Sequence[Webhook],
    wants: frozenset[str],
    wrong: Sequence[Problem],
    rotation: Sequence[Message],
) -> None:
    click.echo(_("account {name}", name=account))
    for one in webhooks:
        state = _("interrupted") if one.interrupted else _("sends") if one.enabled else _("switched off")
        more = len(set(one.events) - wants)
        show_line("url", one.url)
        show_line("id", one.id)
        show_line(_("state"), f"{state}, {one.send_type}")
        if one.penalised:
            show_line(_("failures"), _("{number} penalised", number=one.penalised))
        show_line(_("token"), _("set at Asaas") if one.has_token else _("not set at Asaas"))
        show_line(_("events"), _("{total}, of which {more} no mapping needs", total=len(one.events), more=more))
    if rotation:
        show_line(_("tokens"), "; ".join(map(plain, rotation)))
    for problem in wrong:
        click.echo(f"  {_(LEVELS[problem.level])}: {plain(problem.what)}; {plain(problem.mend)}")
    if not wrong:
        click.echo("  " + _("fine"))
