"""The Flask application of the simulated Clint: webhooks, API, knobs and page, each in its module."""

from __future__ import annotations

from flask import Flask

from ..faults import install
from .account import ClintAccount
from .api import api_blueprint
from .control import control_blueprint
from .page import page_blueprint
from .receiver import PATH


def build_app(clint: ClintAccount) -> Flask:
    """Put the parts together."""
    app = Flask("simulated-clint", template_folder=None)
    app.json.sort_keys = False  # type: ignore[attr-defined]  # flask's default provider has it
    app.json.ensure_ascii = False  # type: ignore[attr-defined]
    clint.receiver.install(app)  # first, so that a request that a fault answers is in the history too
    install(app, clint.faults, (PATH, "/v1"))
    app.register_blueprint(clint.receiver.blueprint())
    app.register_blueprint(api_blueprint(clint.crm, clint.tokens))
    app.register_blueprint(control_blueprint(clint))
    app.register_blueprint(page_blueprint(clint))
    return app
