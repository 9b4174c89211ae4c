"""Runs the web process by gunicorn: threads, not one process for each request, since they wait for shared commits."""

from __future__ import annotations

from typing import Any

from flask import Flask
from gunicorn.app.base import BaseApplication

from bridge.runtime import Runtime
from bridge.web.app import create_app


class _Server(BaseApplication):  # type: ignore[misc]  # gunicorn has no types
    def __init__(self, runtime: Runtime, options: dict[str, Any]) -> None:
        self._runtime = runtime
        self._options = options
        super().__init__()

    def load_config(self) -> None:
        """Give gunicorn its options."""
        for name, value in self._options.items():
            self.cfg.set(name, value)

    def load(self) -> Flask:
        """Return the application, made after the fork."""
        return create_app(self._runtime)


def serve(runtime: Runtime, host: str, port: int) -> None:
    """Serve until SIGTERM; requests under way are finished first."""
    runtime.journal.database.close()  # a connection that was opened before the fork must not be used by two processes

    def close(_worker: object) -> None:
        runtime.close()

    settings = runtime.settings
    options = {
        "bind": f"{host}:{port}",
        "worker_class": "gthread",
        "workers": settings.bridge_web_processes,
        "threads": settings.bridge_web_threads,
        "keepalive": 75,
        "timeout": 60,  # of a whole worker process that does not answer; a request is bounded by ingress
        "graceful_timeout": 15,
        "worker_tmp_dir": None,
        "accesslog": None,
        "errorlog": "-",
        "loglevel": "warning",
        "control_socket_disable": True,
        "when_ready": lambda _server: None,
        "child_exit": lambda _server, _worker: None,
        "worker_exit": lambda _server, worker: close(worker),
        "limit_request_line": 4094,
        "forwarded_allow_ips": "",
    }
    _Server(runtime, {name: value for name, value in options.items() if value is not None}).run()
