"""Makes the Flask application from a runtime; the one place where an error becomes an HTTP answer, or a page."""

from __future__ import annotations

import json
import secrets
import threading
from collections.abc import Callable, Iterable, Iterator
from functools import partial
from typing import TYPE_CHECKING, Any

from flask import Flask, jsonify, make_response, request
from flask.typing import ResponseReturnValue
from werkzeug.exceptions import HTTPException

from bridge.errors import BridgeError, ConsoleBusy, JournalError
from bridge.logs import logger
from bridge.runtime import Runtime
from bridge.web.console import init_console
from bridge.web.console.access import has_session
from bridge.web.console.layout import page_of, wants_page
from bridge.web.door import FOR_PROGRAMS, MAX_BODY_BYTES, AddressPolicy, RefusalLog, webhooks
from bridge.web.health import Readiness, health
from bridge.web.metrics import Numbers, metrics
from bridge.web.openapi import openapi

if TYPE_CHECKING:
    from _typeshed.wsgi import StartResponse, WSGIEnvironment


log = logger(__name__)

BUSY = "bridge.busy"
"""Says in the environ of a request that it was refused since too much is under way."""
_BUSY_BODY = json.dumps({"error": {"code": ConsoleBusy.code, "message": ConsoleBusy.__doc__}}).encode()
_BUSY_HEADERS = (
    ("Content-Type", "application/json"),
    ("Content-Length", str(len(_BUSY_BODY))),
    ("Retry-After", "2"),
    *FOR_PROGRAMS.items(),
)
_PROBES = frozenset({"/readyz", "/metrics"})


class _App(Flask):
    def ensure_sync(self, func: Callable[..., Any]) -> Callable[..., Any]:
        """Return the function as it is: none of ours is asynchronous, and Flask looks at each for every request."""
        return func


class _Places:
    """Bounds the threads that pages and probes hold at once, so that some are left to the door.

    A request holds its place until its answer is taken. Probes have a few places that pages have not: a host must not
    take a bridge for broken because people look. People who are not signed in share half of the pages' places, so that
    they close the console to nobody else.
    """

    def __init__(self, app: Flask, threads: int) -> None:
        self._flask = app
        self._app = app.wsgi_app
        self._pages = max(1, threads * 3 // 4)
        self._of_strangers = max(1, self._pages // 2)
        self._probes = threads - max(1, threads // 8)
        self._held = 0
        self._strangers = 0
        self._lock = threading.Lock()

    def __call__(self, environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
        path = environ["PATH_INFO"]
        if path == "/healthz" or path.startswith("/webhooks/"):
            return self._app(environ, start_response)
        is_probe = path in _PROBES
        is_stranger = not is_probe and not has_session(self._flask, environ)
        with self._lock:
            is_full = self._held >= (self._probes if is_probe else self._pages)
            environ[BUSY] = is_full or (is_stranger and self._strangers >= self._of_strangers)
            if not environ[BUSY]:
                self._held += 1
                self._strangers += is_stranger
        if environ[BUSY]:
            if "text/html" in environ.get("HTTP_ACCEPT", ""):
                return self._app(environ, start_response)
            # Thousands of these may wait in front of an event from Asaas: they cost next to nothing.
            start_response("503 Service Unavailable", list(_BUSY_HEADERS))
            return [_BUSY_BODY]
        leave = partial(self._leave, is_stranger)
        try:
            return _Answer(self._app(environ, start_response), leave)
        except BaseException:
            leave()
            raise

    def _leave(self, is_stranger: bool) -> None:
        with self._lock:
            self._held -= 1
            self._strangers -= is_stranger


class _Answer:
    """The body of an answer; calls back once, when it was taken or given up."""

    def __init__(self, body: Iterable[bytes], leave: Callable[[], None]) -> None:
        self._body = body
        self._leave: Callable[[], None] | None = leave

    def __iter__(self) -> Iterator[bytes]:
        try:
            yield from self._body
        finally:
            self.close()

    def close(self) -> None:
        leave, self._leave = self._leave, None
        if leave is not None:
            try:
                getattr(self._body, "close", lambda: None)()
            finally:
                leave()


def create_app(runtime: Runtime) -> Flask:
    """Return the application; nothing is opened or started before the first request."""
    app = _App("bridge", static_folder=None)
    app.config["MAX_CONTENT_LENGTH"] = MAX_BODY_BYTES  # for forms: the door looks at a body's length by itself
    # No redirects of werkzeug's own (/webhooks/asaas/default to the path without a name): Asaas takes them as failures.
    app.url_map.redirect_defaults = False
    app.url_map.merge_slashes = False
    app.extensions["bridge"] = runtime
    app.extensions["bridge.refusals"] = RefusalLog(runtime.journal, runtime.clock_ms)
    app.extensions["bridge.callers"] = AddressPolicy(
        runtime.settings.bridge_webhook_allowed_ips, runtime.settings.bridge_trusted_proxies
    )
    app.extensions["bridge.readiness"] = Readiness(runtime)
    app.extensions["bridge.numbers"] = Numbers(runtime)
    app.register_blueprint(webhooks)
    app.register_blueprint(health)
    app.register_blueprint(metrics)
    app.register_blueprint(openapi)
    settings = runtime.settings
    init_console(app, runtime, settings.bridge_secret_key or secrets.token_urlsafe(32))
    app.before_request(_refuse_busy)
    app.wsgi_app = _Places(app, settings.bridge_web_threads)  # type: ignore[method-assign]
    app.register_error_handler(BridgeError, _bridge_error)
    app.register_error_handler(HTTPException, _http_error)
    app.register_error_handler(Exception, _fault)
    return app


def _refuse_busy() -> None:
    if request.environ.get(BUSY):
        raise ConsoleBusy


def _bridge_error(error: BridgeError) -> ResponseReturnValue:
    log.warning("request.refused", code=error.code, status=error.http_status, error=str(error))
    # What the database said is for the log, not for whoever called.
    message = JournalError.__doc__ if isinstance(error, JournalError) else str(error)
    if wants_page():
        response = make_response(page_of(error.http_status, error))
    else:
        response = make_response(jsonify(error={"code": error.code, "message": message}), error.http_status)
    if isinstance(error, ConsoleBusy):
        response.headers["Retry-After"] = "2"
    return response


def _http_error(error: HTTPException) -> ResponseReturnValue:
    status = error.code or 500
    if wants_page():
        return page_of(status)
    return jsonify(error={"code": f"http.{status}", "message": error.name.lower()}), status


def _fault(error: Exception) -> ResponseReturnValue:
    log.error("request.fault", exc_info=error)
    if wants_page():
        return page_of(500)
    return jsonify(error={"code": BridgeError.code, "message": BridgeError.__doc__}), 500
