"""A simulated Asaas: its API under `/v3`, its webhooks, and verbs for tests; ../README.md says what is assumed."""

from __future__ import annotations

from functools import cached_property

from flask import Flask

from bridge.simulator.asaas.account import AsaasAccount
from bridge.simulator.asaas.api import api_blueprint
from bridge.simulator.asaas.pages import control_blueprint, page_blueprint
from bridge.simulator.faults import install


class AsaasSimulator(AsaasAccount):
    """An account of Asaas whose `app` has its API, its controls and its page."""

    @cached_property
    def app(self) -> Flask:
        app = Flask("simulated-asaas", template_folder=None)
        app.json.sort_keys = False  # type: ignore[attr-defined]  # of flask's default provider; keys keep Asaas's order
        app.json.ensure_ascii = False  # type: ignore[attr-defined]
        install(app, self.faults, ("/v3",))
        for blueprint in (api_blueprint, control_blueprint, page_blueprint):
            app.register_blueprint(blueprint(self))
        return app
