"""A simulated Clint: webhooks of integrations and version 1 of the API; ../README.md says what is assumed."""

from __future__ import annotations

from functools import cached_property

from flask import Flask

from bridge.simulator.clint.account import ClintAccount
from bridge.simulator.clint.api import api_blueprint
from bridge.simulator.clint.controls import api_controls
from bridge.simulator.clint.pages import control_blueprint, page_blueprint
from bridge.simulator.clint.receiver import PATH
from bridge.simulator.faults import new_app


class ClintSimulator(ClintAccount):
    @cached_property
    def app(self) -> Flask:
        # The receiver comes before the faults, so that the history has requests that a fault answers.
        app = new_app("simulated-clint", self.faults, (PATH, "/v1"), self.receiver.install)
        api = api_blueprint(self.crm, self.tokens, self.person)
        for blueprint in (api, control_blueprint(self), api_controls(self), page_blueprint(self)):
            app.register_blueprint(blueprint)
        return app
