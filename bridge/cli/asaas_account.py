"""Which Asaas account a command is about, under which address Asaas reaches it, and which mappings are in use."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING

import click

from bridge.cli.root import Invocation
from bridge.errors import JournalError, SettingsError, UsageError
from bridge.settings import DEFAULT, Settings

if TYPE_CHECKING:
    from bridge.asaas.client import AsaasClient
    from bridge.mapping import Mapping
    from bridge.runtime import Runtime

account_option = click.option(
    "--account", metavar="NAME", default=DEFAULT, show_default=True, help="The Asaas account, by its name in settings."
)


def variable(family: str, account: str) -> str:
    """Return the name of the variable that sets this up for the account.

    >>> variable("ASAAS_API_KEY", "default"), variable("ASAAS_API_KEY", "matriz")
    ('ASAAS_API_KEY', 'ASAAS_API_KEY_MATRIZ')
    """
    return family if account == DEFAULT else f"{family}_{account.upper()}"


@contextmanager
def opened_runtime(settings: Settings) -> Iterator[Runtime]:
    """Give the parts of this process, closed afterwards."""
    from bridge.runtime import Runtime

    runtime = Runtime(settings)
    runtime.check_urls()
    try:
        yield runtime
    finally:
        runtime.close()


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


def public_hook_url(settings: Settings, account: str, given: str | None) -> str | None:
    """Return the URL of the account's webhook by --url or BRIDGE_PUBLIC_URL; None where neither says."""
    from bridge.asaas.webhook_rules import hook_url
    from bridge.clint import check_url

    public = given or settings.bridge_public_url
    if not public:
        return None
    problem = check_url(public, settings.bridge_allow_private_destinations)
    if problem is None and set("?#") & set(public):
        problem = "must have no ? and no #, got one"
    if problem:
        raise UsageError(f"{'--url' if given else 'BRIDGE_PUBLIC_URL'} {problem}")
    return hook_url(public, account)


def mappings_in_use(invocation: Invocation) -> tuple[Sequence[Mapping], str]:
    """Return the mappings that are active in the journal, or those of the files where it has none, and which it is."""
    from bridge.mapping import Known, read_directory
    from bridge.process import ActiveMappings
    from bridge.runtime import clock_ms

    try:
        active = ActiveMappings(invocation.journal, clock_ms).current()
    except JournalError:
        active = ()  # not made yet: the webhook is set up before the bridge runs for the first time
    if active:
        return [item.mapping for item in active], "the active mappings"
    directory = invocation.settings.bridge_mappings_dir
    read = read_directory(directory, Known(None, None, directory))
    return [item.mapping for item in read if item.mapping is not None], f"the files in {directory}"
