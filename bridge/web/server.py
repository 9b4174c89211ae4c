"""Runs the web process by gunicorn: threads, not one process for each request, since they wait for shared commits.

The process that gunicorn forks its workers from holds nothing of the bridge but this: a worker imports the application
by itself. What was imported before the fork became two memories while events came in, since Python counts who uses an
object within the object (docs/performance.md, "What becomes of the memory").
"""

from __future__ import annotations

import resource
import secrets
from importlib import import_module
from multiprocessing import Pipe
from typing import TYPE_CHECKING, Any

from gunicorn import glogging
from gunicorn.app.base import BaseApplication
from gunicorn.arbiter import Arbiter

from bridge.collector import settle
from bridge.errors import BridgeError, JournalError, JournalNotMigrated, NotStarted, SealBroken
from bridge.logs import logger
from bridge.one_cpu import keep_on_one_cpu
from bridge.settings import Settings
from bridge.trimming import keep_trimmed
from bridge.web.patient_worker import PatientWorker

if TYPE_CHECKING:
    from flask import Flask

    from bridge.runtime import Runtime

log = logger(__name__)

CONNECTIONS = 4_000
OTHER_FILES = 256


class _Log(glogging.Logger):  # type: ignore[misc]  # gunicorn has no types
    """What gunicorn itself says: on the way of all other records, and so redacted, one JSON object a line."""

    def setup(self, cfg: Any) -> None:
        """Prepare for these options."""
        super().setup(cfg)
        self.error_log.handlers.clear()
        self.error_log.propagate = True


class _Server(BaseApplication):  # type: ignore[misc]  # gunicorn has no types
    def __init__(self, settings: Settings, host: str, port: int) -> None:
        self._settings = settings
        self._host = host
        self._port = port
        # Drawn before the fork, so that every worker process knows the sessions of the others.
        self._secret_key = settings.bridge_secret_key or secrets.token_urlsafe(32)
        self._why, self._says_why = Pipe(duplex=False)
        self._is_worker = False
        self._runtime: Runtime | None = None
        super().__init__()

    def load_config(self) -> None:
        """Give gunicorn its options."""
        settings = self._settings
        options = {
            "bind": f"{self._host}:{self._port}",
            "worker_class": PatientWorker,
            "worker_connections": _connections(),
            "workers": settings.bridge_web_processes,
            "threads": settings.bridge_web_threads,
            "keepalive": 75,
            "timeout": 60,  # of a whole worker process that does not answer; a request is bounded by ingress
            "graceful_timeout": 15,
            "sendfile": False,  # the head waits for the body that it is sent with
            "logger_class": _Log,
            "loglevel": "warning",
            "control_socket_disable": True,
            "post_worker_init": self._begun,
            "worker_exit": self._ends,
            "limit_request_line": 4094,
            "limit_request_fields": 64,
            "forwarded_allow_ips": "",
        }
        for name, value in options.items():
            self.cfg.set(name, value)

    def run(self) -> None:
        """Serve until SIGTERM; raise what a worker process could not begin with."""
        try:
            super().run()
        except SystemExit as ends:  # of this process, or of a worker: it was forked within the call
            if self._is_worker or ends.code != Arbiter.WORKER_BOOT_ERROR:
                raise
            if self._why.poll():
                raise self._why.recv() from None
            raise NotStarted("the web process could not begin", mend="the log says why") from None

    # ------------------------------------------------------------ in a worker process

    def load(self) -> Flask:
        """Return the application of this worker process, once the journal is found to be of this version."""
        self._is_worker = True
        from bridge.runtime import Runtime
        from bridge.web.app import create_app

        self._runtime = Runtime(self._settings)
        try:
            self._runtime.register()
        except BridgeError as error:
            if isinstance(error, JournalNotMigrated | SealBroken) or not isinstance(error, JournalError):
                self._says_why.send(error)
                raise SystemExit(Arbiter.WORKER_BOOT_ERROR) from None
            # The door opens all the same: it answers 503 and Asaas comes again. The worker registers what is new.
            log.warning("journal.away", error=str(error))
        return create_app(self._runtime, secret_key=self._secret_key)

    def _begun(self, _worker: object) -> None:
        settle()
        keep_trimmed()
        if self._settings.bridge_web_one_cpu:
            keep_on_one_cpu()

    def _ends(self, _server: object, _worker: object) -> None:
        if self._runtime is not None:
            self._runtime.close()


def serve(settings: Settings, host: str, port: int) -> None:
    """Serve until SIGTERM; requests under way are finished first.

    Raises JournalNotMigrated, SealBroken or NotStarted where that can't begin.
    """
    if settings.bridge_web_processes > 1:
        # Several share what was imported before the fork: for them that is less in all.
        import_module("bridge.web.app")
    settle()
    _Server(settings, host, port).run()


def _connections() -> int:
    """Return how many connections one process may hold, with files left for the journal, Redis and logs."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = CONNECTIONS + OTHER_FILES
    if soft != resource.RLIM_INFINITY and soft < wanted:
        soft = wanted if hard == resource.RLIM_INFINITY else min(wanted, hard)
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
    return CONNECTIONS if soft == resource.RLIM_INFINITY else max(16, min(CONNECTIONS, soft - OTHER_FILES))
