"""Runs the web process by gunicorn: threads, not one process for each request, since they wait for shared commits."""

from __future__ import annotations

import resource
import secrets
from typing import Any

from flask import Flask
from gunicorn.app.base import BaseApplication

from bridge.collector import settle
from bridge.one_cpu import keep_on_one_cpu
from bridge.runtime import Runtime
from bridge.trimming import keep_trimmed
from bridge.web.app import create_app
from bridge.web.patient_worker import PatientWorker

CONNECTIONS = 4_000
OTHER_FILES = 256


class _Server(BaseApplication):  # type: ignore[misc]  # gunicorn has no types
    def __init__(self, runtime: Runtime, host: str, options: dict[str, Any]) -> None:
        self._runtime = runtime
        self._host = host
        # Drawn before the fork, so that every worker process knows the sessions of the others.
        self._secret_key = runtime.settings.bridge_secret_key or secrets.token_urlsafe(32)
        self._options = options
        super().__init__()

    def load_config(self) -> None:
        """Give gunicorn its options."""
        for name, value in self._options.items():
            self.cfg.set(name, value)

    def load(self) -> Flask:
        """Return the application, made after the fork."""
        return create_app(self._runtime, bound_to=self._host, secret_key=self._secret_key)


def serve(runtime: Runtime, host: str, port: int) -> None:
    """Serve until SIGTERM; requests under way are finished first."""
    runtime.journal.database.close()  # a connection that was opened before the fork must not be used by two processes

    def begun(_worker: object) -> None:
        keep_trimmed()
        if settings.bridge_web_one_cpu:
            keep_on_one_cpu()

    def close(_worker: object) -> None:
        runtime.close()

    settings = runtime.settings
    options = {
        "bind": f"{host}:{port}",
        "worker_class": PatientWorker,
        "worker_connections": _connections(),
        "workers": settings.bridge_web_processes,
        "threads": settings.bridge_web_threads,
        "keepalive": 75,
        "timeout": 60,  # of a whole worker process that does not answer; a request is bounded by ingress
        "graceful_timeout": 15,
        "worker_tmp_dir": None,
        "sendfile": False,  # the head waits for the body that it is sent with
        "accesslog": None,
        "errorlog": "-",
        "loglevel": "warning",
        "control_socket_disable": True,
        "when_ready": lambda _server: None,
        "post_worker_init": begun,
        "child_exit": lambda _server, _worker: None,
        "worker_exit": lambda _server, worker: close(worker),
        "limit_request_line": 4094,
        "limit_request_fields": 64,
        "forwarded_allow_ips": "",
    }
    settle()
    _Server(runtime, host, {name: value for name, value in options.items() if value is not None}).run()


def _connections() -> int:
    """Return how many connections one process may hold, with files left for the journal, Redis and logs."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = CONNECTIONS + OTHER_FILES
    if soft != resource.RLIM_INFINITY and soft < wanted:
        soft = wanted if hard == resource.RLIM_INFINITY else min(wanted, hard)
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
    return CONNECTIONS if soft == resource.RLIM_INFINITY else max(16, min(CONNECTIONS, soft - OTHER_FILES))
