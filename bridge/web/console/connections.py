"""Accounts and their webhooks at Asaas, destinations at Clint, the checks with their fixes, notices.

A page shows whether a secret is set, never the secret; only a webhook's token that was made here is shown, once.
"""

from __future__ import annotations

import json
import secrets
from contextlib import suppress
from dataclasses import replace
from typing import Any

from flask import Blueprint, request
from flask.typing import ResponseReturnValue

from bridge.asaas.webhooks import Webhook, Webhooks, find_ours, needed_events, problems
from bridge.errors import AsaasOutcomeUnknown, BridgeError, JournalError, NoAnswerYet
from bridge.journal import destinations
from bridge.journal.jobs import newest
from bridge.mapping import Mapping, testing
from bridge.messages import N_, Message, _
from bridge.operations import actions
from bridge.operations.accounts import client_of, public_hook_url
from bridge.operations.webhooks import (
    WantedWebhook,
    WebhookPlan,
    WebhookResult,
    apply,
    events_wanted,
    judge,
    plan,
    resumed,
)
from bridge.settings import variable
from bridge.web.console import jobs, layout
from bridge.web.console.access import person, runtime
from bridge.web.console.jobs import external_call
from bridge.web.console.mappings import directory

pages = Blueprint("connections", __name__)


@pages.get("/connections")
def show() -> ResponseReturnValue:
    settings = runtime.settings
    with runtime.journal.database.read() as connection:
        kept = destinations.load(connection)
        found = layout.open_notices(connection)
        last = newest(connection, "examination", runtime.clock_ms()) if person.accounts is None else []
    names = layout.seen_destinations()
    return layout.page(
        "connections.html",
        accounts=[
            (one.name, bool(one.api_key), bool(one.webhook_token), runtime.environment(one.name))
            for one in runtime.accounts.values()
            if person.sees(one.name)
        ],
        destinations=[
            (name, name in runtime.destinations, kept.get(name))
            for name in sorted(kept.keys() | runtime.destinations.keys())
            if names is None or name in names
        ],
        variable=variable,
        others=[
            ("CLINT_API_TOKEN", bool(settings.clint_api_token)),
            ("REDIS_URL", bool(settings.redis_url)),
            ("DATABASE_URL", True),
            ("BRIDGE_PUBLIC_URL", bool(settings.bridge_public_url)),
        ],
        public_url=settings.bridge_public_url,
        notices=found,
        examination=last[0] if last else None,
    )


@pages.post("/connections/check")
def check() -> ResponseReturnValue:
    """Begin the examination, or show the one that runs."""
    return jobs.running_job("examination") or jobs.begin("examination", "", jobs.examination, {})


# ---------------------------------------------------------------- the webhook at Asaas


def _mappings() -> list[Mapping]:
    return [item.mapping for item in runtime.mappings.current()]


def _judge(account: str, webhooks: list[Webhook], given: str | None = None) -> None:
    """Close the notices that a change at Asaas resolved."""
    public_url = given or runtime.settings.bridge_public_url
    with suppress(JournalError):  # a journal that is away must not hide the result
        judge(runtime.journal, account, webhooks, _mappings(), public_url, runtime.clock_ms())


def _check_seen(account: str) -> None:
    """Answer 404 for an account that is not there, or that the person may not see."""
    layout.found(runtime.accounts.get(account) if person.sees(account) else None)


@pages.get("/connections/<account>/webhook")
def webhook(account: str) -> ResponseReturnValue:
    """Show the webhook as Asaas has it, with its problems."""
    _check_seen(account)
    values: dict[str, Any] = {"account": account, "public_url": runtime.settings.bridge_public_url}
    try:
        client = client_of(runtime, account)
        url = public_hook_url(runtime.settings, account, None)
        found = external_call(lambda: find_ours(Webhooks(client).all(), account, url))
        wants = needed_events(_mappings(), account)
        values |= {"webhooks": found, "needed": wants, "problems": problems(found, wants, account)}
    except BridgeError as error:
        values["error"] = error
    return layout.page("webhook.html", **values)


@pages.post("/connections/<account>/webhook")
def register(account: str) -> ResponseReturnValue:
    """Show what registering would change, or register where that was confirmed."""
    _check_seen(account)
    form = request.form
    given = form.get("url", "").strip() or None
    values: dict[str, Any] = {"account": account, "form": form}
    planned: list[WebhookPlan] = []
    try:
        webhooks = Webhooks(client_of(runtime, account))
        wanted = WantedWebhook(
            account,
            public_hook_url(runtime.settings, account, given),
            events_wanted(_mappings(), "", account, every="every" in form, account_events="account_events" in form),
            runtime.accounts[account].webhook_token,
            email=form.get("email", "").strip() or None,
            new_token="new_token" in form,
        )

        def ask() -> WebhookResult | None:
            planned.append(plan(webhooks.all(), wanted))
            return apply(webhooks, planned[0]) if "confirmed" in form else None

        done = external_call(ask)
    except BridgeError as error:
        if "confirmed" in form and planned and isinstance(error, AsaasOutcomeUnknown | NoAnswerYet):
            # Asaas may have the new token by now, and no other page shows it.
            layout.note("webhook.registered", account, {"outcome": "unknown"})
            values |= {"planned": planned[0], "name": variable("ASAAS_WEBHOOK_TOKEN", account)}
        return layout.page("webhook_confirm.html", 422, error=error, **values)
    if done is None:
        return layout.page("webhook_confirm.html", planned=planned[0], **values)
    _judge(account, [done.webhook], given)
    layout.note("webhook.registered", account, {"events": len(done.webhook.events), "new_token": done.plan.made_token})
    # Only this answer shows the token: no address, cookie or row holds it.
    return layout.page("webhook_done.html", done=done, name=variable("ASAAS_WEBHOOK_TOKEN", account), account=account)


@pages.post("/connections/<account>/webhook/resume")
def resume_webhook(account: str) -> ResponseReturnValue:
    _check_seen(account)
    try:
        url = public_hook_url(runtime.settings, account, None)
        client = client_of(runtime, account)
        done = external_call(lambda: resumed(Webhooks(client), account, url))
    except BridgeError as error:
        layout.flash_message(_("It failed: {error}", error=error.text()), "bad")
    else:
        changed = any(what for _, what in done)
        _judge(account, [replace(one, interrupted=False, penalised=0) for one, _ in done])
        layout.note("webhook.resumed", account)
        layout.flash_message(_("Asaas sends again.") if changed else _("It was neither interrupted nor penalised."))
    return layout.go("console.connections.webhook", account=account)


# ---------------------------------------------------------------- destinations


@pages.post("/connections/destinations/<name>/pause")
def pause(name: str) -> ResponseReturnValue:
    why = Message(N_("paused by {who}"), {"who": person.author}).to_json()
    actions.pause(runtime.journal, name, why, runtime.clock_ms(), by=person.actor)
    layout.flash_message(_("{name} is paused; its deliveries wait.", name=name), "warning")
    return layout.go("console.connections.show")


@pages.post("/connections/destinations/<name>/resume")
def resume(name: str) -> ResponseReturnValue:
    freed = actions.resume(runtime.journal, name, runtime.clock_ms(), by=person.actor)
    layout.flash_message(_("{name} takes deliveries again; lines that waited: {n}.", name=name, n=freed))
    return layout.go("console.connections.show")


@pages.get("/connections/destinations/<name>/test")
def test_form(name: str) -> ResponseReturnValue:
    """Show the payload of a test of a mapping, to change and send."""
    layout.found(runtime.destinations.get(name))
    return layout.page("destination_test.html", name=name, body=_example(name), answer=None, problem="")


def _example(name: str) -> str:
    for mapping in _mappings():
        if name in mapping.destinations:
            sent = next((one.payload for one in testing.run(mapping, directory()) if one.payload), None)
            if sent:
                return json.dumps(dict(sent), ensure_ascii=False, indent=2)
    example = {"nome": "Teste da ponte", "email": "teste@example.com", "telefone": "5511900000000"}
    return json.dumps(example, ensure_ascii=False, indent=2)


@pages.post("/connections/destinations/<name>/test")
def test(name: str) -> ResponseReturnValue:
    url = layout.found(runtime.destinations.get(name))
    body = request.form.get("body", "")[:20_000]
    answer, problem = None, ""
    try:
        payload = json.loads(body)
    except (ValueError, RecursionError):
        payload = None
    if not isinstance(payload, dict):
        problem = N_("Not sent: it must be a JSON object.")
    elif "confirmed" not in request.form:
        problem = N_("Not sent: the confirmation is missing.")
    else:
        clint, key = runtime.clint, f"test-{secrets.token_hex(8)}"
        try:
            answer = external_call(lambda: clint.send(url, payload, key))
        except NoAnswerYet:
            layout.note("destination.tested", name, {"outcome": "unknown"})
            raise
        layout.note("destination.tested", name, {"outcome": answer.outcome.value, "status": answer.status})
    status = 422 if problem else 200
    return layout.page("destination_test.html", status, name=name, body=body, answer=answer, problem=problem)
