"""`bridge web`, `bridge worker`, `bridge sweeper`: one process each, as the Procfile runs them.

They log to standard output. A database or a Redis that is away when they start is waited for; a schema that is not this
version's is not, since only `bridge db upgrade` ends that.
"""

from __future__ import annotations

import signal
import socket
import sys
import threading
from types import FrameType
from typing import TYPE_CHECKING

import click

from bridge import logs
from bridge.cli.root import Invocation
from bridge.errors import JournalError, JournalNotMigrated, PortTaken
from bridge.logs import logger
from bridge.settings import Settings

if TYPE_CHECKING:
    from bridge.runtime import Runtime

log = logger(__name__)

FIRST_WAIT_S = 1.0
LONGEST_WAIT_S = 30.0
_LAST_LOOK_S = 2.0
"""How long the end waits for an answer of Asaas that is under way."""


@click.command()
@click.option("--host", help="Address to bind, instead of BRIDGE_HOST.")
@click.option("--port", type=click.IntRange(0, 65535), help="Port to bind, instead of PORT.")
@click.pass_obj
def web(invocation: Invocation, host: str | None, port: int | None) -> None:
    """Take what Asaas posts, and answer health checks.

    Needs ASAAS_WEBHOOK_TOKEN and REDIS_URL.
    """
    from bridge.runtime import Runtime
    from bridge.web.server import serve

    settings = _begin(invocation, "ASAAS_WEBHOOK_TOKEN", "REDIS_URL")
    address = (host or settings.bridge_host, settings.port if port is None else port)
    check_free(*address)
    # In a runtime of its own: gunicorn forks, and connections of a database must not be shared by two processes.
    registering = Runtime(settings)
    try:
        registering.register()
    except JournalNotMigrated:
        raise
    except JournalError as error:
        # The door opens all the same: it answers 503 and Asaas comes again. The worker registers what is new.
        log.warning("journal.away", error=str(error))
    finally:
        registering.close()
    serve(Runtime(settings), *address)


@click.command()
@click.pass_obj
def worker(invocation: Invocation) -> None:
    """Decide what events mean and deliver to Clint.

    Any number of workers may run at once. Needs REDIS_URL and CLINT_WEBHOOK_URL; SIGTERM lets it finish what is under
    way.
    """
    from bridge.runtime import Runtime
    from bridge.worker.drain import Drainer
    from bridge.worker.rq_worker import work

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
    work(runtime.worker_redis, drainer)
    runtime.close()


@click.command(short_help="Wake what is due.")
@click.pass_obj
def sweeper(invocation: Invocation) -> None:
    """Wake what is due, bring in changed mapping files, watch the webhooks at Asaas and look for deals in Clint.

    One is enough, two do no harm. Needs REDIS_URL and CLINT_WEBHOOK_URL.
    """
    from bridge.runtime import Runtime
    from bridge.worker.sweeper import Sweeper

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

    def import_mappings() -> None:
        runtime.mapping_files.import_changed()

    watching = _watch_queues(runtime, stopping)
    reconciling = _start_reconciling(runtime, stopping)
    reading = _start_reading_back(runtime, stopping)
    Sweeper(runtime.journal, runtime.wakeups, import_mappings, runtime.clock_ms).run(stopping)
    if watching is not None:
        watching.join(_LAST_LOOK_S)
    if reconciling is not None:
        reconciling.join()
    if reading is not None:
        reading.join(_LAST_LOOK_S)
    runtime.close()


def _watch_queues(runtime: Runtime, stopping: threading.Event) -> threading.Thread | None:
    """Start to watch the accounts' queues at Asaas, where an account has a key."""
    from bridge.worker.queue_watch import QueueWatch

    if not runtime.asaas:
        return None
    watch = QueueWatch(
        runtime.journal,
        runtime.asaas,
        runtime.governors,
        lambda: [item.mapping for item in runtime.mappings.current()],
        runtime.settings.bridge_public_url,
        runtime.clock_ms,
    )
    thread = threading.Thread(target=watch.run, args=(stopping,), name="watch", daemon=True)
    thread.start()
    return thread


def _start_reading_back(runtime: Runtime, stopping: threading.Event) -> threading.Thread | None:
    """Start to look for the deals of deliveries whose mapping says verify; none without CLINT_API_TOKEN."""
    from bridge.recovery.read_back import ReadBacks
    from bridge.worker.deal_reader import DealReader

    if runtime.clint_api is None:
        return None
    reader = DealReader(
        ReadBacks(runtime.journal, runtime.clint_api, runtime.mappings, runtime.settings.bridge_read_back_wait),
        runtime.clock_ms,
    )
    # In a thread of its own: Clint may be slow, and what is due must be woken all the same.
    thread = threading.Thread(target=reader.run, args=(stopping,), name="deals", daemon=True)
    thread.start()
    return thread


def _start_reconciling(runtime: Runtime, stopping: threading.Event) -> threading.Thread | None:
    """Start looking for charges that the journal does not know, in a thread of its own; none where that is off."""
    from bridge.worker.reconciling import Reconciling

    settings = runtime.settings
    if not settings.bridge_reconcile_hours:
        return None
    reconciling = Reconciling(
        runtime.asaas.values(),
        runtime.journal,
        settings.bridge_reconcile_hours,
        runtime.clock_ms,
        settings.bridge_data_dir / "reconcile" / "scheduled",
    )
    # A thread, because a walk may wait for Asaas for minutes while lanes must be woken each second.
    thread = threading.Thread(target=reconciling.run, args=(stopping,), name="reconciling")
    thread.start()
    return thread


def _begin(invocation: Invocation, *required: str) -> Settings:
    settings = invocation.settings
    settings.require(*required)
    level = "debug" if invocation.debug else settings.bridge_log_level
    logs.configure(level, json=not sys.stdout.isatty())
    return settings


def _register_when_there(runtime: Runtime, stopping: threading.Event) -> None:
    """Bring destinations and mappings into the journal, as soon as its database answers."""
    wait_s = FIRST_WAIT_S
    while not stopping.is_set():
        try:
            resumed = runtime.register()
        except JournalNotMigrated:
            raise
        except JournalError as error:
            log.warning("journal.away", error=str(error), again_s=wait_s)
            stopping.wait(wait_s)
            wait_s = min(LONGEST_WAIT_S, wait_s * 2)
        else:
            for name in resumed:
                log.info("destination.resumed", destination=name, reason="its URL is new")
            return


def check_free(host: str, port: int) -> None:
    """Raise PortTaken where another process listens there; gunicorn would try five times and say less."""
    try:
        family, kind, protocol, _, address = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0]
        with socket.socket(family, kind, protocol) as probe:
            # As gunicorn binds: a connection that lingers from the last run does not count.
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            probe.bind(address)
    except OSError as error:
        raise PortTaken(
            f"port {port} of {host} can't be bound: {(error.strerror or str(error)).lower()}",
            mend="choose another with --port or PORT, or end what listens there",
        ) from error
