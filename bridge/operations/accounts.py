"""Which Asaas account something is about, under which address Asaas reaches it, and which mappings are in use."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from sqlalchemy import Connection, func, select

from bridge.accounts import LOOK_EVERY_S
from bridge.asaas import webhooks as asaas_webhooks
from bridge.asaas.client import AsaasClient
from bridge.asaas.webhooks import KEY_REFUSED, hook_url
from bridge.errors import JournalError, KeyNeeded, NotFound, SettingsError, UsageError
from bridge.http import check_url
from bridge.journal import Journal, audit, encryption, notices
from bridge.journal import accounts as kept
from bridge.journal import destinations as circuits
from bridge.journal.audit import Actor
from bridge.journal.clock import system_clock_ms
from bridge.journal.notices import Resolved
from bridge.journal.schema import OPEN, WAITS, deliveries, events
from bridge.mapping import Mapping, Setup, read_directory
from bridge.pipeline.account_events import ACCESS_TOKEN
from bridge.pipeline.active_mappings import ActiveMappings
from bridge.runtime import Runtime
from bridge.settings import NAME, Settings, variable

_PRODUCTION_KEY = "$aact_prod_"


def client_of(runtime: Runtime, account: str) -> AsaasClient:
    """Return the API client of the account; raise SettingsError where it has no key."""
    client = runtime.asaas.get(account)
    if client is None:
        others = ", ".join(sorted(runtime.asaas)) or "none"
        raise SettingsError(
            [
                f"{variable('ASAAS_API_KEY', account)} is not set; make a key in Asaas (Integrações, Chaves de API) "
                f"and put it in single quotes, or name another account with --account; accounts with a key: {others}"
            ]
        )
    return client


def is_production(runtime: Runtime, account: str) -> bool:
    """Return whether real money would move; a key that says production is believed whatever the address says."""
    key = runtime.accounts[account].api_key
    return key.startswith(_PRODUCTION_KEY) or runtime.environment(account) == "production"


def public_hook_url(settings: Settings, account: str, given: str | None) -> str | None:
    """Return the URL of the account's webhook by what was given or BRIDGE_PUBLIC_URL; None where neither says."""
    public = given or settings.bridge_public_url
    if not public:
        return None
    problem = check_url(public, settings.bridge_allow_private_destinations)
    if problem is None and set("?#") & set(public):
        problem = "must have no ? and no #, got one"
    if problem:
        raise UsageError(f"{'--url' if given else 'BRIDGE_PUBLIC_URL'} {problem}")
    return hook_url(public, account)


def mappings_in_use(open_journal: Callable[[], Journal], directory: Path) -> tuple[Sequence[Mapping], str]:
    """Return the mappings that are active in the journal, or those of the files where it has none, and which it is."""
    try:
        active = ActiveMappings(open_journal(), system_clock_ms).current()
    except JournalError:
        active = ()  # not made yet: the webhook is set up before the bridge runs for the first time
    if active:
        return [item.mapping for item in active], "the active mappings"
    read = read_directory(directory, Setup(None, None, directory))
    return [item.mapping for item in read if item.mapping is not None], f"the files in {directory}"


_MAKE_KEY = "make one with `bridge db new-key`, set BRIDGE_ENCRYPTION_KEY for all processes and start them again"


@dataclass(frozen=True, slots=True)
class Made:
    """What came of adding an account."""

    path: str
    """The path of its webhook."""
    fresh: bool
    """Whether there was none of that name."""
    token: str | None = field(default=None, repr=False)
    """The token, where it was made here."""


def add_account(
    journal: Journal,
    settings: Settings,
    actor: Actor,
    now_ms: int,
    name: str,
    *,
    api_key: str,
    token: str = "",
) -> Made:
    """Keep an account in the journal, or change the one of that name; without a token it keeps its own or gets one.

    An empty key is an account whose API is not asked. Raises KeyNeeded, UsageError.
    """
    _check(journal, settings, name, name in settings.accounts, "ASAAS_API_KEY")
    if re.search(r"\s", api_key):
        raise UsageError("the API key must not have white space", hint="copy the whole key from Asaas again")
    if token and (problem := asaas_webhooks.problem(token)):
        raise UsageError(f"the webhook token {problem}", hint="leave it empty, and the bridge makes one")
    with journal.database.write() as connection:
        encryption.prepare(connection)
        before = kept.accounts(connection).get(name)
        made = None if token or before else asaas_webhooks.generate()
        token = token or made or (before.webhook_token if before else "")
        kept.put_account(connection, kept.StoredAccount(name, api_key, token, now_ms, now_ms))
        if before is None or before.api_key != api_key:
            keys_of = [
                one for one in notices.open_notices(connection, [ACCESS_TOKEN]) if one.about.startswith(f"{name}/")
            ]
            mended = [Resolved(KEY_REFUSED, name), *(Resolved(one.code, one.about) for one in keys_of)]
            notices.apply(connection, mended, now_ms)
        audit.note(connection, actor, "account.changed" if before else "account.added", name, now_ms)
    return Made(f"/webhooks/asaas/{name}", before is None, made)


def set_token(journal: Journal, actor: Actor, now_ms: int, name: str, token: str) -> None:
    """Give an account of the journal another webhook token. Raises NotFound."""
    with journal.database.write() as connection:
        before = kept.accounts(connection).get(name)
        if before is None:
            raise _no_account(name)
        kept.put_account(connection, kept.StoredAccount(name, before.api_key, token, before.created_ms, now_ms))
        audit.note(connection, actor, "account.token_changed", name, now_ms)


def remove_account(journal: Journal, actor: Actor, now_ms: int, name: str) -> None:
    """Remove an account from the journal: its webhook is answered 404 from then on. Raises NotFound."""
    with journal.database.write() as connection:
        if not kept.remove_account(connection, name):
            raise _no_account(name)
        audit.note(connection, actor, "account.removed", name, now_ms)


def waiting_events(connection: Connection, name: str) -> int:
    """Return how many events of an account no mapping has seen yet."""
    return connection.scalar(select(func.count()).select_from(events).where(WAITS, events.c.account == name)) or 0


def add_destination(
    journal: Journal, settings: Settings, actor: Actor, now_ms: int, name: str, url: str
) -> tuple[bool, int]:
    """Keep a destination's URL in the journal, or change it; return whether it is new, and how many lines it frees.

    A new URL resumes a destination that was paused, with a closed circuit. Raises KeyNeeded, UsageError.
    """
    _check(journal, settings, name, name in settings.destinations, "CLINT_WEBHOOK_URL")
    problem = check_url(url, settings.bridge_allow_private_destinations)
    if problem:
        raise UsageError(f"the URL of {name} {problem}", hint="copy it from Clint: the origin's integrations")
    with journal.database.write() as connection:
        encryption.prepare(connection)
        before = kept.destinations(connection).get(name)
        kept.put_destination(connection, kept.StoredDestination(name, url, now_ms, now_ms))
        circuits.register(connection, {name: url}, now_ms)
        freed = 0
        if before is None or before.url != url:
            # Due when every worker knows the URL: one that does not would put it off again.
            freed = circuits.resume(connection, name, now_ms + int(2_000 * LOOK_EVERY_S))
        action = "destination.changed" if before else "destination.added"
        audit.note(connection, actor, action, name, now_ms)
    return before is None, freed


def remove_destination(journal: Journal, actor: Actor, now_ms: int, name: str) -> None:
    """Remove a destination's URL from the journal; what is owed to it waits. Raises NotFound."""
    with journal.database.write() as connection:
        if not kept.remove_destination(connection, name):
            raise NotFound(
                f"no destination of the journal is named {name!r}",
                hint="one of the environment is removed there; see: bridge destinations list",
            )
        audit.note(connection, actor, "destination.removed", name, now_ms)


def open_deliveries(connection: Connection, name: str) -> int:
    """Return how many deliveries are owed to a destination."""
    query = select(func.count()).select_from(deliveries).where(OPEN, deliveries.c.destination == name)
    return connection.scalar(query) or 0


def overridden(connection: Connection, settings: Settings) -> list[str]:
    """Return the variables that win over what the journal keeps under the same name."""
    accounts = settings.accounts.keys() & kept.accounts(connection).keys()
    urls = settings.destinations.keys() & kept.destinations(connection).keys()
    return [
        *(variable("ASAAS_API_KEY", name) for name in sorted(accounts)),
        *(variable("CLINT_WEBHOOK_URL", name) for name in sorted(urls)),
    ]


def _check(journal: Journal, settings: Settings, name: str, is_set: bool, family: str) -> None:
    if not re.fullmatch(NAME, name):
        raise UsageError(f"a name must be of up to 40 small letters, digits and _, got {name!r}")
    if is_set:
        raise UsageError(
            f"{name} is set up in the environment, which wins",
            hint=f"change {variable(family, name)} there, or take it away first",
        )
    if not journal.database.keyring:
        raise KeyNeeded(hint=_MAKE_KEY)


def _no_account(name: str) -> NotFound:
    return NotFound(
        f"no account of the journal is named {name!r}",
        hint="one of the environment is removed there; see: bridge accounts list",
    )
