"""The Flask application of a runtime. Here errors become HTTP answers or pages."""

from __future__ import annotations

import json
import threading
from collections.abc import Callable, Iterable, Iterator
from contextlib import ExitStack
from functools import partial
from typing import TYPE_CHECKING, Any

from flask import Flask, Response, jsonify, make_response, request
from werkzeug.exceptions import HTTPException

from bridge.errors import BridgeError, ConsoleBusy, JournalError, default_text
from bridge.logs import logger
from bridge.runtime import Runtime
from bridge.web.console import init_console
from bridge.web.console.access import has_session
from bridge.web.console.layout import page_of, wants_page
from bridge.web.door import FOR_PROGRAMS, MAX_BODY_BYTES, AddressPolicy, RefusalLog, webhooks
from bridge.web.health import Readiness, health
from bridge.web.metrics import Numbers, metrics

if TYPE_CHECKING:
    from _typeshed.wsgi import StartResponse, WSGIEnvironment


log = logger(__name__)

BUSY = "bridge.busy"
"""The key of a request's environ that says whether the request was refused as busy."""
_BUSY_BODY = json.dumps({"error": {"code": ConsoleBusy.code, "message": default_text(ConsoleBusy)}}).encode()
_BUSY_HEADERS = (
    ("Content-Type", "application/json"),
    ("Content-Length", str(len(_BUSY_BODY))),
    ("Retry-After", "2"),
    *FOR_PROGRAMS.items(),
)
_PROBES = frozenset({"/readyz", "/metrics"})


class _App(Flask):
    def ensure_sync(self, func: Callable[..., Any]) -> Callable[..., Any]:
        # No view is asynchronous; Flask would check that at every request.
        return func


class _Places:
    """Bounds the threads that pages and probes hold at once, so that the door always has some.

    A request holds its place until its answer is read. Some places are for probes only, so that busy pages do not make
    the host restart the bridge. Strangers share half of the places for pages, so that they can't close the console.
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
        if environ[BUSY] and "text/html" in environ.get("HTTP_ACCEPT", ""):
            return self._app(environ, start_response)
        if environ[BUSY]:
            # Thousands of these requests may wait before an event from Asaas, so each must cost little.
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
    """The body of an answer; it calls `leave` once, when the body was read or dropped."""

    def __init__(self, body: Iterable[bytes], leave: Callable[[], None]) -> None:
        self._body = body
        self._end = ExitStack()
        self._end.callback(leave)
        self._end.callback(getattr(body, "close", lambda: None))

    def __iter__(self) -> Iterator[bytes]:
        with self._end:
            yield from self._body

    def close(self) -> None:
        self._end.close()


def create_app(runtime: Runtime) -> Flask:
    """Return the application; it opens nothing before the first request."""
    app, settings = _App("bridge", static_folder=None), runtime.settings
    app.config["MAX_CONTENT_LENGTH"] = MAX_BODY_BYTES  # of forms; the door checks a body by itself
    # Without werkzeug's redirects (/webhooks/asaas/default to /webhooks/asaas): Asaas counts them as failures.
    app.url_map.redirect_defaults = False
    app.url_map.merge_slashes = False
    app.extensions |= {
        "bridge": runtime,
        "bridge.refusals": RefusalLog(runtime.journal, runtime.clock_ms),
        "bridge.callers": AddressPolicy(settings.bridge_webhook_allowed_ips, settings.bridge_trusted_proxies),
        "bridge.readiness": Readiness(runtime),
        "bridge.numbers": Numbers(runtime),
    }
    for blueprint in (webhooks, health, metrics):
        app.register_blueprint(blueprint)
    init_console(app, runtime)
    app.before_request(_refuse_busy)
    app.wsgi_app = _Places(app, settings.bridge_web_threads)  # type: ignore[method-assign]
    app.register_error_handler(BridgeError, _bridge_error)
    app.register_error_handler(HTTPException, _http_error)
    app.register_error_handler(Exception, _fault)
    return app


def _refuse_busy() -> None:
    if request.environ.get(BUSY):
        raise ConsoleBusy


def _bridge_error(error: BridgeError) -> Response:
    log.warning("request.refused", code=error.code, status=error.http_status, error=str(error))
    # The log has the words of the database; the answer does not.
    message = default_text(JournalError) if isinstance(error, JournalError) else str(error)
    response = _answer(error.http_status, error.code, message, error)
    if isinstance(error, ConsoleBusy):
        response.headers["Retry-After"] = "2"
    return response


def _http_error(error: HTTPException) -> Response:
    status = error.code or 500
    return _answer(status, f"http.{status}", error.name.lower())


def _fault(error: Exception) -> Response:
    log.error("request.fault", exc_info=error)
    return _answer(500, BridgeError.code, default_text(BridgeError))


def _answer(status: int, code: str, message: str, error: BridgeError | None = None) -> Response:
    if wants_page():
        return make_response(page_of(status, error))
    return make_response(jsonify(error={"code": code, "message": message}), status)
