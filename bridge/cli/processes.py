"""`bridge web`, `bridge worker` and `bridge sweeper`: one process each, as a host runs them.

They log to standard output. A database or a Redis that is away when they start is waited for; a schema that is not this
version's is not, since only `bridge db upgrade` ends that.
"""

from __future__ import annotations

import os
import shlex
import signal
import sys
import threading
import time
from collections.abc import Iterable
from importlib.util import find_spec
from types import FrameType
from typing import TYPE_CHECKING

import click

from bridge import logs
from bridge.cli.main import Invocation
from bridge.cli.stack import STOP_GRACE_S, check_free, listen
from bridge.errors import DecryptionFailed, JournalError, JournalNotMigrated, SettingsError
from bridge.logs import logger
from bridge.settings import DEFAULT, LEAST_TOKEN, Settings, variable
from bridge.settings import host as bare_host

if TYPE_CHECKING:
    from bridge.cli.stack import LocalBridge
    from bridge.mapping import Mapping, ParseResult
    from bridge.runtime import Runtime


log = logger(__name__)

FIRST_WAIT_S = 1.0
LONGEST_WAIT_S = 30.0
_FROM_JOURNAL = frozenset({"ASAAS_WEBHOOK_TOKEN", "CLINT_WEBHOOK_URL"})


@click.command()
@click.option("--host", help="Address to bind, instead of BRIDGE_HOST.")
@click.option("--port", type=click.IntRange(0, 65535), help="Port to bind, instead of PORT.")
@click.pass_obj
def web(invocation: Invocation, host: str | None, port: int | None) -> None:
    """Take what Asaas posts, and answer health checks.

    Needs REDIS_URL, and ASAAS_WEBHOOK_TOKEN or an account in the journal.
    """
    from bridge.web.server import serve

    settings = _begin(invocation, "ASAAS_WEBHOOK_TOKEN", "REDIS_URL")
    address = (bare_host(host or settings.bridge_host), settings.port if port is None else port)
    serve(settings, listen(*address))


@click.command()
@click.pass_obj
def worker(invocation: Invocation) -> None:
    """Decide what events mean and deliver to Clint; run the periodic tasks.

    Any number of workers may run at once; one of them runs the tasks: it wakes what is due, brings in mapping files,
    watches the webhooks at Asaas, looks for deals in Clint, sends alerts and keeps the journal small. Needs REDIS_URL,
    and CLINT_WEBHOOK_URL or a destination in the journal; SIGTERM lets it finish what is under way.
    """
    from bridge.runtime import Runtime
    from bridge.worker.drain import Drainer
    from bridge.worker.rq_worker import work
    from bridge.worker.sweeper import PeriodicRunner
    from bridge.worker.tasks import tasks

    settings = _begin(invocation, "REDIS_URL", "CLINT_WEBHOOK_URL")
    runtime = Runtime(settings)
    runtime.check_urls()
    _register_when_there(runtime, threading.Event())
    drainer = Drainer(
        runtime.journal,
        runtime.decider,
        runtime.deliverer,
        runtime.wakeups,
        runtime.clock_ms,
        settings.bridge_worker_lanes,
    )
    stopping = threading.Event()
    runner = PeriodicRunner(tasks(runtime), runtime.journal, runtime.telemetry, runtime.clock_ms)
    with runner.in_thread(stopping):
        work(runtime.worker_redis, drainer, stopping, settings.bridge_send_timeout + STOP_GRACE_S)
    runtime.close()


@click.command(short_help="Run the periodic tasks alone.")
@click.pass_obj
def sweeper(invocation: Invocation) -> None:
    """Run the periodic tasks alone, in a process that delivers nothing.

    Not needed beside a worker, which runs them too: of all workers and sweepers one does. Needs REDIS_URL, and
    CLINT_WEBHOOK_URL or a destination in the journal.
    """
    from bridge.runtime import Runtime
    from bridge.worker.sweeper import PeriodicRunner
    from bridge.worker.tasks import tasks

    settings = _begin(invocation, "REDIS_URL", "CLINT_WEBHOOK_URL")
    stopping = threading.Event()

    def stop(_signum: int, _frame: FrameType | None) -> None:
        # In a thread: the handler may have interrupted the very code that holds the event's lock.
        threading.Thread(target=stopping.set, name="stop").start()

    signal.signal(signal.SIGTERM, stop)
    signal.signal(signal.SIGINT, stop)
    runtime = Runtime(settings)
    runtime.check_urls()
    _register_when_there(runtime, stopping)

    runner = PeriodicRunner(tasks(runtime), runtime.journal, runtime.telemetry, runtime.clock_ms)
    runner.run(stopping)
    runtime.close()


def _begin(invocation: Invocation, *required: str) -> Settings:
    settings = invocation.settings
    # With a key, accounts and destinations may come later, from the journal.
    settings.require(*(name for name in required if name not in _FROM_JOURNAL or not settings.bridge_encryption_key))
    if settings.otel_exporter_otlp_endpoint and find_spec("opentelemetry") is None:
        raise SettingsError(
            ["OTEL_EXPORTER_OTLP_ENDPOINT needs the extra otel: pip install 'asaas-clint-bridge[otel]', or unset it"]
        )
    # Until the process has its own handler there is nothing under way that a stop would have to wait for.
    signal.signal(signal.SIGTERM, _leave)
    logs.queue_output(lambda lines: log.warning("log.dropped", lines=lines))
    level = "debug" if invocation.debug else settings.bridge_log_level
    logs.configure(level, json=not sys.stdout.isatty())
    for name in settings.without_effect:
        log.warning("setting.without_effect", name=name, mend="remove it; the next release does not know it")
    for account in settings.accounts.values():
        if 0 < len(account.old_webhook_token) < LEAST_TOKEN:
            name = variable("ASAAS_WEBHOOK_TOKEN", account.name)
            mend = "the old token can be guessed: run bridge webhook register --rotate, then take it out"
            log.warning("token.old_is_short", name=name, characters=len(account.old_webhook_token), mend=mend)
    return settings


def _leave(_signum: int, _frame: FrameType | None) -> None:
    raise SystemExit(0)


def _register_when_there(runtime: Runtime, stopping: threading.Event) -> None:
    """Bring destinations and mappings into the journal, as soon as its database answers."""
    wait_s = FIRST_WAIT_S
    while not stopping.is_set():
        try:
            resumed = runtime.register()
        except (JournalNotMigrated, DecryptionFailed):
            raise
        except JournalError as error:
            log.warning("journal.away", error=str(error), again_s=wait_s)
            stopping.wait(wait_s)
            wait_s = min(LONGEST_WAIT_S, wait_s * 2)
        else:
            for name in resumed:
                log.info("destination.resumed", destination=name, reason="its URL is new")
            return


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
    from bridge.cli.stack import LocalBridge, Stopping
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
            bridge.poll()
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


def _read_mappings(settings: Settings) -> list[ParseResult]:
    from bridge.mapping import Setup, read_directory

    # Whatever accounts and destinations they name: one that is missing is said with the other variables.
    directory = settings.bridge_mappings_dir
    return read_directory(directory, Setup(None, None, directory))


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
    from bridge.cli.stack import bridge_command

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
