"""Makes the Flask application from a runtime; the one place where an error becomes an HTTP answer, or a page."""

from __future__ import annotations

import secrets
from collections.abc import Callable
from typing import Any

from flask import Flask, jsonify
from flask.typing import ResponseReturnValue
from werkzeug.exceptions import HTTPException

from bridge.errors import BridgeError, JournalError
from bridge.logs import logger
from bridge.runtime import Runtime
from bridge.web.callers import Callers
from bridge.web.console import mount
from bridge.web.console.answers import page_of, wants_page
from bridge.web.health import health
from bridge.web.metrics import Numbers, metrics
from bridge.web.openapi import openapi
from bridge.web.refusals import Refusals
from bridge.web.webhooks import webhooks
from bridge.web.whole_request import MAX_BODY_BYTES

log = logger(__name__)


class _App(Flask):
    def ensure_sync(self, func: Callable[..., Any]) -> Callable[..., Any]:
        """Return the function as it is: none of ours is asynchronous, and Flask looks at each for every request."""
        return func


def create_app(runtime: Runtime, *, secret_key: str | None = None) -> Flask:
    """Return the application; nothing is opened or started before the first request.

    `secret_key` signs sessions, and must be one for all processes of one server.
    """
    app = _App("bridge", static_folder=None)
    app.config["MAX_CONTENT_LENGTH"] = MAX_BODY_BYTES  # for forms: the door looks at a body's length by itself
    # No redirects of werkzeug's own (/webhooks/asaas/default to the path without a name): Asaas takes them as failures.
    app.url_map.redirect_defaults = False
    app.url_map.merge_slashes = False
    app.extensions["bridge"] = runtime
    app.extensions["bridge.refusals"] = Refusals(runtime.journal, runtime.clock_ms)
    app.extensions["bridge.callers"] = Callers(
        runtime.settings.bridge_webhook_allowed_ips, runtime.settings.bridge_trusted_proxies
    )
    app.extensions["bridge.numbers"] = Numbers(runtime)
    app.register_blueprint(webhooks)
    app.register_blueprint(health)
    app.register_blueprint(metrics)
    app.register_blueprint(openapi)
    settings = runtime.settings
    mount(app, runtime, secret_key or settings.bridge_secret_key or secrets.token_urlsafe(32))
    app.register_error_handler(BridgeError, _bridge_error)
    app.register_error_handler(HTTPException, _http_error)
    app.register_error_handler(Exception, _fault)
    return app


def _bridge_error(error: BridgeError) -> ResponseReturnValue:
    log.warning("request.refused", code=error.code, status=error.http_status, error=str(error))
    # What the database said is for the log, not for whoever called.
    message = JournalError.__doc__ if isinstance(error, JournalError) else str(error)
    if wants_page():
        return page_of(error.http_status, error)
    return jsonify(error={"code": error.code, "message": message}), error.http_status


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
