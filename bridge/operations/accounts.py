"""Changes to the accounts, destinations and token of the journal; clients, addresses and mappings of an account."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Sequence
from enum import StrEnum
from pathlib import Path

from sqlalchemy import Connection, func, select

from bridge.accounts import LOOK_EVERY_S
from bridge.asaas import webhooks as asaas_webhooks
from bridge.asaas.client import AsaasClient, environment
from bridge.asaas.webhooks import KEY_REFUSED, hook_url
from bridge.errors import JournalError, KeyNeeded, NotFound, SettingsError, UsageError
from bridge.http import check_url, is_private_url
from bridge.journal import Journal, audit, encryption, notices
from bridge.journal import accounts as stored
from bridge.journal import destinations as circuits
from bridge.journal.audit import Actor
from bridge.journal.clock import system_clock_ms
from bridge.journal.notices import Resolved
from bridge.journal.schema import OPEN, WAITS, deliveries, events, tenant_accounts, tenant_clint, tenant_destinations
from bridge.mapping import Mapping, Setup, read_directory
from bridge.messages import N_, Message, message
from bridge.pipeline.account_events import ACCESS_TOKEN
from bridge.pipeline.active_mappings import ActiveMappings
from bridge.reasons import pause_code
from bridge.runtime import Runtime
from bridge.settings import DEFAULT, NAME, Settings, api_secret, destination_variable, origin_of, variable


def client_of(runtime: Runtime, account: str) -> AsaasClient:
    """Return the API client of the account; raise SettingsError where it has no key."""
    client = runtime.asaas.get(account)
    if client is None:
        what = N_(
            "{variable} is not set; make a key in Asaas (Integrações, Chaves de API) and put it in single quotes, or "
            "name another account with --account; accounts with a key: {accounts}"
        )
        if is_kept(runtime, account):
            what = N_(
                "account {account} has no API key; make one in Asaas (Integrações, Chaves de API) and run: bridge "
                "accounts add {account}; or name another account with --account; accounts with a key: {accounts}"
            )
        names = ", ".join(sorted(runtime.asaas)) or Message(N_("none"))
        facts = {"account": account, "variable": variable("ASAAS_API_KEY", account), "accounts": names}
        raise SettingsError([message(what, **facts)])
    return client


def is_kept(runtime: Runtime, account: str) -> bool:
    """Return whether the journal keeps the account, so that no variable holds its key."""
    return account in runtime.accounts and account not in runtime.settings.accounts


def key_called(runtime: Runtime, account: str) -> str | Message:
    """Return what a person calls the account's API key: its variable, where the environment sets it."""
    if is_kept(runtime, account):
        return message(N_("API key of {account}"), account=account)
    return variable("ASAAS_API_KEY", account)


def is_production(runtime: Runtime, account: str) -> bool:
    """Return whether real money moves: by the key's prefix, whatever the address, else by the environment."""
    return is_production_key(runtime, runtime.accounts[account].api_key)


def is_production_key(runtime: Runtime, api_key: str) -> bool:
    """Return whether a key that need not be stored yet is one of production."""
    return api_key.startswith("$aact_prod_") or environment(runtime.settings.asaas_api_url or api_key) == "production"


def public_hook_url(settings: Settings, account: str, given: str | None, label: str | Message = "--url") -> str | None:
    """Return the URL of the account's webhook by the given URL or BRIDGE_PUBLIC_URL; None without both.

    `label` is what the person calls the given one.
    """
    public = given or settings.bridge_public_url
    if not public:
        return None
    problem = check_url(public, settings.bridge_allow_private_destinations)
    if problem is None and set("?#") & set(public):
        problem = Message(N_("must have no ? and no #, got one"))
    if problem:
        raise UsageError("{name} {rule}", name=label if given else "BRIDGE_PUBLIC_URL", rule=problem)
    return hook_url(public, account)


def mappings_in_use(open_journal: Callable[[], Journal], directory: Path) -> tuple[Sequence[Mapping], Message]:
    """Return the active mappings of the journal, else those of the files, and where they come from."""
    try:
        active = ActiveMappings(open_journal(), system_clock_ms).current()
    except JournalError:
        active = ()  # the webhook may be registered before the first start of the bridge
    if active:
        return [item.mapping for item in active], Message(N_("the active mappings"))
    read = read_directory(directory, Setup(None, None, directory))
    found = [one.mapping for one in read if one.mapping is not None]
    return found, message(N_("the files in {directory}"), directory=str(directory))


TOKEN_VARIABLE = variable("CLINT_API_TOKEN", DEFAULT)
SET_TOKEN = N_(
    "make a token in Clint (its API needs the Elite plan) and run: bridge clint set-token; or set CLINT_API_TOKEN for "
    "all processes and start them again"
)
MAKE_KEY = N_("make one with `bridge db new-key`, set BRIDGE_ENCRYPTION_KEY for all processes and start them again")


class Stored(StrEnum):
    """What became of a value that a person gave."""

    ADDED = "added"
    CHANGED = "changed"
    UNCHANGED = "unchanged"  # the journal had it, so the audit trail notes nothing


def _stored(before: object, now: object) -> Stored:
    return Stored.ADDED if before is None else Stored.UNCHANGED if before == now else Stored.CHANGED


def add_account(
    journal: Journal,
    settings: Settings,
    actor: Actor,
    now_ms: int,
    name: str,
    *,
    api_key: str,
    token: str = "",
    must_be_new: bool = False,
) -> tuple[Stored, str | None]:
    """Add an account to the journal or change it; return which of them, and the token where one was made.

    Without a token it keeps its own or gets one. An account with an empty key works without the API. Raises KeyNeeded,
    UsageError.
    """
    _check(journal, settings, name, name in settings.accounts, "ASAAS_API_KEY")
    if re.search(r"\s", api_key):
        raise UsageError(N_("the API key must not have white space"), hint=N_("copy the whole key from Asaas again"))
    if token and (problem := asaas_webhooks.problem(token)):
        hint = N_("leave it empty, and the bridge makes one")
        raise UsageError(N_("the webhook token {rule}"), hint=hint, rule=problem)
    with journal.database.write() as connection:
        encryption.prepare(connection)
        before = stored.accounts(connection).get(name)
        if before and must_be_new:
            raise UsageError(N_("there is an account named {name}"), hint=N_("choose another name"), name=name)
        made = None if token or before else asaas_webhooks.generate()
        token = token or made or (before.webhook_token if before else "")
        done = _stored(before and (before.api_key, before.webhook_token), (api_key, token))
        if done is Stored.UNCHANGED:
            return done, None
        stored.put(connection, tenant_accounts, name, now_ms, api_key=api_key, webhook_token=token)
        if before is None or before.api_key != api_key:
            tokens = notices.open_notices(connection, [ACCESS_TOKEN])
            resolved = [Resolved(one.code, one.about) for one in tokens if one.about.startswith(f"{name}/")]
            notices.apply(connection, [Resolved(KEY_REFUSED, name), *resolved], now_ms)
        audit.note(connection, actor, f"account.{done}", name, now_ms)
    return done, made


def change_token(journal: Journal, actor: Actor, now_ms: int, name: str, token: str) -> None:
    """Give an account of the journal another webhook token. Raises NotFound."""
    with journal.database.write() as connection:
        before = stored.accounts(connection).get(name)
        if before is None:
            raise NotFound(N_("no account of the journal is named {name!r}"), name=name)
        stored.put(connection, tenant_accounts, name, now_ms, api_key=before.api_key, webhook_token=token)
        audit.note(connection, actor, "account.token_changed", name, now_ms)


def remove_account(journal: Journal, actor: Actor, now_ms: int, name: str) -> None:
    """Remove an account from the journal; the door answers its webhook 404 from then on. Raises NotFound."""
    with journal.database.write() as connection:
        if not stored.remove(connection, tenant_accounts, name):
            hint = N_("one of the environment is removed there; see: bridge accounts list")
            raise NotFound(N_("no account of the journal is named {name!r}"), hint=hint, name=name)
        told = [one for one in notices.open_notices(connection) if re.split("[/ ]", one.about)[0] == name]
        notices.apply(connection, [Resolved(one.code, one.about) for one in told], now_ms)
        audit.note(connection, actor, "account.removed", name, now_ms)


def without_mapping(names: Iterable[str], mappings: Iterable[Mapping]) -> list[str]:
    """Return the accounts without a mapping that is on: none of their events go to Clint.

    None while no mapping is on at all: then it is not about one account.
    """
    served = {one.account for one in mappings if one.enabled}
    return [name for name in names if name not in served] if served else []


def waiting_events(connection: Connection, name: str) -> int:
    """Return the number of an account's events that no mapping has judged yet."""
    return connection.scalar(select(func.count()).select_from(events).where(WAITS, events.c.account == name)) or 0


def add_destination(
    journal: Journal, settings: Settings, actor: Actor, now_ms: int, name: str, url: str, *, must_be_new: bool = False
) -> tuple[Stored, int]:
    """Add a destination to the journal or change it; return which of them, and how many lines it frees.

    `url` is a webhook's URL or the text of an API destination (see `settings.origin_of`). A new one resumes a paused
    destination and closes its circuit. Raises KeyNeeded, UsageError.
    """
    check_destination(journal, settings, name, url)
    with journal.database.write() as connection:
        encryption.prepare(connection)
        before = stored.destinations(connection).get(name)
        if before and must_be_new:
            raise UsageError(N_("there is a destination named {name}"), hint=N_("choose another name"), name=name)
        circuits.register(connection, {name: url}, now_ms)
        done = _stored(before, url)
        if done is Stored.UNCHANGED:
            return done, 0
        stored.put(connection, tenant_destinations, name, now_ms, url=url)
        freed = _resume(connection, name, now_ms)
        audit.note(connection, actor, f"destination.{done}", name, now_ms)
    return done, freed


def check_destination(journal: Journal, settings: Settings, name: str, url: str) -> None:
    """Raise KeyNeeded or UsageError where a destination can't have this name, URL or text of an origin."""
    fixed = settings.destinations.get(name)
    family = "CLINT_WEBHOOK_URL" if fixed is None or origin_of(fixed) is None else "CLINT_ORIGIN"
    _check(journal, settings, name, fixed is not None, family)
    if origin_of(url) is not None:
        if not has_token(journal, settings):
            what = N_("an origin as a destination needs a token of Clint's API, and none is set")
            raise UsageError(what, hint=SET_TOKEN)
    elif problem := check_url(url, settings.bridge_allow_private_destinations):
        hint = N_("copy it from Clint: the origin's integrations")
        raise UsageError(N_("the URL of {name} {rule}"), hint=hint, name=name, rule=problem)


_CLINT = re.compile(r"https://functions-api\.clint\.digital/endpoints/integration/[a-z]+/[0-9a-fA-F-]{36}/?")


STRANGE = (
    Message(N_("This does not look like a URL of a Clint webhook integration")),
    message(
        N_(
            "Such a URL begins with {url} and ends in a long code of letters and digits; the address of Clint's own "
            "pages takes no deals."
        ),
        url="https://functions-api.clint.digital/endpoints/integration/",
    ),
)
"""The warning about a URL that is none of Clint's integrations."""


def strange_url(settings: Settings, url: str) -> tuple[Message, Message] | None:
    """Return the warning about a URL before it is stored: STRANGE or None.

    Where private addresses are allowed, as in a trial, each of them is right.
    """
    is_trial = settings.bridge_allow_private_destinations and is_private_url(url)
    return None if is_trial or _CLINT.fullmatch(url) else STRANGE


def remove_destination(journal: Journal, actor: Actor, now_ms: int, name: str) -> None:
    """Remove a destination's URL from the journal; its due deliveries wait. Raises NotFound."""
    with journal.database.write() as connection:
        if not stored.remove(connection, tenant_destinations, name):
            hint = N_("one of the environment is removed there; see: bridge destinations list")
            raise NotFound(N_("no destination of the journal is named {name!r}"), hint=hint, name=name)
        audit.note(connection, actor, "destination.removed", name, now_ms)


def has_token(journal: Journal, settings: Settings) -> bool:
    """Return whether there is a token of Clint's API, in the environment or the journal."""
    if settings.clint_api_token:
        return True
    with journal.database.read() as connection:
        return bool(stored.clint_token(connection))


def check_token(journal: Journal, settings: Settings, token: str) -> None:
    """Raise KeyNeeded or UsageError where this token of Clint's API can't be stored."""
    if settings.clint_api_token:
        what = N_("the token of Clint's API is set up in the environment, which wins")
        raise UsageError(what, hint=N_("change {variable} there, or remove it first"), variable=TOKEN_VARIABLE)
    if not journal.database.keyring:
        raise KeyNeeded(hint=MAKE_KEY)
    try:
        is_whole = bool(api_secret(token))
    except ValueError:
        is_whole = False
    if not is_whole:
        what = N_("a token of Clint's API is letters, digits and signs without blanks")
        raise UsageError(what, hint=N_("copy the whole token from Clint again"))


def put_token(journal: Journal, settings: Settings, actor: Actor, now_ms: int, token: str) -> tuple[bool, int]:
    """Store a token of Clint's API; return whether it is the first, and how many lines a new one frees.

    It resumes the API destinations that were paused because Clint refused the one before. Raises KeyNeeded, UsageError.
    """
    check_token(journal, settings, token)
    with journal.database.write() as connection:
        encryption.prepare(connection)
        before = stored.clint_token(connection)
        stored.put(connection, tenant_clint, DEFAULT, now_ms, token=token)
        freed = 0
        if before != token:
            paused = {name: one.paused_reason for name, one in circuits.load(connection).items() if one.paused_ms}
            for name in _by_api(connection, settings):
                if name not in paused or pause_code(paused[name]) in _PAUSED_BY_TOKEN:
                    freed += _resume(connection, name, now_ms)
            audit.note(connection, actor, "clint.token_changed" if before else "clint.token_added", "", now_ms)
    return not before, freed


_PAUSED_BY_TOKEN = frozenset({"clint.token", "clint.plan"})


def remove_token(journal: Journal, actor: Actor, now_ms: int) -> None:
    """Remove the token of Clint's API from the journal; due deliveries to origins wait. Raises NotFound."""
    with journal.database.write() as connection:
        if not stored.remove(connection, tenant_clint, DEFAULT):
            hint = N_("one of the environment is removed there")
            raise NotFound(N_("the journal has no token of Clint's API"), hint=hint)
        audit.note(connection, actor, "clint.token_removed", "", now_ms)


def waiting_for_token(connection: Connection, settings: Settings) -> int:
    """Return the number of due deliveries that are written by Clint's API."""
    return sum(open_deliveries(connection, name) for name in _by_api(connection, settings))


def _by_api(connection: Connection, settings: Settings) -> list[str]:
    """Return the destinations that are written by Clint's API."""
    urls = {**stored.destinations(connection), **settings.destinations}
    return [name for name, url in sorted(urls.items()) if origin_of(url) is not None]


def _resume(connection: Connection, name: str, now_ms: int) -> int:
    """Resume a destination with a new URL or token; return how many lines waited.

    They are due once every worker knows the new value: another worker would defer them again.
    """
    return circuits.resume(connection, name, now_ms + int(2_000 * LOOK_EVERY_S)).lines


def open_deliveries(connection: Connection, name: str) -> int:
    """Return the number of due deliveries of a destination."""
    query = select(func.count()).select_from(deliveries).where(OPEN, deliveries.c.destination == name)
    return connection.scalar(query) or 0


def overridden(connection: Connection, settings: Settings) -> list[str]:
    """Return the variables that win over the journal's values of the same name."""
    accounts = settings.accounts.keys() & stored.accounts(connection).keys()
    urls = settings.destinations.keys() & stored.destinations(connection).keys()
    token = [TOKEN_VARIABLE] if settings.clint_api_token and stored.clint_token(connection) else []
    return [
        *token,
        *(variable("ASAAS_API_KEY", name) for name in sorted(accounts)),
        *(destination_variable(name, settings.destinations[name]) for name in sorted(urls)),
    ]


def _check(journal: Journal, settings: Settings, name: str, is_set: bool, family: str) -> None:
    if not name:
        raise UsageError(N_("a name is missing"), name=name)
    if not re.fullmatch(NAME, name):
        raise UsageError(N_("a name must be of up to 40 small letters, digits and _, got {name!r}"), name=name)
    if is_set:
        what = N_("{name} is set up in the environment, which wins")
        hint = N_("change {variable} there, or remove it first")
        raise UsageError(what, hint=hint, name=name, variable=variable(family, name))
    if not journal.database.keyring:
        raise KeyNeeded(hint=MAKE_KEY)
