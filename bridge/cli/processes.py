"""`bridge web`, `bridge worker` and `bridge sweeper`: one process each, as a host runs them.

They log to standard output. A database or a Redis that is away when they start is waited for; a schema that is not this
version's is not, since only `bridge db upgrade` ends that.
"""

from __future__ import annotations

import signal
import sys
import threading
from importlib.util import find_spec
from types import FrameType
from typing import TYPE_CHECKING

import click

from bridge import logs
from bridge.cli.local import STOP_GRACE_S, listen
from bridge.cli.root import Invocation
from bridge.errors import JournalError, JournalNotMigrated, SealBroken, SettingsError
from bridge.logs import logger
from bridge.settings import Settings
from bridge.settings.parsing import host as bare_host

if TYPE_CHECKING:
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
    from bridge.worker.beside import tasks
    from bridge.worker.drain import Drainer
    from bridge.worker.rq_worker import work
    from bridge.worker.sweeper import PeriodicRunner

    settings = _begin(invocation, "REDIS_URL", "CLINT_WEBHOOK_URL")
    runtime = Runtime(settings)
    runtime.check_urls()
    _register_when_there(runtime, threading.Event())
    drainer = Drainer(
        runtime.journal,
        runtime.processor,
        runtime.outbox,
        runtime.wakeups,
        runtime.clock_ms,
        settings.bridge_worker_lanes,
    )
    stopping = threading.Event()
    runner = PeriodicRunner(tasks(runtime), runtime.journal, runtime.observer, runtime.clock_ms)
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
    from bridge.worker.beside import tasks
    from bridge.worker.sweeper import PeriodicRunner

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

    runner = PeriodicRunner(tasks(runtime), runtime.journal, runtime.observer, runtime.clock_ms)
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
    return settings


def _leave(_signum: int, _frame: FrameType | None) -> None:
    raise SystemExit(0)


def _register_when_there(runtime: Runtime, stopping: threading.Event) -> None:
    """Bring destinations and mappings into the journal, as soon as its database answers."""
    wait_s = FIRST_WAIT_S
    while not stopping.is_set():
        try:
            resumed = runtime.register()
        except (JournalNotMigrated, SealBroken):
            raise
        except JournalError as error:
            log.warning("journal.away", error=str(error), again_s=wait_s)
            stopping.wait(wait_s)
            wait_s = min(LONGEST_WAIT_S, wait_s * 2)
        else:
            for name in resumed:
                log.info("destination.resumed", destination=name, reason="its URL is new")
            return
