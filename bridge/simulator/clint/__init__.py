"""A simulated Clint: webhooks of integrations and the API's read-only part; ../README.md says what is assumed."""

from __future__ import annotations

from functools import cached_property

from flask import Flask

from bridge.simulator.clint.account import ClintAccount
from bridge.simulator.clint.api import api_blueprint
from bridge.simulator.clint.pages import control_blueprint, page_blueprint
from bridge.simulator.clint.receiver import PATH
from bridge.simulator.faults import install


class ClintSimulator(ClintAccount):
    """An account of Clint whose `app` has its webhooks, its API, its controls and its page."""

    @cached_property
    def app(self) -> Flask:
        app = Flask("simulated-clint", template_folder=None)
        app.json.sort_keys = False  # type: ignore[attr-defined]  # of flask's default provider
        app.json.ensure_ascii = False  # type: ignore[attr-defined]
        self.receiver.install(app)  # before the faults, so that the history has requests that a fault answers
        install(app, self.faults, (PATH, "/v1"))
        app.register_blueprint(self.receiver.blueprint())
        app.register_blueprint(api_blueprint(self.crm, self.tokens))
        app.register_blueprint(control_blueprint(self))
        app.register_blueprint(page_blueprint(self))
        return app
