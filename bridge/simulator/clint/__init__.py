"""A simulated Clint: the webhook URL of an integration, its history, and the read-only part of the API.

Known (help pages, public code, the OpenAPI document): the URL and that its UUID is the only secret; flat bodies as
JSON, as a form, or as text that is JSON; keys are mapped exactly; stage and status belong to the integration, not to
the body; create, update, create or update "in the same origin"; the contact is known by e-mail or phone; a 2xx means
received, failures stand in the history only; fields, filters and pages of `/v1`; lists without a status give OPEN.

Assumed: the answer of a webhook is 200 and a small JSON object, 404 for an unknown UUID, 400 for an unreadable body;
e-mail goes before phone when they name two contacts, and fills a gap but never replaces; of several deals the newest
open one is updated, else the newest; a value that is not flat is ignored; an empty text empties the field; unmapped
keys become fields of the deal when the integration has no mapping of its own. Clint has no limit here: none is
published. What it really answers, how fast and how large, is unconfirmed.
"""

from __future__ import annotations

from functools import cached_property

from flask import Flask

from bridge.simulator.clint.account import ClintAccount
from bridge.simulator.clint.api import api_blueprint
from bridge.simulator.clint.pages import control_blueprint, page_blueprint
from bridge.simulator.clint.receiver import PATH
from bridge.simulator.faults import install


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


class ClintSimulator(ClintAccount):
    """An account of Clint whose `app` has its webhooks, its API, its knobs and its page."""

    @cached_property
    def app(self) -> Flask:
        """Give the application to serve."""
        return build_app(self)
