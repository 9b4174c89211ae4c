"""Connects an Asaas account by its key: finds its owner, registers its webhook and checks the way to the door.

Each step stands alone: one that fails leaves what the others did.
"""

from __future__ import annotations

import hashlib
import re
import unicodedata
from collections.abc import Callable, Collection, Iterable
from dataclasses import dataclass

from bridge.accounts import LOOK_EVERY_S
from bridge.asaas.client import AsaasClient
from bridge.asaas.webhooks import Webhook, Webhooks, find_ours, needed_events
from bridge.errors import BridgeError, SettingsError, UsageError
from bridge.mapping import Mapping
from bridge.mapping.catalogue import EVENTS
from bridge.messages import N_
from bridge.operations.accounts import client_of, is_production_key, mappings_in_use, public_hook_url
from bridge.operations.doctor import post_to_door
from bridge.operations.webhooks import WantedWebhook, WebhookResult, apply, found_ours, note_registered, plan
from bridge.runtime import Runtime
from bridge.settings import DEFAULT, Account

DOOR_TRIES = 3
_KNOWS_OTHER = frozenset({401, 404})
"""The door's answers where a process does not know the account, or another token of it."""


@dataclass(frozen=True, slots=True)
class Company:
    """What Asaas says about the account of a key."""

    name: str
    """Empty where the key may not read it."""
    production: bool
    twin: str = ""
    """The account of the bridge that has another key of the same account at Asaas; empty for none."""


def company_of(runtime: Runtime, account: str, api_key: str) -> Company:
    """Return whose account the key opens, as Asaas says it; raise UsageError, and what the client of Asaas raises."""
    if not re.fullmatch(r"[!-~]+", api_key) or not api_key.startswith("$aact_"):
        what = N_("that is no API key of Asaas: one begins with $aact_ and has no blanks")
        raise UsageError(what, hint=N_("copy the whole key from Asaas again: Integrações, Chaves de API"))
    if (name := key_in_use(runtime, api_key)) and name != account:
        raise UsageError(N_("the account {name} has this key already"), name=name)
    try:
        client = runtime.asaas_client(Account(account or "new", api_key))
    except SettingsError:
        if runtime.settings.asaas_api_url:
            raise
        what = N_("this older key does not say whether it is of production or of the sandbox")
        raise UsageError(what, hint=N_("make a new key in Asaas: Integrações, Chaves de API")) from None
    client.get("/customers", {"limit": 1})  # what mappings need most
    is_production = is_production_key(runtime, api_key)
    twin = _twin(runtime, account, wallet(client), is_production=is_production)
    return Company(company_name(client, api_key), is_production, twin)


def wallet(client: AsaasClient) -> str:
    """Return the id of the wallet of the account at Asaas; empty where the key may not read it."""
    try:
        found = client.get("/wallets/") or {}
    except BridgeError:  # a key without that permission works all the same
        return ""
    return min((str(one.get("id") or "") for one in found.get("data") or ()), default="")


def _twin(runtime: Runtime, account: str, of_key: str, *, is_production: bool) -> str:
    """Return the name of another account that has a key of the account with this wallet."""
    if not of_key:
        return ""
    for one in runtime.accounts.values():
        client = runtime.asaas.get(one.name) if one.name != account else None
        is_alike = client is not None and is_production_key(runtime, one.api_key) is is_production
        if client and is_alike and wallet(client) == of_key:
            return one.name
    return ""


_COMPANIES: dict[str, str] = {}
"""The names of companies that Asaas told this process, by a hash of the key: shown beside accounts, stored nowhere."""


def known_company(api_key: str) -> str | None:
    """Return the name of the company that this process knows of the key."""
    return _COMPANIES.get(hashlib.sha256(api_key.encode()).hexdigest())


def company_name(client: AsaasClient, api_key: str) -> str:
    """Ask for the name of the account's company and remember it; empty where the key may not read it."""
    try:
        found = client.get("/myAccount/commercialInfo/") or {}
    except BridgeError:  # a key without that permission works all the same
        return ""
    names = (" ".join(str(found.get(key) or "").split()) for key in ("tradingName", "companyName", "name"))
    name = next((name[:80] for name in names if name), "")
    if name:
        _COMPANIES[hashlib.sha256(api_key.encode()).hexdigest()] = name
    return name


def key_in_use(runtime: Runtime, api_key: str) -> str:
    """Return the name of the account that has the key, empty where none has."""
    return next((one.name for one in runtime.accounts.values() if one.api_key == api_key), "")


_LEGAL_FORMS = frozenset({"ltda", "me", "mei", "epp", "eireli", "sa", "s", "a"})


def proposed_name(company: str, taken: Collection[str]) -> str:
    """Return a short name for a new account: the first is the one that mappings listen to without naming it.

    >>> proposed_name("Comércio São José Ltda.", ["default"])
    'comercio_sao_jose'
    >>> proposed_name("Padaria", []), proposed_name("", ["default", "conta"])
    ('default', 'conta_2')
    """
    if DEFAULT not in taken:
        return DEFAULT
    plain = unicodedata.normalize("NFKD", company).encode("ascii", "ignore").decode().lower()
    words = re.findall(r"[a-z0-9]+", plain)
    while words and words[-1] in _LEGAL_FORMS:
        words.pop()
    stem = "_".join(words)[:30].strip("_") or "conta"
    names = (stem, *(f"{stem}_{number}" for number in range(2, len(taken) + 3)))
    return next(name for name in names if name not in taken)


CHARGES = frozenset(event.name for event in EVENTS.values() if event.family == "PAYMENT")
"""The events of a webhook while no mapping names any: they are kept, and can be replayed."""


def events_to_register(mappings: Iterable[Mapping], account: str, has: Iterable[Webhook]) -> frozenset[str]:
    """Return what the account's mappings listen to, or all of charges while none is on, and what its webhooks have."""
    return (needed_events(mappings, account) or CHARGES).union(*(one.events for one in has))


def connect_webhook(runtime: Runtime, account: str, public_url: str | None, email: str | None) -> WebhookResult:
    """Register the account's webhook, or bring it to what the mappings need; it keeps events that it has beyond them.

    Raises UsageError where no address is known, and what the client of Asaas raises.
    """
    url = public_hook_url(runtime.settings, account, public_url)
    mappings, _ = mappings_in_use(lambda: runtime.journal, runtime.settings.bridge_mappings_dir)
    webhooks = Webhooks(client_of(runtime, account))
    every = webhooks.all()
    events = events_to_register(mappings, account, find_ours(every, account, url))
    planned = plan(every, WantedWebhook(account, url, events, runtime.accounts[account].webhook_token, email=email))
    done = apply(webhooks, planned)
    note_registered(runtime.journal, account, done.webhook, mappings, public_url or "", runtime.clock_ms())
    return done


def webhook_address(runtime: Runtime, account: str) -> str:
    """Return where the account's webhook posts, as Asaas has it; raise NotFound where none leads to the bridge."""
    url = public_hook_url(runtime.settings, account, None)
    found = found_ours(Webhooks(client_of(runtime, account)), account, url)
    return next((one.url for one in found if one.enabled), found[0].url)


def door_answers(runtime: Runtime, account: str, address: str, sleep: Callable[[float], object]) -> int | None:
    """Return the status of the door at the webhook's address; 400 is right: the token, and a body that is no event.

    Other processes may need a moment to know the account.
    """
    token = runtime.accounts[account].webhook_token
    status = post_to_door(runtime, address, token)
    for _ in range(DOOR_TRIES):
        if status not in _KNOWS_OTHER:
            break
        sleep(LOOK_EVERY_S)
        status = post_to_door(runtime, address, token)
    return status


def remove_webhook(runtime: Runtime, account: str) -> list[str]:
    """Remove the account's webhooks that lead to the bridge; return their URLs, none where there is none."""
    webhooks = Webhooks(client_of(runtime, account))
    url = public_hook_url(runtime.settings, account, None)
    found = find_ours(webhooks.all(), account, url)
    for one in found:
        webhooks.remove(one)
    return [one.url for one in found]
