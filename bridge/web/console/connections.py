"""Accounts and their webhooks at Asaas, destinations at Clint, the checks with their fixes, notices.

A page shows whether a secret is set, never the secret. Only a token made here for an account of the environment is
shown, once: a person has to put it there. `connecting` has the forms for keys and URLs.
"""

from __future__ import annotations

import json
import secrets
from collections.abc import Iterable
from contextlib import suppress
from dataclasses import replace
from html import escape
from typing import Any

from flask import Blueprint, request
from flask.typing import ResponseReturnValue
from werkzeug.datastructures import MultiDict

from bridge.asaas.webhooks import Webhook, Webhooks, find_ours, needed_events, problems
from bridge.asaas.webhooks import problem as token_problem
from bridge.errors import AsaasOutcomeUnknown, BridgeError, JournalError, NoAnswerYet
from bridge.formats import Formats
from bridge.journal import accounts as stored
from bridge.journal import destinations
from bridge.journal.jobs import newest
from bridge.mapping import Mapping, testing
from bridge.messages import N_, Message, _, message
from bridge.operations import actions
from bridge.operations.accounts import (
    change_token,
    client_of,
    is_production,
    mappings_in_use,
    overridden,
    public_hook_url,
)
from bridge.operations.connect import company_name, events_to_register, known_company
from bridge.operations.webhooks import (
    WantedWebhook,
    WebhookPlan,
    WebhookResult,
    apply,
    events_wanted,
    judge,
    note_registered,
    plan,
    resumed,
)
from bridge.settings import Account, origin_of, variable
from bridge.web.console import clint, forms, jobs, layout
from bridge.web.console.access import person, runtime
from bridge.web.console.connecting import keeps_secrets, known
from bridge.web.console.jobs import external_call
from bridge.web.console.mappings import directory

pages = Blueprint("connections", __name__)

HOOK_STOPPED = ("webhook.missing", "webhook.disabled", "webhook.interrupted")
"""The notices of a webhook that sends nothing."""
MOST_TEST = 20_000
"""The most characters of a test payload: far more than any mapping makes."""


@pages.get("/connections")
def show() -> ResponseReturnValue:
    settings = runtime.settings
    with runtime.journal.database.read() as connection:
        kept = destinations.load(connection)
        found = layout.open_notices(connection)
        answering = layout.answering(connection, runtime.destinations)
        hooks_told = {one.about: one.code for one in reversed(found) if one.code in HOOK_STOPPED}
        last = newest(connection, "examination", runtime.clock_ms()) if person.accounts is None else []
        hidden = overridden(connection, settings) if person.accounts is None else []
        public_url = stored.public_url(connection, settings.bridge_public_url)
    names = layout.seen_destinations()
    seen = [*(name for name in runtime.accounts if person.sees(name)), *runtime.destinations]
    of_environment = [name for name in seen if name in settings.accounts or name in settings.destinations]
    urls = dict(runtime.destinations)
    return layout.page(
        "connections.html",
        stores_here=len(of_environment) < len(seen),
        of_environment=of_environment,
        accounts=[
            {
                "name": one.name,
                "has_key": bool(one.api_key),
                "has_token": bool(one.webhook_token),
                "weak": token_problem(one.webhook_token) if one.webhook_token else None,
                "production": bool(one.api_key) and is_production(runtime, one.name),
                "company": known_company(one.api_key),
                "fixed": one.name in settings.accounts,
                "stopped": hooks_told.get(one.name, ""),
            }
            for one in runtime.accounts.values()
            if person.sees(one.name)
        ],
        destinations=[
            (name, name in urls, kept.get(name), name in settings.destinations, origin_of(urls.get(name, "")))
            for name in sorted(kept.keys() | urls.keys())
            if names is None or name in names
        ],
        answering=answering,
        hidden=hidden,
        keeps=keeps_secrets(),
        variable=variable,
        others=[
            ("REDIS_URL", bool(settings.redis_url)),
            ("DATABASE_URL", True),
            ("BRIDGE_PUBLIC_URL", bool(settings.bridge_public_url)),
        ],
        public_url=public_url,
        notices=found,
        examination=last[0] if last else None,
        clint=clint.summary(),
    )


@pages.get("/connections/<account>/company")
def company(account: str) -> ResponseReturnValue:
    """Return the name of the account's company as text, for htmx; empty where Asaas can't be asked now."""
    one = _seen(account)
    try:
        client = client_of(runtime, account)
        name = known_company(one.api_key) or external_call(lambda: company_name(client, one.api_key))
    except BridgeError:
        name = ""
    return escape(name)


@pages.post("/connections/check")
def check() -> ResponseReturnValue:
    """Begin the examination, or show the one that runs."""
    return jobs.running_job("examination") or jobs.begin("examination", "", jobs.examination, {})


# ---------------------------------------------------------------- the webhook at Asaas


def _mappings() -> list[Mapping]:
    return [item.mapping for item in runtime.mappings.current()]


def _judge(account: str, webhooks: list[Webhook]) -> None:
    """Close the notices that a change at Asaas resolved."""
    public_url = runtime.settings.bridge_public_url
    with suppress(JournalError):  # a journal that is away must not hide the result
        judge(runtime.journal, account, webhooks, _mappings(), public_url, runtime.clock_ms())


def _seen(account: str) -> Account:
    """Return the account; answer 404 for one that is not there, or that the person may not see."""
    return layout.found(known(runtime.accounts, account) if person.sees(account) else None)


@pages.get("/connections/<account>/webhook")
def webhook(account: str) -> ResponseReturnValue:
    """Show the webhook as Asaas has it, with its problems."""
    one = _seen(account)
    values: dict[str, Any] = {"account": account, "public_url": runtime.settings.bridge_public_url}
    values["company"] = known_company(one.api_key)
    try:
        client = client_of(runtime, account)
        url = public_hook_url(runtime.settings, account, None)
        found = external_call(lambda: find_ours(Webhooks(client).all(), account, url))
        wants = needed_events(_mappings(), account)
        _judge(account, found)
        values |= {"webhooks": found, "needed": wants, "problems": problems(found, wants, account)}
        if found:
            values["public_url"] = values["public_url"] or found[0].url.partition("/webhooks/")[0]
    except BridgeError as error:
        values["error"] = error
    return layout.page("webhook.html", **values)


@pages.get("/connections/<account>/webhook/register")
def ask_to_register(account: str) -> ResponseReturnValue:
    """Show what registering would change, and why it could not be done."""
    return _register(account, forms.sent().fields or request.args)


@pages.post("/connections/<account>/webhook")
def register(account: str) -> ResponseReturnValue:
    """Register where that was confirmed; else lead to the page that asks."""
    _seen(account)
    if "confirmed" in request.form:
        return _register(account, request.form)
    asked = {name: value for name, value in request.form.items() if name not in {"csrf_token", "account"}}
    return layout.go("console.connections.ask_to_register", account=account, **asked)


def _register(account: str, form: MultiDict[str, str]) -> ResponseReturnValue:
    one = _seen(account)
    fixed = account in runtime.settings.accounts
    given = form.get("url", "").strip() or None
    real = bool(one.api_key) and is_production(runtime, account)
    is_sent, sent = request.method == "POST", forms.sent()
    is_confirmed = is_sent and (not real or "production" in form)
    values: dict[str, Any] = {"account": account, "form": form, "fixed": fixed, "production": real}
    values |= {"sent": sent, "name": variable("ASAAS_WEBHOOK_TOKEN", account)}
    if is_sent and not is_confirmed:
        fault = Message(N_("confirm that this is the production account you mean"))
        return forms.send_back("console.connections.ask_to_register", faults={"production": fault}, account=account)
    if sent.problem:
        return layout.page("webhook_confirm.html", 422, new_token=(forms.shown_once() or {}).get("new_token"), **values)
    planned: list[WebhookPlan] = []
    try:
        journal, actor, now_ms = runtime.journal, person.actor, runtime.clock_ms()
        client = client_of(runtime, account)
        webhooks = Webhooks(client)
        url = public_hook_url(runtime.settings, account, given, Message(N_("the public address")))

        def ask() -> WebhookResult | None:
            every = webhooks.all()
            wanted = WantedWebhook(
                account,
                url,
                _events(account, form, find_ours(every, account, url)),
                one.webhook_token,
                email=form.get("email", "").strip() or None,
                new_token="new_token" in form,
            )
            planned.append(plan(every, wanted))
            if not is_confirmed:
                if real and known_company(one.api_key) is None:
                    company_name(client, one.api_key)
                return None
            if planned[0].made_token and not fixed:
                # Before Asaas has it: what it posts meanwhile with the old one is refused, and posted again.
                change_token(journal, actor, now_ms, account, planned[0].token)
            return apply(webhooks, planned[0])

        done = external_call(ask)
    except BridgeError as error:
        if not is_sent:
            return layout.page("webhook_confirm.html", error=error, **values)
        more = {}
        if planned and isinstance(error, AsaasOutcomeUnknown | NoAnswerYet):
            # Asaas may have the new token by now, and no other page shows it.
            layout.note("webhook.registered", account, {"outcome": "unknown"})
            more = {"new_token": planned[0].token} if planned[0].made_token and fixed else {}
        return forms.send_back("console.connections.ask_to_register", problem=error, more=more, account=account)
    if done is None:
        values["company"] = known_company(one.api_key)
        return layout.page("webhook_confirm.html", sent.status, planned=planned[0], **values)
    with suppress(JournalError):  # a journal that is away must not hide the result
        public_url = given or runtime.settings.bridge_public_url
        note_registered(journal, account, done.webhook, _mappings(), public_url, runtime.clock_ms())
    if not fixed:
        runtime.account_store.refresh()
    layout.note("webhook.registered", account, {"events": len(done.webhook.events), "new_token": done.plan.made_token})
    # A token of the environment is shown for some minutes; no address, cookie or row holds it in clear.
    shown = {
        "url": done.webhook.url,
        "events": sorted(done.webhook.events),
        "send_type": done.webhook.send_type,
        "refused": list(done.refused),
        "new_token": done.plan.token if done.plan.made_token and fixed else "",
    }
    return forms.show_once("console.connections.registered", shown, account=account)


@pages.get("/connections/<account>/webhook/registered")
def registered(account: str) -> ResponseReturnValue:
    """Show what was registered, for some minutes and to the person who did it."""
    _seen(account)
    done = forms.shown_once()
    if done is None:
        return layout.go("console.connections.webhook", account=account)
    return layout.page("webhook_done.html", done=done, name=variable("ASAAS_WEBHOOK_TOKEN", account), account=account)


def _events(account: str, form: MultiDict[str, str], found: Iterable[Webhook]) -> frozenset[str]:
    """Return the events to subscribe to: as connecting does, without those that no mapping names where the form says
    so, and with those that it asks for."""
    mappings = mappings_in_use(lambda: runtime.journal, directory())[0]
    events = events_to_register(mappings, account, () if "only_needed" in form else found)
    more = {name: name in form for name in ("every", "account_events")}
    return events | events_wanted(mappings, account, **more) if any(more.values()) else events


@pages.post("/connections/<account>/webhook/resume")
def resume_webhook(account: str) -> ResponseReturnValue:
    _seen(account)
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
    nameless = layout.AUTHORS.get(person.author)
    why = Message(N_("paused by {who}"), {"who": Message(nameless) if nameless else person.author})
    actions.pause(runtime.journal, name, why, runtime.clock_ms(), by=person.actor)
    layout.flash_message(_("{name} is paused; its deliveries wait.", name=name), "warning")
    return layout.go("console.connections.show")


@pages.post("/connections/destinations/<name>/resume")
def resume(name: str) -> ResponseReturnValue:
    resumed = actions.resume(runtime.journal, name, runtime.clock_ms(), by=person.actor)
    layout.flash_message(layout.resumed_words(name, resumed))
    return layout.go("console.connections.show")


@pages.get("/connections/destinations/<name>/test")
def test_form(name: str) -> ResponseReturnValue:
    """Show the payload of a test of a mapping, to change and send; after a test also what was answered."""
    _webhook_url(name)
    sent, may_move = forms.sent(), name not in runtime.settings.destinations
    body = sent.fields["body"] if "body" in sent.fields else _example(name)
    answer = sent.more.get("answer")
    return layout.page(
        "destination_test.html", sent.status, name=name, body=body, may_move=may_move, answer=answer, sent=sent
    )


@pages.post("/connections/destinations/<name>/trust")
def trust(name: str) -> ResponseReturnValue:
    """Note that a person says the destination is right, although nothing has answered there yet."""
    layout.found(known(runtime.destinations, name))
    layout.note("destination.trusted", name)
    layout.flash_message(_("Noted: {name} counts as connected without a test.", name=name))
    return layout.go("console.overview.index")


def _webhook_url(name: str) -> str:
    url = layout.found(known(runtime.destinations, name))
    layout.found(url if origin_of(url) is None else None)  # the test of an API destination sends no payload
    return url


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
    """Send a payload to a URL; of an API destination, read what Clint has, and write nothing."""
    url = layout.found(known(runtime.destinations, name))
    if origin_of(url) is not None:
        return clint.test_destination(name)
    body = request.form.get("body", "")
    faults: dict[str, Message] = {}
    try:
        payload = json.loads(body)
    except (ValueError, RecursionError):
        payload = None
    if len(body) > MOST_TEST:
        faults["body"] = message(N_("Not sent: it may have at most {n} characters."), n=Formats(0).number(MOST_TEST))
    elif not isinstance(payload, dict):
        faults["body"] = Message(N_("Not sent: it must be a JSON object."))
    elif "confirmed" not in request.form:
        faults["confirmed"] = Message(N_("Not sent: the confirmation is missing."))
    more: dict[str, Any] = {}
    if not faults:
        client, key = runtime.clint, f"test-{secrets.token_hex(8)}"
        try:
            answer = external_call(lambda: client.send(url, payload, key))
        except NoAnswerYet as error:
            layout.note("destination.tested", name, {"outcome": "unknown"})
            return forms.send_back("console.connections.test_form", problem=error, name=name)
        layout.note("destination.tested", name, {"outcome": answer.outcome.value, "status": answer.status})
        more["answer"] = {
            "outcome": answer.outcome.value,
            "status": answer.status,
            "code": answer.code,
            "duration_ms": answer.duration_ms,
            "detail": answer.detail.to_json(),
            "excerpt": answer.excerpt,
        }
    return forms.send_back("console.connections.test_form", faults=faults, more=more, name=name)
