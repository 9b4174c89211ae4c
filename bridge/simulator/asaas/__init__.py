"""A simulated Asaas: its API under `/v3`, its webhooks, and verbs for tests.

Known (official pages, the generated OpenAPI client of 2026-03, bodies recorded on the sandbox): paths, fields, their
order and when a field is left out; charge ids of the form `pay_1_…` since 2026-11; the envelope, with `evt_<md5 of the
event's name>&<sequence>` and Brasilia time; only status 200 counts, 10 s, the waits between tries, the pause after 15
failures, 14 days of keeping, the rules of the token; the 401 codes, the shape of errors, 25,000 requests in 12 h and 50
GETs at once; fees, days of credit, the rest of a division on the last instalment; card: CREATED, already CONFIRMED,
then CONFIRMED.

Assumed: a confirmed boleto sends CONFIRMED and RECEIVED (as documented; one real log shows RECEIVED alone); forcing
overdue puts the due date on yesterday; each event waits for its own penalty when NON_SEQUENTIALLY; the texts of errors
not seen on the sandbox and the body of 429; a missing User-Agent is a 400; a 404 has no body; the quota's 429 has no
`RateLimit-` headers; removed charges are left out of lists; `/refund` takes a boleto too; the sandbox's User-Agent.
Unlike the sandbox it delivers to localhost, sends no e-mail, and never advances its clock by itself.
"""

from __future__ import annotations

from functools import cached_property

from flask import Flask

from bridge.simulator.asaas.account import AsaasAccount
from bridge.simulator.asaas.api import api_blueprint
from bridge.simulator.asaas.pages import control_blueprint, page_blueprint
from bridge.simulator.faults import install


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


class AsaasSimulator(AsaasAccount):
    """An account of Asaas whose `app` has its API, its knobs and its page."""

    @cached_property
    def app(self) -> Flask:
        """Give the application to serve."""
        return build_app(self)
