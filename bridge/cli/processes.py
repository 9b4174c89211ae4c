"""`bridge web`, `bridge worker` and `bridge sweeper`, one process each, and `bridge up`, all of them.

The processes log to standard output. They wait for a database or a Redis that is away when they start, and end where
the schema is another version's: only `bridge db upgrade` changes that.
"""

from __future__ import annotations

import os
import shlex
import signal
import sys
import threading
import time
from collections.abc import Mapping, Sequence
from contextlib import ExitStack, closing, suppress
from functools import partial
from importlib.util import find_spec
from pathlib import Path
from types import FrameType

import click

from bridge import logs
from bridge.asaas import webhooks as asaas_webhooks
from bridge.cli.main import Invocation
from bridge.cli.output import is_terminal
from bridge.cli.stack import (
    FIRST_WAIT_S,
    LONGEST_WAIT_S,
    POLL_S,
    STOP_GRACE_S,
    LocalBridge,
    LogFile,
    Stopping,
    bridge_command,
    listen,
    reserved,
)
from bridge.crypto import keep_new_key, with_kept_key
from bridge.errors import DecryptionFailed, JournalError, JournalNotMigrated, SettingsError
from bridge.journal import users
from bridge.logs import logger
from bridge.mapping import Setup, read_directory
from bridge.messages import N_, Message, _, message
from bridge.operations.accounts import is_kept
from bridge.runtime import Runtime
from bridge.settings import DEFAULT, JOURNAL_FILE, LEAST_TOKEN, Settings, variable
from bridge.settings import host as bare_host

log = logger(__name__)


@click.command()
@click.option("--host", help="Address to bind, instead of BRIDGE_HOST.")
@click.option("--port", type=click.IntRange(0, 65535), help="Port to bind, instead of PORT.")
@click.pass_obj
def web(invocation: Invocation, host: str | None, port: int | None) -> None:
    """Take what Asaas posts, and answer health checks.

    Needs REDIS_URL. Takes the events of the accounts that have an ASAAS_WEBHOOK_TOKEN or are in the journal.
    """
    from bridge.web.server import serve

    settings = _begin(invocation, "ASAAS_WEBHOOK_TOKEN")
    address = (bare_host(host or settings.bridge_host), settings.port if port is None else port)
    serve(settings, listen(*address))


@click.command()
@click.pass_obj
def worker(invocation: Invocation) -> None:
    """Decide what events mean and deliver to Clint; run the periodic tasks.

    Any number of workers may run at once; one of them runs the tasks: it wakes what is due, brings in mapping files,
    watches the webhooks at Asaas, looks for deals in Clint, sends alerts and keeps the journal small. Needs REDIS_URL;
    SIGTERM lets it finish what is under way.
    """
    from bridge.worker.drain import Drainer
    from bridge.worker.rq_worker import work
    from bridge.worker.sweeper import PeriodicRunner
    from bridge.worker.tasks import tasks

    runtime = _runtime_of_tasks(invocation)
    settings = runtime.settings
    lanes = settings.bridge_worker_lanes
    drainer = Drainer(runtime.journal, runtime.decider, runtime.deliverer, runtime.wakeups, runtime.clock_ms, lanes)
    stopping = threading.Event()
    runner = PeriodicRunner(tasks(runtime), runtime.journal, runtime.telemetry, runtime.clock_ms)
    with runner.in_thread(stopping):
        work(runtime.worker_redis, drainer, stopping, settings.bridge_send_timeout + STOP_GRACE_S)
    runtime.close()


@click.command(short_help="Run the periodic tasks alone.")
@click.pass_obj
def sweeper(invocation: Invocation) -> None:
    """Run the periodic tasks alone, in a process that delivers nothing.

    Not needed beside a worker, which runs them too: of all workers and sweepers one does. Needs REDIS_URL.
    """
    from bridge.worker.sweeper import PeriodicRunner
    from bridge.worker.tasks import tasks

    stopping = threading.Event()

    def stop(_signum: int, _frame: FrameType | None) -> None:
        # In a thread: the handler may have interrupted the very code that holds the event's lock.
        threading.Thread(target=stopping.set, name="stop").start()

    runtime = _runtime_of_tasks(invocation)
    signal.signal(signal.SIGTERM, stop)
    signal.signal(signal.SIGINT, stop)
    PeriodicRunner(tasks(runtime), runtime.journal, runtime.telemetry, runtime.clock_ms).run(stopping)
    runtime.close()


def _begin(invocation: Invocation, usual: str) -> Settings:
    settings = invocation.settings
    settings.require("REDIS_URL")
    if settings.otel_exporter_otlp_endpoint and find_spec("opentelemetry") is None:
        problem = N_(
            "OTEL_EXPORTER_OTLP_ENDPOINT needs the extra otel: pip install 'asaas-clint-bridge[otel]', or unset it"
        )
        raise SettingsError([problem])
    # Until the process has its own handler it has no work that a stop would have to wait for.
    signal.signal(signal.SIGTERM, lambda _signum, _frame: sys.exit(0))
    logs.queue_output(lambda lines: log.warning("log.dropped", lines=lines))
    level = "debug" if invocation.debug else settings.bridge_log_level
    logs.configure(level, json=not sys.stdout.isatty())
    if not settings.bridge_encryption_key:
        # With a key they may be in the journal, or come into it later.
        for missing in settings.missing(usual):
            mend = "set it, or set BRIDGE_ENCRYPTION_KEY and use the console"
            log.warning("setting.missing", problem=str(missing), mend=mend)
    for name in settings.without_effect:
        log.warning("setting.without_effect", name=name, mend="remove it; the next release does not know it")
    for account in settings.accounts.values():
        if 0 < len(account.old_webhook_token) < LEAST_TOKEN:
            name = variable("ASAAS_WEBHOOK_TOKEN", account.name)
            mend = "the old token can be guessed: run bridge webhook register --rotate, then take it out"
            log.warning("token.old_is_short", name=name, characters=len(account.old_webhook_token), mend=mend)
        if account.webhook_token and (rule := asaas_webhooks.problem(account.webhook_token)):
            name = variable("ASAAS_WEBHOOK_TOKEN", account.name)
            mend = "Asaas refuses such a token: unset it and run bridge webhook register --new-token"
            log.warning("token.weak", name=name, rule=str(rule), mend=mend)
    return settings


def _runtime_of_tasks(invocation: Invocation) -> Runtime:
    """Return the parts, as soon as the journal's database answers and has the destinations and mappings."""
    runtime = Runtime(_begin(invocation, "CLINT_WEBHOOK_URL"))
    runtime.check_urls()
    wait_s = FIRST_WAIT_S
    while True:
        try:
            resumed = runtime.register()
        except (JournalNotMigrated, DecryptionFailed):
            raise
        except JournalError as error:
            log.warning("journal.away", error=str(error), again_s=wait_s)
            time.sleep(wait_s)
            wait_s = min(LONGEST_WAIT_S, wait_s * 2)
        else:
            for name in resumed:
                log.info("destination.resumed", destination=name, reason="its URL is new")
            return runtime


@click.command(short_help="Run the whole bridge on this machine.")
@click.option("--host", help="Address to bind, instead of BRIDGE_HOST.")
@click.option("--port", type=click.IntRange(1, 65535), help="Port to bind, instead of PORT.")
@click.pass_obj
def up(invocation: Invocation, host: str | None, port: int | None) -> None:
    """Run the whole bridge on this machine: journal, web, worker, and a Redis unless REDIS_URL names one.

    Brings the journal's schema to this version, starts again what dies, and prints the console's address. Needs no
    setting: the console connects Asaas and Clint. For a new SQLite journal without BRIDGE_ENCRYPTION_KEY it makes a
    key and keeps it in the data directory as encryption.key; every command finds it there. Where standard output is no
    terminal it is the log, one JSON object a line; what a person reads, such as the address, is on standard error.
    """
    at_terminal = is_terminal()
    lock = threading.Lock()

    def show_line(name: str, text: str) -> None:
        with lock:  # processes print at the same time
            is_record = text.startswith("{")
            click.echo(text if is_record else f"{name:<8}| {text}", err=not is_record)

    notice = partial(click.echo, err=not at_terminal)
    invocation.queue_output(notice)
    if not at_terminal:
        logs.configure("debug" if invocation.debug else "error")
    environ = dict(os.environ)
    environ |= {name: str(value) for name, value in (("BRIDGE_HOST", host), ("PORT", port)) if value is not None}
    settings = _settings(with_kept_key(environ))
    with ExitStack() as stack:
        stack.enter_context(reserved(settings.bridge_host, settings.port))
        if made := keep_new_key(environ, JOURNAL_FILE):
            text = _("made {file}, the key that encrypts the journal: keep a copy, apart from the journal's", file=made)
            notice(text)
        if not environ.get("BRIDGE_MAPPINGS_DIR", "").strip():
            with suppress(OSError):  # then it is said to be missing
                settings.bridge_mappings_dir.mkdir(exist_ok=True)
        environ = with_kept_key(environ)
        stopping = stack.enter_context(Stopping())
        output, detail, log_path = show_line, notice, None
        if at_terminal:
            log_path = settings.bridge_data_dir / "logs" / "bridge.log"
            file = stack.enter_context(closing(LogFile(log_path)))
            output, detail = file.write, partial(file.write, "bridge")
            notice(_("starting ..."))
        bridge = stack.enter_context(LocalBridge(environ, notice=notice, output=output, detail=detail))
        bridge.wait_until_up(stopping)
        if not stopping:
            for text in _welcome(bridge, log_path):
                notice(text)
        while not stopping:
            bridge.poll()
            time.sleep(POLL_S)
        notice(_("ending; what is under way is finished first (Ctrl-C again ends at once)"))
    notice(_("ended"))


def _settings(environ: Mapping[str, str]) -> Settings:
    """Return the settings; raise SettingsError with every problem, those of URLs to which nothing may be sent too."""
    problems: Sequence[Message] = ()
    try:
        settings = Settings.from_env(environ)
    except SettingsError as error:
        problems = error.problems
        urls = {name: text for name, text in environ.items() if name.startswith(_OF_URLS)}
        with suppress(SettingsError):  # one that can't be read is among the problems already
            settings = Settings.from_env(urls)
    problems = [*problems, *Runtime(settings).url_problems()]
    if problems:
        raise SettingsError(problems)
    return settings


_OF_URLS = ("ASAAS_API_URL", "CLINT_WEBHOOK_URL", "CLINT_API_", "BRIDGE_ALLOW_PRIVATE_DESTINATIONS")


def _unconnected(runtime: Runtime) -> list[Message]:
    """Return what is not connected, and which mapping waits for it."""
    if not runtime.accounts and not runtime.destinations:
        return []  # the console's guide says it
    settings, directory = runtime.settings, runtime.settings.bridge_mappings_dir
    with_key = {account.name for account in runtime.accounts.values() if account.api_key}
    read = read_directory(directory, Setup(None, None, directory))
    mappings = [item.mapping for item in read if item.mapping and item.mapping.enabled]
    # The first mapping that needs a variable is named.
    unset = {name: one.name for one in reversed(mappings) for name in one.destinations - runtime.destinations.keys()}
    keyless = {
        one.account: one.name
        for one in reversed(mappings)
        if (one.filter_needs or one.field_needs) and one.account not in with_key
    }
    kept = {name: keyless.pop(name) for name in list(keyless) if is_kept(runtime, name)}
    problems = [] if runtime.accounts else settings.missing("ASAAS_WEBHOOK_TOKEN")
    for family, lacking, what in (
        ("CLINT_WEBHOOK_URL", unset, N_("{variable} is not set; the mapping {mapping} sends there")),
        ("ASAAS_API_KEY", keyless, N_("{variable} is not set; the mapping {mapping} reads from that account's API")),
    ):
        problems += [
            message(what, variable=variable(family, name), mapping=mapping) for name, mapping in sorted(lacking.items())
        ]
    what = N_(
        "account {account} has no API key (bridge accounts add {account}); the mapping {mapping} reads from its API"
    )
    problems += [message(what, account=name, mapping=mapping) for name, mapping in sorted(kept.items())]
    return problems


def _weak_tokens(runtime: Runtime) -> list[Message]:
    found = {variable("ASAAS_WEBHOOK_TOKEN", one.name): one.webhook_token for one in runtime.settings.accounts.values()}
    what = N_("{variable} {rule}; unset it and run: bridge webhook register --new-token")
    weak = {name: asaas_webhooks.problem(token) for name, token in found.items() if token}
    return [message(what, variable=name, rule=rule) for name, rule in weak.items() if rule]


def _welcome(bridge: LocalBridge, log_path: Path | None) -> list[str]:
    """Return the console's address and how it opens, what to do first, the problems, and where the logs are."""
    settings, url = bridge.settings, bridge.settings.local_url
    active, problems = bridge.readiness()
    with closing(Runtime(settings)) as runtime:
        known, unconnected = dict(runtime.accounts), [*_unconnected(runtime), *_weak_tokens(runtime)]
        is_empty = not known and not runtime.destinations
        with runtime.journal.database.read() as connection:
            has_people = users.exist(connection)
    lines = [_opens(bridge, has_people=has_people)]
    if is_empty:
        lines.append(_("nothing is connected yet: the console leads you through four steps, each with a button"))
    else:
        hooks = {
            name: f"{url}/webhooks/asaas" if name == DEFAULT else f"{url}/webhooks/asaas/{name}"
            for name, account in known.items()
            if account.webhook_token
        }
        lines += [_("webhook of account {name}: {url}", name=name, url=hook) for name, hook in hooks.items()]
        lines.append(_("active mappings: {names}", names=", ".join(active) or _("none")))
    lines += [_("problem: {problem}", problem=problem) for problem in [*map(Message.text, unconnected), *problems]]
    if not is_empty and not settings.bridge_public_url:
        tunnel = N_(
            "Asaas must reach it from the internet: run the bridge on a host with https, or open a tunnel to this "
            "machine, such as `cloudflared tunnel --url {url}`; give the tunnel's address in the console (Connections),"
            " or to `bridge webhook register --url`"
        )
        lines.append(_(tunnel, url=url))
    if not is_empty:
        look = shlex.join([*bridge_command("events"), "list"])  # in another terminal `bridge` may be iproute2's
        lines.append(_("what came in: {command}", command=look))
    if log_path:
        lines += [_("logs: {path}", path=log_path), _("Ctrl-C ends it.")]
    return [_("up at {url}", url=url), *(f"  {line}" for line in lines)]


def _opens(bridge: LocalBridge, *, has_people: bool) -> str:
    """Return where the console is, and how a person gets in."""
    if bridge.settings.bridge_console_token:
        return _(
            "open the console: {url} (this address needs no password: keep it to yourself)", url=bridge.console_url
        )
    if has_people or bridge.settings.bridge_oidc_issuer:
        return _("open the console: {url} (sign in with your e-mail)", url=bridge.console_url)
    if bridge.has_password:
        return _("open the console: {url} (sign in with BRIDGE_PASSWORD)", url=bridge.console_url)
    return _("the console is closed: set BRIDGE_PASSWORD, 12 characters or more")
