"""`bridge up`: the whole bridge on this machine for real, kept running until Ctrl-C or SIGTERM.

Every variable that is missing is said at once, before anything is started. Standard output carries the log lines of
web and worker, each with its name in front.
"""

from __future__ import annotations

import os
import shlex
import threading
import time
from collections.abc import Iterable
from typing import TYPE_CHECKING

import click

from bridge.cli.local import check_free
from bridge.cli.root import Invocation
from bridge.errors import SettingsError
from bridge.settings import DEFAULT, Settings

if TYPE_CHECKING:
    from bridge.cli.local import LocalBridge
    from bridge.mapping import Mapping, ReadMapping

_TEND_S = 0.2


@click.command(short_help="Run the whole bridge on this machine.")
@click.option("--host", help="Address to bind, instead of BRIDGE_HOST.")
@click.option("--port", type=click.IntRange(1, 65535), help="Port to bind, instead of PORT.")
@click.pass_obj
def up(invocation: Invocation, host: str | None, port: int | None) -> None:
    """Run the whole bridge on this machine: journal, web, worker, and a Redis unless REDIS_URL names one.

    Brings the journal's schema to this version, starts again what dies, and prints the address to enter in Asaas.
    Needs ASAAS_WEBHOOK_TOKEN, CLINT_WEBHOOK_URL and, for mappings that send what only the Asaas API knows (such as
    the customer's name, e-mail and phone), ASAAS_API_KEY.
    """
    from bridge.cli.local import LocalBridge
    from bridge.cli.supervise import Stopping
    from bridge.runtime import Runtime

    lines = _Lines()
    invocation.queue_output(lines.notice)
    environ = dict(os.environ)
    environ |= {name: str(value) for name, value in (("BRIDGE_HOST", host), ("PORT", port)) if value is not None}
    settings = Settings.from_env(environ)
    read = _read_mappings(settings)
    _require_all(settings, [item.mapping for item in read if item.mapping])
    Runtime(settings).check_urls()
    check_free(settings.bridge_host, settings.port)
    with Stopping() as stopping, LocalBridge(environ, notice=lines.notice, line=lines.line) as bridge:
        bridge.wait_until_up(stopping.__bool__)
        if not stopping:
            for text in _welcome(bridge):
                lines.notice(text)
        while not stopping:
            bridge.tend()
            time.sleep(_TEND_S)
        lines.notice("ending; what is under way is finished first (Ctrl-C again ends at once)")
    lines.notice("ended")


class _Lines:
    """Prints whole lines of several processes, never one inside another."""

    def __init__(self) -> None:
        self._turn = threading.Lock()

    def line(self, name: str, text: str) -> None:
        """Print what a process said."""
        with self._turn:
            click.echo(f"{name:<8}| {text}")

    def notice(self, text: str) -> None:
        """Print what there is to say about the whole."""
        self.line("bridge", text)


def _read_mappings(settings: Settings) -> list[ReadMapping]:
    from bridge.mapping import Known, read_directory

    # Whatever accounts and destinations they name: one that is missing is said with the other variables.
    directory = settings.bridge_mappings_dir
    return read_directory(directory, Known(None, None, directory))


def _require_all(settings: Settings, mappings: Iterable[Mapping]) -> None:
    """Raise SettingsError with every variable that the bridge and its enabled mappings need and that is not set."""
    if settings.bridge_encryption_key:
        return  # accounts and destinations may be in the journal, or come into it later
    keyless: dict[str, str] = {}
    unset: dict[str, str] = {}
    for mapping in mappings:
        if not mapping.enabled:
            continue
        account = settings.accounts.get(mapping.account)
        if (mapping.filter_needs or mapping.field_needs) and not (account and account.api_key):
            keyless.setdefault(mapping.account, mapping.name)
        for name in mapping.destinations - settings.destinations.keys():
            unset.setdefault(name, mapping.name)
    problems = _problems(settings, "ASAAS_WEBHOOK_TOKEN")
    for family, lacking, why in (
        ("CLINT_WEBHOOK_URL", unset, "sends there"),
        ("ASAAS_API_KEY", keyless, "reads from that account's API"),
    ):
        # Where none of a family is set, one line says where its value comes from; else each one that a mapping names.
        found = _problems(settings, family) if lacking or family == "CLINT_WEBHOOK_URL" else []
        problems += found or [
            f"{family if name == DEFAULT else f'{family}_{name.upper()}'} is not set; the mapping {mapping} {why}"
            for name, mapping in sorted(lacking.items())
        ]
    if problems:
        raise SettingsError(problems)


def _problems(settings: Settings, name: str) -> list[str]:
    try:
        settings.require(name)
    except SettingsError as error:
        return list(error.problems)
    return []


def _welcome(bridge: LocalBridge) -> list[str]:
    """Return what an operator must know to connect Asaas, and what is wrong."""
    from bridge.cli.local import bridge_command

    accounts = bridge.settings.accounts.values()
    paths = {
        account.name: "/webhooks/asaas" if account.name == DEFAULT else f"/webhooks/asaas/{account.name}"
        for account in accounts
        if account.webhook_token
    }
    ready = bridge.readiness()
    is_open = bridge.has_password or bridge.settings.bridge_console_token
    return [
        f"up at {bridge.url}",
        *(f"  webhook of account {name}: {bridge.url}{path}" for name, path in paths.items()),
        f"  active mappings: {', '.join(ready.active) or 'none'}",
        *(f"  problem: {problem}" for problem in ready.problems),
        "  Asaas must reach it from the internet: run the bridge on a host with https, or open a tunnel to this",
        f"  machine, such as `cloudflared tunnel --url {bridge.url}`; enter the tunnel's address, with that path",
        "  behind it, and the token of ASAAS_WEBHOOK_TOKEN in Asaas: Integrações, Webhooks",
        # In another terminal `bridge` may be iproute2's.
        f"  look: {bridge.console_url} (console); {shlex.join(bridge_command('events'))} list",
        *([] if is_open else ["  the console is closed: set BRIDGE_PASSWORD, 12 characters or more"]),
    ]
