"""The Flask application of the simulated Asaas: the API, the knobs and the page, each in its module."""

from __future__ import annotations

from flask import Flask

from ..faults import install
from .account import AsaasAccount
from .api import api_blueprint
from .control import control_blueprint
from .page import page_blueprint


def build_app(asaas: AsaasAccount) -> Flask:
    """Put the parts together."""
    app = Flask("simulated-asaas", template_folder=None)
    app.json.sort_keys = False  # type: ignore[attr-defined]  # flask's default provider has it; keys keep Asaas's order
    app.json.ensure_ascii = False  # type: ignore[attr-defined]
    install(app, asaas.faults, ("/v3",))
    app.register_blueprint(api_blueprint(asaas))
    app.register_blueprint(control_blueprint(asaas))
    app.register_blueprint(page_blueprint(asaas))
    return app
