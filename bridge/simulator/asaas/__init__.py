"""A simulated Asaas: its API under `/v3`, its webhooks, page and controls; ../README.md says what is assumed."""

from __future__ import annotations

from functools import cached_property

from flask import Flask

from bridge.simulator.asaas.account import AsaasAccount
from bridge.simulator.asaas.api import api_blueprint
from bridge.simulator.asaas.pages import control_blueprint, page_blueprint
from bridge.simulator.asaas.rules import Refusal
from bridge.simulator.faults import new_app


class AsaasSimulator(AsaasAccount):
    @cached_property
    def app(self) -> Flask:
        app = new_app("simulated-asaas", self.faults, ("/v3",))
        app.register_error_handler(Refusal, lambda refusal: refusal.answer())
        for blueprint in (api_blueprint, control_blueprint, page_blueprint):
            app.register_blueprint(blueprint(self))
        return app
