"""Which Asaas account something is about, under which address Asaas reaches it, and which mappings are in use."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path

from bridge.asaas.client import AsaasClient
from bridge.asaas.webhook_rules import hook_url
from bridge.errors import JournalError, SettingsError, UsageError
from bridge.http import check_url
from bridge.journal import Journal
from bridge.journal.clock import own_clock_ms
from bridge.mapping import Known, Mapping, read_directory
from bridge.process import ActiveMappings
from bridge.runtime import Runtime
from bridge.settings import Settings, variable

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
        active = ActiveMappings(open_journal(), own_clock_ms).current()
    except JournalError:
        active = ()  # not made yet: the webhook is set up before the bridge runs for the first time
    if active:
        return [item.mapping for item in active], "the active mappings"
    read = read_directory(directory, Known(None, None, directory))
    return [item.mapping for item in read if item.mapping is not None], f"the files in {directory}"
