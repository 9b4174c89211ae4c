"""Makes the Flask application from a runtime; the one place where an error becomes an HTTP answer."""

from __future__ import annotations

from flask import Flask, jsonify
from flask.typing import ResponseReturnValue
from werkzeug.exceptions import HTTPException

from bridge.errors import BridgeError, JournalError
from bridge.logs import logger
from bridge.runtime import Runtime
from bridge.web.health import health
from bridge.web.refusals import Refusals
from bridge.web.webhooks import MAX_BODY_BYTES, webhooks

log = logger(__name__)


def create_app(runtime: Runtime) -> Flask:
    """Return the application; nothing is opened or started before the first request."""
    app = Flask("bridge")
    app.config["MAX_CONTENT_LENGTH"] = MAX_BODY_BYTES + 1  # one more, so that the door can tell a body cut off there
    # No redirects of werkzeug's own (/webhooks/asaas/default to the path without a name): Asaas takes them as failures.
    app.url_map.redirect_defaults = False
    app.url_map.merge_slashes = False
    app.extensions["bridge"] = runtime
    app.extensions["bridge.refusals"] = Refusals(runtime.journal, runtime.clock_ms)
    app.register_blueprint(webhooks)
    app.register_blueprint(health)
    app.register_error_handler(BridgeError, _bridge_error)
    app.register_error_handler(HTTPException, _http_error)
    app.register_error_handler(Exception, _fault)
    return app


def _bridge_error(error: BridgeError) -> ResponseReturnValue:
    log.warning("request.refused", code=error.code, status=error.http_status, error=str(error))
    # What the database said is for the log, not for whoever called.
    message = JournalError.__doc__ if isinstance(error, JournalError) else str(error)
    return jsonify(error={"code": error.code, "message": message}), error.http_status


def _http_error(error: HTTPException) -> ResponseReturnValue:
    status = error.code or 500
    return jsonify(error={"code": f"http.{status}", "message": error.name.lower()}), status


def _fault(error: Exception) -> ResponseReturnValue:
    log.error("request.fault", exc_info=error)
    return jsonify(error={"code": BridgeError.code, "message": BridgeError.__doc__}), 500
